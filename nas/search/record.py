"""One evaluated architecture, as the study records it and the report reads it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces.space import Architecture

Identity = Literal["id", "fingerprint"]
Key = tuple[str, int]
RANDOM = "random"


@dataclass(frozen=True)
class Evaluation:
    """One architecture with every figure that is known of it.

    number: its place among what its proposer proposed, from 0. architecture: its picks. id, fingerprint: its
    identity inside the supernet and on its own. values: figure name to value, in the figure's unit; figures
    nobody knows are absent. provenance: figure name to "counted", "learned", "measured", "analytic" or
    "validation". feasible: whether it keeps every limit. proposer: who proposed it; "random" is the baseline.
    seconds: what its evaluation took, 0 when `cached`. seed: of its evaluation. cached: whether the values come
    from an earlier evaluation of the same network.
    """

    number: int
    architecture: Architecture
    id: str
    fingerprint: str
    values: dict[str, float]
    provenance: dict[str, str] = field(default_factory=dict)
    feasible: bool = True
    proposer: str = ""
    seconds: float = 0.0
    seed: int = 0
    cached: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`; `from_json` is its inverse."""
        return {
            "number": self.number,
            "picks": self.architecture.values,
            "id": self.id,
            "fingerprint": self.fingerprint,
            "values": dict(self.values),
            "provenance": dict(self.provenance),
            "feasible": self.feasible,
            "proposer": self.proposer,
            "seconds": self.seconds,
            "seed": self.seed,
            "cached": self.cached,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Evaluation":
        """The evaluation that `to_json` wrote."""
        return cls(
            number=int(data["number"]),
            architecture=Architecture.of(data["picks"]),
            id=str(data["id"]),
            fingerprint=str(data["fingerprint"]),
            values=dict(data["values"]),
            provenance=dict(data["provenance"]),
            feasible=bool(data["feasible"]),
            proposer=str(data["proposer"]),
            seconds=float(data["seconds"]),
            seed=int(data["seed"]),
            cached=bool(data["cached"]),
        )

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_json(), allow_nan=False)


def distinct(evaluations: Iterable[Evaluation], *, by: Identity = "id") -> list[Evaluation]:
    """The first evaluation of each network, told apart by `id` or by `fingerprint`."""
    first: dict[str, Evaluation] = {}
    for evaluation in evaluations:
        first.setdefault(evaluation.id if by == "id" else evaluation.fingerprint, evaluation)
    return list(first.values())
