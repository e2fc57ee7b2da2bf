"""Kernel transforms: at first the centre crop, later what their matrices say."""

from pathlib import Path

import pytest
import torch

from nas.modules import NetworkModule
from nas.supernet.slicing import is_transform
from nas.supernet.train import TrainSettings
from nas.supernet.weights import Supernet
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import Architecture
from tests.nas.supernet.spaces import SPACES
from tests.nas.supernet.worlds import coded_trainer


def network(first: int, second: int = 3) -> Network:
    return SPACES["kernel"].build(Architecture.of({"first": first, "second": second, "dilation": 1}))


NETWORKS = [network(first, second) for first in (1, 3, 7) for second in (3, 5)]


def supernet() -> Supernet:
    plain = Supernet.of_networks(NETWORKS)
    return Supernet(plain.shapes, kernel_transforms=True)


def test_it_starts_as_the_centre_crop() -> None:
    plain, learned = Supernet.of_networks(NETWORKS), supernet()
    names = {name: tuple(tensor.shape) for name, tensor in learned.tensors.items() if is_transform(name)}
    assert names == {
        "first.conv.kernel3to1": (1, 1),
        "first.conv.kernel7to3": (9, 9),
        "second.conv.kernel5to3": (9, 9),
    }
    for each in NETWORKS:
        for path, tensors in plain.weights_for(each).items():
            for name, tensor in tensors.items():
                assert torch.equal(learned.weights_for(each)[path][name], tensor)


def test_matrices_mix_the_taps_of_smaller_kernels_one_after_the_other() -> None:
    learned = supernet()
    shared = learned.tensors["first.conv.weight"].detach()
    with torch.no_grad():
        for name in ("first.conv.kernel7to3", "first.conv.kernel3to1"):
            learned.tensors[name].copy_(torch.randn(learned.tensors[name].shape))
    three = shared[:, :, 2:5, 2:5].reshape(4, 2, 9) @ learned.tensors["first.conv.kernel7to3"]
    one = three[:, :, 4:5] @ learned.tensors["first.conv.kernel3to1"]
    assert torch.equal(learned.weights_for(network(7))["first.conv"]["weight"], shared)
    torch.testing.assert_close(learned.weights_for(network(3))["first.conv"]["weight"], three.view(4, 2, 3, 3))
    torch.testing.assert_close(learned.weights_for(network(1))["first.conv"]["weight"], one.view(4, 2, 1, 1))


def test_gradients_reach_the_matrices_that_are_used() -> None:
    learned = supernet()
    learned.forward(torch.randn(4, 2, 8, 8), network(3, 5))["output"].sum().backward()  # type: ignore[no-untyped-call]
    reached = {name for name, tensor in learned.tensors.items() if is_transform(name) and tensor.grad is not None}
    assert reached == {"first.conv.kernel7to3"}


def test_an_extracted_network_answers_as_the_supernet_does() -> None:
    learned = supernet()
    with torch.no_grad():
        for name, tensor in learned.tensors.items():
            if is_transform(name):
                tensor.add_(0.1 * torch.randn(tensor.shape))
    for each in NETWORKS:
        module = NetworkModule(each).train()
        module.load_weights(learned.extract(each, {}))
        images = torch.randn(4, 2, 8, 8)
        torch.testing.assert_close(module(images), learned.forward(images, each)["output"])


def test_training_moves_matrices_without_pulling_them_to_zero(tmp_path: Path) -> None:
    learner = coded_trainer(tmp_path, TrainSettings(kernel_transforms=True))
    spared = [
        tensor for group in learner.optimiser.param_groups if not group["weight_decay"] for tensor in group["params"]
    ]
    matrices = [tensor for name, tensor in learner.supernet.tensors.items() if is_transform(name)]
    assert matrices
    assert all(any(matrix is tensor for tensor in spared) for matrix in matrices)
    learner.run(advance=lambda steps, note: None)
    assert any(not torch.equal(matrix, torch.eye(len(matrix))) for matrix in matrices)
    with pytest.raises(NasError, match=r"other settings \(supernet\.kernel_transforms\)"):
        coded_trainer(tmp_path, TrainSettings())
