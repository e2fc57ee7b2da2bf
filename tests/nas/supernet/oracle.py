"""What a subnet takes of shared weights, worked out one element at a time and without the supernet's code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search_spaces.network import Network, Node
from search_spaces.operators import Conv, Layout

Positions = dict[str, dict[str, NDArray[np.int64]]]
"""Per weight path and tensor: for each element of the subnet's tensor, its place in the flat shared one."""


@dataclass
class Seen:
    """What all architectures together ask of a weight path."""

    segments: list[dict[str, int]] = field(default_factory=list)
    group_sizes: set[int] = field(default_factory=set)
    ratios: set[tuple[int, int]] = field(default_factory=set)

    def sizes(self) -> dict[object, int]:
        """Largest size of each segment: by number where all have as many, else by name."""
        found: dict[object, int] = {}
        for layout in sorted(self.segments, key=len, reverse=True):
            for key, size in self.keyed(layout):
                found[key] = max(size, found.get(key, 0))
        return found

    def keyed(self, layout: Mapping[str, int]) -> list[tuple[object, int]]:
        """Segments with the key that tells which correspond."""
        alike = len({len(each) for each in self.segments}) == 1
        return list(enumerate(layout.values())) if alike else [(name, size) for name, size in layout.items()]

    def places(self, layout: Mapping[str, int]) -> list[int]:
        """Place of each input channel of an architecture among all shared input channels."""
        starts, total = {}, 0
        for key, size in self.sizes().items():
            starts[key], total = total, total + size
        return [starts[key] + channel for key, size in self.keyed(layout) for channel in range(size)]


def observe(networks: Iterable[Network]) -> dict[str, Seen]:
    """What `networks` together ask of each weight path."""
    seen: dict[str, Seen] = {}
    for network in networks:
        for node in network.nodes:
            if node.op.weights(network.input_shapes(node)):
                one = seen.setdefault(node.weights_path, Seen())
                layout = named(network.input_layouts(node)[0])
                if layout not in one.segments:
                    one.segments.append(layout)
                if isinstance(node.op, Conv):
                    inputs = sum(layout.values())
                    divisor = int(np.gcd(node.op.out_channels, inputs))
                    one.group_sizes.add(node.op.group_size)
                    one.ratios.add((node.op.out_channels // divisor, inputs // divisor))
    return seen


def named(layout: Layout) -> dict[str, int]:
    """A layout as a dict; its origins are distinct."""
    assert len(dict(layout)) == len(layout)
    return dict(layout)


def positions(network: Network, seen: Mapping[str, Seen], shared: Mapping[str, tuple[int, ...]]) -> Positions:
    """Where each element of each tensor of `network` lies; `shared` has the shapes by "<path>.<tensor>"."""
    found: Positions = {}
    for node in network.nodes:
        for name, weight in node.op.weights(network.input_shapes(node)).items():
            if not weight.learnable:
                continue
            shape = shared[f"{node.weights_path}.{name}"]
            take = np.empty(weight.shape, dtype=np.int64)
            for index in np.ndindex(*weight.shape):
                place = _place(network, node, seen[node.weights_path], weight.axes, index, weight.shape, shape)
                take[index] = np.ravel_multi_index(place, shape)
            found.setdefault(node.weights_path, {})[name] = take
    return found


def _place(
    network: Network,
    node: Node,
    seen: Seen,
    axes: tuple[str, ...],
    index: tuple[int, ...],
    size: tuple[int, ...],
    shape: tuple[int, ...],
) -> tuple[int, ...]:
    layout = named(network.input_layouts(node)[0])
    inputs = seen.places(layout)
    place = []
    for axis, role in enumerate(axes):
        if role == "out":
            place.append(index[axis])
        elif role == "tap":
            place.append((shape[axis] - size[axis]) // 2 + index[axis])
        elif isinstance(node.op, Conv):
            per_group = node.op.out_channels // (sum(layout.values()) // node.op.group_size)
            channel = index[0] // per_group * node.op.group_size + index[axis]
            place.append(channel % max(seen.group_sizes) if nested(seen) else inputs[channel])
        else:
            place.append(inputs[index[axis]])
    return tuple(place)


def nested(seen: Seen) -> bool:
    """Whether group sizes nest: all divide the largest, one ratio, and input channels that never move."""
    largest = max(seen.group_sizes)
    sizes = {tuple(layout.values()) for layout in seen.segments}
    still = len(sizes) == 1 or all(len(each) == 1 for each in sizes)
    return still and len(seen.ratios) == 1 and all(largest % size == 0 for size in seen.group_sizes)
