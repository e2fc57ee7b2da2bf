"""The user's own network as a mark beside a run's front: its figures, and how each is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.report.data import Mark
from search_spaces.merging import merged
from search_spaces.opaque import Opaque
from search_spaces.operators import Shape
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from nas.own.load import OwnModule
    from nas.own.trace import Traced
    from nas.pipeline import Run

BATCH = 250
OF_PRODUCTS = ("macs", "macs_effective", "activations", "moved_elements", "energy_relative")


@dataclass(frozen=True)
class Asked:
    """An own network as the user named it, and the shape (channels, *spatial) of its input where that was given."""

    named: str
    input_shape: Shape | None = None


def own_marks(run: "Run", asked: Sequence[Asked]) -> tuple[Mark, ...]:
    """Each network asked for, counted, predicted and measured as the networks of `run` are.

    Counts follow the project's definitions. The latency is measured where the target is this machine; what the
    target's model predicts stands for it elsewhere, when every operator is one that it knows. Where the run is about
    data, the error is that of the network as its weights are, on the run's validation part.

    Raises NasError where a network cannot be loaded or traced.
    """
    return tuple(_mark(run, one) for one in asked)


def _mark(run: "Run", asked: Asked) -> Mark:
    from nas.costs import Costs
    from nas.own.load import load_own
    from nas.own.trace import trace
    from nas.report import describe_architecture
    from predictors.costs import costs_as_run

    own = load_own(asked.named)
    traced = trace(own.module, asked.input_shape or own.input_shape or _input_shape(run), name=asked.named)
    network = traced.network
    values = costs_as_run(network)
    provenance = Costs().provenance
    notes = [f"Your own network {asked.named}, input {'×'.join(map(str, network.input.shape))}."]
    if traced.uncounted:
        values = {name: value for name, value in values.items() if name not in OF_PRODUCTS}
        notes.append(f"Multiply-accumulates are not known: nobody counts {', '.join(traced.uncounted)}.")
    for found in (_predicted(run, traced), _measured(run, own, traced), _error(run, own, traced)):
        values |= found.values
        provenance |= found.provenance
        notes += found.notes
    kept = {name: kind for name, kind in provenance.items() if name in values}
    return Mark(own.name, values, kept, " ".join(notes), describe_architecture(network))


def _input_shape(run: "Run") -> Shape:
    """What the run's data gives, or what its first architecture takes."""
    if run.has_data:
        return tuple(run.task.input_shape)
    if run.front:
        return run.network(Architecture.of(run.front[0]["picks"])).input.shape
    return run.network(run.compiled.decode(run.compiled.default_row)).input.shape


@dataclass(frozen=True)
class _Found:
    values: dict[str, float]
    provenance: dict[str, str]
    notes: tuple[str, ...] = ()


NOTHING = _Found({}, {})


def _predicted(run: "Run", traced: "Traced") -> _Found:
    """What the target's models say, where they know every operator."""
    from nas.target_figures import DEVICE_FIGURES, split_name

    if not _has_target(run):
        return NOTHING
    strange = {node.op.what for node in traced.network.nodes if isinstance(node.op, Opaque) and not node.op.is_view}
    if strange:
        return _Found({}, {}, (f"The target's model knows no {', '.join(sorted(strange))}, so it predicts nothing.",))
    if merged(traced.network).folds:
        return _Found({}, {}, ("Its parallel convolutions could be merged; it is counted and measured as it runs.",))
    found = run.costs.values(traced.network)
    values = {name: value for name, value in found.items() if split_name(name)[0] in DEVICE_FIGURES}
    return _Found(values, {name: kind for name, kind in run.costs.provenance.items() if name in values})


def _has_target(run: "Run") -> bool:
    return run.wants_target and all(one.target_file.is_file() for one in (run.views.values() or (run,)))


def _measured(run: "Run", own: "OwnModule", traced: "Traced") -> _Found:
    """Its latency on every target that is this machine."""
    from nas.choosing import measured_here
    from nas.own.measure import measured_latency
    from search_spaces.errors import NasError

    if not _has_target(run):
        return NOTHING
    values: dict[str, float] = {}
    kinds: dict[str, str] = {}
    notes: list[str] = []
    devices = measured_here(run)
    for figure, view in devices.items():
        try:
            found = measured_latency(own.module, traced, view.meter)
        except NasError as error:
            notes.append(f"It cannot be measured: {error}.")
            continue
        values[figure] = found.measurement.median_ms
        same = found.runtime == view.meter.engine.name
        kinds[figure] = "measured" if same else f"measured in {found.runtime}"
        if not same:
            notes.append(
                f"{figure} was measured in eager PyTorch, slower than in {view.meter.engine.name}, which cannot run it "
                f"({found.reason})."
            )
        if view.meter.doubt(found.measurement) > 0:
            notes.append(f"{figure} was disturbed by other work on this machine while it was measured.")
    if not devices:
        notes.append("The target is not this machine, so its latency could not be measured.")
    return _Found(values, kinds, tuple(notes))


def _error(run: "Run", own: "OwnModule", traced: "Traced") -> _Found:
    """The share of wrong answers on the validation part, where input and output suit the data."""
    if not run.needs_error or run.evaluate is not None:
        return NOTHING
    task, network = run.task, traced.network
    shape = network.input.shape
    answers = [network.nodes[i].shape for _, i in network.outputs]
    if len(shape) != 3 or shape[0] != task.input_shape[0] or answers[:1] != [(task.classes,)]:
        return _Found(
            {},
            {},
            (
                f"Its error is not known: it takes {shape} and answers {answers[0]}, the data gives "
                f"{tuple(task.input_shape)} and has {task.classes} classes.",
            ),
        )
    return _Found({"error": _error_of(run, own, shape)}, {"error": "validation"}, ("Its error is as its weights are.",))


def _error_of(run: "Run", own: "OwnModule", shape: Shape) -> float:
    import torch

    from nas.console import progress
    from nas.tasks.classification import resize

    wrong, total, images = 0, 0, len(run.task.validation_indices)
    with progress(f"evaluating {own.name}", images) as step, torch.inference_mode():
        for batch, target in run.task.validation_batches(BATCH):
            answer = own.module(resize(batch, (shape[1], shape[2])))
            first = next(iter(answer.values())) if isinstance(answer, dict) else answer
            first = first[0] if isinstance(first, tuple | list) else first
            wrong += run.task.metric(first, target)
            total += len(target)
            step.advance(float(len(target)))
    return wrong / total
