"""What each rule is about: who learns when, from whom, and how strongly."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.supernet.rules import Moment, make_rule
from nas.supernet.rules.progressive import Progressive
from nas.supernet.rules.sandwich import Sandwich
from nas.supernet.train import TrainSettings
from nas.supernet.weights import Supernet
from search_spaces.compiled import CompiledSpace
from search_spaces.errors import NasError
from tests.nas.supernet.worlds import Bars, coded_subnets, coded_trainer, space, subnets

STEPS = 100


def compiled() -> CompiledSpace:
    coded = coded_subnets().coded
    assert coded is not None
    return coded.compiled


def test_single_path_is_one_random_subnet_on_labels() -> None:
    rule = make_rule(TrainSettings(rule="single_path"), coded_subnets(), Supernet({}))
    seen = set()
    for step in range(30):
        (lesson,) = rule.lessons(Moment(step, STEPS))
        assert (lesson.labels, lesson.soft) == (1, 0)
        seen.add(lesson.subnet.network.id)
    assert len(seen) > 15


def test_delayed_students_add_nothing_before_half_and_ramp_up_after() -> None:
    settings = TrainSettings(rule="delayed", ramp_share=0.2)
    rule = make_rule(settings, coded_subnets(), Supernet({}))
    sandwich = make_rule(TrainSettings(random_subnets=2, teacher_every=1), coded_subnets(), Supernet({}))
    strengths = []
    for step in range(STEPS):
        first, *students = rule.lessons(Moment(step, STEPS))
        assert first.subnet.network is coded_subnets().largest
        assert len(students) == (0 if step < STEPS / 2 else 3)
        same = sandwich.lessons(Moment(step, STEPS))[1:]
        if students:
            assert [s.subnet.network.id for s in students] == [s.subnet.network.id for s in same]
            assert len({student.soft for student in students}) == 1
            strengths.append(students[0].soft)
    assert strengths[0] == pytest.approx(0.01)
    assert strengths[:21] == sorted(set(strengths[:21]))
    assert strengths[20:] == [1.0] * 30
    assert strengths[10] == pytest.approx(0.01 + 0.99 * 0.5)


def test_students_of_delayed_training_add_nothing_before_its_half(tmp_path: Path) -> None:
    """With and without random students weights are the same at the half, and differ after the next step."""
    weights: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
    for random_subnets in (0, 2):
        settings = TrainSettings(rule="delayed", random_subnets=random_subnets, ramp_share=0.0)
        folder = tmp_path / str(random_subnets)
        for steps in range(1, 5):
            learner = coded_trainer(folder, settings)
            learner.run(advance=lambda steps, note: None, deadline=time.monotonic())
            weights[random_subnets, steps] = {n: t.detach().clone() for n, t in learner.supernet.tensors.items()}
    for steps, same in ((1, True), (3, True), (4, False)):
        few, many = weights[0, steps], weights[2, steps]
        assert all(torch.equal(few[name], many[name]) for name in few) == same


def test_progressive_opens_dimensions_in_order() -> None:
    settings = TrainSettings(rule="progressive", full_share=0.2)
    rule = make_rule(settings, coded_subnets(), Supernet({}))
    assert isinstance(rule, Progressive)
    largest = compiled().decode(rule.coded.largest).values
    words = {"resolution": 0, "kernel": 1, "depth": 2}
    varied: dict[int, set[str]] = {phase: set() for phase in range(4)}
    for step in range(STEPS):
        moment = Moment(step, STEPS)
        lessons = rule.lessons(moment)
        phase = rule.phase(moment)
        assert phase == (-1 if step < 20 else (step - 20) // 20)
        assert [lesson.subnet.network.id for lesson in lessons[:1]] == [rule.subnets.largest.id]
        assert len(lessons) == (1 if phase < 0 else 3)
        for lesson in lessons[1:]:
            row = lesson.subnet.row
            assert row is not None
            picks = compiled().decode(row).values
            varied[phase] |= {name for name, value in picks.items() if value != largest[name] and name != "down"}
    for phase in range(4):
        dimensions = {words.get(name.rpartition(".")[2], 3) for name in varied[phase]}
        assert dimensions == set(range(phase + 1))


def test_a_mixture_needs_maps_that_shrink_at_different_places() -> None:
    with pytest.raises(NasError, match="shrinks its maps at the same places"):
        make_rule(TrainSettings(rule="mixture"), subnets(space()), Supernet({}, members=2))


def test_mixture_uses_every_set_of_weights_equally_often() -> None:
    settings = TrainSettings(rule="mixture")
    rule = make_rule(settings, coded_subnets(), Supernet({}, members=3))
    members = [rule.lessons(Moment(step, 300))[0].member for step in range(300)]
    assert np.bincount(members, minlength=3).min() > 70


@pytest.mark.parametrize(("rule", "step"), [("progressive", 85), ("delayed", 40), ("sandwich", None)])
def test_rules_know_when_widths_begin_to_shrink(rule: str, step: int | None) -> None:
    made = make_rule(TrainSettings(rule=rule, full_share=0.4), coded_subnets(), Supernet({}))
    assert made.shrinks_at(STEPS) == step


def test_random_subnets_say_how_many_are_drawn() -> None:
    rule = make_rule(TrainSettings(random_subnets=5), coded_subnets(), Supernet({}))
    assert isinstance(rule, Sandwich)
    assert len(rule.lessons(Moment(0, 1))) == 7


@pytest.mark.parametrize(("rule", "lessons"), [("sandwich", 3), ("progressive", 3), ("delayed", 4)])
def test_how_many_are_drawn_where_nothing_is_said(rule: str, lessons: int) -> None:
    """One beside the smallest in a sandwich, whose largest comes every eighth step; else two."""
    made = make_rule(TrainSettings(rule=rule), coded_subnets(), Supernet({}))
    assert len(made.lessons(Moment(96, STEPS))) == lessons
    assert len(made.lessons(Moment(97, STEPS))) == (2 if rule == "sandwich" else lessons)


def test_the_teacher_may_come_less_often() -> None:
    rule = make_rule(TrainSettings(teacher_every=4), coded_subnets(), Supernet({}))
    whole = make_rule(TrainSettings(teacher_every=1), coded_subnets(), Supernet({}))
    for step in range(8):
        lessons, full = rule.lessons(Moment(step, STEPS)), whole.lessons(Moment(step, STEPS))
        if step % 4 == 0:
            assert [(each.subnet.network.id, each.soft) for each in lessons] == [
                (each.subnet.network.id, each.soft) for each in full
            ]
            continue
        assert [each.subnet.network.id for each in lessons] == [each.subnet.network.id for each in full[1:]]
        assert {(each.labels, each.soft) for each in lessons} == {(1.0, 0.0)}


def test_a_sandwich_draws_what_uniform_sampling_gives() -> None:
    """The draws of a step are those of the compiled space's own sampling with (seed, step)."""
    rule = make_rule(TrainSettings(seed=4, random_subnets=2, teacher_every=1), coded_subnets(), Supernet({}))
    rng = np.random.default_rng([4, 9])
    space = compiled()
    expected = [space.space.build(space.decode(space.sample(rng, 1)[0])).id for _ in range(2)]
    assert [lesson.subnet.network.id for lesson in rule.lessons(Moment(9, STEPS))[1:3]] == expected


@pytest.mark.parametrize("rule", ["single_path", "sandwich", "progressive", "delayed"])
def test_each_rule_learns(rule: str, tmp_path: Path) -> None:
    settings = TrainSettings(rule=rule, epochs=2, batch_size=8, learning_rate=0.05, precision="fp32")
    learner = coded_trainer(tmp_path, settings, task=Bars(steps=40), as_given=True)
    learner.run(advance=lambda steps, note: None)
    assert learner.curve[-1]["error_largest"] < 0.55
    assert learner.curve[1]["loss"] < learner.curve[0]["loss"]
