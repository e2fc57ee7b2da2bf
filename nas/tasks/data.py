"""The one door to image data: `load_data`, with a cache of what had to be decoded."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from nas.tasks.images import ImageData
from search_spaces.errors import NasError
from search_spaces.files import write_with

__all__ = ["ImageData", "load_data"]

_CACHE_FORMAT = "1"
_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
_TAR_NAME = re.compile(r".*\.(tar|tar\.(gz|bz2|xz)|tgz|tbz2?|txz)", re.IGNORECASE)
_FUNCTION_NAME = re.compile(r".+:[^\W\d]\w*")
_SOURCES = (
    "'digits', a tar or folder of class folders, a folder of MNIST-style IDX files, a .npz file, "
    "or 'module:function' returning two torch datasets"
)


def load_data(
    source: str,
    *,
    cache: Path | None = None,
    size: int | tuple[int, int] | None = None,
    advance: Callable[[float], None] | None = None,
) -> ImageData:
    """Return the images that `source` names.

    source: "digits" (scikit-learn's); the path of a tar (.tar, .tar.gz, .tar.bz2, .tar.xz) or of a
    folder with train/<class>/<image> and test/<class>/<image>, or <class>/<image> alone, from which
    a fixed-seed test part is split off; the path of a folder of MNIST-style IDX files; the path of
    a .npz file; "module:function" or "file.py:function" returning two torch datasets. $NAME, ${NAME}
    and ~ in a path are replaced.
    cache: folder where images decoded from files are kept, keyed by path, size and time of change;
    None decodes them each time.
    size: side, or (height, width), that decoded files of unequal size are resized to.
    advance: told the share of the source read since its last call.

    Raises `NasError` for whatever is missing, damaged, or no image classification data.
    """
    if source == "digits":
        from nas.tasks.arrays import read_digits

        return read_digits()
    text = expand(source)
    path = Path(text)
    if path.is_dir() or (path.is_file() and _TAR_NAME.fullmatch(path.name)):
        return _from_path(path, cache, (size, size) if isinstance(size, int) else size, advance)
    if path.is_file() and path.suffix == ".npz":
        from nas.tasks.arrays import read_npz

        return read_npz(path)
    if path.exists():
        raise NasError(f"{text!r} is no data that can be read: data are {_SOURCES}")
    if _FUNCTION_NAME.fullmatch(text):
        from nas.tasks.datasets import read_function

        return read_function(text, advance=advance)
    raise NasError(f"there is no file or folder {text!r}: data are {_SOURCES}")


def expand(source: str) -> str:
    """Return `source` with $NAME, ${NAME} and ~ replaced; `NasError` for a variable that is not set."""
    text = os.path.expanduser(os.path.expandvars(source))
    for name in re.findall(r"\$\{?(\w+)", text):
        if name not in os.environ:
            raise NasError(
                f"the environment variable {name} in the data source {source!r} is not set: "
                "set it, or give the path itself"
            )
    return text


def _from_path(
    path: Path,
    cache: Path | None,
    size: tuple[int, int] | None,
    advance: Callable[[float], None] | None,
) -> ImageData:
    from nas.tasks.arrays import has_idx, read_idx
    from nas.tasks.folders import read_folder, read_tar

    if path.is_dir() and has_idx(path):
        return read_idx(path)
    read = read_folder if path.is_dir() else read_tar
    if cache is None:
        return read(path, size=size, advance=advance)
    kept = cache / f"{path.name.split('.')[0]}-{_key(path, size)}.safetensors"
    data = _read_cache(kept)
    if data is None:
        data = read(path, size=size, advance=advance)
        _write_cache(kept, data)
    return data


def _key(path: Path, size: tuple[int, int] | None) -> str:
    """Return a hash of where the source is and of the sizes and times of change of its files."""
    from nas.tasks.folders import image_files

    digest = hashlib.sha256(repr((str(path.resolve()), size)).encode())
    for file in image_files(path) if path.is_dir() else [path]:
        state = file.stat()
        digest.update(repr((file.name, state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _read_cache(path: Path) -> ImageData | None:
    """Return what is kept at `path`; None when nothing is, or it is damaged or of another format."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            if about.get("format") != _CACHE_FORMAT:
                return None
            return ImageData(
                **{name: file.get_tensor(name) for name in _TENSORS},
                class_names=tuple(json.loads(about["class_names"])),
                name=about["name"],
                note=about["note"],
                fingerprint=about["fingerprint"],
            )
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def _write_cache(path: Path, data: ImageData) -> None:
    from safetensors.torch import save_file

    tensors = {name: getattr(data, name) for name in _TENSORS}
    about = {
        "format": _CACHE_FORMAT,
        "class_names": json.dumps(data.class_names),
        "name": data.name,
        "note": data.note,
        "fingerprint": data.fingerprint,
    }
    needed = sum(tensor.nbytes for tensor in tensors.values())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < needed:
            raise OSError(f"{free / 1e6:.0f} MB are free")
        write_with(path, lambda temporary: save_file(tensors, temporary, about))
    except Exception as error:
        raise NasError(
            f"cannot keep the decoded images in {str(path.parent)!r}: {error}; "
            f"{needed / 1e6:.0f} MB are needed: free them, or choose another folder"
        ) from error
