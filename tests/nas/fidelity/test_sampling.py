"""The draw of networks: distinct, repeatable, half of them in one narrow band of MACs."""

import pytest

from nas.costs import Costs
from nas.fidelity.sampling import BAND_RATIO, Draw, draw_networks
from predictors.counts import count_network
from predictors.tables import compile_for_costs
from search_spaces.catalog import downsampling, mobile, nas_bench_macro
from search_spaces.space import SearchSpace


def drawn(space: SearchSpace, count: int, seed: int = 0) -> Draw:
    return draw_networks(Costs().tables(compile_for_costs(space)), count, seed=seed)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return mobile((3, 16, 16), 10, widths=((8, 16), (16, 32)), depths=((1, 2), (1, 2)), strides=(1, 2))


def test_half_lie_in_the_band_and_all_differ(space: SearchSpace) -> None:
    found = drawn(space, 20)
    low, high = found.band
    assert high / low == pytest.approx(BAND_RATIO)
    assert len({one.network.fingerprint for one in found.networks}) == 20
    assert all(one.in_band for one in found.networks[::2])
    for one in found.networks:
        assert one.macs == count_network(one.network).total["macs"]
        assert one.in_band == (low <= one.macs <= high)
        assert space.build(one.architecture).id == one.network.id
    assert not all(one.in_band for one in found.networks)


def test_the_seed_decides(space: SearchSpace) -> None:
    first, same, other = (drawn(space, 8, seed).networks for seed in (1, 1, 2))
    assert [one.architecture for one in first] == [one.architecture for one in same]
    assert [one.architecture for one in first] != [one.architecture for one in other]


def test_more_networks_begin_with_the_same_ones(space: SearchSpace) -> None:
    few, many = drawn(space, 6).networks, drawn(space, 12).networks
    assert [one.network.id for one in many[:6]] == [one.network.id for one in few]


def test_twins_are_drawn_once() -> None:
    found = drawn(nas_bench_macro((3, 8, 8), 4), 200)
    assert len({one.network.fingerprint for one in found.networks}) == 200


def test_a_small_space_gives_what_it_has() -> None:
    found = drawn(downsampling((3, 8, 8), 4), 50)
    assert len(found.networks) == 36
