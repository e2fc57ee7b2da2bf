"""What the nodes of a compiled space can be: combinations of their fields over the variables they depend on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_spaces.compile_finish import Learned
from search_spaces.compile_lookup import Numbers, Table, joined_variables, spread
from search_spaces.compile_observe import FieldKey
from search_spaces.errors import SpaceError
from search_spaces.operators import Layout, Operator, Shape

WeightUse = tuple[Operator, Layout]
MOST_COMBINATIONS = 1 << 23


@dataclass(frozen=True)
class NodeForm:
    """One node while it is of one class: the table of its presence and the tables of its fields by part.

    `present` is 1 where the node exists and is of the class, 0 where not, -1 where that was never reached.
    """

    name: str
    operator: type[Operator]
    present: Table
    fields: Mapping[str, Table]


@dataclass(frozen=True)
class Combinations:
    """Distinct combinations of fields: `numbers[n, field]`, and which one each entry of `place` has."""

    numbers: Numbers
    place: Table


def node_forms(learned: Learned) -> Iterator[NodeForm]:
    """Every node in every class it can be of."""
    parts: dict[tuple[str, str], dict[str, Table]] = {}
    for key, table in learned.fields.items():
        if key.operator:
            parts.setdefault((key.place, key.operator), {})[key.part] = table
    number = {value: i for i, value in enumerate(learned.values) if isinstance(value, str)}
    for (name, kind), fields in parts.items():
        table = learned.fields[FieldKey(name, "kind")]
        present = np.where(table.values < 0, -1, table.values == number[kind]).astype(np.int32)
        yield NodeForm(name, learned.operators[kind], Table(table.variables, present), fields)


def combined(tables: Sequence[Table], names: Sequence[str]) -> Combinations:
    """The distinct combinations of the values of `tables`, over the union of their variables.

    `SpaceError` with the `names` of those variables when there are too many combinations of them.
    """
    union = joined_variables(tables)
    sizes = {v: size for table in tables for v, size in zip(table.variables, table.dims, strict=True)}
    entries = math.prod(sizes.values())
    if entries > MOST_COMBINATIONS:
        raise SpaceError(
            f"one operator depends on {len(union)} choices in {entries} ways (at most {MOST_COMBINATIONS} can be "
            f"tabulated): {', '.join(names[v] for v in union)}. Offer fewer options, or let it depend on fewer of them"
        )
    code: npt.NDArray[np.int64] = np.zeros((1,) * len(union), np.int64)
    levels = []
    for table in tables:
        found, local = np.unique(table.values, return_inverse=True)
        levels.append(found)
        code = code * len(found) + spread(Table(table.variables, local.reshape(table.dims)), union)
    distinct, place = np.unique(code, return_inverse=True)
    columns = []
    for found in reversed(levels):
        columns.append(found[distinct % len(found)])
        distinct = distinct // len(found)
    return Combinations(np.stack(columns[::-1], axis=1).astype(np.int32), Table(union, place.reshape(code.shape)))


def input_parts(fields: Mapping[str, Table]) -> list[str]:
    """Parts that tell the shapes of the inputs."""
    return ["ranks", *(part for part in fields if part.startswith("in") and part[2:].partition(".")[0].isdigit())]


def attribute_parts(fields: Mapping[str, Table]) -> list[str]:
    """Parts that are attributes of the operator."""
    return [part for part in fields if part.startswith(".")]


def operator_of(kind: type[Operator], values: Mapping[str, object]) -> Operator:
    """The operator with the attributes among `values`."""
    return kind(**{part[1:]: value for part, value in values.items() if part.startswith(".")})


def shapes_of(values: Mapping[str, object]) -> tuple[Shape, ...]:
    """The input shapes that `values` of input parts tell."""
    ranks = values["ranks"]
    assert isinstance(ranks, tuple)
    return tuple(tuple(values[f"in{i}.{axis}"] for axis in range(rank)) for i, rank in enumerate(ranks))  # type: ignore[misc]


def weight_uses(learned: Learned) -> dict[tuple[str, str], tuple[WeightUse, ...]]:
    """Per weights path and class of operator: every operator that uses it, with the layout of what it reads first.

    Origins in a layout are empty where that is never made of several segments, else those met while compiling.
    """
    found: dict[tuple[str, str], dict[WeightUse, None]] = {}
    for form in node_forms(learned):
        kind = form.operator.__name__
        parts = [*attribute_parts(form.fields), "segments", "weights"]
        some = combined([form.present, *(form.fields[part] for part in parts)], learned.names).numbers
        met = learned.layouts[form.name, kind]
        for numbers in some[(some[:, 0] == 1) & (some >= 0).all(1)]:
            values = dict(zip(parts, (learned.values[n] for n in numbers[1:]), strict=True))
            segments, path = values["segments"], values["weights"]
            assert isinstance(segments, tuple)
            assert isinstance(path, str)
            op = operator_of(form.operator, values)
            if segments and op.weights(((sum(segments[0]),),)):
                uses = found.setdefault((path, kind), {})
                uses.update(((op, layout), None) for layout in _layouts(segments[0], met))
    return {key: tuple(uses) for key, uses in sorted(found.items())}


def _layouts(sizes: tuple[int, ...], met: Sequence[Layout]) -> list[Layout]:
    """The layouts met with segments of these sizes, else with as many segments."""
    if max(map(len, met)) == 1:
        return [(("", sizes[0]),)]
    same = [layout for layout in met if tuple(size for _, size in layout) == sizes]
    if same:
        return same
    origins = dict.fromkeys(tuple(origin for origin, _ in layout) for layout in met if len(layout) == len(sizes))
    return [tuple(zip(names, sizes, strict=True)) for names in origins]
