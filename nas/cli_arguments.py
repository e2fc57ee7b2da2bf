"""Arguments and options that several commands of the command line share."""

from typing import Annotated

import typer

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or its folder.")]
SearchName = Annotated[
    str | None, typer.Option("--search", metavar="NAME", help="One of its searches; without it, the recipe's own.")
]
TargetName = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="One of several targets; without it, the worst of them all."),
]
SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="The space.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the recipe; repeatable."),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="C,H,W",
        help="Shape of one input; without it 3,32,32, or that of the recipe's data.",
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(min=1, help="Number of classes; without it 10, or those of the recipe's data."),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An argument of the space; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
