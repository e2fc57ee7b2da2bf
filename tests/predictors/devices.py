"""Synthetic devices whose law is known: each pays for multiply-adds, traffic and layers in its own proportion."""

import numpy as np

from predictors.kernel_features import Floats
from predictors.known_devices import KnownDevices

LINES = {"compute": (8.0, 1.0, 1.0), "traffic": (1.0, 8.0, 1.0), "launches": (1.0, 1.0, 8.0), "even": (3.0, 3.0, 3.0)}


def pool(count: int, rng: np.random.Generator) -> Floats:
    """Work of random architectures, multiply-adds, traffic and layers in units of their mean, [count, 3]."""
    return np.asarray(rng.uniform(0.5, 1.5, (count, 3)))


def figure(work: Floats, prices: tuple[float, float, float], rng: np.random.Generator, *, noise: float) -> Floats:
    """What a device takes, [count]."""
    return np.asarray((1 + work @ np.array(prices)) * np.exp(noise * rng.standard_normal(len(work))))


def known_devices(work: Floats, rng: np.random.Generator, *, noise: float = 0.02) -> KnownDevices:
    """Two devices of each line; layers are all that was counted."""
    figures = [
        figure(work, (a * size, b * size, c), rng, noise=noise) for a, b, c in LINES.values() for size in (1.0, 1.3)
    ]
    families = tuple(line for line in LINES for _ in range(2))
    return KnownDevices(np.column_stack(figures), families, work[:, 2:])
