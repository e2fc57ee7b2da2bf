"""Images and volumes with a class for every position: one size, checked, in a train and a test part."""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.tasks.images import OWN_TEST_SHARE
from nas.tasks.nifti import read_nifti
from nas.tasks.split import derived_seed
from search_spaces.errors import NasError

IMAGE_NAMES, LABEL_NAMES = ("image", "images", "x"), ("label", "labels", "mask", "masks", "y")
IMAGE_FOLDERS, LABEL_FOLDERS = ("images", "imagesTr"), ("labels", "labelsTr")
DARKEST, BRIGHTEST = 0.5, 99.5
"""Percentiles of a volume that become 0 and 255."""
MULTIPLE = 8
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
Item = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class MaskData:
    """Images of one size with a class for every position, in a train and a test part."""

    train_images: Tensor
    """uint8 [n, C, *spatial], 0 to 255."""
    train_labels: Tensor
    """uint8 [n, *spatial], 0 (background) to classes - 1."""
    test_images: Tensor
    """uint8 [m, C, *spatial]."""
    test_labels: Tensor
    """uint8 [m, *spatial]."""
    class_names: tuple[str, ...]
    name: str
    note: str
    """What to say beside every accuracy."""
    fingerprint: str
    """Hash of all pixels, labels and class names."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, *spatial)."""
        return tuple(self.train_images.shape[1:])


def load_masks(
    source: str,
    *,
    size: Sequence[int] | None = None,
    classes: int | None = None,
    advance: Callable[[float], None] | None = None,
) -> MaskData:
    """Return the labelled images or volumes that `source` names; a fifth of them, by a fixed seed, is the test part.

    source: a .npz file with arrays image uint8 [n, H, W(, C)] and label [n, H, W]; or a tar with NIfTI volumes of
    equal names in images/ (imagesTr/) and labels/ (labelsTr/), as those of the Medical Segmentation Decathlon.
    Volumes are brought to 0 to 255 between two percentiles of their values. $NAME and ~ in the path are replaced.
    size: spatial size that all are resized to (labels by nearest position); unset: that of the images, of volumes
    their median, rounded to multiples of 8.
    classes: how many classes there are; higher labels count as the last, so that 2 makes objects one class.
    advance: told the share of the source read since its last call.

    Raises `NasError` for a missing, damaged or unlabelled source, and for images of unequal size without `size`.
    """
    from nas.tasks.data import expand

    path = Path(expand(source))
    if not path.is_file():
        raise NasError(f"there is no file {str(path)!r}: data with masks are a .npz file or a tar of NIfTI volumes")
    if path.suffix == ".npz":
        items, note = list(_npz_items(path)), ""
    else:
        items, note = list(_tar_items(path, advance)), "volumes scaled between two percentiles of their values"
        size = _median_size(items) if size is None else size
    if not items:
        raise NasError(f"{str(path)!r} holds no image with a mask of its name")
    images = torch.stack([_sized(image, size, path, smooth=True) for image, _ in items])
    labels = torch.stack([_sized(label[None], size, path, smooth=False)[0] for _, label in items])
    return mask_data(images, labels, name=path.name.partition(".")[0], classes=classes, note=note)


def mask_data(images: Tensor, labels: Tensor, *, name: str, classes: int | None = None, note: str = "") -> MaskData:
    """Check images uint8 [n, C, *spatial] and labels uint8 [n, *spatial], and split off a test part by a fixed seed.

    Raises `NasError` for other shapes, fewer than 5 images, or fewer than 2 classes.
    """
    if images.dtype != torch.uint8 or labels.shape != (len(images), *images.shape[2:]) or images.ndim < 3:
        raise NasError(
            f"{name}: images {images.dtype} of shape {list(images.shape)} with masks {list(labels.shape)}: needed are "
            "uint8 [n, channels, *spatial] and [n, *spatial]"
        )
    highest = int(labels.max()) if len(labels) else 0
    count = highest + 1 if classes is None else classes
    if len(images) < 5 or count < 2 or highest < 1:
        raise NasError(f"{name} has {len(images)} images of {highest + 1} classes: at least 5 and 2 are needed")
    labels = labels.clamp(max=count - 1).to(torch.uint8)
    order = sorted(range(len(images)), key=lambda i: derived_seed("test", i))
    part = sorted(order[: round(OWN_TEST_SHARE * len(images))])
    rest = sorted(set(order) - set(part))
    own = f"a fixed {OWN_TEST_SHARE:.0%} of the images was split off as test part"
    names = ("background", "object") if count == 2 else ("background", *(str(i) for i in range(1, count)))
    tensors = images[rest], labels[rest], images[part], labels[part]
    digest = hashlib.sha256(json.dumps(names).encode())
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return MaskData(
        *tensors,
        class_names=names,
        name=name,
        note=f"{note}; {own}" if note else own,
        fingerprint=digest.hexdigest()[:32],
    )


