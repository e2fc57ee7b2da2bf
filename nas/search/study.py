"""Optuna as the record of a search: every proposal is a trial before it is evaluated, so that none is lost.

Every slot of the space is a parameter of every trial, as the index of its option. Objectives are the trial's values,
limits its constraints (figure minus limit), everything else its user attributes. A trial that was running when its
driver died is marked failed, and its proposal becomes a new trial with the same number in the search.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.search.domain import Rows
from nas.search.record import Evaluation
from nas.search.slots import distributions
from nas.search.storage import FILE_NAMES, StorageKind, close_storage, damaged, open_storage
from search_spaces.builder import Value
from search_spaces.errors import NasError
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

HEADER = "search"
RESERVED = frozenset(
    {"number", "proposer", "id", "fingerprint", "architecture", "seed", "seconds", "cached", "skipped", "failure"}
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
    def key(self) -> tuple[str, int]:
        """What tells proposals apart."""
        return self.proposer, self.number


@dataclass(frozen=True)
class Recorded:
    """A proposal with its outcome: every figure, or why it failed; both `None` while it has none."""

    proposal: Proposal
    values: dict[str, float] | None
    failure: str | None
    seconds: float = 0.0
    cached: bool = False


class StudyRecord:
    """The study of one search, open for one driver."""

    def __init__(self, study: "Study", header: Header, path: Path) -> None:
        self._study, self._header, self._path = study, header, path
        self._distributions = distributions(header.slots)

    def load(self) -> list[Recorded]:
        """Every proposal with its outcome, by proposer and number; running trials are marked failed.

        A proposal without an outcome must be evaluated again: `start` makes a new trial for it.
        """
        from optuna.trial import TrialState

        found: dict[tuple[str, int], Recorded] = {}
        with self._reading():
            for trial in self._study.get_trials(deepcopy=False):
                if not {"number", "proposer", "architecture"} <= trial.user_attrs.keys():
                    continue
                if trial.state == TrialState.RUNNING:
                    self._study.tell(trial.number, state=TrialState.FAIL)
                recorded = self._recorded(trial)
                known = found.get(recorded.proposal.key)
                if known is None or (known.values is None and known.failure is None):
                    found[recorded.proposal.key] = recorded
        return [found[key] for key in sorted(found)]

    def start(self, proposal: Proposal) -> None:
        """Record that `proposal` is being evaluated."""
        from optuna.trial import TrialState

        self._add(proposal, TrialState.RUNNING, proposal.figures, {})

    def add(self, proposal: Proposal, values: Mapping[str, float]) -> None:
        """Record `proposal` with the figures that an earlier evaluation of the same network gave."""
        from optuna.trial import TrialState

        self._add(proposal, TrialState.COMPLETE, values, {"cached": True, "seconds": 0.0})

    def finish(self, proposal: Proposal, values: Mapping[str, float], seconds: float) -> None:
        """Record the result of a started proposal: all its figures, and the seconds it took."""
        from optuna.trial import Trial

        with self._writing():
            trial = Trial(self._study, self._trial(proposal)._trial_id)
            for name, value in values.items():
                if proposal.figures.get(name) != value and name not in self._header.objectives:
                    trial.set_user_attr(name, value)
            for name, limit in self._header.limits.items():
                trial.set_constraint(name, values[name] - limit)
            trial.set_user_attr("seconds", seconds)
            self._study.tell(trial.number, [values[name] for name in self._header.objectives])

    def fail(self, proposal: Proposal, reason: str) -> None:
        """Record that a started proposal failed for `reason`."""
        from optuna.trial import Trial, TrialState

        with self._writing():
            trial = Trial(self._study, self._trial(proposal)._trial_id)
            trial.set_user_attr("failure", reason)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def give_up(self) -> None:
        """Mark every running trial as failed without a reason; its proposal is evaluated again on resume."""
        from optuna.trial import TrialState

        with self._writing():
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self._study.tell(trial.number, state=TrialState.FAIL)

    def _add(self, proposal: Proposal, state: Any, values: Mapping[str, float], notes: Mapping[str, Any]) -> None:
        from optuna.trial import create_trial

        objectives, limits = self._header.objectives, self._header.limits
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
        attributes |= notes
        attributes |= values
        ended = state.is_finished()
        names = [name for name, _ in self._header.slots]
        with self._writing():
            trial = create_trial(
                state=state,
                params=dict(zip(names, proposal.row, strict=True)),
                distributions=self._distributions,
                values=[values[name] for name in objectives] if ended else None,
                user_attrs=attributes,
                constraints={name: values[name] - limit for name, limit in limits.items()} if ended else None,
            )
            self._study.add_trial(trial)

    def _trial(self, proposal: Proposal) -> "FrozenTrial":
        """The running trial of `proposal`."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if (trial.user_attrs.get("proposer"), trial.user_attrs.get("number")) == proposal.key:
                return trial
        raise NasError(
            f"trial {proposal.number} of {proposal.proposer!r} is no longer running in {self._path}: another program "
            "changed the study; stop it and continue with --resume"
        )

    def _recorded(self, trial: "FrozenTrial") -> Recorded:
        from optuna.trial import TrialState

        attributes = trial.user_attrs
        figures = {name: float(value) for name, value in attributes.items() if name not in RESERVED}
        proposal = Proposal(
            number=int(attributes["number"]),
            proposer=str(attributes["proposer"]),
            row=tuple(int(trial.params[name]) for name, _ in self._header.slots),
            architecture=Architecture.of(attributes["architecture"]),
            id=str(attributes["id"]),
            fingerprint=str(attributes["fingerprint"]),
            figures=figures,
            seed=int(attributes["seed"]),
            skipped=tuple(tuple(map(int, row)) for row in attributes.get("skipped", ())),
        )
        if trial.state != TrialState.COMPLETE:
            return Recorded(proposal, None, attributes.get("failure"))
        told = dict(zip(self._header.objectives, map(float, trial.values), strict=True))
        seconds, cached = float(attributes.get("seconds", 0.0)), bool(attributes.get("cached", False))
        return Recorded(proposal, {**figures, **told}, None, seconds, cached)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except NasError:
            raise
        except Exception as error:
            raise damaged(self._path, str(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        from optuna.exceptions import StorageInternalError

        try:
            yield
        except (OSError, StorageInternalError) as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise NasError(
                f"the study {self._path} cannot be written: {reason}. What was recorded before is intact: make room "
                "or mend the disk, then continue with --resume"
            ) from error


@contextmanager
def open_study(
    folder: Path, header: Header, *, name: str, kind: StorageKind = "sqlite", resume: bool = False
) -> Iterator[StudyRecord]:
    """The study called `name` in `folder`, made when absent and closed at the end.

    Raises NasError when it exists and `resume` is not set, when it belongs to another search, when it is damaged.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / FILE_NAMES[kind]
    try:
        storage = open_storage(folder, kind)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=["minimize"] * len(header.objectives),
                sampler=optuna.samplers.RandomSampler(seed=header.seed),
                load_if_exists=True,
            )
            written = study.user_attrs.get(HEADER)
        except Exception as error:
            raise damaged(path, str(error)) from error
        if written is None:
            _label(study, header)
        elif not resume:
            raise NasError(
                f"{path} already holds the search {name!r}: continue it with --resume, or choose another --name"
            )
        else:
            _same(json.loads(written), header, path)
        try:
            yield StudyRecord(study, header, path)
        finally:
            close_storage(storage)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _label(study: "Study", header: Header) -> None:
    """Name the objectives for Optuna's dashboard and write the header, last."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(header.objectives))
    study.set_user_attr(HEADER, json.dumps(asdict(header)))


def _same(written: Mapping[str, Any], header: Header, path: Path) -> None:
    """Raise NasError when the study at `path` was made by another search."""
    now = json.loads(json.dumps(asdict(header)))
    if written.get("probes") != now["probes"] or written.get("slots") != now["slots"]:
        raise NasError(
            f"the space has changed since {path} was made: the same picks build other networks, so its results would "
            "be wrong. Restore the space, or choose another --name"
        )
    changed = [f"{key} was {written.get(key)!r} and is {now[key]!r}" for key in now if written.get(key) != now[key]]
    if changed:
        raise NasError(
            f"{path} belongs to another search: {'; '.join(changed)}. Restore the setting, or choose another --name"
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
