"""The page in a real browser: no errors, nothing overflows, clicks and filters work. Skipped without one."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from nas.report import ReportData, write_report

choreographer = pytest.importorskip("choreographer")
CHROMIUM = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


class Page:
    """One open page: runs expressions and mouse events, collects errors and requests."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.errors: list[str] = []
        self.requests: list[str] = []
        events = {
            "Runtime.exceptionThrown": lambda p: self.errors.append(str(p["exceptionDetails"])),
            "Log.entryAdded": lambda p: self.errors.append(p["entry"]["text"]),
            "Network.requestWillBeSent": lambda p: self.requests.append(p["request"]["url"]),
        }
        for name, note in events.items():
            self.tab.subscribe(name, _listener(note))

    async def open(self, path: Path, *, width: int, dark: bool) -> None:
        for room in ("Runtime", "Log", "Network", "Page"):
            await self.tab.send_command(f"{room}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await self.tab.send_command("Emulation.setDeviceMetricsOverride", size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tab.send_command("Emulation.setEmulatedMedia", {"features": [theme]})
        await self.tab.send_command("Page.navigate", {"url": path.as_uri()})
        await self.until("document.documentElement?.dataset.ready === 'true'")
        await self.run("document.documentElement.style.scrollBehavior = 'auto'")

    async def run(self, expression: str) -> Any:
        reply = await self.tab.send_command(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
        )
        assert "exceptionDetails" not in reply["result"], reply["result"]["exceptionDetails"]
        return reply["result"]["result"].get("value")

    async def until(self, expression: str) -> None:
        for _ in range(150):
            if await self.run(expression):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never came true: {expression}")

    async def drag(self, *places: tuple[float, float]) -> None:
        """Press at the first place, move over the others, release at the last; one place is a click."""
        for kind, (x, y) in [
            ("mouseMoved", places[0]),
            ("mousePressed", places[0]),
            *[("mouseMoved", place) for place in places[1:]],
            ("mouseReleased", places[-1]),
        ]:
            held = {} if kind == "mouseMoved" and len(places) == 1 else {"button": "left"}
            event = {"type": kind, "x": x, "y": y, "clickCount": 1, **held}
            await self.tab.send_command("Input.dispatchMouseEvent", event)
            await asyncio.sleep(0.03)

    async def place(self, plot: str, x: str, y: str) -> tuple[float, float]:
        """Where the data coordinates (expressions) of a plot lie in the window."""
        found = await self.run(f"""(() => {{
            const plot = document.getElementById("{plot}");
            plot.scrollIntoView({{ block: "center" }});
            const {{ xaxis, yaxis }} = plot._fullLayout;
            const frame = plot.getBoundingClientRect();
            return [frame.x + xaxis._offset + xaxis.d2p({x}), frame.y + yaxis._offset + yaxis.d2p({y})];
        }})()""")
        return float(found[0]), float(found[1])

    async def fits(self) -> bool:
        return bool(await self.run("document.documentElement.scrollWidth <= window.innerWidth"))

    async def healthy(self) -> None:
        assert self.errors == []
        assert [url[:60] for url in self.requests if not url.startswith(("file:", "data:"))] == []
        assert await self.run("document.getElementById('trouble').textContent") == ""


def _listener(note: Callable[[Any], None]) -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def listen(message: Any) -> None:
        note(message["params"])

    return listen


def browse(steps: Callable[[Page], Coroutine[Any, Any, None]]) -> None:
    """Run `steps` with a fresh page of a fresh browser."""

    async def session() -> None:
        async with choreographer.Browser(
            path=CHROMIUM, headless=True, enable_sandbox=False, enable_gpu=False
        ) as browser:
            await steps(Page(await browser.create_tab("about:blank")))

    asyncio.run(asyncio.wait_for(session(), timeout=120))


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (420, True)])
def test_every_plot_is_drawn_and_nothing_overflows(made_up: ReportData, tmp_path: Path, width: int, dark: bool) -> None:
    write_report(made_up, tmp_path / "report.html")

    async def steps(page: Page) -> None:
        await page.open(tmp_path / "report.html", width=width, dark=dark)
        await page.until("[...document.querySelectorAll('.plot')].every((p) => p.querySelector('svg'))")
        assert await page.run("document.querySelectorAll('#arch-diagram .box').length") > 4
        assert await page.fits()
        assert await page.run(NAMELESS_CONTROLS) == []
        titles = await page.run(AXIS_TITLES)
        assert len(titles) > 10
        assert all("(" in text or text in UNITLESS for text in titles), titles
        await page.healthy()

    browse(steps)


UNITLESS = {"category", "epoch", "architectures evaluated"}
NAMELESS_CONTROLS = """[...document.querySelectorAll("select, input, button, [tabindex]")]
    .filter((e) => !(e.labels?.[0]?.textContent || e.ariaLabel || e.textContent).trim())
    .map((e) => e.outerHTML)"""
AXIS_TITLES = """[...document.querySelectorAll(".plot")]
    .flatMap((plot) => ["xaxis", "yaxis", "yaxis2"].map((name) => plot._fullLayout[name]))
    .filter((axis) => axis && axis.visible !== false)
    .map((axis) => (/^Click/.test(axis.title?.text) ? axis.ticktext?.join() : axis.title?.text) || axis.type)"""


def test_click_filter_and_menus(made_up: ReportData, tmp_path: Path) -> None:
    write_report(made_up, tmp_path / "report.html")
    chosen = "document.getElementById('front-selected').textContent"
    note = "document.getElementById('compare-note').textContent"

    async def steps(page: Page) -> None:
        await page.open(tmp_path / "report.html", width=1440, dark=False)
        last = made_up.front[-1]
        x, y = (last.values[name] or 0.0 for name in ("latency_ms", "error"))
        await page.drag(await page.place("front-plot", f"{x}", f"{100 * y}"))
        await page.until(f"{chosen}.includes('{last.id}')")
        assert last.id in await page.run("document.getElementById('arch-head').textContent")

        corners = [await page.place("compare-plot", at, height) for at, height in BOX]
        await page.drag(*corners)
        await page.until(f"{note}.includes('pass')")
        smallest = sum(p.picks["resolution"] == 24 for p in made_up.evaluations)
        assert (await page.run(note)).startswith(f"{smallest} of {len(made_up.evaluations)}")
        await page.run("document.getElementById('compare-clear').click()")
        await page.until(f"{note} === ''")

        await page.run(SHOW_MEMORY)
        shapes = "document.getElementById('front-plot').layout.shapes.filter((s) => s.type === 'line').length"
        await page.until(f"{shapes} === 1")
        await page.healthy()

    browse(steps)


BOX = [("-0.25", "0.1"), ("0", "0"), ("0.25", "-0.05")]
SHOW_MEMORY = """(() => {
    const menu = document.getElementById("front-x");
    menu.value = "peak_memory_bytes";
    menu.dispatchEvent(new Event("change"));
})()"""


def test_bare_pages_have_no_errors(made_up: ReportData, tmp_path: Path) -> None:
    bare = {
        "empty": ReportData("empty"),
        "one": ReportData(
            "one",
            objectives=("error",),
            evaluations=made_up.evaluations[:1],
            front=made_up.front[:1],
        ),
    }

    async def steps(page: Page) -> None:
        for name, data in bare.items():
            write_report(data, tmp_path / f"{name}.html")
            await page.open(tmp_path / f"{name}.html", width=420, dark=False)
            assert await page.fits()
            await page.healthy()

    browse(steps)
