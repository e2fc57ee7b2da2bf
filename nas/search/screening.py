"""Few validation batches first: an evaluation that shows itself to be dominated is not finished.

What an architecture has to beat is fixed when it is proposed, from the results that its proposal knew, so that the
search stays reproducible. Its first images then test whether its error can still be below that: it is given up when
one with an error of just the bar would answer so many wrongly with a probability of at most 0.001 (binomial; drawing
the images without putting them back makes it less, Hoeffding 1963).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.search.problem import Problem
    from nas.search.study import Proposal, Recorded

SHARE = "validation_share"
"""Figure that says on how much of the validation part an error was counted; absent where on all of it."""
DOUBT = 0.001


def bar(problem: "Problem", proposal: "Proposal", settled: Iterable["Recorded"]) -> float | None:
    """The error that `proposal` has to beat: the least of those that are as good in every other objective.

    `None` where nothing says so, and where it cannot be said: errors are limited, or more than one objective is not
    known before the evaluation.
    """
    known = [name for name in problem.objectives if name in proposal.figures]
    unknown = [name for name in problem.objectives if name not in proposal.figures]
    if unknown != ["error"] or any(name not in proposal.figures for name in problem.limits):
        return None
    rivals = [
        one.values["error"]
        for one in settled
        if one.values is not None
        and not is_partial(one.values)
        and all(one.values[name] <= limit for name, limit in problem.limits.items())
        and all(one.values[name] <= proposal.figures[name] for name in known)
    ]
    return min(rivals, default=None)


def hopeless(wrong: float, seen: int, bar: float) -> bool:
    """Whether `wrong` answers to the first `seen` images leave next to no chance for an error below `bar`."""
    from scipy.stats import binom

    return bool(binom.sf(wrong - 1, seen, bar) <= DOUBT)


def is_partial(values: Mapping[str, float]) -> bool:
    """Whether an evaluation was given up after a part of the images; its error is an estimate then."""
    return values.get(SHARE, 1.0) < 1.0
