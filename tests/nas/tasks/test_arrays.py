import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from nas.tasks.data import load_data
from search_spaces.errors import NasError

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)
LABELS = DIGITS.target.astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, *, packed: bool = False, train: int = 300, test: int = 100) -> Path:
    parts = (("train", slice(0, train)), ("t10k", slice(train, train + test)))
    for stem, here in parts:
        for kind, array in (("images-idx3", PIXELS[here]), ("labels-idx1", LABELS[here])):
            content = idx(array)
            name = f"{stem}-{kind}-ubyte" + (".gz" if packed else "")
            (folder / name).write_bytes(gzip.compress(content) if packed else content)
    return folder


def test_digits_are_all_there_once() -> None:
    data = load_data("digits")
    assert (len(data.train_labels), len(data.test_labels)) == (1438, 359)
    assert data.input_shape == (1, 8, 8)
    assert data.class_names == tuple("0123456789")
    both = torch.cat([data.train_images, data.test_images])[:, 0].numpy()
    labels = torch.cat([data.train_labels, data.test_labels]).numpy()
    made = sorted((int(y), x.tobytes()) for x, y in zip(both, labels, strict=True))
    assert made == sorted((int(y), x.tobytes()) for x, y in zip(PIXELS, LABELS, strict=True))
    assert int(data.train_images.max()) == 255
    share = data.test_labels.bincount() / torch.from_numpy(DIGITS.target).bincount()
    assert (share - 0.2).abs().max() < 0.006


def test_digits_are_the_same_every_time() -> None:
    first, second = load_data("digits"), load_data("digits")
    assert first.fingerprint == second.fingerprint
    assert torch.equal(first.test_images, second.test_images)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path: Path, packed: bool) -> None:
    data = load_data(str(write_idx(tmp_path, packed=packed)))
    assert np.array_equal(data.train_images[:, 0].numpy(), PIXELS[:300])
    assert np.array_equal(data.test_images[:, 0].numpy(), PIXELS[300:400])
    assert np.array_equal(data.test_labels.numpy(), LABELS[300:400])
    assert data.name == tmp_path.name


def test_idx_files_that_are_there_packed_and_unpacked(tmp_path: Path) -> None:
    write_idx(tmp_path)
    before = load_data(str(tmp_path)).fingerprint
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"never read")
    assert load_data(str(tmp_path)).fingerprint == before
    (tmp_path / "emnist-train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(NasError, match=r"two sets of train images: 'emnist-train"):
        load_data(str(tmp_path))


def test_damaged_idx_files(tmp_path: Path) -> None:
    write_idx(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-5])
    with pytest.raises(NasError, match=r"train-images.* is damaged: its header says \[300, 8, 8\], but 19195"):
        load_data(str(tmp_path))
    images.write_bytes(whole[:9])
    with pytest.raises(NasError, match=r"is damaged"):
        load_data(str(tmp_path))
    images.write_bytes(b"PK\3\4" + whole)
    with pytest.raises(NasError, match=r"no IDX file of unsigned bytes: it starts with 50 4b 03 04"):
        load_data(str(tmp_path))
    images.unlink()
    with pytest.raises(NasError, match=r"has no train images: train-images-idx3-ubyte or .*\.gz"):
        load_data(str(tmp_path))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(NasError, match=r"cannot read .*\.gz.*complete"):
        load_data(str(tmp_path))


def test_idx_files_of_unequal_length(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[300:390]))
    with pytest.raises(NasError, match=r"test has 100 images but 90 labels"):
        load_data(str(tmp_path))


SPLIT = {
    "x_train": PIXELS[:300],
    "y_train": LABELS[:300],
    "x_test": PIXELS[300:400],
    "y_test": LABELS[300:400],
}


def saved(folder: Path, arrays: dict[str, np.ndarray]) -> str:
    np.savez_compressed(folder / "some.npz", allow_pickle=True, **arrays)
    return str(folder / "some.npz")


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: a[:, None],
        lambda a: a[..., None],
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.float64),
        lambda a: (a / 255).astype(np.float32),
    ],
)
def test_npz_layouts_and_types(tmp_path: Path, change: object) -> None:
    assert callable(change)
    arrays = {k: change(v) if k.startswith("x") else v[:, None] for k, v in SPLIT.items()}
    data = load_data(saved(tmp_path, arrays))
    assert np.array_equal(data.train_images[:, 0].numpy(), PIXELS[:300])
    assert np.array_equal(data.test_labels.numpy(), LABELS[300:400])


