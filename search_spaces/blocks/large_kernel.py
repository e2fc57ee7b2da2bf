"""Blocks around large depthwise kernels: ConvNeXt, InceptionNeXt and UniRepLKNet."""

from search_spaces.blocks.attention import squeeze_excite
from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.errors import unknown_name
from search_spaces.sparsity import Sparsity

REPARAM_BRANCHES: dict[int, tuple[tuple[int, int], ...]] = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}
"""By the size of the large kernel: size and dilation of the small ones beside it (Ding et al. 2024)."""
SMALLEST_REPARAM = 7


@block
def large_kernel(
    net: NetworkBuilder,
    x: Tensor,
    *,
    kernel: int = 7,
    dilation: int = 1,
    group_size: int = 1,
    expand: int = 4,
    sparsity: Sparsity = 0.0,
    scale_init: float = 1e-6,
    name: str | None = None,
) -> Tensor:
    """Depthwise kxk, layer norm, 1x1 expand, GELU, 1x1 project, layer scale, residual (Liu et al. 2022)."""
    y = net.conv(x, x.channels, kernel=kernel, dilation=dilation, group_size=group_size, bias=True, name="spatial")
    y = net.layer_norm(y)
    y = net.conv(y, x.channels * expand, kernel=1, bias=True, sparsity=sparsity, name="expand")
    y = net.activation(y, "gelu")
    y = net.conv(y, x.channels, kernel=1, bias=True, sparsity=sparsity, name="project")
    return net.add(net.scale(y, init=scale_init), x)


@block
def inception_depthwise(
    net: NetworkBuilder,
    x: Tensor,
    *,
    kernel: int = 3,
    band: int = 11,
    branch_ratio: float = 0.125,
    name: str | None = None,
) -> Tensor:
    """A share of the channels each through a depthwise kxk, 1xb and bx1; the others pass (Yu et al. 2024)."""
    share = max(1, int(x.channels * branch_ratio))
    start = x.channels - 3 * share
    parts = [net.slice(x, 0, start, name="kept")]
    for label, taps in (("square", (kernel, kernel)), ("row", (1, band)), ("column", (band, 1))):
        y = net.slice(x, start, share, name=f"{label}_in")
        parts.append(net.conv(y, share, kernel=taps, group_size=1, bias=True, name=label))
        start += share
    return net.concat(*parts)


@block
def inception_next(
    net: NetworkBuilder,
    x: Tensor,
    *,
    band: int = 11,
    branch_ratio: float = 0.125,
    expand: int = 4,
    scale_init: float = 1e-6,
    name: str | None = None,
) -> Tensor:
    """ConvNeXt's block with the large kernel split four ways and batch norm (Yu et al. 2024, InceptionNeXt)."""
    y = inception_depthwise(net, x, band=band, branch_ratio=branch_ratio, name="spatial")
    y = net.batch_norm(y)
    y = net.conv(y, x.channels * expand, kernel=1, bias=True, name="expand")
    y = net.activation(y, "gelu")
    y = net.conv(y, x.channels, kernel=1, bias=True, name="project")
    return net.add(net.scale(y, init=scale_init), x)


@block
def dilated_reparam(net: NetworkBuilder, x: Tensor, *, kernel: int = 13, name: str | None = None) -> Tensor:
    """A large depthwise kernel and, beside it, small dilated ones, each with its batch norm, summed (Ding et al. 2024).

    All read the same map, so they merge into the one large kernel (`search_spaces.merging`).
    """
    if kernel not in REPARAM_BRANCHES:
        raise unknown_name("kernel of dilated_reparam", str(kernel), list(map(str, REPARAM_BRANCHES)))
    branches = [conv_norm_act(net, x, x.channels, kernel=kernel, group_size=1, act=None, name="large")]
    for size, dilation in REPARAM_BRANCHES[kernel]:
        name = f"kernel{size}_dilation{dilation}"
        y = conv_norm_act(net, x, x.channels, kernel=size, dilation=dilation, group_size=1, act=None, name=name)
        branches.append(y)
    return net.add(*branches)


@block
def universal_large_kernel(
    net: NetworkBuilder,
    x: Tensor,
    *,
    kernel: int = 13,
    expand: int = 4,
    scale_init: float = 1e-6,
    name: str | None = None,
) -> Tensor:
    """Depthwise kernel (re-parameterised from 7 on), norm, gate, and an MLP with response norm (Ding et al. 2024).

    UniRepLKNet's block in its training form.
    """
    if kernel < SMALLEST_REPARAM:
        y = net.conv(x, x.channels, kernel=kernel, group_size=1, name="small")
    else:
        y = dilated_reparam(net, x, kernel=kernel, name="spatial")
    y = squeeze_excite(net, net.batch_norm(y), hidden=max(1, x.channels // 4), name="gate")
    y = net.conv(y, x.channels * expand, kernel=1, bias=True, name="expand")
    y = net.response_norm(net.activation(y, "gelu"), name="response")
    y = net.conv(y, x.channels, kernel=1, name="project")
    y = net.batch_norm(y, name="project_norm")
    return net.add(net.scale(y, init=scale_init), x)
