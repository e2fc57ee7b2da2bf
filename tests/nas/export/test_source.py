"""The written file reads as a person would have written it."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

import search_spaces as ss
from nas.export.source import Normalisation, model_source
from nas.modules import execute
from search_spaces.builder import NetworkBuilder, Tensor, block
from search_spaces.catalog import mobile
from search_spaces.network import Network

GOLDEN = Path(__file__).with_name("golden_mobile.py")
HELPERS = {"SparseConv2d", "SparseLinear", "ChannelNorm", "Scale"}


def classes(text: str) -> dict[str, ast.ClassDef]:
    """The classes of a source text by name."""
    return {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}


def block_classes(network: Network) -> tuple[set[str], set[str]]:
    """The classes written for `network`, without its own and helpers, and the block functions it uses."""
    found = classes(model_source(network).text).keys() - HELPERS - {"Network"}
    return set(found), {scope.block for scope in network.scopes if scope.block}


def network_of(function: Callable[[NetworkBuilder], Any], **outputs: Any) -> Network:
    net = NetworkBuilder(lambda _name, options: options[0])
    return net.finish(function(net), **outputs)


def golden_network() -> Network:
    """Every dimension takes two values; residual and not, with and without zeros."""
    picks = {"resolution": 28, "stage0.width": 24, "stage0.depth": 2, "stage1.width": 32, "stage1.depth": 3}
    picks |= {"stage2.width": 96, "stage2.depth": 1}
    blocks = {
        "stage0.block0": (3, 3, 1, 1, 0.0),
        "stage0.block1": (5, 6, 8, 2, 0.5),
        "stage1.block0": (7, 4, 4, 2, 0.5),
        "stage1.block1": (3, 6, 1, 1, 0.75),
        "stage1.block2": (7, 4, 8, 2, 0.0),
        "stage2.block0": (5, 6, 4, 1, 0.75),
    }
    names = ("kernel", "expand", "group_size", "dilation", "sparsity")
    for block_name, values in blocks.items():
        picks |= {f"{block_name}.{name}": value for name, value in zip(names, values, strict=True)}
    space = mobile((3, 32, 32), 10)
    return space.build(space.repair(picks))


def test_golden_file() -> None:
    source = model_source(
        golden_network(),
        title="A network for images of 28 x 28.",
        normalisation=Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    )
    assert source.text == GOLDEN.read_text()
    assert source.classes == ("ConvNormAct", "MBConv", "Classifier", "Network")


@pytest.mark.parametrize("seed", range(6))
def test_ruff_has_nothing_to_say(
    seed: int, repository: Path, tmp_path: Path, random_network: Callable[[int], Network]
) -> None:
    rng = np.random.default_rng(seed)
    spaces = (mobile((3, 64, 64), 10), mobile((1, 8, 8), 10, se_ratio=0.25, sparsities=(0.0, "2:4")))
    networks = [space.build(space.sample(rng)) for space in spaces]
    networks += [random_network(seed * 10 + i) for i in range(10)]
    for i, network in enumerate(networks):
        (tmp_path / f"model{i}.py").write_text(model_source(network).text)
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(repository / "pyproject.toml")]
    for command in (["check", *config], ["format", "--check", *config]):
        done = subprocess.run([*ruff, *command, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_mobile_is_short_and_has_one_class_per_block() -> None:
    rng = np.random.default_rng(0)
    variants = [mobile((3, 32, 32), 10), mobile((3, 64, 64), 1000, se_ratio=0.25, expands=(1, 6), dropout=0.1)]
    for space in variants:
        for _ in range(25):
            network = space.build(space.sample(rng))
            written, blocks = block_classes(network)
            assert len(written) <= len(blocks)
            assert model_source(network).text.count("\n") <= 300


def test_variants_of_each_block_share_one_class() -> None:
    def every(net: NetworkBuilder) -> Tensor:
        x = ss.conv_norm_act(net, net.input(3, 16, 16), 8, act="silu")
        for i, (width, stride, expand, ratio) in enumerate([(8, 1, 1, 0.0), (16, 2, 4, 0.25), (16, 1, 6, 0.5)]):
            x = ss.mbconv(net, x, width, stride=stride, expand=expand, se_ratio=ratio, name=f"mobile{i}")
        for i, (width, stride) in enumerate([(16, 1), (24, 1), (24, 2)]):
            x = ss.blocks.basic_residual(net, x, width, stride=stride, group_size=8, name=f"basic{i}")
            x = ss.blocks.bottleneck(net, x, width, width=12, name=f"bottleneck{i}")
            x = ss.blocks.large_kernel(net, x, kernel=5 + 2 * (i % 2), expand=i + 1, name=f"large{i}")
            x = ss.blocks.multi_dilated(net, x, width, dilations=(1, 2), name=f"dilated{i}")
        return ss.classifier(net, x, 10, dropout=0.5)

    written, blocks = block_classes(network_of(every))
    assert len(written) == len(blocks) == 8


def test_recorded_arguments_name_the_constructor() -> None:
    text = GOLDEN.read_text()
    init = next(node for node in classes(text)["MBConv"].body if isinstance(node, ast.FunctionDef))
    names = [argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)]
    assert names[:3] == ["self", "in_channels", "out_channels"]
    assert names[3:] == ["kernel", "stride", "expand", "group_size", "dilation", "sparsity"]
    assert "self.residual = stride == 1 and in_channels == out_channels" in text
    assert "padding=dilation * (kernel - 1) // 2" in text
    assert "import nas" not in text
    assert "search_spaces" not in text


def test_a_free_scope_becomes_a_class_and_a_chain_a_sequence() -> None:
    def function(net: NetworkBuilder) -> Tensor:
        x = net.input(4, 8, 8)
        with net.scope("stem"):
            x = net.activation(net.batch_norm(net.conv(x, 8)), "relu")
        for i in range(2):
            with net.scope(f"cell{i}"):
                x = net.add(net.conv(x, 8, kernel=1 + 2 * i), x)
        return ss.classifier(net, x, 3)

    text = model_source(network_of(function)).text
    assert list(classes(text)) == ["Cell", "Classifier", "Network"]
    assert "self.cell0 = Cell(8, kernel=1)" in text
    assert "conv=nn.Conv2d(4, 8, 3, padding=1, bias=False)," in text


def test_names_that_python_or_torch_own() -> None:
    def function(net: NetworkBuilder) -> Tensor:
        x = net.input(4, 8, 8)
        for name in ("class", "train", "forward", "2x", "a b", "a_b", "x", "_"):
            x = net.conv(x, 4, name=name)
        with net.scope("half"):
            x = net.add(net.conv(x, 4, name="self"), x, name="torch")
        return ss.classifier(net, x, 3)

    network = network_of(function)
    source = model_source(network)
    namespace: dict[str, Any] = {}
    exec(source.text, namespace)
    keys = set(namespace["Network"]().state_dict())
    assert {f"{path}.weight" for path in source.modules.values()} <= keys
    assert len(set(source.modules.values())) == len(network.weights)


@block
def gate(net: NetworkBuilder, x: Tensor, *, hidden: int, shared: str | None = None, name: str | None = None) -> Tensor:
    """One gate that several streams share (Zhou et al. 2019)."""
    paths = (None, None) if shared is None else (f"{shared}.reduce", f"{shared}.expand")
    y = net.global_pool(x)
    y = net.activation(net.conv(y, hidden, kernel=1, name="reduce", weights=paths[0]), "relu")
    y = net.conv(y, x.channels, kernel=1, name="expand", weights=paths[1])
    return net.multiply(x, net.activation(y, "sigmoid", name="sigmoid"))


def test_shared_weights_are_one_module(
    random_weights: Callable[..., Any], written: Callable[..., Any], tmp_path: Path
) -> None:
    def function(net: NetworkBuilder) -> Tensor:
        x = net.conv(net.input(3, 8, 8), 8)
        with net.scope("streams"):
            first = gate(net, net.conv(x, 8), hidden=2, name="gate")
            second = gate(net, net.conv(x, 8), hidden=2, shared="streams.gate", name="gate2")
            x = net.add(first, second)
        x = net.conv(x, 8, kernel=3, dilation=2, padding=2, name="tied", weights="streams.conv")
        with net.scope("far"):
            x = net.add(net.conv(x, 8, name="same", weights="streams.conv2"), x)
        return ss.classifier(net, x, 3)

    network = network_of(function)
    weights = random_weights(network)
    source, model = written(network, weights)
    assert sorted(classes(source.text)) == ["Classifier", "Far", "Gate", "Network", "Streams"]
    assert "self.gate(" in source.text
    assert "self.gate2" not in source.text
    assert "self.tied.weight = self.streams.conv.weight" in source.text
    assert "self.far.same.weight = self.streams.conv2.weight" in source.text
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    save_model(model, str(tmp_path / "weights.safetensors"))
    namespace: dict[str, Any] = {}
    exec(source.text, namespace)
    for loaded in (model, namespace["load"](tmp_path / "weights.safetensors").double()):
        with torch.no_grad():
            gap = loaded(x) - execute(network, weights, x)["output"]
        assert float(gap.abs().max()) < (1e-12 if loaded is model else 1e-6)
    assert sum(p.numel() for p in model.parameters()) == sum(
        int(np.prod(w.shape)) for tensors in network.weights.values() for w in tensors.values() if w.learnable
    )


def test_several_outputs_have_names_and_training_ones_are_left_out() -> None:
    def function(net: NetworkBuilder) -> dict[str, Tensor]:
        x = ss.conv_norm_act(net, net.input(3, 16, 16), 8)
        deep = ss.conv_norm_act(net, x, 16, stride=2)
        return {"fine": x, "coarse": deep, "identity": ss.classifier(net, deep, 100)}

    network = network_of(function, training_only=frozenset({"identity"}))
    source = model_source(network)
    assert "Classifier" not in source.text
    namespace: dict[str, Any] = {}
    exec(source.text, namespace)
    outputs = namespace["Network"]().eval()(torch.zeros(1, 3, 16, 16))
    shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
    assert shapes == {"fine": (1, 8, 16, 16), "coarse": (1, 16, 8, 8)}


def test_preprocess_resizes_and_normalises_as_the_task_does() -> None:
    from nas.tasks.transforms import normalise, resize

    mean, std = (0.5, 0.25, 0.1), (0.2, 0.3, 0.1)
    namespace: dict[str, Any] = {}
    exec(model_source(golden_network(), normalisation=Normalisation(mean, std)).text, namespace)
    for size in ((28, 28), (32, 32), (40, 24)):
        images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        wanted = resize(normalise(images, mean, std), 28)
        assert torch.allclose(namespace["preprocess"](images), wanted, atol=1e-5)
