"""The integer programme over tables against every row of small spaces."""

from functools import cache

import numpy as np
import pytest

from nas.search.exact.additive import best_row, named_limits
from predictors.tables import CostTables
from search_spaces.compile_lookup import Rows, Table
from search_spaces.errors import NasError
from tests.example_spaces import compiled

NAMES = ("dependent", "required", "joined")


@cache
def world(name: str) -> tuple[CostTables, Rows]:
    """Tables of a small space and all its canonical rows."""
    costs = CostTables(compiled(name), check=0)
    rows = [costs.compiled.encode(architecture) for architecture in costs.compiled.space.enumerate()]
    return costs, np.array(rows)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("largest", [False, True])
def test_the_optimum_is_that_of_all_rows(name: str, largest: bool) -> None:
    costs, rows = world(name)
    figures = costs.score(rows, ("macs", "params", "activations"))
    for share in (0.02, 0.3, 1.0):
        most = {figure: float(np.quantile(figures[figure], share)) for figure in ("params", "activations")}
        kept = np.all([figures[figure] <= value for figure, value in most.items()], axis=0)
        if not kept.any():
            continue
        values = figures["macs"][kept]
        found = best_row(costs.compiled, costs.terms("macs"), limits=named_limits(costs.terms, most), largest=largest)
        assert found.value == (values.max() if largest else values.min())
        assert found.bound == pytest.approx(found.value, rel=1e-6)
        assert found.gap <= 1e-6
        assert (rows == found.row).all(1).any()
        assert costs.score(found.row[None], ("macs",))["macs"][0] == found.value


@pytest.mark.parametrize("name", NAMES)
def test_any_surrogate_over_the_slots_can_be_the_objective(name: str, rng: np.random.Generator) -> None:
    costs, rows = world(name)
    sizes = [len(slot.options) for slot in costs.compiled.slots]
    surrogate = [Table((v,), rng.normal(size=size)) for v, size in enumerate(sizes)]
    surrogate += [Table((v, v + 1), rng.normal(size=(sizes[v], sizes[v + 1]))) for v in range(len(sizes) - 1)]
    values = sum(table.values[tuple(rows[:, v] for v in table.variables)] for table in surrogate)
    macs = costs.score(rows, ("macs",))["macs"]
    most = float(np.quantile(macs, 0.25))
    found = best_row(costs.compiled, surrogate, limits=named_limits(costs.terms, {"macs": most}))
    assert found.value == pytest.approx(values[macs <= most].min(), rel=1e-9)


def test_limits_that_cannot_be_met_name_the_nearest_of_all() -> None:
    costs, rows = world("dependent")
    figures = costs.score(rows, ("macs", "params"))
    least = float(figures["macs"].min())
    with pytest.raises(NasError, match=r"no architecture keeps the limits; the closest of all has macs") as refusal:
        best_row(costs.compiled, costs.terms("params"), limits=named_limits(costs.terms, {"macs": least / 2}))
    assert f"macs {least:,.6g} (limit {least / 2:,.6g})" in str(refusal.value)
    assert "Raise macs" in str(refusal.value)


def test_peak_memory_does_not_add_up() -> None:
    costs, _ = world("dependent")
    with pytest.raises(NasError, match="unknown figure that adds up over operators 'peak_memory_bytes'"):
        costs.terms("peak_memory_bytes")
