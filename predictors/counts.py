"""Exact counts of a network: sums of its operators' counts, and memory by liveness.

Memory rule, that of eager PyTorch running the exported module on one float32 sample: nothing happens in place;
flatten and slices are views and dropout the identity at inference; a tensor is released when its last reader has run,
but not before every module it was passed into has returned (every scope is a module), and the network's input and
outputs live to the end. The peak is the largest sum of live tensors while one operator runs.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache

from search_spaces.network import Network
from search_spaces.opaque import Opaque
from search_spaces.operators import (
    VALUE_BYTES,
    BatchNorm,
    Counts,
    Dropout,
    Flatten,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Operator,
    Shape,
    Slice,
    elements,
)

INDEX_BYTES = 8
Saved = str | Shape
"""A tensor that a node saves, by its name in `Operator.saves`; of a part, the shape of the whole that it keeps."""
RECOMPUTED = "recomputed"
"""Stands among what a node saves where the backward pass computes the node again (reversible scopes)."""


@dataclass(frozen=True, slots=True)
class OperatorCounts:
    """Counts of one node; `live_bytes` is what is alive while it runs, `saved_bytes` what training keeps of it."""

    name: str
    op: Operator
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    counts: Counts
    live_bytes: int
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class NetworkCounts:
    """Counts per operator used at inference, in execution order, and in total by figure name."""

    operators: tuple[OperatorCounts, ...]
    total: dict[str, int]


def count_network(network: Network) -> NetworkCounts:
    """Count everything that can be counted; parameters of shared weights once, their MACs each time."""
    live = live_elements(network)
    saved = saved_bytes(network)
    owned: set[str] = set()
    rows: list[OperatorCounts] = []
    for i in network.inference_nodes:
        node = network.nodes[i]
        shapes = network.input_shapes(node)
        counts = node.op.counts(shapes)
        if node.weights_path in owned:
            counts = Counts(
                macs=counts.macs,
                macs_effective=counts.macs_effective,
                activations=counts.activations,
                moved_elements=counts.moved_elements,
            )
        owned.add(node.weights_path)
        rows.append(OperatorCounts(node.name, node.op, shapes, node.shape, counts, live[i] * VALUE_BYTES, saved[i]))
    total = asdict(sum((row.counts for row in rows), Counts()))
    total["peak_memory_bytes"] = max(row.live_bytes for row in rows)
    total["training_memory_bytes"] = sum(row.saved_bytes for row in rows)
    return NetworkCounts(tuple(rows), total)


@lru_cache(maxsize=65536)
def _enclosing(name: str) -> tuple[str, ...]:
    parts = name.split(".")
    return tuple(".".join(parts[:n]) for n in range(1, len(parts)))


def _storages(network: Network) -> list[int]:
    """Per node, the node whose storage holds its output."""
    storage: list[int] = []
    for i, node in enumerate(network.nodes):
        is_view = isinstance(node.op, (Flatten, Slice, Dropout)) or (isinstance(node.op, Opaque) and node.op.is_view)
        storage.append(storage[node.inputs[0]] if is_view else i)
    return storage


def lifetimes(network: Network) -> tuple[tuple[int, ...], dict[int, int]]:
    """Per node, the node whose storage holds its output; per storage used at inference, the node it outlives last."""
    order = network.inference_nodes
    storage = _storages(network)
    scope_end: dict[str, int] = {}
    for i in order:
        for scope in _enclosing(network.nodes[i].name):
            scope_end[scope] = i
    last = len(network.nodes) - 1
    death = {storage[i]: i for i in order}
    for i in order:
        reader = network.nodes[i]
        scopes = _enclosing(reader.name)
        for source in reader.inputs:
            made_in = set(_enclosing(network.nodes[source].name))
            entered = next((scope for scope in scopes if scope not in made_in), None)
            until = i if entered is None else scope_end[entered]
            death[storage[source]] = max(death[storage[source]], until)
    kept = [i for name, i in network.outputs if name not in network.training_only]
    for index in [network.index[network.input.name], *kept]:
        if storage[index] in death:
            death[storage[index]] = last
    return tuple(storage), death


def live_elements(network: Network) -> tuple[int, ...]:
    """Elements alive while each node runs at inference (0 for nodes that inference leaves out)."""
    _, death = lifetimes(network)
    change = [0] * (len(network.nodes) + 1)
    for root, until in death.items():
        size = elements(network.nodes[root].shape)
        change[root] += size
        change[until + 1] -= size
    live = 0
    running = []
    for step in change[:-1]:
        live += step
        running.append(live)
    used = set(network.inference_nodes)
    return tuple(running[i] if i in used else 0 for i in range(len(network.nodes)))


def first_saves(network: Network) -> tuple[tuple[Saved, ...], ...]:
    """Per node, which of the tensors it saves for the backward pass (`Operator.saves`) no node before it saved."""
    storage = _storages(network)
    recomputed, given = _reversible(network)
    kept: set[int] = set()
    first: list[tuple[Saved, ...]] = [()] * len(network.nodes)
    for i in network.inference_nodes:
        node = network.nodes[i]
        if i in recomputed:
            new_end = i in given and storage[i] not in kept
            first[i] = (RECOMPUTED, "out") if new_end else (RECOMPUTED,)
            kept |= {storage[i]} if new_end else set()
            continue
        new: list[Saved] = []
        for what in node.op.saves():
            read = i if what == "out" else node.inputs[what == "gate"]
            root = -1 if _is_own(node.op, what) else storage[read]
            if root not in kept:
                whole = network.nodes[root].shape
                part = root >= 0 and elements(whole) != elements(network.nodes[read].shape)
                new.append(whole if part else what)
                kept |= {root} - {-1}
        first[i] = tuple(new)
    return tuple(first)


def bytes_of_saves(op: Operator, in_shapes: tuple[Shape, ...], out_shape: Shape, what: tuple[Saved, ...]) -> int:
    """Bytes that one node keeps for the backward pass when the tensors `what` are counted at it."""
    total = 0 if RECOMPUTED in what else _own_bytes(op, out_shape)
    for name in what:
        if not isinstance(name, str):
            total += elements(name) * VALUE_BYTES
        elif name != RECOMPUTED and not _is_own(op, name):
            total += elements(out_shape if name == "out" else in_shapes[name == "gate"]) * VALUE_BYTES
    return total


def _is_own(op: Operator, what: str) -> bool:
    """Whether what is saved is no activation of the network: a dropout mask, the positions of a maximum."""
    return isinstance(op, Dropout) or what == "index"


def _own_bytes(op: Operator, shape: Shape) -> int:
    """Bytes of masks, positions and statistics kept beside the activations; `shape` is that of the output."""
    total = 0
    if isinstance(op, Dropout):
        total += elements(shape)
    elif "index" in op.saves():
        total += elements(shape) * INDEX_BYTES
    if isinstance(op, BatchNorm | InstanceNorm):
        total += 2 * shape[0] * VALUE_BYTES
    elif isinstance(op, LayerNorm):
        total += 2 * elements(shape[1:]) * VALUE_BYTES
    elif isinstance(op, GroupNorm):
        total += 2 * op.groups * VALUE_BYTES
    return total


def _reversible(network: Network) -> tuple[set[int], set[int]]:
    """Nodes that the backward pass computes again, and those among them whose outputs it starts from."""
    recomputed = {i for chain in network.chains for i in chain.nodes}
    return recomputed, {i for chain in network.chains for i in chain.given}


def saved_bytes(network: Network) -> tuple[int, ...]:
    """Bytes kept for the backward pass per node, one sample: tensors saved (each storage once) and statistics.

    Of a reversible scope, what its last coupling gives.
    """
    storage = _storages(network)
    recomputed, given = _reversible(network)
    kept: set[int] = {storage[i] for i in given}
    extra = [0] * len(network.nodes)
    for i in network.inference_nodes:
        node = network.nodes[i]
        if i in recomputed:
            continue
        extra[i] = _own_bytes(node.op, node.shape)
        kept |= {
            storage[i if what == "out" else node.inputs[what == "gate"]]
            for what in node.op.saves()
            if not _is_own(node.op, what)
        }
    return tuple(
        extra[i] + (elements(node.shape) * VALUE_BYTES if i in kept else 0) for i, node in enumerate(network.nodes)
    )
