"""Analytic energy: arithmetic plus data movement, and the group size that balances the two.

Derived here, not taken from a paper: the split into MACs and moved elements, E = e_c C + e_m (W + A), and the best
group size that follows from it are this project's own reconstruction of the trade-off behind constant group size
(E2GC). Energy is unitless unless a target gives picojoules. A grouped k x k convolution with as many output as
input channels and stride 1 on an f x f map has k^2 G M f^2 multiply-adds, k^2 G M weights and 2 M f^2 activations
for M channels in groups of G, so its intensity does not depend on M.
"""

from search_spaces.operators import divisors

MOVED_ELEMENT_COST_IN_MACS = 200.0


def energy_relative(macs: float, moved_elements: float) -> float:
    """Energy in units of one MAC, when moving one element costs as much as 200 MACs."""
    return macs + MOVED_ELEMENT_COST_IN_MACS * moved_elements


def grouped_intensity(group_size: float, *, size: int, kernel: int = 3) -> float:
    """Multiply-adds per moved element of a grouped convolution on a map of `size` x `size`.

    AI(G) = k^2 G f^2 / (k^2 G + 2 f^2): it grows with the group size G and saturates at f^2.
    """
    weights, positions = kernel**2 * group_size, size**2
    return weights * positions / (weights + 2 * positions)


def best_group_size(ridge: float, *, size: int, kernel: int = 3) -> float | None:
    """Smallest group size whose intensity reaches the hardware's `ridge` (multiply-adds per element).

    G* = 2 I f^2 / (k^2 (f^2 - I)), which tends to the constant 2 I / k^2 on large maps; larger groups pay
    arithmetic for reuse that the hardware no longer needs. `None` where no group size reaches the ridge (f^2 <= I).
    A target's ridge is `Target.roofline.waterline`.
    """
    positions = size**2
    if positions <= ridge:
        return None
    return 2 * ridge * positions / (kernel**2 * (positions - ridge))


def legal_group_size(best: float, channels: int) -> int:
    """Smallest divisor of `channels` that is at least `best`; all channels where none is."""
    return next((size for size in divisors(channels) if size >= best), channels)
