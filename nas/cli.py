"""The command line. Each command is one call into the package; what it needs is imported inside."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nas import cli_explorer
from nas.cli_arguments import Classes, InputShape, Options, Overrides, RunName, SearchName, SpaceName, TargetName
from nas.cli_pretrain import pretrain
from search_spaces.errors import NasError

DEVICE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


class Commands(TyperGroup):
    """The commands, with the errors that a person can mend told in one message."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; exit with 2 on a mendable error, with 130 on Ctrl-C."""
        try:
            return super().invoke(ctx)
        except NasError as error:
            typer.echo(f"nas: {error}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            typer.echo("nas: stopped; what was written so far is kept", err=True)
            raise typer.Exit(130) from error
        except OSError as error:
            if error.errno not in DEVICE_ERRORS:
                raise
            typer.echo(f"nas: {error}; what was written so far is kept", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Find neural networks that fit the hardware at hand.

A recipe says what may vary, what the hardware is and what matters; a run gives the Pareto front,
a page to choose from it, and the chosen networks as ordinary PyTorch models.

Start with `nas run quickstart`, then open runs/quickstart/report.html.""",
)
space_app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Look at a search space before anything is trained.

SPACE is a catalogue name, `file.py:function`, `module:function`, or a recipe's `.toml` file.""",
)
app.add_typer(space_app, name="space")
profile_app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    rich_markup_mode="markdown",
)
app.add_typer(profile_app, name="profile")


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, its file, or a run's folder.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run where it stopped.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done and how long it takes.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the run's folder.")] = None,
    runs: Annotated[Path, typer.Option(help="Where the folders of runs are.")] = Path("runs"),
    overrides: Overrides = None,
) -> None:
    """Do the whole path: measure, train, search, report, export.

    Ctrl-C ends with a valid report of what is there; `--resume` continues later.

    Examples:

    - `nas run quickstart`
    - `nas run runs/cifar10.toml --dry-run`
    - `nas run quickstart --name small --set 'search.limits.weight_bytes="64 KiB"'`
    """
    from nas.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())

    from nas.api import run_recipe

    done = run_recipe(loaded, resume=resume, dry_run=dry_run, name=name, root=runs)
    if not dry_run:
        typer.echo(f"report: {done.report()}")


@space_app.command("show")
def space_show(
    space: SpaceName,
    input_shape: InputShape = None,
    classes: Classes = None,
    overrides: Options = None,
) -> None:
    """List the choices of a space with their options.

    Example: `nas space show mobile --input 3,32,32 --set 'kernels=[3,5]'`
    """
    from nas.cli_space import choice_rows, named_space

    rows = choice_rows(named_space(space, input_shape, classes, overrides or ()))
    typer.echo(text_table(rows))


@space_app.command("size")
def space_size(
    space: SpaceName,
    input_shape: InputShape = None,
    classes: Classes = None,
    overrides: Options = None,
) -> None:
    """Count the architectures of a space, and say whether the count is proved."""
    from nas.cli_space import named_space, size_text

    typer.echo(size_text(named_space(space, input_shape, classes, overrides or ())))


@space_app.command("sample")
def space_sample(
    space: SpaceName,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    input_shape: InputShape = None,
    classes: Classes = None,
    overrides: Options = None,
) -> None:
    """Draw architectures at random, one JSON object a line."""
    from nas.cli_space import named_space, samples

    for line in samples(named_space(space, input_shape, classes, overrides or ()), count, seed):
        typer.echo(line)


