"""The live page and the page of compared fronts in a real browser: no complaints, news arrive, the button exports."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.browser import Browser, browser, missing
from nas.comparing import compare_runs
from nas.report.comparison_page import write_comparison

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
Copied = Callable[[str], Path]


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def serves() -> Iterator[Callable[[Path], str]]:
    """A function that serves a run folder until the end of the test, and gives its address."""
    pytest.importorskip("starlette", reason="the extra ui is not installed")
    pytest.importorskip("uvicorn", reason="the extra ui is not installed")
    from nas.ui.serve import address_of, prepare

    started = []

    def start(folder: Path) -> str:
        server, listening, rules = prepare(str(folder), search=None, host="127.0.0.1", port=0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        started.append((server, thread))
        return address_of(rules)

    yield start
    for server, thread in started:
        server.should_exit = True
        thread.join(30)


def exported(window: Browser) -> None:
    """Wait for the end of an export, which a busy machine gives little of its time."""
    for _ in range(5):
        try:
            window.until("!document.getElementById('status').textContent.startsWith('Exporting')")
        except AssertionError:
            continue
        break
    assert text(window, "status").startswith("Exported to")


def text(window: Browser, name: str) -> str:
    return str(window.value(f"document.getElementById('{name}').textContent"))


def test_news_arrive_and_the_button_exports(
    window: Browser, copied_run: Copied, serves: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied_run("small")
    search = folder / "searches" / "search"
    kept = {path: path.read_bytes() for path in (search / "front.json", search / "evaluations.json")}
    study = (search / "study.db").read_bytes()
    for path in (*kept, search / "study.db"):
        path.unlink()
    shutil.rmtree(folder / "exports")
    root = str(Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    window.open(serves(folder))
    window.until("document.getElementById('live').textContent === 'Nothing is under way.'")
    assert "nothing is evaluated yet" in window.value("document.body.textContent")
    (search / "study.db").write_bytes(study)
    window.until("document.body.textContent.includes('12 architectures are evaluated so far')")
    window.until("document.getElementById('front-plot')?.querySelector('svg')")
    for path, content in kept.items():
        path.write_bytes(content)
    window.until("!document.querySelector('[data-part=notes]').textContent.includes('so far')")
    window.value("document.querySelector('nav a[href=\"#one\"]').click()")
    button = "[...document.querySelectorAll('#arch-head button')].find((one) => one.textContent === 'Export now')"
    window.until(button)
    window.value(f"{button}.click()")
    exported(window)
    (export,) = (folder / "exports").iterdir()
    assert (export / "model.py").is_file()
    assert window.complaints() == []
    assert text(window, "trouble") == ""
    window.driver.get("about:blank")


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (420, True)])
def test_compared_fronts_are_drawn(window: Browser, copied_run: Copied, tmp_path: Path, width: int, dark: bool) -> None:
    copied_run("one")
    copied_run("two")
    write_comparison(compare_runs(["one", "two"]), tmp_path / "compared.html")
    window.driver.get("about:blank")
    window.complaints()
    window.open(tmp_path / "compared.html", width=width, dark=dark)
    window.until("document.querySelector('#fronts svg')")
    assert window.value("document.documentElement.scrollWidth <= window.innerWidth")
    window.choose("up", "missing_context")
    window.until("document.getElementById('fronts')._fullLayout.yaxis.title.text.includes('missing_context')")
    assert window.complaints() == []
    assert text(window, "trouble") == ""
