"""From the errors of single networks to what they say of the ranking; no training, no torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.fidelity.dimensions import pair_shares
from nas.fidelity.ranking import Floats, advantage, agreement
from nas.fidelity.result import SUPERNET, Agreement, Fidelity, Gap, JudgedNetwork, Ranker


def judge(
    networks: Sequence[JudgedNetwork],
    *,
    planned: int,
    epochs: int,
    tuned_epochs: int,
    band: tuple[float, float],
    seed: int,
    notes: Sequence[str] = (),
) -> Fidelity:
    """What `networks`, at least two, say of the supernet; `seed` is that of the draw and of the resamples."""
    truth = _column([-network.alone_error for network in networks])
    inside = np.array([network.in_band for network in networks])
    ours = _column([-network.inherited_error for network in networks])
    names = list(dict.fromkeys(name for network in networks for name in network.scores))
    columns = {name: _column([network.scores.get(name) for network in networks]) for name in names}
    rankers = [_ranker(name, scores, ours, truth, inside, seed) for name, scores in {SUPERNET: ours, **columns}.items()]
    shares = pair_shares([network.picks for network in networks])
    return Fidelity(
        planned=planned,
        seed=seed,
        epochs=epochs,
        band=band,
        inherited_error=float(-ours.mean()),
        alone_error=float(-truth.mean()),
        networks=tuple(networks),
        rankers=tuple(rankers),
        dimensions={
            name: agreement(ours, truth, pairs=pairs, seed=seed) for name, pairs in shares.items() if pairs.any()
        },
        gap=_gap([network for network in networks if network.tuned_error is not None], tuned_epochs, seed),
        notes=tuple(notes),
    )


def _ranker(name: str, scores: Floats, ours: Floats, truth: Floats, inside: NDArray[np.bool_], seed: int) -> Ranker:
    """How `scores` [n] rank where they are known, held against `ours` on the same networks."""
    known = np.isfinite(scores)
    narrow = known & inside
    return Ranker(
        name,
        agreement(scores[known], truth[known], seed=seed),
        agreement(scores[narrow], truth[narrow], seed=seed),
        advantage(ours[known], scores[known], truth[known], seed=seed),
        advantage(ours[narrow], scores[narrow], truth[narrow], seed=seed),
    )


def _gap(networks: Sequence[JudgedNetwork], epochs: int, seed: int) -> Gap | None:
    if not networks:
        return None
    inherited = _column([network.inherited_error for network in networks])
    tuned = _column([network.tuned_error for network in networks])
    alone = _column([network.alone_error for network in networks])
    width = float(inherited.mean() - alone.mean())
    closed = float(inherited.mean() - tuned.mean()) / width if width > 0 else None

    def order(errors: Floats) -> Agreement:
        return agreement(-errors, -alone, seed=seed)

    return Gap(
        networks=len(networks),
        epochs=epochs,
        inherited_error=float(inherited.mean()),
        tuned_error=float(tuned.mean()),
        alone_error=float(alone.mean()),
        closed=closed,
        tuned=order(tuned),
        inherited=order(inherited),
    )


def _column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
