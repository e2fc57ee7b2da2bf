"""Limits: what can be met is met, what cannot is refused with the best value there is."""

import numpy as np
import pytest

from nas.search.domain import Domain
from nas.search.limits import check_limits, feasible_rows
from search_spaces.errors import NasError
from tests.nas.search.worlds import BLOCKS, World, block_costs

KNOWN = ("macs", "params")


def blocks(**limits: float) -> Domain:
    return Domain(BLOCKS, ("macs",), block_costs, KNOWN, limits)


def test_the_smallest_value_and_its_architecture_are_named(world: World, rng: np.random.Generator) -> None:
    domain = world.problem(limits={"macs": 1000.0}).domain
    smallest = int(world.costs["macs"].min())
    with pytest.raises(NasError) as refusal:
        check_limits(domain, rng)
    message = str(refusal.value)
    assert f"the smallest that any architecture reaches is {smallest:,}" in message
    assert "macs may be at most 1,000" in message
    assert "depth=1" in message
    assert "Raise the limit" in message


def test_large_spaces_say_found_not_proved(rng: np.random.Generator) -> None:
    with pytest.raises(NasError, match=r"the smallest that was found is 1 "):
        check_limits(blocks(macs=0.5), rng)


def test_limits_that_exclude_each_other(world: World, rng: np.random.Generator) -> None:
    costs = world.costs
    apart = {"macs": costs["macs"].min(), "balance": float((1 / costs["macs"]).min())}

    def score(rows):
        return {"macs": world.score(rows)["macs"], "balance": 1 / world.score(rows)["macs"]}

    domain = Domain(world.coded, ("macs",), score, ("macs", "balance"), apart)
    with pytest.raises(NasError, match="each limit can be met alone, but not all together: the closest") as refusal:
        check_limits(domain, rng)
    assert "Raise" in str(refusal.value)


def test_limits_that_can_be_met_pass(world: World, rng: np.random.Generator) -> None:
    check_limits(world.problem(limits={"macs": world.costs["macs"].min(), "params": 1e9}).domain, rng)
    check_limits(blocks(macs=1.0, params=64.0), rng)
    check_limits(world.problem(limits={"error": 0.0}).domain, rng)


def test_feasible_rows_of_a_small_space_are_all_of_them(world: World, rng: np.random.Generator) -> None:
    limit = float(np.quantile(world.costs["macs"], 0.1))
    domain = world.problem(limits={"macs": limit}).domain
    taken = world.rows[world.costs["macs"] <= limit][:5]
    found = feasible_rows(domain, rng, 10_000, taken=taken)
    assert len(found) == (world.costs["macs"] <= limit).sum() - 5
    assert (world.score(found)["macs"] <= limit).all()


@pytest.mark.parametrize("limit", [2000.0, 60.0, 12.0])
def test_tight_limits_are_met_without_end(limit: float, rng: np.random.Generator) -> None:
    domain = blocks(macs=limit)
    found = feasible_rows(domain, rng, 50)
    assert len(found) == len(set(map(bytes, found))) == 50
    assert (block_costs(found)["macs"] <= limit).all()


def test_when_hardly_any_is_left_fewer_come_back(rng: np.random.Generator) -> None:
    found = feasible_rows(blocks(macs=2.0), rng, 100)
    assert 1 <= len(found) < 100
    assert (block_costs(found)["macs"] <= 2.0).all()
    assert len(feasible_rows(blocks(macs=2.0), rng, 100, taken=found)) <= 6
