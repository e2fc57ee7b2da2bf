"""Define-by-run spaces: picks, repair, variation, enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import search_spaces as ss
from search_spaces import Architecture, InvalidArchitecture, NetworkBuilder, Pick, SpaceError, Tensor
from search_spaces.catalog import mobile
from search_spaces.space import nearest_option


def small(net: NetworkBuilder, pick: Pick) -> Tensor:
    width = pick("width", (8, 12, 16))
    x = net.input(3, 8, 8)
    x = net.conv(x, width, name="stem")
    for i in range(pick("depth", (0, 1, 2))):
        with net.scope(f"block{i}") as here:
            x = net.conv(x, width, group_size=here.pick("group_size", ss.divisors(width)[:4]))
    return ss.classifier(net, x, 10)


SMALL = ss.SearchSpace(small)
MOBILE = mobile((3, 16, 16), 10)


def test_enumeration_equals_brute_force() -> None:
    expected = set()
    for width, depth in itertools.product((8, 12, 16), (0, 1, 2)):
        for groups in itertools.product(ss.divisors(width)[:4], repeat=depth):
            picks = {"width": width, "depth": depth, **{f"block{i}.group_size": g for i, g in enumerate(groups)}}
            expected.add(tuple(picks.items()))
    found = [architecture.picks for architecture in SMALL.enumerate()]
    assert len(found) == len(set(found)) == 3 * (1 + 4 + 16)
    assert set(found) == expected


def test_json_round_trip_is_exact() -> None:
    architecture = Architecture((("a", True), ("b", 1), ("c", 0.1), ("d", "x")))
    back = Architecture.from_json(architecture.to_json())
    assert back == architecture
    assert [type(value) for _, value in back.picks] == [bool, int, float, str]
    assert hash(back) == hash(architecture)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sampling_mutation_and_crossover_stay_valid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = MOBILE.sample(rng), MOBILE.sample(rng)
    for architecture in (first, MOBILE.mutate(first, rng), MOBILE.crossover(first, second, rng)):
        network = MOBILE.build(architecture)
        assert network.nodes[network.outputs[0][1]].shape == (10,)
        assert MOBILE.repair(architecture.values) == architecture


def test_sampling_is_deterministic() -> None:
    draws = [[MOBILE.sample(np.random.default_rng(7)) for _ in range(3)] for _ in range(2)]
    assert draws[0] == draws[1]


def test_repair_takes_the_nearest_option_and_drops_the_rest() -> None:
    repaired = SMALL.repair({"width": 13, "depth": 1, "block0.group_size": 9, "block7.group_size": 1, "other": 2})
    assert repaired.values == {"width": 12, "depth": 1, "block0.group_size": 4}


def test_nearest_option_tells_booleans_from_numbers() -> None:
    assert nearest_option(1, (True, False)) is True
    assert nearest_option(3, (2, 4)) == 2
    assert nearest_option("x", ("a", "b")) == "a"
    assert nearest_option(True, (0, 1)) == 0


@pytest.mark.parametrize(
    ("picks", "message"),
    [
        ({"width": 9, "depth": 0}, r"'width' is 9; options: \(8, 12, 16\)"),
        ({"width": 8}, "'depth' is missing"),
        ({"width": 8, "depth": 0, "block0.group_size": 1}, "does not ask for block0.group_size"),
    ],
)
def test_build_refuses_what_the_space_does_not_offer(picks: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SMALL.build(Architecture.of(picks))


@pytest.mark.parametrize(
    ("options", "message"),
    [((), "no options"), ((1, 1), "twice"), (((1, 2),), "options are text, numbers or booleans")],
)
def test_bad_options_are_refused(options: tuple[object, ...], message: str) -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        pick("bad", options)  # type: ignore[arg-type]
        return net.input(1, 2, 2)

    with pytest.raises(SpaceError, match=message):
        ss.SearchSpace(space).sample(np.random.default_rng(0))


def test_a_name_asked_twice_needs_the_same_options() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        assert pick("same", (1, 2)) == pick("same", (1, 2))
        pick("same", (1, 2, 3))
        return net.input(1, 2, 2)

    with pytest.raises(SpaceError, match="'same' is asked for twice with other options"):
        ss.SearchSpace(space).sample(np.random.default_rng(0))


def test_a_space_without_valid_architecture_says_why() -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        net.require(pick("width", (1, 2)) > 2, "width must exceed 2")
        return net.input(1, 2, 2)

    with pytest.raises(
        SpaceError, match=r"no valid architecture among 200 draws, refused by: width must exceed 2 \(200"
    ):
        ss.SearchSpace(space).sample(np.random.default_rng(0))


def test_what_was_just_drawn_is_built_already() -> None:
    runs = []

    def counted(net: NetworkBuilder, pick: Pick) -> Tensor:
        runs.append(1)
        return net.conv(net.input(3, 8, 8), 8, kernel=1, bias=bool(pick("bias", (True, False))))

    space = ss.SearchSpace(counted)
    architecture = space.sample(np.random.default_rng(0))
    first = space.build(architecture)
    assert len(runs) == 1
    other = Architecture.of({"bias": not architecture["bias"]})
    assert space.build(other).id != first.id
    assert space.build(architecture).id == first.id
    with pytest.raises(InvalidArchitecture, match="bias"):
        space.build(Architecture.of({"bias": int(architecture["bias"])}))
