"""Sampling rules: over which costs subnets spread, and how losses move them."""

import json

import numpy as np
import pytest

from nas.supernet.sampling.attention import ENOUGH, Attention
from nas.supernet.sampling.choices import UniformChoices
from nas.supernet.sampling.cost import UniformCost, aimed
from nas.supernet.sampling.shift import MOST_RATIO, ShiftToUntrained
from nas.supernet.subnets import Coded, Floats
from predictors.counts import count_network
from predictors.tables import CostTables, compile_for_costs
from search_spaces.catalog import mobile
from tests.nas.supernet.worlds import coded_subnets

BINS = 5


@pytest.fixture(scope="module")
def coded() -> Coded:
    """A space with many steps of cost, as real ones have."""
    of = mobile(
        (3, 32, 32),
        10,
        resolutions=(24, 28, 32),
        widths=((16, 24, 32), (32, 48, 64)),
        depths=((1, 2), (1, 2)),
        strides=(2, 2),
        kernels=(3, 5),
        expands=(2, 3, 4),
        group_sizes=(1,),
        dilations=(1,),
        sparsities=(0.0,),
    )
    tables = CostTables(compile_for_costs(of), check=0)
    return Coded.of(tables, largest=tables.extreme(largest=True))


def shares(coded: Coded, macs: list[float]) -> Floats:
    counts, _ = np.histogram(macs, bins=BINS, range=coded.ends)
    return counts / len(macs)


def macs_of(coded: Coded, rows: list[np.ndarray]) -> list[float]:
    return list(coded.macs(np.stack(rows)))


def test_macs_are_those_of_the_built_network(coded: Coded) -> None:
    rows = coded.compiled.sample(np.random.default_rng(0), 5)
    built = [count_network(coded.subnet(row).network).total["macs"] for row in rows]
    assert coded.macs(rows).tolist() == built
    low, high = coded.ends
    assert low <= min(built)
    assert max(built) <= high


def test_uniform_over_choices_starves_the_largest_fifth(coded: Coded) -> None:
    rows = coded.compiled.sample(np.random.default_rng(0), 2000)
    found = shares(coded, list(coded.macs(rows)))
    assert found[-1] < 0.02
    assert found.max() > 0.3


def test_the_walk_hits_the_macs_asked_for(coded: Coded) -> None:
    rng = np.random.default_rng(1)
    wanted = rng.uniform(*coded.ends, 200)
    rows = [aimed(coded, rng, macs) for macs in wanted]
    off = np.abs(np.asarray(macs_of(coded, rows)) / wanted - 1)
    assert off.max() < 0.05
    assert np.median(off) < 0.01
    assert len({tuple(row) for row in rows}) > 180


def test_uniform_over_cost_fills_every_bin(coded: Coded) -> None:
    rng = np.random.default_rng(2)
    sampler = UniformCost(coded)
    rows = [sampler.draw(rng).row for _ in range(300)]
    found = shares(coded, macs_of(coded, [row for row in rows if row is not None]))
    assert found.min() > 0.13
    assert found.max() < 0.27


def bin_losses(sampler: ShiftToUntrained, losses: dict[int, list[float]]) -> None:
    rng = np.random.default_rng(0)
    low, high = sampler.coded.ends
    for position in range(max(map(len, losses.values()))):
        for here, values in losses.items():
            row = aimed(sampler.coded, rng, low + (high - low) * (here + 0.5) / BINS)
            sampler.heard(sampler.coded.subnet(row), values[position])


def test_shift_goes_where_losses_still_fall(coded: Coded) -> None:
    sampler = ShiftToUntrained(coded, bins=BINS)
    assert sampler.probabilities == pytest.approx(np.full(BINS, 0.2))
    falling = list(np.linspace(2, 0, 20))
    bin_losses(sampler, {here: falling if here == 2 else [0.5] * 20 for here in range(BINS)})
    found = sampler.probabilities
    assert found.argmax() == 2
    assert found.sum() == pytest.approx(1)
    assert found.max() / found.min() <= MOST_RATIO + 1e-9
    rows = [sampler.draw(np.random.default_rng(seed)).row for seed in range(400)]
    drawn = shares(coded, macs_of(coded, [row for row in rows if row is not None]))
    assert drawn == pytest.approx(found, abs=0.08)
    assert drawn.max() / drawn.min() <= 4


def test_no_bin_is_drawn_more_than_three_times_as_often_as_another(coded: Coded) -> None:
    sampler = ShiftToUntrained(coded, bins=BINS)
    bin_losses(sampler, {0: list(np.linspace(9, 0, 20)), 4: list(np.linspace(0, 9, 20))})
    found = sampler.probabilities
    assert found[0] / found[4] == pytest.approx(MOST_RATIO)


def test_attention_takes_the_best_or_the_worst_of_one_cost(coded: Coded) -> None:
    """Losses depend on one kernel alone, which hardly changes the MACs."""
    slot = [slot.name for slot in coded.compiled.slots].index("stage1.block0.kernel")
    heard = coded.compiled.sample(np.random.default_rng(3), 100)
    means = []
    for best in (True, False):
        sampler, again = Attention(coded, best=best), Attention(coded, best=best)
        for row in heard:
            sampler.heard(coded.subnet(row), float(row[slot]))
        again.restore(json.loads(json.dumps(sampler.state())))
        rows, costs = [], []
        for seed in range(40):
            drawn, same = (each.draw(np.random.default_rng(seed)).row for each in (sampler, again))
            assert drawn is not None
            assert same is not None
            assert np.array_equal(drawn, same)
            rows.append(float(drawn[slot]))
            costs.append(float(coded.macs(drawn[None])[0]))
        means.append(np.mean(rows))
        assert shares(coded, costs).min() > 0.05
    assert means[1] - means[0] > 0.3


def test_attention_waits_until_it_has_heard_enough(coded: Coded) -> None:
    sampler = Attention(coded, best=True)
    row = coded.compiled.sample(np.random.default_rng(0), 1)[0]
    for _ in range(ENOUGH - 1):
        sampler.heard(coded.subnet(row), 1.0)
    first = sampler.draw(np.random.default_rng(7)).row
    rng = np.random.default_rng(7)
    assert np.array_equal(first, aimed(coded, rng, float(rng.uniform(*coded.ends))))


def test_without_a_compiled_space_choices_are_still_drawn() -> None:
    subnets = coded_subnets()
    drawn = UniformChoices(subnets).draw(np.random.default_rng(0))
    assert drawn.network.id == subnets.draw(np.random.default_rng(0)).id
