"""A few real images, written to disk in every layout that can be read."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def cifar_members() -> dict[str, bytes]:
    """The first 6 training and 3 test images of two classes of the real archive: name -> file."""
    if "NAS_DATA" not in os.environ:
        pytest.skip("NAS_DATA is not set: no real colour images")
    wanted = {
        f"{part}/{name}/{i:04d}.jpg"
        for part, count in (("test", 3), ("train", 6))
        for name in ("airplane", "automobile")
        for i in range(count)
    }
    found: dict[str, bytes] = {}
    with tarfile.open(Path(os.environ["NAS_DATA"]) / "cifar10_jpeg.tar.xz") as archive:
        for member in archive:
            if member.name in wanted:
                stream = archive.extractfile(member)
                assert stream is not None
                found[member.name] = stream.read()
            if len(found) == len(wanted):
                break
    assert found.keys() == wanted
    return found


@pytest.fixture(scope="session")
def drawn() -> Callable[..., bytes]:
    """A function that returns an image file of random pixels."""

    def draw(seed: int, *, size: tuple[int, int] = (6, 5), mode: str = "RGB", kind: str = "PNG") -> bytes:
        shape = size if mode == "L" else (*size, 3)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        return buffer.getvalue()

    return draw


@pytest.fixture(scope="session")
def spread() -> Callable[[Path, dict[str, bytes]], Path]:
    """A function that writes files below a folder."""

    def write(folder: Path, files: dict[str, bytes]) -> Path:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture(scope="session")
def packed() -> Callable[[Path, dict[str, bytes]], Path]:
    """A function that writes files into a tar, compressed as its name says."""

    def write(path: Path, files: dict[str, bytes]) -> Path:
        compression = path.suffix.removeprefix(".").replace("tar", "")
        with tarfile.open(path, f"w:{compression}") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return write
