"""The benchmark of reversible networks, small: what holds exactly, and that the rest runs on volumes."""

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reversible_unet import main


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"figure"')]


def nifti(volume: np.ndarray) -> bytes:
    """A packed NIfTI-1 file of unsigned bytes."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *volume.shape, 1, 1, 1, 1)
    struct.pack_into("<h", header, 70, 2)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header) + volume.astype("u1").tobytes(order="F"))


def volumes(path: Path, count: int = 12) -> Path:
    """Balls of two classes in noise, as a tar of volumes."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(9)] * 3, indexing="ij"))
    with tarfile.open(path, "w") as archive:
        for i in range(count):
            distance = ((grid - rng.uniform(3, 6, (3, 1, 1, 1))) ** 2).sum(0)
            label = (distance < 9).astype("u1") + (distance < 3)
            image = np.clip(rng.normal(60, 15, label.shape) + 80 * label, 0, 255)
            for folder, content in (("images", nifti(image)), ("labels", nifti(label))):
                info = tarfile.TarInfo(f"set/{folder}/{i:02}.nii.gz")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def test_memory_and_gradients_hold_as_published(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--memory-only", "--blocks", "1", "4", "--side", "8"])
    found = lines(capsys)
    ratios = {line["where"]["blocks"]: line["value"] for line in found if line["figure"] == "saved_bytes_ratio"}
    assert ratios == {1: pytest.approx(18, rel=0.02), 4: pytest.approx(72, rel=0.02)}
    assert max(line["value"] for line in found if line["figure"] == "training_memory_error") < 0.02
    assert max(line["value"] for line in found if line["figure"] == "gradient_difference") < 1e-9


def test_searches_on_volumes_run_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = volumes(tmp_path / "balls.tar")
    budget = ["--epochs", "1", "--final-epochs", "1", "--evaluations", "3", "--seeds", "1", "--limit", "1 MiB"]
    small = ["--size", "8", "8", "8", "--depths", "1", "2", "--expands", "2", "--blocks", "1", "--side", "4"]
    main(["--data", str(source), *small, *budget])
    found = {(line["figure"], line["where"].get("network")): line for line in lines(capsys)}
    largest = found["blocks", "largest"]
    assert largest["value"] > largest["baseline"]["plain"]
    assert 0 <= found["dice", None]["value"] <= 1
