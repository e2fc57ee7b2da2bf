"""Networks as torch modules: shapes, counts, names, initial weights, statistics."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import search_spaces as ss
from nas.modules import INFERENCE, TORCH, TRAINING, Mode, NetworkModule, execute
from predictors.counts import count_network
from search_spaces.blocks import large_kernel, multi_dilated
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog import mobile, resnext_groups
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import ACTIVATIONS, OPERATORS, Concat, LayerNorm, Pool


def build(function: ss.space.SpaceFunction) -> Network:
    return ss.SearchSpace(function).build(ss.Architecture(()))


def everything(net: NetworkBuilder, pick: Pick) -> Mapping[str, Tensor]:
    """A network with every operator in it."""
    x = net.input(3, 12, 12)
    x = ss.blocks.conv_norm_act(net, x, 8, name="stem")
    x = large_kernel(net, x, kernel=5, expand=2)
    x = multi_dilated(net, x, 8, dilations=(1, 2))
    x = net.pool(x, "max", kernel=3, stride=2, padding=1)
    x = net.pool(x, "average", kernel=2)
    x = ss.blocks.squeeze_excite(net, x, hidden=4)
    x = net.response_norm(net.instance_norm(ss.blocks.efficient_attention(net, x)))
    x = net.concat(net.slice(x, 0, 5), net.slice(x, 5, 3), name="put_together")
    for kind in ACTIVATIONS:
        x = net.activation(x, kind)
    x = net.group_norm(net.resize(x, 5), 2)
    x = net.blend(net.shift(x, (1, -1)), net.multiply(x, net.channel_pool(net.softmax(x), "max")))
    side = net.linear(net.flatten(net.global_pool(x)), 3, name="side")
    return {"output": ss.blocks.classifier(net, x, 5, dropout=0.5), "side": side}


def test_every_operator_has_a_rule_that_gives_its_shape() -> None:
    assert set(TORCH) == set(OPERATORS)
    network = build(everything)
    assert {type(node.op) for node in network.nodes} == set(OPERATORS)
    module = NetworkModule(network)
    x = torch.randn(2, 3, 12, 12)
    for index, node in enumerate(network.nodes):
        only = Network(network.nodes, (("here", index),), network.scopes)
        assert tuple(execute(only, module.weights(), x)["here"].shape[1:]) == node.shape


def test_macs_are_half_the_flops_torch_counts(rng: np.random.Generator) -> None:
    space = mobile((3, 32, 32), 10, se_ratio=0.25)
    for _ in range(20):
        network = space.build(space.sample(rng))
        module = NetworkModule(network).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.randn(1, *network.input.shape))
        counts = count_network(network).total
        assert counter.get_total_flops() == 2 * counts["macs"]
        assert sum(tensor.numel() for tensor in module.parameters()) == counts["params"]


def test_equals_a_network_written_by_hand() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(4, 9, 9)
        x = net.conv(x, 6, kernel=3, stride=2, group_size=2, bias=True)
        x = net.activation(net.batch_norm(x), "relu")
        return net.linear(net.flatten(net.global_pool(x)), 3)

    module = NetworkModule(build(space))
    state = module.state_dict()
    assert set(state) == {
        *(f"norm.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        *("conv.weight", "conv.bias", "linear.weight", "linear.bias"),
    }
    plain = nn.Sequential(
        nn.Conv2d(4, 6, 3, 2, 1, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    place = {"conv": 0, "norm": 1, "linear": 5}
    renamed = {f"{place[key.split('.')[0]]}.{key.split('.')[1]}": value.clone() for key, value in state.items()}
    plain.load_state_dict({**renamed, "1.num_batches_tracked": torch.tensor(0)})
    x = torch.randn(8, 4, 9, 9)
    for _ in range(3):
        torch.testing.assert_close(module(x), plain(x))
    module.eval()
    plain.eval()
    torch.testing.assert_close(module(x), plain(x))


@pytest.mark.parametrize("spatial", [(16,), (8, 8), (4, 6, 4)])
def test_one_to_three_dimensions_train(spatial: tuple[int, ...]) -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(2, *spatial)
        x = ss.blocks.mbconv(net, x, 4, expand=2, group_size=2, dilation=2)
        x = net.layer_norm(net.pool(x, "average", kernel=2))
        return ss.blocks.classifier(net, x, 3)

    module = NetworkModule(build(space))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.2)
    x, target = torch.randn(8, 2, *spatial), torch.arange(8) % 3
    losses = []
    for _ in range(100):
        loss = functional.cross_entropy(module(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_initial_weights_are_those_of_the_seed_and_keep_the_variance() -> None:
    space = resnext_groups((3, 32, 32), 10, depths=(1, 1), widths=(32, 64), group_sizes=(4,), constant="size")
    network = space.build(space.sample(np.random.default_rng(0)))
    first, again, other = (NetworkModule(network, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    key = next(key for key in first if "spatial.conv" in key)
    assert not torch.equal(first[key], other[key])
    per_group = first[key].shape[1]
    assert float(first[key].std()) == pytest.approx((2 / (per_group * 9)) ** 0.5, rel=0.1)
    ends = [node for node in network.nodes if getattr(node.op, "zero_init", False)]
    assert ends
    assert all(not first[f"{node.name}.weight"].any() for node in ends)


def test_any_scope_name_loads_strictly() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(3, 8, 8)
        for name in ("type", "training", "forward", "half"):
            with net.scope(name):
                x = net.conv(x, 4, name="data")
        return ss.blocks.classifier(net, x, 2)

    module = NetworkModule(build(space), seed=1)
    copy = NetworkModule(build(space), seed=2)
    assert "type.data.weight" in module.state_dict()
    copy.load_state_dict(module.state_dict())
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(copy(x), module(x))


def test_shared_weights_appear_once_and_learn_from_every_use() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(4, 8, 8)
        x = net.conv(x, 4, name="first")
        x = net.conv(x, 4, name="second", weights="first")
        return ss.blocks.classifier(net, x, 2)

    module = NetworkModule(build(space)).double()
    assert [key for key in module.state_dict() if "second" in key] == []
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    weight = module.state_dict()["first.weight"].clone().requires_grad_()
    hidden = functional.conv2d(functional.conv2d(x, weight, padding=1), weight, padding=1)
    head = module.weights()["classifier.linear"]
    output = functional.linear(hidden.mean((2, 3)), head["weight"].detach(), head["bias"].detach())
    output.square().sum().backward()
    module(x).square().sum().backward()
    torch.testing.assert_close(module.weights()["first"]["weight"].grad, weight.grad)


def test_sparse_weights_stay_sparse_in_training() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.conv(net.input(4, 8, 8), 8, kernel=1, sparsity=0.5, name="sparse")
        return ss.blocks.classifier(net, x, 2)

    module = NetworkModule(build(space))
    weight = module.weights()["sparse"]["weight"]
    module(torch.randn(2, 4, 8, 8)).sum().backward()
    assert weight.grad is not None
    assert int((weight.grad == 0).sum()) == 16
    small = weight.detach().abs() <= weight.detach().abs().flatten().kthvalue(16).values
    assert torch.equal(weight.grad == 0, small)


def test_outputs_for_training_only() -> None:
    space = ss.SearchSpace(everything, training_only=("side",))
    module = NetworkModule(space.build(ss.Architecture(())))
    x = torch.randn(2, 3, 12, 12)
    assert set(module.train()(x)) == {"output", "side"}
    assert module.eval()(x).shape == (2, 5)


def test_calibration_averages_batches_and_drops_nothing() -> None:
    network = build(everything)
    module = NetworkModule(network)
    batches = [torch.randn(4, 3, 12, 12) for _ in range(3)]
    path = "stem.norm"
    weights = module.weights()
    for number, batch in enumerate(batches, start=1):
        execute(network, weights, batch, mode=Mode(batch_statistics=True, momentum=1 / number))
    mapped = [functional.conv2d(batch, weights["stem.conv"]["weight"], padding=1) for batch in batches]
    means = torch.stack([y.mean((0, 2, 3)) for y in mapped]).mean(0)
    variances = torch.stack([y.var((0, 2, 3)) for y in mapped]).mean(0)
    torch.testing.assert_close(weights[path]["running_mean"], means, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(weights[path]["running_var"], variances, rtol=1e-4, atol=1e-6)
    assert TRAINING.training
    assert not INFERENCE.training
    assert not Mode(batch_statistics=True, momentum=0.5).training


def test_wrong_inputs_and_weights_are_refused() -> None:
    network = build(everything)
    module = NetworkModule(network)
    with pytest.raises(NasError, match=r"takes inputs of shape \(3, 12, 12\), got \(3, 16, 16\); resize"):
        module(torch.randn(1, 3, 16, 16))
    with pytest.raises(NasError, match=r"stem\.norm\.weight has shape"):
        module.load_weights({"stem.norm": {"weight": torch.ones(5)}})


def test_norm_and_pool_attributes_reach_torch() -> None:
    x = torch.randn(2, 6, 7, 7)
    norm = {"weight": torch.rand(6), "bias": torch.rand(6)}
    ours = TORCH[LayerNorm](LayerNorm(eps=0.1), [x], norm, INFERENCE)
    centred = x - x.mean(1, keepdim=True)
    scaled = centred / (x.var(1, keepdim=True, unbiased=False) + 0.1).sqrt()
    expected = scaled * norm["weight"].view(-1, 1, 1) + norm["bias"].view(-1, 1, 1)
    torch.testing.assert_close(ours, expected)
    for ceil in (False, True):
        for count_padding in (False, True):
            op = Pool("average", (3, 3), (2, 2), (1, 1), ceil, count_padding)
            ours = TORCH[Pool](op, [x], {}, INFERENCE)
            torch.testing.assert_close(ours, functional.avg_pool2d(x, 3, 2, 1, ceil, count_padding))
            assert tuple(ours.shape[1:]) == op.infer(((6, 7, 7),))
    assert TORCH[Concat](Concat(), [x, x], {}, INFERENCE).shape == (2, 12, 7, 7)
