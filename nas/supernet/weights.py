"""The supernet: one shared tensor per weight path, of which every subnet takes a view."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nas.modules import TRAINING, Mode, Weights, execute, initial_tensors
from nas.supernet.choices.scores import Probabilities
from nas.supernet.members import Assignment
from nas.supernet.shapes import Key, SharedShape, Use, shared_shapes, uses_of
from nas.supernet.slicing import Cut, Transform, in_member, plan, transforms
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import Conv, Operator

PLANS_KEPT = 256
Row = tuple[str, str, str, Cut, Transform | None]
Plan = tuple[Row, ...]
"""Weight path, tensor name, name of the shared tensor, how it is cut, and how its kernel is made smaller."""


class Supernet:
    """Shared weights of a space, and the slices of them that its networks use.

    `tensors` holds them by "<weight path>.<tensor name>" (float32 leaves that ask for gradients).
    Batch norms have no running statistics here: training normalises by the batch, evaluation by
    statistics recalibrated per subnet. With several `members` every tensor is there once per member, in those after
    the first under "<member>/<name>", and `assignment` tells which of them serves a network. `likely` are the
    probabilities of the choices that training learnt. With
    `kernel_transforms` smaller kernels are the centre of larger ones mixed by learned matrices, at first the identity.
    """

    def __init__(
        self,
        shapes: Mapping[Key, SharedShape],
        *,
        seed: int = 0,
        members: int = 1,
        kernel_transforms: bool = False,
    ) -> None:
        self.shapes = dict(shapes)
        self.members = members
        self.assignment: Assignment | None = None
        self.likely: Probabilities = {}
        self.tensors: dict[str, Tensor] = {}
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        generator = torch.Generator().manual_seed(seed)
        for member in range(members):
            for shape in self.shapes.values():
                fresh = initial_tensors(shape.initial, dict(shape.tensors), groups=shape.groups, generator=generator)
                for name, tensor in fresh.items():
                    self.tensors[in_member(f"{shape.prefix}.{name}", member)] = tensor.requires_grad_()
                for name, side in transforms(shape).items() if kernel_transforms else ():
                    taps = side ** (len(dict(shape.tensors)["weight"].shape) - 2)
                    self.tensors[in_member(name, member)] = torch.eye(taps).requires_grad_()

    @classmethod
    def of_networks(cls, networks: Iterable[Network], *, seed: int = 0) -> "Supernet":
        """The supernet with room for exactly `networks`."""
        return cls(shared_shapes(uses_of(networks)), seed=seed)

    def weights_for(
        self, network: Network, *, tensors: Mapping[str, Tensor] | None = None, member: int | None = None
    ) -> dict[str, dict[str, Tensor]]:
        """The tensors of `network`, views of the shared ones through which gradients flow.

        {weight path: {tensor name: tensor}}, without running statistics. `tensors` stands in for the
        shared ones, such as their moving average. `member` is by default the one that serves `network`.
        Raises `NasError` for a network of another space.
        """
        source = self.tensors if tensors is None else tensors
        if member is None:
            member = 0 if self.assignment is None else self.assignment.member_of(network)
        weights: dict[str, dict[str, Tensor]] = {}
        for path, name, shared, cut, transform in self._plan(network):
            taken = cut(source[in_member(shared, member)])
            if transform is not None:
                taken = transform(taken, source, member)
            weights.setdefault(path, {})[name] = taken
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

    def forward(
        self, x: Tensor, network: Network, *, mode: Mode = TRAINING, member: int | None = None
    ) -> dict[str, Tensor]:
        """Run `network` on x [n, C, *spatial] with its slices; outputs by name."""
        return execute(network, self.weights_for(network, member=member), x, mode=mode)

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

    def _rows(self, network: Network) -> Iterator[Row]:
        for (path, kind), uses in uses_of([network]).items():
            ((op, layout),) = uses
            shape = self.shapes.get((path, kind))
            if shape is None:
                raise NasError(f"{path}: the supernet has no {kind} there; it was made for another search space")
            transform = self._transform(shape, op)
            if transform is not None and isinstance(op, Conv):
                op = replace(op, kernel=(shape.kernels[-1],) * len(op.kernel))
            for name, cut in plan(shape, Use(op, layout)).items():
                own = transform if name == "weight" else None
                yield path, name, f"{shape.prefix}.{name}", cut, own

    def _transform(self, shape: SharedShape, op: Operator) -> Transform | None:
        """How the kernel of `op` comes from the largest one, `None` where it is its centre."""
        matrices = transforms(shape)
        if not isinstance(op, Conv) or not matrices or next(iter(matrices)) not in self.tensors:
            return None
        steps = tuple((name, side) for name, side in reversed(matrices.items()) if side >= op.kernel[0])
        return Transform(steps) if steps else None
