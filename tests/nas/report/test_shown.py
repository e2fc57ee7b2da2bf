"""How a run and its front show themselves: the terminal's table, one line in a console, a table in a notebook."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import nas
from nas.cli import main
from nas.report import FrontEntry
from nas.report.terminal import front_table, knee

FRONT = tuple(
    FrontEntry(
        rank,
        name,
        "",
        {},
        {"error": error, "macs": macs},
        {"error": "validation", "macs": "counted"},
        measured={"macs": macs} if rank == 1 else {},
    )
    for rank, name, error, macs in ((1, "wide", 0.1, 9e6), (2, "bent", 0.12, 2e6), (3, "slim", 0.5, 1e6))
)


def printed(entries: tuple[FrontEntry, ...], limits: dict[str, float]) -> str:
    console = Console(width=160, record=True, file=StringIO(), color_system=None)
    console.print(front_table(entries, ("error", "macs"), limits=limits))
    return console.export_text()


def test_columns_say_how_they_are_known_and_their_limit() -> None:
    text = printed(FRONT, {"macs": 8e6})
    assert "validation error (%)" in text
    assert "counted, at most 8.00" in text
    assert text.count("validation ") >= 2


def test_the_knee_is_marked_and_explained() -> None:
    assert knee(FRONT, ("error", "macs")) == "bent"
    text = printed(FRONT, {})
    assert "◆ 2" in text
    assert "◆ the knee: the least sum" in text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fronts_of_few_have_no_knee(count: int) -> None:
    assert knee(FRONT[:count], ("error", "macs")) is None
    text = printed(FRONT[:count], {})
    assert "◆" not in text
    assert f"{count} architecture{'' if count == 1 else 's'} on the front" in text


def test_an_objective_that_is_not_known_leaves_the_knee_open() -> None:
    entries = (*FRONT, FrontEntry(4, "odd", "", {}, {"error": 0.3}))
    assert knee(entries, ("error", "macs")) is None


def test_the_front_is_sorted_by_any_figure(
    finished_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_run.parent.parent)
    ids = [entry["id"] for entry in sorted(nas.open_run("small").front, key=lambda e: e["values"]["weight_bytes"])]
    assert main(["front", "small", "--sort", "weight_bytes"]) == 0
    said = capsys.readouterr().out
    assert "stored weights" in said
    assert sorted(ids, key=said.index) == ids
    assert main(["front", "small", "--sort", "weight_byte"]) == 2
    assert "unknown figure to sort by 'weight_byte': did you mean 'weight_bytes'" in capsys.readouterr().err


def test_a_run_shows_itself(finished_run: Path) -> None:
    run = nas.open_run(finished_run)
    assert repr(run) == (
        f"Run({str(finished_run)!r}, objectives macs, missing_context: 12 architectures evaluated, "
        f"{len(run.front)} on the front)"
    )
    html = run._repr_html_()
    assert html.count("<tr>") == 1 + len(run.front)
    assert all(entry["id"] in html for entry in run.front)


def test_a_run_that_is_damaged_shows_itself_too(copied_run: Callable[[str], Path]) -> None:
    run = nas.open_run(copied_run("bad"))
    (run.search_folder / "front.json").write_text("{")
    assert "is damaged" in repr(run)
    assert "is damaged" in run._repr_html_()
    (run.search_folder / "front.json").unlink()
    assert "not ended" in repr(run)
