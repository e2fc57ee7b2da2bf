"""The parts of the page that are ready-made HTML: summary, tables, and what is missing, in words."""

import shlex
from html import escape

from nas.report import static
from nas.report.data import ReportData
from nas.report.fidelity import fidelity_section


def page_parts(data: ReportData) -> dict[str, str]:
    """HTML by name of the part: what the run says of itself, and the frames of plots that it has the data for."""
    return {
        "notes": "".join(f"<p class=note>{escape(note)}</p>" for note in data.notes),
        "summary": static.summary(data),
        "front": _front(data),
        "front_table": _front_table(data),
        "progress": _progress(data),
        "matter": _matter(data),
        "spread": _spread(data),
        "margins": _margins(data),
        "tested": _tested(data),
        "fidelity": fidelity_section(data.fidelity, f"nas fidelity {shlex.quote(data.run or data.name)}"),
        "training": _training(data),
        "predictor": _predictor(data),
        "time": _time(data),
        "environment": _environment(data),
        "recipe": _recipe(data),
    }


def _front(data: ReportData) -> str:
    limits = f"<p>{escape(static.limits_words(data))}</p>"
    if not data.evaluations and not data.front:
        return limits + static.absent("No architecture has been evaluated yet, so there is nothing to plot.")
    words = ""
    if not data.front and any(point.feasible for point in data.evaluations):
        words = static.absent("No front has been recorded yet: these are the evaluations so far.")
    elif not data.front:
        words = static.absent(
            "The front is empty: no evaluated architecture keeps every limit. The points below show "
            "how far they are from it."
        )
    elif len(data.front) == 1:
        words = static.absent(
            "The front has a single architecture: nothing else that was evaluated is better in any objective."
        )
    if not any(point.proposer == "random" for point in data.evaluations):
        words += static.absent("Random search was not run, so there is no baseline to compare with.")
    return limits + words


def _front_table(data: ReportData) -> str:
    if not data.front:
        return static.target_fronts(data)
    if not data.targets:
        return "<h3>Architectures of the front</h3>" + static.front_rows(data)
    robust = (
        "<h3>Front for the worst target</h3><p>A network counts by the target that it suits least: the largest of its "
        "figures over all targets, each as a share of that target's limit, or of the median over the space where some "
        "target has no limit.</p>"
    )
    return robust + static.front_rows(data) + static.target_fronts(data)


def _progress(data: ReportData) -> str:
    history = data.hypervolume
    if not history.search and not history.random:
        return static.absent("No hypervolume was recorded in this run.")
    words = ""
    if not history.random:
        words = static.absent("Random search was not run: the curve stands alone.")
    elif history.search and history.random[-1][0] < history.search[-1][0]:
        words = f"<p>Random search ended after {history.random[-1][0]} evaluations; its curve stops there.</p>"
    return words + static.plot("hypervolume", "Hypervolume over evaluations")


def _matter(data: ReportData) -> str:
    if not any(data.importances.values()):
        return static.absent("Importances were not computed: that takes a few dozen evaluations.")
    return '<div class="importances" id="importances"></div>'


def _spread(data: ReportData) -> str:
    if not data.front:
        return static.absent("The front is empty, so there is no spread of values to show.")
    return static.spread_table(data)


def _margins(data: ReportData) -> str:
    words = "".join(f"<p>{escape(sentence)}</p>" for sentence in data.margins)
    if not data.limits:
        return words + static.absent("No limits were set.")
    return (words or static.absent("No limit on a prediction was tightened by a margin.")) + static.remeasured(data)


def _tested(data: ReportData) -> str:
    if not any(entry.test_error is not None for entry in data.front):
        return static.absent("No architecture of this front has been tested: only validation errors are known.")
    return (
        "<p>The front was chosen on validation data; each of its architectures was then tested once. "
        "Bars are binomial intervals.</p>"
    ) + static.plot("tested", "Test error beside validation error, with binomial intervals")


def _training(data: ReportData) -> str:
    if not data.training:
        return static.absent("No supernet was trained in this run, so there is no training curve.")
    return static.plot("training", "Loss and validation errors of the supernet over epochs", height=560)


def _predictor(data: ReportData) -> str:
    if data.predictor is None:
        return static.absent("No learned predictor was used in this run.")
    summary = static.predictor_summary(data) + static.predictor_splits(data)
    if not data.predictor.rows:
        return summary + static.absent("The predictor kept no hold-out measurements.")
    return static.plot("predictor", "Predicted against measured time of the hold-out", height=560) + summary


def _time(data: ReportData) -> str:
    if not data.stages:
        return static.absent("No stage has been timed yet.")
    return static.plot("stages", "Time spent per stage") + static.stage_table(data)


def _environment(data: ReportData) -> str:
    if not data.environment:
        return static.absent("No environment was recorded.")
    return static.environment_table(data)


def _recipe(data: ReportData) -> str:
    if not data.recipe_toml:
        return static.absent("No recipe was recorded.")
    return f'<pre tabindex="0" aria-label="Recipe">{escape(data.recipe_toml)}</pre>'
