"""Costs looked up in tables against building, counting and predicting each architecture."""

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

import search_spaces as ss
from predictors.counts import bytes_of_saves, count_network, first_saves, live_elements
from predictors.kernels import Fusion, Kernel, kernels
from predictors.latency import LatencyModel, MeasuredLatency, fit_latency
from predictors.roofline import AnalyticEnergy
from predictors.table_observers import CHANNELS, OWN, POSITIONS, live_elements_of, observe_memory
from predictors.table_terms import Terms, merged
from predictors.tables import CostTables, compile_for_costs
from predictors.target import load_target
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.compile_lookup import Rows, Table
from search_spaces.compiled import compile_space
from search_spaces.errors import NasError, SpaceError
from tests.example_spaces import EXAMPLES, compiled

COUNTED = (
    "macs",
    "macs_effective",
    "params",
    "nonzero_params",
    "weight_bytes",
    "activations",
    "moved_elements",
    "training_memory_bytes",
    "energy_relative",
    "peak_memory_bytes",
)


@cache
def latency() -> LatencyModel:
    """A learned model of made-up times that depend on everything a kernel tells."""
    space = EXAMPLES["mobile"]()
    rng = np.random.default_rng(0)
    networks = []
    for _ in range(30):
        parts = kernels(space.build(space.sample(rng)))
        times = [1e-3 + 1e-6 * k.macs / (1 + k.group_size % 5) + 1e-7 * sum(k.dilation) * k.in_shape[0] for k in parts]
        networks.append(MeasuredLatency(parts, tuple(times), 0.02 + 1.1 * sum(times)))
    return fit_latency(networks, correct=False)


@cache
def tables(name: str) -> CostTables:
    return CostTables(compiled(name), latency=latency(), energy=AnalyticEnergy(2.0, 50.0))


def plain(costs: CostTables, row: Rows) -> dict[str, float]:
    space = costs.compiled.space
    return costs.plain(space.build(costs.compiled.decode(row)))


