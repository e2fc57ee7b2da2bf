"""Sparsity of a weight tensor: a ratio of zeros (unstructured) or an N:M pattern such as "2:4"."""

import math

from search_spaces.errors import ShapeError

Sparsity = float | str


def pattern(sparsity: Sparsity) -> tuple[int, int] | None:
    """Return (N, M) of an N:M pattern, `None` for a ratio; raises `ShapeError` for anything else."""
    if isinstance(sparsity, str):
        kept, _, group = sparsity.partition(":")
        if kept.isdigit() and group.isdigit() and 0 < int(kept) <= int(group):
            return int(kept), int(group)
        raise ShapeError(f"sparsity {sparsity!r} is not an N:M pattern such as '2:4' with 0 < N <= M")
    if not 0 <= sparsity < 1:
        raise ShapeError(f"sparsity must lie in [0, 1) or be an N:M pattern, got {sparsity}")
    return None


def kept_elements(count: int, sparsity: Sparsity) -> int:
    """Non-zero elements of a tensor of `count` elements; ratios drop `floor(ratio * count)`."""
    groups = pattern(sparsity)
    if groups is None:
        return count - math.floor(float(sparsity) * count)
    kept, size = groups
    return count // size * kept + min(count % size, kept)


def stored_bytes(count: int, sparsity: Sparsity, value_bytes: int) -> int:
    """Bytes to store the tensor: values and index bits, or densely where that is smaller.

    A ratio stores one presence bit per element, an N:M pattern ceil(log2 M) bits per kept element.
    """
    kept = kept_elements(count, sparsity)
    groups = pattern(sparsity)
    index_bits = count if groups is None else kept * math.ceil(math.log2(groups[1]))
    return min(count * value_bytes, kept * value_bytes + math.ceil(index_bits / 8))
