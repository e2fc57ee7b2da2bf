"""Trials written in bulk are, to Optuna, those that it would have written itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.search.slots import distributions, parameters_of
from nas.search.storage import close_storage, open_storage
from nas.search.trials import BulkWriter, PlainWriter, TrialWriter, writer_for

SLOTS = (("depth", (1, 2, 3)), ("width", ("narrow", "wide")), ("only", (7,)))
Open = Callable[[str], tuple[optuna.Study, BulkWriter, PlainWriter]]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Makes a study by name, with both writers."""
    storage = request.getfixturevalue("postgres").url if request.param == "postgresql" else "sqlite"
    found = open_storage(tmp_path, storage)

    def make(name: str) -> tuple[optuna.Study, BulkWriter, PlainWriter]:
        study = optuna.create_study(storage=found, study_name=f"{tmp_path}/{name}", directions=["minimize"] * 2)
        writer = writer_for(found, study, parameters_of(SLOTS))
        assert isinstance(writer, BulkWriter)
        return study, writer, PlainWriter(study)

    yield make
    close_storage(found)


def trial(number: int, state: TrialState = TrialState.RUNNING) -> FrozenTrial:
    ended = state == TrialState.COMPLETE
    return create_trial(
        state=state,
        params={"depth": number % 3, "width": number % 2, "only": 0},
        distributions=distributions(SLOTS),
        values=[1 / 3 + number, -2e300] if ended else None,
        user_attrs={"number": number, "architecture": {"width": "wïde"}, "macs": 1 / 7, "luck": None},
        constraints={"params": 0.1 + number} if ended else None,
    )


def write(writer: TrialWriter) -> None:
    """Trials of every kind."""
    ids = [writer.add(trial(0)), writer.add(trial(1)), writer.add(trial(2)), writer.add(trial(3, TrialState.COMPLETE))]
    assert None not in ids
    done = create_trial(
        state=TrialState.COMPLETE,
        values=[0.1 + 0.2, 5.0],
        user_attrs={"seconds": 1.5, "luck": 4.0, "macs": 2.0},
        constraints={"params": -1.0, "error": 0.25},
    )
    assert writer.end(ids[0], done)
    assert writer.end(ids[1], create_trial(state=TrialState.FAIL, user_attrs={"failure": 'it "broke"'}))
    assert not writer.end(ids[1], done)
    assert not writer.end(ids[3], done)


def shown(study: optuna.Study) -> list[tuple]:
    return [
        (
            t.number,
            t.state,
            t.values,
            t.params,
            t.distributions,
            t.user_attrs,
            t.system_attrs,
            t.constraints,
            t.datetime_start is not None,
            t.datetime_complete is not None,
        )
        for t in study.get_trials()
    ]


def test_bulk_is_as_optuna_writes(opened: Open) -> None:
    bulk, quick, _ = opened("bulk")
    plain, _, slow = opened("plain")
    write(quick)
    write(slow)
    assert shown(bulk) == shown(plain)
    assert [t.number for t in bulk.trials] == [0, 1, 2, 3]
    assert bulk.trials[0].constraints == {"params": -1.0, "error": 0.25}
    for ours, theirs in zip(bulk.trials, plain.trials, strict=True):
        assert ours.datetime_start is not None
        assert theirs.datetime_start is not None
        assert abs((ours.datetime_start - theirs.datetime_start).total_seconds()) < 60


def test_a_trial_of_another_program_is_noticed_before_anything_is_written(opened: Open) -> None:
    study, writer, other = opened("shared")
    assert writer.add(trial(0)) is not None
    added = other.add(trial(1))
    assert writer.add(trial(2)) is None
    assert len(study.trials) == 2
    writer.saw([t._trial_id for t in study.get_trials()])
    newest = writer.add(trial(2))
    assert newest is not None
    assert newest > added
    assert [t.number for t in study.trials] == [0, 1, 2]


def test_a_journal_is_written_through_optuna(tmp_path: Path) -> None:
    storage = open_storage(tmp_path, "journal")
    study = optuna.create_study(storage=storage, directions=["minimize"] * 2)
    writer = writer_for(storage, study, parameters_of(SLOTS))
    assert isinstance(writer, PlainWriter)
    write(writer)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "FAIL", "RUNNING", "COMPLETE"]
