"""Which kernel of a network each node of an optimised ONNX graph belongs to."""

import re
from collections.abc import Iterator

import onnx

from nas.runtimes.onnx_graph import TENSOR
from predictors.kernels import Fusion, kernel_nodes
from search_spaces.network import Network

BLOCKED, FUSED = "_nchwc", "fused "
MADE_UP = re.compile(r"_token_\d+$")
QUANTISED = re.compile(r"_(Quantize|Dequantize)Linear(_Output|_Input)?$")


def attribute(
    network: Network, optimised: onnx.GraphProto, spent_ms: dict[str, float], *, fusion: Fusion = "graph"
) -> tuple[float, ...]:
    """Share the times of the optimised graph's nodes out to the kernels of `network`.

    A fused node carries the name of one node it was made from. A change of memory layout belongs to the node that
    needs the plain layout (its reader when leaving the blocked layout, its writer when entering it), a change of the
    input's number format to the first reader. What was merged away belongs to the kernel that did the work.
    """
    owner_of = _Owners(network, optimised)
    found = kernel_nodes(network, fusion=fusion)
    position = {i: p for p, (i, _) in enumerate((i, k) for i, k in found if k is not None)}
    has_kernel = {i: kernel is not None for i, kernel in found}
    times = [0.0] * len(position)
    for place, node in enumerate(optimised.node):
        index = owner_of.resolve(place)
        while index is not None and not has_kernel.get(index, False):
            inputs = network.nodes[index].inputs
            index = inputs[0] if inputs else None
        if index is not None:
            times[position[index]] += spent_ms.get(node.name, 0.0)
    return tuple(times)


class _Owners:
    """Finds the node of a network that a node of the optimised graph comes from."""

    def __init__(self, network: Network, optimised: onnx.GraphProto) -> None:
        self._nodes = optimised.node
        self._index = {name: i for name, i in network.index.items() if name != network.input.name}
        self._outputs = dict(network.outputs)
        self._writer = {out: i for i, node in enumerate(self._nodes) for out in node.output}
        self._readers: dict[str, list[int]] = {}
        for i, node in enumerate(self._nodes):
            for source in node.input:
                self._readers.setdefault(source, []).append(i)

    def resolve(self, place: int) -> int | None:
        """Index in the network, or `None` when nothing tells."""
        node = self._nodes[place]
        if node.op_type == "ReorderInput":
            return self._first(self._writers(place)) or self._first(self._followers(place))
        if node.op_type == "ReorderOutput":
            return self._first(self._followers(place)) or self._first(self._writers(place))
        own = self._own(place)
        return own if own is not None else self._first(self._followers(place))

    def _own(self, place: int) -> int | None:
        """What the node's name, or that of its output, tells."""
        node = self._nodes[place]
        found = self._named(node.name)
        for out in node.output:
            found = self._outputs.get(out, self._named(out)) if found is None else found
        return found

    def _named(self, name: str) -> int | None:
        name = QUANTISED.sub("", MADE_UP.sub("", name))
        if name in self._outputs:
            return self._outputs[name]
        if name.endswith(BLOCKED) and name.removesuffix(BLOCKED) in self._outputs:
            return self._outputs[name.removesuffix(BLOCKED)]
        name = name.removesuffix(BLOCKED).removesuffix(TENSOR).removeprefix(FUSED)
        while name:
            if name in self._index:
                return self._index[name]
            name = name.rpartition("/" if "/" in name else ".")[0]
        return None

    def _writers(self, place: int) -> Iterator[int]:
        """The node that wrote the first input, and those before it along first inputs."""
        source = self._nodes[place].input[0]
        while source in self._writer:
            yield self._writer[source]
            source = self._nodes[self._writer[source]].input[0]

    def _followers(self, place: int) -> Iterator[int]:
        """The first reader of the output, and those behind it."""
        readers = self._readers.get(self._nodes[place].output[0])
        while readers:
            yield readers[0]
            readers = self._readers.get(self._nodes[readers[0]].output[0])

    def _first(self, places: Iterator[int]) -> int | None:
        return next((own for own in map(self._own, places) if own is not None), None)
