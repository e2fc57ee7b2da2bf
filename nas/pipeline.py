"""A run: the parts it is made of, and the stages that lead from a recipe to exported networks."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.costs import Costs
from nas.recipe import Recipe
from nas.run_folder import RunFolder
from nas.target_figures import DEVICE_FIGURES, split_name
from search_spaces.errors import NasError, unknown_name
from search_spaces.network import Network
from search_spaces.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from nas.devices import DeviceCosts, DeviceTables
    from nas.fidelity import Fidelity
    from nas.modules import Weights
    from nas.own.marks import Asked
    from nas.runtimes.meter import Meter
    from nas.search.domain import Domain, Rows
    from nas.search.driver import SearchResult
    from nas.search.problem import Problem, Settings
    from nas.search.record import Evaluation
    from nas.search.workers import Evaluator
    from nas.supernet.settings import TrainSettings
    from nas.supernet.subnets import Subnets
    from nas.supernet.train import Trainer
    from nas.supernet.weights import Supernet
    from nas.tasks.classification import ClassificationTask
    from predictors.tables import CostTables
    from predictors.target import Target
    from search_spaces.compiled import CompiledSpace

LOGGER = logging.getLogger("nas")
Evaluate = Callable[[Architecture], Mapping[str, float]]
CALIBRATION_SIZE = 256


class Run:
    """One run: its folder, its recipe, and what follows from them; each part is made when first asked for.

    `space` and `evaluate` stand in for what the recipe names, for objects that no recipe can name. A run of several
    targets is seen through its search for the worst of them: `recipe` is that search's, `asked` the one it was given.
    `whole` is that run where this one is what one of its targets, called `target_name`, sees of it.
    """

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        *,
        space: SearchSpace | None = None,
        evaluate: Evaluate | None = None,
        whole: "Run | None" = None,
        target_name: str = "",
    ) -> None:
        from nas.devices import robust_recipe

        self.folder = folder
        self.asked = recipe
        self.recipe = robust_recipe(recipe) if recipe.target.also else recipe
        self.target_file = folder.target_of(target_name) if whole else folder.target
        self._given_space = space
        self._given_evaluate = evaluate
        self._whole = whole
        self.started: float = time.monotonic() if whole is None else whole.started

    def __repr__(self) -> str:
        from nas.report.notebook import run_text

        return run_text(self)

    def _repr_html_(self) -> str:
        from nas.report.notebook import run_html

        return run_html(self)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def search_folder(self) -> Path:
        """Folder of the recipe's search."""
        return self.folder.search(self.recipe.search.name)

    @cached_property
    def views(self) -> "dict[str, Run]":
        """The run as each of its targets sees it, by name; empty where it has one target."""
        from nas.devices import views_of

        return views_of(self)

    def seen_by(self, recipe: Recipe, name: str) -> "Run":
        """This run as its target called `name` sees it, with that target's `recipe`."""
        space, evaluate = self._given_space, self._given_evaluate
        return Run(self.folder, recipe, space=space, evaluate=evaluate, whole=self, target_name=name)

    @property
    def family(self) -> "tuple[Run, ...]":
        """This run and all others in its folder that are searched with it, the whole first."""
        whole = self._whole or self
        return (whole, *whole.views.values())

    def for_target(self, name: str) -> "Run":
        """The run as the target called `name` sees it: its search, its front; NasError when there is no such target."""
        if name not in self.views:
            raise unknown_name("target of several in this run", name, self.views)
        return self.views[name]

    def front_for(self, name: str) -> list[dict[str, Any]]:
        """The Pareto front of the target called `name`, as rows like those of `front`."""
        return self.for_target(name).front

    @cached_property
    def task(self) -> "ClassificationTask":
        """Data, loss and metric."""
        from nas.console import progress
        from nas.tasks import task_builder, task_data

        section = self.recipe.task
        with progress("reading the data", 1.0) as step:
            data = task_data(
                section.name,
                section.data,
                cache=self.path.parent / ".data",
                size=section.size,
                classes=section.classes,
                advance=step.advance,
            )
        if section.classes not in (None, len(data.class_names)):
            raise NasError(
                f"task.classes is {section.classes}, but {section.data} has {len(data.class_names)} classes; "
                "leave task.classes out to take them from the data"
            )
        task: ClassificationTask = task_builder(section.name)(
            data,
            validation_share=section.validation_share,
            seed=self.recipe.supernet.seed,
            augment=section.augment,
            limit=section.limit,
        )
        return task

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, for the task's inputs and classes."""
        if self._given_space is not None:
            return self._given_space
        from nas.spaces import load_space

        section = self.recipe.space
        return load_space(
            section.name,
            input_shape=self.task.input_shape,
            classes=self.task.classes,
            options=section.options,
            stages=section.stages,
        )

    @cached_property
    def evaluate(self) -> Evaluate | None:
        """The user's own evaluation, `None` where the project evaluates."""
        from nas.objects import load_object

        if self._given_evaluate is not None or self.recipe.search.evaluate is None:
            return self._given_evaluate
        found: Evaluate = load_object(self.recipe.search.evaluate, what="search.evaluate")
        return found

    @cached_property
    def compiled(self) -> "CompiledSpace":
        """The space as slots and tables."""
        from predictors.tables import compile_for_costs

        return compile_for_costs(self.space)

    @cached_property
    def target(self) -> "Target":
        """What is known of the hardware: the run's frozen target file, made when there is none yet."""
        from nas.target_file import freeze_target
        from predictors.target import load_target

        if self.views:
            return next(iter(self.views.values())).target
        if not self.target_file.is_file():
            freeze_target(self)
        return load_target(self.target_file)

    @property
    def wants_target(self) -> bool:
        """Whether an objective or a limit is about time or energy on the target."""
        section = (self._whole or self).asked.search
        return any(split_name(name)[0] in DEVICE_FIGURES for name in (*section.objectives, *section.limits))

    @cached_property
    def costs(self) -> "Costs | DeviceCosts":
        """Counted and predicted figures of built networks."""
        if not self.wants_target:
            return Costs()
        if self.views:
            from nas.devices import device_costs

            return device_costs(self)
        return Costs(latency=self.target.latency, energy=self.target.energy_model)

    @cached_property
    def tables(self) -> "CostTables | DeviceTables":
        """The same figures for whole populations."""
        return self.costs.tables(self.compiled)

    def network(self, architecture: Architecture) -> Network:
        """The network of `architecture`."""
        return self.space.build(architecture)

    @cached_property
    def supernet(self) -> "Supernet":
        """The shared weights, fresh."""
        from nas.supernet.settings import supernet_for
        from nas.supernet.shapes import shared_shapes

        return supernet_for(shared_shapes(self.compiled.weight_uses), self.train_settings)

    @cached_property
    def subnets(self) -> "Subnets":
        """The networks that training and its watch are about."""
        from nas.supernet.subnets import Coded, Subnets

        ends = self._extremes
        smallest, largest = (self.network(self.compiled.decode(row)) for row in ends)

        def draw(rng: np.random.Generator) -> Network:
            return self.network(self.compiled.decode(self.compiled.sample(rng, 1)[0]))

        seed = self.recipe.supernet.seed
        middle = draw(np.random.default_rng([seed, 1]))
        return Subnets(largest, smallest, middle, draw, Coded.of(self._counted, largest=ends[1]))

    @property
    def has_data(self) -> bool:
        """Whether the run is about data at all, not hardware alone."""
        return self.needs_error or self.evaluate is None

    @property
    def trains_supernet(self) -> bool:
        """Whether shared weights are needed."""
        return self.recipe.supernet.enabled and self.evaluate is None and self.needs_error

    @property
    def needs_error(self) -> bool:
        """Whether the validation error is an objective or limited."""
        return "error" in {*self.recipe.search.objectives, *self.recipe.search.limits}

    def trainer(self) -> "Trainer":
        """The training of the supernet, at its last checkpoint."""
        from nas.supernet.train import Trainer

        return Trainer(self.supernet, self.subnets, self.task, self.train_settings, self.folder.supernet)

    @property
    def train_settings(self) -> "TrainSettings":
        """How the supernet is trained."""
        from nas.supernet.settings import TrainSettings

        names = {each.name for each in fields(TrainSettings)}
        section = self.recipe.supernet.model_dump()
        return TrainSettings(**{name: value for name, value in section.items() if name in names})

    def train(self) -> bool:
        """Train the supernet from its last checkpoint; whether the end was reached."""
        from nas.console import progress

        trainer = self.trainer()
        steps = self.recipe.supernet.epochs * trainer.steps_per_epoch
        with self.folder.stage("train"), progress("training the supernet", steps) as step:
            step.advance(trainer.steps_done)
            return trainer.run(advance=lambda n, note: step.advance(n, note=note), deadline=self.train_deadline)

    @property
    def train_deadline(self) -> float | None:
        """When training must stop so that search and report still fit: at 85 % of the run's budget."""
        return None if self.recipe.minutes is None else self.started + 0.85 * 60 * self.recipe.minutes

    @property
    def identity(self) -> Any:
        """What makes two networks the same: "id" where weights are shared, else "fingerprint"."""
        return "id" if self.trains_supernet else "fingerprint"

    @property
    def target_is_here(self) -> bool:
        """Whether the target is this machine, so that latencies can be measured."""
        from nas.runtimes.machine import differences

        if self.views or not self.wants_target or self.target.provenance != "measured":
            return False
        return not differences(self.target.machine)

    @cached_property
    def meter(self) -> "Meter":
        """Measures networks on this machine as the target was measured."""
        from nas.runtimes.meter import meter_for

        return meter_for(self.target)

    @cached_property
    def trained_supernet(self) -> "Supernet":
        """The shared weights as trained; NasError before training."""
        from nas.allocator import keep_freed_memory
        from nas.supernet.train import load_trained

        keep_freed_memory()
        load_trained(self.supernet, self.folder.supernet)
        return self.supernet

    def trained_weights(self, network: Network) -> "Weights":
        """Inherited weights of `network` with recalibrated statistics."""
        import torch

        from nas.supernet.calibrate import calibrate

        with torch.no_grad():
            weights = self.trained_supernet.weights_for(network)
        batches = self.task.calibration_batches(self.recipe.search.recalibration_batches, CALIBRATION_SIZE)
        return self.trained_supernet.extract(network, calibrate(network, weights, batches))

    def fidelity(
        self,
        *,
        nets: int = 30,
        epochs: int | None = None,
        minutes: float | None = None,
        seed: int = 0,
        say: Callable[[str], None] = print,
    ) -> "Fidelity":
        """How far the supernet's ranking can be trusted: `nets` of its networks trained alone, as long by default.

        What that takes is said first. Finished networks are kept in the run, so that a second call goes on after
        `minutes`; the result is in fidelity.json and in the next report. NasError before the supernet is trained.
        """
        from nas.fidelity.study import FidelitySettings, FidelityStudy

        study = FidelityStudy(self, FidelitySettings(nets=nets, epochs=epochs, minutes=minutes, seed=seed))
        for line in study.estimate():
            say(line)
        return study.measure()

    def domain(self, limits: Mapping[str, float]) -> "Domain":
        """What is known without evaluation, under `limits`."""
        from nas.search.domain import Domain
        from nas.search.exact.reach import Reach

        objectives, names = self.recipe.search.objectives, tuple(self.tables.names)
        return Domain(self.compiled, objectives, self.tables.score, names, limits, Reach(self.tables.sources))

    def problem(self) -> "Problem":
        """What is searched."""
        from nas.devices import check_precision
        from nas.margins import searched_limits
        from nas.search.exact.reach import Reach
        from nas.search.problem import Problem

        check_precision(self)
        section = self.recipe.search
        known = tuple(name for name in self.tables.names)
        return Problem(
            space=self.space,
            coded=self.compiled,
            objectives=section.objectives,
            score=self.tables.score,
            known=known,
            figures=self.costs.values,
            evaluator=self._evaluator(),
            limits=searched_limits(self),
            identity=self.identity,
            provenance=self.costs.provenance,
            starts=self._extremes if self.trains_supernet else None,
            prover=Reach(self.tables.sources),
        )

    @cached_property
    def _counted(self) -> "CostTables":
        """Counted figures for whole populations, without a target."""
        return Costs().tables(self.compiled)

    @cached_property
    def _extremes(self) -> "Rows":
        """[2, n_slots] the smallest and the largest architecture, which every step of training sees."""
        return np.stack([self._counted.extreme(largest=largest) for largest in (False, True)])

    def _evaluator(self) -> "Evaluator":
        from nas.search.evaluators import (
            FunctionEvaluator,
            HardwareOnly,
            TrainingEvaluator,
            supernet_evaluator,
        )

        section = self.recipe.supernet
        if self.evaluate is not None:
            return FunctionEvaluator(self.evaluate, self.space)
        if not self.needs_error:
            return HardwareOnly()
        if section.enabled:
            return supernet_evaluator(
                self.trained_supernet,
                self.space,
                self.task,
                calibration=(self.recipe.search.recalibration_batches, CALIBRATION_SIZE),
            )
        return TrainingEvaluator(
            self.space,
            self.task,
            epochs=section.epochs,
            batch_size=section.batch_size,
            learning_rate=section.learning_rate,
            weight_decay=section.weight_decay,
            label_smoothing=section.label_smoothing,
        )

    def search_settings(self) -> "Settings":
        """How it is searched."""
        from nas.search.problem import Settings

        section = self.recipe.search
        return Settings(
            evaluations=section.evaluations,
            random_evaluations=section.random_evaluations,
            proposer=section.proposer,
            seed=section.seed,
            lag=section.lag,
            workers=section.workers,
            name=section.name,
            storage=section.storage,
            address=section.cluster,
            timeout_seconds=section.timeout_seconds,
            early_stop=section.early_stop,
        )

    def search(self) -> "SearchResult":
        """Search, or go on from the last trial recorded; with several targets, for the worst of them, then for each."""
        from nas.searching import search_run

        return search_run(self)

    def evaluations(self) -> "tuple[Evaluation, ...]":
        """Everything evaluated by the search when it last ended; nothing before."""
        from nas.searching import saved_evaluations

        return saved_evaluations(self)

    @property
    def front(self) -> list[dict[str, Any]]:
        """The Pareto front as rows: rank, id, objectives, test error, measured latency, picks."""
        from nas.choosing import front_entries

        return front_entries(self)

    def report(self, *, notes: tuple[str, ...] = (), own: "Sequence[Asked]" = ()) -> Path:
        """Write the report page anew, with `notes` at its top and `own` networks beside the front; its path."""
        from nas.report import write_report
        from nas.reporting import report_data

        write_report(report_data(self, notes=notes, own=own), self.folder.report)
        return self.folder.report

    def explain(self, start: str) -> str:
        """What the evaluated architecture whose id begins with `start` is made of and costs, as text."""
        from nas.reporting import explanation

        return explanation(self, start)

    def export(self, start: str | None = None, formats: Sequence[str] | None = None) -> list[Path]:
        """Write architectures as folders of their own: the one whose id begins with `start`, or the recipe's choice."""
        from nas.exporting import export_architectures

        return export_architectures(self, start, formats or self.recipe.export.formats)
