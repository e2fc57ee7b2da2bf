"""How far the borders of two masks lie apart."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def hd95(answer: Mask, truth: Mask) -> float | None:
    """95th percentile of the distances, in pixels, between the borders of two masks [*spatial], both ways together.

    The robust Hausdorff distance as medical papers report it (Huttenlocher et al. 1993). `None` where a mask is empty.
    """
    from scipy.ndimage import distance_transform_edt

    if not answer.any() or not truth.any():
        return None
    first, second = _border(answer), _border(truth)
    to_second, to_first = (distance_transform_edt(~border) for border in (second, first))
    return float(np.percentile(np.concatenate([to_second[first], to_first[second]]), 95))


def _border(mask: Mask) -> Mask:
    """Positions of `mask` with a direct neighbour outside of it; the image's edge is outside."""
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask))
