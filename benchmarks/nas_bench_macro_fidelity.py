"""Ranking of a supernet over NAS-Bench-Macro against the published accuracies of its networks.

    python -m benchmarks.nas_bench_macro_fidelity [--minutes 120] [--nets 500] [--seed 0] [--rule sandwich]
        [--images 12000] [--epochs N] [--batch-size 128] [--learning-rate 0.1] [--device cpu|cuda] [--workers 2]
        [--folder runs/benchmark_nas_bench_macro] [--data FILE] [--table FILE]

A supernet of the whole space is trained on CIFAR-10 (JPEG); `--images` are taken of the training part, 2,000 of them
for validation. Without `--epochs` the first call times a step and an evaluation and takes as many epochs as fit into
`--minutes` beside the evaluations; what it settled on is kept in the folder. After `--minutes` nothing more is begun,
and the same command goes on. `--nets` distinct networks of the table are drawn by `--seed`; each is evaluated with
inherited weights and statistics of its own.

`kendall_tau` is that of inherited validation accuracy against the table's mean accuracy, its bootstrap interval under
`where`. The baselines rank the same networks by MACs, parameters and zero-cost scores.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fidelity import data_file
from benchmarks.figures import Detail, print_figure, tell
from benchmarks.supernets import end_of, epoch_seconds, fresh, opened, trained
from benchmarks.table_files import read_table
from benchmarks.tables import Table
from nas.console import progress
from nas.fidelity.ranking import agreement
from nas.fidelity.work import Job, Kept, ScoresEvaluator, work_off
from nas.pipeline import Run
from nas.recipe import Recipe, recipe_from
from nas.run_folder import read_json
from nas.search.evaluators import Arrays, supernet_evaluator
from nas.search.workers import Evaluator
from nas.supernet.calibrate import calibrate, error_of, with_statistics
from nas.supernet.weights import Supernet
from nas.tasks.protocol import Task
from search_spaces.catalog.nas_bench_macro import from_code
from search_spaces.errors import NasError
from search_spaces.files import write_json
from search_spaces.space import Architecture, SearchSpace

TABLE = "nas-bench-macro_cifar10.json"
VALIDATION_IMAGES = 2000
CALIBRATION = (2, 256)
SCORED_IMAGES = 64
BATCH = 500
SPARE = 1.15
"""How much longer evaluations may take than one of them that was timed."""


@dataclass(frozen=True)
class DeviceEvaluator:
    """Validation error of a subnet with inherited weights on the device where the supernet and the data lie."""

    supernet: Supernet
    space: SearchSpace
    task: Task

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """{"error": share of wrong answers}."""
        network = self.space.build(architecture)
        with torch.no_grad():
            weights = self.supernet.weights_for(network)
        ready = with_statistics(weights, calibrate(network, weights, self.task.calibration_batches(*CALIBRATION)))
        return {"error": error_of(network, ready, self.task, self.task.validation_batches(BATCH))}


def drawn(table: Table, count: int, seed: int) -> dict[str, float]:
    """{code: published error} of `count` distinct networks of the table, drawn by `seed`."""
    errors, rows = table.figures["error"], table.space.all_rows
    if count > len(rows):
        raise NasError(f"{count} networks were asked for; the table has {len(rows)} distinct ones")
    chosen = sorted(np.random.default_rng(seed).choice(len(rows), size=count, replace=False).tolist())
    return {"".join(map(str, rows[i].tolist())): float(errors[i]) for i in chosen}


def recipe_for(given: argparse.Namespace, epochs: int) -> Recipe:
    """The run that trains the supernet."""
    return recipe_from(
        {
            "name": f"{given.rule}-{given.device}",
            "space": {"name": "nas_bench_macro"},
            "task": {
                "data": given.data,
                "limit": given.images,
                "validation_share": min(0.5, VALIDATION_IMAGES / given.images),
            },
            "supernet": {
                "rule": given.rule,
                "epochs": epochs,
                "batch_size": given.batch_size,
                "learning_rate": given.learning_rate,
                "seed": given.seed,
            },
            "search": {"objectives": ["error", "macs"], "workers": 1},
        },
        source="the options",
    )


def planned_epochs(given: argparse.Namespace) -> int:
    """Epochs that fit into the time beside the evaluations, as timed at the first call."""
    if given.epochs is not None:
        return int(given.epochs)
    path = given.folder / f"epochs-{given.rule}-{given.device}.json"
    known: dict[str, Any] = read_json(path, default={})
    if not known:
        recipe = recipe_for(given, 1)
        tell("timing a step and an evaluation")
        each = epoch_seconds(recipe, given.folder / "timing", device=given.device)
        evaluations = given.nets * _evaluation_seconds(recipe, given) / given.workers * SPARE
        left = 60 * given.minutes - evaluations
        known = {"epochs": max(1, int(left / each)), "epoch_seconds": each, "evaluations_seconds": evaluations}
        write_json(path, known)
        tell(f"{known['epochs']} epochs of {each:.0f} s, then {evaluations:.0f} s of evaluations")
    return int(known["epochs"])


def _evaluation_seconds(recipe: Recipe, given: argparse.Namespace) -> float:
    """Seconds of judging one network of middling size by one worker: inherited error and zero-cost scores."""
    run = fresh(given.folder / "timing", recipe, device=given.device)
    architecture = from_code("01210121")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.perf_counter()
        for evaluator in (error_evaluator(run, given), scores_evaluator(run)):
            evaluator.setup()
            evaluator.evaluate(architecture, 0)
        return time.perf_counter() - started
    finally:
        torch.set_num_threads(threads)


def error_evaluator(run: Run, given: argparse.Namespace) -> Evaluator:
    """What gives the error with the weights that the supernet of `run` has now."""
    if given.device != "cpu":
        return DeviceEvaluator(run.supernet, run.space, run.task)
    return supernet_evaluator(run.supernet, run.space, run.task, calibration=CALIBRATION, validation_batch=BATCH)


def scores_evaluator(run: Run) -> Evaluator:
    """What gives the zero-cost scores; always on the CPU."""
    images, labels = next(iter(run.task.calibration_batches(1, SCORED_IMAGES)))
    return ScoresEvaluator(run.space, Arrays.of((images.cpu(), labels.cpu())))


def judged(run: Run, codes: Sequence[str], given: argparse.Namespace, deadline: float | None) -> list[dict[str, Any]]:
    """Error and scores of those networks of `codes` that the time allows, each kept in the folder."""
    jobs = [Job(code, from_code(code), given.seed) for code in codes]
    about = {"data": run.task.fingerprint, "seed": given.seed}
    weights = {"epochs": run.recipe.supernet.epochs, "calibration": CALIBRATION}
    errors = Kept(run.path / "networks", "error", about | weights)
    scores = Kept(given.folder / "networks", "scores", about)
    here = given.workers if given.device == "cpu" else 1
    _work_off("inherited errors", lambda: error_evaluator(run, given), jobs, errors, here, deadline)
    _work_off("zero-cost scores", lambda: scores_evaluator(run), jobs, scores, given.workers, deadline)
    rows = []
    for code in codes:
        error, score = errors.get(code), scores.get(code)
        if error is not None and score is not None:
            rows.append({"code": code, **score, **error})
    return rows


def _work_off(
    title: str, make: Callable[[], Evaluator], jobs: Sequence[Job], kept: Kept, workers: int, deadline: float | None
) -> None:
    missing = kept.missing([job.key for job in jobs])
    with progress(title, len(jobs)) as step:
        step.advance(len(jobs) - len(missing))
        advance = partial(step.advance, 1.0)
        for problem in work_off(make, jobs, kept, workers=workers, deadline=deadline, advance=advance):
            tell(problem)


def report(
    rows: Sequence[Mapping[str, Any]], published: Mapping[str, float], run: Run, given: argparse.Namespace
) -> None:
    """Print the figure over the networks in `rows`."""
    truth, seed = [-published[row["code"]] for row in rows], given.seed
    names = [name for name in rows[0] if name not in ("code", "error", "seconds") and all(name in row for row in rows)]
    rivals = {name: agreement([row[name] for row in rows], truth, seed=seed).kendall.value for name in names}
    found = agreement([-row["error"] for row in rows], truth, seed=seed)
    if found.kendall.value is None:
        raise NasError("the supernet gives all networks one error: train it for longer")
    supernet = run.recipe.supernet
    where: dict[str, Detail] = {
        "rule": supernet.rule,
        "networks": len(rows),
        "seed": seed,
        "low": _four(found.kendall.low),
        "high": _four(found.kendall.high),
        "spearman": _four(found.spearman.value),
        "images": run.recipe.task.limit,
        "validation_images": len(run.task.validation_indices),
        "epochs": supernet.epochs,
        "batch_size": supernet.batch_size,
        "learning_rate": supernet.learning_rate,
        "training_seconds": round(run.folder.state()["train"]["seconds"]),
        "mean_error": round(float(np.mean([row["error"] for row in rows])), 4),
        "device": given.device,
    }
    baseline = {name: value for name, value in rivals.items() if value is not None}
    print_figure("kendall_tau", found.kendall.value, "", baseline=baseline, where=where)


def _four(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def read_published(given: argparse.Namespace) -> Table:
    """The distinct networks of the published table."""
    if given.table is None and "NAS_DATA" not in os.environ:
        raise NasError(f"give --table FILE, or set NAS_DATA to the folder that holds {TABLE}")
    path = Path(os.environ["NAS_DATA"]) / TABLE if given.table is None else given.table
    return read_table(path).table(["error"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--nets", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the draw, the training and the scores")
    parser.add_argument("--rule", default="sandwich", help="how the supernet is trained")
    parser.add_argument("--images", type=int, default=12_000, help="of CIFAR-10's training part")
    parser.add_argument("--epochs", type=int, help="without it, as many as fit")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark_nas_bench_macro"))
    parser.add_argument("--data", help="the images; without it those in the folder of NAS_DATA")
    parser.add_argument("--table", type=Path, help=f"without it {TABLE} in the folder of NAS_DATA")
    given = parser.parse_args(arguments)
    table = read_published(given)
    given.data = data_file(given.data)
    deadline = end_of(given.minutes)
    recipe = recipe_for(given, planned_epochs(given))
    run = opened(given.folder / recipe.name, recipe, device=given.device)
    if not trained(run, deadline=deadline):
        return
    published = drawn(table, given.nets, given.seed)
    rows = judged(run, list(published), given, deadline)
    if len(rows) < given.nets:
        tell(f"{len(rows)} of {given.nets} networks are judged; call again to go on")
        return
    report(rows, published, run, given)


if __name__ == "__main__":
    main()
