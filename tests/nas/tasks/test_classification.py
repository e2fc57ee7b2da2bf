import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from nas.tasks import TASKS, task_builder
from nas.tasks.classification import ClassificationTask, binomial_interval, classification
from nas.tasks.data import ImageData, load_data
from nas.tasks.protocol import Task
from nas.tasks.transforms import Augmentation, resize
from search_spaces.errors import NasError

Batches = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data("digits")


@pytest.fixture(scope="module")
def task(digits: ImageData) -> ClassificationTask:
    return classification(digits, validation_share=0.15, seed=3)


def equal(first: Batches, second: Batches) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) for pair in zip(first, second, strict=True) for a, b in zip(*pair, strict=True)
    )


def joined(batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def pixels_of(task: ClassificationTask, batch: Tensor) -> Tensor:
    """Undo the normalisation."""
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (task.mean, task.std))
    return ((batch * std + mean) * 255).round().to(torch.uint8)


def test_the_task_fits_the_protocol(task: ClassificationTask) -> None:
    fits: Task = task
    assert (fits.input_shape, fits.classes) == ((1, 8, 8), 10)


def test_parts_are_disjoint_stratified_and_repeatable(digits: ImageData, task: ClassificationTask) -> None:
    train, validation = set(task.train_indices.tolist()), set(task.validation_indices.tolist())
    assert not train & validation
    assert len(train) + len(validation) == 1438
    assert len(validation) == round(0.15 * 1438)
    share = digits.train_labels[task.validation_indices].bincount() / digits.train_labels.bincount()
    assert (share - 0.15).abs().max() < 0.01
    again = classification(digits, validation_share=0.15, seed=3)
    assert torch.equal(again.validation_indices, task.validation_indices)
    other = classification(digits, validation_share=0.15, seed=4)
    assert not torch.equal(other.validation_indices, task.validation_indices)


def test_the_first_validation_images_stand_for_all_classes(digits: ImageData) -> None:
    order = digits.train_labels.argsort()
    by_class = replace(digits, train_images=digits.train_images[order], train_labels=digits.train_labels[order])
    task = classification(by_class, validation_share=0.5, seed=3)
    labels = next(iter(task.validation_batches(100)))[1]
    assert labels.bincount(minlength=10).min() >= 3


def test_evaluation_batches_are_the_parts_in_order(digits: ImageData, task: ClassificationTask) -> None:
    images, labels = joined(task.validation_batches(100))
    assert torch.equal(pixels_of(task, images), digits.train_images[task.validation_indices])
    assert torch.equal(labels, digits.train_labels[task.validation_indices])
    images, labels = joined(task.test_batches(100))
    assert torch.equal(pixels_of(task, images), digits.test_images)
    assert torch.equal(labels, digits.test_labels)


def test_training_images_are_normalised(digits: ImageData, task: ClassificationTask) -> None:
    still = classification(digits, validation_share=0.15, seed=3, augment=False)
    images, labels = joined(still.train_batches(len(task.train_indices), seed=0, epoch=0))
    assert abs(float(images.mean())) < 1e-5
    assert float(images.std(correction=0)) == pytest.approx(1, abs=1e-5)
    shown = sorted((int(y), x.numpy().tobytes()) for x, y in zip(pixels_of(still, images), labels, strict=True))
    rows = zip(digits.train_images[task.train_indices], digits.train_labels[task.train_indices], strict=True)
    assert shown == sorted((int(y), x.numpy().tobytes()) for x, y in rows)


def test_training_batches_depend_on_seed_and_epoch_alone(task: ClassificationTask) -> None:
    def batches(seed: int, epoch: int, start: int = 0) -> Batches:
        return list(task.train_batches(64, seed=seed, epoch=epoch, start=start))

    first = batches(0, 0)
    torch.rand(5)
    assert equal(first, batches(0, 0))
    assert not equal(first, batches(0, 1))
    assert not equal(first, batches(1, 0))
    assert len(first) == task.steps_per_epoch(64) == len(task.train_indices) // 64
    for start in (1, 7, len(first)):
        assert equal(first[start:], batches(0, 0, start))
    assert {len(labels) for _, labels in first} == {64}
    assert first[0][0].dtype == torch.float32
    assert first[0][1].dtype == torch.int64


