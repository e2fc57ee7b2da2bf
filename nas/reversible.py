"""Reversible scopes in torch: the forward pass keeps what the last coupling gives, the backward pass the rest anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from search_spaces.network import Network
from search_spaces.reversible import Chain

Weights = Mapping[str, Mapping[str, Tensor]]
Compute = Callable[[int, Sequence[Tensor], Mapping[str, Tensor]], Tensor]
"""(index of a node, its inputs, its tensors) to its output."""


@dataclass(frozen=True)
class _Work:
    """A chain, and what its branches need: `slots` tells which of the tensors handed in each node uses, by name."""

    network: Network
    chain: Chain
    compute: Compute
    slots: Mapping[int, Mapping[str, int]]

    def branch(self, nodes: Sequence[int], x: Tensor, source: int, tensors: Sequence[Tensor]) -> Tensor:
        """Output of the branch `nodes`, which reads the node `source`, whose value is `x`."""
        values = {source: x}
        for index in nodes:
            own = {name: tensors[slot] for name, slot in self.slots[index].items()}
            values[index] = self.compute(index, [values[i] for i in self.network.nodes[index].inputs], own)
        return values[nodes[-1]]

    def used(self, nodes: Sequence[int]) -> list[int]:
        """Which of the tensors the branch `nodes` uses."""
        return sorted({slot for index in nodes for slot in self.slots[index].values()})


def run_chain(
    network: Network, chain: Chain, weights: Weights, a: Tensor, b: Tensor, *, compute: Compute
) -> tuple[Tensor, Tensor]:
    """What the chain gives for (a, b) [n, C, *spatial], with gradients for both and for all its weights.

    Only the result is kept for the backward pass, which goes back from coupling to coupling: a = a' - g(b'),
    b = b' - f(a) (Gomez et al. 2017). Under autocast both stay in float32, so that little is lost on the way.
    """
    kind = a.device.type
    if torch.is_autocast_enabled(kind):
        a, b = a.float(), b.float()
    place: dict[tuple[str, str], int] = {}
    tensors: list[Tensor] = []
    slots: dict[int, dict[str, int]] = {}
    for coupling in chain.couplings:
        for index in (*coupling.f, *coupling.g):
            path = network.nodes[index].weights_path
            slots[index] = {}
            for name, tensor in weights.get(path, {}).items():
                if (path, name) not in place:
                    place[path, name] = len(tensors)
                    tensors.append(tensor)
                slots[index][name] = place[path, name]
    work = _Work(network, chain, compute, slots)
    given: tuple[Tensor, Tensor] = _Couplings.apply(work, a, b, *tensors)  # type: ignore[no-untyped-call]
    return given


class _Couplings(torch.autograd.Function):
    """All couplings of a chain as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, work: _Work, a: Tensor, b: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        for coupling in work.chain.couplings:
            b = b + work.branch(coupling.f, a, coupling.read[0], tensors)
            a = a + work.branch(coupling.g, b, coupling.given[1], tensors)
        ctx.work = work
        ctx.autocast = (torch.is_autocast_enabled(a.device.type), torch.get_autocast_dtype(a.device.type))
        ctx.save_for_backward(a, b, *tensors)
        return a, b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_a: Tensor, grad_b: Tensor) -> tuple[Tensor | None, ...]:
        work: _Work = ctx.work
        a, b, *tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3:]
        leaves = [tensor.detach().requires_grad_(want) for tensor, want in zip(tensors, wanted, strict=True)]
        grads: list[Tensor | None] = [None] * len(leaves)
        enabled, dtype = ctx.autocast
        with torch.autocast(a.device.type, dtype=dtype, enabled=enabled):
            for coupling in reversed(work.chain.couplings):
                out, back = _through(work, coupling.g, b, coupling.given[1], grad_a, leaves, grads)
                a, grad_b = a - out, grad_b + back
                out, back = _through(work, coupling.f, a, coupling.read[0], grad_b, leaves, grads)
                b, grad_a = b - out, grad_a + back
        return (None, grad_a, grad_b, *grads)


def _through(
    work: _Work,
    nodes: Sequence[int],
    x: Tensor,
    source: int,
    grad: Tensor,
    leaves: Sequence[Tensor],
    grads: list[Tensor | None],
) -> tuple[Tensor, Tensor]:
    """Output of a branch and the gradient of its input; those of its weights are added to `grads`."""
    used = [slot for slot in work.used(nodes) if leaves[slot].requires_grad]
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = work.branch(nodes, x, source, leaves)
    back, *of_weights = torch.autograd.grad(out, [x, *(leaves[slot] for slot in used)], grad.to(out.dtype))
    for slot, found in zip(used, of_weights, strict=True):
        known = grads[slot]
        grads[slot] = found if known is None else known + found
    return out.detach(), back
