"""What is known of a whole space and of a device without evaluating anything, as plain frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from search_spaces.builder import Value
from search_spaces.compile_choices import Offer
from search_spaces.compile_lookup import Table

Floats = npt.NDArray[np.float64]
Coded = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Device:
    """The hardware that latencies are of; figures that are not known are `None`.

    words: what it is. peak_gmacs: 10^9 multiply-adds per second. bandwidth_gbs: 10^9 bytes per second. waterline:
    multiply-adds per moved element above which arithmetic limits. source: how peak and bandwidth are known.
    """

    words: str
    peak_gmacs: float | None = None
    bandwidth_gbs: float | None = None
    waterline: float | None = None
    source: str = ""


@dataclass(frozen=True)
class KernelGrid:
    """Measured convolutions of one dilation: median time per million multiply-adds, by group size and kernel size.

    group_sizes: input channels per group, 0 for all of them (dense). kernels: as texts. us_per_mmac and counts are
    [n_group_sizes, n_kernels]; NaN where nothing was measured.
    """

    dilation: int
    group_sizes: tuple[int, ...]
    kernels: tuple[str, ...]
    us_per_mmac: Floats
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Guess:
    """A figure that only evaluation tells, guessed from the choices alone: a sum of one value per choice.

    logarithm: whether the sum is the figure's natural logarithm. tables: the values per slot, and a constant.
    spearman, median_error: rank correlation and median relative error on evaluations left out of the fit, `count` in
    all.
    """

    figure: str
    logarithm: bool
    tables: tuple[Table, ...]
    spearman: float
    median_error: float
    count: int


@dataclass(frozen=True)
class PageTables:
    """Tables with which the page scores any architecture: what adds up per figure, and what the largest of counts.

    Variables below the number of slots are slots, those above it `columns`, each a table of codes, in order. offers:
    when each slot offers which options. refusals: tables one of which is true of what a requirement refuses.
    """

    columns: tuple[Table, ...]
    offers: tuple[Offer, ...]
    refusals: tuple[Table, ...]
    sums: Mapping[str, tuple[Table, ...]]
    maxima: Mapping[str, tuple[Table, ...]]

    @property
    def entries(self) -> int:
        """How many numbers that is."""
        rules = (self.columns, self.refusals, [offer.number for offer in self.offers])
        tables = [t for group in (*self.sums.values(), *self.maxima.values(), *rules) for t in group]
        return sum(table.values.size for table in tables)


@dataclass(frozen=True)
class Importance:
    """What decides one figure over the space, as shares of its variance (Sobol indices).

    choices: per choice its share alone, and with all it interacts with. stages: [n_stages, n_dimensions] the latter
    for the choices of one dimension in one stage together, NaN where there are none. pairs: [n_dimensions,
    n_dimensions] what two dimensions do only together, on the diagonal what each does alone.
    """

    choices: Mapping[str, tuple[float, float]]
    stages: Floats
    pairs: Floats


@dataclass(frozen=True)
class Explored:
    """A space scored without evaluation.

    size: how many architectures, in words. slots: every choice with its options, in the order asked. sample: coded
    architectures [n, n_slots], -1 where a choice is not asked for. values: figure name to [n]. guesses: figures
    that are guessed, not counted or predicted. importance: by figure. kept: share of the sample that keeps each limit,
    and "" for all of them. allowed: per choice, share of the architectures with each option that keeps all limits, NaN
    where no sampled one has it. tables: for the page to score with; `None` where they would be too large.
    """

    size: str
    slots: Mapping[str, tuple[Value, ...]]
    sample: Coded
    values: Mapping[str, Floats]
    guesses: tuple[Guess, ...] = ()
    stages: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    importance: Mapping[str, Importance] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)
    allowed: Mapping[str, Floats] = field(default_factory=dict)
    tables: PageTables | None = None
