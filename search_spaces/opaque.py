"""An operator outside the vocabulary: what a step of somebody's own module was seen to do."""

from dataclasses import dataclass
from typing import ClassVar

from search_spaces.operators import Counts, Layout, Shape, Weight


@dataclass(frozen=True, slots=True)
class Opaque:
    """A step of a traced module: its output and its counts are recorded, not derived. No space is made of these.

    what: in words. shape: of its output. is_view: whether the output is its first input seen otherwise, so that it
    takes no memory and no time. The counts are for one sample, the step's own parameters included.
    """

    what: str
    shape: Shape
    macs: int = 0
    params: int = 0
    nonzero_params: int = 0
    weight_bytes: int = 0
    activations: int = 0
    moved_elements: int = 0
    is_view: bool = False
    label: ClassVar[str] = "opaque"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """The recorded shape, whatever is read."""
        return self.shape

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        """One segment."""
        return ((name, shape[0]),)

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        """None: nothing slices them, and the counts hold their number."""
        return {}

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        """As recorded; none of the multiply-accumulates is known to be by zero."""
        return Counts(
            self.macs,
            self.macs,
            self.params,
            self.nonzero_params,
            self.weight_bytes,
            self.activations,
            self.moved_elements,
        )

    def saves(self) -> tuple[str, ...]:
        """What the backward pass is taken to need: the input."""
        return () if self.is_view else ("in",)
