import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.tasks.data import load_data
from search_spaces.errors import NasError

Files = dict[str, bytes]
Draw = Callable[..., bytes]
Write = Callable[[Path, Files], Path]


@pytest.fixture
def files(drawn: Draw) -> Files:
    return {
        f"{part}/{name}/{i}.png": drawn(i + 10 * (name == "cat") + 100 * count)
        for part, count in (("train", 4), ("test", 2))
        for name in ("cat", "dog")
        for i in range(count)
    }


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_real_images_from_a_tar_and_from_a_folder(
    cifar_members: Files, packed: Write, spread: Write, tmp_path: Path, name: str
) -> None:
    backwards = dict(reversed(cifar_members.items())) | {"README.md": b"words", "train/._0.jpg": b""}
    data = load_data(str(packed(tmp_path / name, backwards)))
    assert data.train_images.shape == (12, 3, 32, 32)
    assert data.test_images.shape == (6, 3, 32, 32)
    assert data.train_labels.tolist() == [0] * 6 + [1] * 6
    assert data.class_names == ("airplane", "automobile")
    assert data.note == "images decoded from lossy JPEG files"
    oracle = decoded(cifar_members["train/automobile/0002.jpg"])
    assert np.array_equal(data.train_images[8].permute(1, 2, 0).numpy(), oracle)
    again = load_data(str(spread(tmp_path / "a", backwards)))
    assert again.fingerprint == data.fingerprint
    assert torch.equal(again.test_images, data.test_images)


def test_folders_that_all_images_share_are_passed_over(files: Files, packed: Write, tmp_path: Path) -> None:
    plain = load_data(str(packed(tmp_path / "a.tar", files)))
    nested = load_data(str(packed(tmp_path / "b.tar", {f"./pets/v1/{k}": v for k, v in files.items()})))
    assert nested.fingerprint == plain.fingerprint
    assert plain.note == ""


def test_class_folders_alone_are_split(drawn: Draw, spread: Write, tmp_path: Path) -> None:
    files = {f"{name}/{i}.png": drawn(i + 100 * k) for k, name in enumerate("ab") for i in range(10)}
    data = load_data(str(spread(tmp_path, files)))
    assert data.train_labels.bincount().tolist() == [8, 8]
    assert data.test_labels.bincount().tolist() == [2, 2]
    assert "a fixed 20% was split off" in data.note
    train, test = ({i.numpy().tobytes() for i in part} for part in (data.train_images, data.test_images))
    assert len(train | test) == 20


def test_grey_images_stay_grey_unless_some_are_coloured(
    files: Files, drawn: Draw, spread: Write, tmp_path: Path
) -> None:
    grey = {name: drawn(i, mode="L") for i, name in enumerate(files)}
    assert load_data(str(spread(tmp_path / "grey", grey))).train_images.shape[1] == 1
    mixed = {**files, "train/cat/0.png": grey["train/cat/0.png"]}
    data = load_data(str(spread(tmp_path / "mixed", mixed)))
    assert data.train_images.shape[1] == 3
    for plane in data.train_images[0]:
        assert np.array_equal(plane.numpy(), decoded(grey["train/cat/0.png"]))


def test_unequal_sizes_name_both_files_or_are_resized(files: Files, drawn: Draw, spread: Write, tmp_path: Path) -> None:
    folder = str(spread(tmp_path, {**files, "train/dog/1.png": drawn(1, size=(9, 12))}))
    with pytest.raises(NasError) as caught:
        load_data(folder)
    text = str(caught.value)
    assert "'test/cat/0.png' is 6 × 5, 'train/dog/1.png' is 9 × 12" in text
    assert "give the size" in text
    assert load_data(folder, size=(6, 5)).train_images.shape == (8, 3, 6, 5)
    assert load_data(folder, size=7).test_images.shape == (4, 3, 7, 7)


def test_rotated_photographs_are_turned_upright(files: Files, spread: Write, tmp_path: Path) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    pixels = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    data = load_data(str(spread(tmp_path, {**files, "train/cat/0.png": buffer.getvalue()})))
    assert np.array_equal(data.train_images[0].permute(1, 2, 0).numpy(), np.rot90(pixels, -1))


def without(files: Files, start: str) -> Files:
    return {name: content for name, content in files.items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {"notes.txt": b""}, r"no images in .*\.bmp, .* in a folder per class"),
        (lambda f: without(f, "test/dog"), r"1 of 2 classes have no test image \('dog'\)"),
        (lambda f: without(f, "train/cat"), r"1 of 2 classes have no training image \('cat'\)"),
        (lambda f: without(without(f, "train/cat"), "test/cat"), r"single class, 'dog'"),
        (lambda f: {"0.png": f["test/cat/0.png"]}, r"cannot tell the class of the image '0.png'"),
        (lambda f: {**f, "x/y/z/0.png": f["test/cat/0.png"]}, r"cannot tell the class .*x/y/z/0.png"),
        (lambda f: {**f, "bird/0.png": f["test/cat/0.png"]}, r"train/ or test/ beside class folders"),
        (
            lambda f: {k.replace("test", "val"): v for k, v in f.items()},
            r"cannot tell the class of the image '.*val/cat/.*train/<class>/<image>",
        ),
        (lambda f: {**f, "test/cat/0.png": b"junk"}, r"cannot decode the image 'test/cat/0.png'"),
        (
            lambda f: {**f, "test/cat/0.png": f["test/cat/0.png"][:60]},
            r"cannot decode the image 'test/cat/0.png'",
        ),
    ],
)
def test_unusable_folders_and_tars(
    files: Files,
    spread: Write,
    packed: Write,
    tmp_path: Path,
    change: Callable[[Files], Files],
    message: str,
) -> None:
    changed = change(files)
    for source in (spread(tmp_path / "folder", changed), packed(tmp_path / "packed.tar", changed)):
        with pytest.raises(NasError, match=message):
            load_data(str(source))


def test_deep_colours_are_refused(files: Files, spread: Write, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 5), 40_000, dtype=np.uint16)).save(buffer, "PNG")
    with pytest.raises(NasError, match=r"'test/cat/0.png' has more than 8 bits"):
        load_data(str(spread(tmp_path, {**files, "test/cat/0.png": buffer.getvalue()})))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz"])
def test_cut_off_tars(files: Files, packed: Write, tmp_path: Path, name: str) -> None:
    whole = packed(tmp_path / name, files).read_bytes()
    kept_lengths = [0, 100, len(whole) // 3, *((k * 1024 for k in range(5)) if name == "a.tar" else ())]
    for kept in kept_lengths:
        (tmp_path / name).write_bytes(whole[:kept])
        with pytest.raises(NasError, match=r"cannot read the archive .*complete tar|cannot decode"):
            load_data(str(tmp_path / name))


def test_links_in_a_tar_are_passed_over(files: Files, packed: Write, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", files)
    before = load_data(str(path)).fingerprint
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("train/cat/9.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    assert load_data(str(path)).fingerprint == before


def test_progress_sums_to_1(files: Files, spread: Write, packed: Write, tmp_path: Path) -> None:
    for source in (spread(tmp_path / "folder", files), packed(tmp_path / "a.tar", files)):
        told: list[float] = []
        load_data(str(source), advance=told.append)
        assert 0 < sum(told) <= 1 + 1e-9
