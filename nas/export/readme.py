"""The page in an exported folder, and figures in words."""

from collections.abc import Mapping
from typing import Any

from nas.target_figures import WORST, split_name
from predictors.figures import FIGURES


def figure_line(name: str, value: float | None, provenance: str) -> str:
    """A figure in one line, such as "latency_ms 0.212 ms (learned)"."""
    shown = "not known" if value is None else f"{number(value)} {_unit_and_words(name)[0]}".rstrip()
    return f"{name} {shown} ({provenance})" if provenance else f"{name} {shown}"


def number(value: float) -> str:
    """A number for people: whole ones with thousands marked, others to four digits."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def readme_text(about: Mapping[str, Any], *, pytorch: bool) -> str:
    """README.md of an exported folder; `about` is what its arch.json tells."""
    shape = ", ".join(map(str, about["input_shape"]))
    parts = [f"# Network {about['id']}", _figures(about), about["note"]]
    if pytorch:
        parts.append(_PYTORCH.format(shape=shape))
    if about["onnx_writer"]:
        batch = "n" if about["onnx_writer"] == "torch.onnx" else "1"
        prepared = "as `preprocess` in `model.py` does" if pytorch else "with the `normalisation` in `arch.json`"
        outputs = ", ".join(f"`{name}`" for name in about["outputs"])
        parts.append(_ONNX.format(shape=shape, batch=batch, outputs=outputs, prepared=prepared))
    parts.append(_ABOUT + _equality(about["equality"]))
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _figures(about: Mapping[str, Any]) -> str:
    if not about["figures"]:
        return ""
    rows = ["| figure | value | known how | what it is |", "|---|---|---|---|"]
    for name, entry in about["figures"].items():
        unit, words = _unit_and_words(name)
        shown = "not known" if entry["value"] is None else f"{number(entry['value'])} {unit}".rstrip()
        rows.append(f"| {name} | {shown} | {entry['provenance'] or ''} | {words} |")
    return "\n".join(rows)


def _unit_and_words(name: str) -> tuple[str, str]:
    """Unit of a figure and what it is; both empty for the user's own."""
    figure, target = split_name(name)
    known = FIGURES.get(figure)
    if known is None:
        return "", ""
    if target == WORST:
        return "", f"{known.description}: the largest over several targets, as a share of each one's limit or median"
    return known.unit, f"{known.description}, on {target}" if target else known.description


def _equality(equality: Mapping[str, float]) -> str:
    found = ", ".join(f"{value:.1e} ({name})" for name, value in equality.items())
    return f" When it was\nwritten, its outputs differed from the original's by at most {found} of the largest output."


_PYTORCH = """
## PyTorch

`model.py` needs `torch` and `safetensors`, nothing else. Run beside it:

```python
import torch
from model import load, preprocess

network = load("weights.safetensors")
images = torch.randint(0, 256, (1, {shape}), dtype=torch.uint8)
with torch.no_grad():
    output = network(preprocess(images))
```

It is an ordinary module: `network.train()` and an optimizer train it further; `Network()` starts from fresh weights.
Weights that sparsity set to zero stay zero, because their masks are saved with them. `nas fit` on this folder does the
training and reports the test accuracy.
"""

_ONNX = """
## ONNX

`model.onnx` takes `images`, float32 [{batch}, {shape}], prepared {prepared}, and gives {outputs}.
"""

_ABOUT = """
## About

`arch.json` holds the choices that make this architecture, its figures and the names of its classes."""
