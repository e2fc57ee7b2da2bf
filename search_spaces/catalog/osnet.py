"""OSNet, and the space of instance-norm placements that OSNet-AIN was found in."""

from collections.abc import Mapping, Sequence

from search_spaces.blocks import conv_norm_act, omni_scale
from search_spaces.blocks.omni_scale import INSTANCE_NORMS, InstanceNorms
from search_spaces.builder import NetworkBuilder, Pick, Tensor, Value
from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace

STEM_WIDTH, STAGE_WIDTHS, BLOCKS = 64, (256, 384, 512), 2
IBN: tuple[tuple[InstanceNorms, ...], ...] = (("after", "after"), ("none", "none"), ("none", "none"))
AIN: tuple[tuple[InstanceNorms, ...], ...] = (("inside", "inside"), ("none", "inside"), ("inside", "none"))
"""Instance norms of OSNet-IBN and of OSNet-AIN, the network found by the authors' search; both have one in the stem."""


def osnet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width_multipliers: Sequence[float] = (1.0,),
    streams: Sequence[int] = (4,),
    instance_norms: Sequence[InstanceNorms] = ("none",),
    stem_norm: str = "batch",
    features: int = 512,
) -> SearchSpace:
    """OSNet (Zhou et al. 2019) for `classes` identities; its outputs are "embedding" and, in training, "identity".

    Width multipliers are picked for the stem and per stage, streams and the place of instance norms per block; all four
    places in six blocks are the 4,096 networks of OSNet-AIN's space. `stem_norm` is "batch" or "instance". Inputs
    below 64 pixels on a side get a 3x3 stem without pooling.
    """
    if stem_norm not in ("batch", "instance"):
        raise SpaceError(f"osnet: stem_norm is {stem_norm!r}; known: batch, instance")
    channels, *spatial = input_shape

    def space(net: NetworkBuilder, pick: Pick) -> Mapping[str, Tensor]:
        x = net.input(channels, *spatial)
        with net.scope("stem") as stem:
            width = round(STEM_WIDTH * stem.pick("width_multiplier", tuple(width_multipliers)))
            large = min(spatial) >= 64
            x = net.conv(x, width, kernel=7 if large else 3, stride=2 if large else 1)
            x = net.batch_norm(x) if stem_norm == "batch" else net.instance_norm(x)
            x = net.activation(x, "relu")
            if large:
                x = net.pool(x, "max", kernel=3, stride=2, padding=1)
        for i, base in enumerate(STAGE_WIDTHS):
            with net.scope(f"stage{i}") as stage:
                width = round(base * stage.pick("width_multiplier", tuple(width_multipliers)))
                for j in range(BLOCKS):
                    with net.scope(f"block{j}") as here:
                        x = omni_scale(
                            net,
                            x,
                            width,
                            streams=here.pick("streams", tuple(streams)),
                            instance_norm=here.pick("instance_norm", tuple(instance_norms)),
                        )
                x = conv_norm_act(net, x, width, kernel=1, name="transition")
                if i < len(STAGE_WIDTHS) - 1:
                    x = net.pool(x, "average", kernel=2)
        x = net.linear(net.flatten(net.global_pool(x)), features, name="features")
        embedding = net.activation(net.batch_norm(x), "relu")
        return {"embedding": embedding, "identity": net.linear(embedding, classes, name="identity")}

    return SearchSpace(space, name="osnet", training_only=("identity",))


def osnet_ain(
    input_shape: tuple[int, ...], classes: int, *, width_multipliers: Sequence[float] = (1.0,)
) -> SearchSpace:
    """The 4,096 placements of instance norms in OSNet with one in the stem (Zhou et al. 2021)."""
    return osnet(
        input_shape,
        classes,
        width_multipliers=width_multipliers,
        instance_norms=INSTANCE_NORMS,
        stem_norm="instance",
    )


def placement_picks(placements: Sequence[Sequence[InstanceNorms]]) -> dict[str, Value]:
    """Picks of `osnet_ain` for the place of instance norms per stage and block, such as `AIN`."""
    return {
        f"stage{i}.block{j}.instance_norm": place for i, row in enumerate(placements) for j, place in enumerate(row)
    }
