"""The space scored for the page: against the plain path, brute force, and its own tables."""

import numpy as np
import pytest

from nas.report import ReportData
from nas.report.architecture import describe_architecture
from nas.report.details import WATERLINES, architecture_model, efficiency, pooled
from nas.report.explored import Device, PageTables
from nas.report.guess import fit_guess, guessed_values
from nas.report.model import page_model
from nas.report.packing import unpacked
from nas.report.space import page_tables
from predictors.counts import count_network
from predictors.roofline import Roofline
from predictors.tables import CostTables, compile_for_costs
from search_spaces.catalog import CATALOG, mobilenet_v1, mobilenet_v2
from search_spaces.compile_lookup import Rows, Table
from tests.nas.report.worlds import small_space

FIGURES = ("latency_ms", "weight_bytes", "peak_memory_bytes")


@pytest.fixture(scope="module")
def tables() -> CostTables:
    return CostTables(compile_for_costs(small_space()), latency=Roofline(20.0, 15.0), check=2)


def looked_up(found: PageTables, row: Rows) -> dict[str, float]:
    variables = [int(option) for option in row]

    def entry(table: Table) -> float:
        return float(table.values[tuple(variables[v] for v in table.variables)])

    for column in found.columns:
        variables += [int(entry(column))]
    sums = {name: sum(map(entry, several)) for name, several in found.sums.items()}
    return {**sums, **{name: max(map(entry, several)) for name, several in found.maxima.items()}}


def test_the_page_scores_as_the_tables_do(tables: CostTables) -> None:
    found = page_tables(tables, FIGURES, ())
    assert found is not None
    rows = tables.compiled.sample(np.random.default_rng(5), 20)
    scored = tables.score(rows, FIGURES)
    for i, row in enumerate(rows):
        assert looked_up(found, row) == pytest.approx({name: scored[name][i] for name in FIGURES})


def test_tables_that_are_too_large_lose_figures(tables: CostTables, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = page_tables(tables, FIGURES, ())
    assert whole is not None
    monkeypatch.setattr("nas.report.space.MOST_ENTRIES", whole.entries - 1)
    less = page_tables(tables, FIGURES, ())
    assert less is not None
    assert [*less.sums, *less.maxima] == list(FIGURES[:2])
    monkeypatch.setattr("nas.report.space.MOST_ENTRIES", 1)
    assert page_tables(tables, FIGURES, ()) is None


def test_what_is_asked_for_is_marked(tables: CostTables) -> None:
    compiled = tables.compiled
    rows = compiled.sample(np.random.default_rng(2), 30)
    for row, active in zip(rows, compiled.active(rows), strict=True):
        asked = dict(compiled.decode(row).picks).keys()
        assert {slot.name for slot, here in zip(compiled.slots, active, strict=True) if here} == asked


def test_limits_rule_out_what_they_rule_out(explored: ReportData) -> None:
    found = explored.explored
    assert found is not None
    kept = found.values["peak_memory_bytes"] <= explored.limits["peak_memory_bytes"]
    assert found.kept == {"peak_memory_bytes": pytest.approx(kept.mean()), "": pytest.approx(kept.mean())}
    column = list(found.slots).index("resolution")
    for option in range(2):
        here = found.sample[:, column] == option
        assert found.allowed["resolution"][option] == pytest.approx(kept[here].mean())


def test_resolution_decides_latency_and_nothing_decides_twice(explored: ReportData) -> None:
    found = explored.explored
    assert found is not None
    shares = found.importance["latency_ms"]
    assert max(shares.choices, key=lambda name: shares.choices[name][1]) in {
        "resolution",
        "stage0.width",
        "stage0.depth",
    }
    assert all(0 <= part <= 1 for pair in shares.choices.values() for part in pair)
    assert shares.pairs.shape == (len(found.dimensions),) * 2
    assert np.isnan(shares.stages[found.stages.index(""), found.dimensions.index("kernel")])


def test_an_additive_figure_is_guessed_exactly() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, size=(80, 4)).astype(np.int16)
    values = np.exp(0.3 * rows[:, 0] - 0.1 * rows[:, 2] - 2)
    guess = fit_guess("error", rows, values, (3, 3, 3, 3))
    assert guess is not None
    assert guess.spearman > 0.99
    assert guessed_values(guess, rows) == pytest.approx(values, rel=0.02)
    assert fit_guess("error", rows[:10], values[:10], (3, 3, 3, 3)) is None
    assert fit_guess("error", rows, np.full(80, 0.5), (3, 3, 3, 3)) is None


