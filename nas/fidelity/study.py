"""Holds the supernet of a run against networks trained alone: draws them, trains what is not kept yet, judges."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.console import duration, progress
from nas.costs import Costs
from nas.fidelity.judging import judge
from nas.fidelity.result import Fidelity, JudgedNetwork
from nas.fidelity.sampling import BAND_RATIO, Draw, DrawnNetwork, draw_networks
from nas.fidelity.work import SECONDS, AloneEvaluator, Job, Kept, ScoresEvaluator, work_off
from nas.run_folder import read_json
from nas.search.evaluators import Arrays, supernet_evaluator
from search_spaces.errors import NasError
from search_spaces.files import write_json

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.workers import Evaluator
    from nas.supernet.train import TrainSettings

FILE, FOLDER = "fidelity.json", "fidelity"
TUNED_SHARE = 3
TUNING_RATE = 0.1
SCORED_IMAGES = 64
TIMED = 3
FEWEST = 4


@dataclass(frozen=True)
class FidelitySettings:
    """How much is trained to judge a supernet.

    nets: networks trained alone. epochs: of each, `None` as many as the supernet's. tuned: of how many the inherited
    weights are fine-tuned as well, `None` for a third. tuned_epochs: of that, at a tenth of the learning rate.
    workers: processes, `None` as the search's. minutes: after so many no further network is begun. seed: of the draw,
    the initial weights and the resamples.
    """

    nets: int = 30
    epochs: int | None = None
    tuned: int | None = None
    tuned_epochs: int = 3
    workers: int | None = None
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.nets < FEWEST:
            raise NasError(f"{self.nets} networks say nothing of a ranking: take at least {FEWEST}, better 30")
        for name in ("epochs", "tuned_epochs", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise NasError(f"fidelity: {name.replace('_', ' ')} must be at least 1, got {value}")
        if self.tuned is not None and not 0 <= self.tuned <= self.nets:
            raise NasError(f"{self.tuned} networks cannot be fine-tuned of {self.nets}: take 0 to {self.nets}")


class FidelityStudy:
    """The judgement of one run's supernet. `kept`: where results of single networks lie, by default in the run.

    Raises NasError for a run without a trained supernet, or whose space has too few networks.
    """

    def __init__(self, run: "Run", settings: FidelitySettings, *, kept: Path | None = None) -> None:
        if not run.trains_supernet:
            raise NasError(f"{run.path} has no shared weights, so there is no ranking of theirs to judge")
        self.run, self.settings = run, settings
        self._folder = run.path / FOLDER if kept is None else kept
        self._digest = _digest(run)

    @cached_property
    def draw(self) -> Draw:
        """The networks."""
        drawn = draw_networks(Costs().tables(self.run.compiled), self.settings.nets, seed=self.settings.seed)
        if len(drawn.networks) < FEWEST:
            raise NasError(f"the space has {len(drawn.networks)} distinct networks: too few to speak of a ranking")
        return drawn

    @property
    def workers(self) -> int:
        """Processes that train."""
        return self.settings.workers or self.run.recipe.search.workers

    @cached_property
    def alone(self) -> "TrainSettings":
        """How each network is trained alone: as the supernet was."""
        from nas.supernet.train import TrainSettings

        section = self.run.recipe.supernet
        epochs = self.settings.epochs or section.epochs
        return TrainSettings(
            epochs=epochs,
            batch_size=section.batch_size,
            learning_rate=section.learning_rate,
            weight_decay=section.weight_decay,
            label_smoothing=section.label_smoothing,
            warmup_epochs=min(section.warmup_epochs, epochs / 5),
            precision="bf16" if self._trained.get("bf16") else "fp32",
        )

    @cached_property
    def _trained(self) -> dict[str, Any]:
        """What the supernet's last checkpoint says of its training."""
        from nas.supernet.checkpoint import load_checkpoint

        found = load_checkpoint(self.run.folder.supernet)
        return {} if found is None else found[1]

    @property
    def tuning(self) -> "TrainSettings":
        """How inherited weights are fine-tuned."""
        rate = TUNING_RATE * self.alone.learning_rate
        return replace(self.alone, epochs=self.settings.tuned_epochs, learning_rate=rate, warmup_epochs=0.0)

    @cached_property
    def tuned(self) -> tuple[DrawnNetwork, ...]:
        """The networks whose inherited weights are fine-tuned."""
        asked = self.settings.tuned
        count = self.settings.nets // TUNED_SHARE if asked is None else asked
        return self.draw.networks[:count]

    def estimate(self) -> list[str]:
        """What is still to be trained and how long that takes, timed on a few steps, as lines to print."""
        lines, total = [], 0.0
        for what, kept, drawn, settings in (
            ("alone", self._kept_alone, self.draw.networks, self.alone),
            ("fine-tuned", self._kept_tuned, self.tuned, self.tuning),
        ):
            todo = set(kept.missing([one.network.fingerprint for one in drawn]))
            missing = [one for one in drawn if one.network.fingerprint in todo]
            seconds = self._seconds(missing, settings) / min(self.workers, max(1, len(missing)))
            total += seconds
            known = f", {len(drawn) - len(missing)} known already" if len(missing) < len(drawn) else ""
            lines.append(
                f"{what:<10}{duration(seconds):>9}  {len(missing)} networks for {settings.epochs} epochs on "
                f"{self.workers} workers{known}"
            )
        lines.append(f"{'in all':<10}{duration(total):>9}")
        minutes = self.settings.minutes
        if minutes is not None and total > 60 * minutes:
            lines.append(f"No network is begun after {minutes:g} minutes; call again to go on with the others.")
        return lines

    def measure(self) -> Fidelity:
        """Train what is not kept yet, judge, and write fidelity.json.

        Networks not trained for want of time are left out. Raises NasError when fewer than four are there.
        """
        deadline = None if self.settings.minutes is None else time.monotonic() + 60 * self.settings.minutes
        everything = self._jobs(self.draw.networks)
        with self.run.folder.stage("fidelity"):
            problems = self._worked(
                "training networks alone", self._alone_evaluator, self._kept_alone, everything, deadline
            )
            tuned = self._jobs(self.tuned)
            problems += self._worked("fine-tuning", self._tuning_evaluator, self._kept_tuned, tuned, deadline)
            done = {job.key for job in everything} - set(self._kept_alone.missing([job.key for job in everything]))
            judged = [one for one in self.draw.networks if one.network.fingerprint in done]
            if len(judged) < FEWEST:
                why = "; ".join(problems[:3]) or "the time budget is over: call again to go on"
                raise NasError(f"only {len(judged)} of {len(everything)} networks were trained alone: {why}")
            jobs = self._jobs(judged)
            problems += self._worked("inherited errors", self._inherited_evaluator, self._kept_inherited, jobs, None)
            problems += self._worked("zero-cost scores", self._scores_evaluator, self._kept_scores, jobs, None)
            found = judge(
                self._judged(judged),
                planned=self.settings.nets,
                epochs=self.alone.epochs,
                tuned_epochs=self.settings.tuned_epochs,
                band=self.draw.band,
                seed=self.settings.seed,
                notes=self._notes(judged, problems),
            )
            write_json(self.run.path / FILE, found.to_json())
        return found

    def _worked(
        self, title: str, make: "Callable[[], Evaluator]", kept: Kept, jobs: Sequence[Job], deadline: float | None
    ) -> list[str]:
        missing = len(kept.missing([job.key for job in jobs]))
        if not missing:
            return []
        with progress(title, missing) as step:
            return work_off(
                make, jobs, kept, workers=self.workers, deadline=deadline, advance=lambda: step.advance(1.0)
            )

    def _jobs(self, drawn: Sequence[DrawnNetwork]) -> list[Job]:
        return [Job(one.network.fingerprint, one.architecture, self.settings.seed) for one in drawn]

    def _alone_evaluator(self) -> AloneEvaluator:
        return AloneEvaluator(self.run.space, self.run.task, self.alone)

    def _tuning_evaluator(self) -> AloneEvaluator:
        starts = {one.network.id: self.run.trained_weights(one.network) for one in self.tuned}
        return AloneEvaluator(self.run.space, self.run.task, self.tuning, starts)

    def _inherited_evaluator(self) -> "Evaluator":
        from nas.pipeline import CALIBRATION_SIZE

        calibration = (self.run.recipe.search.recalibration_batches, CALIBRATION_SIZE)
        return supernet_evaluator(self.run.trained_supernet, self.run.space, self.run.task, calibration=calibration)

    def _scores_evaluator(self) -> ScoresEvaluator:
        batch = next(iter(self.run.task.calibration_batches(1, SCORED_IMAGES)))
        return ScoresEvaluator(self.run.space, Arrays.of(batch))

    @cached_property
    def _kept_alone(self) -> Kept:
        return Kept(self._folder, "alone", self._depends | asdict(self.alone))

    @cached_property
    def _kept_tuned(self) -> Kept:
        return Kept(self._folder, "tuned", self._depends | asdict(self.tuning) | {"weights": self._digest})

    @cached_property
    def _kept_inherited(self) -> Kept:
        batches = self.run.recipe.search.recalibration_batches
        return Kept(self._folder, "inherited", self._depends | {"weights": self._digest, "batches": batches})

    @cached_property
    def _kept_scores(self) -> Kept:
        return Kept(self._folder, "scores", self._depends)

    @property
    def _depends(self) -> dict[str, Any]:
        return {"data": self.run.task.fingerprint, "seed": self.settings.seed}

    def _seconds(self, drawn: Sequence[DrawnNetwork], settings: "TrainSettings") -> float:
        """Seconds of training `drawn` one after the other on one thread, from a few steps of some of them."""
        import torch

        from nas.supernet.alone import step_seconds

        if not drawn:
            return 0.0
        ordered = sorted(drawn, key=lambda one: one.macs)
        places = np.unique(np.linspace(0, len(ordered) - 1, TIMED).round().astype(int))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            times = [step_seconds(ordered[i].network, self.run.task, settings) for i in places]
        finally:
            torch.set_num_threads(threads)
        steps = settings.epochs * self.run.task.steps_per_epoch(settings.batch_size)
        each = np.interp([one.macs for one in ordered], [ordered[i].macs for i in places], times)
        return float(each.sum()) * steps

    def _judged(self, drawn: Sequence[DrawnNetwork]) -> list[JudgedNetwork]:
        """Those of `drawn` of which everything is known but, perhaps, fine-tuning."""
        rows = []
        for one in drawn:
            key = one.network.fingerprint
            alone, inherited = self._kept_alone.get(key), self._kept_inherited.get(key)
            scores, tuned = self._kept_scores.get(key), self._kept_tuned.get(key)
            if alone is None or inherited is None or scores is None:
                continue
            rows.append(
                JudgedNetwork(
                    id=one.network.id,
                    fingerprint=key,
                    picks=one.architecture.values,
                    macs=scores["macs"],
                    params=scores["params"],
                    in_band=one.in_band,
                    inherited_error=inherited["error"],
                    alone_error=alone["error"],
                    tuned_error=None if tuned is None else tuned["error"],
                    scores={name: score for name, score in scores.items() if name != SECONDS},
                    seconds=alone[SECONDS],
                )
            )
        return rows

    def _notes(self, judged: Sequence[DrawnNetwork], problems: Sequence[str]) -> list[str]:
        notes = list(problems)
        if not self._trained.get("finished"):
            notes.append("The supernet is not trained to its end yet.")
        if len(self.draw.networks) < self.settings.nets:
            notes.append(f"The space has {len(self.draw.networks)} distinct networks only.")
        if len(judged) + len(problems) < len(self.draw.networks):
            notes.append(
                f"{len(judged)} of {len(self.draw.networks)} networks are trained so far; call again to go on."
            )
        inside = sum(one.in_band for one in judged)
        if inside < len(judged) // 2:
            notes.append(f"Only {inside} networks lie in the band, whose ends are {BAND_RATIO} apart.")
        return notes


def kept_fidelity(folder: Path) -> Fidelity | None:
    """What was last found of the run in `folder`; `None` before that."""
    found = read_json(folder / FILE, default=None)
    return None if found is None else Fidelity.from_json(found)


def _digest(run: "Run") -> str:
    """Hash of the trained weights; NasError when there are none."""
    found = hashlib.sha256()
    for name, array in sorted(run.trained_supernet.arrays().items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
