"""Several networks measured on a machine that is not always quiet."""

import logging

import pytest

from nas.runtimes.base import Setting
from nas.runtimes.meter import Meter, reference_network
from nas.runtimes.timing import Measurement
from search_spaces import Network

CALM_MS = 0.05


def found(median_ms: float, quiet_share: float, reference_ms: float = CALM_MS) -> Measurement:
    return Measurement(median_ms, median_ms, median_ms, 100, quiet_share, reference_ms)


class Scripted(Meter):
    """Measurements as they are in a list."""

    def __init__(self, script: list[Measurement]) -> None:
        super().__init__("onnxruntime", Setting())
        self.reference.sorted_s = [1e-3 * CALM_MS]
        self._script = iter(script)

    def latency(self, network: Network, weights: object = None, *, seconds: float = 0.3) -> Measurement:
        return next(self._script)


class Counter:
    done = 0.0

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        self.done += amount


def test_disturbed_networks_are_measured_again_and_the_best_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    first = [found(1.0, 1.0), found(3.0, 0.0), found(5.0, 0.5, 2 * CALM_MS)]
    meter = Scripted([*first, found(2.0, 0.9), found(4.9, 0.0), found(4.5, 0.05)])
    step = Counter()
    with caplog.at_level(logging.WARNING):
        taken = meter.latencies(3 * [reference_network()], rounds=3, step=step)
    assert [one.median_ms for one in taken] == [1.0, 2.0, 4.5]
    assert step.done == 3
    assert "1 of 3 networks were disturbed whenever they were measured" in caplog.text


def test_a_quiet_machine_is_measured_once_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        taken = Scripted([found(1.0, 1.0), found(2.0, 0.5)]).latencies(2 * [reference_network()])
    assert [one.median_ms for one in taken] == [1.0, 2.0]
    assert not caplog.text


def test_what_quiet_means_here_can_be_known_from_before() -> None:
    known = Meter("onnxruntime", Setting(), calm_ms=1e-6)
    known.reference.seconds()
    assert known.reference.calm_s == pytest.approx(1e-9)
    assert known.doubt(found(1.0, 1.0)) > 0
    later = Meter("onnxruntime", Setting(), calm_ms=1e6)
    assert later.reference.seconds() == later.reference.calm_s
