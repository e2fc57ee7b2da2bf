"""Tables of numbers as pictures for the documentation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

CELL_WIDTH, CELL_HEIGHT, MARGIN = 64, 28, 12
LETTER = 7
LIGHT, DARK = (255, 250, 235), (176, 58, 46)
SWITCH = 0.6


@dataclass(frozen=True)
class HeatMap:
    """`values[row][column]`, all above 0, coloured by their logarithms."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]


def heat_map_svg(picture: HeatMap) -> str:
    """The table as an SVG file, each number on a colour between light (the least) and dark (the most)."""
    logs = [[math.log(value) for value in row] for row in picture.values]
    low, high = min(map(min, logs)), max(map(max, logs))
    left = MARGIN + LETTER * max(map(len, picture.rows))
    top = 2 * MARGIN + 2 * CELL_HEIGHT // 2
    width = left + CELL_WIDTH * len(picture.columns) + MARGIN
    height = top + CELL_HEIGHT * (len(picture.rows) + 1) + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{MARGIN}" y="{2 * MARGIN}" font-size="14">{escape(picture.title)}</text>',
    ]
    for j, name in enumerate(picture.columns):
        lines.append(_text(left + CELL_WIDTH * (j + 0.5), top + 0.7 * CELL_HEIGHT, name, "middle"))
    for i, name in enumerate(picture.rows):
        y = top + CELL_HEIGHT * (i + 1)
        lines.append(_text(left - MARGIN / 2, y + 0.65 * CELL_HEIGHT, name, "end"))
        for j, value in enumerate(picture.values[i]):
            share = (logs[i][j] - low) / (high - low) if high > low else 0.0
            x = left + CELL_WIDTH * j
            lines.append(f'<rect x="{x}" y="{y}" width="{CELL_WIDTH}" height="{CELL_HEIGHT}" fill="{_colour(share)}"/>')
            ink = "white" if share > SWITCH else "black"
            lines.append(_text(x + CELL_WIDTH / 2, y + 0.65 * CELL_HEIGHT, f"{value:.3g}", "middle", ink))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, anchor: str, ink: str = "black") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{ink}">{escape(text)}</text>'


def _colour(share: float) -> str:
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(LIGHT, DARK, strict=True))
