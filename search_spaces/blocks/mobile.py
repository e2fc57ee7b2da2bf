"""The MobileNet block: inverted residual with a grouped spatial convolution."""

from search_spaces.blocks.attention import squeeze_excite
from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.sparsity import Sparsity


@block
def mbconv(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    expand: int = 6,
    group_size: int = 1,
    dilation: int = 1,
    sparsity: Sparsity = 0.0,
    act: str = "relu",
    se_ratio: float = 0.0,
    name: str | None = None,
) -> Tensor:
    """Inverted residual (Sandler et al. 2018): 1x1 expand, grouped kxk, optional gate, linear 1x1 project.

    `group_size` 1 is the depthwise original; `sparsity` covers the 1x1 convolutions; the input is added where
    shapes allow. `expand` 1 leaves the expansion out.
    """
    hidden = x.channels * expand
    y = x
    if expand != 1:
        y = conv_norm_act(net, y, hidden, kernel=1, sparsity=sparsity, act=act, name="expand")
    y = conv_norm_act(
        net,
        y,
        hidden,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        group_size=group_size,
        act=act,
        name="spatial",
    )
    if se_ratio:
        y = squeeze_excite(net, y, hidden=max(1, int(x.channels * se_ratio)), act=act)
    residual = stride == 1 and out_channels == x.channels
    y = conv_norm_act(
        net,
        y,
        out_channels,
        kernel=1,
        sparsity=sparsity,
        act=None,
        zero_init=residual,
        name="project",
    )
    return net.add(y, x) if residual else y
