"""Made-up people, seen by cameras of two domains: pictures for re-identification where none may be shipped.

An identity is what somebody wears: colours, patterns and their spacing, lengths, a bag. A picture shows it somewhat
moved, before the background of a camera, in that camera's colours. The networks train on the cameras of one domain; the
identities to be found again are others, seen by the cameras of another domain, where the light differs from picture to
picture: contrast, brightness and the gain of each colour. `shift=False` gives that domain the light of the first.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nas.tasks.people import SYNTHETIC_SIZE, PeopleData, Pictures, people_data
from search_spaces.errors import NasError

Floats = npt.NDArray[np.float64]
PATTERNS = ("plain", "across", "along", "checks", "slanted")
TRAINED, TESTED = 60, 40
PER_CAMERA, CAMERAS = 3, 4
SYNTHETIC = {"synthetic_people": True, "synthetic_people_steady": False}
"""Names by which a recipe asks for made-up people: whether the light of the tested domain is another."""


@dataclass(frozen=True, slots=True)
class Light:
    """How much pictures of a domain differ in light.

    Deviations of the logarithm of contrast, of brightness (on the scale 0 to 1) and of the logarithm of the gain of
    each colour.
    """

    contrast: float
    brightness: float
    gain: float


STEADY = Light(0.12, 0.05, 0.05)
SHIFTING = Light(0.45, 0.15, 0.2)


@dataclass(frozen=True, slots=True)
class _Person:
    """What one identity looks like; colours are (red, green, blue) from 0 to 1, extents shares of the picture."""

    hair: Floats
    skin: Floats
    top: Floats
    second: Floats
    legs: Floats
    bag: Floats
    pattern: str
    period: float
    width: float
    waist: float
    hem: float
    bag_side: int


@dataclass(frozen=True, slots=True)
class _Camera:
    """What one camera adds: background at top and bottom, and its own gain per colour."""

    above: Floats
    below: Floats
    gain: Floats


def synthetic_people(
    *,
    seed: int = 0,
    shift: bool = True,
    size: tuple[int, int] = SYNTHETIC_SIZE,
    trained: int = TRAINED,
    tested: int = TESTED,
) -> PeopleData:
    """Pictures of `trained` identities to train on and of `tested` others by the cameras of another domain.

    Four cameras a domain take three pictures each; of the others' the first by each camera is a query. The same seed
    gives the same people, poses and backgrounds with and without `shift`. Raises `NasError` for fewer than two
    identities or pictures below 16 x 8 pixels.
    """
    if min(trained, tested) < 2 or size[0] < 16 or size[1] < 8:
        raise NasError(
            f"{trained} and {tested} identities of {size[0]} × {size[1]} pixels: at least 2 of 16 × 8 are needed"
        )
    first = _part(seed, range(trained), domain=0, light=STEADY, size=size)
    other = _part(seed, range(trained, trained + tested), domain=1, light=SHIFTING if shift else STEADY, size=size)
    asked = torch.arange(len(other.who)) % PER_CAMERA == 0
    return people_data(
        first,
        Pictures(other.images[asked], other.who[asked]),
        Pictures(other.images[~asked], other.who[~asked]),
        name="synthetic_people",
        note="made-up people, tested in another light" if shift else "made-up people",
    )


def _part(seed: int, identities: range, *, domain: int, light: Light, size: tuple[int, int]) -> Pictures:
    cameras = [_camera(np.random.default_rng([seed, 1, domain, number])) for number in range(CAMERAS)]
    images, who = [], []
    for identity in identities:
        person = _person(np.random.default_rng([seed, 0, identity]))
        for number, camera in enumerate(cameras):
            for take in range(PER_CAMERA):
                rng = np.random.default_rng([seed, 2, identity, number, take])
                images.append(_picture(person, camera, light, size, rng))
                who.append((identity, domain * CAMERAS + number))
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Pictures(stacked, torch.tensor(who, dtype=torch.int64))


def _person(rng: np.random.Generator) -> _Person:
    return _Person(
        hair=rng.uniform(0.05, 0.6) * np.array([1.0, 0.8, 0.6]),
        skin=rng.uniform(0.4, 0.9) * np.array([1.0, 0.8, 0.7]),
        top=rng.uniform(0.1, 0.9, 3),
        second=rng.uniform(0.1, 0.9, 3),
        legs=rng.uniform(0.1, 0.9, 3),
        bag=rng.uniform(0.1, 0.9, 3),
        pattern=PATTERNS[int(rng.integers(len(PATTERNS)))],
        period=float(rng.uniform(0.1, 0.25)),
        width=float(rng.uniform(0.35, 0.6)),
        waist=float(rng.uniform(0.48, 0.6)),
        hem=float(rng.uniform(0.65, 0.95)),
        bag_side=int(rng.integers(-1, 2)),
    )


def _camera(rng: np.random.Generator) -> _Camera:
    return _Camera(rng.uniform(0.2, 0.8, 3), rng.uniform(0.2, 0.8, 3), np.exp(rng.normal(0.0, 0.08, 3)))


def _picture(
    person: _Person, camera: _Camera, light: Light, size: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3]; what the light does is drawn last, so that all else is the same in any light."""
    height, width = size
    rows = (np.arange(height)[:, None] + 0.5) / height
    columns = (np.arange(width)[None, :] + 0.5) / width
    drop, side = rng.normal(0.0, 0.02), rng.normal(0.0, 0.05)
    grow, stride = np.exp(rng.normal(0.0, 0.05)), rng.uniform(0.02, 0.12)
    y = (rows - 0.5) / grow + 0.5 - drop
    x = (columns - 0.5) / grow - side
    scene = camera.above + (camera.below - camera.above) * rows[..., None]
    scene = scene + rng.normal(0.0, 0.05, (height, width, 1))
    for mask, colour in _layers(person, x, y, stride, phase=float(rng.uniform())):
        scene = np.where(mask[..., None], colour, scene)
    scene = scene + rng.normal(0.0, 0.03, (height, width, 3))
    contrast, shade = np.exp(rng.normal() * light.contrast), rng.normal() * light.brightness
    gain = camera.gain * np.exp(rng.normal(size=3) * light.gain)
    lit = ((scene - 0.5) * contrast + 0.5 + shade) * gain
    pixels: npt.NDArray[np.uint8] = np.rint(255 * np.clip(lit, 0.0, 1.0)).astype(np.uint8)
    return pixels


