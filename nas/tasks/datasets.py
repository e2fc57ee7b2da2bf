"""A user's own torch datasets, turned into `ImageData`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.objects import load_object
from nas.tasks.folders import pixels_of
from nas.tasks.images import ImageData, Labelled, image_data
from search_spaces.errors import NasError


def read_function(source: str, *, advance: Callable[[float], None] | None = None) -> ImageData:
    """Call "module:function" and read the pair (train, test) of torch datasets that it returns.

    The items of a dataset are (image, label). An image is a Pillow image, uint8 or float from 0 to
    1 as tensor [C, H, W] or array [H, W, C], not normalised and not augmented; a label is a whole
    number. `train.classes` may name the classes. An `ImageData` is taken as it is. Raises
    `NasError` for anything else.
    """
    function = load_object(source, what="data")
    if not callable(function):
        raise NasError(f"data: {source!r} is {_kind(function)}, no function")
    try:
        made = function()
    except NasError:
        raise
    except Exception as error:
        raise NasError(f"{source!r} failed: {type(error).__name__}: {error}") from error
    if isinstance(made, ImageData):
        return made
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise NasError(f"{source!r} returned {type(made).__name__}: needed is a pair of torch datasets (train, test)")
    total = sum(len(part) for part in made if hasattr(part, "__len__"))
    train, test = (
        _read(part, f"{source}: {name}", advance, total) for part, name in zip(made, ("train", "test"), strict=True)
    )
    names = getattr(made[0], "classes", None)
    return image_data(
        train,
        test,
        name=source.rpartition(":")[2],
        class_names=[str(name) for name in names] if isinstance(names, list | tuple) else None,
    )


def _read(dataset: Any, where: str, advance: Callable[[float], None] | None, total: int) -> Labelled:
    images, labels = [], []
    for number, item in enumerate(_items(dataset, where)):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise NasError(f"{where}: item {number} is no pair (image, label) but {_kind(item)}")
        images.append(_image(item[0], f"{where}: image {number}"))
        labels.append(_label(item[1], f"{where}: label {number}"))
        if images[-1].shape != images[0].shape:
            raise NasError(
                f"{where}: images differ in shape: image 0 is {list(images[0].shape)}, image "
                f"{number} is {list(images[-1].shape)} (channels, height, width): make them equal"
            )
        if advance is not None and total:
            advance(1 / total)
    if not images:
        raise NasError(f"{where} has no images")
    return torch.stack(images), torch.tensor(labels, dtype=torch.int64)


def _items(dataset: Any, where: str) -> Iterator[Any]:
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        for index in range(len(dataset)):
            yield dataset[index]
    elif isinstance(dataset, Iterable):
        yield from dataset
    else:
        raise NasError(f"{where} is {_kind(dataset)}, no torch dataset")


def _image(value: Any, where: str) -> Tensor:
    from PIL import Image

    if isinstance(value, Image.Image):
        pixels = pixels_of(value, where)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    if isinstance(value, Tensor):
        array = value.detach().cpu().numpy()
        layout = array[None] if array.ndim == 2 else array
    elif isinstance(value, np.ndarray):
        layout = value[None] if value.ndim == 2 else value.transpose(2, 0, 1)
    else:
        raise NasError(f"{where} is {_kind(value)}: needed is a tensor, an array or a Pillow image")
    if layout.ndim != 3:
        raise NasError(f"{where} has shape {list(value.shape)}: needed is [C, H, W]")
    if layout.dtype.kind == "f":
        low, high = layout.min(), layout.max()
        if not (low >= 0 and high <= 1):
            raise NasError(
                f"{where} runs from {low:.3g} to {high:.3g}: floats must run from 0 to 1; "
                "leave normalising and augmenting to the task"
            )
        return torch.from_numpy(np.rint(layout * 255).astype(np.uint8))
    if layout.dtype != np.uint8:
        raise NasError(f"{where} is {layout.dtype}: needed is uint8, or floats from 0 to 1")
    return torch.from_numpy(np.ascontiguousarray(layout))


def _label(value: Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or number != value:
        raise NasError(f"{where} is {value!r}: needed is a whole number")
    return number


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"
