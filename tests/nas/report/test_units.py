"""Numbers as people read them."""

import pytest

from nas.report.units import display, seconds_text, short, three


@pytest.mark.parametrize(
    ("figure", "values", "value", "text"),
    [
        ("error", [0.1], 0.0734, "7.34 %"),
        ("latency_ms", [0.31], 0.31, "310 µs"),
        ("latency_ms", [2.5, 0.2], 0.2, "0.200 ms"),
        ("weight_bytes", [1536.0], 1536.0, "1.50 KiB"),
        ("peak_memory_bytes", [3 * 2**20], 2**20, "1.00 MiB"),
        ("macs", [12_345_678.0], 12_345_678.0, "12.3 million MACs"),
        ("params", [2304.0], 2304.0, "2.30 thousand parameters"),
        ("own_score", [3.0], 3.14159, "3.14 no unit"),
        ("error", [None], None, "–"),
    ],
)
def test_values_read_in_a_fitting_unit(figure: str, values: list[float | None], value: float | None, text: str) -> None:
    assert display(figure, values, {}).text(value) == text


def test_own_figures_keep_their_own_unit() -> None:
    assert display("wear", [1.0], {"wear": "cycles"}).title == "wear (cycles)"


@pytest.mark.parametrize("name", ["error", "latency_ms", "macs", "energy_relative", "weight_bytes"])
def test_every_axis_has_a_unit(name: str) -> None:
    assert display(name, [1.0], {}).unit


@pytest.mark.parametrize(
    ("value", "three_digits", "four_digits"),
    [
        (0, "0", "0"),
        (1234567, "1,234,567", "1,234,567"),
        (0.5, "0.500", "0.5"),
        (99.96, "100.0", "99.96"),
        (1e-7, "1e-07", "1e-07"),
        (-2.5, "-2.50", "-2.5"),
    ],
)
def test_digits(value: float, three_digits: str, four_digits: str) -> None:
    assert three(value) == three_digits
    assert short(value) == four_digits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (59.4, "59 s"), (185, "3 min 5 s"), (3840, "1 h 4 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
