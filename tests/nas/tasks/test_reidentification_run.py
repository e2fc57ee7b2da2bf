"""Whole runs that find people again, from the shipped recipe."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import nas
from nas.api import run_recipe
from nas.modules import execute
from nas.recipe import load_recipe
from nas.supernet.distillation import soft_labels
from nas.supernet.lessons import Lesson, Teaching
from nas.supernet.subnets import Subnet
from nas.tasks import task_builder, task_data
from nas.tasks.identities import synthetic_people
from nas.tasks.people import PARTS
from nas.tasks.reidentification import reidentification
from nas.tasks.retrieval import missed
from search_spaces.errors import NasError

QUICK = (
    "space.options.width_multipliers=[0.125]",
    "task.size=[16, 8]",
    "task.limit=100",
    "task.validation_share=0.4",
    "supernet.epochs=2",
    "supernet.batch_size=16",
    "supernet.precision=fp32",
    'search.objectives=["error", "macs"]',
    "search.evaluations=4",
    "search.random_evaluations=0",
    "search.workers=1",
    "search.lag=0",
    "export.top=1",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> nas.Run:
    repository = Path(__file__).resolve().parents[3]
    return run_recipe(load_recipe(repository / "runs" / "osnet_ain.toml", QUICK), root=tmp_path_factory.mktemp("runs"))


def test_the_recipe_learns_searches_and_exports(run: nas.Run) -> None:
    assert run.task.classes == 5
    assert all(0 <= entry["values"]["error"] <= 1 and 0 <= entry["test_error"] <= 1 for entry in run.front)
    assert run.front
    (export,) = run.folder.exports.iterdir()
    assert json.loads((export / "arch.json").read_text())["class_names"] == []


def test_errors_are_of_strangers_taken_for_the_same(run: nas.Run) -> None:
    best = run.front[0]
    evaluation = next(e for e in run.evaluations() if e.id == best["id"])
    network = run.network(evaluation.architecture)
    wrong = [
        missed(execute(network, run.trained_weights(network), images)["embedding"], target)
        for images, target in run.task.validation_batches(256)
    ]
    assert evaluation.values["error"] == pytest.approx(sum(wrong) / len(run.task.validation_indices))


def test_networks_learn_from_each_other_who_it_is(run: nas.Run) -> None:
    heard = []

    def distil(answer: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
        heard.append((answer.shape[1], soft.shape[1]))
        return soft_labels(answer, soft)

    lessons = (Lesson(Subnet(run.subnets.largest), labels=1.0), Lesson(Subnet(run.subnets.smallest), soft=1.0))
    batch = next(run.task.train_batches(8, seed=0, epoch=0))
    Teaching(run.task, distil).gradients(run.trained_supernet, lessons, batch, step=0)
    assert heard == [(run.task.classes, run.task.classes)]


def test_a_folder_of_the_usual_layout_is_read(tmp_path: Path) -> None:
    made = synthetic_people(trained=5, tested=2)
    for part, pictures in zip(PARTS, (made.train, made.query, made.gallery), strict=True):
        (tmp_path / part).mkdir()
        for number, (image, who) in enumerate(zip(pictures.images, pictures.who.tolist(), strict=True)):
            file = tmp_path / part / f"{who[0]:04d}_c{who[1]}s1_{number:06d}_00.png"
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    data = task_data("reidentification", str(tmp_path), size=(32, 16))
    assert torch.equal(data.train.images, made.train.images)
    assert torch.equal(data.gallery.who, made.gallery.who)
    assert task_data("reidentification", str(tmp_path)).input_shape == (3, 256, 128)
    assert task_builder("reidentification")(data, validation_share=0.4).classes == 3
    with pytest.raises(NasError, match="data of people are synthetic_people, synthetic_people_steady or a folder"):
        task_data("reidentification", str(tmp_path / "missing"))


def test_made_up_people_have_a_switch() -> None:
    shifted, steady = (task_data("reidentification", f"synthetic_people{name}") for name in ("", "_steady"))
    assert shifted.fingerprint == synthetic_people().fingerprint
    assert steady.fingerprint == synthetic_people(shift=False).fingerprint


def test_a_limit_leaves_whole_identities_out() -> None:
    task = reidentification(synthetic_people(trained=10, tested=2), validation_share=0.4, limit=60)
    assert (len(task.train_indices), len(task.validation_indices), task.classes) == (36, 24, 3)
    for _, target in task.train_batches(12, seed=0, epoch=0):
        assert int(target[:, 0].max()) < task.classes
