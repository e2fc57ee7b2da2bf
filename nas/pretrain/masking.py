"""Which parts of images are hidden, at every resolution of a network."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.errors import NasError


def kept_cells(cells: int, ratio: float) -> int:
    """How many of so many cells stay visible when a share `ratio` is hidden: 20 of 49 at 0.6.

    Raises `NasError` when all or none would stay.
    """
    kept = round(cells * (1 - ratio))
    if not 0 < kept < cells:
        raise NasError(
            f"a mask ratio of {ratio} leaves {kept} of {cells} cells visible: at least one must be visible and one "
            "hidden; choose another ratio, or larger images"
        )
    return kept


def random_masks(count: int, grid: tuple[int, ...], *, ratio: float, generator: torch.Generator) -> Tensor:
    """Masks bool [count, 1, *grid], True where visible: in each equally many random cells."""
    cells = math.prod(grid)
    kept = kept_cells(cells, ratio)
    masks = torch.zeros(count, cells, dtype=torch.bool)
    for mask in masks:
        mask[torch.randperm(cells, generator=generator)[:kept]] = True
    return masks.view(count, 1, *grid)


def mask_at(mask: Tensor, size: tuple[int, ...]) -> Tensor:
    """Masks [n, 1, *grid] at the spatial `size`: each position as the nearest cell."""
    if tuple(mask.shape[2:]) == size:
        return mask
    return functional.interpolate(mask.float(), size=size, mode="nearest").bool()
