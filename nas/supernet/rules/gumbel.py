"""Differentiable choice: options of a choice mixed by Gumbel-softmax (OSNet-AIN, Zhou et al. 2021), weights shared."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nas.supernet.choices.alternatives import Alternatives, alternatives
from nas.supernet.choices.mix import Mix
from nas.supernet.choices.scores import RATE, Probabilities, Scores, drawn, gumbel, temperature
from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules.base import Moment, State
from nas.supernet.sampling.base import Sampler, told
from nas.supernet.subnets import Coded, Subnet, Subnets
from search_spaces.errors import NasError

LOGGER = logging.getLogger("nas.supernet")
LEARNT = "choices"


def relaxed(coded: Coded, words: Sequence[str]) -> tuple[Alternatives, ...]:
    """The choices to be learnt: those whose names end in one of `words`, or without any, whose options are no numbers.

    Raises `NasError` where there is none, and where one cannot be learnt.
    """
    picked = coded.compiled.decode(coded.largest).values
    slots = []
    for place, slot in enumerate(coded.compiled.slots):
        wanted = slot.name.rpartition(".")[2] in words
        if not words:
            wanted = any(isinstance(option, (str, bool)) for option in slot.options)
        if wanted and len(slot.options) > 1 and slot.name in picked:
            slots.append(place)
    if not slots:
        known = sorted({slot.name.rpartition(".")[2] for slot in coded.compiled.slots})
        raise NasError(
            f"the gumbel rule has nothing to choose: no choice of the space "
            f"{'is called ' + ' or '.join(words) if words else 'has options that are names'}; set supernet.relaxed to "
            f"last words of choices, of {', '.join(known)}"
        )
    return tuple(alternatives(coded, slot) for slot in slots)


@dataclass(frozen=True)
class Gumbel:
    """Each step trains the largest network, with all options of some choices mixed, on the labels.

    The options' shares are softmax((scores + Gumbel noise) / temperature); weights and scores learn from the same
    loss. Choices that are about one part of the network take turns, a group of those that are not in each step. Random
    networks, whose learnt choices are drawn by their probabilities, learn from the mix: single networks are what a
    search will ask for. sparsity: share of zeros in the weights of the mix, so that options are judged as they do when
    they are sparse; after DASS, which learns its masks and holds out data for the scores, as this does not.
    """

    subnets: Subnets
    coded: Coded
    sampler: Sampler
    groups: tuple[tuple[Alternatives, ...], ...]
    scores: dict[str, Scores]
    random_subnets: int = 2
    sparsity: float = 0.0
    seed: int = 0

    @property
    def listens(self) -> bool:
        """Yes: gradients of the scores come with outcomes."""
        return True

    @property
    def likely(self) -> Probabilities:
        """Of the options of each learnt choice."""
        return {name: scores.probabilities for name, scores in self.scores.items()}

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The mix on the labels; drawn networks on its answers."""
        rng = moment.rng(self.seed)
        group = self.groups[moment.step % len(self.groups)]
        heat = temperature(moment.share)
        leaves = tuple(self.scores[choice.name].leaf() for choice in group)
        shares = tuple(torch.softmax((leaf + gumbel(rng, len(leaf))) / heat, 0).float() for leaf in leaves)
        base = Subnet(self.subnets.largest)
        mix = Mix(base.network, group, shares, self.sparsity, leaves)
        students = [self._student(rng) for _ in range(self.random_subnets)]
        return (Lesson(base, labels=1.0, mix=mix), *(Lesson(each, soft=1.0) for each in students))

    def _student(self, rng: np.random.Generator) -> Subnet:
        row = self.sampler.draw(rng).row
        if row is None:
            row = self.coded.compiled.sample(rng, 1)[0]
        return self.coded.subnet(drawn(self.coded.compiled, row[None], self.likely, rng)[0])

    def shrinks_at(self, steps: int) -> int | None:
        """Widths vary from the start."""
        return None

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Move the scores of the choices that were mixed, and tell the sampler how the drawn networks did."""
        mix = outcomes[0].lesson.mix
        rate = RATE * 0.5 * (1 + math.cos(math.pi * moment.share))
        for choice, leaf in zip(mix.choices, mix.leaves, strict=True) if mix is not None else ():
            if leaf.grad is not None:
                self.scores[choice.name].move(leaf.grad.tolist(), rate)
        told(self.sampler, outcomes[1:], baseline=outcomes[0].loss)
        if moment.step == 0 or temperature(moment.share) != temperature((moment.step - 1) / moment.steps):
            LOGGER.info("choices: temperature %g, %s", temperature(moment.share), _text(self.likely))

    def state(self) -> State:
        """The sampler's, and the scores."""
        return {"sampler": self.sampler.state(), LEARNT: {name: each.to_json() for name, each in self.scores.items()}}

    def restore(self, state: State) -> None:
        """Take over both."""
        self.sampler.restore(state["sampler"])
        for name, data in state[LEARNT].items():
            self.scores[name] = Scores.from_json(data)


def learnt(state: State) -> Probabilities:
    """The probabilities in the state of any rule; none where it learnt no choices."""
    return {name: Scores.from_json(data).probabilities for name, data in state.get(LEARNT, {}).items()}


def _text(likely: Probabilities) -> str:
    return ", ".join(f"{name} {'/'.join(f'{share:.2f}' for share in shares)}" for name, shares in likely.items())
