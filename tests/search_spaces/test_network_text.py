"""Networks as JSON: what comes back is the same network."""

import json

import numpy as np
import pytest

from search_spaces import NasError, NetworkBuilder, SearchSpace
from search_spaces.catalog.mobile import mobile
from search_spaces.catalog.resnet import resnext_groups
from search_spaces.network_text import network_from_json, network_to_json

SPACES = {"mobile": mobile((3, 32, 32), 10, se_ratio=0.25, act="silu"), "resnext": resnext_groups((3, 16, 16), 4)}


@pytest.mark.parametrize("name", sorted(SPACES))
def test_round_trip_is_exact(name: str, rng: np.random.Generator) -> None:
    space: SearchSpace = SPACES[name]
    for _ in range(5):
        network = space.build(space.sample(rng))
        again = network_from_json(json.loads(json.dumps(network_to_json(network), allow_nan=False)))
        assert again.nodes == network.nodes
        assert again.outputs == network.outputs
        assert (again.fingerprint, again.id) == (network.fingerprint, network.id)


def test_shared_weights_and_patterns_come_back() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    x = net.conv(net.input(8, 6, 6), 8, sparsity="2:4", name="first")
    deep = net.conv(x, 8, sparsity="2:4", name="again", weights="first")
    network = net.finish({"output": deep, "aside": x}, frozenset({"aside"}))
    again = network_from_json(json.loads(json.dumps(network_to_json(network))))
    assert again.nodes == network.nodes
    assert again.training_only == {"aside"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data.pop("outputs"), "KeyError 'outputs'"),
        (lambda data: data["nodes"][1].__setitem__(1, "Convolution"), "KeyError 'Convolution'"),
        (lambda data: data["nodes"][1].__setitem__(3, [7]), "IndexError"),
        (lambda data: data["nodes"][1][2].update(group_size=5), "group size 5 does not divide 8 input channels"),
    ],
)
def test_what_is_no_network_is_refused(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    net = NetworkBuilder(lambda name, options: options[0])
    data = json.loads(json.dumps(network_to_json(net.finish(net.conv(net.input(8, 6, 6), 8)))))
    spoil(data)
    with pytest.raises(NasError, match=message):
        network_from_json(data)
