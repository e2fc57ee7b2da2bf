"""The part of the page on the supernet's ranking: a plot of inherited against own errors, and its tables."""

from html import escape

from nas.fidelity.result import Fidelity
from nas.fidelity.words import dimension_rows, ranker_rows, sentences
from nas.report.static import absent, plot, table


def fidelity_section(found: Fidelity | None, command: str) -> str:
    """The section as HTML; `command` is what a person runs to have it made."""
    if found is None:
        return absent(f"Nothing was trained alone to compare with yet: {command} does that.")
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(found))
    drawn = plot("fidelity", "Validation error with inherited weights against training alone", height=560)
    about = (
        "<p>Along a dimension every pair of networks weighs as much as it differs there, of all choices that both "
        "make.</p>"
    )
    return (
        drawn + said + _table(ranker_rows(found), "Ways to rank") + about + _table(dimension_rows(found), "Dimensions")
    )


def _table(rows: list[dict[str, str]], label: str) -> str:
    if not rows:
        return ""
    head = list(rows[0])
    cells = [[escape(row[name]) for name in head] for row in rows]
    return table(head, cells, label=label, numbers=len(head) - 1)
