"""Which networks to measure next: those whose kernels say the most about the space at hand."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2, prod

import numpy as np

from predictors.kernel_features import kernel_class
from predictors.kernels import Fusion, Kernel, kernels
from search_spaces.builder import Value
from search_spaces.network import Network
from search_spaces.space import SearchSpace

HELD_OUT_EVERY = 5
CANDIDATES = 4
FIXED_COST_IN_KERNELS = 10
TRIES = 40


@dataclass(frozen=True, slots=True)
class Planned:
    """A network to measure; `held_out` ones are drawn plainly at random and never fitted on."""

    network: Network
    held_out: bool


def plan(
    spaces: Sequence[SearchSpace],
    rng: np.random.Generator,
    *,
    fusion: Fusion = "graph",
    measured: Mapping[str, Sequence[Kernel]] | None = None,
) -> Iterator[Planned]:
    """Networks of `spaces`, in the form in which they are used, in turn: worth measuring in this order, none twice.

    Every fifth is a random draw to be held out. Each other one is the draw, out of four, that shows most kernels of
    kinds and sizes seen seldom so far, for the time it takes. A space is left out once 40 draws in a row bring nothing
    new from it.
    `measured` holds what is known already: {fingerprint: kernels}.
    """
    seen: Counter[Hashable] = Counter()
    known = set(measured or ())
    for done in (measured or {}).values():
        seen.update(set(map(cell, done)))
    number = len(known)
    left = list(spaces)
    while left:
        held_out = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        space = left[number // HELD_OUT_EVERY % len(left)]
        drawn = _draw(space, rng, known, wanted=1 if held_out else CANDIDATES)
        if not drawn:
            left.remove(space)
            continue
        chosen = max(drawn, key=lambda network: _novelty(kernels(network, fusion=fusion), seen))
        known.add(chosen.fingerprint)
        if not held_out:
            seen.update(set(map(cell, kernels(chosen, fusion=fusion))))
        yield Planned(chosen, held_out)
        number += 1


def distinct(space: SearchSpace, rng: np.random.Generator, wanted: int) -> list[Network]:
    """Up to `wanted` different random networks of `space`; fewer where 40 draws in a row bring nothing new."""
    known: set[str] = set()
    found: list[Network] = []
    while len(found) < wanted and (new := _draw(space, rng, known, wanted=1)):
        known.add(new[0].fingerprint)
        found += new
    return found


def _draw(space: SearchSpace, rng: np.random.Generator, known: set[str], *, wanted: int) -> list[Network]:
    def choose(_name: str, options: tuple[Value, ...]) -> Value:
        return options[int(rng.integers(len(options)))]

    found: list[Network] = []
    used = space.used_form()
    for _ in range(TRIES):
        network = used.trace(choose).network
        if network is not None and network.fingerprint not in known:
            found.append(network)
        if len(found) == wanted:
            break
    return found


def _novelty(found: Sequence[Kernel], seen: Counter[Hashable]) -> float:
    """Cells of these kernels that were seen seldom, per kernel and fixed cost of a network."""
    new = sum(1 / (1 + seen[name]) for name in set(map(cell, found)))
    return new / (FIXED_COST_IN_KERNELS + len(found))


def cell(kernel: Kernel) -> Hashable:
    """What kernels share that teach nearly the same: geometry exactly, channels and size to half octaves."""
    sizes = (kernel.in_shape[0], kernel.out_shape[0], prod(kernel.in_shape[1:]))
    return (
        kernel_class(kernel),
        kernel.window,
        kernel.stride,
        kernel.dilation,
        kernel.group_size if kernel.groups > 1 else 0,
        *(round(2 * log2(size)) for size in sizes),
    )
