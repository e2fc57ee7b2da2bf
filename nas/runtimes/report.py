"""The hold-out report of a target as a person reads it."""

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from predictors.holdout import Accuracy, HoldoutReport
from predictors.learning import LearningCurve
from predictors.target import Speedup, Target

BUSY = 1.2
FEW_HELD_OUT = 10
TOLD = 0.9
HEADINGS = ("count", "median", "MAPE", "in 5 %", "in 10 %", "rank")


def print_report(target: Target, *, console: Console | None = None) -> None:
    """Print how well the target's model predicts networks that it was not fitted on."""
    out = console or Console(stderr=True)
    report = target.report
    if target.transfer is not None:
        for line in (transfer_text(target), *warnings(target)):
            out.print(line)
        return
    if report is None:
        out.print(f"{target.name}: no network was held out, so nothing is known of the model's errors")
        return
    title = f"{target.name}: {target.identity.software} on {target.identity.device_name}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("held out", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("kernels" if target.of_kernels else "networks", *cells(report.networks))
    table.add_row("from MACs alone", *cells(report.macs_alone))
    if target.energy_report is not None:
        table.add_row("energy", *cells(target.energy_report))
    heading, groups = splits(report)
    table.add_section()
    table.add_row(heading)
    for name, found in groups:
        table.add_row(f"  {name}", *cells(found))
    out.print(table)
    for line in (*prospects(target.learning), *warnings(target)):
        out.print(line)


def transfer_text(target: Target) -> str:
    """What a target that is known through other devices rests on, and how far it can be trusted, in words."""
    assert target.transfer is not None
    names = ", ".join(known.name for known in target.transfer.known)
    text = f"{target.name}: {len(target.networks)} networks measured, all else inferred from {names}."
    ends = target.latency.interval(1.0, confidence=TOLD)
    if ends is None:
        return text
    between = f"{ends[0]:.2f} to {ends[1]:.2f} times the prediction"
    return f"{text} On devices like those {TOLD:.0%} of networks took {between}."


def splits(report: HoldoutReport) -> tuple[str, tuple[tuple[str, Accuracy], ...]]:
    """What is split by class, window, group size, dilation and sparsity, and the (group, accuracy) of each.

    These are kernels; networks with such kernels where kernels were not timed.
    """
    return ("their kernels", report.kernels) if report.kernels else ("networks with", report.networks_with)


def cells(found: Accuracy) -> tuple[str, ...]:
    """An accuracy as texts under `HEADINGS`."""
    rank = "-" if found.spearman is None else f"{found.spearman:.3f}"
    shares = (found.median_error, found.mape, found.within_5_percent, found.within_10_percent)
    return (str(found.count), *(f"{100 * share:.1f} %" for share in shares), rank)


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
    if target.sparsity_speedup:
        found.append(sparsity_text(target.sparsity_speedup))
    return [*found, *target.remarks]


def sparsity_text(found: Mapping[str, Speedup]) -> str:
    """One sentence on what the speed-ups with zeros in weights say."""
    shown = ", ".join(
        f"{_pattern(name)} {one.ratio:.2f}x ({one.low:.2f} to {one.high:.2f})" for name, one in found.items()
    )
    faster = [_pattern(name) for name, one in found.items() if one.gains]
    if faster:
        return f"Of zeros in weights, {' and '.join(faster)} bring speed here, which predictions leave out: {shown}."
    return f"Zeros in weights were not seen to bring speed here, so predictions take sparse layers as dense: {shown}."


def _pattern(name: str) -> str:
    return f"pattern {name}" if ":" in name else f"{100 * float(name):.0f} %"
