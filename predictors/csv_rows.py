"""Measurements from CSV files that people write: every mistake is told with its file, line, column and remedy."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_spaces.errors import NasError

LONGEST_CELL = 2**24
OTHER_UNITS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "ms": {
        "s": ("seconds", "multiply by 1000"),
        "sec": ("seconds", "multiply by 1000"),
        "us": ("microseconds", "divide by 1000"),
        "µs": ("microseconds", "divide by 1000"),
        "ns": ("nanoseconds", "divide by 1000000"),
    },
    "mj": {
        "j": ("joules", "multiply by 1000"),
        "uj": ("microjoules", "divide by 1000"),
        "µj": ("microjoules", "divide by 1000"),
        "nj": ("nanojoules", "divide by 1000000"),
        "wh": ("watt-hours", "multiply by 3600000"),
    },
}
NAMES = {"ms": "milliseconds", "mj": "millijoules"}
Rule = Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its cells by column, and where it stands."""

    path: Path
    number: int
    cells: Mapping[str, str]

    def has(self, column: str) -> bool:
        """Whether the row says anything in `column`."""
        return bool(self.cells.get(column))

    def wrong(self, column: str, legal: str) -> NasError:
        """The error for a cell that is not as it should be."""
        return NasError(f"{self.path} line {self.number}, column {column}: {self.text(column)!r} is not {legal}")

    def text(self, column: str) -> str:
        """The cell as it stands; "" where there is none."""
        return self.cells.get(column, "")

    def positive(self, column: str) -> float:
        """A finite number above 0."""
        return self._number(column, "a number above 0", lambda value: value > 0)

    def share(self, column: str) -> float:
        """A number from 0 to 1."""
        return self._number(column, "a number from 0 to 1", lambda value: 0 <= value <= 1)

    def count(self, column: str) -> int:
        """A whole number of at least 1."""
        legal = "a whole number of at least 1"
        return int(self._number(column, legal, lambda value: value >= 1 and value == int(value)))

    def optional(self, column: str) -> float | None:
        """A finite number above 0, or `None` where the cell is empty or the column missing."""
        return self.positive(column) if self.has(column) else None

    def _number(self, column: str, legal: str, allowed: Rule) -> float:
        try:
            value = float(self.text(column))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and allowed(value)):
            raise self.wrong(column, legal)
        return value


def read_lines(path: Path, required: Sequence[str], *, optional: Sequence[str] = ()) -> tuple[Line, ...]:
    """The rows of the CSV file `path`, which must have the columns `required`; lines opened by # are left out.

    Columns ending in _ms and _mj, `required` or `optional`, may not be there in other units. Raises NasError for a
    file that cannot be read, is empty, lacks a column or is cut short.
    """
    numbered = _cells(path)
    if not numbered:
        raise NasError(f"{path} is empty; its first line names the columns {', '.join(required)}")
    (number, header), *rows = numbered
    names = [name.strip() for name in header]
    for column in (*required, *optional):
        _check_column(column, names, f"{path} line {number}", must=column in required)
    for at, cells in rows:
        if len(cells) != len(names):
            raise NasError(
                f"{path} line {at} has {len(cells)} of {len(names)} columns, the last of them {cells[-1][:40]!r}: "
                "the file may be cut short; copy it again, or take the line out"
            )
    return tuple(Line(path, at, dict(zip(names, (cell.strip() for cell in cells), strict=True))) for at, cells in rows)


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every row that is neither empty nor a comment."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NasError(f"{path} cannot be read as a CSV file: {error}") from error
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(text), strict=True)
        found = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise NasError(f"{path} line {reader.line_num} is no CSV: {error}; the file may be cut short") from error
    finally:
        csv.field_size_limit(before)
    return [(at, cells) for at, cells in found if any(cells) and not cells[0].lstrip().startswith("#")]


def _check_column(column: str, names: Sequence[str], where: str, *, must: bool) -> None:
    """Raise NasError when `column` is missing though it must be there, or is there in another unit."""
    if column in names:
        if names.count(column) > 1:
            raise NasError(f"{where}: column {column} is there {names.count(column)} times; leave one")
        return
    stem, _, unit = column.rpartition("_")
    others = OTHER_UNITS.get(unit, {})
    for name in names:
        found, _, suffix = name.lower().rpartition("_")
        if found == stem and suffix in others:
            called, remedy = others[suffix]
            raise NasError(
                f"{where}: column {name} is in {called}; {NAMES[unit]} are expected: {remedy} and call it {column}"
            )
        if name.lower() == stem and unit in NAMES:
            raise NasError(f"{where}: column {name} does not say its unit; call it {column} if it is in {NAMES[unit]}")
    if must:
        separated = "; its columns seem to be separated by semicolons, not commas" if ";" in names[0] else ""
        raise NasError(f"{where} has no column {column}; it has {', '.join(names)}{separated}")
