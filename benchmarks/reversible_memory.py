"""What training keeps of a stack of couplings, measured and predicted, and whether recomputing changes gradients."""

import torch
from torch import Tensor, nn

from benchmarks.figures import print_figure
from nas.modules import NetworkModule
from predictors.counts import count_network
from search_spaces import NetworkBuilder
from search_spaces.blocks.reversible import coupled, mbconv_branch
from search_spaces.builder import Tensor as Handle
from search_spaces.network import Network

CHANNELS, GROUPS, EXPAND = 32, 4, 4


def stack(blocks: int, *, recompute: bool, spatial: tuple[int, ...]) -> Network:
    """Couplings of expansion 4 behind two 1x1 convolutions that make their halves."""

    def branch(net: NetworkBuilder, x: Handle, name: str) -> Handle:
        return mbconv_branch(net, x, expand=EXPAND, norm_groups=GROUPS, name=name)

    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(CHANNELS, *spatial)
    left, right = (net.conv(x, CHANNELS // 2, kernel=1, name=name) for name in ("left", "right"))
    return net.finish(net.concat(*coupled(net, left, right, branch, depth=blocks, recompute=recompute, name="stack")))


def kept_bytes(module: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of one forward pass, parameters left out, each storage once."""
    known = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(x)
    del output
    return sum(kept.values())


def print_memory(blocks: int, *, side: int) -> None:
    """Print how many times fewer bytes a stack keeps when it recomputes, and how far the prediction is off."""
    spatial = (side,) * 3
    x = torch.randn(1, CHANNELS, *spatial)
    networks = {recompute: stack(blocks, recompute=recompute, spatial=spatial) for recompute in (False, True)}
    given = x.numel() * x.element_size()
    measured = {key: kept_bytes(NetworkModule(network), x) - given for key, network in networks.items()}
    predicted = {
        key: count_network(network).total["training_memory_bytes"] - given for key, network in networks.items()
    }
    where = {"blocks": blocks, "expand": EXPAND, "channels": CHANNELS, "side": side}
    ratio = measured[False] / measured[True]
    print_figure("saved_bytes_ratio", ratio, "", baseline={"18 per block": 18 * blocks}, where=where)
    for key, name in ((False, "plain"), (True, "reversible")):
        print_figure(
            "training_memory_error",
            abs(predicted[key] / measured[key] - 1),
            "share",
            where={**where, "network": name, "predicted_bytes": predicted[key], "measured_bytes": measured[key]},
        )


def print_gradients(blocks: int, *, side: int) -> None:
    """Print the largest relative difference of any gradient from plain autograd, in float64."""
    modules = {r: NetworkModule(stack(blocks, recompute=r, spatial=(side,) * 3)).double() for r in (False, True)}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in modules[False].parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
    modules[True].load_weights(modules[False].weights())
    x = torch.randn(2, CHANNELS, side, side, side, generator=generator, dtype=torch.float64)
    grads: dict[bool, list[Tensor]] = {}
    for key, module in modules.items():
        given = x.clone().requires_grad_()
        module(given).pow(2).mean().backward()
        grads[key] = [tensor.grad for tensor in (given, *module.parameters()) if tensor.grad is not None]
    pairs = zip(grads[False], grads[True], strict=True)
    worst = max(float((mine - theirs).abs().max() / mine.abs().max()) for mine, theirs in pairs)
    print_figure("gradient_difference", worst, "", where={"blocks": blocks, "precision": "float64", "side": side})
