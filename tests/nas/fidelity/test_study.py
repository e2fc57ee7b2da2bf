"""The judgement of a real, tiny supernet: kept and gone on with, repeatable, told in words and in the report."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.cli import main
from nas.fidelity.result import SUPERNET, Fidelity
from nas.fidelity.study import FidelitySettings, FidelityStudy, kept_fidelity
from nas.fidelity.words import dimension_rows, ranker_rows, sentences
from nas.pipeline import Run
from nas.run_folder import RunFolder
from nas.supernet.alone import train_alone
from nas.supernet.calibrate import error_of
from nas.supernet.train import TrainSettings
from nas.supernet.zero_cost import zero_cost_scores
from predictors.counts import count_network
from search_spaces.errors import NasError
from tests.nas.fidelity.worlds import recipe

SETTINGS = FidelitySettings(nets=6, epochs=1, tuned=2, tuned_epochs=1, workers=1)


@pytest.fixture(scope="module")
def found(run: Run) -> Fidelity:
    return FidelityStudy(run, SETTINGS).measure()


def test_every_figure_is_the_plain_one(run: Run, found: Fidelity) -> None:
    study = FidelityStudy(run, SETTINGS)
    one, drawn = found.networks[0], study.draw.networks[0]
    assert one.id == drawn.network.id
    settings = TrainSettings(epochs=1, batch_size=50, warmup_epochs=0.2, precision="fp32")
    weights = train_alone(drawn.network, run.task, settings, seed=0)
    assert one.alone_error == error_of(drawn.network, weights, run.task, run.task.validation_batches(256))
    inherited = run.trained_weights(drawn.network)
    assert one.inherited_error == error_of(drawn.network, inherited, run.task, run.task.validation_batches(256))
    batch = next(iter(run.task.calibration_batches(1, 64)))
    assert one.scores == pytest.approx(zero_cost_scores(drawn.network, batch))
    total = count_network(drawn.network).total
    assert (one.macs, one.params) == (total["macs"], total["params"])
    assert one.picks == drawn.architecture.values
    assert [network.tuned_error is not None for network in found.networks] == [True] * 2 + [False] * 4


def test_fine_tuning_starts_from_inherited_weights(run: Run, found: Fidelity) -> None:
    study = FidelityStudy(run, SETTINGS)
    network = study.draw.networks[0].network
    start = run.trained_weights(network)
    still = replace(study.tuning, learning_rate=1e-12)
    kept = train_alone(network, run.task, still, seed=0, start=start)
    for path, tensors in kept.items():
        for name, tensor in tensors.items():
            if not name.startswith("running_"):
                assert torch.allclose(tensor, start[path][name], atol=1e-6)


def test_it_is_kept_and_goes_through_json(trained: Path, found: Fidelity) -> None:
    assert kept_fidelity(trained) == found
    assert Fidelity.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert kept_fidelity(trained / "fidelity") is None


def test_finished_networks_are_not_trained_again(run: Run, found: Fidelity, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("nas.supernet.alone.train_alone", fail)
    assert FidelityStudy(run, SETTINGS).measure() == found
    fewer = FidelityStudy(run, replace(SETTINGS, nets=4)).measure()
    assert fewer.networks == found.networks[:4]


def test_a_damaged_or_missing_network_is_trained_anew_to_the_same_result(run: Run, found: Fidelity) -> None:
    for path in (run.path / "fidelity").glob(f"*-{found.networks[1].fingerprint}-*.json"):
        path.unlink()
    again = FidelityStudy(run, SETTINGS).measure()
    assert [replace(one, seconds=0.0) for one in again.networks] == [
        replace(one, seconds=0.0) for one in found.networks
    ]


def test_other_weights_are_judged_anew_but_alone_stays_alone(run: Run, found: Fidelity) -> None:
    other = FidelityStudy(run, SETTINGS)
    with torch.no_grad():
        for tensor in run.trained_supernet.tensors.values():
            tensor.mul_(0.5)
    changed = FidelityStudy(run, SETTINGS)
    with torch.no_grad():
        for tensor in run.trained_supernet.tensors.values():
            tensor.mul_(2.0)
    keys = [one.fingerprint for one in found.networks]
    assert changed._kept_inherited.missing(keys) == keys
    assert other._kept_inherited.missing(keys) == []
    assert changed._kept_alone.missing(keys) == []


def test_a_time_budget_judges_what_is_there(run: Run) -> None:
    with pytest.raises(NasError, match="only 0 of 5 networks were trained alone: the time budget is over"):
        FidelityStudy(run, replace(SETTINGS, nets=5, seed=9, minutes=0.0)).measure()


def test_the_budget_is_said(run: Run, found: Fidelity) -> None:
    lines = FidelityStudy(run, replace(SETTINGS, nets=8)).estimate()
    assert lines[0].split(None, 2)[2] == "2 networks for 1 epochs on 1 workers, 6 known already"
    assert lines[1].startswith("fine-tuned")
    assert lines[-1].startswith("in all")


def test_sentences_and_tables(found: Fidelity) -> None:
    said = " ".join(sentences(found))
    assert said.startswith("6 networks were trained alone for 1 epoch (draw 0).")
    assert "that of MACs" in said
    assert "fine-tuned for 1 epoch," in said
    assert [row["ranked by"] for row in ranker_rows(found)][:3] == ["inherited weights", "MACs", "parameters"]
    assert len(ranker_rows(found)) == 8
    assert {row["along"] for row in dimension_rows(found)} == {"width", "depth", "kernel", "expand"}


def test_means_and_differences_are_those_of_the_networks(found: Fidelity) -> None:
    assert found.alone_error == pytest.approx(np.mean([one.alone_error for one in found.networks]))
    assert found.rankers[0].name == SUPERNET
    assert found.rankers[0].ahead.value == 0.0
    macs = next(ranker for ranker in found.rankers if ranker.name == "macs")
    if found.supernet.all.kendall.value is not None and macs.all.kendall.value is not None:
        difference = found.supernet.all.kendall.value - macs.all.kendall.value
        assert macs.ahead.value == pytest.approx(difference)
    assert found.gap is not None
    assert found.gap.networks == 2
    assert found.gap.inherited_error == pytest.approx(np.mean([one.inherited_error for one in found.networks[:2]]))


def test_the_command(trained: Path, found: Fidelity, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fidelity", str(trained), "--epochs", "1", "--fine-tune", "2", "--fine-tune-epochs", "1"]
    assert main([*words, "--nets", "6", "--dry-run"]) == 0
    assert "6 known already" in capsys.readouterr().out
    assert main([*words, "--nets", "6"]) == 0
    printed = capsys.readouterr().out
    assert "inherited weights" in printed
    assert "along" in printed
    report = (trained / "report.html").read_text()
    assert "networks were trained alone" in report
    assert '"fidelity":{"in the band of MACs":[[' in report


def test_refusals(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fidelity", str(trained), "--nets", "3"]) == 2
    assert "3 networks say nothing of a ranking: take at least 4" in capsys.readouterr().err
    assert main(["fidelity", str(trained), "--fine-tune", "40"]) == 2
    assert "cannot be fine-tuned" in capsys.readouterr().err


def test_a_run_without_trained_weights_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "untrained")
    folder.create(recipe())
    with pytest.raises(NasError, match="holds no trained weights"):
        FidelityStudy(Run(folder, recipe()), SETTINGS)


def test_the_python_call(run: Run, found: Fidelity) -> None:
    said: list[str] = []
    again = run.fidelity(nets=6, epochs=1, say=said.append)
    assert [one.alone_error for one in again.networks] == [one.alone_error for one in found.networks]
    assert said[-1].startswith("in all")
