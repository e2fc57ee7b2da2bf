"""The multi-dilated attention decoder: its convolutions, gates, mixers (Maurya et al., MACMD)."""

from collections.abc import Sequence

from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.errors import ShapeError
from search_spaces.operators import BatchNorm

GROUPS = 4
DILATIONS = (1, 2, 3, 5)


@block
def hybrid_dilated(
    net: NetworkBuilder,
    x: Tensor,
    out_channels: int,
    *,
    kernel: int = 3,
    dilations: Sequence[int] = DILATIONS,
    name: str | None = None,
) -> Tensor:
    """As many convolutions as groups, one per dilation; each part of the output sums a part of every one, in turn.

    Part i of the output is the sum over j of part (i + j) of convolution j, so that every part sees all dilations.
    As many weights as one dense convolution; with dilations 1, 2, 3, 5 it reaches 11 positions by 33 taps.
    """
    parts = len(dilations)
    if x.channels % parts or out_channels % parts:
        raise ShapeError(f"hybrid_dilated: {parts} dilations do not divide {x.channels} and {out_channels} channels")
    share = out_channels // parts
    maps = [
        net.conv(
            x,
            out_channels,
            kernel=kernel,
            dilation=d,
            group_size=x.channels // parts,
            bias=True,
            name=f"dilated{j}",
        )
        for j, d in enumerate(dilations)
    ]
    sums = []
    for i in range(parts):
        taken = [net.slice(y, (i + j) % parts * share, share) for j, y in enumerate(maps)]
        sums.append(net.add(*taken) if parts > 1 else taken[0])
    return net.concat(*sums) if parts > 1 else sums[0]


@block
def dilated_gate(
    net: NetworkBuilder, x: Tensor, *, dilations: Sequence[int] = DILATIONS, name: str | None = None
) -> Tensor:
    """A map seen at several dilations, times a gate per position that it gives itself."""
    seen = net.batch_norm(hybrid_dilated(net, x, x.channels, dilations=dilations, name="seen"))
    gate = net.conv(net.activation(seen, "relu"), 1, kernel=1, bias=True, name="gate")
    gate = net.activation(net.batch_norm(gate, name="gate_norm"), "sigmoid", name="gate_act")
    return net.multiply(seen, gate)


