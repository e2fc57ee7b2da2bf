"""Which steps of a training to time so that their mean is that of all: rules do not do the same in every step."""

import numpy as np

from nas.supernet.rules.base import Moment, Rule
from search_spaces.network import Network

PLACES, RUN = 6, 8
"""Runs of consecutive steps, evenly over the training, that are looked at."""


def kinds_of_steps(rule: Rule, largest: Network, steps: int) -> tuple[tuple[int, ...], ...]:
    """Positions among `steps`, in random order, by kind: with or without the largest network, and by lessons.

    The share of a kind among all positions is about its share of the training.
    """
    starts = [round((place + 0.5) / PLACES * steps) - RUN // 2 for place in range(PLACES)]
    inside = {position for start in starts for position in range(start, start + RUN) if 0 <= position < steps}
    kinds: dict[tuple[int, bool], list[int]] = {}
    for position in np.random.default_rng(0).permutation(sorted(inside)).tolist():
        lessons = rule.lessons(Moment(position, steps))
        has_largest = any(lesson.subnet.network is largest for lesson in lessons)
        kinds.setdefault((len(lessons), has_largest), []).append(position)
    return tuple(tuple(positions) for positions in kinds.values())
