import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.tasks.split import derived_seed, split_indices, subset_indices
from search_spaces.errors import NasError

LABELS = torch.from_numpy(np.random.default_rng(0).choice(3, 1000, p=(0.6, 0.3, 0.1)))


def test_split_is_a_partition_of_the_right_size() -> None:
    rest, part = split_indices(LABELS, share=0.2, seed=0)
    assert sorted([*rest.tolist(), *part.tolist()]) == list(range(1000))
    assert len(part) == 200
    assert part.tolist() == sorted(part.tolist())


@settings(max_examples=50)
@given(
    st.lists(st.integers(2, 40), min_size=2, max_size=6),
    st.floats(0.05, 0.9),
    st.integers(0, 2**40),
)
def test_split_is_stratified(sizes: list[int], share: float, seed: int) -> None:
    labels = torch.repeat_interleave(torch.tensor(sizes))
    rest, part = split_indices(labels, share=share, seed=seed)
    assert len(rest) + len(part) == len(labels)
    for counts in (labels[rest].bincount(minlength=len(sizes)), labels[part].bincount(minlength=len(sizes))):
        assert (counts >= 1).all()
    taken = labels[part].bincount(minlength=len(sizes))
    clamped = sum(size * share < 1 or size * (1 - share) < 1 for size in sizes)
    for size, amount in zip(sizes, taken.tolist(), strict=True):
        assert abs(amount - size * share) < 2 + clamped or amount in (1, size - 1)


def test_split_depends_on_the_seed_and_only_on_it() -> None:
    first, again, other = (split_indices(LABELS, share=0.5, seed=s)[1] for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_split_never_changes_between_versions() -> None:
    _, part = split_indices(torch.tensor([0, 1] * 10), share=0.3, seed=0)
    assert part.tolist() == [4, 6, 7, 8, 11, 15]
    assert derived_seed("order", 0, 1) == 1218296692904441363


def test_a_share_must_lie_inside_0_and_1() -> None:
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(NasError, match=r"must lie between 0 and 1"):
            split_indices(LABELS, share=share, seed=0)


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(NasError, match=r"class 'cat' has 1 image: it needs at least 2"):
        split_indices(torch.tensor([0, 0, 1]), share=0.5, seed=0, class_names=("dog", "cat"))


def test_subset_is_stratified_exact_and_repeatable() -> None:
    part = subset_indices(LABELS, count=100, seed=1)
    assert len(part) == len(set(part.tolist())) == 100
    counts, taken = LABELS.bincount(), LABELS[part].bincount()
    assert ((taken - counts / 10).abs() <= 1).all()
    assert torch.equal(part, subset_indices(LABELS, count=100, seed=1))
    assert torch.equal(subset_indices(LABELS, count=5000, seed=1), torch.arange(1000))


def test_subset_keeps_two_of_each_class() -> None:
    labels = torch.tensor([0] * 100 + [1, 1])
    assert labels[subset_indices(labels, count=10, seed=0)].bincount().tolist() == [8, 2]
    with pytest.raises(NasError, match=r"limit of 3 images is too small for 2 classes: at least 4"):
        subset_indices(labels, count=3, seed=0)
