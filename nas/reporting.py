"""The report of a run folder: whatever there is of it, gathered for the page and for the terminal."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from nas.choosing import front_entries
from nas.report import (
    ArchitectureDetail,
    EvaluatedPoint,
    FrontEntry,
    HoldoutRow,
    HypervolumeHistory,
    PredictorReport,
    ReportData,
    StageTime,
    TargetFront,
    TrainingRow,
    describe_architecture,
)
from nas.run_folder import read_json
from predictors.kernels import kernel_nodes
from search_spaces.merging import merged
from search_spaces.network import Network
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from nas.pipeline import Run
    from predictors.target import Target

DETAILS = 40
KERNELS_SHOWN = 100


def report_data(run: "Run", *, notes: tuple[str, ...] = ()) -> ReportData:
    """Everything the page shows of `run`; parts that do not exist yet are left empty."""
    from nas.devices import figures_beside, units
    from nas.fidelity.study import kept_fidelity
    from nas.margins import kept_margins
    from nas.search.importance import importances
    from nas.warm import notes as warm_notes

    recipe, evaluations = run.recipe, run.evaluations()
    front = tuple(
        FrontEntry.from_json(entry, export_folder=_export_folder(run, str(entry["id"]))) for entry in front_entries(run)
    )
    return ReportData(
        name=recipe.name,
        run=str(run.path),
        objectives=recipe.search.objectives,
        limits=recipe.search.limits,
        evaluations=tuple(
            EvaluatedPoint(
                e.number,
                e.id,
                e.fingerprint,
                e.architecture.values,
                e.values,
                e.provenance,
                e.feasible,
                e.proposer,
                e.seconds,
            )
            for e in evaluations
        ),
        front=front,
        hypervolume=_hypervolume(run),
        importances=importances(evaluations, recipe.search.objectives),
        training=_training(run),
        predictor=_predictor(run),
        fidelity=kept_fidelity(run.path),
        architectures=tuple(detail(run, Architecture.of(entry.picks)) for entry in front[:DETAILS]),
        stages=tuple(StageTime(name, state["seconds"], state["state"]) for name, state in run.folder.state().items()),
        recipe_toml=run.asked.to_toml(),
        environment=run.folder.environment(),
        units=units(run),
        beside=figures_beside(run),
        targets=_targets(run),
        notes=(*notes, *warm_notes(run), *(f"The limit of {margin.text()}." for margin in kept_margins(run))),
    )


def _targets(run: "Run") -> tuple[TargetFront, ...]:
    """The front of each of several targets, and what the target is."""
    found = []
    for name, view in run.views.items():
        entries = [
            FrontEntry.from_json(entry, export_folder=_export_folder(view, str(entry["id"])))
            for entry in front_entries(view)
        ]
        section, words = view.recipe.search, ""
        if view.wants_target and view.target_file.is_file():
            who = view.target.identity
            words = f"{who.device_name}, {who.software}, {who.precision}, batch {who.batch}, {view.target.provenance}."
        found.append(TargetFront(name, words, section.objectives, section.limits, tuple(entries)))
    return tuple(found)


def detail(run: "Run", architecture: Architecture) -> ArchitectureDetail:
    """Operator table and diagram of `architecture`, with predicted latencies where a target is known."""
    searched = run.network(architecture)
    used = merged(searched).network
    known = describe_architecture(used, latency_ms=_operator_latency(run, used), ridge=_ridge(run))
    return replace(known, id=searched.id)


def _ridge(run: "Run") -> float | None:
    """The ridge point of the run's target in multiply-adds per moved element, where it is known."""
    roofline = run.target.roofline if run.wants_target and run.target_file.is_file() else None
    return None if roofline is None else roofline.waterline


