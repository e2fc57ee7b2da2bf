"""Export of a run's architectures, with their inherited weights and all that is known of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.choosing import chosen_ids, find_evaluation, front_entries

if TYPE_CHECKING:
    from nas.modules import Weights
    from nas.pipeline import Run
    from nas.search.record import Evaluation
    from search_spaces.network import Network


def export_architectures(run: "Run", start: str | None, formats: Sequence[str]) -> list[Path]:
    """Export the evaluated architecture whose id begins with `start`; without it, those the recipe's `top` chooses."""
    from nas.console import progress

    if start is not None:
        wanted = [find_evaluation(run, start)]
    else:
        ids = chosen_ids(front_entries(run), run.recipe.search.objectives, run.recipe.export.top)
        wanted = [find_evaluation(run, identity) for identity in ids]
    folders = []
    with progress("exporting", len(wanted)) as step:
        for evaluation in wanted:
            folders.append(_export(run, evaluation, formats))
            step.advance(1.0)
    return folders


def _export(run: "Run", evaluation: "Evaluation", formats: Sequence[str]) -> Path:
    from nas.export.folder import export_network
    from nas.export.source import Normalisation
    from nas.modules import execute
    from nas.tasks.protocol import class_output

    network = run.network(evaluation.architecture)
    weights = _weights(run, network)
    entry: dict[str, Any] = next((e for e in front_entries(run) if e["id"] == evaluation.id), {})
    figures: dict[str, float | None] = dict(evaluation.values)
    provenance = dict(evaluation.provenance)
    if entry.get("test_error") is not None:
        figures["test_error"], provenance["test_error"] = entry["test_error"], "test"
    for name, value in (entry.get("measured") or {}).items():
        figures[f"measured_{name}"], provenance[f"measured_{name}"] = value, "measured"
    reference = None
    if run.trains_supernet:
        inherited = _inherited(run, network, weights)

        def reference(x: Any) -> Any:
            return execute(network, inherited, x)

    data = run.task.data if run.has_data else None
    return export_network(
        network,
        weights,
        run.folder.exports / evaluation.id,
        architecture=evaluation.architecture,
        figures=figures,
        provenance=provenance,
        normalisation=Normalisation(run.task.mean, run.task.std) if data is not None else None,
        class_names=data.class_names if data is not None and class_output(run.task) is None else (),
        note=data.note if data is not None else "",
        formats=formats,
        reference=reference,
    ).folder


def _inherited(run: "Run", network: "Network", weights: "Weights") -> "Weights":
    """The supernet's own slices of `network`, beside the statistics that were exported."""
    from nas.supernet.calibrate import with_statistics

    statistics = {
        path: {name: tensor for name, tensor in tensors.items() if name.startswith("running_")}
        for path, tensors in weights.items()
    }
    return with_statistics(run.trained_supernet.weights_for(network), statistics)


def _weights(run: "Run", network: "Network") -> "Weights":
    """Inherited weights; fresh ones where no supernet was trained."""
    from nas.modules import NetworkModule

    if run.trains_supernet:
        return run.trained_weights(network)
    return {
        path: {name: tensor.detach() for name, tensor in tensors.items()}
        for path, tensors in NetworkModule(network, seed=run.recipe.search.seed).weights().items()
    }
