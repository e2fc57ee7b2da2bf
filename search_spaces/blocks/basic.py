"""Convolution with norm and activation, and the classification head."""

from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.sparsity import Sparsity


@block
def conv_norm_act(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    group_size: int | None = None,
    sparsity: Sparsity = 0.0,
    act: str | None = "relu",
    zero_init: bool = False,
    name: str | None = None,
) -> Tensor:
    """Convolution ("same" padding), batch norm, and an activation unless `act` is `None`."""
    x = net.conv(
        x,
        out_channels,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        group_size=group_size,
        sparsity=sparsity,
    )
    x = net.batch_norm(x, zero_init=zero_init)
    return x if act is None else net.activation(x, act)


@block
def classifier(
    net: NetworkBuilder,
    x: Tensor,
    classes: int,
    *,
    dropout: float = 0.0,
    name: str | None = None,
) -> Tensor:
    """Global average, dropout, and a linear layer giving `classes` logits."""
    x = net.flatten(net.global_pool(x))
    return net.linear(net.dropout(x, dropout), classes)
