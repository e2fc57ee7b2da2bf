"""Margins of limits on predicted latency: they hold for what a search selects, and are not timid."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.margins import Margin, kept_margins, latency_margin, selected_count
from nas.runtimes.base import Setting
from nas.runtimes.profile import profile
from nas.search.challengers import challengers
from nas.search.domain import Domain, Floats, Rows
from predictors.latency import network_latency_ms
from search_spaces import Architecture, NasError, SearchSpace
from search_spaces.catalog import mobile

LIMIT = 2.0


class Device:
    """Predictions that are off by a little at random, the same each time for the same architecture."""

    def __init__(self, space: SearchSpace) -> None:
        from predictors.tables import CostTables, compile_for_costs

        self.compiled = compile_for_costs(space)
        self.tables = CostTables(self.compiled)
        self.weights = np.random.default_rng(5).normal(size=len(self.compiled.slots))

    def measured(self, rows: Rows) -> Floats:
        return np.asarray(0.5 + self.tables.score(rows, ["macs"])["macs"] / 5e5)

    def score(self, rows: Rows) -> Mapping[str, Floats]:
        error = 0.04 * np.sin(rows @ self.weights * 3)
        return {**self.tables.score(rows), "latency_ms": self.measured(rows) * np.exp(error)}

    @property
    def domain(self) -> Domain:
        return Domain(self.compiled, ("params",), self.score, (*self.tables.names, "latency_ms"), {"latency_ms": LIMIT})


@pytest.fixture(scope="module")
def device() -> Device:
    return Device(mobile((1, 16, 16), 10, widths=((8, 16, 24), (16, 32, 48)), depths=((1, 2), (1, 2)), strides=(1, 2)))


def test_challengers_are_distinct_keep_the_limit_and_are_large(device: Device, rng: np.random.Generator) -> None:
    rows = challengers(device.domain, rng, 40)
    assert len(np.unique(rows, axis=0)) == len(rows) == 40
    figures = device.score(rows)
    assert figures["latency_ms"].max() <= LIMIT
    drawn = device.domain.within(device.compiled.sample(rng, 2000))
    assert np.median(figures["params"]) > np.quantile(device.score(drawn)["params"], 0.95)


def test_a_margin_from_challengers_holds_where_one_from_random_networks_is_too_small(
    device: Device, rng: np.random.Generator
) -> None:
    drawn = device.compiled.sample(rng, 200)
    ratios = tuple(device.measured(drawn) / device.score(drawn)["latency_ms"])

    scatter = np.random.default_rng(1)

    def measure(rows: Rows) -> Floats:
        return device.measured(rows) * scatter.uniform(0.99, 1.01, len(rows))

    margin = latency_margin(device.domain, LIMIT, 0.95, ratios=ratios, measure=measure, rng=rng)
    assert margin.factor is not None
    assert margin.selected
    assert margin.networks == selected_count(0.95)
    assert margin.repeat is not None
    assert 1.01 < margin.repeat < 1.01 / 0.99
    assert margin.measured == LIMIT / margin.repeat
    tightened = Domain(device.compiled, ("params",), device.score, device.domain.known, {"latency_ms": margin.searched})
    found = device.measured(challengers(tightened, np.random.default_rng(9), 60))
    assert (found <= LIMIT).mean() >= 0.95
    assert np.median(found) >= 0.9 * LIMIT


def test_held_out_networks_tell_where_the_device_is_not_at_hand(device: Device, rng: np.random.Generator) -> None:
    ratios = tuple(1 + i / 1000 for i in range(39))
    margin = latency_margin(device.domain, LIMIT, 0.95, ratios=ratios, measure=None, rng=rng)
    assert margin == Margin("latency_ms", LIMIT, 0.95, 1.037, 39, False)
    assert margin.searched == LIMIT / 1.037
    assert "39 networks held out of the fit" in margin.text()


def test_what_known_devices_tell_is_called_so() -> None:
    margin = Margin("energy_mj", LIMIT, 0.9, 1.25, 120, False, None, True)
    assert "energy_mj at most 2 is searched as 1.6 predicted" in margin.text()
    assert "90% of 120 networks of known devices, each once taken for new, took at most 1.250 times" in margin.text()


def test_too_few_measurements_are_refused_and_none_are_said(device: Device, rng: np.random.Generator) -> None:
    with pytest.raises(NasError, match=r"0\.95 needs 19 measured networks, and there are 3: .*target\.minutes"):
        latency_margin(device.domain, LIMIT, 0.95, ratios=(1.0, 1.0, 1.0), measure=None, rng=rng)
    unknown = latency_margin(device.domain, LIMIT, 0.95, ratios=(), measure=None, rng=rng)
    assert unknown.searched == LIMIT
    assert "as they are" in unknown.text()


def size_of(architecture: Architecture) -> dict[str, float]:
    return {"error": 1 / sum(float(value) for value in architecture.values.values() if isinstance(value, int | float))}


def test_a_run_measures_its_margin_once_and_leaves_out_what_breaks_the_limit(tmp_path: Path) -> None:
    space = mobile((1, 8, 8), 10, widths=((8, 16),), depths=((1, 2),), strides=(1,))
    rng = np.random.default_rng(0)
    target = profile([space], runtime="onnxruntime", setting=Setting(), minutes=0.15, rng=rng)
    target.save(tmp_path / "target.json")
    drawn = [network_latency_ms(target.latency, space.build(space.sample(rng))) for _ in range(50)]
    limit = float(np.quantile(drawn, 0.8))

    def search(*, resume: bool) -> nas.Run:
        return nas.run(
            space,
            objectives=("error", "weight_bytes"),
            limits={"latency_ms": limit},
            evaluate=size_of,
            target=str(tmp_path / "target.json"),
            search={"evaluations": 12, "random_evaluations": 0, "workers": 1, "lag": 0, "confidence": 0.8},
            export={"top": 0},
            root=tmp_path,
            resume=resume,
        )

    found = search(resume=False)
    margins = (found.search_folder / "margins.json").read_bytes()
    assert b'"selected": true' in margins
    front = json.loads((found.search_folder / "front.json").read_text())
    over = front["over_limit"].values()
    (margin,) = kept_margins(found)
    assert found.front or over
    assert margin.measured <= limit
    assert all(entry["measured"]["latency_ms"] <= margin.measured for entry in found.front)
    assert all(measured["latency_ms"] > margin.measured for measured in over)
    again = search(resume=True)
    assert (again.search_folder / "margins.json").read_bytes() == margins
    assert json.loads((again.search_folder / "front.json").read_text()) == front
