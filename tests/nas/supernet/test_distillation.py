"""Distillation losses against their definitions."""

import math

import pytest
import torch
from torch.nn import functional

from nas.supernet.distillation import BOUND, alpha_divergence, soft_labels


def pair(seed: int, *, scale: float = 1.0, n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, 7, generator=generator, dtype=torch.float64)
    teacher = (scale * torch.randn(n, 7, generator=generator, dtype=torch.float64)).softmax(1)
    return logits.requires_grad_(), teacher


def test_soft_labels_are_cross_entropy() -> None:
    logits, teacher = pair(0)
    expected = -(teacher * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(soft_labels(logits, teacher), expected)
    assert torch.equal(soft_labels(logits, teacher), functional.cross_entropy(logits, teacher))


def divergence(alpha: float, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Per sample, by its definition."""
    if alpha == 1:
        return (teacher * (teacher / student).log()).sum(1)
    return (student * ((teacher / student) ** alpha - 1)).sum(1) / (alpha * (alpha - 1))


@pytest.mark.parametrize("seed", range(4))
def test_value_and_gradient_are_those_of_the_larger_divergence(seed: int) -> None:
    """With answers so alike that no ratio is cut."""
    logits, teacher = pair(seed, scale=0.3)
    student = logits.detach().softmax(1)
    ratio = teacher / student
    assert float(torch.maximum(ratio, 1 / ratio).max()) < BOUND
    found = alpha_divergence(logits, teacher)
    found.backward()  # type: ignore[no-untyped-call]
    again = logits.detach().clone().requires_grad_()
    both = torch.stack([divergence(alpha, teacher, again.softmax(1)) for alpha in (-1.0, 1.0)])
    expected = both.max(0).values.mean()
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, again.grad)


def test_an_answer_like_the_teachers_loses_nothing() -> None:
    logits, _ = pair(1)
    loss = alpha_divergence(logits, logits.detach().softmax(1))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-12


def test_gradients_stay_bounded_where_teacher_and_student_disagree() -> None:
    logits = torch.tensor([[30.0, 0.0, 0.0], [0.0, 30.0, -30.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0, 0.0], [1e-30, 0.5, 0.5]])
    loss = alpha_divergence(logits, teacher)
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(float(loss.detach()))
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad.abs().max()) <= 2 * BOUND
