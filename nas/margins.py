"""Limits on predicted figures, tightened so that they hold when the figure is measured.

The margin is a conformal bound on the measured over the predicted figure. For latency, where this machine is the
target, it is taken from architectures such as the search itself selects, measured here, twice, as measurements scatter
too; else from networks that the target measured but was not fitted on.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nas.devices import ready_views
from nas.run_folder import read_json
from nas.target_figures import on_target
from predictors.conformal import conformal_bound, scores_needed
from search_spaces.errors import NasError
from search_spaces.files import write_json

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.domain import Domain, Floats, Rows

LOGGER = logging.getLogger("nas")
FIGURE = "latency_ms"
PREDICTED = (FIGURE, "energy_mj")
FILE = "margins.json"
SELECTED = 40
MOST_SELECTED = 200
MEASURING_S = 0.3


@dataclass(frozen=True, slots=True)
class Margin:
    """What a limit on a predicted figure is searched as.

    With probability `confidence` the measured figure is at most `factor` times the predicted one, as seen on
    `networks` networks that were `selected` under the limit (or held out of the fit). `factor` is `None` where
    nothing was measured that could tell. With the same probability a second measurement is at most `repeat` times
    the first; `None` where nothing was measured twice. `rehearsed`: as seen when known devices were taken for new.
    """

    figure: str
    limit: float
    confidence: float
    factor: float | None
    networks: int
    selected: bool
    repeat: float | None = None
    rehearsed: bool = False

    @property
    def measured(self) -> float:
        """The most that the figure may be when measured once, so that it keeps the limit when measured again."""
        return self.limit / max(1.0, self.repeat or 1.0)

    @property
    def searched(self) -> float:
        """The most that the predicted figure may be."""
        return self.limit if self.factor is None else self.limit / self.factor

    def text(self) -> str:
        """In a sentence."""
        if self.factor is None:
            return (
                f"{self.figure} at most {self.limit:g} is taken of predictions as they are: "
                f"nothing was measured that tells how far they are off"
            )
        kind = "selected as a search selects, and measured" if self.selected else "held out of the fit"
        if self.rehearsed:
            kind = "of known devices, each once taken for new,"
        again = "" if self.repeat is None else f", and {self.repeat:.3f} times that when measured again"
        return (
            f"{self.figure} at most {self.limit:g} is searched as {self.searched:.4g} predicted: "
            f"{self.confidence:.0%} of {self.networks} networks {kind} took at most {self.factor:.3f} times "
            f"the prediction{again}"
        )


def selected_count(confidence: float) -> int:
    """How many networks are measured for a margin at `confidence`."""
    return max(SELECTED, min(MOST_SELECTED, 2 * scores_needed(confidence)))


def latency_margin(
    domain: "Domain",
    limit: float,
    confidence: float,
    *,
    ratios: tuple[float, ...],
    measure: "Callable[[Rows], Floats] | None",
    rng: np.random.Generator,
) -> Margin:
    """The margin of a limit on latency.

    `domain` has the limit. `measure` gives the milliseconds [n] of rows on the device, where it is at hand;
    otherwise, and where a small space has too few networks to select, `ratios`, measured over predicted of held-out
    networks, tell. Raises `NasError` where all are too few.
    """
    from nas.search.challengers import challengers

    repeat = None
    if measure is not None and len(rows := challengers(domain, rng, selected_count(confidence))):
        first = measure(rows)
        repeat = conformal_bound(tuple(measure(rows) / first), confidence)
        found = tuple(first / domain.score(rows)[FIGURE])
        enough = len(found) >= scores_needed(confidence)
        ratios = found if enough else (*found, *ratios)
    return _margin(FIGURE, limit, confidence, ratios, selected=measure is not None, repeat=repeat)


def _margin(
    figure: str,
    limit: float,
    confidence: float,
    ratios: Sequence[float],
    *,
    selected: bool = False,
    repeat: float | None = None,
    rehearsed: bool = False,
) -> Margin:
    factor = conformal_bound(ratios, confidence)
    if factor is None and ratios:
        raise NasError(
            f"search.confidence {confidence:g} needs {scores_needed(confidence)} measured networks, and there are "
            f"{len(ratios)}: measure longer (target.minutes), or lower search.confidence (0 takes predictions "
            "as they are)"
        )
    return Margin(figure, limit, confidence, factor, len(ratios), selected, repeat, rehearsed)


def searched_limits(run: "Run") -> dict[str, float]:
    """The limits as the search applies them."""
    return {**run.recipe.search.limits, **{margin.figure: margin.searched for margin in margins(run)}}


def margins(run: "Run") -> tuple[Margin, ...]:
    """The margins of this run's search: made once, then read from its folder; with several targets, those of each."""
    section = run.recipe.search
    if run.views:
        return _of_targets(ready_views(run), margins)
    wanted = [(figure, section.limits[figure]) for figure in PREDICTED if figure in section.limits]
    if not wanted or not section.confidence:
        return ()
    kept = kept_margins(run)
    if [(m.figure, m.limit, m.confidence) for m in kept] == [(*one, section.confidence) for one in wanted]:
        return kept
    made = tuple(_made(run, figure, limit) for figure, limit in wanted)
    run.search_folder.mkdir(parents=True, exist_ok=True)
    write_json(run.search_folder / FILE, [asdict(margin) for margin in made])
    for margin in made:
        LOGGER.info(margin.text())
    return made


def kept_margins(run: "Run") -> tuple[Margin, ...]:
    """The margins in the folder of this run's search; none before they were made."""
    if run.views:
        return _of_targets(run.views, kept_margins)
    return tuple(Margin(**row) for row in read_json(run.search_folder / FILE, default=[]))


def _of_targets(views: "Mapping[str, Run]", of: "Callable[[Run], tuple[Margin, ...]]") -> tuple[Margin, ...]:
    found = {name: of(view) for name, view in views.items()}
    return tuple(replace(m, figure=on_target(m.figure, name)) for name, several in found.items() for m in several)


def _made(run: "Run", figure: str, limit: float) -> Margin:
    from nas.console import progress

    section = run.recipe.search
    ratios = run.target.ratios(figure)
    if figure != FIGURE or run.target.transfer is not None:
        return _margin(figure, limit, section.confidence, ratios, rehearsed=run.target.transfer is not None)
    domain = run.domain(section.limits)
    rng = np.random.default_rng([section.seed, 2])
    if not run.target_is_here:
        return latency_margin(domain, limit, section.confidence, ratios=ratios, measure=None, rng=rng)
    with run.folder.stage("margins"), progress("measuring margins", 2 * selected_count(section.confidence)) as step:

        def measure(rows: "Rows") -> "Floats":
            networks = [run.network(run.compiled.decode(row)) for row in rows]
            found = run.meter.latencies(networks, seconds=MEASURING_S, step=step)
            return np.array([one.median_ms for one in found])

        return latency_margin(domain, limit, section.confidence, ratios=ratios, measure=measure, rng=rng)
