"""Segmentation: batches that depend on their step alone, losses and scores against what follows by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from nas.tasks import task_builder
from nas.tasks.masks import MaskData, mask_data
from nas.tasks.protocol import loss_of
from nas.tasks.segmentation import SegmentationTask, dice_scores, segmentation
from nas.tasks.surface import hd95
from search_spaces.errors import NasError


def discs(count: int = 20, size: int = 16, axes: int = 2) -> MaskData:
    """Bright balls on dark noise; the mask is the ball."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(size)] * axes, indexing="ij"))
    images, labels = [], []
    for _ in range(count):
        centre = rng.uniform(5, size - 5, axes).reshape(-1, *[1] * axes)
        label = ((grid - centre) ** 2).sum(0) < rng.uniform(3, 5) ** 2
        images.append(np.clip(rng.normal(60, 20, label.shape) + 110 * label, 0, 255)[None])
        labels.append(label)
    pixels = torch.from_numpy(np.stack(images).astype(np.uint8))
    return mask_data(pixels, torch.from_numpy(np.stack(labels).astype(np.uint8)), name="discs")


@pytest.fixture(scope="module")
def task() -> SegmentationTask:
    return segmentation(discs(), validation_share=0.25, seed=3)


def test_parts_are_disjoint_and_seeded(task: SegmentationTask) -> None:
    assert len(task.validation_indices) == 4
    assert sorted([*task.train_indices.tolist(), *task.validation_indices.tolist()]) == list(range(16))
    same, other = (segmentation(discs(), validation_share=0.25, seed=seed) for seed in (3, 4))
    assert same.fingerprint == task.fingerprint != other.fingerprint
    assert task_builder("segmentation") is segmentation
    for batches in (task.validation_batches(3), task.test_batches(3)):
        assert sum(len(target) for _, target in batches) == 4


def test_batches_depend_on_their_step_alone(task: SegmentationTask) -> None:
    whole = list(task.train_batches(4, seed=1, epoch=2))
    late = list(task.train_batches(4, seed=1, epoch=2, start=2))
    assert len(whole) == task.steps_per_epoch(4) == 3
    assert torch.equal(whole[2][0], late[0][0])
    assert torch.equal(whole[2][1], late[0][1])
    images, labels = whole[0]
    assert images.shape == (4, 1, 16, 16)
    assert labels.dtype == torch.int64
    inside = images[:, 0][labels == 1].mean() - images[:, 0][labels == 0].mean()
    assert float(inside) > 1.0


def test_mirroring_moves_images_and_masks_alike() -> None:
    data = discs(12, axes=3)
    plain, mirrored = (segmentation(data, validation_share=0.2, augment=augment) for augment in (False, True))
    assert (plain.mirrored, mirrored.mirrored) == ((), (0,))
    pairs = zip(plain.train_batches(4, seed=0, epoch=0), mirrored.train_batches(4, seed=0, epoch=0), strict=True)
    flipped = 0
    for (images, labels), (moved, moved_labels) in pairs:
        for one, label, other, other_label in zip(images, labels, moved, moved_labels, strict=True):
            turned = not torch.equal(one, other)
            flipped += turned
            assert torch.equal(one.flip(1) if turned else one, other)
            assert torch.equal(label.flip(0) if turned else label, other_label)
    assert 0 < flipped < 8


def test_loss_joins_cross_entropy_and_dice(task: SegmentationTask) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 16, 16, generator=generator)
    target = torch.randint(0, 2, (3, 16, 16), generator=generator)
    share, truth = logits.softmax(1)[:, 1], target.float()
    dice = (2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1)
    expected = 0.4 * functional.cross_entropy(logits, target) + 0.6 * (1 - dice)
    torch.testing.assert_close(task.loss(logits, target), expected)
    right = 20.0 * functional.one_hot(target, 2).movedim(-1, 1)
    assert float(task.loss(right, target)) < 1e-3
    small = torch.randn(3, 2, 4, 4, generator=generator)
    joined = loss_of(task, {"output": logits, "side": small}, target)
    torch.testing.assert_close(joined, task.loss(logits, target) + 0.5 * task.loss(small, target))
    torch.testing.assert_close(loss_of(task, {"output": logits}, target), task.loss(logits, target))


def test_metric_is_the_dice_that_is_missed(task: SegmentationTask) -> None:
    target = torch.zeros(4, 4, 4, dtype=torch.int64)
    target[0, :2] = target[1, :2] = target[3] = 1
    answer = target.clone()
    answer[1] = 0
    answer[1, 1:3] = 1
    answer[3] = 0
    scores = dice_scores(answer, target, classes=2)
    assert scores[:, 0].tolist() == [1.0, 0.5, 1.0, 0.0]
    logits = functional.one_hot(answer, 2).movedim(-1, 1).float()
    assert task.metric(logits, target) == pytest.approx(1.5)
    logits[0, 0, 0, 0] = float("nan")
    assert task.metric(logits, target) == pytest.approx(2.5)


def test_border_distances() -> None:
    first, second = np.zeros((2, 12, 12), bool)
    first[2:5, 2:5] = True
    second[2:5, 6:9] = True
    assert hd95(first, first) == 0.0
    assert hd95(first, second) == pytest.approx(4.0)
    assert hd95(first, second & ~second) is None
    volume = np.zeros((6, 6, 6), bool)
    volume[1:3, 1:3, 1:3] = True
    assert hd95(volume, np.roll(volume, 2, 2)) == pytest.approx(2.0)


def test_wrong_values_are_refused() -> None:
    with pytest.raises(NasError, match=r"share of 0\.01 of 16 training images"):
        segmentation(discs(), validation_share=0.01)
    with pytest.raises(NasError, match="dice_weight is 2"):
        segmentation(discs(), dice_weight=2.0)
