"""The page in a real browser: no complaints, nothing overflows, clicks, brushes, limits and menus work."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.browser import Browser, browser, missing
from nas.report import ReportData, write_report
from predictors.roofline import Roofline
from predictors.tables import CostTables, compile_for_costs
from search_spaces.space import Architecture
from tests.nas.report.worlds import small_space

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
ROOMS = ("front", "one", "two", "space", "trust", "run")
UNITLESS = {"category", "epoch", "architectures evaluated", "architecture of the front (rank)"}
NAMELESS = """[...document.querySelectorAll("select, input, button, [tabindex]:not(main), canvas, [role=figure]")]
    .filter((e) => e.ariaHidden !== "true")
    .filter((e) => !(e.labels?.[0]?.textContent || e.ariaLabel || e.textContent).trim())
    .map((e) => e.outerHTML)"""
TITLES = """[...document.querySelectorAll(".plot")].filter((p) => p.offsetParent && p._fullLayout)
    .flatMap((plot) => ["xaxis", "yaxis", "yaxis2"].map((name) => plot._fullLayout[name]))
    .filter((axis) => axis && axis.visible !== false)
    .filter((axis) => axis.title?.text || !axis.ticktext)
    .map((axis) => axis.title?.text || axis.type)"""
EMPTY_PLOTS = """[...document.querySelectorAll(".plot")].filter((p) => p.offsetParent)
    .filter((p) => !p.querySelector("svg")).map((p) => p.id)"""


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def path(explored: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("page") / "report.html"
    write_report(explored, found)
    return found


def text(window: Browser, name: str) -> str:
    return str(window.value(f"document.getElementById('{name}').textContent"))


def go(window: Browser, room: str) -> None:
    window.value(f"document.querySelector('nav a[href=\"#{room}\"]').click()")
    window.until(f"document.querySelector('#view-{room}.open')")


def healthy(window: Browser) -> None:
    assert window.complaints() == []
    assert text(window, "trouble") == ""


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (420, True)])
def test_every_view_is_drawn_and_nothing_overflows(window: Browser, path: Path, width: int, dark: bool) -> None:
    window.open(path, width=width, dark=dark)
    for room in ROOMS:
        go(window, room)
        window.until(f"{EMPTY_PLOTS}.length === 0")
        assert window.value("document.documentElement.scrollWidth <= window.innerWidth"), room
        titles = window.value(TITLES)
        assert all("(" in title or title in UNITLESS for title in titles), (room, titles)
    assert window.value(NAMELESS) == []
    assert window.value("document.querySelectorAll('#arch-diagram .box').length") > 4
    healthy(window)


def test_a_click_chooses_and_a_second_one_with_shift_compares(
    window: Browser, path: Path, explored: ReportData
) -> None:
    window.open(path)
    first, last = explored.front[0], explored.front[-1]

    def click(entry_values: dict[str, float | None], *, shift: bool = False) -> None:
        x, y = entry_values["latency_ms"] or 0.0, entry_values["error"] or 0.0
        window.mouse([window.place("front-plot", f"{1000 * x if in_us else x}", f"{100 * y}")], shift=shift)

    in_us = "µs" in window.value("document.getElementById('front-plot')._fullLayout.xaxis.title.text")
    click(dict(last.values))
    window.until(f"document.getElementById('chosen').textContent.includes('{last.id}')")
    click(dict(first.values), shift=True)
    window.until(f"document.getElementById('chosen').textContent.includes('To compare with: {first.id}')")
    go(window, "two")
    assert text(window, "pair-figures").count(first.id) == 1
    rows = window.value("document.querySelectorAll('#pair-steps tbody tr').length")
    assert rows > 2
    together = window.value(
        "[...document.querySelectorAll('#pair-steps tbody tr:last-child td')].map((c) => c.textContent)"
    )
    steps = window.value(
        "[...document.querySelectorAll('#pair-steps tbody tr:not(:last-child)')]"
        ".map((row) => [...row.cells].map((c) => c.textContent))"
    )
    for column in range(1, len(together)):
        whole, parts = number(together[column]), [number(row[column]) for row in steps]
        assert sum(parts) == pytest.approx(whole, abs=0.02 * max(map(abs, [*parts, whole])) + 1e-9)
    go(window, "one")
    assert last.id in text(window, "arch-head")
    assert f"nas export runs/cifar10 --arch {last.id}" in text(window, "arch-head")
    healthy(window)


def test_what_one_change_brings_is_what_the_tables_say(window: Browser, path: Path, explored: ReportData) -> None:
    compiled = compile_for_costs(small_space())
    tables = CostTables(compiled, latency=Roofline(20.0, 15.0), check=0)
    row = compiled.encode(Architecture.of(explored.front[0].picks))
    active, found = compiled.active(row[None])[0], []
    for slot in np.flatnonzero(active):
        for option in set(range(len(compiled.slots[slot].options))) - {int(row[slot])}:
            changed = row.copy()
            changed[slot] = option
            legal = compiled.repair(changed[None])[0]
            if legal[slot] == option and (legal == changed)[compiled.active(legal[None])[0]].all():
                found.append(float(tables.score(legal[None], ("latency_ms",))["latency_ms"][0]))
    start = float(tables.score(row[None], ("latency_ms",))["latency_ms"][0])
    window.open(path)
    go(window, "two")
    window.choose("near-figure", "latency_ms")
    told = window.value("[...document.querySelectorAll('#near tbody tr')].map((row) => row.cells[1].textContent)")
    expected = sorted(ms - start for ms in found)[:12]
    assert [number(cell) for cell in told] == pytest.approx(expected, abs=2e-3 * abs(expected[0]))
    healthy(window)


def number(cell: str) -> float:
    """A signed figure such as "−1.25 ms" or "+300 µs" in one unit per kind."""
    value, unit = cell.replace("−", "-").replace(",", "").split(" ", 1)
    return float(value) * {"µs": 1e-3, "KiB": 1.0, "bytes": 2.0**-10, "MiB": 2.0**10}.get(unit, 1.0)


def test_a_brush_filters_every_view_and_is_cleared(window: Browser, path: Path, explored: ReportData) -> None:
    window.open(path)
    total = len(explored.evaluations) + 1
    assert text(window, "filter-note").startswith(f"All {total} ")
    before = window.value(POINTS_DRAWN)
    top = window.driver.execute_script(
        """const frame = document.getElementById("parallel");
        frame.scrollIntoView({ block: "center", behavior: "instant" });
        const box = frame.querySelector(".axis").getBoundingClientRect();
        return [box.x + box.width / 2, box.bottom];"""
    )
    window.mouse([(top[0], top[1] + 2), (top[0], top[1] - 30), (top[0], top[1] - 60)])
    small = sum(point.picks["resolution"] == 24 for point in explored.evaluations)
    window.until("document.getElementById('filter-note').textContent.includes(' of the sampled space')")
    assert text(window, "filter-note").startswith(f"{small} of {total} ")
    assert window.value(POINTS_DRAWN) < before
    assert window.value("document.querySelectorAll('#parallel .brush').length") == 1
    window.value("document.getElementById('filter-clear').click()")
    window.until(f"document.getElementById('filter-note').textContent.startsWith('All {total} ')")
    assert window.value(POINTS_DRAWN) == before
    healthy(window)


POINTS_DRAWN = "Number(document.getElementById('front-cloud').dataset.kept)"


def test_a_limit_filters_and_is_drawn(window: Browser, path: Path, explored: ReportData) -> None:
    window.open(path)
    limit = sorted(point.values["error"] or 0.0 for point in explored.evaluations)[20]
    window.choose("limit-error", f"{100 * limit:.4f}")
    kept = sum((point.values["error"] or 0.0) <= float(f"{limit:.6f}") for point in explored.evaluations)
    kept += sum((mark.values.get("error") or 1.0) <= limit for mark in explored.marks)
    window.until(f"document.getElementById('filter-note').textContent.startsWith('{kept} of ')")
    lines = "document.getElementById('front-plot').layout.shapes.filter((s) => s.type === 'line').length"
    window.until(f"{lines} === 1")
    healthy(window)


def test_objectives_change_and_a_third_is_a_colour(window: Browser, path: Path) -> None:
    window.open(path)
    window.choose("front-x", "macs")
    window.until("document.getElementById('front-plot').layout.xaxis.title.text.includes('MACs')")
    window.choose("front-z", "weight_bytes")
    window.until("document.getElementById('front-plot').data.some((one) => one.marker?.showscale)")
    window.choose("front-x", "peak_memory_bytes")
    window.until(
        "document.getElementById('front-plot').layout.shapes.some((s) => s.type === 'line')"
        " || document.getElementById('front-note').textContent.includes('lies outside')"
    )
    healthy(window)


def test_density_shows_the_sampled_space(window: Browser, path: Path, explored: ReportData) -> None:
    window.open(path)
    assert explored.explored is not None
    total = window.value("Number(document.getElementById('front-cloud').dataset.sampled)")
    assert total == len(explored.explored.sample)
    healthy(window)


def test_keys_reach_the_ranges_and_the_theme_changes(window: Browser, path: Path) -> None:
    window.open(path)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = window.value(paper)
    window.choose("theme", "dark")
    assert window.value(paper) != light
    window.choose("theme", "system")
    assert window.value(paper) == light
    window.value("document.querySelector('#parallel-ranges').closest('details').open = true")
    window.value(
        "(() => { const low = document.querySelector('#parallel-ranges input'); low.value = 90;"
        " low.dispatchEvent(new Event('change')); })()"
    )
    window.until("!document.getElementById('filter-note').textContent.startsWith('All ')")
    healthy(window)


def test_three_dimensions_draw_limits_as_planes(path: Path) -> None:
    with browser(graphics=True) as window:
        window.open(path)
        window.choose("front-z", "peak_memory_bytes")
        window.value("document.getElementById('in-depth').click()")
        window.until("document.getElementById('front-plot').data.some((one) => one.type === 'scatter3d')")
        assert (
            window.value("document.getElementById('front-plot').data.filter((one) => one.type === 'mesh3d').length")
            == 1
        )
        assert text(window, "trouble") == ""


def test_bare_pages_have_no_complaints(window: Browser, explored: ReportData, tmp_path: Path) -> None:
    bare = {
        "empty": ReportData("empty"),
        "one": ReportData("one", objectives=("error",), evaluations=explored.evaluations[:1], front=explored.front[:1]),
        "no_front": ReportData("no_front", objectives=explored.objectives, evaluations=explored.evaluations),
    }
    for name, data in bare.items():
        write_report(data, tmp_path / f"{name}.html")
        window.open(tmp_path / f"{name}.html", width=420)
        for room in ROOMS:
            go(window, room)
            assert window.value("document.documentElement.scrollWidth <= window.innerWidth"), (name, room)
        healthy(window)
