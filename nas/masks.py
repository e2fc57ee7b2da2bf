"""Which elements of a weight tensor a sparsity keeps: one rule for training, evaluation and export."""

from math import floor

import torch
from torch import Tensor

from search_spaces.sparsity import Sparsity, pattern


def magnitude_mask(weight: Tensor, sparsity: Sparsity) -> Tensor:
    """Return a boolean mask of `weight`'s shape that keeps its largest magnitudes.

    weight: [out, in, *taps]. A ratio keeps exactly `kept_elements(weight.numel(), sparsity)`
    elements of the whole tensor; among equal magnitudes the earlier element is kept. A pattern N:M
    keeps N of every M elements, counted along the input channels of one output and tap; where M
    does not divide the input channels, a group runs on into the next tap or output, so that the
    number kept is still `kept_elements`. Raises `ShapeError` for an unknown sparsity.
    """
    groups = pattern(sparsity)
    magnitude = weight.detach().abs()
    if groups is None:
        return _ratio_mask(magnitude, floor(float(sparsity) * weight.numel()))
    return _pattern_mask(magnitude, *groups)


def masked(weight: Tensor, sparsity: Sparsity) -> Tensor:
    """Return `weight` with zeros where `sparsity` drops elements; itself at sparsity 0."""
    return weight * magnitude_mask(weight, sparsity) if sparsity else weight


def _ratio_mask(magnitude: Tensor, dropped: int) -> Tensor:
    if not dropped:
        return torch.ones_like(magnitude, dtype=torch.bool)
    flat = magnitude.flatten()
    threshold = flat.kthvalue(dropped).values
    mask = flat > threshold
    missing = len(flat) - dropped - int(mask.sum())
    if missing:
        mask[(flat == threshold).nonzero()[:missing, 0]] = True
    return mask.view(magnitude.shape)


def _pattern_mask(magnitude: Tensor, kept: int, size: int) -> Tensor:
    inner = magnitude.movedim(1, -1)
    flat = inner.flatten()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % size), value=-1.0).view(-1, size)
    order = padded.argsort(dim=1, descending=True, stable=True)
    mask = torch.zeros_like(padded, dtype=torch.bool).scatter_(1, order[:, :kept], True)
    return mask.flatten()[: len(flat)].view(inner.shape).movedim(-1, 1)
