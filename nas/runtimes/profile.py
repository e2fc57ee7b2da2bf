"""Profiling: measure networks of a space, kernel by kernel and whole, until the time is spent."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import numpy as np

from nas.console import Step, progress
from nas.runtimes.base import CannotRun, Profile, Runtime, Setting
from nas.runtimes.doubt import Usual
from nas.runtimes.energy import NoMeter
from nas.runtimes.journal import Journal, Row
from nas.runtimes.machine import machine_fingerprint
from nas.runtimes.meter import Meter
from nas.runtimes.report import print_report
from nas.runtimes.sparsity import measure_sparsity
from predictors.kernels import Kernel, kernels
from predictors.plan import Planned, plan
from predictors.target import MEASURED_NOW, Identity, MeasuredNetwork, Target
from search_spaces.catalog.mobile import mobile
from search_spaces.catalog.resnet import resnext_groups
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import SearchSpace

MOST_NETWORKS = 600
FEWEST_NETWORKS = 10
ENOUGH_NETWORKS = 100
PLANNED_NETWORKS = 250
SHORTEST_S, LONGEST_S = 0.05, 0.3
SECOND_LOOKS = 0.65
MOST_ATTEMPTS = 4
MOST_FAILURES = 10
SPARSITY_SHARE = 0.02
SHOWN, NAMED = 8, 3


def default_spaces() -> tuple[SearchSpace, ...]:
    """What is measured when no space is given: small and larger images, mobile and residual networks."""
    return (
        mobile((3, 32, 32), 10),
        mobile((3, 96, 96), 10),
        resnext_groups((3, 32, 32), 10),
    )


def profile(
    spaces: Sequence[SearchSpace] = (),
    *,
    runtime: str = "onnxruntime",
    setting: Setting | None = None,
    minutes: float = 1.0,
    rng: np.random.Generator | None = None,
    step: Step | None = None,
    journal: Path | None = None,
    name: str = MEASURED_NOW,
    clock: Callable[[], float] = time.monotonic,
) -> Target:
    """Measure this machine for `minutes` and return what was learned of it.

    Networks of `spaces` (when those are all measured, or none is given: a spread of the catalogue) are measured one
    by one; a fifth is held out to say how far predictions can be trusted. A reference kernel runs between
    repetitions, so that only quiet moments count; in the last third of the time (sooner, when there are no more
    networks) doubtful ones are measured again. `step` advances in seconds. Rows go to the file `journal` as they
    come; rows found there are taken over, so after an interruption the same call goes on where it was.

    Networks that the runtime fails on are left out and named in the target's remarks. Raises NasError for an unknown
    runtime, an impossible setting, too few networks measured, or a runtime that fails on most of them.
    """
    meter = Meter(runtime, setting or Setting())
    engine, identity = meter.engine, meter.identity
    notes = Journal(journal, {**asdict(identity), **machine_fingerprint()})
    generator = rng if rng is not None else np.random.default_rng(len(notes.rows))
    measured = {row.fingerprint: row.kernels for row in notes.rows} | dict.fromkeys(notes.failed, ())
    planned = chain(
        plan(spaces, generator, fusion=engine.fusion, measured=measured) if spaces else (),
        plan(default_spaces(), generator, fusion=engine.fusion, measured=measured),
    )
    budget = 60 * minutes
    start = clock() - (notes.rows[-1].seconds if notes.rows else 0.0)
    seconds = min(max(budget / PLANNED_NETWORKS / 2, SHORTEST_S), LONGEST_S)
    networks: dict[str, Network] = {}
    while True:
        before = clock() - start
        if before >= budget and len(notes.rows) >= FEWEST_NETWORKS:
            break
        fresh = before < SECOND_LOOKS * budget and len(notes.rows) < MOST_NETWORKS
        item = next(planned, None) if fresh else None
        again = _most_doubtful(notes, networks) if item is None else None
        if again is None and item is None and len(notes.rows) < MOST_NETWORKS:
            item = next(planned, None)
        chosen = again or item
        if chosen is None:
            break
        networks[chosen.network.fingerprint] = chosen.network
        found = _profiled(meter, chosen.network, notes, seconds)
        if found is None:
            del networks[chosen.network.fingerprint]
            continue
        row = _row(chosen, found, engine, clock() - start)
        if again is None:
            notes.append(row)
        else:
            notes.better(row, Usual.of([old.profile for old in notes.rows]).doubt)
        if step is not None:
            step.advance(clock() - start - before, note=f"{len(notes.rows)} networks")
    target = replace(
        target_of(name, identity, notes.rows, machine=machine_fingerprint(), slowdown=meter.reference.slowdown),
        calm_ms=1e3 * meter.reference.calm_s,
        sparsity_speedup=measure_sparsity(engine, meter.setting, seconds=SPARSITY_SHARE * budget),
        remarks=_remarks(meter, notes),
    )
    return target.with_learning_curve()


def _profiled(meter: Meter, network: Network, notes: Journal, seconds: float) -> Profile | None:
    """Measure `network`; `None` where the runtime fails on it, `NasError` where it fails on most networks."""
    try:
        with notes.trying(network.fingerprint):
            return meter.profile(network, seconds=seconds)
    except CannotRun as error:
        notes.fail(network.fingerprint, str(error))
    if len(notes.failed) >= MOST_FAILURES and len(notes.failed) > len(notes.rows):
        reason = notes.failed[network.fingerprint]
        raise NasError(
            f"{meter.engine.name} failed on {len(notes.failed)} of {len(notes.failed) + len(notes.rows)} networks, "
            f"the last time with: {reason}. Profile another space, or take another runtime"
        )
    return None


def _remarks(meter: Meter, notes: Journal) -> tuple[str, ...]:
    """What the measurements lack, and why."""
    found: list[str] = []
    if notes.failed:
        listed = "; ".join(f"{name[:SHOWN]} ({reason})" for name, reason in list(notes.failed.items())[:NAMED])
        count = "1 network" if len(notes.failed) == 1 else f"{len(notes.failed)} networks"
        found.append(f"{count} could not be run and left out: {listed}.")
    if isinstance(meter.energy_meter, NoMeter):
        found.append(f"Energy was not measured: {meter.energy_meter.reason}.")
    return tuple(found)


def _most_doubtful(notes: Journal, networks: Mapping[str, Network]) -> Planned | None:
    """The network measured with the most doubt, to be measured again; `None` when all are believed."""
    usual = Usual.of([row.profile for row in notes.rows])
    doubtful = [
        (usual.doubt(row.profile) / row.attempts, row)
        for row in notes.rows
        if row.fingerprint in networks and row.attempts < MOST_ATTEMPTS
    ]
    doubt, row = max(doubtful, key=lambda pair: pair[0], default=(0.0, None))
    if row is None or doubt == 0:
        return None
    return Planned(networks[row.fingerprint], row.held_out)


def _row(item: Planned, found: Profile, engine: Runtime, seconds: float) -> Row:
    parts = tuple(kernel.dense for kernel in kernels(item.network, fusion=engine.fusion))
    return Row(item.network.fingerprint, item.held_out, parts, found, seconds)


def target_of(
    name: str, identity: Identity, rows: Sequence[Row], *, machine: Mapping[str, str], slowdown: float
) -> Target:
    """The rows to believe as a target; doubtful ones only as far as there are too few others."""
    usual = Usual.of([row.profile for row in rows])
    doubts = [usual.doubt(row.profile) for row in rows]
    limit = sorted(doubts)[:ENOUGH_NETWORKS][-1] if doubts else 0.0
    kept = [row for row, doubt in zip(rows, doubts, strict=True) if doubt <= limit]
    number: dict[Kernel, int] = {}
    networks = tuple(
        MeasuredNetwork(
            kernels=tuple(number.setdefault(kernel, len(number)) for kernel in row.kernels),
            kernel_ms=tuple(round(ms, 7) for ms in row.profile.kernel_ms),
            latency_ms=row.profile.latency.median_ms,
            low_ms=row.profile.latency.low_ms,
            high_ms=row.profile.latency.high_ms,
            repeats=row.profile.latency.repeats,
            quiet_share=row.profile.latency.quiet_share,
            held_out=row.held_out,
            energy_mj=row.profile.energy_mj,
        )
        for row in kept
    )
    return Target(
        name=name,
        provenance="measured",
        identity=identity,
        machine=machine,
        kernels=tuple(number),
        networks=networks,
        slowdown=slowdown,
    )


def profile_to_file(
    output: Path,
    *,
    space: SearchSpace | None = None,
    runtime: str = "onnxruntime",
    device: str = "cpu",
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    minutes: float = 5.0,
    seed: int = 0,
) -> Target:
    """`profile` for `space` with progress, written to `output`; prints how far predictions can be trusted.

    Stopped at any moment, it goes on where it was when called again with the same settings.
    """
    if output.is_dir():
        raise NasError(f"{output} is a folder; name a file for the target, such as {output / 'target.json'}")
    setting = Setting(threads=threads, batch=batch, device=device, precision=precision)
    journal = output.with_name(f".{output.name}.rows")
    with progress(f"measuring {runtime} on {device} in {precision}", 60 * minutes) as step:
        target = profile(
            () if space is None else (space,),
            runtime=runtime,
            setting=setting,
            minutes=minutes,
            rng=np.random.default_rng(seed),
            step=step,
            journal=journal,
            name=output.stem,
        )
    target.save(output)
    journal.unlink(missing_ok=True)
    print_report(target)
    return target
