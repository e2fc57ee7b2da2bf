"""Images that come as arrays: scikit-learn's digits, `.npz` files and MNIST-style IDX files."""

import gzip
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.tasks.images import ImageData, Labelled, image_data
from search_spaces.errors import NasError

_NPZ_LAYOUTS = (
    (("x_train", "y_train"), ("x_test", "y_test")),
    (("train_images", "train_labels"), ("test_images", "test_labels")),
    (("images", "labels"), None),
)
_IDX_NAME = re.compile(r"(?:.*-)?(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")
_IDX_BYTES = 8  # the code of "unsigned byte" in the third byte of an IDX file


def read_digits() -> ImageData:
    """Return scikit-learn's 1,797 handwritten digits, 8 × 8 grey, 0..16 scaled to 0..255.

    They have no test part of their own: a fixed-seed stratified fifth is split off.
    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    return image_data((torch.from_numpy(pixels)[:, None], labels), None, name="digits")


def read_npz(path: Path) -> ImageData:
    """Read a `.npz` of arrays; nothing pickled is ever loaded.

    Keys: x_train, y_train, x_test, y_test; or train_images, train_labels, test_images,
    test_labels; or images, labels, of which a part becomes the test part. `class_names` is
    optional. Images: see `as_images`; labels: see `as_labels`. Raises `NasError` for anything else.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key in _known_keys()}
            found = sorted(file.files)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise NasError(
            f"cannot read {str(path)!r} as .npz of plain arrays: {error}; "
            "is the file complete, and are its arrays numbers (not Python objects)?"
        ) from error
    for train, test in _NPZ_LAYOUTS:
        if all(key in arrays for key in (*train, *(test or ()))):
            names = [str(name) for name in arrays["class_names"]] if "class_names" in arrays else None
            label_keys = [train[1], *([test[1]] if test else [])]
            labels, names = as_labels({key: arrays[key] for key in label_keys}, names, path.name)
            parts = [
                (as_images(arrays[part[0]], f"{path.name}: {part[0]}"), labels[part[1]])
                for part in (train, test)
                if part is not None
            ]
            test_part = parts[1] if test else None
            return image_data(parts[0], test_part, name=path.stem, class_names=names)
    layouts = "; or ".join(", ".join((*train, *(test or ()))) for train, test in _NPZ_LAYOUTS)
    raise NasError(f"{str(path)!r} holds {', '.join(found) or 'nothing'}: needed are {layouts}")


def _known_keys() -> set[str]:
    pairs = [pair for layout in _NPZ_LAYOUTS for pair in layout if pair is not None]
    return {"class_names", *(key for pair in pairs for key in pair)}


def as_labels(
    arrays: Mapping[str, np.ndarray], names: list[str] | None, where: str
) -> tuple[dict[str, Tensor], list[str] | None]:
    """Return the label arrays as int64 [n], and the names of the classes if they have any.

    Arrays are whole numbers [n] or [n, 1]; or texts [n], which are numbered in sorted order.
    """
    flat = {}
    for key, array in arrays.items():
        flat[key] = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        if flat[key].ndim != 1 or array.dtype.kind not in "iuU":
            raise NasError(
                f"{where}: {key} is {array.dtype} of shape {list(array.shape)}: "
                "labels must be one whole number (or one text) per image"
            )
    if all(array.dtype.kind == "U" for array in flat.values()):
        names = sorted({str(text) for array in flat.values() for text in array})
        flat = {key: np.searchsorted(names, array) for key, array in flat.items()}
    elif any(array.dtype.kind == "U" for array in flat.values()):
        raise NasError(f"{where}: labels are texts in one part and numbers in the other")
    return {key: torch.from_numpy(array.astype(np.int64)) for key, array in flat.items()}, names


