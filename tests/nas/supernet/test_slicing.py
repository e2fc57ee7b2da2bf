"""Slices against an independent oracle: every element, every gradient, for each dimension and all together."""

import itertools

import numpy as np
import pytest
import torch

from nas.modules import NetworkModule
from nas.supernet.shapes import shared_shapes, uses_of
from nas.supernet.weights import Supernet
from search_spaces.compiled import compile_space
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import SearchSpace
from tests.nas.supernet.oracle import nested, observe, positions
from tests.nas.supernet.spaces import SPACES

MOST = 1000
CHECKED = 8


def networks_of(space: SearchSpace) -> list[Network]:
    """All networks of a small space, many of a larger one."""
    if space.name == "everything":
        rng = np.random.default_rng(0)
        return [space.build(space.sample(rng)) for _ in range(200)]
    return [space.build(architecture) for architecture in itertools.islice(space.enumerate(), MOST)]


@pytest.fixture(scope="module", params=sorted(SPACES))
def world(request: pytest.FixtureRequest) -> tuple[list[Network], Supernet]:
    networks = networks_of(SPACES[request.param])
    return networks, Supernet.of_networks(networks, seed=1).to(torch.float64)


def chosen(networks: list[Network]) -> list[Network]:
    picks = np.random.default_rng(1).choice(len(networks), min(CHECKED, len(networks)), replace=False)
    return [networks[i] for i in picks]


def prefix(supernet: Supernet, network: Network, path: str) -> str:
    node = network.nodes[network.index[path]]
    return supernet.shapes[path, type(node.op).__name__].prefix


def test_elements_and_gradients_are_the_oracles(world: tuple[list[Network], Supernet]) -> None:
    networks, supernet = world
    seen = observe(networks)
    for network in chosen(networks):
        shapes = {
            f"{path}.{name}": tuple(supernet.tensors[f"{prefix(supernet, network, path)}.{name}"].shape)
            for path, tensors in network.weights.items()
            for name, weight in tensors.items()
            if weight.learnable
        }
        places = positions(network, seen, shapes)
        weights = supernet.weights_for(network)
        assert {path: set(tensors) for path, tensors in weights.items()} == {p: set(t) for p, t in places.items()}
        module = NetworkModule(network).double()
        module.load_weights(weights)
        x = torch.randn(4, *network.input.shape, dtype=torch.float64)
        ours = supernet.forward(x, network)["output"]
        alone = module(x)
        torch.testing.assert_close(ours, alone, rtol=1e-10, atol=1e-10)
        pull = torch.randn_like(ours)
        ours.backward(pull)
        alone.backward(pull)
        for path, tensors in places.items():
            for name, place in tensors.items():
                shared = supernet.tensors[f"{prefix(supernet, network, path)}.{name}"]
                flat = shared.detach().numpy().ravel()
                assert np.array_equal(weights[path][name].detach().numpy(), flat[place])
                expected = np.zeros_like(flat)
                gradient = module.weights()[path][name].grad
                assert gradient is not None
                np.add.at(expected, place.ravel(), gradient.numpy().ravel())
                assert shared.grad is not None
                np.testing.assert_allclose(shared.grad.numpy().ravel(), expected, rtol=1e-10, atol=1e-10)
                shared.grad = None


def test_an_output_meets_an_input_with_one_weight_whatever_the_groups() -> None:
    networks = networks_of(SPACES["nested_groups"])
    supernet = Supernet.of_networks(networks)
    seen = observe(networks)
    for path in ("same.conv", "wider.conv", "narrower.conv"):
        assert nested(seen[path])
        met: dict[tuple[int, int], int] = {}
        for network in networks:
            node = network.nodes[network.index[path]]
            shared = supernet.tensors[f"{path}.weight"]
            place = torch.arange(shared.numel(), dtype=torch.float64).view(shared.shape)
            taken = supernet.weights_for(network, tensors={**supernet.tensors, f"{path}.weight": place})
            weight = taken[path]["weight"][:, :, 1, 1].long()
            groups = network.input_shapes(node)[0][0] // weight.shape[1]
            for output, slot in np.ndindex(*weight.shape):
                channel = output // (weight.shape[0] // groups) * weight.shape[1] + slot
                where = int(weight[output, slot])
                assert met.setdefault((output, channel), where) == where


@pytest.mark.parametrize("name", sorted(SPACES.keys() - {"everything"}))
def test_compiled_spaces_give_the_same_room(name: str) -> None:
    space = SPACES[name]
    compiled = shared_shapes(compile_space(space).weight_uses)
    built = shared_shapes(uses_of(networks_of(space)))
    assert compiled.keys() == built.keys()
    for key, shape in built.items():
        assert compiled[key].tensors == shape.tensors, key
        assert compiled[key].segments.sizes == shape.segments.sizes, key
        assert (compiled[key].block, compiled[key].groups) == (shape.block, shape.groups), key


def test_kinds_at_one_path_have_weights_of_their_own() -> None:
    networks = networks_of(SPACES["depth_and_kinds"])
    supernet = Supernet.of_networks(networks)
    assert {"block0.norm@BatchNorm.weight", "block0.norm@LayerNorm.weight"} <= supernet.tensors.keys()
    assert "stem.norm.weight" in supernet.tensors


def test_zero_start_only_where_every_architecture_wants_it() -> None:
    supernet = Supernet.of_networks(networks_of(SPACES["joined"]))
    assert bool((supernet.tensors["always_two.mix.norm.weight"] == 1).all())
    space = SearchSpace(lambda net, pick: SPACES["width"].function(net, pick), name="plain")
    assert bool(Supernet.of_networks(networks_of(space)).tensors["layer0.norm.weight"].all())
    residual = Supernet.of_networks(networks_of(SPACES["resnext"]))
    ends = [key for key in residual.tensors if key.endswith("expand.norm.weight")]
    assert ends
    assert not any(bool(residual.tensors[key].any()) for key in ends)


def test_networks_of_other_spaces_are_refused() -> None:
    supernet = Supernet.of_networks(networks_of(SPACES["width"]))
    other = networks_of(SPACES["kernel"])[0]
    with pytest.raises(NasError, match="made for another search space"):
        supernet.weights_for(other)
    wide = SearchSpace(lambda net, pick: SPACES["width"].function(net, lambda name, options: 9))
    with pytest.raises(NasError, match=r"no room for .*made for another search space"):
        supernet.weights_for(next(iter(networks_of(wide))))


def test_extracted_copies_do_not_follow_the_supernet(rng: np.random.Generator) -> None:
    network = SPACES["everything"].build(SPACES["everything"].sample(rng))
    supernet = Supernet.of_networks([network])
    taken = supernet.extract(network, {})
    before = {path: {name: tensor.clone() for name, tensor in tensors.items()} for path, tensors in taken.items()}
    with torch.no_grad():
        for tensor in supernet.tensors.values():
            tensor.add_(1)
    for path, tensors in before.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, taken[path][name])
            assert taken[path][name].is_contiguous()


def test_checkpoint_of_another_space_is_refused() -> None:
    supernet = Supernet.of_networks(networks_of(SPACES["width"]))
    with pytest.raises(NasError, match=r"belongs to another search space: .* tensors differ"):
        supernet.load({})
    wrong = {name: torch.zeros(1) for name in supernet.tensors}
    with pytest.raises(NasError, match=r"has shape \(1,\), the space needs"):
        supernet.load(wrong)