def test_an_epoch_shows_each_image_at_most_once(digits: ImageData) -> None:
    numbered = torch.arange(1438)
    unique = torch.stack([numbered % 256, numbered // 256], 1).to(torch.uint8)[:, :, None, None]
    data = replace(digits, train_images=unique.expand(-1, -1, 8, 8).contiguous())
    task = classification(data, augment=False)
    images, labels = joined(task.train_batches(100, seed=0, epoch=0))
    corner = pixels_of(task, images)[:, :, 0, 0].long()
    shown = (corner[:, 0] + 256 * corner[:, 1]).tolist()
    assert len(set(shown)) == len(shown) == len(task.train_indices) // 100 * 100
    assert set(shown) <= set(task.train_indices.tolist())
    assert torch.equal(labels, digits.train_labels[shown])
    images, labels = joined(task.calibration_batches(3, 100))
    corner = pixels_of(task, images)[:, :, 0, 0].long()
    shown = (corner[:, 0] + 256 * corner[:, 1]).tolist()
    assert len(set(shown)) == 300
    assert set(shown) <= set(task.train_indices.tolist())
    assert torch.equal(labels, digits.train_labels[shown])


def test_test_images_reach_only_the_test_batches(digits: ImageData, task: ClassificationTask) -> None:
    poisoned = replace(
        digits,
        test_images=torch.zeros_like(digits.test_images),
        test_labels=torch.zeros_like(digits.test_labels),
    )
    other = classification(poisoned, validation_share=0.15, seed=3)
    assert (other.mean, other.std) == (task.mean, task.std)
    for make in (
        lambda t: t.train_batches(64, seed=0, epoch=0),
        lambda t: t.calibration_batches(4, 64),
        lambda t: t.validation_batches(64),
    ):
        assert equal(list(make(task)), list(make(other)))
    assert not equal(list(task.test_batches(64)), list(other.test_batches(64)))


def test_only_training_batches_are_augmented(digits: ImageData, task: ClassificationTask) -> None:
    still = classification(digits, validation_share=0.15, seed=3, augment=False)
    strong = classification(digits, validation_share=0.15, seed=3, augment=Augmentation(shift=2, flip=True, cutout=3))
    for make in (
        lambda t: t.calibration_batches(4, 64),
        lambda t: t.validation_batches(64),
        lambda t: t.test_batches(64),
    ):
        assert equal(list(make(still)), list(make(strong)))
    plain, varied, cut = (list(t.train_batches(64, seed=0, epoch=0)) for t in (still, task, strong))
    assert not equal(plain, varied)
    assert not equal(varied, cut)
    assert [y.tolist() for _, y in plain] == [y.tolist() for _, y in varied]
    assert still.augmentation is None
    assert task.augmentation == Augmentation(shift=1, flip=False, border="zero")
    assert classification(digits, augment=True).augmentation == task.augmentation


def test_augmentation_varies_over_epochs_and_steps(digits: ImageData) -> None:
    same = replace(digits, train_images=digits.train_images[:1].expand(1438, -1, -1, -1))
    task = classification(same, augment=Augmentation(shift=2, flip=True))
    shown = [images for epoch in (0, 1) for images, _ in task.train_batches(640, seed=0, epoch=epoch)]
    assert len(shown) == 4
    for i, images in enumerate(shown):
        assert not any(torch.equal(images, other) for other in shown[:i])


def test_calibration_batches_are_fixed(task: ClassificationTask) -> None:
    first = list(task.calibration_batches(4, 128))
    assert [len(labels) for _, labels in first] == [128] * 4
    assert equal(first, list(task.calibration_batches(4, 128)))
    assert [len(y) for _, y in task.calibration_batches(100, 500)] == [500, 500]
    assert [len(y) for _, y in task.calibration_batches(2, 5000)] == [len(task.train_indices)]


def test_limit_keeps_a_stratified_part(digits: ImageData) -> None:
    task = classification(digits, validation_share=0.2, limit=200)
    assert len(task.train_indices) == 160
    assert len(task.validation_indices) == 40
    assert digits.train_labels[task.validation_indices].bincount().tolist() == [4] * 10
    assert len(classification(digits, limit=10**6).train_indices) == 1438 - 144
    with pytest.raises(NasError, match=r"limit of 15 images is too small for 10 classes: at least 20"):
        classification(digits, limit=15)
    with pytest.raises(NasError, match=r"share of 1.5"):
        classification(digits, validation_share=1.5)
    with pytest.raises(NasError, match=r"a batch of 0 images"):
        task.steps_per_epoch(0)


def test_fewer_images_than_a_batch(digits: ImageData) -> None:
    task = classification(digits, limit=100)
    assert [len(y) for _, y in task.train_batches(512, seed=0, epoch=0)] == [90]


def test_fingerprint_tells_what_changed(digits: ImageData, task: ClassificationTask) -> None:
    same = classification(digits, validation_share=0.15, seed=3)
    others = [
        classification(digits, validation_share=0.2, seed=3),
        classification(digits, validation_share=0.15, seed=4),
        classification(digits, validation_share=0.15, seed=3, augment=False),
        classification(digits, validation_share=0.15, seed=3, limit=500),
        classification(replace(digits, fingerprint="x"), validation_share=0.15, seed=3),
    ]
    assert same.fingerprint == task.fingerprint
    assert len({task.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_loss_and_metric(task: ClassificationTask) -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]], requires_grad=True)
    target = torch.tensor([0, 1, 1])
    probabilities = logits.detach().double().softmax(1)
    smoothed = torch.full((3, 3), 0.1 / 3, dtype=torch.float64)
    smoothed[torch.arange(3), target] += 0.9
    oracle = -(smoothed * probabilities.log()).sum(1).mean()
    loss = task.loss(logits, target, label_smoothing=0.1)
    assert loss.item() == pytest.approx(float(oracle), rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert task.metric(logits, target) == 1
    spoilt = logits.detach().clone()
    spoilt[0, 0], spoilt[1, 2] = math.nan, math.inf
    assert task.metric(spoilt, target) == 3


def test_baseline_error(digits: ImageData, task: ClassificationTask) -> None:
    counts = np.bincount(digits.train_labels[task.train_indices].numpy())
    validation = digits.train_labels[task.validation_indices].numpy()
    assert task.baseline_error == pytest.approx(float(np.mean(validation != counts.argmax())))
    assert 0.85 < task.baseline_error < 0.93


def test_a_small_model_learns(task: ClassificationTask) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for epoch in range(15):
        for images, labels in task.train_batches(64, seed=0, epoch=epoch):
            optimiser.zero_grad()
            task.loss(model(images), labels).backward()
            optimiser.step()
    images, labels = joined(task.validation_batches(256))
    assert task.metric(model(images), labels) / len(labels) < 0.12


def test_moved_tasks_yield_the_same_batches(task: ClassificationTask) -> None:
    moved = task.to("cpu")
    assert equal(list(moved.train_batches(64, seed=0, epoch=0)), list(task.train_batches(64, seed=0, epoch=0)))
    if torch.cuda.is_available():
        there = task.to("cuda")
        for (a, b), (c, d) in zip(
            task.train_batches(64, seed=0, epoch=0), there.train_batches(64, seed=0, epoch=0), strict=True
        ):
            torch.testing.assert_close(a, c.cpu())
            assert torch.equal(b, d.cpu())


def test_real_colour_images(
    cifar_members: dict[str, bytes], packed: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    task = classification(load_data(str(packed(tmp_path / "a.tar", cifar_members))), validation_share=0.2)
    assert task.augmentation == Augmentation(shift=4, flip=True)
    (images, labels), *rest = task.train_batches(8, seed=0, epoch=0)
    assert images.shape == (8, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.unique().tolist() == [0, 1]
    assert not rest
    assert resize(images, 24).shape == (8, 3, 24, 24)


@pytest.mark.parametrize(("errors", "n"), [(0, 50), (1, 360), (27, 360), (180, 360), (50, 50)])
def test_interval_agrees_with_scipy(errors: int, n: int) -> None:
    oracle = binomtest(errors, n).proportion_ci(0.95, method="exact")
    assert binomial_interval(errors, n) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    wide, narrow = (binomial_interval(errors, n, confidence=c) for c in (0.99, 0.8))
    assert wide[0] <= narrow[0] <= errors / n <= narrow[1] <= wide[1]


def test_interval_covers_what_it_says() -> None:
    share, n = 0.1, 80
    inside = sum(
        math.comb(n, k) * share**k * (1 - share) ** (n - k)
        for k in range(n + 1)
        if binomial_interval(k, n)[0] <= share <= binomial_interval(k, n)[1]
    )
    assert 0.95 <= inside < 0.99


def test_interval_refuses_nonsense() -> None:
    for errors, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(NasError, match=r"no interval for"):
            binomial_interval(errors, n)
    with pytest.raises(NasError, match=r"confidence is 1"):
        binomial_interval(1, 5, confidence=1.0)


def test_tasks_are_found_by_name() -> None:
    assert task_builder("classification") is classification
    for name in TASKS:
        assert callable(task_builder(name))
    near = r"unknown task 'clasification': did you mean 'classification' or 'reidentification'\?"
    with pytest.raises(NasError, match=near):
        task_builder("clasification")
