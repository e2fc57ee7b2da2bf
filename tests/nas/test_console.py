"""Progress as plain lines and as a bar, with the time left; the log file of a run."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.console import duration, log_to, progress


class Clock:
    """A clock that a test sets by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def root_handlers() -> Iterator[list[logging.Handler]]:
    logger = logging.getLogger("nas")
    before = list(logger.handlers)
    yield before
    assert logger.handlers == before


def test_plain_lines_tell_the_time_left() -> None:
    clock, out = Clock(), io.StringIO()
    with progress("train", 10, stream=out, every_s=10, clock=clock) as step:
        for done in range(1, 11):
            clock.now = 6.0 * done
            step.advance(note=f"loss {done}")
    assert out.getvalue().splitlines() == [
        "train: 20 %, about 0:48 left (loss 2)",
        "train: 40 %, about 0:36 left (loss 4)",
        "train: 60 %, about 0:24 left (loss 6)",
        "train: 80 %, about 0:12 left (loss 8)",
        "train: 100 %, about 0:00 left (loss 10)",
        "train: done after 1:00 (loss 10)",
    ]


def test_start_up_and_resumed_work_do_not_bend_the_estimate() -> None:
    clock, out = Clock(), io.StringIO()
    clock.now = 100.0
    with progress("train", 100, stream=out, every_s=10, clock=clock) as step:
        clock.now = 140.0
        step.advance(50)
        for _ in range(2):
            clock.now += 10.0
            step.advance(5)
    assert out.getvalue().splitlines() == [
        "train: 50 %, 0:40 so far",
        "train: 55 %, about 1:30 left",
        "train: 60 %, about 1:20 left",
        "train: done after 1:00",
    ]


def test_an_unknown_total_tells_the_time_so_far() -> None:
    clock, out = Clock(), io.StringIO()
    with progress("compile", None, stream=out, every_s=10, clock=clock) as step:
        clock.now = 11.0
        step.advance()
    assert out.getvalue().splitlines() == ["compile: 0:11 so far", "compile: done after 0:11"]


def test_a_step_that_fails_says_stopped() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="nan"), progress("train", 3, stream=out):
        raise ValueError("nan")
    assert out.getvalue() == "train: stopped after 0:00\n"


def test_bars_nest_on_a_terminal() -> None:
    out = Terminal()
    with progress("outer", 2, stream=out) as outer:
        for _ in range(2):
            with progress("inner", 3, stream=out) as inner:
                inner.advance(3, note="loss 0.5")
            outer.advance()
    shown = out.getvalue()
    assert "outer" in shown
    assert "inner" in shown
    assert "100%" in shown
    assert "loss 0.5" in shown


def test_the_log_holds_progress_and_messages(
    tmp_path: Path, root_handlers: list[logging.Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run" / "log.txt"
    for _ in range(2):
        with log_to(path), progress("train", 1, stream=Terminal()) as step:
            step.advance()
            logging.getLogger("predictors.tables").warning("slow")
    lines = path.read_text().splitlines()
    assert [line.split(" ", 3)[2:] for line in lines] == 2 * [
        ["WARNING", "predictors.tables: slow"],
        ["INFO", "nas: train: done after 0:00"],
    ]
    assert "WARNING: slow" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
