"""Predicted peaks of activation memory against what ONNX Runtime's own allocator counts.

    python -m benchmarks.peak_memory --networks 24

Random networks of the catalogue's spaces. The figure is the mean error of the rule with in-place reuse; the baseline
is the project's `peak_memory_bytes`, the rule of eager PyTorch, which is meant as what a plain module needs and not
as a prediction of this runtime. Both without the network's input, which the caller of the runtime holds.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.figures import print_figure, tell
from nas.runtimes.onnxruntime import peak_memory
from predictors.counts import count_network
from predictors.holdout import accuracy
from predictors.memory import reused_peak_bytes
from search_spaces.catalog import CATALOG
from search_spaces.network import Network
from search_spaces.operators import VALUE_BYTES, elements

SIZES = (32, 64, 96)


def sampled(count: int, rng: np.random.Generator) -> list[tuple[str, Network]]:
    """`count` random networks of the catalogue's spaces in turn, (name, network)."""
    found = []
    names = list(CATALOG)
    for i in range(count):
        name, size = names[i % len(names)], SIZES[i // len(names) % len(SIZES)]
        space = CATALOG[name]((3, size, size), 10)
        found.append((f"{name} at {size}", space.build(space.sample(rng))))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rows = []
    for name, network in sampled(given.networks, np.random.default_rng(given.seed)):
        measured = peak_memory(network)
        eager = count_network(network).total["peak_memory_bytes"] - VALUE_BYTES * elements(network.input.shape)
        rows.append((measured.activation_bytes, measured.working_bytes, reused_peak_bytes(network), eager))
        tell(f"{name}: {rows[-1][0]:,} bytes, {rows[-1][1]:,} with working memory; in place {rows[-1][2]:,}")
    tensors, working, reused, eager_rule = np.array(rows, dtype=np.float64).T
    plain, in_place = accuracy(eager_rule, tensors), accuracy(reused, tensors)
    where = {
        "networks": given.networks,
        "seed": given.seed,
        "working_over_tensors": float(np.median(working / tensors)),
    }
    print_figure("mape", in_place.mape, "share", baseline={"eager rule": plain.mape}, where=where)
    if in_place.spearman is not None and plain.spearman is not None:
        print_figure("spearman", in_place.spearman, "", baseline={"eager rule": plain.spearman}, where=where)
    print_figure(
        "median_ratio",
        float(np.median(reused / tensors)),
        "",
        baseline={"eager rule": float(np.median(eager_rule / tensors))},
        where=where,
    )


if __name__ == "__main__":
    main()
