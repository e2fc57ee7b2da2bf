"""The written page: whole, offline, escaped, and never blank."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nas.fidelity.judging import judge
from nas.fidelity.result import JudgedNetwork
from nas.fidelity.words import dimension_rows, ranker_rows, sentences
from nas.report import (
    ArchitectureDetail,
    DiagramBlock,
    EvaluatedPoint,
    FrontEntry,
    HoldoutRow,
    HypervolumeHistory,
    OperatorRow,
    PredictorReport,
    ReportData,
    StageTime,
    TrainingRow,
    write_report,
)
from nas.report.data import Mark
from nas.report.explored import Device
from nas.report.html import SCRIPTS, START, embedded, fill, page, payload

VOID = frozenset({"meta", "link", "input", "br", "img"})
HOSTILE = "<script>alert(1)</script>\"'&</textarea>{{data}}\u2028"


class Reader(HTMLParser):
    """Collects tags, attributes, visible text and script bodies; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append((self.tags[-1][1], data))
        elif self.open and self.open[-1] != "style":
            self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def data_of(reader: Reader) -> dict[str, object]:
    (text,) = [body for attributes, body in reader.scripts if attributes.get("id") == "data"]
    model: dict[str, object] = json.loads(text)["model"]
    return model


def hostile() -> ReportData:
    points = tuple(
        EvaluatedPoint(
            i,
            f"{HOSTILE}{i}",
            "f",
            {HOSTILE: "<b>x</b>"},
            {"error": 0.1, HOSTILE: 2.0},
            {"error": HOSTILE},
            True,
            HOSTILE,
        )
        for i in range(3)
    )
    entry = FrontEntry(
        1,
        points[0].id,
        "f",
        points[0].picks,
        points[0].values,
        export_folder=f"javascript:{HOSTILE}",
    )
    row = OperatorRow(HOSTILE, HOSTILE, (1,), 1, 1, 1)
    block = DiagramBlock(HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), (1,), 0, 0)
    return ReportData(
        name=HOSTILE,
        run=HOSTILE,
        objectives=("error", HOSTILE),
        units={HOSTILE: HOSTILE},
        limits={HOSTILE: 1.0},
        evaluations=points,
        front=(entry,),
        hypervolume=HypervolumeHistory(((1, 0.5),), unit=HOSTILE),
        importances={HOSTILE: {HOSTILE: 0.5}},
        training=(TrainingRow(1, 1.0, float("nan")),),
        predictor=PredictorReport(
            (HoldoutRow(1.0, 1.1, HOSTILE),), {HOSTILE: HOSTILE}, (HOSTILE,), ((HOSTILE,),), (HOSTILE,)
        ),
        fidelity=judge(
            [
                JudgedNetwork(
                    HOSTILE, HOSTILE, {HOSTILE: f"{HOSTILE}{i}"}, 1.0, 1.0, True, 0.1, 0.1, scores={HOSTILE: i}
                )
                for i in range(2)
            ],
            planned=2,
            epochs=1,
            tuned_epochs=1,
            band=(1.0, 1.3),
            seed=0,
            notes=(HOSTILE,),
        ),
        architectures=(ArchitectureDetail(entry.id, (row,), (block,)),),
        stages=(StageTime(HOSTILE, 1.0, HOSTILE),),
        recipe_toml=HOSTILE,
        environment={HOSTILE: {HOSTILE: [HOSTILE]}},
        notes=(HOSTILE,),
        marks=(Mark(HOSTILE, {"error": 0.2}, {"error": HOSTILE}, HOSTILE),),
        device=Device(HOSTILE, source=HOSTILE),
        margins=(HOSTILE,),
    )


def test_the_file_holds_the_data_of_the_run(made_up: ReportData, tmp_path: Path) -> None:
    write_report(made_up, tmp_path / "report.html")
    reader = read((tmp_path / "report.html").read_text(encoding="utf-8"))
    model = data_of(reader)
    assert [point["id"] for point in model["front"]] == [e.id for e in made_up.front]  # type: ignore[attr-defined]
    assert model["hypervolume"]["search"][-1][0] == 40  # type: ignore[index]
    assert model["training"]["epoch"] == list(range(1, 17))  # type: ignore[index]
    assert len(model["predictor"]["groups"]["depthwise"]) == 30  # type: ignore[index]
    groups = model["fidelity"]
    assert sum(len(groups[name]) for name in groups if name != "fine-tuned") == 16  # type: ignore[index,attr-defined]
    assert len(groups["fine-tuned"]) == 5  # type: ignore[index]
    assert model["architectures"]["of"].keys() == {e.id for e in made_up.front}  # type: ignore[index]
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_tables_are_complete_without_script(made_up: ReportData) -> None:
    text = " ".join(read(page(made_up)).text)
    for entry in made_up.front:
        assert entry.id in text
        assert f"{100 * (entry.values['error'] or 0):.2f}" in text
        assert f"{100 * (entry.test_error or 0):.2f}" in text
    assert "About 300 more measurements would halve the error." in text
    assert made_up.fidelity is not None
    for sentence in sentences(made_up.fidelity):
        assert sentence in text
    for row in (*ranker_rows(made_up.fidelity), *dimension_rows(made_up.fidelity)):
        assert row["tau"] in text
    for words in ("2.13.0", 'name = "mobile"', "49 min 10 s", "values in use", "at most 900 KiB", "group size 8"):
        assert words in text


