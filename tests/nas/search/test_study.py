"""Optuna's study as the record: what is written is read back, and what was lost is named."""

import json
import math
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from nas.search.problem import Settings
from nas.search.storage import FILE_NAMES, StorageKind, locked
from nas.search.study import Header, Proposal, open_study
from search_spaces.errors import NasError
from search_spaces.space import Architecture

HEADER = Header(
    objectives=("error", "macs"),
    limits={"params": 100.0, "error": 0.5},
    slots=(("depth", (1, 2, 3)), ("width", ("narrow", "wide")), ("only", (7,))),
    proposer="surrogate",
    seed=3,
    lag=8,
    identity="id",
    probes={"{}": "abc"},
)
KINDS: tuple[StorageKind, ...] = ("sqlite", "journal")


def proposal(number: int, *, skipped: tuple[tuple[int, ...], ...] = ()) -> Proposal:
    return Proposal(
        number=number,
        proposer="surrogate",
        row=(number % 3, number % 2, 0),
        architecture=Architecture.of({"depth": 1 + number % 3, "width": "wide", "only": 7}),
        id=f"id{number}",
        fingerprint=f"print{number}",
        figures={"macs": 1.0 / 3.0 + number, "params": 90.0 + number},
        seed=17,
        skipped=skipped,
    )


def study_in(folder: Path, kind: StorageKind = "sqlite") -> optuna.Study:
    if kind == "sqlite":
        return optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 'study.db'}")
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
    return optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: StorageKind, tmp_path: Path) -> None:
    one, other, third = proposal(0, skipped=((1, 1, 0),)), proposal(1), proposal(20)
    with open_study(tmp_path, HEADER, name="s", storage=kind) as record:
        record.start(one)
        record.start(other)
        record.finish(one, {**one.figures, "error": 0.1 + 0.2, "luck": 5.0}, 1.5)
        record.fail(other, "it broke")
        record.add(third, {**third.figures, "error": 0.9})
    with open_study(tmp_path, HEADER, name="s", storage=kind, resume=True) as record:
        first, second, last = record.load()
    assert first.proposal.row == one.row
    assert first.proposal.skipped == one.skipped
    assert first.proposal.architecture == one.architecture
    assert first.values == {**one.figures, "error": 0.1 + 0.2, "luck": 5.0}
    assert (first.seconds, first.cached, first.failure) == (1.5, False, None)
    assert (second.values, second.failure) == (None, "it broke")
    assert (last.values, last.cached) == ({**third.figures, "error": 0.9}, True)

    study = study_in(tmp_path, kind)
    trials = study.trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert trials[0].params == {"depth": 0, "width": 0, "only": 0}
    assert trials[0].values == [0.1 + 0.2, 1.0 / 3.0]
    assert trials[0].constraints == {"params": -10.0, "error": 0.1 + 0.2 - 0.5}
    assert trials[2].constraints == {"params": 10.0, "error": 0.4}
    assert trials[0].user_attrs["fingerprint"] == "print0"
    assert study.metric_names == ["error", "macs"]
    assert [trial.number for trial in study.best_trials] == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_trial_of_a_dead_driver_is_named_again(kind: StorageKind, tmp_path: Path) -> None:
    with open_study(tmp_path, HEADER, name="s", storage=kind) as record:
        record.start(proposal(0))
        record.start(proposal(1))
        record.finish(proposal(0), {**proposal(0).figures, "error": 0.2}, 1.0)
    with open_study(tmp_path, HEADER, name="s", storage=kind, resume=True) as record:
        done, lost = record.load()
        assert done.values is not None
        assert lost.proposal.row == proposal(1).row
        assert (lost.values, lost.failure) == (None, None)
        record.start(lost.proposal)
        record.finish(lost.proposal, {**lost.proposal.figures, "error": 0.3}, 1.0)
        assert [known.values is not None for known in record.load()] == [True, True]
    states = [trial.state.name for trial in study_in(tmp_path, kind).trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]


def test_given_up_trials_may_be_tried_again(tmp_path: Path) -> None:
    with open_study(tmp_path, HEADER, name="s") as record:
        record.start(proposal(0))
        record.give_up()
        (left,) = record.load()
    assert (left.values, left.failure) == (None, None)


def test_slots_are_stable_indices(tmp_path: Path) -> None:
    with open_study(tmp_path, HEADER, name="s") as record:
        record.add(proposal(0), {**proposal(0).figures, "error": 0.2})
    found = study_in(tmp_path).trials[0].distributions
    assert found["depth"] == optuna.distributions.IntDistribution(0, 2)
    assert found["width"] == optuna.distributions.CategoricalDistribution((0, 1))
    assert found["only"].single()


