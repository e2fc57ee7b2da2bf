"""Evaluators against the plain path that does the same by hand."""

import pickle
from dataclasses import replace

import pytest

import search_spaces as ss
from nas.search.evaluators import (
    Arrays,
    FunctionEvaluator,
    HardwareOnly,
    TrainingEvaluator,
    supernet_evaluator,
    wrong_answers,
)
from search_spaces.errors import NasError
from search_spaces.space import Architecture, SearchSpace

torch = pytest.importorskip("torch")


def digit_space(net: ss.NetworkBuilder, pick: ss.Pick) -> ss.Tensor:
    """One or two convolutions on digits."""
    size = pick("resolution", (6, 8))
    x = net.input(1, size, size)
    for i in range(pick("depth", (1, 2))):
        with net.scope(f"block{i}") as here:
            x = ss.blocks.conv_norm_act(net, x, here.pick("width", (8, 16)), kernel=3)
    return ss.blocks.classifier(net, x, classes=10)


SPACE = SearchSpace(digit_space)
ARCH = Architecture.of({"resolution": 6, "depth": 2, "block0.width": 8, "block1.width": 16})


@pytest.fixture(scope="module")
def task():
    from nas.tasks.classification import classification
    from nas.tasks.data import load_data

    return classification(load_data("digits"), validation_share=0.2, limit=600)


def test_batches_share_memory_and_keep_their_layout(task) -> None:
    images, targets = next(iter(task.validation_batches(32)))
    again, labels = Arrays.of((images, targets)).tensors()
    assert torch.equal(again, images)
    assert torch.equal(labels, targets)
    assert again.stride() == images.stride()


def test_a_supernet_evaluation_is_given_up_when_it_is_hopeless(task) -> None:
    from nas.search.screening import SHARE
    from nas.supernet.weights import Supernet

    supernet = Supernet.of_networks([SPACE.build(arch) for arch in SPACE.enumerate()], seed=1)
    evaluator = supernet_evaluator(supernet, SPACE, task, calibration=(2, 64), validation_batch=20)
    whole = evaluator.evaluate(ARCH, 0)
    assert evaluator.evaluate_until(ARCH, 0, 1.0) == pytest.approx(whole)
    first = supernet_evaluator(supernet, SPACE, task, calibration=(2, 64), validation_batch=20)
    part = replace(first, validation=first.validation[:1])
    assert evaluator.evaluate_until(ARCH, 0, 0.01) == {**part.evaluate(ARCH, 0), SHARE: 20 / 120}
    assert replace(evaluator, metric=wrong_answers).evaluate_until(ARCH, 0, 0.01) == whole


def test_supernet_evaluation_equals_the_plain_path(task) -> None:
    from nas.supernet.calibrate import calibrate, error_of, with_statistics
    from nas.supernet.weights import Supernet

    supernet = Supernet.of_networks([SPACE.build(arch) for arch in SPACE.enumerate()], seed=1)
    evaluator = supernet_evaluator(supernet, SPACE, task, calibration=(2, 64), validation_batch=50)
    network = SPACE.build(ARCH)
    with torch.no_grad():
        weights = supernet.weights_for(network)
    statistics = calibrate(network, weights, task.calibration_batches(2, 64))
    expected = error_of(network, with_statistics(weights, statistics), task, task.validation_batches(50))
    evaluator.setup()
    assert evaluator.evaluate(ARCH, 0) == {"error": expected}
    sent = pickle.loads(pickle.dumps(evaluator))
    assert "_supernet" not in sent.__dict__
    sent.setup()
    assert sent.evaluate(ARCH, 1) == {"error": expected}


def test_read_only_arrays_are_enough(task) -> None:
    from nas.supernet.weights import Supernet

    supernet = Supernet.of_networks([SPACE.build(arch) for arch in SPACE.enumerate()], seed=1)
    evaluator = supernet_evaluator(supernet, SPACE, task, calibration=(1, 64), validation_batch=50)
    expected = evaluator.evaluate(ARCH, 0)
    for array in evaluator.tensors.values():
        array.setflags(write=False)
    for batch in (*evaluator.calibration, *evaluator.validation):
        batch.images.setflags(write=False)
        batch.targets.setflags(write=False)
    sent = pickle.loads(pickle.dumps(evaluator))
    assert sent.evaluate(ARCH, 0) == evaluator.evaluate(ARCH, 0) == expected


def test_training_evaluation_learns_and_repeats(task) -> None:
    evaluator = TrainingEvaluator(SPACE, task, epochs=8, batch_size=32)
    one, same = evaluator.evaluate(ARCH, 3), evaluator.evaluate(ARCH, 3)
    assert one == same
    assert one["error"] < 0.5, "ten classes: guessing is 0.9"


def test_a_training_that_diverges_says_so(task) -> None:
    with pytest.raises(NasError, match="its training diverged in epoch 1: lower the learning rate"):
        TrainingEvaluator(SPACE, task, epochs=1, batch_size=32, learning_rate=1e30).evaluate(ARCH, 0)


def test_a_function_gets_what_it_asks_for() -> None:
    def plain(arch):
        return {"error": 1 / arch["block0.width"]}

    def seeded(arch, seed):
        return {"error": float(seed)}

    def built(arch, *, network):
        return {"error": float(len(network.nodes))}

    assert FunctionEvaluator(plain).evaluate(ARCH, 2) == {"error": 0.125}
    assert FunctionEvaluator(seeded).evaluate(ARCH, 2) == {"error": 2.0}
    assert FunctionEvaluator(built, SPACE).evaluate(ARCH, 2) == {"error": float(len(SPACE.build(ARCH).nodes))}
    with pytest.raises(NasError, match="no space was given"):
        FunctionEvaluator(built).evaluate(ARCH, 2)


def test_hardware_only_gives_nothing() -> None:
    assert HardwareOnly().evaluate(ARCH, 0) == {}
