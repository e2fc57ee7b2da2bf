"""An architecture as a folder that needs this project no longer."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.check import (
    OnnxModel,
    merged_difference,
    onnx_difference,
    onnx_model,
    reference_difference,
    require_equal,
    torch_differences,
)
from nas.export.load import dropped, fill, fresh_model, python_module
from nas.export.readme import figure_line, readme_text
from nas.export.source import ModelSource, Normalisation, model_source
from search_spaces.errors import NasError, unknown_name
from search_spaces.files import write_bytes, write_json, write_text, write_with
from search_spaces.merging import merged
from search_spaces.network import Network
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from torch import nn

    from nas.export.check import Reference
    from nas.modules import Weights

FORMATS = ("pytorch", "onnx")
MODEL, WEIGHTS, ARCHITECTURE, ONNX, README = "model.py", "weights.safetensors", "arch.json", "model.onnx", "README.md"
WRITTEN = (MODEL, WEIGHTS, ARCHITECTURE, ONNX, README)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: `equality` are differences from the project's own execution, relative to the largest output.

    `onnx_writer` is "torch.onnx", "operator graph" (batches of one) or `None`.
    """

    folder: Path
    files: tuple[str, ...]
    equality: dict[str, float]
    onnx_writer: str | None
    classes: tuple[str, ...]
    lines: int


def export_network(
    network: Network,
    weights: "Weights",
    folder: Path,
    *,
    architecture: Architecture,
    figures: Mapping[str, float | None],
    provenance: Mapping[str, str],
    normalisation: Normalisation | None,
    class_names: Sequence[str] = (),
    note: str = "",
    formats: Sequence[str] = FORMATS,
    reference: "Reference | None" = None,
) -> ExportReport:
    """Write `network` with `weights` as `folder`: model.py, weights.safetensors, arch.json, model.onnx, README.md.

    `weights` is {weight path: {tensor name: tensor}} in the network's own shapes; sparsity is applied to it. `figures`
    (name to value, `None` where not known) and their `provenance` are told in the folder's pages, as is `note`.
    `normalisation` is what the inputs went through in training. `formats`: "pytorch" (model.py and its weights) and
    "onnx". `reference` is a function from inputs float32 [n, channels, *spatial] to the outputs to be met, such as
    the supernet set to this architecture. A folder of an earlier export is replaced; files that no export writes stay.

    Raises `NasError`, leaving what was there, when the written model does not compute what the project computes
    (float64 1e-10, float32 and `reference` 1e-5, ONNX Runtime 1e-4 of the largest output), for weights that do not
    fit, an unknown format, and a `folder` that holds something else.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
    if not formats:
        raise NasError(f"no export format given; known: {', '.join(FORMATS)}")
    _check_replaceable(folder)
    kept, used = dropped(network, weights), merged(network)
    searched, network = network, used.network
    merging: dict[str, float] = {}
    if used.folds:
        from nas.merging import merged_weights

        before, kept = kept, merged_weights(used, kept)
        merging = {"merged": merged_difference(network, kept, searched, before)}
        require_equal(merging, what=("merged",))
    source = _source(network, searched.id, figures, provenance, normalisation)
    equality = {**merging, **torch_differences(source, network, kept)}
    require_equal(equality, what=("float64", "float32"))
    with python_module(source.text) as module, _staged(folder) as stage:
        model = fresh_model(module)
        fill(model, source, network, kept)
        if reference is not None:
            name = "merged reference" if used.folds else "reference"
            equality[name] = reference_difference(model, network, reference)
            require_equal(equality, what=(name,))
        onnx = None
        if "onnx" in formats:
            onnx = onnx_model(model, network, kept)
            equality["onnxruntime"] = onnx_difference(onnx, model, network)
            require_equal(equality, what=("onnxruntime",))
        about = {
            "id": searched.id,
            "fingerprint": searched.fingerprint,
            "architecture": architecture.values,
            "input_shape": list(network.input.shape),
            "outputs": [name for name, _ in network.outputs if name not in network.training_only],
            "class_names": list(class_names),
            "normalisation": None if normalisation is None else asdict(normalisation),
            "figures": {name: _figure(value, provenance.get(name)) for name, value in figures.items()},
            "note": note,
            "equality": equality,
            "onnx_writer": None if onnx is None else onnx.writer,
            "versions": _versions(onnx),
        }
        _write(stage, source, model, onnx, about, pytorch="pytorch" in formats)
        files = tuple(name for name in WRITTEN if (stage / name).exists())
    writer = None if onnx is None else onnx.writer
    return ExportReport(folder, files, equality, writer, source.classes, source.text.count("\n"))


def _source(
    network: Network,
    identity: str,
    figures: Mapping[str, float | None],
    provenance: Mapping[str, str],
    normalisation: Normalisation | None,
) -> ModelSource:
    lines = [figure_line(name, value, provenance.get(name, "")) for name, value in figures.items()]
    notes = ["Figures when it was found:", "", *(f"    {line}" for line in lines)] if lines else []
    return model_source(
        network, title=f"Network {identity}, found by a search.", notes=notes, normalisation=normalisation
    )


def _figure(value: float | None, provenance: str | None) -> dict[str, Any]:
    return {"value": value, "provenance": provenance}


def _versions(onnx: OnnxModel | None) -> dict[str, str]:
    from importlib.metadata import version

    names = ["torch", "safetensors"] + ([] if onnx is None else ["onnx", "onnxruntime"])
    return {name: version(name) for name in names}


def _write(
    stage: Path,
    source: ModelSource,
    model: "nn.Module",
    onnx: OnnxModel | None,
    about: dict[str, Any],
    *,
    pytorch: bool,
) -> None:
    if pytorch:
        from safetensors.torch import save_model

        write_text(stage / MODEL, source.text)
        write_with(stage / WEIGHTS, lambda path: save_model(model, str(path)))
    if onnx is not None:
        write_bytes(stage / ONNX, onnx.data)
    write_json(stage / ARCHITECTURE, about)
    write_text(stage / README, readme_text(about, pytorch=pytorch))


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / ARCHITECTURE).exists())):
        raise NasError(f"{folder} exists and is no exported network; name another folder")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place at the end, or vanishes when something fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        yield stage
        stage.chmod(0o755)
        if folder.exists():
            _copy_others(folder, stage)
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
            os.replace(folder, old / folder.name)
            try:
                os.replace(stage, folder)
            except OSError:
                os.replace(old / folder.name, folder)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _copy_others(folder: Path, stage: Path) -> None:
    """Copy what no export writes, such as weights fitted since, from `folder` to `stage`."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            shutil.copytree(path, stage / path.name)
        elif path.is_file() and path.name not in WRITTEN:
            shutil.copy2(path, stage)


def read_about(folder: Path) -> dict[str, Any]:
    """What arch.json of an exported `folder` tells; `NasError` where there is none that can be read."""
    path = folder / ARCHITECTURE
    try:
        about: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NasError(f"{folder} is no exported network: {ARCHITECTURE} cannot be read ({error})") from None
    return about
