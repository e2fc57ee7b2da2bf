"""The page's data: strict, complete, and consistent with the run it was made from."""

import json
from dataclasses import replace

import pytest

from nas.report import EvaluatedPoint, FrontEntry, ReportData
from nas.report.model import folder_link, page_model
from nas.report.packing import NONE_16, unpacked


def test_it_is_strict_json(made_up: ReportData) -> None:
    model = page_model(made_up)
    assert json.loads(json.dumps(model, allow_nan=False))["name"] == "cifar10"


def test_every_evaluation_is_there_with_its_figures(made_up: ReportData) -> None:
    model = page_model(made_up)
    points = model["points"]
    assert points["id"] == [point.id for point in made_up.evaluations]
    for i, point in enumerate(made_up.evaluations):
        for name, value in point.values.items():
            assert points["values"][name][i] == pytest.approx(value, rel=1e-6)
            kinds = points["provenances"][points["provenance"][i]]
            assert kinds[name] == point.provenance[name]


def test_picks_survive_their_coding(made_up: ReportData) -> None:
    points = page_model(made_up)["points"]
    picks = unpacked(points["picks"]).reshape(len(made_up.evaluations), -1)
    for i, point in enumerate(made_up.evaluations):
        shown = {
            name: points["options"][n][option]
            for n, (name, option) in enumerate(zip(points["choices"], picks[i], strict=True))
            if option != NONE_16
        }
        assert shown.keys() == dict(point.picks).keys()
        assert all(shown[k] == str(point.picks[k]) for k in shown if k.endswith("width"))


def test_the_baseline_is_told_from_the_search(made_up: ReportData) -> None:
    flags = page_model(made_up)["points"]["baseline"]
    assert flags == [int(point.proposer == "random") for point in made_up.evaluations]
    only = tuple(point for point in made_up.evaluations if point.proposer == "random")
    alone = page_model(replace(made_up, evaluations=only, front=()))
    assert not any(alone["points"]["baseline"])


def test_front_entries_point_at_their_evaluations(made_up: ReportData) -> None:
    model = page_model(made_up)
    for place, entry in enumerate(model["front"]):
        assert model["points"]["id"][entry["point"]] == entry["id"]
        assert model["points"]["front"][entry["point"]] == place


def test_an_entry_that_was_not_evaluated_here_is_added() -> None:
    entry = FrontEntry(1, "ab", "cd", {"k": 3}, {"error": 0.25})
    model = page_model(ReportData("r", objectives=("error",), front=(entry,)))
    assert model["points"]["id"] == ["ab"]
    assert model["points"]["number"] == [-1]
    assert model["points"]["values"]["error"] == [0.25]


def test_staircases_of_each_pair_hold_the_unbeaten_entries(made_up: ReportData) -> None:
    model = page_model(made_up)
    entries = {entry["id"]: entry["point"] for entry in model["front"]}
    for pair, found in model["pairs"].items():
        x, y = pair.split()
        values = {p: (model["points"]["values"][x][p], model["points"]["values"][y][p]) for p in entries.values()}
        unbeaten = {
            values[p]
            for p in values
            if not any(q != values[p] and q[0] <= values[p][0] and q[1] <= values[p][1] for q in values.values())
        }
        assert {values[p] for p in found["front"]} == unbeaten
        assert found["knee"] is None or found["knee"] in found["front"]


def test_what_is_not_finite_is_not_known() -> None:
    point = EvaluatedPoint(0, "a", "b", {}, {"error": float("nan"), "macs": float("inf"), "params": 3})
    model = page_model(ReportData("r", objectives=("error",), evaluations=(point,)))
    assert model["menu"] == ("params",)


def test_importances_keep_the_largest_and_sum_the_rest() -> None:
    found = {f"c{i:02}": float(i) for i in range(20)}
    rows = page_model(ReportData("r", importances={"error": found}))["importances"]["error"]
    assert rows[0] == ["c19", 19.0]
    assert len(rows) == 16
    assert rows[-1] == ["5 other choices", 0 + 1 + 2 + 3 + 4]


@pytest.mark.parametrize(
    ("folder", "link"),
    [
        ("exports/ab12", "exports/ab12/"),
        ("exports/a b", "exports/a%20b/"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29/"),
    ],
)
def test_links_lead_to_folders_only(folder: str, link: str) -> None:
    assert folder_link(folder) == link


def test_the_commands_quote_what_needs_it() -> None:
    model = page_model(ReportData("r", run="my runs/a'b"))
    assert model["export_command"] == "nas export 'my runs/a'\"'\"'b' --arch"


def test_front_json_is_read() -> None:
    entry = FrontEntry.from_json(
        {
            "rank": 2,
            "id": "ab",
            "fingerprint": "cd",
            "picks": {"k": 3},
            "values": {"error": 0.1},
            "intervals": {"error": [0.05, 0.2]},
            "test_error": None,
            "test_error_interval": None,
            "measured": {"latency_ms": 1.5},
        },
        export_folder="exports/ab",
    )
    assert entry.intervals == {"error": (0.05, 0.2)}
    assert entry.measured["latency_ms"] == 1.5
    assert entry.test_error is None
    assert entry.provenance == {}
