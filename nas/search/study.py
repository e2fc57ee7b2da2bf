"""Optuna as the record of a search: every proposal is a trial before it is evaluated, so that none is lost.

Every slot of the space is a parameter of every trial, as the index of its option. Objectives are the trial's values,
limits its constraints (figure minus limit), everything else its user attributes. A trial that was running when its
driver died is marked failed, and its proposal becomes a new trial with the same number in the search. Several drivers
may share a study in PostgreSQL: each trial is started by whoever records it first.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from nas.search.domain import Rows
from nas.search.patience import innermost, patiently
from nas.search.postgres import Presence
from nas.search.record import Evaluation, Key
from nas.search.slots import distributions, parameters_of
from nas.search.storage import close_storage, damaged, kind_of, open_storage, study_place
from nas.search.trials import TrialWriter, writer_for
from search_spaces.builder import Value
from search_spaces.errors import NasError
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
HEADER = "search"
RESERVED = frozenset(
    {
        "number",
        "proposer",
        "id",
        "fingerprint",
        "architecture",
        "seed",
        "seconds",
        "cached",
        "skipped",
        "failure",
        "driver",
    }
)


@dataclass(frozen=True)
class Header:
    """What a search is; a study is only resumed by the same one.

    slots: name and options of each. probes: architectures as JSON, with the id of the network each builds.
    """

    objectives: tuple[str, ...]
    limits: dict[str, float]
    slots: tuple[tuple[str, tuple[Value, ...]], ...]
    proposer: str
    seed: int
    lag: int
    identity: str
    probes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> "Header":
        """The header that a study carries."""
        data = json.loads(text)
        slots = tuple((str(name), tuple(options)) for name, options in data.pop("slots"))
        return cls(objectives=tuple(data.pop("objectives")), slots=slots, **data)


@dataclass(frozen=True)
class Proposal:
    """An architecture that is to be evaluated.

    number, proposer: its place. row: its coded form. figures: those known before evaluation. seed: of its
    evaluation. skipped: rows passed over as twins when it was proposed.
    """

    number: int
    proposer: str
    row: tuple[int, ...]
    architecture: Architecture
    id: str
    fingerprint: str
    figures: dict[str, float]
    seed: int
    skipped: tuple[tuple[int, ...], ...] = ()

    @property
    def key(self) -> Key:
        """What tells proposals apart."""
        return self.proposer, self.number


@dataclass(frozen=True)
class Recorded:
    """A proposal with its outcome: every figure, or why it failed; both `None` while it has none.

    running: who evaluates it now, this driver or another one.
    """

    proposal: Proposal
    values: dict[str, float] | None
    failure: str | None
    seconds: float = 0.0
    cached: bool = False
    running: Literal["here", "elsewhere"] | None = None


class StudyRecord:
    """The study of one search, open for one driver.

    presence: of this driver among others on the same study, `None` where there can be no others.
    """

    def __init__(
        self, study: "Study", header: Header, place: str, writer: TrialWriter, presence: Presence | None = None
    ) -> None:
        self._study, self._header, self._place = study, header, place
        self._writer, self._presence = writer, presence
        self._distributions = distributions(header.slots)
        self._ended: dict[int, Recorded] = {}
        self._mine: dict[Key, int] = {}

    @property
    def is_shared(self) -> bool:
        """Whether other drivers may work on the study."""
        return self._presence is not None

    def load(self) -> list[Recorded]:
        """Every proposal with its outcome, by proposer and number; trials of dead drivers are marked failed.

        A proposal that has no outcome and is not running must be evaluated again: `start` makes a new trial for it.
        """
        with self._reading():
            return patiently(self._load, self._place)

    def _load(self) -> list[Recorded]:
        found: dict[Key, Recorded] = {}
        trials = self._study.get_trials(deepcopy=False)
        self._writer.saw(trial._trial_id for trial in trials)
        # Asked after the trials are read: a driver shows its presence before it writes its first trial.
        alive = frozenset[int]() if self._presence is None else self._presence.alive()
        for trial in trials:
            if not is_proposal(trial):
                continue
            recorded = self._read(trial, alive)
            known = found.get(recorded.proposal.key)
            if known is None or known.values is None:
                found[recorded.proposal.key] = recorded
        return [found[key] for key in sorted(found)]

    def _read(self, trial: "FrozenTrial", alive: frozenset[int] | None) -> Recorded:
        """What `trial` says; it is ended when it runs under a driver that is not among the `alive`."""
        trial_id = trial._trial_id
        if trial_id in self._ended:
            return self._ended[trial_id]
        recorded = recorded_of(trial, self._header)
        if trial.state.is_finished():
            self._ended[trial_id] = recorded
            return recorded
        key, driver = recorded.proposal.key, trial.user_attrs.get("driver")
        if self._presence is not None and driver == self._presence.token:
            self._mine[key] = trial_id
        if self._mine.get(key) == trial_id:
            return replace(recorded, running="here")
        if alive is None or driver in alive:
            return replace(recorded, running="elsewhere")
        self._writer.end(trial_id, self._failed())
        return recorded

    def start(self, proposal: Proposal) -> bool:
        """Record that `proposal` is being evaluated here; False, with nothing recorded, when `load` has news."""
        from optuna.trial import TrialState

        return self._add(proposal, TrialState.RUNNING, proposal.figures, {})

    def add(self, proposal: Proposal, values: Mapping[str, float]) -> bool:
        """Record `proposal` with the figures that an earlier evaluation gave; False when `load` has news."""
        from optuna.trial import TrialState

        return self._add(proposal, TrialState.COMPLETE, values, {"cached": True, "seconds": 0.0})

    def finish(self, proposal: Proposal, values: Mapping[str, float], seconds: float) -> bool:
        """Record the result of a started proposal: all its figures, and the seconds it took.

        False, with nothing recorded, when it no longer runs here: another driver took it over.
        """
        from optuna.trial import TrialState, create_trial

        objectives = self._header.objectives
        ended = create_trial(
            state=TrialState.COMPLETE,
            values=[values[name] for name in objectives],
            user_attrs={
                **{
                    name: value
                    for name, value in values.items()
                    if proposal.figures.get(name) != value and name not in objectives
                },
                "seconds": seconds,
            },
            constraints=self._excess(values),
        )
        return self._end(proposal, ended)

    def fail(self, proposal: Proposal, reason: str) -> bool:
        """Record that a started proposal failed for `reason`; False as in `finish`."""
        return self._end(proposal, self._failed(reason))

    def give_up(self) -> None:
        """Mark every trial that runs here as failed without a reason, so that its proposal is evaluated again.

        A storage that is away is not waited for: what still runs then is found out later.
        """
        try:
            for trial_id in self._mine.values():
                self._writer.end(trial_id, self._failed())
        except Exception as error:
            LOGGER.info("running trials could not be marked as given up: %s", innermost(error))
        self._mine.clear()

    def _end(self, proposal: Proposal, ended: "FrozenTrial") -> bool:
        trial_id = self._mine.get(proposal.key)
        done = trial_id is not None and self._written(lambda: self._writer.end(trial_id, ended))
        self._mine.pop(proposal.key, None)
        return done

    def _failed(self, reason: str | None = None) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        return create_trial(state=TrialState.FAIL, user_attrs={} if reason is None else {"failure": reason})

    def _excess(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: values[name] - limit for name, limit in self._header.limits.items()}

    def _add(self, proposal: Proposal, state: Any, values: Mapping[str, float], notes: Mapping[str, Any]) -> bool:
        from optuna.trial import create_trial

        attributes: dict[str, Any] = {
            "number": proposal.number,
            "proposer": proposal.proposer,
            "id": proposal.id,
            "fingerprint": proposal.fingerprint,
            "architecture": proposal.architecture.values,
            "seed": proposal.seed,
        }
        if proposal.skipped:
            attributes["skipped"] = [list(row) for row in proposal.skipped]
        if self._presence is not None:
            attributes["driver"] = self._presence.token
        attributes |= notes
        attributes |= values
        ended = state.is_finished()
        names = [name for name, _ in self._header.slots]
        trial = create_trial(
            state=state,
            params=dict(zip(names, proposal.row, strict=True)),
            distributions=self._distributions,
            values=[values[name] for name in self._header.objectives] if ended else None,
            user_attrs=attributes,
            constraints=self._excess(values) if ended else None,
        )
        trial_id = self._written(lambda: self._writer.add(trial))
        if trial_id is None:
            return False
        if not ended:
            self._mine[proposal.key] = trial_id
        return True

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except NasError:
            raise
        except Exception as error:
            raise damaged(self._place, innermost(error)) from error

    def _written(self, write: Callable[[], T]) -> T:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return patiently(write, self._place)
        except (OSError, StorageInternalError, SQLAlchemyError) as error:
            raise NasError(
                f"the study {self._place} cannot be written: {innermost(error)}. What was recorded before is intact: "
                "make room, or mend the disk or the database, then continue with --resume"
            ) from error


def recorded_of(trial: "FrozenTrial", header: Header) -> Recorded:
    """The proposal that `trial` is about, with its outcome."""
    from optuna.trial import TrialState

    attributes = trial.user_attrs
    figures = {name: float(value) for name, value in attributes.items() if name not in RESERVED}
    proposal = Proposal(
        number=int(attributes["number"]),
        proposer=str(attributes["proposer"]),
        row=tuple(int(trial.params[name]) for name, _ in header.slots),
        architecture=Architecture.of(attributes["architecture"]),
        id=str(attributes["id"]),
        fingerprint=str(attributes["fingerprint"]),
        figures=figures,
        seed=int(attributes["seed"]),
        skipped=tuple(tuple(map(int, row)) for row in attributes.get("skipped", ())),
    )
    if trial.state != TrialState.COMPLETE:
        return Recorded(proposal, None, attributes.get("failure"))
    told = dict(zip(header.objectives, map(float, trial.values), strict=True))
    seconds, cached = float(attributes.get("seconds", 0.0)), bool(attributes.get("cached", False))
    return Recorded(proposal, {**figures, **told}, None, seconds, cached)


def is_proposal(trial: "FrozenTrial") -> bool:
    """Whether `trial` was written by a search of this project."""
    return {"number", "proposer", "architecture"} <= trial.user_attrs.keys()


@contextmanager
def open_study(
    folder: Path, header: Header, *, name: str, storage: str = "sqlite", resume: bool = False
) -> Iterator[StudyRecord]:
    """The study called `name` in `folder`, made when absent and closed at the end.

    storage: "sqlite" or "journal", a file in `folder`; or the URL of a PostgreSQL database, where the study has a
    name of its own, which `folder` keeps.

    Raises NasError when it exists and `resume` is not set, when it belongs to another search, when it is damaged.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with ExitStack() as stack:
            full_name, place = study_place(folder, storage, name)
            opened = open_storage(folder, storage)
            stack.callback(close_storage, opened)
            try:
                study = optuna.create_study(
                    storage=opened,
                    study_name=full_name,
                    directions=["minimize"] * len(header.objectives),
                    sampler=optuna.samplers.RandomSampler(seed=header.seed),
                    load_if_exists=True,
                )
                written = study.user_attrs.get(HEADER)
            except Exception as error:
                raise damaged(place, str(error)) from error
            if written is None:
                _label(study, header)
            elif not resume:
                raise NasError(
                    f"{place} already holds the search {name!r}: continue it with --resume, or choose another --name"
                )
            else:
                _same(json.loads(written), header, place)
            presence = None
            if kind_of(storage) == "postgresql":
                engine: Any = opened
                presence = Presence(engine.engine, study._study_id)
                stack.callback(presence.close)
            writer = writer_for(opened, study, parameters_of(header.slots))
            yield StudyRecord(study, header, place, writer, presence)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _label(study: "Study", header: Header) -> None:
    """Name the objectives for Optuna's dashboard and write the header, last."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(header.objectives))
    study.set_user_attr(HEADER, json.dumps(asdict(header)))


def _same(written: Mapping[str, Any], header: Header, place: str) -> None:
    """Raise NasError when the study at `place` was made by another search."""
    now = json.loads(json.dumps(asdict(header)))
    if written.get("probes") != now["probes"] or written.get("slots") != now["slots"]:
        raise NasError(
            f"the space has changed since {place} was made: the same picks build other networks, so its results would "
            "be wrong. Restore the space, or choose another --name"
        )
    changed = [f"{key} was {written.get(key)!r} and is {now[key]!r}" for key in now if written.get(key) != now[key]]
    if changed:
        raise NasError(
            f"{place} belongs to another search: {'; '.join(changed)}. Restore the setting, or choose another --name"
        )


def coded(rows: Sequence[tuple[int, ...]], slots: int) -> Rows:
    """Recorded rows as an array [n, n_slots]."""
    return np.array(rows, dtype=np.int16).reshape(len(rows), slots)


def evaluation_of(recorded: Recorded, limits: Mapping[str, float], provenance: Mapping[str, str]) -> Evaluation | None:
    """The evaluation that a study recorded; `None` when it has no values."""
    if recorded.values is None:
        return None
    proposal, values = recorded.proposal, recorded.values
    return Evaluation(
        number=proposal.number,
        architecture=proposal.architecture,
        id=proposal.id,
        fingerprint=proposal.fingerprint,
        values=dict(values),
        provenance={name: provenance[name] for name in values if name in provenance},
        feasible=all(values[name] <= limit for name, limit in limits.items()),
        proposer=proposal.proposer,
        seconds=recorded.seconds,
        seed=proposal.seed,
        cached=recorded.cached,
    )
