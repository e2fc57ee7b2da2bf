"""Differentiable choice: what each step runs, what is learnt, and what a search makes of it."""

import logging
from pathlib import Path

import pytest

from nas.supernet.rules import Moment, make_rule
from nas.supernet.rules.gumbel import Gumbel, learnt
from nas.supernet.settings import supernet_for
from nas.supernet.shapes import shared_shapes
from nas.supernet.train import Trainer, TrainSettings, load_trained
from nas.supernet.weights import Supernet
from tests.nas.supernet.choices.worlds import kinds_subnets
from tests.nas.supernet.worlds import Bars, coded_subnets

SETTINGS = TrainSettings(rule="gumbel", epochs=2, batch_size=16, learning_rate=0.05, precision="fp32")


def kinds_trainer(folder: Path, settings: TrainSettings, steps: int) -> Trainer:
    subnets = kinds_subnets()
    assert subnets.coded is not None
    shared = supernet_for(shared_shapes(subnets.coded.compiled.weight_uses), settings)
    return Trainer(shared, subnets, Bars(steps=steps), settings, folder)


def test_a_step_mixes_one_group_and_draws_networks_by_what_is_learnt() -> None:
    settings = TrainSettings(rule="gumbel", relaxed=("kernel", "expand"), random_subnets=3)
    rule = make_rule(settings, coded_subnets(), Supernet({}))
    assert isinstance(rule, Gumbel)
    for step in range(4):
        first, *drawn = rule.lessons(Moment(step, 100))
        assert first.mix is not None
        assert {choice.name.rpartition(".")[2] for choice in first.mix.choices} == {("kernel", "expand")[step % 2]}
        assert all(float(share.detach().sum()) == pytest.approx(1) for share in first.mix.shares)
        assert [(each.labels, each.soft, each.mix) for each in drawn] == [(0.0, 1.0, None)] * 3
    rule.scores["block0.kernel"].values[:] = [9.0, -9.0]
    picked = set()
    for step in range(20):
        for lesson in rule.lessons(Moment(step, 100))[1:]:
            assert lesson.subnet.row is not None
            picked.add(rule.coded.compiled.decode(lesson.subnet.row)["block0.kernel"])
    assert picked == {3}


def test_it_finds_the_operators_that_are_needed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One of the layers at least must see neighbours; the log has the published temperatures."""
    learner = kinds_trainer(tmp_path, SETTINGS, steps=100)
    with caplog.at_level(logging.INFO, logger="nas.supernet"):
        learner.run(advance=lambda steps, note: None)
    heats = [record.args[0] for record in caplog.records if isinstance(record.args, tuple) and "choices" in record.msg]
    assert heats == [10, 5, 2.5, 1.25, 1]
    shared = kinds_trainer(tmp_path / "fresh", SETTINGS, steps=100).supernet
    assert load_trained(shared, tmp_path)
    wide = [shared.likely[f"layer{i}.kind"][2] for i in range(2)]
    assert max(wide) > 0.5
    assert learner.curve[-1]["error_largest"] < 0.3


def test_zeros_are_asked_for_in_the_settings() -> None:
    settings = TrainSettings(rule="gumbel", choice_sparsity=0.9)
    first, *drawn = make_rule(settings, kinds_subnets(), Supernet({})).lessons(Moment(0, 2))
    assert first.mix is not None
    assert first.mix.sparsity == 0.9
    assert [each.mix for each in drawn] == [None, None]


def test_what_other_rules_remember_holds_no_choices() -> None:
    for name in ("sandwich", "single_path", "mixture"):
        supernet = Supernet({}, members=2)
        assert learnt(make_rule(TrainSettings(rule=name), coded_subnets(), supernet).state()) == {}
