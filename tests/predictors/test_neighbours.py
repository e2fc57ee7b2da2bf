"""Neighbours along axes against a search over all pairs."""

import itertools

import numpy as np

from predictors.kernel_features import KernelTable, kernel_table
from predictors.kernels import Kernel
from predictors.neighbours import AXES, KEPT, NOWHERE, Axis, neighbours, steps
from tests.predictors.synthetic import convolution


def identities(table: KernelTable) -> list[dict[str, float]]:
    rows = []
    for i in range(len(table["in"])):
        row = {name: float(table[name][i]) for name in KEPT if name not in ("ratio", "structure")}
        row["ratio"] = round(row["out"] / row["in"], 9)
        row["structure"] = 0.0 if row["groups"] == 1 else row["group_in"]
        rows.append(row)
    return rows


def searched(rows: list[dict[str, float]], i: int, axis: Axis, side: int, allowed: list[int]) -> set[int]:
    """All rows that may be named: the closest on this side."""
    own, free = rows[i], {*axis.free, axis.along}
    line = [j for j in allowed if all(value == own[name] for name, value in rows[j].items() if name not in free)]
    ahead = [j for j in line if (rows[j][axis.along] - own[axis.along]) * (2 * side - 1) > 0]
    closest = min((abs(rows[j][axis.along] - own[axis.along]) for j in ahead), default=None)
    return {j for j in ahead if abs(rows[j][axis.along] - own[axis.along]) == closest} or {NOWHERE}


def grid() -> tuple[list[Kernel], list[int]]:
    some = itertools.product((8, 16, 24), (8, 16), (6, 8, 12), (1, 3), (1, 2), (1, 8, 0))
    kernels = [
        convolution(inputs, outputs, size, window, stride, group_size=group or inputs)
        for inputs, outputs, size, window, stride, group in some
        if inputs % (group or inputs) == 0 and outputs % (inputs // (group or inputs)) == 0
    ]
    return kernels, [(1, 4, 16)[i % 3] for i in range(len(kernels))]


def test_every_neighbour_is_the_closest_measured_one(rng: np.random.Generator) -> None:
    kernels, batch = grid()
    chosen = sorted(rng.permutation(len(kernels))[:120])
    both = [kernels[i] for i in chosen] * 2
    table = kernel_table(both, batch=[batch[i] for i in chosen] + [4] * len(chosen))
    keep = np.unique(np.column_stack([table[name] for name in table.columns]), axis=0, return_index=True)[1]
    table = table.take(np.sort(keep))
    count = len(table["in"])
    measured = rng.random(count) < 0.7
    found = neighbours(table, measured)
    allowed = [j for j in range(count) if measured[j]]
    rows = identities(table)
    for i, (number, axis), side in itertools.product(range(count), enumerate(AXES), range(2)):
        assert found[i, number, side] in searched(rows, i, axis, side, allowed)
    assert (found >= 0).any(axis=(0, 2)).sum() >= 6


def test_a_kernel_measured_twice_is_its_own_neighbour_only_through_the_other_row() -> None:
    kernel = convolution(8, 16, 6, 3, 1)
    table = kernel_table([kernel, kernel, convolution(8, 16, 12, 3, 1)])
    found = neighbours(table, np.array([True, True, True]))
    assert not any(i in found[i] for i in range(3))
    assert set(found[0, 0]) | set(found[1, 0]) == {0, 1, NOWHERE}


def test_steps_are_doublings() -> None:
    table = kernel_table([convolution(8, 16, size, 3, 1) for size in (4, 8, 32)])
    places = neighbours(table, np.ones(3, dtype=np.bool_))
    away = steps(table, places)
    axis = [axis.along for axis in AXES].index("in_size")
    assert away[1, axis].tolist() == [-2.0, 4.0]
    assert np.isnan(away[0, axis, 0])
    assert (np.isnan(away) == (places == NOWHERE)).all()
