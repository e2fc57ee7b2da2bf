"""The command line: help that works, errors in one message with exit code 2, Ctrl-C."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.cli import main, text_table


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        *([name, "--help"] for name in ("run", "space", "profile", "train", "search")),
        *([name, "-h"] for name in ("front", "report", "explain", "export", "fit")),
        *(["space", name, "--help"] for name in ("show", "size", "sample")),
    ],
    ids=" ".join,
)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "Usage: nas" in capsys.readouterr().out


def test_three_mistakes_are_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    sets = ("search.evaluatons=3", "task.batch_size=0", "search.limits.latency=1")
    words = [word for text in sets for word in ("--set", text)]
    assert main(["run", "quickstart", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("nas: 3 mistakes in ")
    assert "\n  search.evaluatons: unknown key; did you mean 'evaluations'" in said
    assert "\n  task.batch_size: must be greater than or equal to 1, got 0" in said
    assert "\n  search.limits.latency: unknown figure 'latency'" in said
    assert "Traceback" not in said


def test_an_unknown_recipe_gets_near_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "quickstrat"]) == 2
    assert "did you mean 'quickstart'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "quickstart", "--resum"], "No such option: --resum"),
        (["run"], "Missing argument 'RECIPE'"),
    ],
)
def test_misuse_of_the_command_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said.lower() in capsys.readouterr().err.lower()


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\ndef space(net, pick):\n    pathlib.Path('ready').touch()\n    time.sleep(60)\n"
    )
    code = "from nas.cli import main; raise SystemExit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, "space", "sample", "slow.py:space"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 30
        while not (tmp_path / "ready").exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert said == "nas: stopped; what was written so far is kept\n"
    assert process.returncode == 130


def test_a_full_disk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full.py").write_text(
        "def space(net, pick):\n    with open('/dev/full', 'w') as file:\n        file.write('x')\n"
    )
    assert main(["space", "sample", "full.py:space"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert len(said.splitlines()) == 1


def test_a_table_is_aligned() -> None:
    rows = [{"id": "a", "error": 0.0123456, "latency_ms": None}, {"id": "longer", "error": 0.5}]
    assert text_table(rows).splitlines() == [
        "id      error    latency_ms",
        "a       0.01235  -",
        "longer  0.5      -",
    ]
    assert text_table([]) == ""
