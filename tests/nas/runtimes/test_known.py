"""A new device through known ones: what is planned, the target that ten rows make, and what cannot be."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from nas.cli import main
from nas.runtimes.bundle import Bundle, read_bundle, write_bundle
from nas.runtimes.known import plan_new_device, read_known
from nas.runtimes.remote import Device, import_networks
from nas.runtimes.report import print_report, transfer_text
from predictors.kernels import Kernel, kernels
from predictors.latency import network_latency_ms
from predictors.learned_energy import LearnedEnergy, network_energy_mj
from predictors.target import Target, load_target
from predictors.transfer import TransferredEnergy
from search_spaces import NasError
from search_spaces.catalog.mobile import mobile
from tests.predictors.synthetic import measured, network_ms, synthetic_target

SPACE = mobile((3, 16, 16), 10)


def new_ms(parts: Sequence[Kernel]) -> float:
    """A device on which the known one's milliseconds count double, and traffic besides."""
    return 0.1 + 2 * network_ms(parts) + 1e-6 * sum(kernel.moved_elements for kernel in parts)


@pytest.fixture(scope="module")
def known() -> tuple[Target, ...]:
    desk = synthetic_target(measured(SPACE, 40, np.random.default_rng(0), noise=0.01))
    return desk, load_target("raspberry_pi_5"), load_target("jetson_nano")


