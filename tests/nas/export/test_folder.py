"""An exported folder is whole and equal to the network, or it is not there."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from nas.export.check import difference, sample_inputs
from nas.export.folder import ExportReport, export_network
from nas.export.source import Normalisation
from nas.modules import execute
from search_spaces.builder import NetworkBuilder
from search_spaces.catalog import mobile
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import Architecture

Weights = dict[str, dict[str, torch.Tensor]]
SPACE = mobile((3, 12, 12), 4, widths=((8,), (12,)), depths=((1, 2), (1,)), strides=(1, 2), sparsities=(0.5,))
FIGURES = {"error": 0.031, "latency_ms": None, "macs": 1234567}


@pytest.fixture(scope="module")
def chosen() -> tuple[Architecture, Network]:
    architecture = SPACE.sample(np.random.default_rng(0))
    return architecture, SPACE.build(architecture)


@pytest.fixture(scope="module")
def weights(chosen: tuple[Architecture, Network], random_weights: Callable[..., Weights]) -> Weights:
    return random_weights(chosen[1], dtype=torch.float32)


@pytest.fixture
def export(chosen: tuple[Architecture, Network], weights: Weights) -> Callable[..., ExportReport]:
    """`export_network` of the chosen network, for a folder and whatever is to differ."""

    def write(folder: Path, *, formats: tuple[str, ...] = ("pytorch",), **changed: Any) -> ExportReport:
        architecture, network = chosen
        options: dict[str, Any] = {
            "architecture": architecture,
            "figures": FIGURES,
            "provenance": {"error": "measured", "macs": "counted"},
            "normalisation": Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
            "class_names": tuple("abcd"),
        } | changed
        return export_network(network, options.pop("weights", weights), folder, formats=formats, **options)

    return write


def test_a_whole_folder(
    export: Callable[..., ExportReport], chosen: tuple[Architecture, Network], weights: Weights, tmp_path: Path
) -> None:
    architecture, network = chosen
    report = export(tmp_path / "net", formats=("pytorch", "onnx"), note="Trained on lossy images.")
    assert set(report.files) == {path.name for path in (tmp_path / "net").iterdir()}
    assert os.listdir(tmp_path) == ["net"]
    assert report.onnx_writer == "torch.onnx"
    about = json.loads((tmp_path / "net" / "arch.json").read_text())
    assert Architecture.of(about["architecture"]) == architecture
    assert (about["id"], about["fingerprint"]) == (network.id, network.fingerprint)
    assert about["equality"] == report.equality
    assert about["equality"]["float64"] <= 1e-10
    assert about["equality"]["float32"] <= 1e-5
    assert about["equality"]["onnxruntime"] <= 1e-4
    assert about["figures"]["latency_ms"] == {"value": None, "provenance": None}
    assert about["class_names"] == list("abcd")
    readme = (tmp_path / "net" / "README.md").read_text()
    assert "| macs | 1,234,567 MACs | counted |" in readme
    assert "| latency_ms | not known |" in readme
    assert "Trained on lossy images." in readme
    session = InferenceSession(tmp_path / "net" / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 5):
        x = sample_inputs(network, count=count).float()
        wanted = execute(network, weights, x)
        got = session.run(None, {"images": x.numpy()})[0]
        assert difference({"output": torch.from_numpy(got)}, wanted) <= 1e-4


@pytest.mark.usefixtures("own_imports")
def test_readme_code_runs(export: Callable[..., ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tmp_path / "net")
    readme = (tmp_path / "net" / "README.md").read_text()
    code = readme.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path / "net")
    monkeypatch.syspath_prepend(str(tmp_path / "net"))
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    assert namespace["output"].shape == (1, 4)


def test_weights_that_are_not_yet_sparse_are_made_so(
    export: Callable[..., ExportReport], chosen: tuple[Architecture, Network], weights: Weights, tmp_path: Path
) -> None:
    dense = {path: {name: tensor + 0.01 for name, tensor in of.items()} for path, of in weights.items()}
    export(tmp_path / "dense", weights=dense)
    export(tmp_path / "sparse")
    from safetensors.torch import load_file

    state = load_file(tmp_path / "dense" / "weights.safetensors")
    masks = {name: mask for name, mask in state.items() if name.endswith(".mask")}
    assert masks
    for name, mask in masks.items():
        assert torch.equal(state[name.replace(".mask", ".weight")] != 0, mask)


def test_a_reference_must_be_met(
    export: Callable[..., ExportReport], chosen: tuple[Architecture, Network], weights: Weights, tmp_path: Path
) -> None:
    network = chosen[1]
    report = export(tmp_path / "net", reference=lambda x: execute(network, weights, x)["output"])
    assert report.equality["reference"] <= 1e-5
    with pytest.raises(NasError, match=r"differs from the original by .* in reference; at most 1e-05 is allowed"):
        export(tmp_path / "other", reference=lambda x: 1.001 * execute(network, weights, x)["output"])
    assert os.listdir(tmp_path) == ["net"]


def test_failures_leave_what_was_there(export: Callable[..., ExportReport], weights: Weights, tmp_path: Path) -> None:
    export(tmp_path / "net")
    before = {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()}
    path = next(iter(weights))
    missing = {name: of for name, of in weights.items() if name != path}
    other = {**weights, path: {name: tensor[1:] for name, tensor in weights[path].items()}}
    broken = {**weights, path: {name: tensor * float("nan") for name, tensor in weights[path].items()}}
    for changed, message in (
        ({"weights": missing}, rf"the weights lack {path}\.weight of shape"),
        ({"weights": other}, rf"{path}\.weight has shape .* but the network needs"),
        ({"weights": broken}, "differs from the original by inf"),
        ({"formats": ("pytorch", "torchscript")}, "unknown export format 'torchscript'"),
        ({"formats": ()}, "no export format given; known: pytorch, onnx"),
        ({"figures": {"error": float("nan")}}, None),
    ):
        with pytest.raises(NasError if message else ValueError, match=message):
            export(tmp_path / "net", **changed)
        assert {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()} == before
        assert os.listdir(tmp_path) == ["net"]


def test_a_second_export_keeps_what_is_not_its_own(export: Callable[..., ExportReport], tmp_path: Path) -> None:
    export(tmp_path / "net")
    (tmp_path / "net" / "weights_fit.safetensors").write_bytes(b"fitted")
    (tmp_path / "net" / "model.onnx").write_bytes(b"of an earlier export")
    export(tmp_path / "net", note="Again.")
    assert (tmp_path / "net" / "weights_fit.safetensors").read_bytes() == b"fitted"
    assert not (tmp_path / "net" / "model.onnx").exists()
    assert "Again." in (tmp_path / "net" / "README.md").read_text()


def test_a_foreign_folder_is_refused(export: Callable[..., ExportReport], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NasError, match=r"exists and is no exported network; name another folder"):
        export(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_what_torch_cannot_export_is_written_from_the_graph(
    export: Callable[..., ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no such operator\nand a long trace")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    report = export(tmp_path / "net", formats=("onnx",))
    assert report.onnx_writer == "operator graph"
    assert report.equality["onnxruntime"] <= 1e-4
    assert "torch.onnx cannot export this network (no such operator): batches of one" in caplog.text
    shape = onnx.load(tmp_path / "net" / "model.onnx").graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_value == 1
    assert not (tmp_path / "net" / "model.py").exists()
    readme = (tmp_path / "net" / "README.md").read_text()
    assert "float32 [1, 3, " in readme
    assert "model.py" not in readme


def test_several_outputs(tmp_path: Path, random_weights: Callable[..., Weights]) -> None:
    net = NetworkBuilder(lambda _name, options: options[0])
    x = net.conv(net.input(2, 9), 4)
    network = net.finish({"wave": x, "mean": net.flatten(net.global_pool(x))})
    report = export_network(
        network,
        random_weights(network),
        tmp_path / "net",
        architecture=Architecture(()),
        figures={},
        provenance={},
        normalisation=None,
    )
    assert report.onnx_writer == "torch.onnx"
    assert json.loads((tmp_path / "net" / "arch.json").read_text())["outputs"] == ["wave", "mean"]
