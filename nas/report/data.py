"""What a report shows, as plain frozen data: no torch, no plotly, nothing that needs the run folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.fidelity.result import Fidelity
from nas.report.explored import Device, Explored, KernelGrid
from predictors.grouping import GroupedLayer

Value = str | int | float | bool
Interval = tuple[float, float]
BASELINE = "random"
TAKEN_OVER = "earlier"


@dataclass(frozen=True)
class EvaluatedPoint:
    """One evaluated architecture.

    number: its place in the search, from 0. picks: choice name to value. values: figure name to value in the
    unit of `predictors.figures.FIGURES`. provenance: figure name to "counted", "measured", "learned",
    "analytic" or "validation". feasible: whether it keeps every limit. proposer: who proposed it; "random" is
    the baseline. seconds: what its evaluation took.
    """

    number: int
    id: str
    fingerprint: str
    picks: Mapping[str, Value]
    values: Mapping[str, float | None]
    provenance: Mapping[str, str] = field(default_factory=dict)
    feasible: bool = True
    proposer: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class FrontEntry:
    """One architecture of the front.

    rank: from 1, best first objective first. values: predicted or counted figures, `error` on validation data.
    intervals: figure name to (low, high). measured: figure name to the value measured on the device afterwards.
    test_error: share, `None` when it was not tested; its interval is binomial. export_folder: path relative to
    the report, `None` when it was not exported.
    """

    rank: int
    id: str
    fingerprint: str
    picks: Mapping[str, Value]
    values: Mapping[str, float | None]
    provenance: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    measured: Mapping[str, float | None] = field(default_factory=dict)
    test_error: float | None = None
    test_error_interval: Interval | None = None
    export_folder: str | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], *, export_folder: str | None = None) -> "FrontEntry":
        """The entry of one item of `architectures` in front.json; absent parts stay unknown."""
        test_interval = entry.get("test_error_interval")
        return cls(
            rank=int(entry["rank"]),
            id=str(entry["id"]),
            fingerprint=str(entry.get("fingerprint", "")),
            picks=dict(entry.get("picks") or {}),
            values=dict(entry.get("values") or {}),
            provenance=dict(entry.get("provenance") or {}),
            intervals={name: (float(low), float(high)) for name, (low, high) in (entry.get("intervals") or {}).items()},
            measured=dict(entry.get("measured") or {}),
            test_error=entry.get("test_error"),
            test_error_interval=((float(test_interval[0]), float(test_interval[1])) if test_interval else None),
            export_folder=export_folder,
        )


@dataclass(frozen=True)
class HypervolumeHistory:
    """Hypervolume after each number of evaluations, for the search and for random search.

    Curves are (evaluations, hypervolume) pairs in rising order of evaluations; a curve that was cut short stops.
    unit: of the hypervolume. reference: the corner it is measured from, figure name to value.
    """

    search: tuple[tuple[int, float], ...] = ()
    random: tuple[tuple[int, float], ...] = ()
    unit: str = "share of the reference box"
    reference: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingRow:
    """The supernet after one epoch; errors are validation shares, `None` where they were not evaluated."""

    epoch: int
    seconds: float
    loss: float | None
    error_largest: float | None = None
    error_middle: float | None = None
    error_smallest: float | None = None


@dataclass(frozen=True)
class HoldoutRow:
    """One kernel or network that the predictor did not see when it was fitted."""

    measured_ms: float
    predicted_ms: float
    group: str = ""


@dataclass(frozen=True)
class PredictorReport:
    """The predictor's hold-out rows, and its summary figures as label to value (numbers or text).

    split_head, splits: headings and rows, as texts, of a table of the errors per group. notes: sentences on what
    more measurements would bring and what to beware of. interval: between which shares of its prediction 90 % of
    networks were measured.
    """

    rows: tuple[HoldoutRow, ...]
    summary: Mapping[str, float | int | str | None] = field(default_factory=dict)
    split_head: tuple[str, ...] = ()
    splits: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    interval: Interval | None = None


@dataclass(frozen=True)
class OperatorRow:
    """One operator of an architecture, in execution order.

    name: dotted path. operator: in words, such as "conv 3×3, groups of 8". shape: of its output, (channels,
    *spatial). live_bytes: activations alive while it runs. moved_elements: read and written, weights included, of
    operators that multiply. latency_ms, energy_mj: its share of what is predicted, `None` when not known (a fused
    operator's stands at the operator it is fused into).
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    macs: int
    params: int
    live_bytes: int
    latency_ms: float | None = None
    energy_mj: float | None = None
    moved_elements: int = 0


@dataclass(frozen=True)
class DiagramBlock:
    """One box of the diagram.

    name: shortened path. stage: what it is grouped under, empty at the top. kind: the block function or the
    operator. words: its choices in words. shape: of its output. first, last: its rows in the operator table,
    last included. skip: it adds its own input to its output.
    """

    name: str
    stage: str
    kind: str
    words: tuple[str, ...]
    shape: tuple[int, ...]
    first: int
    last: int
    skip: bool = False


@dataclass(frozen=True)
class ArchitectureDetail:
    """Operator table and diagram of one architecture; `edges` are pairs of block indices (from, to).

    `grouped` are its group convolutions, `ridge` the hardware's ridge point in multiply-adds per moved element, `None`
    where that is not known, `intensity` what the whole network makes per element moved by its layers.
    constant_ms, constant_mj: what is predicted of the whole network beside its operators.
    """

    id: str
    operators: tuple[OperatorRow, ...]
    blocks: tuple[DiagramBlock, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    grouped: tuple[GroupedLayer, ...] = ()
    ridge: float | None = None
    intensity: float | None = None
    constant_ms: float | None = None
    constant_mj: float | None = None


@dataclass(frozen=True)
class Mark:
    """A network that is not of the space, drawn beside the front; the user's own, or one of another run.

    values: figure name to value, in its unit; provenance as of an evaluated point. words: what it is.
    """

    name: str
    values: Mapping[str, float | None]
    provenance: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    detail: ArchitectureDetail | None = None


@dataclass(frozen=True)
class StageTime:
    """What one stage of the run took; `state` in words, such as "done", "resumed", "stopped early"."""

    name: str
    seconds: float
    state: str = "done"


@dataclass(frozen=True)
class TargetFront:
    """The front of one of several targets: what the target is, in words, and what was wanted of it."""

    name: str
    words: str
    objectives: tuple[str, ...]
    limits: Mapping[str, float]
    front: tuple[FrontEntry, ...]


@dataclass(frozen=True)
class ReportData:
    """A whole run, as much of it as there is; every part but the name may be missing.

    name: of the run. run: how the user names its folder on the command line. objectives: figure names, all
    minimised. units: of figures that are not in `predictors.figures.FIGURES`. limits: figure name to the most
    it may be. importances: objective to choice name to importance (share of the explained variance).
    notes: sentences to show at the top, such as that the search was stopped early. beside: figures shown beside the
    objectives of the front. targets: where there are several, the front of each; `front` is then that of the worst.
    fidelity: how far the supernet's ranking can be trusted, where that was measured. marks: networks from elsewhere.
    explored: the whole space, scored without evaluation. device: what is known of the hardware. kernels: measured
    kernels by group size, kernel size and dilation.
    """

    name: str
    run: str = ""
    objectives: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    evaluations: tuple[EvaluatedPoint, ...] = ()
    front: tuple[FrontEntry, ...] = ()
    hypervolume: HypervolumeHistory = HypervolumeHistory()
    importances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    training: tuple[TrainingRow, ...] = ()
    predictor: PredictorReport | None = None
    fidelity: Fidelity | None = None
    architectures: tuple[ArchitectureDetail, ...] = ()
    stages: tuple[StageTime, ...] = ()
    recipe_toml: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    targets: tuple[TargetFront, ...] = ()
    marks: tuple[Mark, ...] = ()
    explored: Explored | None = None
    device: Device | None = None
    kernels: tuple[KernelGrid, ...] = ()
    margins: tuple[str, ...] = ()
