"""Operators and diagrams of architectures as JSON: one alone, or many that share most of their rows."""

from collections.abc import Sequence
from typing import Any

from nas.report.data import ArchitectureDetail, DiagramBlock, OperatorRow
from nas.report.explored import Device
from nas.report.packing import packed, slim

WATERLINES = (10.0, 25.0, 50.0, 100.0)
BELOW = 50.0
Json = Any


def architecture_model(detail: ArchitectureDetail, device: Device | None = None) -> dict[str, Json]:
    """One architecture: `operators` (see `operator_columns`), `blocks`, `edges`, constants, and its `efficiency`."""
    return {
        "operators": [_operator(row) for row in detail.operators],
        "blocks": [_block(block) for block in detail.blocks],
        "edges": [list(edge) for edge in detail.edges],
        "constant_ms": slim(detail.constant_ms),
        "constant_mj": slim(detail.constant_mj),
        "efficiency": efficiency(detail, device),
    }


def pooled(details: Sequence[ArchitectureDetail], device: Device | None = None) -> dict[str, Json]:
    """Many architectures, each distinct operator, block and edge once.

    `of` maps ids to the same entries as `architecture_model`, their lists replaced by packed places in the pools.
    """
    pools: dict[str, dict[Any, int]] = {"operators": {}, "blocks": {}, "edges": {}}

    def places(kind: str, rows: Sequence[Any]) -> dict[str, str]:
        import numpy as np

        pool = pools[kind]
        return packed(np.array([pool.setdefault(row, len(pool)) for row in rows], np.int64), "u4")

    found = {
        detail.id: {
            "operators": places("operators", detail.operators),
            "blocks": places("blocks", detail.blocks),
            "edges": places("edges", detail.edges),
            "constant_ms": slim(detail.constant_ms),
            "constant_mj": slim(detail.constant_mj),
            "efficiency": efficiency(detail, device),
        }
        for detail in details
    }
    return {
        "operators": [_operator(row) for row in pools["operators"]],
        "blocks": [_block(block) for block in pools["blocks"]],
        "edges": [list(edge) for edge in pools["edges"]],
        "of": found,
    }


def efficiency(detail: ArchitectureDetail, device: Device | None = None) -> dict[str, Json] | None:
    """How much of the peak the architecture's multiplying operators can reach, by waterline (Lavin 2023).

    `at` holds [waterline, largest share of peak]; `below` the share of multiply-adds in operators under 50 per
    element; `device` the largest share on the device, `gap` how many times longer than at peak the latency is, and
    `ideal_ms` the time at peak. `None` where nothing multiplies.
    """
    from predictors.roofline import attainable_efficiency, efficiency_gap, submerged_share

    work = [(row.macs, row.moved_elements) for row in detail.operators if row.macs and row.moved_elements]
    if not work:
        return None
    macs, moved = [pair[0] for pair in work], [pair[1] for pair in work]
    waterline = device.waterline if device else None
    peak = device.peak_gmacs if device else None
    latency = total_ms(detail)
    return {
        "macs": sum(macs),
        "moved": sum(moved),
        "intensity": slim(sum(macs) / sum(moved)),
        "at": [[line, slim(attainable_efficiency(macs, moved, waterline=line))] for line in WATERLINES],
        "below": slim(submerged_share(macs, moved, waterline=BELOW)),
        "device": None if waterline is None else slim(attainable_efficiency(macs, moved, waterline=waterline)),
        "ideal_ms": None if peak is None else slim(sum(macs) / (peak * 1e6)),
        "gap": None if peak is None or latency is None else slim(efficiency_gap(latency, sum(macs), peak_gmacs=peak)),
    }


def total_ms(detail: ArchitectureDetail) -> float | None:
    """Predicted latency of the whole architecture; `None` where no operator's is known."""
    known = [row.latency_ms for row in detail.operators if row.latency_ms is not None]
    return sum(known) + (detail.constant_ms or 0.0) if known else None


def _operator(row: OperatorRow) -> list[Json]:
    """[name, what it does, output shape, MACs, parameters, live bytes, moved elements, ms, mJ]."""
    return [
        row.name,
        row.operator,
        list(row.shape),
        row.macs,
        row.params,
        row.live_bytes,
        row.moved_elements,
        slim(row.latency_ms),
        slim(row.energy_mj),
    ]


def _block(block: DiagramBlock) -> dict[str, Json]:
    return {
        "name": block.name,
        "stage": block.stage,
        "kind": block.kind,
        "words": list(block.words),
        "shape": list(block.shape),
        "rows": [block.first, block.last],
        "skip": block.skip,
    }
