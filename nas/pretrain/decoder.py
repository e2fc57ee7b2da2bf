"""The light decoder of masked pretraining: what it makes of the visible maps is thrown away afterwards."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.pretrain.masking import mask_at
from search_spaces.errors import NasError


class LightDecoder(nn.Module):
    """From maps of several resolutions, the coarsest first, to an image of the finest times `first_factor`.

    Each step doubles the resolution: transposed 4x4, two 3x3 with batch norm, ReLU6 between; half as wide as the one
    before. Maps [n, width / 2^i, ...] are added before step i (Tian et al. 2023).
    """

    def __init__(self, width: int, steps: int, channels: int) -> None:
        super().__init__()
        if width % 2**steps:
            raise NasError(f"a decoder of {steps} steps needs a width that {2**steps} divides, got {width}")
        widths = [width // 2**i for i in range(steps + 1)]
        self.steps = nn.ModuleList(_step(a, b) for a, b in pairwise(widths))
        self.image = nn.Conv2d(widths[-1], channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        x = torch.zeros((), device=maps[0].device)
        for i, step in enumerate(self.steps):
            if i < len(maps):
                x = maps[i] if i == 0 else _like(x, maps[i]) + maps[i]
            x = step(x)
        image: Tensor = self.image(x)
        return image


def _like(x: Tensor, other: Tensor) -> Tensor:
    return x if x.shape[2:] == other.shape[2:] else functional.interpolate(x, size=other.shape[2:], mode="nearest")


def _step(given: int, made: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(given, given, 4, stride=2, padding=1),
        nn.Conv2d(given, given, 3, padding=1, bias=False),
        nn.BatchNorm2d(given),
        nn.ReLU6(inplace=True),
        nn.Conv2d(given, made, 3, padding=1, bias=False),
        nn.BatchNorm2d(made),
    )


class Densify(nn.Module):
    """Visible maps made whole: normalised where visible, a learned token where hidden, brought to a decoder width."""

    def __init__(self, channels: int, width: int, *, kernel: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.token = nn.Parameter(torch.randn(1, channels, 1, 1) * 0.02)
        self.project = nn.Conv2d(channels, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        seen = mask_at(mask, tuple(x.shape[2:]))
        whole = self.token.expand_as(x).movedim(1, -1).clone()
        whole[seen[:, 0]] = self.norm(x.movedim(1, -1)[seen[:, 0]]).to(whole.dtype)
        made: Tensor = self.project(whole.movedim(-1, 1))
        return made


class Filler(nn.Module):
    """Densified maps of an encoder and the light decoder over them."""

    def __init__(self, channels: Sequence[int], *, width: int, steps: int, image_channels: int) -> None:
        super().__init__()
        self.densify = nn.ModuleList(
            Densify(count, width // 2**i, kernel=1 if i == 0 else 3) for i, count in enumerate(channels)
        )
        self.decoder = LightDecoder(width, steps, image_channels)

    def forward(self, maps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Image [n, C, H, W] from the encoder's maps, the coarsest first, and the mask [n, 1, *grid]."""
        whole = [densify(x, mask) for densify, x in zip(self.densify, maps, strict=True)]
        image: Tensor = self.decoder(whole)
        return image


def hidden_loss(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over hidden patches of images [n, C, H, W]; each patch of the target is normalised by itself.

    A patch is what one cell of mask [n, 1, *grid] covers. Mean and deviation (plus 1e-6 in the variance) are those of
    all its values (He et al. 2022).
    """
    wanted, got = _patches(target, mask), _patches(image, mask)
    mean, variance = wanted.mean(-1, keepdim=True), wanted.var(-1, keepdim=True)
    errors = (got - (wanted - mean) / (variance + 1e-6).sqrt()).square().mean(-1)
    hidden = ~mask.flatten(1)
    return (errors * hidden).sum() / hidden.sum()


def _patches(image: Tensor, mask: Tensor) -> Tensor:
    """[n, C, H, W] as [n, cells, values of a patch]."""
    rows, columns = mask.shape[2:]
    n, channels, height, width = image.shape
    split = image.view(n, channels, rows, height // rows, columns, width // columns)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, -1)
