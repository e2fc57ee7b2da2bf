"""The benchmark on published tables: reading them, refusing what is not one, and its figures."""

import json
import lzma
from pathlib import Path

import pytest

from benchmarks.layer_latency import held_out, main
from benchmarks.layer_tables import COLUMNS, LayerTable, read_layers
from predictors.kernels import Kernel
from search_spaces.errors import NasError

GOOD = "{Regular,64,32,57,57,128,3,2,1} 0.25\n{Depthwise,1,16,8,8,16,5,1,0} 0.125\n\n{Regular,1,3,8,8,8,1,1,0} -1\n"


@pytest.mark.parametrize("packed", [False, True])
def test_layers_are_read(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "layers"
    path.write_bytes(lzma.compress(GOOD.encode()) if packed else GOOD.encode())
    table = read_layers(path)
    assert table.failed == 1
    assert table.layers.ms.tolist() == [0.25, 0.125]
    assert table.layers.batch.tolist() == [64, 1]
    assert {name: int(table.column(name)[0]) for name in COLUMNS} == dict(
        zip(COLUMNS, (64, 32, 57, 57, 128, 3, 2, 1), strict=True)
    )
    written = 128 * 29 * 29
    macs, moved = 9 * 32 * written, 32 * 57 * 57 + 2 * written + 128 * 32 * 9
    assert table.layers.kernels[0] == Kernel(
        "conv", (32, 57, 57), (128, 29, 29), "", 2, (3, 3), (2, 2), (1, 1), 32, macs, moved
    )
    assert table.layers.kernels[1].group_size == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{Regular,64,32,57,57,128,3,2} 0.25", r"line 2: .* is not a measured layer: expected \{Type,B,Cin"),
        ("Regular,64,32,57,57,128,3,2,1,0.25", "line 2: .* is not a measured layer"),
        ("{Regular,64,32,57,57,128,3,2,1}", "line 2: .* is not a measured layer"),
        ("{Reguler,64,32,57,57,128,3,2,1} 0.25", "line 2: unknown type of layer 'Reguler': did you mean 'Regular'"),
        ("{Regular,64,32.5,57,57,128,3,2,1} 0.25", r"line 2: Cin is '32\.5': expected a whole number from 1"),
        ("{Regular,64,32,57,57,128,0,2,1} 0.25", "line 2: K is '0': expected a whole number from 1"),
        ("{Regular,64,32,57,57,128,3,2,7} 0.25", "line 2: fused is '7': expected 0 or 1"),
        ("{Regular,64,32,57,57,128,3,2,1} fast", "line 2: 'fast' is not a time"),
        ("{Regular,64,32,57,57,128,3,2,1} nan", "line 2: 'nan' is not a time"),
        ("{Depthwise,64,32,57,57,128,3,2,1} 1", "line 2: a depthwise layer has as many outputs as inputs"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "layers.out"
    path.write_text(f"{GOOD.splitlines()[0]}\n{line}\n")
    with pytest.raises(NasError, match=message):
        read_layers(path)


def test_files_that_hold_no_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"cannot read .*absent"):
        read_layers(tmp_path / "absent")
    (tmp_path / "cut.xz").write_bytes(lzma.compress(GOOD.encode())[:-20])
    with pytest.raises(NasError, match="neither text nor a whole xz file"):
        read_layers(tmp_path / "cut.xz")
    (tmp_path / "failed").write_text("{Regular,1,3,8,8,8,1,1,0} -1\n")
    with pytest.raises(NasError, match="has no measured layer"):
        read_layers(tmp_path / "failed")
    (tmp_path / "short").write_text(GOOD)
    with pytest.raises(NasError, match="has 2 measured layers: at least 100"):
        main(["--data", str(tmp_path / "short")])


@pytest.fixture(scope="module")
def some_layers(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layers with 32 output channels at batch 1."""
    lines = lzma.decompress((data_folder / "v100_conv_data.out.xz").read_bytes()).decode().splitlines()
    path = tmp_path_factory.mktemp("layers") / "some.out"
    fields = [line[1 : line.index("}")].split(",") for line in lines]
    chosen = [line for line, layer in zip(lines, fields, strict=True) if (layer[1], layer[5]) == ("1", "32")]
    path.write_text("\n".join(chosen))
    return path


@pytest.fixture(scope="module")
def table(some_layers: Path) -> LayerTable:
    return read_layers(some_layers)


def test_splits_hold_out_what_they_say(table: LayerTable) -> None:
    count = len(table.raw)
    fifths = [held_out(table, "random fifth", seed=seed) for seed in (0, 0, 1)]
    assert fifths[0].sum() == count // 5
    assert (fifths[0] == fifths[1]).all()
    assert (fifths[0] != fifths[2]).any()
    assert set(table.column("K")[held_out(table, "kernel 7", seed=0)]) == {7}
    assert 7 not in table.column("K")[~held_out(table, "kernel 7", seed=0)]
    assert table.column("H")[held_out(table, "size above 200", seed=0)].min() > 200


@pytest.mark.parametrize(("split", "share"), [("random fifth", 0.7), ("kernel 7", 0.5)])
def test_figures_beside_plain_boosting(
    some_layers: Path, capsys: pytest.CaptureFixture[str], split: str, share: float
) -> None:
    main(["--data", str(some_layers), "--split", split, "--split", "batch 128"])
    out, err = capsys.readouterr()
    figures = {line["figure"]: line for line in map(json.loads, out.splitlines())}
    assert list(figures) == ["mape", "within_10_percent", "interval_coverage", "fit_seconds"]
    assert figures["mape"]["where"]["split"] == split
    assert figures["mape"]["value"] < share * figures["mape"]["baseline"]["plain boosting"]
    assert figures["within_10_percent"]["value"] > figures["within_10_percent"]["baseline"]["plain boosting"]
    assert "batch 128: left out" in err
