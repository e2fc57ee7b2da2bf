"""`nas profile plan` and `nas profile import` as a person calls them."""

from pathlib import Path

import pytest

from nas.cli import main
from nas.runtimes.bundle import read_bundle
from predictors.kernels import kernels
from predictors.target import load_target
from tests.predictors.synthetic import network_ms


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_from_plan_to_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "profile",
        "plan",
        "mobile",
        "--input",
        "1,8,8",
        "--set",
        "kernels=[3]",
        "--networks",
        "30",
        "-o",
        "bundle",
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "bundle: bundle (30 networks)" in said
    assert "nas profile import results.csv --bundle bundle -o target.json" in said
    bundle = read_bundle(tmp_path / "bundle")
    windows = {max(k.window) for i in bundle.networks for k in kernels(i.network) if k.kind == "conv"}
    assert windows <= {1, 3}
    rows = [f"{item.name},{network_ms(kernels(item.network))}" for item in bundle.networks]
    Path("phone.csv").write_text("\n".join(["network,latency_ms", *rows]) + "\n")
    words = ["profile", "import", "phone.csv", "--bundle", "bundle", "-o", "phone.json", "--device-name", "Pixel"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == "target: phone.json\n"
    for line in ("inferred from whole networks", "held out", "MAPE", "networks with", "from MACs alone"):
        assert line in said.err
    assert load_target("phone.json").identity.device_name == "Pixel"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile"], "missing; it names the target file to write"),
        (["profile", "--threads", "2", "plan", "-o", "x"], "write it behind plan"),
        (["profile", "plan", "mobil", "-o", "x"], "unknown space 'mobil'"),
        (["profile", "plan", "mobile", "-o", "x", "--networks", "9"], "--networks 9 is too few to learn from"),
        (["profile", "import", "no.csv", "-o", "x.json"], "name the bundle that was measured with --bundle"),
        (["profile", "import", "no.csv", "-o", "x.json", "--bundle", "no"], "no/manifest.json cannot be read"),
        (["profile", "import", "no.csv", "-o", "x.json", "--kind", "kernel"], "did you mean 'kernels'"),
        (["profile", "import", "no.csv", "-o", "x.json", "--kind", "kernels"], "no.csv cannot be read as a CSV file"),
        (["profile", "import", "no.csv", "-o", "."], ". is a folder; name a file for the target"),
    ],
)
def test_misuse_is_one_message(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in " ".join(told.replace("│", " ").split())
    assert "Traceback" not in told
