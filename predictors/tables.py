"""Whole populations of architectures scored by array look-ups."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from predictors.costs import models_by_figure, network_costs
from predictors.figures import CAPACITY
from predictors.latency import LatencyModel
from predictors.learned_energy import EnergyModel
from predictors.table_extreme import ascended_extreme, eliminated_extreme, eliminated_least_maximum
from predictors.table_nodes import PEAK, KernelCost, NodeCosts, node_costs
from predictors.table_observers import OBSERVED, observe_memory
from predictors.table_terms import PACK, Terms, merged, packed
from search_spaces.compile_lookup import Rows, Table, extended
from search_spaces.compiled import CompiledSpace, compile_space
from search_spaces.errors import InvalidArchitecture, SpaceError, unknown_name
from search_spaces.merging import merged as merged_form
from search_spaces.network import Network
from search_spaces.space import SearchSpace

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-9
CHECKED, MERGED = 24, 8
"""How far a looked-up cost may lie from the plain path's, relatively, and on how many architectures that is checked."""


def compile_for_costs(space: SearchSpace, *, seed: int = 0) -> CompiledSpace:
    """Compile `space` with everything that `CostTables` needs."""
    return compile_space(space, (observe_memory,), seed=seed)


def _merges(compiled: CompiledSpace) -> bool:
    """Whether some network of the space is used in another form than it trains in; seen on both ends and a few."""
    if compiled.space.as_used:
        return False
    last = [len(slot.options) - 1 for slot in compiled.slots]
    ends = compiled.repair(np.array([[0] * len(last), last], dtype=np.int16))
    rows = np.concatenate([ends, compiled.sample(np.random.default_rng(0), MERGED)])
    networks = (compiled.space.build(compiled.decode(row)) for row in rows)
    return any(bool(merged_form(network).folds) for network in networks)


