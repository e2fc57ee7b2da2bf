"""Peak activation memory of a runtime that reuses memory, on the kernels that it fuses.

The rule is that of ONNX Runtime's planner where it keeps the plain layout: the caller holds the input; a kernel's
output lives until its last reader has run; what a kernel computes element by element overwrites an input that dies
there; a sum is computed by the convolution before it, into the other operand. Copies into a layout of the
processor's own, which the runtime adds where it finds them worth while, are not in it, nor is the room that kernels
need while they run.
"""

from collections.abc import Mapping

from predictors.kernels import Fusion, kernel_nodes
from search_spaces.network import Network, Node
from search_spaces.operators import VALUE_BYTES, BatchNorm, Conv, elements

IN_PLACE = frozenset({"activation", "add", "multiply", "scale"})


def reused_peak_bytes(network: Network, *, fusion: Fusion = "graph") -> int:
    """Largest sum of live float32 activations of one sample, in bytes."""
    found = dict(kernel_nodes(network, fusion=fusion))
    last_read = _last_reads(network)
    input_index = network.index[network.input.name]
    storage: dict[int, int] = {}
    death: dict[int, int] = {}
    for index, kernel in found.items():
        node = network.nodes[index]
        overwritten = [
            place
            for place in sorted({storage[source] for source in node.inputs} - {input_index})
            if death[place] <= index and _size(network, place) == _size(network, index)
        ]
        if kernel is None and node.inputs:
            place = storage[node.inputs[0]]
        elif kernel is not None and kernel.kind in IN_PLACE and overwritten:
            place = overwritten[0]
            for later in overwritten[1:]:
                if _writes_into(network, later, node, storage, place):
                    death[later] = -1
        else:
            place = index
        storage[index] = place
        death[place] = max(death.get(place, index), last_read[index])
    sizes = {place: _size(network, place) for place in death if place != input_index}
    return VALUE_BYTES * max(
        sum(size for place, size in sizes.items() if place <= index <= death[place]) for index in found
    )


def _last_reads(network: Network) -> dict[int, int]:
    """Per node used at inference, the node that reads it last; outputs are read after the end."""
    last = {index: index for index in network.inference_nodes}
    for index in network.inference_nodes:
        for source in network.nodes[index].inputs:
            last[source] = max(last[source], index)
    for name, index in network.outputs:
        if name not in network.training_only:
            last[index] = len(network.nodes)
    return last


def _writes_into(network: Network, place: int, total: Node, storage: Mapping[int, int], other: int) -> bool:
    """Whether the convolution that made `place` adds its result to `other` itself, instead of the sum `total`.

    It must be all that stands between, and must not read `other` while it writes.
    """
    maker = network.nodes[place]
    between = [source for source in total.inputs if storage[source] == place]
    direct = all(isinstance(network.nodes[source].op, (Conv, BatchNorm)) for source in between)
    return isinstance(maker.op, Conv) and direct and all(storage[source] != other for source in maker.inputs)


def _size(network: Network, index: int) -> int:
    return elements(network.nodes[index].shape)