@pytest.fixture(scope="module")
def folder(known: tuple[Target, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "bundle"
    write_bundle(path, [SPACE], networks=10, known=known, rng=np.random.default_rng(0))
    return path


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return read_bundle(folder)


def results(bundle: Bundle, path: Path, *, skip: int = 0) -> Path:
    """Latency and energy of the bundle's networks on the new device, last first."""
    rows = [f"{i.name},{new_ms(kernels(i.network))},{3 * new_ms(kernels(i.network))}" for i in bundle.networks[skip:]]
    path.write_text("\n".join(["network,latency_ms,energy_mj", *reversed(rows)]) + "\n")
    return path


def test_a_bundle_keeps_what_is_known(folder: Path, bundle: Bundle, known: tuple[Target, ...]) -> None:
    assert bundle.known is not None
    assert bundle.known.targets == known
    assert bundle.known.pool.families == tuple(target.identity.device_name for target in known)
    assert len(bundle.networks) == len(set(bundle.known.chosen)) == 10
    assert not any(item.held_out for item in bundle.networks)
    for item, row in zip(bundle.networks, bundle.known.chosen, strict=True):
        expected = [network_latency_ms(target.latency, item.network) for target in known]
        assert bundle.known.pool.figures[row] == pytest.approx(expected, rel=1e-9)
    assert read_known(folder.parent) is None


def test_ten_rows_make_a_target_that_ranks_unseen_networks(bundle: Bundle, tmp_path: Path) -> None:
    found = import_networks(results(bundle, tmp_path / "new.csv"), bundle, name="new", device=Device("a board"))
    found.target.save(tmp_path / "new.json")
    target = load_target(tmp_path / "new.json")
    assert target == found.target
    assert target.to_json() == found.target.to_json()
    assert (target.provenance, target.report, len(target.networks)) == ("transferred", None, 10)
    rng = np.random.default_rng(5)
    networks = [SPACE.build(SPACE.sample(rng)) for _ in range(60)]
    guess = np.array([network_latency_ms(target.latency, network) for network in networks])
    truth = np.array([new_ms(kernels(network)) for network in networks])
    assert spearmanr(guess, truth).statistic > 0.97
    assert np.median(np.abs(guess / truth - 1)) < 0.05
    ends = target.latency.interval(1.0, confidence=0.9)
    assert ends is not None
    assert np.mean((truth / guess > ends[0]) & (truth / guess < ends[1])) > 0.8
    assert target.energy_model is not None
    energy = [network_energy_mj(target.energy_model, network) for network in networks]
    assert energy == pytest.approx(3 * guess, rel=1e-6)
    assert target.energy_model.interval(1.0) == pytest.approx(target.latency.interval(1.0), rel=1e-6)


def test_the_report_says_what_it_rests_on(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = import_networks(results(bundle, tmp_path / "new.csv"), bundle, name="new", device=Device()).target
    assert "10 networks measured, all else inferred from desk, raspberry_pi_5, jetson_nano" in transfer_text(target)
    print_report(target)
    said = " ".join(capsys.readouterr().err.split())
    assert "On devices like those 90% of networks took 0." in said


def test_five_rows_do_and_four_do_not(bundle: Bundle, tmp_path: Path) -> None:
    found = import_networks(results(bundle, tmp_path / "five.csv", skip=5), bundle, name="new", device=Device())
    assert len(found.target.networks) == 5
    assert any("5 of the bundle's 10 networks" in note for note in found.notes)
    assert isinstance(found.target.energy_model, TransferredEnergy)
    cells = [line.split(",") for line in results(bundle, tmp_path / "all.csv").read_text().splitlines()]
    unmetered = [",".join([*line[:2], "" if i > 3 else line[2]]) for i, line in enumerate(cells)]
    (tmp_path / "some.csv").write_text("\n".join(unmetered) + "\n")
    some = import_networks(tmp_path / "some.csv", bundle, name="new", device=Device()).target
    assert isinstance(some.energy_model, LearnedEnergy)
    assert some.energy_model.interval(1.0) is None
    with pytest.raises(NasError, match="figures of 4 networks; at least 5 are needed"):
        import_networks(results(bundle, tmp_path / "four.csv", skip=6), bundle, name="new", device=Device())


def test_what_cannot_be_planned_is_refused(known: tuple[Target, ...], rng: np.random.Generator) -> None:
    with pytest.raises(NasError, match="name at least 2 targets with --known"):
        plan_new_device([SPACE], known[:1], rng=rng)
    with pytest.raises(NasError, match="101 networks are asked for; 5 to 100"):
        plan_new_device([SPACE], known, networks=101, rng=rng)
    tiny = mobile((1, 8, 8), 10, widths=((8,),), depths=((1,),), strides=(1,), kernels=(3,), dilations=(1,))
    with pytest.raises(NasError, match="networks to choose from; 200 are needed for 100"):
        plan_new_device([tiny], known, networks=100, rng=rng)


def test_damaged_files_are_told(folder: Path, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text((folder / "known.json").read_text()[:500])
    with pytest.raises(NasError, match=r"known\.json is damaged .*; write it again with `nas profile plan`"):
        read_known(tmp_path)
    (tmp_path / "known.json").write_text('{"format": "other", "version": 1}')
    with pytest.raises(NasError, match="lacks"):
        read_known(tmp_path)
    target = import_networks(results(bundle, tmp_path / "new.csv"), bundle, name="new", device=Device()).target
    data = json.loads(target.to_json())
    with pytest.raises(NasError, match="only and every target of provenance"):
        Target.from_json(json.dumps(data | {"transfer": None}))
    with pytest.raises(NasError, match="is damaged"):
        Target.from_json(json.dumps(data | {"transfer": {"known": [], "energy_mj": None, "latency_ms": {"base": 1}}}))


def test_from_plan_to_target_on_the_command_line(
    known: tuple[Target, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    known[0].save(tmp_path / "desk.json")
    plan = ["profile", "plan", "mobile", "--input", "3,16,16", "-o", "bundle", "--known", "desk.json"]
    assert main(plan) == 2
    assert "name at least 2 targets with --known" in capsys.readouterr().err
    assert main([*plan, "--known", "raspberry_pi_5"]) == 0
    assert "bundle: bundle (10 networks)" in capsys.readouterr().out
    results(read_bundle(tmp_path / "bundle"), tmp_path / "new.csv")
    assert main(["profile", "import", "new.csv", "--bundle", "bundle", "-o", "new.json"]) == 0
    said = capsys.readouterr()
    assert said.out == "target: new.json\n"
    assert "inferred from desk, raspberry_pi_5" in " ".join(said.err.split())
    assert load_target("new.json").provenance == "transferred"
