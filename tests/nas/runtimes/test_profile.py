"""Profiling for a second or two: what is written, resumed and said."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import device_latency
from nas.runtimes.base import Profile, Setting
from nas.runtimes.journal import ENDED, Journal, Row
from nas.runtimes.profile import FEWEST_NETWORKS, MOST_ATTEMPTS, profile, profile_to_file
from nas.runtimes.report import print_report, prospects, warnings
from nas.runtimes.timing import Measurement
from predictors.kernels import kernels
from predictors.latency import network_latency_ms
from predictors.learning import LearningCurve
from predictors.target import Target, load_target
from search_spaces import NasError, SearchSpace
from search_spaces.catalog.mobile import mobile

BRIEF = 0.02


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return mobile((1, 8, 8), 10)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, space: SearchSpace) -> Path:
    path = tmp_path_factory.mktemp("profile") / "target.json"
    profile_to_file(path, space=space, minutes=BRIEF)
    return path


def test_a_profile_is_a_target_that_predicts(file: Path, space: SearchSpace, rng: np.random.Generator) -> None:
    target = load_target(file)
    assert len(target.networks) >= FEWEST_NETWORKS
    assert target.identity.runtime == "onnxruntime"
    assert target.machine["cores"]
    assert target.slowdown is not None
    assert target.slowdown >= 1
    assert network_latency_ms(target.latency, space.build(space.sample(rng))) > 0
    assert not any(network.held_out for network in target.networks) or target.report is not None


def test_nothing_is_left_beside_the_target(file: Path) -> None:
    assert [path.name for path in file.parent.iterdir()] == ["target.json"]


def test_rows_are_kernels_of_networks_of_the_space(file: Path, space: SearchSpace) -> None:
    target = load_target(file)
    assert all(kernel.sparsity == 0 for kernel in target.kernels)
    assert {kernel.in_shape[0] for kernel in target.kernels if kernel.kind == "conv"} & {1}
    assert max(network.kernels[-1] for network in target.networks) < len(target.kernels)


def test_the_benchmark_prints_its_figures(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device_latency.main(
        ["--target", str(file), "--networks", "6", "--seconds", "0.01", "--size", "8", "--unseen-minutes", "0"]
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == ["within_10_percent", "median_error", "spearman"]
    assert {"macs", "roofline"} < set(lines[0]["baseline"])


def test_an_interrupted_profile_goes_on(tmp_path: Path, space: SearchSpace) -> None:
    journal = tmp_path / "rows"

    class Stop:
        def __init__(self, after: int) -> None:
            self.left = after

        def advance(self, amount: float = 1.0, *, note: str = "") -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile([space], minutes=BRIEF, journal=journal, step=Stop(4), clock=lambda: 0.0)
    assert len(journal.read_text().splitlines()) == 5
    with journal.open("a") as file:
        file.write('{"fingerprint": "cut sho')
    before = [json.loads(line)["fingerprint"] for line in journal.read_text().splitlines()[1:5]]
    target = profile([space], minutes=BRIEF, journal=journal)
    after = [json.loads(line)["fingerprint"] for line in journal.read_text().splitlines()[1:]]
    assert after[:4] == before
    assert len(set(after)) >= FEWEST_NETWORKS
    assert len(target.networks) >= FEWEST_NETWORKS


def test_time_left_when_all_networks_are_measured_goes_into_doubtful_ones(
    tmp_path: Path, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.runtimes.profile.MOST_NETWORKS", FEWEST_NETWORKS)
    monkeypatch.setattr("nas.runtimes.profile.Usual.doubt", lambda usual, found: 1.0)
    journal = tmp_path / "rows"
    profile([space], minutes=BRIEF, journal=journal, clock=lambda: 0.0)
    rows = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    attempts = {row["fingerprint"]: row["attempts"] for row in rows}
    assert list(attempts.values()) == FEWEST_NETWORKS * [MOST_ATTEMPTS]


def test_a_journal_of_another_setting_is_not_taken_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows", {"threads": 1})
    assert journal.rows == []
    again = Journal(tmp_path / "rows", {"threads": 2})
    assert again.rows == []
    assert '"threads": 2' in (tmp_path / "rows").read_text()


def padded_beyond_the_window(paddings: Sequence[int]) -> SearchSpace:
    """Networks of which those that pad a pooling more than its window are refused by ONNX Runtime."""

    def space(net, pick):  # type: ignore[no-untyped-def]
        x = net.conv(net.input(1, 8, 8), pick("width", tuple(range(4, 40))))
        x = net.pool(x, "max", kernel=2, stride=1, padding=pick("padding", tuple(paddings)))
        return net.linear(net.flatten(net.global_pool(x)), 2)

    return SearchSpace(space)


def test_networks_that_the_runtime_fails_on_are_left_out_and_named(tmp_path: Path) -> None:
    target = profile([padded_beyond_the_window((0, 1, 2))], minutes=BRIEF, journal=tmp_path / "rows")
    lines = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()[1:]]
    failed = [line for line in lines if "failed" in line]
    assert failed
    assert len(target.networks) >= FEWEST_NETWORKS
    (remark,) = [text for text in target.remarks if "could not be run" in text]
    assert remark.startswith(f"{len(failed)} network")
    assert failed[0]["fingerprint"][:8] in remark
    again = Journal(tmp_path / "rows", json.loads((tmp_path / "rows").read_text().splitlines()[0])["identity"])
    assert set(again.failed) == {line["fingerprint"] for line in failed}
    assert not set(again.failed) & {row.fingerprint for row in again.rows}


def test_a_runtime_that_fails_on_everything_is_told_at_once() -> None:
    with pytest.raises(NasError, match=r"onnxruntime failed on 10 of 10 networks, the last time with: .*pad"):
        profile([padded_beyond_the_window((2,))], minutes=BRIEF)


def test_a_network_that_ended_the_process_is_not_tried_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows", {})
    with journal.trying("harmless"):
        assert (tmp_path / "rows.trying").read_text() == "harmless"
    assert not (tmp_path / "rows.trying").exists()
    (tmp_path / "rows.trying").write_text("deadly")
    assert Journal(tmp_path / "rows", {}).failed == {"deadly": ENDED}
    assert Journal(tmp_path / "rows", {}).failed == {"deadly": ENDED}
    assert Journal(tmp_path / "rows", {"other": 1}).failed == {}


def test_zeros_are_measured_with_the_rest(file: Path) -> None:
    target = load_target(file)
    assert target.sparsity_speedup is not None
    assert set(target.sparsity_speedup) == {"0.5", "0.75", "0.9", "2:4"}
    energy = {network.energy_mj for network in target.networks}
    assert (energy == {None}) == any("Energy was not measured" in text for text in target.remarks)


def test_the_less_doubtful_measurement_is_kept(tmp_path: Path) -> None:
    def row(ms: float) -> Row:
        return Row("a", False, (), Profile(Measurement(ms, ms, ms, 10, 1.0), (), 1.0), 1.0)

    journal = Journal(tmp_path / "rows", {})
    journal.append(row(3.0))
    journal.better(row(1.0), lambda found: found.latency.median_ms)
    journal.better(row(2.0), lambda found: found.latency.median_ms)
    assert [kept.profile.latency.median_ms for kept in journal.rows] == [1.0]
    assert journal.rows[0].attempts == 3
    assert Journal(tmp_path / "rows", {}).rows == journal.rows


def test_a_space_of_one_network_is_filled_up_with_others() -> None:
    def one(net, pick):  # type: ignore[no-untyped-def]
        x = net.conv(net.input(1, 8, 8), 4)
        return net.linear(net.flatten(net.global_pool(x)), 2)

    target = profile([SearchSpace(one)], minutes=0.001, rng=np.random.default_rng(0))
    assert len(target.networks) >= FEWEST_NETWORKS
    assert len(target.networks[0].kernels) == len(
        kernels(SearchSpace(one).build(SearchSpace(one).sample(np.random.default_rng(0))))
    )


def test_the_report_is_printed(file: Path) -> None:
    target = load_target(file)
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(target, console=console)
    text = console.export_text()
    assert "held out" in text
    if target.report is not None:
        assert "from MACs alone" in text
        assert "MAPE" in text
        assert "class pointwise" in text


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (LearningCurve(((100, 0.1),), 0.0, 1.0, 0.01), "About 300 more measurements would halve the error: 10.0 %"),
        (LearningCurve(((100, 0.1),), 0.08, 0.2, None), "would not halve the error: .*levels off near 8.0 %"),
        (LearningCurve(((100, 0.01),), 0.0, 0.1, 0.009), "noise floor is reached: 1.0 % .* spread by 0.9 %"),
    ],
)
def test_what_more_measurements_would_bring_is_told(curve: LearningCurve, said: str) -> None:
    (line,) = prospects(curve)
    assert re.search(said, line)
    assert prospects(None) == []


def test_a_busy_machine_is_told() -> None:
    target = load_target("nvidia_p100")
    busy = Target("x", "analytic", target.identity, {}, slowdown=1.5, peak_gmacs=1.0, bandwidth_gbs=1.0)
    assert "50 % slower" in warnings(busy)[0]
    assert warnings(target) == []


def test_int8_is_profiled_to_a_file(tmp_path: Path, space: SearchSpace) -> None:
    target = profile_to_file(tmp_path / "int8.json", space=space, precision="int8", minutes=BRIEF)
    assert load_target(tmp_path / "int8.json").identity == target.identity
    assert (target.identity.precision, target.identity.fusion) == ("int8", "quantised")
    assert {kernel.detail for kernel in target.kernels if kernel.kind == "activation"} <= {"sigmoid", "hard_swish"}


def test_impossible_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="is a folder; name a file"):
        profile_to_file(tmp_path)
    with pytest.raises(NasError, match="'tpu'"):
        profile(setting=Setting(device="tpu"))
    with pytest.raises(NasError, match="precision 'int3' cannot be measured here; take one of fp32"):
        profile(setting=Setting(precision="int3"))
    with pytest.raises(NasError, match="unknown runtime"):
        profile(runtime="tensorrt")
