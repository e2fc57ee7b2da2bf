"""Several dilations side by side."""

from collections.abc import Sequence

from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.errors import ShapeError
from search_spaces.operators import divisors


@block
def multi_dilated(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    kernel: int = 3,
    dilations: Sequence[int] = (1, 2, 3, 5),
    group_size: int | None = None,
    name: str | None = None,
) -> Tensor:
    """One kxk branch per dilation with an equal share of the channels, concatenated and mixed by a 1x1.

    `out_channels` must be a multiple of the number of dilations.
    """
    if out_channels % len(dilations):
        raise ShapeError(
            f"multi_dilated: {len(dilations)} dilations do not divide {out_channels} channels; "
            f"use one of {divisors(out_channels)} dilations"
        )
    share = out_channels // len(dilations)
    branches = [
        conv_norm_act(net, x, share, kernel=kernel, dilation=d, group_size=group_size, name=f"dilation{d}")
        for d in dilations
    ]
    joined = net.concat(*branches) if len(branches) > 1 else branches[0]
    mixed = conv_norm_act(
        net, joined, out_channels, kernel=1, act=None, zero_init=x.channels == out_channels, name="mix"
    )
    return net.activation(net.add(mixed, x) if x.channels == out_channels else mixed, "relu")
