"""ONNX Runtime: sessions, latency, and kernel times from its own profiler."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from nas.runtimes.attribution import attribute
from nas.runtimes.base import Profile, Setting, Weights, check_precision
from nas.runtimes.onnx_graph import network_to_onnx
from nas.runtimes.profiled import kernel_events, node_names, profile_session
from nas.runtimes.timing import Measurement, Reference, repeat
from predictors.kernels import Fusion
from search_spaces.errors import NasError
from search_spaces.network import Network

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PRECISIONS = {"cpu": ("fp32", "int8"), "cuda": ("fp32", "fp16")}
ERRORS_ONLY = 3
IN_USE, RISEN, PEAK = "mem_bytes_requested_in_use", "mem_requested_in_use_delta", "mem_in_use_peak"


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


def prepare_model(model: bytes, *, setting: Setting) -> Callable[[], None]:
    """Return a function that runs one inference of a float32 ONNX model, in the setting's precision, on random input.

    The model's batch size is its own.
    """
    return _runner(_session(_in_precision(model, setting), _options(setting), setting))


class OnnxRuntime:
    """ONNX Runtime on the CPU (or CUDA where its GPU build is installed), for networks in `precision`."""

    name = "onnxruntime"

    def __init__(self, precision: str = "fp32") -> None:
        self.fusion: Fusion = "quantised" if precision == "int8" else "graph"

    def describe(self, setting: Setting) -> dict[str, str]:
        """Version of ONNX Runtime; `NasError` when it has no provider for the device."""
        provider = PROVIDERS.get(setting.device)
        if provider not in onnxruntime.get_available_providers():
            raise NasError(
                f"this ONNX Runtime cannot run on {setting.device!r}; it has "
                f"{', '.join(onnxruntime.get_available_providers())}. "
                "Take device 'cpu' or install onnxruntime-gpu"
            )
        check_precision(self.name, setting, PRECISIONS)
        return {"software": f"onnxruntime {onnxruntime.__version__}"}

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        """Return a function that runs one inference of `network` on random input."""
        return _runner(_session(_model(network, weights, setting), _options(setting), setting))

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
            session = _session(_model(network, None, setting), options, setting)
            events: list[dict[str, Any]] = []

            def recorded() -> list[dict[str, Any]]:
                events.extend(json.loads(Path(session.end_profiling()).read_text()))
                return events

            found = profile_session(
                _runner(session),
                recorded,
                seconds=seconds,
                single_thread=setting.threads == 1,
                reference=reference,
            )
            optimised = onnx.load(options.optimized_model_filepath)
        graph = optimised.graph
        for node, name in zip(graph.node, node_names([node.name for node in graph.node], events), strict=True):
            node.name = name
        kernel_ms = attribute(network, graph, found.node_ms, fusion=self.fusion)
        return Profile(found.latency, kernel_ms, found.nodes_quiet_share)


def _model(network: Network, weights: Weights | None, setting: Setting) -> bytes:
    """The network as a model in the setting's precision."""
    return _in_precision(network_to_onnx(network, weights, batch=setting.batch), setting)


def _in_precision(model: bytes, setting: Setting) -> bytes:
    if setting.precision == "fp32":
        return model
    from nas.runtimes.precision import halved, quantised

    return quantised(model) if setting.precision == "int8" else halved(model)


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


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Bytes of activations that ONNX Runtime held at the peak of one inference, its caller's input left out.

    `activation_bytes` are those of tensors, `working_bytes` with what kernels need while they run.
    """

    activation_bytes: int
    working_bytes: int


def peak_memory(network: Network, *, setting: Setting | None = None) -> PeakMemory:
    """What ONNX Runtime's own allocator counts in one inference of `network`.

    The first inference is looked at: later ones use one block planned from it. `NasError` where this version of ONNX
    Runtime does not tell (1.31 does).
    """
    setting = setting or Setting()
    with tempfile.TemporaryDirectory(prefix="nas-memory-") as folder:
        options = _options(setting)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        session = _session(_model(network, None, setting), options, setting)
        _runner(session)()
        events = json.loads(Path(session.end_profiling()).read_text())
    told = [event["args"] for _, event in kernel_events(events)]
    if not told or any(key not in told[0] for key in (IN_USE, RISEN, PEAK)):
        raise NasError(
            f"onnxruntime {onnxruntime.__version__} does not tell how much memory it uses: install 1.31 or newer"
        )
    weights = int(told[0][IN_USE]) - int(told[0][RISEN])
    return PeakMemory(
        max(int(row[IN_USE]) for row in told) - weights,
        max(int(row[PEAK]) for row in told) - weights,
    )
