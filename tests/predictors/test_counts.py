"""Memory by liveness on networks small enough to follow by hand."""

from predictors.counts import count_network, live_elements, saved_bytes
from search_spaces import NetworkBuilder


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def test_a_chain_holds_the_input_and_two_neighbours() -> None:
    net = builder()
    x = net.input(1, 4, 4)
    y = net.conv(x, 2, name="a")
    y = net.conv(y, 3, name="b")
    y = net.conv(y, 1, name="c")
    network = net.finish(y)
    assert live_elements(network) == (16, 16 + 32, 16 + 32 + 48, 16 + 48 + 16)
    assert count_network(network).total["peak_memory_bytes"] == 4 * 96


def test_what_a_module_was_given_lives_until_the_module_returns() -> None:
    net = builder()
    x = net.input(1, 4, 4)
    y = net.conv(x, 2, name="before")
    with net.scope("module"):
        y = net.conv(y, 1, name="a")
        y = net.conv(y, 1, name="b")
    y = net.conv(y, 1, name="after")
    network = net.finish(y)
    assert live_elements(network) == (16, 48, 16 + 32 + 16, 16 + 32 + 32, 16 + 16 + 16)


def test_a_view_shares_its_storage() -> None:
    net = builder()
    x = net.input(2, 4, 4)
    y = net.linear(net.flatten(x), 5, name="out")
    assert live_elements(net.finish(y)) == (32, 32, 37)


def test_a_part_keeps_the_whole_alive() -> None:
    net = builder()
    x = net.conv(net.input(1, 4, 4), 4, name="whole")
    y = net.conv(net.slice(x, 0, 1, name="part"), 2, name="read")
    network = net.finish(y)
    assert live_elements(network) == (16, 16 + 64, 16 + 64, 16 + 64 + 32)
    assert dict(zip([node.name for node in network.nodes], saved_bytes(network), strict=True))["whole"] == 4 * 64


def test_saved_tensors_count_each_storage_once() -> None:
    net = builder()
    x = net.input(2, 4, 4)
    y = net.conv(x, 2, name="a")
    z = net.activation(y, "relu")
    z = net.add(net.conv(z, 2, name="b"), net.conv(z, 2, name="c"))
    network = net.finish(z)
    by_name = dict(zip([node.name for node in network.nodes], saved_bytes(network), strict=True))
    assert by_name == {"input": 128, "a": 0, "act": 128, "b": 0, "c": 0, "add": 0}