def test_an_existing_study_is_not_touched_without_resume(tmp_path: Path) -> None:
    with open_study(tmp_path, HEADER, name="s"):
        pass
    with (
        pytest.raises(NasError, match="already holds the search 's': continue it with --resume"),
        open_study(tmp_path, HEADER, name="s"),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed was 3 and is 4"),
        ({"objectives": ("error",)}, "objectives was"),
        ({"probes": {"{}": "abd"}}, "the space has changed since"),
        ({"slots": HEADER.slots[:2]}, "the space has changed since"),
    ],
)
def test_a_study_of_another_search_is_refused(change: dict, message: str, tmp_path: Path) -> None:
    with open_study(tmp_path, HEADER, name="s"):
        pass
    with pytest.raises(NasError, match=message), open_study(tmp_path, replace(HEADER, **change), name="s", resume=True):
        pass


def filled(folder: Path, kind: StorageKind) -> Path:
    with open_study(folder, HEADER, name="s", storage=kind) as record:
        for number in range(30):
            record.add(proposal(number), {**proposal(number).figures, "error": 0.2})
    return folder / FILE_NAMES[kind]


def spoil_truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def spoil_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[: middle - 3000] + b"\xff" * 6000 + data[middle + 3000 :]


def spoil_all(data: bytes) -> bytes:
    return b"this is not a study\n" * 400


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("sqlite", spoil_truncate),
        ("sqlite", spoil_middle),
        ("sqlite", spoil_all),
        ("journal", spoil_middle),
        ("journal", spoil_all),
    ],
)
def test_a_damaged_study_is_named_and_left_as_it_is(kind: StorageKind, spoil, tmp_path: Path) -> None:
    path = filled(tmp_path, kind)
    path.write_bytes(spoil(path.read_bytes()))
    before = path.read_bytes()
    with (
        pytest.raises(NasError) as refusal,
        open_study(tmp_path, HEADER, name="s", storage=kind, resume=True) as record,
    ):
        record.load()
    assert f"the study {path} cannot be read" in str(refusal.value)
    assert f"mv {path} {path}.bad" in str(refusal.value)
    assert path.read_bytes() == before


def test_a_half_written_last_line_of_a_journal_is_dropped(tmp_path: Path) -> None:
    path = filled(tmp_path, "journal")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "worker')
    (tmp_path / "study.journal.lock").symlink_to(path)
    with open_study(tmp_path, HEADER, name="s", storage="journal", resume=True) as record:
        assert len(record.load()) == 30
    assert path.read_bytes().startswith(whole)
    assert b"worker" + b"{" not in path.read_bytes()


def test_another_database_is_not_overwritten(tmp_path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "study.db")
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.execute("INSERT INTO recipes VALUES ('soup')")
    connection.commit()
    connection.close()
    with pytest.raises(NasError, match="a database without studies"), open_study(tmp_path, HEADER, name="s"):
        pass


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    code = f"""
        import resource
        from pathlib import Path
        from nas.search.study import open_study
        from tests.nas.search.test_study import HEADER, proposal
        folder = Path({str(tmp_path)!r})
        try:
            with open_study(folder, HEADER, name="s") as record:
                record.add(proposal(0), {{**proposal(0).figures, "error": 0.2}})
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
                for number in range(1, 400):
                    record.add(proposal(number), {{**proposal(number).figures, "error": 0.2}})
        except Exception as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("NasError the study"), done.stdout + done.stderr
    assert "cannot be written" in done.stdout
    assert "--resume" in done.stdout
    with open_study(tmp_path, HEADER, name="s", resume=True) as record:
        assert record.load()[0].values == {**proposal(0).figures, "error": 0.2}


def test_two_drivers_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(NasError, match="another process is searching in"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_the_header_is_plain_json(tmp_path: Path) -> None:
    with open_study(tmp_path, HEADER, name="s"):
        pass
    written = json.loads(study_in(tmp_path).user_attrs["search"])
    assert written["objectives"] == ["error", "macs"]
    assert math.isclose(written["limits"]["error"], 0.5)
    assert Settings().storage == "sqlite"


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3
    import threading

    from nas.search import storage

    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.2)
    with open_study(tmp_path, HEADER, name="s") as record:
        record.start(proposal(0))
        other = sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
        release.start()
        assert record.finish(proposal(0), {**proposal(0).figures, "error": 0.2}, 1.0)
        release.join()
        assert record.start(proposal(1))
        other.close()
    assert [trial.state.name for trial in study_in(tmp_path).trials] == ["COMPLETE", "RUNNING"]
