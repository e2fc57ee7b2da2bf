"""Energy, measured: the counters of NVIDIA boards and of Intel and AMD processors, and joules per inference.

A meter is a counter of joules that only rises. Counters move in steps ("ticks", a millisecond to a tenth of a
second), so a loop is measured from one tick to a later one, with as many inferences as ran in between.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from search_spaces.errors import NasError

POWERCAP = Path("/sys/class/powercap")
RAPL_ZONES = "intel-rapl:*"
MICROJOULES, MILLI = 1e-6, 1e-3
READS_PER_TICK = 10
SHORTEST_PAUSE_S = 2e-3
PAUSE_IN_READS = 20
FEWEST_TICKS = 20
LONGEST_WAIT = 50
IDLE_PAUSE_S = 0.05
Clock = Callable[[], float]


class EnergyMeter(Protocol):
    """A counter of joules. `source` says what is counted, `tick_s` how often the counter moves."""

    source: str
    tick_s: float

    def joules(self) -> float:
        """Joules spent since some moment; only differences mean something."""


@dataclass(frozen=True, slots=True)
class NoMeter:
    """There is nothing here that meters energy; `reason` says what was looked for."""

    reason: str


@dataclass(frozen=True, slots=True)
class Energy:
    """Measured energy of one inference in millijoules, over `inferences` that took `seconds` in all.

    `idle_w` is the power that was subtracted; 0.0: the figure is all that the device drew.
    """

    energy_mj: float
    inferences: int
    seconds: float
    idle_w: float
    source: str


def find_energy_meter(device: str, *, powercap: Path = POWERCAP) -> EnergyMeter | NoMeter:
    """The meter of "cpu" or "cuda", or why there is none. `NasError` where there is one that may not be read."""
    return _find_nvml() if device == "cuda" else find_rapl(powercap)


@dataclass
class RaplMeter:
    """Running average power limit (RAPL): counters of processor packages and memory, which wrap around.

    `zones` are folders of the power capping framework with `energy_uj` and `max_energy_range_uj`. Read it more often
    than a counter takes to wrap around (minutes at full power). Everything that the processor does is counted,
    other programs too.
    """

    zones: Sequence[Path]
    read: Callable[[Path], str] = Path.read_text
    tick_s: float = 1e-3
    source: str = field(init=False)

    def __post_init__(self) -> None:
        names = [self.read(zone / "name").strip() for zone in self.zones]
        self.source = f"RAPL {', '.join(names)}"
        self._ranges = [int(self.read(zone / "max_energy_range_uj")) for zone in self.zones]
        self._last = [self._raw(zone) for zone in self.zones]
        self._spent = 0

    def joules(self) -> float:
        """Joules since the meter was made."""
        for i, zone in enumerate(self.zones):
            now = self._raw(zone)
            risen = now - self._last[i]
            self._spent += risen if risen >= 0 else risen + self._ranges[i]
            self._last[i] = now
        return self._spent * MICROJOULES

    def _raw(self, zone: Path) -> int:
        path = zone / "energy_uj"
        try:
            return int(self.read(path))
        except PermissionError as error:
            raise NasError(
                f"{path} may be read by the administrator only, so the energy of this processor cannot be measured. "
                f"Until the next start of the machine: sudo chmod a+r {zone.parent}/{RAPL_ZONES}/energy_uj; "
                'for good, a udev rule: SUBSYSTEM=="powercap", ACTION=="add", '
                'RUN+="/bin/chmod a+r /sys%p/energy_uj"'
            ) from error


def find_rapl(powercap: Path = POWERCAP, *, read: Callable[[Path], str] = Path.read_text) -> RaplMeter | NoMeter:
    """The counters of all processor packages, with that of memory where it is counted apart from them."""
    zones = []
    for zone in sorted(powercap.glob(RAPL_ZONES)):
        if (zone / "energy_uj").exists():
            name = read(zone / "name").strip()
            if name.startswith("package") or name == "dram":
                zones.append(zone)
    if not zones:
        return NoMeter(f"{powercap} has no {RAPL_ZONES} with a package's energy_uj (virtual machines usually lack it)")
    return RaplMeter(tuple(zones), read)


@dataclass
class NvmlMeter:
    """Energy of an NVIDIA board through the library `nvml` (pynvml): its counter where it has one.

    Boards before Volta have no counter; there the power drawn is read and added up over time, so it must be read
    every tick.
    """

    nvml: Any
    board: Any
    clock: Clock = time.monotonic
    tick_s: float = 0.1
    source: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.board)
            self.counts = True
        except self.nvml.NVMLError:
            self.counts = False
        self._spent = 0.0
        self._last = (self.clock(), 0.0 if self.counts else self._power_w())
        name = self.nvml.nvmlDeviceGetName(self.board)
        self.source = f"NVML {'energy counter' if self.counts else 'power over time'} of {name}"

    def joules(self) -> float:
        """Joules since some moment."""
        if self.counts:
            return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.board)) * MILLI
        now, power = self.clock(), self._power_w()
        before, power_before = self._last
        self._spent += (now - before) * (power + power_before) / 2
        self._last = (now, power)
        return self._spent

    def _power_w(self) -> float:
        return float(self.nvml.nvmlDeviceGetPowerUsage(self.board)) * MILLI


def find_nvml(nvml: Any, board_uuid: str | None = None) -> NvmlMeter | NoMeter:
    """The meter of the board with that UUID, or of the first one; `nvml` is the module pynvml."""
    try:
        nvml.nvmlInit()
        board = nvml.nvmlDeviceGetHandleByUUID(board_uuid) if board_uuid else nvml.nvmlDeviceGetHandleByIndex(0)
        return NvmlMeter(nvml, board)
    except nvml.NVMLError as error:
        return NoMeter(f"NVML does not tell the energy of this board: {error}")


def _find_nvml() -> NvmlMeter | NoMeter:
    try:
        import pynvml
    except ImportError:
        return NoMeter("the package nvidia-ml-py is not installed (pip install 'nas-explorer[energy]')")
    import torch

    uuid = None
    if torch.cuda.is_available():
        found = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
        uuid = None if found is None else f"GPU-{found}"
    return find_nvml(pynvml, uuid)


@dataclass(frozen=True, slots=True)
class _Tick:
    seconds: float
    joules: float
    runs: int


def energy_per_run(
    run: Callable[[], None],
    meter: EnergyMeter,
    *,
    seconds: float = 1.0,
    idle_w: float = 0.0,
    clock: Clock = time.perf_counter,
) -> Energy:
    """Energy of one `run()`: called for at least `seconds` and twenty ticks of the meter, after a warm-up of one tick.

    (energy between the first and the last tick - `idle_w` x the time between them) / calls between them. `NasError`
    where the counter stands still, or where no more than the idle power was drawn: never a silent zero.
    """
    per_read = _runs_per_read(run, meter, clock)
    ticks: list[_Tick] = []
    runs, start, last = 0, clock(), meter.joules()
    while True:
        for _ in range(per_read):
            run()
        runs += per_read
        now, joules = clock(), meter.joules()
        if joules != last:
            ticks.append(_Tick(now, joules, runs))
            last = joules
        if now - start >= seconds and len(ticks) > FEWEST_TICKS:
            break
        if now - start > LONGEST_WAIT * max(seconds, FEWEST_TICKS * meter.tick_s):
            raise NasError(
                f"{meter.source}: moved {len(ticks)} times in {now - start:.0f} s, so it meters nothing useful here"
            )
    first, end = ticks[0], ticks[-1]
    passed, count = end.seconds - first.seconds, end.runs - first.runs
    spent = end.joules - first.joules - idle_w * passed
    if spent <= 0:
        raise NasError(
            f"{meter.source}: {count} inferences drew {end.joules - first.joules:.3g} J in {passed:.3g} s, not above "
            f"the idle power of {idle_w:.3g} W: measure the idle power again when nothing else runs"
        )
    return Energy(spent / count / MILLI, count, passed, idle_w, meter.source)


def _runs_per_read(run: Callable[[], None], meter: EnergyMeter, clock: Clock) -> int:
    """Calls between two looks at the meter: several looks a tick, unless looking takes long; warms up for one tick."""
    runs, start = 0, clock()
    while runs == 0 or clock() - start < meter.tick_s:
        run()
        runs += 1
    each = (clock() - start) / runs
    start = clock()
    meter.joules()
    pause = max(meter.tick_s / READS_PER_TICK, SHORTEST_PAUSE_S, PAUSE_IN_READS * (clock() - start))
    return max(1, int(pause / each)) if each > 0 else 1


def idle_power_w(
    meter: EnergyMeter,
    *,
    seconds: float = 2.0,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Watts that the device draws while nothing is asked of it."""
    before, start = meter.joules(), clock()
    while clock() - start < seconds:
        sleep(max(meter.tick_s, IDLE_PAUSE_S))
        meter.joules()
    return (meter.joules() - before) / (clock() - start)
