"""Operator tables and diagrams agree with the graph they were taken from."""

import numpy as np
import pytest

from nas.report import ArchitectureDetail, describe_architecture
from nas.report.words import operator_text
from predictors.counts import count_network
from search_spaces import Network, NetworkBuilder, Pick, SearchSpace, Tensor
from search_spaces.blocks import classifier, conv_norm_act, mbconv
from search_spaces.catalog import mobile
from search_spaces.operators import Conv, Linear


def unet(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = net.input(1, 16, 16)
    skips = []
    for i in range(2):
        x = conv_norm_act(net, x, 8, kernel=pick(f"down{i}.kernel", (3,)), name=f"down{i}")
        skips.append(x)
    x = net.concat(x, skips[0], name="join")
    return classifier(net, conv_norm_act(net, x, 8, name="up"), 2)


def _one(space: SearchSpace) -> tuple[Network, ArchitectureDetail]:
    network = space.build(space.sample(np.random.default_rng(3)))
    return network, describe_architecture(network)


def test_rows_sum_to_the_counts() -> None:
    network, detail = _one(mobile((3, 32, 32), 10))
    total = count_network(network).total
    assert sum(row.macs for row in detail.operators) == total["macs"]
    assert sum(row.params for row in detail.operators) == total["params"]
    assert max(row.live_bytes for row in detail.operators) == total["peak_memory_bytes"]
    assert detail.id == network.id


def test_boxes_cover_every_operator_once_in_order() -> None:
    _, detail = _one(mobile((3, 32, 32), 10))
    covered = [row for block in detail.blocks for row in range(block.first, block.last + 1)]
    assert covered == list(range(len(detail.operators)))


def test_fifty_blocks_make_fifty_boxes_by_stage() -> None:
    deep = mobile((3, 32, 32), 10, widths=[(16,)] * 5, depths=[(10,)] * 5, strides=[1, 2, 2, 1, 1])
    _, detail = _one(deep)
    staged = [block for block in detail.blocks if block.stage]
    assert len(staged) == 50
    assert [block.name for block in staged[:10]] == [f"block{j}" for j in range(10)]
    assert {block.stage for block in staged} == {f"stage{i}" for i in range(5)}
    assert all(block.kind == "mbconv" for block in staged)


def test_a_block_tells_its_choices_in_words() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = conv_norm_act(net, net.input(3, 16, 16), 16, name="stem")
        x = mbconv(net, x, 16, kernel=5, expand=4, group_size=8, dilation=2, sparsity=0.5, name="b")
        return classifier(net, mbconv(net, x, 24, stride=2, name="c"), pick("classes", (10,)))

    _, detail = _one(SearchSpace(space))
    first, second = detail.blocks[2], detail.blocks[3]
    assert first.words == ("kernel 5×5", "expand ×4", "groups of 8", "dilation 2", "50 % zeros")
    assert first.skip
    assert second.words == ("kernel 3×3", "stride 2", "expand ×6", "depthwise")
    assert not second.skip
    assert second.shape == (24, 8, 8)


def test_edges_are_those_of_the_graph() -> None:
    _, detail = _one(SearchSpace(unet))
    names = [block.name for block in detail.blocks]
    edges = {(names[a], names[b]) for a, b in detail.edges}
    assert names == ["input", "down0", "down1", "join", "up", "classifier"]
    assert edges == {
        ("input", "down0"),
        ("down0", "down1"),
        ("down1", "join"),
        ("down0", "join"),
        ("join", "up"),
        ("up", "classifier"),
    }


def test_latencies_stand_at_their_operators() -> None:
    network, _ = _one(SearchSpace(unet))
    detail = describe_architecture(network, latency_ms={"up.conv": 0.25})
    known = {row.name: row.latency_ms for row in detail.operators if row.latency_ms is not None}
    assert known == {"up.conv": 0.25}


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Conv(8, (3, 3), (1, 1), (1, 1), (1, 1), 8), "conv 3×3"),
        (Conv(8, (3, 3), (2, 2), (1, 1), (1, 1), 1), "conv 3×3, stride 2, depthwise"),
        (Conv(8, (1, 5), (1, 2), (0, 2), (1, 1), 4), "conv 1×5, stride 1×2, groups of 4"),
        (Conv(8, (1, 1), (1, 1), (0, 0), (1, 1), 8, False, "2:4"), "conv 1×1, 2:4 zeros"),
        (Linear(3, True, 0.75), "linear, 75 % zeros"),
    ],
)
def test_operators_in_words(op: Conv | Linear, text: str) -> None:
    assert operator_text(op, ((8, 6, 6),)) == text
