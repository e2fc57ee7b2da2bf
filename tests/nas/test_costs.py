"""Costs of built networks: what is known, how, and how surely; energy in a search."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.costs import Costs
from predictors.kernels import kernels
from predictors.roofline import AnalyticEnergy, Roofline
from predictors.target import Target
from search_spaces import Architecture, SearchSpace
from search_spaces.catalog import mobile
from tests.predictors.synthetic import law_ms, measured, synthetic_target


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return mobile((1, 8, 8), 10, widths=((8, 16, 24),), depths=((1, 2),), strides=(1,))


@pytest.fixture(scope="module")
def target(space: SearchSpace) -> Target:
    """A device that draws three watts, one more for grouped kernels, with half a percent of noise."""
    rng = np.random.default_rng(0)
    rows = measured(space, 80, rng)
    plain = synthetic_target(rows)
    energy = [0.2 + sum((3 + (k.groups > 1)) * law_ms(k) for k in r.kernels) for r in rows]
    noisy = [mj * float(np.exp(0.005 * rng.standard_normal())) for mj in energy]
    networks = [replace(n, energy_mj=mj) for n, mj in zip(plain.networks, noisy, strict=True)]
    return replace(plain, networks=tuple(networks))


def test_how_a_figure_is_known_follows_from_its_model(target: Target) -> None:
    learned = Costs(target.latency, target.energy_model).provenance
    assert (learned["latency_ms"], learned["energy_mj"], learned["macs"]) == ("learned", "learned", "counted")
    analytic = Costs(Roofline(1.0, 1.0), AnalyticEnergy(1.0, 1.0)).provenance
    assert (analytic["latency_ms"], analytic["energy_mj"]) == ("analytic", "analytic")


def test_both_predicted_figures_have_intervals(target: Target, space: SearchSpace) -> None:
    costs = Costs(target.latency, target.energy_model)
    network = space.build(space.sample(np.random.default_rng(1)))
    values = costs.values(network)
    ends = costs.intervals(values)
    assert set(ends) == {"latency_ms", "energy_mj"}
    assert all(low <= values[figure] <= high for figure, (low, high) in ends.items())
    assert costs.intervals({"energy_mj": 1.0}).keys() == {"energy_mj"}
    assert Costs(Roofline(1.0, 1.0)).intervals({"latency_ms": 1.0}) == {}
    truth = 0.2 + sum((3 + (k.groups > 1)) * law_ms(k) for k in kernels(network))
    assert values["energy_mj"] == pytest.approx(truth, rel=0.05)


def test_a_search_keeps_a_limit_on_energy_with_a_margin(target: Target, space: SearchSpace, tmp_path: Path) -> None:
    target.save(tmp_path / "desk.json")
    limit = float(np.median([row.energy_mj for row in target.metered]))

    def small(architecture: Architecture) -> dict[str, float]:
        return {"error": 1 / (1 + len(architecture.picks))}

    run = nas.run(
        space,
        objectives=("error", "energy_mj"),
        limits={"energy_mj": limit},
        evaluate=small,
        target=str(tmp_path / "desk.json"),
        search={"evaluations": 12, "random_evaluations": 0, "workers": 1, "lag": 0},
        export={"top": 0},
        root=tmp_path,
    )
    (margin,) = json.loads((run.search_folder / "margins.json").read_text())
    assert (margin["figure"], margin["networks"], margin["selected"]) == ("energy_mj", 20, False)
    assert margin["factor"] > 1
    entries = json.loads((run.search_folder / "front.json").read_text())["architectures"]
    assert entries
    for entry in entries:
        assert entry["values"]["energy_mj"] <= limit / margin["factor"]
        low, high = entry["intervals"]["energy_mj"]
        assert low < entry["values"]["energy_mj"] < high
        assert entry["provenance"]["energy_mj"] == "learned"
