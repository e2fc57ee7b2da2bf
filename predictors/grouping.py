"""Group convolutions of a network: their reuse of what they move, and the group size that suits the hardware.

Derived here, not taken from a paper (see `predictors.energy`).
"""

import math
from dataclasses import dataclass

from predictors.counts import count_network
from predictors.energy import energy_relative, legal_group_size
from search_spaces.network import Network
from search_spaces.operators import Conv, Shape, elements


@dataclass(frozen=True, slots=True)
class GroupedLayer:
    """One group convolution: `intensity` in multiply-adds per moved element, `energy_relative` in units of one MAC.

    `best` is the smallest group size, not a whole number, whose intensity reaches the hardware's ridge, `legal` the
    smallest that divides the channels; both `None` where the hardware is not known or no group size is enough.
    """

    name: str
    channels: int
    positions: int
    group_size: int
    intensity: float
    energy_relative: float
    best: float | None
    legal: int | None


def best_group_size_of(op: Conv, shape: Shape, ridge: float) -> float | None:
    """Smallest group size at which `op` on an input of `shape` makes `ridge` multiply-adds per moved element.

    G = I A / (k^n M (P - I)) with A the elements of input and output, M the output's channels and P its positions:
    `predictors.energy.best_group_size` for any stride and for other channels behind than before. `None`: P <= I.
    """
    out = op.infer((shape,))
    positions = elements(out[1:])
    if positions <= ridge:
        return None
    moved = elements(shape) + elements(out)
    return ridge * moved / (math.prod(op.kernel) * out[0] * (positions - ridge))


def grouped_layers(network: Network, *, ridge: float | None = None) -> tuple[GroupedLayer, ...]:
    """The convolutions of `network` in more than one group, in execution order.

    `ridge` is the hardware's ridge point in multiply-adds per element (`Target.roofline.waterline`).
    """
    found = []
    for row in count_network(network).operators:
        op = row.op
        if not isinstance(op, Conv) or op.group_size == row.in_shapes[0][0]:
            continue
        best = None if ridge is None else best_group_size_of(op, row.in_shapes[0], ridge)
        found.append(
            GroupedLayer(
                name=row.name,
                channels=row.in_shapes[0][0],
                positions=elements(row.out_shape[1:]),
                group_size=op.group_size,
                intensity=row.counts.macs / row.counts.moved_elements,
                energy_relative=energy_relative(row.counts.macs, row.counts.moved_elements),
                best=best,
                legal=None if best is None else legal_group_size(best, row.in_shapes[0][0]),
            )
        )
    return tuple(found)
