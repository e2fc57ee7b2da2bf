"""The benchmark of searched instance norms, in its smallest form."""

import json

import pytest

from benchmarks.osnet_ain import main

QUICK = "--seeds 1 --epochs 1 --batch-size 16 --width 0.125 --features 32 --trained 10 --tested 4"


def test_both_networks_are_tested_on_both_lights(capsys: pytest.CaptureFixture[str]) -> None:
    main(QUICK.split())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {(line["figure"], line["where"].get("light")): line for line in lines}
    for figure in ("rank1", "mean_ap"):
        for light in ("shifted", "steady"):
            line = found[figure, light]
            gain = line["value"] - line["baseline"]["batch_norms"]
            assert line["where"]["lowest_gain"] == pytest.approx(gain, abs=1e-5)
            assert line["where"]["seeds_of_5_points"] == (gain >= 0.05 - 1e-5)
    assert 0 <= found["instance_norms", None]["value"] <= 6
    heats = [line for line in lines if line["figure"] == "temperature"]
    assert [line["value"] for line in heats] == [10, 5, 2.5, 1.25, 1, 1]
    assert [line["baseline"]["published"] for line in heats] == [line["value"] for line in heats]
