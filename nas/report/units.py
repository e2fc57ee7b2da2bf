"""How figures are written for people: labels, units scaled to the values at hand, few digits."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.target_figures import WORST, split_name
from predictors.figures import FIGURES

LABELS: dict[str, str] = {
    "error": "validation error",
    "test_error": "test error",
    "latency_ms": "latency",
    "energy_mj": "energy",
    "energy_relative": "relative energy",
    "macs": "multiply-accumulates",
    "macs_effective": "non-zero multiply-accumulates",
    "params": "parameters",
    "nonzero_params": "non-zero parameters",
    "weight_bytes": "stored weights",
    "activations": "activations",
    "moved_elements": "moved elements",
    "peak_memory_bytes": "peak memory",
    "training_memory_bytes": "training memory",
}
_BINARY = ((1.0, "bytes"), (2.0**10, "KiB"), (2.0**20, "MiB"), (2.0**30, "GiB"))
_DECIMAL = ((1.0, ""), (1e3, "thousand"), (1e6, "million"), (1e9, "billion"), (1e12, "trillion"))
_TIME = ((1e-3, "µs"), (1.0, "ms"), (1e3, "s"))
_COUNTED = {"MACs": "MACs", "parameters": "parameters", "elements": "elements", "": "MAC units"}


@dataclass(frozen=True)
class Display:
    """How one figure is shown: `value * scale` in `unit`; `label` says what it is."""

    figure: str
    label: str
    unit: str
    scale: float

    @property
    def title(self) -> str:
        """Axis title: label with its unit in brackets."""
        return f"{self.label} ({self.unit})"

    def text(self, value: float | None) -> str:
        """The value with its unit; a dash when it is not known."""
        return self.number(value) if value is None else f"{self.number(value)} {self.unit}"

    def number(self, value: float | None) -> str:
        """The value without its unit; a dash when it is not known."""
        if value is None or not math.isfinite(value):
            return "–"
        return f"{value * self.scale:.2f}" if self.unit == "%" else three(value * self.scale)


def three(value: float) -> str:
    """Three significant digits, trailing zeros kept so that columns align; whole from 100 on."""
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1e12 or size < 1e-3:
        return f"{value:.3g}"
    digits = min(4, max(0, 2 - math.floor(math.log10(size))))
    return f"{value:,.{digits}f}"


def short(value: float) -> str:
    """Whole numbers whole, others with four significant digits at most."""
    size = abs(value)
    if value == round(value) and size < 1e15:
        return f"{round(value):,}"
    if size >= 1e12 or size < 1e-4:
        return f"{value:.3g}"
    digits = max(0, 3 - math.floor(math.log10(size)))
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def unit_of(figure: str, units: Mapping[str, str]) -> str:
    """Unit in which values of `figure` are stored: the project's table first, then `units`."""
    plain, target = split_name(figure)
    if target == WORST:
        return units.get(figure, "")
    if plain in FIGURES:
        return FIGURES[plain].unit
    return "share" if figure == "test_error" else units.get(figure, "")


def display(figure: str, values: Iterable[float | None], units: Mapping[str, str]) -> Display:
    """Choose the unit in which the largest of `values` reads well."""
    unit, (plain, target) = unit_of(figure, units), split_name(figure)
    label = LABELS.get(plain, plain) + (f" on {target}" if target and target != WORST else "")
    label = f"worst {label}" if target == WORST else label
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(known, default=1.0)
    if unit == "share":
        return Display(figure, label, "%", 100.0)
    if unit == "bytes":
        factor, name = _step(_BINARY, largest)
        return Display(figure, label, name, 1 / factor)
    if unit == "ms":
        factor, name = _step(_TIME, largest)
        return Display(figure, label, name, 1 / factor)
    if plain in FIGURES and target != WORST and unit in _COUNTED:
        factor, name = _step(_DECIMAL, largest)
        return Display(figure, label, f"{name} {_COUNTED[unit]}".strip(), 1 / factor)
    return Display(figure, label, unit or "no unit", 1.0)


def _step(steps: tuple[tuple[float, str], ...], largest: float) -> tuple[float, str]:
    fitting = [step for step in steps if step[0] <= largest]
    return fitting[-1] if fitting else steps[0]


def seconds_text(seconds: float) -> str:
    """A duration in words: "12 s", "3 min 5 s", "1 h 4 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as "16 × 32 × 32"."""
    return " × ".join(map(str, shape))
