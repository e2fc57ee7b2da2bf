"""A network for images of 28 x 28.

Use:

    from model import load, preprocess

    network = load("weights.safetensors")
    output = network(preprocess(images))  # images: uint8 [n, 3, 28, 28] or another size
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.nn import functional


def sparse_mask(weight: Tensor, sparsity: float) -> Tensor | None:
    """Which weights are kept: the largest, all but a share of `sparsity`."""
    if sparsity == 0:
        return None
    order = weight.detach().abs().flatten().argsort()
    mask = torch.ones(order.numel(), dtype=torch.bool)
    mask[order[: int(sparsity * order.numel())]] = False
    return mask.view(weight.shape)


class SparseConv2d(nn.Conv2d):
    """A convolution some of whose weights stay zero through training; `mask` is saved with the weights."""

    mask: Tensor | None

    def __init__(self, *args: Any, sparsity: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("mask", sparse_mask(self.weight, sparsity))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.mask is None or not self.training else self.weight * self.mask
        return self._conv_forward(x, weight, self.bias)

    def train(self, mode: bool = True) -> Self:
        if self.mask is not None:
            with torch.no_grad():
                self.weight.mul_(self.mask)
        return super().train(mode)


def initialise(module: nn.Module) -> None:
    """Draw the weights of a layer (He et al. 2015); norms keep their start, zero at the end of a residual branch."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class ConvNormAct(nn.Module):
    """Conv, norm, act."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        sparsity: float = 0.0,
        zero_init: bool = False,
        groups: int = 1,
        act: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv = SparseConv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=False,
            sparsity=sparsity,
        )
        self.norm = nn.BatchNorm2d(out_channels)
        if zero_init:
            nn.init.zeros_(self.norm.weight)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class MBConv(nn.Module):
    """Inverted residual (Sandler et al. 2018): 1x1 expand, grouped kxk, optional gate, linear 1x1 project."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        expand: int,
        group_size: int = 1,
        dilation: int = 1,
        sparsity: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = in_channels * expand
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = ConvNormAct(in_channels, hidden, kernel=1, sparsity=sparsity)
        self.spatial = ConvNormAct(
            hidden, hidden, kernel=kernel, stride=stride, dilation=dilation, groups=hidden // group_size
        )
        self.project = ConvNormAct(
            hidden, out_channels, kernel=1, sparsity=sparsity, zero_init=self.residual, act=nn.Identity
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x)
        y = self.spatial(y)
        y = self.project(y)
        return y + x if self.residual else y


class Classifier(nn.Module):
    """Pool, flatten, linear."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(in_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.pool(x).flatten(1))


class Network(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, 16)
        self.stage0 = nn.Sequential(
            OrderedDict(
                block0=MBConv(16, 24, expand=3),
                block1=MBConv(24, 24, kernel=5, expand=6, group_size=8, dilation=2, sparsity=0.5),
            )
        )
        self.stage1 = nn.Sequential(
            OrderedDict(
                block0=MBConv(24, 32, kernel=7, stride=2, expand=4, group_size=4, dilation=2, sparsity=0.5),
                block1=MBConv(32, 32, expand=6, sparsity=0.75),
                block2=MBConv(32, 32, kernel=7, expand=4, group_size=8, dilation=2),
            )
        )
        self.stage2 = nn.Sequential(
            OrderedDict(
                block0=MBConv(32, 96, kernel=5, stride=2, expand=6, group_size=4, sparsity=0.75),
            )
        )
        self.classifier = Classifier(96, 10)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.stage0(x)
        x = self.stage1(x)
        x = self.stage2(x)
        return self.classifier(x)


def preprocess(images: Tensor) -> Tensor:
    """Images uint8 [n, channels, height, width] as the network takes them: 28 x 28, normalised."""
    x = images.float()
    if x.shape[2:] != (28, 28):
        x = functional.interpolate(x, size=(28, 28), mode="bilinear", antialias=True)
    mean = torch.tensor([0.4914, 0.4822, 0.4465], device=x.device).view(-1, 1, 1)
    std = torch.tensor([0.247, 0.2435, 0.2616], device=x.device).view(-1, 1, 1)
    return (x / 255 - mean) / std


def load(path: str | Path = "weights.safetensors") -> Network:
    """The network with the weights saved at `path`, ready to predict; call `.train()` to train it."""
    network = Network()
    load_model(network, path)
    return network.eval()
