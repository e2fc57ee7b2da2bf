"""Tables for the terminal."""

from io import StringIO

from rich.console import Console

from nas.report import FrontEntry, ReportData
from nas.report.explain import columns, explain_text
from nas.report.notebook import front_html
from nas.report.terminal import front_table


def printed(entries: tuple[FrontEntry, ...], objectives: tuple[str, ...], limits: dict[str, float]) -> str:
    console = Console(width=160, record=True, file=StringIO(), color_system=None)
    console.print(front_table(entries, objectives, limits=limits))
    return console.export_text()


def test_the_front_is_printed_with_units_intervals_and_measurements(made_up: ReportData) -> None:
    text = printed(made_up.front, made_up.objectives, dict(made_up.limits))
    for entry in made_up.front:
        assert entry.id in text
    assert "latency (ms)" in text
    assert "measured (ms)" in text
    assert "test error (%)" in text
    low, high = made_up.front[0].intervals["error"]
    assert f"{100 * low:.2f} to {100 * high:.2f}" in text
    assert f"{len(made_up.front)} architectures" in text


def test_a_measured_value_over_the_limit_is_marked() -> None:
    entry = FrontEntry(1, "a[red]b", "f", {}, {"latency_ms": 1.9}, measured={"latency_ms": 2.5})
    text = printed((entry,), ("latency_ms",), {"latency_ms": 2.0})
    assert "2.50!" in text
    assert "a[red]b" in text


def test_an_empty_front_prints_its_head() -> None:
    assert "0 architectures" in printed((), ("error",), {})


def test_explain_lists_every_operator_and_sums_them(made_up: ReportData) -> None:
    entry, detail = made_up.front[0], made_up.architectures[0]
    text = explain_text(detail, entry=entry)
    for row in detail.operators:
        assert row.name in text
    assert f"{sum(row.macs for row in detail.operators):,}" in text
    assert "validation error" in text
    assert "learned" in text
    assert "measured" in text
    shares = [float(line.split()[-2]) for line in text.splitlines() if line.endswith(" %")]
    assert abs(sum(shares) - 100) < 0.1 * len(shares)


def test_explain_works_with_the_table_alone(made_up: ReportData) -> None:
    text = explain_text(made_up.architectures[0])
    assert text.startswith(f"architecture {made_up.architectures[0].id}\n\ngroup convolution")
    assert "\n\noperator" in text


def test_columns_align() -> None:
    assert columns([("a", "1"), ("bcd", "100")], "lr") == "a      1\nbcd  100"


def test_the_notebook_shows_front_json() -> None:
    rows = [
        {"rank": 1, "id": "<ab>", "picks": {}, "values": {"error": 0.25}, "intervals": {"error": [0.2, 0.3]}},
        {"rank": 2, "id": "cd", "picks": {}, "values": {"error": None}, "test_error": 0.5},
    ]
    html = front_html(rows, ["error"])
    assert "<th>validation error (%)</th><th>test error (%)</th>" in html
    assert "<td>25.00<br><small>20.00 to 30.00</small></td>" in html
    assert "<code>&lt;ab&gt;</code>" in html
    assert "<td>–</td><td>50.00</td>" in html
    assert front_html([], ["error"]) == "<p>The front is empty.</p>"
