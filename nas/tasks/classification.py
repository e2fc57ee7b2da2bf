"""Image classification: batches of real images, cross entropy, and the share of wrong answers."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from nas.tasks.images import ImageData
from nas.tasks.intervals import binomial_interval
from nas.tasks.protocol import Batch
from nas.tasks.split import derived_seed, split_indices, subset_indices
from nas.tasks.transforms import (
    Augmentation,
    channel_statistics,
    cut_out,
    normalise,
    resize,
    shift_and_flip,
    suitable_augmentation,
)
from search_spaces.errors import NasError

__all__ = ["ClassificationTask", "binomial_interval", "classification", "resize"]


@dataclass(frozen=True, eq=False)
class ClassificationTask:
    """Which of a fixed set of classes an image belongs to. Made by `classification`."""

    data: ImageData
    train_indices: Tensor
    """int64 [n]: the training images that networks are trained and recalibrated on."""
    validation_indices: Tensor
    """int64 [m]: the training images held out to choose by."""
    mean: tuple[float, ...]
    """Per channel over the images trained on, scale 0 to 1; batches are (pixel/255 - mean)/std."""
    std: tuple[float, ...]
    augmentation: Augmentation | None
    seed: int
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the batches."""
        return self.data.input_shape

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.class_names)

    @property
    def baseline_error(self) -> float:
        """Validation error of always answering the class that is most frequent in training."""
        frequent = self.data.train_labels[self.train_indices].bincount().argmax()
        labels = self.data.train_labels[self.validation_indices]
        return float((labels != frequent).double().mean())

    def to(self, device: torch.device | str) -> Self:
        """Return the same task with its images on `device`; the batches stay the same."""
        images = ("train_images", "train_labels", "test_images", "test_labels")
        data = replace(self.data, **{name: getattr(self.data, name).to(device) for name in images})
        return replace(
            self,
            data=data,
            train_indices=self.train_indices.to(device),
            validation_indices=self.validation_indices.to(device),
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the full batches of an epoch; 1 when all images do not fill one."""
        if batch_size < 1:
            raise NasError(f"a batch of {batch_size} images: at least 1 is needed")
        return max(1, len(self.train_indices) // batch_size)

    def train_batches(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the shuffled, augmented batches of one epoch, from step `start` on.

        Images float32 [batch_size, C, H, W] in channels_last memory, labels int64 [batch_size].
        Step k depends on (batch_size, seed, epoch, k) alone. A last batch that is not full is left
        out; shuffling leaves out others in the next epoch.
        """
        order = torch.randperm(len(self.train_indices), generator=_generator("order", seed, epoch)).to(
            self.train_indices.device
        )
        for step in range(start, self.steps_per_epoch(batch_size)):
            chosen = self.train_indices[order[step * batch_size : (step + 1) * batch_size]]
            generator = _generator("augment", seed, epoch, step)
            yield self._augmented(chosen, generator), self.data.train_labels[chosen]

    def calibration_batches(self, count: int, size: int) -> Iterator[Batch]:
        """Yield `count` fixed, unaugmented training batches of `size`, the same at every call.

        Where there are too few images, fewer batches, and one smaller batch if none can be filled.
        """
        order = torch.randperm(len(self.train_indices), generator=_generator("calibration", self.seed)).to(
            self.train_indices.device
        )
        for step in range(min(count, self.steps_per_epoch(size))):
            chosen = self.train_indices[order[step * size : (step + 1) * size]]
            yield self._plain(self.data.train_images[chosen]), self.data.train_labels[chosen]

    def validation_batches(self, size: int) -> Iterator[Batch]:
        """Yield the validation part in order, unaugmented; the last batch may be smaller."""
        for start in range(0, len(self.validation_indices), size):
            chosen = self.validation_indices[start : start + size]
            yield self._plain(self.data.train_images[chosen]), self.data.train_labels[chosen]

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield the test part in order, unaugmented; the last batch may be smaller."""
        for start in range(0, len(self.data.test_labels), size):
            here = slice(start, start + size)
            yield self._plain(self.data.test_images[here]), self.data.test_labels[here]

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross entropy of logits [n, classes] against labels [n], in nats."""
        return functional.cross_entropy(output, target, label_smoothing=label_smoothing)

    def metric(self, output: Tensor, target: Tensor) -> int:
        """Return how many of n logits [n, classes] miss labels [n]; NaN and infinity are wrong."""
        wrong = (output.argmax(1) != target) | ~output.isfinite().all(1)
        return int(wrong.sum())

    def _plain(self, images: Tensor) -> Tensor:
        batch = normalise(images, self.mean, self.std)
        return batch.contiguous(memory_format=torch.channels_last)

    def _augmented(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        if self.augmentation is None:
            return self._plain(self.data.train_images[chosen])
        moved = shift_and_flip(self.data.train_images, chosen, self.augmentation, generator=generator)
        batch = self._plain(moved)
        if self.augmentation.cutout:
            batch = cut_out(batch, self.augmentation.cutout, generator=generator)
        return batch


def classification(
    data: ImageData,
    *,
    validation_share: float = 0.1,
    seed: int = 0,
    augment: bool | Augmentation | None = None,
    limit: int | None = None,
) -> ClassificationTask:
    """Return the task of telling the classes of `data` apart.

    validation_share: part of the training images held out to choose by, stratified, in ]0, 1[.
    seed: of that split.
    augment: False for none; True or None as suits the images (`suitable_augmentation`).
    limit: use only this many of the training images (validation included), stratified.

    Raises `NasError` for a share out of range, or a limit too small for the classes.
    """
    labels = data.train_labels
    kept = torch.arange(len(labels))
    if limit is not None:
        kept = subset_indices(labels, count=limit, seed=derived_seed("limit", seed))
    rest, part = split_indices(
        labels[kept],
        share=validation_share,
        seed=derived_seed("validation", seed),
        class_names=data.class_names,
    )
    train, validation = kept[rest], kept[part]
    mixed = torch.randperm(len(validation), generator=_generator("validation order", seed))
    if augment is None or augment is True:
        augmentation: Augmentation | None = suitable_augmentation(data.input_shape)
    else:
        augmentation = augment or None
    mean, std = channel_statistics(data.train_images, train)
    about = (
        "classification",
        data.fingerprint,
        validation_share,
        seed,
        limit,
        asdict(augmentation) if augmentation else None,
    )
    return ClassificationTask(
        data=data,
        train_indices=train,
        validation_indices=validation[mixed],
        mean=mean,
        std=std,
        augmentation=augmentation,
        seed=seed,
        fingerprint=f"{derived_seed(repr(about)):016x}",
    )


def _generator(*parts: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(*parts))
