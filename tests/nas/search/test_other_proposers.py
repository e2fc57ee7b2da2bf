"""What each of the simple proposers is for, beyond the contract."""

import numpy as np
import pytest

from nas.search.domain import Domain, History, Rows, empty_history
from nas.search.proposers import proposer
from nas.search.proposers.nsga3 import reference_directions, survivors
from nas.search.variation import single_changes
from tests.nas.search.worlds import BLOCKS, World, block_costs, block_error, history_of


def blocks() -> Domain:
    """Error alone, on a space too large to enumerate."""
    return Domain(BLOCKS, ("error",), block_costs, ("macs", "params"))


def told(domain: Domain, rows: Rows) -> History:
    """The history of a search for little error without limits."""
    return history_of(rows, block_error(rows)[:, None], np.empty((len(rows), 0)), rows[:0])


def changed_slots(row: Rows, others: Rows) -> int:
    """In how many slots `row` differs from the nearest of `others`."""
    return int((others != row).sum(1).min())


@pytest.mark.parametrize(
    ("objectives", "most", "count"), [(1, 40, 1), (2, 40, 40), (3, 40, 36), (4, 40, 35), (6, 4, 6)]
)
def test_directions_lie_evenly_on_the_simplex(objectives: int, most: int, count: int) -> None:
    directions = reference_directions(objectives, most)
    assert directions.shape == (count, objectives)
    assert len(np.unique(directions.round(9), axis=0)) == count
    np.testing.assert_allclose(directions.sum(1), 1)
    assert directions.min() >= 0
    for corner in np.eye(objectives):
        assert (np.abs(directions - corner).sum(1) < 1e-9).any()


def test_the_last_front_is_thinned_along_the_directions() -> None:
    crowded = [[0.01 * i, 1 - 0.01 * i] for i in range(5)]
    spread = [[0.5, 0.5], [1.0, 0.0]]
    dominated = [[1.0, 1.0]]
    values = np.array([*crowded, *spread, *dominated])
    directions = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    found = survivors(values, np.zeros(8), directions, 3)
    assert set(found.tolist()) == {0, 5, 6}
    assert survivors(values, np.zeros(8), directions, 7).tolist()[:7] == list(range(7))


def test_survivors_within_limits_come_first() -> None:
    values = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.5, 0.5]])
    excess = np.array([3.0, 0.0, 0.0, 1.0])
    assert survivors(values, excess, reference_directions(2, 10), 4).tolist() == [1, 2, 3, 0]
    assert survivors(values, np.ones(4), reference_directions(2, 10), 2).tolist() == [0, 1]


def test_evolution_forgets_the_old() -> None:
    domain = blocks()
    rng = np.random.default_rng(0)
    large = np.full((10, 33), 3, dtype=np.int16)
    large[:, 0] = 7
    large[np.arange(10), 1 + np.arange(10)] = 2
    small = BLOCKS.sample(rng, 400)
    small = np.unique(small[small[:, 0] < 3], axis=0)[:50]
    for row in proposer("evolution", domain).propose(told(domain, np.concatenate([large, small])), 20, rng):
        assert changed_slots(row, small) < changed_slots(row, large)


def test_local_search_tries_the_neighbours_of_the_best() -> None:
    domain = blocks()
    rows = BLOCKS.sample(np.random.default_rng(1), 12)
    best = rows[int(np.argmin(block_error(rows)))]
    near = {row.tobytes() for row in single_changes(domain, best)} - {row.tobytes() for row in rows}
    found = proposer("local", domain).propose(told(domain, rows), 30, np.random.default_rng(0))
    assert {row.tobytes() for row in found} <= near
    more = proposer("local", domain).propose(told(domain, rows), len(near) + 1, np.random.default_rng(0))
    assert {row.tobytes() for row in more} > near


def test_exhaustive_lists_a_small_space_in_order(world: World) -> None:
    domain = world.problem().domain
    found = proposer("exhaustive", domain).propose(empty_history(domain), 10_000, np.random.default_rng(0))
    assert found.tolist() == sorted(world.rows.tolist())


def test_exhaustive_walks_a_large_space_from_its_first_row() -> None:
    domain = blocks()
    found = proposer("exhaustive", domain).propose(empty_history(domain), 40, np.random.default_rng(0))
    apart = [int((row != 0).sum()) for row in found]
    assert apart == sorted(apart)
    assert apart.count(0) == 1
    assert apart.count(1) == 7 + 4 * 3, "every depth, and every other option of the one active block"


def test_what_optuna_is_told_changes_what_it_suggests() -> None:
    domain = blocks()
    rows = BLOCKS.sample(np.random.default_rng(2), 60)
    deep = told(domain, rows)
    shallow = history_of(rows, -deep.values, deep.excess, deep.pending)
    rng = np.random.default_rng
    better = block_error(proposer("tpe", domain).propose(deep, 10, rng(0))).mean()
    worse = block_error(proposer("tpe", domain).propose(shallow, 10, rng(0))).mean()
    assert better < block_error(rows).mean() < worse
