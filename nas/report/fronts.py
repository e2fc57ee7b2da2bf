"""Fronts in two dimensions: the lower staircase of a cloud of points and its knee; smaller is better."""

from collections.abc import Sequence

Column = Sequence[float | None]


def staircase(xs: Column, ys: Column) -> list[int]:
    """Indices of the points that no other point beats in both columns, by rising x; unknown ones left out.

    Of equal points the first is kept.
    """
    known = [i for i in range(len(xs)) if xs[i] is not None and ys[i] is not None]
    known.sort(key=lambda i: (xs[i], ys[i], i))
    kept: list[int] = []
    best = float("inf")
    for i in known:
        y = ys[i]
        if y is not None and y < best:
            best = y
            kept.append(i)
    return kept


def knee(indices: Sequence[int], xs: Column, ys: Column) -> int | None:
    """The point of a staircase farthest below the straight line between its ends, both axes scaled to one.

    `None` with fewer than three points or when none lies below the line.
    """
    points = [(i, xs[i], ys[i]) for i in indices]
    known = [(i, x, y) for i, x, y in points if x is not None and y is not None]
    if len(known) < 3:
        return None
    (_, x_low, y_high), (_, x_high, y_low) = known[0], known[-1]
    wide, tall = x_high - x_low, y_high - y_low
    if wide <= 0 or tall <= 0:
        return None
    depth = [(1 - (x - x_low) / wide - (y - y_low) / tall, i) for i, x, y in known]
    best, index = max(depth, key=lambda pair: pair[0])
    return index if best > 1e-9 else None