class CostTables:
    """Counted and predicted costs of every architecture of a compiled space, in the form in which it is used.

    `latency` adds `latency_ms`, `energy` adds `energy_mj`. A space compiled without `compile_for_costs` is compiled
    again, as is one whose networks merge (`search_spaces.merging`). Checked against the plain path (build, count,
    predict) on random architectures and on both ends; `SpaceError` when they disagree.

    `compiled` is the space whose networks train, `costed` has the same slots and the columns that the tables are over.
    """

    def __init__(
        self,
        compiled: CompiledSpace,
        *,
        latency: LatencyModel | None = None,
        energy: EnergyModel | None = None,
        check: int = CHECKED,
    ) -> None:
        self.compiled = compiled if compiled.observed >= OBSERVED else compile_for_costs(compiled.space)
        merges = _merges(compiled)
        self.costed = compile_for_costs(compiled.space.used_form()) if merges else self.compiled
        if not self.compiled.slots == self.costed.slots == compiled.slots:
            raise SpaceError(
                f"space {compiled.space.name!r} shows other choices when it is compiled again; compile it once, with "
                "compile_for_costs"
            )
        self.latency = latency
        self.energy = energy
        models: list[KernelCost] = []
        self._constants: dict[str, float] = {}
        if latency is not None:
            models.append(KernelCost("latency_ms", latency.fusion, latency.predict_ms))
            self._constants["latency_ms"] = latency.intercept_ms
        if energy is not None:
            models.append(KernelCost("energy_mj", energy.fusion, energy.predict_mj))
            self._constants["energy_mj"] = energy.intercept_mj
        self._nodes: list[NodeCosts] = node_costs(self.costed, models)
        self._sums = tuple(self._nodes[0].sums)
        self.names: tuple[str, ...] = (*self._sums, PEAK)
        self._sizes = [*(len(s.options) for s in self.costed.slots), *(c.size for c in self.costed.columns)]
        self._made: dict[tuple[tuple[str, ...], bool], Terms] = {}
        if check:
            self._check(check)

    @property
    def sources(self) -> "dict[str, tuple[CostTables, str]]":
        """By figure name, the tables that know it and what they call it."""
        return {figure: (self, figure) for figure in self.names}

    def score(self, rows: Rows, figures: Sequence[str] | None = None, *, threads: int = 2) -> dict[str, Floats]:
        """Figure name to values `[n]` for valid rows `[n, n_slots]`; all figures in `names` unless `figures` are given.

        Rows need not be canonical. The few combinations that were never met while compiling are built and counted.
        """
        wanted = self.names if figures is None else tuple(figures)
        for figure in wanted:
            if figure not in self.names:
                raise unknown_name("figure of the tables", figure, self.names)
        sums = tuple(figure for figure in self._sums if figure in wanted)
        packs, most, unknown = self._terms(sums, PEAK in wanted).score(rows, threads=threads)
        values = {figure: packs[i // PACK][:, i % PACK] for i, figure in enumerate(sums)}
        if PEAK in wanted:
            values[PEAK] = most
        for i in np.flatnonzero(unknown):
            for figure, value in self._plain_row(rows[i]).items():
                if figure in values:
                    values[figure][i] = value
        return {figure: values[figure] for figure in wanted}

    def intervals(self, values: Mapping[str, Floats], *, confidence: float = 0.9) -> dict[str, tuple[Floats, Floats]]:
        """Lower and upper ends [n] for those of the scored `values` that are predicted and know their error."""
        found = {}
        for figure, model in models_by_figure(self.latency, self.energy).items():
            ends = model.interval(1.0, confidence=confidence) if figure in values else None
            if ends is not None:
                found[figure] = (ends[0] * values[figure], ends[1] * values[figure])
        return found

    def plain(self, network: Network) -> dict[str, float]:
        """The same figures of one built network."""
        values = network_costs(network, latency=self.latency, energy=self.energy)
        return {figure: values[figure] for figure in self.names}

    def _plain_row(self, row: Rows) -> Mapping[str, float]:
        slots = self.costed.slots
        picks = {slot.name: slot.options[i] for slot, i in zip(slots, row, strict=True)}
        try:
            architecture = self.compiled.space.repair(picks)
        except InvalidArchitecture:
            return {}
        return self.plain(self.compiled.space.build(architecture))

    def extreme(self, figures: Sequence[str] = CAPACITY, *, largest: bool = True) -> Rows:
        """The canonical valid row with the largest (smallest) first figure, among those the second, and so on.

        Exact for figures that add up over operators. With peak memory among them, or where too many choices depend on
        each other, the best row that changing single picks reaches from many starts.
        """
        for figure in figures:
            if figure not in self.names:
                raise unknown_name("figure of the tables", figure, self.names)
        if PEAK not in figures:
            row = eliminated_extreme(self.costed, self._nodes, figures, largest=largest)
            if row is not None:
                return row
        sign = 1.0 if largest else -1.0

        def score(rows: Rows) -> Floats:
            return sign * np.stack(list(self.score(rows, figures, threads=1).values()), axis=1)

        return ascended_extreme(self.costed, score)

    def least(self, figure: str) -> Rows | None:
        """The canonical valid row with the least `figure` of the whole space, peak memory included, by elimination.

        `None` where that cannot be proved, because too many choices depend on each other.
        """
        if figure not in self.names:
            raise unknown_name("figure of the tables", figure, self.names)
        if figure == PEAK:
            return eliminated_least_maximum(self.costed, [node.live for node in self._nodes])
        return eliminated_extreme(self.costed, self._nodes, (figure,), largest=False)

    def terms(self, figure: str) -> tuple[Table, ...]:
        """Tables over slots and columns of `costed` that add up to `figure`; not for peak memory, a maximum."""
        if figure not in self._sums:
            raise unknown_name("figure that adds up over operators", figure, self._sums)
        constant = Table((), np.array(self._constants.get(figure, 0.0)))
        return (*(node.sums[figure] for node in self._nodes), constant)

    def live_terms(self) -> tuple[Table, ...]:
        """Tables over slots and columns, the largest of which is peak memory."""
        return tuple(node.live for node in self._nodes)

    def _terms(self, sums: tuple[str, ...], peak: bool) -> Terms:
        if (sums, peak) not in self._made:
            self._made[sums, peak] = self._make_terms(sums, peak)
        return self._made[sums, peak]

    def _make_terms(self, sums: tuple[str, ...], peak: bool) -> Terms:
        names = self.costed.learned.names
        packs = []
        for start in range(0, len(sums), PACK):
            figures = sums[start : start + PACK]
            rows = [packed([node.sums[figure] for figure in figures]) for node in self._nodes]
            rows.append(packed([Table((), np.array(self._constants.get(figure, 0.0))) for figure in figures]))
            packs.append(merged(rows, self._sizes, np.add, names.__getitem__))
        live = [node.live for node in self._nodes] if peak else []
        maxima = merged(live, self._sizes, np.maximum, names.__getitem__)
        return Terms(len(self.costed.slots), self.costed.columns, packs, maxima)

    def _check(self, count: int) -> None:
        """Compare with the plain path on random architectures and the ends of every choice."""
        rng = np.random.default_rng(count)
        sizes = np.array([len(slot.options) for slot in self.costed.slots], np.int64)
        ends = np.stack([np.zeros_like(sizes), sizes - 1]).astype(np.int16)
        rows = np.concatenate([self.costed.repair(ends), self.costed.sample(rng, count)])
        found = self._unmerged(rows)
        for i, row in enumerate(rows):
            for figure, value in self._plain_row(row).items():
                known = found[figure][i]
                if not (np.isnan(known) or np.isclose(known, value, rtol=TOLERANCE, atol=0)):
                    raise SpaceError(
                        f"space {self.compiled.space.name!r}: {figure} is {value} for {self.compiled.decode(row)}, but "
                        f"its tables give {known}; the space function may depend on more than its picks"
                    )

    def _unmerged(self, rows: Rows) -> dict[str, Floats]:
        """Values of all figures from the nodes' own tables."""
        variables = extended(rows, self.costed.columns)

        def values(table: Table) -> Floats:
            return np.asarray(table.values[tuple(variables[:, v] for v in table.variables)], np.float64)

        def stacked(tables: Iterable[Table]) -> Floats:
            return np.stack([np.broadcast_to(values(table), len(rows)) for table in tables])

        found = {figure: stacked(node.sums[figure] for node in self._nodes).sum(axis=0) for figure in self._sums}
        for figure, constant in self._constants.items():
            found[figure] = found[figure] + constant
        return {**found, PEAK: stacked(node.live for node in self._nodes).max(axis=0)}
