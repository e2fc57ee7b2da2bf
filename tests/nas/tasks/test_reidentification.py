"""The task of finding people again."""

from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

from nas.tasks.identities import synthetic_people
from nas.tasks.protocol import Batch
from nas.tasks.reidentification import TAKEN, ReidentificationTask, reidentification
from nas.tasks.retrieval import hardest_triplets
from search_spaces.errors import NasError

PEOPLE = synthetic_people(trained=10, tested=4)


@pytest.fixture(scope="module")
def task() -> ReidentificationTask:
    return reidentification(PEOPLE, seed=3)


def test_identities_are_divided_not_pictures(task: ReidentificationTask) -> None:
    held_out = set(PEOPLE.train.who[task.validation_indices, 0].tolist())
    assert len(held_out) == 2
    assert held_out.isdisjoint(task.identities.tolist())
    assert task.classes == 8
    assert len(task.train_indices) + len(task.validation_indices) == len(PEOPLE.train.who)


def test_batches_hold_four_pictures_of_each_identity(task: ReidentificationTask) -> None:
    for images, target in task.train_batches(16, seed=0, epoch=0):
        assert images.shape == (16, 3, 32, 16)
        identities, counts = target[:, 0].unique(return_counts=True)
        assert counts.tolist() == [TAKEN] * 4
        assert int(identities.max()) < task.classes


def test_a_step_depends_on_its_number_alone(task: ReidentificationTask) -> None:
    whole = list(task.train_batches(16, seed=5, epoch=2))
    rest = list(task.train_batches(16, seed=5, epoch=2, start=3))
    assert len(whole) == task.steps_per_epoch(16)
    assert all(
        torch.equal(a, b) for one, other in zip(whole[3:], rest, strict=True) for a, b in zip(one, other, strict=True)
    )
    other = next(iter(task.train_batches(16, seed=5, epoch=3)))
    assert not torch.equal(other[0], whole[0][0])


@pytest.mark.parametrize("size", [24, 60, 1000])
def test_evaluation_keeps_identities_together(task: ReidentificationTask, size: int) -> None:
    def whole(batches: Iterator[Batch]) -> list[set[int]]:
        return [set(target[:, 0].tolist()) for _, target in batches]

    groups = whole(task.test_batches(size))
    assert sum(map(len, groups)) == len(set.union(*groups)) == 4
    assert sum(len(target) for _, target in task.test_batches(size)) == len(PEOPLE.test_labels)
    assert sum(len(target) for _, target in task.validation_batches(size)) == len(task.validation_indices)


def test_losses_add_up(task: ReidentificationTask) -> None:
    generator = torch.Generator().manual_seed(0)
    embedding, logits = torch.randn(8, 6, generator=generator), torch.randn(8, 8, generator=generator)
    target = torch.stack([torch.arange(8) // 4, torch.arange(8) % 4], 1)
    found = task.joint_loss({"embedding": embedding, "identity": logits}, target, label_smoothing=0.1)
    wanted = functional.cross_entropy(logits, target[:, 0], label_smoothing=0.1)
    torch.testing.assert_close(found, wanted + hardest_triplets(embedding, target[:, 0]))
    twice = reidentification(PEOPLE, seed=3, triplet_weight=2.0)
    both = {"embedding": embedding, "identity": logits}
    assert float(twice.joint_loss(both, target)) > float(task.joint_loss(both, target))


def test_plain_pixels_find_people_better_than_guessing(task: ReidentificationTask) -> None:
    def embed(images: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(images, (8, 4)).flatten(1)

    steady = reidentification(synthetic_people(trained=10, tested=4, shift=False), seed=3).retrieval(embed)
    shifted = task.retrieval(embed)
    assert steady.queries == 16
    assert 0.25 < shifted.rank1 <= steady.rank1
    assert shifted.mean_ap < steady.mean_ap
    ((images, target),) = task.validation_batches(1000)
    assert task.metric(embed(images), target) / len(target) < task.baseline_error


def test_settings_that_leave_too_few_identities_are_refused(task: ReidentificationTask) -> None:
    with pytest.raises(NasError, match=r"task.validation_share is 0.05: of 10 identities it holds out 0"):
        reidentification(PEOPLE, validation_share=0.05)
    with pytest.raises(NasError, match="a batch of 4 pictures: at least 8 are needed"):
        task.steps_per_epoch(4)
