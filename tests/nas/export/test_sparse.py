"""Zeros of exported sparse layers stay zero; their masks are the project's own."""

from typing import Any

import pytest
import torch
from torch import nn

from nas.export.helpers import helper_texts
from nas.export.source import model_source
from nas.masks import magnitude_mask
from search_spaces.builder import NetworkBuilder


def layers(sparsity: Any) -> dict[str, Any]:
    """The namespace of a written network whose layers have `sparsity`."""
    net = NetworkBuilder(lambda _name, options: options[0])
    x = net.conv(net.input(6, 5, 5), 8, sparsity=sparsity)
    network = net.finish(net.linear(net.flatten(net.global_pool(x)), 7, sparsity=sparsity))
    namespace: dict[str, Any] = {}
    exec(model_source(network).text, namespace)
    return namespace


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.99, "1:4", "2:4", "3:5"])
@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (7, 10), (5, 3, 1)])
def test_masks_are_those_of_the_project(sparsity: Any, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for patterns in {isinstance(sparsity, str), True}:
        namespace: dict[str, Any] = {"torch": torch, "Tensor": torch.Tensor, "functional": nn.functional}
        exec(helper_texts(patterns=patterns)["sparse_mask"], namespace)
        assert torch.equal(namespace["sparse_mask"](weight, sparsity), magnitude_mask(weight, sparsity))


@pytest.mark.parametrize("sparsity", [0.5, "2:4"])
def test_zeros_survive_training_and_new_weights(sparsity: Any) -> None:
    torch.manual_seed(0)
    model = layers(sparsity)["Network"]()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    x, y = torch.randn(16, 6, 5, 5), torch.arange(16) % 7
    masks = {name: mask.clone() for name, mask in model.named_buffers()}
    for round_of_training in range(2):
        if round_of_training:
            for parameter in model.parameters():
                nn.init.normal_(parameter)
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        training = model(x)
        model.eval()
        assert torch.allclose(model(x), training, atol=1e-6)
        for layer in (model.conv, model.linear):
            assert torch.equal(layer.weight != 0, layer.mask)
    assert all(torch.equal(mask, masks[name]) for name, mask in model.named_buffers())
    assert set(masks) == {"conv.mask", "linear.mask"}


def test_a_dense_network_has_no_sparse_layers() -> None:
    namespace = layers(0.0)
    assert "sparse_mask" not in namespace
    assert not [name for name in namespace["Network"]().state_dict() if name.endswith("mask")]