def _layers(
    person: _Person, x: Floats, y: Floats, stride: float, *, phase: float
) -> list[tuple[npt.NDArray[np.bool_], Floats]]:
    """Where each part of a person is, [H, W], and its colour, [3] or [H, W, 3]; later ones lie above."""
    half = person.width / 2
    body = np.abs(x) <= half
    legs = (np.abs(np.abs(x) - stride) <= half / 2.5) & (y > person.waist) & (y <= 0.97)
    top = body & (y > 0.2) & (y <= person.waist)
    head = ((x / 0.16) ** 2 + ((y - 0.11) / 0.085) ** 2) <= 1
    hair = head & (y < 0.09)
    bag = (np.abs(x - person.bag_side * half) <= 0.12) & (np.abs(y - person.waist) <= 0.09)
    layers = [
        (legs, np.where((y > person.hem)[..., None], person.skin, person.legs)),
        (top, np.where(_drawn(person, x, y, phase)[..., None], person.second, person.top)),
        (head, person.skin),
        (hair, person.hair),
    ]
    return [*layers, (bag, person.bag)] if person.bag_side else layers


def _drawn(person: _Person, x: Floats, y: Floats, phase: float) -> npt.NDArray[np.bool_]:
    """Where the pattern of the top has its second colour, [H, W]."""
    along = np.mod(x / (2 * person.period) + phase, 1.0) < 0.5
    across = np.mod(y / person.period + phase, 1.0) < 0.5
    slanted = np.mod((x / 2 + y) / person.period + phase, 1.0) < 0.5
    nowhere = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    found = {"plain": nowhere, "across": across | nowhere, "along": along | nowhere, "slanted": slanted}
    return found[person.pattern] if person.pattern in found else along ^ across
