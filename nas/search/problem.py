"""What a search is about: a space, its costs, what is wanted, and how an architecture is evaluated."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from nas.search.domain import CodedSpace, Domain, Floats, Prover, Rows, Score
from nas.search.proposers import DEFAULT
from nas.search.record import Identity
from nas.search.study import RESERVED, Header, Proposal
from nas.search.workers import Evaluator
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import Architecture

PROBES = 4


class Buildable(Protocol):
    """A space that builds the network of an architecture, as `SearchSpace` does."""

    def build(self, architecture: Architecture) -> Network:
        """The network."""


@dataclass(frozen=True)
class Settings:
    """How to search.

    evaluations: architectures the proposer may have evaluated. random_evaluations: budget of the baseline, `None`
    for the same; none when the proposer itself is "random". lag: trial n is proposed from the results of trials
    before n - lag; at most lag + 1 evaluations run at once. workers: processes; 0 or 1 needs no Ray. name: of the
    study. storage: "sqlite", "journal" or the URL of a PostgreSQL database. address: of a running Ray cluster, "auto"
    for the one on this machine, `None` for one of the search's own. timeout_seconds: the most an evaluation may take.
    early_stop: evaluations that a few validation batches show to be dominated are not finished.
    """

    evaluations: int = 200
    random_evaluations: int | None = None
    proposer: str = DEFAULT
    seed: int = 0
    lag: int = 8
    workers: int = 2
    name: str = "search"
    storage: str = "sqlite"
    address: str | None = None
    early_stop: bool = False
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class Problem:
    """What to search.

    space: builds networks. coded: the same space as rows of option indices. objectives: figure names, all minimised.
    limits: figure name to the most it may be. score: rows to the figures named in `known`, without building.
    figures: the same figures and any others, counted or predicted on a built network; these are what is recorded.
    evaluator: gives every other figure. identity: what makes two networks the same: "id" where weights are shared,
    "fingerprint" where each stands alone. provenance: figure name to how it is known. starts: [n, n_slots] what is
    tried before the proposer is asked, where it keeps the known limits. prover: proves limits impossible.
    """

    space: Buildable
    coded: CodedSpace
    objectives: tuple[str, ...]
    score: Score
    known: tuple[str, ...]
    figures: Callable[[Network], Mapping[str, float | None]]
    evaluator: Evaluator
    limits: Mapping[str, float] = field(default_factory=dict)
    identity: Identity = "id"
    provenance: Mapping[str, str] = field(default_factory=dict)
    starts: Rows | None = None
    prover: Prover | None = None

    @cached_property
    def domain(self) -> Domain:
        """The problem as proposers see it."""
        return Domain(self.coded, self.objectives, self.score, self.known, dict(self.limits), self.prover)

    def inspect(self, row: Rows, *, number: int, proposer: str, root: int) -> Proposal:
        """Build what `row` [n_slots] describes, count it, and give its evaluation a seed.

        The seed follows from the root seed and the network, so that who proposed it, and when, changes nothing.
        """
        architecture = self.coded.decode(row)
        network = self.space.build(architecture)
        figures = {name: float(value) for name, value in self.figures(network).items() if value is not None}
        for name in figures.keys() & RESERVED:
            raise NasError(f"a figure cannot be called {name!r}: the study uses that name; rename it")
        identity = network.id if self.identity == "id" else network.fingerprint
        digest = hashlib.blake2b(f"{root}/{identity}".encode(), digest_size=4).digest()
        return Proposal(
            number=number,
            proposer=proposer,
            row=tuple(map(int, row)),
            architecture=architecture,
            id=network.id,
            fingerprint=network.fingerprint,
            figures=figures,
            seed=int.from_bytes(digest) >> 1,
        )

    def identity_of(self, proposal: Proposal) -> str:
        """What tells the networks of proposals apart."""
        return proposal.id if self.identity == "id" else proposal.fingerprint

    def header(self, settings: Settings) -> Header:
        """The header of the study; its probes show later whether the space still builds the same networks."""
        rows = self.coded.sample(np.random.default_rng(0), PROBES)
        architectures = [self.coded.decode(row) for row in rows]
        return Header(
            objectives=self.objectives,
            limits=dict(self.limits),
            slots=tuple((slot.name, tuple(slot.options)) for slot in self.coded.slots),
            proposer=settings.proposer,
            seed=settings.seed,
            lag=settings.lag,
            identity=self.identity,
            probes={arch.to_json(): self.space.build(arch).id for arch in architectures},
        )

    def told(self, values: Mapping[str, float]) -> Floats:
        """[n_objectives] the objectives among `values`."""
        return np.array([values[name] for name in self.objectives])

    def excess(self, values: Mapping[str, float]) -> Floats:
        """[n_limits] figure minus limit."""
        return np.array([values[name] - limit for name, limit in self.limits.items()])
