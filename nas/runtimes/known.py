"""A new device through known ones: which few networks to measure on it, and the target that these make."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.runtimes.profile import default_spaces
from predictors.kernels import Fusion
from predictors.known_devices import FEWEST_MEASURED, KnownDevices, choose_architectures, describe
from predictors.plan import Planned, distinct
from predictors.target import Target, Transfer
from predictors.transfer import TransferredFigure, fit_transfer, rehearse
from search_spaces.errors import NasError
from search_spaces.space import SearchSpace

FORMAT, VERSION = "nas-known", 1
FILE = "known.json"
FEWEST_KNOWN = 2
MEASURED = 10
MOST_MEASURED = 100
POOL = 400
FUSION: Fusion = "graph"


@dataclass(frozen=True)
class Known:
    """What is known before the new device is seen: targets of other devices, and what these say of a pool of networks.

    The `chosen` rows of the pool are to be measured.
    """

    targets: tuple[Target, ...]
    pool: KnownDevices
    chosen: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON; `read_known` is the inverse."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "families": list(self.pool.families),
            "figures": self.pool.figures.tolist(),
            "amounts": self.pool.amounts.tolist(),
            "chosen": list(self.chosen),
            "targets": [json.loads(target.to_json()) for target in self.targets],
        }


def read_known(folder: Path) -> Known | None:
    """What `folder` keeps of known devices; `None` where it keeps nothing, `NasError` where that cannot be read."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text())
        if (data["format"], data["version"]) != (FORMAT, VERSION):
            raise ValueError(f'it lacks "format": "{FORMAT}", "version": {VERSION}')
        targets = tuple(Target.from_json(json.dumps(one), where=str(path)) for one in data["targets"])
        figures, amounts = (np.array(data[name], dtype=np.float64) for name in ("figures", "amounts"))
        pool = KnownDevices(figures, tuple(map(str, data["families"])), amounts)
        return Known(targets, pool, tuple(map(int, data["chosen"])))
    except (OSError, ValueError, KeyError, TypeError, NasError) as error:
        raise NasError(f"{path} is damaged ({error}); write it again with `nas profile plan`") from error


def plan_new_device(
    spaces: Sequence[SearchSpace],
    targets: Sequence[Target],
    *,
    networks: int = MEASURED,
    rng: np.random.Generator,
) -> tuple[tuple[Planned, ...], Known]:
    """The `networks` of `spaces` (of a spread of the catalogue, where none is given) that teach most of a new device.

    They are chosen by what the known devices' `targets` say of 400 random ones; targets of one device name are taken
    for a family. `NasError` for fewer than two targets, for networks that are not 5 to 100, and where `spaces` have
    too few.
    """
    if len(targets) < FEWEST_KNOWN:
        raise NasError(f"{len(targets)} known device is given: name at least {FEWEST_KNOWN} targets with --known")
    if not FEWEST_MEASURED <= networks <= MOST_MEASURED:
        raise NasError(
            f"{networks} networks are asked for; {FEWEST_MEASURED} to {MOST_MEASURED} are measured where other devices "
            "are known. With more, leave --known out"
        )
    if other := [target.name for target in targets if target.identity.fusion != FUSION]:
        raise NasError(
            f"target {other[0]!r} runs every operator by itself, and a bundle's devices fuse them: leave it out of "
            "--known"
        )
    offered = spaces or default_spaces()
    found = [network for space in offered for network in distinct(space, rng, -(-POOL // len(offered)))]
    if len(found) < 2 * networks:
        raise NasError(f"the space has {len(found)} networks to choose from; {2 * networks} are needed for {networks}")
    models = [target.latency for target in targets]
    families = tuple(target.identity.device_name or target.name for target in targets)
    figures, amounts = describe(found, models)
    pool = KnownDevices(figures, families, amounts)
    chosen = choose_architectures(pool, networks)
    return tuple(Planned(found[row], False) for row in chosen), Known(tuple(targets), pool, tuple(chosen.tolist()))


def transferred(target: Target, known: Known, rows: Sequence[int]) -> Target:
    """`target`, whose networks are the pool's `rows` in order, with what it takes learned through the known devices."""

    def learned(measured: Sequence[float | None]) -> TransferredFigure | None:
        there = [(row, value) for row, value in zip(rows, measured, strict=True) if value is not None]
        if len(there) < FEWEST_MEASURED:
            return None
        rehearsal = rehearse(known.pool, len(there), chosen=True)
        return fit_transfer(known.pool, [row for row, _ in there], [value for _, value in there], rehearsal=rehearsal)

    latency_ms = learned([network.latency_ms for network in target.networks])
    assert latency_ms is not None
    energy_mj = learned([network.energy_mj for network in target.networks])
    return replace(target, provenance="transferred", transfer=Transfer(known.targets, latency_ms, energy_mj))
