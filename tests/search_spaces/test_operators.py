"""Every operator's shape rule and counts against torch, an independent source."""

import pytest
import torch

from search_spaces import NasError, NetworkBuilder, ShapeError, Tensor
from search_spaces.operators import ACTIVATIONS, OPERATORS, Activation, Conv, Counts, divisors
from search_spaces.sparsity import kept_elements, stored_bytes


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def conv(net: NetworkBuilder, x: Tensor, **changes: object) -> Tensor:
    return net.conv(x, 12, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("spatial", [(9,), (9, 8), (9, 8, 7)])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel": 3},
        {"kernel": 5, "stride": 2},
        {"kernel": 3, "dilation": 2},
        {"kernel": 1, "stride": 2, "bias": True},
        {"kernel": 3, "group_size": 2},
        {"kernel": 4, "padding": 1, "stride": 3},
    ],
)
def test_conv_has_the_shape_and_parameters_of_torch(spatial: tuple[int, ...], arguments: dict[str, int]) -> None:
    net = builder()
    x = net.input(8, *spatial)
    y = conv(net, x, **arguments)
    op = net._nodes[-1].op
    assert isinstance(op, Conv)
    layer = [torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d][len(spatial) - 1](
        8, 12, op.kernel, op.stride, op.padding, op.dilation, op.groups(8), op.bias
    )
    out = layer(torch.zeros(1, 8, *spatial))
    assert y.shape == tuple(out.shape[1:])
    counts = op.counts((x.shape,))
    assert counts.params == sum(p.numel() for p in layer.parameters())
    assert counts.macs == layer.weight.numel() * out[0, 0].numel()
    assert counts.activations == out.numel()
    assert counts.moved_elements == counts.params + 8 * torch.zeros(spatial).numel() + out.numel()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(9, 3, 2, 1), (8, 2, 2, 0), (7, 3, 3, 1), (5, 2, 3, 1)]
)
@pytest.mark.parametrize("ceil", [False, True])
def test_pool_has_the_shape_of_torch(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> None:
    from search_spaces.operators import Pool

    op = Pool("max", (kernel,) * 2, (stride,) * 2, (padding,) * 2, ceil)
    expected = torch.nn.functional.max_pool2d(torch.zeros(1, 2, size, size), kernel, stride, padding, ceil_mode=ceil)
    assert op.infer(((2, size, size),)) == tuple(expected.shape[1:])


def test_a_group_size_must_divide_the_channels() -> None:
    net = builder()
    x = net.input(36, 4, 4)
    with pytest.raises(
        ShapeError, match=r"conv: group size 8 does not divide 36 input channels; take one of \(1, 2, 3"
    ):
        net.conv(x, 36, group_size=8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, x: net.linear(x, 3), "flat input"),
        (lambda net, x: net.add(x, net.conv(x, 3)), "equal shape"),
        (lambda net, x: net.conv(x, 3, kernel=9, padding=0), "does not fit"),
        (lambda net, x: net.activation(x, "rleu"), "unknown activation 'rleu'"),
        (lambda net, x: net.dropout(x, 1.5), r"\[0, 1\)"),
        (lambda net, x: net.multiply(x, net.conv(x, 2)), "cannot apply a gate"),
        (lambda net, x: net.slice(x, 2, 3), "cannot take 3 channels from channel 2 on: there are 4"),
        (lambda net, x: net.slice(x, 1, 0), "cannot take 0 channels"),
        (lambda net, x: net.instance_norm(net.global_pool(x)), "at least two positions"),
        (lambda net, x: net.response_norm(net.flatten(x)), "takes a map"),
        (lambda net, x: net.channel_conv(x, kernel=3), "one value per channel"),
        (lambda net, x: net.channel_conv(net.global_pool(x), kernel=4), "odd kernel, got 4"),
        (lambda net, x: net.conv(x, 4, sparsity=1.0), r"\[0, 1\)"),
        (lambda net, x: net.conv(x, 4, sparsity="4:2"), "N:M"),
    ],
)
def test_wrong_inputs_are_refused_in_words(call: object, message: str) -> None:
    net = builder()
    x = net.input(4, 6, 6)

    def build_and_count() -> None:
        call(net, x)  # type: ignore[operator]
        net._nodes[-1].op.counts(tuple(net._nodes[i].shape for i in net._nodes[-1].inputs))

    with pytest.raises(NasError, match=message):
        build_and_count()


def test_sparse_storage_matches_the_published_ratios() -> None:
    for pattern, ratio in [("2:4", 0.5625), ("1:4", 0.2812), ("2:8", 0.2969), ("1:8", 0.1484), ("1:16", 0.0781)]:
        assert stored_bytes(16_000, pattern, 2) / 32_000 == pytest.approx(ratio, abs=1e-4)
    assert kept_elements(10, 0.75) == 3
    assert stored_bytes(1000, 0.0, 4) == 4000
    assert stored_bytes(1000, 0.5, 4) == 2000 + 125


def test_counts_of_zeros_are_left_out() -> None:
    op = Conv(8, (3, 3), (1, 1), (1, 1), (1, 1), 8, sparsity=0.5)
    assert op.counts(((8, 5, 5),)) == Counts(
        macs=576 * 25,
        macs_effective=288 * 25,
        params=576,
        nonzero_params=288,
        weight_bytes=288 * 4 + 72,
        activations=200,
        moved_elements=576 + 400,
    )


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_every_operator_shows_all_faces(operator: type) -> None:
    for face in ("infer", "layout", "weights", "counts", "saves", "label"):
        assert hasattr(operator, face)


def test_all_activations_are_accepted() -> None:
    for kind in ACTIVATIONS:
        assert Activation(kind).infer(((3, 2, 2),)) == (3, 2, 2)


def test_divisors() -> None:
    assert divisors(36) == (1, 2, 3, 4, 6, 9, 12, 18, 36)
