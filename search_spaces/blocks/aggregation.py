"""One-shot aggregation: a chain of convolutions whose outputs are joined once, at its end."""

from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block


@block
def one_shot_aggregation(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    width: int,
    layers: int = 5,
    kernel: int = 3,
    residual: bool = False,
    name: str | None = None,
) -> Tensor:
    """`layers` kxk convolutions of `width` channels in a row; their outputs and the input, joined, through a 1x1.

    `residual` adds the input where the channels are equal (Lee et al. 2019, VoVNet).
    """
    found = [x]
    for i in range(layers):
        found.append(conv_norm_act(net, found[-1], width, kernel=kernel, name=f"layer{i}"))
    y = conv_norm_act(net, net.concat(*found), out_channels, kernel=1, name="join")
    return net.add(y, x) if residual and x.channels == out_channels else y
