"""Where options part and meet again, and that mixing them is what it says."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.masks import masked
from nas.modules import Mode, Weights, execute
from nas.supernet.choices.alternatives import alternatives, groups_of
from nas.supernet.choices.mix import Mix
from nas.supernet.rules.gumbel import relaxed
from nas.supernet.shapes import shared_shapes
from nas.supernet.subnets import Coded
from nas.supernet.weights import Supernet
from predictors.tables import CostTables, compile_for_costs
from search_spaces.blocks.omni_scale import INSTANCE_NORMS
from search_spaces.catalog import nas_bench_macro, osnet
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import BatchNorm, InstanceNorm
from search_spaces.space import SearchSpace
from tests.nas.supernet.choices.worlds import kinds
from tests.nas.supernet.worlds import coded_subnets, space

PLAIN = Mode(batch_statistics=True)


def coded_of(of: SearchSpace) -> Coded:
    tables = CostTables(compile_for_costs(of), check=0)
    return Coded.of(tables, largest=tables.extreme(largest=True))


def shared_of(coded: Coded) -> Supernet:
    shared = Supernet(shared_shapes(coded.compiled.weight_uses))
    generator = torch.Generator().manual_seed(1)
    for tensor in shared.tensors.values():
        if tensor.ndim == 1:
            tensor.data.uniform_(0.5, 1.5, generator=generator)
    return shared


def one_hot(option: int, count: int) -> Tensor:
    return torch.eye(count)[option]


def with_plain_norms(network: Network, weights: Weights, beginning: str) -> Weights:
    """The norms in scopes with that beginning neither scale nor shift."""
    plain = {path: dict(tensors) for path, tensors in weights.items()}
    for node in network.nodes:
        if isinstance(node.op, (BatchNorm, InstanceNorm)) and node.weights_path.startswith(beginning):
            channels = len(plain[node.weights_path]["weight"])
            plain[node.weights_path] = {"weight": torch.ones(channels), "bias": torch.zeros(channels)}
    return plain


@pytest.mark.parametrize("of", [SearchSpace(kinds), nas_bench_macro((3, 32, 32), 10)], ids=["kinds", "macro"])
def test_a_mix_of_one_option_each_is_the_network_with_these_options(of: SearchSpace) -> None:
    coded = coded_of(of)
    shared = shared_of(coded)
    choices = relaxed(coded, ())
    assert len(groups_of(choices)) == 1
    assert len(choices) == len(coded.compiled.slots)
    base = coded.subnet(coded.largest).network
    x = torch.randn((2, *base.input.shape), generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    for _ in range(3):
        row = coded.compiled.sample(rng, 1)[0]
        network = coded.subnet(row).network
        shares = tuple(one_hot(row[choice.slot], len(choice.branches)) for choice in choices)
        mixed = Mix(base, choices, shares).forward(shared, x, mode=PLAIN)["output"]
        alone = execute(network, with_plain_norms(network, shared.weights_for(network), "layer"), x, mode=PLAIN)
        torch.testing.assert_close(mixed, alone["output"], rtol=1e-4, atol=1e-5)


def test_places_of_instance_norms_are_learnt_as_published() -> None:
    """OSNet-AIN: four places in each of six blocks, all mixed at once."""
    of = osnet((3, 16, 8), 4, width_multipliers=(0.25,), instance_norms=INSTANCE_NORMS, features=8)
    coded = coded_of(of)
    shared = shared_of(coded)
    choices = relaxed(coded, ())
    assert [len(choice.branches) for choice in choices] == [4] * 6
    assert len(groups_of(choices)) == 1
    base = coded.subnet(coded.largest).network
    x = torch.randn((4, *base.input.shape), generator=torch.Generator().manual_seed(0))
    row = coded.compiled.sample(np.random.default_rng(3), 1)[0]
    network = coded.subnet(row).network
    weights = shared.weights_for(network)
    for choice in choices:
        branch = choice.branches[row[choice.slot]]
        for node in branch.nodes:
            weights = with_plain_norms(network, weights, branch.network.nodes[node].weights_path)
    shares = tuple(one_hot(row[choice.slot], 4) for choice in choices)
    mixed = Mix(base, choices, shares).forward(shared, x, mode=PLAIN)
    alone = execute(network, weights, x, mode=PLAIN)
    assert mixed.keys() == alone.keys()
    for name, output in alone.items():
        torch.testing.assert_close(mixed[name], output, rtol=1e-3, atol=1e-4)


def test_a_sparse_mix_is_the_network_of_sparse_weights() -> None:
    coded = coded_of(SearchSpace(kinds))
    shared = shared_of(coded)
    choices = relaxed(coded, ())
    base = coded.subnet(coded.largest).network
    x = torch.randn((4, *base.input.shape), generator=torch.Generator().manual_seed(0))
    shares = tuple(one_hot(2, 3) for _ in choices)
    mixed = Mix(base, choices, shares, sparsity=0.75).forward(shared, x, mode=PLAIN)["output"]
    weights = {
        path: {
            name: masked(tensor, 0.75) if name == "weight" and tensor.ndim > 1 and tensor.shape[1] > 1 else tensor
            for name, tensor in tensors.items()
        }
        for path, tensors in with_plain_norms(base, shared.weights_for(base), "layer").items()
    }
    zeros = sum(int((tensors["weight"] == 0).sum()) for tensors in weights.values())
    assert zeros == 2 * round(0.75 * 8 * 8 * 9) + round(0.75 * 8 * 3)
    torch.testing.assert_close(mixed, execute(base, weights, x, mode=PLAIN)["output"], rtol=1e-4, atol=1e-5)


def test_shares_have_the_gradients_of_finite_differences() -> None:
    coded = coded_of(SearchSpace(kinds))
    shared = shared_of(coded)
    choices = relaxed(coded, ())
    base = coded.subnet(coded.largest).network
    x = torch.randn((4, *base.input.shape), generator=torch.Generator().manual_seed(0))

    def loss(shares: tuple[Tensor, ...]) -> Tensor:
        return Mix(base, choices, shares).forward(shared, x, mode=PLAIN)["output"].square().sum()

    shares = tuple(torch.tensor([0.5, 0.3, 0.2], requires_grad=True) for _ in choices)
    loss(shares).backward()
    for choice, share in enumerate(shares):
        for option in range(3):
            step = 1e-2 * one_hot(option, 3)
            ends = [
                float(loss(tuple(s + sign * step if i == choice else s for i, s in enumerate(shares))).detach())
                for sign in (1, -1)
            ]
            assert share.grad is not None
            assert float(share.grad[option]) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.05, abs=1e-3)


def test_choices_about_one_part_take_turns() -> None:
    coded = coded_subnets().coded
    assert coded is not None
    found = relaxed(coded, ("kernel", "expand"))
    assert len(found) == 6
    names = [{choice.name.rpartition(".")[2] for choice in group} for group in groups_of(found)]
    assert sorted(map(sorted, names)) == [["expand"], ["kernel"]]
    first, second = (next(c for c in found if c.name == f"block0.{word}") for word in ("kernel", "expand"))
    assert first.meets(second)
    assert second.meets(first)
    assert not first.meets(next(c for c in found if c.name == "block1.kernel"))


def test_a_choice_is_only_about_what_differs() -> None:
    coded = coded_subnets().coded
    assert coded is not None
    (kernel, *_) = relaxed(coded, ("kernel",))
    base = coded.subnet(coded.largest).network
    assert kernel.inside == {kernel.meeting}
    assert [len(branch.nodes) for branch in kernel.branches] == [1, 1]
    assert {branch.network.nodes[branch.result].name for branch in kernel.branches} == {base.nodes[kernel.meeting].name}


def refused(of: Coded, name: str) -> str:
    slot = next(place for place, slot in enumerate(of.compiled.slots) if slot.name == name)
    with pytest.raises(NasError) as told:
        alternatives(of, slot)
    return str(told.value)


def test_choices_that_cannot_be_mixed_are_told() -> None:
    coded = coded_subnets().coded
    assert coded is not None
    assert "'resolution' cannot be learnt by mixing its options" in refused(coded, "resolution")
    assert "Name others in supernet.relaxed" in refused(coded, "resolution")
    with pytest.raises(NasError, match=r"no choice of the space is called kernels or widths.*expand.*kernel"):
        relaxed(coded, ("kernels", "widths"))
    numbers = coded_of(space())
    with pytest.raises(NasError, match=r"no choice of the space has options that are names; set supernet\.relaxed"):
        relaxed(numbers, ())
