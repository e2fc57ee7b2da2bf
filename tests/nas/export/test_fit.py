"""Fitting an exported folder: it learns, keeps zeros, tests once, and refuses what does not fit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nas.export.fit import fit
from nas.export.folder import export_network
from nas.export.source import Normalisation
from nas.modules import NetworkModule
from nas.tasks.intervals import binomial_interval
from search_spaces.catalog import mobile
from search_spaces.errors import NasError


def write(folder: Path, *, channels: int = 1, classes: int = 10) -> Path:
    space = mobile(
        (channels, 8, 8),
        classes,
        widths=((32,), (48,)),
        depths=((1,), (1,)),
        strides=(1, 2),
        resolutions=(7,),
        sparsities=(0.5,),
    )
    architecture = space.repair({})
    network = space.build(architecture)
    export_network(
        network,
        NetworkModule(network, seed=0).weights(),
        folder,
        architecture=architecture,
        figures={},
        provenance={},
        normalisation=Normalisation((0.3,) * channels, (0.35,) * channels),
        class_names=[str(i) for i in range(classes)],
        formats=("pytorch",),
    )
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("exports") / "net")


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "net"))


def test_it_learns_and_says_how_well(folder: Path) -> None:
    before = (folder / "weights.safetensors").read_bytes()
    report = fit(folder, data="digits", epochs=6, learning_rate=0.1, batch_size=64)
    assert report.validation_error_before > 0.7
    assert report.validation_error < 0.35
    assert report.test_error < 0.35
    wrong = round(report.test_error * report.test_images)
    assert report.test_interval == binomial_interval(wrong, report.test_images)
    assert f"test accuracy {100 * (1 - report.test_error):.2f} %" in report.text()
    assert (folder / "weights.safetensors").read_bytes() == before
    state = load_file(folder / "weights_fit.safetensors")
    masks = [name for name in state if name.endswith(".mask")]
    assert masks
    for name in masks:
        assert torch.equal(state[name.replace(".mask", ".weight")] != 0, state[name])
    told = json.loads((folder / "fit.json").read_text())
    assert told["test_error"] == report.test_error
    assert told["weights"] == "weights_fit.safetensors"


def test_the_same_seed_gives_the_same_weights_and_scratch_starts_anew(folder: Path) -> None:
    states = []
    for options in ({}, {}, {"from_scratch": True}, {"from_scratch": True, "seed": 1}):
        fit(folder, epochs=1, batch_size=256, **options)
        states.append(load_file(folder / "weights_fit.safetensors"))
    first, again, scratch, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    exported = load_file(folder / "weights.safetensors")
    for name in (name for name in first if name.endswith(".mask")):
        assert torch.equal(scratch[name], exported[name])
    assert not torch.equal(first["classifier.linear.weight"], scratch["classifier.linear.weight"])
    assert not torch.equal(other["classifier.linear.weight"], scratch["classifier.linear.weight"])


def test_no_epochs_only_tests(folder: Path) -> None:
    report = fit(folder, epochs=0)
    assert report.validation_error == report.validation_error_before


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    colour = write(tmp_path / "colour", channels=3)
    few = write(tmp_path / "few", classes=4)
    empty = tmp_path / "empty"
    empty.mkdir()
    for where, options, message in (
        (colour, {}, "the network takes 3 channels, the images of digits have 1"),
        (few, {}, "the network tells 4 classes apart, digits has 10"),
        (empty, {}, r"is no exported network: arch.json cannot be read"),
        (folder, {"epochs": -1}, "epochs is -1; at least 0"),
        (folder, {"batch_size": 1}, "batch_size is 1; at least 2"),
        (folder, {"learning_rate": 0.0}, "learning_rate is 0.0; it must be a positive number"),
        (folder, {"data": "nowhere"}, "nowhere"),
    ):
        with pytest.raises(NasError, match=message):
            fit(where, **options)
    (folder / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(NasError, match=r"weights.safetensors cannot be loaded into model.py"):
        fit(folder)
    (folder / "model.py").unlink()
    with pytest.raises(NasError, match=r"has no model.py .*; export it with --format pytorch"):
        fit(folder)
    assert not (folder / "weights_fit.safetensors").exists()


def test_a_loss_that_explodes_is_told(folder: Path) -> None:
    with pytest.raises(NasError, match=r"the loss is (nan|inf); try a learning rate below 1e\+30"):
        fit(folder, epochs=2, learning_rate=1e30)
    assert not (folder / "weights_fit.safetensors").exists()
