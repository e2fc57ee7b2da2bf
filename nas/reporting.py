"""The report of a run folder: whatever there is of it, gathered for the page and for the terminal."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from nas.live import SoFar, so_far
from nas.report import (
    ArchitectureDetail,
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
from nas.report.explored import Explored, Floats
from nas.run_folder import read_json
from nas.salvage import Salvage, evaluated_point
from predictors.kernels import Fusion, Kernel, kernel_nodes
from search_spaces.errors import NasError
from search_spaces.merging import merged
from search_spaces.network import Network
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from nas.own.marks import Asked
    from nas.pipeline import Run
    from nas.search.record import Evaluation
    from predictors.target import Target

LOGGER = logging.getLogger("nas")
DETAILS = 1000
KERNELS_SHOWN = 100


def report_data(
    run: "Run",
    *,
    notes: tuple[str, ...] = (),
    explored: Explored | None = None,
    architectures: tuple[ArchitectureDetail, ...] | None = None,
    own: "Sequence[Asked]" = (),
    whole: bool = True,
) -> ReportData:
    """Everything the page shows of `run`; parts that do not exist yet are left empty.

    `explored` and `architectures` stand for what `explored_space` and `details` would find, for a caller that has them.
    `own` are networks of the user's own, drawn beside the front. Without `whole`, what takes long is left out:
    operators, importances, the whole space. What cannot be read is left out too, and a note says so.

    Raises NasError where an own network cannot be loaded or traced.
    """
    from nas.devices import figures_beside, units
    from nas.fidelity.study import kept_fidelity
    from nas.margins import kept_margins
    from nas.own.marks import own_marks
    from nas.report.measured import device_of, kernel_grids
    from nas.search.importance import importances
    from nas.warm import notes as warm_notes

    recipe, salvage = run.recipe, Salvage()
    found = salvage.part("what the search found", lambda: so_far(run), SoFar())
    evaluations, front = found.evaluations, _with_exports(run, found.front)
    target = salvage.part("the target", lambda: _target(run), None)
    if architectures is None and whole:
        architectures = salvage.part("operators", lambda: _architectures(run, front, evaluations), ())
    if explored is None and whole:
        explored = salvage.part("the whole space", lambda: explored_space(run, evaluations), None)
    matter: Mapping[str, Mapping[str, float]] = {}
    if whole:
        matter = salvage.part("importances", lambda: importances(evaluations, recipe.search.objectives), {})
    margins = salvage.part("the limits' margins", lambda: kept_margins(run), ())
    data = ReportData(
        name=recipe.name,
        run=str(run.path),
        objectives=recipe.search.objectives,
        limits=recipe.search.limits,
        evaluations=tuple(map(evaluated_point, evaluations)),
        front=front,
        hypervolume=salvage.part("the hypervolume", lambda: _hypervolume(run, found), HypervolumeHistory()),
        importances=matter,
        training=salvage.part("the training", lambda: _training(run), ()),
        predictor=salvage.part("the predictor", lambda: _predictor(run), None),
        fidelity=salvage.part("the ranking's fidelity", lambda: kept_fidelity(run.path), None),
        architectures=architectures or (),
        explored=explored,
        device=None if target is None else device_of(target),
        kernels=() if target is None else kernel_grids(target),
        stages=salvage.part("the stages", lambda: _stages(run), ()),
        recipe_toml=run.asked.to_toml(),
        environment=salvage.part("the environment", run.folder.environment, {}),
        units=units(run),
        beside=figures_beside(run),
        targets=salvage.part("the targets' fronts", lambda: _targets(run), ()),
        margins=tuple(f"The limit of {margin.text()}." for margin in margins),
        marks=own_marks(run, own) if own else (),
    )
    more = (*salvage.part("warm starts", lambda: warm_notes(run), ()), *_state_notes(run, found))
    return replace(data, notes=(*notes, *more, *salvage.notes))


def _with_exports(run: "Run", front: Sequence[FrontEntry]) -> tuple[FrontEntry, ...]:
    return tuple(replace(entry, export_folder=_export_folder(run, entry.id)) for entry in front)


def _stages(run: "Run") -> tuple[StageTime, ...]:
    return tuple(StageTime(name, state["seconds"], state["state"]) for name, state in run.folder.state().items())


def _state_notes(run: "Run", found: SoFar) -> tuple[str, ...]:
    """That the search has not ended, where it has not."""
    if found.is_final:
        return ()
    count = len(found.evaluations)
    words = f"{count} architectures are evaluated so far" if count else "nothing is evaluated yet"
    return (
        f"The search has not ended, or was stopped: {words}. The front is what none of them dominates, neither tested "
        f"nor measured again. `nas run {run.path} --resume` goes on where it stopped.",
    )


def explanation(run: "Run", start: str) -> str:
    """What the evaluated architecture whose id begins with `start` is made of and costs, as text."""
    from nas.choosing import find_evaluation
    from nas.devices import units
    from nas.report.explain import explain_text

    chosen = find_evaluation(run, start)
    entry = next((entry for entry in so_far(run).front if entry.id == chosen.id), None)
    return explain_text(
        detail(run, chosen.architecture),
        picks=chosen.architecture.values,
        entry=entry,
        values=chosen.values,
        provenance=chosen.provenance,
        units=units(run),
    )


def _targets(run: "Run") -> tuple[TargetFront, ...]:
    """The front of each of several targets, and what the target is."""
    found = []
    for name, view in run.views.items():
        entries = _with_exports(view, so_far(view).front)
        section, words = view.recipe.search, ""
        if view.wants_target and view.target_file.is_file():
            who = view.target.identity
            words = f"{who.device_name}, {who.software}, {who.precision}, batch {who.batch}, {view.target.provenance}."
        found.append(TargetFront(name, words, section.objectives, section.limits, entries))
    return tuple(found)


def explored_space(run: "Run", evaluations: "Sequence[Evaluation]") -> Explored | None:
    """The run's space sampled and scored without evaluation; `None`, with a word in the log, where that fails.

    Also where nothing was evaluated yet: compiling a space and measuring a target is the search's to begin.
    """
    from nas.report.space import explore

    if not evaluations or (run.wants_target and _target(run) is None):
        return None
    section = run.recipe.search
    known = [(evaluation.architecture.values, evaluation.values) for evaluation in evaluations]
    try:
        return explore(run.compiled, run.tables, known, objectives=section.objectives, limits=section.limits)
    except NasError as error:
        LOGGER.warning("the report leaves the whole space out: %s", error)
        return None


def detail(run: "Run", architecture: Architecture) -> ArchitectureDetail:
    """Operator table and diagram of `architecture`, with predicted latencies where one target is known."""
    return details(run, [architecture], None if run.views else _target(run))[0]


def details(
    run: "Run", architectures: Sequence[Architecture], target: "Target | None"
) -> tuple[ArchitectureDetail, ...]:
    """The same of several architectures, with what the models of `target` predict of each operator."""
    searched = [run.network(architecture) for architecture in architectures]
    networks = [merged(network).network for network in searched]
    found = _described(networks, target)
    return tuple(replace(one, id=network.id) for one, network in zip(found, searched, strict=True))


def _described(networks: Sequence[Network], target: "Target | None") -> tuple[ArchitectureDetail, ...]:
    if target is None:
        return tuple(map(describe_architecture, networks))
    ridge = None if target.roofline is None else target.roofline.waterline
    latency, energy = target.latency, target.energy_model
    times = _by_operator(networks, latency.fusion, latency.predict_ms)
    energies = None if energy is None else _by_operator(networks, energy.fusion, energy.predict_mj)
    constants = (latency.intercept_ms, None if energy is None else energy.intercept_mj)
    return tuple(
        describe_architecture(
            network,
            latency_ms=times[i],
            energy_mj=energies[i] if energies else None,
            constants=constants,
            ridge=ridge,
        )
        for i, network in enumerate(networks)
    )


def _architectures(
    run: "Run", front: Sequence[FrontEntry], evaluations: "Sequence[Evaluation]"
) -> tuple[ArchitectureDetail, ...]:
    """Details of the front, then of what was evaluated last, so many as a page can hold."""
    wanted = {entry.id: Architecture.of(entry.picks) for entry in front}
    for evaluation in reversed(evaluations):
        wanted.setdefault(evaluation.id, evaluation.architecture)
    return details(run, list(wanted.values())[:DETAILS], _target(run))


def _by_operator(
    networks: Sequence[Network], fusion: Fusion, predict: Callable[[Sequence[Kernel]], Floats]
) -> list[dict[str, float]]:
    """Per network, what is predicted of each node that is a kernel, by its name; all kernels at once."""
    found = [
        [(network.nodes[i].name, kernel) for i, kernel in kernel_nodes(network, fusion=fusion) if kernel is not None]
        for network in networks
    ]
    places: dict[Kernel, int] = {}
    for nodes in found:
        for _, kernel in nodes:
            places.setdefault(kernel, len(places))
    predicted = predict(list(places)).tolist() if places else []
    return [{name: predicted[places[kernel]] for name, kernel in nodes} for nodes in found]


def _target(run: "Run") -> "Target | None":
    """The target that figures of single operators are of: the first of several; `None` where none is known yet."""
    for view in run.views.values() or (run,):
        if view.wants_target and view.target_file.is_file():
            return view.target
    return None


def _export_folder(run: "Run", identity: str) -> str | None:
    folder = run.folder.exports / identity
    return f"exports/{identity}" if folder.is_dir() else None


def _hypervolume(run: "Run", so_far: SoFar) -> HypervolumeHistory:
    if so_far.history is not None:
        return HypervolumeHistory(so_far.history.search, so_far.history.random, reference=so_far.history.reference)
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
        target.learned.interval(1.0),
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
