"""The shapes of shared weights: per weight path, room for every form it takes in any architecture.

Dense storage is [out, in, *taps]. Grouped convolutions whose group sizes nest are stored as
[out, largest group size, *taps]: output o meets input i in slot i mod (largest group size), whatever
the group size of the subnet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from search_spaces.network import Network
from search_spaces.operators import BatchNorm, Conv, Layout, Operator, Weight

Key = tuple[str, str]
"""Weight path and kind of operator: kinds that share a path have weights of their own."""


@dataclass(frozen=True, slots=True)
class Use:
    """How an architecture uses a weight path: the operator, and the layout of what it reads."""

    op: Operator
    layout: Layout

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return sum(size for _, size in self.layout)

    @property
    def weights(self) -> dict[str, Weight]:
        """The learnable tensors in the shapes of this architecture."""
        weights = self.op.weights(((self.channels,),))
        return {name: weight for name, weight in weights.items() if weight.learnable}


@dataclass(frozen=True, slots=True)
class Segments:
    """Where the input channels of an architecture lie in the shared input axis.

    sizes: the largest size of each segment. origins: their names, where architectures differ in how
    many segments they have; `None` where segments correspond by position. A segment on its own that
    is none of those named takes the first place.
    """

    sizes: tuple[int, ...]
    origins: tuple[str, ...] | None

    def ranges(self, layout: Layout) -> tuple[tuple[int, int], ...] | None:
        """(start, length) in the shared axis of each segment of `layout`; `None` without room."""
        if self.origins is None and len(layout) != len(self.sizes):
            return None
        found = []
        for number, (origin, size) in enumerate(layout):
            position = number
            if self.origins is not None and origin in self.origins:
                position = self.origins.index(origin)
            elif self.origins is not None and len(layout) > 1:
                return None
            if size > self.sizes[position]:
                return None
            found.append((sum(self.sizes[:position]), size))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class SharedShape:
    """The shared tensors of one kind of operator at one weight path.

    prefix: what their names in checkpoints begin with. tensors: shapes by tensor name. block: of
    nested storage, the (outputs, inputs) of the largest group, else `None`. initial, groups: the
    operator that fresh tensors suit, and its number of groups. kernels: rising sides of the kernels,
    where there are several and all have equal sides.
    """

    prefix: str
    tensors: tuple[tuple[str, Weight], ...]
    segments: Segments
    block: tuple[int, int] | None
    initial: Operator
    groups: int
    kernels: tuple[int, ...] = ()


def uses_of(networks: Iterable[Network]) -> dict[Key, set[tuple[Operator, Layout]]]:
    """How `networks` use their weight paths; weights that nodes share, as their owner does."""
    found: dict[Key, set[tuple[Operator, Layout]]] = {}
    for network in networks:
        for node in network.nodes:
            if node.name == node.weights_path and node.op.weights(network.input_shapes(node)):
                use = (node.op, network.input_layouts(node)[0])
                found.setdefault((node.name, type(node.op).__name__), set()).add(use)
    return found


def shared_shapes(uses: Mapping[Key, Iterable[tuple[Operator, Layout]]]) -> dict[Key, SharedShape]:
    """Room for all `uses`, in the order of the weight paths' names.

    uses: every operator that some architecture has at a weight path, with the layout of what it
    reads: `CompiledSpace.weight_uses`, or `uses_of` some networks.
    """
    kinds: dict[str, int] = {}
    for path, _ in uses:
        kinds[path] = kinds.get(path, 0) + 1
    shapes: dict[Key, SharedShape] = {}
    for key in sorted(uses):
        path, kind = key
        prefix = path if kinds[path] == 1 else f"{path}@{kind}"
        distinct = {repr(use): Use(*use) for use in uses[key]}
        shapes[key] = _shared(prefix, [distinct[text] for text in sorted(distinct)])
    return shapes


def _shared(prefix: str, uses: list[Use]) -> SharedShape:
    segments = _segments(uses)
    block = _nested_block(uses, segments)
    sizes: dict[str, Weight] = {}
    for use in uses:
        for name, weight in use.weights.items():
            known = sizes.get(name, weight)
            shape = tuple(map(max, known.shape, weight.shape))
            sizes[name] = Weight(shape, weight.axes)
    tensors = {name: _stored(weight, segments, block) for name, weight in sizes.items()}
    initial = uses[0].op
    if isinstance(initial, BatchNorm):
        zero = all(isinstance(use.op, BatchNorm) and use.op.zero_init for use in uses)
        initial = replace(initial, zero_init=zero)
    groups = 1
    if block is not None:
        groups = tensors["weight"].shape[0] // block[0]
    elif isinstance(initial, Conv):
        groups = min(use.op.groups(use.channels) for use in uses if isinstance(use.op, Conv))
    return SharedShape(prefix, tuple(tensors.items()), segments, block, initial, groups, _kernels(uses))


def _kernels(uses: list[Use]) -> tuple[int, ...]:
    sides = {use.op.kernel for use in uses if isinstance(use.op, Conv)}
    several = len(sides) > 1 and all(len(set(side)) == 1 for side in sides)
    return tuple(sorted(side[0] for side in sides)) if several else ()


def _stored(weight: Weight, segments: Segments, block: tuple[int, int] | None) -> Weight:
    shape = list(weight.shape)
    for axis, role in enumerate(weight.axes):
        if role == "in":
            shape[axis] = sum(segments.sizes) if block is None else block[1]
        elif role == "out" and block is not None:
            shape[axis] = -(-shape[axis] // block[0]) * block[0]
    return Weight(tuple(shape), weight.axes)


def _segments(uses: list[Use]) -> Segments:
    if len({len(use.layout) for use in uses}) == 1:
        columns = zip(*(use.layout for use in uses), strict=True)
        return Segments(tuple(max(size for _, size in column) for column in columns), None)
    largest: dict[str, int] = {}
    for use in sorted(uses, key=lambda use: -len(use.layout)):
        for origin, size in use.layout:
            if len(use.layout) > 1 or origin in largest:
                largest[origin] = max(size, largest.get(origin, 0))
            else:
                largest = {name: max(size, room) for name, room in largest.items()}
    return Segments(tuple(largest.values()), tuple(largest))


def _nested_block(uses: list[Use], segments: Segments) -> tuple[int, int] | None:
    """(outputs, inputs) of the largest group where every group size divides it, else `None`.

    Asks for one ratio of outputs to inputs, and for input channels that never move: one segment, or
    segments of constant size.
    """
    convolutions = [(use.op, use.channels) for use in uses if isinstance(use.op, Conv)]
    if not convolutions:
        return None
    sizes = {op.group_size for op, _ in convolutions}
    ratios = {Fraction(op.out_channels, channels) for op, channels in convolutions}
    layouts = {tuple(size for _, size in use.layout) for use in uses}
    largest = max(sizes)
    fixed = len(segments.sizes) == 1 or len(layouts) == 1
    if len(ratios) > 1 or not fixed or any(largest % size for size in sizes):
        return None
    return int(largest * ratios.pop()), largest
