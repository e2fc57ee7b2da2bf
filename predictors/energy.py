"""Analytic energy: arithmetic plus data movement.

The split into MACs and moved elements, E = e_c C + e_m (W + A), is this project's own reconstruction of the
trade-off behind constant group size (E2GC); it is unitless unless a target gives picojoules.
"""

MOVED_ELEMENT_COST_IN_MACS = 200.0


def energy_relative(macs: float, moved_elements: float) -> float:
    """Energy in units of one MAC, when moving one element costs as much as 200 MACs."""
    return macs + MOVED_ELEMENT_COST_IN_MACS * moved_elements
