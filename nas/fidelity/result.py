"""What is known of a supernet's ranking, as plain data that goes through JSON unchanged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from search_spaces.builder import Value

SUPERNET = "supernet"
"""The name of the ranker that goes by inherited weights."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation, or a difference of two, with its 95 % bootstrap interval; `None` where it is not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    def text(self) -> str:
        """Such as "0.71 (0.52 to 0.84)"."""
        if self.value is None:
            return "not known"
        between = "" if self.low is None or self.high is None else f" ({_two(self.low)} to {_two(self.high)})"
        return f"{_two(self.value)}{between}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two orders of `count` networks are: Kendall's tau-b and Spearman's rho."""

    count: int
    kendall: Correlation
    spearman: Correlation


@dataclass(frozen=True, slots=True)
class JudgedNetwork:
    """One network: what it inherits, what it learns alone, and what else could rank it.

    Errors are shares of the validation part. tuned_error: after fine-tuning the inherited weights, `None` where that
    was not done. scores: zero-cost scores by name, larger held to be better, `None` where there is none. in_band:
    whether its MACs lie in the band. seconds: what its training alone took.
    """

    id: str
    fingerprint: str
    picks: Mapping[str, Value]
    macs: float
    params: float
    in_band: bool
    inherited_error: float
    alone_error: float
    tuned_error: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Ranker:
    """A way to rank, held against training alone: over all networks, and inside the band.

    ahead, ahead_in_band: by how much the supernet's tau is greater; 0 for the supernet itself.
    """

    name: str
    all: Agreement
    in_band: Agreement
    ahead: Correlation
    ahead_in_band: Correlation


@dataclass(frozen=True, slots=True)
class Gap:
    """Mean errors of the fine-tuned networks: inherited, after `epochs` of fine-tuning, alone.

    closed: share of the gap that fine-tuning closes, `None` where there is none to close. tuned: how the tuned order
    agrees with the one alone; inherited: the same before tuning, on the same networks.
    """

    networks: int
    epochs: int
    inherited_error: float
    tuned_error: float
    alone_error: float
    closed: float | None
    tuned: Agreement
    inherited: Agreement


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How far the ranking of a supernet can be trusted.

    epochs: of each training alone. band: (least, most) MACs of the band. inherited_error, alone_error: means over all
    networks. rankers: the supernet first. dimensions: agreement along each dimension, every pair of networks weighing
    as much as it differs there. planned: how many networks were asked for; fewer may be done. notes: sentences.
    """

    planned: int
    seed: int
    epochs: int
    band: tuple[float, float]
    inherited_error: float
    alone_error: float
    networks: tuple[JudgedNetwork, ...]
    rankers: tuple[Ranker, ...]
    dimensions: Mapping[str, Agreement]
    gap: Gap | None = None
    notes: tuple[str, ...] = ()

    @property
    def supernet(self) -> Ranker:
        """The ranking by inherited weights."""
        return self.rankers[0]

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Fidelity":
        """Inverse of `to_json`."""
        gap = data["gap"]
        return cls(
            **{
                **data,
                "band": tuple(data["band"]),
                "networks": tuple(JudgedNetwork(**row) for row in data["networks"]),
                "rankers": tuple(_ranker(row) for row in data["rankers"]),
                "dimensions": {name: _agreement(row) for name, row in data["dimensions"].items()},
                "gap": None
                if gap is None
                else Gap(**{**gap, "tuned": _agreement(gap["tuned"]), "inherited": _agreement(gap["inherited"])}),
                "notes": tuple(data["notes"]),
            }
        )


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _agreement(row: Mapping[str, Any]) -> Agreement:
    return Agreement(row["count"], Correlation(**row["kendall"]), Correlation(**row["spearman"]))


def _ranker(row: Mapping[str, Any]) -> Ranker:
    return Ranker(
        row["name"],
        _agreement(row["all"]),
        _agreement(row["in_band"]),
        Correlation(**row["ahead"]),
        Correlation(**row["ahead_in_band"]),
    )
