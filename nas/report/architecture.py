"""Operator table and diagram of one architecture, from its operator graph."""

from collections.abc import Mapping

from nas.report.data import ArchitectureDetail, DiagramBlock, OperatorRow
from nas.report.words import argument_words, operator_text
from search_spaces.network import Network, Scope
from search_spaces.operators import Add

FEWEST_BOXES = 4


def describe_architecture(
    network: Network,
    *,
    latency_ms: Mapping[str, float] | None = None,
    energy_mj: Mapping[str, float] | None = None,
    constants: tuple[float | None, float | None] = (None, None),
    ridge: float | None = None,
) -> ArchitectureDetail:
    """Table and diagram of `network`, its training-only parts left out, and what is known of its group convolutions.

    `latency_ms` and `energy_mj` map node names to what is predicted of them; nodes they do not name stay unknown.
    `constants` is what the whole network takes beside its operators, in ms and mJ. `ridge` is the hardware's ridge
    point in multiply-adds per moved element.
    """
    from predictors.counts import count_network
    from predictors.grouping import grouped_layers

    times, energies = latency_ms or {}, energy_mj or {}
    rows = tuple(
        OperatorRow(
            name=row.name,
            operator=operator_text(row.op, row.in_shapes),
            shape=row.out_shape,
            macs=row.counts.macs,
            params=row.counts.params,
            live_bytes=row.live_bytes,
            latency_ms=times.get(row.name),
            energy_mj=energies.get(row.name),
            moved_elements=row.counts.moved_elements if row.counts.macs else 0,
        )
        for row in count_network(network).operators
    )
    boxes = _boxes(network)
    return ArchitectureDetail(
        network.id,
        rows,
        tuple(_block(network, path, members) for path, members in boxes),
        _edges(network, boxes),
        grouped_layers(network, ridge=ridge),
        ridge,
        _intensity(network),
        *constants,
    )


def _intensity(network: Network) -> float | None:
    """Multiply-adds per element that convolutions and linear layers move; `None` without any."""
    from predictors.roofline import layers

    bars = layers(network)
    return sum(bar.macs for bar in bars) / sum(bar.moved_elements for bar in bars) if bars else None


Boxes = list[tuple[str, list[int]]]


def _boxes(network: Network) -> Boxes:
    """Nodes used at inference in boxes: one per outermost block, descending while there are too few."""
    best = _boxes_at(network, 0)
    for level in range(1, 4):
        if len(best) >= FEWEST_BOXES:
            break
        finer = _boxes_at(network, level)
        if len(finer) > len(best):
            best = finer
    return best


def _boxes_at(network: Network, level: int) -> Boxes:
    """(path, positions in `inference_nodes`) per box; the block `level` blocks below the outermost makes it."""
    blocks = {scope.path for scope in network.scopes if scope.block}
    boxes: Boxes = []
    for position, index in enumerate(network.inference_nodes):
        name = network.nodes[index].name
        parts = name.split(".")
        around = [".".join(parts[:n]) for n in range(1, len(parts))]
        enclosing = [path for path in around if path in blocks]
        path = enclosing[level] if level < len(enclosing) else name
        if boxes and boxes[-1][0] == path:
            boxes[-1][1].append(position)
        else:
            boxes.append((path, [position]))
    return boxes


def _block(network: Network, path: str, members: list[int]) -> DiagramBlock:
    order = network.inference_nodes
    nodes = [network.nodes[order[position]] for position in members]
    scope = _scope(network, path)
    shown = path
    while shown.count(".") > 1:
        parent = shown.rpartition(".")[0]
        inside = sum(network.nodes[i].name.startswith(f"{parent}.") for i in order)
        if inside != len(nodes):
            break
        shown = parent
    stage, _, name = shown.rpartition(".")
    if scope is not None and scope.block:
        kind, words = scope.block.replace("_", " "), argument_words(scope.arguments)
    else:
        kind, words = operator_text(nodes[0].op, network.input_shapes(nodes[0])), ()
    own = {order[position] for position in members}
    sources = {i for node in nodes for i in node.inputs if i not in own}
    skip = len(nodes) > 1 and any(isinstance(node.op, Add) and any(i in sources for i in node.inputs) for node in nodes)
    return DiagramBlock(name, stage, kind, words, nodes[-1].shape, members[0], members[-1], skip)


def _scope(network: Network, path: str) -> Scope | None:
    return next((scope for scope in network.scopes if scope.path == path), None)


def _edges(network: Network, boxes: Boxes) -> tuple[tuple[int, int], ...]:
    order = network.inference_nodes
    box_of = {order[p]: number for number, (_, members) in enumerate(boxes) for p in members}
    edges: dict[tuple[int, int], None] = {}
    for index in order:
        for source in network.nodes[index].inputs:
            pair = (box_of[source], box_of[index])
            if pair[0] != pair[1]:
                edges[pair] = None
    return tuple(edges)
