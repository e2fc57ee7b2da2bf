"""Zeros while training: how many there are at each moment, and what gradients do at them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nas.masks import magnitude_mask
from nas.modules import Mode
from nas.supernet.sparse import (
    GRADIENTS,
    ZerosNow,
    cubic,
    geometric_patterns,
    stepwise_patterns,
    zeros_at,
)
from search_spaces.errors import NasError
from search_spaces.sparsity import Sparsity, kept_elements
from tests.nas.supernet.worlds import space, subnets, supernet

WEIGHT = torch.randn(6, 16, 3, 3, generator=torch.Generator().manual_seed(0))


def used(gradient: str, sparsity: Sparsity, *, schedule: str = "none", done: float = 1.0) -> tuple[Tensor, Tensor]:
    """The weight in use, and its gradient when the output's gradient is g(i) = i."""
    weight = WEIGHT.clone().requires_grad_()
    inside = ZerosNow(gradient, schedule, done)(weight, sparsity)
    inside.backward(torch.arange(weight.numel(), dtype=torch.float32).view(weight.shape))
    assert weight.grad is not None
    return inside.detach(), weight.grad


def test_the_cubic_schedule_has_the_published_values() -> None:
    expected = {0.0: 0.0, 0.1: 0.2439, 0.25: 0.52031, 0.5: 0.7875, 0.75: 0.88594, 0.9: 0.8991, 1.0: 0.9}
    for done, sparsity in expected.items():
        assert cubic(done, 0.9) == pytest.approx(sparsity, abs=1e-4)
    assert cubic(0.5, 0.9, 0.3) == pytest.approx(0.9 - 0.6 / 8)
    assert cubic(-1.0, 0.9) == 0
    assert cubic(2.0, 0.9) == 0.9


def test_patterns_become_sparse_by_the_published_frames() -> None:
    assert stepwise_patterns("1:16") == ("15:16", "8:16", "4:16", "2:16", "1:16")
    assert stepwise_patterns("2:4") == ("3:4", "2:4")
    assert stepwise_patterns("3:4") == ("3:4",)
    assert geometric_patterns("1:8") == ("8:64", "4:32", "2:16", "1:8")


@pytest.mark.parametrize("done", [0.0, 0.1, 0.37, 0.5, 0.9, 1.0, 1.3])
def test_measured_sparsity_is_that_of_the_schedule(done: float) -> None:
    inside, _ = used("ste", 0.9, schedule="cubic", done=done)
    assert abs(float((inside == 0).double().mean()) - cubic(done, 0.9)) <= 1 / WEIGHT.numel()


