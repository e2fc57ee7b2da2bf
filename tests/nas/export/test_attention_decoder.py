"""MACMD in torch: what an impulse reaches, equal evaluations, training, export, calibration of shared norms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nas.modules import TRAINING, NetworkModule, execute
from nas.supernet.calibrate import calibrate, with_statistics
from nas.supernet.weights import Supernet
from search_spaces import NetworkBuilder
from search_spaces.blocks.attention_decoder import channel_mix, hybrid_dilated
from search_spaces.catalog import macmd
from tests.search_spaces.test_attention_decoder import SMALL


def test_a_part_of_the_output_sees_every_dilation() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    network = net.finish(hybrid_dilated(net, net.input(8, 31, 31), 8))
    module = NetworkModule(network)
    for name, parameter in module.named_parameters():
        parameter.data.fill_(float(name.endswith("weight")))
    impulse = torch.zeros(1, 8, 31, 31)
    impulse[:, :, 15, 15] = 1
    with torch.no_grad():
        output = module(impulse)[0]
    for channel in output:
        places = channel.nonzero()
        assert len(places) == 33
        assert (places.max(0).values - places.min(0).values + 1).tolist() == [11, 11]


def test_channel_mixing_is_the_published_formula() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    network = net.finish(channel_mix(net, net.input(8, 5, 6)))
    module = NetworkModule(network, seed=3)
    weights = {path.removeprefix("channel_mix."): of for path, of in module.weights().items()}
    x = torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0))
    moved = torch.zeros_like(x)
    moved[:, 0:2, :, 1:] = x[:, 0:2, :, :-1]
    moved[:, 2:4, :, :-1] = x[:, 2:4, :, 1:]
    moved[:, 4:6, 1:] = x[:, 4:6, :-1]
    moved[:, 6:8, :-1] = x[:, 6:8, 1:]
    blended = 0.5 * x + 0.5 * moved
    key = torch.nn.functional.conv2d(blended, weights["key"]["weight"]).relu().square().movedim(1, -1)
    key = torch.nn.functional.layer_norm(key, (16,), eps=1e-6).movedim(-1, 1)
    gate = torch.nn.functional.conv2d(blended, weights["gate"]["weight"]).sigmoid()
    torch.testing.assert_close(module(x), gate * torch.nn.functional.conv2d(key, weights["value"]["weight"]))


def test_two_evaluations_agree_and_sides_serve_training_only() -> None:
    space = macmd((1, 32, 32), 2, encoder_options=SMALL)
    module = NetworkModule(space.build(space.repair({})))
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs = module.train()(x)
    assert {name: tuple(out.shape[1:]) for name, out in outputs.items()} == {
        "output": (2, 32, 32),
        "side1": (2, 16, 16),
        "side2": (2, 8, 8),
    }
    sum(out.square().mean() for out in outputs.values()).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    with torch.no_grad():
        assert torch.equal(module.eval()(x), module.eval()(x))


def test_a_norm_that_nodes_share_averages_over_them() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(3, 4, 4)
    y = net.batch_norm(x, name="norm")
    from search_spaces.operators import BatchNorm

    z = net.apply(BatchNorm(), net.conv(x, 3, name="conv"), name="again", weights="norm")
    network = net.finish(net.add(y, z))
    weights = NetworkModule(network, seed=1).weights()
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(5, 3, 4, 4, generator=generator) + i, torch.zeros(5)) for i in range(3)]
    found = calibrate(network, weights, batches)
    assert found.keys() == {"norm"}
    assert found["norm"].keys() == {"running_mean", "running_var"}
    maps = [m for x, _ in batches for m in (x, torch.nn.functional.conv2d(x, weights["conv"]["weight"], padding=1))]
    torch.testing.assert_close(found["norm"]["running_mean"], torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0))


def test_subnets_are_exported_as_they_are(written: Callable[..., Any]) -> None:
    space = macmd((1, 32, 32), 2, encoder_options=SMALL)
    rng = np.random.default_rng(0)
    networks = [space.build(space.sample(rng)) for _ in range(3)]
    supernet = Supernet.of_networks(networks).to(torch.float64)
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for network in networks:
        supernet.forward(x, network, mode=TRAINING)["output"].mean().backward()
        statistics = calibrate(network, supernet.weights_for(network), [(x, x)])
        with torch.no_grad():
            wanted = execute(network, with_statistics(supernet.weights_for(network), statistics), x)["output"]
            _, model = written(network, supernet.extract(network, statistics))
            assert float((model(x) - wanted).abs().max()) <= 1e-10 * float(wanted.abs().max())
