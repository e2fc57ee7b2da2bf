"""Runs that are half written, damaged, of another version, or all but empty: a page or a message that says so."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nas import open_run
from nas.cli import main
from nas.reporting import report_data
from nas.salvage import data_without_recipe
from nas.search.front import write_front
from search_spaces import NasError

Copied = Callable[[str], Path]
SEARCH = Path("searches", "search")


def page_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The report that `nas report` writes anew: never blank."""
    (folder / "report.html").unlink(missing_ok=True)
    capsys.readouterr()
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert "<h2" in text
    return text


def messages(capsys: pytest.CaptureFixture[str], *commands: list[str]) -> list[str]:
    """What each command that cannot be obeyed says: one line, and exit code 2."""
    found = []
    for words in commands:
        capsys.readouterr()
        assert main(words) == 2, words
        found.append(capsys.readouterr().err.strip())
        assert "Traceback" not in found[-1]
    return found


def test_a_run_that_has_only_begun(copied_run: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied_run("begun")
    for path in (folder / SEARCH).iterdir():
        path.unlink()
    (folder / "stages.json").unlink()
    text = page_of(folder, capsys)
    assert "nothing is evaluated yet" in text
    assert "No architecture has been evaluated yet" in text
    said = messages(capsys, ["front", "begun"], ["explain", "begun", "ab"], ["compare", "begun", "begun"])
    assert "has no front yet" in said[0]
    assert "unknown architecture 'ab'" in said[1]


def test_a_run_without_a_recipe_shows_what_is_there(copied_run: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied_run("torn")
    entries = json.loads((folder / SEARCH / "front.json").read_text())["architectures"]
    (folder / "recipe.toml").unlink()
    text = page_of(folder, capsys)
    assert "This run can only be shown in part" in text
    assert "has no recipe.toml" in text
    assert all(entry["id"] in text for entry in entries)
    said = messages(capsys, ["front", "torn"], ["explain", "torn", "ab"], ["compare", "torn", "torn"])
    assert all("has no recipe.toml" in message for message in said)


def test_a_recipe_of_another_version(copied_run: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied_run("old")
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[search]", "[search]\nolder_key = 3"))
    text = page_of(folder, capsys)
    assert "can only be shown in part" in text
    assert "older_key" in text
    (message, *_) = messages(capsys, ["front", "old"], ["explain", "old", "ab"], ["compare", "old", "old"])
    assert "older_key: unknown key" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("front.json", '{"architectures": [{"id": "a"}]}'),
        ("front.json", "3"),
        ("evaluations.json", "[{}]"),
        ("evaluations.json", "[1, 2"),
    ],
)
def test_damaged_results_are_named(
    name: str, content: str, copied_run: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied_run("bad")
    (folder / SEARCH / name).write_text(content)
    text = page_of(folder, capsys)
    assert "Not shown, because it cannot be read: what the search found" in text
    assert name in text
    for message in messages(capsys, ["front", "bad"], ["explain", "bad", "ab"]):
        assert name in message


@pytest.mark.parametrize("name", ["stages.json", "environment.json", "fidelity.json"])
def test_a_damaged_side_file_leaves_out_one_part(
    name: str, copied_run: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied_run("bad")
    (folder / name).write_text('{"half')
    data = report_data(open_run(folder), whole=False)
    assert len(data.front) > 0
    assert any(name in note for note in data.notes)
    assert main(["front", "bad"]) == 0


def test_a_front_of_one(copied_run: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied_run("single")
    path = folder / SEARCH / "front.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "architectures": found["architectures"][:1]}))
    assert "single architecture" in page_of(folder, capsys)
    assert main(["front", "single"]) == 0
    said = capsys.readouterr().out
    assert "1 architecture on the front" in said
    assert "◆" not in said
    copied_run("whole")
    assert main(["compare", "single", "whole"]) == 0


def test_an_empty_front(copied_run: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied_run("empty")
    write_front(folder / SEARCH, (), objectives=("macs",), limits={"macs": 1.0})
    path = folder / SEARCH / "evaluations.json"
    path.write_text(json.dumps([{**row, "feasible": False} for row in json.loads(path.read_text())]))
    assert "front is empty" in page_of(folder, capsys)
    copied_run("whole")
    (front, compared) = messages(capsys, ["front", "empty"], ["compare", "empty", "whole"])
    assert re.search("is empty: none of 12 architectures keeps every limit", front)
    assert "has no front yet" in compared or "is empty" in compared


def test_what_is_no_run_at_all_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    folder = str(tmp_path / "pictures")
    said = messages(capsys, ["report", folder], ["front", folder], ["compare", folder, folder], ["ui", folder])
    assert all("is not a run" in message or "nas-explorer[ui]" in message for message in said)
    assert list((tmp_path / "pictures").iterdir()) == []


def test_parts_of_what_cannot_be_read_are_still_strict(tmp_path: Path) -> None:
    (tmp_path / "searches" / "search").mkdir(parents=True)
    (tmp_path / "searches" / "search" / "front.json").write_text('{"objectives": ["macs"], "architectures": 3}')
    (tmp_path / "environment.json").write_text("[1")
    data = data_without_recipe(tmp_path, NasError("it is torn"))
    assert data.front == ()
    assert data.notes[0] == "This run can only be shown in part: it is torn."
    assert len(data.notes) == 3
