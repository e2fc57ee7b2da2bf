"""Pictures of people by identity and camera, in a part to train on, queries, and a gallery to find them in."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from search_spaces.errors import NasError

PARTS = ("bounding_box_train", "query", "bounding_box_test")
"""Folders of the training part, the queries and the gallery, as in Market-1501."""
FILE_NAME = re.compile(r"(-?\d+)_c(\d+)")
JUNK = -1
SIZE, SYNTHETIC_SIZE = (256, 128), (32, 16)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images uint8 [n, 3, H, W], and `who` int64 [n, 2]: identity and camera."""

    images: Tensor
    who: Tensor


@dataclass(frozen=True, eq=False)
class PeopleData:
    """Three parts; the identities of the training part are 0 to n - 1, those of the others are none of them."""

    train: Pictures
    query: Pictures
    gallery: Pictures
    class_names: tuple[str, ...]
    """Names of the training identities."""
    name: str
    note: str
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def test_labels(self) -> Tensor:
        """Identities of queries and gallery, int64 [n]."""
        return torch.cat([self.query.who[:, 0], self.gallery.who[:, 0]])


def load_people(
    source: str,
    *,
    size: tuple[int, int] | None = None,
    advance: Callable[[float], None] | None = None,
) -> PeopleData:
    """Return the pictures that `source` names, of `size` (height, width).

    source: "synthetic_people", "synthetic_people_steady" (made up; the latter are tested in the light of the training
    pictures), or a folder as `read_people` takes it. $NAME and ~ in a path are replaced. Raises `NasError` for whatever
    is missing, damaged or named otherwise.
    """
    from nas.tasks.data import expand
    from nas.tasks.identities import SYNTHETIC, synthetic_people

    if source in SYNTHETIC:
        return synthetic_people(shift=SYNTHETIC[source], size=size or SYNTHETIC_SIZE)
    folder = Path(expand(source))
    if not folder.is_dir():
        raise NasError(
            f"there is no folder {str(folder)!r}: data of people are {', '.join(SYNTHETIC)} or a folder with "
            f"{', '.join(PARTS)}"
        )
    return read_people(folder, size=size or SIZE, advance=advance)


def people_data(
    train: Pictures,
    query: Pictures,
    gallery: Pictures,
    *,
    name: str,
    class_names: Sequence[str] | None = None,
    note: str = "",
) -> PeopleData:
    """Check the parts and put them together; `NasError` for parts that do not fit each other."""
    for part, pictures in (("training part", train), ("query part", query), ("gallery", gallery)):
        images, who = pictures.images, pictures.who
        if images.ndim != 4 or images.dtype != torch.uint8 or who.shape != (len(images), 2):
            raise NasError(
                f"{name}: the {part} has images {images.dtype} {list(images.shape)} and identities {list(who.shape)}: "
                "needed are uint8 [n, channels, height, width] and [n, 2], identity and camera"
            )
        if not len(images):
            raise NasError(f"{name}: the {part} has no pictures")
        if images.shape[1:] != train.images.shape[1:]:
            raise NasError(
                f"{name}: pictures of the {part} are {list(images.shape[1:])}, those to train on "
                f"{list(train.images.shape[1:])}: give a size that all are resized to"
            )
    identities = sorted(set(train.who[:, 0].tolist()))
    if len(identities) < 2 or identities != list(range(len(identities))):
        raise NasError(f"{name}: training identities must be numbered from 0 without gaps, and be 2 at least")
    digest = hashlib.sha256(name.encode())
    for pictures in (train, query, gallery):
        for tensor in (pictures.images, pictures.who):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.contiguous().flatten().numpy().data)
    names = tuple(class_names or (str(i) for i in range(len(identities))))
    return PeopleData(train, query, gallery, names, name, note, digest.hexdigest()[:32])


def read_people(
    folder: Path,
    *,
    test_folder: Path | None = None,
    size: tuple[int, int] = SIZE,
    advance: Callable[[float], None] | None = None,
) -> PeopleData:
    """Decode a folder with bounding_box_train, query and bounding_box_test, whose files are named as in Market-1501.

    "0002_c1s1_000451_03.jpg" is identity 2 by camera 1; identity -1 is passed over, and 0 in the gallery is nobody of
    the queries. `test_folder` gives queries and gallery of another domain than that of training. `size` is (height,
    width). Raises `NasError` for missing folders, other names and damaged files.
    """
    found = []
    for number, part in enumerate(PARTS):
        place = (folder if number == 0 or test_folder is None else test_folder) / part
        found.append(_read_part(place, size, advance))
    names = sorted({int(identity) for identity in found[0].who[:, 0].tolist()})
    number_of = {name: i for i, name in enumerate(names)}
    who = found[0].who.clone()
    who[:, 0] = torch.tensor([number_of[int(identity)] for identity in who[:, 0].tolist()])
    note = "" if test_folder is None else f"trained on {folder.name}, tested on {test_folder.name}"
    return people_data(
        Pictures(found[0].images, who),
        found[1],
        found[2],
        name=folder.name,
        class_names=[str(name) for name in names],
        note=note,
    )


def _read_part(place: Path, size: tuple[int, int], advance: Callable[[float], None] | None) -> Pictures:
    from nas.tasks.folders import image_files, read_pixels

    if not place.is_dir():
        raise NasError(
            f"there is no folder {str(place)!r}: needed are {', '.join(PARTS)}, with files named like "
            "0002_c1s1_000451_03.jpg (identity 2, camera 1)"
        )
    images, who = [], []
    files = image_files(place)
    for file in files:
        match = FILE_NAME.match(file.name)
        if match is None:
            raise NasError(
                f"{str(file)!r} does not begin with an identity and a camera: needed are names like "
                "0002_c1s1_000451_03.jpg (identity 2, camera 1)"
            )
        if advance is not None:
            advance(1 / len(files) / len(PARTS))
        if int(match[1]) == JUNK:
            continue
        pixels = torch.tensor(read_pixels(file, size=size)).permute(2, 0, 1)
        images.append(pixels.expand(3, -1, -1))
        who.append((int(match[1]), int(match[2])))
    if not images:
        raise NasError(f"{str(place)!r} holds no pictures of known identities")
    return Pictures(torch.stack(images), torch.tensor(who, dtype=torch.int64))
