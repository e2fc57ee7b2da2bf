"""The draw of networks: distinct, repeatable, half of them in one narrow band of MACs."""

import numpy as np
import pytest

from nas.costs import Costs
from nas.fidelity.sampling import BAND_RATIO, draw_networks
from predictors.counts import count_network
from predictors.tables import CostTables, compile_for_costs
from search_spaces.catalog import downsampling, mobile, nas_bench_macro
from search_spaces.space import SearchSpace


def tables_of(space: SearchSpace) -> CostTables:
    return Costs().tables(compile_for_costs(space))


@pytest.fixture(scope="module")
def tables() -> CostTables:
    space = mobile((3, 16, 16), 10, widths=((8, 16), (16, 32)), depths=((1, 2), (1,)), strides=(1, 2), kernels=(3, 5))
    return tables_of(space)


def test_half_lie_in_the_band_and_all_differ(tables: CostTables) -> None:
    found = draw_networks(tables, 20, seed=0)
    low, high = found.band
    assert high / low == pytest.approx(BAND_RATIO)
    assert len({one.network.fingerprint for one in found.networks}) == 20
    assert all(one.in_band for one in found.networks[::2])
    for one in found.networks:
        assert one.macs == count_network(one.network).total["macs"]
        assert one.in_band == (low <= one.macs <= high)
        assert tables.compiled.space.build(one.architecture).id == one.network.id


def test_the_others_reach_both_ends_of_the_range(tables: CostTables) -> None:
    found = draw_networks(tables, 24, seed=0)
    ends = np.stack([tables.extreme(("macs",), largest=largest) for largest in (False, True)])
    low, high = np.log(tables.score(ends, ("macs",))["macs"])
    shares = sorted((np.log(one.macs) - low) / (high - low) for one in found.networks[1::2])
    assert -1e-9 < shares[0] < 0.15
    assert 0.85 < shares[-1] < 1 + 1e-9
    assert max(np.diff(shares)) < 0.25


def test_the_seed_decides(tables: CostTables) -> None:
    first, same, other = (draw_networks(tables, 8, seed=seed).networks for seed in (1, 1, 2))
    assert [one.architecture for one in first] == [one.architecture for one in same]
    assert [one.architecture for one in first] != [one.architecture for one in other]


def test_more_networks_begin_with_the_same_ones(tables: CostTables) -> None:
    few, many = (draw_networks(tables, count, seed=0).networks for count in (6, 12))
    assert [one.network.id for one in many[:6]] == [one.network.id for one in few]


def test_twins_are_drawn_once() -> None:
    found = draw_networks(tables_of(nas_bench_macro((3, 8, 8), 4)), 100, seed=0)
    assert len({one.network.fingerprint for one in found.networks}) == 100


def test_a_small_space_gives_what_it_has() -> None:
    found = draw_networks(tables_of(downsampling((3, 8, 8), 4)), 50, seed=0)
    assert len(found.networks) == 36
