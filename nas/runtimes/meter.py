"""A meter: one runtime in one setting, with a reference kernel that tells quiet moments from busy ones."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from nas.console import Step
from nas.runtimes.base import CannotRun, Profile, Setting, Weights, find_runtime
from nas.runtimes.energy import Energy, EnergyMeter, NoMeter, energy_per_run, find_energy_meter
from nas.runtimes.machine import differences, processor_name
from nas.runtimes.timing import Measurement, Reference, disturbance, repeat
from predictors.target import Identity, Target
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import NasError
from search_spaces.merging import merged
from search_spaces.network import Network
from search_spaces.space import Architecture, SearchSpace

LOGGER = logging.getLogger("nas")
ROUNDS = 3


class Meter:
    """Measures networks on this machine. Raises NasError for an unknown runtime or an impossible setting.

    `calm_ms` is what the reference kernel took when the machine was quiet, if that is known.
    """

    def __init__(self, runtime: str, setting: Setting, *, calm_ms: float | None = None) -> None:
        self.engine = find_runtime(runtime, precision=setting.precision)
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
            known_s=None if calm_ms is None else 1e-3 * calm_ms,
        )
        self.energy_meter = _energy_meter(setting.device)

    def latency(self, network: Network, weights: Weights | None = None, *, seconds: float = 0.3) -> Measurement:
        """Latency of one inference; random weights, in the form that is used, unless `weights` are given."""
        network = merged(network).network if weights is None else network
        return self.timed(self.engine.prepare(network, weights, setting=self.setting), seconds=seconds)

    def timed(self, run: Callable[[], None], *, seconds: float = 0.3) -> Measurement:
        """Latency of `run()`, one inference in this meter's setting, of whatever made it."""
        return repeat(run, seconds=seconds, single_thread=self.single_thread, reference=self.reference).summary()

    def latencies(
        self, networks: Sequence[Network], *, seconds: float = 0.3, rounds: int = ROUNDS, step: Step | None = None
    ) -> tuple[Measurement, ...]:
        """Latency of each network; disturbed ones are measured again in further rounds, and the best is taken.

        `step` advances by one a network.
        """
        best: dict[int, Measurement] = {}
        for turn in range(rounds):
            for i, network in enumerate(networks):
                if i in best and self.doubt(best[i]) == 0:
                    continue
                found = self.latency(network, seconds=seconds)
                if step is not None:
                    note = f"disturbed ones again, {turn} of {rounds - 1}" if turn else ""
                    step.advance(float(i not in best), note=note)
                best[i] = min(found, best.get(i, found), key=lambda one: (self.doubt(one), one.median_ms))
        doubted = sum(self.doubt(found) > 0 for found in best.values())
        if doubted:
            LOGGER.warning(
                "%d of %d networks were disturbed whenever they were measured (the machine ran %.0f %% slower than in "
                "its quiet moments): their times are rather too long; stop other programs and measure again",
                doubted,
                len(networks),
                100 * (self.reference.slowdown - 1),
            )
        return tuple(best[i] for i in range(len(networks)))

    def doubt(self, found: Measurement) -> float:
        """How far a measurement is to be doubted; 0 for one to believe."""
        return disturbance(found.quiet_share, found.reference_ms, 1e3 * self.reference.calm_s)

    def energy(
        self, network: Network, weights: Weights | None = None, *, seconds: float = 1.0, idle_w: float = 0.0
    ) -> Energy:
        """Energy of one inference less that of a device idling at `idle_w`; `NasError` where nothing meters it."""
        if isinstance(self.energy_meter, NoMeter):
            raise NasError(f"energy cannot be measured here: {self.energy_meter.reason}")
        run = self.engine.prepare(network, weights, setting=self.setting)
        return energy_per_run(run, self.energy_meter, seconds=seconds, idle_w=idle_w)

    def profile(self, network: Network, *, seconds: float = 0.3) -> Profile:
        """Latency, the time of each kernel, and energy where it is metered.

        Raises CannotRun where the runtime fails on this network. A meter that fails is not asked again.
        """
        try:
            found = self.engine.profile(network, setting=self.setting, seconds=seconds, reference=self.reference)
        except Exception as error:  # the libraries' errors have no class in common
            kind = "" if isinstance(error, NasError) else f"{type(error).__name__}: "
            raise CannotRun(kind + str(error).strip().partition("\n")[0]) from error
        if isinstance(self.energy_meter, NoMeter):
            return found
        try:
            return replace(found, energy_mj=self.energy(network, seconds=seconds).energy_mj)
        except NasError as error:
            self.energy_meter = NoMeter(str(error))
            return found


def meter_for(target: Target) -> Meter:
    """The meter that measures as `target` was measured; `NasError` when this is another machine."""
    if changed := differences(target.machine):
        raise NasError(f"target {target.name!r} describes another machine ({changed}): measure there")
    identity = target.identity
    setting = Setting(identity.threads, identity.batch, identity.device, identity.precision)
    return Meter(identity.runtime, setting, calm_ms=target.calm_ms)


def _energy_meter(device: str) -> EnergyMeter | NoMeter:
    """The meter of the device; one that may not be read is as good as none, with the remedy as the reason."""
    try:
        return find_energy_meter(device)
    except NasError as error:
        return NoMeter(str(error))


def reference_network() -> Network:
    """A grouped convolution that takes some fifty microseconds on a current core."""

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        return net.conv(net.input(32, 16, 16), 32, kernel=3, group_size=8)

    return SearchSpace(space).build(Architecture(()))
