"""What changes the size or the channels of a map without weights: input, joining, slicing, pooling, flattening."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from search_spaces.errors import ShapeError
from search_spaces.operators.base import Counts, Layout, Plain, Shape, elements, single_shape, window_outputs


@dataclass(frozen=True, slots=True)
class Input(Plain):
    """The network's input of `shape` (channels, *spatial)."""

    shape: Shape
    label: ClassVar[str] = "input"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if shapes:
            raise ShapeError(f"Input takes no inputs, got {len(shapes)}")
        if len(self.shape) < 1 or min(self.shape) < 1:
            raise ShapeError(f"Input needs positive sizes, got {self.shape}")
        return self.shape

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return ((name, shape[0]),)


@dataclass(frozen=True, slots=True)
class Concat(Plain):
    """Concatenation along channels; the output keeps one layout segment per source."""

    label: ClassVar[str] = "concat"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) < 2:
            raise ShapeError(f"Concat takes at least two inputs, got {len(shapes)}")
        if any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise ShapeError(f"Concat takes maps of equal size, got {', '.join(map(str, shapes))}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return tuple(segment for layout in layouts for segment in layout)

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        return Counts(moved_elements=2 * elements(self.infer(shapes)))


@dataclass(frozen=True, slots=True)
class Slice(Plain):
    """`channels` of a tensor from the channel `start` on; a view of its input."""

    start: int
    channels: int
    label: ClassVar[str] = "slice"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "Slice")
        if self.start < 0 or self.channels < 1 or self.start + self.channels > shape[0]:
            raise ShapeError(
                f"Slice cannot take {self.channels} channels from channel {self.start} on: there are {shape[0]}"
            )
        return (self.channels, *shape[1:])

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return ((name, self.channels),)


@dataclass(frozen=True, slots=True)
class Pool(Plain):
    """Max or average pooling; averages count padded zeros only when `count_padding`."""

    kind: Literal["max", "average"]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil: bool = False
    count_padding: bool = False
    label: ClassVar[str] = "pool"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, *spatial = single_shape(shapes, "Pool")
        if self.kind not in ("max", "average"):
            raise ShapeError(f"unknown pooling {self.kind!r}; known: max, average")
        if len(spatial) != len(self.kernel):
            raise ShapeError(f"Pool with kernel {self.kernel} cannot take a map of size {spatial}")
        out = tuple(
            window_outputs(size, kernel, stride, padding, 1, self.ceil)
            for size, kernel, stride, padding in zip(spatial, self.kernel, self.stride, self.padding, strict=True)
        )
        if min(out) < 1:
            raise ShapeError(f"Pool kernel {self.kernel} does not fit into map {spatial}")
        return (channels, *out)

    def saves(self) -> tuple[str, ...]:
        return ("in", "index") if self.kind == "max" else ("in",)


@dataclass(frozen=True, slots=True)
class GlobalPool(Plain):
    """Average over all positions; keeps spatial axes of size one."""

    label: ClassVar[str] = "pool"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, *spatial = single_shape(shapes, "GlobalPool")
        if not spatial:
            raise ShapeError(f"GlobalPool takes a map, got a flat tensor of {channels} features")
        return (channels, *(1 for _ in spatial))


@dataclass(frozen=True, slots=True)
class Flatten(Plain):
    """All axes into one, channels outermost; a view of its input."""

    label: ClassVar[str] = "flatten"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        return (elements(single_shape(shapes, "Flatten")),)

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        channels = sum(size for _, size in layouts[0])
        return tuple((origin, size * (shape[0] // channels)) for origin, size in layouts[0])
