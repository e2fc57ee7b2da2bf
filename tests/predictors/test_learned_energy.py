"""Energy learned from metered networks: laws with a closed form, intervals, what is held out, targets and tables."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from predictors.costs import network_costs
from predictors.kernels import Kernel, kernels
from predictors.latency import LearnedLatency, fit_latency
from predictors.learned_energy import LearnedEnergy, MeasuredEnergy, fit_energy, network_energy_mj
from predictors.roofline import AnalyticEnergy
from predictors.tables import CostTables
from predictors.target import EnergyConstants, Target
from search_spaces.catalog.mobile import mobile
from tests.example_spaces import EXAMPLES, compiled
from tests.predictors.synthetic import law_ms, measured, synthetic_target

SPACE = mobile((3, 32, 32), 10)
Law = Callable[[Sequence[Kernel]], float]


def by_power(parts: Sequence[Kernel]) -> float:
    """Two watts for dense convolutions, five for others, a millijoule for the network."""
    return 1.0 + sum((2.0 if k.kind == "conv" and k.groups == 1 else 5.0) * law_ms(k) for k in parts)


def by_work(parts: Sequence[Kernel]) -> float:
    """A price per multiply-add and per element moved, whatever the time."""
    return 0.5 + sum(4e-6 * k.macs + 2e-5 * k.moved_elements for k in parts)


def metered(law: Law, count: int, *, seed: int = 0, noise: float = 0.02, held_out: bool = True) -> list[MeasuredEnergy]:
    rng = np.random.default_rng(seed)
    parts = [kernels(SPACE.build(SPACE.sample(rng))) for _ in range(count)]
    return [
        MeasuredEnergy(p, law(p) * float(np.exp(noise * rng.standard_normal())), held_out and i % 5 == 4)
        for i, p in enumerate(parts)
    ]


@pytest.fixture(scope="module")
def latency() -> LearnedLatency:
    return fit_latency(measured(SPACE, 40, np.random.default_rng(7), noise=0.01))


def mape(model: LearnedEnergy, law: Law) -> float:
    rng = np.random.default_rng(99)
    networks = [SPACE.build(SPACE.sample(rng)) for _ in range(60)]
    return float(np.mean([abs(network_energy_mj(model, n) / law(kernels(n)) - 1) for n in networks]))


def test_the_law_is_found_through_time_where_power_is_the_law(latency: LearnedLatency) -> None:
    rows = metered(by_power, 80)
    found = mape(fit_energy(rows, latency=latency), by_power)
    assert found < 0.03
    assert found < 0.6 * mape(fit_energy(rows), by_power)


def test_the_law_is_found_through_work_where_time_says_nothing(latency: LearnedLatency) -> None:
    rows = metered(by_work, 80)
    model = fit_energy(rows, latency=latency)
    assert mape(model, by_work) < 0.02
    assert np.array_equal(model.predict_mj(rows[0].kernels), fit_energy(rows).predict_mj(rows[0].kernels))


def test_the_interval_covers_as_often_as_it_says(latency: LearnedLatency) -> None:
    model = fit_energy(metered(by_power, 120, noise=0.05), latency=latency)
    assert len(model.ratios) == 24
    fresh = metered(by_power, 120, seed=5, noise=0.05)
    inside = 0
    for row in fresh:
        ends = model.interval(model.total_mj(row.kernels), confidence=0.9)
        assert ends is not None
        inside += ends[0] <= row.energy_mj <= ends[1]
    assert 0.78 < inside / len(fresh) <= 0.99


def test_held_out_networks_tell_the_error_and_nothing_else(latency: LearnedLatency) -> None:
    rows = metered(by_power, 40)
    spoilt = [replace(row, energy_mj=3 * row.energy_mj) if row.held_out else row for row in rows]
    model, other = fit_energy(rows, latency=latency), fit_energy(spoilt, latency=latency)
    assert np.array_equal(model.predict_mj(rows[0].kernels), other.predict_mj(rows[0].kernels))
    assert other.ratios == pytest.approx([3 * ratio for ratio in model.ratios])


def test_without_held_out_networks_folds_tell_the_error(latency: LearnedLatency) -> None:
    model = fit_energy(metered(by_power, 40, noise=0.05, held_out=False), latency=latency)
    assert len(model.ratios) == 40
    assert 0.02 < np.std(np.log(model.ratios)) < 0.1


def test_few_networks_give_a_mean_power_and_no_interval(latency: LearnedLatency) -> None:
    model = fit_energy(metered(by_power, 4, held_out=False), latency=latency)
    assert mape(model, by_power) < 0.3
    assert model.ratios == ()
    assert model.interval(1.0) is None


@pytest.fixture(scope="module")
def target() -> Target:
    rows = measured(SPACE, 40, np.random.default_rng(0), noise=0.01)
    plain = synthetic_target(rows)
    networks = [replace(n, energy_mj=by_power(row.kernels)) for n, row in zip(plain.networks, rows, strict=True)]
    return replace(plain, networks=tuple(networks))


def test_a_target_learns_energy_from_its_metered_networks(target: Target) -> None:
    assert isinstance(target.energy_model, LearnedEnergy)
    assert target.energy_report is not None
    assert target.energy_report.count == 10
    assert target.energy_report.mape < 0.04
    assert target.ratios("energy_mj") == target.energy_model.ratios
    assert target.ratios("latency_ms") == target.learned.ratios
    again = Target.from_json(target.to_json())
    network = SPACE.build(SPACE.sample(np.random.default_rng(3)))
    assert again.energy_model is not None
    assert network_energy_mj(again.energy_model, network) == network_energy_mj(target.energy_model, network)


def test_measured_energy_comes_before_constants(target: Target) -> None:
    constants = EnergyConstants(4.6, 160.0, "Horowitz 2014, 45 nm")
    assert isinstance(replace(target, energy=constants).energy_model, LearnedEnergy)
    unmetered = replace(target, networks=tuple(replace(n, energy_mj=None) for n in target.networks), energy=constants)
    assert isinstance(unmetered.energy_model, AnalyticEnergy)
    assert unmetered.energy_report is None
    assert unmetered.ratios("energy_mj") == ()


def test_tables_hold_both_learned_figures_with_their_intervals(target: Target) -> None:
    space = EXAMPLES["mobile"]()
    energy = target.energy_model
    costs = CostTables(compiled("mobile"), latency=target.latency, energy=energy)
    rows = costs.compiled.sample(np.random.default_rng(1), 20)
    values = costs.score(rows)
    ends = costs.intervals(values, confidence=0.8)
    assert set(ends) == {"latency_ms", "energy_mj"}
    assert energy is not None
    for i, row in enumerate(rows):
        plain = network_costs(space.build(costs.compiled.decode(row)), latency=target.latency, energy=energy)
        for figure, model in (("latency_ms", target.latency), ("energy_mj", energy)):
            assert values[figure][i] == pytest.approx(plain[figure], rel=1e-9)
            expected = model.interval(plain[figure], confidence=0.8)
            assert (ends[figure][0][i], ends[figure][1][i]) == pytest.approx(expected, rel=1e-9)


def test_figures_that_do_not_know_their_error_have_no_interval(target: Target) -> None:
    costs = CostTables(compiled("mobile"), latency=target.latency, energy=AnalyticEnergy(1.0, 1.0), check=0)
    values = costs.score(costs.compiled.sample(np.random.default_rng(1), 3))
    assert set(costs.intervals(values)) == {"latency_ms"}
    assert costs.intervals({"macs": values["macs"]}) == {}
    assert costs.intervals(values, confidence=0.999) == {}