def _npz_items(path: Path) -> Iterator[Item]:
    from nas.tasks.arrays import as_images

    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files if key in IMAGE_NAMES + LABEL_NAMES}
    except (OSError, ValueError) as error:
        raise NasError(f"cannot read {str(path)!r}: {error}") from error
    images = next((found[name] for name in IMAGE_NAMES if name in found), None)
    labels = next((found[name] for name in LABEL_NAMES if name in found), None)
    if images is None or labels is None:
        raise NasError(f"{str(path)!r} needs an array called image and one called label, got {', '.join(found)}")
    pixels = as_images(images, str(path))
    if labels.dtype.kind not in "iub" or labels.shape != (len(pixels), *pixels.shape[2:]):
        raise NasError(f"{str(path)!r}: masks are {labels.dtype} {list(labels.shape)}, images {list(pixels.shape)}")
    yield from zip(pixels, torch.from_numpy(np.clip(labels, 0, 255).astype(np.uint8)), strict=True)


def _tar_items(path: Path, advance: Callable[[float], None] | None) -> Iterator[Item]:
    """The volumes of a tar in the order of their names."""
    volumes: dict[str, dict[str, bytes]] = {"image": {}, "label": {}}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                folder, name = Path(member.name).parent.name, Path(member.name).name
                kind = "image" if folder in IMAGE_FOLDERS else "label" if folder in LABEL_FOLDERS else None
                content = archive.extractfile(member) if kind and not name.startswith(".") else None
                if kind is not None and content is not None:
                    volumes[kind][name] = content.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise NasError(f"cannot read {str(path)!r}: {error}; is the file complete?") from error
    names = sorted(volumes["image"].keys() & volumes["label"].keys())
    for name in names:
        values = read_nifti(volumes["image"][name], f"{path}: image {name}").astype(np.float64)
        label = read_nifti(volumes["label"][name], f"{path}: label {name}")
        if values.shape != label.shape:
            raise NasError(f"{path}: {name} is {values.shape}, its mask {label.shape}")
        low, high = np.percentile(values, (DARKEST, BRIGHTEST))
        grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        image = torch.from_numpy(np.rint(255 * grey).astype(np.uint8))
        if advance is not None:
            advance(1 / len(names))
        yield image[None], torch.from_numpy(np.clip(label, 0, 255).astype(np.uint8))


def _median_size(items: Sequence[Item]) -> tuple[int, ...]:
    sizes = np.median([image.shape[1:] for image, _ in items], axis=0) if items else ()
    return tuple(max(MULTIPLE, MULTIPLE * round(extent / MULTIPLE)) for extent in sizes)


def _sized(values: Tensor, size: Sequence[int] | None, path: Path, *, smooth: bool) -> Tensor:
    """uint8 [C, *spatial] at `size`."""
    if size is None or values.shape[1:] == tuple(size):
        return values
    if len(size) != values.ndim - 1 or min(size) < 1:
        raise NasError(f"{str(path)!r}: images of extents {list(values.shape[1:])} cannot be resized to {list(size)}")
    floats, wanted = values[None].float(), tuple(size)
    if not smooth:
        return functional.interpolate(floats, size=wanted, mode="nearest-exact")[0].to(values.dtype)
    resized = functional.interpolate(floats, size=wanted, mode=LINEAR[len(size)], align_corners=False)
    return resized[0].round().clamp(0, 255).to(values.dtype)
