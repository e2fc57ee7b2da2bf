"""Whether architectures found under a latency limit keep it when they are measured again.

    python -m benchmarks.limits_hold --minutes 8 --networks 50

Profiles the `mobile` space, searches it twice under a limit on latency, with `search.confidence` and without, and
measures up to 50 architectures of each front once more, in turn. The errors are a formula of depth, width and work:
nothing is trained, but small errors cost time, so the front crowds at the limit as real ones do.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import nas
from benchmarks.figures import print_figure, tell
from nas.console import progress
from nas.runtimes.base import Setting
from nas.runtimes.meter import meter_for
from nas.runtimes.profile import profile
from predictors.counts import count_network
from predictors.target import Target, load_target
from search_spaces import Architecture, SearchSpace
from search_spaces.catalog.mobile import mobile

Floats = npt.NDArray[np.float64]
SLOWEST_SHARE = 0.1


class Formula:
    """An error without training: falls with multiply-adds, kept parameters and depth, each less than the last."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """{"error": share}."""
        network = self.space.build(architecture)
        total = count_network(network).total
        worth = np.log2(total["macs"]) + np.log2(total["nonzero_params"]) + 0.5 * np.log2(len(network.nodes))
        return {"error": float(2.0 ** (-worth / 12))}


def found_under(
    space: SearchSpace, target: Path, limit: float, given: argparse.Namespace, *, confidence: float, root: Path
) -> nas.Run:
    """The search at one confidence."""
    tell(f"searching under {limit:.4g} ms at confidence {confidence:g}")
    return nas.run(
        space,
        objectives=("error", "weight_bytes"),
        limits={"latency_ms": limit},
        evaluate=Formula(space),
        target=str(target),
        search={
            "evaluations": given.evaluations,
            "random_evaluations": 0,
            "workers": 1,
            "lag": 0,
            "confidence": confidence,
            "seed": given.seed,
        },
        export={"top": 0},
        name=f"confidence-{confidence:g}",
        root=root,
    )


def measured_again(runs: Sequence[nas.Run], target: Target, *, networks: int, seconds: float) -> list[Floats]:
    """Milliseconds of up to `networks` members of each front, spread evenly along it; the fronts take turns."""
    meter = meter_for(target)
    rows = [[entry["picks"] for entry in run.front] for run in runs]
    chosen = [[of[i] for i in np.unique(np.linspace(0, len(of) - 1, networks).round().astype(int))] for of in rows]
    turns = sorted((i, turn) for turn, of in enumerate(chosen) for i in range(len(of)))
    built = [runs[turn].network(Architecture.of(chosen[turn][i])) for i, turn in turns]
    with progress("measuring again", len(built)) as step:
        found = meter.latencies(built, seconds=seconds, step=step)
    taken = np.array([one.median_ms for one in found])
    return [taken[[of == turn for _, of in turns]] for turn in range(len(runs))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Profile, search with and without a margin, measure again, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="time budget of the profile")
    parser.add_argument("--target", type=Path, help="take this target file of this machine instead of profiling")
    parser.add_argument("--networks", type=int, default=50, help="members of the front measured again")
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--quantile", type=float, default=0.4, help="limit: this quantile of random networks' latency")
    parser.add_argument("--seconds", type=float, default=0.3, help="measuring time of each")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    space = mobile((3, 32, 32), 10)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if given.target:
            target = load_target(given.target)
        else:
            with progress("profiling", 60 * given.minutes) as step:
                rng = np.random.default_rng(given.seed)
                target = profile(
                    [space], runtime="onnxruntime", setting=Setting(), minutes=given.minutes, rng=rng, step=step
                )
        target.save(root / "target.json")
        limit = float(np.quantile([row.latency_ms for row in target.held_out], given.quantile))
        runs = [
            found_under(space, root / "target.json", limit, given, confidence=confidence, root=root)
            for confidence in (given.confidence, 0.0)
        ]
        with_margin, without = measured_again(runs, target, networks=given.networks, seconds=given.seconds)
    where = {
        "confidence": given.confidence,
        "limit_ms": limit,
        "networks": len(with_margin),
        "networks_without": len(without),
        "slowdown": target.slowdown,
    }

    def of_limit(taken: Floats) -> float:
        slowest = np.sort(taken)[-max(1, round(SLOWEST_SHARE * len(taken))) :]
        return float(np.median(slowest)) / limit

    shares = [float((taken <= limit).mean()) for taken in (with_margin, without)]
    print_figure("share_met", shares[0], "share", baseline={"without margin": shares[1]}, where=where)
    print_figure(
        "median_of_limit", of_limit(with_margin), "share", baseline={"without margin": of_limit(without)}, where=where
    )


if __name__ == "__main__":
    main()
