"""The command line: help that works, errors in one message with exit code 2, Ctrl-C."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.cli import main, text_table
from search_spaces import Architecture
from search_spaces.catalog import CATALOG


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
        *(["profile", name, "--help"] for name in ("plan", "import")),
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


def test_space_show_lists_each_choice_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", "show", "mobile", "--set", "kernels=[3]", "--input", "3,16,16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert len(names) == len(set(names)) > 20
    assert {line.split()[1] for line in lines if ".kernel " in line} == {"3"}
    assert next(line for line in lines if line.startswith("resolution")).split()[-1] == "always"
    assert next(line for line in lines if line.startswith("stage0.block2.kernel")).split()[-1] == "sometimes"


def test_space_sample_draws_from_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = []
    for seed in ("1", "1", "2"):
        assert main(["space", "sample", "mobile", "-n", "3", "--seed", seed]) == 0
        drawn.append(capsys.readouterr().out.splitlines())
    assert drawn[0] == drawn[1] != drawn[2]
    space = CATALOG["mobile"]((3, 32, 32), 10)
    for line in drawn[0]:
        space.build(Architecture.from_json(line))


def test_the_space_of_a_recipe_has_the_shape_of_its_data(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", "show", str(repository / "runs" / "quickstart.toml")]) == 0
    resolution = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("resolution"))
    assert resolution.split() == ["resolution", "7,", "8", "always"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["space", "show", "moble"], "unknown space 'moble': did you mean 'mobile'"),
        (["space", "show", "mobile", "--input", "3"], "--input '3' must look like channels,height,width"),
        (["space", "size", "mobile", "--set", "kernel=3"], "did you mean 'kernels'"),
    ],
)
def test_wrong_spaces(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\ndef space(net, pick):\n    pathlib.Path('ready').touch()\n    time.sleep(60)\n"
    )
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background shell ignores it
    code = f"{heard}; from nas.cli import main; raise SystemExit(main())"
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
