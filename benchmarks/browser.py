"""A headless Chromium that looks at a page as a person would, driven by Selenium."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SOFTWARE_GRAPHICS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_S = 120.0


def missing() -> str | None:
    """What a browser lacks on this machine, in words; `None` where one can be driven."""
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            return f"no {program} on this machine (Debian: apt-get install {package})"
    return None if find_spec("selenium") else "selenium is not installed (pip install selenium)"


class Browser:
    """One window: opens pages, moves the mouse, presses keys, and remembers what the console complained of."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str | Path, *, width: int = 1440, height: int = 900, dark: bool = False) -> None:
        """Open a file or an address in a window of this size, and wait until the page says that it is ready."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
        self.driver.get("about:blank")
        self.driver.get(address.as_uri() if isinstance(address, Path) else address)
        self.until("document.documentElement.dataset.ready === 'true'")

    def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.driver.execute_script(f"return Boolean({expression})"):
                return
            time.sleep(0.05)
        raise AssertionError(f"never came true: {expression}")

    def value(self, expression: str) -> Any:
        """The value of a plain JavaScript expression."""
        return self.driver.execute_script(f"return {expression}")

    def mouse(self, places: Sequence[tuple[float, float]], *, shift: bool = False) -> None:
        """Press at the first place, move over the others, release at the last; one place is a click."""
        held = {"modifiers": 8 if shift else 0}
        events = [("mouseMoved", places[0], {}), ("mousePressed", places[0], {"button": "left", "clickCount": 1})]
        events += [("mouseMoved", place, {"button": "left"}) for place in places[1:]]
        events += [("mouseReleased", places[-1], {"button": "left", "clickCount": 1})]
        for kind, (x, y), more in events:
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **held, **more})

    def place(self, plot: str, x: str, y: str) -> tuple[float, float]:
        """Where the data coordinates (JavaScript expressions) of a plot lie in the window."""
        found = self.driver.execute_script(
            f"""const plot = document.getElementById("{plot}");
            plot.scrollIntoView({{ block: "center", behavior: "instant" }});
            const {{ xaxis, yaxis }} = plot._fullLayout;
            const frame = plot.getBoundingClientRect();
            return [frame.x + xaxis._offset + xaxis.d2p({x}), frame.y + yaxis._offset + yaxis.d2p({y})];"""
        )
        return float(found[0]), float(found[1])

    def choose(self, menu: str, value: str) -> None:
        """Choose in a menu, or type into a field."""
        self.driver.execute_script(
            "const menu = document.getElementById(arguments[0]); menu.value = arguments[1];"
            "menu.dispatchEvent(new Event('change', { bubbles: true }));",
            menu,
            value,
        )

    def complaints(self) -> list[str]:
        """What the console has complained of since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, path: Path) -> None:
        """Save what is in the window as PNG."""
        self.driver.save_screenshot(str(path))


@contextmanager
def browser(*, graphics: bool = False) -> Iterator[Browser]:
    """A fresh browser with a profile of its own; with `graphics` it draws WebGL, in software."""
    webdriver = import_module("selenium.webdriver")
    service = import_module("selenium.webdriver.chrome.service")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, *(SOFTWARE_GRAPHICS if graphics else ()), f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=service.Service(shutil.which("chromedriver")))
        driver.set_script_timeout(PATIENCE_S)
        driver.command_executor.client_config.timeout = 5 * PATIENCE_S
        try:
            yield Browser(driver)
        finally:
            driver.quit()
