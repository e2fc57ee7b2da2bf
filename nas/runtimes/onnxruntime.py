"""ONNX Runtime: sessions, latency, and kernel times from its own profiler."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from nas.runtimes.base import Profile, Setting, Weights
from nas.runtimes.onnx_graph import TENSOR, network_to_onnx
from nas.runtimes.profiled import profile_session
from nas.runtimes.timing import Measurement, Reference, repeat
from predictors.kernels import Fusion, kernel_nodes
from search_spaces.errors import NasError
from search_spaces.network import Network

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ERRORS_ONLY = 3
BLOCKED, FUSED = "_nchwc", "fused "


def measure_ms(
    model: bytes, *, setting: Setting | None = None, seconds: float = 0.3, min_repeats: int = 20
) -> Measurement:
    """Latency of a serialised ONNX model on random input."""
    session = _session(model, _options(setting or Setting()), setting or Setting())
    return repeat(
        _runner(session),
        seconds=seconds,
        min_repeats=min_repeats,
        single_thread=(setting or Setting()).threads == 1,
    ).summary()


class OnnxRuntime:
    """ONNX Runtime on the CPU (or CUDA where its GPU build is installed)."""

    name = "onnxruntime"
    fusion: Fusion = "graph"

    def describe(self, setting: Setting) -> dict[str, str]:
        """Version of ONNX Runtime; `NasError` when it has no provider for the device."""
        provider = PROVIDERS.get(setting.device)
        if provider not in onnxruntime.get_available_providers():
            raise NasError(
                f"this ONNX Runtime cannot run on {setting.device!r}; it has "
                f"{', '.join(onnxruntime.get_available_providers())}. "
                "Take device 'cpu' or install onnxruntime-gpu"
            )
        return {"software": f"onnxruntime {onnxruntime.__version__}"}

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        """Return a function that runs one inference of `network` on random input."""
        model = network_to_onnx(network, weights, batch=setting.batch)
        return _runner(_session(model, _options(setting), setting))

    def profile(
        self,
        network: Network,
        *,
        setting: Setting,
        seconds: float,
        reference: Reference | None = None,
    ) -> Profile:
        """Measure kernels through the profiler of a session, then the same session without it."""
        with tempfile.TemporaryDirectory(prefix="nas-profile-") as folder:
            options = _options(setting)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "run")
            options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
            model = network_to_onnx(network, batch=setting.batch)
            session = _session(model, options, setting)
            found = profile_session(
                _runner(session),
                lambda: json.loads(Path(session.end_profiling()).read_text()),
                seconds=seconds,
                single_thread=setting.threads == 1,
                reference=reference,
            )
            optimised = onnx.load(options.optimized_model_filepath)
        kernel_ms = attribute(network, optimised.graph, found.node_ms)
        return Profile(found.latency, kernel_ms, found.nodes_quiet_share)


def _options(setting: Setting) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    return options


def _session(model: bytes, options: Any, setting: Setting) -> Any:
    return onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[setting.device]])


def _runner(session: Any) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    feed = {source.name: rng.standard_normal(source.shape, dtype=np.float32) for source in session.get_inputs()}

    def run() -> None:
        session.run(None, feed)

    return run


def attribute(network: Network, optimised: onnx.GraphProto, spent_ms: dict[str, float]) -> tuple[float, ...]:
    """Share the times of the optimised graph's nodes out to the kernels of `network`.

    A fused node carries the name of one node it was made from. A change of memory layout belongs to the node that
    needs the plain layout (its reader when leaving the blocked layout, its writer when entering it). What was merged
    away belongs to the kernel that did the work.
    """
    owner_of = _Owners(network, optimised)
    found = kernel_nodes(network)
    position = {i: p for p, (i, _) in enumerate((i, k) for i, k in found if k is not None)}
    has_kernel = {i: kernel is not None for i, kernel in found}
    times = [0.0] * len(position)
    for place, node in enumerate(optimised.node):
        index = owner_of.resolve(place)
        while index is not None and not has_kernel.get(index, False):
            inputs = network.nodes[index].inputs
            index = inputs[0] if inputs else None
        if index is not None:
            times[position[index]] += spent_ms.get(node.name, 0.0)
    return tuple(times)


class _Owners:
    """Finds the node of a network that a node of the optimised graph comes from."""

    def __init__(self, network: Network, optimised: onnx.GraphProto) -> None:
        self._nodes = optimised.node
        self._index = network.index
        self._outputs = dict(network.outputs)
        self._writer = {out: i for i, node in enumerate(self._nodes) for out in node.output}
        self._readers: dict[str, list[int]] = {}
        for i, node in enumerate(self._nodes):
            for source in node.input:
                self._readers.setdefault(source, []).append(i)

    def resolve(self, place: int) -> int | None:
        """Index in the network, or `None` when nothing tells."""
        node = self._nodes[place]
        if node.op_type == "ReorderInput":
            return self._first(self._writers(place)) or self._first(self._followers(place))
        if node.op_type == "ReorderOutput":
            return self._first(self._followers(place)) or self._first(self._writers(place))
        own = self._own(place)
        return own if own is not None else self._first(self._followers(place))

    def _own(self, place: int) -> int | None:
        """What the node's name, or that of its output, tells."""
        node = self._nodes[place]
        found = self._named(node.name)
        for out in node.output:
            found = self._outputs.get(out, self._named(out)) if found is None else found
        return found

    def _named(self, name: str) -> int | None:
        if name.endswith(BLOCKED) and name.removesuffix(BLOCKED) in self._outputs:
            return self._outputs[name.removesuffix(BLOCKED)]
        name = name.removesuffix(BLOCKED).removesuffix(TENSOR).removeprefix(FUSED)
        while name:
            if name in self._index:
                return self._index[name]
            name = name.rpartition("/" if "/" in name else ".")[0]
        return None

    def _writers(self, place: int) -> Iterator[int]:
        """The node that wrote the first input, and those before it along first inputs."""
        source = self._nodes[place].input[0]
        while source in self._writer:
            yield self._writer[source]
            source = self._nodes[self._writer[source]].input[0]

    def _followers(self, place: int) -> Iterator[int]:
        """The first reader of the output, and those behind it."""
        readers = self._readers.get(self._nodes[place].output[0])
        while readers:
            yield readers[0]
            readers = self._readers.get(self._nodes[readers[0]].output[0])

    def _first(self, places: Iterator[int]) -> int | None:
        return next((own for own in map(self._own, places) if own is not None), None)
