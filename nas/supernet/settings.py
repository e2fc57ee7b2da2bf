"""How a supernet is trained, as plain values, and the learning rate of each step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nas.supernet.shapes import Key, SharedShape
from nas.supernet.weights import Supernet

LEARNING_RATE_FLOOR = 0.05


@dataclass(frozen=True)
class TrainSettings:
    """How the supernet is trained.

    Rates are those of SGD with Nesterov momentum: linear warm-up, then a cosine that does not fall
    below 5 % of the peak. `weight_decay` spares biases and norms. `clip_norm` bounds the norm of the
    summed gradients. `ema` is the decay of a moving average of the weights. `precision` is "fp32",
    "bf16", or "auto": bf16 where a few timed steps gain from it.

    `rule`, `sampling`, `distillation`, `sparsity_gradient` and `sparsity_schedule` are names of the tables in
    `nas.supernet.rules`, `.sampling`, `.distillation` and `.sparse`. `full_share` is the share of training for which
    the largest network is trained alone, `random_subnets` the random networks of a step; `None`: the rule's own.
    `members` (of a mixture) and `kernel_transforms` say how the supernet was made; `relaxed` names the choices that the
    rule "gumbel" learns, by their last words, and `choice_sparsity` the zeros that it learns them with; `sort_channels`
    sorts channels when widths begin to shrink. Zeros in weights come by the schedule between `sparsity_start` and
    `sparsity_end`, shares of training.
    """

    epochs: int = 50
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    warmup_epochs: float = 1.0
    random_subnets: int | None = None
    momentum: float = 0.9
    clip_norm: float = 5.0
    ema: float | None = None
    precision: str = "auto"
    seed: int = 0
    rule: str = "sandwich"
    teacher_every: int = 8
    sampling: str = "choices"
    cost_bins: int = 5
    distillation: str = "soft_labels"
    full_share: float | None = None
    ramp_share: float = 0.25
    shrink_order: tuple[str, ...] = ("resolution", "kernel", "depth", "width")
    members: int = 4
    relaxed: tuple[str, ...] = ()
    choice_sparsity: float = 0.0
    kernel_transforms: bool = False
    sort_channels: bool = False
    sparsity_gradient: str = "masked"
    sparsity_schedule: str = "none"
    sparsity_start: float = 0.1
    sparsity_end: float = 0.7


def supernet_for(shapes: Mapping[Key, SharedShape], settings: TrainSettings) -> Supernet:
    """Fresh shared weights as `settings` want them."""
    members = settings.members if settings.rule == "mixture" else 1
    return Supernet(shapes, seed=settings.seed, members=members, kernel_transforms=settings.kernel_transforms)


def learning_rate(settings: TrainSettings, position: int, steps_per_epoch: int) -> float:
    """Rate of optimiser step `position`: linear warm-up, then a cosine with a floor at 5 % of the peak."""
    total = settings.epochs * steps_per_epoch
    warm = min(total - 1, round(settings.warmup_epochs * steps_per_epoch))
    if position < warm:
        return settings.learning_rate * (position + 1) / warm
    share = (position - warm) / max(1, total - warm)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return settings.learning_rate * max(LEARNING_RATE_FLOOR, cosine)
