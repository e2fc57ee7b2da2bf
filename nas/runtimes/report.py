"""The hold-out report of a target as a person reads it."""

from rich.console import Console
from rich.table import Table

from predictors.holdout import Accuracy
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
    for heading in ("count", "median error", "in 5 %", "in 10 %", "rank"):
        table.add_column(heading, justify="right")
    _row(table, "networks", report.networks)
    _row(table, "from MACs alone", report.macs_alone)
    for name, found in report.kernels:
        _row(table, f"kernels: {name}", found)
    out.print(table)
    for line in warnings(target):
        out.print(line)


def warnings(target: Target) -> list[str]:
    """What to know before trusting the target."""
    found: list[str] = []
    if target.slowdown is not None and target.slowdown > BUSY:
        found.append(
            f"The machine was busy: it ran {100 * (target.slowdown - 1):.0f} % slower than in its quiet moments. "
            "Quiet moments were taken; measure again when nothing else runs to be surer."
        )
    if target.report is not None and target.report.networks.count < FEW_HELD_OUT:
        found.append(f"Only {target.report.networks.count} networks were held out; more minutes would tell more.")
    return found


def _row(table: Table, name: str, found: Accuracy) -> None:
    rank = "-" if found.spearman is None else f"{found.spearman:.3f}"
    shares = (found.median_error, found.within_5_percent, found.within_10_percent)
    table.add_row(name, str(found.count), *(f"{100 * share:.1f} %" for share in shares), rank)
