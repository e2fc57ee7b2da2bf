"""Eager PyTorch: every operator is a kernel of its own."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from nas.modules import TORCH, Mode, execute
from nas.runtimes.base import Profile, Setting, Weights, check_precision
from nas.runtimes.onnx_graph import random_weights
from nas.runtimes.timing import Reference, repeat
from predictors.kernels import Fusion, kernel_nodes
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import Shape

KERNEL_SHARE = 0.5
MODE = Mode(zeros_applied=True)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp32", "fp16", "bf16")}
TensorWeights = dict[str, dict[str, Tensor]]


class TorchEager:
    """PyTorch without a compiler, on the CPU or on CUDA (where every timing waits for the device)."""

    name = "torch"
    fusion: Fusion = "none"

    def describe(self, setting: Setting) -> dict[str, str]:
        """Version of PyTorch; `NasError` when it has no such device."""
        if setting.device != "cpu" and not (setting.device == "cuda" and torch.cuda.is_available()):
            raise NasError(
                f"PyTorch finds no device {setting.device!r} here; take device 'cpu', or install a build for CUDA"
            )
        check_precision(self.name, setting, PRECISIONS)
        described = {"software": f"torch {torch.__version__}"}
        if setting.device == "cuda":
            described["device_name"] = torch.cuda.get_device_name()
        return described

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        """Return a function that runs one inference of `network` on random input."""
        tensors = tensors_of(network, weights, setting)
        x = random_input(network, setting)

        def run() -> None:
            with threads_of(setting), torch.inference_mode():
                execute(network, tensors, x, mode=MODE)
                wait(setting)

        return run

    def profile(
        self,
        network: Network,
        *,
        setting: Setting,
        seconds: float,
        reference: Reference | None = None,
    ) -> Profile:
        """Measure operator by operator, then whole."""
        kernel_ms, quiet_share = self.kernel_times(
            network, setting=setting, seconds=KERNEL_SHARE * seconds, reference=reference
        )
        latency = repeat(
            self.prepare(network, setting=setting),
            seconds=(1 - KERNEL_SHARE) * seconds,
            single_thread=setting.threads == 1 and setting.device == "cpu",
            reference=reference,
        )
        return Profile(latency.summary(), kernel_ms, quiet_share)

    def kernel_times(
        self, network: Network, *, setting: Setting, seconds: float, reference: Reference | None = None
    ) -> tuple[tuple[float, ...], float]:
        """Milliseconds of each operator that computes, and the share of undisturbed repetitions."""
        rows: list[tuple[float, ...]] = []
        tensors = tensors_of(network, None, setting)
        x = random_input(network, setting)

        def stepwise() -> None:
            with threads_of(setting), torch.inference_mode():
                rows.append(_timed_pass(network, tensors, x, setting))

        alone = setting.threads == 1 and setting.device == "cpu"
        kernels = repeat(stepwise, seconds=seconds, single_thread=alone, reference=reference)
        counted = kernels.counted_by_wall()
        taken = np.median(np.array(rows[-len(counted) :])[counted], axis=0)
        return tuple((1e3 * taken).tolist()), kernels.quiet_share


def _timed_pass(network: Network, weights: TensorWeights, x: Tensor, setting: Setting) -> tuple[float, ...]:
    """Seconds of each kernel in one inference."""
    values: dict[int, Tensor] = {}
    taken: list[float] = []
    for i, kernel in kernel_nodes(network, fusion="none"):
        node = network.nodes[i]
        inputs = [values[source] for source in node.inputs] or [x]
        own = weights.get(node.weights_path, {})
        before = time.perf_counter()
        values[i] = TORCH[type(node.op)](node.op, inputs, own, MODE)
        wait(setting)
        if kernel is not None:
            taken.append(time.perf_counter() - before)
    return tuple(taken)


def tensors_of(network: Network, weights: Weights | None, setting: Setting) -> TensorWeights:
    """`weights`, or random ones, on the setting's device and in its precision."""
    given = random_weights(network, np.random.default_rng(0)) if weights is None else weights
    return {
        path: {
            name: torch.as_tensor(value).to(setting.device, DTYPES[setting.precision])
            for name, value in tensors.items()
        }
        for path, tensors in given.items()
    }


def random_input(network: Network, setting: Setting) -> Tensor:
    """A batch of standard normal input [batch, channels, *spatial]."""
    return _random(network.input.shape, setting)


def _random(shape: Shape, setting: Setting) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((setting.batch, *shape), generator=generator).to(setting.device, DTYPES[setting.precision])


def prepare_module(
    module: nn.Module, input_shape: Shape, *, setting: Setting, compiled: bool = False
) -> Callable[[], None]:
    """Return a function that runs one inference of any module on random input of `input_shape` (channels, *spatial).

    The module is copied to the setting's device and precision; `compiled` by `torch.compile`, at the first call.
    """
    check_precision("torch", setting, PRECISIONS)
    own = copy.deepcopy(module).eval().to(setting.device, DTYPES[setting.precision])
    called = torch.compile(own, dynamic=False) if compiled else own
    x = _random(input_shape, setting)

    def run() -> None:
        with threads_of(setting), torch.inference_mode():
            called(x)
            wait(setting)

    return run


def wait(setting: Setting) -> None:
    """Return when the device has done what was asked of it."""
    if setting.device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def threads_of(setting: Setting) -> Iterator[None]:
    """Run with the setting's number of threads and put the caller's back."""
    before = torch.get_num_threads()
    if before == setting.threads:
        yield
        return
    torch.set_num_threads(setting.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
