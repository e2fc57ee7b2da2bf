"""Large-kernel depthwise block in the manner of ConvNeXt."""

from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.sparsity import Sparsity


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
