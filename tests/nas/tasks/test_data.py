import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.tasks.data import load_data
from nas.tasks.images import image_data
from search_spaces.errors import NasError

Write = Callable[[Path, dict[str, bytes]], Path]


@pytest.fixture
def files(drawn: Callable[..., bytes]) -> dict[str, bytes]:
    return {f"{name}/{i}.png": drawn(i + 100 * k) for k, name in enumerate("ab") for i in range(10)}


@pytest.fixture(params=["tar", "folder"])
def source(
    request: pytest.FixtureRequest, files: dict[str, bytes], packed: Write, spread: Write, tmp_path: Path
) -> Path:
    if request.param == "tar":
        return packed(tmp_path / "pets.tar.gz", files)
    return spread(tmp_path / "pets", files)


def kept(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


def test_a_second_open_reads_the_cache(source: Path, tmp_path: Path) -> None:
    cache, told = tmp_path / "cache", []
    first = load_data(str(source), cache=cache)
    second = load_data(str(source), cache=cache, advance=told.append)
    assert told == []
    assert [path.name.split("-")[0] for path in kept(cache)] == ["pets"]
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    for name in ("class_names", "name", "note", "fingerprint"):
        assert getattr(first, name) == getattr(second, name)


def test_a_changed_source_is_decoded_again(
    source: Path, files: dict[str, bytes], packed: Write, spread: Write, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = load_data(str(source), cache=cache)
    write = spread if source.is_dir() else packed
    write(source, {**files, "a/10.png": files["b/3.png"], "b/10.png": files["a/1.png"]})
    second = load_data(str(source), cache=cache)
    assert len(second.train_labels) + len(second.test_labels) == 22
    assert second.fingerprint != first.fingerprint
    third = load_data(str(source), cache=cache, size=4)
    assert third.input_shape == (3, 4, 4)
    assert len(kept(cache)) == 3


def test_a_touched_tar_is_decoded_again(files: dict[str, bytes], packed: Write, tmp_path: Path) -> None:
    path, cache = packed(tmp_path / "pets.tar", files), tmp_path / "cache"
    load_data(str(path), cache=cache)
    os.utime(path, ns=(0, time.time_ns() + 10**9))
    load_data(str(path), cache=cache)
    assert len(kept(cache)) == 2


def test_a_damaged_cache_is_made_again(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_data(str(source), cache=cache)
    (path,) = kept(cache)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], b"\0" * 100, whole.replace(b'"format":"1"', b'"format":"0"')):
        path.write_bytes(content)
        assert load_data(str(source), cache=cache).fingerprint == first.fingerprint
        told: list[float] = []
        assert load_data(str(source), cache=cache, advance=told.append).fingerprint == first.fingerprint
        assert told == []


def test_a_full_disk_is_said_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(NasError, match=r"cannot keep the decoded images in .*cache.*MB are needed"):
            load_data(str(source), cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept(cache) == []
    assert load_data(str(source), cache=cache).name == "pets"


def test_a_cache_that_is_no_folder(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(NasError, match=r"cannot keep the decoded images in .*choose another folder"):
        load_data(str(source), cache=tmp_path / "cache")


def test_variables_in_the_path(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETS_OF_THIS_TEST", str(source.parent))
    plain = load_data(str(source)).fingerprint
    assert load_data(f"$PETS_OF_THIS_TEST/{source.name}").fingerprint == plain
    assert load_data(f"${{PETS_OF_THIS_TEST}}/{source.name}").fingerprint == plain
    monkeypatch.delenv("PETS_OF_THIS_TEST")
    with pytest.raises(NasError, match=r"environment variable PETS_OF_THIS_TEST in .* is not set: set it"):
        load_data(f"$PETS_OF_THIS_TEST/{source.name}")


def test_the_fingerprint_tells_every_difference() -> None:
    data = load_data("digits")

    def fingerprint(
        images: torch.Tensor = data.train_images,
        labels: torch.Tensor = data.train_labels,
        names: tuple[str, ...] = data.class_names,
    ) -> str:
        test = (data.test_images, data.test_labels)
        return image_data((images, labels), test, name="again", class_names=names).fingerprint

    other_pixel, other_label = data.train_images.clone(), data.train_labels.clone()
    other_pixel[700, 0, 3, 3] += 1
    other_label[5] = (other_label[5] + 1) % 10
    assert fingerprint() == data.fingerprint
    changed = {fingerprint(other_pixel), fingerprint(labels=other_label), fingerprint(names=tuple("abcdefghij"))}
    assert len(changed | {data.fingerprint}) == 4


def test_sources_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"no file or folder '.*nowhere.tar': data are 'digits', a tar"):
        load_data(str(tmp_path / "nowhere.tar"))
    with pytest.raises(NasError, match=r"no file or folder 'digit'"):
        load_data("digit")
    (tmp_path / "words.txt").write_text("words")
    with pytest.raises(NasError, match=r"words.txt' is no data that can be read"):
        load_data(str(tmp_path / "words.txt"))
