"""Images with labels, checked once when they are put together."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.tasks.split import split_indices
from search_spaces.errors import NasError

OWN_TEST_SHARE = 0.2
"""Share split off as test part, with seed 0, from data that has none of its own."""

Labelled = tuple[Tensor, Tensor]
"""Images uint8 [n, C, H, W] and labels int64 [n]."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images of one size, in a train and a test part."""

    train_images: Tensor
    """uint8 [n, C, H, W], 0 to 255."""
    train_labels: Tensor
    """int64 [n], 0 to classes - 1."""
    test_images: Tensor
    """uint8 [m, C, H, W]."""
    test_labels: Tensor
    """int64 [m]."""
    class_names: tuple[str, ...]
    name: str
    """Where the images come from, in a word or two."""
    note: str
    """What to say beside every accuracy, such as that the images are lossy; may be empty."""
    fingerprint: str
    """Hash of all pixels, labels and class names."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


def image_data(
    train: Labelled,
    test: Labelled | None,
    *,
    name: str,
    class_names: Sequence[str] | None = None,
    note: str = "",
) -> ImageData:
    """Check the two parts and put them together.

    Without `test` a fixed-seed stratified part of `train` becomes the test part, and the note says
    so. Without `class_names` the classes are called by their numbers. Raises `NasError` for wrong
    shapes, labels out of range, fewer than two classes, and classes that one part lacks.
    """
    _check_part(train, f"{name}: train")
    if test is None:
        _check_labels(train[1], f"{name}: train", class_names)
        rest, part = split_indices(train[1], share=OWN_TEST_SHARE, seed=0, class_names=class_names or ())
        whole = train
        train, test = (whole[0][rest], whole[1][rest]), (whole[0][part], whole[1][part])
        own = f"no test part of its own: a fixed {OWN_TEST_SHARE:.0%} was split off"
        note = f"{note}; {own}" if note else own
    _check_part(test, f"{name}: test")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise NasError(
            f"{name}: training images are {_shape(train[0])} and test images {_shape(test[0])} "
            "(channels × height × width): they must be equal"
        )
    for labels, part_name in ((train[1], "train"), (test[1], "test")):
        _check_labels(labels, f"{name}: {part_name}", class_names)
    names = tuple(class_names or (str(i) for i in range(_classes(train[1], test[1]))))
    _check_classes(train[1], test[1], names, name)
    parts = tuple(tensor.contiguous() for tensor in (*train, *test))
    return ImageData(
        train_images=parts[0],
        train_labels=parts[1],
        test_images=parts[2],
        test_labels=parts[3],
        class_names=names,
        name=name,
        note=note,
        fingerprint=_fingerprint(parts, names),
    )


def _check_part(part: Labelled, where: str) -> None:
    images, labels = part
    if images.ndim != 4 or images.dtype != torch.uint8 or 0 in images.shape[1:]:
        raise NasError(
            f"{where} images are {images.dtype} of shape {list(images.shape)}: "
            "needed are uint8 of shape [n, channels, height, width]"
        )
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise NasError(
            f"{where} labels are {labels.dtype} of shape {list(labels.shape)}: needed is one whole number per image"
        )
    if len(images) != len(labels):
        raise NasError(f"{where} has {len(images)} images but {len(labels)} labels")
    if not len(images):
        raise NasError(f"{where} has no images")


def _check_labels(labels: Tensor, where: str, class_names: Sequence[str] | None) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (class_names is not None and high >= len(class_names)):
        legal = f"0 to {len(class_names) - 1}" if class_names else "0 or more"
        raise NasError(f"{where} labels run from {low} to {high}: out of range, legal are {legal}")


def _classes(train: Tensor, test: Tensor) -> int:
    return int(torch.maximum(train.max(), test.max())) + 1


def _check_classes(train: Tensor, test: Tensor, names: tuple[str, ...], where: str) -> None:
    if len(names) < 2:
        raise NasError(f"{where} has a single class, {names[0]!r}: at least 2 are needed")
    has_train, has_test = set(train.tolist()), set(test.tolist())
    for present, part in ((has_train, "training"), (has_test, "test")):
        missing = [name for number, name in enumerate(names) if number not in present]
        if missing:
            shown = ", ".join(repr(name) for name in missing[:5]) + (", …" if missing[5:] else "")
            raise NasError(
                f"{where}: {len(missing)} of {len(names)} classes have no {part} image ({shown}): "
                "both parts need images of every class, and labels count from 0 without gaps"
            )


def _shape(images: Tensor) -> str:
    return " × ".join(str(extent) for extent in images.shape[1:])


def _fingerprint(parts: Sequence[Tensor], class_names: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps(class_names).encode())
    for tensor in parts:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.flatten().numpy().data)
    return digest.hexdigest()[:32]
