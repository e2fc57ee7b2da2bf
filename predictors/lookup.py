"""A target from a table of single kernels: latencies that somebody measured, a row for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from predictors.csv_rows import Line, read_lines
from predictors.kernels import Kernel, kernel_of
from predictors.target import Identity, MeasuredNetwork, Target
from search_spaces.errors import NasError, ShapeError, unknown_name
from search_spaces.operators import (
    ACTIVATIONS,
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    GlobalPool,
    InstanceNorm,
    LayerNorm,
    Linear,
    Multiply,
    Operator,
    Pool,
    ResponseNorm,
    Scale,
    Shape,
)

COLUMNS = (
    "kind",
    "in_channels",
    "out_channels",
    "height",
    "width",
    "kernel",
    "stride",
    "group_size",
    "dilation",
    "latency_ms",
)
PLAIN: Mapping[str, Operator] = {
    "add": Add(),
    "multiply": Multiply(),
    "concat": Concat(),
    "global_pool": GlobalPool(),
    "batch_norm": BatchNorm(),
    "instance_norm": InstanceNorm(),
    "layer_norm": LayerNorm(),
    "response_norm": ResponseNorm(),
    "scale": Scale(),
    **{kind: Activation(kind) for kind in ACTIVATIONS},
}
KINDS = ("conv", "linear", "max_pool", "average_pool", *PLAIN)
FEWEST_KERNELS = 10
HELD_OUT_EVERY = 5


@dataclass(frozen=True, slots=True)
class _Case:
    """An operator with the shapes that it reads."""

    op: Operator
    shapes: tuple[Shape, ...]


def target_from_kernels(path: Path, *, name: str, identity: Identity, machine: Mapping[str, str]) -> Target:
    """The target of the CSV file `path`, with the columns `COLUMNS`; its latency is learned from these rows alone.

    `height` and `width` are those of the input, windows are square and padded to keep the size at stride 1. Columns
    that mean nothing to a kind may be empty; an empty `group_size` is a dense convolution. Every fifth row is held
    out of the fit. Raises NasError for a row that describes no kernel, and for fewer than ten rows.
    """
    rows = [(_kernel(line), line.positive("latency_ms")) for line in read_lines(path, COLUMNS)]
    if len(rows) < FEWEST_KERNELS:
        raise NasError(f"{path} has {len(rows)} rows; at least {FEWEST_KERNELS} kernels are needed")
    number: dict[Kernel, int] = {}
    networks = tuple(
        MeasuredNetwork(
            (number.setdefault(kernel, len(number)),),
            (ms,),
            ms,
            ms,
            ms,
            repeats=1,
            quiet_share=None,
            held_out=i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1,
        )
        for i, (kernel, ms) in enumerate(rows)
    )
    source = f"look-up table {path.name}"
    return Target(name, "measured", identity, dict(machine), tuple(number), networks, source=source)


def _kernel(line: Line) -> Kernel:
    """The kernel that a row describes."""
    kind = line.text("kind")
    if kind not in KINDS:
        raise NasError(f"{line.path} line {line.number}, column kind: {unknown_name('kind of kernel', kind, KINDS)}")
    try:
        case = _case(kind, line)
        kernel = kernel_of(case.op, case.shapes, (Add,), fusion="none")
    except ShapeError as error:
        raise NasError(f"{line.path} line {line.number}: {error}") from error
    assert kernel is not None
    if line.has("out_channels") and line.count("out_channels") != kernel.out_shape[0]:
        raise line.wrong("out_channels", f"the {kernel.out_shape[0]} that {kind} has for these inputs")
    return kernel


def _case(kind: str, line: Line) -> _Case:
    channels = line.count("in_channels")
    if kind == "linear":
        return _Case(Linear(line.count("out_channels")), ((channels,),))
    shape = (channels, line.count("height"), line.count("width"))
    if kind == "conv":
        window, spacing = line.count("kernel"), _or_one(line, "dilation")
        op = Conv(
            line.count("out_channels"),
            kernel=_twice(window),
            stride=_twice(_or_one(line, "stride")),
            padding=_twice(spacing * (window - 1) // 2),
            dilation=_twice(spacing),
            group_size=line.count("group_size") if line.has("group_size") else channels,
        )
        return _Case(op, (shape,))
    if kind in ("max_pool", "average_pool"):
        window = line.count("kernel")
        return _Case(
            Pool(
                "max" if kind == "max_pool" else "average",
                kernel=_twice(window),
                stride=_twice(_or_one(line, "stride")),
                padding=_twice((window - 1) // 2),
            ),
            (shape,),
        )
    if kind == "add":
        return _Case(PLAIN[kind], (shape, shape))
    if kind == "multiply":
        return _Case(PLAIN[kind], (shape, (channels, 1, 1)))
    if kind == "concat":
        rest = line.count("out_channels") - channels
        if rest < 1:
            raise line.wrong("out_channels", f"above the {channels} of the first input")
        return _Case(PLAIN[kind], (shape, (rest, *shape[1:])))
    return _Case(PLAIN[kind], (shape,))


def _twice(value: int) -> tuple[int, int]:
    return value, value


def _or_one(line: Line, column: str) -> int:
    return line.count(column) if line.has(column) else 1
