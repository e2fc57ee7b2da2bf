"""The same whole search under every proposer: nothing invalid, nothing twice, within the limits, resumable."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nas.search.driver import SearchResult, search
from nas.search.problem import Settings
from nas.search.proposers import PROPOSERS
from search_spaces.space import Architecture
from tests.nas.search.worlds import SPACE, Formula, World

EVALUATIONS = 18
CUT = 7
SETTINGS = Settings(evaluations=EVALUATIONS, random_evaluations=0, lag=2, workers=1, storage="journal")


@cache
def valid() -> frozenset[str]:
    """Every architecture of the space."""
    return frozenset(architecture.to_json() for architecture in SPACE.enumerate())


def core(result: SearchResult) -> list[tuple[object, ...]]:
    return [(one.number, one.proposer, one.architecture, one.values) for one in result.evaluations]


@pytest.mark.parametrize("name", PROPOSERS)
def test_a_whole_search(name: str, world: World, tmp_path: Path) -> None:
    limit = float(np.quantile(world.costs["macs"], 0.5))
    log = tmp_path / "log"
    problem = world.problem(limits={"macs": limit, "error": 0.8}, evaluator=Formula(log=log))
    settings = replace(SETTINGS, proposer=name)
    whole = search(problem, settings, tmp_path / "whole")
    assert whole.ended == "complete"
    evaluated = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert len(evaluated) == len(whole.evaluations) == EVALUATIONS
    assert set(evaluated) <= valid(), "invalid architectures"
    ids = [SPACE.build(Architecture.from_json(text)).id for text in evaluated]
    assert len(set(ids)) == EVALUATIONS, "duplicates"
    assert all(one.values["macs"] <= limit for one in whole.evaluations), "a counted limit holds by construction"
    search(problem, replace(settings, evaluations=CUT), tmp_path / "parts")
    assert core(search(problem, settings, tmp_path / "parts", resume=True)) == core(whole)
