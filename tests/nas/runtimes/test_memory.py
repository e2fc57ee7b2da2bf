"""Predicted peaks of memory against what ONNX Runtime counts itself."""

import json

import numpy as np
import pytest

from benchmarks import peak_memory as benchmark
from nas.runtimes.onnxruntime import peak_memory
from predictors.counts import count_network
from predictors.memory import reused_peak_bytes
from search_spaces import NetworkBuilder
from search_spaces.catalog import CATALOG


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def test_a_chain_of_convolutions_by_hand() -> None:
    net = builder()
    x = net.conv(net.input(8, 16, 16), 16, kernel=1, name="a")
    x = net.activation(net.conv(x, 32, kernel=1, name="b"), "relu")
    network = net.finish(net.conv(x, 16, kernel=1, name="c"))
    assert reused_peak_bytes(network) == 4 * (16 + 32) * 256 == peak_memory(network).activation_bytes


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet", "nas_bench_macro"])
def test_the_rule_with_reuse_is_that_of_onnxruntime(name: str, rng: np.random.Generator) -> None:
    space = CATALOG[name]((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    found = peak_memory(network)
    assert reused_peak_bytes(network) == pytest.approx(found.activation_bytes, rel=0.1)
    assert found.working_bytes >= found.activation_bytes
    assert count_network(network).total["peak_memory_bytes"] > found.activation_bytes


def test_the_benchmark_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--networks", "6"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == ["mape", "spearman", "median_ratio"]
    assert lines[0]["value"] < lines[0]["baseline"]["eager rule"]
