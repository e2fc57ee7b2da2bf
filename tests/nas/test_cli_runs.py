"""Commands on a run: a real, small one that counts costs and trains nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main

SPACE = """
import search_spaces as ss

def space(net, pick):
    x = net.input(1, 8, 8)
    x = ss.conv_norm_act(net, x, pick("width", (4, 8, 16)), kernel=pick("kernel", (3, 5)))
    return ss.classifier(net, x, classes=10)
"""
RECIPE = """
[space]
name = "space.py:space"
[search]
objectives = ["macs", "weight_bytes"]
evaluations = 4
workers = 1
lag = 0
[export]
top = 1
formats = ["pytorch"]
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a finished run called `small` in runs/."""
    folder = tmp_path_factory.mktemp("runs_of_the_command_line")
    (folder / "space.py").write_text(SPACE)
    (folder / "small.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "small.toml"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the words, expect exit code 2 and a message as the last line; return it."""
    assert main(words) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(("nas: ", "  "))
    return message


def front(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["front", "small", "--json", *words]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_the_folder_is_whole(workplace: Path) -> None:
    run = workplace / "runs" / "small"
    for name in ("recipe.toml", "environment.json", "report.html", "log.txt"):
        assert (run / name).stat().st_size > 0, name
    for name in ("study.db", "front.json", "front.csv"):
        assert (run / "searches" / "search" / name).stat().st_size > 0, name
    assert len(list((run / "exports").iterdir())) == 1


def test_front_finds_the_only_optimum(capsys: pytest.CaptureFixture[str]) -> None:
    (best,) = front(capsys)
    assert best["picks"] == {"width": 4, "kernel": 3}
    assert main(["front", "small"]) == 0
    assert str(best["id"]) in capsys.readouterr().out


def test_an_existing_run_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert "exists: continue it with --resume, or choose another" in refused(capsys, "run", "small.toml")
    other = refused(capsys, "run", "small.toml", "--resume", "--set", "search.seed=5")
    assert "was started with other settings (search.seed)" in other


def test_a_finished_run_resumes_to_the_same_front(capsys: pytest.CaptureFixture[str]) -> None:
    before = front(capsys)
    assert main(["run", "small.toml", "--resume"]) == 0
    assert front(capsys) == before


def test_explain_and_report(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    identity = str(front(capsys)[0]["id"])
    assert main(["explain", "small", identity[:6]]) == 0
    assert identity in capsys.readouterr().out
    assert "unknown architecture 'zz'" in refused(capsys, "explain", "small", "zz")
    page = workplace / "runs" / "small" / "report.html"
    page.unlink()
    assert main(["report", "runs/small"]) == 0
    assert capsys.readouterr().out == "runs/small/report.html\n"
    assert page.is_file()


def test_export_and_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "small", "--format", "pytorch"]) == 0
    folder = capsys.readouterr().out.strip()
    assert main(["fit", folder, "--epochs", "1", "--from-scratch"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"test accuracy \d+\.\d\d % ", said)
    assert "tensorflow" in refused(capsys, "export", "small", "--format", "tensorflow")


def test_a_further_search_has_limits_of_its_own(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["search.name=wide", "search.objectives=['error_free']"]
    assert "unknown figure 'error_free'" in refused(capsys, "search", "small", *_set(*sets))
    assert main(["search", "small", *_set("search.name=wide", "search.objectives=['activations']")]) == 0
    assert (workplace / "runs" / "small" / "report-wide.html").is_file()
    assert {entry["picks"]["width"] for entry in front(capsys, "--search", "wide")} == {4}
    assert front(capsys)[0]["picks"] == {"width": 4, "kernel": 3}
    with_others = _set("search.name=wide", "search.objectives=['params']")
    assert "holds a search with other settings" in refused(capsys, "search", "small", *with_others)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("front", "smal"), "there is no run 'smal'; runs in runs: small"),
        (("front", "small", "--search", "wid"), "unknown search 'wid'"),
        (("train", "small"), "needs no shared weights"),
        (("search", "small", "--set", "search.seed=5"), "give this one a name with --set search.name=NAME"),
        (("search", "small", "--set", "task.limit=5"), "only keys of search and export may change"),
    ],
)
def test_refusals(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, *words)


def _set(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--set", text)]
