"""Optuna's samplers as proposers, asked on a study in memory that is made anew from the history."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from nas.search.domain import Domain, History, Rows, distinct_rows, no_rows, without
from nas.search.proposers.offspring import filled
from nas.search.slots import distributions
from nas.search.variation import mutate

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

ASKED = 4
MUTANTS = 64


class Sampled:
    """What a sampler of Optuna suggests, each slot as an index; its nearest new neighbours where that is not new."""

    def __init__(self, domain: Domain, make: Callable[[int], "BaseSampler"]) -> None:
        self._domain, self._make = domain, make
        self._distributions = distributions((slot.name, tuple(slot.options)) for slot in domain.space.slots)

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Up to four suggestions a row; then mutants of the last suggestion, and random rows if need be."""
        domain = self._domain
        chosen = no_rows(domain)
        with _quiet():
            study = self._study(history, int(rng.integers(2**31)))
            while len(chosen) < count:
                new = self._suggested(study, np.concatenate([history.taken, chosen]), rng)
                if len(new) == 0:
                    break
                chosen = np.concatenate([chosen, new])
        return filled(domain, history, chosen, count, rng)

    def _suggested(self, study: "Study", taken: Rows, rng: np.random.Generator) -> Rows:
        """One new row that keeps the known limits, or none."""
        domain = self._domain
        rows = no_rows(domain)
        for _ in range(ASKED):
            trial = study.ask(self._distributions)
            code = np.array([[trial.params[name] for name in self._distributions]], dtype=np.int16)
            rows = domain.space.repair(code)
            new = without(domain.within(rows), taken)
            if len(new):
                return new
        for changes in (1.0, 3.0):
            near = mutate(domain, np.repeat(rows, MUTANTS, axis=0), rng, changes=changes)
            new = without(domain.within(distinct_rows(near)), taken)
            if len(new):
                return new[:1]
        return no_rows(domain)

    def _study(self, history: History, seed: int) -> "Study":
        """The history as a study: results with their limits as constraints, and what is still running."""
        import optuna
        from optuna.trial import TrialState, create_trial

        study = optuna.create_study(directions=["minimize"] * len(self._domain.objectives), sampler=self._make(seed))
        names = tuple(self._distributions)
        limits = tuple(self._domain.limits)
        for row, values, excess in zip(history.rows, history.values, history.excess, strict=True):
            trial = create_trial(
                params=dict(zip(names, row.tolist(), strict=True)),
                distributions=self._distributions,
                values=values.tolist(),
                constraints=dict(zip(limits, excess.tolist(), strict=True)) or None,
            )
            study.add_trial(trial)
        for row in history.pending:
            params = dict(zip(names, row.tolist(), strict=True))
            running = create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)
            study.add_trial(running)
        return study


def tpe(domain: Domain) -> Sampled:
    """The tree-structured Parzen estimator (Bergstra et al., 2011; multi-objective: Ozaki et al., 2020)."""

    def make(seed: int) -> "BaseSampler":
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed)

    return Sampled(domain, make)


def gp(domain: Domain) -> Sampled:
    """Optuna's Gaussian process with expected (hypervolume) improvement; slower than the surrogate of this project."""

    def make(seed: int) -> "BaseSampler":
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed)

    return Sampled(domain, make)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing but warnings, and does not warn of what is experimental."""
    import optuna
    from optuna.exceptions import ExperimentalWarning

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