def test_noise_is_said_to_be_noise() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2, size=(200, 5)).astype(np.int16)
    guess = fit_guess("error", rows, rng.uniform(0.1, 0.2, 200), (2,) * 5)
    assert guess is not None
    assert abs(guess.spearman) < 0.3


@pytest.mark.parametrize(
    ("space", "moved_millions", "intensity", "attainable", "below"),
    [
        (mobilenet_v1, 14.40, 39.50, (0.9309, 0.8018, 0.6181, 0.3869), 0.277),
        (mobilenet_v2, 16.92, 17.78, (0.8528, 0.6009, 0.3522, 0.1778), 0.796),
    ],
)
def test_waterline_figures_of_known_networks(
    space: object, moved_millions: float, intensity: float, attainable: tuple[float, ...], below: float
) -> None:
    built = CATALOG[space.__name__]((3, 224, 224), 1000)  # type: ignore[attr-defined]
    network = built.build(built.sample(np.random.default_rng(0)))
    peak = 100.0
    found = efficiency(describe_architecture(network), Device("d", peak, 400.0, 25.0))
    assert found is not None
    assert found["macs"] == count_network(network).total["macs"]
    assert found["moved"] / 1e6 == pytest.approx(moved_millions, abs=5e-3)
    assert found["intensity"] == pytest.approx(intensity, abs=5e-3)
    assert [line for line, _ in found["at"]] == list(WATERLINES)
    assert [share for _, share in found["at"]] == pytest.approx(attainable, abs=1.5e-4)
    assert found["below"] == pytest.approx(below, abs=1e-3)
    assert found["device"] == pytest.approx(attainable[1], abs=1.5e-4)
    assert found["ideal_ms"] == pytest.approx(found["macs"] / peak / 1e6)
    assert found["gap"] is None


def test_the_gap_is_latency_over_time_at_peak(explored: ReportData) -> None:
    detail = explored.architectures[0]
    found = efficiency(detail, explored.device)
    assert found is not None
    latency = sum(row.latency_ms or 0.0 for row in detail.operators) + (detail.constant_ms or 0.0)
    assert found["gap"] == pytest.approx(latency / found["ideal_ms"], rel=1e-5)


def test_pooled_architectures_are_those_told_alone(explored: ReportData) -> None:
    pool = pooled(explored.architectures, explored.device)
    for detail in explored.architectures:
        alone, found = architecture_model(detail, explored.device), pool["of"][detail.id]
        for kind in ("operators", "blocks", "edges"):
            assert [pool[kind][place] for place in unpacked(found[kind])] == alone[kind]
        assert found["efficiency"] == alone["efficiency"]
    assert len(pool["operators"]) < sum(len(detail.operators) for detail in explored.architectures)


def test_axes_of_points_and_sample_share_their_scale(explored: ReportData) -> None:
    model = page_model(explored)
    assert len(model["axes"]) == len(model["explored"]["axes"])
    found = explored.explored
    assert found is not None
    first = unpacked(model["explored"]["axes"][0])
    axis = model["axes"][0]
    assert (axis["label"], axis["low"], axis["high"]) == ("resolution", 24, 32)
    assert set(first.tolist()) == {0, 254}
    assert len(first) == model["explored"]["count"] == len(found.sample)
