"""What every training rule, sampling rule and way through zeros keeps to; above all: a death changes nothing."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from nas.recipe import SupernetSection
from nas.supernet.checkpoint import load_checkpoint
from nas.supernet.distillation import DISTILLATIONS
from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules import RULES, Moment, make_rule
from nas.supernet.sampling import SAMPLERS
from nas.supernet.sparse import GRADIENTS, SCHEDULES
from nas.supernet.train import TrainSettings
from nas.supernet.weights import Supernet
from search_spaces.errors import NasError
from tests.nas.supernet.worlds import coded_subnets, coded_trainer, space, subnets

WAYS = {
    **{rule: TrainSettings(rule=rule) for rule in RULES},
    **{f"sampling {name}": TrainSettings(sampling=name) for name in SAMPLERS if name != "choices"},
    "sandwich of each step": TrainSettings(random_subnets=2, teacher_every=1),
    "teacher every 3": TrainSettings(teacher_every=3, sampling="worst_up"),
    "alpha": TrainSettings(distillation="alpha_divergence", rule="delayed", full_share=0.2, sampling="shift"),
    "mixture by cost": TrainSettings(rule="mixture", sampling="worst_up"),
    "sr-ste, geometric": TrainSettings(sparsity_gradient="sr_ste", sparsity_schedule="geometric"),
    "fading, cubic": TrainSettings(
        sparsity_gradient="decay_exponential", sparsity_schedule="cubic", rule="single_path"
    ),
    "elastic kernels, sorted": TrainSettings(rule="progressive", kernel_transforms=True, sort_channels=True, ema=0.9),
}
KILLED = """
import os, sys
from pathlib import Path
import torch
from nas.supernet import train
from tests.nas.supernet.worlds import coded_subnets, coded_trainer

torch.set_num_threads(1)
train.CHECKPOINT_SECONDS = 0.0
coded_subnets()
for line in sys.stdin:
    folder, settings = line.split(" ", 1)
    child = os.fork()
    if child == 0:
        settings = eval(settings)
        learner = coded_trainer(Path(folder), train.TrainSettings(**settings))
        print("started", os.getpid(), flush=True)
        learner.run(advance=lambda steps, note: None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""
SOONEST = 0.01
ways = pytest.mark.parametrize("way", WAYS)


def quiet(steps: float, note: str) -> None:
    """Hears of progress."""


def supernet_for(settings: TrainSettings) -> Supernet:
    return Supernet({}, members=settings.members if settings.rule == "mixture" else 1)


def outcomes_of(lessons: tuple[Lesson, ...], moment: Moment) -> list[Outcome]:
    """Made-up outcomes that differ from lesson to lesson."""
    rng = random.Random(moment.step)
    return [Outcome(lesson, rng.uniform(0, 2), rng.uniform(0, 1)) for lesson in lessons]


def drawn(lessons: tuple[Lesson, ...]) -> list[tuple[str, float, float, int]]:
    return [(each.subnet.network.id, each.labels, each.soft, each.member) for each in lessons]


def final(folder: Path) -> dict[str, torch.Tensor]:
    found = load_checkpoint(folder)
    assert found is not None
    assert found[1]["finished"]
    return found[0]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """The final tensors of an uninterrupted training, by way; filled when asked for."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for way, settings in WAYS.items():
        folder = tmp_path_factory.mktemp("whole")
        assert coded_trainer(folder, settings).run(advance=quiet)
        found[way] = final(folder)
    return found


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@ways
def test_lessons_follow_from_seed_step_and_state_alone(way: str) -> None:
    settings, of = WAYS[way], coded_subnets()
    rule, again, other = (
        make_rule(each, of, supernet_for(settings)) for each in (settings, settings, replace(settings, seed=5))
    )
    differs = False
    for step in range(40):
        moment = Moment(step, 40)
        lessons = rule.lessons(moment)
        assert drawn(lessons) == drawn(rule.lessons(moment))
        assert drawn(lessons) == drawn(again.lessons(moment))
        differs = differs or drawn(lessons) != drawn(other.lessons(moment))
        assert lessons[0].labels == 1
        assert all(lesson.labels > 0 or lesson.soft > 0 for lesson in lessons)
        if rule.listens:
            for each in (rule, other):
                each.heard(moment, outcomes_of(lessons, moment))
            restored = make_rule(settings, of, supernet_for(settings))
            restored.restore(json.loads(json.dumps(rule.state())))
            again = restored
    assert differs


@ways
def test_stopping_and_going_on_changes_nothing(
    way: str, wholes: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    for _ in range(2):
        assert not coded_trainer(tmp_path, WAYS[way]).run(advance=quiet, deadline=time.monotonic())
    resumed = coded_trainer(tmp_path, WAYS[way])
    assert resumed.steps_done == 2
    assert resumed.run(advance=quiet)
    assert_same(final(tmp_path), wholes[way])


@contextmanager
def killable() -> "Iterator[subprocess.Popen[str]]":
    """A process that trains what a line on its standard input says, in a child to be killed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[4])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def answer(process: "subprocess.Popen[str]", word: str) -> int:
    assert process.stdout is not None
    said, number = process.stdout.readline().split()
    assert said == word
    return int(number)


