"""The fronts of a run of several targets, each chosen among everything that was evaluated in it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.devices import ready_views
from nas.search.earlier import EARLIER, evaluated_figures
from nas.search.record import RANDOM, Evaluation, distinct
from nas.search.screening import is_partial
from nas.searching import save_evaluations

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.front import FrontMember


def choose_for_targets(run: "Run", evaluations: Sequence[Evaluation]) -> "tuple[FrontMember, ...]":
    """Choose the robust front and one for each target, each among everything that was evaluated; the robust one.

    evaluations: of the robust search. What another search of the run evaluated is counted and predicted anew.
    """
    from nas.choosing import choose

    own = {run: tuple(evaluations)} | {view: _own(view) for view in ready_views(run).values()}
    front: tuple[FrontMember, ...] = ()
    for member in reversed(own):
        everything = (*own[member], *_elsewhere(member, own))
        save_evaluations(member, everything)
        front = choose(member, everything)
    return front


def _own(view: "Run") -> tuple[Evaluation, ...]:
    """What the search of `view` proposed or took over, without what an earlier choice gathered from elsewhere."""
    proposers = (view.recipe.search.proposer, RANDOM, EARLIER)
    return tuple(evaluation for evaluation in view.evaluations() if evaluation.proposer in proposers)


def _elsewhere(run: "Run", own: "Mapping[Run, tuple[Evaluation, ...]]") -> list[Evaluation]:
    """What only the other searches evaluated, with the figures and limits of `run`, under the name of their search."""
    from nas.margins import searched_limits

    def identity(evaluation: Evaluation) -> str:
        return evaluation.id if run.identity == "id" else evaluation.fingerprint

    limits, provenance = searched_limits(run), run.costs.provenance
    known = {identity(evaluation) for evaluation in own[run]}
    found: list[Evaluation] = []
    for other, evaluations in own.items():
        for evaluation in distinct(evaluations, by=run.identity):
            if identity(evaluation) in known or is_partial(evaluation.values):
                continue
            known.add(identity(evaluation))
            values = {**run.costs.values(run.network(evaluation.architecture)), **evaluated_figures(evaluation)}
            if all(name in values for name in (*run.recipe.search.objectives, *limits)):
                again = replace(
                    evaluation,
                    values=values,
                    provenance={name: provenance[name] for name in values if name in provenance},
                    feasible=all(values[name] <= limit for name, limit in limits.items()),
                    proposer=other.recipe.search.name,
                    cached=True,
                )
                found.append(again)
    return found
