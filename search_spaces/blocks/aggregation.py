"""One-shot aggregation: a chain of convolutions whose outputs are joined once, at its end."""

from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block


@block
def one_shot_aggregation(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    layer_width: int | None = None,
    layers: int = 5,
    kernel: int = 3,
    residual: bool = False,
    name: str | None = None,
) -> Tensor:
    """`layers` kxk convolutions in a row; the input and the outputs of all, joined, through a 1x1.

    Each has `layer_width` channels, half of the output's by default. `residual` adds the input where the channels are
    equal (Lee et al. 2019, VoVNet).
    """
    width = max(1, out_channels // 2) if layer_width is None else layer_width
    found = [x]
    for i in range(layers):
        found.append(conv_norm_act(net, found[-1], width, kernel=kernel, name=f"layer{i}"))
    y = conv_norm_act(net, net.concat(*found), out_channels, kernel=1, name="join")
    return net.add(y, x) if residual and x.channels == out_channels else y
