"""Several sets of shared weights, and which of them serves a network.

Balanced Mixture of SuperNets (Javan et al. 2023): choices that interfere, such as where the map shrinks, spoil each
other's shared weights. Networks are told apart by where their maps shrink; each such group is drawn to the set of
weights in which it does best, while every set is used equally often.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.network import Network
from search_spaces.operators import GlobalPool

Floats = npt.NDArray[np.float64]
MEMORY = 0.9
FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.0, 100.0
EQUAL = 1e-4
MOST_ROUNDS = 200


def group_of(network: Network) -> str:
    """Where the map shrinks: names of the operators whose output is smaller than their input, joined by "|"."""
    names = []
    for node in network.nodes:
        spatial = node.shape[1:]
        shapes = network.input_shapes(node)
        if spatial and shapes and not isinstance(node.op, GlobalPool) and len(shapes[0]) == len(node.shape):
            before = shapes[0][1:]
            if any(now < was for now, was in zip(spatial, before, strict=True)):
                names.append(node.name)
    return "|".join(names)


def balanced(preferences: Floats) -> Floats:
    """Rows of `preferences` `[groups, members]` rescaled until every member is equally likely over all rows.

    Columns are divided by their sum, then rows normalised (Sinkhorn), until the marginal's divergence from uniform is
    below 1e-4.
    """
    probabilities = preferences / preferences.sum(axis=1, keepdims=True)
    members = probabilities.shape[1]
    for _ in range(MOST_ROUNDS):
        marginal = probabilities.mean(axis=0)
        if float((marginal * np.log(np.maximum(marginal * members, 1e-300))).sum()) < EQUAL:
            break
        probabilities = probabilities / np.maximum(marginal, 1e-300)
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return np.asarray(probabilities)


@dataclass
class Assignment:
    """Which of `members` sets of weights serves which group.

    accuracies: moving averages per group and member. temperature: how sharply groups prefer what does best.
    """

    members: int
    accuracies: dict[str, list[float]] = field(default_factory=dict)
    temperature: float = FIRST_TEMPERATURE

    def probabilities(self, group: str) -> Floats:
        """Of the members `[members]` for `group`; even for a group not seen yet."""
        if group not in self.accuracies:
            return np.full(self.members, 1 / self.members)
        table = self._table()
        return np.asarray(table[list(self.accuracies).index(group)])

    def _table(self) -> Floats:
        known = np.asarray(list(self.accuracies.values()))
        return balanced(np.exp(self.temperature * (known - known.max(axis=1, keepdims=True))))

    def record(self, group: str, member: int, accuracy: float) -> None:
        """Move the average of `group` in `member`; the first accuracy of a group counts for all members."""
        known = self.accuracies.setdefault(group, [accuracy] * self.members)
        known[member] = MEMORY * known[member] + (1 - MEMORY) * accuracy

    def member_of(self, network: Network) -> int:
        """The most likely member for `network`; for a group not seen in training that of the group most like it."""
        if not self.accuracies:
            return 0
        group = group_of(network)
        if group not in self.accuracies:
            group = max(sorted(self.accuracies), key=lambda known: _likeness(known, group))
        return int(self.probabilities(group).argmax())

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"members": self.members, "accuracies": self.accuracies, "temperature": self.temperature}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Assignment":
        """Inverse of `to_json`."""
        accuracies = {str(group): list(values) for group, values in data["accuracies"].items()}
        return cls(int(data["members"]), accuracies, float(data["temperature"]))


def _likeness(first: str, second: str) -> float:
    """Share of the operators of either that both name."""
    left, right = set(first.split("|")), set(second.split("|"))
    return len(left & right) / len(left | right)
