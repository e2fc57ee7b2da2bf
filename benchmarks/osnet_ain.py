"""Where instance norms stand in OSNet, learnt by gradients, and what that is worth on cameras never seen.

    python -m benchmarks.osnet_ain [--seeds 5] [--epochs 40]

Made-up people (`nas.tasks.identities`): networks train on the cameras of one domain and are asked to find other people
again in another, where the light differs from picture to picture; a second test has that domain in the light of the
first. Per seed the placement of instance norms is learnt by the rule "gumbel" on the training identities alone, the
likeliest placement and the network with batch norms only are trained from scratch with equal steps, and both are tested
on either light. `rank1`, `mean_ap`: means over seeds of the placement found, beside those of batch norms;
`where.seeds_of_5_points`: in how many seeds it is better by 0.05 or more. `instance_norms`: blocks that got one, in the
mean. `temperature`: that of the search in each sixth of its epochs.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import print_figure, tell
from nas.costs import Costs
from nas.modules import execute
from nas.supernet.alone import train_alone
from nas.supernet.choices.scores import likeliest, temperature
from nas.supernet.rules.gumbel import Gumbel
from nas.supernet.settings import TrainSettings
from nas.supernet.shapes import shared_shapes
from nas.supernet.subnets import Coded, Subnets
from nas.supernet.train import Trainer
from nas.supernet.weights import Supernet
from nas.tasks.identities import synthetic_people
from nas.tasks.reidentification import ReidentificationTask, reidentification
from nas.tasks.retrieval import Retrieval
from predictors.tables import compile_for_costs
from search_spaces.blocks.omni_scale import INSTANCE_NORMS
from search_spaces.catalog import osnet
from search_spaces.network import Network
from search_spaces.space import Architecture, SearchSpace

POINTS = 0.05
PUBLISHED = (10.0, 5.0, 2.5, 1.25, 1.0, 1.0)
"""Temperatures of the authors' log."""
CHOICE = "instance_norm"
FOUND, BATCH_NORMS = "found", "batch_norms"
SHIFTED, STEADY = "shifted", "steady"


@dataclass(frozen=True)
class Tests:
    """Rank-1 and mAP of each network on each light, and the placement that was found."""

    results: dict[tuple[str, str], Retrieval]
    placed: int


def space_for(task: ReidentificationTask, given: argparse.Namespace) -> SearchSpace:
    """OSNet with a batch norm in the stem and all four places in each block."""
    return osnet(
        task.input_shape,
        task.classes,
        width_multipliers=(given.width,),
        instance_norms=INSTANCE_NORMS,
        features=given.features,
    )


def learnt_placement(
    space: SearchSpace, task: ReidentificationTask, settings: TrainSettings, folder: Path
) -> Architecture:
    """The likeliest architecture after one training of all placements at once."""
    compiled = compile_for_costs(space)
    tables = Costs().tables(compiled)
    rows = [tables.extreme(largest=most) for most in (True, False)]
    largest, smallest = (space.build(compiled.decode(row)) for row in rows)

    def draw(rng: np.random.Generator) -> Network:
        return space.build(compiled.decode(compiled.sample(rng, 1)[0]))

    subnets = Subnets(largest, smallest, largest, draw, Coded.of(tables, largest=rows[0]))
    supernet = Supernet(shared_shapes(compiled.weight_uses), seed=settings.seed)
    trainer = Trainer(supernet, subnets, task, settings, folder)
    trainer.run(advance=lambda _steps, _note: None)
    assert isinstance(trainer.rule, Gumbel)
    return compiled.decode(likeliest(compiled, rows[0], trainer.rule.likely))


def tested(
    network: Network, tasks: dict[str, ReidentificationTask], settings: TrainSettings, *, seed: int
) -> dict[str, Retrieval]:
    """Train `network` from scratch, once, and test it on each light."""
    weights = train_alone(network, tasks[SHIFTED], settings, seed=seed)

    def embed(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return execute(network, weights, images)["embedding"]

    return {light: task.retrieval(embed) for light, task in tasks.items()}


def one_seed(seed: int, given: argparse.Namespace) -> Tests:
    """Search, train and test with one seed of people, weights and order."""
    tasks = {
        light: reidentification(
            synthetic_people(seed=seed, shift=light == SHIFTED, trained=given.trained, tested=given.tested), seed=seed
        )
        for light in (SHIFTED, STEADY)
    }
    task = tasks[SHIFTED]
    settings = TrainSettings(
        epochs=given.epochs,
        batch_size=given.batch_size,
        learning_rate=given.learning_rate,
        weight_decay=5e-4,
        warmup_epochs=min(5.0, given.epochs / 8),
        seed=seed,
        precision="fp32",
    )
    space = space_for(task, given)
    search = replace(settings, rule="gumbel", relaxed=(CHOICE,), random_subnets=0)
    with tempfile.TemporaryDirectory() as folder:
        found = learnt_placement(space, task, search, Path(folder))
    tell(f"seed {seed}: {found.to_json()}")
    plain = space.repair({name: "none" for name in found.values if name.endswith(CHOICE)})
    results = {}
    for name, architecture in ((FOUND, found), (BATCH_NORMS, plain)):
        for light, result in tested(space.build(architecture), tasks, settings, seed=seed).items():
            results[name, light] = result
            tell(f"seed {seed}, {name}, {light}: Rank-1 {result.rank1:.3f}, mAP {result.mean_ap:.3f}")
    placed = sum(value != "none" for name, value in found.values.items() if name.endswith(CHOICE))
    return Tests(results, placed)


def report(found: Sequence[Tests], given: argparse.Namespace) -> None:
    """Print the figures over all seeds."""
    for light in (SHIFTED, STEADY):
        for figure in ("rank1", "mean_ap"):
            ours, theirs = (
                [float(getattr(one.results[name, light], figure)) for one in found] for name in (FOUND, BATCH_NORMS)
            )
            gains = [own - other for own, other in zip(ours, theirs, strict=True)]
            print_figure(
                figure,
                statistics.fmean(ours),
                "share",
                baseline={BATCH_NORMS: statistics.fmean(theirs)},
                where={
                    "light": light,
                    "seeds": len(found),
                    "seeds_of_5_points": sum(gain >= POINTS for gain in gains),
                    "lowest_gain": round(min(gains), 6),
                    "highest_gain": round(max(gains), 6),
                    "epochs": given.epochs,
                },
            )
    placed = [one.placed for one in found]
    where = {"seeds": len(found), "fewest": min(placed), "most": max(placed), "blocks": 6}
    print_figure("instance_norms", statistics.fmean(placed), "blocks", where=where)
    for phase, published in enumerate(PUBLISHED):
        heat = temperature(phase / len(PUBLISHED))
        print_figure("temperature", heat, "", baseline={"published": published}, where={"sixth": phase + 1})


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, train, test, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40, help="of the search, and of each training")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--trained", type=int, default=60, help="identities to train and validate on")
    parser.add_argument("--tested", type=int, default=40)
    given = parser.parse_args(arguments)
    started = time.monotonic()
    report([one_seed(seed, given) for seed in range(given.seeds)], given)
    print_figure("seconds", time.monotonic() - started, "s", where={"seeds": given.seeds, "epochs": given.epochs})


if __name__ == "__main__":
    main()
