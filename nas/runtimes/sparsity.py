"""Which zeros in weights a runtime turns into speed: measured, not assumed."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nas.runtimes.base import Runtime, Setting
from nas.runtimes.onnx_graph import random_weights
from predictors.target import Speedup
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.network import Network
from search_spaces.space import Architecture, SearchSpace
from search_spaces.sparsity import Sparsity

PATTERNS: tuple[Sparsity, ...] = (0.5, 0.75, 0.9, "2:4")
CHANNELS, SIZE, FEATURES = 64, 14, 512
BURST_S = 1e-3
FEWEST_ROUNDS = 11
CONFIDENCE = 0.95
WARM_UP = 3
SEED = 0
Run = Callable[[], None]
Clock = Callable[[], float]


def measure_sparsity(
    engine: Runtime,
    setting: Setting,
    *,
    patterns: Sequence[Sparsity] = PATTERNS,
    seconds: float = 2.0,
    clock: Clock = time.perf_counter,
) -> dict[str, Speedup]:
    """How many times faster kernels run with zeros in their weights, {pattern: speed-up}.

    A 1x1 convolution, a 3x3 convolution and a linear layer run with dense weights and with each pattern, interleaved
    in turn for about `seconds`, so that all see the same machine. A round's ratio is the geometric mean over the
    three kernels; the result its median over the rounds with a 95 % interval.
    """
    kernels = [_variants(network, engine, setting, patterns) for network in _networks()]
    bursts = [_burst(variants[0], clock) for variants in kernels]
    rounds: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    start = clock()
    while len(rounds) < FEWEST_ROUNDS or clock() - start < seconds:
        taken = [
            _timed(variants, burst, shift=len(rounds), clock=clock)
            for variants, burst in zip(kernels, bursts, strict=True)
        ]
        logs = np.log(np.array(taken))
        rounds.append((logs[:, :1] - logs[:, 1:]).mean(axis=0))
    ratios = np.exp(np.array(rounds))
    return {str(pattern): Speedup(*median_interval(ratios[:, i])) for i, pattern in enumerate(patterns)}


def median_interval(
    values: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]], *, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Median of `values` and the order statistics between which the true median lies with that confidence.

    Distribution-free: the number of values below the median is binomial with share one half.
    """
    from scipy.stats import binom

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    outside = max(0, int(binom.ppf((1 - confidence) / 2, len(ordered), 0.5)) - 1)
    return float(np.median(ordered)), float(ordered[outside]), float(ordered[-1 - outside])


def _networks() -> tuple[Network, ...]:
    def convolution(kernel: int) -> Callable[[NetworkBuilder, Pick], Tensor]:
        return lambda net, pick: net.conv(net.input(CHANNELS, SIZE, SIZE), CHANNELS, kernel=kernel)

    def linear(net: NetworkBuilder, pick: Pick) -> Tensor:
        return net.linear(net.flatten(net.input(FEATURES, 1, 1)), FEATURES)

    return tuple(SearchSpace(space).build(Architecture(())) for space in (convolution(1), convolution(3), linear))


def _variants(network: Network, engine: Runtime, setting: Setting, patterns: Sequence[Sparsity]) -> list[Run]:
    """The network with dense weights, then with each pattern."""
    dense = random_weights(network, np.random.default_rng(SEED))
    runs = [engine.prepare(network, _with_zeros(dense, pattern), setting=setting) for pattern in (0.0, *patterns)]
    for run in runs:
        for _ in range(WARM_UP):
            run()
    return runs


def _with_zeros(weights: Mapping[str, Mapping[str, Any]], sparsity: Sparsity) -> dict[str, dict[str, Any]]:
    import torch

    from nas.masks import masked

    return {
        path: {
            name: masked(torch.from_numpy(value), sparsity).numpy() if value.ndim > 1 else value
            for name, value in tensors.items()
        }
        for path, tensors in weights.items()
    }


def _burst(run: Run, clock: Clock) -> int:
    """Calls that take about a millisecond."""
    start = clock()
    run()
    return max(1, int(BURST_S / max(clock() - start, 1e-9)))


def _timed(variants: Sequence[Run], burst: int, *, shift: int, clock: Clock) -> list[float]:
    """Seconds of a burst of each variant; each round starts with another one."""
    taken = [0.0] * len(variants)
    for i in range(len(variants)):
        place = (i + shift) % len(variants)
        start = clock()
        for _ in range(burst):
            variants[place]()
        taken[place] = clock() - start
    return taken
