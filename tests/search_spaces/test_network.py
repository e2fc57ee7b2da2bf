"""Builder, scopes and identity."""

import pytest

import search_spaces as ss
from search_spaces import NetworkBuilder, ShapeError, SpaceError, Tensor


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def chain(names: tuple[str, str], *, tie: bool = False) -> ss.Network:
    net = builder()
    x = net.input(4, 8, 8)
    y = net.conv(x, 4, name=names[0])
    y = net.conv(y, 4, name=names[1], weights=names[0] if tie else None)
    return net.finish(y)


def test_fingerprint_ignores_names_and_sees_ties() -> None:
    assert chain(("a", "b")).fingerprint == chain(("c", "d")).fingerprint
    assert chain(("a", "b")).id != chain(("c", "d")).id
    assert chain(("a", "b")).fingerprint != chain(("a", "b"), tie=True).fingerprint


def test_fingerprint_does_not_depend_on_the_order_of_a_sum() -> None:
    def network(swap: bool) -> ss.Network:
        net = builder()
        x = net.input(4, 8, 8)
        a, b = net.conv(x, 4, kernel=3, name="a"), net.conv(x, 4, kernel=1, name="b")
        return net.finish(net.add(b, a) if swap else net.add(a, b))

    assert network(False).fingerprint == network(True).fingerprint


def test_fingerprint_tells_one_branch_read_twice_from_two_equal_branches() -> None:
    def network(twice: bool) -> ss.Network:
        net = builder()
        x = net.input(4, 8, 8)
        a = net.conv(x, 4, name="a")
        return net.finish(net.add(a, a if twice else net.conv(x, 4, name="b")))

    assert network(True).fingerprint != network(False).fingerprint


def test_shared_weights_count_once_and_compute_twice() -> None:
    from predictors.counts import count_network

    single, tied = chain(("a", "b")), chain(("a", "b"), tie=True)
    assert count_network(tied).total["params"] * 2 == count_network(single).total["params"]
    assert count_network(tied).total["macs"] == count_network(single).total["macs"]


def test_sharing_refuses_unknown_and_unequal_weights() -> None:
    net = builder()
    x = net.input(4, 8, 8)
    net.conv(x, 4, name="a")
    with pytest.raises(SpaceError, match="'z', which is no earlier node"):
        net.conv(x, 4, weights="z")
    with pytest.raises(ShapeError, match="other shapes"):
        net.conv(x, 8, weights="a")


def test_scopes_are_contiguous_and_unique() -> None:
    net = builder()
    x = net.input(4, 8, 8)
    with net.scope("stage0.block0"):
        x = net.conv(x, 4)
    with net.scope("stage0.block1"):
        x = net.conv(x, 4)
    x = net.conv(x, 4, name="between")
    with pytest.raises(SpaceError, match="after its parent 'stage0' was left"), net.scope("stage0.block2"):
        pass
    with pytest.raises(SpaceError, match="'between' is used twice"):
        net.conv(x, 4, name="between")


def test_unread_nodes_and_missing_inputs_are_refused() -> None:
    net = builder()
    x = net.input(4, 8, 8)
    net.conv(x, 4, name="dangling")
    with pytest.raises(SpaceError, match="nothing reads the output of dangling"):
        net.finish(net.conv(x, 4))


def test_training_only_outputs_are_left_out_at_inference() -> None:
    def space(net: NetworkBuilder, pick: ss.Pick) -> dict[str, Tensor]:
        x = net.input(4, 8, 8)
        return {"mask": net.conv(x, 1, name="main"), "deep": net.conv(x, 2, name="deep")}

    network = ss.SearchSpace(space, training_only=("deep",)).build(ss.Architecture(()))
    assert [network.nodes[i].name for i in network.inference_nodes] == ["input", "main"]


def test_layout_of_a_concat_has_one_segment_per_source() -> None:
    net = builder()
    x = net.input(4, 8, 8)
    joined = net.concat(net.conv(x, 3, name="a"), net.conv(x, 5, name="b"))
    assert joined.layout == (("a", 3), ("b", 5))
    assert net.flatten(net.global_pool(joined)).layout == joined.layout


def test_networkx_view() -> None:
    graph = chain(("a", "b")).graph()
    assert list(graph.edges) == [("input", "a"), ("a", "b")]
    assert graph.nodes["a"]["shape"] == (4, 8, 8)
