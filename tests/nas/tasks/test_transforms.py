import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from nas.tasks.transforms import (
    Augmentation,
    channel_statistics,
    cut_out,
    normalise,
    resize,
    shift_and_flip,
    suitable_augmentation,
)
from search_spaces.errors import NasError


def random_images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_crop(image: torch.Tensor, shift: int, border: str, *, flip: bool) -> dict[bytes, str]:
    """All images that padding, cropping and mirroring can make of one: pixels -> how."""
    mode = {"reflect": "reflect", "zero": "constant"}[border]
    padded = functional.pad(image[None].float(), [shift] * 4, mode=mode)[0].to(torch.uint8)
    height, width = image.shape[1:]
    crops = {}
    for top in range(2 * shift + 1):
        for left in range(2 * shift + 1):
            crop = padded[:, top : top + height, left : left + width]
            crops[crop.contiguous().numpy().tobytes()] = f"{top},{left}"
            if flip:
                crops[crop.flip(2).contiguous().numpy().tobytes()] = f"{top},{left} mirrored"
    return crops


@pytest.mark.parametrize("border", ["reflect", "zero"])
@pytest.mark.parametrize("flip", [False, True])
def test_augmented_images_are_crops_of_the_padded_ones(border: str, flip: bool) -> None:
    images = random_images(3, 2, 6, 7)
    augmentation = Augmentation(shift=2, flip=flip, border=border)  # type: ignore[arg-type]
    indices = torch.tensor([2, 0] * 600)
    made = shift_and_flip(images, indices, augmentation, generator=seeded())
    assert made.shape == (1200, 2, 6, 7)
    assert made.is_contiguous(memory_format=torch.channels_last)
    for which in (0, 2):
        crops = every_crop(images[which], 2, border, flip=flip)
        seen = {crops[image.contiguous().numpy().tobytes()] for image in made[indices == which]}
        assert len(seen) == len(crops) == 25 * (1 + flip)


def test_augmentation_follows_the_generator() -> None:
    images, indices = random_images(9, 3, 8, 8), torch.arange(9)
    one, same, other = (shift_and_flip(images, indices, Augmentation(), generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_no_shift_and_no_flip_is_the_identity() -> None:
    images = random_images(4, 1, 8, 8)
    still = Augmentation(shift=0, flip=False)
    assert torch.equal(shift_and_flip(images, torch.arange(4), still, generator=seeded()), images)


def test_a_shift_as_large_as_the_image_cannot_be_reflected() -> None:
    with pytest.raises(NasError, match=r"8 × 8 cannot be shifted by 8 .* at most 7"):
        shift_and_flip(random_images(1, 1, 8, 8), torch.tensor([0]), Augmentation(shift=8), generator=seeded())
    with pytest.raises(NasError, match=r"0 or more"):
        Augmentation(shift=-1)


def test_cutout_hides_one_square() -> None:
    made = cut_out(torch.ones(500, 2, 10, 12), 4, generator=seeded())
    areas = set()
    for image in made:
        assert torch.equal(image[0], image[1])
        rows, columns = (torch.where(image[0] == 0)[axis].unique() for axis in (0, 1))
        hidden = int((image[0] == 0).sum())
        assert hidden == len(rows) * len(columns) > 0
        assert int(rows[-1] - rows[0]) + 1 == len(rows) <= 4
        assert int(columns[-1] - columns[0]) + 1 == len(columns) <= 4
        areas.add(hidden)
    assert {4, 16} <= areas


def test_suitable_augmentation() -> None:
    assert suitable_augmentation((3, 32, 32)) == Augmentation(4, True, "reflect", 0)
    assert suitable_augmentation((1, 8, 8)) == Augmentation(1, False, "zero", 0)
    assert suitable_augmentation((1, 28, 28)).shift == 2


def test_normalised_images_have_mean_0_and_deviation_1() -> None:
    images = random_images(50, 3, 7, 9) // torch.tensor([1, 2, 4], dtype=torch.uint8).view(3, 1, 1)
    indices = torch.arange(0, 50, 2)
    mean, std = channel_statistics(images, indices)
    plain = images[indices].double() / 255
    assert mean == pytest.approx(plain.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(plain.std((0, 2, 3), correction=0).tolist(), rel=1e-12)
    made = normalise(images[indices], mean, std)
    assert made.dtype == torch.float32
    oracle = (plain - torch.tensor(mean).double().view(3, 1, 1)) / torch.tensor(std).double().view(3, 1, 1)
    torch.testing.assert_close(made.double(), oracle, rtol=0, atol=1e-6)


def test_a_constant_channel_is_normalised_to_0() -> None:
    images = torch.full((4, 1, 3, 3), 77, dtype=torch.uint8)
    mean, std = channel_statistics(images, torch.arange(4))
    assert (mean, std) == ((pytest.approx(77 / 255),), (1.0,))
    assert normalise(images, mean, std).abs().max() < 1e-6


def test_resize_is_the_identity_when_the_size_fits() -> None:
    images = random_images(2, 3, 12, 10).float()
    assert resize(images, (12, 10)) is images


@pytest.mark.parametrize("size", [(6, 5), (7, 4), (24, 30), (12, 3)])
def test_resize_agrees_with_pillow(size: tuple[int, int]) -> None:
    images = random_images(2, 3, 12, 10)
    made = resize(images, size)
    exact = resize(images.float(), size)
    assert made.dtype == torch.uint8
    assert made.shape[2:] == exact.shape[2:] == size
    for image, whole, fine in zip(images, made, exact, strict=True):
        for plane, whole_plane, fine_plane in zip(image, whole, fine, strict=True):
            float_image = Image.fromarray(plane.numpy().astype(np.float32))
            oracle = np.asarray(float_image.resize(size[::-1], Image.Resampling.BILINEAR))
            assert np.abs(oracle - fine_plane.numpy()).max() < 1e-3
            assert np.abs(oracle - whole_plane.numpy()).max() <= 0.501


def test_resize_and_normalise_commute() -> None:
    images, mean, std = random_images(2, 3, 12, 12), (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    first = resize(normalise(images, mean, std), 8)
    pixels = resize(images.float(), 8) / 255
    second = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)


def test_resize_refuses_no_pixels() -> None:
    with pytest.raises(NasError, match=r"cannot be resized to 0 × 4"):
        resize(random_images(1, 1, 4, 4), (0, 4))
    assert not math.isnan(float(resize(random_images(1, 1, 4, 4).float(), 1).sum()))
