"""NIfTI-1 files, the usual form of medical volumes."""

import gzip
import struct
import zlib

import numpy as np

from search_spaces.errors import NasError

HEADER_BYTES = 348
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
"""Codes of the standard's scalar types and numpy's names for them, byte order left out."""


def read_nifti(content: bytes, where: str) -> np.ndarray:
    """Return the volume [x, y, z] in the bytes of a .nii or .nii.gz file, scaled as its header says.

    Raises `NasError`, with `where`, for bytes that are no NIfTI-1 file of three axes, or are cut off.
    """
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise NasError(f"{where} cannot be unpacked: {error}; is the file complete?") from error
    order = next((o for o in "<>" if content[:4] == struct.pack(f"{o}i", HEADER_BYTES)), None)
    if order is None or len(content) < HEADER_BYTES or content[344:347] not in (b"n+1", b"ni1"):
        raise NasError(f"{where} is no NIfTI-1 file: its header of {HEADER_BYTES} bytes is missing")
    axes, *extents = struct.unpack(f"{order}8h", content[40:56])
    code = struct.unpack(f"{order}h", content[70:72])[0]
    offset, slope, shift = struct.unpack(f"{order}3f", content[108:120])
    shape = [extent for extent in extents[:axes] if extent != 1] if 0 < axes < 8 else []
    if code not in TYPES or len(shape) != 3 or min(shape) < 1:
        raise NasError(
            f"{where} has type {code} and extents {extents[: max(0, axes)]}: needed are numbers on three axes"
        )
    kind = np.dtype(order + TYPES[code])
    count, start = int(np.prod(shape)), int(offset)
    if len(content) < start + count * kind.itemsize:
        raise NasError(f"{where} is cut off: {shape} values of {kind.itemsize} bytes do not fit")
    volume = np.frombuffer(content, kind, count, start).reshape(shape, order="F")
    if (slope, shift) != (1.0, 0.0) and slope != 0.0 and np.isfinite([slope, shift]).all():
        return np.asarray(volume * slope + shift)
    return volume.astype(kind.newbyteorder("="))
