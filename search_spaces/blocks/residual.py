"""Residual blocks of ResNet and ResNeXt."""

from search_spaces.blocks.attention import efficient_attention
from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block


def _shortcut(net: NetworkBuilder, x: Tensor, out_channels: int, stride: int) -> Tensor:
    if stride == 1 and x.channels == out_channels:
        return x
    return conv_norm_act(net, x, out_channels, kernel=1, stride=stride, act=None, name="shortcut")


@block
def basic_residual(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    group_size: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Two kxk convolutions around a shortcut (He et al. 2016, basic block)."""
    y = conv_norm_act(net, x, out_channels, kernel=kernel, stride=stride, group_size=group_size, name="first")
    y = conv_norm_act(
        net, y, out_channels, kernel=kernel, group_size=group_size, act=None, zero_init=True, name="second"
    )
    return net.activation(net.add(y, _shortcut(net, x, out_channels, stride)), "relu")


@block
def bottleneck(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    width: int | None = None,
    kernel: int = 3,
    stride: int = 1,
    group_size: int | None = None,
    attention: bool = False,
    name: str | None = None,
) -> Tensor:
    """1x1 to `width` (a quarter of the output by default), grouped kxk with the stride, 1x1, around a shortcut.

    Dense groups give ResNet's bottleneck (He et al. 2016), a group size gives ResNeXt's (Xie et al. 2017).
    `attention` puts a channel gate at the end of the branch (ECA, Wang et al. 2020).
    """
    width = out_channels // 4 if width is None else width
    y = conv_norm_act(net, x, width, kernel=1, name="reduce")
    y = conv_norm_act(net, y, width, kernel=kernel, stride=stride, group_size=group_size, name="spatial")
    y = conv_norm_act(net, y, out_channels, kernel=1, act=None, zero_init=True, name="expand")
    if attention:
        y = efficient_attention(net, y)
    return net.activation(net.add(y, _shortcut(net, x, out_channels, stride)), "relu")
