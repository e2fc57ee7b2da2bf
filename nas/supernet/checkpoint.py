"""Checkpoints of training: tensors and state in one safetensors file, the one before it kept."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_spaces.errors import NasError
from search_spaces.files import write_with

NAME, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
FRESH = "checkpoint.new.safetensors"
LOGGER = logging.getLogger("nas.supernet")
Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name, and the state that belongs to them."""


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON `state` whole; the checkpoint before it stays as the previous one.

    Raises `NasError` when the disk does not take them; what was written before stays.
    """
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        save_file(contiguous, temporary, metadata={"state": json.dumps(state)})

    try:
        write_with(folder / FRESH, write)
        if (folder / NAME).is_file():
            (folder / NAME).replace(folder / PREVIOUS)
        (folder / FRESH).replace(folder / NAME)
    except Exception as error:
        needed = sum(tensor.numel() * tensor.element_size() for tensor in contiguous.values())
        raise NasError(
            f"the checkpoint of {needed / 2**20:.0f} MiB could not be written to {folder}: {error}. Free some "
            "space and resume; the checkpoint before it is intact"
        ) from error


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest readable checkpoint, `None` when there is none.

    A damaged file falls back to the one before it, with a warning; `NasError` when none is readable.
    """
    problems: list[str] = []
    for name in (FRESH, NAME, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = _read(path)
        except Exception as error:
            problems.append(f"{path} is damaged ({error})")
            continue
        for problem in problems:
            LOGGER.warning("%s; going on from %s, which is older", problem, path.name)
        return found
    if problems:
        raise NasError(
            f"{'; '.join(problems)}. No checkpoint can be read: move {folder} away to train again from the start"
        )
    return None


def _read(path: Path) -> Checkpoint:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        state: dict[str, Any] = json.loads(file.metadata()["state"])
    return tensors, state


def split(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those of `tensors` whose names begin with `<prefix>/`, without it."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def joined(**groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors as float32 under "<group>/<name>"."""
    return {
        f"{group}/{name}": tensor.detach().to(torch.float32)
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    }
