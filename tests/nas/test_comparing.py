"""`nas compare` on real runs: fronts, what was asked differently, and every kind of bad input in one message."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.comparing import compare_runs
from tests.nas.small_runs import make_run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with three runs: `wide` and `narrow` share an objective, `other` shares none with them."""
    folder = tmp_path_factory.mktemp("compared")
    make_run(folder, "wide", "search.evaluations=12")
    make_run(folder, "narrow", 'search.objectives=["macs", "weight_bytes"]', "search.seed=3")
    make_run(folder, "other", 'search.objectives=["params"]')
    return folder


@pytest.fixture(autouse=True)
def _there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["compare", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (message,) = said.err.splitlines()
    return message


def test_two_runs_are_compared_in_what_they_share() -> None:
    found = compare_runs(["wide", "runs/narrow"])
    assert found.objectives == ("macs",)
    assert [side.name for side in found.sides] == ["wide", "narrow"]
    told = {one.key: one.values for one in found.differences}
    assert told["search.evaluations"] == ("12", "8")
    assert told["search.seed"] == ("0", "3")
    assert "name" not in told
    assert all(one.meaning for one in found.differences if one.key.startswith("search."))


def test_the_command_prints_tables_and_writes_a_page(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "wide", "narrow"]) == 0
    said = capsys.readouterr().out
    assert "hypervolume" in said
    assert "search.evaluations" in said
    page = workplace / "runs" / "compare-wide-narrow.html"
    assert said.splitlines()[-1] == "page: runs/compare-wide-narrow.html"
    assert "Fronts compared" in page.read_text()


def test_programs_get_json(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "wide", "narrow", "--json", "-o", str(workplace / "page.html")]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["objectives"] == ["macs"]
    assert (workplace / "page.html").is_file()


def test_an_own_network_stands_beside_one_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (export,) = (workplace / "runs" / "narrow" / "exports").iterdir()
    assert main(["compare", "narrow", "--own", str(export)]) == 0
    assert re.search(rf"own +{export.name} ", capsys.readouterr().out)


def test_bad_input_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert "share no objective (wide: macs, missing_context; other: params)" in refused(capsys, "wide", "other")
    assert "there is no run 'wid'; runs in runs: narrow, other, wide" in refused(capsys, "wide", "wid")
    assert "needs two fronts" in refused(capsys, "wide")
    assert "run 'wide' is named twice" in refused(capsys, "wide", "wide")
    assert "unknown search 'tiny': known: search" in refused(capsys, "wide", "wide:tiny")


def test_a_half_written_run_is_one_message(
    copied_run: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    copied_run("whole")
    begun = copied_run("begun")
    (begun / "searches" / "search" / "front.json").unlink()
    assert "runs/begun has no front yet" in refused(capsys, "whole", "begun")
    (begun / "searches" / "search" / "front.json").write_text('{"architectures": [{"id": "a"}]}')
    assert "was written by another version of this project, or is damaged" in refused(capsys, "whole", "begun")
    (begun / "recipe.toml").write_text("[search]\nevaluatons = 3\n")
    capsys.readouterr()
    assert main(["compare", "whole", "begun"]) == 2
    (begun / "recipe.toml").unlink()
    assert "has no recipe.toml" in refused(capsys, "whole", "begun")
