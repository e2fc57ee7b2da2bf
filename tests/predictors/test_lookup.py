"""Look-up tables of single kernels as targets."""

import math
from pathlib import Path

import pytest

from predictors.kernels import Kernel, kernels
from predictors.lookup import COLUMNS, KINDS, target_from_kernels
from predictors.plausible import doubtful_unit
from predictors.target import Identity, Target, load_target
from search_spaces import NasError, NetworkBuilder
from tests.predictors.synthetic import law_ms

IDENTITY = Identity("unknown", "unknown", "cpu", "a phone", 1, 1, "fp32", "graph")
HEADER = ",".join(COLUMNS)


def target(path: Path) -> Target:
    return target_from_kernels(path, name="phone", identity=IDENTITY, machine={"processor": "a phone"})


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def conv_rows() -> list[str]:
    """Convolutions as the synthetic device runs them."""
    rows = []
    for channels in (16, 32, 64):
        for size in (8, 16):
            for group_size in (1, 4, channels):
                for window in (1, 3, 5):
                    positions, macs = size * size, channels * group_size * window**2 * size**2
                    kernel = Kernel(
                        "conv",
                        (channels, size, size),
                        (channels, size, size),
                        window=(window, window),
                        dilation=(1, 1),
                        group_size=group_size,
                        macs=macs,
                        moved_elements=2 * channels * positions + channels * group_size * window**2,
                    )
                    rows.append(
                        f"conv,{channels},{channels},{size},{size},{window},1,{group_size},1,{law_ms(kernel)!r}"
                    )
    return rows


def test_a_table_becomes_a_target_that_predicts(tmp_path: Path) -> None:
    found = target(written(tmp_path, *conv_rows(), "add,16,16,8,8,,,,,0.004", "hard_swish,16,,8,8,,,,,0.003"))
    found.save(tmp_path / "phone.json")
    again = load_target(tmp_path / "phone.json")
    assert again == found
    assert again.of_kernels
    assert again.provenance == "measured"
    assert again.report is not None
    assert again.report.networks.count == 11
    assert again.learned.intercept_ms == 0
    net = NetworkBuilder(lambda name, options: options[0])
    x = net.conv(net.input(32, 16, 16), 32, group_size=4)
    parts = kernels(net.finish(net.conv(x, 32, group_size=32, kernel=1)))
    truth = sum(map(law_ms, parts))
    assert float(again.latency.predict_ms(parts).sum()) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize(
    ("row", "described"),
    [
        ("conv,8,16,9,9,3,2,4,1,1", ("conv", (16, 5, 5), 4, 16 * 4 * 9 * 25)),
        ("conv,8,16,9,9,3,,,2,1", ("conv", (16, 9, 9), 8, 16 * 8 * 9 * 81)),
        ("linear,64,10,,,,,,,1", ("linear", (10,), 0, 640)),
        ("max_pool,8,8,8,8,2,2,,,1", ("pool", (8, 4, 4), 0, 0)),
        ("average_pool,8,,8,8,3,1,,,1", ("pool", (8, 8, 8), 0, 0)),
        ("multiply,8,8,4,4,,,,,1", ("multiply", (8, 4, 4), 0, 0)),
        ("concat,8,24,4,4,,,,,1", ("concat", (24, 4, 4), 0, 0)),
        ("global_pool,8,8,4,4,,,,,1", ("global_pool", (8, 1, 1), 0, 0)),
        ("gelu,8,8,4,4,,,,,1", ("activation", (8, 4, 4), 0, 0)),
    ],
)
def test_rows_are_kernels(row: str, described: tuple[object, ...], tmp_path: Path) -> None:
    kernel = target(written(tmp_path, *[row] * 10)).kernels[0]
    assert (kernel.kind, kernel.out_shape, kernel.group_size, kernel.macs) == described
    assert kernel.moved_elements >= math.prod(kernel.out_shape)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("convolution,8,8,8,8,3,1,8,1,1", "line 2, column kind: unknown kind of kernel 'convolution'"),
        ("conv,8,8,8,8,3,1,3,1,1", "line 2: group size 3 does not divide 8 input channels"),
        ("conv,8,8,8,8,-3,1,8,1,1", "line 2, column kernel: '-3' is not a whole number of at least 1"),
        ("conv,8,8,8,8,3,1,8,1,nan", "line 2, column latency_ms: 'nan' is not a number above 0"),
        ("conv,8,8,,8,3,1,8,1,1", "line 2, column height: '' is not a whole number"),
        ("add,8,16,8,8,,,,,1", "line 2, column out_channels: '16' is not the 8 that add has for these inputs"),
        ("concat,8,8,8,8,,,,,1", "column out_channels: '8' is not above the 8 of the first input"),
        ("add,8,8,8,8,,,,,1", "has 1 rows; at least 10 kernels are needed"),
    ],
)
def test_rows_that_cannot_be(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NasError, match=message):
        target(written(tmp_path, row))


def test_a_table_in_another_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="latency_us is in microseconds"):
        target(written(tmp_path, *conv_rows(), header=HEADER.replace("latency_ms", "latency_us")))
    assert "conv" in KINDS


def test_values_far_from_any_processor_are_doubted() -> None:
    kernel = Kernel("conv", (64, 28, 28), (64, 28, 28), macs=28_901_376, moved_elements=137_216)
    assert doubtful_unit([[kernel]], [1.5]) is None
    slow, fast = doubtful_unit([[kernel]], [1500.0]), doubtful_unit([[kernel]], [0.0015])
    assert slow is not None
    assert "not microseconds" in slow
    assert fast is not None
    assert "not seconds" in fast
