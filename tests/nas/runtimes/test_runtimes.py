"""What every runtime must do, and what ONNX Runtime was seen to fuse."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from nas.runtimes.attribution import attribute
from nas.runtimes.base import Setting, find_runtime, known_runtimes
from nas.runtimes.machine import machine_fingerprint
from nas.runtimes.meter import Meter, meter_for
from nas.runtimes.onnx_graph import network_to_onnx
from nas.runtimes.onnxruntime import measure_ms
from nas.runtimes.precision import halved, quantised
from nas.runtimes.profiled import node_names
from nas.runtimes.torch_compile import TorchCompile
from nas.runtimes.torch_eager import MODE, random_input, tensors_of
from predictors.kernels import FUSED_ACTIVATIONS, Fusion, kernels
from predictors.target import Identity, Target
from search_spaces import NasError, Network, NetworkBuilder
from search_spaces.catalog.mobile import mobile

SETTING = Setting()
SLOW_TO_PREPARE = {"torch_compile"}


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def random_network(rng: np.random.Generator, *, act: str = "relu", se_ratio: float = 0.0) -> Network:
    space = mobile((3, 32, 32), 10, act=act, se_ratio=se_ratio)
    return space.build(space.sample(rng))


def network_for(name: str, rng: np.random.Generator) -> Network:
    """A random network, or a very small one for runtimes that take seconds to make one ready."""
    if name not in SLOW_TO_PREPARE:
        return random_network(rng)
    net = builder()
    x = net.activation(net.batch_norm(net.conv(net.input(3, 8, 8), 8)), "relu")
    return net.finish(net.linear(net.flatten(net.global_pool(x)), 4))


def optimised(network: Network, folder: Path, *, precision: str = "fp32") -> onnx.GraphProto:
    """The graph as ONNX Runtime executes it, with the names of its profiler."""
    model = network_to_onnx(network)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "run")
    session = onnxruntime.InferenceSession(
        quantised(model) if precision == "int8" else model, options, providers=["CPUExecutionProvider"]
    )
    session.run(None, {"input": np.zeros((1, *network.input.shape), dtype=np.float32)})
    graph = onnx.load(options.optimized_model_filepath).graph
    events = json.loads(Path(session.end_profiling()).read_text())
    for node, name in zip(graph.node, node_names([node.name for node in graph.node], events), strict=True):
        node.name = name
    return graph


@pytest.mark.parametrize("name", known_runtimes())
def test_a_profile_has_one_time_per_kernel(name: str, rng: np.random.Generator) -> None:
    runtime = find_runtime(name)
    network = network_for(name, rng)
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


@pytest.mark.parametrize("name", known_runtimes())
def test_several_threads_and_batches(name: str, rng: np.random.Generator) -> None:
    find_runtime(name).prepare(network_for(name, rng), setting=Setting(threads=2, batch=3))()


def test_compiled_networks_compute_the_same_and_never_fall_back(rng: np.random.Generator) -> None:
    """Beyond a few networks the compiler would run them as they are, unless each counts on its own."""
    import torch

    from nas.modules import execute

    runtime = TorchCompile()
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True), torch.inference_mode():
        for channels in (4, 6):
            net = builder()
            network = net.finish(net.activation(net.conv(net.input(3, 8, 8), channels), "hard_swish"))
            weights, x = tensors_of(network, None, SETTING), random_input(network, SETTING)
            compiled = runtime.function(network, SETTING)
            wanted = execute(network, weights, x, mode=MODE)["output"]
            assert torch.allclose(compiled(weights, x)["output"], wanted, atol=1e-5)
            assert runtime.function(network, SETTING) is compiled


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(NasError, match=r"needs a C\+\+ compiler and finds none \(looked for g\+\+.*runtime 'torch'"):
        find_runtime("torch_compile").describe(SETTING)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(NasError, match="looked for no-such-compiler"):
        find_runtime("torch_compile").describe(SETTING)


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


@pytest.mark.parametrize(("precision", "fusion"), [("fp32", "graph"), ("int8", "quantised")])
@pytest.mark.parametrize("act", ["relu", "relu6", "hard_swish", "silu", "gelu", "sigmoid", "hard_sigmoid"])
def test_every_optimised_node_finds_its_kernel(
    act: str, precision: str, fusion: Fusion, tmp_path: Path, rng: np.random.Generator
) -> None:
    network = random_network(rng, act=act, se_ratio=0.25)
    graph = optimised(network, tmp_path, precision=precision)
    spent = {node.name: 1.0 for node in graph.node}
    assert len(spent) == len(graph.node)
    times = attribute(network, graph, spent, fusion=fusion)
    assert sum(times) == len(graph.node)
    merged = [kernel.kind for kernel, ms in zip(kernels(network, fusion=fusion), times, strict=True) if ms == 0]
    assert set(merged) <= {"add"}


@pytest.mark.parametrize("act", ["relu", "hard_swish"])
def test_clipping_alone_is_free_in_int8(act: str, tmp_path: Path) -> None:
    net = builder()
    x = net.conv(net.input(8, 8, 8), 8, name="a")
    x = net.activation(net.add(net.batch_norm(x), net.conv(x, 8, name="b")), act)
    network = net.finish(net.linear(net.flatten(net.global_pool(x)), 4))
    kinds = [kernel.kind for kernel in kernels(network, fusion="quantised")]
    own = ["activation"] if act == "hard_swish" else []
    assert kinds == ["conv", "conv", "add", *own, "global_pool", "linear"]
    graph = optimised(network, tmp_path, precision="int8")
    times = attribute(network, graph, {node.name: 1.0 for node in graph.node}, fusion="quantised")
    assert all(times)


def test_the_quantised_model_computes_the_network(rng: np.random.Generator) -> None:
    model = network_to_onnx(random_network(rng))
    x = rng.standard_normal((1, 3, 32, 32), dtype=np.float32)
    outputs = [
        onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0].ravel()
        for made in (model, quantised(model), halved(model))
    ]
    assert np.corrcoef(outputs[0], outputs[1])[0, 1] > 0.95
    assert outputs[2] == pytest.approx(outputs[0], rel=0.02, abs=0.02)
    weights = onnx.load_model_from_string(quantised(model)).graph.initializer
    assert sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in weights) > 10


def test_int8_is_profiled(rng: np.random.Generator) -> None:
    meter = Meter("onnxruntime", Setting(precision="int8"))
    network = random_network(rng)
    found = meter.profile(network, seconds=0.05)
    assert (meter.identity.precision, meter.identity.fusion) == ("int8", "quantised")
    assert len(found.kernel_ms) == len(kernels(network, fusion="quantised"))
    assert found.latency.median_ms > 0


@pytest.mark.parametrize(
    ("runtime", "precision", "message"),
    [
        ("onnxruntime", "int3", "precision 'int3' cannot be measured here; take one of fp32, int8 with onnxruntime"),
        ("onnxruntime", "bf16", "take one of fp32, int8 with onnxruntime on device 'cpu'$"),
        ("onnxruntime", "fp16", "onnxruntime runs it on device 'cuda'"),
        ("torch", "int8", "take one of fp32 with torch on device 'cpu'$"),
        ("torch", "bf16", "torch runs it on device 'cuda'"),
    ],
)
def test_precisions_that_cannot_be_had_are_refused(runtime: str, precision: str, message: str) -> None:
    with pytest.raises(NasError, match=message):
        find_runtime(runtime, precision=precision).describe(Setting(precision=precision))


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
