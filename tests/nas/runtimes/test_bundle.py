"""Bundles: what is written for another device, and what is read again."""

import ast
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from nas.runtimes.bundle import Bundle, read_bundle, script, write_bundle
from nas.runtimes.onnx_graph import network_to_onnx
from search_spaces import NasError, SearchSpace
from search_spaces.catalog.mobile import mobile
from tests.nas.runtimes.conftest import NETWORKS

OLDEST = (3, 8)


def test_a_bundle_comes_back(bundle_folder: Path, bundle: Bundle) -> None:
    manifest = json.loads((bundle_folder / "manifest.json").read_text())
    assert [entry["fingerprint"] for entry in manifest["networks"]] == [i.network.fingerprint for i in bundle.networks]
    assert len({item.network.fingerprint for item in bundle.networks}) == NETWORKS
    assert [item.held_out for item in bundle.networks] == [i % 5 == 4 for i in range(NETWORKS)]
    assert all((bundle_folder / entry["file"]).is_file() for entry in manifest["networks"])


def test_the_networks_run_and_are_those_of_the_manifest(bundle_folder: Path, bundle: Bundle) -> None:
    for item in bundle.networks[:4]:
        path = bundle_folder / "networks" / f"{item.name}.onnx"
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (output,) = session.run(None, {"input": np.ones((1, *item.network.input.shape), dtype=np.float32)})
        assert 1e-6 < np.abs(output).max() < 1e6
        written = onnx.load(path, load_external_data=False).graph
        alone = onnx.load_model_from_string(network_to_onnx(item.network)).graph
        assert [(n.name, n.op_type, list(n.input)) for n in written.node] == [
            (n.name, n.op_type, list(n.input)) for n in alone.node
        ]


def test_weights_are_shared_and_small(bundle_folder: Path, bundle: Bundle) -> None:
    apart = sum(len(network_to_onnx(item.network)) for item in bundle.networks)
    together = sum(path.stat().st_size for path in (bundle_folder / "networks").iterdir())
    assert together < apart / 2


def test_no_two_tensors_of_a_network_are_the_same_numbers(bundle_folder: Path) -> None:
    model = onnx.load(bundle_folder / "networks" / "0000.onnx", load_external_data=False)
    places = Counter(
        tuple((entry.key, entry.value) for entry in tensor.external_data if entry.key != "length")
        for tensor in model.graph.initializer
        if tensor.external_data
    )
    assert len(places) > 5
    assert set(places.values()) == {1}


def test_the_script_is_legal_for_an_old_python_and_uses_no_package_of_ours() -> None:
    tree = ast.parse(script(), feature_version=OLDEST)
    modules = {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {a.name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not modules & {"nas", "predictors", "search_spaces", "onnx"}
    defined = Counter(
        name
        for node in tree.body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    )
    assert [name for name, count in defined.items() if count > 1] == []
    assert "profile_session" in defined


def test_a_space_of_one_network_is_filled_up_with_others(tmp_path: Path) -> None:
    def one(net, pick):  # type: ignore[no-untyped-def]
        x = net.conv(net.input(1, 8, 8), 4)
        return net.linear(net.flatten(net.global_pool(x)), 2)

    rng = np.random.default_rng(0)
    written = write_bundle(tmp_path / "bundle", [SearchSpace(one)], networks=2, rng=rng)
    assert len(written.networks) == 2
    assert written.networks[0].network.input.shape == (1, 8, 8)


def test_a_folder_in_use_is_refused(bundle_folder: Path) -> None:
    with pytest.raises(NasError, match="bundle exists already: name a folder for the bundle that does not"):
        write_bundle(bundle_folder, [mobile((1, 8, 8), 10)], rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-300], r"manifest\.json cannot be read"),
        (lambda text: "{}", 'is not a bundle of version 1: it lacks "format": "nas-bundle"'),
        (lambda text: text.replace('"version": 1', '"version": 2'), "is not a bundle of version 1"),
        (lambda text: text.replace('"Conv"', '"Convolution"'), "is damaged .*Convolution.*nas profile plan"),
        (lambda text: text.replace('"held_out": true', '"held_out": false'), "its networks are not those"),
    ],
)
def test_damaged_bundles_say_so(spoil, message: str, bundle_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.copy(bundle_folder / "manifest.json", tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(NasError, match=message):
        read_bundle(tmp_path)
    with pytest.raises(NasError, match="cannot be read"):
        read_bundle(tmp_path / "nowhere")
