"""How well embeddings find other pictures of the same identity."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.errors import NasError


@dataclass(frozen=True)
class Retrieval:
    """Shares over `queries` that have a match.

    `rank1`: the most similar picture is of the query's identity; `mean_ap`: mean of the average precisions.
    """

    rank1: float
    mean_ap: float
    queries: int


def retrieve(query: Tensor, query_who: Tensor, gallery: Tensor, gallery_who: Tensor) -> Retrieval:
    """Rank the gallery by cosine similarity to each query (Zheng et al. 2015, the protocol of Market-1501).

    query [q, d] and gallery [g, d] are embeddings, `..._who` int64 [n, 2] identity and camera. Pictures of a query's
    identity by its own camera are passed over; queries without a match left do not count. Raises `NasError` where none
    has one.
    """
    similar = similarities(query, gallery)
    same = query_who[:, None, 0] == gallery_who[None, :, 0]
    passed = same & (query_who[:, None, 1] == gallery_who[None, :, 1])
    matches = same & ~passed
    counted = matches.any(1)
    if not bool(counted.any()):
        raise NasError("no query has a match in the gallery: an identity must be there by another camera")
    order = similar.masked_fill(passed, -torch.inf).argsort(dim=1, descending=True, stable=True)
    hits = matches.gather(1, order)[counted].double()
    found = hits.cumsum(1)
    places = torch.arange(1, hits.shape[1] + 1, device=hits.device, dtype=torch.float64)
    precision = (hits * found / places).sum(1) / found[:, -1]
    return Retrieval(float(hits[:, 0].mean()), float(precision.mean()), int(counted.sum()))


def similarities(first: Tensor, second: Tensor) -> Tensor:
    """Cosines [n, m] of embeddings [n, d] and [m, d]; what is not finite is similar to nothing."""
    found = functional.normalize(first.float(), dim=1) @ functional.normalize(second.float(), dim=1).T
    return found.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)


def missed(embedding: Tensor, who: Tensor) -> int:
    """How many of n pictures have as most similar, of those by other cameras, one of another identity.

    embedding [n, d]; who int64 [n, 2] identity and camera. A picture whose identity no other camera took counts too.
    """
    similar = similarities(embedding, embedding)
    others = who[:, None, 1] != who[None, :, 1]
    if not bool(others.any()):
        return len(who)
    nearest = similar.masked_fill(~others, -torch.inf).argmax(1)
    alone = ~others.any(1) | ~embedding.isfinite().all(1)
    return int(((who[nearest, 0] != who[:, 0]) | alone).sum())


def hardest_triplets(embedding: Tensor, identities: Tensor, *, margin: float = 0.3) -> Tensor:
    """Mean over a batch of max(0, margin + d(farthest of the same) - d(nearest of the others)) (Hermans et al. 2017).

    embedding [n, d], identities int64 [n]; Euclidean distances d. Zero where a batch has one identity only.
    """
    squared = torch.cdist(embedding, embedding, compute_mode="donot_use_mm_for_euclid_dist").square()
    distance = squared.clamp_min(1e-12).sqrt()
    same = identities[:, None] == identities[None, :]
    if bool(same.all()):
        return embedding.sum() * 0.0
    farthest = distance.masked_fill(~same, -torch.inf).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    return (margin + farthest - nearest).clamp_min(0).mean()
