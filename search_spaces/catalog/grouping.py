"""Group sizes of a network's group convolutions: of all, of a stage, or of a single layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search_spaces.builder import NetworkBuilder, Pick
from search_spaces.errors import SpaceError

Per = Literal["network", "stage", "layer"]
PLACES: tuple[Per, ...] = ("network", "stage", "layer")


@dataclass(frozen=True, slots=True)
class Grouping:
    """What group convolutions may be: channels per group, or numbers of groups where `counts` are given.

    `per` says what one pick stands for; only options that divide all the channels it stands for are offered.
    """

    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    per: Per

    @classmethod
    def of(cls, space: str, sizes: Sequence[int], counts: Sequence[int], per: Per) -> "Grouping":
        """Checked against what the space called `space` offers."""
        if per not in PLACES:
            raise SpaceError(f"{space}: per is {per!r}; known: {', '.join(PLACES)}")
        if not sizes and not counts:
            raise SpaceError(f"{space}: give group_sizes or group_counts")
        return cls(tuple(sizes), tuple(counts), per)

    def group_size(self, net: NetworkBuilder, pick: Pick, layer: str, reads: Mapping[str, int]) -> int:
        """Channels per group of `layer`, a path whose first part is its stage.

        `reads` are the channels that the layers read, by their paths in order. A stage's picks are called
        "<stage>.group_size" or "<stage>.group_count", a layer's "<layer>...."; the network's has no prefix.
        """
        stage = layer.partition(".")[0]
        place = {"network": "", "stage": f"{stage}.", "layer": f"{layer}."}[self.per]
        together = {channels for path, channels in reads.items() if f"{path}.".startswith(place)}
        name, options = ("group_count", self.counts) if self.counts else ("group_size", self.sizes)
        fitting = tuple(value for value in options if all(channels % value == 0 for channels in together))
        net.require(bool(fitting), f"{layer}: none of the {name} options {options} divides {sorted(together)} channels")
        value = int(pick(f"{place}{name}", fitting))
        return reads[layer] // value if self.counts else value
