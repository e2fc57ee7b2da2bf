"""The plan of what to measure."""

from itertools import islice

import numpy as np
import pytest

from predictors.kernels import kernels
from predictors.plan import HELD_OUT_EVERY, cell, plan
from search_spaces import SearchSpace
from search_spaces.catalog.mobile import mobile


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return mobile((3, 32, 32), 10)


def test_the_same_generator_gives_the_same_plan(space: SearchSpace) -> None:
    first, second = (
        [item.network.id for item in islice(plan([space], np.random.default_rng(3)), 12)] for _ in range(2)
    )
    assert first == second


def test_a_fifth_is_held_out_and_nothing_twice(space: SearchSpace, rng: np.random.Generator) -> None:
    planned = list(islice(plan([space], rng), 25))
    assert [item.held_out for item in planned].count(True) == 25 // HELD_OUT_EVERY
    assert len({item.network.fingerprint for item in planned}) == 25


def test_it_covers_more_than_random_draws(space: SearchSpace) -> None:
    fitted = [item.network for item in islice(plan([space], np.random.default_rng(0)), 30) if not item.held_out]
    rng = np.random.default_rng(1)
    drawn = [space.build(space.sample(rng)) for _ in fitted]

    def cells(networks: list) -> int:  # type: ignore[type-arg]
        return len({cell(kernel) for network in networks for kernel in kernels(network)})

    assert cells(fitted) > 1.15 * cells(drawn)


def test_it_goes_on_after_what_was_measured(space: SearchSpace) -> None:
    first = list(islice(plan([space], np.random.default_rng(0)), 7))
    measured = {item.network.fingerprint: kernels(item.network) for item in first}
    rest = list(islice(plan([space], np.random.default_rng(0), measured=measured), 8))
    assert not {item.network.fingerprint for item in rest} & set(measured)
    assert [item.held_out for item in rest] == [i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for i in range(7, 15)]


def small_space() -> SearchSpace:
    return mobile(
        (3, 16, 16),
        4,
        resolutions=(16,),
        widths=((8,),),
        depths=((1, 2),),
        strides=(1,),
        kernels=(3,),
        expands=(2,),
        group_sizes=(1,),
        dilations=(1,),
        sparsities=(0.0,),
    )


def test_a_small_space_ends(rng: np.random.Generator) -> None:
    assert len(list(plan([small_space()], rng))) == 2


def test_a_small_space_leaves_its_turns_to_others(space: SearchSpace, rng: np.random.Generator) -> None:
    planned = list(islice(plan([small_space(), space], rng), 20))
    assert len({item.network.fingerprint for item in planned}) == 20
    assert sum(item.network.input.shape[1] == 16 for item in planned) == 2


def test_spaces_take_turns(space: SearchSpace, rng: np.random.Generator) -> None:
    other = mobile((3, 64, 64), 10)
    sizes = {item.network.input.shape[1] > 32 for item in islice(plan([space, other], rng), 10)}
    assert sizes == {False, True}
