"""Timing under a clock that the test turns."""

import numpy as np
import pytest

from nas.runtimes.timing import Reference, Repetitions, repeat


class World:
    """A machine whose actions take as long as told; `waiting` passes on the wall clock alone."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.busy = 0.0
        self.load = 1.0

    def work(self, seconds: float) -> None:
        self.wall += seconds * self.load
        self.busy += seconds * self.load

    def wait(self, seconds: float) -> None:
        self.wall += seconds


def test_a_quiet_machine_is_measured_exactly() -> None:
    world = World()
    found = repeat(
        lambda: world.work(0.002), seconds=0.1, clock=lambda: world.wall, busy_clock=lambda: world.busy
    ).summary()
    assert found.median_ms == pytest.approx(2.0)
    assert found.low_ms == pytest.approx(2.0)
    assert found.quiet_share == 1.0
    assert found.repeats == pytest.approx(50, abs=1)


def test_interrupted_repetitions_do_not_count() -> None:
    world, turns = World(), iter(range(10_000))

    def run() -> None:
        world.work(0.002)
        if next(turns) % 3:
            world.wait(0.004)

    found = repeat(run, seconds=0.3, clock=lambda: world.wall, busy_clock=lambda: world.busy).summary()
    assert found.median_ms == pytest.approx(2.0)
    assert found.quiet_share == pytest.approx(1 / 3, abs=0.05)


def test_a_slow_reference_tells_of_a_load_that_clocks_do_not_show() -> None:
    world, turns = World(), iter(range(10_000))

    def run() -> None:
        world.load = 1.0 if next(turns) // 20 % 2 else 1.6
        world.work(0.002)

    reference = Reference(lambda: world.work(0.0001), clock=lambda: world.wall)
    world.load = 1.0
    for _ in range(20):
        reference.seconds()
    found = repeat(
        run, seconds=0.4, reference=reference, clock=lambda: world.wall, busy_clock=lambda: world.busy
    ).summary()
    assert found.median_ms == pytest.approx(2.0)
    assert 0.2 < found.quiet_share < 0.8
    assert reference.calm_s == pytest.approx(0.0001)


def test_caches_that_the_work_left_cold_are_no_load() -> None:
    world, cold = World(), [False]

    def run() -> None:
        world.work(0.002)
        cold[0] = True

    def short() -> None:
        world.work(0.00015 if cold[0] else 0.0001)
        cold[0] = False

    reference = Reference(short, clock=lambda: world.wall, known_s=0.0001)
    found = repeat(
        run, seconds=0.4, reference=reference, clock=lambda: world.wall, busy_clock=lambda: world.busy
    ).summary()
    assert found.quiet_share == 1.0
    assert found.reference_ms == pytest.approx(0.1)


def test_a_machine_that_is_never_quiet_is_measured_by_processor_time_and_says_so() -> None:
    world = World()

    def run() -> None:
        world.work(0.002)
        world.wait(0.01)

    found = repeat(run, seconds=0.1, clock=lambda: world.wall, busy_clock=lambda: world.busy).summary()
    assert found.median_ms == pytest.approx(2.0)
    assert found.quiet_share == 0.0


def test_waiting_for_quiet_ends() -> None:
    world = World()

    def run() -> None:
        world.work(0.001)
        world.wait(0.01)

    repeat(run, seconds=0.1, clock=lambda: world.wall, busy_clock=lambda: world.busy)
    assert world.wall < 0.5


def test_several_threads_go_by_the_wall_clock() -> None:
    world = World()
    found = repeat(
        lambda: world.wait(0.003),
        seconds=0.1,
        single_thread=False,
        clock=lambda: world.wall,
        busy_clock=lambda: world.busy,
    ).summary()
    assert found.median_ms == pytest.approx(3.0)
    assert found.quiet_share == 1.0


def test_the_slow_tail_is_cut_and_the_median_stays() -> None:
    wall = tuple(np.r_[np.full(80, 1e-3), np.full(20, 2e-3)])
    found = Repetitions(wall, (True,) * 100).summary()
    assert found.median_ms == pytest.approx(1.0)
    assert found.high_ms == pytest.approx(1.0)
