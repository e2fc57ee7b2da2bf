"""A run under way is read from its own record, which stays as it is."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from nas import open_run
from nas.cli import main
from nas.live import doing, so_far
from nas.search.reading import read_study, study_stamp
from search_spaces import NasError
from tests.nas.small_runs import make_run

LOG = """\
2026-03-01 12:00:00,101 INFO nas: run in runs/quickstart, started
2026-03-01 12:00:01,102 INFO nas: training the supernet: done after 3:10 (loss 0.31)
2026-03-01 12:04:01,103 INFO nas: searching: 45 %, about 1:23 left (error 0.1, macs 1e+06)
2026-03-01 12:04:02,104 WARNING nas.search.driver: one worker was lost
"""


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_search_without_saved_evaluations_is_read_from_its_study(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path, "one", f'search.storage="{storage}"')
    monkeypatch.chdir(tmp_path)
    whole = so_far(open_run("one"))
    assert whole.is_final
    assert len(whole.evaluations) == 12
    for name in ("evaluations.json", "front.json"):
        (folder / "searches" / "search" / name).unlink()
    before = contents(folder)
    found = so_far(open_run("one"))
    assert contents(folder) == before
    assert not found.is_final
    key = [(e.proposer, e.number, e.id, e.values, e.feasible) for e in found.evaluations]
    assert sorted(key) == sorted((e.proposer, e.number, e.id, e.values, e.feasible) for e in whole.evaluations)
    assert [entry.id for entry in found.front] == [entry.id for entry in whole.front]
    assert found.history is not None
    assert found.history.final is not None


def test_a_study_is_read_while_it_is_written(copied_run: Callable[[str], Path]) -> None:
    from nas.search.storage import close_storage, open_storage

    folder = copied_run("small") / "searches" / "search"
    before = read_study(folder, storage="sqlite", name="search")
    assert before is not None
    writer = open_storage(folder, "sqlite")
    try:
        study = next(one for one in writer.get_all_studies())
        writer.set_study_user_attr(study._study_id, "touched", True)
        during = read_study(folder, storage="sqlite", name="search")
        writer.set_study_user_attr(study._study_id, "touched", False)
    finally:
        close_storage(writer)
    assert during is not None
    assert during.recorded == before.recorded
    assert during.last_ended is not None


def test_nothing_and_what_is_only_being_made_are_no_study(tmp_path: Path) -> None:
    assert study_stamp(tmp_path) == ()
    assert read_study(tmp_path, storage="sqlite", name="search") is None
    (tmp_path / "study.db").touch()
    assert read_study(tmp_path, storage="sqlite", name="search") is None


def test_a_damaged_study_is_told_and_left_alone(copied_run: Callable[[str], Path]) -> None:
    path = copied_run("small") / "searches" / "search" / "study.db"
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    before = path.read_bytes()
    with pytest.raises(NasError, match=r"study.db cannot be read now: .*Nothing was changed"):
        read_study(path.parent, storage="sqlite", name="search")
    assert path.read_bytes() == before


def test_a_copied_folder_is_as_final_as_the_original(copied_run: Callable[[str], Path]) -> None:
    folder = copied_run("small")
    (folder / "searches" / "search" / "study.db").touch()
    assert so_far(open_run("small")).is_final


def test_the_front_so_far_is_printed_with_a_word(
    copied_run: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied_run("small")
    assert main(["front", "small", "--json"]) == 0
    whole = capsys.readouterr().out
    (folder / "searches" / "search" / "front.json").unlink()
    assert main(["front", "small"]) == 0
    assert "so far, of 12 evaluations: the search has not ended" in capsys.readouterr().out
    assert main(["front", "small", "--json"]) == 0
    assert capsys.readouterr().out.count('"id"') == whole.count('"id"')


def test_the_log_tells_what_is_done_now(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LOG)
    now = doing(tmp_path, now=datetime(2026, 3, 1, 12, 4, 11))
    assert (now.title, now.share, now.left, now.note) == ("searching", 0.45, "1:23", "error 0.1, macs 1e+06")
    assert now.since_s == 10
    assert now.text() == "Searching, 45 %, about 1:23 left (error 0.1, macs 1e+06)."
    later = doing(tmp_path, now=datetime(2026, 3, 1, 13, 0, 0))
    assert later.is_silent
    assert later.text() == "Last seen searching, but nothing was heard for 55:59: it may have been stopped."


def test_between_steps_and_without_a_log_nothing_is_done(tmp_path: Path) -> None:
    assert doing(tmp_path).text() == "Nothing is under way."
    (tmp_path / "log.txt").write_text("\n".join(LOG.splitlines()[:2]) + "\nhalf a li")
    assert doing(tmp_path).text() == "Nothing is under way."
    soon = datetime.fromisoformat(LOG.splitlines()[1][:19])
    assert doing(tmp_path, now=soon).text().startswith("Getting ready, after ")
    (tmp_path / "report.html").touch()
    assert doing(tmp_path, now=soon).text() == "Nothing is under way."
    shutil.rmtree(tmp_path)
