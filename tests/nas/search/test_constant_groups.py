"""The benchmark of constant group sizes in small: what it counts, measures and searches."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.constant_groups import COUNT, DEPTHWISE, FREE, Scale, main, shares, spaces
from benchmarks.heat_map import HeatMap, heat_map_svg
from search_spaces.operators import Conv

SMALL = Scale(resolutions=(8,), width_multipliers=(0.125, 0.25), kernels=(3,), fewer_layers=(4, 5), strides_kept_out=3)


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_energies_and_the_best_group_size_are_the_derived_ones(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--parts", "counted"])
    *ratios, best, _ = printed(capsys)
    assert [ratio["value"] for ratio in ratios] == pytest.approx([0.978, 0.930], abs=5e-4)
    assert [ratio["where"]["macs"] / 1e6 for ratio in ratios] == pytest.approx([690.44, 1107.71], rel=1e-3)
    assert [ratio["where"]["macs_of_count"] / 1e6 for ratio in ratios] == pytest.approx([685.02, 1086.03], rel=1e-3)
    assert best["value"] == pytest.approx(5.84, abs=0.01)


def test_the_three_spaces_differ_in_their_groups_alone(rng: np.random.Generator) -> None:
    found = spaces((3, 32, 32), 10, Scale())
    for name, space in found.items():
        network = space.build(space.sample(rng))
        groups = [
            (node.op.group_size, network.input_shapes(node)[0][0] // node.op.group_size)
            for node in network.nodes
            if isinstance(node.op, Conv) and node.name.endswith("spatial.conv")
        ]
        assert len(groups) >= 9
        if name == DEPTHWISE:
            assert {size for size, _ in groups} == {1}
        if name == COUNT:
            assert len({count for _, count in groups}) == 1
    names = {
        name: {choice.name for choice in space.trace(lambda _name, options: options[0]).choices}
        for name, space in found.items()
    }
    common = {"resolution", "width_multiplier", "kernel", "fewer_layers"}
    assert names[DEPTHWISE] - common == {"group_size"}
    assert names[COUNT] - common == {"group_count"}
    assert len(names[FREE] - common) == 5


def test_fronts_are_compared_in_one_box() -> None:
    fronts = {
        FREE: np.array([[0.2, 1.0], [0.4, 0.5]]),
        DEPTHWISE: np.array([[0.3, 2.0]]),
        COUNT: np.array([[0.5, 1.0]]),
    }
    found = shares(fronts)
    assert found[FREE] == pytest.approx(((0.5 - 0.2) * (2.0 - 1.0) + (0.5 - 0.4) * (1.0 - 0.5)) / (0.5 * 2.0))
    assert found[DEPTHWISE] == pytest.approx(0.0)
    assert found[COUNT] == pytest.approx(0.0)


def test_measuring_and_searching_in_small(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "heat.svg"
    arguments = (
        f"--parts measured searched --heat-map {picture} --group-sizes 1 8 --widths 0.25 --resolutions 32 64 "
        "--seconds 0.02 --data digits --limit 200 --seeds 1 --epochs 1 --evaluations 4 --workers 1 "
        "--profile-minutes 0.01"
    )
    main(arguments.split(), scale=SMALL)
    lines = printed(capsys)
    latencies = [line for line in lines if line["figure"] == "latency_ms"]
    assert [(line["where"]["resolution"], line["where"]["group_size"]) for line in latencies] == [
        (32, 1),
        (32, 8),
        (64, 1),
        (64, 8),
    ]
    assert all(line["value"] > 0 for line in latencies)
    assert picture.read_text().count("<rect") == 1 + 4
    (found,) = (line for line in lines if line["figure"] == "hypervolume")
    assert set(found["baseline"]) == {DEPTHWISE, COUNT}
    assert 0 <= found["value"] <= 1


def test_heat_maps_colour_by_logarithms() -> None:
    text = heat_map_svg(HeatMap("a < b", ["r"], ["one", "two", "three"], [[1.0, 10.0, 100.0]]))
    assert "a &lt; b" in text
    colours = [line.split('fill="')[1][:7] for line in text.splitlines() if line.startswith("<rect")][1:]
    reds = [int(colour[1:3], 16) for colour in colours]
    assert reds[0] - reds[1] == pytest.approx(reds[1] - reds[2], abs=1)
