"""Compiled spaces against the space function itself: slots, repair, counting, sampling, fields."""

import itertools
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import search_spaces as ss
from search_spaces.blocks import classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.compile_eliminate import count, maximum
from search_spaces.compile_lookup import DerivedColumn, Lookup, Rows, Table, extended
from search_spaces.compiled import CompiledSpace, compile_space
from tests.example_spaces import EXAMPLES, compiled

SMALL = ["dependent", "required", "joined", "shared", "picks first", "mobile, two blocks"]
DEEP = ["mobile", "mobile, one stage may be empty", "mobile, all stages may be empty"]


@cache
def enumerated(name: str) -> list[ss.Architecture]:
    return list(compiled(name).space.enumerate())


def picks(space: CompiledSpace, row: Rows) -> dict[str, ss.builder.Value]:
    return {slot.name: slot.options[i] for slot, i in zip(space.slots, row, strict=True)}


def random_rows(space: CompiledSpace, n: int, seed: int) -> Rows:
    sizes = [len(slot.options) for slot in space.slots]
    return (np.random.default_rng(seed).random((n, len(sizes))) * sizes).astype(np.int16)


@pytest.mark.parametrize("name", SMALL)
def test_small_spaces_are_counted_coded_and_repaired_exactly(name: str) -> None:
    space = compiled(name)
    every = enumerated(name)
    assert space.size().value == len(every)
    rows = np.array([space.encode(architecture) for architecture in every])
    assert len(np.unique(rows, axis=0)) == len(every)
    assert space.valid(rows).all()
    assert (space.repair(rows) == rows).all()
    for architecture, row in list(zip(every, rows, strict=True))[:: max(1, len(every) // 30)]:
        assert space.decode(row) == architecture
    sizes = [len(slot.options) for slot in space.slots]
    if math.prod(sizes) <= 100_000:
        grid = np.array(list(itertools.product(*map(range, sizes))), np.int16)
        assert (np.unique(space.repair(grid), axis=0) == np.unique(rows, axis=0)).all()


@pytest.mark.parametrize("name", SMALL + DEEP)
def test_repair_is_that_of_the_space(name: str) -> None:
    space = compiled(name)
    rows = random_rows(space, 60, seed=3)
    repaired = space.repair(rows)
    assert space.valid(repaired).all()
    assert (space.repair(repaired) == repaired).all()
    for row, fixed in zip(rows, repaired, strict=True):
        try:
            assert (space.encode(space.space.repair(picks(space, row))) == fixed).all()
        except ss.InvalidArchitecture:
            assert (space.encode(space.decode(row)) == fixed).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(["dependent", "mobile, all stages may be empty"]))
def test_any_row_means_an_architecture(data: st.DataObject, name: str) -> None:
    space = compiled(name)
    row = np.array([data.draw(st.integers(0, len(slot.options) - 1)) for slot in space.slots], np.int16)
    architecture = space.space.repair(picks(space, row))
    assert space.decode(row) == architecture
    assert (space.encode(architecture) == space.repair(row[None])[0]).all()
    space.space.build(architecture)


def test_a_refused_row_becomes_a_valid_one_nearby() -> None:
    space = compiled("required")
    row = np.array([3, 0, 0, 0, 0], np.int16)
    assert picks(space, row) | {"first": 16, "second": 4} == picks(space, row)
    assert not space.valid(row[None])[0]
    repaired = space.repair(row[None])[0]
    assert space.valid(repaired[None])[0]
    assert (repaired != row).sum() == 1


def per_block(channels: int, positions: int) -> int:
    """Combinations of the picks of one block of the example `mobile` that reads `channels` on a small map."""
    count = 0
    for kernel, expand in itertools.product((3, 5), (1, 3)):
        groups = sum(channels * expand % group_size == 0 for group_size in (1, 8, 16))
        dilations = sum(dilation * (kernel // 2) < positions for dilation in (1, 2)) or 1
        count += groups * dilations * 2
    return count


def closed_form(depths: tuple[tuple[int, ...], ...]) -> int:
    """Architectures of the example `mobile`, summed over the shapes between stages."""
    states = {(16, side): 1 for side in (24, 32)}
    for widths, offered, stride in zip(((16, 24), (24, 32), (32, 48)), depths, (1, 2, 2), strict=True):
        after: dict[tuple[int, int], int] = {}
        for ((channels, side), ways), width, depth in itertools.product(states.items(), widths, offered):
            now = (width, -(-side // stride)) if depth else (channels, side)
            many = per_block(channels, side) * per_block(width, now[1]) ** (depth - 1) if depth else 1
            after[now] = after.get(now, 0) + ways * many
        states = after
    return sum(states.values())


@pytest.mark.parametrize(
    ("name", "depths"),
    [(DEEP[0], ((1, 2),) * 3), (DEEP[1], ((1, 2), (0, 1, 2), (1, 2))), (DEEP[2], ((0, 1, 2),) * 3)],
)
def test_size_equals_the_closed_form(name: str, depths: tuple[tuple[int, ...], ...]) -> None:
    assert compiled(name).size().value == closed_form(depths)


def test_size_tells_how_it_is_known() -> None:
    assert compiled("required").size() == ss.compiled.Size(84, proved=True, verified_on=84)
    learned = compiled(DEEP[0]).size()
    assert not learned.proved
    assert learned.verified_on == 256
    assert "verified on 256 architectures" in str(learned)
    declared = compile_space(ss.SearchSpace(EXAMPLES["shared"]().function, declarative=True))
    assert declared.size().proved


def test_samples_are_uniform_per_choice() -> None:
    space = compiled("dependent")
    rows = space.sample(np.random.default_rng(0), 20_000)
    assert (space.repair(rows) == rows).all()
    names = [slot.name for slot in space.slots]
    width, group = names.index("width"), names.index("group_size")
    for i, option in enumerate((6, 8, 12, 16)):
        chosen = rows[rows[:, width] == i]
        assert len(chosen) == pytest.approx(5000, rel=0.06)
        found = {space.slots[group].options[k] for k in np.unique(chosen[:, group])}
        assert found == set(ss.divisors(option))
        shares = np.unique(chosen[:, group], return_counts=True)[1] / len(chosen)
        assert shares == pytest.approx(1 / len(found), rel=0.15)


def test_compiling_is_deterministic() -> None:
    first, second = (compile_space(EXAMPLES["shared"]()) for _ in range(2))
    assert first.slots == second.slots
    assert (first.sample(np.random.default_rng(1), 50) == second.sample(np.random.default_rng(1), 50)).all()
    assert first.learned.fields.keys() == second.learned.fields.keys()
    for key, table in first.learned.fields.items():
        assert table.variables == second.learned.fields[key].variables
        assert (table.values == second.learned.fields[key].values).all()


@pytest.mark.parametrize("name", ["dependent", "joined", "shared", "mobile, two blocks"])
def test_weight_uses_are_all_and_only_those_met(name: str) -> None:
    space = compiled(name)
    met: dict[tuple[str, str], set[tuple[ss.operators.Operator, tuple[int, ...]]]] = {}
    for architecture in enumerated(name):
        network = space.space.build(architecture)
        for node in network.nodes:
            if node.op.weights(network.input_shapes(node)):
                layout = tuple(size for _, size in network.input_layouts(node)[0])
                met.setdefault((node.weights_path, type(node.op).__name__), set()).add((node.op, layout))
    known = {
        key: {(op, tuple(size for _, size in layout)) for op, layout in uses} for key, uses in space.weight_uses.items()
    }
    assert known == met


def test_largest_axes_come_from_what_can_be() -> None:
    space = compiled("dependent")
    assert space.maxima["stem.conv", "Conv"] == {"weight": (16, 3, 3, 3)}
    assert space.maxima["body.conv", "Conv"]["weight"] == (16, 16, 5, 5)
    assert space.maxima["late.conv", "Conv"]["weight"] == (128, 16, 3, 3)
    assert set(compiled("shared").maxima) >= {("norm", "LayerNorm"), ("norm", "BatchNorm"), ("turn0.conv", "Conv")}


def test_layouts_name_their_origins_where_segments_vary() -> None:
    layouts = {layout for _, layout in compiled("joined").weight_uses["stage0.mix.conv", "Conv"]}
    assert (("stem.conv", 8), ("stage0.conv0.conv", 4), ("stage0.conv1.conv", 4)) in layouts
    assert {len(layout) for layout in layouts} == {2, 3, 4}
    mixed = {layout for _, layout in compiled("shared").weight_uses["mix", "Conv"]}
    assert mixed == {
        layout for i in range(3) for layout in [((f"turn{i}.conv", 8),), (("stem.conv", 8), (f"turn{i}.conv", 8))]
    }
    assert {layout for _, layout in compiled("dependent").weight_uses["late.conv", "Conv"]} >= {(("", 16),)}


def one_conv(width: Callable[[NetworkBuilder, Pick], int]) -> ss.SearchSpace:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(3, 8, 8)
        return classifier(net, conv_norm_act(net, x, width(net, pick), name="conv"), 2)

    return ss.SearchSpace(space)


def refusing(net: NetworkBuilder, pick: Pick) -> int:
    width = pick("width", tuple(range(1, 20)))
    net.require(width > 5, "wider than 5")
    net.require(width < 4, "narrower than 4")
    return int(width)


def breaking(net: NetworkBuilder, pick: Pick) -> int:
    return int(pick("width", (8, 0)))


def test_spaces_that_cannot_be_used_say_why() -> None:
    with pytest.raises(ss.SpaceError, match=r"no valid architecture .* refused by: narrower than 4 .*wider than 5"):
        compile_space(one_conv(refusing))
    with pytest.raises(ss.SpaceError, match=r"breaks on the picks \{'width': 0\}: conv.conv: Conv needs positive"):
        compile_space(one_conv(breaking))
    turns = itertools.count()
    with pytest.raises(ss.SpaceError, match=r"conv\.conv Conv out_channels takes different values for the same picks"):
        compile_space(one_conv(lambda _net, pick: int(pick("width", (4, 8, 12))) + next(turns) % 7))
    with pytest.raises(ss.SpaceError, match=r"out_channels depends on 12 choices in 16777216 ways .* p0, p1, p2"):
        compile_space(one_conv(lambda _net, pick: 8 * sum(int(pick(f"p{i}", (1, 2, 3, 4))) for i in range(12))))


def random_tables(rng: np.random.Generator, sizes: list[int]) -> list[Table]:
    scopes = [(0, 1), (1, 2, 3), (3,), (0, 4)]
    return [Table(scope, rng.integers(0, 4, [sizes[v] for v in scope])) for scope in scopes]


def test_elimination_equals_brute_force() -> None:
    rng = np.random.default_rng(5)
    sizes = [2, 3, 2, 4, 3, 2]
    for _ in range(20):
        tables = random_tables(rng, sizes)
        combinations = list(itertools.product(*map(range, sizes)))
        values = [[int(t.values[tuple(c[v] for v in t.variables)]) for t in tables] for c in combinations]
        assert count(tables, sizes) == sum(map(math.prod, values))
        best = maximum([Table(t.variables, t.values.astype(float)) for t in tables], sizes)
        assert best is not None
        found = sum(int(t.values[tuple(best[v] for v in t.variables)]) for t in tables)
        assert found == max(map(sum, values))
    assert maximum([Table((0,), np.array([-np.inf, -np.inf]))], [2]) is None


def test_lookup_chains_columns_and_works_in_chunks() -> None:
    rng = np.random.default_rng(6)
    columns = [
        DerivedColumn("a", Table((0, 1), rng.integers(0, 3, (2, 3))), 3),
        DerivedColumn("unused", Table((2,), rng.integers(0, 2, 4)), 2),
        DerivedColumn("b", Table((2, 3), rng.integers(0, 2, (4, 3))), 2),
    ]
    tables = [Table((1, 5), rng.random((3, 2))), Table((), np.array(7.0)), Table((0, 3, 5), rng.random((2, 3, 2)))]
    rows = (rng.random((10_000, 3)) * [2, 3, 4]).astype(np.int16)
    variables = extended(rows, columns)
    for part, entries in Lookup(3, columns, tables).entries(rows):
        for table, entry in zip(tables, entries, strict=True):
            wanted = table.values[tuple(variables[part, v] for v in table.variables)]
            assert (table.flat[entry] == wanted).all()