def rows_of(costs: CostTables, n: int) -> Rows:
    """Random rows, and rows at the ends of their choices."""
    rng = np.random.default_rng(n)
    sizes = np.array([len(slot.options) for slot in costs.compiled.slots])
    ends = np.where(rng.random((n // 2, len(sizes))) < rng.random((n // 2, 1)), 0, sizes - 1).astype(np.int16)
    return np.concatenate([costs.compiled.sample(rng, n - n // 2), costs.compiled.repair(ends)])


@pytest.mark.parametrize("name", EXAMPLES)
def test_tables_equal_the_plain_path(name: str) -> None:
    costs = tables(name)
    assert set(costs.names) == {*COUNTED, "latency_ms", "energy_mj"}
    rows = rows_of(costs, 80 if name in ("shared", "required", "joined", "dependent") else 120)
    found = costs.score(rows)
    for i, row in enumerate(rows):
        for figure, value in plain(costs, row).items():
            if figure in ("latency_ms", "energy_mj"):
                assert found[figure][i] == pytest.approx(value, rel=1e-9)
            else:
                assert found[figure][i] == value


@pytest.mark.parametrize("name", ["mobile, two blocks", "shared", "required"])
def test_tables_hold_every_architecture(name: str) -> None:
    costs = tables(name)
    every = list(costs.compiled.space.enumerate())
    rows = np.array([costs.compiled.encode(architecture) for architecture in every])
    found = costs.score(rows, ("macs", "peak_memory_bytes", "training_memory_bytes"))
    for i, architecture in enumerate(every):
        total = count_network(costs.compiled.space.build(architecture)).total
        assert {figure: values[i] for figure, values in found.items()} == {figure: total[figure] for figure in found}


def test_nothing_has_to_be_built_while_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = tables("mobile, all stages may be empty")
    rows = costs.compiled.sample(np.random.default_rng(1), 3000)
    monkeypatch.setattr(costs.compiled.space, "function", None)
    assert all(np.isfinite(values).all() for values in costs.score(rows).values())


def test_rows_mean_what_their_repair_means() -> None:
    costs = tables("dependent")
    sizes = [len(slot.options) for slot in costs.compiled.slots]
    rows = (np.random.default_rng(4).random((500, len(sizes))) * sizes).astype(np.int16)
    raw, repaired = costs.score(rows), costs.score(costs.compiled.repair(rows))
    assert all((raw[figure] == repaired[figure]).all() for figure in COUNTED)


def test_figures_threads_and_chunks_do_not_change_values() -> None:
    costs = tables("mobile")
    rows = np.tile(costs.compiled.sample(np.random.default_rng(2), 1000), (13, 1))
    whole = costs.score(rows, threads=3)
    few = costs.score(rows, ("latency_ms", "peak_memory_bytes", "macs"), threads=1)
    assert list(few) == ["latency_ms", "peak_memory_bytes", "macs"]
    assert all((few[figure] == whole[figure]).all() for figure in few if figure in COUNTED)
    assert few["latency_ms"] == pytest.approx(whole["latency_ms"], rel=1e-13)
    assert all((values[:1000] == values[-1000:]).all() for values in whole.values())
    assert all(len(values) == 0 for values in costs.score(rows[:0]).values())
    with pytest.raises(NasError, match="unknown figure of the tables 'mac': did you mean 'macs'"):
        costs.score(rows, ("mac",))


@pytest.mark.parametrize("name", ["dependent", "required", "mobile, two blocks"])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("figures", [("params", "macs", "nonzero_params"), ("latency_ms",), ("macs", "energy_mj")])
def test_extremes_are_those_of_all_architectures(name: str, largest: bool, figures: tuple[str, ...]) -> None:
    costs = tables(name)
    rows = np.array([costs.compiled.encode(a) for a in costs.compiled.space.enumerate()])
    found = costs.score(rows, figures)
    best = (max if largest else min)(zip(*(found[figure].tolist() for figure in figures), strict=True))
    row = costs.extreme(figures, largest=largest)
    assert (costs.compiled.repair(row[None])[0] == row).all()
    assert [costs.score(row[None], figures)[figure][0] for figure in figures] == pytest.approx(best, rel=1e-11)


def test_extremes_of_a_large_space_bound_its_samples() -> None:
    costs = tables("mobile, all stages may be empty")
    params = costs.score(costs.compiled.sample(np.random.default_rng(3), 20_000), ("params",))["params"]
    ends = np.stack([costs.extreme(largest=False), costs.extreme(largest=True)])
    smallest, largest = costs.score(ends, ("params",))["params"]
    assert smallest <= params.min()
    assert largest >= params.max()
    depths = [i for i, slot in enumerate(costs.compiled.slots) if slot.name.endswith(".depth")]
    assert (ends[0, depths] == 0).all()
    assert (ends[1, depths] == 2).all()
    with pytest.raises(NasError, match="unknown figure of the tables 'size'"):
        costs.extreme(("size",))


@pytest.mark.parametrize("largest", [True, False])
def test_extremes_of_peak_memory_are_found_by_ascent(largest: bool) -> None:
    costs = tables("mobile, two blocks")
    rows = np.array([costs.compiled.encode(a) for a in costs.compiled.space.enumerate()])
    found = costs.score(rows, ("peak_memory_bytes",))["peak_memory_bytes"]
    row = costs.extreme(("peak_memory_bytes", "macs"), largest=largest)
    best = found.max() if largest else found.min()
    assert costs.score(row[None])["peak_memory_bytes"][0] == best


@pytest.mark.parametrize("name", ["dependent", "required", "mobile, two blocks"])
@pytest.mark.parametrize("figure", ["peak_memory_bytes", "macs", "weight_bytes", "training_memory_bytes", "latency_ms"])
def test_the_least_of_a_figure_is_proved(name: str, figure: str) -> None:
    costs = tables(name)
    rows = np.array([costs.compiled.encode(a) for a in costs.compiled.space.enumerate()])
    row = costs.least(figure)
    assert row is not None
    assert (costs.compiled.repair(row[None])[0] == row).all()
    found = costs.score(row[None], (figure,))[figure][0]
    assert found == pytest.approx(costs.score(rows, (figure,))[figure].min(), rel=1e-11)


def test_the_least_of_a_large_space_bounds_its_samples() -> None:
    costs = tables("mobile, all stages may be empty")
    drawn = costs.score(costs.compiled.sample(np.random.default_rng(3), 20_000))
    for figure in ("peak_memory_bytes", "params", "energy_relative"):
        row = costs.least(figure)
        assert row is not None
        assert costs.score(row[None])[figure][0] <= drawn[figure].min()
    with pytest.raises(NasError, match="unknown figure of the tables 'size'"):
        costs.least("size")


def test_a_space_compiled_without_memory_is_compiled_again() -> None:
    bare = compile_space(EXAMPLES["shared"]())
    costs = CostTables(bare, latency=load_target("jetson_nano").latency)
    assert costs.compiled is not bare
    assert costs.compiled.slots == bare.slots
    assert "peak_memory_bytes" in costs.names


def test_memory_seen_by_tables_is_the_counted_one() -> None:
    for name in ("joined", "shared", "mobile", "sliced"):
        space = EXAMPLES[name]()
        rng = np.random.default_rng(0)
        for _ in range(5):
            network = space.build(space.sample(rng))
            seen, live, saves = observe_memory(network), live_elements(network), first_saves(network)
            saved = 0
            for i in network.inference_nodes:
                node, shapes = network.nodes[i], network.input_shapes(network.nodes[i])
                parts = (seen[part][i] for part in (OWN, CHANNELS, POSITIONS))
                assert live_elements_of(shapes, node.shape, *parts) == live[i]  # type: ignore[arg-type]
                saved += bytes_of_saves(node.op, shapes, node.shape, saves[i])
            assert saved == count_network(network).total["training_memory_bytes"]


class _Forgetful:
    """A latency model that answers differently every time."""

    fusion: Fusion = "graph"
    intercept_ms = 0.0

    def __init__(self) -> None:
        self._turn = itertools.count(1)

    def predict_ms(self, kernels: Sequence[Kernel], /) -> np.ndarray:
        return np.full(len(kernels), float(next(self._turn)))

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> None:
        return None


def test_tables_that_disagree_with_the_plain_path_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"latency_ms is .* its tables give"):
        CostTables(tables("shared").compiled, latency=_Forgetful())


def test_terms_add_up_within_their_limit() -> None:
    rng = np.random.default_rng(0)
    sizes = [3, 4, 2, 5, 3]
    scopes = [(0, 1), (1, 2), (0,), (2, 3, 4), (0, 1, 4), (1, 2), ()]
    some = [Table(scope, rng.integers(0, 99, [*(sizes[v] for v in scope), 4]).astype(float)) for scope in scopes]
    live = [Table(scope, rng.integers(0, 99, [sizes[v] for v in scope]).astype(float)) for scope in scopes]
    joined = merged(some, sizes, np.add, str)
    assert len(joined) == 1
    terms = Terms(5, (), [joined], merged(live, sizes, np.maximum, str))
    rows = (rng.random((1000, 5)) * sizes).astype(np.int16)
    sums, most, unknown = terms.score(rows)
    assert not unknown.any()
    picked = [table.values[tuple(rows[:, v] for v in table.variables)] for table in some]
    assert (sums[0] == sum(np.broadcast_to(part, (1000, 4)) for part in picked)).all()
    ones = [table.values[tuple(rows[:, v] for v in table.variables)] for table in live]
    assert (most == np.stack([np.broadcast_to(one, 1000) for one in ones]).max(axis=0)).all()


def test_a_term_over_its_limit_names_its_choices() -> None:
    names = ["width", "depth", "kernel"]
    with pytest.raises(SpaceError, match=r"depend on 2 choices in 9000000 ways .*: width, kernel\. Offer fewer"):
        merged([Table((0, 2), np.broadcast_to(1.0, (3000, 3000)))], [3000, 2, 3000], np.add, names.__getitem__)


def test_costs_of_unreachable_combinations_do_not_matter() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        width = pick("width", (6, 8))
        x = net.conv(net.input(3, 8, 8), width, kernel=1)
        group_size = pick("group_size", (3,) if width == 6 else (4,))
        return net.conv(x, 12 if width == 6 else 16, kernel=1, group_size=group_size, name="grouped")

    costs = CostTables(compile_for_costs(ss.SearchSpace(space)))
    assert costs.compiled.size().value == 2
    rows = costs.compiled.repair(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.int16))
    assert costs.score(rows, ("params",))["params"].tolist() == [54.0, 54.0, 88.0, 88.0]
