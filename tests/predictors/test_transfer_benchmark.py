"""The transfer benchmark on synthetic files, on published ones, and on files that are none."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.device_files import read_devices
from benchmarks.transfer import main
from search_spaces.errors import NasError

OPERATORS, LAYERS, ARCHITECTURES = ("k3", "k5", "skip"), 5, 120
DEVICES = {"alpha_1": 1.0, "alpha_32": 1.2, "beta_1": 4.0, "gamma": 9.0}


def arrays(devices: dict[str, float], *, noise: float = 0.01) -> dict[str, np.ndarray]:
    """Architectures and the latency of devices that pay differently for the second operator."""
    rng = np.random.default_rng(0)
    operators = rng.integers(0, 3, (ARCHITECTURES, LAYERS))
    count = [(operators == i).sum(axis=1) for i in range(2)]
    found: dict[str, np.ndarray] = {"op_idx": operators, "op_names": np.array(OPERATORS)}
    found |= {"flops": 1e6 * (1 + count[0] + 2.0 * count[1]), "params": 1e3 * (1 + 3.0 * count[0] + count[1])}
    for name, price in devices.items():
        found[f"lat_ms__{name}"] = (3 + count[0] + price * count[1]) * np.exp(
            noise * rng.standard_normal(ARCHITECTURES)
        )
    return found


def saved(path: Path, content: dict[str, np.ndarray]) -> Path:
    np.savez(path, **content)  # type: ignore[arg-type]
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_family_is_left_out_and_kinds_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = arrays(DEVICES)
    content["lat_ms__phone"] = np.round(content["lat_ms__gamma"])
    content["lat_ms__table"] = 1 + (content["op_idx"] == 1).sum(axis=1) * 0.7
    main(["--data", str(saved(tmp_path / "known.npz", content)), "--seeds", "2"])
    found = lines(capsys)
    kinds = {line["where"]["devices"]: line["where"]["number"] for line in found if "devices" in line["where"]}
    assert kinds == {"measured": 4, "table sums": 1, "whole milliseconds": 1}
    families = {line["where"]["device"]: line["where"]["family"] for line in found if line["figure"] == "spearman"}
    assert (families["alpha_1"], families["alpha_32"], families["beta_1"]) == ("alpha", "alpha", "beta")
    means = [line for line in found if line["figure"] == "mean_spearman" and line["where"]["devices"] == "measured"]
    assert [line["where"]["architectures"] for line in means] == ["random", "chosen"]
    assert all(line["value"] > 0.9 for line in means)
    assert means[0]["baseline"]["ridge"] == means[0]["baseline"]["ridge, random architectures"]
    assert {line["where"]["confidence"] for line in found if line["figure"] == "coverage"} == {0.8, 0.9, 0.95}


def test_targets_are_new_with_their_family_and_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = arrays(DEVICES | {"beta_32": 5.0})
    target = {"lat_ms__beta_32": content.pop("lat_ms__beta_32")}
    known, new = saved(tmp_path / "known.npz", content), saved(tmp_path / "new.npz", target)
    main(["--data", str(known), "--targets", str(new), "--seeds", "2"])
    found = [line for line in lines(capsys) if line["figure"] == "mean_spearman"]
    assert [line["where"]["own_family"] for line in found] == ["left out", "left out", "known", "known"]
    assert all(line["value"] > 0.9 for line in found)


def test_families_and_kinds_of_the_published_devices(data_folder: Path) -> None:
    devices = read_devices(data_folder / "help_fbnet_dev.npz")
    assert {name: devices.families.count(name) for name in devices.families} == {
        "1080ti": 3,
        "2080ti": 2,
        "Xeon": 3,
        "table sums": 3,
        "titanx": 3,
        "titanxp": 3,
        "whole milliseconds": 2,
    }


def test_files_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = arrays(DEVICES)
    known = read_devices(saved(tmp_path / "known.npz", good))
    text = tmp_path / "text.npz"
    text.write_text("no arrays")
    with pytest.raises(NasError, match="cannot be read as a file of arrays"):
        read_devices(text)
    with pytest.raises(
        NasError, match="lacks the arrays of its architectures, op_idx, op_names, flops, params or ks, e, d, r"
    ):
        read_devices(saved(tmp_path / "bare.npz", {"lat_ms__a": np.ones(3)}))
    with pytest.raises(NasError, match="no array named lat_ms__DEVICE"):
        read_devices(saved(tmp_path / "none.npz", {name: good[name] for name in ("op_idx",)}), like=known)
    with pytest.raises(NasError, match=r"lat_ms__a has shape \(3,\); expected \(120,\)"):
        read_devices(saved(tmp_path / "short.npz", {"lat_ms__a": np.ones(3)}), like=known)
    with pytest.raises(NasError, match="holds other architectures"):
        read_devices(saved(tmp_path / "other.npz", good | {"op_idx": good["op_idx"][::-1]}), like=known)
    holed = good["lat_ms__beta_1"].copy()
    holed[5] = np.nan
    with pytest.raises(NasError, match="lat_ms__beta_1 holds nan in row 5"):
        read_devices(saved(tmp_path / "holed.npz", good | {"lat_ms__beta_1": holed}))
    with pytest.raises(SystemExit):
        main(["--data", str(text)])
    assert "cannot be read as a file of arrays" in capsys.readouterr().err
