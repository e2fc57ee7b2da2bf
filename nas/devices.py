"""Several targets in one run: a search for each and one for the worst of them, over the same shared weights.

The robust search comes first and is the run's own; it makes `latency_ms@worst` small, the largest latency of a network
over all targets, each as a share of the target's scale. Then each target has a search of its own, which takes over all
that was evaluated before it. In the end every front is chosen among everything evaluated in the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nas.costs import Interval
from nas.recipe import Recipe
from nas.target_figures import DEVICE_FIGURES, WORST, on_target, split_name
from search_spaces.errors import NasError
from search_spaces.network import Network

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.domain import Floats, Rows
    from predictors.latency import LatencyModel
    from predictors.tables import CostTables
    from search_spaces.compiled import CompiledSpace

SAMPLE = 1024
EVALUATED_IN = "fp32"
SHARED = ("task", "space", "compiled", "evaluate", "supernet", "subnets", "trained_supernet")


def views_of(run: "Run") -> "dict[str, Run]":
    """`run` as each of its targets sees it, by name; empty where it has one target."""
    if not run.asked.target.also:
        return {}
    return {name: run.seen_by(target_recipe(run.asked, name), name) for name in run.asked.target.names}


def ready_views(run: "Run") -> "dict[str, Run]":
    """The same, with all that does not depend on the target taken from `run`, not made again."""
    _ = run.compiled
    shared = {name: value for name, value in vars(run).items() if name in SHARED}
    for view in run.views.values():
        vars(view).update(shared)
    return run.views


def check_precision(run: "Run") -> None:
    """Raise NasError where error and latency would be those of networks in different number formats."""
    from predictors.target import MEASURED_NOW, load_target

    if not (run.wants_target and run.needs_error) or run.evaluate is not None:
        return
    section = run.recipe.target
    for name, place in section.names.items():
        here = place == MEASURED_NOW
        precision = section.precision if here else load_target(place).identity.precision
        if precision != EVALUATED_IN:
            called = f"target {name!r}" if section.also else "this target"
            raise NasError(
                f"latency_ms and energy_mj of {called} are those of {precision} networks, but error is evaluated in "
                f"{EVALUATED_IN}: no network has both. Take a target in {EVALUATED_IN}, leave error out of objectives "
                f"and limits, or evaluate {precision} networks with a search.evaluate of your own"
            )


def robust_recipe(recipe: Recipe) -> Recipe:
    """The recipe of the search for the worst target: its objectives and limits by target, its share of the budget."""
    search = recipe.search
    objectives = tuple(on_target(name, WORST) if name in DEVICE_FIGURES else name for name in search.objectives)
    limits: dict[str, float] = {}
    for name in recipe.target.names:
        for figure, limit in _limits_on(search.limits, name).items():
            limits[on_target(figure, name) if figure in DEVICE_FIGURES else figure] = limit
    parts = 1 + len(recipe.target.names)
    share = search.evaluations - (parts - 1) * (search.evaluations // parts)
    section = search.model_copy(
        update={
            "objectives": objectives,
            "limits": limits,
            "evaluations": share,
            "minutes": None if search.minutes is None else search.minutes / parts,
        }
    )
    return recipe.model_copy(update={"search": section})


def target_recipe(recipe: Recipe, name: str) -> Recipe:
    """The recipe of the search for the target called `name` alone; it has no random baseline of its own."""
    search, names = recipe.search, tuple(recipe.target.names)
    before = (search.name, *(search_name(recipe, other) for other in names[: names.index(name)]))
    section = search.model_copy(
        update={
            "name": search_name(recipe, name),
            "limits": _limits_on(search.limits, name),
            "evaluations": max(1, search.evaluations // (1 + len(names))),
            "random_evaluations": 0,
            "minutes": None if search.minutes is None else search.minutes / (1 + len(names)),
            "warm_start": before,
        }
    )
    target = recipe.target.model_copy(update={"name": recipe.target.names[name], "also": ()})
    return recipe.model_copy(update={"search": section, "target": target})


def search_name(recipe: Recipe, name: str) -> str:
    """What the search for the target called `name` alone is called."""
    return f"{recipe.search.name}-{name}"


def _limits_on(limits: Mapping[str, float], name: str) -> dict[str, float]:
    """The limits that hold on one target; those that name it before those that name none."""
    found: dict[str, float] = {}
    for wanted in ("", name):
        for full, limit in limits.items():
            figure, target = split_name(full)
            if target == wanted:
                found[figure] = limit
    return found


@dataclass(frozen=True)
class DeviceCosts:
    """Figures of networks on several targets: those of each, `figure@target`, and the worst share of their scales.

    views: the run as each target sees it. scales: per figure, what each target's values are divided by.
    """

    views: Mapping[str, "Run"]
    scales: Mapping[str, Mapping[str, float]]
    latency: "LatencyModel | None" = None

    def values(self, network: Network) -> dict[str, float]:
        """Figure name to value, in the figure's unit; `figure@worst` is a bare ratio."""
        found = {name: view.costs.values(network) for name, view in self.views.items()}
        return {key: float(value) for key, value in self.joined({n: _arrays(v) for n, v in found.items()}).items()}

    def tables(self, compiled: "CompiledSpace") -> "DeviceTables":
        """The same figures for whole populations."""
        return DeviceTables(self)

    @property
    def provenance(self) -> dict[str, str]:
        """How each figure is known; the worst of several as the least sure of them."""
        found = {name: view.costs.provenance for name, view in self.views.items()}
        kinds = dict(next(iter(found.values())))
        for figure in self.scales:
            each = {name: provenance[figure] for name, provenance in found.items()}
            kinds |= {on_target(figure, name): kind for name, kind in each.items()}
            kinds[on_target(figure, WORST)] = "analytic" if "analytic" in each.values() else each[next(iter(each))]
        return kinds

    def intervals(self, values: Mapping[str, float], *, confidence: float = 0.9) -> dict[str, Interval]:
        """Intervals of the predicted figures of each target, where they are known."""
        found: dict[str, Interval] = {}
        for name, view in self.views.items():
            own = {figure: values[key] for figure in DEVICE_FIGURES if (key := on_target(figure, name)) in values}
            for figure, interval in view.costs.intervals(own, confidence=confidence).items():
                found[on_target(figure, name)] = interval
        return found

    def joined(self, found: "Mapping[str, Mapping[str, Floats]]") -> "dict[str, Floats]":
        """Figures by target name, each with its values, as figures of the run."""
        first = next(iter(found.values()))
        joined = {figure: values for figure, values in first.items() if figure not in DEVICE_FIGURES}
        for figure, scale in self.scales.items():
            shares = []
            for name, values in found.items():
                joined[on_target(figure, name)] = values[figure]
                shares.append(values[figure] / scale[name])
            joined[on_target(figure, WORST)] = np.max(shares, axis=0)
        return joined


