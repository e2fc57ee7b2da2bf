"""How much hypervolume candidates would add to a front, for many candidates at once; all objectives minimised."""

import numpy as np

from nas.search.domain import Floats, Mask

CELLS = 2_000_000


def non_dominated(points: Floats) -> Mask:
    """[n] which points [n, n_objectives] no other point dominates; of equal ones the first."""
    import moocore

    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points), dtype=bool)


def hypervolume(points: Floats, reference: Floats) -> float:
    """Volume dominated by `points` [n, n_objectives] up to `reference` [n_objectives]; 0 without points."""
    import moocore

    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(max(0.0, reference[0] - points.min()))
    return float(moocore.hypervolume(points, ref=reference))


def improvement(front: Floats, candidates: Floats, reference: Floats) -> Floats:
    """[n] hypervolume that each of `candidates` [n, d] alone adds to `front` [m, d] below `reference` [d].

    Exact: the region is cut into slabs along the last objective, in each of which it is a problem of one
    objective fewer, down to the staircase of two. Cost grows as n * m^(d-1).
    """
    inside = front[(front < reference).all(1)] if len(front) else front
    kept = inside[non_dominated(inside)] if len(inside) else inside.reshape(0, len(reference))
    step = max(1, CELLS // (len(kept) + 1))
    parts = [_improvement(kept, candidates[i : i + step], reference) for i in range(0, len(candidates), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _improvement(front: Floats, candidates: Floats, reference: Floats) -> Floats:
    if len(reference) == 1:
        best = min(float(reference[0]), float(front.min())) if len(front) else float(reference[0])
        return np.maximum(best - candidates[:, 0], 0.0)
    if len(reference) == 2:
        return _staircase(front, candidates, reference)
    total = np.zeros(len(candidates))
    levels = np.unique(front[:, -1]) if len(front) else np.empty(0)
    floors = np.concatenate([[-np.inf], levels])
    ceilings = np.concatenate([levels, reference[-1:]])
    for floor, ceiling in zip(floors, ceilings, strict=True):
        height = np.maximum(ceiling - np.maximum(candidates[:, -1], floor), 0.0)
        touched = height > 0
        if touched.any():
            below = front[front[:, -1] <= floor][:, :-1]
            below = below[non_dominated(below)]
            area = _improvement(below, candidates[touched, :-1], reference[:-1])
            total[touched] += height[touched] * area
    return total


def _staircase(front: Floats, candidates: Floats, reference: Floats) -> Floats:
    ordered = front[np.lexsort((front[:, 1], front[:, 0]))]
    left = np.concatenate([[-np.inf], ordered[:, 0]])
    right = np.concatenate([ordered[:, 0], reference[:1]])
    top = np.concatenate([reference[1:], ordered[:, 1]])
    width = np.maximum(right - np.maximum(left, candidates[:, :1]), 0.0)
    height = np.maximum(top - candidates[:, 1:2], 0.0)
    return np.asarray((width * height).sum(1))
