"""The commands that question a run: its front, its page, one architecture, several runs, the live page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli_arguments import AsJson, RunName, SearchName, TargetName
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from nas.own.marks import Asked

Own = Annotated[
    list[str] | None,
    typer.Option(
        "--own",
        metavar="NETWORK",
        help="A network of your own: an exported folder, file.py:function or module:function; repeatable.",
    ),
]
OwnInput = Annotated[
    str | None,
    typer.Option("--own-input", metavar="C,H,W", help="What it takes; without it, what the run's networks take."),
]


def front(
    run: RunName,
    search: SearchName = None,
    target: TargetName = None,
    sort: Annotated[str | None, typer.Option(metavar="FIGURE", help="By which figure; without it, as ranked.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the Pareto front of a run; of several targets, the one for the worst of them, or for `--target`.

    Of a search that has not ended, the front of what it has evaluated.

    Examples:

    - `nas front quickstart`
    - `nas front quickstart --sort latency_ms --json`
    """
    import json

    from nas.cli_runs import front_rows, opened, print_front

    found = opened(run, search, target)
    if as_json:
        typer.echo(json.dumps(front_rows(found, sort)[0], indent=1))
    else:
        print_front(found, sort=sort)


def report(
    run: RunName,
    search: SearchName = None,
    target: TargetName = None,
    own: Own = None,
    own_input: OwnInput = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of a run anew and print where it is.

    Example: `nas report quickstart --own my_net.py:make --open`
    """
    from nas.cli_runs import opened, report_in_part, report_path

    try:
        found = opened(run, search, target)
    except NasError as error:
        part = report_in_part(run, error) if search is None and target is None and not own else None
        if part is None:
            raise
        typer.echo(f"nas: {error}", err=True)
        path = part
    else:
        path = report_path(found, own=_asked(own, own_input))
    typer.echo(str(path))
    if show:
        typer.launch(str(path))


def explain(
    run: RunName,
    arch: Annotated[str | None, typer.Argument(metavar="[ARCH]", help="Its id, or how that starts.")] = None,
    search: SearchName = None,
    target: TargetName = None,
    own: Own = None,
    own_input: OwnInput = None,
) -> None:
    """Say what an architecture is made of and what each of its operators costs.

    Examples:

    - `nas explain quickstart 3f9a`
    - `nas explain quickstart --own my_net.py:make --own-input 3,224,224`
    """
    from nas.cli_runs import explain as explain_run
    from nas.cli_runs import opened

    typer.echo(explain_run(opened(run, search, target), arch, _asked(own, own_input)))


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Names or folders of runs; RUN:SEARCH for a further search of one."),
    ],
    own: Own = None,
    own_input: OwnInput = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write; without it, in the folder of runs.")
    ] = None,
    as_json: AsJson = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Put the fronts of several runs side by side, one per target where a run has several.

    In the objectives that all share: hypervolumes of one common box, which architectures dominate which, and what was
    asked of one run but not of the others. Prints tables and writes an offline page.

    Examples:

    - `nas compare laptop phone`
    - `nas compare quickstart quickstart:tiny --own my_net.py:make`
    """
    from nas.cli_runs import compare as compare_runs

    path = compare_runs(runs, _asked(own, own_input), output, as_json=as_json)
    typer.echo(f"page: {path}", err=as_json)
    if show:
        typer.launch(str(path))


def ui(
    run: RunName,
    search: SearchName = None,
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine a token is asked for.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8421,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Serve the report of a run as a page that follows the run while it goes on; Ctrl-C ends it, not the run.

    Needs the extra `ui`: pip install 'nas-explorer[ui]'.

    Example: `nas ui quickstart --open`
    """
    from nas.ui.serve import serve

    serve(run, search=search, host=host, port=port, show=typer.launch if show else None, say=typer.echo)


def _asked(own: list[str] | None, shape: str | None) -> "Sequence[Asked]":
    """The networks of the user's own that were named."""
    from nas.cli_space import parse_shape
    from nas.own.marks import Asked

    if shape is not None and not own:
        raise NasError("--own-input says what the network of --own takes: name that too")
    size = None if shape is None else parse_shape(shape, option="--own-input")
    return [Asked(named, size) for named in own or ()]


COMMANDS = (front, report, explain, compare, ui)