def _arrays(values: Mapping[str, float]) -> "dict[str, Floats]":
    return {name: np.asarray(value) for name, value in values.items()}


@dataclass(frozen=True)
class DeviceTables:
    """The figures of `DeviceCosts` by array look-ups."""

    costs: DeviceCosts

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every figure that the tables know."""
        view = next(iter(self.costs.views.values()))
        plain = tuple(figure for figure in view.tables.names if figure not in DEVICE_FIGURES)
        names = (*self.costs.views, WORST)
        return (*plain, *(on_target(figure, name) for figure in self.costs.scales for name in names))

    @property
    def sources(self) -> "dict[str, tuple[CostTables, str]]":
        """By figure name, the tables that know it and what they call it; the worst of several is in none."""
        first = next(iter(self.costs.views.values()))
        found = {name: source for name, source in first.tables.sources.items() if name not in DEVICE_FIGURES}
        for figure in self.costs.scales:
            for name, view in self.costs.views.items():
                found[on_target(figure, name)] = view.tables.sources[figure]
        return found

    def score(self, rows: "Rows", figures: Sequence[str] | None = None) -> "dict[str, Floats]":
        """Figure name to values [n] for rows [n, n_slots]; all figures in `names` unless `figures` are given."""
        found: dict[str, dict[str, Floats]] = {}
        for number, (name, view) in enumerate(self.costs.views.items()):
            found[name] = view.tables.score(rows, None if number == 0 else tuple(self.costs.scales))
        joined = self.costs.joined(found)
        return joined if figures is None else {name: joined[name] for name in figures}


def device_costs(run: "Run") -> DeviceCosts:
    """The costs of a run of several targets.

    The scales are the targets' limits on the figure where all have one; otherwise the median of what each target
    predicts for 1,024 random architectures. Raises NasError where a target does not tell a wanted figure.
    """
    views = ready_views(run)
    wanted = {split_name(name)[0] for name in (*run.recipe.search.objectives, *run.recipe.search.limits)}
    scales: dict[str, dict[str, float]] = {}
    sample = run.compiled.sample(np.random.default_rng(0), SAMPLE)
    for figure in [name for name in DEVICE_FIGURES if name in wanted]:
        dumb = [name for name, view in views.items() if figure not in view.tables.names]
        if dumb:
            raise NasError(
                f"target {dumb[0]!r} does not tell {figure}: leave {figure} out of objectives and limits, or take the "
                "target out of target.also"
            )
        limits = {name: view.recipe.search.limits.get(figure) for name, view in views.items()}
        if all(limit is not None for limit in limits.values()):
            scales[figure] = {name: float(limit or 0.0) for name, limit in limits.items()}
        else:
            found = {name: view.tables.score(sample, (figure,))[figure] for name, view in views.items()}
            scales[figure] = {name: float(np.median(values)) for name, values in found.items()}
    return DeviceCosts(views, scales)


def figures_beside(run: "Run") -> tuple[str, ...]:
    """What is shown beside the objectives of a run of several targets: the objectives' figures on each of them."""
    figures = [figure for name in run.recipe.search.objectives for figure, at in [split_name(name)] if at == WORST]
    return tuple(on_target(figure, name) for figure in figures for name in run.views)


def units(run: "Run") -> dict[str, str]:
    """What the worst of several targets is a share of, in words, by figure."""
    found = {}
    for figure in DEVICE_FIGURES if run.views else ():
        limited = all(figure in view.recipe.search.limits for view in run.views.values())
        found[on_target(figure, WORST)] = "times its limit" if limited else "times its median"
    return found
