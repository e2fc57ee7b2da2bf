"""Fixed-seed stratified splits, the same in every version of every library."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import NasError


def derived_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on all `parts` and on nothing else."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def split_indices(labels: Tensor, *, share: float, seed: int, class_names: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Split positions into (rest, part), `part` holding round(share × n) of them.

    labels: integers [n]. Every class has at least one image on either side, and gives its share of `part` to within
    one image (more where other classes are too small for theirs). Both results are sorted int64. The draw orders the
    positions by a hash of (seed, position). Raises `NasError` for a share outside ]0, 1[ and for a class with
    one image, called by its name where `class_names` are given.
    """
    if not 0 < share < 1:
        raise NasError(f"a share of {share} cannot be split off: it must lie between 0 and 1")
    for number, size in enumerate(torch.bincount(labels).tolist()):
        if size == 1:
            name = class_names[number] if class_names else str(number)
            raise NasError(f"class {name!r} has 1 image: it needs at least 2 to be split")
    return _divide(labels, round(share * len(labels)), seed=seed)


def subset_indices(labels: Tensor, *, count: int, seed: int) -> Tensor:
    """Return `count` stratified positions out of labels [n], sorted; all when `count` >= n.

    Every class keeps at least two images (one that has them), so that the subset can be split
    again. Raises `NasError` when `count` is too small for that.
    """
    if count >= len(labels):
        return torch.arange(len(labels))
    classes = len(set(labels.tolist()))
    if count < 2 * classes:
        raise NasError(
            f"a limit of {count} images is too small for {classes} classes: "
            f"at least {2 * classes} are needed, 2 a class"
        )
    return _divide(labels, count, seed=seed, least=2)[1]


def _divide(labels: Tensor, count: int, *, seed: int, least: int = 1) -> tuple[Tensor, Tensor]:
    values = labels.cpu().numpy()
    order = np.array([derived_seed(seed, position) for position in range(len(values))])
    names, sizes = np.unique(values, return_counts=True)
    chosen = np.zeros(len(values), dtype=bool)
    for name, amount in zip(names, _allocate(sizes, count, least), strict=True):
        members = np.flatnonzero(values == name)
        chosen[members[np.argsort(order[members], kind="stable")[:amount]]] = True
    return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))


def _allocate(sizes: np.ndarray, total: int, least: int) -> list[int]:
    """Divide `total` in proportion to `sizes` by largest remainder, within what a class can give.

    A class gives at least `least`, and with `least` 1 keeps one for the other side.
    """
    least_of = np.minimum(least, sizes)
    most_of = sizes - 1 if least == 1 else sizes
    exact = sizes * total / sizes.sum()
    amounts = np.clip(np.floor(exact).astype(int), least_of, most_of)
    for sign in (1, -1):
        while sign * (total - amounts.sum()) > 0:
            room = (most_of - amounts if sign > 0 else amounts - least_of) > 0
            if not room.any():
                break
            want = np.where(room, sign * (exact - amounts), -np.inf)
            amounts[int(want.argmax())] += sign
    return [int(amount) for amount in amounts]
