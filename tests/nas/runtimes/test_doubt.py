"""Which measurements are believed."""

import pytest

from nas.runtimes.base import Profile
from nas.runtimes.doubt import Usual
from nas.runtimes.timing import Measurement


def measured(whole: float = 1.0, parts: float = 1.0, *, quiet: float = 1.0, reference: float | None = 0.05) -> Profile:
    return Profile(Measurement(whole, whole, whole, 20, quiet, reference), (parts / 2, parts / 2), quiet)


ORDINARY = [measured(1.0 + 0.1 * i, 1.05 + 0.1 * i) for i in range(12)]


def test_ordinary_measurements_are_believed() -> None:
    usual = Usual.of(ORDINARY)
    assert [usual.doubt(one) for one in ORDINARY] == [0.0] * 12


@pytest.mark.parametrize(
    "odd",
    [
        measured(1.0, 1.5),
        measured(1.5, 1.0),
        measured(quiet=0.0),
        measured(reference=0.06),
    ],
)
def test_odd_ones_are_doubted(odd: Profile) -> None:
    assert Usual.of(ORDINARY).doubt(odd) > 0


def test_more_disturbance_is_more_doubt() -> None:
    usual = Usual.of(ORDINARY)
    assert usual.doubt(measured(1.0, 2.0)) > usual.doubt(measured(1.0, 1.5))
    assert usual.doubt(measured(reference=0.1)) > usual.doubt(measured(reference=0.06))


def test_the_first_measurements_are_judged_by_their_quiet_alone() -> None:
    usual = Usual.of(ORDINARY[:5])
    assert usual.doubt(measured(1.0, 3.0, reference=None)) == 0
    assert usual.doubt(measured(quiet=0.05)) == pytest.approx(0.05)