@block
def channel_attention(net: NetworkBuilder, x: Tensor, *, reduction: int = 16, name: str | None = None) -> Tensor:
    """Channel gate without biases: global average, two 1x1 convolutions, product (Woo et al. 2018)."""
    gate = net.conv(net.global_pool(x), max(1, x.channels // reduction), kernel=1, name="reduce")
    gate = net.conv(net.activation(gate, "relu"), x.channels, kernel=1, name="expand")
    return net.multiply(x, net.activation(gate, "sigmoid", name="gate"))


@block
def spatial_attention(net: NetworkBuilder, x: Tensor, *, kernel: int = 7, name: str | None = None) -> Tensor:
    """Gate per position from the mean and the maximum over channels (Woo et al. 2018)."""
    seen = net.concat(net.channel_pool(x, "mean"), net.channel_pool(x, "max"))
    return net.multiply(x, net.activation(net.conv(seen, 1, kernel=kernel), "sigmoid"))


@block
def enhanced(
    net: NetworkBuilder, x: Tensor, *, dilations: Sequence[int] = DILATIONS, name: str | None = None
) -> Tensor:
    """Two multi-dilated convolutions, then attention over channels and over positions."""
    for _ in range(2):
        x = net.activation(net.batch_norm(hybrid_dilated(net, x, x.channels, dilations=dilations)), "relu")
    return spatial_attention(net, channel_attention(net, x))


@block
def up_conv(net: NetworkBuilder, x: Tensor, size: tuple[int, ...], *, name: str | None = None) -> Tensor:
    """Nearest values at the new size, 3x3 depthwise, 1x1, both with bias."""
    x = net.resize(x, size, kind="nearest")
    x = net.conv(x, x.channels, group_size=1, bias=True, name="spatial")
    x = net.activation(net.batch_norm(x), "relu")
    return net.conv(x, x.channels, kernel=1, bias=True, name="project")


@block
def up_block(net: NetworkBuilder, x: Tensor, out_channels: int, *, kernel: int = 9, name: str | None = None) -> Tensor:
    """1x1, depthwise kxk with SiLU, 1x1, and twice the size."""
    y = conv_norm_act(net, x, x.channels, kernel=1, name="enter")
    y = conv_norm_act(net, y, y.channels, kernel=kernel, group_size=1, act="silu", name="spatial")
    y = conv_norm_act(net, y, out_channels, kernel=1, name="project")
    return net.resize(y, tuple(2 * n for n in y.spatial))


@block
def channel_mix(net: NetworkBuilder, x: Tensor, *, expand: int = 2, name: str | None = None) -> Tensor:
    """Channel mixing of RWKV: a squared ReLU times a gate, both of the map blended with itself moved by one position.

    The first quarters of the channels move right, left, down and up (Duan et al. 2024).
    """
    quarter = x.channels // 4
    offsets = ((0, 1), (0, -1), (1, 0), (-1, 0))
    moved = [net.shift(net.slice(x, i * quarter, quarter), offset) for i, offset in enumerate(offsets)]
    if x.channels % 4:
        moved.append(net.slice(x, 4 * quarter, x.channels % 4))
    moved_map = net.concat(*moved)
    key = net.conv(net.blend(x, moved_map, name="key_blend"), expand * x.channels, kernel=1, name="key")
    key = net.activation(key, "relu")
    key = net.layer_norm(net.multiply(key, key))
    gate = net.conv(net.blend(x, moved_map, name="gate_blend"), x.channels, kernel=1, name="gate")
    return net.multiply(net.conv(key, x.channels, kernel=1, name="value"), net.activation(gate, "sigmoid"))


def fusion(net: NetworkBuilder, maps: Sequence[Tensor], *, name: str) -> Tensor:
    """Three maps of equal width joined, mixed to two widths, attended over channels and positions, mixed again."""
    width = 2 * maps[0].channels
    with net.scope(name):
        y = net.batch_norm(net.conv(net.concat(*maps), width, kernel=1, name="join"))
        y = spatial_attention(net, channel_attention(net, y))
        return net.conv(y, width, kernel=1, name="mix")


def pooled_modulation(net: NetworkBuilder, maps: Sequence[Tensor], *, name: str) -> Tensor:
    """Maps of several scales brought to the width and size of the first, weighed against each other per position.

    Each, times a gate made of itself and of the weighed sum of all, adds to the result. Scores and gates share their
    weights over the scales. The original makes the convolutions behind the resizing anew in every call, so that they
    are never trained; here they are part of the network.
    """
    width, size = maps[0].channels, maps[0].spatial
    with net.scope(name):
        scaled = []
        for i, x in enumerate(maps):
            y = conv_norm_act(net, x, width, kernel=1, name=f"enter{i}")
            scaled.append(y if y.spatial == size else up_conv(net, y, size, name=f"up{i}"))
        scores = []
        for i, y in enumerate(scaled):
            here = net.path
            hidden = net.conv(
                y, max(1, width // 8), kernel=1, bias=True, name=f"score{i}", weights=f"{here}.score0" if i else None
            )
            hidden = net.activation(hidden, "relu")
            scores.append(
                net.conv(hidden, 1, kernel=1, bias=True, name=f"rate{i}", weights=f"{here}.rate0" if i else None)
            )
        shares = net.softmax(net.concat(*scores))
        pooled = net.add(*(net.multiply(y, net.slice(shares, i, 1)) for i, y in enumerate(scaled)))
        gate_of_pooled = net.activation(pooled, "sigmoid")
        modulated = []
        for i, y in enumerate(scaled):
            inner = net.multiply(net.multiply(pooled, net.activation(y, "sigmoid")), net.multiply(y, gate_of_pooled))
            gate = net.conv(inner, width, kernel=1, name=f"gate{i}", weights=f"{here}.gate0" if i else None)
            gate = net.apply(BatchNorm(), gate, name=f"norm{i}", weights=f"{here}.norm0" if i else None)
            modulated.append(net.multiply(y, net.activation(gate, "sigmoid")))
        return net.add(*modulated)


def cross_mix(net: NetworkBuilder, maps: Sequence[Tensor], *, name: str) -> list[Tensor]:
    """Maps of several scales mixed along channels at the size of the first, each back at its own width and size."""
    width, size = maps[0].channels, maps[0].spatial
    with net.scope(name):
        entered = [
            net.conv(net.resize(x, size), width, kernel=1, bias=True, name=f"enter{i}") for i, x in enumerate(maps)
        ]
        joined = net.concat(*reversed(entered))
        mixed = net.add(joined, net.layer_norm(channel_mix(net, joined)))
        parts = [net.slice(mixed, (len(maps) - 1 - i) * width, width) for i in range(len(maps))]
        return [
            net.resize(net.conv(part, x.channels, kernel=1, bias=True, name=f"leave{i}"), x.spatial)
            for i, (part, x) in enumerate(zip(parts, maps, strict=True))
        ]


def macmd_decoder(
    net: NetworkBuilder,
    maps: Sequence[Tensor],
    *,
    dilations: Sequence[Sequence[int]] = (DILATIONS,) * 4,
    kernels: Sequence[int] = (9,) * 4,
    last_width: int = 32,
    name: str = "decoder",
) -> tuple[Tensor, Tensor, Tensor]:
    """MACMD's decoder over four maps, the largest first: maps at twice, once and half the size of the first.

    `dilations` of the gates of each map, the smallest map's also those of its enhancement; `kernels` of the upward
    blocks, the smallest map's first. The mean over modulated scales is taken as a sum: what reads it is linear.
    """
    with net.scope(name):
        gated = [
            dilated_gate(net, x, dilations=d, name=f"gate{i}")
            for i, (x, d) in enumerate(zip(maps, dilations, strict=True))
        ]
        gated[3] = enhanced(net, gated[3], dilations=dilations[3], name="enhanced")
        pooled = pooled_modulation(net, gated, name="pooled")
        mixed = cross_mix(net, maps[:3], name="mixed")
        third = up_block(net, gated[3], maps[2].channels, kernel=kernels[0], name="up3")
        second = up_block(net, net.concat(third, mixed[2]), maps[1].channels, kernel=kernels[1], name="up2")
        first = up_block(net, net.concat(second, mixed[1]), maps[0].channels, kernel=kernels[2], name="up1")
        fused = fusion(net, (first, mixed[0], pooled), name="fusion")
        return up_block(net, fused, last_width, kernel=kernels[3], name="up0"), first, second