@profile_app.callback()
def profile(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The target file to write.")] = None,
    runtime: Annotated[str, typer.Option(help="onnxruntime, torch or torch_compile.")] = "onnxruntime",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of one inference.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Images per inference.")] = 1,
    precision: Annotated[
        str, typer.Option(help="fp32, int8 (onnxruntime on the CPU), fp16 or bf16 (on a GPU).")
    ] = "fp32",
    minutes: Annotated[float, typer.Option(min=0.05, help="Time budget.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is measured.")] = 0,
) -> None:
    """Measure this machine's kernels and write what is learned of it as a target file.

    Other devices: `nas profile plan` writes what they are to measure, `nas profile import` reads what they measured.

    Example: `nas profile --minutes 10 -o laptop.json`, then `--set target.name=laptop.json`
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params if _is_given(context, name)]
        if given:
            raise typer.BadParameter(f"write it behind {context.invoked_subcommand}", param_hint=f"--{given[0]}")
        return
    if output is None:
        raise typer.BadParameter("missing; it names the target file to write", param_hint="--output / -o")
    from nas.runtimes.profile import profile_to_file

    profile_to_file(
        output,
        runtime=runtime,
        device=device,
        threads=threads,
        batch=batch,
        precision=precision,
        minutes=minutes,
        seed=seed,
    )
    typer.echo(f"target: {output}")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@profile_app.command("plan")
def profile_plan(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    space: Annotated[
        str | None, typer.Argument(metavar="SPACE", help="The space; without it, a spread of the catalogue.")
    ] = None,
    networks: Annotated[
        int | None, typer.Option(min=5, help="How many networks: 150, a fifth of them held out; 10 with --known.")
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(help="A target of another device; with two or more of them ten networks do."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per inference.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is measured.")] = 0,
    input_shape: InputShape = None,
    classes: Classes = None,
    overrides: Options = None,
) -> None:
    """Write a bundle: networks, and a script that measures them on a device with Python and ONNX Runtime.

    Copy the folder to the device, run `python3 measure.py` in it and bring results.csv back.

    Examples:

    - `nas profile plan mobile --input 3,96,96 -o bundle`
    - `nas profile plan mobile --known laptop.json --known phone.json -o bundle`
    """
    from nas.cli_profile import plan_bundle
    from nas.cli_space import named_space

    named = None if space is None else named_space(space, input_shape, classes, overrides or ())
    typer.echo(plan_bundle(output, named, networks=networks, batch=batch, seed=seed, known=known or ()))


@profile_app.command("import")
def profile_import(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The CSV file from the device.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The target file to write.")],
    bundle: Annotated[Path | None, typer.Option(help="The folder of the bundle that was measured.")] = None,
    kind: Annotated[
        str, typer.Option(help="networks: rows of a bundle's networks; kernels: a look-up table of single kernels.")
    ] = "networks",
    device_name: Annotated[str | None, typer.Option(help="The device, where the file does not say it.")] = None,
    software: Annotated[str | None, typer.Option(help="The runtime with its version, likewise.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one inference, likewise.")] = None,
) -> None:
    """Make a target file of what another device measured, and say how far its predictions can be trusted.

    Example: `nas profile import results.csv --bundle bundle -o raspberry.json`
    """
    from nas.cli_profile import import_results

    import_results(
        results, output, bundle=bundle, kind=kind, device_name=device_name, software=software, threads=threads
    )
    typer.echo(f"target: {output}")


@app.command()
def train(run: RunName) -> None:
    """Train the shared weights of a run, continuing from its last checkpoint.

    How is said in the recipe: supernet.rule (sandwich, single_path, progressive, delayed, mixture), supernet.sampling
    (choices, cost, shift, best_up, worst_up), supernet.distillation, supernet.sparsity_gradient and more;
    docs/training.md says which suits what. Another way of training needs a run of its own.

    Example: `nas run quickstart --name delayed --set supernet.rule=delayed --set supernet.sampling=cost`
    """
    from nas.cli_runs import train as train_run

    reached = train_run(run)
    typer.echo("trained to the end" if reached else "stopped at the time budget; call again to go on")


@app.command()
def search(run: RunName, overrides: Overrides = None) -> None:
    """Search in a run whose shared weights are trained, continuing from its last trial.

    Other objectives or limits need no training: give the search a name of its own.

    Example: `nas search quickstart --set search.name=tiny --set 'search.limits.weight_bytes="32 KiB"'`
    """
    from nas.cli_runs import search_again

    typer.echo(f"report: {search_again(run, overrides or ())}")


for command in cli_explorer.COMMANDS:
    app.command()(command)


@app.command()
def export(
    run: RunName,
    arch: Annotated[str | None, typer.Option(help="An architecture's id; without it, the recipe's choice.")] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="pytorch, onnx, or both with a comma; without it, as the recipe.")
    ] = None,
    search: SearchName = None,
    target: TargetName = None,
) -> None:
    """Write networks as folders that need this project no longer.

    Example: `nas export quickstart --arch 3f9a --format pytorch`
    """
    from nas.cli_runs import opened

    wanted = None if formats is None else tuple(part.strip() for part in formats.split(","))
    for folder in opened(run, search, target).export(arch, wanted):
        typer.echo(str(folder))


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(metavar="EXPORT_DIR", help="An exported folder.")],
    data: Annotated[str, typer.Option(help="digits, a path, or module:function.")] = "digits",
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training data.")] = 10,
    learning_rate: Annotated[
        float | None, typer.Option(help="Its highest value; without it, one that suits the start.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Images per training step.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data order.")] = 0,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Forget the inherited weights.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train or fine-tune an exported network and report its test accuracy.

    Example: `nas fit runs/quickstart/exports/3f9a --data digits --epochs 20`
    """
    from nas.export.fit import fit as fit_folder

    done = fit_folder(
        folder,
        data=data,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        from_scratch=from_scratch,
        device=device,
    )
    typer.echo(done.text())


@app.command()
def fidelity(
    run: RunName,
    nets: Annotated[
        int, typer.Option(help="Networks trained alone: half in a narrow band of MACs, half over their range.")
    ] = 30,
    epochs: Annotated[int | None, typer.Option(help="Of each; without it, as many as the supernet's.")] = None,
    tuned: Annotated[
        int | None, typer.Option("--fine-tune", help="Networks whose inherited weights are fine-tuned; else a third.")
    ] = None,
    tuned_epochs: Annotated[int, typer.Option("--fine-tune-epochs", help="Epochs of that.")] = 3,
    workers: Annotated[int | None, typer.Option(help="Processes that train; without it, as the search's.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="After so many no network is begun.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw and the trainings.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be trained and how long.")] = False,
) -> None:
    """Tell how far the ranking of a run's supernet can be trusted: train some of its networks alone and compare.

    Finished networks are kept in the run: after Ctrl-C or a time budget, call again to go on.

    Example: `nas fidelity quickstart --nets 30`
    """
    from nas.cli_runs import judge_ranking
    from nas.fidelity.study import FidelitySettings

    judge_ranking(
        run,
        FidelitySettings(
            nets=nets,
            epochs=epochs,
            tuned=tuned,
            tuned_epochs=tuned_epochs,
            workers=workers,
            minutes=minutes,
            seed=seed,
        ),
        dry_run=dry_run,
        say=typer.echo,
    )


app.command()(pretrain)


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `rows` as aligned plain text with a header; columns in the order of first use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    2 for what the user can mend, with the message alone on standard error; 130 after Ctrl-C.
    """
    # OpenMP's long spinning makes training several times slower as soon as anything else runs, none at all a quarter
    # slower when nothing does.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="nas")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    return 0
