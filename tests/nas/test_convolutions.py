"""The CPU's detours are convolutions: same values, same gradients as torch's own, for every form."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nas.convolutions import Window, convolve

FORMS = [
    pytest.param(size, kernel, stride, dilation, group, id=f"{size}x{size} k{kernel} s{stride} d{dilation} g{group}")
    for size, kernel, (stride, dilation), group in itertools.product(
        (7, 8), (3, 7), ((1, 1), (2, 1), (1, 2), (2, 2), (1, 3)), (1, 2, 4)
    )
    if dilation * (kernel // 2) < size
]


def with_gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    pull = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    return [output, *torch.autograd.grad(output, inputs, pull)]


def tensors(size: int, kernel: int, group: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, size, size, generator=generator).contiguous(memory_format=torch.channels_last)
    made = [x, torch.randn(8, group, kernel, kernel, generator=generator), torch.randn(8, generator=generator)]
    return [tensor.to(dtype).requires_grad_() for tensor in made]


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation", "group"), FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_equals_torch(size: int, kernel: int, stride: int, dilation: int, group: int, training: bool) -> None:
    padding = dilation * (kernel // 2)
    window = Window((stride,) * 2, (padding,) * 2, (dilation,) * 2)
    x, weight, bias = tensors(size, kernel, group, torch.float64)
    ours = with_gradients(convolve(x, weight, bias, window=window, training=training), [x, weight, bias])
    output = functional.conv2d(x, weight, bias, stride, padding, dilation, 8 // group)
    for found, expected in zip(ours, with_gradients(output, [x, weight, bias]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation", "group"), FORMS)
def test_bfloat16_is_as_near_as_it_can_be(size: int, kernel: int, stride: int, dilation: int, group: int) -> None:
    padding = dilation * (kernel // 2)
    window = Window((stride,) * 2, (padding,) * 2, (dilation,) * 2)
    rounded = tensors(size, kernel, group, torch.bfloat16)
    exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
    ours = with_gradients(convolve(*rounded, window=window, training=True), rounded)
    output = functional.conv2d(*exact, stride, padding, dilation, 8 // group)
    for found, expected in zip(ours, with_gradients(output, exact), strict=True):
        assert found.dtype == torch.bfloat16
        scale = float(expected.detach().abs().max())
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.02 * scale)


def test_autocast_rounds_to_its_precision() -> None:
    x, weight, bias = tensors(8, 5, 1, torch.float32)
    window = Window((1, 1), (2, 2), (1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = convolve(x, weight, bias, window=window, training=True)
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_padding_that_is_not_centred_and_other_ranks() -> None:
    x, weight, _ = tensors(8, 3, 2, torch.float64)
    ours = convolve(x, weight, None, window=Window((2, 2), (0, 0), (2, 2)), training=True)
    torch.testing.assert_close(ours, functional.conv2d(x, weight, None, 2, 0, 2, 4))
    line, taps = torch.randn(2, 4, 9), torch.randn(6, 2, 3)
    ours = convolve(line, taps, None, window=Window((1,), (2,), (2,)), training=True)
    torch.testing.assert_close(ours, functional.conv1d(line, taps, None, 1, 2, 2, 2))
