"""Peak memory with reuse, followed by hand."""

from predictors.memory import reused_peak_bytes
from search_spaces import NetworkBuilder, Tensor

POSITIONS = 16


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def test_the_callers_input_is_not_counted_and_outputs_live_to_the_end() -> None:
    net = builder()
    network = net.finish(net.conv(net.input(100, 4, 4), 2, kernel=1))
    assert reused_peak_bytes(network) == 4 * 2 * POSITIONS


def test_activations_are_computed_in_place() -> None:
    net = builder()
    x = net.conv(net.input(1, 4, 4), 8, kernel=1, name="a")
    network = net.finish(net.conv(net.activation(x, "gelu"), 1, kernel=1, name="b"))
    assert reused_peak_bytes(network) == 4 * (8 + 1) * POSITIONS


def residual(branch: int) -> int:
    """Peak of x + b(a(x)) with `branch` channels between, x with 8."""
    net = builder()
    x = net.conv(net.input(1, 4, 4), 8, kernel=1, name="x")
    y: Tensor = net.conv(net.conv(x, branch, kernel=1, name="a"), 8, kernel=1, name="b")
    return reused_peak_bytes(net.finish(net.add(y, x)))


def test_a_sum_is_computed_by_the_convolution_before_it() -> None:
    assert residual(4) == 4 * (8 + 4) * POSITIONS
    assert residual(32) == 4 * (8 + 32) * POSITIONS


def test_a_convolution_does_not_write_into_what_it_reads() -> None:
    net = builder()
    x = net.conv(net.input(1, 4, 4), 8, kernel=1, name="x")
    network = net.finish(net.add(net.conv(x, 8, kernel=1, name="a"), x))
    assert reused_peak_bytes(network) == 4 * (8 + 8) * POSITIONS


def test_a_tensor_read_later_is_not_overwritten() -> None:
    net = builder()
    x = net.conv(net.input(1, 4, 4), 8, kernel=1, name="x")
    y = net.add(net.activation(x, "gelu"), x)
    assert reused_peak_bytes(net.finish(y)) == 4 * (8 + 8) * POSITIONS
