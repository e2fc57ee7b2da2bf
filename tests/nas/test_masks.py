"""Sparsity masks: exactly as many elements as are counted, the largest ones, ties in a fixed order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.masks import magnitude_mask, masked
from search_spaces.errors import ShapeError
from search_spaces.sparsity import kept_elements

SHAPES = st.sampled_from([(6, 8, 1, 1), (4, 3, 3, 3), (5, 7), (1, 4, 3), (12, 1, 5, 5)])
SPARSITIES = st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.99, "2:4", "1:4", "3:8", "1:2"])


@given(SHAPES, SPARSITIES, st.integers(0, 99), st.booleans())
def test_keeps_the_counted_number(shape: tuple[int, ...], sparsity: float | str, seed: int, coarse: bool) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if coarse:
        weight = weight.round()
    mask = magnitude_mask(weight, sparsity)
    assert mask.shape == weight.shape
    assert int(mask.sum()) == kept_elements(weight.numel(), sparsity)


@given(SHAPES, st.sampled_from([0.25, 0.5, 0.75]), st.integers(0, 99))
def test_ratio_is_a_stable_sort(shape: tuple[int, ...], ratio: float, seed: int) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(2).round()
    size = np.abs(weight.numpy()).ravel()
    expected = np.zeros(size.size, dtype=bool)
    expected[np.argsort(-size, kind="stable")[: kept_elements(size.size, ratio)]] = True
    assert np.array_equal(magnitude_mask(weight, ratio).numpy().ravel(), expected)


def test_pattern_runs_along_input_channels() -> None:
    weight = torch.randn(3, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    mask = magnitude_mask(weight, "2:4")
    groups = mask.view(3, 2, 4, 3, 3)
    assert bool((groups.sum(2) == 2).all())
    for output, group, row, column in np.ndindex(3, 2, 3, 3):
        kept = groups[output, group, :, row, column]
        values = weight.view(3, 2, 4, 3, 3)[output, group, :, row, column].abs()
        assert values[kept].min() >= values[~kept].max()


def test_memory_format_does_not_matter() -> None:
    weight = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)).round()
    other = weight.contiguous(memory_format=torch.channels_last)
    for sparsity in (0.5, "2:4"):
        assert torch.equal(magnitude_mask(weight, sparsity), magnitude_mask(other, sparsity))


def test_gradients_reach_kept_elements_alone() -> None:
    weight = torch.randn(6, 6, requires_grad=True)
    mask = magnitude_mask(weight, 0.5)
    masked(weight, 0.5).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, mask.float())
    assert masked(weight, 0.0) is weight


def test_unknown_pattern_is_refused() -> None:
    with pytest.raises(ShapeError, match="not an N:M pattern"):
        magnitude_mask(torch.ones(4, 4), "4:2")
