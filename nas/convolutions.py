"""Convolutions as oneDNN, torch's library on CPUs, computes them fast.

It has good kernels for most convolutions, and ones that are 1.3 to 60 times slower than they need be for some that a
search meets often: strides with dilation; in training also dilated kernels wider than the map, groups of 2, and in
bfloat16 depthwise kernels that are strided, dilated or have more than 3 columns. Each of these is turned into an
equal convolution that is fast; results agree to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
FAST_COLUMNS = 3
FAST_ROWS_STRIDED = 5


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel moves over a map: one entry per spatial axis."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, window: Window, training: bool) -> Tensor:
    """Convolution of x [n, in, *spatial] with weight [out, in per group, *kernel]."""
    if x.device.type == "cpu" and x.ndim == 4:
        if torch.is_autocast_enabled("cpu"):
            precision = torch.get_autocast_dtype("cpu")
            x, weight = x.to(precision), weight.to(precision)
        return _planar(x, weight, bias, window, training)
    return _plain(x, weight, bias, window)


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    groups = x.shape[1] // weight.shape[1]
    convolution = _CONVOLUTIONS[x.ndim - 2]
    return convolution(x, weight, bias, window.stride, window.padding, window.dilation, groups)


def _planar(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, training: bool) -> Tensor:
    spacing = window.dilation[0]
    centred = _centred(weight, window)
    if spacing > 1 and centred and window.stride == window.dilation == (spacing, spacing):
        x, window = x[:, :, ::spacing, ::spacing], _undilated(weight)
    if not training:
        return _plain(x, weight, bias, window)
    narrow = x.dtype == torch.bfloat16 and weight.shape[1] == 1 and len(weight) == x.shape[1]
    if centred and window.stride == (1, 1) and window.dilation == (spacing, spacing) != (1, 1):
        wide = spacing * (max(weight.shape[2:]) - 1) >= min(x.shape[2:])
        if wide or narrow:
            parts = _planar(_phases(x, spacing), weight, bias, _undilated(weight), training)
            return _joined(parts, x.shape, spacing)
    if narrow and window.dilation == (1, 1):
        y: Tensor = _Depthwise.apply(x, weight, window)  # type: ignore[no-untyped-call]
        return y if bias is None else y + bias.to(y.dtype).view(-1, 1, 1)
    if weight.shape[1] == 2 and x.shape[1] % 4 == 0:
        weight = _groups_of_four(weight, x.shape[1])
    return _plain(x, weight, bias, window)


def _centred(weight: Tensor, window: Window) -> bool:
    """Whether the kernel is odd and padded so that its centre visits every stride-th position."""
    extents = zip(weight.shape[2:], window.padding, window.dilation, strict=True)
    return all(size % 2 and padding == spacing * (size // 2) for size, padding, spacing in extents)


def _undilated(weight: Tensor) -> Window:
    height, width = weight.shape[2:]
    return Window((1, 1), (height // 2, width // 2), (1, 1))


def _phases(x: Tensor, spacing: int) -> Tensor:
    """[n, c, h, w] to [spacing² n, c, h / spacing, w / spacing]: taps of a dilated kernel meet one phase."""
    count, channels, height, width = x.shape
    rows, columns = -(-height // spacing), -(-width // spacing)
    x = functional.pad(x, (0, columns * spacing - width, 0, rows * spacing - height))
    split = x.view(count, channels, rows, spacing, columns, spacing).permute(3, 5, 0, 2, 4, 1)
    return split.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)


def _joined(phases: Tensor, shape: torch.Size, spacing: int) -> Tensor:
    """Inverse of `_phases` for a map of the size of `shape`."""
    _, channels, rows, columns = phases.shape
    split = phases.permute(0, 2, 3, 1).view(spacing, spacing, shape[0], rows, columns, channels)
    whole = split.permute(2, 3, 0, 4, 1, 5).reshape(shape[0], rows * spacing, -1, channels)
    return whole.permute(0, 3, 1, 2)[:, :, : shape[2], : shape[3]]


def _groups_of_four(weight: Tensor, channels: int) -> Tensor:
    """The weight of groups of 2 as that of groups of 4, zeros where the groups do not meet."""
    outputs = weight.shape[0] // (channels // 2)
    split = weight.view(-1, 2, outputs, 1, 2, *weight.shape[2:])
    own = torch.eye(2, dtype=weight.dtype).view(2, 1, 2, 1, 1, 1)
    return (split * own).reshape(weight.shape[0], 4, *weight.shape[2:])


class _Depthwise(torch.autograd.Function):
    """Undilated depthwise convolution in bfloat16, its gradients from fast kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, window: Window) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.window = window
        return _plain(x, weight, None, window)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _input_gradient(x, weight, ctx.window, gradient)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(x, weight, ctx.window, gradient)
        return of_x, of_weight, None


def _backward(x: Tensor, weight: Tensor, window: Window, gradient: Tensor, of_weight: bool) -> Tensor:
    gradients = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        window.stride,
        window.padding,
        window.dilation,
        False,
        [0, 0],
        x.shape[1],
        [not of_weight, of_weight, False],
    )
    result: Tensor = gradients[int(of_weight)]
    return result


def _input_gradient(x: Tensor, weight: Tensor, window: Window, gradient: Tensor) -> Tensor:
    if window.stride == (1, 1) or not _centred(weight, window):
        return _backward(x, weight, window, gradient, False)
    spread = torch.zeros_like(x)
    spread[:, :, :: window.stride[0], :: window.stride[1]] = gradient
    return _plain(spread, weight.flip(2, 3), None, _undilated(weight))


def _weight_gradient(x: Tensor, weight: Tensor, window: Window, gradient: Tensor) -> Tensor:
    height, width = weight.shape[2:]
    rows = height if window.stride == (1, 1) else min(height, FAST_ROWS_STRIDED)
    if width <= FAST_COLUMNS and rows == height:
        return _backward(x, weight, window, gradient, True)
    above, left = window.padding
    padded = functional.pad(x, (left, left, above, above))
    inner = replace(window, padding=(0, 0))
    result = torch.empty_like(weight)
    down, right = window.stride
    spans = ((gradient.shape[2] - 1) * down, (gradient.shape[3] - 1) * right)
    for top in range(0, height, rows):
        for first in range(0, width, FAST_COLUMNS):
            part = weight[:, :, top : top + rows, first : first + FAST_COLUMNS]
            met = padded[
                :,
                :,
                top : top + spans[0] + part.shape[2],
                first : first + spans[1] + part.shape[3],
            ]
            result[:, :, top : top + rows, first : first + FAST_COLUMNS] = _backward(met, part, inner, gradient, True)
    return result
