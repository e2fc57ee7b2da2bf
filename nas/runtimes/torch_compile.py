"""PyTorch's compiler: operators fused into generated code. Kernels are timed one by one without it."""

import os
import shutil
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

from nas.modules import execute
from nas.runtimes.base import Profile, Setting, Weights
from nas.runtimes.timing import Reference, repeat
from nas.runtimes.torch_eager import MODE, TorchEager, random_input, tensors_of, threads_of, wait
from predictors.kernels import Fusion
from search_spaces.errors import NasError
from search_spaces.network import Network

COMPILERS = ("g++", "clang++", "c++")
KERNEL_SHARE = 0.5
KEPT = 8


class TorchCompile:
    """`torch.compile` with its defaults and fixed shapes.

    What it makes of a network are generated kernels that no operator owns. The kernel times of a profile are
    therefore those of eager PyTorch; from the latencies of whole compiled networks, a latency model learns what
    compiling leaves of each class of them.
    """

    name = "torch_compile"
    fusion: Fusion = "none"

    def __init__(self) -> None:
        self._eager = TorchEager()
        self._compiled: dict[tuple[str, Setting], Callable[..., Any]] = {}

    def describe(self, setting: Setting) -> dict[str, str]:
        """Version of PyTorch; `NasError` when it has no such device or there is no C++ compiler."""
        described = self._eager.describe(setting)
        named = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ((named,) if named else COMPILERS)):
            raise NasError(
                f"torch.compile needs a C++ compiler and finds none (looked for {named or ', '.join(COMPILERS)}): "
                "install one, name it in the variable CXX, or take runtime 'torch'"
            )
        return {**described, "software": f"{self.name} {torch.__version__}"}

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        """Return a function that runs one inference of `network` on random input; its first call compiles."""
        compiled = self.function(network, setting)
        tensors, x = tensors_of(network, weights, setting), random_input(network, setting)

        def run() -> None:
            with threads_of(setting), torch.inference_mode():
                compiled(tensors, x)
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
        """Measure operator by operator without the compiler, then the whole compiled network."""
        kernel_ms, quiet_share = self._eager.kernel_times(
            network, setting=setting, seconds=KERNEL_SHARE * seconds, reference=reference
        )
        latency = repeat(
            self.prepare(network, setting=setting),
            seconds=(1 - KERNEL_SHARE) * seconds,
            single_thread=setting.threads == 1 and setting.device == "cpu",
            reference=reference,
        )
        return Profile(latency.summary(), kernel_ms, quiet_share)

    def function(self, network: Network, setting: Setting) -> Callable[..., Any]:
        """(weights, input) to outputs, compiled; one of the last few networks is not compiled again."""
        key = (network.id, setting)
        if key not in self._compiled:
            while len(self._compiled) >= KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = torch.compile(_own_code(network), dynamic=False, fullgraph=True)
        return self._compiled[key]


def _own_code(network: Network) -> Callable[..., Any]:
    """A function that executes `network`, with a code object of its own.

    The compiler counts what it compiled per code object, and after a few networks would go on uncompiled.
    """

    def forward(weights: Any, x: Any) -> Any:
        return execute(network, weights, x, mode=MODE)

    return FunctionType(forward.__code__.replace(), forward.__globals__, closure=forward.__closure__)
