"""Networks as they are used once trained: parallel convolutions of one map merged into one.

Convolutions that read the same map, each followed by a batch norm, and are summed compute what a single convolution
computes (structural re-parameterisation: Ding et al. 2021, RepVGG; dilated kernels as well: Ding et al. 2024,
UniRepLKNet). Where a network has such sums, the batch norms and factors that follow its convolutions are folded into
them too, and a response norm's bias moves into the 1x1 convolution behind it: the published counts of such networks
are those of this form. A network without such sums stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from search_spaces.network import Network, Node
from search_spaces.operators import Add, BatchNorm, Conv, Operator, ResponseNorm, Scale


@dataclass(frozen=True, slots=True)
class Taken:
    """The weights at `path` as they are; `shift` is the path of a response norm's bias on what they read."""

    path: str
    shift: str | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """A convolution with the batch norm or factor at `path` behind it; `eps` is `None` for a factor."""

    fold: "Fold"
    path: str
    eps: float | None


@dataclass(frozen=True, slots=True)
class Summed:
    """Several convolutions spread to one size of `kernel`; each comes with its dilation."""

    folds: tuple[tuple["Fold", tuple[int, ...]], ...]
    kernel: tuple[int, ...]


Fold = Taken | Followed | Summed
"""How the weight and the bias of a convolution come from the tensors of the network before merging."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A network in the form in which it is used, and the folds of its convolutions that changed, by weight path."""

    network: Network
    folds: Mapping[str, Fold]


@dataclass(frozen=True, slots=True)
class _Pending:
    """A convolution that may still take in what follows it: what it reads, the operator, and its weights."""

    source: int
    op: Conv
    fold: Fold

    @property
    def path(self) -> str:
        """The weight path it will have: that of the first convolution in it."""
        fold = self.fold
        while not isinstance(fold, Taken):
            fold = fold.fold if isinstance(fold, Followed) else fold.folds[0][0]
        return fold.path

    @property
    def changed(self) -> bool:
        """Whether anything was folded into it."""
        return not isinstance(self.fold, Taken) or self.fold.shift is not None


def merged(network: Network) -> Merged:
    """`network` in the form in which it is used, without what serves training only."""
    folding = _Folding(network)
    pending = folding.run()
    if not any(_is_sum(found.fold) for found in pending.values()):
        return Merged(network, {})
    return _written(network, folding, pending)


class _Folding:
    """Which convolutions take in which of the nodes behind them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.stripped: set[int] = set()
        self._readers: dict[int, list[int]] = {}
        self._uses: dict[str, int] = {}
        for i in network.inference_nodes:
            path = network.nodes[i].weights_path
            self._uses[path] = self._uses.get(path, 0) + 1
            for source in network.nodes[i].inputs:
                self._readers.setdefault(source, []).append(i)
        self._outputs = {i for name, i in network.outputs if name not in network.training_only}

    def run(self) -> dict[int, _Pending]:
        """By node, the convolution that it has become part of as the last."""
        pending: dict[int, _Pending] = {}
        for i in self.network.inference_nodes:
            found = self._pending(i, pending)
            if found is None:
                continue
            for source in self.network.nodes[i].inputs if found.changed else ():
                pending.pop(source, None)
            pending[i] = found
        return pending

    def _pending(self, i: int, pending: Mapping[int, _Pending]) -> _Pending | None:
        node = self.network.nodes[i]
        behind = [pending[j] for j in node.inputs if j in pending and self._alone(j)]
        if isinstance(node.op, Conv) and self._own(node) and node.op.sparsity == 0:
            return _Pending(node.inputs[0], node.op, Taken(node.name, self._shift(node)))
        if len(behind) != len(node.inputs) or not behind:
            return None
        if isinstance(node.op, BatchNorm | Scale) and self._own(node):
            eps = node.op.eps if isinstance(node.op, BatchNorm) else None
            return replace(behind[0], fold=Followed(behind[0].fold, node.name, eps))
        return _sum(behind) if isinstance(node.op, Add) else None

    def _shift(self, node: Node) -> str | None:
        """The response norm's bias that this 1x1 convolution can take over, by its path."""
        source = self.network.nodes[node.inputs[0]]
        op = node.op
        assert isinstance(op, Conv)
        pointwise = set(op.kernel) == {1} and set(op.padding) == {0}
        if not (isinstance(source.op, ResponseNorm) and source.op.bias and pointwise):
            return None
        if not (self._own(source) and self._alone(node.inputs[0])):
            return None
        self.stripped.add(node.inputs[0])
        return source.name

    def _own(self, node: Node) -> bool:
        return node.weights_path == node.name and self._uses[node.name] == 1

    def _alone(self, i: int) -> bool:
        return len(self._readers.get(i, ())) == 1 and i not in self._outputs


def _is_sum(fold: Fold) -> bool:
    return isinstance(fold, Summed) or (isinstance(fold, Followed) and _is_sum(fold.fold))


def _sum(parts: list[_Pending]) -> _Pending | None:
    """The one convolution that the sum of `parts` is, `None` where they do not agree."""
    first = parts[0]
    for part in parts:
        same = [(one.source, one.op.out_channels, one.op.stride, one.op.group_size) for one in (part, first)]
        centred = all(
            2 * p == d * (k - 1) for k, p, d in zip(part.op.kernel, part.op.padding, part.op.dilation, strict=True)
        )
        if same[0] != same[1] or not centred:
            return None
    extents = [[d * (k - 1) + 1 for k, d in zip(part.op.kernel, part.op.dilation, strict=True)] for part in parts]
    kernel = tuple(map(max, *extents))
    op = replace(
        first.op,
        kernel=kernel,
        padding=tuple(size // 2 for size in kernel),
        dilation=(1,) * len(kernel),
        bias=True,
    )
    return _Pending(first.source, op, Summed(tuple((part.fold, part.op.dilation) for part in parts), kernel))


def _written(network: Network, folding: _Folding, pending: Mapping[int, _Pending]) -> Merged:
    """The network with one convolution in place of each that took something in."""
    inside = _taken_in(network, pending)
    place: dict[int, int] = {}
    nodes: list[Node] = []
    folds: dict[str, Fold] = {}
    for i in network.inference_nodes:
        node = network.nodes[i]
        if i in inside:
            continue
        op: Operator = node.op
        name, path, sources = node.name, node.weights_path, node.inputs
        if i in pending and pending[i].changed:
            found = pending[i]
            op, name, path, sources = replace(found.op, bias=True), found.path, found.path, (found.source,)
            folds[path] = found.fold
        elif i in folding.stripped and isinstance(op, ResponseNorm):
            op = replace(op, bias=False)
        inputs = tuple(place[source] for source in sources)
        layout = op.layout(name, tuple(nodes[j].layout for j in inputs), node.shape)
        place[i] = len(nodes)
        nodes.append(Node(name, op, inputs, node.shape, layout, path))
    outputs = tuple((name, place[i]) for name, i in network.outputs if name not in network.training_only)
    scopes = tuple(s for s in network.scopes if any(node.name.startswith(f"{s.path}.") for node in nodes))
    return Merged(Network(tuple(nodes), outputs, scopes), folds)


def _taken_in(network: Network, pending: Mapping[int, _Pending]) -> set[int]:
    """Nodes that are part of a convolution and not its last."""
    inside: set[int] = set()
    for end, found in pending.items():
        waiting = list(network.nodes[end].inputs) if found.changed else []
        while waiting:
            i = waiting.pop()
            if i != found.source and i not in inside:
                inside.add(i)
                waiting.extend(network.nodes[i].inputs)
    return inside
