"""Limits on predicted figures, tightened so that they hold when the figure is measured.

The margin is a conformal bound on measured over predicted latency. Where this machine is the target it is taken from
architectures such as the search itself selects, measured here; elsewhere from the target's held-out networks.
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
    from nas.search.domain import Domain, Rows

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
    nothing was measured that could tell.
    """

    figure: str
    limit: float
    confidence: float
    factor: float | None
    networks: int
    selected: bool

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
        return (
            f"{self.figure} at most {self.limit:g} is searched as {self.searched:.4g} predicted: "
            f"{self.confidence:.0%} of {self.networks} networks {kind} took at most {self.factor:.3f} times "
            "the prediction"
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
    measure: "Callable[[Rows], float] | None",
    rng: np.random.Generator,
) -> Margin:
    """The margin of a limit on latency.

    `domain` has the limit. `measure` gives the milliseconds of a row on the device, where it is at hand; otherwise,
    and where a small space has too few networks to select, `ratios`, measured over predicted of held-out networks,
    tell. Raises `NasError` where all are too few.
    """
    from nas.search.challengers import challengers

    if measure is not None:
        rows = challengers(domain, rng, selected_count(confidence))
        predicted = domain.score(rows)[FIGURE] if len(rows) else np.empty(0)
        found = tuple(measure(row) / float(guess) for row, guess in zip(rows, predicted, strict=True))
        enough = len(found) >= scores_needed(confidence)
        ratios = found if enough else (*found, *ratios)
    factor = conformal_bound(ratios, confidence)
    if factor is None and ratios:
        raise NasError(
            f"search.confidence {confidence:g} needs {scores_needed(confidence)} measured networks, and there are "
            f"{len(ratios)}: measure longer (target.minutes), or lower search.confidence (0 takes predictions "
            "as they are)"
        )
    return Margin(FIGURE, limit, confidence, factor, len(ratios), measure is not None)


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
    with run.folder.stage("margins"), progress("measuring margins", selected_count(section.confidence)) as step:

        def measure(row: "Rows") -> float:
            network = run.network(run.compiled.decode(row))
            found = run.meter.latency(network, seconds=MEASURING_S)
            step.advance(1.0)
            return found.median_ms

        return latency_margin(domain, limit, section.confidence, ratios=ratios, measure=measure, rng=rng)
