"""The omni-scale block of OSNet: streams that see different sizes, joined by one gate."""

from typing import Literal

from search_spaces.blocks.attention import squeeze_excite
from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.errors import unknown_name

InstanceNorms = Literal["none", "inside", "after", "both"]
INSTANCE_NORMS: tuple[InstanceNorms, ...] = ("none", "inside", "after", "both")


@block
def lite_conv(net: NetworkBuilder, x: Tensor, out_channels: int, *, kernel: int = 3, name: str | None = None) -> Tensor:
    """Linear 1x1, depthwise kxk, batch norm, ReLU: a light kxk convolution (Zhou et al. 2019)."""
    y = net.conv(x, out_channels, kernel=1, name="pointwise")
    y = net.conv(y, out_channels, kernel=kernel, group_size=1, name="depthwise")
    return net.activation(net.batch_norm(y), "relu")


@block
def omni_scale(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    streams: int = 4,
    reduction: int = 4,
    gate_reduction: int = 16,
    instance_norm: InstanceNorms = "none",
    name: str | None = None,
) -> Tensor:
    """Streams of 1, 2 ... light 3x3 convolutions, each through the one gate they share, summed, around a shortcut.

    Stream t sees 2t + 1 pixels. `instance_norm`: inside the branch in place of its last batch norm, after the sum, or
    both (Zhou et al. 2019 and 2021, OSNet and OSNet-AIN).
    """
    if instance_norm not in INSTANCE_NORMS:
        raise unknown_name("instance_norm", instance_norm, INSTANCE_NORMS)
    inner = max(1, out_channels // reduction)
    reduced = conv_norm_act(net, x, inner, kernel=1, name="reduce")
    gated: list[Tensor] = []
    for number in range(1, streams + 1):
        with net.scope(f"stream{number}"):
            y = reduced
            for i in range(number):
                y = lite_conv(net, y, inner, name=f"lite{i}")
        first = f"{net.path}.gate1" if gated else None
        hidden = max(1, inner // gate_reduction)
        gated.append(squeeze_excite(net, y, hidden=hidden, shared=first, name=f"gate{number}"))
    y = net.conv(net.add(*gated) if len(gated) > 1 else gated[0], out_channels, kernel=1, name="expand")
    y = net.instance_norm(y, name="norm") if instance_norm in ("inside", "both") else net.batch_norm(y, name="norm")
    if x.channels != out_channels:
        x = conv_norm_act(net, x, out_channels, kernel=1, act=None, name="shortcut")
    y = net.add(y, x)
    if instance_norm in ("after", "both"):
        y = net.instance_norm(y, name="norm_after")
    return net.activation(y, "relu")