def test_npz_with_channels_last(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    labels = np.array(["red", "blue"] * 10)
    data = load_data(saved(tmp_path, {"images": colour, "labels": labels}))
    assert data.class_names == ("blue", "red")
    assert data.input_shape == (3, 6, 5)
    assert len(data.test_labels) == 4
    source = next(i for i in range(20) if np.array_equal(colour[i].transpose(2, 0, 1), data.test_images[0]))
    assert data.class_names[int(data.test_labels[0])] == labels[source]


def test_npz_class_names(tmp_path: Path) -> None:
    names = np.array([f"digit {i}" for i in range(10)])
    arrays = {
        **{f"{p}_{k}": SPLIT[f"{v}_{p}"] for p in ("train", "test") for k, v in (("images", "x"), ("labels", "y"))},
        "class_names": names,
    }
    assert load_data(saved(tmp_path, arrays)).class_names[3] == "digit 3"
    with pytest.raises(NasError, match=r"labels run from 0 to 9: out of range, legal are 0 to 4"):
        load_data(saved(tmp_path, {**arrays, "class_names": names[:5]}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, r"holds x_test, x_train, y_train: needed are x_train, y_train, x_test"),
        ({"y_train": LABELS[:300] + 1}, r"1 of 11 classes have no training image \('0'\)"),
        ({"y_train": LABELS[:300].astype(int) - 1}, r"labels run from -1 to 8: out of range"),
        ({"y_train": LABELS[:300] / 2}, r"y_train is float64 .*one whole number"),
        ({"y_train": np.eye(10, dtype=int)[LABELS[:300]]}, r"y_train is int64 of shape \[300, 10\]"),
        ({"y_train": LABELS[:300].astype(str)}, r"texts in one part and numbers in the other"),
        ({"y_train": np.array([None] * 300)}, r"plain arrays.*not Python objects"),
        ({"x_train": PIXELS[:300].reshape(300, 64)}, r"images of shape \[300, 64\]"),
        ({"x_train": PIXELS[:300, None].repeat(8, 1)}, r"has no axis of channels"),
        ({"x_train": PIXELS[:300, :3, :, None].repeat(3, 3)}, r"could be \[n, C, H, W\] or"),
        ({"x_train": PIXELS[:300, :7]}, r"1 × 7 × 8 and test images 1 × 8 × 8"),
        ({"x_train": PIXELS[:300] / 255 - 0.5}, r"run from -0.5 to 0.5: .*not be normalised"),
        ({"x_train": np.full((300, 8, 8), np.nan)}, r"run from nan to nan"),
        ({"x_train": PIXELS[:300].astype(complex)}, r"images of type complex128"),
        ({"x_train": PIXELS[:0], "y_train": LABELS[:0]}, r"train has no images"),
    ],
)
def test_unusable_npz(tmp_path: Path, change: dict[str, np.ndarray | None], message: str) -> None:
    arrays = {key: value for key, value in {**SPLIT, **change}.items() if value is not None}
    with pytest.raises(NasError, match=message):
        load_data(saved(tmp_path, arrays))


def test_single_class_and_damaged_npz(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"single class, '0'"):
        load_data(saved(tmp_path, {"images": PIXELS, "labels": LABELS * 0}))
    whole = Path(saved(tmp_path, SPLIT)).read_bytes()
    for content in (whole[:500], b"", b"no zip at all"):
        (tmp_path / "some.npz").write_bytes(content)
        with pytest.raises(NasError, match=r"cannot read .*some.npz"):
            load_data(str(tmp_path / "some.npz"))
    np.save(tmp_path / "single.npy", PIXELS)
    (tmp_path / "single.npy").rename(tmp_path / "some.npz")
    with pytest.raises(NasError, match=r"cannot read .*some.npz"):
        load_data(str(tmp_path / "some.npz"))
