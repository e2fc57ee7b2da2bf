"""Eager PyTorch: every operator is a kernel of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from nas.modules import TORCH, Mode, execute
from nas.runtimes.base import Profile, Setting, Weights
from nas.runtimes.onnx_graph import random_weights
from nas.runtimes.timing import Reference, repeat
from predictors.kernels import Fusion, kernel_nodes
from search_spaces.errors import NasError
from search_spaces.network import Network

KERNEL_SHARE = 0.5
MODE = Mode(zeros_applied=True)
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
        described = {"software": f"torch {torch.__version__}"}
        if setting.device == "cuda":
            described["device_name"] = torch.cuda.get_device_name()
        return described

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        """Return a function that runs one inference of `network` on random input."""
        tensors = _tensors(network, weights, setting)
        x = _input(network, setting)

        def run() -> None:
            with _threads(setting), torch.inference_mode():
                execute(network, tensors, x, mode=MODE)
                _wait(setting)

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
        rows: list[tuple[float, ...]] = []
        tensors = _tensors(network, None, setting)
        x = _input(network, setting)

        def stepwise() -> None:
            with _threads(setting), torch.inference_mode():
                rows.append(_timed_pass(network, tensors, x, setting))

        alone = setting.threads == 1 and setting.device == "cpu"
        kernels = repeat(stepwise, seconds=KERNEL_SHARE * seconds, single_thread=alone, reference=reference)
        latency = repeat(
            self.prepare(network, setting=setting),
            seconds=(1 - KERNEL_SHARE) * seconds,
            single_thread=alone,
            reference=reference,
        )
        counted = kernels.counted_by_wall()
        taken = np.median(np.array(rows[-len(counted) :])[counted], axis=0)
        return Profile(latency.summary(), tuple((1e3 * taken).tolist()), kernels.quiet_share)


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
        _wait(setting)
        if kernel is not None:
            taken.append(time.perf_counter() - before)
    return tuple(taken)


def _tensors(network: Network, weights: Weights | None, setting: Setting) -> TensorWeights:
    given = random_weights(network, np.random.default_rng(0)) if weights is None else weights
    return {
        path: {name: torch.as_tensor(value).to(setting.device) for name, value in tensors.items()}
        for path, tensors in given.items()
    }


def _input(network: Network, setting: Setting) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (setting.batch, *network.input.shape)
    return torch.randn(shape, generator=generator).to(setting.device)


def _wait(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _threads(setting: Setting) -> Iterator[None]:
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