def _operator_latency(run: "Run", network: Network) -> Mapping[str, float]:
    model = run.costs.latency if run.wants_target and run.target_file.is_file() else None
    if model is None:
        return {}
    found = [
        (network.nodes[i].name, kernel)
        for i, kernel in kernel_nodes(network, fusion=model.fusion)
        if kernel is not None
    ]
    times = model.predict_ms([kernel for _, kernel in found])
    return {name: float(ms) for (name, _), ms in zip(found, times, strict=True)}


def _export_folder(run: "Run", identity: str) -> str | None:
    folder = run.folder.exports / identity
    return f"exports/{identity}" if folder.is_dir() else None


def _hypervolume(run: "Run") -> HypervolumeHistory:
    found = read_json(run.search_folder / "front.json", default={}).get("hypervolume")
    if not found:
        return HypervolumeHistory()
    return HypervolumeHistory(
        search=tuple((int(n), float(value)) for n, value in found["search"]),
        random=tuple((int(n), float(value)) for n, value in found["random"]),
        unit=found["unit"],
        reference=found["reference"],
    )


def _training(run: "Run") -> tuple[TrainingRow, ...]:
    from nas.supernet.checkpoint import load_checkpoint

    if not run.folder.supernet.is_dir():
        return ()
    found = load_checkpoint(run.folder.supernet)
    return () if found is None else tuple(TrainingRow(**row) for row in found[1]["curve"])


def _predictor(run: "Run") -> PredictorReport | None:
    """Of several targets, the first that has a learned model."""
    for name, view in (run.views or {"": run}).items():
        if view.wants_target and view.target_file.is_file():
            found = predictor_report(view.target)
            if found is not None:
                return replace(found, summary={"target": name, **found.summary}) if name else found
    return None


def predictor_report(target: "Target") -> PredictorReport | None:
    """How far the latency model of `target` can be trusted; `None` where nothing was held out of its fit."""
    from nas.runtimes.report import HEADINGS, cells, prospects, splits, warnings
    from predictors.holdout import predictions

    if target.report is None:
        return None
    predicted = predictions(target.learned, target.held_out)
    whole = "kernels" if target.of_kernels else "networks"
    rows = tuple(
        HoldoutRow(network.latency_ms, float(guess), whole)
        for network, guess in zip(target.held_out, predicted, strict=True)
    )
    summary: dict[str, Any] = {
        f"{whole} held out": target.report.networks.count,
        **_percentages(asdict(target.report.networks)),
        **{f"MACs alone: {name}": value for name, value in _percentages(asdict(target.report.macs_alone)).items()},
    }
    heading, groups = splits(target.report)
    return PredictorReport(
        (*rows, *_kernel_rows(target)),
        summary,
        (heading, *HEADINGS),
        tuple((name, *cells(found)) for name, found in groups),
        (*prospects(target.learning), *warnings(target)),
    )


def _kernel_rows(target: "Target") -> tuple[HoldoutRow, ...]:
    """Held-out kernels by their class, so many of each as a plot can show; none where a row is a kernel itself."""
    from predictors.holdout import timed_kernels
    from predictors.kernel_features import kernel_class

    found: dict[str, list[HoldoutRow]] = defaultdict(list)
    for kernel, guess, truth in () if target.of_kernels else timed_kernels(target.learned, target.held_out):
        group = f"kernels: {kernel_class(kernel)}"
        found[group].append(HoldoutRow(truth, guess, group))
    return tuple(row for _, rows in sorted(found.items()) for row in rows[:: 1 + len(rows) // KERNELS_SHOWN])


def _percentages(found: Mapping[str, Any]) -> dict[str, str | None]:
    shares = {
        "median_error": "median error",
        "mape": "mean error (MAPE)",
        "within_5_percent": "within 5 %",
        "within_10_percent": "within 10 %",
    }
    texts = {words: f"{100 * found[name]:.1f} %" for name, words in shares.items()}
    rank = found["spearman"]
    return {**texts, "rank correlation (Spearman)": None if rank is None else f"{rank:.3f}"}
