"""The sandwich rule: who learns from whom, how gradients add up, and what each step depends on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nas.modules import NetworkModule
from nas.supernet.calibrate import fitted
from nas.supernet.sandwich import Sandwich
from nas.supernet.weights import Supernet
from search_spaces.network import Network
from tests.nas.supernet.worlds import Bars, space, subnets, supernet

BATCH = next(Bars().train_batches(16, seed=0, epoch=0))


def sandwich(**changes: object) -> Sandwich:
    return replace(Sandwich(subnets(space()), Bars(), seed=3, label_smoothing=0.1), **changes)  # type: ignore[arg-type]


def gradients(shared: Supernet) -> dict[str, Tensor]:
    found = {name: tensor.grad for name, tensor in shared.tensors.items() if tensor.grad is not None}
    for tensor in shared.tensors.values():
        tensor.grad = None
    return found


def alone(shared: Supernet, network: Network, soft: Tensor | None) -> tuple[float, Tensor, dict[str, Tensor]]:
    """Loss, answer and gradients of one subnet on the labels, or on `soft` answers."""
    images, target = BATCH
    answer = shared.forward(fitted(images, network), network)["output"]
    if soft is None:
        loss = functional.cross_entropy(answer, target, label_smoothing=0.1)
    else:
        loss = -(soft * answer.log_softmax(1)).sum(1).mean()
    loss.backward()
    return float(loss.detach()), answer.detach(), gradients(shared)


def test_gradients_are_the_sum_over_the_subnets() -> None:
    shared, rule = supernet(space()), sandwich()
    loss = rule.gradients(shared, BATCH, step=7)
    together = gradients(shared)
    expected_loss, answer, total = alone(shared, rule.subnets.largest, None)
    students = list(rule.students(7))
    assert len(students) == 3
    assert students[-1] is rule.subnets.smallest
    for network in students:
        for name, gradient in alone(shared, network, answer.softmax(1))[2].items():
            total[name] = total[name] + gradient if name in total else gradient
    assert loss == pytest.approx(expected_loss)
    assert together.keys() == total.keys()
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, total[name], rtol=1e-4, atol=1e-6)


def test_students_do_not_move_their_teacher() -> None:
    """Soft answers are constants: without students' terms the gradient of the largest is that of its labels."""
    shared, rule = supernet(space()), sandwich(random_subnets=0)
    rule = replace(rule, subnets=replace(rule.subnets, smallest=rule.subnets.largest))
    rule.gradients(shared, BATCH, step=0)
    together = gradients(shared)
    _, answer, labels = alone(shared, rule.subnets.largest, None)
    _, _, distilled = alone(shared, rule.subnets.largest, answer.softmax(1))
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, labels[name] + distilled[name], rtol=1e-4, atol=1e-6)
        assert float(distilled[name].abs().max()) < 1e-5


def test_steps_depend_on_seed_and_number_alone() -> None:
    shared, rule = supernet(space()), sandwich()
    drawn = [network.id for network in rule.students(4)]
    rule.gradients(shared, BATCH, step=9)
    assert [network.id for network in rule.students(4)] == drawn
    assert [network.id for network in rule.students(5)] != drawn
    assert [network.id for network in replace(rule, seed=4).students(4)] != drawn


def test_dropout_repeats_and_leaves_the_global_generator_alone() -> None:
    dropping = space(dropout=0.5)
    shared, rule = supernet(dropping), sandwich(subnets=subnets(dropping))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    losses = [rule.gradients(shared, BATCH, step=step) for step in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_adds_nothing() -> None:
    shared, rule = supernet(space()), sandwich()
    images, target = BATCH
    loss = rule.gradients(shared, (images * float("inf"), target), step=0)
    assert not np.isfinite(loss)
    assert gradients(shared) == {}


def test_bfloat16_gradients_point_the_same_way() -> None:
    shared, rule = supernet(space()), sandwich()
    rule.gradients(shared, BATCH, step=0)
    exact = torch.cat([gradient.flatten() for gradient in gradients(shared).values()])
    rule.gradients(shared, BATCH, step=0, bf16=True)
    rough = torch.cat([gradient.flatten() for gradient in gradients(shared).values()])
    assert rough.dtype == torch.float32
    assert float(functional.cosine_similarity(exact, rough, dim=0)) > 0.97


def test_supernet_in_training_normalises_by_the_batch() -> None:
    of = space()
    shared = supernet(of)
    network = of.build(of.sample(np.random.default_rng(2)))
    module = NetworkModule(network).train()
    module.load_weights(shared.weights_for(network))
    images = fitted(BATCH[0], network)
    torch.testing.assert_close(shared.forward(images, network)["output"], module(images))
