"""Reversible scopes: what counts as one, what is refused, and what they are told apart by."""

import json
from collections.abc import Callable

import pytest

from search_spaces import NetworkBuilder, SpaceError, Tensor
from search_spaces.blocks.reversible import coupled, mbconv_branch
from search_spaces.catalog import reversible_unet
from search_spaces.network import Network
from search_spaces.network_text import network_from_json, network_to_json

Couple = Callable[[NetworkBuilder, Tensor, Tensor], tuple[Tensor, Tensor]]


def network(couple: Couple) -> Network:
    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(8, 6, 6)
    a, b = net.conv(x, 4, name="left"), net.conv(x, 4, name="right")
    return net.finish(net.concat(*couple(net, a, b)))


def stack(depth: int, *, recompute: bool) -> Couple:
    def branch(net: NetworkBuilder, x: Tensor, name: str) -> Tensor:
        return mbconv_branch(net, x, expand=2, norm_groups=2, name=name)

    return lambda net, a, b: coupled(net, a, b, branch, depth=depth, recompute=recompute, name="stack")


def one(net: NetworkBuilder, x: Tensor, name: str) -> Tensor:
    with net.scope(name):
        return net.conv(x, x.channels)


def test_a_chain_names_what_it_reads_and_gives() -> None:
    made = network(stack(3, recompute=True))
    (chain,) = made.chains
    names = [node.name for node in made.nodes]
    assert [names[i] for i in chain.read] == ["left", "right"]
    assert [names[i] for i in chain.given] == ["stack.block2.first", "stack.block2.second"]
    assert len(chain.couplings) == 3
    assert [names[i] for i in chain.nodes] == [name for name in names if name.startswith("stack.")]
    assert network(stack(3, recompute=False)).chains == ()


def test_recomputing_is_part_of_the_identity_and_of_the_text() -> None:
    kept, anew = network(stack(2, recompute=False)), network(stack(2, recompute=True))
    assert kept.fingerprint != anew.fingerprint
    assert kept.id != anew.id
    for made in (kept, anew):
        again = network_from_json(json.loads(json.dumps(network_to_json(made))))
        assert again.fingerprint == made.fingerprint
        assert again.chains == made.chains


def test_what_is_no_stack_of_couplings_is_refused() -> None:
    def wrong(inner: Callable[[NetworkBuilder, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Couple:
        def couple(net: NetworkBuilder, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            with net.scope("stack", reversible=True), net.scope("block0"):
                return inner(net, a, b)

        return couple

    def batch_norm(net: NetworkBuilder, x: Tensor, name: str) -> Tensor:
        with net.scope(name):
            return net.batch_norm(net.conv(x, x.channels))

    def uncoupled(net: NetworkBuilder, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return net.add(a, one(net, a, "f")), net.add(b, one(net, b, "g"))

    def half(net: NetworkBuilder, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return a, net.add(b, one(net, a, "f"))

    def moving(net: NetworkBuilder, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        b = net.add(b, batch_norm(net, a, "f"))
        return net.add(a, batch_norm(net, b, "g")), b

    for inner, message in (
        (uncoupled, "g must read the first sum"),
        (half, "branch in a scope called g"),
        (moving, r"stack\.block0\.f\.norm: BatchNorm does not give the same"),
    ):
        with pytest.raises(SpaceError, match=message):
            network(wrong(inner))


def test_nothing_may_read_what_is_not_kept() -> None:
    def couple(net: NetworkBuilder, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        inner: list[Tensor] = []

        def branch(net: NetworkBuilder, x: Tensor, name: str) -> Tensor:
            inner.append(one(net, x, name))
            return inner[-1]

        a, b = coupled(net, a, b, branch, depth=1, name="stack")
        return net.add(a, inner[0]), b

    with pytest.raises(SpaceError, match=r"stack\.block0\.f\.conv is read from outside"):
        network(couple)


def test_the_space_checks_its_sizes() -> None:
    with pytest.raises(SpaceError, match="spatial sizes that 4 divides"):
        reversible_unet((1, 10, 12, 12), 3)
    with pytest.raises(SpaceError, match="width 12 is no multiple of 8, twice norm_groups; take 8"):
        reversible_unet((1, 8, 8, 8), 3, widths=((12,), (16,)))


@pytest.mark.parametrize("spatial", [(8,), (8, 12), (8, 12, 8)])
def test_the_space_answers_for_every_position(spatial: tuple[int, ...]) -> None:
    space = reversible_unet((2, *spatial), 3, widths=((8, 16), (16, 24), (16,)))
    made = space.build(space.repair({"level0.width": 16}))
    assert made.nodes[made.outputs[0][1]].shape == (3, *spatial)