@pytest.mark.parametrize(("schedule", "frames"), [("stepwise", (15, 8, 4, 2, 1)), ("geometric", (16, 16, 16, 16))])
def test_every_group_keeps_what_its_pattern_says(schedule: str, frames: tuple[int, ...]) -> None:
    wide = torch.randn(2, 128, 1, 1, generator=torch.Generator().manual_seed(1))
    final = "1:16" if schedule == "stepwise" else "2:16"
    for number, kept in enumerate(frames):
        zeros = ZerosNow("masked", schedule, (number + 0.5) / len(frames))
        pattern = zeros.sparsity(final)
        assert isinstance(pattern, str)
        n, m = map(int, pattern.split(":"))
        groups = (zeros(wide, final) != 0).view(2, 128 // m, m).sum(-1)
        assert bool((groups == n).all())
        assert n == (kept if schedule == "stepwise" else 2 * 8 // 2**number)


def test_schedules_start_dense_and_end_at_the_final_zeros() -> None:
    for final in (0.75, "2:4"):
        for schedule in ("cubic", "stepwise", "geometric"):
            assert ZerosNow("masked", schedule, -0.1)(WEIGHT, final) is WEIGHT
            inside, _ = used("masked", final, schedule=schedule, done=1.0)
            assert int((inside != 0).sum()) == kept_elements(WEIGHT.numel(), final)


@pytest.mark.parametrize("sparsity", [0.5, "2:4"])
def test_gradients_at_zeros(sparsity: Sparsity) -> None:
    mask = magnitude_mask(WEIGHT, sparsity)
    outer = torch.arange(WEIGHT.numel(), dtype=torch.float32).view(WEIGHT.shape)
    expected = {"masked": outer * mask, "ste": outer, "sr_ste": outer + 2e-4 * ~mask * WEIGHT}
    for gradient, wanted in expected.items():
        inside, found = used(gradient, sparsity)
        assert torch.equal(inside, WEIGHT * mask)
        assert torch.equal(found, wanted)
    straight, refined = used("ste", sparsity)[1], used("sr_ste", sparsity)[1]
    torch.testing.assert_close(refined - straight, 2e-4 * ~mask * WEIGHT, rtol=0, atol=1e-4)


def test_the_refinement_differs_by_exactly_its_term() -> None:
    mask = magnitude_mask(WEIGHT, "2:4")
    weight = WEIGHT.double().requires_grad_()
    ZerosNow("sr_ste", "none", 1.0)(weight, "2:4").backward(torch.zeros_like(weight))
    assert weight.grad is not None
    assert torch.equal(weight.grad, 2e-4 * (~mask).double() * WEIGHT.double())


@pytest.mark.parametrize("gradient", ["decay_linear", "decay_exponential"])
def test_dropped_weights_fade(gradient: str) -> None:
    mask = magnitude_mask(WEIGHT, "2:4")
    left = []
    for done in (-0.5, 0.0, 0.3, 0.6, 0.99, 1.0, 2.0):
        inside, found = used(gradient, "2:4", done=done)
        assert torch.equal(inside[mask], WEIGHT[mask])
        left.append(float((inside[~mask] / WEIGHT[~mask]).mean()))
        assert torch.equal(found, torch.arange(WEIGHT.numel(), dtype=torch.float32).view(WEIGHT.shape))
    assert left[:2] == pytest.approx([1, 1])
    assert left == sorted(left, reverse=True)
    assert left[-2:] == [0, 0]
    assert left[2] == pytest.approx(0.7 if gradient == "decay_linear" else 0.01**0.3)


def test_the_plain_mask_costs_nothing_new() -> None:
    plain = {"start": 0.1, "end": 0.7}
    assert zeros_at(0.5, gradient="masked", schedule="none", **plain) is None
    zeros = zeros_at(0.4, gradient="ste", schedule="cubic", **plain)
    assert isinstance(zeros, ZerosNow)
    assert zeros.done == pytest.approx(0.5)
    with pytest.raises(NasError, match="unknown sparsity gradient 'sr-ste': did you mean 'sr_ste'"):
        zeros_at(0.5, gradient="sr-ste", schedule="none", **plain)


@pytest.mark.parametrize("gradient", list(GRADIENTS))
def test_sparse_subnets_train_their_shared_weights(gradient: str) -> None:
    """Straight-through gradients reach all elements of a sparse subnet's slices, masked ones the kept alone."""
    of = space()
    shared = supernet(of)

    def choose(name: str, options: tuple[object, ...]) -> object:
        return 0.5 if name.endswith("sparsity") else options[-1]

    network = of.trace(choose).network  # type: ignore[arg-type]
    assert network is not None
    assert network.id != subnets(of).largest.id
    images, target = torch.randn(8, 1, 8, 8), torch.arange(8) % 3
    mode = Mode(batch_statistics=True, zeros=ZerosNow(gradient, "none", 1.0))
    functional.cross_entropy(shared.forward(images, network, mode=mode)["output"], target).backward()  # type: ignore[no-untyped-call]
    node = next(node for node in network.nodes if getattr(node.op, "sparsity", 0))
    gradients = shared.tensors[f"{node.weights_path}.weight"].grad
    assert gradients is not None
    share = float((gradients != 0).double().mean())
    assert share == pytest.approx(0.5 if gradient == "masked" else 1.0, abs=0.02)
