"""Searchers of other libraries on the slots of a coded space, all asked and told in the same way."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nas.search.domain import Floats, Rows, Slot
from nas.search.slots import distributions

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

PYMOO_POPULATION = 50
GENERATIONS = 10**9


class Searcher(Protocol):
    """A search that is told the values of the codes it asked for."""

    def ask(self) -> Rows:
        """Codes [n, n_slots] to be evaluated next, of the whole grid; the same ones may come again."""

    def tell(self, values: Floats) -> None:
        """The objectives [n, n_objectives] of those codes, all to be made small."""


class OptunaSearcher:
    """A sampler of Optuna, in a study in memory; every slot is an index, an integer where its options are ordered."""

    def __init__(self, slots: Sequence[Slot], objectives: int, sampler: "BaseSampler") -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = distributions([(slot.name, tuple(slot.options)) for slot in slots])
        self._study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
        self._trial: Trial | None = None

    def ask(self) -> Rows:
        """One code."""
        self._trial = self._study.ask(self._distributions)
        return np.array([[self._trial.params[name] for name in self._distributions]], dtype=np.int16)

    def tell(self, values: Floats) -> None:
        """Its values."""
        if self._trial is not None:
            self._study.tell(self._trial, [float(value) for value in values[0]])


class PymooNsga2:
    """pymoo's NSGA-II with its operators for integers: uniform crossover and rounded polynomial mutation."""

    def __init__(self, slots: Sequence[Slot], objectives: int, seed: int) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.ux import UniformCrossover
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
        from pymoo.termination import get_termination

        most = np.array([len(slot.options) - 1 for slot in slots])
        self._algorithm: Any = NSGA2(
            pop_size=PYMOO_POPULATION,
            sampling=IntegerRandomSampling(),
            crossover=UniformCrossover(prob=0.9),
            mutation=PM(eta=3.0, vtype=float, repair=RoundingRepair()),
        )
        problem = Problem(n_var=len(most), n_obj=objectives, xl=np.zeros_like(most), xu=most, vtype=int)
        self._problem = problem
        self._algorithm.setup(problem, termination=get_termination("n_gen", GENERATIONS), seed=seed)
        self._asked: Any = None

    def ask(self) -> Rows:
        """The next generation; nothing when no new codes are found."""
        self._asked = self._algorithm.ask()
        if self._asked is None:
            return np.empty((0, self._problem.n_var), dtype=np.int16)
        return np.asarray(self._asked.get("X")).round().astype(np.int16)

    def tell(self, values: Floats) -> None:
        """The values of the generation."""
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        Evaluator().eval(StaticProblem(self._problem, F=values), self._asked)
        self._algorithm.tell(infills=self._asked)


def _optuna_nsga2(slots: Sequence[Slot], objectives: int, seed: int) -> Searcher:
    from optuna.samplers import NSGAIISampler

    return OptunaSearcher(slots, objectives, NSGAIISampler(seed=seed))


def _optuna_tpe(slots: Sequence[Slot], objectives: int, seed: int) -> Searcher:
    from optuna.samplers import TPESampler

    return OptunaSearcher(slots, objectives, TPESampler(seed=seed))


BASELINES: dict[str, Callable[[Sequence[Slot], int, int], Searcher]] = {
    "optuna-nsga2": _optuna_nsga2,
    "optuna-tpe": _optuna_tpe,
    "pymoo-nsga2": PymooNsga2,
}
LIBRARIES = {"pymoo-nsga2": "pymoo"}


def missing_library(name: str) -> str | None:
    """The library that the baseline `name` needs and that is not installed, if any."""
    library = LIBRARIES.get(name)
    return library if library is not None and find_spec(library) is None else None
