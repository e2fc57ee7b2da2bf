"""Masked pretraining of one network: the schedule, the encoder's weights, and where they are kept."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nas.modules import TRAINING, NetworkModule
from nas.pretrain.decoder import Filler, hidden_loss
from nas.pretrain.masking import kept_cells, random_masks
from nas.pretrain.visible import Pyramid, pyramid_of, visible_maps
from nas.supernet.alone import parameter_groups
from nas.supernet.calibrate import fitted
from nas.tasks.protocol import Task
from nas.tasks.split import derived_seed
from search_spaces.errors import NasError
from search_spaces.network import Network


@dataclass(frozen=True)
class PretrainSettings:
    """How a network is pretrained: AdamW, linear warm-up, then a cosine to a hundredth of the rate.

    mask_ratio: share of the cells that is hidden. decoder_width: channels of the decoder's first step.
    """

    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.04
    warmup_epochs: float = 2.0
    mask_ratio: float = 0.6
    decoder_width: int = 64
    clip_norm: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class Pretrained:
    """The weights of all layers up to the coarsest map, running statistics with them, and the loss of each epoch."""

    weights: dict[str, dict[str, Tensor]]
    losses: tuple[float, ...]


def pretrain(
    network: Network,
    task: Task,
    settings: PretrainSettings,
    *,
    advance: Callable[[float, str], None] = lambda steps, note: None,
) -> Pretrained:
    """Train `network` to fill in what is hidden of the training images of `task`; labels are never looked at.

    `advance(steps, note)` hears of progress. Raises `NasError` for a network or a ratio that leave nothing to hide,
    and when the loss is no longer finite.
    """
    module = NetworkModule(network, seed=settings.seed).train()
    pyramid, grid = _grid(network, settings)
    filler = _filler(network, pyramid, settings)
    inside = encoder_paths(network, pyramid)
    encoder = [t for path, tensors in module.weights().items() if path in inside for t in tensors.values()]
    trained = [tensor for tensor in (*encoder, *filler.parameters()) if tensor.requires_grad]
    optimiser = torch.optim.AdamW(parameter_groups(trained, settings.weight_decay), lr=settings.learning_rate)
    steps = task.steps_per_epoch(settings.batch_size)
    losses: list[float] = []
    for epoch in range(settings.epochs):
        total = 0.0
        batches = task.train_batches(settings.batch_size, seed=settings.seed, epoch=epoch)
        for step, (images, _) in enumerate(batches):
            for group in optimiser.param_groups:
                group["lr"] = _rate(settings, epoch * steps + step, steps)
            x = fitted(images, network)
            generator = torch.Generator().manual_seed(derived_seed("mask", settings.seed, epoch, step))
            mask = random_masks(len(x), grid, ratio=settings.mask_ratio, generator=generator).to(x.device)
            maps = visible_maps(network, module.weights(), x * _wide(mask, x), mask, pyramid, mode=TRAINING)
            loss = hidden_loss(_sized(filler(maps[::-1], mask), x), x, mask)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, settings.clip_norm)
            if not math.isfinite(float(loss.detach())):
                raise NasError(f"pretraining diverged in epoch {epoch + 1}: lower the learning rate")
            optimiser.step()
            total += float(loss.detach())
            advance(1.0, f"epoch {epoch + 1}/{settings.epochs}, loss {float(loss.detach()):.3f}")
        losses.append(total / steps)
    found = {path: {n: t.detach().clone() for n, t in of.items()} for path, of in module.weights().items()}
    return Pretrained({path: found[path] for path in found if path in inside}, tuple(losses))


def encoder_paths(network: Network, pyramid: Pyramid) -> frozenset[str]:
    """Weight paths of all nodes that the maps of `pyramid` depend on."""
    needed: set[int] = set()
    pending = list(pyramid.nodes)
    while pending:
        index = pending.pop()
        if index not in needed:
            needed.add(index)
            pending += network.nodes[index].inputs
    nodes = (network.nodes[index] for index in needed)
    return frozenset(node.weights_path for node in nodes if node.op.weights(network.input_shapes(node)))


def save_pretrained(path: Path, pretrained: Pretrained) -> None:
    """Write the weights as safetensors, keys "<weight path>.<tensor name>"."""
    from safetensors.torch import save_file

    from search_spaces.files import write_with

    flat = {f"{at}.{name}": t.contiguous() for at, of in pretrained.weights.items() for name, t in of.items()}
    write_with(path, lambda place: save_file(flat, str(place)))


def load_pretrained(path: Path, network: Network) -> dict[str, dict[str, Tensor]]:
    """The weights that `save_pretrained` wrote for `network`; its head is not among them.

    Raises `NasError` when the file is missing, damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        flat = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise NasError(f"{path} cannot be read as pretrained weights: {error}") from error
    found: dict[str, dict[str, Tensor]] = {}
    for at in sorted(encoder_paths(network, pyramid_of(network))):
        for name, weight in network.weights[at].items():
            tensor = flat.pop(f"{at}.{name}", None)
            if tensor is None or tuple(tensor.shape) != weight.shape:
                raise NasError(
                    f"{path} holds the weights of another network: {at}.{name} of {weight.shape} is not there"
                )
            found.setdefault(at, {})[name] = tensor
    if flat:
        raise NasError(f"{path} holds the weights of another network: {', '.join(sorted(flat)[:3])} have no place")
    return found


def _grid(network: Network, settings: PretrainSettings) -> tuple[Pyramid, tuple[int, ...]]:
    """The maps that are used, and the grid of the mask: the positions of the coarsest of them."""
    pyramid = pyramid_of(network)
    grid = network.nodes[pyramid.last].shape[1:]
    kept_cells(math.prod(grid), settings.mask_ratio)
    image = network.input.shape[1:]
    if len(grid) != 2 or any(n % cells for n, cells in zip(image, grid, strict=True)):
        raise NasError(
            f"images of {image} cannot be divided into {grid} patches, the positions of the network's coarsest map: "
            "masked pretraining takes planar images of a size that these divide"
        )
    return pyramid, grid


def _filler(network: Network, pyramid: Pyramid, settings: PretrainSettings) -> Filler:
    """The decoder that leads from the coarsest map to the image, drawn by the seed."""
    channels = [network.nodes[index].shape[0] for index in reversed(pyramid.nodes)]
    factor = network.input.shape[1] / network.nodes[pyramid.last].shape[1]
    steps = max(len(channels), math.ceil(math.log2(factor)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("decoder", settings.seed) % 2**63)
        return Filler(channels, width=settings.decoder_width, steps=steps, image_channels=network.input.shape[0])


def _wide(mask: Tensor, x: Tensor) -> Tensor:
    from nas.pretrain.masking import mask_at

    return mask_at(mask, tuple(x.shape[2:])).to(x.dtype)


def _sized(image: Tensor, x: Tensor) -> Tensor:
    """The decoder's image at the size of x, where steps of two overshoot it."""
    if image.shape[2:] == x.shape[2:]:
        return image
    return torch.nn.functional.interpolate(image, size=x.shape[2:], mode="bilinear", align_corners=False)


def _rate(settings: PretrainSettings, position: int, steps_per_epoch: int) -> float:
    total, warm = settings.epochs * steps_per_epoch, round(settings.warmup_epochs * steps_per_epoch)
    if position < warm:
        return settings.learning_rate * (position + 1) / warm
    share = (position - warm) / max(1, total - warm)
    return settings.learning_rate * max(0.01, 0.5 * (1 + math.cos(math.pi * share)))
