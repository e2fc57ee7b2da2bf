"""Training of one network with weights of its own, by the schedule that supernets are trained by."""

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from nas.modules import NetworkModule, Weights
from nas.supernet.calibrate import fitted
from nas.supernet.train import TrainSettings, learning_rate
from nas.tasks.protocol import Batch, Task, loss_of
from search_spaces.errors import NasError
from search_spaces.network import Network


def train_alone(
    network: Network, task: Task, settings: TrainSettings, *, seed: int, start: Weights | None = None
) -> dict[str, dict[str, Tensor]]:
    """The weights of `network` with running statistics, after a training of its own on the labels.

    From fresh weights, or from `start`. Of `settings` count epochs, batch, rates, decays, smoothing and clipping, and
    "bf16" as precision; there is no moving average. `seed` gives initial weights, order, augmentation and dropout.
    Raises NasError when the loss is no longer finite.
    """
    module = _module(network, seed, start)
    optimiser = _optimiser(module, settings)
    steps = task.steps_per_epoch(settings.batch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(settings.epochs):
            for step, batch in enumerate(task.train_batches(settings.batch_size, seed=seed, epoch=epoch)):
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(settings, epoch * steps + step, steps)
                if not bool(_gradients(module, batch, task, settings).isfinite()):
                    raise NasError(f"its training diverged in epoch {epoch + 1}: lower the learning rate")
                optimiser.step()
    return module.eval().weights()


def step_seconds(network: Network, task: Task, settings: TrainSettings, *, steps: int = 2) -> float:
    """Seconds of one optimiser step of `train_alone`, its batch included."""
    module = _module(network, 0, None)
    optimiser = _optimiser(module, settings)
    times = []
    started = time.perf_counter()
    for _, batch in zip(range(steps + 1), task.train_batches(settings.batch_size, seed=0, epoch=0), strict=False):
        _gradients(module, batch, task, settings)
        optimiser.step()
        now = time.perf_counter()
        times.append(now - started)
        started = now
    return sum(times[1:] or times) / len(times[1:] or times)


def parameter_groups(tensors: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """`tensors` as an optimiser's groups, those of one axis (biases and norms) without weight decay."""
    given = list(tensors)
    groups: list[dict[str, Any]] = [
        {"params": [tensor for tensor in given if tensor.ndim > 1], "weight_decay": weight_decay},
        {"params": [tensor for tensor in given if tensor.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _module(network: Network, seed: int, start: Weights | None) -> NetworkModule:
    module = NetworkModule(network, seed=seed).train()
    if start is not None:
        module.load_weights(start)
    return module


def _optimiser(module: NetworkModule, settings: TrainSettings) -> torch.optim.SGD:
    return torch.optim.SGD(
        parameter_groups(module.parameters(), settings.weight_decay),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        foreach=True,
    )


def _gradients(module: NetworkModule, batch: Batch, task: Task, settings: TrainSettings) -> Tensor:
    """Fill the clipped gradients of one batch; its loss."""
    images, target = batch
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
        output = module(fitted(images, module.network))
    outputs = {"output": output} if isinstance(output, Tensor) else output
    floats = {name: answer.float() for name, answer in outputs.items()}
    loss = loss_of(task, floats, target, label_smoothing=settings.label_smoothing)
    module.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(list(module.parameters()), settings.clip_norm, foreach=True)
    return loss.detach()
