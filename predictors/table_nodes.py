"""Costs of every node a compiled space can have, evaluated from its field tables; nothing is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from predictors.counts import bytes_of_saves
from predictors.energy import MOVED_ELEMENT_COST_IN_MACS
from predictors.kernels import Fusion, Kernel, kernel_of
from predictors.table_observers import CHANNELS, OWN, POSITIONS, SAVED, live_elements_of
from search_spaces.compile_lookup import Table, joined_variables, spread
from search_spaces.compile_nodes import NodeForm, attribute_parts, combined, input_parts, operator_of, shapes_of
from search_spaces.compiled import CompiledSpace
from search_spaces.errors import ShapeError
from search_spaces.operators import VALUE_BYTES, Counts, Operator

Floats = npt.NDArray[np.float64]
PEAK = "peak_memory_bytes"
SHARED_ONCE = ("params", "nonzero_params", "weight_bytes")


@dataclass(frozen=True)
class NodeCosts:
    """Costs of one node in one class over the variables they depend on; 0 where the node is absent, NaN if unknown.

    `sums` adds up over nodes (one table per figure); `live`, bytes alive while it runs, takes the maximum.
    """

    name: str
    sums: Mapping[str, Table]
    live: Table


@dataclass(frozen=True)
class KernelCost:
    """A figure that adds up over kernels: `predict` gives what each of some kernels adds, [n_kernels]."""

    figure: str
    fusion: Fusion
    predict: Callable[[Sequence[Kernel]], Floats]


def node_costs(compiled: CompiledSpace, models: Sequence[KernelCost]) -> list[NodeCosts]:
    """Costs of every node form of a space that was compiled with `observe_memory`."""
    work = _Work(compiled, models)
    numbered = [work.numbered(form) for form in compiled.nodes]
    costs = work.costs()
    found = []
    for form, place in zip(compiled.nodes, numbered, strict=True):
        tables = {figure: Table(place.variables, values[place.values]) for figure, values in costs.items()}
        sums = {figure: _where_present(form, table) for figure, table in tables.items()}
        found.append(NodeCosts(form.name, sums, _where_present(form, _live(compiled, form))))
    return found


class _Work:
    """Distinct operators in their places, each evaluated once."""

    def __init__(self, compiled: CompiledSpace, models: Sequence[KernelCost]) -> None:
        self._learned = compiled.learned
        self._models = tuple(models)
        self._counted = tuple(field.name for field in fields(Counts))
        self._figures = (*self._counted, "training_memory_bytes")
        self._rows: list[tuple[float, ...]] = []
        self._kernels: dict[Fusion, list[int]] = {model.fusion: [] for model in models}
        self._numbers: dict[tuple[object, ...], int] = {}
        self._kernel_numbers: dict[Kernel, int] = {}

    def numbered(self, form: NodeForm) -> Table:
        """Which evaluated operator the node is, over the variables that matter; -1 where that is unknown."""
        parts = [*attribute_parts(form.fields), *input_parts(form.fields), "flags", "producers", SAVED]
        found = combined([form.fields[part] for part in parts], self._learned.names)
        numbers = np.empty(len(found.numbers), np.int64)
        for i, row in enumerate(found.numbers.tolist()):
            key = (form.operator, *parts, *row)
            if key not in self._numbers:
                values = {part: self._learned.values[n] for part, n in zip(parts, row, strict=True) if n >= 0}
                self._numbers[key] = self._evaluate(form.operator, values)
            numbers[i] = self._numbers[key]
        return Table(found.place.variables, numbers[found.place.values])

    def _evaluate(self, kind: type[Operator], values: Mapping[str, object]) -> int:
        if any(f".{field.name}" not in values for field in fields(kind)):  # type: ignore[arg-type]
            return -1
        try:
            flags, producers, saved = values["flags"], values["producers"], values[SAVED]
            op, shapes = operator_of(kind, values), shapes_of(values)
            out = op.infer(shapes)
            counts = op.counts(shapes)
        except (KeyError, ShapeError):  # a combination that was never reached
            return -1
        assert isinstance(flags, tuple)
        assert isinstance(producers, tuple)
        assert isinstance(saved, tuple)
        used, owner = flags
        makers = [self._learned.operators[name] for name in producers]
        for fusion, kernels in self._kernels.items():
            kernel = kernel_of(op, shapes, makers, fusion=fusion) if used else None
            new = len(self._kernel_numbers)
            kernels.append(-1 if kernel is None else self._kernel_numbers.setdefault(kernel, new))
        counted = (0 if name in SHARED_ONCE and not owner else getattr(counts, name) for name in self._counted)
        row = (*counted, bytes_of_saves(op, shapes, out, saved))
        self._rows.append(tuple(map(float, row)) if used else (0.0,) * len(row))
        return len(self._rows) - 1

    def costs(self) -> dict[str, Floats]:
        """Per figure, costs by number; the last place, which -1 reads, is NaN."""
        rows = np.array([*self._rows, (np.nan,) * len(self._figures)], np.float64)
        found = {figure: rows[:, i] for i, figure in enumerate(self._figures)}
        found["energy_relative"] = found["macs"] + MOVED_ELEMENT_COST_IN_MACS * found["moved_elements"]
        kernels = list(self._kernel_numbers)
        for model in self._models:
            predicted = np.asarray(model.predict(kernels), np.float64) if kernels else np.empty(0)
            found[model.figure] = np.append(np.append(predicted, 0.0)[self._kernels[model.fusion]], np.nan)
        return found


def _live(compiled: CompiledSpace, form: NodeForm) -> Table:
    """Bytes alive while the node runs."""
    parts = [*input_parts(form.fields), "channels", "positions", "flags", OWN, CHANNELS, POSITIONS]
    found = combined([form.fields[part] for part in parts], compiled.learned.names)
    live = np.empty(len(found.numbers))
    for i, row in enumerate(found.numbers.tolist()):
        values = {part: compiled.learned.values[n] for part, n in zip(parts, row, strict=True) if n >= 0}
        live[i] = _live_bytes(values)
    return Table(found.place.variables, live[found.place.values])


def _live_bytes(values: Mapping[str, object]) -> float:
    try:
        shapes, flags = shapes_of(values), values["flags"]
        out = (values["channels"], values["positions"])
        own, channels, positions = values[OWN], values[CHANNELS], values[POSITIONS]
    except KeyError:
        return np.nan
    assert isinstance(flags, tuple)
    if not flags[0]:
        return 0.0
    if len(channels) != len(positions):  # type: ignore[arg-type]
        return np.nan
    return float(live_elements_of(shapes, out, own, channels, positions) * VALUE_BYTES)  # type: ignore[arg-type]


def _where_present(form: NodeForm, costs: Table) -> Table:
    """`costs` where the node exists, 0 elsewhere; variables that do not matter are left out."""
    union = joined_variables([form.present, costs])
    present = spread(form.present, union)
    values = np.where(present == 1, spread(costs, union), np.where(present == 0, 0.0, np.nan))
    return pruned_costs(Table(union, values))


def pruned_costs(table: Table) -> Table:
    """The table without variables on which no known cost depends."""
    variables, values = list(table.variables), table.values
    if np.isnan(values).all():
        return Table((), np.float64(np.nan) * np.ones(()))
    for variable in table.variables:
        axis = variables.index(variable)
        top = np.fmax.reduce(values, axis=axis, keepdims=True)
        if (np.isnan(values) | (values == top)).all():
            values = top.squeeze(axis)
            variables.pop(axis)
    return Table(tuple(variables), values)
