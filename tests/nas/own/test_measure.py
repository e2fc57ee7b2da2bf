"""Latency of traced modules: in the target's runtime where that runs them, else in eager PyTorch, and labelled so."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nas.own.measure import measured_latency, onnx_model
from nas.own.trace import trace
from nas.runtimes.base import Setting
from nas.runtimes.meter import Meter
from search_spaces import NasError


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Flatten(), nn.Linear(8 * 36, 5)).eval()


class Strange(nn.Module):
    """Ends in singular values, which ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svdvals(x.flatten(2))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_onnx_model_computes_what_the_module_does(batch: int) -> None:
    module = small()
    data = onnx_model(module, trace(module, (3, 8, 8), name="own"), batch=batch)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = torch.randn(batch, 3, 8, 8)
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        assert np.allclose(got, module(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_a_module_is_measured_in_the_runtime_of_the_meter(runtime: str) -> None:
    module = small()
    found = measured_latency(module, trace(module, (3, 8, 8), name="own"), Meter(runtime, Setting()), seconds=0.02)
    assert (found.runtime, found.reason) == (runtime, "")
    assert found.measurement.median_ms > 0
    assert found.measurement.reference_ms is not None


def test_what_onnx_lacks_is_measured_in_eager_pytorch_and_says_so() -> None:
    module = Strange().eval()
    found = measured_latency(
        module, trace(module, (2, 4, 4), name="own"), Meter("onnxruntime", Setting()), seconds=0.02
    )
    assert found.runtime == "torch"
    assert found.reason
    assert found.measurement.median_ms > 0


def test_what_neither_runs_in_that_precision_is_refused() -> None:
    module = Strange().eval()
    with pytest.raises(NasError, match="precision 'int8' cannot be measured here"):
        measured_latency(module, trace(module, (2, 4, 4), name="own"), Meter("onnxruntime", Setting(precision="int8")))
