"""Energy meters on made-up counters: the hardware behind them need not be here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.runtimes.base import Setting
from nas.runtimes.energy import (
    NoMeter,
    NvmlMeter,
    RaplMeter,
    energy_per_run,
    find_energy_meter,
    find_nvml,
    find_rapl,
    idle_power_w,
)
from nas.runtimes.meter import Meter
from search_spaces import NasError, NetworkBuilder

RANGE_UJ = 262_143_328_850


def zone(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = RANGE_UJ) -> Path:
    """One folder of the power capping framework."""
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    spend(path, energy_uj)
    return path


def spend(path: Path, energy_uj: int) -> None:
    (path / "energy_uj").write_text(f"{energy_uj}\n")


class World:
    """Time and a device that draws `watts`; its counter shows what was spent up to the last tick."""

    def __init__(self, watts: float, tick_s: float = 0.01) -> None:
        self.now, self.watts, self.tick_s = 0.0, watts, tick_s
        self.source = "a made-up counter"

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def joules(self) -> float:
        return self.watts * self.tick_s * int(self.now / self.tick_s + 1e-9)

    def inference(self, seconds: float) -> Callable[[], None]:
        return lambda: self.sleep(seconds)


def test_packages_and_memory_are_added_up(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 500_000)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 10_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 2_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    meter = find_rapl(tmp_path)
    assert isinstance(meter, RaplMeter)
    assert meter.source == "RAPL package-0, dram, package-1"
    assert meter.joules() == 0
    for path, energy in ((first, 1_300_000), (memory, 40_000), (second, 2_070_000)):
        spend(path, energy)
    assert meter.joules() == pytest.approx(0.4)


def test_a_counter_that_wraps_around_goes_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900, range_uj=1000)
    meter = find_rapl(tmp_path)
    assert isinstance(meter, RaplMeter)
    for step in range(1, 21):
        spend(package, (900 + 70 * step) % 1000)
        assert meter.joules() == pytest.approx(70e-6 * step)


def test_without_counters_there_is_a_reason(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        found = find_energy_meter("cpu", powercap=root)
        assert isinstance(found, NoMeter)
        assert str(root) in found.reason
    (tmp_path / "intel-rapl:0").mkdir()
    assert isinstance(find_rapl(tmp_path), NoMeter)


def test_counters_of_the_administrator_alone_are_refused_with_the_remedy(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)

    def read(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return path.read_text()

    with pytest.raises(NasError, match=r"may be read by the administrator only.*sudo chmod a\+r .*energy_uj.*udev"):
        find_rapl(tmp_path, read=read)


@pytest.mark.parametrize("each_s", [1e-4, 3e-3, 0.02])
@pytest.mark.parametrize("idle_w", [0.0, 4.0])
def test_energy_is_power_times_time(each_s: float, idle_w: float) -> None:
    world = World(10.0)
    found = energy_per_run(world.inference(each_s), world, seconds=1.0, idle_w=idle_w, clock=world.clock)
    assert found.energy_mj == pytest.approx(1e3 * (10 - idle_w) * each_s, rel=0.01)
    assert found.inferences * each_s == pytest.approx(found.seconds)
    assert found.source == world.source


def test_a_slow_counter_is_waited_for() -> None:
    world = World(10.0, tick_s=0.1)
    found = energy_per_run(world.inference(1e-3), world, seconds=0.01, clock=world.clock)
    assert found.seconds > 1.9
    assert found.energy_mj == pytest.approx(10.0, rel=0.01)


def test_idle_power_is_measured() -> None:
    world = World(7.0)
    assert idle_power_w(world, seconds=2.0, clock=world.clock, sleep=world.sleep) == pytest.approx(7.0, rel=0.01)


def test_a_counter_that_stands_still_is_no_zero() -> None:
    world = World(0.0)
    with pytest.raises(NasError, match="a made-up counter: moved 0 times in"):
        energy_per_run(world.inference(1e-3), world, seconds=0.1, clock=world.clock)


def test_no_more_than_idle_is_no_zero() -> None:
    world = World(5.0)
    with pytest.raises(NasError, match="not above the idle power of 6 W"):
        energy_per_run(world.inference(1e-3), world, seconds=0.1, idle_w=6.0, clock=world.clock)


class Board:
    """Stands in for the module pynvml and one board that draws 100 W."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, counter: bool = True, there: bool = True) -> None:
        self.counter, self.there, self.now = counter, there, 0.0
        self.asked: list[str] = []

    def nvmlInit(self) -> None:
        if not self.there:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked.append(uuid)
        return uuid

    def nvmlDeviceGetName(self, board: Any) -> str:
        return "Board"

    def nvmlDeviceGetTotalEnergyConsumption(self, board: Any) -> int:
        if not self.counter:
            raise self.NVMLError("Not Supported")
        return int(100e3 * self.now)

    def nvmlDeviceGetPowerUsage(self, board: Any) -> int:
        return 100_000


def test_a_board_counts_energy() -> None:
    board = Board()
    meter = find_nvml(board, "GPU-1")
    assert isinstance(meter, NvmlMeter)
    assert (meter.source, board.asked) == ("NVML energy counter of Board", ["GPU-1"])
    before, board.now = meter.joules(), 2.0
    assert meter.joules() - before == pytest.approx(200.0)


def test_power_is_added_up_where_a_board_does_not_count() -> None:
    board = Board(counter=False)
    meter = NvmlMeter(board, 0, clock=lambda: board.now)
    assert meter.source == "NVML power over time of Board"
    for board.now in (0.5, 0.6, 2.0):
        spent = meter.joules()
    assert spent == pytest.approx(200.0)


def test_without_a_driver_there_is_a_reason() -> None:
    found = find_nvml(Board(there=False))
    assert isinstance(found, NoMeter)
    assert "Driver Not Loaded" in found.reason


def test_a_meter_adds_energy_to_profiles() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    network = net.finish(net.conv(net.input(3, 8, 8), 4))
    meter = Meter("onnxruntime", Setting())
    meter.energy_meter = NoMeter("no counter")
    assert meter.profile(network, seconds=0.01).energy_mj is None
    with pytest.raises(NasError, match="energy cannot be measured here: no counter"):
        meter.energy(network)
    meter.energy_meter = Calls()
    found = meter.profile(network, seconds=0.01).energy_mj
    assert found is not None
    assert found > 0


class Calls:
    """A counter that rises by a joule whenever it is read."""

    source, tick_s = "reads", 1e-3

    def __init__(self) -> None:
        self.reads = 0

    def joules(self) -> float:
        self.reads += 1
        return float(self.reads)
