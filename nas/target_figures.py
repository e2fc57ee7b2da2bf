"""Names of figures that differ from target to target: `latency_ms@pi`, and `latency_ms@worst` over all of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

DEVICE_FIGURES = ("latency_ms", "energy_mj")
WORST = "worst"
SIGN = "@"


def on_target(figure: str, target: str) -> str:
    """The name of `figure` on `target`."""
    return f"{figure}{SIGN}{target}"


def split_name(name: str) -> tuple[str, str]:
    """Figure and target of a name; the target is empty where the name has none."""
    figure, _, target = name.partition(SIGN)
    return figure, target


def short_name(target: str) -> str:
    """What a target is called: the stem of a file's path, or the name as it is."""
    path = Path(target)
    return path.stem if path.suffix == ".json" or len(path.parts) > 1 else target


def per_target(limits: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Limits by name, with a table of one value per target spread over as many names."""
    for figure, given in limits.items():
        if isinstance(given, Mapping):
            for target, value in given.items():
                yield on_target(str(figure), str(target)), value
        else:
            yield figure, given
