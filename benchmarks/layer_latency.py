"""How well the time of single layers is learned from published tables of measured convolutions.

    python -m benchmarks.layer_latency --data v100_conv_data.out.xz

Splits hold out a random fifth, and whole configurations: kernel 7, batch 128, sizes above 200. On each, the learned
model is compared with plain gradient boosting over the table's own columns, with boosting over tile features, and
with the non-negative sum of work that the learned model starts from, all fitted on the same rows.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.figures import print_figure, tell
from benchmarks.layer_tables import LayerTable, read_layers
from predictors.holdout import accuracy
from predictors.kernel_features import Floats, kernel_class, kernel_table
from predictors.kernel_model import Trees, boosted
from predictors.layer_model import ROWS_PER_TREE, MeasuredLayers, fit_layer_model
from predictors.tiles import Tiling, fit_law, tile_features
from search_spaces.errors import NasError

Mask = npt.NDArray[np.bool_]
RANDOM = "random fifth"
CONFIGURATIONS: dict[str, Callable[[LayerTable], Mask]] = {
    "kernel 7": lambda table: table.column("K") == 7,
    "batch 128": lambda table: table.column("B") == 128,
    "size above 200": lambda table: table.column("H") > 200,
}
SPLITS = (RANDOM, *CONFIGURATIONS)
LEAST_ROWS = 100
CONFIDENCE = 0.9
PLAIN = Trees(iterations=1000, rate=0.1, leaves=63, least_rows=20)


@dataclass(frozen=True)
class Outcome:
    """Milliseconds of the held-out layers as every way predicts them, and how long fitting took.

    low, high: the learned model's interval at `CONFIDENCE`.
    """

    predicted: dict[str, Floats]
    low: Floats
    high: Floats
    seconds: dict[str, float]


def held_out(table: LayerTable, split: str, *, seed: int) -> Mask:
    """Which layers `split`, one of `SPLITS`, keeps for testing, [n_layers]; `seed` is that of the random fifth."""
    if split == RANDOM:
        count = len(table.raw)
        return np.random.default_rng(seed).permutation(count) < count // 5
    return np.asarray(CONFIGURATIONS[split](table))


def taken(layers: MeasuredLayers, mask: Mask) -> MeasuredLayers:
    """The layers where `mask` [n_layers] says so."""
    kernels = tuple(kernel for kernel, take in zip(layers.kernels, mask, strict=True) if take)
    return MeasuredLayers(kernels, layers.batch[mask], layers.ms[mask])


def compare(table: LayerTable, held: Mask, tiling: Tiling) -> Outcome:
    """Fit every way on the layers outside `held` [n_layers] and predict those inside."""
    fitted, asked = taken(table.layers, ~held), taken(table.layers, held)
    tables = [kernel_table(some.kernels, batch=some.batch) for some in (fitted, asked)]
    classes = [np.array([kernel_class(kernel) for kernel in some.kernels]) for some in (fitted, asked)]
    seconds: dict[str, float] = {}
    predicted: dict[str, Floats] = {}

    start = time.perf_counter()
    model = fit_layer_model(fitted, tiling=tiling)
    seconds["learned"] = time.perf_counter() - start
    found = model.predict(asked.kernels, batch=asked.batch)
    predicted["learned"] = found.ms
    law = fit_law(tables[0], classes[0], fitted.ms, tiling)
    predicted["sum of work"] = law.predict_ms(tables[1], classes[1])
    ways = {
        "plain boosting": (table.raw[~held].astype(np.float64), table.raw[held].astype(np.float64)),
        "boosting over tile features": (tile_features(tables[0], tiling), tile_features(tables[1], tiling)),
    }
    plain = replace(PLAIN, iterations=min(PLAIN.iterations, len(fitted.ms) // ROWS_PER_TREE))
    for name, (known, new) in ways.items():
        start = time.perf_counter()
        trees = boosted(known, np.log(fitted.ms), trees=plain, threads=None)
        seconds[name] = time.perf_counter() - start
        predicted[name] = np.exp(trees.predict(new))
    return Outcome(predicted, *model.interval(found, confidence=CONFIDENCE), seconds)


def report(table: LayerTable, held: Mask, outcome: Outcome, where: dict[str, str | int]) -> None:
    """Print the figures of one split."""
    asked = taken(table.layers, held)
    found = {name: accuracy(guess, asked.ms) for name, guess in outcome.predicted.items()}
    others = [name for name in found if name != "learned"]
    for figure in ("mape", "within_10_percent"):
        baseline = {name: getattr(found[name], figure) for name in others}
        print_figure(figure, getattr(found["learned"], figure), "share", baseline=baseline, where=where)
    covered = float(((outcome.low <= asked.ms) & (asked.ms <= outcome.high)).mean())
    known = bool((outcome.low > 0).all())
    half_width = round(float(np.median(np.sqrt(outcome.high / outcome.low) - 1)), 4) if known else None
    about = {**where, "confidence": CONFIDENCE, "median_half_width": half_width}
    print_figure("interval_coverage", covered, "share", where=about)
    slower = {name: outcome.seconds[name] for name in others if name in outcome.seconds}
    print_figure("fit_seconds", outcome.seconds["learned"], "s", baseline=slower, where=where)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, split, fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="lines of {Type,B,Cin,H,W,Cout,K,S,fused} ms, xz or not"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random fifth")
    parser.add_argument("--split", choices=SPLITS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--units", type=int, default=Tiling().units, help="processors of the device that was measured")
    given = parser.parse_args(arguments)
    if given.units < 1:
        raise NasError(f"--units is {given.units}: a device has at least 1 processor")
    table = read_layers(given.data)
    count = len(table.raw)
    if count < LEAST_ROWS:
        raise NasError(f"{given.data} has {count} measured layers: at least {LEAST_ROWS} are needed")
    tell(f"{count} layers, {table.failed} that failed left out")
    for split in given.split or SPLITS:
        held = held_out(table, split, seed=given.seed)
        if not held.any() or held.all():
            tell(f"{split}: left out, {'no layer' if not held.any() else 'every layer'} is of this kind")
            continue
        tell(f"{split}: fitting {(~held).sum()} layers, testing {held.sum()}")
        outcome = compare(table, held, Tiling(units=given.units))
        where = {
            "split": split,
            "data": given.data.name,
            "seed": given.seed,
            "fitted": int((~held).sum()),
            "tested": int(held.sum()),
        }
        report(table, held, outcome, where)


if __name__ == "__main__":
    try:
        main()
    except NasError as error:
        sys.exit(f"error: {error}")
