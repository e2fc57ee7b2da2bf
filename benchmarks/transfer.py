"""How well a new device is known after ten measurements, by what is known of other devices.

    python -m benchmarks.transfer --data help_fbnet_dev.npz [--targets FILE] [--measurements 10] [--seeds 10]

One family of devices after the other is taken for new; devices of the same family are not known. The architectures to
measure are random, or chosen from the known devices' columns among 1,000 random ones. Ridge regression on the other
devices' columns, fitted to the same measurements, is the baseline. Phones that report whole milliseconds and columns
that are sums of a table (found by their being exactly that) are told apart from devices measured end to end.
`--targets` names a file of new devices with the same architectures; then they are told both with their own family
among the known devices and without. Files of FBNet's and of OFA's space are read.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.device_files import Devices, read_devices
from benchmarks.figures import Detail, print_figure, tell
from predictors.holdout import Accuracy, accuracy
from predictors.kernel_features import Floats
from predictors.known_devices import KnownDevices, choose_architectures
from predictors.transfer import Rehearsal, fit_transfer, rehearse
from search_spaces.errors import NasError

ON_OFFER = 1000
CONFIDENCES = (0.8, 0.9, 0.95)
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """One new device after some measurements: accuracy on all other architectures, and shares inside intervals."""

    learned: Accuracy
    ridge: Accuracy
    covered: tuple[float, ...]


def ridge(known: KnownDevices, rows: Rows, latency_ms: Floats) -> Floats:
    """What ridge regression (strength 1) on the other devices' standardised log columns says of the pool, in ms."""
    from sklearn.linear_model import Ridge

    logs = np.log(known.figures)
    columns = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    return np.asarray(np.exp(Ridge(alpha=1.0).fit(columns[rows], np.log(latency_ms)).predict(columns)))


def trial(known: KnownDevices, rehearsal: Rehearsal, rows: Rows, latency_ms: Floats) -> Trial:
    """Measure `rows` of the new device's `latency_ms`, predict the rest."""
    model = fit_transfer(known, rows, latency_ms[rows], rehearsal=rehearsal)
    rest = np.delete(np.arange(len(latency_ms)), rows)
    guess, truth = model.predict(known.figures, known.amounts)[rest], latency_ms[rest]
    covered = []
    for confidence in CONFIDENCES:
        low, high = model.interval(1.0, confidence=confidence) or (0.0, np.inf)
        covered.append(float(((truth >= low * guess) & (truth <= high * guess)).mean()))
    plain = ridge(known, rows, latency_ms[rows])[rest]
    return Trial(accuracy(guess, truth), accuracy(plain, truth), tuple(covered))


def trials(known: KnownDevices, new: Floats, *, measurements: int, seeds: int, chosen: bool) -> list[list[Trial]]:
    """Trials of each new device (column of `new`), one a seed."""
    rehearsal = rehearse(known, measurements, chosen=chosen)
    found: list[list[Trial]] = [[] for _ in new.T]
    for seed in range(seeds):
        offer = np.random.default_rng(seed).permutation(len(new))[:ON_OFFER]
        rows = choose_architectures(known, measurements, among=offer) if chosen else offer[:measurements]
        for device, column in enumerate(new.T):
            found[device].append(trial(known, rehearsal, rows, column))
    return found


def mean(trials: Sequence[Trial], predictor: str, figure: str) -> float:
    """Mean over trials of one figure of "learned" or "ridge"; no rank correlation counts as 0."""
    return float(np.mean([getattr(getattr(one, predictor), figure) or 0.0 for one in trials]))


def tell_kind(devices: Sequence[list[Trial]], at_random: Sequence[list[Trial]], where: dict[str, Detail]) -> None:
    """Print the mean figures of devices of one kind, beside ridge there and at random architectures."""
    for name, figure, unit in (
        ("mean_spearman", "spearman", ""),
        ("mean_within_10_percent", "within_10_percent", "share"),
    ):
        per_device = [mean(found, "learned", figure) for found in devices]
        baseline = {
            "ridge": float(np.mean([mean(found, "ridge", figure) for found in devices])),
            "ridge, random architectures": float(np.mean([mean(found, "ridge", figure) for found in at_random])),
        }
        details: dict[str, Detail] = {**where, "lowest_device": round(min(per_device), 4)}
        print_figure(name, float(np.mean(per_device)), unit, baseline=baseline, where=details)
    for i, confidence in enumerate(CONFIDENCES):
        covered = [float(np.mean([one.covered[i] for one in found])) for found in devices]
        details = {**where, "confidence": confidence, "lowest_device": round(min(covered), 4)}
        print_figure("coverage", float(np.mean(covered)), "share", where=details)


def run(data: Devices, new: Devices, *, measurements: int, seeds: int, leave_families: bool) -> None:
    """Take each of the devices of `new` for new, without the devices of its family or with them; print the figures."""
    groups = new.families if leave_families else new.names
    where: dict[str, Detail] = {"measurements": measurements, "seeds": seeds}
    where["own_family"] = "left out" if leave_families else "known"
    at_random: dict[int, list[Trial]] = {}
    for chosen in (False, True):
        where["architectures"] = "chosen" if chosen else "random"
        found: dict[int, list[Trial]] = {}
        for group in sorted(set(groups)):
            members = [i for i, name in enumerate(groups) if name == group]
            known = data.known(family=group) if leave_families else data.known(device=group)
            tell(f"{where['architectures']} architectures, {group} new, {len(known.families)} devices known")
            columns = new.latency_ms[:, members]
            many = trials(known, columns, measurements=measurements, seeds=seeds, chosen=chosen)
            found |= dict(zip(members, many, strict=True))
        at_random = at_random or found
        for i, device in enumerate(new.names):
            baseline = {"ridge": mean(found[i], "ridge", "spearman")}
            details = {**where, "device": device, "family": new.families[i]}
            print_figure("spearman", mean(found[i], "learned", "spearman"), "", baseline=baseline, where=details)
        for kind in sorted(set(new.kinds)):
            alike = [i for i, name in enumerate(new.kinds) if name == kind]
            details = {**where, "devices": kind, "number": len(alike)}
            tell_kind([found[i] for i in alike], [at_random[i] for i in alike], details)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="file of known devices")
    parser.add_argument("--targets", type=Path, help="file of new devices over the same architectures")
    parser.add_argument("--measurements", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args(arguments)
    try:
        data = read_devices(given.data)
        new = read_devices(given.targets, like=data) if given.targets else data
        for leave_families in (True, False) if given.targets else (True,):
            run(data, new, measurements=given.measurements, seeds=given.seeds, leave_families=leave_families)
    except NasError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
