"""Segmentation of images and volumes: a class for every position, Dice and cross entropy, the share of Dice missed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from nas.tasks.masks import LINEAR, MaskData
from nas.tasks.protocol import Batch
from nas.tasks.split import derived_seed
from nas.tasks.transforms import channel_statistics
from search_spaces.errors import NasError

SIDE_WEIGHT = 0.5
"""What each further output (deep supervision) adds to the loss, relative to the first."""
SMOOTH = 1.0


@dataclass(frozen=True, eq=False)
class SegmentationTask:
    """Which class each position of an image or volume belongs to. Made by `segmentation`."""

    data: MaskData
    train_indices: Tensor
    """int64 [n]: the training images that networks are trained and recalibrated on."""
    validation_indices: Tensor
    """int64 [m]: the training images held out to choose by."""
    mean: tuple[float, ...]
    """Per channel over the images trained on, scale 0 to 1; batches are (pixel/255 - mean)/std."""
    std: tuple[float, ...]
    mirrored: tuple[int, ...]
    """Spatial axes along which half of the training images are mirrored."""
    dice_weight: float
    seed: int
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, *spatial) of the batches."""
        return self.data.input_shape

    @property
    def classes(self) -> int:
        """Number of classes, the background included."""
        return len(self.data.class_names)

    def to(self, device: torch.device | str) -> Self:
        """Return the same task with its images on `device`; the batches stay the same."""
        images = ("train_images", "train_labels", "test_images", "test_labels")
        data = replace(self.data, **{name: getattr(self.data, name).to(device) for name in images})
        train, validation = self.train_indices.to(device), self.validation_indices.to(device)
        return replace(self, data=data, train_indices=train, validation_indices=validation)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the full batches of an epoch; 1 when all images do not fill one."""
        if batch_size < 1:
            raise NasError(f"a batch of {batch_size} images: at least 1 is needed")
        return max(1, len(self.train_indices) // batch_size)

    def train_batches(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the shuffled, mirrored batches of one epoch, from step `start` on.

        Images float32 [batch_size, C, *spatial], labels int64 [batch_size, *spatial]. Step k depends on (batch_size,
        seed, epoch, k) alone. A last batch that is not full is left out.
        """
        order = torch.randperm(len(self.train_indices), generator=_generator("order", seed, epoch))
        order = order.to(self.train_indices.device)
        for step in range(start, self.steps_per_epoch(batch_size)):
            chosen = self.train_indices[order[step * batch_size : (step + 1) * batch_size]]
            images, labels = self._batch(self.data.train_images[chosen], self.data.train_labels[chosen])
            flips = torch.rand(len(self.mirrored), len(chosen), generator=_generator("mirror", seed, epoch, step)) < 0.5
            for axis, flipped in zip(self.mirrored, flips.to(images.device), strict=True):
                there = flipped.view(-1, *(1,) * (labels.ndim - 1))
                labels = torch.where(there, labels.flip(axis + 1), labels)
                images = torch.where(there[:, None], images.flip(axis + 2), images)
            yield _laid_out(images), labels

    def calibration_batches(self, count: int, size: int) -> Iterator[Batch]:
        """Yield `count` fixed, unvaried training batches of `size`, fewer where there are too few images."""
        order = torch.randperm(len(self.train_indices), generator=_generator("calibration", self.seed))
        order = order.to(self.train_indices.device)
        for step in range(min(count, self.steps_per_epoch(size))):
            chosen = self.train_indices[order[step * size : (step + 1) * size]]
            yield self._batch(self.data.train_images[chosen], self.data.train_labels[chosen])

    def validation_batches(self, size: int) -> Iterator[Batch]:
        """Yield the validation part in order; the last batch may be smaller."""
        for start in range(0, len(self.validation_indices), size):
            chosen = self.validation_indices[start : start + size]
            yield self._batch(self.data.train_images[chosen], self.data.train_labels[chosen])

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield the test part in order; the last batch may be smaller."""
        for start in range(0, len(self.data.test_labels), size):
            here = slice(start, start + size)
            yield self._batch(self.data.test_images[here], self.data.test_labels[here])

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return (1 - w) × cross entropy + w × (1 - Dice) of a batch, w the task's `dice_weight`.

        output: logits [n, classes, *spatial]. target: labels [n, *spatial]. Dice is that of probabilities, per class
        but the background over the whole batch (Milletari et al. 2016). Logits of another spatial size are brought to
        that of the labels.
        """
        logits = fitted_logits(output, target)
        entropy = functional.cross_entropy(logits, target, label_smoothing=label_smoothing)
        if self.dice_weight == 0:
            return entropy
        axes = (0, *range(2, logits.ndim))
        shares = logits.softmax(1)[:, 1:]
        truth = functional.one_hot(target, self.classes).movedim(-1, 1)[:, 1:].to(shares.dtype)
        overlap, total = (shares * truth).sum(axes), shares.sum(axes) + truth.sum(axes)
        dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
        return (1 - self.dice_weight) * entropy + self.dice_weight * (1 - dice.mean())

    def joint_loss(self, outputs: Mapping[str, Tensor], target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the loss of the first output plus `SIDE_WEIGHT` times that of each further one (deep supervision)."""
        first, *others = (self.loss(output, target, label_smoothing=label_smoothing) for output in outputs.values())
        return first + SIDE_WEIGHT * torch.stack(others).sum() if others else first

    def metric(self, output: Tensor, target: Tensor) -> float:
        """Return 1 - Dice, the mean over the classes but the background, summed over a batch; see `MissedDice`."""
        return self.own_metric(output, target)

    @property
    def own_metric(self) -> "MissedDice":
        """The metric alone, as workers take it along."""
        return MissedDice(self.classes)

    def _batch(self, images: Tensor, labels: Tensor) -> Batch:
        shape = (-1, *(1,) * (images.ndim - 2))
        mean, std = (torch.tensor(values, device=images.device).view(shape) for values in (self.mean, self.std))
        return _laid_out((images.float() / 255 - mean) / std), labels.long()


@dataclass(frozen=True)
class MissedDice:
    """1 - Dice of an image, the mean over the classes but the background; 1 where logits are not finite.

    It lies between 0 and 1, so it scatters no more than a coin of the same mean: the interval of a count of wrong
    answers holds for it too.
    """

    classes: int

    def __call__(self, output: Tensor, target: Tensor) -> float:
        """Summed over a batch of logits [n, classes, *spatial] and labels [n, *spatial]."""
        scores = dice_scores(fitted_logits(output, target).argmax(1), target, classes=self.classes)
        finite = output.flatten(1).isfinite().all(1)
        return float(torch.where(finite, 1 - scores.mean(1), 1.0).sum())


def fitted_logits(output: Tensor, target: Tensor) -> Tensor:
    """Logits [n, classes, *spatial] at the spatial size of labels [n, *spatial], linear between positions."""
    size = tuple(target.shape[1:])
    if tuple(output.shape[2:]) == size:
        return output
    return functional.interpolate(output, size=size, mode=LINEAR[len(size)], align_corners=False)


def dice_scores(answer: Tensor, target: Tensor, *, classes: int) -> Tensor:
    """Dice of labels [n, *spatial] per image and class but the background, float64 [n, classes - 1].

    1 where a class is in neither.
    """
    scores = []
    for label in range(1, classes):
        mine, theirs = (answer == label).flatten(1), (target == label).flatten(1)
        total = mine.sum(1) + theirs.sum(1)
        scores.append(torch.where(total == 0, 1.0, 2 * (mine & theirs).sum(1).double() / total.clamp(min=1)))
    return torch.stack(scores, 1)


def segmentation(
    data: MaskData,
    *,
    validation_share: float = 0.1,
    seed: int = 0,
    augment: bool | None = None,
    limit: int | None = None,
    dice_weight: float = 0.6,
) -> SegmentationTask:
    """Return the task of telling the class of every position of `data`.

    validation_share: part of the training images held out to choose by. seed: of that split. augment: mirror half of
    the training images, planar ones along every axis, volumes along the first; None: yes. limit: use only this many
    of the training images, validation included. dice_weight: w of the loss (Maurya et al.: 0.6).

    Raises `NasError` for values out of range.
    """
    count = len(data.train_images) if limit is None else min(limit, len(data.train_images))
    held_out = round(validation_share * count)
    if not 0 < validation_share < 1 or not 0 < held_out < count:
        raise NasError(
            f"a share of {validation_share} of {count} training images cannot be held out: at least one must be, and "
            "one must remain"
        )
    if not 0 <= dice_weight <= 1:
        raise NasError(f"dice_weight is {dice_weight}: it must lie between 0 and 1")
    order = torch.randperm(len(data.train_images), generator=_generator("split", seed))[:count]
    validation, train = order[:held_out], order[held_out:].sort().values
    axes = len(data.input_shape) - 1
    mirrored = () if augment is False else tuple(range(axes)) if axes < 3 else (0,)
    planar = data.train_images.flatten(2)[..., None]
    mean, std = channel_statistics(planar, train)
    about = ("segmentation", data.fingerprint, validation_share, seed, limit, mirrored, dice_weight)
    fingerprint = f"{derived_seed(repr(about)):016x}"
    return SegmentationTask(data, train, validation, mean, std, mirrored, dice_weight, seed, fingerprint)


def _laid_out(images: Tensor) -> Tensor:
    """Planar batches in channels_last memory."""
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


def _generator(*parts: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(*parts))
