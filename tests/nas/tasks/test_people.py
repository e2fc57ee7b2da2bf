"""Pictures of people: the folder layout, and made-up people."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.tasks.identities import CAMERAS, PER_CAMERA, synthetic_people
from nas.tasks.people import PARTS, read_people
from search_spaces.errors import NasError


def put(folder: Path, part: str, name: str, *, shade: int = 100, size: tuple[int, int] = (8, 16)) -> None:
    (folder / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(folder / part / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for identity, camera, shade in ((2, 1, 10), (2, 3, 20), (11, 1, 30)):
        put(tmp_path, PARTS[0], f"{identity:04d}_c{camera}s1_000451_03.png", shade=shade)
    put(tmp_path, PARTS[1], "0005_c2s1_000001_00.png", size=(4, 8))
    for name in ("-1_c1s1_000001_00.png", "0000_c1s1_000002_00.png", "0005_c1s1_000003_00.png"):
        put(tmp_path, PARTS[2], name)
    return tmp_path


def test_identity_and_camera_come_from_the_file_names(folder: Path) -> None:
    data = read_people(folder, size=(16, 8))
    assert data.train.who.tolist() == [[0, 1], [0, 3], [1, 1]]
    assert data.train.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert data.class_names == ("2", "11")
    assert data.query.who.tolist() == [[5, 2]]
    assert data.gallery.who.tolist() == [[0, 1], [5, 1]]
    assert data.query.images.shape == (1, 3, 16, 8)
    assert data.test_labels.tolist() == [5, 0, 5]


def test_tests_may_be_of_another_domain(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put(other, PARTS[1], "0001_c7.png")
    put(other, PARTS[2], "0001_c8.png")
    data = read_people(folder, test_folder=other, size=(16, 8))
    assert data.query.who.tolist() == [[1, 7]]
    assert data.note == f"trained on {folder.name}, tested on other"


def test_other_layouts_are_refused(folder: Path) -> None:
    put(folder, PARTS[1], "someone.png")
    with pytest.raises(NasError, match=r"someone.png' does not begin with an identity and a camera"):
        read_people(folder)
    with pytest.raises(NasError, match=r"no folder .*needed are bounding_box_train, query, bounding_box_test"):
        read_people(folder / PARTS[0])


def test_made_up_people_are_the_same_at_every_call() -> None:
    first, again = (synthetic_people(trained=3, tested=2) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert synthetic_people(seed=1, trained=3, tested=2).fingerprint != first.fingerprint
    assert first.train.images.shape == (3 * CAMERAS * PER_CAMERA, 3, 32, 16)
    assert len(first.query.who) == 2 * CAMERAS
    assert len(first.gallery.who) == 2 * CAMERAS * (PER_CAMERA - 1)
    trained, tested = set(first.train.who[:, 1].tolist()), set(first.query.who[:, 1].tolist())
    assert not trained & tested
    assert first.class_names == ("0", "1", "2")


def test_the_switch_changes_the_light_of_the_tested_domain_alone() -> None:
    shifted, steady = (synthetic_people(trained=3, tested=8, shift=shift) for shift in (True, False))
    assert torch.equal(shifted.train.images, steady.train.images)
    assert torch.equal(shifted.gallery.who, steady.gallery.who)

    def spreads(images: torch.Tensor) -> tuple[float, float]:
        values = images.double().flatten(1)
        return float(values.mean(1).std()), float(values.std(1).std())

    assert min(np.divide(spreads(shifted.gallery.images), spreads(steady.gallery.images))) > 1.5


def test_too_few_people_are_refused() -> None:
    with pytest.raises(NasError, match="at least 2 of 16 × 8 are needed"):
        synthetic_people(trained=1)
