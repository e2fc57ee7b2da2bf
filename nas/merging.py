"""The weights of a network whose parallel convolutions were merged (`search_spaces.merging`)."""

import torch
from torch import Tensor

from nas.modules import Weights
from search_spaces.merging import Fold, Merged, Summed, Taken
from search_spaces.operators import Conv


def merged_weights(found: Merged, weights: Weights) -> dict[str, dict[str, Tensor]]:
    """The tensors of `found.network` by weight path, from those of the network that was merged.

    Folded in double precision and given back in that of the weights, so that the merged network answers as the other
    does in evaluation, up to rounding.
    """
    ready: dict[str, dict[str, Tensor]] = {}
    ops = {node.weights_path: node.op for node in found.network.nodes}
    for path, tensors in found.network.weights.items():
        fold = found.folds.get(path)
        if fold is None:
            ready[path] = {name: weights[path][name] for name in tensors}
            continue
        op = ops[path]
        assert isinstance(op, Conv)
        weight, bias = _folded(fold, weights, op.group_size)
        kept = weights[path]["weight"].dtype
        ready[path] = {"weight": weight.to(kept).contiguous(), "bias": bias.to(kept)}
    return ready


def _folded(fold: Fold, weights: Weights, group_size: int) -> tuple[Tensor, Tensor]:
    """Weight [out, in of a group, *taps] and bias [out] in double precision."""
    if isinstance(fold, Taken):
        return _taken(fold, weights, group_size)
    if isinstance(fold, Summed):
        parts = [(*_folded(part, weights, group_size), dilation) for part, dilation in fold.folds]
        spread = [_spread(weight, dilation, fold.kernel) for weight, _, dilation in parts]
        return torch.stack(spread).sum(0), torch.stack([bias for _, bias, _ in parts]).sum(0)
    weight, bias = _folded(fold.fold, weights, group_size)
    behind = {name: tensor.detach().double() for name, tensor in weights[fold.path].items()}
    factor, shift = behind["weight"], torch.zeros_like(bias)
    if fold.eps is not None:
        factor = factor / (behind["running_var"] + fold.eps).sqrt()
        shift = behind["bias"] - behind["running_mean"] * factor
    return weight * factor.view(-1, *(1,) * (weight.ndim - 1)), bias * factor + shift


def _taken(fold: Taken, weights: Weights, group_size: int) -> tuple[Tensor, Tensor]:
    own = weights[fold.path]
    weight = own["weight"].detach().double()
    bias = own["bias"].detach().double() if "bias" in own else weight.new_zeros(len(weight))
    if fold.shift is not None:
        shift = weights[fold.shift]["bias"].detach().double().view(-1, group_size)
        groups = weight.flatten(1).view(len(shift), -1, group_size)
        bias = bias + (groups * shift[:, None]).sum(-1).flatten()
    return weight, bias


def _spread(weight: Tensor, dilation: tuple[int, ...], kernel: tuple[int, ...]) -> Tensor:
    """`weight` with zeros between its taps, in the middle of a kernel of the given size."""
    dense = weight.new_zeros(*weight.shape[:2], *kernel)
    where = [slice(None), slice(None)]
    for taps, spacing, size in zip(weight.shape[2:], dilation, kernel, strict=True):
        reach = spacing * (taps - 1)
        start = (size - reach - 1) // 2
        where.append(slice(start, start + reach + 1, spacing))
    dense[tuple(where)] = weight
    return dense
