"""The contract every proposer keeps, and what each is for."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from nas.search.asking import ask
from nas.search.domain import Domain, History, Rows, empty_history
from nas.search.exact.reach import GAP, Reach
from nas.search.gain import hypervolume, non_dominated
from nas.search.proposers import DEFAULT, PROPOSERS, proposer
from nas.search.proposers.nsga2 import crowding_distance, survival_order
from predictors.tables import CostTables
from search_spaces.errors import NasError
from tests.nas.search.worlds import BLOCKS, SPACE, World, block_costs, block_error, error_of, history_of

KNOWN = ("macs", "params")
Evaluate = Callable[[Rows], np.ndarray]


def small(world: World, **limits: float) -> tuple[Domain, Evaluate]:
    def evaluate(rows: Rows) -> np.ndarray:
        places = world.places(rows)
        return np.stack([world.errors[places], world.costs["macs"][places]], axis=1)

    return world.problem(limits=limits).domain, evaluate


def large(*objectives: str, **limits: float) -> tuple[Domain, Evaluate]:
    def evaluate(rows: Rows) -> np.ndarray:
        figures = {"error": block_error(rows), **block_costs(rows)}
        return np.stack([figures[name] for name in objectives], axis=1)

    return Domain(BLOCKS, objectives, block_costs, KNOWN, limits), evaluate


@cache
def tables() -> CostTables:
    return CostTables(SPACE.compile())


def on_tables(*objectives: str, **limits: float) -> tuple[Domain, Evaluate]:
    costs = tables()

    def evaluate(rows: Rows) -> np.ndarray:
        figures = {"error": np.array([error_of(costs.compiled.decode(row)) for row in rows]), **costs.score(rows)}
        return np.stack([figures[name] for name in objectives], axis=1)

    return Domain(costs.compiled, objectives, costs.score, costs.names, limits, Reach(costs.sources)), evaluate


DOMAINS = {
    "small": lambda world: small(world, macs=float(np.quantile(world.costs["macs"], 0.6))),
    "large": lambda world: large("error", "macs", params=3000.0),
    "three objectives": lambda world: large("error", "macs", "params"),
    "one objective": lambda world: large("error", macs=200.0),
    "tables": lambda world: on_tables("error", "macs", params=9000.0),
    "tables only": lambda world: on_tables("macs", "moved_elements"),
    "hardware only": lambda world: large("macs", "params"),
    "limit nobody knows": lambda world: large("macs", error=0.5),
    "nothing known": lambda world: (
        Domain(BLOCKS, ("error",), lambda rows: {}),
        lambda rows: block_error(rows)[:, None],
    ),
}


def history_for(domain: Domain, evaluate: Evaluate, count: int, pending: int, rng: np.random.Generator) -> History:
    rows = domain.within(domain.space.sample(rng, 40 * (count + pending)))
    rows = np.unique(rows, axis=0)[rng.permutation(len(np.unique(rows, axis=0)))][: count + pending]
    done = rows[:count]
    figures = {"error": np.zeros(count), **block_costs(done)} if domain.space is BLOCKS else domain.score(done)
    if domain.space is BLOCKS:
        figures["error"] = block_error(done)
    excess = [figures[name] - limit for name, limit in domain.limits.items()]
    return history_of(done, evaluate(done), np.array(excess).reshape(len(domain.limits), count).T, rows[count:])


SLOW = {"gp"}
QUICK = [name for name in PROPOSERS if name not in SLOW]


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, kind) for name in QUICK for kind in DOMAINS), *((name, "small") for name in SLOW)]
)
def test_contract(name: str, kind: str, world: World) -> None:
    domain, evaluate = DOMAINS[kind](world)
    size = 1 if name in SLOW else 5
    for count, pending in ((3, 2), (24, 0)) if name in SLOW else ((0, 0), (0, 5), (3, 2), (24, 4)):
        rng = np.random.default_rng(count)
        history = empty_history(domain) if count + pending == 0 else history_for(domain, evaluate, count, pending, rng)
        first = proposer(name, domain).propose(history, size, np.random.default_rng(7))
        again = proposer(name, domain).propose(history, size, np.random.default_rng(7))
        assert first.tolist() == again.tolist(), "the same seed proposes the same"
        assert first.shape == (size, len(domain.options))
        assert len({row.tobytes() for row in first}) == size, "no row twice"
        assert not {row.tobytes() for row in first} & {row.tobytes() for row in history.taken}, "nothing taken"
        assert domain.space.repair(first).tolist() == first.tolist(), "canonical"
        assert (domain.excess(first) <= 0).all(), "within the limits"


@pytest.mark.parametrize("name", QUICK)
def test_remembering_changes_nothing(name: str, world: World) -> None:
    domain, evaluate = small(world)
    used = proposer(name, domain)
    for count in (8, 9, 16, 12):
        history = history_for(domain, evaluate, count, 2, np.random.default_rng(1))
        fresh = proposer(name, domain).propose(history, 2, np.random.default_rng(3))
        assert used.propose(history, 2, np.random.default_rng(3)).tolist() == fresh.tolist()


@pytest.mark.parametrize("name", QUICK)
def test_a_small_space_runs_out_gracefully(name: str, world: World) -> None:
    limit = float(np.sort(world.costs["macs"])[20])
    domain, evaluate = small(world, macs=limit)
    allowed = int((world.costs["macs"] <= limit).sum())
    taken = domain.within(world.rows)[: allowed - 3]
    history = history_of(taken, evaluate(taken), domain_excess(domain, taken), taken[:0])
    assert len(proposer(name, domain).propose(history, 10, np.random.default_rng(0))) == 3
    everything = domain.within(world.rows)
    history = history_of(everything, evaluate(everything), domain_excess(domain, everything), everything[:0])
    assert len(proposer(name, domain).propose(history, 10, np.random.default_rng(0))) == 0


def domain_excess(domain: Domain, rows: Rows) -> np.ndarray:
    figures = domain.score(rows)
    return np.stack([figures[name] - limit for name, limit in domain.limits.items()], axis=1)


def test_unknown_proposer_gets_near_matches(world: World) -> None:
    with pytest.raises(NasError, match="did you mean 'surrogate'"):
        proposer("surogate", world.problem().domain)


def run(name: str, domain: Domain, evaluate: Evaluate, count: int, seed: int) -> np.ndarray:
    """The objectives of `count` architectures proposed one after the other."""
    asked = proposer(name, domain)
    rows = np.empty((0, len(domain.options)), dtype=np.int16)
    for n in range(count):
        history = history_of(rows, evaluate(rows), np.empty((n, 0)), rows[:0])
        row, _ = ask(asked, history, lambda row: True, (seed, n))
        assert row is not None
        rows = np.concatenate([rows, row[None]])
    return evaluate(rows)


def test_the_default_beats_random_on_a_large_space() -> None:
    domain, evaluate = large("error", "macs")
    reference = np.array([0.9, 5000.0])
    reached = {name: hypervolume(run(name, domain, evaluate, 60, 0), reference) for name in ("random", DEFAULT)}
    assert reached[DEFAULT] > 1.02 * reached["random"]


def test_exact_proposals_are_on_the_front_where_all_is_known() -> None:
    domain, evaluate = on_tables("macs", "moved_elements")
    rows = domain.space.sample(np.random.default_rng(0), 30)
    rows = np.unique(rows, axis=0)
    history = history_of(rows, evaluate(rows), np.empty((len(rows), 0)), rows[:0])
    found = proposer("exact", domain).propose(history, 3, np.random.default_rng(1))
    assert domain.everything is not None
    taken = {tuple(row) for row in [*rows.tolist(), *found.tolist()]}
    left = evaluate(np.array([row for row in domain.everything.tolist() if tuple(row) not in taken], dtype=np.int16))
    for macs, moved in evaluate(found):
        assert left[left[:, 1] <= moved, 0].min(initial=np.inf) >= macs * (1 - GAP)


def test_exact_proposals_are_the_best_of_an_additive_model() -> None:
    domain, _ = on_tables("error", "macs")
    worth = [np.linspace(0.0, 1.0 + slot, size) for slot, size in enumerate(domain.options)]
    rows = np.unique(domain.space.sample(np.random.default_rng(0), 60), axis=0)
    error = sum(worth[slot][rows[:, slot]] for slot in range(rows.shape[1]))
    values = np.stack([error, domain.score(rows)["macs"]], axis=1)
    history = history_of(rows, values, np.empty((len(rows), 0)), rows[:0])
    found = proposer("exact", domain).propose(history, 4, np.random.default_rng(1))
    everything = domain.space.repair(domain.everything)
    whole = np.stack(
        [sum(worth[s][everything[:, s]] for s in range(rows.shape[1])), domain.score(everything)["macs"]], axis=1
    )
    chosen = np.stack([sum(worth[s][found[:, s]] for s in range(rows.shape[1])), domain.score(found)["macs"]], axis=1)
    reference = whole.max(0)
    before = hypervolume(values[non_dominated(values)], reference)
    assert hypervolume(np.concatenate([values, chosen]), reference) > before


def test_survival_puts_the_legal_front_first() -> None:
    values = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [0.0, 0.0], [0.5, 0.5]])
    excess = np.array([0.0, 0.0, 0.0, 0.0, 2.0, 1.0])
    assert survival_order(values, excess).tolist() == [0, 2, 1, 3, 5, 4]


def test_crowding_follows_the_neighbours() -> None:
    values = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])
    assert crowding_distance(values).tolist() == [np.inf, 2.0, np.inf]


def test_twins_are_passed_over_and_reported(world: World) -> None:
    domain, _ = small(world)
    history = empty_history(domain)
    refused: list[bytes] = []

    def is_new(row: Rows) -> bool:
        refused.append(row.tobytes())
        return len(refused) > 12

    row, skipped = ask(proposer("random", domain), history, is_new, (0, 0))
    assert row is not None
    assert [other.tobytes() for other in skipped] == refused[:-1]
    assert row.tobytes() == refused[-1]
    assert ask(proposer("random", domain), history, lambda row: False, (0, 0))[0] is None
