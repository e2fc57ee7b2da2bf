"""Evaluations survive JSON and are told apart by identity."""

import json

from nas.search.record import Evaluation, distinct
from search_spaces.space import Architecture


def evaluation(number: int, id: str, fingerprint: str) -> Evaluation:
    return Evaluation(
        number=number,
        architecture=Architecture.of({"width": 16, "kind": "wide", "share": 0.1, "on": True}),
        id=id,
        fingerprint=fingerprint,
        values={"error": 0.1 + 0.2, "macs": 1e9},
        provenance={"error": "validation", "macs": "counted"},
        feasible=False,
        proposer="surrogate",
        seconds=1 / 3,
        seed=2**31 - 1,
        cached=True,
    )


def test_json_round_trip_is_exact() -> None:
    one = evaluation(3, "a", "b")
    assert Evaluation.from_json(json.loads(one.to_line())) == one


def test_distinct_keeps_the_first_of_each_network() -> None:
    found = [evaluation(0, "a", "x"), evaluation(1, "b", "x"), evaluation(2, "a", "y")]
    assert [one.number for one in distinct(found)] == [0, 1]
    assert [one.number for one in distinct(found, by="fingerprint")] == [0, 2]
