"""Images with masks: how they are read, sized, split and refused; volumes as NIfTI files."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.tasks import task_data
from nas.tasks.masks import load_masks, mask_data
from nas.tasks.nifti import read_nifti
from search_spaces.errors import NasError


def nifti(volume: np.ndarray, *, order: str = "<", slope: float = 1.0, shift: float = 0.0) -> bytes:
    """The bytes of a NIfTI-1 file that holds `volume`."""
    codes = {"u1": 2, "i2": 4, "f4": 16, "f8": 64}
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, volume.ndim, *volume.shape, *[1] * (7 - volume.ndim))
    struct.pack_into(f"{order}h", header, 70, codes[volume.dtype.str[1:]])
    struct.pack_into(f"{order}3f", header, 108, 352.0, slope, shift)
    header[344:348] = b"n+1\0"
    return bytes(header) + volume.astype(volume.dtype.newbyteorder(order)).tobytes(order="F")


def tar_of(path: Path, volumes: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in volumes.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_volumes_come_back(kind: str, order: str) -> None:
    volume = np.arange(24).reshape(2, 3, 4).astype(kind)
    content = nifti(volume, order=order)
    assert np.array_equal(read_nifti(content, "a"), volume)
    assert np.array_equal(read_nifti(gzip.compress(content), "a"), volume)
    assert np.allclose(read_nifti(nifti(volume, slope=0.5, shift=3), "a"), volume * 0.5 + 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no NIfTI-1 file"),
        (b"\x1f\x8bxx", "cannot be unpacked"),
        (nifti(np.zeros((2, 3), "u1")), r"extents \[2, 3\]"),
        (nifti(np.zeros((2, 3, 4), "u1"))[:-1], "cut off"),
    ],
)
def test_what_is_no_volume_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(NasError, match=message):
        read_nifti(content, "a")


def test_volumes_of_a_tar_become_one_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files: dict[str, bytes] = {}
    for i in range(6):
        volume = rng.normal(1000.0 * i, 50, (14 + i % 3, 18, 15)).astype("f4")
        label = (volume > np.median(volume)).astype("u1")
        files[f"set/imagesTr/v{i}.nii.gz"] = gzip.compress(nifti(volume))
        files[f"set/labelsTr/v{i}.nii.gz"] = gzip.compress(nifti(label))
    files["set/imagesTr/alone.nii"] = nifti(np.zeros((3, 3, 3), "u1"))
    source = tar_of(tmp_path / "set.tar", files)
    shares: list[float] = []
    data = load_masks(str(source), advance=shares.append)
    assert sum(shares) == pytest.approx(1.0)
    assert data.train_images.shape == (5, 1, 16, 16, 16)
    assert data.test_labels.shape == (1, 16, 16, 16)
    assert data.class_names == ("background", "object")
    assert all(int(image.max()) > 180 and int(image.min()) < 75 for image in data.train_images)
    bright = data.train_images[:, 0] > 127
    assert float((bright == data.train_labels.bool()).double().mean()) > 0.75
    other = load_masks(str(source), size=(8, 8, 8))
    assert other.input_shape == (1, 8, 8, 8)
    assert other.fingerprint != data.fingerprint


def test_objects_of_an_array_file_become_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, (10, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", image=rng.integers(0, 255, (10, 8, 8), dtype=np.uint8), label=labels)
    data = task_data("segmentation", str(tmp_path / "a.npz"), classes=2)
    assert len(data.class_names) == 2
    assert len(data.test_images) == 2
    whole = torch.cat([data.train_labels, data.test_labels])
    assert sorted(map(int, whole.flatten(1).sum(1))) == sorted(map(int, (labels > 0).reshape(10, -1).sum(1)))
    assert len(task_data("segmentation", str(tmp_path / "a.npz")).class_names) == 9


def test_wrong_sources_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((5, 8, 8), np.uint8))
    with pytest.raises(NasError, match="one called label, got image"):
        load_masks(str(tmp_path / "a.npz"))
    with pytest.raises(NasError, match="there is no file"):
        load_masks(str(tmp_path / "b.npz"))
    (tmp_path / "c.tar").write_bytes(b"no tar")
    with pytest.raises(NasError, match="cannot read"):
        load_masks(str(tmp_path / "c.tar"))
    images = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(NasError, match=r"needed are uint8 \[n, channels, \*spatial\]"):
        mask_data(images, images[:, 0, :4], name="a")
    with pytest.raises(NasError, match="6 images of 1 classes"):
        mask_data(images, images[:, 0], name="a")
    with pytest.raises(NasError, match=r"images have two extents"):
        task_data("classification", "digits", size=(8, 8, 8))
