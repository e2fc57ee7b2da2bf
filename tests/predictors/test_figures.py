"""The table of figures, and quantities with units."""

import pytest

from predictors.figures import FIGURES, figure, parse_quantity
from search_spaces.errors import NasError

UNITS = sorted({entry.unit for entry in FIGURES.values()})


def test_units_stand_in_the_names() -> None:
    for name, entry in FIGURES.items():
        for suffix, unit in (("_ms", "ms"), ("_mj", "mJ"), ("_bytes", "bytes")):
            assert name.endswith(suffix) == (entry.unit == unit)


def test_an_unknown_figure_gets_near_matches() -> None:
    assert figure("macs").unit == "MACs"
    with pytest.raises(NasError, match="unknown figure 'latency': did you mean 'latency_ms'"):
        figure("latency")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1 KiB", "bytes", 1024),
        ("1 kB", "bytes", 1000),
        ("1 KB", "bytes", 1000),
        ("2 MiB", "bytes", 2 * 1024**2),
        ("2MB", "bytes", 2_000_000),
        ("1 GiB", "bytes", 1024**3),
        ("12 bytes", "bytes", 12),
        ("2 s", "ms", 2000),
        ("3 \N{MICRO SIGN}s", "ms", 0.003),
        ("3 \N{GREEK SMALL LETTER MU}s", "ms", 0.003),
        ("5 ns", "ms", 5e-6),
        ("1.5 J", "mJ", 1500),
        ("300 M", "MACs", 3e8),
        ("300 MMACs", "MACs", 3e8),
        ("1_000", "parameters", 1000),
        ("1e-3", "share", 0.001),
        (" 3% ", "share", 0.03),
        ("2.5", "", 2.5),
    ],
)
def test_quantities(text: str, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "ms", "-3", "nan", "inf", "3 parsecs", "3 m s", "1.2.3", "0x10"])
@pytest.mark.parametrize("unit", UNITS)
def test_what_is_no_quantity(text: str, unit: str) -> None:
    with pytest.raises(NasError, match="is not a number followed by one of: "):
        parse_quantity(text, unit)
