"""Writes a network as a readable PyTorch file that needs neither this project nor its supernet."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.export.classes import class_source
from nas.export.family import Classes, tie_lines, write_classes
from nas.export.helpers import helper_texts, load_lines, preprocess_lines
from nas.export.plan import common_plan
from nas.export.text import INDENT, prose
from nas.export.tree import Group, network_tree, owners
from search_spaces.network import Network

NETWORK_CLASS = "Network"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What inputs go through before the network: (value / 255 - mean) / std per channel, on the scale 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A written model: its text, the module of each weight path, the names of its classes."""

    text: str
    modules: dict[str, str]
    classes: tuple[str, ...]


def model_source(
    network: Network,
    *,
    title: str = "A network.",
    notes: Sequence[str] = (),
    normalisation: Normalisation | None = None,
) -> ModelSource:
    """Write `network`, as inference runs it, as the text of a module `model.py`.

    `title` and `notes` open its docstring. `normalisation` is what its `preprocess` does after resizing uint8 inputs
    to the network's resolution; `None` leaves them on the scale 0 to 1. Raises `NasError` for an operator without a
    source rule.
    """
    tree = network_tree(network)
    modules = module_paths(tree, network)
    helpers = helper_texts(patterns=_has_patterns(network))
    classes = write_classes(tree, network, taken={NETWORK_CLASS, *helpers})
    network_lines = _network_class(tree, classes, modules)
    written = "\n".join(line for lines in (*classes.lines.values(), network_lines) for line in lines)
    blocks = [helpers[name].splitlines() for name in _needed(written, helpers)]
    blocks += [list(lines) for lines in classes.lines.values()]
    blocks += [network_lines, preprocess_lines(network.input.shape, normalisation), load_lines()]
    head = [*_docstring(title, notes, network), "", *_imports(blocks)]
    text = "\n".join(head) + "".join("\n\n\n" + "\n".join(block) for block in blocks) + "\n"
    return ModelSource(text, modules, (*classes.lines, NETWORK_CLASS))


def module_paths(tree: Group, network: Network) -> dict[str, str]:
    """Attribute path of the module that owns each weight path."""
    first = {index: path for path, index in owners(network).items()}
    return {
        first[leaf.index]: path
        for path, leaf in tree.leaves()
        if leaf.index in first and network.nodes[leaf.index].op.weights(network.input_shapes(network.nodes[leaf.index]))
    }


def _network_class(tree: Group, classes: Classes, modules: dict[str, str]) -> list[str]:
    network = classes.network
    body = classes.body(tree)
    plan = common_plan([body])
    assert plan is not None
    names = [name for name, _ in network.outputs if name not in network.training_only]
    closing = [*tie_lines(tree, network, modules), "self.apply(initialise)"]
    source = class_source(
        NETWORK_CLASS,
        "The whole network.",
        plan,
        [classes.instance(tree, body)],
        closed=True,
        named_outputs=names if len(names) > 1 else (),
        closing=closing,
    )
    return list(source.lines)


def _has_patterns(network: Network) -> bool:
    """Whether an operator's zeros follow an N:M pattern."""
    return any(isinstance(getattr(node.op, "sparsity", None), str) for node in network.nodes)


def _needed(written: str, helpers: Mapping[str, str]) -> list[str]:
    """Helpers that the classes mention, with what those mention, in the order of `helpers`."""
    needed: set[str] = set()
    texts = [written]
    while texts:
        text = texts.pop()
        found = {name for name in helpers if re.search(rf"\b{name}\b", text)} - needed
        needed |= found
        texts += [helpers[name] for name in found]
    return [name for name in helpers if name in needed]


def _docstring(title: str, notes: Sequence[str], network: Network) -> list[str]:
    shape = ", ".join(map(str, network.input.shape))
    lines = [*prose(title, indent=0)]
    lines[-1] = lines[-1].removesuffix('"""')
    if not lines[-1]:
        lines.pop()
    lines += ["", *notes] if notes else []
    lines += [
        "",
        "Use:",
        "",
        f"{INDENT}from model import load, preprocess",
        "",
        f'{INDENT}network = load("weights.safetensors")',
        f"{INDENT}output = network(preprocess(images))  # images: uint8 [n, {shape}] or another size",
        '"""',
    ]
    return lines


def _imports(blocks: Sequence[Sequence[str]]) -> list[str]:
    text = "\n".join(line for block in blocks for line in block)
    lines = []
    if "OrderedDict(" in text:
        lines.append("from collections import OrderedDict")
    lines.append("from pathlib import Path")
    typing = [name for name in ("Any", "Self") if f" {name}" in text]
    if typing:
        lines.append(f"from typing import {', '.join(typing)}")
    lines += ["", *(["import torch"] if "torch." in text else [])]
    lines += ["from safetensors.torch import load_model", "from torch import Tensor, nn"]
    if "functional." in text:
        lines.append("from torch.nn import functional")
    return lines
