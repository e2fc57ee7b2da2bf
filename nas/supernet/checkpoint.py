"""Checkpoints of training: one safetensors file each, written whole, the previous one kept."""

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
LOGGER = logging.getLogger("nas.supernet")


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON `state` to one file; the file before it stays as the previous one."""
    from safetensors.torch import save_file

    path = folder / NAME
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        save_file(contiguous, temporary, metadata={"state": json.dumps(state)})

    if path.is_file():
        path.replace(folder / PREVIOUS)
    write_with(path, write)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest readable checkpoint, `None` when there is none.

    A damaged newest file falls back to the previous one with a warning; NasError when no file is readable.
    """
    problems: list[str] = []
    for path in (folder / NAME, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            found = _read(path)
        except Exception as error:
            problems.append(f"{path} is damaged ({error})")
            continue
        for problem in problems:
            LOGGER.warning("%s; continuing from %s", problem, path)
        return found
    if problems:
        raise NasError(
            f"{'; '.join(problems)}. No checkpoint can be read: move {folder} away to train again from the start"
        )
    return None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
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
    """All tensors under "<group>/<name>"."""
    return {
        f"{group}/{name}": tensor.detach().to(torch.float32)
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    }
