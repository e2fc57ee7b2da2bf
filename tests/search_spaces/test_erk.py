"""ERK densities: published figures on ResNet-50, and the spaces that use them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import search_spaces as ss
from predictors.counts import count_network
from search_spaces.catalog import mobile, resnet
from search_spaces.erk import erk_densities, erk_sparsities, with_erk
from search_spaces.operators import Conv, Linear
from search_spaces.space import Architecture, SearchSpace

SHAPES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.one_of(
        st.tuples(st.integers(1, 64), st.integers(1, 64)),
        st.tuples(st.integers(1, 64), st.integers(1, 64), st.integers(1, 7), st.integers(1, 7)),
    ),
    min_size=1,
    max_size=12,
)


@given(SHAPES, st.floats(0.01, 1))
def test_the_whole_density_is_met_and_no_layer_is_overfull(shapes: dict[str, tuple[int, ...]], density: float) -> None:
    found = erk_densities(shapes, density)
    sizes = {name: float(np.prod(shape)) for name, shape in shapes.items()}
    assert all(0 < value <= 1 for value in found.values())
    assert sum(found[name] * sizes[name] for name in shapes) == pytest.approx(density * sum(sizes.values()), rel=1e-9)
    sparse = {name: value for name, value in found.items() if value < 1}
    scales = [value * sizes[name] / sum(shapes[name]) for name, value in sparse.items()]
    assert scales == pytest.approx([scales[0]] * len(scales) if scales else [])


@pytest.mark.parametrize(("sparsity", "ratio", "dense"), [(0.8, 0.4138, 8), (0.9, 0.2418, 1)])
def test_resnet50_has_the_published_share_of_macs(sparsity: float, ratio: float, dense: int) -> None:
    space = with_erk(resnet((3, 224, 224), 1000, layers=50), (0.0, sparsity))
    network = space.trace(lambda name, options: options[-1]).network
    assert network is not None
    total = count_network(network).total
    assert total["macs_effective"] / total["macs"] == pytest.approx(ratio, abs=1e-4)
    layers = {node.name: node.op.sparsity for node in network.nodes if isinstance(node.op, Conv | Linear)}
    assert sum(value == 0 for value in layers.values()) == dense
    if sparsity == 0.9:
        fc = next(node.op for node in network.nodes if isinstance(node.op, Linear))
        assert 1 - float(fc.sparsity) == pytest.approx(0.0726, abs=1e-4)


def test_a_space_with_erk_compiles_and_keeps_its_other_choices() -> None:
    inner = mobile(
        (3, 8, 8),
        4,
        resolutions=(8,),
        widths=((8, 12),),
        depths=((1, 2),),
        strides=(1,),
        kernels=(3, 5),
        expands=(2,),
        group_sizes=(1,),
        dilations=(1,),
        sparsities=(0.0,),
    )
    space = with_erk(inner, (0.0, 0.5, 0.8))
    compiled = space.compile()
    assert compiled.size().value == 3 * inner.compile().size().value
    row = compiled.sample(np.random.default_rng(0), 1)[0]
    network = space.build(compiled.decode(row))
    assert network.input.shape == (3, 8, 8)
    dense = space.build(Architecture.of({**compiled.decode(row).values, "erk": 0.0}))
    assert not any(node.op.sparsity for node in dense.nodes if isinstance(node.op, Conv | Linear))
    largest = inner.trace(lambda name, options: options[-1]).network
    assert largest is not None
    expected = erk_sparsities(largest, 0.8)
    sparse = space.build(Architecture.of({**compiled.decode(row).values, "erk": 0.8}))
    for node in sparse.nodes:
        if isinstance(node.op, Conv | Linear):
            assert node.op.sparsity == expected[node.name]


def test_bad_densities_and_contradictory_spaces_are_told() -> None:
    with pytest.raises(ss.SpaceError, match=r"density must lie in \]0, 1\], got 0"):
        erk_densities({"a": (2, 2)}, 0.0)

    def contradictory(net: ss.NetworkBuilder, pick: ss.Pick) -> ss.Tensor:
        net.require(pick("a", (1, 2)) + pick("b", (1, 2)) < 4, "not both")
        return ss.classifier(net, net.input(3, 8, 8), 2)

    with pytest.raises(ss.SpaceError, match="refuses the largest options of its choices together"):
        with_erk(SearchSpace(contradictory), (0.5,)).build(Architecture.of({"erk": 0.5, "a": 1, "b": 1}))