def as_images(array: np.ndarray, where: str) -> Tensor:
    """Return an array of images as uint8 [n, C, H, W].

    The array is [n, H, W], [n, H, W, C] or [n, C, H, W] with C from 1 to 4; whole numbers from 0 to
    255, or floats from 0 to 1 (scaled) or to 255. Raises `NasError` for anything else.
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4:
        first, last = (array.shape[axis] in (1, 2, 3, 4) for axis in (1, 3))
        if first == last:
            problem = "could be [n, C, H, W] or [n, H, W, C]" if first else "has no axis of channels"
            raise NasError(
                f"{where}: shape {list(array.shape)} {problem}: needed is one axis of 1 to 4 channels, second or last"
            )
        array = array if first else array.transpose(0, 3, 1, 2)
    else:
        raise NasError(
            f"{where}: images of shape {list(array.shape)}: needed are [n, H, W], [n, H, W, C] or [n, C, H, W]"
        )
    return torch.from_numpy(np.ascontiguousarray(_as_bytes(array, where)))


def _as_bytes(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype == np.uint8 or not array.size:
        return array.astype(np.uint8, copy=False)
    if array.dtype.kind not in "iuf":
        raise NasError(f"{where}: images of type {array.dtype}: needed are whole numbers or floats")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):
        raise NasError(
            f"{where}: values run from {low} to {high}: needed are 0 to 255, or floats from 0 to 1 "
            "(images must not be normalised yet)"
        )
    if array.dtype.kind == "f":
        array = np.rint(array * (255.0 if high <= 1 else 1.0))
    return array.astype(np.uint8)


def has_idx(folder: Path) -> bool:
    """Tell whether a folder holds files named like MNIST's."""
    return any(_IDX_NAME.fullmatch(file.name) for file in folder.iterdir())


def read_idx(folder: Path) -> ImageData:
    """Read MNIST-style files: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., or .gz.

    Where a file is there twice, the unpacked one is read. Raises `NasError` for a missing or
    damaged file. Format: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
    """
    files: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.iterdir()):
        if match := _IDX_NAME.fullmatch(file.name):
            key = ("train" if match[1] == "train" else "test", match[2])
            other = files.setdefault(key, file)
            if other is not file and other.name != file.name.removesuffix(".gz"):
                raise NasError(
                    f"{str(folder)!r} holds two sets of {key[0]} {key[1]}: {other.name!r} and "
                    f"{file.name!r}: keep one data set per folder"
                )
    for part, kind in ((p, k) for p in ("train", "test") for k in ("images", "labels")):
        if (part, kind) not in files:
            stem = "train" if part == "train" else "t10k"
            raise NasError(
                f"{str(folder)!r} has no {part} {kind}: "
                f"{stem}-{kind}-idx{3 if kind == 'images' else 1}-ubyte or the same with .gz"
            )
    train, test = (_idx_part(files[part, "images"], files[part, "labels"]) for part in ("train", "test"))
    return image_data(train, test, name=folder.name)


def _idx_part(images: Path, labels: Path) -> Labelled:
    numbers, _ = as_labels({labels.name: _read_idx_file(labels)}, None, labels.name)
    return as_images(_read_idx_file(images), images.name), numbers[labels.name]


def _read_idx_file(path: Path) -> np.ndarray:
    """Return the array in an IDX file: 0, 0, type, axes, then big-endian extents, then bytes."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise NasError(f"cannot read {str(path)!r}: {error}; is the file complete?") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _IDX_BYTES:
        raise NasError(
            f"{str(path)!r} is no IDX file of unsigned bytes: it starts with "
            f"{content[:4].hex(' ') or 'nothing'}, not 00 00 08"
        )
    axes = content[3]
    start = 4 + 4 * axes
    extents = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) < start or len(content) - start != math.prod(extents):
        raise NasError(f"{str(path)!r} is damaged: its header says {extents}, but {len(content) - start} bytes follow")
    return np.frombuffer(content, np.uint8, offset=start).reshape(extents).copy()
