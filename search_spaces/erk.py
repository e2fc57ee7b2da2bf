"""Erdős-Rényi-Kernel densities: one global sparsity, divided over layers so that small ones stay denser."""

import math
from collections.abc import Mapping, Sequence
from functools import cache

from search_spaces.builder import NetworkBuilder, Pick, Value
from search_spaces.errors import SpaceError
from search_spaces.network import Network
from search_spaces.operators import Conv, Linear
from search_spaces.space import Outputs, SearchSpace

DIGITS = 6


def erk_densities(shapes: Mapping[str, Sequence[int]], density: float) -> dict[str, float]:
    """Density per layer, such that the layers together keep the share `density` of their elements.

    shapes: [out, in, *taps] of each layer's weight. Densities are proportional to sum(shape) / product(shape); a layer
    that would need more than 1 is dense, and the rest is divided anew (Evci et al. 2020; Liu et al. 2022). Raises
    `SpaceError` for a density outside ]0, 1].
    """
    if not 0 < density <= 1:
        raise SpaceError(f"density must lie in ]0, 1], got {density}")
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    budget = density * sum(sizes.values())
    dense: set[str] = set()
    while len(dense) < len(sizes):
        rest = [name for name in sizes if name not in dense]
        left = budget - sum(sizes[name] for name in dense)
        scale = left / sum(raw[name] * sizes[name] for name in rest)
        over = {name for name in rest if scale * raw[name] > 1}
        if not over:
            return {name: 1.0 if name in dense else scale * raw[name] for name in sizes}
        dense |= over
    return dict.fromkeys(sizes, 1.0)


def erk_sparsities(network: Network, sparsity: float) -> dict[str, float]:
    """Sparsity per weight path of every convolution and linear layer of `network`, to six digits."""
    shapes = {
        node.name: weights["weight"].shape
        for node in network.nodes
        if isinstance(node.op, Conv | Linear) and node.name == node.weights_path
        for weights in (node.op.weights(network.input_shapes(node)),)
    }
    densities = erk_densities(shapes, 1 - sparsity)
    return {path: round(1 - density, DIGITS) for path, density in densities.items()}


def with_erk(space: SearchSpace, sparsities: Sequence[float], *, name: str = "erk") -> SearchSpace:
    """`space` with one more choice: the global sparsity of all its convolutions and linear layers.

    Densities are those of the largest options of every choice, so that a layer's density depends on the global sparsity
    alone; layers that this network lacks get the global one. Sparsities that the space itself gives are replaced.
    """

    @cache
    def per_layer(sparsity: float) -> dict[str, float]:
        network = space.trace(lambda _, options: _largest(options)).network
        if network is None:
            raise SpaceError(
                f"space {space.name!r} refuses the largest options of its choices together, on which ERK densities are "
                "based; make options depend on earlier picks instead"
            )
        return erk_sparsities(network, sparsity)

    def function(net: NetworkBuilder, pick: Pick) -> Outputs:
        sparsity = float(pick(name, tuple(sparsities)))
        outputs = space.function(net, pick)
        net.sparsify(per_layer(sparsity) if sparsity else {}, otherwise=sparsity)
        return outputs

    return SearchSpace(
        function, name=f"{space.name}_erk", training_only=tuple(space.training_only), declarative=space.declarative
    )


def _largest(options: tuple[Value, ...]) -> Value:
    numbers = [option for option in options if isinstance(option, int | float)]
    return max(numbers) if len(numbers) == len(options) else options[-1]
