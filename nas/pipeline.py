"""A run: the parts it is made of, and the stages that lead from a recipe to exported networks."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.costs import Costs
from nas.recipe import Recipe
from nas.run_folder import RunFolder, read_json
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from nas.fidelity import Fidelity
    from nas.modules import Weights
    from nas.runtimes.meter import Meter
    from nas.search.domain import Domain, Rows
    from nas.search.driver import SearchResult
    from nas.search.problem import Problem, Settings
    from nas.search.record import Evaluation
    from nas.search.workers import Evaluator
    from nas.supernet.train import Subnets, Trainer
    from nas.supernet.weights import Supernet
    from nas.tasks.classification import ClassificationTask
    from predictors.tables import CostTables
    from predictors.target import Target
    from search_spaces.compiled import CompiledSpace

LOGGER = logging.getLogger("nas")
Evaluate = Callable[[Architecture], Mapping[str, float]]
CALIBRATION_SIZE = 256
EVALUATED_IN = "fp32"


class Run:
    """One run: its folder, its recipe, and what follows from them; each part is made when first asked for.

    `space` and `evaluate` stand in for what the recipe names, for objects that no recipe can name.
    """

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        *,
        space: SearchSpace | None = None,
        evaluate: Evaluate | None = None,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self._given_space = space
        self._given_evaluate = evaluate
        self.started = time.monotonic()

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def search_folder(self) -> Path:
        """Folder of the recipe's search."""
        return self.folder.search(self.recipe.search.name)

    @property
    def deadline(self) -> float | None:
        """`time.monotonic()` at which the time budget of the run ends; `None` without a budget."""
        return None if self.recipe.minutes is None else self.started + 60 * self.recipe.minutes

    @cached_property
    def task(self) -> "ClassificationTask":
        """Data, loss and metric."""
        from nas.console import progress
        from nas.tasks import task_builder
        from nas.tasks.data import load_data

        section = self.recipe.task
        with progress("reading the data", 1.0) as step:
            data = load_data(section.data, cache=self.path.parent / ".data", advance=step.advance)
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
        from predictors.target import load_target

        if not self.folder.target.is_file():
            self._make_target()
        return load_target(self.folder.target)

    def _make_target(self) -> None:
        from nas.runtimes.profile import profile_to_file
        from predictors.target import MEASURED_NOW, load_target

        section = self.recipe.target
        if section.name != MEASURED_NOW:
            load_target(section.name).save(self.folder.target)
            return
        with self.folder.stage("profile"):
            profile_to_file(
                self.folder.target,
                space=self.space,
                runtime=section.runtime,
                threads=section.threads,
                batch=section.batch,
                minutes=section.minutes,
                precision=section.precision,
            )

    @property
    def wants_target(self) -> bool:
        """Whether an objective or a limit is about time or energy on the target."""
        wanted = {*self.recipe.search.objectives, *self.recipe.search.limits}
        return bool(wanted & {"latency_ms", "energy_mj"})

    def check_precision(self) -> None:
        """Raise NasError where error and latency would be those of networks in different number formats."""
        from predictors.target import MEASURED_NOW, load_target

        if not (self.wants_target and self.needs_error) or self.evaluate is not None:
            return
        section = self.recipe.target
        here = section.name == MEASURED_NOW
        precision = section.precision if here else load_target(section.name).identity.precision
        if precision != EVALUATED_IN:
            raise NasError(
                f"latency_ms and energy_mj of this target are those of {precision} networks, but error is evaluated "
                f"in {EVALUATED_IN}: no network has both. Take a target in {EVALUATED_IN}, leave error out of "
                f"objectives and limits, or evaluate {precision} networks with a search.evaluate of your own"
            )

    @cached_property
    def costs(self) -> Costs:
        """Counted and predicted figures of built networks."""
        if not self.wants_target:
            return Costs()
        return Costs(latency=self.target.latency, energy=self.target.energy_model)

    @cached_property
    def tables(self) -> "CostTables":
        """The same figures for whole populations."""
        return self.costs.tables(self.compiled)

    def network(self, architecture: Architecture) -> Network:
        """The network of `architecture`."""
        return self.space.build(architecture)

    @cached_property
    def supernet(self) -> "Supernet":
        """The shared weights, fresh."""
        from nas.supernet.shapes import shared_shapes
        from nas.supernet.weights import Supernet

        return Supernet(shared_shapes(self.compiled.weight_uses), seed=self.recipe.supernet.seed)

    @cached_property
    def subnets(self) -> "Subnets":
        """The networks that training and its watch are about."""
        from nas.supernet.train import Subnets

        smallest, largest = (self.network(self.compiled.decode(row)) for row in self._extremes())

        def draw(rng: np.random.Generator) -> Network:
            return self.network(self.compiled.decode(self.compiled.sample(rng, 1)[0]))

        seed = self.recipe.supernet.seed
        middle = draw(np.random.default_rng([seed, 1]))
        return Subnets(largest, smallest, middle, draw)

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
        from nas.supernet.train import Trainer, TrainSettings

        section = self.recipe.supernet
        settings = TrainSettings(
            epochs=section.epochs,
            batch_size=section.batch_size,
            learning_rate=section.learning_rate,
            weight_decay=section.weight_decay,
            label_smoothing=section.label_smoothing,
            warmup_epochs=section.warmup_epochs,
            random_subnets=section.random_subnets,
            ema=section.ema,
            precision=section.precision,
            seed=section.seed,
        )
        return Trainer(self.supernet, self.subnets, self.task, settings, self.folder.supernet)

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
        from nas.runtimes.machine import machine_fingerprint

        if not self.wants_target or self.target.provenance != "measured":
            return False
        return dict(self.target.machine) == machine_fingerprint()

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

        objectives, names = self.recipe.search.objectives, tuple(self.tables.names)
        return Domain(self.compiled, objectives, self.tables.score, names, limits)

    def problem(self) -> "Problem":
        """What is searched."""
        from nas.margins import searched_limits
        from nas.search.problem import Problem

        self.check_precision()
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
            starts=self._extremes() if self.trains_supernet else None,
        )

    def _extremes(self) -> "Rows":
        """[2, n_slots] the smallest and the largest architecture, which every step of training sees."""
        tables = Costs().tables(self.compiled)
        return np.stack([tables.extreme(largest=largest) for largest in (False, True)])

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
        )

    def search(self) -> "SearchResult":
        """Search, or go on from the last trial recorded."""
        from nas.console import progress
        from nas.search.driver import search, streams

        settings = self.search_settings()
        with self.folder.stage(f"search {settings.name}"):
            total = sum(budget for _, budget in streams(settings))
            with progress("searching", total) as step:
                return search(
                    self.problem(),
                    settings,
                    self.search_folder,
                    resume=(self.search_folder / "study.db").exists()
                    or (self.search_folder / "study.journal").exists(),
                    progress=step,
                    deadline=self._search_deadline,
                )

    @property
    def _search_deadline(self) -> float | None:
        """The earlier of the search's own budget, from now, and nine tenths of the run's."""
        own, whole = self.recipe.search.minutes, self.recipe.minutes
        ends = [] if own is None else [time.monotonic() + 60 * own]
        ends += [] if whole is None else [self.started + 0.92 * 60 * whole]
        return min(ends) if ends else None

    def evaluations(self) -> "tuple[Evaluation, ...]":
        """Everything evaluated by the search when it last ended; nothing before."""
        from nas.search.record import Evaluation

        rows = read_json(self.search_folder / "evaluations.json", default=[])
        return tuple(Evaluation.from_json(row) for row in rows)

    @property
    def front(self) -> list[dict[str, Any]]:
        """The Pareto front as rows: rank, id, objectives, test error, measured latency, picks."""
        from nas.choosing import front_entries

        return front_entries(self)

    def report(self, *, notes: tuple[str, ...] = ()) -> Path:
        """Write the report page anew, with `notes` at its top; its path."""
        from nas.report import write_report
        from nas.reporting import report_data

        write_report(report_data(self, notes=notes), self.folder.report)
        return self.folder.report

    def explain(self, start: str) -> str:
        """What the evaluated architecture whose id begins with `start` is made of and costs, as text."""
        from nas.choosing import find_evaluation
        from nas.report.data import FrontEntry
        from nas.report.explain import explain_text
        from nas.reporting import detail

        found = find_evaluation(self, start)
        entry = next((FrontEntry.from_json(e) for e in self.front if e["id"] == found.id), None)
        return explain_text(
            detail(self, found.architecture),
            picks=found.architecture.values,
            entry=entry,
            values=found.values,
            provenance=found.provenance,
        )

    def export(self, start: str | None = None, formats: Sequence[str] | None = None) -> list[Path]:
        """Write architectures as folders of their own: the one whose id begins with `start`, or the recipe's choice."""
        from nas.exporting import export_architectures

        return export_architectures(self, start, formats or self.recipe.export.formats)
