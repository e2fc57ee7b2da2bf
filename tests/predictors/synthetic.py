"""Devices whose cost law is known.

One runs networks: tiles of sixteen channels, a fixed cost per group, slow unrolling. The other runs single
convolutions over batches, in rounds of tiles.
"""

import math
from collections.abc import Sequence

import numpy as np

from predictors.kernels import Kernel, kernels
from predictors.latency import MeasuredLatency
from predictors.target import Identity, MeasuredNetwork, Target
from search_spaces import SearchSpace

IDENTITY = Identity("onnxruntime", "onnxruntime 1.0", "cpu", "a processor", 1, 1, "fp32", "graph")


def law_ms(kernel: Kernel) -> float:
    """Milliseconds of one kernel on the device."""
    if kernel.kind != "conv":
        return 1e-3 + 2e-6 * kernel.moved_elements
    size, taps = math.prod(kernel.out_shape[1:]), math.prod(kernel.window)
    if kernel.groups == 1:
        tiles = math.ceil(kernel.out_shape[0] / 16) * 16
        return 2e-3 + 2e-8 * tiles * kernel.in_shape[0] * taps * size
    if kernel.group_size == 1:
        return 2e-3 + 1e-7 * math.ceil(kernel.out_shape[0] / 16) * 16 * taps * size
    unrolled = kernel.group_size * taps * size * (1.3 if max(kernel.dilation) > 1 else 1.0)
    return 4e-3 + kernel.groups * (1e-3 + 3e-7 * unrolled)


def measured(space: SearchSpace, count: int, rng: np.random.Generator, *, noise: float = 0.0) -> list[MeasuredLatency]:
    """`count` random networks of `space` as the device runs them: 20 µs and 1 µs a kernel on top of the kernels."""
    found = []
    for _ in range(count):
        parts = kernels(space.build(space.sample(rng)))
        times = [law_ms(kernel) * math.exp(noise * rng.standard_normal()) for kernel in parts]
        found.append(MeasuredLatency(parts, tuple(times), network_ms(parts)))
    return found


def network_ms(parts: Sequence[Kernel]) -> float:
    """Milliseconds of a network of these kernels on the device."""
    return 0.02 + sum(1e-3 + law_ms(kernel) for kernel in parts)


def synthetic_target(rows: Sequence[MeasuredLatency]) -> Target:
    """A target that holds `rows`, every fourth held out; repetitions spread by a tenth to both sides."""
    number: dict[Kernel, int] = {}
    networks = tuple(
        MeasuredNetwork(
            tuple(number.setdefault(kernel.dense, len(number)) for kernel in row.kernels),
            row.kernel_ms,
            row.latency_ms,
            0.9 * row.latency_ms,
            1.1 * row.latency_ms,
            20,
            1.0,
            i % 4 == 3,
        )
        for i, row in enumerate(rows)
    )
    return Target("desk", "measured", IDENTITY, {"processor": "a processor"}, tuple(number), networks, slowdown=1.01)


def convolution(
    inputs: int, outputs: int, size: int, window: int, stride: int, *, group_size: int | None = None
) -> Kernel:
    """A convolution with same padding over `size` by `size` positions; one group unless `group_size` says more."""
    group, positions = group_size or inputs, math.ceil(size / stride)
    weights, written = outputs * group * window**2, outputs * positions**2
    return Kernel(
        kind="conv",
        in_shape=(inputs, size, size),
        out_shape=(outputs, positions, positions),
        window=(window, window),
        stride=(stride, stride),
        dilation=(1, 1),
        group_size=group,
        macs=weights * positions**2,
        moved_elements=inputs * size**2 + written + weights,
    )


def convolutions(rng: np.random.Generator, count: int) -> tuple[list[Kernel], np.ndarray]:  # type: ignore[type-arg]
    """`count` distinct random (kernel, batch) of a grid of 2,400, a fifth of them depthwise."""
    options = [
        (convolution(inputs or outputs, outputs, size, window, stride, group_size=inputs or 1), batch)
        for inputs in (0, 24, 48, 96, 192)
        for outputs in (16, 48, 96, 192)
        for size in (6, 10, 16, 28, 46)
        for window in (1, 3, 5)
        for stride in (1, 2)
        for batch in (1, 4, 16, 64)
    ]
    chosen = [options[i] for i in rng.permutation(len(options))[:count]]
    return [kernel for kernel, _ in chosen], np.array([batch for _, batch in chosen])


def tiled_ms(kernel: Kernel, batch: int) -> float:
    """Milliseconds on eight processors that work on 64 by 32 outputs at a time, or of the traffic if that is longer."""
    rows, depth = batch * math.prod(kernel.out_shape[1:]), kernel.group_size * math.prod(kernel.window)
    if kernel.groups > 1:
        return 5e-3 + 4e-8 * rows * kernel.out_shape[0] * depth
    rounds = math.ceil(math.ceil(rows / 64) * math.ceil(kernel.out_shape[0] / 32) / 8)
    traffic = batch * (math.prod(kernel.in_shape) + math.prod(kernel.out_shape))
    return 5e-3 + max(4e-6 * rounds * depth, 1e-7 * traffic)
