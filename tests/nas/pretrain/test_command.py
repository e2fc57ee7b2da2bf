"""`nas pretrain`, and the benchmark of masked pretraining, small."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.spark import main as benchmark
from nas.cli import main
from nas.pretrain.training import load_pretrained
from search_spaces.catalog import mobile

OPTIONS: dict[str, Any] = {
    "resolutions": [8],
    "stem_width": 8,
    "widths": [[8, 16], [16]],
    "depths": [[1], [1]],
    "strides": [2, 2],
    "sparsities": [0.0],
}
RECIPE = "\n".join(["[space]", 'name = "mobile"', "[space.options]", *(f"{k} = {v}" for k, v in OPTIONS.items())])


def test_the_command_writes_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, picks, output = (tmp_path / name for name in ("small.toml", "picks.json", "encoder.safetensors"))
    recipe.write_text(f"{RECIPE}\n[task]\nlimit = 200\n")
    space = mobile((1, 8, 8), 10, **OPTIONS)
    architecture = space.repair({"stage0.width": 16})
    picks.write_text(architecture.to_json())
    budget = ["--epochs", "1", "--batch-size", "50", "--decoder-width", "16", "-o", str(output)]
    assert main(["pretrain", str(recipe), "--arch", str(picks), *budget]) == 0
    assert "encoder.safetensors: " in capsys.readouterr().out
    assert load_pretrained(output, space.build(architecture))
    picks.write_text("[1]")
    assert main(["pretrain", str(recipe), "--arch", str(picks), *budget]) == 2
    assert main(["pretrain", str(recipe), "--arch", "smallest", "--mask-ratio", "1", *budget]) == 2
    assert "a mask ratio of 1.0 leaves 0 of 4 cells visible" in capsys.readouterr().err


def test_the_benchmark_tells_all_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["--seeds", "1", "--epochs", "1", "--tuning-epochs", "1", "--labels", "200", "--images", "400"]
    benchmark(["--data", "digits", "--batch-size", "50", *budget])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {line["figure"]: line for line in lines}
    assert found["kept_cells"]["value"] == 20
    assert found["hidden_largest"]["value"] == 0
    assert {line["where"]["width"] for line in lines if line["figure"] == "decoder_parameters"} == {256, 512, 768}
    assert 0 <= found["test_error"]["value"] <= 1
    assert found["test_error"]["baseline"].keys() == {"scratch"}