def kill_until_finished(process: "subprocess.Popen[str]", folder: Path, settings: TrainSettings, kills: int) -> int:
    """Train in `folder`, killed at random moments until it ends or `kills` are done; how many kills struck.

    After a kill that came too late training begins anew, and the next kills come sooner.
    """
    rng, struck, latest = random.Random(repr(settings)), 0, 0.3
    assert process.stdin is not None
    while True:
        process.stdin.write(f"{folder} {asdict(settings)!r}\n")
        process.stdin.flush()
        child = answer(process, "started")
        if struck < kills:
            time.sleep(rng.uniform(0.0, latest))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        code = answer(process, "ended")
        if code == -signal.SIGKILL:
            struck += 1
        elif struck == 0 and latest > SOONEST:
            shutil.rmtree(folder)
            latest /= 2
        else:
            assert code == 0
            return struck


def test_kills_at_random_moments_change_nothing(wholes: dict[str, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    kills = int(os.environ.get("NAS_TEST_KILLS", "1"))
    with killable() as process:
        for number, way in enumerate([*RULES, "sampling shift"]):
            folder = tmp_path / str(number)
            assert kill_until_finished(process, folder, WAYS[way], kills) >= 1
            assert_same(final(folder), wholes[way])


def test_what_was_learnt_is_part_of_a_checkpoint(wholes: dict[str, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    """A sampler that forgot would draw other subnets: without the state, weights differ."""
    settings = WAYS["sampling worst_up"]
    coded_trainer(tmp_path, settings).run(advance=quiet, deadline=time.monotonic())
    learner = coded_trainer(tmp_path, settings)
    assert len(learner.state.rule["seen"]) == 1
    learner.rule.restore({"seen": [[[0] * len(row), 9.0] for row, _ in learner.state.rule["seen"] * 40]})
    learner.run(advance=quiet)
    whole = wholes["sampling worst_up"]
    assert any(not torch.equal(tensor, whole[name]) for name, tensor in final(tmp_path).items())


def test_recipes_offer_what_there_is() -> None:
    fields = SupernetSection.model_fields
    for key, table in (
        ("rule", RULES),
        ("sampling", SAMPLERS),
        ("distillation", DISTILLATIONS),
        ("sparsity_gradient", GRADIENTS),
        ("sparsity_schedule", SCHEDULES),
    ):
        assert set(get_args(fields[key].annotation)) == set(table)


def test_recipes_and_training_agree_on_defaults() -> None:
    section = SupernetSection().model_dump()
    settings = asdict(TrainSettings())
    shared = section.keys() & settings.keys()
    assert settings.keys() - shared == {"momentum", "clip_norm"}
    assert {key: section[key] for key in shared} == {key: settings[key] for key in shared}


def test_unknown_names_and_missing_parts_are_told() -> None:
    of = coded_subnets()
    with pytest.raises(NasError, match="unknown training rule 'sandwhich': did you mean 'sandwich'"):
        make_rule(TrainSettings(rule="sandwhich"), of, Supernet({}))
    with pytest.raises(NasError, match="unknown sampling rule 'costs': did you mean 'cost'"):
        make_rule(TrainSettings(sampling="costs"), of, Supernet({}))
    with pytest.raises(NasError, match="needs the compiled space"):
        make_rule(TrainSettings(sampling="cost"), subnets(space()), Supernet({}))
    with pytest.raises(NasError, match="several sets of weights"):
        make_rule(TrainSettings(rule="mixture"), of, Supernet({}))
