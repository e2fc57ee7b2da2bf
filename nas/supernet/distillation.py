"""Distillation losses: what a student loses by not answering as its teacher does."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Distillation = Callable[[Tensor, Tensor], Tensor]
"""(student's logits [n, classes, ...], teacher's probabilities, the same shape) to the mean loss, a scalar."""

ALPHAS = (-1.0, 1.0)
BOUND = 5.0


def soft_labels(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy against the teacher's probabilities (Hinton et al. 2015), in nats."""
    return functional.cross_entropy(logits, teacher)


def alpha_divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """The larger, per sample, of two alpha-divergences whose importance ratios are bounded (AlphaNet, Wang 2021).

    Alpha -1 punishes a student that is sure where its teacher is not, alpha 1 one that is unsure where its teacher is
    sure. The value is the divergence, and the gradient that of the divergence with (p/q)^alpha cut at `BOUND`.
    """
    log_student = logits.log_softmax(1)
    ratio = teacher.clamp_min(torch.finfo(teacher.dtype).tiny).log() - log_student.detach()
    student = log_student.detach().exp()
    low, low_factor = _divergence(ALPHAS[0], ratio, student)
    high, high_factor = _divergence(ALPHAS[1], ratio, student)
    low, high = low.sum(1, keepdim=True), high.sum(1, keepdim=True)
    factor = torch.where(low > high, low_factor, high_factor)
    carried: Tensor = -(factor * log_student).sum(1).mean()
    return carried - carried.detach() + torch.maximum(low, high).mean()


def _divergence(alpha: float, log_ratio: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Per class: D_alpha(teacher || student), and minus its derivative by the student's log-probability.

    D_alpha = sum_i q_i ((p_i/q_i)^alpha - 1) / (alpha (alpha - 1)), and sum_i p_i log(p_i/q_i) at alpha 1;
    its gradient is -1/alpha sum_i q_i (p_i/q_i)^alpha grad log q_i.
    """
    power = (alpha * log_ratio).exp().clamp_max(BOUND)
    divergence = power * log_ratio - power + 1 if alpha == 1 else (power - 1) / (alpha * (alpha - 1))
    return student * divergence, student * power / alpha


DISTILLATIONS: Mapping[str, Distillation] = {
    "soft_labels": soft_labels,
    "alpha_divergence": alpha_divergence,
}
"""By the name in a recipe."""
