"""The hold-out report of a target as a person reads it."""

from rich.console import Console
from rich.table import Table

from predictors.holdout import Accuracy, HoldoutReport
from predictors.learning import LearningCurve
from predictors.target import Target

BUSY = 1.2
FEW_HELD_OUT = 10


def print_report(target: Target, *, console: Console | None = None) -> None:
    """Print how well the target's model predicts networks that it was not fitted on."""
    out = console or Console(stderr=True)
    report = target.report
    if report is None:
        out.print(f"{target.name}: no network was held out, so nothing is known of the model's errors")
        return
    table = Table(title=f"{target.name}: {target.identity.software} on {target.identity.device_name}")
    table.add_column("held out", no_wrap=True)
    for heading in ("count", "median error", "MAPE", "in 5 %", "in 10 %", "rank"):
        table.add_column(heading, justify="right")
    whole = "kernels" if target.of_kernels else "networks"
    _row(table, whole, report.networks)
    _row(table, "from MACs alone", report.macs_alone)
    for name, found in splits(report):
        _row(table, name, found)
    out.print(table)
    for line in (*prospects(target.learning), *warnings(target)):
        out.print(line)


def splits(report: HoldoutReport) -> tuple[tuple[str, Accuracy], ...]:
    """The accuracy split by class, window, group size, dilation and sparsity; of networks with such kernels where
    kernels were not timed."""
    if report.kernels:
        return tuple((f"kernels: {name}", found) for name, found in report.kernels)
    return tuple((f"networks with {name}", found) for name, found in report.networks_with)


def prospects(curve: LearningCurve | None) -> list[str]:
    """What measuring more would bring, in a sentence; none where too few networks were measured to tell."""
    if curve is None:
        return []
    networks, error = curve.points[-1]
    now = f"{100 * error:.1f} % mean error after {networks} networks"
    if curve.at_scatter and curve.scatter is not None:
        return [
            f"The noise floor is reached: {now}, and repetitions of one network spread by {100 * curve.scatter:.1f} % "
            "themselves. More measurements would hardly help."
        ]
    if curve.further_to_halve is None:
        return [
            f"More measurements would not halve the error: {now}, and it levels off near {100 * curve.floor:.1f} %."
        ]
    return [f"About {curve.further_to_halve} more measurements would halve the error: {now}."]


def warnings(target: Target) -> list[str]:
    """What to know before trusting the target."""
    found: list[str] = []
    if target.slowdown is not None and target.slowdown > BUSY:
        found.append(
            f"The machine was busy: it ran {100 * (target.slowdown - 1):.0f} % slower than in its quiet moments. "
            "Quiet moments were taken; measure again when nothing else runs to be surer."
        )
    if target.report is not None and target.report.networks.count < FEW_HELD_OUT:
        found.append(f"Only {target.report.networks.count} networks were held out; more measurements would tell more.")
    if target.of_kernels:
        found.append("Made from single kernels: how they add up in a network was not measured.")
    return found


def _row(table: Table, name: str, found: Accuracy) -> None:
    rank = "-" if found.spearman is None else f"{found.spearman:.3f}"
    shares = (found.median_error, found.mape, found.within_5_percent, found.within_10_percent)
    table.add_row(name, str(found.count), *(f"{100 * share:.1f} %" for share in shares), rank)
