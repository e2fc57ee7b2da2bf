"""Warm start: which evaluations of other searches a search may take over, and which are only worth a first try.

An error belongs to the weights and the data that it was found with. So every search notes a key of both beside its
trials; evaluations under the same key are taken over as they are, of others only the front is evaluated first.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.run_folder import RunFolder, read_json
from nas.search.earlier import Earlier, taken_over
from nas.search.front import pareto_front
from nas.search.record import Evaluation
from nas.search.study import Recorded, evaluation_of
from nas.searching import EVALUATIONS
from search_spaces.errors import NasError
from search_spaces.files import write_json
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.domain import Rows
    from nas.search.problem import Problem
    from nas.search.workers import Evaluator

LOGGER = logging.getLogger("nas")
KEYS = "evaluated.json"
FROZEN = "earlier.json"
TRIED_SHARE = 0.25
LIKELY_SHARE = 0.1
"""Of the evaluations: those of architectures drawn by what training learnt of choices."""
OVERSUPPLY = 32


@dataclass(frozen=True)
class WarmStart:
    """What a search begins with.

    learned: evaluations taken over. tried: architectures that are evaluated before any is proposed. notes: for the
    report, where they come from.
    """

    learned: tuple[Evaluation, ...] = ()
    tried: tuple[Architecture, ...] = ()
    notes: tuple[str, ...] = ()


def evaluation_key(run: "Run", evaluator: "Evaluator") -> str:
    """A text that is equal for searches whose evaluations give the same figures for the same network."""
    from nas.search.evaluators import HardwareOnly, SupernetEvaluator

    if run.evaluate is not None:
        return f"function {run.recipe.search.evaluate}"
    if isinstance(evaluator, HardwareOnly):
        return "nothing"
    digest = hashlib.blake2b(run.task.fingerprint.encode(), digest_size=16)
    if isinstance(evaluator, SupernetEvaluator):
        digest.update(str(run.recipe.search.recalibration_batches).encode())
        for name in sorted(evaluator.tensors):
            digest.update(name.encode())
            digest.update(evaluator.tensors[name].data)
        return f"supernet {digest.hexdigest()}"
    digest.update(json.dumps(run.recipe.supernet.model_dump(), sort_keys=True).encode())
    return f"training {digest.hexdigest()}"


def warm_started(run: "Run", problem: "Problem") -> tuple["Problem", Earlier]:
    """`problem` as this run's search begins it, and what it takes over; the key of its evaluations is noted.

    What `search.warm_start` names is read once and kept in the search's folder, so that a resumed search is the same.
    Searches beside this one, with the same shared weights, only spare evaluations: the result does not depend on them.
    """
    import numpy as np

    key = evaluation_key(run, problem.evaluator)
    _note_key(run.search_folder, key)
    warm = _frozen(run, problem, key)
    starts = [] if problem.starts is None else [problem.starts]
    starts += [_likely(run, problem)] if run.trains_supernet else []
    starts += [np.stack([run.compiled.encode(architecture) for architecture in warm.tried])] if warm.tried else []
    problem = replace(problem, starts=np.concatenate(starts) if starts else None)
    beside = _beside(run, key) if run.trains_supernet else ()
    return problem, Earlier(learned=warm.learned, known=beside)


def _likely(run: "Run", problem: "Problem") -> "Rows":
    """Architectures [n, n_slots] by what training learnt of choices, the likeliest first; none where it learnt nothing.

    Drawn ones keep the known limits, and have learnt choices by their probabilities, others at random.
    """
    import numpy as np

    from nas.search.domain import distinct_rows, without
    from nas.supernet.choices.scores import drawn, likeliest

    coded, likely = run.subnets.coded, run.trained_supernet.likely
    if coded is None or not likely:
        return run.compiled.sample(np.random.default_rng(0), 1)[:0]
    rng = np.random.default_rng([run.recipe.search.seed, 2])
    count = max(1, round(LIKELY_SHARE * run.recipe.search.evaluations))
    first = likeliest(run.compiled, coded.largest, likely)[None]
    rows = drawn(run.compiled, run.compiled.sample(rng, OVERSUPPLY * count), likely, rng)
    rows = problem.domain.within(without(distinct_rows(rows), first))
    return np.concatenate([first, rows[: count - 1]])


def notes(run: "Run") -> tuple[str, ...]:
    """What the search of `run` took over, in sentences; none when it took over nothing."""
    return tuple(read_json(run.search_folder / FROZEN, default={}).get("notes", ()))


def named_searches(run: "Run") -> tuple[Path, ...]:
    """The folders of the searches that `search.warm_start` names; NasError where there is none."""
    return tuple(_named(run, name) for name in run.recipe.search.warm_start)


def _named(run: "Run", name: str) -> Path:
    """A folder with evaluations: of a search, of a run's own search, of a run or a search beside this one."""
    for place in (run.folder.search(name), Path(name), run.path.parent / name):
        if (place / "recipe.toml").is_file() and not (place / EVALUATIONS).is_file():
            place = RunFolder(place).search(RunFolder(place).recipe().search.name)
        if (place / EVALUATIONS).is_file() and place.resolve() != run.search_folder.resolve():
            return place
    raise NasError(
        f"search.warm_start: {name!r} has no evaluations; name the folder of a run or of one of its searches that has "
        f"ended (it holds {EVALUATIONS}), such as {run.path.parent / 'NAME'} or "
        f"{run.path.parent / 'NAME' / 'searches' / 'search'}"
    )


