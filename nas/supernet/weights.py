"""The supernet: one shared tensor per weight path, of which every subnet takes a view."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from nas.modules import TRAINING, Mode, Weights, execute, initial_tensors
from nas.supernet.shapes import Key, SharedShape, Use, shared_shapes, uses_of
from nas.supernet.slicing import Cut, plan
from search_spaces.errors import NasError
from search_spaces.network import Network

PLANS_KEPT = 256
Plan = tuple[tuple[str, str, str, Cut], ...]
"""Weight path, tensor name, name of the shared tensor, and how it is cut."""


class Supernet:
    """Shared weights of a space, and the slices of them that its networks use.

    `tensors` holds them by "<weight path>.<tensor name>" (float32 leaves that ask for gradients).
    Batch norms have no running statistics here: training normalises by the batch, evaluation by
    statistics recalibrated per subnet.
    """

    def __init__(self, shapes: Mapping[Key, SharedShape], *, seed: int = 0) -> None:
        self.shapes = dict(shapes)
        self.tensors: dict[str, Tensor] = {}
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        generator = torch.Generator().manual_seed(seed)
        for shape in self.shapes.values():
            fresh = initial_tensors(shape.initial, dict(shape.tensors), groups=shape.groups, generator=generator)
            for name, tensor in fresh.items():
                self.tensors[f"{shape.prefix}.{name}"] = tensor.requires_grad_()

    @classmethod
    def of_networks(cls, networks: Iterable[Network], *, seed: int = 0) -> "Supernet":
        """The supernet with room for exactly `networks`."""
        return cls(shared_shapes(uses_of(networks)), seed=seed)

    def weights_for(
        self, network: Network, *, tensors: Mapping[str, Tensor] | None = None
    ) -> dict[str, dict[str, Tensor]]:
        """The tensors of `network`, views of the shared ones through which gradients flow.

        {weight path: {tensor name: tensor}}, without running statistics. `tensors` stands in for the
        shared ones, such as their moving average. Raises `NasError` for a network of another space.
        """
        source = self.tensors if tensors is None else tensors
        weights: dict[str, dict[str, Tensor]] = {}
        for path, name, shared, cut in self._plan(network):
            weights.setdefault(path, {})[name] = cut(source[shared])
        return weights

    def extract(self, network: Network, statistics: Weights) -> dict[str, dict[str, Tensor]]:
        """Copies of the tensors of `network` with its running `statistics`, ready to be exported."""
        with torch.no_grad():
            weights = self.weights_for(network)
        copies = {
            path: {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
            for path, tensors in weights.items()
        }
        for path, tensors in statistics.items():
            copies[path].update({name: tensor.clone() for name, tensor in tensors.items()})
        return copies

    def forward(self, x: Tensor, network: Network, *, mode: Mode = TRAINING) -> dict[str, Tensor]:
        """Run `network` on x [n, C, *spatial] with its slices; outputs by name."""
        return execute(network, self.weights_for(network), x, mode=mode)

    def to(self, target: torch.device | torch.dtype | str) -> "Supernet":
        """Move all tensors to a device or a floating type, in place; returns itself."""
        for tensor in self.tensors.values():
            tensor.data = tensor.data.to(target)
        return self

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy checkpointed `tensors` in; raises `NasError` unless names and shapes are the same."""
        missing = self.tensors.keys() ^ tensors.keys()
        if missing:
            names = ", ".join(sorted(missing)[:3])
            raise NasError(
                f"the checkpoint belongs to another search space: {len(missing)} tensors differ "
                f"({names}); start a new run, or restore the recipe that it was trained with"
            )
        for name, tensor in self.tensors.items():
            if tensor.shape != tensors[name].shape:
                raise NasError(
                    f"the checkpoint belongs to another search space: {name} has shape "
                    f"{tuple(tensors[name].shape)}, the space needs {tuple(tensor.shape)}"
                )
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(tensors[name])

    def arrays(self) -> dict[str, np.ndarray]:
        """The tensors as numpy arrays that share their memory, to hand to workers."""
        return {name: tensor.detach().numpy() for name, tensor in self.tensors.items()}

    def _plan(self, network: Network) -> Plan:
        known = self._plans.get(network.id)
        if known is not None:
            self._plans.move_to_end(network.id)
            return known
        made = self._plans[network.id] = tuple(self._rows(network))
        if len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        return made

    def _rows(self, network: Network) -> Iterator[tuple[str, str, str, Cut]]:
        for (path, kind), uses in uses_of([network]).items():
            ((op, layout),) = uses
            shape = self.shapes.get((path, kind))
            if shape is None:
                raise NasError(f"{path}: the supernet has no {kind} there; it was made for another search space")
            for name, cut in plan(shape, Use(op, layout)).items():
                yield path, name, f"{shape.prefix}.{name}", cut
