"""Small spaces with awkward dependencies between their choices."""

from collections.abc import Mapping
from functools import cache

import search_spaces as ss
from predictors.tables import compile_for_costs
from search_spaces.blocks import classifier, conv_norm_act, efficient_attention, mbconv, squeeze_excite
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog.mobile import mobile
from search_spaces.compiled import CompiledSpace


def _dependent(net: NetworkBuilder, pick: Pick) -> Tensor:
    """Options that follow from earlier picks, choices that only some options ask for."""
    size = pick("resolution", (8, 12))
    x = net.input(3, size, size)
    width = pick("width", (6, 8, 12, 16))
    x = conv_norm_act(net, x, width, name="stem")
    group_size = pick("group_size", ss.divisors(width))
    kind = pick("kind", ("conv", "mobile", "none"))
    if kind == "conv":
        x = conv_norm_act(net, x, width, kernel=pick("conv.kernel", (1, 3, 5)), group_size=group_size, name="body")
    elif kind == "mobile":
        x = mbconv(net, x, width, expand=pick("mobile.expand", (1, 2)), group_size=group_size, name="body")
    late = pick("late", tuple(range(1, 1 + group_size)))
    if late > 2:
        x = conv_norm_act(net, x, 8 * late, name="late")
    return classifier(net, x, 10)


def _required(net: NetworkBuilder, pick: Pick) -> Tensor:
    """Requirements at the top and inside blocks that may not be there."""
    x = net.input(3, 8, 8)
    first, second = pick("first", (4, 8, 12, 16)), pick("second", (4, 8, 12, 16, 20))
    net.require(first <= second, "the first width must not exceed the second")
    x = conv_norm_act(net, x, first, name="one")
    x = conv_norm_act(net, x, second, name="two")
    for i in range(pick("depth", (0, 1, 2))):
        with net.scope(f"block{i}") as here:
            width = here.pick("width", (8, 16, 24))
            net.require(width >= x.channels, "widths must not fall")
            x = conv_norm_act(net, x, width, name="conv")
    return classifier(net, x, 3)


def _joined(net: NetworkBuilder, pick: Pick) -> Tensor:
    """Concatenations of a varying number of tensors, a gate, two widths that vary."""
    x = conv_norm_act(net, net.input(3, 16, 16), 8, name="stem")
    for stage in range(2):
        count, width = pick(f"stage{stage}.count", (1, 2, 3)), pick(f"stage{stage}.width", (4, 8))
        kernel = pick(f"stage{stage}.kernel", (3, 5))
        tensors = [x]
        for i in range(count):
            tensors.append(conv_norm_act(net, tensors[-1], width, kernel=kernel, name=f"stage{stage}.conv{i}"))
        x = conv_norm_act(net, net.concat(*tensors, name=f"stage{stage}.join"), 16, kernel=1, name=f"stage{stage}.mix")
        if pick(f"stage{stage}.gated", (False, True)):
            x = squeeze_excite(net, x, hidden=4, name=f"stage{stage}.gate")
    return classifier(net, x, 10)


def _shared(net: NetworkBuilder, pick: Pick) -> Mapping[str, Tensor]:
    """Weights that several nodes share, a training-only output, operators of two kinds under one name."""
    x = conv_norm_act(net, net.input(3, 8, 8), 8, name="stem")
    y = x
    for i in range(pick("times", (1, 2, 3))):
        with net.scope(f"turn{i}"):
            y = net.conv(y, 8, kernel=3, bias=True, name="conv", weights="turn0.conv" if i else None)
    if pick("joined", (False, True)):
        y = net.concat(x, y)
    y = net.conv(y, pick("width", (8, 16)), kernel=1, name="mix")
    y = (
        net.layer_norm(y, name="norm")
        if pick("norm", ("layer", "batch")) == "layer"
        else net.batch_norm(y, name="norm")
    )
    y = net.pool(y, pick("pool", ("max", "average")), kernel=2)
    extra = net.linear(net.flatten(net.global_pool(y)), 5, name="extra")
    return {"main": classifier(net, y, 10, dropout=0.1), "extra": extra}


def _picks_first(net: NetworkBuilder, pick: Pick) -> Tensor:
    """All choices are made before anything is built, and stages may be empty."""
    size = pick("resolution", (16, 24))
    depths = [pick(f"depth{i}", (0, 1, 2)) for i in range(3)]
    widths = [pick(f"width{i}", (8, 12)) for i in range(3)]
    x = conv_norm_act(net, net.input(3, size, size), 8, name="stem")
    for i, depth in enumerate(depths):
        for j in range(depth):
            x = mbconv(net, x, widths[i], stride=2 if j == 0 and i == 1 else 1, expand=2, name=f"stage{i}.block{j}")
    return classifier(net, x, 10)


def _sliced(net: NetworkBuilder, pick: Pick) -> Tensor:
    """Parts of a tensor that are read on their own, norms of every kind, a gate along channels."""
    size = pick("resolution", (6, 8))
    x = conv_norm_act(net, net.input(3, size, size), pick("width", (8, 12, 16)), name="stem")
    share = x.channels // pick("parts", (2, 4))
    y = net.conv(net.slice(x, 0, share, name="first"), share, kernel=pick("kernel", (1, 3)), name="read")
    y = net.instance_norm(y) if pick("instance", (False, True)) else net.batch_norm(y)
    x = net.concat(y, net.slice(x, share, x.channels - share, name="rest"))
    if pick("gated", (False, True)):
        x = efficient_attention(net, x)
    return classifier(net, net.response_norm(x, bias=pick("bias", (False, True)), name="response"), 3)


def _mobile(depths: tuple[tuple[int, ...], ...]) -> ss.SearchSpace:
    return mobile(
        (3, 32, 32),
        10,
        widths=((16, 24), (24, 32), (32, 48)),
        depths=depths,
        strides=(1, 2, 2),
        resolutions=(24, 32),
        kernels=(3, 5),
        expands=(1, 3),
        group_sizes=(1, 8, 16),
        dilations=(1, 2),
        sparsities=(0.0, "2:4"),
        head_width=64,
    )


EXAMPLES = {
    "dependent": lambda: ss.SearchSpace(_dependent),
    "required": lambda: ss.SearchSpace(_required),
    "joined": lambda: ss.SearchSpace(_joined),
    "shared": lambda: ss.SearchSpace(_shared, training_only=("extra",)),
    "sliced": lambda: ss.SearchSpace(_sliced),
    "picks first": lambda: ss.SearchSpace(_picks_first),
    "mobile": lambda: _mobile(((1, 2), (1, 2), (1, 2))),
    "mobile, one stage may be empty": lambda: _mobile(((1, 2), (0, 1, 2), (1, 2))),
    "mobile, all stages may be empty": lambda: _mobile(((0, 1, 2),) * 3),
    "mobile, two blocks": lambda: mobile(
        (3, 16, 16),
        10,
        widths=((8, 12), (12, 16)),
        depths=((0, 1, 2), (0, 1)),
        strides=(1, 2),
        kernels=(3,),
        expands=(1, 2),
        group_sizes=(1, 3),
        dilations=(1,),
        sparsities=(0.0,),
    ),
}


@cache
def compiled(name: str) -> CompiledSpace:
    """The example called `name`, compiled once for all tests of a process."""
    return compile_for_costs(EXAMPLES[name]())
