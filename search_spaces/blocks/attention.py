"""Channel gates: each channel times a number between 0 and 1 that the whole map decides."""

import math

from search_spaces.builder import NetworkBuilder, Tensor, block


@block
def squeeze_excite(
    net: NetworkBuilder,
    x: Tensor,
    *,
    hidden: int,
    act: str = "relu",
    gate: str = "sigmoid",
    shared: str | None = None,
    name: str | None = None,
) -> Tensor:
    """Channel gate: global average, two 1x1 convolutions with bias, product (Hu et al. 2018).

    `shared` is the path of an earlier gate whose weights this one uses too.
    """
    reduce, expand = (None if shared is None else f"{shared}.{part}" for part in ("reduce", "expand"))
    scale = net.global_pool(x)
    scale = net.conv(scale, hidden, kernel=1, bias=True, name="reduce", weights=reduce)
    scale = net.activation(scale, act)
    scale = net.conv(scale, x.channels, kernel=1, bias=True, name="expand", weights=expand)
    return net.multiply(x, net.activation(scale, gate, name="gate"))


def eca_kernel(channels: int) -> int:
    """The odd number nearest to log2(channels) / 2 + 1 / 2; of two as near, that which is 1 over a multiple of 4.

    128 channels lie between 3 and 5, 2,048 between 5 and 7: both get 5, which gives ResNet-50 the 80 parameters of the
    paper's abstract. Its released program rounds the second up.
    """
    return 2 * round((math.log2(channels) / 2 - 0.5) / 2) + 1


@block
def efficient_attention(
    net: NetworkBuilder, x: Tensor, *, kernel: int | None = None, name: str | None = None
) -> Tensor:
    """Channel gate from a convolution along channels (ECA, Wang et al. 2020); `kernel` follows the channels."""
    scale = net.channel_conv(net.global_pool(x), kernel=eca_kernel(x.channels) if kernel is None else kernel)
    return net.multiply(x, net.activation(scale, "sigmoid", name="gate"))
