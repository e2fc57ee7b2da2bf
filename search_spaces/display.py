"""How architectures and networks show themselves: one line in a console, a small table in a notebook."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search_spaces.network import Network
    from search_spaces.space import Architecture

FEW, MANY = 12, 60


def architecture_text(architecture: "Architecture") -> str:
    """The picks in a line; of many the first few."""
    shown = [f"{name}={value!r}" for name, value in architecture.picks[:FEW]]
    more = len(architecture.picks) - len(shown)
    return f"Architecture({', '.join([*shown, *([f'… {more} more'] if more else [])])})"


def architecture_html(architecture: "Architecture") -> str:
    """The picks as a table of choices and values."""
    return table(("choice", "value"), ((name, repr(value)) for name, value in architecture.picks))


def network_text(network: "Network") -> str:
    """What a network is, in a line."""
    return f"Network({network.id}, {_summary(network)})"


def network_html(network: "Network") -> str:
    """What a network is, and its operators in order; those that serve training only are left out."""
    rows = []
    for index in network.inference_nodes:
        node = network.nodes[index]
        counts = node.op.counts(network.input_shapes(node))
        shape = " × ".join(map(str, node.shape))
        rows.append((node.name, repr(node.op), shape, f"{counts.params:,}", f"{counts.macs:,}"))
    listed = table(("operator", "what it does", "output", "parameters", "MACs"), rows)
    if len(rows) > MANY:
        listed = f"<details><summary>{len(rows)} operators</summary>{listed}</details>"
    return f"<p><code>{escape(network.id)}</code>: {escape(_summary(network))}</p>{listed}"


def _summary(network: "Network") -> str:
    nodes = [network.nodes[index] for index in network.inference_nodes]
    counts = [(node.weights_path, node.op.counts(network.input_shapes(node))) for node in nodes]
    params = sum({path: one.params for path, one in counts}.values())
    macs = sum(one.macs for _, one in counts)
    shape = "×".join(map(str, network.input.shape))
    return f"input {shape}, {len(nodes)} operators, {params:,} parameters, {macs:,} MACs"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table without style or script of its own."""
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
