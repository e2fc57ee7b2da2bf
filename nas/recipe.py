"""Recipes: the typed, frozen, strict description of a whole run, read from and written to TOML."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nas.recipe_text import (
    Mistake,
    apply_overrides,
    beside,
    expand,
    find,
    mistakes_of,
    parse_toml,
    several,
)
from nas.target_figures import DEVICE_FIGURES, WORST, per_target, short_name, split_name
from nas.tasks import TASKS
from predictors.figures import FIGURES, parse_quantity
from search_spaces.catalog import CATALOG
from search_spaces.errors import NasError, unknown_name
from search_spaces.stages import stagewise

__all__ = [
    "ExportSection",
    "Recipe",
    "SearchSection",
    "SpaceSection",
    "SupernetSection",
    "TargetSection",
    "TaskSection",
    "load_recipe",
    "parse_quantity",
    "recipe_from",
]


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _function_path(value: str) -> str:
    place, _, function = value.rpartition(":")
    if not place or not function.isidentifier():
        raise ValueError("must look like 'file.py:function' or 'module:function'")
    return value


def _task_name(value: str) -> str:
    several(_check((), value, lambda name: _known("task", name, TASKS)))
    return value


def _proposer_name(value: str) -> str:
    from nas.search.proposers import PROPOSERS

    several(_check((), value, lambda name: _known("proposer", name, PROPOSERS)))
    return value


def _storage(value: str) -> str:
    from nas.search.storage import kind_of

    def known(storage: str) -> None:
        kind_of(storage)

    several(_check((), value, known))
    return value


Text = Annotated[str, Field(min_length=1)]
Place = Annotated[Text, AfterValidator(expand)]
FunctionPath = Annotated[Place, AfterValidator(_function_path)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
FolderName = Annotated[str, Field(pattern=NAME)]
Strings = Annotated[tuple[Text, ...], BeforeValidator(_tuple)]
Places = Annotated[tuple[Place, ...], BeforeValidator(_tuple)]
Tables = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_tuple)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class SpaceSection(_Section):
    """What may vary: a named space, or the stages of a declarative one."""

    name: Place | None = None
    """A catalogue name, "file.py:function" or "module:function"."""
    stages: Tables = ()
    """The declarative form, one table a stage; instead of `name`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the space's builder, or of the stem and head around `stages`."""

    @model_validator(mode="after")
    def _known(self) -> "SpaceSection":
        if (self.name is None) == (not self.stages):
            raise ValueError("needs either a name or [[space.stages]]")
        if self.name is None or ":" not in self.name:
            several(_option_mistakes(self.name, self.options))
        return self


def _option_mistakes(name: str | None, options: Mapping[str, Any]) -> list[Mistake]:
    """Return what is wrong with the name of a space that comes with the package, or its options.

    `name` None means the builder of declarative stages.
    """
    if name is not None and name not in CATALOG:
        return [Mistake(("name",), str(unknown_name("space", name, CATALOG)))]
    builder = stagewise if name is None else CATALOG[name]
    own = {"input_shape", "classes"} | ({"stages", "name"} if name is None else set())
    legal = set(inspect.signature(builder).parameters) - own
    return [Mistake(("options", key), str(unknown_name("option", key, legal))) for key in options if key not in legal]


class TaskSection(_Section):
    """What the networks must learn, and from which data."""

    name: Annotated[Text, AfterValidator(_task_name)] = "classification"
    """The kind of task."""
    data: Place = "digits"
    """"digits", "synthetic_people", a path (folder, tar, .npz, IDX) or "module:function" returning torch datasets."""
    classes: Count | None = None
    """How many classes; unset: as the data says."""
    size: Annotated[tuple[Count, ...] | None, BeforeValidator(_tuple)] = None
    """Spatial size that images of unequal size, or with masks, are brought to; unset: as the data says."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training part that is held out to choose by."""
    augment: bool | None = None
    """Vary the training images; unset: as suits the data."""
    batch_size: Count = 256
    """Images per batch when networks are evaluated."""
    limit: Count | None = None
    """Use only this many training images."""


