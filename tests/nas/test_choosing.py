"""Which architectures of a front are taken home."""

from nas.choosing import chosen_ids

ENTRIES = [
    {"id": "accurate", "values": {"error": 0.01, "latency_ms": 9.0, "weight_bytes": 90.0}},
    {"id": "between", "values": {"error": 0.03, "latency_ms": 6.0, "weight_bytes": 80.0}},
    {"id": "knee", "values": {"error": 0.04, "latency_ms": 2.0, "weight_bytes": 30.0}},
    {"id": "fast", "values": {"error": 0.20, "latency_ms": 1.0, "weight_bytes": 40.0}},
    {"id": "small", "values": {"error": 0.30, "latency_ms": 1.5, "weight_bytes": 10.0}},
]
OBJECTIVES = ("error", "latency_ms", "weight_bytes")


def test_the_best_of_the_first_objective_the_knee_and_the_other_ends_come_first() -> None:
    assert chosen_ids(ENTRIES, OBJECTIVES, 4) == ["accurate", "knee", "fast", "small"]


def test_no_more_than_there_are_and_each_once() -> None:
    assert chosen_ids(ENTRIES, OBJECTIVES, 9) == ["accurate", "knee", "fast", "small", "between"]
    assert chosen_ids(ENTRIES[:1], OBJECTIVES, 3) == ["accurate"]


def test_an_empty_front_or_budget_gives_nothing() -> None:
    assert chosen_ids([], OBJECTIVES, 3) == []
    assert chosen_ids(ENTRIES, OBJECTIVES, 0) == []
