"""Brings a written model to life: its text as a Python module, filled with weights."""

import linecache
import sys
import types
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nas.export.source import ModelSource
from search_spaces.errors import NasError
from search_spaces.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.modules import Weights


@contextmanager
def python_module(text: str) -> Iterator[Any]:
    """The module whose source is `text`, imported for as long as the context lasts; nothing is written."""
    name = f"exported_{uuid.uuid4().hex}"
    module = types.ModuleType(name)
    filename = f"<{name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    sys.modules[name] = module
    try:
        exec(compile(text, filename, "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name]
        linecache.cache.pop(filename, None)


def fresh_model(module: Any) -> "nn.Module":
    """A new network of a module that `python_module` gave, evaluating; the global random state stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        model: nn.Module = module.Network()
    return model.eval()


def dropped(network: Network, weights: "Weights") -> dict[str, dict[str, "Tensor"]]:
    """`weights` of `network`, on the CPU, zero where its sparsity drops elements.

    Raises `NasError` for a tensor that is missing or has another shape.
    """
    from nas.masks import masked

    found: dict[str, dict[str, Tensor]] = {}
    for path, tensors in network.weights.items():
        found[path] = {}
        for name, weight in tensors.items():
            tensor = weights.get(path, {}).get(name)
            if tensor is None:
                raise NasError(
                    f"the weights lack {path}.{name} of shape {weight.shape}; statistics come from recalibration"
                )
            if tuple(tensor.shape) != weight.shape:
                raise NasError(f"{path}.{name} has shape {tuple(tensor.shape)}, but the network needs {weight.shape}")
            found[path][name] = masked(tensor.detach().cpu(), weight.sparsity).clone()
    return found


def fill(model: "nn.Module", source: ModelSource, network: Network, weights: "Weights") -> None:
    """Copy `weights`, with the masks of the sparse ones, into a model written as `source`."""
    import torch

    from nas.masks import magnitude_mask

    modules = dict(model.named_modules(remove_duplicate=False))
    with torch.no_grad():
        for path, attribute in source.modules.items():
            module = modules[attribute]
            for name, weight in network.weights[path].items():
                tensor = weights[path][name]
                getattr(module, name).copy_(tensor)
                mask = getattr(module, "mask", None)
                if name == "weight" and mask is not None:
                    mask.copy_(magnitude_mask(tensor, weight.sparsity))
