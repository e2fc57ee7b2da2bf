"""Speed from zeros: on runtimes whose answer is known, and on the one at hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from nas.runtimes.base import Setting, Weights, find_runtime
from nas.runtimes.report import sparsity_text, warnings
from nas.runtimes.sparsity import PATTERNS, measure_sparsity, median_interval
from predictors.target import Speedup, Target, load_target
from search_spaces.network import Network


class MadeUp:
    """A runtime whose kernels take the time that `cost` says of the share of zeros; its clock is its own."""

    def __init__(self, cost: Callable[[float], float]) -> None:
        self.cost, self.now = cost, 0.0

    def clock(self) -> float:
        return self.now

    def prepare(self, network: Network, weights: Weights | None = None, *, setting: Setting) -> Callable[[], None]:
        assert weights is not None
        (tensors,) = weights.values()
        seconds = self.cost(float((np.asarray(tensors["weight"]) == 0).mean()))

        def run() -> None:
            self.now += seconds

        return run


def speedups(cost: Callable[[float], float]) -> dict[str, Speedup]:
    engine: Any = MadeUp(cost)
    return measure_sparsity(engine, Setting(), seconds=0.1, clock=engine.clock)


def test_a_dense_runtime_gains_nothing() -> None:
    found = speedups(lambda zeros: 1e-4)
    assert list(found) == ["0.5", "0.75", "0.9", "2:4"]
    for one in found.values():
        assert (one.ratio, one.low, one.high) == pytest.approx((1.0, 1.0, 1.0))
        assert not one.gains
    assert "not seen to bring speed here, so predictions take sparse layers as dense: 50 % 1.00x" in sparsity_text(
        found
    )


def test_a_runtime_that_leaves_zeros_out_gains_by_their_share() -> None:
    found = speedups(lambda zeros: 1e-4 * (1 - zeros))
    expected = {"0.5": 2.0, "0.75": 4.0, "0.9": 10.0, "2:4": 2.0}
    assert {name: one.ratio for name, one in found.items()} == pytest.approx(expected, rel=0.01)
    assert all(one.gains for one in found.values())
    assert "50 % and 75 % and 90 % and pattern 2:4 bring speed here" in sparsity_text(found)


@pytest.mark.parametrize("count", [1, 5, 11, 40, 101])
def test_the_interval_of_a_median_covers_it(count: int) -> None:
    """Order statistics i and n + 1 - i cover the median with probability 1 - 2 P(Bin(n, 1/2) < i)."""
    values = np.arange(1.0, count + 1)
    middle, low, high = median_interval(np.random.default_rng(0).permutation(values))
    assert middle == np.median(values)
    assert (low, high) == (values[int(low) - 1], values[count - int(low)])
    covered = 1 - 2 * binom.cdf(low - 1, count, 0.5)
    tighter = 1 - 2 * binom.cdf(low, count, 0.5)
    assert tighter < 0.95
    assert covered >= 0.95 or low == 1


def test_onnxruntime_is_measured() -> None:
    found = measure_sparsity(find_runtime("onnxruntime"), Setting(), seconds=0.0)
    assert set(found) == set(map(str, PATTERNS))
    assert all(0 < one.low <= one.ratio <= one.high for one in found.values())


def test_a_target_keeps_and_tells_them() -> None:
    packaged = load_target("nvidia_p100")
    target = Target(
        "desk",
        "analytic",
        packaged.identity,
        {},
        peak_gmacs=1.0,
        bandwidth_gbs=1.0,
        sparsity_speedup={"0.5": Speedup(1.0, 0.99, 1.01), "2:4": Speedup(1.5, 1.4, 1.6)},
        remarks=("Energy was not measured: no meter.",),
    )
    assert Target.from_json(target.to_json()) == target
    told = warnings(target)
    assert told[0].startswith("Of zeros in weights, pattern 2:4 bring speed here")
    assert told[1] == "Energy was not measured: no meter."
