"""Small stage-wise spaces whose every point can be scored."""

import numpy as np
import pytest

from nas.search.exact.programme import Budgets, Ints, Programme
from search_spaces.catalog.deepmad import BottleneckStages

SMALL = BottleneckStages(
    (3, 30, 30),
    10,
    (2, 1, 2),
    stem_widths=(8, 16),
    widths=(16, 24, 40),
    bottlenecks=(8, 16),
    kernels=(3, 5),
    depths=(1, 3, 4),
    most_squeeze=4.0,
    most_growth=3.0,
)
GROWING = BottleneckStages(
    (1, 28, 28),
    3,
    (2, 1),
    stem_widths=(16, 24),
    widths=(8, 16, 24, 32, 40, 48),
    bottlenecks=(8, 12, 16, 24),
    kernels=(1, 3, 7),
    depths=(1, 2, 3, 5),
    growing=True,
)
SPACES = {"small": SMALL, "growing": GROWING}


@pytest.fixture(params=sorted(SPACES))
def space(request: pytest.FixtureRequest) -> BottleneckStages:
    """Each of the small spaces."""
    found: BottleneckStages = SPACES[request.param]
    return found


@pytest.fixture
def points(space: BottleneckStages) -> Ints:
    """Every point of the space, valid or not."""
    sizes = Programme(space, Budgets()).sizes
    return np.stack(np.unravel_index(np.arange(int(sizes.prod())), tuple(sizes)), axis=1)
