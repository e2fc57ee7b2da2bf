"""Class folders of image files, unpacked or in a tar, decoded into `ImageData`."""

import io
import lzma
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from nas.tasks.images import ImageData, Labelled, image_data
from nas.tasks.transforms import resize
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
"""Files with another ending are passed over, hidden ones too."""

LOSSY_NOTE = "images decoded from lossy JPEG files"

Advance = Callable[[float], None]
"""Told the share of the source read since the last call; the shares sum to 1."""


@dataclass(frozen=True, eq=False)
class _Picture:
    path: PurePosixPath
    pixels: np.ndarray  # uint8 [H, W, 1 or 3]
    lossy: bool


def read_tar(path: Path, *, size: tuple[int, int] | None = None, advance: Advance | None = None) -> ImageData:
    """Decode a tar (plain, gzip, bzip2 or xz) of <class>/<image> or {train,test}/<class>/<image>.

    Nothing is unpacked to disk. Folders that all images share are passed over. Raises `NasError`
    for a damaged archive or image, another layout, and images that differ in size without `size`.
    """
    try:
        pictures = list(_tar_pictures(path, size, advance))
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise NasError(f"cannot read the archive {str(path)!r}: {reason}; is it a complete tar file?") from error
    return _arrange(pictures, path)


def read_folder(path: Path, *, size: tuple[int, int] | None = None, advance: Advance | None = None) -> ImageData:
    """Decode a folder of <class>/<image> or {train,test}/<class>/<image>, as `read_tar` does."""
    files = image_files(path)

    def pictures() -> Iterator[_Picture]:
        for file in files:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise NasError(f"cannot read the image {str(file)!r}: {error}") from error
            yield _decode(PurePosixPath(file.relative_to(path).as_posix()), content, size)
            if advance is not None:
                advance(1 / len(files))

    return _arrange(list(pictures()), path)


def read_pixels(file: Path, *, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels uint8 [H, W, 1 or 3] of an image file, resized to (height, width) where it has another size.

    Raises `NasError` for a file that cannot be read or decoded.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise NasError(f"cannot read the image {str(file)!r}: {error}") from error
    return _decode(PurePosixPath(file.as_posix()), content, size).pixels


def image_files(folder: Path) -> list[Path]:
    """Return the image files at any depth below `folder`, sorted."""
    return sorted(
        file
        for file in folder.rglob("*")
        if _is_image(PurePosixPath(file.relative_to(folder).as_posix())) and file.is_file()
    )


def _is_image(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _tar_pictures(path: Path, size: tuple[int, int] | None, advance: Advance | None) -> Iterator[_Picture]:
    total, told = path.stat().st_size, 0
    with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as archive:
        for member in archive:
            name = PurePosixPath(member.name.removeprefix("./"))
            stream = archive.extractfile(member) if member.isreg() and _is_image(name) else None
            if stream is None:
                continue
            yield _decode(name, stream.read(), size)
            if advance is not None and raw.tell() > told:
                advance((raw.tell() - told) / total)
                told = raw.tell()
        _check_end(archive)


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise `ReadError` unless a block of zeros ends the archive: one cut off reads like a shorter one."""
    stream = archive.fileobj
    assert stream is not None
    stream.seek(archive.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it is cut off")


def _decode(path: PurePosixPath, content: bytes, size: tuple[int, int] | None) -> _Picture:
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content))
            opened.load()
            upright = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
        raise NasError(f"cannot decode the image {str(path)!r}: {error}") from error
    pixels = pixels_of(upright, str(path))
    if size is not None and pixels.shape[:2] != size:
        planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        pixels = resize(planes, size)[0].permute(1, 2, 0).numpy()
    return _Picture(path, pixels, opened.format == "JPEG")


def pixels_of(image: "Image", where: str) -> np.ndarray:
    """Return the pixels uint8 [H, W, C] of a decoded image: C = 1 for grey, else 3.

    Palettes become colours, transparency is dropped. Raises `NasError` for more than 8 bits.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise NasError(
            f"the image {where!r} has more than 8 bits per channel (mode {image.mode}): "
            "convert the images to 8 bits first, or load them with a function of your own"
        )
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    pixels = np.asarray(image)
    return pixels[..., None] if mode == "L" else pixels


def _arrange(pictures: list[_Picture], source: Path) -> ImageData:
    if not pictures:
        raise NasError(
            f"no images in {str(source)!r}: needed are files ending in "
            f"{', '.join(sorted(SUFFIXES))}, in a folder per class"
        )
    pictures.sort(key=lambda picture: picture.path)
    _check_sizes(pictures)
    depth = _shared_depth(pictures)
    parts: dict[str, list[tuple[str, np.ndarray]]] = {}
    for picture in pictures:
        part, name = _place(picture.path, depth, source)
        parts.setdefault(part, []).append((name, picture.pixels))
    if "" in parts and len(parts) > 1:
        raise NasError(
            f"{str(source)!r} holds train/ or test/ beside class folders of images: "
            "needed are either <class>/<image>, or train/<class>/<image> and test/<class>/<image>"
        )
    names = sorted({name for members in parts.values() for name, _ in members})
    channels = max(picture.pixels.shape[2] for picture in pictures)
    number = {name: i for i, name in enumerate(names)}
    labelled = {part: _stack(members, number, channels) for part, members in parts.items()}
    return image_data(
        labelled["train"] if "train" in labelled else labelled[""],
        labelled.get("test"),
        name=source.name.split(".")[0],
        class_names=names,
        note=LOSSY_NOTE if any(picture.lossy for picture in pictures) else "",
    )


def _check_sizes(pictures: list[_Picture]) -> None:
    first = pictures[0]
    for other in pictures:
        if other.pixels.shape[:2] != first.pixels.shape[:2]:
            a, b = (" × ".join(map(str, p.pixels.shape[:2])) for p in (first, other))
            raise NasError(
                f"images differ in size (height × width): {str(first.path)!r} is {a}, "
                f"{str(other.path)!r} is {b}: make them equal, or give the size to resize all to"
            )


def _shared_depth(pictures: Iterable[_Picture]) -> int:
    """Return how many leading folders are common to all pictures."""
    folders = [picture.path.parts[:-1] for picture in pictures]
    low, high = min(folders), max(folders)
    return next(
        (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b),
        min(len(low), len(high)),
    )


def _place(path: PurePosixPath, depth: int, source: Path) -> tuple[str, str]:
    """Return the part ("train", "test", or "" for undivided data) and class of an image."""
    parts = path.parts[depth:]
    if len(parts) == 3 and parts[0] in ("train", "test"):
        return parts[0], parts[1]
    if len(parts) == 2:
        return "", parts[0]
    raise NasError(
        f"cannot tell the class of the image {str(path)!r} in {str(source)!r}: needed are "
        "<class>/<image>, or train/<class>/<image> and test/<class>/<image>, with 2 or more classes"
    )


def _stack(members: list[tuple[str, np.ndarray]], number: dict[str, int], channels: int) -> Labelled:
    height, width = members[0][1].shape[:2]
    images = np.empty((len(members), channels, height, width), dtype=np.uint8)
    for slot, (_, pixels) in zip(images, members, strict=True):
        slot[...] = pixels.transpose(2, 0, 1)
    labels = torch.tensor([number[name] for name, _ in members], dtype=torch.int64)
    return torch.from_numpy(images), labels
