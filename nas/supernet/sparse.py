"""Zeros while training: how they come, and how gradients pass them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nas.masks import magnitude_mask, masked
from nas.modules import ZeroRule
from search_spaces.errors import unknown_name
from search_spaces.sparsity import Sparsity, pattern

REFINEMENT = 2e-4
LAST_DECAY = 0.01

Gradient = Literal["masked", "ste", "sr_ste", "decay_linear", "decay_exponential"]
GRADIENTS: Mapping[str, str] = {
    "masked": "dropped weights get no gradient",
    "ste": "gradients pass to all weights (straight-through)",
    "sr_ste": "straight-through, and dropped weights are pulled towards 0 (Zhou et al. 2021)",
    "decay_linear": "dropped weights fade out linearly, gradients pass to all (Bambhaniya et al. 2024)",
    "decay_exponential": "the same, exponentially",
}
"""What each way through zeros does, by the name in a recipe."""

SCHEDULES: Mapping[str, str] = {
    "none": "zeros are there from the first step",
    "cubic": "ratios rise cubically (Zhu and Gupta 2017); patterns are there from the start",
    "stepwise": "ratios as in cubic; patterns N:M go over (M-1):M and halves (Bambhaniya et al. 2024)",
    "geometric": "ratios as in cubic; patterns N:M go over 8N:8M, 4N:4M, 2N:2M",
}
"""How zeros come, by the name in a recipe."""


def cubic(done: float, final: float, initial: float = 0.0) -> float:
    """Sparsity after the share `done` of its rise: s_f + (s_i - s_f)(1 - done)^3 (Zhu and Gupta 2017)."""
    return final + (initial - final) * (1 - min(1.0, max(0.0, done))) ** 3


def stepwise_patterns(final: str) -> tuple[str, ...]:
    """The frames of "1:16": 15:16, 8:16, 4:16, 2:16, 1:16; floor(log2(M/N)) + 1 of them, the last one `final`."""
    kept, size = _pattern(final)
    frames = math.floor(math.log2(size / kept)) + 1
    if frames == 1:
        return (final,)
    halves = [size // 2**i for i in range(1, frames - 1)]
    return tuple(f"{n}:{size}" for n in (size - 1, *halves, kept))


def geometric_patterns(final: str) -> tuple[str, ...]:
    """The frames of "1:8": 8:64, 4:32, 2:16, 1:8; ever smaller groups of one ratio."""
    kept, size = _pattern(final)
    return tuple(f"{kept * factor}:{size * factor}" for factor in (8, 4, 2, 1))


def _pattern(final: str) -> tuple[int, int]:
    found = pattern(final)
    assert found is not None
    return found


class _ThroughZeros(torch.autograd.Function):
    """weight * factor; the gradient passes as it is, plus `pull` times the weights to be pulled to 0."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, factor: Tensor, pull: float) -> Tensor:
        ctx.pull = pull  # type: ignore[attr-defined]
        if pull:
            ctx.save_for_backward(weight, factor)
        return weight * factor

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        pull: float = ctx.pull  # type: ignore[attr-defined]
        if pull:
            weight, factor = ctx.saved_tensors  # type: ignore[attr-defined]
            gradient = gradient + pull * (1 - factor) * weight
        return gradient, None, None


@dataclass(frozen=True)
class ZerosNow:
    """The zeros of one moment: a weight and its sparsity to the weight that is used.

    gradient: a key of `GRADIENTS`. schedule: a key of `SCHEDULES`. done: share of the way to the final zeros, below 0
    before they begin. Ratios use exactly floor(ratio * elements) zeros at every moment.
    """

    gradient: str
    schedule: str
    done: float

    def __call__(self, weight: Tensor, sparsity: Sparsity) -> Tensor:
        """`weight` [out, in, *taps] as it is used."""
        now = self.sparsity(sparsity)
        if not now:
            return weight
        if self.gradient == "masked":
            return masked(weight, now)
        mask = magnitude_mask(weight, now)
        through: Tensor = _ThroughZeros.apply(  # type: ignore[no-untyped-call]
            weight, self._factor(mask, weight), REFINEMENT if self.gradient == "sr_ste" else 0.0
        )
        return through

    def sparsity(self, final: Sparsity) -> Sparsity:
        """What stands for `final` at this moment."""
        if self.schedule == "none" or not final:
            return final
        if self.done < 0:
            return 0.0
        if not isinstance(final, str):
            return cubic(self.done, final)
        if self.schedule == "cubic":
            return final
        frames = stepwise_patterns(final) if self.schedule == "stepwise" else geometric_patterns(final)
        return frames[min(len(frames) - 1, int(self.done * len(frames)))]

    def _factor(self, mask: Tensor, weight: Tensor) -> Tensor:
        """1 for kept weights, the decay that is left for dropped ones."""
        factor = mask.to(weight.dtype)
        left = self.decay
        return factor if not left else factor + left * (1 - factor)

    @property
    def decay(self) -> float:
        """What is left of dropped weights: from 1 to 0 over the way, and 0 after it."""
        done = min(1.0, max(0.0, self.done))
        if done == 1:
            return 0.0
        if self.gradient == "decay_linear":
            return 1 - done
        return LAST_DECAY**done if self.gradient == "decay_exponential" else 0.0


def zeros_at(share: float, *, gradient: str, schedule: str, start: float, end: float) -> ZeroRule | None:
    """The zeros after `share` of training; `None` where nothing differs from the plain mask.

    start, end: shares of training between which they come. Raises `NasError` for names that are not known.
    """
    if gradient not in GRADIENTS:
        raise unknown_name("sparsity gradient", gradient, GRADIENTS)
    if schedule not in SCHEDULES:
        raise unknown_name("sparsity schedule", schedule, SCHEDULES)
    if gradient == "masked" and schedule == "none":
        return None
    return ZerosNow(gradient, schedule, (share - start) / (end - start))
