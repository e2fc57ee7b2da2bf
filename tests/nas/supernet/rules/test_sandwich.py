"""The sandwich rule: who learns from whom, how gradients add up, and what each step depends on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nas.modules import NetworkModule
from nas.supernet.calibrate import fitted
from nas.supernet.distillation import soft_labels
from nas.supernet.lessons import Lesson, Teaching
from nas.supernet.rules import Moment
from nas.supernet.rules.sandwich import Sandwich
from nas.supernet.sampling.choices import UniformChoices
from nas.supernet.subnets import Subnet, Subnets
from nas.supernet.weights import Supernet
from search_spaces.network import Network
from tests.nas.supernet.worlds import Bars, space, subnets, supernet

BATCH = next(Bars().train_batches(16, seed=0, epoch=0))


TEACHING = Teaching(Bars(), soft_labels, label_smoothing=0.1, seed=3)


def sandwich(of: Subnets | None = None, *, random_subnets: int = 2, seed: int = 3) -> Sandwich:
    of = of or subnets(space())
    return Sandwich(of, UniformChoices(of), random_subnets, seed, teacher_every=1)


def taught(shared: Supernet, rule: Sandwich, step: int, *, bf16: bool = False) -> float:
    """The loss of a step, whose gradients are added."""
    return TEACHING.gradients(shared, rule.lessons(Moment(step, 100)), BATCH, step=step, bf16=bf16)[0]


def students(rule: Sandwich, step: int) -> list[Network]:
    return [lesson.subnet.network for lesson in rule.lessons(Moment(step, 100))[1:]]


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
    loss = taught(shared, rule, 7)
    together = gradients(shared)
    expected_loss, answer, total = alone(shared, rule.subnets.largest, None)
    networks = students(rule, 7)
    assert len(networks) == 3
    assert networks[-1] is rule.subnets.smallest
    for network in networks:
        for name, gradient in alone(shared, network, answer.softmax(1))[2].items():
            total[name] = total[name] + gradient if name in total else gradient
    assert loss == pytest.approx(expected_loss)
    assert together.keys() == total.keys()
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, total[name], rtol=1e-4, atol=1e-6)


def test_students_do_not_move_their_teacher() -> None:
    """Soft answers are constants: without students' terms the gradient of the largest is that of its labels."""
    ends = subnets(space())
    shared, rule = supernet(space()), sandwich(replace(ends, smallest=ends.largest), random_subnets=0)
    taught(shared, rule, 0)
    together = gradients(shared)
    _, answer, labels = alone(shared, rule.subnets.largest, None)
    _, _, distilled = alone(shared, rule.subnets.largest, answer.softmax(1))
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, labels[name] + distilled[name], rtol=1e-4, atol=1e-6)
        assert float(distilled[name].abs().max()) < 1e-5


def test_steps_depend_on_seed_and_number_alone() -> None:
    shared, rule = supernet(space()), sandwich()
    drawn = [network.id for network in students(rule, 4)]
    taught(shared, rule, 9)
    assert [network.id for network in students(rule, 4)] == drawn
    assert [network.id for network in students(rule, 5)] != drawn
    assert [network.id for network in students(sandwich(seed=4), 4)] != drawn


def test_dropout_repeats_and_leaves_the_global_generator_alone() -> None:
    dropping = space(dropout=0.5)
    shared, rule = supernet(dropping), sandwich(subnets(dropping))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    losses = [taught(shared, rule, step) for step in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_only_those_who_see_labels_drop_elements() -> None:
    dropping = space(dropout=0.5)
    shared, largest = supernet(dropping), Subnet(subnets(dropping).largest)
    silent, steps = Lesson(largest, labels=1.0), (1, 2)
    distilled = []
    for step in steps:
        TEACHING.gradients(shared, (silent, Lesson(largest, soft=1.0)), BATCH, step=step, report=True)
        outcomes = TEACHING.gradients(shared, (silent, Lesson(largest, soft=1.0)), BATCH, step=step, report=True)[1]
        distilled.append([outcome.loss for outcome in outcomes])
    assert distilled[0][0] != distilled[1][0]
    assert distilled[0][1] == distilled[1][1]


def test_a_loss_that_is_not_finite_adds_nothing() -> None:
    shared, rule = supernet(space()), sandwich()
    images, target = BATCH
    broken = (images * float("inf"), target)
    loss, outcomes = TEACHING.gradients(shared, rule.lessons(Moment(0, 1)), broken, step=0, report=True)
    assert not np.isfinite(loss)
    assert outcomes == ()
    assert gradients(shared) == {}


def test_bfloat16_gradients_point_the_same_way() -> None:
    shared, rule = supernet(space()), sandwich()
    taught(shared, rule, 0)
    exact = torch.cat([gradient.flatten() for gradient in gradients(shared).values()])
    taught(shared, rule, 0, bf16=True)
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
