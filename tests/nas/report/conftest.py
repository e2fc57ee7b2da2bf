"""A made-up run over the mobile space: real architectures and counts, invented accuracies and times."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nas.fidelity.judging import judge
from nas.fidelity.result import Fidelity, JudgedNetwork
from nas.report import (
    ArchitectureDetail,
    EvaluatedPoint,
    FrontEntry,
    HoldoutRow,
    HypervolumeHistory,
    PredictorReport,
    ReportData,
    StageTime,
    TrainingRow,
    describe_architecture,
)
from nas.report.data import Mark
from nas.report.explored import Device, KernelGrid
from nas.report.space import explore
from predictors.counts import count_network
from predictors.roofline import Roofline
from predictors.tables import CostTables, compile_for_costs
from search_spaces import Network, SearchSpace
from search_spaces.catalog import mobile
from tests.nas.report.worlds import small_space

LIMITS = {"peak_memory_bytes": 900 * 1024.0}
PROVENANCE = {
    "error": "validation",
    "latency_ms": "learned",
    "weight_bytes": "counted",
    "peak_memory_bytes": "counted",
    "macs": "counted",
}


def _values(network: Network, rng: np.random.Generator) -> dict[str, float | None]:
    total = count_network(network).total
    macs, size = total["macs"], total["weight_bytes"]
    error = 0.03 + 0.9 / (1 + (macs / 4e5) ** 0.6) + 0.03 / (1 + size / 5e4) + rng.normal(0, 0.008)
    return {
        "error": round(float(np.clip(error, 0.01, 0.9)), 4),
        "latency_ms": float(0.02 + macs / 2.2e10 * 1e3 * (1 + 0.1 * rng.random())),
        "weight_bytes": float(size),
        "peak_memory_bytes": float(total["peak_memory_bytes"]),
        "macs": float(macs),
    }


def _evaluate(space: SearchSpace, number: int, proposer: str, rng: np.random.Generator) -> EvaluatedPoint:
    architecture = space.sample(rng)
    network = space.build(architecture)
    values = _values(network, rng)
    return EvaluatedPoint(
        number,
        network.id,
        network.fingerprint,
        architecture.values,
        values,
        PROVENANCE,
        (values["peak_memory_bytes"] or 0) <= LIMITS["peak_memory_bytes"],
        proposer,
        float(0.4 + rng.random()),
    )


def _nondominated(points: list[EvaluatedPoint], objectives: tuple[str, ...]) -> list[EvaluatedPoint]:
    columns = np.array([[point.values[name] for name in objectives] for point in points])
    kept = []
    for i, row in enumerate(columns):
        beaten = (columns <= row).all(axis=1) & (columns < row).any(axis=1)
        if points[i].feasible and not beaten[[p.feasible for p in points]].any():
            kept.append(points[i])
    return sorted(kept, key=lambda point: point.values["error"] or 0.0)


def _entry(rank: int, point: EvaluatedPoint, rng: np.random.Generator) -> FrontEntry:
    error, latency = point.values["error"] or 0.0, point.values["latency_ms"] or 0.0
    test = float(np.clip(error + rng.normal(0.004, 0.006), 0.005, 1))
    return FrontEntry(
        rank,
        point.id,
        point.fingerprint,
        point.picks,
        point.values,
        point.provenance,
        {"error": (error * 0.9, error * 1.1), "latency_ms": (latency * 0.92, latency * 1.09)},
        {"latency_ms": latency * float(rng.normal(1.03, 0.04))},
        test,
        (test * 0.93, test * 1.07),
        f"exports/{point.id}" if rank <= 3 else None,
    )


def _detail(space: SearchSpace, entry: FrontEntry) -> ArchitectureDetail:
    network = space.build(space.repair(entry.picks))
    rows = count_network(network).operators
    times = {row.name: row.counts.macs / 2.2e10 * 1e3 + 0.0005 for row in rows if row.counts.macs}
    energies = {name: 0.3 * ms for name, ms in times.items()}
    return describe_architecture(network, latency_ms=times, energy_mj=energies, constants=(0.02, 0.004))


def make_up_fidelity(points: list[EvaluatedPoint], *, seed: int = 0) -> Fidelity:
    """A judgement of the first 16 points, in which training alone gives a little less error."""
    rng = np.random.default_rng(seed)
    middle = float(np.median([point.values["macs"] or 0.0 for point in points[:16]]))
    networks = [
        JudgedNetwork(
            point.id,
            point.fingerprint,
            point.picks,
            point.values["macs"] or 0.0,
            point.values["weight_bytes"] or 0.0,
            abs((point.values["macs"] or 0.0) / middle - 1) < 0.14,
            point.values["error"] or 0.0,
            (point.values["error"] or 0.0) * float(rng.normal(0.85, 0.04)),
            (point.values["error"] or 0.0) * 0.9 if i < 5 else None,
            {"macs": point.values["macs"], "params": point.values["weight_bytes"], "naswot": float(rng.normal())},
            100.0,
        )
        for i, point in enumerate(points[:16])
    ]
    return judge(
        networks,
        planned=20,
        epochs=16,
        tuned_epochs=3,
        band=(middle / 1.14, middle * 1.14),
        seed=0,
        notes=("16 of 20 networks are trained so far; call again to go on.",),
    )


def make_up(*, count: int = 40, seed: int = 0, space: SearchSpace | None = None) -> ReportData:
    """A run of `count` evaluations and as many random ones."""
    rng = np.random.default_rng(seed)
    space = space or mobile((3, 32, 32), 10)
    points = [_evaluate(space, i, "surrogate", rng) for i in range(count)]
    random = [_evaluate(space, count + i, "random", rng) for i in range(count)]
    objectives = ("error", "latency_ms", "weight_bytes")
    front = [_entry(i + 1, p, rng) for i, p in enumerate(_nondominated(points, objectives))]
    growth = 1 - np.exp(-np.arange(1, count + 1) / 20)
    measured = np.exp(rng.uniform(np.log(0.002), np.log(3), 90))
    holdout = tuple(
        HoldoutRow(float(m), float(m * rng.lognormal(0, 0.07)), group)
        for m, group in zip(measured, ["dense", "grouped", "depthwise"] * 30, strict=True)
    )
    names = ["stage0.width", "resolution", *(f"stage{i}.block{j}.kernel" for i in range(3) for j in range(3))]
    shares = rng.dirichlet(np.linspace(4, 0.4, len(names)))
    return ReportData(
        name="cifar10",
        run="runs/cifar10",
        objectives=objectives,
        limits=LIMITS,
        evaluations=tuple(points + random),
        front=tuple(front),
        hypervolume=HypervolumeHistory(
            tuple((i + 1, float(0.82 * g)) for i, g in enumerate(growth)),
            tuple((i + 1, float(0.74 * g)) for i, g in enumerate(growth[: count * 3 // 4])),
        ),
        importances={
            name: dict(zip(names, np.roll(shares, i).tolist(), strict=True)) for i, name in enumerate(objectives)
        },
        training=tuple(
            TrainingRow(
                e,
                170.0 * e,
                1.2 + 1.1 * 0.8**e,
                *((0.12 + 0.5 * 0.75**e, 0.18 + 0.5 * 0.8**e, 0.3 + 0.5 * 0.85**e) if e % 2 else ()),
            )
            for e in range(1, 17)
        ),
        predictor=PredictorReport(
            holdout,
            {"within 10 %": "86 %", "median error": "4.1 %", "rank correlation": 0.997, "kernels": 90},
            ("their kernels", "count", "MAPE"),
            (("group size 8", "30", "5.2 %"), ("dilation 2", "12", "6.1 %")),
            ("About 300 more measurements would halve the error.",),
            (0.86, 1.17),
        ),
        fidelity=make_up_fidelity(points),
        architectures=tuple(_detail(space, entry) for entry in front),
        stages=(
            StageTime("target", 301.0),
            StageTime("supernet", 2950.0, "resumed"),
            StageTime("search", 640.0),
            StageTime("test and export", 41.0),
        ),
        recipe_toml='name = "cifar10"\n\n[space]\nname = "mobile"\n',
        environment={
            "python": "3.11.9",
            "packages": {"torch": "2.13.0", "optuna": "5.0.0", "plotly": "7.1.0"},
            "machine": {"processor": "2 cores", "memory_bytes": 8 * 2**30},
            "seeds": {"supernet": 0, "search": 0},
        },
        notes=("The search was stopped early by its time budget.",),
    )


@pytest.fixture(scope="session")
def made_up() -> ReportData:
    """One made-up run, shared by the tests."""
    return make_up()


@pytest.fixture(scope="session")
def explored() -> ReportData:
    """A made-up run whose space is scored, with a device, measured kernels and a network of the user's own."""
    space = small_space()
    data = make_up(count=60, space=space)
    compiled = compile_for_costs(space)
    tables = CostTables(compiled, latency=Roofline(20.0, 15.0), check=2)
    known = [(p.picks, {k: v for k, v in p.values.items() if v is not None}) for p in data.evaluations]
    found = explore(
        compiled, tables, known, objectives=data.objectives, limits=data.limits, scored=3000, half=128, seed=1
    )
    grids = tuple(
        KernelGrid(
            dilation,
            (1, 8, 0),
            ("3×3", "5×5"),
            np.array([[90.0, 60.0], [20.0, 15.0], [8.0, np.nan]]) * dilation,
            np.array([[4, 3], [5, 5], [9, 0]]),
        )
        for dilation in (1, 2)
    )
    mine = Mark(
        "my network", {"error": 0.2, "latency_ms": 0.4, "macs": 9e6}, {"macs": "counted"}, "A module of my own."
    )
    device = Device("a processor, onnxruntime, 1 thread, fp32", 20.0, 15.0, 5.33, "as documented")
    return replace(
        data, explored=found, device=device, kernels=grids, marks=(mine,), margins=("The limit of peak memory holds.",)
    )


@pytest.fixture(scope="session")
def makes_up() -> Callable[..., ReportData]:
    """The maker of made-up runs."""
    return make_up
