"""What the commands on a finished or stopped run do: open it, search it again, print its front."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api import finish, open_run
from nas.console import log_to
from nas.fidelity.study import FidelitySettings
from nas.pipeline import Run
from nas.recipe import Recipe, load_recipe
from nas.warm import named_searches
from search_spaces.errors import NasError, unknown_name
from search_spaces.files import write_text

if TYPE_CHECKING:
    from nas.live import SoFar
    from nas.own.marks import Asked

MAY_CHANGE = ("search", "export")


def opened(name: str, search: str | None, target: str | None = None) -> Run:
    """Return the run called `name`, seen through its search called `search` (None: the recipe's own).

    With `target`, as that one of several targets sees it. Raises NasError when there is no such run, search or target.
    """
    run = _searched(open_run(name), search)
    if target is None:
        return run
    if not run.views:
        raise NasError(f"{run.path} has one target: leave --target out")
    return run.for_target(target)


def _searched(run: Run, search: str | None) -> Run:
    own = run.recipe.search.name
    if search in (None, own):
        return run
    recipes = {path.parent.name: path for path in run.path.glob("searches/*/recipe.toml")}
    if search not in recipes:
        raise unknown_name("search", str(search), {own, *recipes})
    return Run(run.folder, load_recipe(recipes[search]))


def search_again(name: str, overrides: Sequence[str]) -> Path:
    """Search the run called `name` with its trained weights; return the report.

    With `overrides` of the recipe's search it is a further search of its own name, kept beside the
    others; the shared weights are not trained again. Raises NasError when the overrides change more.
    """
    run = open_run(name)
    if overrides:
        recipe = load_recipe(run.path, overrides)
        _check_further(run, recipe)
        place = run.folder.search(recipe.search.name) / "recipe.toml"
        if place.is_file() and load_recipe(place) != recipe:
            raise NasError(f"{place.parent} holds a search with other settings: choose another search.name")
        further = Run(run.folder, recipe)
        named_searches(further)
        if recipe != run.asked:
            write_text(place, recipe.to_toml())
        run = further
    with log_to(run.path / "log.txt"):
        finish(run, run.search().evaluations)
        return report_path(run)


def _check_further(run: Run, recipe: Recipe) -> None:
    """Raise NasError unless `recipe` differs from that of `run` as a search of another name may."""
    before, now = run.asked.model_dump(), recipe.model_dump()
    changed = [key for key in now if now[key] != before[key] and key not in MAY_CHANGE]
    if changed:
        raise NasError(
            f"only keys of search and export may change in a trained run, not those of {', '.join(changed)}: "
            "start a run of its own with `nas run --name NAME`"
        )
    if now != before and recipe.search.name == run.recipe.search.name:
        raise NasError(
            f"the run has a search called {recipe.search.name!r} with other settings: "
            "give this one a name with --set search.name=NAME"
        )
    if recipe.search.name in {view.recipe.search.name for view in run.views.values()}:
        raise NasError(f"{recipe.search.name!r} is the run's search for one of its targets: choose another search.name")


def train(name: str) -> bool:
    """Train the shared weights of the run called `name`; return whether the end was reached."""
    run = open_run(name)
    if not run.trains_supernet:
        raise NasError(
            f"{run.path} needs no shared weights: its recipe has no error among objectives and limits, "
            "an evaluate of its own, or supernet.enabled = false"
        )
    with log_to(run.path / "log.txt"):
        return run.train()


def judge_ranking(name: str, settings: FidelitySettings, *, dry_run: bool, say: Callable[[str], None]) -> None:
    """Hold the supernet of the run called `name` against networks trained alone; say the budget, then the outcome.

    The report is written anew. A dry run says the budget alone.
    """
    from nas.cli import text_table
    from nas.fidelity.study import FidelityStudy
    from nas.fidelity.words import dimension_rows, ranker_rows, sentences

    run = open_run(name)
    study = FidelityStudy(run, settings)
    for line in study.estimate():
        say(line)
    if dry_run:
        return
    with log_to(run.path / "log.txt"):
        found = study.measure()
        for line in sentences(found):
            say(line)
        for rows in (ranker_rows(found), dimension_rows(found)):
            say(text_table(rows))
        say(f"report: {report_path(run)}")


def report_path(run: Run, *, own: "Sequence[Asked]" = ()) -> Path:
    """Write the report of the search that `run` is seen through, `own` networks beside its front; where it is.

    The recipe's own search has report.html; a further one report-<its name>.html.
    """
    whole = run.folder.recipe().search.name
    if run.recipe.search.name == whole:
        return run.report(own=own)
    from nas.report import write_report
    from nas.reporting import report_data

    path = run.folder.report.with_name(f"report-{run.recipe.search.name}.html")
    write_report(report_data(run, own=own), path)
    return path


def report_in_part(name: str, why: NasError) -> Path | None:
    """Write the page of a run whose recipe cannot be read, for the reason `why`; `None` where there is no run."""
    from nas.report import write_report
    from nas.salvage import data_without_recipe, is_run_like

    folder = next((path for path in (Path(name), Path("runs") / name) if path.is_dir()), None)
    if folder is None or not is_run_like(folder):
        return None
    path = folder / "report.html"
    write_report(data_without_recipe(folder, why), path)
    return path


def front_rows(run: Run, sort: str | None) -> tuple[list[dict[str, Any]], str]:
    """The front of `run`, by the figure `sort` where it is given, and what is to be known of it.

    Raises NasError where there is none, and for a figure that nothing on it has.
    """
    from nas.live import so_far

    found = so_far(run)
    rows = list(found.rows)
    if not rows:
        raise NasError(_no_front(run, found))
    if sort is not None:
        known = dict.fromkeys(name for row in rows for name in row["values"])
        if sort not in known:
            raise unknown_name("figure to sort by", sort, known)
        rows.sort(key=lambda row: (row["values"].get(sort) is None, row["values"].get(sort) or 0.0))
    note = "" if found.is_final else f"so far, of {len(found.evaluations)} evaluations: the search has not ended"
    return rows, note


def _no_front(run: Run, found: "SoFar") -> str:
    """Why a run has no front, and what to do."""
    count, limits = len(found.evaluations), run.recipe.search.limits
    if not count:
        return f"{run.path} has no front yet: `nas run {run.path} --resume` goes on with it"
    told = ", ".join(f"{name} at most {most:g}" for name, most in limits.items())
    return (
        f"the front of {run.path} is empty: none of {count} architectures keeps every limit ({told}). Relax a limit in "
        "a further search: `nas search RUN --set search.name=NAME --set search.limits.FIGURE=VALUE`"
    )


def print_front(run: Run, *, sort: str | None = None) -> None:
    """Print the front of `run` as a table on standard output; NasError when there is none yet."""
    from rich.console import Console

    from nas.devices import figures_beside, units
    from nas.report.data import FrontEntry
    from nas.report.terminal import front_table

    rows, note = front_rows(run, sort)
    section = run.recipe.search
    console = Console(width=None if Console().is_terminal else 200)
    shown = tuple(dict.fromkeys((*section.objectives, *figures_beside(run), *([sort] if sort else []))))
    table = front_table(
        [FrontEntry.from_json(row) for row in rows],
        shown,
        limits=section.limits,
        units=units(run),
        knee_of=section.objectives,
    )
    console.print(table)
    if note:
        console.print(note)
    if run.views:
        console.print(f"of one target: --target {' or '.join(run.views)}")


def explain(run: Run, arch: str | None, own: "Sequence[Asked]") -> str:
    """The text on an evaluated architecture, and on networks of the user's own."""
    from nas.own.marks import own_marks
    from nas.report.explain import explain_text

    texts = [] if arch is None else [run.explain(arch)]
    for mark in own_marks(run, own):
        assert mark.detail is not None
        text = explain_text(mark.detail, values=mark.values, provenance=mark.provenance)
        texts.append(f"{mark.words}\n{text}")
    if not texts:
        raise NasError("name an architecture by the start of its id, or a network of your own with --own")
    return "\n".join(texts)


def compare(named: Sequence[str], own: "Sequence[Asked]", output: Path | None, *, as_json: bool) -> Path:
    """Print the fronts of several runs side by side and write their page; where it is."""
    import json

    from rich.console import Console

    from nas.comparing import compare_runs
    from nas.report.comparison_page import write_comparison
    from nas.report.comparison_text import comparison_json, differences_table, points_table, summary_table

    found = compare_runs(named, own=own)
    console = Console(width=None if Console().is_terminal else 200)
    if as_json:
        console.out(json.dumps(comparison_json(found), indent=1), highlight=False)
    else:
        for table in (summary_table(found), points_table(found), differences_table(found)):
            console.print(table)
        for note in (*found.notes, *(mark.words for mark in found.marks)):
            console.print(note, markup=False)
    path = output or Path("runs") / f"compare-{'-'.join(_file_part(text) for text in named)}.html"
    write_comparison(found, path)
    return path


def _file_part(text: str) -> str:
    """A run's name as part of a file's name."""
    return "-".join(part for part in Path(text.rstrip("/")).name.split(":") if part)
