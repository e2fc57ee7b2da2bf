"""What tables must see of a network beside its operators: memory, split so that each part depends on little.

A tensor's elements are the product of its channels, which follow widths, and of its positions, which follow the
resolution; learned apart, both need far fewer architectures than their product.
"""

import math
from collections.abc import Hashable, Mapping, Sequence

from predictors.counts import first_saves, lifetimes
from search_spaces.network import Network
from search_spaces.operators import Shape, elements

OWN, CHANNELS, POSITIONS, SAVED = "own memory", "held channels", "held positions", "saved"
OBSERVED = frozenset({OWN, CHANNELS, POSITIONS, SAVED})


def observe_memory(network: Network) -> Mapping[str, Sequence[Hashable]]:
    """Per node: which of its own tensors take memory, the shape of each other tensor alive, what training keeps.

    A tensor that is part of a larger one takes no memory of its own; the larger one is among the others.
    """
    storage, death = lifetimes(network)
    nodes = network.nodes
    own: list[Hashable] = [()] * len(nodes)
    channels: list[Hashable] = [()] * len(nodes)
    positions: list[Hashable] = [()] * len(nodes)
    used = set(network.inference_nodes)
    live: list[int] = []
    for i, node in enumerate(nodes):
        if i in death:
            live.append(i)
        if i in used:
            mine: list[int] = []
            taken = []
            for j in (i, *node.inputs):
                whole = elements(nodes[storage[j]].shape) == elements(nodes[j].shape)
                taken.append(whole and storage[j] not in mine)
                mine += [storage[j]] if whole else []
            own[i] = tuple(taken)
            held = [nodes[root].shape for root in live if root not in mine]
            channels[i] = tuple([shape[0] for shape in held])
            positions[i] = tuple([math.prod(shape[1:]) for shape in held])
        live = [root for root in live if death[root] > i]
    return {OWN: own, CHANNELS: channels, POSITIONS: positions, SAVED: first_saves(network)}


def live_elements_of(
    in_shapes: tuple[Shape, ...],
    out_shape: Shape,
    own: Sequence[bool],
    channels: Sequence[int],
    positions: Sequence[int],
) -> int:
    """Elements alive while a node runs, from what `observe_memory` saw of it."""
    mine = sum(elements(shape) for shape, counted in zip((out_shape, *in_shapes), own, strict=True) if counted)
    return mine + sum(map(math.prod, zip(channels, positions, strict=True)))
