"""What a person may name as a network of their own, and what is said when it is none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from nas.own.load import load_own
from search_spaces import NasError

NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))

def sized(channels):
    return nn.Conv2d(1, channels, 3)

def fails():
    raise OSError("the disk is gone")

ready = make()
number = 3
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    """The path of a file with functions that make networks, some badly."""
    (tmp_path / "net.py").write_text(NET)
    return str(tmp_path / "net.py")


def test_functions_classes_and_modules_are_taken(net: str) -> None:
    assert load_own(f"{net}:make").name == "make"
    assert isinstance(load_own(f"{net}:ready").module, nn.Sequential)
    assert isinstance(load_own("torch.nn:Flatten").module, nn.Flatten)
    assert load_own(f"{net}:make").input_shape is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("make", "there is no such folder, and 'file.py:function' names a function"),
        ("{net}:mak", "unknown own network in .*did you mean 'make'"),
        ("{net}:sized", "fails when called without arguments: TypeError"),
        ("{net}:fails", "fails when called without arguments: OSError: the disk is gone"),
        ("{net}:number", "gives int, not a torch.nn.Module"),
        ("missing.py:make", "there is no file 'missing.py'"),
    ],
)
def test_what_is_no_network_is_told(net: str, name: str, words: str) -> None:
    with pytest.raises(NasError, match=words):
        load_own(name.format(net=net))


def test_an_exported_folder_knows_its_input(finished_run: Path) -> None:
    (folder,) = (finished_run / "exports").iterdir()
    own = load_own(str(folder))
    assert own.name == folder.name
    assert own.input_shape == (1, 8, 8)


def test_a_folder_without_weights_is_refused(copied_run: Callable[[str], Path]) -> None:
    (folder,) = (copied_run("small") / "exports").iterdir()
    (folder / "weights.safetensors").unlink()
    with pytest.raises(NasError, match=r"it lacks model.py or weights.safetensors; export it with --format pytorch"):
        load_own(str(folder))
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(NasError, match="is no exported network"):
        load_own(str(folder))
