"""Recalibration and evaluation: cumulative averages, whole-set errors, nothing left behind."""

import numpy as np
import pytest
import torch

from nas.modules import NetworkModule
from nas.supernet.calibrate import calibrate, error_of, fitted, with_statistics
from search_spaces.blocks import large_kernel
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.space import Architecture, SearchSpace
from tests.nas.supernet.worlds import Bars, space, supernet


def test_statistics_are_those_torch_accumulates(rng: np.random.Generator) -> None:
    of, task = space(), Bars()
    shared = supernet(of)
    for _ in range(3):
        network = of.build(of.sample(rng))
        weights = shared.weights_for(network)
        found = calibrate(network, weights, task.calibration_batches(3, 32))
        norms = {path for path in weights if path.endswith("norm")}
        assert found.keys() == norms
        module = NetworkModule(network)
        module.load_weights(weights)
        wanted = {path: [] for path in norms}
        for images, _ in task.calibration_batches(3, 32):
            for path in norms:
                module.weights()[path]["running_mean"].zero_()
                module.weights()[path]["running_var"].zero_()
            module.train()(fitted(images, network))
            for path in norms:
                wanted[path].append(module.weights()[path]["running_var"] / 0.1)
        for path, parts in wanted.items():
            torch.testing.assert_close(found[path]["running_var"], torch.stack(parts).mean(0), rtol=1e-4, atol=1e-6)


def test_error_is_over_the_whole_set_and_equals_the_module(rng: np.random.Generator) -> None:
    of, task = space(), Bars()
    shared = supernet(of)
    network = of.build(of.sample(rng))
    weights = shared.weights_for(network)
    ready = with_statistics(weights, calibrate(network, weights, task.calibration_batches(2, 64)))
    module = NetworkModule(network).eval()
    module.load_weights(ready)
    images, target = next(task.validation_batches(96))
    answer = module(fitted(images, network))
    assert isinstance(answer, torch.Tensor)
    wrong = int((answer.argmax(1) != target).sum())
    batches = [(images[:90], target[:90]), (images[90:], target[90:])]
    assert error_of(network, ready, task, batches) == wrong / 96
    assert error_of(network, ready, task, batches[::-1]) == wrong / 96


def test_calibration_leaves_the_shared_weights_alone(rng: np.random.Generator) -> None:
    of, task = space(dropout=0.5), Bars()
    shared = supernet(of)
    before = {name: tensor.clone() for name, tensor in shared.tensors.items()}
    network = of.build(of.sample(rng))
    weights = shared.weights_for(network)
    first, again = (calibrate(network, weights, task.calibration_batches(2, 32)) for _ in range(2))
    for path, tensors in first.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, again[path][name])
            assert not tensor.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in shared.tensors.items())


def test_networks_without_batch_statistics_run_nothing() -> None:
    def plain(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = large_kernel(net, net.conv(net.input(1, 8, 8), 4), kernel=3, expand=2)
        return net.linear(net.flatten(net.global_pool(x)), 3)

    network = SearchSpace(plain).build(Architecture(()))

    def batches() -> object:
        pytest.fail("no batch is needed")
        yield

    weights = NetworkModule(network).weights()
    assert calibrate(network, weights, batches()) == {}  # type: ignore[arg-type]
    assert 0 <= error_of(network, weights, Bars(), Bars().validation_batches(96)) <= 1
