"""Ranks, precisions and triplets against counting by hand and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from nas.tasks.retrieval import hardest_triplets, missed, retrieve
from search_spaces.errors import NasError


def test_retrieval_by_hand() -> None:
    query = torch.tensor([[1.0, 0.0]])
    gallery = torch.tensor([[2.0, 0.1], [1.0, 0.5], [0.1, 1.0], [5.0, 0.0]])
    found = retrieve(query, torch.tensor([[7, 0]]), gallery, torch.tensor([[3, 1], [7, 1], [7, 2], [7, 0]]))
    assert found.rank1 == 0.0
    assert found.mean_ap == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.queries == 1


def test_retrieval_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    query_who, gallery_who = (np.stack([rng.integers(0, 6, n), rng.integers(0, 3, n)], 1) for n in (40, 90))
    query, gallery = rng.standard_normal((40, 8)), rng.standard_normal((90, 8))
    found = retrieve(*(torch.from_numpy(part) for part in (query, query_who, gallery, gallery_who)))
    ranks, precisions = [], []
    for vector, (identity, camera) in zip(query, query_who, strict=True):
        kept = ~((gallery_who[:, 0] == identity) & (gallery_who[:, 1] == camera))
        truth = gallery_who[kept, 0] == identity
        if truth.any():
            cosines = gallery[kept] @ vector / np.linalg.norm(gallery[kept], axis=1) / np.linalg.norm(vector)
            ranks.append(truth[cosines.argmax()])
            precisions.append(average_precision_score(truth, cosines))
    assert found.queries == len(ranks)
    assert found.rank1 == pytest.approx(np.mean(ranks))
    assert found.mean_ap == pytest.approx(np.mean(precisions), abs=1e-6)


def test_retrieval_without_any_match_is_refused() -> None:
    with pytest.raises(NasError, match="no query has a match in the gallery"):
        retrieve(torch.ones(1, 2), torch.tensor([[1, 0]]), torch.ones(2, 2), torch.tensor([[1, 0], [2, 1]]))


def test_missed_pictures_are_those_a_loop_counts(rng: np.random.Generator) -> None:
    vectors = torch.from_numpy(rng.standard_normal((60, 5)))
    who = torch.from_numpy(np.stack([rng.integers(0, 8, 60), rng.integers(0, 3, 60)], 1))
    wrong = 0
    for i in range(60):
        others = [j for j in range(60) if who[j, 1] != who[i, 1]]
        best = max(others, key=lambda j: float(torch.cosine_similarity(vectors[i], vectors[j], dim=0)))
        wrong += int(who[best, 0] != who[i, 0])
    assert missed(vectors, who) == wrong


def test_embeddings_that_are_not_finite_are_missed() -> None:
    who = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    good = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    assert missed(good, who) == 0
    assert missed(torch.full((4, 2), torch.nan), who) == 4
    assert missed(good, torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0]])) == 4


def test_hardest_triplets_are_those_a_loop_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(12, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    identities = torch.arange(12) // 3
    losses = []
    for i in range(12):
        distances = [(vectors[i] - vectors[j]).norm() for j in range(12)]
        same = max(float(distances[j]) for j in range(12) if identities[j] == identities[i])
        other = min(float(distances[j]) for j in range(12) if identities[j] != identities[i])
        losses.append(max(0.0, 0.3 + same - other))
    found = hardest_triplets(vectors, identities)
    assert float(found) == pytest.approx(sum(losses) / 12, abs=1e-5)
    found.backward()
    assert vectors.grad is not None
    assert bool(vectors.grad.isfinite().all())
    assert float(hardest_triplets(vectors, torch.zeros(12, dtype=torch.int64))) == 0.0