def test_nothing_is_loaded_from_elsewhere(made_up: ReportData) -> None:
    reader = read(page(made_up))
    loading = {"src", "href", "action", "data", "poster", "srcset", "formaction", "xlink:href"}
    for tag, attributes in reader.tags:
        for name in loading & attributes.keys():
            value = attributes[name] or ""
            relative = value.startswith(("#", "exports/")) or value == "data:,"
            assert relative, f"<{tag} {name}={value!r}>"
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    own = [body for _, body in reader.scripts if "plotly.js v" not in body[:200]]
    addresses = set(re.findall(r"https?://[^\s\"'`<>]+", "".join(own)))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "showSendToCloud: false" in own[-1]


def test_a_live_page_may_ask_its_own_server_only(made_up: ReportData) -> None:
    policies = [
        next(a["content"] for t, a in read(page(made_up, scripts=scripts)).tags if a.get("http-equiv"))
        for scripts in ((), ("waterline.js",))
    ]
    assert ["connect-src" in (policy or "") for policy in policies] == [False, True]
    assert "connect-src 'self';" in (policies[1] or "")


def test_the_payload_holds_the_parts_of_the_page(made_up: ReportData) -> None:
    found, html = payload(made_up), page(made_up)
    assert json.loads(json.dumps(found, allow_nan=False))["model"]["name"] == "cifar10"
    reader = read(html)
    assert {a["data-part"] for _, a in reader.tags if "data-part" in a} == found["parts"].keys()
    assert all(part in html for part in found["parts"].values())


def test_plotly_is_there_once(made_up: ReportData) -> None:
    assert page(made_up).count("* plotly.js v") == 1


def test_hostile_names_stay_text() -> None:
    html = page(hostile())
    reader = read(html)
    assert sum(tag == "script" for tag, _ in reader.tags) == 3
    assert "<b>x</b>" not in html
    assert data_of(reader)["name"] == HOSTILE
    assert all("javascript:" not in (a.get("href") or "") for _, a in reader.tags)
    assert "".join(reader.text).count("alert(1)") > 10


def test_text_put_in_is_not_filled_again() -> None:
    assert fill("{{a}}-{{b}}", {"a": "{{b}}", "b": "x"}) == "{{b}}-x"
    assert json.loads(embedded({"</script>": "\u2029&"})) == {"</script>": "\u2029&"}
    assert "<" not in embedded("<!--")


@pytest.mark.parametrize("script", [*SCRIPTS, START])
def test_scripts_put_no_markup_together(script: str) -> None:
    import nas.report

    text = (Path(nas.report.__file__).parent / "page" / script).read_text(encoding="utf-8")
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert risky not in text


@pytest.mark.parametrize("scripts", [(*SCRIPTS, START, "live.js"), ("base.js", "comparison.js")])
def test_scripts_that_share_a_page_share_no_name(scripts: tuple[str, ...]) -> None:
    import nas.report

    folder = Path(nas.report.__file__).parent / "page"
    named = re.compile(r"^(?:(?:async )?function\*? ?|const |let |class )(\w+)", re.MULTILINE)
    names = [name for script in scripts for name in named.findall((folder / script).read_text(encoding="utf-8"))]
    assert len(names) > 5
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)


EMPTY_WORDS = (
    "No architecture has been evaluated yet",
    "No limits were set",
    "Importances were not computed",
    "No hypervolume was recorded",
    "No supernet was trained",
    "No learned predictor",
    "Nothing was trained alone to compare with yet",
    "No stage has been timed",
    "No recipe was recorded",
    "No environment was recorded",
)


def test_an_empty_run_says_what_is_missing() -> None:
    reader = read(page(ReportData("empty")))
    text = " ".join(reader.text)
    for words in EMPTY_WORDS:
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"front": (), "architectures": ()}, "No front has been recorded yet"),
        ({"training": ()}, "No supernet was trained in this run"),
        ({"predictor": None}, "No learned predictor was used"),
        ({"predictor": PredictorReport(())}, "The predictor kept no hold-out measurements"),
        ({"architectures": ()}, "One architecture"),
        ({"stages": ()}, "No stage has been timed"),
    ],
)
def test_missing_parts_are_said_in_words(made_up: ReportData, change: dict[str, object], words: str) -> None:
    data = replace(made_up, **change)  # type: ignore[arg-type]
    assert words in " ".join(read(page(data)).text)


def test_a_front_that_limits_emptied_says_so(made_up: ReportData) -> None:
    broken = tuple(replace(point, feasible=False) for point in made_up.evaluations)
    text = " ".join(read(page(replace(made_up, evaluations=broken, front=()))).text)
    assert "no evaluated architecture keeps every limit" in text


def test_a_front_of_one_and_no_baseline(made_up: ReportData) -> None:
    data = replace(
        made_up,
        front=made_up.front[:1],
        evaluations=tuple(p for p in made_up.evaluations if p.proposer != "random"),
        hypervolume=HypervolumeHistory(search=((1, 0.2),)),
    )
    text = " ".join(read(page(data)).text)
    assert "single architecture" in text
    assert "Random search was not run" in text
    assert "the curve stands alone" in text


def test_a_baseline_cut_short_is_told(made_up: ReportData) -> None:
    assert "Random search ended after 30 evaluations" in " ".join(read(page(made_up)).text)


def test_a_measured_value_over_its_limit_is_marked(made_up: ReportData) -> None:
    entry = replace(made_up.front[0], measured={"latency_ms": 99.0})
    data = replace(made_up, front=(entry,), limits={"latency_ms": 2.0})
    assert "over the limit" in " ".join(read(page(data)).text)
    assert "over the limit" not in " ".join(read(page(replace(data, limits={}))).text)


def test_writing_over_a_page_replaces_it_whole(makes_up: Callable[..., ReportData], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(makes_up(count=3), path)
    assert read(path.read_text(encoding="utf-8")).tags[0][0] == "html"
