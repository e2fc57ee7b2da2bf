"""How well the learned latency model predicts networks measured end to end on this machine.

    python -m benchmarks.device_latency --minutes 15 --networks 200

Profiles the `mobile` space, then measures fresh random networks of it, none used in fitting, and compares with a
straight line over MACs, a scaled roofline, and a random forest over kernels that sees neither group size nor
dilation (in nn-Meter's manner), all fitted on the same rows. Then the same, reported apart, on networks whose group
sizes and dilations a second profile of `--unseen-minutes` never met (`where.fresh` says "unseen options"). Networks
that were disturbed whenever they were measured count too; the figures without them follow under a name of their own.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.figures import print_figure
from nas.console import progress
from nas.runtimes.base import Setting
from nas.runtimes.meter import meter_for
from nas.runtimes.profile import profile
from predictors.holdout import Accuracy, accuracy, macs_alone
from predictors.kernels import Kernel, kernels
from predictors.latency import MeasuredLatency, network_latency_ms
from predictors.roofline import Roofline
from predictors.target import Target, load_target
from search_spaces import Network, SearchSpace
from search_spaces.catalog.mobile import mobile

Floats = npt.NDArray[np.float64]
FIGURES = ("within_10_percent", "median_error", "spearman")
ROUNDS = 6
UNITS = {"within_10_percent": "share", "median_error": "share", "spearman": ""}
SEEN_GROUP_SIZES, UNSEEN_GROUP_SIZES = (1, 8), (2, 4)
SEEN_DILATIONS, UNSEEN_DILATIONS = (1,), (2,)


@dataclass(frozen=True)
class Sample:
    """Fresh networks with what was measured of them, [n] ms, and which were undisturbed at some time, [n]."""

    networks: tuple[Network, ...]
    measured_ms: Floats
    undisturbed: npt.NDArray[np.bool_]

    def without_disturbed(self) -> "Sample":
        """The networks that were undisturbed."""
        kept = np.flatnonzero(self.undisturbed)
        return Sample(tuple(self.networks[i] for i in kept), self.measured_ms[kept], self.undisturbed[kept])


def fresh_networks(space: SearchSpace, count: int, target: Target, rng: np.random.Generator) -> list[Network]:
    """`count` random networks of `space` whose kernels' list none of the target's networks has."""
    known = {tuple(target.kernels[i] for i in row.kernels) for row in target.networks}
    found: list[Network] = []
    while len(found) < count:
        network = space.build(space.sample(rng))
        if tuple(kernel.dense for kernel in kernels(network)) not in known:
            found.append(network)
    return found


def measure(networks: Sequence[Network], target: Target, *, seconds: float) -> Sample:
    """Measure `networks` as the target was, disturbed ones again in further rounds."""
    meter = meter_for(target)
    with progress("measuring fresh networks", len(networks)) as step:
        found = meter.latencies(networks, seconds=seconds, rounds=ROUNDS, step=step)
    undisturbed = np.array([meter.doubt(one) == 0 for one in found])
    return Sample(tuple(networks), np.array([one.median_ms for one in found]), undisturbed)


def rows_of(networks: Sequence[Network]) -> list[MeasuredLatency]:
    """The networks as rows without times, for predictors that read kernels only."""
    return [MeasuredLatency(kernels(network), (), 1.0) for network in networks]


def scaled(fitted: Sequence[MeasuredLatency], sums: Floats, fresh: Floats) -> Floats:
    """Predictions from sums over kernels, with an intercept and a factor fitted to relative errors."""
    from scipy.optimize import nnls

    latency = np.array([network.latency_ms for network in fitted])
    line, _ = nnls(np.column_stack([np.ones(len(sums)), sums]) / latency[:, None], np.ones(len(sums)))
    return np.asarray(line[0] + line[1] * fresh)


def roofline(fitted: Sequence[MeasuredLatency], fresh: Sequence[MeasuredLatency]) -> Floats:
    """The roofline with peak and bandwidth as seen in the fastest kernels, scaled to the networks."""
    rows = [(k, ms) for row in fitted for k, ms in zip(row.kernels, row.kernel_ms, strict=True)]
    model = Roofline.seen_in([k for k, _ in rows], [ms for _, ms in rows])
    assert model is not None
    sums, new = (np.array([model.predict_ms(row.kernels).sum() for row in some]) for some in (fitted, fresh))
    return scaled(fitted, sums, new)


def forest(fitted: Sequence[MeasuredLatency], fresh: Sequence[MeasuredLatency]) -> Floats:
    """A random forest per kind of kernel over size, channels, window, stride and MACs."""
    from sklearn.ensemble import RandomForestRegressor

    def features(some: Sequence[Kernel]) -> Floats:
        return np.array(
            [
                (k.in_shape[-1], k.in_shape[0], k.out_shape[0], max(k.window, default=0), max(k.stride, default=1))
                for k in some
            ],
            dtype=np.float64,
        )

    def sums(some: Sequence[MeasuredLatency]) -> Floats:
        parts = [kernel for row in some for kernel in row.kernels]
        owner = np.array([i for i, row in enumerate(some) for _ in row.kernels])
        total = np.zeros(len(some))
        for kind, model in models.items():
            places = [i for i, kernel in enumerate(parts) if kernel.kind == kind]
            if places:
                np.add.at(total, owner[places], model.predict(features([parts[i] for i in places])))
        return total

    rows = [(k, ms) for row in fitted for k, ms in zip(row.kernels, row.kernel_ms, strict=True)]
    models = {}
    for kind in sorted({kernel.kind for kernel, _ in rows}):
        chosen = [(kernel, ms) for kernel, ms in rows if kernel.kind == kind]
        model = RandomForestRegressor(100, min_samples_leaf=2, random_state=0)
        models[kind] = model.fit(features([k for k, _ in chosen]), np.array([ms for _, ms in chosen]))
    return scaled(fitted, sums(fitted), sums(fresh))


def compare(target: Target, sample: Sample) -> dict[str, Accuracy]:
    """Accuracy of the learned model and of each baseline on the sample."""
    fitted, fresh = target.fitted, rows_of(sample.networks)
    learned = np.array([network_latency_ms(target.latency, network) for network in sample.networks])
    predictions = {
        "learned": learned,
        "macs": macs_alone(fitted, fresh),
        "roofline": roofline(fitted, fresh),
        "forest without group size and dilation": forest(fitted, fresh),
    }
    return {name: accuracy(found, sample.measured_ms) for name, found in predictions.items()}


def profiled(space: SearchSpace, given: argparse.Namespace, *, minutes: float) -> Target:
    """This machine, measured for `space`."""
    with progress("profiling", 60 * minutes) as step:
        setting, rng = Setting(threads=given.threads), np.random.default_rng(given.seed)
        return profile([space], runtime=given.runtime, setting=setting, minutes=minutes, rng=rng, step=step)


def report(target: Target, space: SearchSpace, given: argparse.Namespace, *, fresh: str) -> None:
    """Measure fresh networks of `space` and print how well `target` and the baselines foretold them."""
    networks = fresh_networks(space, given.networks, target, np.random.default_rng([given.seed, 1]))
    sample = measure(networks, target, seconds=given.seconds)
    show(target, sample, fresh)
    if sample.undisturbed.any() and not sample.undisturbed.all():
        show(target, sample.without_disturbed(), f"{fresh}, undisturbed only")


def show(target: Target, sample: Sample, fresh: str) -> None:
    """Print how well `target` and the baselines foretold `sample`."""
    found = compare(target, sample)
    for figure in FIGURES:
        print_figure(
            figure,
            getattr(found["learned"], figure),
            UNITS[figure],
            baseline={name: getattr(one, figure) for name, one in found.items() if name != "learned"},
            where={
                "fresh": fresh,
                "networks": len(sample.networks),
                "undisturbed": int(sample.undisturbed.sum()),
                "fitted_on": len(target.fitted),
                "device": target.identity.device_name,
                "software": target.identity.software,
                "slowdown": target.slowdown,
            },
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Profile, measure fresh networks, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0, help="time budget of the profile")
    parser.add_argument("--unseen-minutes", type=float, default=5.0, help="of the one that lacks options; 0: without")
    parser.add_argument("--networks", type=int, default=200, help="fresh networks measured end to end")
    parser.add_argument("--seconds", type=float, default=0.3, help="measuring time of each")
    parser.add_argument("--size", type=int, default=32, help="height and width of the input")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", help="take this target file instead of profiling")
    parser.add_argument("--save", type=Path, help="keep the target file here")
    given = parser.parse_args(arguments)
    shape = (3, given.size, given.size)
    space = mobile(shape, 10)
    target = load_target(given.target) if given.target else profiled(space, given, minutes=given.minutes)
    if given.save:
        target.save(given.save)
    report(target, space, given, fresh="random")
    if given.unseen_minutes:
        seen = mobile(shape, 10, group_sizes=SEEN_GROUP_SIZES, dilations=SEEN_DILATIONS)
        unseen = mobile(shape, 10, group_sizes=UNSEEN_GROUP_SIZES, dilations=UNSEEN_DILATIONS)
        report(profiled(seen, given, minutes=given.unseen_minutes), unseen, given, fresh="unseen options")


if __name__ == "__main__":
    main()
