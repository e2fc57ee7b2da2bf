"""One page of a whole run, written as a single file that needs no network: template, style, scripts, plotly.js, data.

The page's contract, for whoever feeds it again while a search runs:

* `payload(data)` is everything of a run that may change, as strict JSON values: `{"model": ..., "parts": ...}`.
  `model` (`nas.report.model.page_model`) is what the scripts draw; `parts` maps names to ready-made, escaped HTML, each
  put into the element with that `data-part`. `page(data)` is made of the same payload, so that the first view and
  every later one come from one function.
* In JavaScript `update(payload)` shows a new payload: menus, the chosen architectures, brushes, limits and the open
  view stay as they are; only what is in view is drawn at once.
* `page(data, scripts=("live.js",))` adds scripts of `nas/report/page/` behind the page's own. They share its scope (one
  strict function around everything) and may use `update`, `model`, `state`, `points`, `el`, `byId`, `say(words)` (told
  in the status line, also to screen readers) and set these hooks:
  `hooks.exported = async (id) => words` puts an "Export now" button beside each export command and shows the words it
  resolves to; `hooks.detail = async (id) => architecture` is asked for operators and diagram of an architecture that
  the payload does not hold (the value of one entry of `model.architectures`, `nas.report.model.architecture_model`).
  With scripts the page may fetch from where it came from (`connect-src 'self'`), and from nowhere else.
* Networks that are not of the space, such as the user's own, are `ReportData.marks`: they are drawn on the front plot
  under their name and may be chosen like any other point.
* The costly parts of `ReportData` (`explored`, `architectures`) depend on the space, the target and what was evaluated;
  a caller that asks often keeps them and replaces the rest (`dataclasses.replace`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from nas.report.data import ReportData
from nas.report.model import page_model
from nas.report.parts import page_parts
from search_spaces.files import write_text

SCRIPTS = (
    "base.js",
    "store.js",
    "score.js",
    "plots.js",
    "density.js",
    "cloud.js",
    "front.js",
    "space_plot.js",
    "parallel.js",
    "limits.js",
    "diagram.js",
    "operators.js",
    "waterline.js",
    "architecture.js",
    "pair.js",
    "space.js",
    "trust.js",
    "page.js",
)
STYLES = ("theme.css", "page.css", "views.css")
FRAMES = ("front", "one", "two", "space")
START = "start.js"
_MARK = re.compile(r"\{\{(\w+)\}\}")


def write_report(data: ReportData, path: Path) -> None:
    """Write the page of `data` to `path`, whole; it needs no network and no other file."""
    write_text(path, page(data))


def page(data: ReportData, *, scripts: Sequence[str] = ()) -> str:
    """The page as text; `scripts` of nas/report/page/ follow the page's own (see the module's contract)."""
    from plotly.offline import get_plotlyjs

    found = payload(data)
    parts = {
        "title": escape(f"{data.name} · architecture search"),
        "name": escape(data.name),
        "connect": "connect-src 'self'; " if scripts else "",
        "style": "\n".join(asset(name) for name in STYLES),
        **{f"frame_{name}": asset(f"{name}.html") for name in FRAMES},
        **{f"part_{name}": html for name, html in found["parts"].items()},
        "data": embedded({**found, "parts": {}}),
        "plotly": get_plotlyjs().replace("</script", "<\\/script"),
        "script": "\n".join(asset(name) for name in (*SCRIPTS, *scripts, START)),
    }
    return fill(asset("page.html"), parts)


def payload(data: ReportData) -> dict[str, Any]:
    """What changes while a search runs, for the script's `update`: `model` to draw, and `parts` of ready-made HTML."""
    return {"model": page_model(data), "parts": page_parts(data)}


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Replace every `{{name}}` of `template` once; what is put in is not looked at again."""
    return _MARK.sub(lambda match: parts[match[1]], template)


def embedded(value: Any) -> str:
    """Strict JSON that may stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def asset(name: str) -> str:
    """The text of a file of nas/report/page/."""
    return (files("nas.report") / "page" / name).read_text(encoding="utf-8")
