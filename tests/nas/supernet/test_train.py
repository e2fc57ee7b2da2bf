"""Training: it learns, it stops in good order, and a death changes nothing."""

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.supernet import train
from nas.supernet.calibrate import calibrate, error_of, with_statistics
from nas.supernet.checkpoint import NAME, load_checkpoint, save_checkpoint
from nas.supernet.rules import make_rule
from nas.supernet.timing import kinds_of_steps
from nas.supernet.train import Trainer, TrainSettings, learning_rate, load_trained
from nas.supernet.weights import Supernet
from search_spaces.errors import NasError
from tests.nas.supernet.worlds import Bars, coded_trainer, space, subnets, supernet, trainer

KILLED = """
import sys
from pathlib import Path
from nas.supernet import train
from tests.nas.supernet.worlds import trainer
import torch

torch.set_num_threads(1)
train.CHECKPOINT_SECONDS = 0.0
trainer(Path(sys.argv[1])).run(advance=lambda steps, note: print("step", flush=True))
"""


def quiet(steps: float, note: str) -> None:
    """Hears of progress."""


def final(folder: Path) -> dict[str, torch.Tensor]:
    found = load_checkpoint(folder)
    assert found is not None
    assert found[1]["finished"]
    return found[0]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Path]:
    """A whole training and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    whole = trainer(folder)
    assert whole.run(advance=quiet)
    return whole, folder


def test_resume_after_a_kill_is_bit_identical(finished: tuple[Trainer, Path], tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        for _ in range(6):
            assert process.stdout.readline() == b"step\n"
        process.send_signal(signal.SIGKILL)
    resumed = trainer(tmp_path)
    assert 0 < resumed.steps_done < 12
    assert resumed.run(advance=quiet)
    assert_same(final(tmp_path), final(finished[1]))
    expected = [{**row, "seconds": None} for row in finished[0].curve]
    assert [{**row, "seconds": None} for row in resumed.curve] == expected


def test_deadline_and_resume_are_bit_identical(finished: tuple[Trainer, Path], tmp_path: Path) -> None:
    stops = 0
    while not trainer(tmp_path).run(advance=quiet, deadline=time.monotonic()):
        stops += 1
        assert stops < 20
    assert stops >= 11
    assert_same(final(tmp_path), final(finished[1]))


def test_ctrl_c_ends_the_step_and_saves(finished: tuple[Trainer, Path], tmp_path: Path) -> None:
    stopped = trainer(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(advance=lambda steps, note: os.kill(os.getpid(), signal.SIGINT))
    again = trainer(tmp_path)
    assert again.steps_done == 1
    assert again.run(advance=quiet)
    assert_same(final(tmp_path), final(finished[1]))


def test_truncated_checkpoint_costs_only_the_last_steps(finished: tuple[Trainer, Path], tmp_path: Path) -> None:
    for _ in range(3):
        trainer(tmp_path).run(advance=quiet, deadline=time.monotonic())
    newest = tmp_path / NAME
    newest.write_bytes(newest.read_bytes()[:1000])
    again = trainer(tmp_path)
    assert again.steps_done == 2
    assert again.run(advance=quiet)
    assert_same(final(tmp_path), final(finished[1]))


def test_the_curve_tells_every_epoch(finished: tuple[Trainer, Path]) -> None:
    curve = finished[0].curve
    assert [row["epoch"] for row in curve] == [1, 2, 3]
    assert all(0 <= row[f"error_{name}"] <= 1 for row in curve for name in ("largest", "middle", "smallest"))
    assert curve[-1]["seconds"] > curve[0]["seconds"] > 0


def test_it_learns(tmp_path: Path) -> None:
    task = Bars(steps=12)
    settings = TrainSettings(epochs=8, batch_size=32, precision="fp32", warmup_epochs=1)
    learner = trainer(tmp_path, task=task, settings=settings)
    learner.run(advance=quiet)
    assert learner.curve[-1]["loss"] < learner.curve[0]["loss"] - 0.1
    of = space()
    shared = supernet(of, seed=1)
    assert load_trained(shared, tmp_path)
    rng = np.random.default_rng(3)
    errors = []
    for network in (subnets(of).largest, subnets(of).smallest, *(of.build(of.sample(rng)) for _ in range(4))):
        weights = shared.weights_for(network)
        ready = with_statistics(weights, calibrate(network, weights, task.calibration_batches(2, 128)))
        errors.append(error_of(network, ready, task, task.test_batches(96)))
    assert errors[0] < 0.1
    assert np.mean(errors) < 0.3


def test_nan_loss_says_what_to_do_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    broken = trainer(tmp_path, task=Bars(broken_at=2))
    with pytest.raises(NasError, match=r"the loss is nan in epoch 1, step 3\. Lower supernet\.learning_rate"):
        broken.run(advance=quiet)
    broken.save()
    assert trainer(tmp_path).steps_done == 0
    assert all(bool(tensor.isfinite().all()) for tensor in trainer(tmp_path).supernet.tensors.values())


def test_gradients_that_are_not_finite_stop_training(tmp_path: Path) -> None:
    learner = trainer(tmp_path)
    before = {name: tensor.clone() for name, tensor in learner.supernet.tensors.items()}
    tensor = next(iter(learner.supernet.tensors.values()))
    tensor.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NasError, match="the gradients are not finite"):
        learner.run(advance=quiet)
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.supernet.tensors.items())


def test_a_loss_that_stays_high_stops_training_and_keeps_the_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "PATIENCE", 3)
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0.0)
    task = Bars(steps=12, scaled_from=6)
    with pytest.raises(NasError, match=r"at the start, and stays high, in epoch 1, step 9\. Lower") as told:
        trainer(tmp_path, task=task).run(advance=quiet)
    assert "is intact" in str(told.value)
    kept = trainer(tmp_path, task=task)
    assert kept.steps_done == 6
    assert kept.state.high_steps == 0


def test_a_few_high_losses_are_forgiven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "PATIENCE", 8)
    assert trainer(tmp_path, task=Bars(scaled_from=3)).run(advance=quiet)
    last = TrainSettings(epochs=1, batch_size=16, precision="fp32")
    with pytest.raises(NasError, match="stays high, in epoch 1, step 12"):
        trainer(tmp_path / "last", task=Bars(steps=12, scaled_from=9), settings=last).run(advance=quiet)


def test_networks_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"take inputs of shape \(1, 8, 8\), but the data has \(3, 8, 8\)"):
        trainer(tmp_path, task=Bars(channels=3))
    with pytest.raises(NasError, match="answer for 3 classes, but the data has 4"):
        trainer(tmp_path, task=Bars(kinds=4))


def test_a_checkpoint_of_another_space_is_refused(finished: tuple[Trainer, Path]) -> None:
    whole, folder = finished
    with pytest.raises(NasError, match="the checkpoint belongs to another search space"):
        coded_trainer(folder, whole.settings, as_given=True)


def test_checkpoints_from_before_a_setting_existed_are_taken(finished: tuple[Trainer, Path], tmp_path: Path) -> None:
    found = load_checkpoint(finished[1])
    assert found is not None
    tensors, state = found
    del state["settings"]["rule"], state["settings"]["sampling"], state["rule"], state["high_steps"]
    save_checkpoint(tmp_path, tensors, state)
    assert trainer(tmp_path).steps_done == 12


def test_other_settings_or_data_are_refused(finished: tuple[Trainer, Path]) -> None:
    whole, folder = finished
    with pytest.raises(NasError, match=r"other settings \(supernet\.learning_rate\).*another --name"):
        trainer(folder, settings=replace(whole.settings, learning_rate=0.2))
    with pytest.raises(NasError, match=r"other settings \(the data\)"):
        trainer(folder, task=Bars(fingerprint="others"))
    with pytest.raises(NasError, match="holds no trained weights"):
        load_trained(supernet(space()), folder / "nowhere")


def test_trained_weights_are_the_average(finished: tuple[Trainer, Path]) -> None:
    whole, folder = finished
    shared = supernet(space(), seed=9)
    assert load_trained(shared, folder)
    for name, tensor in shared.tensors.items():
        assert torch.equal(tensor, whole.average[name])
    moved = [name for name in whole.average if not torch.equal(whole.average[name], whole.supernet.tensors[name])]
    assert len(moved) > len(whole.average) / 2


def test_timing_a_step_changes_nothing(tmp_path: Path) -> None:
    learner = trainer(tmp_path)
    before = {name: tensor.clone() for name, tensor in learner.supernet.tensors.items()}
    assert learner.step_seconds(1) > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.supernet.tensors.items())
    assert all(tensor.grad is None for tensor in learner.supernet.tensors.values())


def test_steps_to_be_timed_are_like_those_of_the_training() -> None:
    ends = subnets(space())

    def shares(settings: TrainSettings, steps: int) -> list[float]:
        kinds = kinds_of_steps(make_rule(settings, ends, Supernet({})), ends.largest, steps)
        assert all(0 <= position < steps for positions in kinds for position in positions)
        return sorted(len(positions) / sum(map(len, kinds)) for positions in kinds)

    assert shares(TrainSettings(), 1000) == [1 / 8, 7 / 8]
    assert shares(TrainSettings(teacher_every=1), 1000) == [1.0]
    assert shares(TrainSettings(rule="delayed", full_share=0.25), 1000) == pytest.approx([1 / 4, 3 / 4], abs=0.1)
    assert shares(TrainSettings(), 3) == [1 / 3, 2 / 3]


def test_precision_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainSettings(epochs=1, batch_size=8, precision="auto")
    learner = trainer(tmp_path, settings=settings)
    monkeypatch.setattr(train.Trainer, "step_seconds", lambda self, steps: 0.5 if self.state.bf16 else 1.0)
    learner.run(advance=quiet, deadline=time.monotonic())
    assert learner.state.bf16 is True
    monkeypatch.setattr(train.Trainer, "step_seconds", lambda self, steps: 1.0 if self.state.bf16 else 0.5)
    assert trainer(tmp_path, settings=settings).state.bf16 is True
    other = trainer(tmp_path / "other", settings=settings)
    other.run(advance=quiet, deadline=time.monotonic())
    assert other.state.bf16 is False


def test_learning_rate_warms_up_falls_and_keeps_a_floor() -> None:
    settings = TrainSettings(epochs=10, learning_rate=0.4, warmup_epochs=2)
    rates = [learning_rate(settings, position, 10) for position in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[19] == pytest.approx(0.4)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[19:]))
    assert rates[60] == pytest.approx(0.4 * 0.5 * (1 + math.cos(math.pi * 0.5)))
    assert rates[-1] == pytest.approx(0.05 * 0.4)


def test_weight_decay_spares_norms_and_biases(tmp_path: Path) -> None:
    groups = trainer(tmp_path).optimiser.param_groups
    decays = {group["weight_decay"]: {tensor.ndim for tensor in group["params"]} for group in groups}
    assert decays == {1e-4: {2, 4}, 0.0: {1}}
