from pathlib import Path

import pytest

from nas.objects import load_object
from nas.tasks.data import load_data
from search_spaces.errors import NasError

MODULE = """
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 6, 5, 3), dtype=np.uint8)
LABELS = [0, 1, 2] * 8


class Pairs(Dataset):
    classes = ["a", "b", "c"]

    def __init__(self, convert, labels=LABELS):
        self.convert, self.labels = convert, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.convert(PIXELS[index]), self.labels[index]


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(PIXELS, torch.tensor(LABELS))


def chw(pixels):
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def pillow(): return Pairs(Image.fromarray), Pairs(Image.fromarray)
def arrays(): return Pairs(lambda p: p), Pairs(lambda p: p)
def tensors(): return Pairs(chw), Pairs(chw)
def floats(): return [Pairs(lambda p: chw(p) / 255)] * 2
def stream(): return Stream(), Stream()
def tensor_dataset():
    part = TensorDataset(torch.stack([chw(p) for p in PIXELS]), torch.tensor(LABELS))
    return part, part
def image_data():
    from nas.tasks.data import load_data
    return load_data("digits")

def one(): return Pairs(chw)
def words(): return "ab", "cd"
def numbers(): return 1, 2
def empty(): return Pairs(chw, []), Pairs(chw)
def normalised(): return [Pairs(lambda p: chw(p) / 255 - 0.5)] * 2
def integers(): return [Pairs(lambda p: chw(p).int())] * 2
def flat(): return [Pairs(lambda p: chw(p).flatten())] * 2
def unequal(): return [Pairs(lambda p: chw(p)[:, : 3 + p[0, 0, 0] % 2])] * 2
def strings(): return [Pairs(chw, ["x", "y", "z"])] * 2
def fractions(): return [Pairs(chw, [0.5, 1, 2])] * 2
def too_many(): return [Pairs(chw, [0, 1, 2, 3])] * 2
def text(): return [Pairs(lambda p: "pixels")] * 2
def broken(): raise RuntimeError("the disk is away")
not_callable = 3
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "pets.py").write_text(MODULE)
    return tmp_path / "pets.py"


@pytest.mark.parametrize("name", ["pillow", "arrays", "tensors", "floats", "stream", "tensor_dataset"])
def test_every_kind_of_dataset_gives_the_same_images(module: Path, name: str) -> None:
    data = load_data(f"{module}:{name}")
    oracle, pixels = (load_object(f"{module}:{name}", what="test") for name in ("chw", "PIXELS"))
    assert data.train_images.shape == data.test_images.shape == (24, 3, 6, 5)
    for image, source in zip(data.train_images, pixels, strict=True):
        assert image.equal(oracle(source))
    assert data.train_labels.tolist() == [0, 1, 2] * 8
    named = name not in ("stream", "tensor_dataset")
    assert data.class_names == (("a", "b", "c") if named else ("0", "1", "2"))
    assert data.name == name


def test_image_data_is_taken_as_it_is(module: Path) -> None:
    assert load_data(f"{module}:image_data").name == "digits"


def test_a_function_of_a_module(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module.rename(module.with_name("pets_of_this_test.py"))
    monkeypatch.syspath_prepend(str(module.parent))
    assert len(load_data("pets_of_this_test:tensors").train_labels) == 24


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one", r"returned Pairs: needed is a pair of torch datasets"),
        ("words", r"train: item 0 is no pair \(image, label\) but of type str"),
        ("numbers", r"train is of type int, no torch dataset"),
        ("empty", r"train has no images"),
        ("normalised", r"image 0 runs from -0.\d+ to 0.\d+: floats must run from 0 to 1"),
        ("integers", r"image 0 is int32: needed is uint8"),
        ("flat", r"image 0 has shape \[90\]: needed is \[C, H, W\]"),
        ("unequal", r"image 0 is \[3, \d, 5\], image \d+ is \[3, \d, 5\]"),
        ("strings", r"label 0 is 'x': needed is a whole number"),
        ("fractions", r"label 0 is 0.5: needed is a whole number"),
        ("too_many", r"labels run from 0 to 3: out of range, legal are 0 to 2"),
        ("text", r"image 0 is of type str"),
        ("broken", r"failed: RuntimeError: the disk is away"),
        ("tensor", r"unknown data in .*'tensor': did you mean 'tensors'"),
        ("not_callable", r"not_callable' is of type int, no function"),
    ],
)
def test_unusable_functions(module: Path, name: str, message: str) -> None:
    with pytest.raises(NasError, match=message):
        load_data(f"{module}:{name}")


def test_functions_that_cannot_be_imported(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"data: there is no file '.*nowhere.py'"):
        load_data(f"{tmp_path}/nowhere.py:pets")
    with pytest.raises(NasError, match=r"data: module 'no_such_module' cannot be imported"):
        load_data("no_such_module:pets")
