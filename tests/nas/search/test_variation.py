"""Variation stays inside the space; descent finds what brute force finds."""

import itertools

import numpy as np

from nas.search.domain import Domain, distinct_rows, row_keys, without
from nas.search.variation import crossover, descend, mutate, single_changes
from tests.nas.search.worlds import BLOCKS, World, block_costs


def domain_of(world: World) -> Domain:
    return world.problem().domain


def test_everything_is_what_the_space_enumerates(world: World) -> None:
    everything = domain_of(world).everything
    assert everything is not None
    assert set(map(tuple, everything.tolist())) == set(map(tuple, world.rows.tolist()))


def test_large_spaces_are_not_enumerated() -> None:
    assert Domain(BLOCKS, ("macs",), block_costs, ("macs", "params")).everything is None


def test_variation_is_closed(world: World, rng: np.random.Generator) -> None:
    domain = domain_of(world)
    rows = domain.space.sample(rng, 200)
    for made in (mutate(domain, rows, rng, changes=3.0), crossover(domain, rows, rows[::-1], rng)):
        assert len(world.places(made)) == 200
        assert made.dtype == np.int16


def test_mutation_changes_active_slots_and_crossover_mixes_parents(rng: np.random.Generator) -> None:
    domain = Domain(BLOCKS, ("macs",), block_costs, ("macs", "params"))
    deep = np.full((300, 33), 3, dtype=np.int16)
    deep[:, 0] = 7
    mutants = mutate(domain, deep, rng, changes=1.0)
    assert (mutants != deep).any(1).all()
    flat = deep.copy()
    flat[:, 1:] = 1
    children = crossover(domain, deep, flat, rng)
    assert set(np.unique(children[:, 1:])) == {1, 3}


def test_single_changes_are_all_neighbours(world: World) -> None:
    domain = domain_of(world)
    row = world.rows[-1]
    near = single_changes(domain, row)
    expected = set()
    for slot, options in enumerate(domain.options):
        for option in range(options):
            changed = row.copy()
            changed[slot] = option
            expected.add(tuple(domain.space.repair(changed[None])[0].tolist()))
    expected.discard(tuple(row.tolist()))
    assert set(map(tuple, near.tolist())) == expected


def test_descent_finds_the_smallest_cost(world: World) -> None:
    domain = domain_of(world)
    for name, row in itertools.product(("macs", "params"), (world.rows[0], world.rows[-1])):
        found, value = descend(domain, row, lambda rows, name=name: world.score(rows)[name])
        assert value == world.costs[name].min()
        assert world.score(found[None])[name][0] == value


def test_sets_of_rows() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2], [-1, 2]], dtype=np.int16)
    assert distinct_rows(rows).tolist() == [[1, 2], [3, 4], [-1, 2]]
    assert without(rows, rows[1:2]).tolist() == [[1, 2], [1, 2], [-1, 2]]
    assert len(row_keys(np.empty((2, 0), dtype=np.int16))) == 2
