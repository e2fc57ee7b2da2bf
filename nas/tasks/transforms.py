"""Image transforms on whole batches; random numbers are drawn on the CPU, so devices agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.errors import NasError


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied."""

    shift: int = 4
    """Most pixels an image moves along each axis: a random crop after padding by as much."""
    flip: bool = True
    """Mirror half of the images, left to right."""
    border: Literal["reflect", "zero"] = "reflect"
    """What moves in at the border: the image mirrored, or black."""
    cutout: int = 0
    """Side in pixels of a square set to the mean colour (DeVries and Taylor 2017); 0: none."""

    def __post_init__(self) -> None:
        if self.shift < 0 or self.cutout < 0:
            raise NasError(f"{self}: shift and cutout must be 0 or more pixels")


def suitable_augmentation(input_shape: Sequence[int]) -> Augmentation:
    """Return the usual augmentation for images of (C, H, W).

    Colour: an eighth of the height (4 pixels of 32), mirrored. Grey, such as handwriting: a
    fourteenth (1 pixel of 8, 2 of 28), black moving in, never mirrored.
    """
    channels, height, _ = input_shape
    if channels >= 3:
        return Augmentation(shift=max(1, height // 8))
    return Augmentation(shift=max(1, height // 14), flip=False, border="zero")


def shift_and_flip(
    images: Tensor, indices: Tensor, augmentation: Augmentation, *, generator: torch.Generator
) -> Tensor:
    """Return images[indices], each moved and mirrored at random, in channels_last memory.

    images: [n, C, H, W], any type; indices: int64 [m] on the same device. Crop, mirror and border
    are index arithmetic: each pixel is fetched once, from where it comes.
    """
    count, (height, width) = len(indices), images.shape[2:]
    shift = augmentation.shift
    if augmentation.border == "reflect" and shift >= min(height, width):
        raise NasError(
            f"images of {height} × {width} cannot be shifted by {shift} pixels with a reflected "
            f"border: at most {min(height, width) - 1}"
        )
    moves = torch.randint(-shift, shift + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    rows = torch.arange(height) + moves[0, :, None]
    columns = torch.arange(width).expand(count, width)
    if augmentation.flip:
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    columns = columns + moves[1, :, None]
    inside = None
    if augmentation.border == "zero":
        inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    else:
        rows, columns = _reflect(rows, height), _reflect(columns, width)
    rows, columns = rows.to(images.device), columns.to(images.device)
    fetched = images[indices[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    if inside is not None:
        fetched *= inside.to(images.device)[..., None]
    return fetched.permute(0, 3, 1, 2)


def _within(positions: Tensor, extent: int) -> Tensor:
    return (positions >= 0) & (positions < extent)


def _reflect(positions: Tensor, extent: int) -> Tensor:
    last = extent - 1
    return last - (last - positions.abs()).abs()


def cut_out(images: Tensor, side: int, *, generator: torch.Generator) -> Tensor:
    """Return normalised float images [n, C, H, W], each with one square of `side` pixels at 0.

    Centres are uniform over the image, so the square may reach over the border.
    """
    count, (height, width) = len(images), images.shape[2:]
    corners = (
        torch.stack([torch.randint(0, extent, (count,), generator=generator) for extent in (height, width)])[:, :, None]
        - side // 2
    )
    rows, columns = torch.arange(height) - corners[0], torch.arange(width) - corners[1]
    hidden = _within(rows, side)[:, :, None] & _within(columns, side)[:, None, :]
    return images.masked_fill(hidden[:, None].to(images.device), 0.0)


def channel_statistics(images: Tensor, indices: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of images[indices], on the scale 0 to 1.

    images: uint8 [n, C, H, W]. Exact, from the histogram of the 256 values. A channel that never
    varies gets deviation 1.
    """
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    for start in range(0, len(indices), 4096):
        chunk = images[indices[start : start + 4096]]
        for channel, values in enumerate(chunk.transpose(0, 1).flatten(1)):
            counts[channel] += torch.bincount(values, minlength=256).cpu()
    shares = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    means = shares @ levels
    deviations = (shares * (levels - means[:, None]) ** 2).sum(1).sqrt()
    deviations = torch.where(counts.amax(1) == counts.sum(1), 1.0, deviations)
    return tuple(means.tolist()), tuple(deviations.tolist())


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (images / 255 - mean) / std as float32, for uint8 images [n, C, H, W].

    mean and std are per channel, on the scale 0 to 1. The memory format is kept.
    """
    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device)
    offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device)
    return images.float().mul_(scale.view(-1, 1, 1)).add_(offset.view(-1, 1, 1))


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Return images [n, C, H, W] at `size`, the side of a square or (height, width) in pixels.

    Bilinear, antialiased, the aspect ratio is not kept; the images themselves when the size
    already fits. The weights of each pixel sum to 1, so that resizing and normalising commute.
    uint8 is rounded back to uint8.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise NasError(f"images cannot be resized to {height} × {width}: at least 1 pixel a side")
    if images.shape[2:] == (height, width):
        return images
    floats = images if images.is_floating_point() else images.float()
    resized = functional.interpolate(floats, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
    if images.is_floating_point():
        return resized
    return resized.round_().clamp_(0, 255).to(images.dtype)
