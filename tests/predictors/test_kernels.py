"""Kernels: what costs something of its own, and the numbers that describe it."""

import numpy as np
import pytest

from predictors.counts import count_network
from predictors.kernels import FUSED_ACTIVATIONS, Kernel, kernel_nodes, kernel_of, kernels
from search_spaces import NetworkBuilder, SearchSpace
from search_spaces.catalog import CATALOG
from search_spaces.catalog.mobile import mobile
from search_spaces.operators import ACTIVATIONS, Activation, Add, BatchNorm, Conv, Dropout, Flatten, Linear


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


@pytest.mark.parametrize("name", sorted(CATALOG))
@pytest.mark.parametrize("fusion", ["graph", "none"])
def test_kernels_do_all_the_work_of_a_network(name: str, fusion: str, rng: np.random.Generator) -> None:
    space = CATALOG[name]((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    found = kernels(network, fusion=fusion)  # type: ignore[arg-type]
    assert sum(kernel.macs for kernel in found) == count_network(network).total["macs"]
    free = [network.nodes[i].op for i, kernel in kernel_nodes(network, fusion=fusion) if kernel is None]  # type: ignore[arg-type]
    assert not any(isinstance(op, (Conv, Linear, Add)) for op in free)
    folds = any(isinstance(node.op, BatchNorm) for node in network.nodes)
    assert any(isinstance(op, BatchNorm) for op in free) == (folds and fusion == "graph")


def test_a_folded_norm_and_a_cheap_activation_are_free() -> None:
    net = builder()
    x = net.activation(net.batch_norm(net.conv(net.input(8, 6, 6), 16)), "relu")
    assert [kernel.kind for kernel in kernels(net.finish(x))] == ["conv"]


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_behind_a_convolution(kind: str) -> None:
    shape = (8, 4, 4)
    expected = None if kind in FUSED_ACTIVATIONS else "activation"
    for producer in (Conv, BatchNorm, Linear):
        kernel = kernel_of(Activation(kind), (shape,), (producer,))
        assert (kernel and kernel.kind) == expected
    alone = kernel_of(Activation(kind), (shape,), (Add,))
    assert alone is not None
    assert alone.detail == kind
    assert kernel_of(Activation(kind), (shape,), (Conv,), fusion="none") is not None


def test_a_norm_that_cannot_be_folded_is_a_kernel() -> None:
    kernel = kernel_of(BatchNorm(), ((8, 4, 4),), (Add(),))
    assert kernel == Kernel("norm", (8, 4, 4), (8, 4, 4), "batch", moved_elements=2 * 128 + 4 * 8)


def test_views_are_free() -> None:
    assert kernel_of(Flatten(), ((8, 4, 4),), (Add,), fusion="none") is None
    assert kernel_of(Dropout(0.5), ((8,),), (Flatten,), fusion="none") is None


def test_the_description_of_a_grouped_convolution() -> None:
    op = Conv(24, (5, 5), (2, 2), (4, 4), (2, 2), 4, sparsity=0.5)
    kernel = kernel_of(op, ((48, 16, 16),), (Activation,))
    assert kernel is not None
    assert kernel.out_shape == (24, 8, 8)
    assert (kernel.groups, kernel.group_size, kernel.window, kernel.dilation) == (12, 4, (5, 5), (2, 2))
    assert kernel.macs == 24 * 4 * 25 * 64
    assert kernel.moved_elements == 48 * 256 + 24 * 64 + 24 * 4 * 25
    assert kernel.sparsity == 0.5
    assert kernel.dense == kernel_of(Conv(24, (5, 5), (2, 2), (4, 4), (2, 2), 4), ((48, 16, 16),), (Activation,))


def test_a_gate_differs_from_a_product_of_maps() -> None:
    net = builder()
    x = net.input(8, 4, 4)
    y = net.multiply(x, net.global_pool(x))
    details = [kernel.detail for kernel in kernels(net.finish(net.multiply(y, x))) if kernel.kind == "multiply"]
    assert details == ["gate", ""]


def test_training_only_outputs_are_left_out() -> None:
    net = builder()
    x = net.conv(net.input(3, 8, 8), 4)
    network = net.finish({"out": x, "aux": net.conv(x, 2)}, frozenset({"aux"}))
    assert len(kernels(network)) == 1


def test_sparsity_does_not_change_the_dense_kernel(rng: np.random.Generator) -> None:
    space: SearchSpace = mobile((3, 32, 32), 10)
    dense = mobile((3, 32, 32), 10, sparsities=(0.0,))
    architecture = space.sample(rng)
    plain = dense.repair(architecture.values)
    assert [k.dense for k in kernels(space.build(architecture))] == list(kernels(dense.build(plain)))
