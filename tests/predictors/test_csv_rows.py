"""CSV files that people write: what is read, and what is said of what cannot be."""

from pathlib import Path

import pytest

from predictors.csv_rows import read_lines
from search_spaces import NasError

COLUMNS = ("network", "latency_ms")


def written(folder: Path, text: str) -> Path:
    path = folder / "phone.csv"
    path.write_text(text)
    return path


def test_rows_keep_their_line_numbers(tmp_path: Path) -> None:
    text = '\ufeff# my phone\nnetwork, latency_ms,note\n0001,1.5,"a\nb"\n\n# again\n0002,2,\n'
    first, second = read_lines(written(tmp_path, text), COLUMNS)
    assert (first.text("network"), first.positive("latency_ms"), first.text("note")) == ("0001", 1.5, "a\nb")
    assert (second.number, second.positive("latency_ms"), second.optional("note")) == (7, 2.0, None)
    assert second.count("latency_ms") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"phone\.csv is empty; its first line names the columns network, latency_ms"),
        ("network,latency_s\n", "line 1: column latency_s is in seconds; milliseconds are expected: multiply by 1000"),
        ("network,latency_us\n", "column latency_us is in microseconds; .* divide by 1000 and call it latency_ms"),
        ("network,Latency_NS\n", "column Latency_NS is in nanoseconds"),
        ("network,latency\n", "column latency does not say its unit; call it latency_ms if it is in milliseconds"),
        ("network,latency_ms,energy_j\n", "energy_j is in joules; millijoules are expected: multiply by 1000"),
        ("# of May\nnetwork,time\n", "line 2 has no column latency_ms; it has network, time"),
        ("network;latency_ms\n", "separated by semicolons, not commas"),
        ("network,latency_ms,latency_ms\n", "column latency_ms is there 2 times"),
        ("network,latency_ms\n0001,1\n0002\n", "line 3 has 1 of 2 columns.*'0002': the file may be cut short"),
        ('network,latency_ms\n0001,"1', "line 2 is no CSV: .*; the file may be cut short"),
    ],
)
def test_files_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NasError, match=message):
        read_lines(written(tmp_path, text), COLUMNS, optional=("energy_mj",))


@pytest.mark.parametrize("cell", ["nan", "-1", "0", "inf", "fast", ""])
def test_cells_that_are_no_figures(cell: str, tmp_path: Path) -> None:
    (line,) = read_lines(written(tmp_path, f"network,latency_ms\n0001,{cell}\n"), COLUMNS)
    with pytest.raises(NasError, match=f"phone.csv line 2, column latency_ms: '{cell}' is not a number above 0"):
        line.positive("latency_ms")
    with pytest.raises(NasError, match="is not a whole number of at least 1"):
        line.count("latency_ms")


def test_shares_and_missing_files(tmp_path: Path) -> None:
    (line,) = read_lines(written(tmp_path, "network,latency_ms\n0001,1.5\n"), COLUMNS)
    with pytest.raises(NasError, match=r"'1\.5' is not a number from 0 to 1"):
        line.share("latency_ms")
    with pytest.raises(NasError, match="cannot be read as a CSV file"):
        read_lines(tmp_path / "none.csv", COLUMNS)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NasError, match="cannot be read as a CSV file"):
        read_lines(tmp_path / "binary.csv", COLUMNS)
