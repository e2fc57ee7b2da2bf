"""Checkpoints: whole or not at all, the one before as a fallback, clear words when neither can be read."""

import logging
from pathlib import Path

import pytest
import torch

from nas.supernet.checkpoint import NAME, PREVIOUS, joined, load_checkpoint, save_checkpoint, split
from search_spaces.errors import NasError

TENSORS = {"weights/a": torch.arange(6.0).view(2, 3), "momentum/a": torch.ones(2, 3)}


def save(folder: Path, step: int) -> None:
    save_checkpoint(folder, {name: tensor + step for name, tensor in TENSORS.items()}, {"step": step})


def test_round_trip_and_groups(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    save(tmp_path, 1)
    found = load_checkpoint(tmp_path)
    assert found is not None
    tensors, state = found
    assert state == {"step": 1}
    assert torch.equal(split(tensors, "weights")["a"], TENSORS["weights/a"] + 1)
    assert joined(weights=split(tensors, "weights")).keys() == {"weights/a"}
    strided = {"weights/a": torch.arange(6.0).view(2, 3).t()}
    save_checkpoint(tmp_path, strided, {})
    assert torch.equal((load_checkpoint(tmp_path) or ({}, {}))[0]["weights/a"], strided["weights/a"])


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_truncated_file_falls_back(tmp_path: Path, kept: int, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[:kept])
    with caplog.at_level(logging.WARNING):
        found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert "is damaged" in caplog.text
    assert PREVIOUS in caplog.text


def test_nothing_readable_says_what_to_do(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    for name in (NAME, PREVIOUS):
        (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(NasError, match=r"No checkpoint can be read: move .* away to train again"):
        load_checkpoint(tmp_path)


def test_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(NasError, match=r"could not be written .*No space left.*Free some space and resume"):
        save(tmp_path, 2)
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_death_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / NAME).replace(tmp_path / "checkpoint.new.safetensors")
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"step": 2}
    save(tmp_path, 3)
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"step": 3}
