"""The command `nas pretrain`: one network of a recipe's or a run's space, trained to fill in what is hidden."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces.errors import NasError

if TYPE_CHECKING:
    from nas.pipeline import Run
    from search_spaces.network import Network

ENDS = ("smallest", "largest")


def pretrain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name or folder, or a recipe.")],
    arch: Annotated[
        str,
        typer.Option(help="The beginning of an architecture's id in the run; a file of picks; smallest; largest."),
    ] = "largest",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images; labels are not used.")] = 40,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step.")] = 128,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak of the schedule.")] = 2e-3,
    mask_ratio: Annotated[float, typer.Option(min=0, max=1, help="Share of each image that is hidden.")] = 0.6,
    decoder_width: Annotated[int, typer.Option(min=1, help="Channels of the decoder, which is thrown away.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and masks.")] = 0,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the weights go.")] = Path(
        "pretrained.safetensors"
    ),
) -> None:
    """Pretrain one network without labels: it learns to fill in the hidden parts of the training images (SparK).

    The weights of all its layers but the head are written; `nas.pretrain.training.load_pretrained` reads them.

    Example: `nas pretrain cifar10 --arch largest --epochs 40 -o encoder.safetensors`
    """
    from nas.console import progress
    from nas.pretrain.training import PretrainSettings, save_pretrained
    from nas.pretrain.training import pretrain as train

    opened = _opened(run)
    network = _network(opened, arch)
    settings = PretrainSettings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        mask_ratio=mask_ratio,
        decoder_width=decoder_width,
        seed=seed,
    )
    with progress("pretraining", epochs * opened.task.steps_per_epoch(batch_size)) as step:
        done = train(network, opened.task, settings, advance=lambda n, note: step.advance(n, note=note))
    save_pretrained(output, done)
    typer.echo(f"{output}: {len(done.weights)} layers of network {network.id}, loss {done.losses[-1]:.3f}")


def _opened(name: str) -> "Run":
    """A run, or what the recipe of that name would be one of; nothing is written."""
    from nas.api import open_run
    from nas.pipeline import Run
    from nas.recipe import load_recipe
    from nas.run_folder import RunFolder

    try:
        return open_run(name)
    except NasError:
        recipe = load_recipe(name)
        return Run(RunFolder(Path("runs") / recipe.name), recipe)


def _network(run: "Run", wanted: str) -> "Network":
    from nas.choosing import find_evaluation
    from search_spaces.space import Architecture

    if wanted in ENDS:
        ends = run.subnets
        return ends.largest if wanted == "largest" else ends.smallest
    if not Path(wanted).is_file():
        return run.network(find_evaluation(run, wanted).architecture)
    try:
        picks = Architecture.from_json(Path(wanted).read_text())
    except (ValueError, AttributeError) as error:
        raise NasError(f"{wanted} holds no picks as JSON, a name and a value each: {error}") from error
    return run.network(picks)
