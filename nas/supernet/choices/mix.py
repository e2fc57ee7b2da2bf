"""Running all options of several choices at once: their values, mixed by probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from nas.modules import TORCH, Mode, Weights
from nas.supernet.choices.alternatives import Alternatives, Branch
from nas.supernet.weights import Supernet
from search_spaces.network import Network, Node
from search_spaces.operators import BatchNorm, Conv, GroupNorm, InstanceNorm, LayerNorm, Linear


@dataclass(frozen=True)
class Mix:
    """The network `base` in which choices that do not meet are mixed.

    shares: per choice the weights [n_options] of its options, through which gradients flow. sparsity: share of zeros
    in the weights of all convolutions and products but depthwise ones. leaves: what the shares follow from.
    """

    base: Network
    choices: tuple[Alternatives, ...]
    shares: tuple[Tensor, ...]
    sparsity: float = 0.0
    leaves: tuple[Tensor, ...] = ()

    def forward(self, supernet: Supernet, x: Tensor, *, mode: Mode) -> dict[str, Tensor]:
        """Run on x [n, C, *spatial] with the shared weights; outputs by name.

        Norms among the options neither scale nor shift, so that scales cannot pass for a choice (OSNet-AIN).
        """
        hidden = frozenset[int]().union(*(choice.inside for choice in self.choices))
        meetings = {choice.meeting: number for number, choice in enumerate(self.choices)}
        weights = supernet.weights_for(self.base)
        values: dict[int, Tensor] = {}
        for i, node in enumerate(self.base.nodes):
            if i in meetings:
                choice, shares = self.choices[meetings[i]], self.shares[meetings[i]]
                parts = [
                    share * self._result(supernet, branch, values, mode)
                    for share, branch in zip(shares, choice.branches, strict=True)
                ]
                values[i] = reduce(torch.add, parts)
            elif i not in hidden:
                inputs = [values[source] for source in node.inputs] or [x]
                values[i] = self._run(node, inputs, weights, mode)
        return {name: values[i] for name, i in self.base.outputs}

    def _result(self, supernet: Supernet, branch: Branch, values: Mapping[int, Tensor], mode: Mode) -> Tensor:
        own = {node: values[at] for node, at in branch.outside.items()}
        weights = supernet.weights_for(branch.network)
        for i in branch.nodes:
            node = branch.network.nodes[i]
            if isinstance(node.op, (BatchNorm, GroupNorm, InstanceNorm, LayerNorm)):
                plain = weights[node.weights_path]
                weights[node.weights_path] = {
                    "weight": torch.ones_like(plain["weight"]),
                    "bias": torch.zeros_like(plain["bias"]),
                }
            own[i] = self._run(node, [own[source] for source in node.inputs], weights, mode)
        return own[branch.result]

    def _run(self, node: Node, inputs: list[Tensor], weights: Weights, mode: Mode) -> Tensor:
        own = weights.get(node.weights_path, {})
        op = node.op
        if self.sparsity and isinstance(op, (Conv, Linear)) and own["weight"].shape[1] > 1 and not op.sparsity:
            op = replace(op, sparsity=self.sparsity)
        return TORCH[type(op)](op, inputs, own, mode)
