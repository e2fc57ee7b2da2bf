"""What `nas profile plan` and `nas profile import` do."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas.console import progress
from search_spaces.errors import NasError, unknown_name
from search_spaces.space import SearchSpace

KINDS = ("networks", "kernels")


def plan_bundle(
    output: Path, space: SearchSpace | None, *, networks: int | None, batch: int, seed: int, known: Sequence[str] = ()
) -> str:
    """Write a bundle to the folder `output`; return what to do with it. NasError when the folder exists.

    `known` names targets; with them ten networks are written where `networks` is not given, else 150.
    """
    from nas.runtimes.bundle import NETWORKS_PLANNED, write_bundle
    from nas.runtimes.known import MEASURED
    from nas.runtimes.profile import FEWEST_NETWORKS
    from predictors.target import load_target

    count = networks or (MEASURED if known else NETWORKS_PLANNED)
    if count < FEWEST_NETWORKS and not known:
        raise NasError(
            f"--networks {count} is too few to learn from: at least {FEWEST_NETWORKS}, or name --known devices"
        )
    targets = [load_target(name) for name in known]
    with progress("writing networks", count) as step:
        bundle = write_bundle(
            output,
            () if space is None else (space,),
            networks=count,
            batch=batch,
            known=targets,
            rng=np.random.default_rng(seed),
            step=step,
        )
    return (
        f"bundle: {output} ({len(bundle.networks)} networks)\n"
        "on the device: python3 measure.py\n"
        f"then here: nas profile import results.csv --bundle {output} -o target.json"
    )


def import_results(
    results: Path,
    output: Path,
    *,
    bundle: Path | None,
    kind: str,
    device_name: str | None,
    software: str | None,
    threads: int | None,
) -> None:
    """Write the target of the CSV file `results` to `output`; print what is to be known of it.

    Raises NasError for an unknown `kind`, for networks without `bundle`, and for rows that cannot be.
    """
    from nas.runtimes.bundle import read_bundle
    from nas.runtimes.remote import Device, import_kernels, import_networks
    from nas.runtimes.report import print_report

    if output.is_dir():
        raise NasError(f"{output} is a folder; name a file for the target, such as {output / 'target.json'}")
    if kind not in KINDS:
        raise unknown_name("kind of results", kind, KINDS)
    device = Device(device_name, software, threads)
    if kind == "kernels":
        found = import_kernels(results, name=output.stem, device=device)
    elif bundle is None:
        raise NasError("name the bundle that was measured with --bundle, or --kind kernels for a look-up table")
    else:
        found = import_networks(results, read_bundle(bundle), name=output.stem, device=device)
    found.target.save(output)
    for note in found.notes:
        print(note, file=sys.stderr)  # noqa: T201
    print_report(found.target)
