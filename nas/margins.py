"""Limits on predicted figures, tightened so that they hold when the figure is measured.

The margin is a conformal bound on measured over predicted latency. Where this machine is the target it is taken from
architectures such as the search itself selects, measured here, twice, as measurements scatter too; elsewhere from the
target's held-out networks.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.run_folder import read_json
from predictors.conformal import conformal_bound, scores_needed
from search_spaces.errors import NasError
from search_spaces.files import write_json

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.domain import Domain, Floats, Rows

LOGGER = logging.getLogger("nas")
FIGURE = "latency_ms"
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
    the first; `None` where nothing was measured twice.
    """

    figure: str
    limit: float
    confidence: float
    factor: float | None
    networks: int
    selected: bool
    repeat: float | None = None

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
    factor = conformal_bound(ratios, confidence)
    if factor is None and ratios:
        raise NasError(
            f"search.confidence {confidence:g} needs {scores_needed(confidence)} measured networks, and there are "
            f"{len(ratios)}: measure longer (target.minutes), or lower search.confidence (0 takes predictions "
            "as they are)"
        )
    return Margin(FIGURE, limit, confidence, factor, len(ratios), measure is not None, repeat)


def searched_limits(run: "Run") -> dict[str, float]:
    """The limits as the search applies them."""
    return {**run.recipe.search.limits, **{margin.figure: margin.searched for margin in margins(run)}}


def margins(run: "Run") -> tuple[Margin, ...]:
    """The margins of this run's search: made once, then read from its folder."""
    section = run.recipe.search
    if FIGURE not in section.limits or not section.confidence:
        return ()
    kept = kept_margins(run)
    if kept and (kept[0].limit, kept[0].confidence) == (section.limits[FIGURE], section.confidence):
        return kept
    margin = _made(run)
    run.search_folder.mkdir(parents=True, exist_ok=True)
    write_json(run.search_folder / FILE, [asdict(margin)])
    LOGGER.info(margin.text())
    return (margin,)


def kept_margins(run: "Run") -> tuple[Margin, ...]:
    """The margins in the folder of this run's search; none before they were made."""
    return tuple(Margin(**row) for row in read_json(run.search_folder / FILE, default=[]))


def _made(run: "Run") -> Margin:
    from nas.console import progress

    section = run.recipe.search
    limit, domain = section.limits[FIGURE], run.domain(section.limits)
    rng = np.random.default_rng([section.seed, 2])
    measured = run.target.provenance == "measured"
    ratios = run.target.learned.ratios if measured else ()
    if not run.target_is_here:
        return latency_margin(domain, limit, section.confidence, ratios=ratios, measure=None, rng=rng)
    with run.folder.stage("margins"), progress("measuring margins", 2 * selected_count(section.confidence)) as step:

        def measure(rows: "Rows") -> "Floats":
            networks = [run.network(run.compiled.decode(row)) for row in rows]
            found = run.meter.latencies(networks, seconds=MEASURING_S, step=step)
            return np.array([one.median_ms for one in found])

        return latency_margin(domain, limit, section.confidence, ratios=ratios, measure=measure, rng=rng)