class TargetSection(_Section):
    """The hardware that the networks are for, and how it runs them."""

    name: Place = "this"
    """"this" machine, measured now; or a packaged target; or the path of a target file."""
    also: Places = ()
    """More targets: a front for each, and one for the worst of them all; they share `search.evaluations`."""
    runtime: Literal["onnxruntime", "torch", "torch_compile"] = "onnxruntime"
    """What runs the networks."""
    threads: Count = 1
    """Threads of one inference."""
    minutes: Positive = 5.0
    """Time budget of measuring this machine."""
    precision: Literal["fp32", "int8", "fp16", "bf16"] = "fp32"
    """Number format of the networks on the target: "int8" needs onnxruntime, "fp16" and "bf16" a GPU."""
    batch: Count = 1
    """Images per inference."""

    @field_validator("also")
    @classmethod
    def _told_apart(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = [short_name(text) for text in (info.data.get("name", ""), *value)] if value else []
        several([Mistake((max(i - 1, 0),), said) for i, name in enumerate(names) if (said := _unfit(name, names[:i]))])
        return value

    @property
    def names(self) -> dict[str, str]:
        """What each target is called, the stem of a file's path, to how the recipe names it."""
        return {short_name(text): text for text in (self.name, *self.also)}


def _unfit(name: str, taken: Sequence[str]) -> str:
    """Why a run of several targets cannot call one of them `name`; empty when it can."""
    if name in taken:
        return f"two targets are called {name!r}: rename a file"
    if name == WORST or not re.fullmatch(NAME, name):
        return f"a target among several cannot be called {name!r}: rename the file (letters, digits, '.', '_', '-')"
    return ""


class SupernetSection(_Section):
    """How the shared weights of all architectures are trained."""

    enabled: bool = True
    """Train shared weights; otherwise each candidate is trained alone."""
    rule: Literal["sandwich", "single_path", "progressive", "delayed", "mixture", "gumbel"] = "sandwich"
    """Which architectures one step trains, and against what."""
    sampling: Literal["choices", "cost", "shift", "best_up", "worst_up"] = "choices"
    """How random architectures are drawn: uniformly over choices, over MACs, or by what was learnt."""
    distillation: Literal["soft_labels", "alpha_divergence"] = "soft_labels"
    """How architectures learn from the largest one's answers."""
    epochs: Count = 50
    """Passes over the training data."""
    batch_size: Count = 128
    """Images per training step."""
    learning_rate: Positive = 0.1
    """Peak of the schedule."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Pull of the weights towards 0."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the label spread over all classes."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    """Epochs until the learning rate peaks."""
    random_subnets: Annotated[int, Field(ge=0)] | None = None
    """Random architectures per step; unset: 1 in "sandwich" beside the smallest, 2 in other rules that have them."""
    teacher_every: Count = 8
    """In a sandwich, one step in so many has the largest architecture; in others the rest learns from labels."""
    cost_bins: Annotated[int, Field(ge=2)] = 5
    """Bins of MACs that sampling "shift" tells apart."""
    full_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of training with the largest architecture alone; unset: 0.5 in "delayed", 0.3 in "progressive"."""
    ramp_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of training over which "delayed" raises the learning rate of all others."""
    shrink_order: Strings = ("resolution", "kernel", "depth", "width")
    """Order in which "progressive" opens dimensions: last words of choices; all others open with the last."""
    members: Annotated[int, Field(ge=2)] = 4
    """Sets of weights of a "mixture"."""
    relaxed: Strings = ()
    """Choices that "gumbel" learns, by the last words of their names; unset: those whose options are no numbers."""
    choice_sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of zeros in the weights with which "gumbel" learns choices."""
    kernel_transforms: bool = False
    """Let small kernels be the centre of large ones mixed by learned matrices, at first the identity."""
    sort_channels: bool = False
    """Sort channels by importance when widths begin to shrink."""
    sparsity_gradient: Literal["masked", "ste", "sr_ste", "decay_linear", "decay_exponential"] = "masked"
    """What gradients do at weights that sparsity drops."""
    sparsity_schedule: Literal["none", "cubic", "stepwise", "geometric"] = "none"
    """How zeros come while training: ratios cubically, N:M patterns as said or from the start."""
    sparsity_start: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of training after which scheduled zeros begin, or dropped weights to decay."""
    sparsity_end: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of training after which zeros are final."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential average of the weights; unset: none is kept."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of training; "auto" takes bf16 where the machine gains from it."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of initial weights, data order and drawn architectures."""

    @model_validator(mode="after")
    def _consistent(self) -> "SupernetSection":
        """Refuse settings that would be ignored, and a time of zeros that ends before it begins."""
        mistakes = []
        for key, needed in _RULES_OF.items():
            unset = type(self).model_fields[key].default
            if self.rule not in needed and getattr(self, key) != unset:
                rules = " or ".join(f'"{rule}"' for rule in needed)
                mistakes.append(Mistake((key,), f'is for rule = {rules} alone, but rule is "{self.rule}"'))
        if self.sampling != "shift" and self.cost_bins != type(self).model_fields["cost_bins"].default:
            mistakes.append(
                Mistake(("cost_bins",), f'is for sampling = "shift" alone, but sampling is "{self.sampling}"')
            )
        if self.sparsity_end <= self.sparsity_start:
            said = f"must be greater than sparsity_start ({self.sparsity_start:g}), got {self.sparsity_end:g}"
            mistakes.append(Mistake(("sparsity_end",), said))
        if not self.shrink_order:
            mistakes.append(Mistake(("shrink_order",), "needs at least one word"))
        several(mistakes)
        return self


_RULES_OF: Mapping[str, tuple[str, ...]] = {
    "random_subnets": ("sandwich", "progressive", "delayed", "gumbel"),
    "teacher_every": ("sandwich",),
    "distillation": ("sandwich", "progressive", "delayed", "gumbel"),
    "full_share": ("progressive", "delayed"),
    "ramp_share": ("delayed",),
    "shrink_order": ("progressive",),
    "members": ("mixture",),
    "relaxed": ("gumbel",),
    "choice_sparsity": ("gumbel",),
    "sort_channels": ("progressive", "delayed"),
}
"""Settings that only some training rules use."""


class SearchSection(_Section):
    """Which architectures are tried, and what is wanted of them."""

    name: FolderName = "search"
    """Folder of this search; several may share one supernet."""
    evaluate: FunctionPath | None = None
    """The user's own `evaluate(arch) -> dict`; its figures may be objectives too."""
    objectives: Strings = ("error", "latency_ms")
    """Figures to be made small."""
    limits: dict[str, float] = Field(default_factory=dict)
    """Figures with the most they may be: a number, a text such as "256 KiB" or "1.5 ms", or a table of one a target."""
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """How surely an architecture keeps a limit on latency when measured; 0 takes predictions as they are."""
    evaluations: Count = 200
    """Architectures the proposer may have evaluated."""
    random_evaluations: Annotated[int, Field(ge=0)] | None = None
    """Budget of random search, the baseline; unset: equal to `evaluations`."""
    workers: Count = 2
    """Processes that evaluate, one thread each."""
    proposer: Annotated[Text, AfterValidator(_proposer_name)] = "surrogate"
    """"surrogate" proposes, or "nsga2", "nsga3", "evolution", "local", "tpe", "gp", "exact", "exhaustive", "random"."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of every draw of the search."""
    lag: Annotated[int, Field(ge=0)] = 4
    """Trial n is proposed from the results of trials before n - lag, however many workers."""
    minutes: Positive | None = None
    """Time budget of the search."""
    storage: Annotated[Text, AfterValidator(_storage)] = "sqlite"
    """Where the trials are recorded: "sqlite", "journal" or "postgresql://USER@HOST:PORT/DATABASE"."""
    cluster: Text | None = None
    """A running Ray cluster: "auto" for this machine's, or "ray://HOST:PORT"; unset: Ray of its own."""
    timeout_seconds: Positive | None = None
    """The most an evaluation may take; a slower one is ended and counts as failed. Unset: as long as it likes."""
    early_stop: bool = False
    """Give an evaluation up when its first validation batches show it to be dominated."""
    warm_start: Places = ()
    """Runs, or folders of searches, of the same space: what they evaluated is learned from and not evaluated again."""
    recalibration_batches: Count = 4
    """Training batches from which a subnet's normalisation statistics are taken."""

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        mistakes = [] if value else [Mistake((), "needs at least one figure")]
        for index, name in enumerate(value):
            if name in value[:index]:
                mistakes.append(Mistake((index,), f"{name!r} is listed twice"))
            elif not info.data.get("evaluate"):
                mistakes += _check((index,), name, _known_figure)
        several(mistakes)
        return value

    @field_validator("limits", mode="before")
    @classmethod
    def _limits_in_units(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, Mapping):
            return value
        own = bool(info.data.get("evaluate"))
        limits: dict[str, float] = {}
        mistakes: list[Mistake] = []
        for name, given in per_target(value):

            def read(name: str, given: object = given) -> None:
                limits[name] = _limit(name, given, own=own)

            mistakes += _check((name,), str(name), read)
        several(mistakes)
        return limits


def _check(place: tuple[str | int, ...], name: str, check: Callable[[str], None]) -> list[Mistake]:
    """Call `check(name)`; return its NasError, if any, as the mistake at `place`."""
    try:
        check(name)
    except NasError as error:
        return [Mistake(place, str(error))]
    return []


def _known(kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise unknown_name(kind, name, names)


def _known_figure(name: str) -> None:
    _known("figure", name, FIGURES)


def _limit(name: str, given: object, *, own: bool) -> float:
    """Return limit `name` in its figure's unit; `own` allows figures that are not in the table."""
    figure, target = split_name(name)
    if not (own and figure not in FIGURES):
        _known_figure(figure)
    if target and figure not in DEVICE_FIGURES:
        raise NasError(f"{figure} is the same on every target: give one limit")
    unit = FIGURES[figure].unit if figure in FIGURES else ""
    if isinstance(given, str):
        given = parse_quantity(given, unit)
    number = given if isinstance(given, int | float) and not isinstance(given, bool) else 0.0
    if not 0 < number < float("inf"):
        raise NasError(f"must be a number above 0{f' (in {unit})' if unit else ''}, got {given!r}")
    return float(number)


class ExportSection(_Section):
    """What is written out when the search ends."""

    top: Annotated[int, Field(ge=0)] = 3
    """How many architectures of the front are exported."""
    formats: Annotated[tuple[Literal["pytorch", "onnx"], ...], BeforeValidator(_tuple)] = (
        "pytorch",
        "onnx",
    )
    """What each is written as."""


class Recipe(_Section):
    """A whole run. Frozen; `recipe_from` or `load_recipe` make one from data or from a file."""

    name: FolderName = "run"
    """Folder of the run; unset: the name of the recipe's file."""
    minutes: Positive | None = None
    """Time budget of the whole run; it ends with a report of what is there."""
    space: SpaceSection
    task: TaskSection = TaskSection()
    target: TargetSection = TargetSection()
    supernet: SupernetSection = SupernetSection()
    search: SearchSection = SearchSection()
    export: ExportSection = ExportSection()

    @model_validator(mode="after")
    def _limits_of_targets(self) -> "Recipe":
        mistakes = []
        for limit in self.search.limits:
            figure, target = split_name(limit)
            place = ("search", "limits", limit)
            if target and not self.target.also:
                mistakes.append(Mistake(place, f"the run has one target: write {figure}"))
            elif target:
                mistakes += _check(place, target, lambda name: _known("target", name, self.target.names))
        several(mistakes)
        return self

    def to_toml(self) -> str:
        """Return the recipe as TOML with every default written out; what is unset is left out.

        `recipe_from(tomllib.loads(recipe.to_toml())) == recipe` holds.
        """
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def recipe_from(data: Mapping[str, Any], *, source: str = "the recipe") -> Recipe:
    """Return the recipe that `data` (nested dictionaries, as TOML gives them) describes.

    Raises one NasError that lists every mistake with the path of its key; `source` names the file.
    """
    try:
        return Recipe.model_validate(dict(data))
    except ValidationError as error:
        lines = mistakes_of(error, Recipe)
    count = f"{len(lines)} mistakes" if len(lines) > 1 else "a mistake"
    raise NasError("\n  ".join([f"{count} in {source}:", *lines]))


def load_recipe(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a file, of a run's folder, or of a name.

    A name is looked for as `runs/<name>.toml` in the current directory, then among the recipes
    that come with the package. `overrides` are texts `section.key=value` with the value as TOML
    writes it (a bare word is taken as text). A space, data, target or evaluate path that does not
    exist from the current directory is taken relative to the recipe's file.

    Raises NasError: no such recipe (with near matches), broken TOML (with the line), or mistakes
    in it, all of them at once.
    """
    path = find(path_or_name)
    data = parse_toml(path)
    apply_overrides(data, overrides)
    beside(data, path.resolve().parent)
    data.setdefault("name", path.stem)
    return recipe_from(data, source=str(path))
