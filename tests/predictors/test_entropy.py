"""Entropy and effectiveness against published structures and closed forms."""

from math import exp, log

import pytest

import search_spaces as ss
from predictors.counts import count_network
from predictors.entropy import network_entropy, stage_weights
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog.deepmad import BottleneckStages
from search_spaces.errors import NasError
from search_spaces.network import Network

R18 = ((96, 40, 5, 1), (384, 40, 5, 6), (384, 64, 5, 9), (1024, 104, 3, 10), (672, 104, 5, 12))


def built(function) -> Network:
    space = ss.SearchSpace(function)
    return space.build(space.repair({}))


def test_deepmad_r18_as_published() -> None:
    stages = BottleneckStages()
    network = stages.space().build(stages.architecture(32, R18))
    found = network_entropy(network)
    assert found.entropy == pytest.approx(32120.20, abs=0.005)
    assert [stage.effectiveness for stage in found.stages] == pytest.approx(
        [0.0370, 0.0522, 0.1167, 0.2464, 0.2991], abs=5e-5
    )
    assert found.effectiveness == found.stages[-1].effectiveness
    assert found.depth == 115
    total = count_network(network).total
    assert total["params"] == pytest.approx(11.826e6, abs=500)
    assert total["macs"] - 672_000 == pytest.approx(1810.9e6, abs=5e4)


def test_a_chain_of_convolutions_in_closed_form() -> None:
    def chain(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(3, 8, 8)
        x = ss.conv_norm_act(net, x, 8, kernel=3, stride=2, name="first")
        x = ss.conv_norm_act(net, x, 8, kernel=3, group_size=1, name="second")
        x = ss.conv_norm_act(net, x, 10, kernel=1, stride=2, name="third")
        return ss.classifier(net, x, 2)

    found = network_entropy(built(chain))
    assert [(s.channels, s.positions, s.depth) for s in found.stages] == [(8, 16, 2), (10, 4, 3)]
    first, last = (log(27) + log(9)) / 2, (log(27) + log(9) + log(8)) / 2
    assert found.entropy == pytest.approx(log(8 * 16) * first + 8 * log(10 * 4) * last)
    assert found.stages[0].effectiveness == pytest.approx(2 / exp((log(27) + log(8 * 9)) / 2))
    other = network_entropy(built(chain), weights=(2.0, 3.0))
    assert other.entropy == pytest.approx(2 * log(8 * 16) * first + 3 * log(10 * 4) * last)


def test_shortcuts_count_for_nothing_and_a_strided_block_belongs_to_the_later_stage() -> None:
    def block(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = ss.conv_norm_act(net, net.input(3, 8, 8), 16, name="stem")
        x = ss.bottleneck(net, x, 32, width=8, stride=2, name="block")
        return ss.classifier(net, x, 2)

    found = network_entropy(built(block))
    assert [(s.channels, s.positions, s.depth) for s in found.stages] == [(16, 64, 1), (32, 16, 4)]
    layers = [27, 16, 8 * 9, 8]
    assert found.stages[1].entropy == pytest.approx(log(32 * 16) * sum(map(log, layers)) / 2)


def test_what_has_no_entropy_is_refused() -> None:
    def flat(net: NetworkBuilder, pick: Pick) -> Tensor:
        return ss.classifier(net, net.input(3, 8, 8), 2)

    with pytest.raises(NasError, match="has no convolution"):
        network_entropy(built(flat))
    stages = BottleneckStages()
    network = stages.space().build(stages.architecture(32, R18))
    with pytest.raises(NasError, match="2 weights for 5 stages"):
        network_entropy(network, weights=(1.0, 1.0))
    assert stage_weights(5) == (1, 1, 1, 1, 8)
