"""A bundle: networks planned for a space, to be measured on a device that has no more than ONNX Runtime.

A folder with the script measure.py, a manifest and the networks as ONNX. The networks share their weights: a tensor is
a stretch of random numbers whose scale suits its fan-in, so that activations stay of order one and hundreds of networks
take little space. The manifest holds the networks as operator graphs too, from which all else (kernels, fingerprints)
is derived when results come back.
"""

import ast
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nas.console import Step
from nas.runtimes.known import FILE as KNOWN
from nas.runtimes.known import Known, plan_new_device, read_known
from predictors.plan import Planned, plan
from predictors.target import Target
from search_spaces.errors import NasError
from search_spaces.files import write_bytes, write_json, write_text
from search_spaces.network import Network
from search_spaces.network_text import network_from_json, network_to_json
from search_spaces.space import SearchSpace

FORMAT, VERSION = "nas-bundle", 1
MANIFEST, SCRIPT, NETWORKS = "manifest.json", "measure.py", "networks"
REFERENCE = "reference.onnx"
NETWORKS_PLANNED = 150
PRECISION = "fp32"
VALUE_BYTES = 4
SHIFT = 64
OWN_IMPORT = re.compile(r"^from nas\.runtimes\.(\w+) import .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BundledNetwork:
    """A network of a bundle, by the name that results call it; `held_out` ones are never fitted on."""

    name: str
    network: Network
    held_out: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was planned: `id` tells one bundle from another, `batch` is how many images an inference has.

    `known` is there where the new device is to be learned through known ones: its networks are those chosen there.
    """

    id: str
    batch: int
    precision: str
    networks: tuple[BundledNetwork, ...]
    known: Known | None = None


def write_bundle(
    folder: Path,
    spaces: Sequence[SearchSpace],
    *,
    networks: int = NETWORKS_PLANNED,
    batch: int = 1,
    rng: np.random.Generator,
    known: Sequence[Target] = (),
    step: Step | None = None,
) -> Bundle:
    """Plan up to `networks` networks of `spaces` and write them to `folder` with what measures them.

    When all of `spaces` are planned, or none is given, a spread of the catalogue follows. With `known` devices' targets
    few networks do; see `plan_new_device`. `step` advances by one a network. Raises NasError when `folder` holds
    something already, or an operator has no ONNX rule.
    """
    from nas.runtimes.meter import reference_network
    from nas.runtimes.onnx_graph import network_to_onnx
    from nas.runtimes.profile import default_spaces

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NasError(f"{folder} exists already: name a folder for the bundle that does not")
    before: Known | None = None
    if known:
        planned, before = plan_new_device(spaces, known, networks=networks, rng=rng)
    else:
        planned = tuple(_planned(spaces, default_spaces(), networks, rng))
    bundled = tuple(BundledNetwork(f"{i:04d}", item.network, item.held_out) for i, item in enumerate(planned))
    bundle = Bundle(_identity(bundled, batch), batch, PRECISION, bundled, before)
    pool = _WeightPool()
    for item in bundled:
        model = pool.shared(network_to_onnx(item.network, batch=batch))
        write_bytes(folder / NETWORKS / f"{item.name}.onnx", model)
        if step is not None:
            step.advance(1.0)
    write_bytes(folder / NETWORKS / REFERENCE, network_to_onnx(reference_network(), batch=batch))
    for name, content in pool.files():
        write_bytes(folder / NETWORKS / name, content)
    write_text(folder / SCRIPT, script())
    if before is not None:
        write_json(folder / KNOWN, before.to_json())
    write_json(folder / MANIFEST, _manifest(bundle))
    return bundle


def _planned(
    spaces: Sequence[SearchSpace], others: Sequence[SearchSpace], count: int, rng: np.random.Generator
) -> Iterator[Planned]:
    """The first `count` networks to measure, none twice."""
    known: set[str] = set()
    for item in chain(plan(spaces, rng) if spaces else (), plan(others, rng)):
        if item.network.fingerprint not in known:
            known.add(item.network.fingerprint)
            yield item
        if len(known) == count:
            return


def _identity(networks: Sequence[BundledNetwork], batch: int) -> str:
    content = [[item.name, item.network.fingerprint, item.held_out] for item in networks]
    return hashlib.blake2b(json.dumps([content, batch, PRECISION]).encode(), digest_size=8).hexdigest()


def _manifest(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "bundle": bundle.id,
        "batch": bundle.batch,
        "precision": bundle.precision,
        "networks": [
            {
                "network": item.name,
                "file": f"{NETWORKS}/{item.name}.onnx",
                "fingerprint": item.network.fingerprint,
                "held_out": item.held_out,
                "graph": network_to_json(item.network),
            }
            for item in bundle.networks
        ],
    }


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, of which only the .json files are needed; `NasError` where there is none to be read."""
    path = folder / MANIFEST
    again = "write it again with `nas profile plan`"
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NasError(f"{path} cannot be read ({error}): name a bundle's folder, or {again}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise NasError(f'{path} is not a bundle of version {VERSION}: it lacks "format": "{FORMAT}"; {again}')
    try:
        networks = tuple(
            BundledNetwork(str(entry["network"]), network_from_json(entry["graph"]), bool(entry["held_out"]))
            for entry in data["networks"]
        )
        bundle = Bundle(str(data["bundle"]), int(data["batch"]), str(data["precision"]), networks, read_known(folder))
    except (NasError, KeyError, TypeError, ValueError) as error:
        raise NasError(f"{path} is damaged ({error}); {again}") from error
    if _identity(networks, bundle.batch) != bundle.id:
        raise NasError(f"{path} is damaged: its networks are not those it was written with; {again}")
    return bundle


def script() -> str:
    """The script that measures a bundle, with the parts of this package that it uses written into it."""
    return _inlined("measure", set())


def _inlined(module: str, done: set[str]) -> str:
    """Source of a module of this folder, imports of its neighbours replaced by their own source, each once."""
    text = (files("nas.runtimes") / f"{module}.py").read_text(encoding="utf-8")

    def part(found: re.Match[str]) -> str:
        name = found[1]
        if name in done:
            return ""
        done.add(name)
        return _body(_inlined(name, done)) + "\n\n"

    return OWN_IMPORT.sub(part, text)


def _body(source: str) -> str:
    """A module's source without its docstring and its imports from the future."""
    first = next(
        node
        for node in ast.parse(source).body[1:]
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    )
    return "".join(source.splitlines(keepends=True)[first.lineno - 1 :])


class _WeightPool:
    """Random weights that many models share: one file for each fan-in, as long as its longest tensor needs."""

    def __init__(self) -> None:
        self._longest: dict[int, int] = {}

    def shared(self, model: bytes) -> bytes:
        """`model` with its weight tensors in the pool's files; no two tensors of it are the same numbers."""
        import onnx

        parsed = onnx.load_model_from_string(model)
        used: Counter[int] = Counter()
        for tensor in parsed.graph.initializer:
            fan_in = math.prod(tensor.dims[1:])
            if fan_in == 1:
                continue
            start, size = SHIFT * used[fan_in], math.prod(tensor.dims)
            used[fan_in] += 1
            self._longest[fan_in] = max(self._longest.get(fan_in, 0), start + size)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = {"location": _pool_file(fan_in), "offset": VALUE_BYTES * start, "length": VALUE_BYTES * size}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
        return bytes(parsed.SerializeToString())

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of the pool's files."""
        for fan_in, size in sorted(self._longest.items()):
            scale = np.float32(np.sqrt(2 / fan_in))
            weights = scale * np.random.default_rng(fan_in).standard_normal(size, dtype=np.float32)
            yield _pool_file(fan_in), weights.tobytes()


def _pool_file(fan_in: int) -> str:
    return f"weights-{fan_in}.bin"
