"""Recipes: defaults, units, overrides, files, and every mistake told at once with its place."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from nas.recipe import Recipe, load_recipe, recipe_from
from nas.search.proposers import PROPOSERS
from nas.tasks import TASKS
from predictors.figures import FIGURES
from search_spaces.errors import NasError

MINIMAL: dict[str, Any] = {"space": {"name": "mobile"}}


def mistakes(data: dict[str, Any]) -> list[str]:
    with pytest.raises(NasError) as caught:
        recipe_from(data, source="x.toml")
    head, *lines = str(caught.value).split("\n  ")
    assert head == ("a mistake in x.toml:" if len(lines) == 1 else f"{len(lines)} mistakes in x.toml:")
    return lines


def with_key(path: str, value: object) -> dict[str, Any]:
    section, key = path.split(".")
    return MINIMAL | {section: MINIMAL.get(section, {}) | {key: value}}


@pytest.mark.parametrize("name", ["quickstart", "cifar10", "nas_bench_macro", "osnet_ain"])
def test_shipped_recipes_load(name: str, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA", "/data")
    recipe = load_recipe(repository / "runs" / f"{name}.toml")
    assert recipe.name == name
    assert recipe.search.evaluations >= 100


def test_quickstart_says_what_the_design_says(repository: Path) -> None:
    recipe = load_recipe(repository / "runs" / "quickstart.toml")
    assert recipe.search.objectives == ("error", "latency_ms", "weight_bytes")
    assert recipe.search.limits == {"peak_memory_bytes": 256 * 1024}
    assert (recipe.task.data, recipe.target.name, recipe.export.top) == ("digits", "this", 3)


def test_all_mistakes_at_once_each_with_its_place() -> None:
    data = {
        "serch": {},
        "space": {"name": "moble"},
        "task": {"name": "clasification", "validation_share": 1.5},
        "supernet": {"epochs": 2.5, "enabled": 1},
        "search": {"evaluatons": 3, "objectives": ["eror", "macs", "macs"], "limits": {"eror": 1}},
        "export": {"formats": ["onx"]},
    }
    lines = mistakes(data)
    known = f"known: {', '.join(sorted(FIGURES))}"
    assert sorted(lines) == sorted(
        [
            "serch: unknown key; did you mean 'search'?",
            next(line for line in lines if line.startswith("space.name: unknown space 'moble'")),
            "task.name: unknown task 'clasification': did you mean 'classification' or 'reidentification'? "
            f"known: {', '.join(sorted(TASKS))}",
            "task.validation_share: must be less than 1, got 1.5",
            "supernet.epochs: must be a whole number, got 2.5",
            "supernet.enabled: must be true or false, got 1",
            "search.evaluatons: unknown key; did you mean 'evaluations' or 'evaluate'?",
            f"search.objectives[0]: unknown figure 'eror': did you mean 'error'? {known}",
            "search.objectives[2]: 'macs' is listed twice",
            f"search.limits.eror: unknown figure 'eror': did you mean 'error'? {known}",
            "export.formats[0]: must be 'pytorch' or 'onnx', got 'onx'; did you mean 'onnx'?",
        ]
    )


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("search.evaluations", 0, "must be greater than or equal to 1, got 0"),
        ("search.evaluations", True, "must be a whole number, got true"),
        ("search.evaluations", "5oo", "must be a whole number, got '5oo'"),
        ("search.objectives", [], "needs at least one figure"),
        ("search.objectives", "error", "must be a list, got 'error'"),
        ("search.limits", 3, "must be a table, got 3"),
        ("search.name", "a/b", "must be a name of letters, digits, '.', '_' and '-', got 'a/b'"),
        ("search.evaluate", "f", "must look like 'file.py:function' or 'module:function'"),
        ("search.minutes", float("nan"), "must be a finite number, got nan"),
        ("supernet.learning_rate", -0.1, "must be greater than 0, got -0.1"),
        ("supernet.members", 8, 'is for rule = "mixture" alone, but rule is "sandwich"'),
        ("supernet.full_share", 0.5, 'is for rule = "progressive" or "delayed" alone, but rule is "sandwich"'),
        ("supernet.sparsity_end", 0.1, "must be greater than sparsity_start (0.1), got 0.1"),
        ("task.data", "", "must not be empty, got ''"),
        (
            "search.proposer",
            "nsga",
            f"unknown proposer 'nsga': did you mean 'nsga3' or 'nsga2'? known: {', '.join(sorted(PROPOSERS))}",
        ),
        ("space.name", 3, "must be a text, got 3"),
    ],
)
def test_one_mistake(path: str, value: object, line: str) -> None:
    assert mistakes(with_key(path, value)) == [f"{path}: {line}"]


def test_a_space_is_needed_in_one_form() -> None:
    assert mistakes({}) == ["space: is missing"]
    assert mistakes({"space": {}}) == ["space: needs either a name or [[space.stages]]"]
    both = {"space": {"name": "mobile", "stages": [{"depth": 1}]}}
    assert mistakes(both) == ["space: needs either a name or [[space.stages]]"]
    assert recipe_from({"space": {"stages": [{"depth": 1}]}}).space.stages == ({"depth": 1},)


def test_an_option_the_catalogue_space_does_not_take() -> None:
    (line,) = mistakes(MINIMAL | {"space": {"name": "mobile", "options": {"kernel": [3]}}})
    assert line.startswith("space.options.kernel: unknown option 'kernel': did you mean 'kernels'")
    stages = {"stages": [{"block": "mbconv", "width": 8}], "options": {"stem_widht": 8}}
    (line,) = mistakes({"space": stages})
    assert line.startswith("space.options.stem_widht: unknown option 'stem_widht': did you mean")


@pytest.mark.parametrize(
    ("figure", "text", "value"),
    [
        ("peak_memory_bytes", "256 KiB", 262144.0),
        ("weight_bytes", "1.5 MB", 1.5e6),
        ("latency_ms", "1.5 ms", 1.5),
        ("latency_ms", "250 µs", 0.25),
        ("macs", "300 M", 3e8),
        ("macs", "1.2 GMACs", 1.2e9),
        ("params", "40k", 4e4),
        ("error", "3 %", 0.03),
        ("energy_mj", "0.002 J", 2.0),
        ("error", 0.25, 0.25),
        ("params", 1000, 1000.0),
    ],
)
def test_limits_have_units(figure: str, text: object, value: float) -> None:
    limits = recipe_from(with_key("search.limits", {figure: text})).search.limits
    assert limits == {figure: pytest.approx(value, rel=1e-12)}


@pytest.mark.parametrize(
    ("figure", "given_limit", "said"),
    [
        ("latency_ms", "3 KiB", "'3 KiB' is not a number followed by one of: ns, us, µs, ms, s"),
        ("latency_ms", 0, "must be a number above 0 (in ms), got 0"),
        ("latency_ms", True, "must be a number above 0 (in ms), got True"),
        ("energy_relative", "-1", "'-1' is not a number followed by one of: k, M, G, T"),
    ],
)
def test_wrong_limits(figure: str, given_limit: object, said: str) -> None:
    assert mistakes(with_key("search.limits", {figure: given_limit})) == [f"search.limits.{figure}: {said}"]


def test_own_figures_are_legal_with_an_own_evaluate() -> None:
    search = {"evaluate": "mine:score", "objectives": ["dice_loss"], "limits": {"dice_loss": 0.4}}
    recipe = recipe_from(MINIMAL | {"search": search})
    assert recipe.search.objectives == ("dice_loss",)
    assert recipe.search.limits == {"dice_loss": 0.4}


def test_an_environment_variable_in_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_DATA", raising=False)
    assert mistakes(with_key("task.data", "$SOME_DATA/x.tar")) == [
        "task.data: the environment variable SOME_DATA is not set: set it, or give the path itself"
    ]
    monkeypatch.setenv("SOME_DATA", "/there")
    for text in ("$SOME_DATA/x.tar", "${SOME_DATA}/x.tar"):
        assert recipe_from(with_key("task.data", text)).task.data == "/there/x.tar"


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recipe_from(MINIMAL).search.seed = 3  # type: ignore[misc]


def test_toml_writes_every_default_that_is_set() -> None:
    text = recipe_from(MINIMAL).to_toml()
    data = tomllib.loads(text)
    for section, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            fields = field.annotation.model_fields
            unset = {key for key, inner in fields.items() if inner.get_default() is None}
            assert set(fields) - unset - {"name", "options", "limits"} <= set(data[section])


@given(
    limits=st.dictionaries(st.sampled_from(sorted(FIGURES)), st.floats(1e-9, 1e12)),
    objectives=st.lists(st.sampled_from(sorted(FIGURES)), min_size=1, unique=True),
    minutes=st.none() | st.floats(0.01, 1e4),
    data=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="$~"), min_size=1),
    options=st.dictionaries(st.text(max_size=5), st.integers() | st.lists(st.booleans())),
    augment=st.none() | st.booleans(),
)
def test_toml_round_trip(
    limits: dict[str, float],
    objectives: list[str],
    minutes: float | None,
    data: str,
    options: dict[str, Any],
    augment: bool | None,
) -> None:
    given_data: dict[str, Any] = {
        "space": {"name": "m:f", "options": options},
        "search": {"limits": limits, "objectives": objectives},
        "task": {"data": data},
    }
    if minutes is not None:
        given_data["minutes"] = minutes
    if augment is not None:
        given_data["task"]["augment"] = augment
    recipe = recipe_from(given_data)
    assert recipe_from(tomllib.loads(recipe.to_toml())) == recipe


@pytest.fixture
def own_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(
        '[space]\nname = "mobile"\n[task]\ndata = "digits"\n[search.limits]\npeak_memory_bytes = "256 KiB"\n'
    )
    return path


def test_overrides(own_recipe: Path) -> None:
    recipe = load_recipe(
        own_recipe,
        [
            "search.evaluations=500",
            'search.limits.latency_ms="1.5 ms"',
            "search.objectives = ['error', 'macs']",
            "space.options.kernels=[3, 5]",
            "search.proposer=random",
            "name=small",
            "minutes=2",
        ],
    )
    assert recipe.search.evaluations == 500
    assert recipe.search.limits == {"peak_memory_bytes": 262144, "latency_ms": 1.5}
    assert recipe.search.objectives == ("error", "macs")
    assert recipe.space.options == {"kernels": [3, 5]}
    assert (recipe.search.proposer, recipe.name, recipe.minutes) == ("random", "small", 2.0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.evaluations", "'search.evaluations' must look like section.key=value"),
        ("search..x=1", "must look like section.key=value"),
        ("task.data.x=1", "'data' is not a table of the recipe"),
        ("search.evaluatons=1", "search.evaluatons: unknown key; did you mean 'evaluations'"),
    ],
)
def test_wrong_overrides(override: str, said: str, own_recipe: Path) -> None:
    with pytest.raises(NasError) as caught:
        load_recipe(own_recipe, [override])
    assert said in str(caught.value)


def test_finding_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart").name == "quickstart"
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    own = tmp_path / "runs" / "quickstart.toml"
    own.write_text('minutes = 7\n[space]\nname = "mobile"\n')
    assert load_recipe("quickstart").minutes == 7.0
    resolved = tmp_path / "runs" / "quickstart" / "recipe.toml"
    resolved.write_text(load_recipe("quickstart", ["minutes=9"]).to_toml())
    from_folder = load_recipe("runs/quickstart")
    assert (from_folder.name, from_folder.minutes) == ("quickstart", 9.0)


def test_recipes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="unknown recipe 'quickstrat': did you mean 'quickstart'"):
        load_recipe("quickstrat")
    with pytest.raises(NasError, match=r"there is no recipe '.*x.toml'; known by name: .*quickstart"):
        load_recipe(tmp_path / "x.toml")


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    broken = tmp_path / "x.toml"
    broken.write_text("[space]\nname = \n")
    with pytest.raises(NasError, match=r"x\.toml is not TOML: .*line 2"):
        load_recipe(broken)


def test_paths_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "space.py").write_text("")
    (tmp_path / "mine" / "digits").mkdir()
    recipe = tmp_path / "mine" / "r.toml"
    recipe.write_text('[space]\nname = "space.py:tiny"\n[task]\ndata = "digits"\n')
    monkeypatch.chdir(tmp_path)
    assert load_recipe(recipe).space.name == f"{tmp_path / 'mine' / 'space.py'}:tiny"
    assert load_recipe(recipe).task.data == "digits"
    monkeypatch.chdir(tmp_path / "mine")
    assert load_recipe("./r.toml").space.name == "space.py:tiny"


def test_a_size_is_a_list_of_extents() -> None:
    recipe = recipe_from({"space": {"name": "mobile"}, "task": {"name": "segmentation", "size": [24, 32, 24]}})
    assert recipe.task.size == (24, 32, 24)
    assert recipe_from({"space": {"name": "mobile"}}).task.size is None
    with pytest.raises(NasError, match=r"task\.size"):
        recipe_from({"space": {"name": "mobile"}, "task": {"size": [24, 0]}})
