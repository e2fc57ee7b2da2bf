"""The history that grows trial by trial is the one made anew from all trials."""

from dataclasses import replace

import numpy as np
import pytest

from nas.search.ledger import Ledger
from nas.search.study import Recorded
from tests.nas.search.worlds import World, error_of


def trials(world: World, rng: np.random.Generator, count: int) -> list[Recorded]:
    """Trials of which some failed, and some passed over other rows."""
    problem = world.problem(limits={"params": 5e4})
    found = []
    for number, place in enumerate(rng.permutation(len(world.rows))[:count]):
        proposal = problem.inspect(world.rows[place], number=number, proposer="random", root=0)
        skipped = tuple(tuple(map(int, row)) for row in world.rows[rng.integers(len(world.rows), size=number % 3)])
        values = {**proposal.figures, "error": error_of(proposal.architecture)}
        failed = rng.random() < 0.3
        found.append(
            Recorded(replace(proposal, skipped=skipped), None if failed else values, "it broke" if failed else None)
        )
    return found


@pytest.mark.parametrize("lag", [0, 3, 50])
def test_history_is_that_of_all_trials(world: World, rng: np.random.Generator, lag: int) -> None:
    problem = world.problem(limits={"params": 5e4})
    everything = trials(world, rng, 30)
    ledger = Ledger(problem, [])
    for number, recorded in enumerate(everything):
        history = ledger.history(number, lag)
        settled = everything[: max(0, number - lag)]
        valued = [one for one in settled if one.values is not None]
        assert [tuple(row) for row in history.rows] == [one.proposal.row for one in valued]
        assert [tuple(row) for row in history.values] == [
            (one.values["error"], one.values["macs"]) for one in valued if one.values
        ]
        assert [row[0] for row in history.excess] == [one.values["params"] - 5e4 for one in valued if one.values]
        pending = everything[max(0, number - lag) : number]
        assert [tuple(row) for row in history.pending] == [one.proposal.row for one in pending]
        failed = [one.proposal.row for one in settled if one.values is None]
        passed_over = [row for one in everything[:number] for row in one.proposal.skipped]
        assert [tuple(row) for row in history.excluded] == failed + passed_over
        assert ledger.seen() == {one.proposal.id for one in everything[:number]}
        ledger.put(recorded)
    assert ledger.open() == []
    assert ledger.concluded == len(ledger) == 30


def test_what_is_open_is_found_behind_what_is_done(world: World, rng: np.random.Generator) -> None:
    everything = [replace(one, values={"error": 0.5}, failure=None) for one in trials(world, rng, 6)]
    ledger = Ledger(world.problem(), everything[:2])
    for number in (3, 2, 4, 5):
        ledger.put(replace(everything[number], values=None) if number in (2, 4) else everything[number])
    assert (ledger.concluded, ledger.open()) == (2, [2, 4])
    ledger.put(everything[2])
    assert (ledger.concluded, ledger.open()) == (4, [4])


def test_where_most_failed_they_are_tried_again(world: World, rng: np.random.Generator) -> None:
    failed = [replace(one, values=None, failure="it broke") for one in trials(world, rng, 4)]
    ledger = Ledger(world.problem(), failed)
    assert ledger.open() == [0, 1, 2, 3]
    assert ledger.retried == {0, 1, 2, 3}
    few = [failed[0], *(replace(one, values={"error": 0.5}, failure=None) for one in failed[1:])]
    assert Ledger(world.problem(), few).open() == []
