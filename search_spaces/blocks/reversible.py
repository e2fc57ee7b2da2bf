"""Reversible stacks of MBConv branches with group norm, in one to three dimensions."""

from collections.abc import Callable

from search_spaces.builder import NetworkBuilder, Tensor, block

Branch = Callable[[NetworkBuilder, Tensor, str], Tensor]
"""(builder, tensor, name of its scope) to a tensor of the same shape."""


@block
def conv_group_norm_act(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    group_size: int | None = None,
    norm_groups: int = 4,
    act: str | None = "relu",
    zero_init: bool = False,
    name: str | None = None,
) -> Tensor:
    """Convolution ("same" padding), group norm, and an activation unless `act` is `None`."""
    x = net.conv(x, out_channels, kernel=kernel, stride=stride, group_size=group_size)
    x = net.group_norm(x, norm_groups, zero_init=zero_init)
    return x if act is None else net.activation(x, act)


@block
def mbconv_branch(
    net: NetworkBuilder,
    x: Tensor,
    *,
    kernel: int = 3,
    expand: int = 4,
    norm_groups: int = 4,
    act: str = "relu",
    name: str | None = None,
) -> Tensor:
    """1x1 expand, depthwise kxk, 1x1 project, each with group norm: an inverted residual without its sum.

    With ReLU, training keeps 4 `expand` + 2 elements per element of `x`.
    """
    hidden = x.channels * expand
    y = conv_group_norm_act(net, x, hidden, kernel=1, norm_groups=norm_groups, act=act, name="expand")
    y = conv_group_norm_act(
        net, y, hidden, kernel=kernel, group_size=1, norm_groups=norm_groups, act=act, name="spatial"
    )
    return conv_group_norm_act(
        net, y, x.channels, kernel=1, norm_groups=norm_groups, act=None, zero_init=True, name="project"
    )


def coupled(
    net: NetworkBuilder, a: Tensor, b: Tensor, branch: Branch, *, depth: int, recompute: bool = True, name: str
) -> tuple[Tensor, Tensor]:
    """`depth` couplings of two tensors of one shape: b += f(a), then a += g(b) (Gomez et al. 2017); returns (a, b).

    `recompute` makes the scope reversible: training keeps the last a and b only. The network computes the same with
    and without it.
    """
    with net.scope(name, reversible=recompute):
        for i in range(depth):
            summary = "Two tensors, each given what a branch makes of the other."
            with net.scope(f"block{i}", block="coupling", summary=summary):
                b = net.add(b, branch(net, a, "f"), name="second")
                a = net.add(a, branch(net, b, "g"), name="first")
    return a, b
