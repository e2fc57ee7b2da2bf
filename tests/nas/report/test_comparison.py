"""Fronts side by side: hypervolumes of one box, who dominates whom, and what is said when nothing can be compared."""

import json
import re
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from nas.report.comparison import Comparison, Difference, Side, compare
from nas.report.comparison_page import comparison_page
from nas.report.comparison_text import comparison_json, differences_table, points_table, rows, summary_table
from nas.report.data import FrontEntry, Mark
from search_spaces import NasError


def side(name: str, points: list[tuple[float | None, float | None]], *objectives: str) -> Side:
    names = objectives or ("error", "macs")
    front = tuple(
        FrontEntry(i + 1, f"{name}{i}", f"{name}{i}", {}, dict(zip(names, values, strict=True)))
        for i, values in enumerate(points)
    )
    return Side(name, names, front, f"what {name} is")


def two() -> Comparison:
    return compare(
        [side("a", [(0.1, 3e6), (0.2, 1e6)]), side("b", [(0.1, 4e6), (0.3, 1e6), (0.15, 2e6)])],
        differences=[Difference("search.seed", "of the proposals", ("0", "1"))],
        notes=["Both are <made up>."],
        marks=[Mark("mine", {"error": 0.25, "macs": 2e6}), Mark("half", {"error": 0.2})],
    )


def test_dominance_is_that_of_the_points() -> None:
    found = two()
    assert found.dominated[0] == {"b": ("b0", "b1")}
    assert found.dominated[1] == {"a": ()}
    assert found.beaten_by(found.sides[1], "b0") == ("a",)
    assert found.beaten_by(found.sides[1], "b2") == ()
    assert found.beating({"error": 0.25, "macs": 2e6}) == ("a", "b")
    assert found.beating({"error": 0.25}) == ()


def test_hypervolumes_are_shares_of_one_box() -> None:
    found = two()
    assert found.best == {"error": 0.1, "macs": 1e6}
    assert found.reference == pytest.approx({"error": 0.32, "macs": 4.3e6})
    box = 0.22 * 3.3e6
    a = (0.32 - 0.1) * (4.3e6 - 3e6) + (0.32 - 0.2) * (3e6 - 1e6)
    b = (0.32 - 0.1) * 0.3e6 + (0.32 - 0.15) * 2e6 + (0.32 - 0.3) * 1e6
    assert found.hypervolumes == pytest.approx((a / box, b / box))


def test_volumes_agree_with_counting_points_of_the_box(rng: np.random.Generator) -> None:
    names = ("x", "y", "z")
    fronts = [
        Side(
            name, names, tuple(FrontEntry(1, str(i), "", {}, dict(zip(names, p, strict=True))) for i, p in enumerate(v))
        )
        for name, v in (("a", rng.random((6, 3))), ("b", rng.random((9, 3))))
    ]
    found = compare(fronts)
    low, high = (np.array([corner[n] for n in names]) for corner in (found.best, found.reference))
    darts = low + rng.random((40_000, 3)) * (high - low)
    for one, volume in zip(found.sides, found.hypervolumes, strict=True):
        points = np.array([[entry.values[n] for n in names] for entry in one.front])
        assert volume == pytest.approx((points[:, None] <= darts[None]).all(2).any(0).mean(), abs=0.015)


def test_only_shared_objectives_count_in_the_order_of_the_first() -> None:
    found = compare([side("a", [(1.0, 2.0)], "error", "macs"), side("b", [(1.0, 3.0)], "macs", "latency_ms")])
    assert found.objectives == ("macs",)
    assert found.dominated[1] == {"a": ("a0",)}


def test_a_single_point_on_both_sides_covers_the_box_alike() -> None:
    found = compare([side("a", [(0.1, 1e6)]), side("b", [(0.1, 1e6)])])
    assert found.hypervolumes == pytest.approx((1.0, 1.0))
    assert found.dominated == ({"b": ()}, {"a": ()})


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ([side("a", [(0.1, 1.0)])], "needs two fronts"),
        ([], "needs two fronts"),
        (
            [side("a", [(0.1, 1.0)]), side("b", [(1.0, 1.0)], "params", "latency_ms")],
            r"share no objective \(a: error, macs",
        ),
        (
            [side("a", [(0.1, 1.0)]), side("b", [(None, 1.0)])],
            "b has no architecture on its front whose error and macs",
        ),
    ],
)
def test_what_cannot_be_compared_is_told(sides: list[Side], words: str) -> None:
    with pytest.raises(NasError, match=words):
        compare(sides)


def test_the_tables_show_all_of_it() -> None:
    console = Console(width=160, record=True, file=StringIO(), color_system=None)
    for table in (summary_table(two()), points_table(two()), differences_table(two())):
        console.print(table)
    text = console.export_text()
    assert "2 of 3 of b" in text
    assert "0 of 2 of a" in text
    assert "validation error (%)" in text
    assert re.search(r"own +mine +25.00 +2.00 +a, b", text)
    assert re.search(r"own +half +20.00 +–", text)
    assert re.search(r"search.seed +0 +1 +of the proposals", text)


def test_rows_are_sorted_and_json_is_strict() -> None:
    assert [row["id"] for row in rows(two())] == ["a0", "b0", "b2", "a1", "half", "mine", "b1"]
    data = json.loads(json.dumps(comparison_json(two()), allow_nan=False))
    assert [front["name"] for front in data["fronts"]] == ["a", "b"]
    assert data["fronts"][0]["dominates"] == {"b": ["b0", "b1"]}


def test_the_page_is_whole_and_offline() -> None:
    text = comparison_page(two())
    assert "{{" not in text.split("<script")[0]
    assert "Both are &lt;made up&gt;." in text
    assert not re.search(r"(src|href)=[\"']?https?:", text.split('<script type="application/json"')[0])
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert [front["ids"] for front in data["fronts"]] == [["a0", "a1"], ["b0", "b1", "b2"]]
    assert data["marks"][1]["values"] == {"error": 0.2, "macs": None}
