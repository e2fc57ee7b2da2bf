"""Rank correlations against scipy, on the networks themselves and on every resample of them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap, kendalltau, spearmanr

from nas.fidelity.dimensions import pair_shares
from nas.fidelity.ranking import advantage, agreement, kendall, resampled, spearman

NOISE = np.random.default_rng(3)
TRUTH = NOISE.normal(size=24)
GUESS = np.round(TRUTH + NOISE.normal(size=24), 1)
"""Scores with ties."""


def test_both_coefficients_equal_scipy_on_every_resample() -> None:
    counts = resampled(24, resamples=40, seed=1)
    taus, rhos = kendall(GUESS, TRUTH, counts), spearman(GUESS, TRUTH, counts)
    assert counts.sum(axis=1).tolist() == [24.0] * 41
    for row, tau, rho in zip(counts.astype(int), taus, rhos, strict=True):
        chosen = np.repeat(np.arange(24), row)
        assert tau == pytest.approx(kendalltau(GUESS[chosen], TRUTH[chosen]).statistic, abs=1e-12)
        assert rho == pytest.approx(spearmanr(GUESS[chosen], TRUTH[chosen]).statistic, abs=1e-12)


def test_intervals_are_those_of_a_paired_percentile_bootstrap() -> None:
    found = agreement(GUESS, TRUTH)

    def tau(first: np.ndarray, second: np.ndarray) -> float:
        return float(kendalltau(first, second).statistic)

    oracle = bootstrap(
        (GUESS, TRUTH), tau, paired=True, vectorized=False, method="percentile", n_resamples=800, random_state=0
    ).confidence_interval
    assert (found.kendall.low, found.kendall.high) == pytest.approx((oracle.low, oracle.high), abs=0.04)


def test_pairs_that_weigh_nothing_do_not_count() -> None:
    groups = np.arange(24) % 2
    within = (groups[:, None] == groups[None, :]).astype(float)
    ones = np.ones((1, 24))

    def signs(scores: np.ndarray) -> np.ndarray:
        pairs = [np.sign(scores[i] - scores[j]) for i in range(24) for j in range(24) if groups[i] == groups[j]]
        return np.array(pairs)

    a, b = signs(GUESS), signs(TRUTH)
    assert kendall(GUESS, TRUTH, ones, within)[0] == pytest.approx((a @ b) / np.sqrt((a @ a) * (b @ b)))
    half = [i for i in range(24) if groups[i] == 0]
    only = np.zeros((24, 24))
    only[np.ix_(half, half)] = 1.0
    ranks = spearman(GUESS[half], TRUTH[half], np.ones((1, 12)))
    order = np.argsort(np.argsort(TRUTH)).astype(float)
    assert kendall(order, TRUTH, ones, only)[0] == pytest.approx(1.0)
    assert spearman(GUESS, TRUTH, (np.arange(24) % 2 == 0).astype(float)[None])[0] == pytest.approx(ranks[0])


def test_what_ranks_alike_has_no_advantage_and_chance_has_none_to_be_sure_of() -> None:
    same = advantage(GUESS, 2 * GUESS, TRUTH)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = advantage(TRUTH, NOISE.normal(size=24), TRUTH)
    assert better.low is not None
    assert better.low > 0.5
    first, second = NOISE.normal(size=(2, 24))
    unsure = advantage(first, second, TRUTH)
    assert unsure.low is not None
    assert unsure.high is not None
    assert unsure.low < 0 < unsure.high


def test_constant_scores_rank_nothing() -> None:
    found = agreement(np.zeros(5), np.arange(5.0))
    assert (found.count, found.kendall.value, found.spearman.value) == (5, None, None)
    assert agreement([1.0], [2.0]).kendall.value is None


def test_published_supernets_of_downsampling_positions(data_folder: Path) -> None:
    """Kendall's tau of 1, 2, 4 and 8 supernets against training alone, 36 networks (Javan et al. 2023)."""
    with (data_folder / "pooling36.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = [float(row["baseline_avg"]) for row in rows]
    taus, rhos = [], []
    for members in (1, 2, 4, 8):
        found = agreement([float(row[f"M{members}_avg"]) for row in rows], truth)
        taus.append(found.kendall.value)
        rhos.append(found.spearman.value)
    assert taus == pytest.approx([0.143, 0.311, 0.597, 0.530], abs=1e-3)
    assert rhos == pytest.approx([0.233, 0.473, 0.757, 0.709], abs=1e-3)


def test_pairs_are_shared_out_among_the_dimensions_that_differ() -> None:
    picks = [
        {"depth": 1, "block0.kernel": 3, "block0.width": 8},
        {"depth": 2, "block0.kernel": 5, "block0.width": 8, "block1.kernel": 3},
        {"depth": 2, "block0.kernel": 5, "block0.width": 16, "block1.kernel": 5},
    ]
    shares = pair_shares(picks)
    assert list(shares) == ["width", "depth", "kernel"]
    assert [shares[name][0, 1] for name in shares] == [0.0, 0.5, 0.5]
    assert [shares[name][1, 2] for name in shares] == [0.5, 0.0, 0.5]
    assert sum(shares.values())[0, 2] == pytest.approx(1.0)
    assert all(np.array_equal(share, share.T) and not share.diagonal().any() for share in shares.values())
    assert list(pair_shares([{"pad": True}, {"pad": 1}])) == ["pad"]
    assert pair_shares([{"pad": True}, {"pad": 1}])["pad"][0, 1] == 1.0
