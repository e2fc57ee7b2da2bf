"""The counts of the benchmark of MACMD."""

import json

import pytest

from benchmarks.macmd import main


def test_counts_are_the_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--counts-only"])
    found = {line["figure"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    for name in ("hd_conv_parameters", "hd_conv_extent", "hd_conv_taps"):
        assert found[name]["value"] == found[name]["baseline"]["published"]
    assert found["decoder_parameters"]["value"] == pytest.approx(9.7509e6, abs=50)
    assert found["decoder_parameters"]["where"]["up_convolutions"] == 14784
    assert found["evaluations_identical"]["value"] == 1
