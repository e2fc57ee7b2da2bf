"""Trains or fine-tunes an exported folder on data and tells its test accuracy."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.console import Step, progress
from nas.export.folder import MODEL, WEIGHTS, read_about
from nas.export.load import python_module
from search_spaces.errors import NasError
from search_spaces.files import write_json, write_with

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.tasks.classification import ClassificationTask

FITTED, REPORT = "weights_fit.safetensors", "fit.json"
MOMENTUM, WEIGHT_DECAY, LABEL_SMOOTHING = 0.9, 5e-4, 0.1
RATE_FINE_TUNING, RATE_FROM_SCRATCH = 0.01, 0.05
WARM_UP = 0.05
EVALUATION_BATCH = 500


@dataclass(frozen=True, slots=True)
class FitReport:
    """Errors as shares: on the held-out training images before and after, on the test images after.

    `test_interval` is the 95 % binomial interval of `test_error`.
    """

    weights: Path
    epochs: int
    test_images: int
    test_error: float
    test_interval: tuple[float, float]
    validation_error_before: float
    validation_error: float
    note: str

    def text(self) -> str:
        """The result in two lines."""
        low, high = (100 * (1 - bound) for bound in reversed(self.test_interval))
        return (
            f"test accuracy {100 * (1 - self.test_error):.2f} % (95 %: {low:.2f} to {high:.2f} %) on "
            f"{self.test_images:,} images{f'; {self.note}' if self.note else ''}\n"
            f"validation accuracy {100 * (1 - self.validation_error_before):.2f} % before, "
            f"{100 * (1 - self.validation_error):.2f} % after {self.epochs} epochs; weights in {self.weights}"
        )


def fit(
    folder: Path,
    *,
    data: str = "digits",
    epochs: int = 10,
    learning_rate: float | None = None,
    batch_size: int = 128,
    seed: int = 0,
    from_scratch: bool = False,
    device: str = "cpu",
    cache: Path | None = None,
) -> FitReport:
    """Train the exported network in `folder` on `data` (see `load_data`) for `epochs`, and test it once.

    It starts from the weights saved with it, or `from_scratch` from fresh ones in which the same weights are zero.
    SGD with Nesterov momentum, a warm-up and a cosine down to zero; `learning_rate` is its highest value, by default
    0.01, from scratch 0.05. The inputs are prepared as the network's own `preprocess` does. Writes
    `weights_fit.safetensors` and `fit.json` into `folder`; the weights exported there stay.

    Raises `NasError` for a folder without model.py or its weights, for data with another number of classes or
    channels, for an option out of range, and when the loss is no longer finite.
    """
    _check_options(epochs, batch_size, learning_rate)
    about = read_about(folder)
    task = _task(about, data, seed, cache).to(device)
    with python_module(_text(folder)) as module:
        model = _model(module, folder, from_scratch=from_scratch, seed=seed).to(device)
        before = _error(model, about, task.validation_batches, task)
        rate = learning_rate if learning_rate is not None else RATE_FROM_SCRATCH if from_scratch else RATE_FINE_TUNING
        _train(model, about, task, epochs=epochs, rate=rate, batch_size=batch_size, seed=seed)
        wrong, count = _errors(model, about, task.test_batches, task)
        after = _error(model, about, task.validation_batches, task)
        from safetensors.torch import save_model

        write_with(folder / FITTED, lambda path: save_model(model.cpu(), str(path)))
    from nas.tasks.intervals import binomial_interval

    interval = binomial_interval(wrong, count)
    report = FitReport(folder / FITTED, epochs, count, wrong / count, interval, before, after, task.data.note)
    options = {"data": data, "learning_rate": rate, "batch_size": batch_size, "seed": seed}
    write_json(folder / REPORT, asdict(report) | {"weights": FITTED, "from_scratch": from_scratch, **options})
    return report


def _check_options(epochs: int, batch_size: int, learning_rate: float | None) -> None:
    if epochs < 0:
        raise NasError(f"epochs is {epochs}; at least 0")
    if batch_size < 2:
        raise NasError(f"batch_size is {batch_size}; at least 2, for the statistics of its norms")
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise NasError(f"learning_rate is {learning_rate}; it must be a positive number")


def _text(folder: Path) -> str:
    try:
        return (folder / MODEL).read_text()
    except OSError as error:
        raise NasError(f"{folder} has no {MODEL} ({error}); export it with --format pytorch") from None


def _task(about: dict[str, Any], data: str, seed: int, cache: Path | None) -> "ClassificationTask":
    from nas.tasks.classification import classification
    from nas.tasks.data import load_data

    task = classification(load_data(data, cache=cache), seed=seed)
    channels, classes = about["input_shape"][0], len(about["class_names"])
    if task.input_shape[0] != channels:
        raise NasError(f"the network takes {channels} channels, the images of {data} have {task.input_shape[0]}")
    if classes and task.classes != classes:
        raise NasError(f"the network tells {classes} classes apart, {data} has {task.classes}")
    constants = about["normalisation"] or {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    return replace(task, mean=tuple(constants["mean"]), std=tuple(constants["std"]))


def _model(module: Any, folder: Path, *, from_scratch: bool, seed: int) -> "nn.Module":
    import torch
    from safetensors import SafetensorError

    try:
        model: nn.Module = module.load(folder / WEIGHTS)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise NasError(f"{folder / WEIGHTS} cannot be loaded into {MODEL}: {error}") from None
    if not from_scratch:
        return model
    masks = {name: buffer for name, buffer in model.named_buffers() if name.endswith(".mask")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh: nn.Module = module.Network()
    fresh.load_state_dict(masks, strict=False)
    return fresh.eval()


def _train(
    model: "nn.Module",
    about: dict[str, Any],
    task: "ClassificationTask",
    *,
    epochs: int,
    rate: float,
    batch_size: int,
    seed: int,
) -> None:
    import torch

    from nas.supernet.alone import parameter_groups

    steps = epochs * task.steps_per_epoch(batch_size)
    groups = parameter_groups(model.parameters(), WEIGHT_DECAY)
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(steps))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    title = f"training for {epochs} epochs"
    with progress(title, steps or None) as step, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(epochs):
            for images, labels in task.train_batches(batch_size, seed=seed, epoch=epoch):
                loss = task.loss(_output(model, about, images), labels, label_smoothing=LABEL_SMOOTHING)
                _check_loss(loss, rate)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                _tell(step, epoch, loss)
    model.eval()


def _schedule(steps: int) -> Callable[[int], float]:
    warm = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return factor


def _check_loss(loss: "Tensor", rate: float) -> None:
    if not math.isfinite(float(loss.detach())):
        raise NasError(f"the loss is {float(loss.detach())}; try a learning rate below {rate:g}. Nothing was written")


def _tell(step: Step, epoch: int, loss: "Tensor") -> None:
    step.advance(1, note=f"epoch {epoch + 1}, loss {float(loss.detach()):.3f}")


def _output(model: "nn.Module", about: dict[str, Any], images: "Tensor") -> "Tensor":
    """The network's first output for normalised images of any size."""
    from nas.tasks.transforms import resize

    height, width = about["input_shape"][1:]
    output = model(resize(images, (height, width)))
    found: Tensor = output[about["outputs"][0]] if isinstance(output, dict) else output
    return found


def _errors(
    model: "nn.Module",
    about: dict[str, Any],
    batches: "Callable[[int], Iterator[tuple[Tensor, Tensor]]]",
    task: "ClassificationTask",
) -> tuple[int, int]:
    """Wrong answers and answers of `model` on `batches`."""
    import torch

    wrong = count = 0
    with torch.inference_mode():
        for images, labels in batches(EVALUATION_BATCH):
            wrong += task.metric(_output(model, about, images), labels)
            count += len(labels)
    return wrong, count


def _error(
    model: "nn.Module",
    about: dict[str, Any],
    batches: "Callable[[int], Iterator[tuple[Tensor, Tensor]]]",
    task: "ClassificationTask",
) -> float:
    wrong, count = _errors(model, about, batches, task)
    return wrong / count
