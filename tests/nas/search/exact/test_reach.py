"""Limits that cannot be met are proved so, with the nearest values and their architecture."""

import numpy as np
import pytest

import search_spaces as ss
from nas.search.domain import Domain
from nas.search.exact.reach import Reach
from nas.search.limits import check_limits
from predictors.tables import CostTables, compile_for_costs
from search_spaces.errors import NasError


def opposed(net: ss.NetworkBuilder, pick: ss.Pick) -> ss.Tensor:
    """Either few weights used often or many used seldom; then 12 kernels, in more ways than can be listed."""
    stride = pick("stride", (1, 2, 4))
    width = pick("width", {1: (32, 48), 2: (64, 96), 4: (128, 192)}[stride])
    x = ss.conv_norm_act(net, net.input(1, 16, 16), width, kernel=3, stride=stride, name="stem")
    x = ss.conv_norm_act(net, x, 4, kernel=1, stride=4 // stride, name="neck")
    for i in range(12):
        x = ss.conv_norm_act(net, x, 4, kernel=pick(f"kernel{i}", (1, 3, 5)), name=f"block{i}")
    return ss.classifier(net, x, 10)


@pytest.fixture(scope="module")
def tables() -> CostTables:
    return CostTables(compile_for_costs(ss.SearchSpace(opposed)))


@pytest.fixture(scope="module")
def smallest(tables: CostTables) -> dict[str, np.ndarray]:
    """Figures of the six networks whose kernels are all 1: no other is better in anything."""
    rows = []
    for stride, widths in {1: (32, 48), 2: (64, 96), 4: (128, 192)}.items():
        picks = {"stride": stride, **{f"kernel{i}": 1 for i in range(12)}}
        rows += [tables.compiled.encode(ss.Architecture.of({**picks, "width": width})) for width in widths]
    return tables.score(np.stack(rows))


def domain(tables: CostTables, **limits: float) -> Domain:
    return Domain(tables.compiled, ("macs",), tables.score, tables.names, limits, Reach(tables.sources))


@pytest.mark.parametrize("figure", ["params", "macs", "peak_memory_bytes"])
def test_the_least_of_a_space_too_large_to_list_is_proved(
    figure: str, tables: CostTables, smallest: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    least = float(smallest[figure].min())
    asked = domain(tables, **{figure: 0.9 * least})
    assert asked.everything is None
    with pytest.raises(NasError) as refusal:
        check_limits(asked, rng)
    message = str(refusal.value)
    assert f"the smallest that any architecture reaches is {least:,.0f} (stride=" in message
    assert "Raise the limit to at least that value" in message
    check_limits(domain(tables, **{figure: least}), rng)


def test_limits_that_exclude_each_other_are_proved_so(
    tables: CostTables, smallest: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    limits = {name: 1.05 * float(smallest[name].min()) for name in ("params", "macs")}
    excess = sum(np.maximum(smallest[name] - most, 0) / most for name, most in limits.items())
    assert excess.min() > 0
    row = Reach(tables.sources).nearest(limits)
    assert row is not None
    found = tables.score(row[None])
    reached = sum(max(0.0, float(found[name][0]) - most) / most for name, most in limits.items())
    assert reached == pytest.approx(float(excess.min()))
    with pytest.raises(NasError, match="not all together: the closest architecture of all has params") as refusal:
        check_limits(domain(tables, **limits), rng)
    assert f"{found['params'][0]:,.0f} (limit" in str(refusal.value)


def test_limits_that_can_be_met_are_not_proved_impossible(
    tables: CostTables, smallest: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    limits = {name: float(smallest[name][2]) for name in ("params", "macs", "peak_memory_bytes")}
    assert Reach(tables.sources).nearest(limits) is None
    assert Reach(tables.sources).nearest({"peak_memory_bytes": 1.0}) is None
    assert Reach(tables.sources).least("error") is None
    check_limits(domain(tables, **limits), rng)
