"""What a target file tells of its device: its roofline, and its measured convolutions by their structure."""

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from nas.report.explored import Device, KernelGrid
from nas.report.words import taps_text

if TYPE_CHECKING:
    from predictors.target import Target


def device_of(target: "Target") -> Device:
    """The device in words, with peak and bandwidth as documented or as its fastest kernels reached them."""
    who = target.identity
    words = f"{who.device_name}, {who.software}, {who.threads} thread{'s' if who.threads > 1 else ''}, {who.precision}"
    roofline = target.roofline
    if roofline is None:
        return Device(words, source="no kernel was measured, and the target documents neither peak nor bandwidth")
    documented = target.peak_gmacs is not None and target.bandwidth_gbs is not None
    source = (
        "as the target documents them" if documented else "as the fastest twentieth of measured kernels reached them"
    )
    return Device(words, roofline.peak_gmacs, roofline.bandwidth_gbs, roofline.waterline, source)


def kernel_grids(target: "Target") -> tuple[KernelGrid, ...]:
    """Measured two-dimensional convolutions, one grid per dilation; none where kernels were not timed.

    Each cell is the median over all measured shapes of time per million multiply-adds, so that shapes compare.
    """
    times: dict[int, list[float]] = defaultdict(list)
    for network in target.networks:
        for number, ms in zip(network.kernels, network.kernel_ms, strict=False):
            times[number].append(ms)
    cells: dict[tuple[int, int, tuple[int, ...]], list[float]] = defaultdict(list)
    for number, several in times.items():
        kernel = target.kernels[number]
        if kernel.kind != "conv" or len(kernel.window) != 2 or len(set(kernel.dilation)) != 1 or not kernel.macs:
            continue
        group = 0 if kernel.groups == 1 else kernel.group_size
        us_per_mmac = 1e3 * float(np.median(several)) / (kernel.macs / 1e6)
        cells[kernel.dilation[0], group, kernel.window].append(us_per_mmac)
    groups = tuple(sorted({group for _, group, _ in cells}, key=lambda size: size or 1 << 30))
    windows = sorted({window for *_, window in cells})
    grids = []
    for dilation in sorted({dilation for dilation, *_ in cells}):
        median = np.full((len(groups), len(windows)), np.nan)
        counts = np.zeros((len(groups), len(windows)), np.int64)
        for g, group in enumerate(groups):
            for w, window in enumerate(windows):
                found = cells.get((dilation, group, window), [])
                if found:
                    median[g, w], counts[g, w] = float(np.median(found)), len(found)
        grids.append(KernelGrid(dilation, groups, tuple(map(taps_text, windows)), median, counts))
    return tuple(grids)
