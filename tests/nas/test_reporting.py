"""What the page is told of a target's latency model."""

from dataclasses import replace

import numpy as np
import pytest

from nas.reporting import KERNELS_SHOWN, predictor_report
from predictors.holdout import timed_kernels
from predictors.latency import MeasuredLatency
from predictors.target import Target, load_target
from search_spaces.catalog.mobile import mobile
from tests.predictors.synthetic import measured, synthetic_target


@pytest.fixture(scope="module")
def rows() -> list[MeasuredLatency]:
    return measured(mobile((3, 32, 32), 10), 40, np.random.default_rng(0), noise=0.01)


@pytest.fixture(scope="module")
def target(rows: list[MeasuredLatency]) -> Target:
    return synthetic_target(rows).with_learning_curve()


def test_held_out_networks_and_kernels_are_plotted(target: Target) -> None:
    report = predictor_report(target)
    assert report is not None
    groups = [row.group for row in report.rows]
    assert groups.count("networks") == 10
    assert [r.measured_ms for r in report.rows if r.group == "networks"] == [n.latency_ms for n in target.held_out]
    every = len(timed_kernels(target.learned, target.held_out))
    assert 0 < len(groups) - 10 < every
    assert max(groups.count(group) for group in set(groups)) <= KERNELS_SHOWN


def test_errors_per_group_and_prospects_are_told(target: Target) -> None:
    report = predictor_report(target)
    assert report is not None
    assert report.split_head == ("their kernels", "count", "median", "MAPE", "in 5 %", "in 10 %", "rank")
    assert {"class grouped", "group size 8", "dilation 2"} <= {row[0] for row in report.splits}
    assert all(len(row) == len(report.split_head) for row in report.splits)
    assert {"mean error (MAPE)", "MACs alone: median error", "networks held out"} <= report.summary.keys()
    assert any("error" in note for note in report.notes)


def test_networks_timed_whole_are_split_by_what_they_hold(rows: list[MeasuredLatency]) -> None:
    report = predictor_report(synthetic_target([replace(row, kernel_ms=()) for row in rows]))
    assert report is not None
    assert report.split_head[0] == "networks with"
    assert {row.group for row in report.rows} == {"networks"}


def test_a_data_sheet_has_no_errors_to_show() -> None:
    assert predictor_report(load_target("nvidia_p100")) is None
