"""A meter: one runtime in one setting, with a reference kernel that tells quiet moments from busy ones."""

import time

from nas.runtimes.base import Profile, Setting, Weights, find_runtime
from nas.runtimes.machine import machine_fingerprint, processor_name
from nas.runtimes.timing import Measurement, Reference, repeat
from predictors.target import Identity, Target
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import Architecture, SearchSpace

PRECISIONS = ("fp32",)


class Meter:
    """Measures networks on this machine. Raises NasError for an unknown runtime or an impossible setting."""

    def __init__(self, runtime: str, setting: Setting) -> None:
        if setting.precision not in PRECISIONS:
            raise NasError(
                f"precision {setting.precision!r} cannot be measured here; take one of {', '.join(PRECISIONS)}"
            )
        self.engine = find_runtime(runtime)
        self.setting = setting
        described = self.engine.describe(setting)
        self.identity = Identity(
            runtime=self.engine.name,
            software=described["software"],
            device=setting.device,
            device_name=described.get("device_name", processor_name()),
            threads=setting.threads,
            batch=setting.batch,
            precision=setting.precision,
            fusion=self.engine.fusion,
        )
        self.single_thread = setting.threads == 1 and setting.device == "cpu"
        self.reference = Reference(
            self.engine.prepare(reference_network(), setting=setting),
            clock=time.thread_time if self.single_thread else time.perf_counter,
        )

    def latency(self, network: Network, weights: Weights | None = None, *, seconds: float = 0.3) -> Measurement:
        """Latency of one inference; random weights unless `weights` are given."""
        return repeat(
            self.engine.prepare(network, weights, setting=self.setting),
            seconds=seconds,
            single_thread=self.single_thread,
            reference=self.reference,
        ).summary()

    def profile(self, network: Network, *, seconds: float = 0.3) -> Profile:
        """Latency and the time of each kernel."""
        return self.engine.profile(network, setting=self.setting, seconds=seconds, reference=self.reference)


def meter_for(target: Target) -> Meter:
    """The meter that measures as `target` was measured; `NasError` when this is another machine."""
    here = machine_fingerprint()
    changed = [f"{key} {target.machine.get(key)!r} there, {here[key]!r} here" for key in here]
    changed = [text for key, text in zip(here, changed, strict=True) if target.machine.get(key) != here[key]]
    if changed:
        raise NasError(f"target {target.name!r} describes another machine ({'; '.join(changed)}): measure there")
    identity = target.identity
    setting = Setting(identity.threads, identity.batch, identity.device, identity.precision)
    return Meter(identity.runtime, setting)


def reference_network() -> Network:
    """A grouped convolution that takes some fifty microseconds on a current core."""

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        return net.conv(net.input(32, 16, 16), 32, kernel=3, group_size=8)

    return SearchSpace(space).build(Architecture(()))
