"""Latency of a module that no space built, measured as a run's target was."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.own.trace import Traced
from nas.runtimes.meter import Meter
from nas.runtimes.timing import Measurement
from search_spaces.errors import NasError
from search_spaces.operators import Shape

if TYPE_CHECKING:
    from torch import nn

ALIKE = 1e-3
SEED = 0


@dataclass(frozen=True)
class OwnLatency:
    """A measured latency, the runtime it was measured in, and why not in the target's, empty where it was that."""

    measurement: Measurement
    runtime: str
    reason: str = ""


def measured_latency(module: "nn.Module", traced: Traced, meter: Meter, *, seconds: float = 0.3) -> OwnLatency:
    """Latency of `module` in the runtime and the setting of `meter`.

    Where PyTorch cannot write it as ONNX, or what it wrote computes something else, in eager PyTorch instead.
    """
    shape = traced.network.input.shape
    name = meter.engine.name
    if name == "onnxruntime":
        try:
            run = _onnx(module, traced, meter)
        except Exception as error:  # the exporter's and the runtime's errors have no class in common
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            return OwnLatency(meter.timed(_eager(module, shape, meter), seconds=seconds), "torch", reason)
    else:
        run = _eager(module, shape, meter, compiled=name == "torch_compile")
    return OwnLatency(meter.timed(run, seconds=seconds), name)


def onnx_model(module: "nn.Module", traced: Traced, *, batch: int = 1) -> bytes:
    """`module` as ONNX for inputs float32 [batch, channels, *spatial], written by PyTorch and checked against it."""
    import torch

    from nas.export.check import quiet

    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(batch, *traced.network.input.shape, generator=generator)
    whole: Any = traced.program if batch == 1 else module
    with quiet(), torch.no_grad():
        written = torch.onnx.export(whole, (x,), dynamo=True, external_data=False, verbose=False)
        expected = module(x)
    assert written is not None
    data = bytes(written.model_proto.SerializeToString())
    _check(data, x.numpy(), expected)
    return data


def _check(data: bytes, x: Any, expected: Any) -> None:
    """Raise NasError unless ONNX Runtime gives the first of the `expected` outputs."""
    import torch
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = InferenceSession(data, options, providers=["CPUExecutionProvider"])
    got = session.run(None, {session.get_inputs()[0].name: x})[0]
    first = expected
    while not isinstance(first, torch.Tensor):
        first = next(iter(first.values() if isinstance(first, dict) else first))
    wanted = first.numpy()
    gap = float(np.abs(got - wanted).max()) if got.shape == wanted.shape else np.inf
    if not gap <= ALIKE * max(1e-6, float(np.abs(wanted).max())):
        raise NasError(f"ONNX Runtime's answer is off by {gap:.2g}")


def _onnx(module: "nn.Module", traced: Traced, meter: Meter) -> Callable[[], None]:
    from nas.runtimes.onnxruntime import prepare_model

    return prepare_model(onnx_model(module, traced, batch=meter.setting.batch), setting=meter.setting)


def _eager(module: "nn.Module", shape: Shape, meter: Meter, *, compiled: bool = False) -> Callable[[], None]:
    from nas.runtimes.torch_eager import prepare_module

    return prepare_module(module, shape, setting=meter.setting, compiled=compiled)
