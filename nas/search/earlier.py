"""What other searches evaluated, taken over by a new one: learned from, and never evaluated again."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.search.domain import CodedSpace, Rows
from nas.search.record import Evaluation, distinct
from nas.search.screening import is_partial
from nas.search.study import Recorded
from search_spaces.errors import NasError
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from nas.search.problem import Problem

LOGGER = logging.getLogger(__name__)
EARLIER = "earlier"
VALIDATION = "validation"


@dataclass(frozen=True)
class Earlier:
    """Evaluations of the same space by the same evaluator.

    learned: the proposer learns from them as from its own, and they belong to the result. known: they only spare an
    evaluation where this search comes to the same network; what it proposes does not depend on them.
    """

    learned: tuple[Evaluation, ...] = ()
    known: tuple[Evaluation, ...] = ()


def evaluated_figures(evaluation: Evaluation, wanted: Sequence[str] = ()) -> dict[str, float]:
    """The figures that came from the evaluation itself, and those `wanted` whatever they came from.

    Counted and predicted figures are those of the other search's target and are worked out anew.
    """
    kinds = evaluation.provenance
    return {
        name: value
        for name, value in evaluation.values.items()
        if kinds.get(name, VALIDATION) == VALIDATION or name in wanted
    }


def taken_over(
    problem: "Problem", evaluations: Sequence[Evaluation], *, root: int, same: bool = True
) -> list[Recorded]:
    """The evaluations as finished proposals of "earlier", numbered from 0, with all figures under `problem`.

    Each network comes once; those for which an objective or a limited figure is not known are left out. With `same`
    their picks must build the very networks that were evaluated. Raises NasError when they are of another space.
    """
    needed = tuple(dict.fromkeys((*problem.objectives, *problem.limits)))
    found: list[Recorded] = []
    whole = [evaluation for evaluation in evaluations if not is_partial(evaluation.values)]
    for evaluation in distinct(whole, by=problem.identity):
        row = encoded(problem.coded, evaluation.architecture)
        picks = evaluation.architecture.to_json()
        if row is None:
            raise NasError(f"an earlier evaluation is not of this space: it has no architecture {picks}")
        proposal = problem.inspect(row, number=len(found), proposer=EARLIER, root=root)
        if same and problem.identity_of(proposal) != _identity(problem, evaluation):
            raise NasError(f"an earlier evaluation is not of this space: here the picks {picks} build another network")
        unknown = [name for name in needed if name not in proposal.figures]
        values = {**proposal.figures, **evaluated_figures(evaluation, unknown)}
        if all(name in values for name in needed):
            found.append(Recorded(proposal, values, None, cached=True))
    left_out = len(distinct(whole, by=problem.identity)) - len(found)
    if left_out:
        LOGGER.info("%d earlier evaluations lack one of %s: left out", left_out, ", ".join(needed))
    return found


def known_figures(problem: "Problem", evaluations: Sequence[Evaluation]) -> dict[str, dict[str, float]]:
    """Identity of each network to what its evaluation gave."""
    needed = [name for name in (*problem.objectives, *problem.limits) if name not in problem.known]
    whole = [one for one in evaluations if not is_partial(one.values)]
    return {_identity(problem, one): evaluated_figures(one, needed) for one in whole}


def encoded(space: CodedSpace, architecture: Architecture) -> Rows | None:
    """The canonical row [n_slots] of `architecture`; `None` when it is none of the space."""
    row = np.zeros(len(space.slots), dtype=np.int16)
    picks: Mapping[str, object] = architecture.values
    if not picks.keys() <= {slot.name for slot in space.slots}:
        return None
    for place, slot in enumerate(space.slots):
        if slot.name in picks:
            options = [(type(option), option) for option in slot.options]
            pick = (type(picks[slot.name]), picks[slot.name])
            if pick not in options:
                return None
            row[place] = options.index(pick)
    canonical: Rows = space.repair(row[None])[0]
    return canonical if space.decode(canonical).values == picks else None


def _identity(problem: "Problem", evaluation: Evaluation) -> str:
    return evaluation.id if problem.identity == "id" else evaluation.fingerprint
