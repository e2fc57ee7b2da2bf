"""Re-identification: embeddings by which a person seen by one camera is found again among the pictures of others."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from nas.tasks.people import PeopleData, Pictures
from nas.tasks.protocol import Batch
from nas.tasks.retrieval import Retrieval, hardest_triplets, missed, retrieve
from nas.tasks.split import derived_seed
from nas.tasks.transforms import Augmentation, channel_statistics, cut_out, normalise, shift_and_flip
from search_spaces.errors import NasError

Embed = Callable[[Tensor], Tensor]
"""Normalised pictures [n, C, H, W] to embeddings [n, d]."""
TAKEN = 4
"""Pictures of an identity in a training batch."""
BATCH = 256


@dataclass(frozen=True, eq=False)
class ReidentificationTask:
    """Which pictures show the same identity. Made by `reidentification`.

    Networks answer with an "embedding" and, in training, with the logits of the training identities, "identity".
    Targets are int64 [n, 2], identity and camera.
    """

    class_output: ClassVar[str] = "identity"

    data: PeopleData
    identities: Tensor
    """int64 [n]: the identities that networks are trained and recalibrated on, as `data` numbers them."""
    train_indices: Tensor
    """int64 [m]: their pictures."""
    validation_indices: Tensor
    """int64 [v]: the pictures of the other training identities, to choose by."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation | None
    triplet_weight: float
    margin: float
    seed: int
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the batches."""
        return self.data.input_shape

    @property
    def classes(self) -> int:
        """Number of identities trained on: channels of the output "identity"."""
        return len(self.identities)

    @property
    def baseline_error(self) -> float:
        """Validation error of a random guess: the share of pictures by other cameras that show somebody else."""
        who = self.data.train.who[self.validation_indices]
        others = who[:, None, 1] != who[None, :, 1]
        same = (who[:, None, 0] == who[None, :, 0]) & others
        return 1 - float((same.sum(1) / others.sum(1).clamp_min(1)).double().mean())

    def to(self, device: torch.device | str) -> Self:
        """Return the same task with its pictures on `device`; the batches stay the same."""
        train, query, gallery = (
            Pictures(part.images.to(device), part.who.to(device))
            for part in (self.data.train, self.data.query, self.data.gallery)
        )
        return replace(
            self,
            data=replace(self.data, train=train, query=query, gallery=gallery),
            identities=self.identities.to(device),
            train_indices=self.train_indices.to(device),
            validation_indices=self.validation_indices.to(device),
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the full batches of an epoch, at least 1; `NasError` for batches of fewer than two identities."""
        if batch_size < 2 * TAKEN:
            raise NasError(f"a batch of {batch_size} pictures: at least {2 * TAKEN} are needed, {TAKEN} an identity")
        return max(1, len(self.train_indices) // batch_size)

    def train_batches(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the augmented batches of one epoch, from step `start` on: identities at random, four pictures of each.

        Step k depends on (batch_size, seed, epoch, k) alone. An identity with fewer pictures gives some of them twice.
        """
        who = self.data.train.who[self.train_indices].cpu()
        places = [torch.nonzero(who[:, 0] == identity).flatten() for identity in self.identities.cpu()]
        for step in range(start, self.steps_per_epoch(batch_size)):
            generator = _generator("batch", seed, epoch, step)
            chosen = torch.randperm(len(places), generator=generator)[: max(2, batch_size // TAKEN)]
            drawn = [_some(places[int(number)], generator) for number in chosen]
            indices = self.train_indices[torch.cat(drawn).to(self.train_indices.device)]
            target = torch.stack([chosen.repeat_interleave(TAKEN), self.data.train.who[indices, 1].cpu()], 1)
            yield self._augmented(indices, generator), target.to(indices.device)

    def calibration_batches(self, count: int, size: int) -> Iterator[Batch]:
        """Yield up to `count` fixed, unaugmented training batches of `size`, the same at every call."""
        generator = _generator("calibration", self.seed)
        order = torch.randperm(len(self.train_indices), generator=generator).to(self.train_indices.device)
        for step in range(min(count, max(1, len(order) // size))):
            indices = self.train_indices[order[step * size : (step + 1) * size]]
            yield self._plain(self.data.train.images[indices]), self.data.train.who[indices]

    def validation_batches(self, size: int) -> Iterator[Batch]:
        """Yield the validation part in groups of whole identities, about `size` pictures each; see `metric`."""
        pictures = self.data.train
        chosen = Pictures(pictures.images[self.validation_indices], pictures.who[self.validation_indices])
        return self._by_identity(chosen, size)

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield queries and gallery together in groups of whole identities, about `size` pictures each."""
        query, gallery = self.data.query, self.data.gallery
        both = Pictures(torch.cat([query.images, gallery.images]), torch.cat([query.who, gallery.who]))
        return self._by_identity(both, size)

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the triplet loss of embeddings [n, d]: what there is to learn from without identity logits."""
        return hardest_triplets(output, target[:, 0], margin=self.margin)

    def joint_loss(self, outputs: Mapping[str, Tensor], target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the cross entropy of the output "identity" and the weighted triplet loss of "embedding"."""
        identity = functional.cross_entropy(outputs["identity"], target[:, 0], label_smoothing=label_smoothing)
        return identity + self.triplet_weight * self.loss(outputs["embedding"], target)

    def metric(self, output: Tensor, target: Tensor) -> int:
        """Return how many of n pictures have, among those of the batch by other cameras, a stranger as most similar."""
        return missed(output, target)

    @property
    def own_metric(self) -> Callable[[Tensor, Tensor], int]:
        """The metric alone, as workers take it along."""
        return missed

    def retrieval(self, embed: Embed) -> Retrieval:
        """Rank-1 and mAP of the test part's queries in its gallery, `embed` being the network in evaluation."""
        query, gallery = (self._embedded(part, embed) for part in (self.data.query, self.data.gallery))
        return retrieve(query, self.data.query.who, gallery, self.data.gallery.who)

    def _embedded(self, pictures: Pictures, embed: Embed) -> Tensor:
        starts = range(0, len(pictures.images), BATCH)
        return torch.cat([embed(self._plain(pictures.images[start : start + BATCH])) for start in starts])

    def _by_identity(self, pictures: Pictures, size: int) -> Iterator[Batch]:
        order = pictures.who[:, 0].argsort(stable=True)
        counts = Counter(pictures.who[order, 0].tolist())
        start, held = 0, 0
        for count in counts.values():
            if held and held + count > size:
                here = order[start : start + held]
                yield self._plain(pictures.images[here]), pictures.who[here]
                start, held = start + held, 0
            held += count
        here = order[start:]
        yield self._plain(pictures.images[here]), pictures.who[here]

    def _plain(self, images: Tensor) -> Tensor:
        return normalise(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)

    def _augmented(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        if self.augmentation is None:
            return self._plain(self.data.train.images[indices])
        moved = shift_and_flip(self.data.train.images, indices, self.augmentation, generator=generator)
        batch = self._plain(moved)
        if self.augmentation.cutout:
            batch = cut_out(batch, self.augmentation.cutout, generator=generator)
        return batch


def reidentification(
    data: PeopleData,
    *,
    validation_share: float = 0.2,
    seed: int = 0,
    augment: bool | Augmentation | None = None,
    limit: int | None = None,
    triplet_weight: float = 1.0,
    margin: float = 0.3,
) -> ReidentificationTask:
    """Return the task of finding the identities of `data` again.

    validation_share: share of the training identities held out to choose by, in ]0, 1[. seed: of that split.
    augment: False for none; True or None for shifts by a sixteenth of the height and mirroring. limit: use only as many
    identities, drawn by the seed, as have at most so many training pictures together, held-out ones included.

    Raises `NasError` for a share that leaves fewer than two identities on either side.
    """
    order = torch.randperm(len(data.class_names), generator=_generator("identities", seed))
    if limit is not None:
        order = order[data.train.who[:, 0].bincount()[order].cumsum(0) <= limit]
    held_out = round(validation_share * len(order))
    if not 0 < validation_share < 1 or not 2 <= held_out <= len(order) - 2:
        raise NasError(
            f"task.validation_share is {validation_share}: of {len(order)} identities it holds out {held_out}; at "
            "least 2 must be held out and 2 be left to train on"
        )
    who = data.train.who[:, 0]
    kept = order[held_out:].sort().values
    train = torch.nonzero(torch.isin(who, kept)).flatten()
    if augment is None or augment is True:
        augmentation: Augmentation | None = Augmentation(shift=max(1, data.input_shape[1] // 16))
    else:
        augmentation = augment or None
    mean, std = channel_statistics(data.train.images, train)
    settings = asdict(augmentation) if augmentation else None
    about = ("reidentification", data.fingerprint, validation_share, seed, limit, settings, triplet_weight, margin)
    return ReidentificationTask(
        data=data,
        identities=kept,
        train_indices=train,
        validation_indices=torch.nonzero(torch.isin(who, order[:held_out])).flatten(),
        mean=mean,
        std=std,
        augmentation=augmentation,
        triplet_weight=triplet_weight,
        margin=margin,
        seed=seed,
        fingerprint=f"{derived_seed(repr(about)):016x}",
    )


def _some(places: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(len(places), generator=generator)
    return places[order.repeat(-(-TAKEN // len(order)))[:TAKEN]]


def _generator(*parts: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(*parts))
