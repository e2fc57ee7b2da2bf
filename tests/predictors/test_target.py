"""Target files: exact round trip, refit from raw rows, and clear errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictors.kernels import Kernel, kernels
from predictors.latency import network_latency_ms
from predictors.target import (
    PACKAGED,
    EnergyConstants,
    Target,
    load_target,
)
from search_spaces.catalog.mobile import mobile
from search_spaces.errors import NasError
from tests.predictors.synthetic import IDENTITY, measured, synthetic_target


@pytest.fixture(scope="module")
def target() -> Target:
    return synthetic_target(measured(mobile((3, 32, 32), 10), 40, np.random.default_rng(0), noise=0.01))


def test_round_trip_is_exact(target: Target, tmp_path: Path) -> None:
    target.save(tmp_path / "desk.json")
    again = load_target(tmp_path / "desk.json")
    assert again == target
    assert again.to_json() == target.to_json()
    assert b"pickle" not in (tmp_path / "desk.json").read_bytes()


def test_the_model_is_the_same_after_loading(target: Target, rng: np.random.Generator) -> None:
    space = mobile((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    again = Target.from_json(target.to_json())
    assert network_latency_ms(again.latency, network) == network_latency_ms(target.latency, network)
    assert again.report == target.report


def test_files_from_before_energy_and_learning_still_load(target: Target) -> None:
    data = json.loads(target.to_json())
    data["network_fields"].remove("energy_mj")
    data["networks"] = [row[:-1] for row in data["networks"]]
    del data["learning"]
    assert Target.from_json(json.dumps(data)) == target


def test_energy_and_learning_are_kept(target: Target) -> None:
    metered = tuple(replace(row, energy_mj=1.5 * i or None) for i, row in enumerate(target.networks))
    found = replace(target, networks=metered).with_learning_curve()
    assert found.learning is not None
    again = Target.from_json(found.to_json())
    assert again == found
    assert [row.energy_mj for row in again.metered] == [1.5 * i for i in range(1, 40)]
    assert [row.held_out for row in again.metered[:3]] == [False, False, True]
    assert again.scatter == pytest.approx(0.2 / 2.563)


def test_the_report_is_of_networks_that_were_not_fitted(target: Target) -> None:
    assert target.report is not None
    assert target.report.networks.count == len(target.held_out) == 10
    written = json.loads(target.to_json())["report"]
    assert written["networks"]["median_error"] == target.report.networks.median_error


def test_files_without_the_newer_fields_are_read(target: Target) -> None:
    old = json.loads(target.to_json())
    for name in ("sparsity_speedup", "remarks"):
        del old[name]
    place = old["network_fields"].index("energy_mj")
    for row in (old["network_fields"], *old["networks"]):
        del row[place]
    assert Target.from_json(json.dumps(old)) == target


def test_the_ridge_of_a_measured_target_is_that_of_its_fastest_kernels(target: Target) -> None:
    roofline = target.roofline
    assert roofline is not None
    rates = [k.macs / ms / 1e6 for row in target.fitted for k, ms in zip(row.kernels, row.kernel_ms, strict=True)]
    assert min(rates) < roofline.peak_gmacs <= max(rates)
    assert Target("desk", "measured", IDENTITY, {}).roofline is None


def test_energy_is_known_only_from_sourced_constants(target: Target) -> None:
    assert target.energy_model is None
    constants = EnergyConstants(4.6, 160.0, "Horowitz 2014, 45 nm")
    sourced = Target("desk", "measured", IDENTITY, {}, energy=constants)
    assert Target.from_json(json.dumps(json.loads(_without_rows(sourced)))).energy == constants
    assert sourced.energy_model is not None
    kernel = Kernel("conv", (8, 4, 4), (8, 4, 4), macs=1000, moved_elements=50)
    assert sourced.energy_model.predict_mj([kernel])[0] == pytest.approx((1000 * 4.6 + 200 * 160.0) * 1e-9)


def _without_rows(target: Target) -> str:
    analytic = Target(
        target.name,
        "analytic",
        target.identity,
        target.machine,
        peak_gmacs=1.0,
        bandwidth_gbs=1.0,
        energy=target.energy,
    )
    return analytic.to_json()


@pytest.mark.parametrize("name", [path.stem for path in sorted(PACKAGED.glob("*.json"))])
def test_packaged_targets_are_analytic_and_say_where_from(name: str, rng: np.random.Generator) -> None:
    packaged = load_target(name)
    assert packaged.provenance == "analytic"
    assert "data sheet" in packaged.source
    space = mobile((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    assert network_latency_ms(packaged.latency, network) == packaged.latency.predict_ms(kernels(network)).sum()
    assert packaged.latency.interval(1.0) is None
    assert packaged.report is None


def test_unknown_names_get_near_matches() -> None:
    with pytest.raises(NasError, match=r"unknown target 'nvidia_p10': did you mean 'nvidia_p100'"):
        load_target("nvidia_p10")


def test_this_machine_is_not_loaded() -> None:
    with pytest.raises(NasError, match="nas profile"):
        load_target("this")


def test_too_few_rows_to_fit() -> None:
    with pytest.raises(NasError, match="0 measured networks to fit on; at least 3"):
        _ = Target("desk", "measured", IDENTITY, {}).latency


def replaced(target: Target, **changes: object) -> str:
    return json.dumps(json.loads(target.to_json()) | changes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.to_json()[:3000], r"desk\.json is not complete JSON \(line .* cut short"),
        (lambda t: "[1, 2]", "is not a target file"),
        (lambda t: "{}", 'lacks "format": "nas-target"'),
        (lambda t: replaced(t, version=7), "has version 7; this release reads version 1"),
        (lambda t: replaced(t, identity={"runtime": "x"}), "is damaged: TypeError"),
        (
            lambda t: replaced(t, networks=[[[0], [1.0, 2.0], 1.0, 1.0, 1.0, 1, 1.0, False, None]]),
            "1 kernels with 2 times",
        ),
        (lambda t: replaced(t, networks=[[[9999], [1.0], 1.0, 1.0, 1.0, 1, 1.0, False, None]]), "outside 0 to"),
        (lambda t: replaced(t, networks=[[[0], [1.0], -1.0, 1.0, 1.0, 1, 1.0, False, None]]), "took -1.0 ms"),
        (lambda t: replaced(t, networks=[[[0], [1.0], 1.0, 1.0, 1.0, 1, 1.0, False, -2.0]]), "took -2.0 mJ"),
        (lambda t: replaced(t, learning={"points": 3}), "is damaged: "),
        (lambda t: replaced(t, provenance="guessed"), "provenance is 'guessed'"),
        (lambda t: replaced(t, provenance="analytic"), "needs peak_gmacs"),
        (lambda t: replaced(t, peak_gmacs=-3), "expected a number above 0 or null, got -3"),
    ],
)
def test_damaged_files_say_what_is_wrong(target: Target, tmp_path: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "desk.json"
    path.write_text(spoil(target))
    with pytest.raises(NasError, match=message):
        load_target(str(path))


def test_a_folder_or_binary_file_is_no_target(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NasError, match="cannot be read"):
        load_target(tmp_path / "x.json")
    with pytest.raises(NasError, match="unknown target"):
        load_target(tmp_path)