def _frozen(run: "Run", problem: "Problem", key: str) -> WarmStart:
    path = run.search_folder / FROZEN
    if not run.recipe.search.warm_start:
        return WarmStart()
    if path.is_file():
        return _from_json(read_json(path, default={}))
    made = _made(run, problem, key)
    write_json(
        path,
        {
            "learned": [evaluation.to_json() for evaluation in made.learned],
            "tried": [architecture.values for architecture in made.tried],
            "notes": list(made.notes),
        },
    )
    for note in made.notes:
        LOGGER.info(note)
    return made


def _from_json(data: dict[str, Any]) -> WarmStart:
    return WarmStart(
        tuple(Evaluation.from_json(one) for one in data["learned"]),
        tuple(Architecture.of(picks) for picks in data["tried"]),
        tuple(data["notes"]),
    )


def _made(run: "Run", problem: "Problem", key: str) -> WarmStart:
    learned: list[Evaluation] = []
    tried: list[Architecture] = []
    said: list[str] = []
    for folder in named_searches(run):
        evaluations = _evaluations(folder)
        same = _keys(folder) == [key]
        try:
            found = taken_over(problem, evaluations, root=run.recipe.search.seed, same=same)
        except NasError as error:
            raise NasError(f"search.warm_start: {folder} does not fit: {error}") from error
        if same:
            learned += evaluations
            said.append(f"{len(found)} architectures evaluated in {folder} were taken over, not evaluated again.")
        else:
            best = _best(problem, found, max(1, round(TRIED_SHARE * run.recipe.search.evaluations)))
            tried += best
            said.append(
                f"{folder} has figures of other weights, data or settings: they do not count here, but the "
                f"{len(best)} best of its architectures were evaluated first."
            )
    return WarmStart(tuple(learned), tuple(dict.fromkeys(tried)), tuple(said))


def _best(problem: "Problem", found: Sequence[Recorded], count: int) -> list[Architecture]:
    """At most `count` architectures, evenly along the front of what was found elsewhere."""
    evaluations = [evaluation_of(one, problem.limits, problem.provenance) for one in found]
    front = pareto_front([one for one in evaluations if one is not None], problem.objectives, by=problem.identity)
    step = max(1.0, len(front) / count)
    kept = [front[int(i * step)] for i in range(min(count, len(front)))]
    return [member.evaluation.architecture for member in kept]


def _beside(run: "Run", key: str) -> tuple[Evaluation, ...]:
    """Evaluations under the same key in the other searches of this run."""
    folders = sorted(path.parent for path in run.path.glob(f"searches/*/{EVALUATIONS}"))
    others = [folder for folder in folders if folder != run.search_folder and _keys(folder) == [key]]
    return tuple(evaluation for folder in others for evaluation in _evaluations(folder))


def _evaluations(folder: Path) -> list[Evaluation]:
    return [Evaluation.from_json(row) for row in read_json(folder / EVALUATIONS, default=[])]


def _keys(folder: Path) -> list[str]:
    """The keys under which a search evaluated; several when its weights were trained on in between."""
    return list(read_json(folder / KEYS, default=[]))


def _note_key(folder: Path, key: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keys = _keys(folder)
    if key not in keys:
        write_json(folder / KEYS, [*keys, key])
