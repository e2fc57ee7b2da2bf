"""How far the ranking of a supernet can be trusted on real images: 30 subnets trained alone, each training rule.

    python -m benchmarks.fidelity [--rules sandwich,rare_teacher] [--images 15000] [--epochs 20] [--nets 30] [--seed 0]
        [--minutes 120] [--workers 2] [--folder runs/benchmark_fidelity] [--data FILE]

The space is that of the recipe cifar10 (`--recipe`), the images a stratified part of CIFAR-10 (JPEG), a third of it
for validation. The draw is that of `nas fidelity` with the same seed: every other network lies in one band of MACs, its
ends 1.3 apart, the others evenly over the range of MACs. Each is trained alone for as many epochs as the sandwich, by
the same schedule. Other rules get as much training time as the sandwich takes, measured on a few steps of each;
"sandwich" is the paper's, with the largest network in each step, "rare_teacher" the recipes' default. After `--minutes`
nothing more is begun; the same command goes on.

`kendall_tau` and `kendall_tau_in_band` are those of inherited against own validation accuracy, with bootstrap intervals
under `where`; the baselines are other rankers on the same networks. `ahead_of_macs` and `ahead_of_params` are
differences of tau with their intervals; `gap_closed` is the share of the gap to training alone that fine-tuning closes.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Detail, print_figure, tell
from benchmarks.supernets import end_of, epoch_seconds, opened, trained
from nas.fidelity.result import SUPERNET, Agreement, Correlation, Fidelity
from nas.fidelity.study import FidelitySettings, FidelityStudy
from nas.recipe import Recipe, load_recipe, recipe_from
from nas.run_folder import RunFolder, read_json
from search_spaces.errors import NasError
from search_spaces.files import write_json

REFERENCE = "sandwich"
WAYS: Mapping[str, Mapping[str, str | int]] = {
    REFERENCE: {"rule": "sandwich", "random_subnets": 2, "teacher_every": 1},
    "rare_teacher": {"rule": "sandwich"},
}
"""Rules that are called otherwise than in recipes, with their settings."""
VALIDATION_SHARE = 1 / 3
ARCHIVE = "cifar10_jpeg.tar.xz"


def data_file(given: str | None) -> str:
    """The archive of images: as given, else in the folder that NAS_DATA names."""
    if given is not None:
        return given
    if "NAS_DATA" not in os.environ:
        raise NasError(f"give --data FILE, or set NAS_DATA to the folder that holds {ARCHIVE}")
    return str(Path(os.environ["NAS_DATA"]) / ARCHIVE)


def recipe_for(rule: str, given: argparse.Namespace, *, epochs: int) -> Recipe:
    """A run that trains the space of the recipe `given.recipe` by `rule`."""
    return recipe_from(
        {
            "name": rule,
            "space": load_recipe(given.recipe, [f"task.data={json.dumps(given.data)}"]).space.model_dump(
                exclude_none=True
            ),
            "task": {"data": given.data, "limit": given.images, "validation_share": VALIDATION_SHARE},
            "supernet": {
                **WAYS.get(rule, {"rule": rule}),
                "epochs": epochs,
                "learning_rate": 0.2,
                "seed": given.seed,
                "precision": "fp32",
            },
            "search": {"objectives": ["error", "macs"], "workers": 1},
        },
        source="the options",
    )


def epochs_of(rule: str, given: argparse.Namespace) -> int:
    """Epochs that take as long by `rule` as those asked for by the sandwich; measured once and kept."""
    if rule == REFERENCE:
        return int(given.epochs)
    path = given.folder / "epochs.json"
    known: dict[str, int] = read_json(path, default={})
    if rule not in known:
        seconds = {}
        for name in (REFERENCE, rule):
            tell(f"timing {name}")
            recipe = recipe_for(name, given, epochs=given.epochs)
            seconds[name] = epoch_seconds(recipe, given.folder / "timing" / name)
        known[rule] = max(1, round(given.epochs * seconds[REFERENCE] / seconds[rule]))
        write_json(path, known)
    return known[rule]


def measure(recipe: Recipe, given: argparse.Namespace, deadline: float | None) -> None:
    """Train the supernet and the networks, as far as time allows, and print the figures once all are there."""
    run = opened(given.folder / recipe.name, recipe)
    if not trained(run, deadline=deadline):
        return
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) / 60
    settings = FidelitySettings(
        nets=given.nets,
        epochs=given.epochs,
        tuned=min(given.tuned, given.nets),
        workers=given.workers,
        minutes=left,
        seed=given.seed,
    )
    study = FidelityStudy(run, settings, kept=given.folder / "networks")
    for line in study.estimate():
        tell(line)
    found = study.measure()
    for note in found.notes:
        tell(note)
    if len(found.networks) == given.nets:
        print_figures(found, where_of(recipe, run.folder, found))


def where_of(recipe: Recipe, folder: RunFolder, found: Fidelity) -> dict[str, Detail]:
    """Under which circumstances `found` holds."""
    return {
        "rule": recipe.name,
        "data": recipe.task.data.rpartition("/")[2],
        "images": recipe.task.limit,
        "validation_share": round(recipe.task.validation_share, 3),
        "space": recipe.space.name,
        "networks": len(found.networks),
        "seed": found.seed,
        "in_band": found.supernet.in_band.count,
        "band_mmacs": " to ".join(f"{macs / 1e6:.3g}" for macs in found.band),
        "epochs": recipe.supernet.epochs,
        "epochs_alone": found.epochs,
        "training_seconds": round(folder.state()["train"]["seconds"]),
        "seconds_alone": round(sum(network.seconds for network in found.networks)),
        "inherited_error": round(found.inherited_error, 4),
        "alone_error": round(found.alone_error, 4),
    }


def print_figures(found: Fidelity, where: Mapping[str, Detail]) -> None:
    """One line each: tau over all networks and in the band, what it is ahead by, how far fine-tuning goes."""
    best = found.supernet
    others = [ranker for ranker in found.rankers if ranker.name != SUPERNET]
    _print_tau("kendall_tau", best.all, {ranker.name: ranker.all for ranker in others}, where)
    _print_tau("kendall_tau_in_band", best.in_band, {ranker.name: ranker.in_band for ranker in others}, where)
    for ranker in others:
        if ranker.name in ("macs", "params") and ranker.ahead.value is not None:
            in_band = {f"ahead_in_band_{end}": value for end, value in _ends(ranker.ahead_in_band).items()}
            print_figure(
                f"ahead_of_{ranker.name}",
                ranker.ahead.value,
                "",
                where={**where, **_ends(ranker.ahead), "ahead_in_band": _four(ranker.ahead_in_band.value), **in_band},
            )
    gap = found.gap
    if gap is not None and gap.closed is not None:
        tuned: dict[str, Detail] = {
            "fine_tuned": gap.networks,
            "fine_tuning_epochs": gap.epochs,
            "tuned_error": round(gap.tuned_error, 4),
            "tau_tuned": _four(gap.tuned.kendall.value),
            "tau_before": _four(gap.inherited.kendall.value),
        }
        print_figure("gap_closed", gap.closed, "share", where={**where, **tuned})


def _print_tau(name: str, own: Agreement, rivals: Mapping[str, Agreement], where: Mapping[str, Detail]) -> None:
    baseline = {rival: one.kendall.value for rival, one in rivals.items() if one.kendall.value is not None}
    tau = own.kendall.value
    if tau is not None:
        about = {**where, **_ends(own.kendall), "spearman": _four(own.spearman.value)}
        print_figure(name, tau, "", baseline=baseline, where=about)


def _ends(found: Correlation) -> dict[str, Detail]:
    return {"low": _four(found.low), "high": _four(found.high)}


def _four(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", "--rule", default=REFERENCE, help="training rules, with commas")
    parser.add_argument("--images", type=int, default=15_000, help="of CIFAR-10's training part")
    parser.add_argument("--epochs", type=int, default=20, help="of the sandwich, and of each network alone")
    parser.add_argument("--nets", type=int, default=30)
    parser.add_argument("--tuned", type=int, default=10, help="networks whose inherited weights are fine-tuned")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="after so many nothing more is begun")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark_fidelity"))
    parser.add_argument("--recipe", default="cifar10", help="whose space it is")
    parser.add_argument("--data", help=f"the images; without it {ARCHIVE} in the folder of NAS_DATA")
    given = parser.parse_args(arguments)
    deadline = end_of(given.minutes)
    given.data = data_file(given.data)
    for rule in given.rules.split(","):
        try:
            measure(recipe_for(rule, given, epochs=epochs_of(rule, given)), given, deadline)
        except NasError as error:
            tell(f"{rule}: {error}")


if __name__ == "__main__":
    main()
