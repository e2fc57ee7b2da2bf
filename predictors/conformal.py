"""Bounds that hold with a chosen frequency for new cases like those seen, whatever the distribution.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): of n + 1 exchangeable scores, the new one is at most
the k-th smallest of the n seen with probability k / (n + 1) or more.
"""

from collections.abc import Sequence
from math import ceil


def conformal_bound(scores: Sequence[float], confidence: float) -> float | None:
    """What a new score stays at or below with probability `confidence`; `None` where `scores` are too few to tell."""
    rank = ceil(round(confidence * (len(scores) + 1), 9))
    return sorted(scores)[rank - 1] if 1 <= rank <= len(scores) else None


def ratio_interval(value: float, ratios: Sequence[float], *, confidence: float) -> tuple[float, float] | None:
    """Interval around `value`: as far off, in either direction, as this share of `ratios` (measured over predicted).

    In proportion to `value`; `None` where `ratios` are too few to tell.
    """
    factor = conformal_bound([max(ratio, 1 / ratio) for ratio in ratios], confidence)
    return None if factor is None else (value / factor, value * factor)


def scores_needed(confidence: float) -> int:
    """The fewest scores from which a bound at `confidence`, in (0, 1), can be told."""
    return ceil(round(confidence / (1 - confidence), 9))
