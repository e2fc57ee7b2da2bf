"""How large the report is, how long it takes to open and to answer a click, with a large run in it.

python -m benchmarks.report_page [--scored 100000] [--evaluated 5000] [--keep FILE]

Architectures are of the mobile space, their costs are looked up, their errors made up; needs Chromium and its driver.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.browser import Browser, browser, missing
from benchmarks.figures import print_figure, tell
from nas.report import EvaluatedPoint, FrontEntry, ReportData, describe_architecture, write_report
from nas.report.space import explore
from nas.search.gain import non_dominated
from predictors.roofline import Roofline
from predictors.tables import CostTables, compile_for_costs
from search_spaces.catalog import mobile

OBJECTIVES = ("error", "latency_ms", "weight_bytes")
LIMITS = {"peak_memory_bytes": 400 * 1024.0}
SHOWN = (*OBJECTIVES, *LIMITS, "macs", "params")
DETAILS = 1000
CLICKS = 25


def large_run(*, scored: int, evaluated: int, details: int = DETAILS, seed: int = 0) -> ReportData:
    """A made-up run with `evaluated` architectures, half of them random, and a sample of `scored`."""
    rng = np.random.default_rng(seed)
    compiled = compile_for_costs(mobile((3, 32, 32), 10))
    tables = CostTables(compiled, latency=Roofline(20.0, 15.0), check=0)
    rows = compiled.sample(rng, evaluated)
    figures = dict(tables.score(rows, SHOWN[1:]))
    work = figures["macs"] / np.median(figures["macs"])
    figures["error"] = np.clip(0.03 + 0.2 / (1 + work**0.6) + rng.normal(0, 0.006, evaluated), 0.01, 0.9)
    feasible = figures["peak_memory_bytes"] <= LIMITS["peak_memory_bytes"]
    kinds = dict.fromkeys(SHOWN, "counted") | {"error": "validation", "latency_ms": "analytic"}
    points = tuple(
        EvaluatedPoint(
            i,
            f"{i:016x}",
            f"{i:016x}",
            compiled.decode(row).values,
            {name: float(figures[name][i]) for name in SHOWN},
            kinds,
            bool(feasible[i]),
            "surrogate" if i % 2 == 0 else "random",
            0.5,
        )
        for i, row in enumerate(rows)
    )
    values = np.stack([figures[name] for name in OBJECTIVES], axis=1)
    members = np.flatnonzero(feasible)[non_dominated(values[feasible])]
    front = tuple(
        FrontEntry(rank + 1, point.id, point.fingerprint, point.picks, point.values, point.provenance)
        for rank, point in enumerate(sorted((points[i] for i in members), key=lambda one: one.values["error"] or 0.0))
    )
    shown = [points[i] for i in dict.fromkeys([*members.tolist(), *range(evaluated)])][:details]
    architectures = tuple(
        replace(describe_architecture(compiled.space.build(compiled.space.repair(point.picks))), id=point.id)
        for point in shown
    )
    known = [(point.picks, {"error": point.values["error"] or 0.0}) for point in points]
    return ReportData(
        name="large",
        run="runs/large",
        objectives=OBJECTIVES,
        limits=LIMITS,
        evaluations=points,
        front=front,
        architectures=architectures,
        explored=explore(compiled, tables, known, objectives=OBJECTIVES, limits=LIMITS, scored=scored),
    )


def opening_seconds(window: Browser, path: Path) -> float:
    """From the start of the navigation until the first view is drawn and painted, by the browser's own clock."""
    window.open(path)
    window.until("document.documentElement.dataset.painted")
    assert window.value("document.querySelectorAll('#front-plot .main-svg').length") > 0
    return float(window.value("document.documentElement.dataset.painted")) / 1e3


def click_milliseconds(window: Browser, count: int) -> list[float]:
    """From a click on a point to the next picture with everything that follows from it, by the browser's own clock."""
    window.driver.execute_script(
        """document.getElementById("front-plot").scrollIntoView({ block: "center", behavior: "instant" });
        window.clicks = [];
        window.addEventListener("mouseup", (event) => requestAnimationFrame(() => requestAnimationFrame(
          () => window.clicks.push(performance.now() - event.timeStamp))), true);"""
    )
    chosen, answered = "document.querySelector('#chosen strong').textContent", 0
    for n in range(1, count + 1):
        before = window.value(chosen)
        window.mouse([_place(window, n)])
        window.until(f"window.clicks.length >= {n}")
        answered += window.value(chosen) != before
    assert answered > count / 2, "most clicks chose nothing"
    return [float(ms) for ms in window.value("window.clicks")]


def _place(window: Browser, n: int) -> tuple[float, float]:
    """Where the n-th point of the front lies in the window."""
    found = window.driver.execute_script(
        """const plot = document.getElementById("front-plot");
        const trace = plot.data.filter((one) => one.name === "front" && one.mode === "markers").pop();
        const at = arguments[0] % trace.x.length;
        const { xaxis, yaxis } = plot._fullLayout;
        const frame = plot.getBoundingClientRect();
        return [frame.x + xaxis._offset + xaxis.d2p(trace.x[at]), frame.y + yaxis._offset + yaxis.d2p(trace.y[at])];""",
        n,
    )
    return float(found[0]), float(found[1])


def main() -> None:
    """Make the page, look at it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scored", type=int, default=100_000)
    parser.add_argument("--evaluated", type=int, default=5_000)
    parser.add_argument("--keep", type=Path, help="where the page is kept")
    asked = parser.parse_args()
    lacking = missing()
    if lacking:
        sys.exit(lacking)
    where = {"scored": asked.scored, "evaluated": asked.evaluated}
    with tempfile.TemporaryDirectory() as folder:
        path = (asked.keep or Path(folder) / "report.html").resolve()
        started = time.process_time()
        data = large_run(scored=asked.scored, evaluated=asked.evaluated)
        tell(f"the run is made up after {time.process_time() - started:.1f} s of computing")
        started = time.process_time()
        write_report(data, path)
        print_figure("write_seconds", time.process_time() - started, "s", where=where)
        print_figure("file_megabytes", path.stat().st_size / 1e6, "MB", where=where)
        with browser() as window:
            print_figure("open_seconds", median(opening_seconds(window, path) for _ in range(3)), "s", where=where)
            found = click_milliseconds(window, CLICKS)
            print_figure("click_milliseconds", median(found), "ms", where={**where, "slowest": max(found)})
            for words in window.complaints():
                tell(f"the console complained: {words}")


if __name__ == "__main__":
    main()
