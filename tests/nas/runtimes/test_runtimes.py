"""What every runtime must do, and what ONNX Runtime was seen to fuse."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from nas.runtimes.base import Setting, find_runtime, known_runtimes
from nas.runtimes.machine import machine_fingerprint
from nas.runtimes.meter import meter_for
from nas.runtimes.onnx_graph import network_to_onnx
from nas.runtimes.onnxruntime import attribute, measure_ms
from predictors.kernels import FUSED_ACTIVATIONS, kernels
from predictors.target import Identity, Target
from search_spaces import NasError, Network, NetworkBuilder
from search_spaces.catalog.mobile import mobile

SETTING = Setting()


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def random_network(rng: np.random.Generator, *, act: str = "relu", se_ratio: float = 0.0) -> Network:
    space = mobile((3, 32, 32), 10, act=act, se_ratio=se_ratio)
    return space.build(space.sample(rng))


def optimised(network: Network, folder: Path) -> onnx.GraphProto:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(network_to_onnx(network), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath).graph


@pytest.mark.parametrize("name", known_runtimes())
def test_a_profile_has_one_time_per_kernel(name: str, rng: np.random.Generator) -> None:
    runtime = find_runtime(name)
    network = random_network(rng)
    found = runtime.profile(network, setting=SETTING, seconds=0.05)
    parts = kernels(network, fusion=runtime.fusion)
    assert len(found.kernel_ms) == len(parts)
    assert all(ms > 0 for kernel, ms in zip(parts, found.kernel_ms, strict=True) if kernel.kind == "conv")
    assert 0 < found.latency.low_ms <= found.latency.median_ms <= found.latency.high_ms
    runtime.prepare(network, setting=SETTING)()


@pytest.mark.parametrize("name", known_runtimes())
def test_an_impossible_device_is_refused(name: str) -> None:
    with pytest.raises(NasError, match="'abacus'"):
        find_runtime(name).describe(Setting(device="abacus"))


@pytest.mark.parametrize("name", known_runtimes())
def test_a_runtime_says_its_version(name: str) -> None:
    assert name in find_runtime(name).describe(SETTING)["software"]


def test_unknown_runtimes_get_near_matches() -> None:
    with pytest.raises(NasError, match="unknown runtime 'onnxruntme': did you mean 'onnxruntime'"):
        find_runtime("onnxruntme")


def test_several_threads_and_batches(rng: np.random.Generator) -> None:
    network = random_network(rng)
    for name in known_runtimes():
        find_runtime(name).prepare(network, setting=Setting(threads=2, batch=3))()


def test_the_caller_keeps_its_torch_threads(rng: np.random.Generator) -> None:
    import torch

    before = torch.get_num_threads()
    find_runtime("torch").prepare(random_network(rng), setting=Setting(threads=before + 1))()
    assert torch.get_num_threads() == before


def test_a_model_file_can_be_timed(rng: np.random.Generator) -> None:
    found = measure_ms(network_to_onnx(random_network(rng)), seconds=0.02, min_repeats=5)
    assert found.repeats >= 5
    assert found.median_ms > 0


@pytest.mark.parametrize("kind", sorted(FUSED_ACTIVATIONS))
@pytest.mark.parametrize("group_size", [None, 1])
def test_norms_and_cheap_activations_are_fused(kind: str, group_size: int | None, tmp_path: Path) -> None:
    net = builder()
    x = net.activation(net.batch_norm(net.conv(net.input(32, 8, 8), 32, group_size=group_size)), kind)
    operators = [node.op_type for node in optimised(net.finish(net.conv(x, 32)), tmp_path).node]
    assert [op for op in operators if "Reorder" not in op] in (["Conv", "Conv"], ["FusedConv", "Conv"])


@pytest.mark.parametrize("act", ["relu", "hard_swish", "silu"])
def test_every_optimised_node_finds_its_kernel(act: str, tmp_path: Path, rng: np.random.Generator) -> None:
    network = random_network(rng, act=act, se_ratio=0.25)
    graph = optimised(network, tmp_path)
    named = [f"node{i}" for i in range(len(graph.node))]
    for node, name in zip(graph.node, named, strict=True):
        node.name = node.name or name
    spent = {node.name: 1.0 for node in graph.node}
    times = attribute(network, graph, spent)
    assert sum(times) == len(graph.node)
    merged = [kernel.kind for kernel, ms in zip(kernels(network), times, strict=True) if ms == 0]
    assert set(merged) <= {"add"}


def test_layout_changes_belong_to_the_plain_kernel(tmp_path: Path) -> None:
    net = builder()
    x = net.conv(net.input(16, 8, 8), 32, kernel=1, name="before")
    x = net.conv(x, 32, group_size=4, name="grouped")
    network = net.finish(net.conv(x, 16, kernel=1, name="after"))
    graph = optimised(network, tmp_path)
    reorders = [node.name for node in graph.node if "Reorder" in node.op_type]
    if not reorders:
        pytest.skip("this processor's ONNX Runtime has no blocked layout")
    inner = [name for name in reorders if name not in _at_the_ends(graph)]
    times = attribute(network, graph, dict.fromkeys(inner, 1.0))
    assert times == (0.0, float(len(inner)), 0.0)


def _at_the_ends(graph: onnx.GraphProto) -> set[str]:
    ends = {tensor.name for tensor in [*graph.input, *graph.output]}
    return {node.name for node in graph.node if ends & {*node.input, *node.output}}


def test_a_target_is_measured_only_on_its_machine(rng: np.random.Generator) -> None:
    identity = Identity("onnxruntime", "", "cpu", "", 1, 1, "fp32", "graph")
    here = Target("desk", "measured", identity, machine_fingerprint())
    assert meter_for(here).latency(random_network(rng), seconds=0.02).median_ms > 0
    elsewhere = Target("desk", "measured", identity, machine_fingerprint() | {"processor": "an abacus"})
    with pytest.raises(NasError, match="'desk' describes another machine"):
        meter_for(elsewhere)


def test_the_machine_has_a_fingerprint() -> None:
    found = machine_fingerprint()
    assert found["processor"]
    assert int(found["cores"]) >= 1
    assert found == machine_fingerprint()
