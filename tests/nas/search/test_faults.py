"""The benchmarks of faults and of storages, small: what they print, and that nothing is lost."""

import json

import pytest

from benchmarks import faults, workers


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_storage_that_is_away_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--evaluations", "12", "--seconds", "0.05", "--workers", "1", "--away", "1.5"]
    faults.main([*small, "--scenarios", "sqlite"])
    lines = printed(capsys)
    assert {line["figure"]: line["value"] for line in lines} == {
        "lost": 0,
        "counted_twice": 0,
        "same_front": 1,
        "invalid": 0,
    }
    assert all(line["where"]["scenario"] == "sqlite" and line["where"]["faults"] == 1 for line in lines)


def test_storages_are_timed_at_thirty_choices(capsys: pytest.CaptureFixture[str]) -> None:
    workers.report_storage("journal", 10)
    (line,) = printed(capsys)
    assert line["figure"] == "trials_per_second"
    assert line["value"] > 0
    assert line["where"]["choices"] == 30
    assert line["baseline"]["Optuna alone"] > 0
