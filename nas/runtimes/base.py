"""What a runtime is: something that executes a network on a device, timed whole and kernel by kernel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nas.runtimes.timing import Measurement, Reference
from predictors.kernels import Fusion
from search_spaces.errors import NasError, unknown_name
from search_spaces.network import Network

Weights = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Setting:
    """How networks are run; part of a target's identity.

    `threads` of one inference, `batch` images per inference, `device` "cpu" or "cuda", `precision` "fp32", "int8",
    "fp16" or "bf16" (which of them depends on runtime and device).
    """

    threads: int = 1
    batch: int = 1
    device: str = "cpu"
    precision: str = "fp32"


@dataclass(frozen=True, slots=True)
class Profile:
    """One network measured: its latency whole, and the milliseconds of each of its kernels in execution order.

    A kernel that the runtime merged into another one has 0 ms; the kernels' sum leaves out what the runtime spends
    between them. `kernels_quiet_share` is the share of undisturbed repetitions behind the kernel times. `energy_mj`
    are the millijoules of one inference, all that the device drew; `None` where nothing meters them.
    """

    latency: Measurement
    kernel_ms: tuple[float, ...]
    kernels_quiet_share: float
    energy_mj: float | None = None


class CannotRun(NasError):
    """A runtime failed on one network; others may run."""


class Runtime(Protocol):
    """Executes networks; `fusion` says what `predictors.kernels.kernels` must be asked for."""

    name: str
    fusion: Fusion

    def describe(self, setting: Setting) -> dict[str, str]:
        """Name and version of the software and of the device; `NasError` where the setting is impossible."""

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        """Return a function that runs one inference of `network` on random input and waits for its end."""

    def profile(
        self,
        network: Network,
        *,
        setting: Setting,
        seconds: float,
        reference: Reference | None = None,
    ) -> Profile:
        """Measure `network` with random weights for about `seconds`, minding the quiet that `reference` tells of."""


def known_runtimes() -> tuple[str, ...]:
    """Names that `find_runtime` knows."""
    return ("onnxruntime", "torch", "torch_compile")


def find_runtime(name: str, *, precision: str = "fp32") -> Runtime:
    """The runtime called `name` for networks in `precision`; loads its library.

    `NasError` with near matches when there is none of that name.
    """
    if name == "onnxruntime":
        from nas.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(precision)
    if name == "torch":
        from nas.runtimes.torch_eager import TorchEager

        return TorchEager()
    if name == "torch_compile":
        from nas.runtimes.torch_compile import TorchCompile

        return TorchCompile()
    raise unknown_name("runtime", name, known_runtimes())


def check_precision(runtime: str, setting: Setting, legal: Mapping[str, tuple[str, ...]]) -> None:
    """Raise `NasError` unless `legal`, {device: precisions}, offers the setting's precision on its device."""
    offered = legal[setting.device]
    if setting.precision in offered:
        return
    elsewhere = [device for device, precisions in legal.items() if setting.precision in precisions]
    hint = f"; {runtime} runs it on device {' or '.join(map(repr, elsewhere))}" if elsewhere else ""
    raise NasError(
        f"precision {setting.precision!r} cannot be measured here; take one of {', '.join(offered)} "
        f"with {runtime} on device {setting.device!r}{hint}"
    )
