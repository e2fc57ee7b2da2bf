"""How shared weights are trained: one small file per training rule."""

from collections.abc import Callable, Mapping

import numpy as np

from nas.supernet.choices.alternatives import groups_of
from nas.supernet.choices.scores import Scores
from nas.supernet.members import Assignment, group_of
from nas.supernet.rules.base import Moment, Rule
from nas.supernet.rules.delayed import Delayed
from nas.supernet.rules.gumbel import Gumbel, relaxed
from nas.supernet.rules.mixture import Mixture
from nas.supernet.rules.progressive import Progressive
from nas.supernet.rules.sandwich import Sandwich
from nas.supernet.rules.single_path import SinglePath
from nas.supernet.sampling import coded_of, make_sampler
from nas.supernet.sampling.base import Sampler
from nas.supernet.settings import TrainSettings
from nas.supernet.subnets import Subnets
from nas.supernet.weights import Supernet
from search_spaces.errors import NasError, unknown_name

DRAWN = 64
__all__ = ["RULES", "Moment", "Rule", "make_rule"]


def _single_path(settings: TrainSettings, subnets: Subnets, sampler: Sampler, supernet: Supernet) -> Rule:
    return SinglePath(sampler, settings.seed)


def _drawn(settings: TrainSettings, usual: int) -> int:
    return usual if settings.random_subnets is None else settings.random_subnets


def _sandwich(settings: TrainSettings, subnets: Subnets, sampler: Sampler, supernet: Supernet) -> Sandwich:
    return Sandwich(subnets, sampler, _drawn(settings, 1), settings.seed, settings.teacher_every)


def _delayed(settings: TrainSettings, subnets: Subnets, sampler: Sampler, supernet: Supernet) -> Rule:
    sandwich = Sandwich(subnets, sampler, _drawn(settings, 2), settings.seed, teacher_every=1)
    share = Delayed.full_share if settings.full_share is None else settings.full_share
    return Delayed(sandwich, share, settings.ramp_share)


def _progressive(settings: TrainSettings, subnets: Subnets, sampler: Sampler, supernet: Supernet) -> Rule:
    return Progressive(
        subnets,
        coded_of(subnets),
        sampler,
        order=settings.shrink_order,
        full_share=Progressive.full_share if settings.full_share is None else settings.full_share,
        random_subnets=_drawn(settings, 2),
        seed=settings.seed,
    )


def _mixture(settings: TrainSettings, subnets: Subnets, sampler: Sampler, supernet: Supernet) -> Rule:
    if supernet.members < 2:
        raise NasError("the mixture rule needs a supernet with several sets of weights: make it with members >= 2")
    rng = np.random.default_rng(0)
    group = group_of(subnets.largest)
    if all(group_of(subnets.draw(rng)) == group for _ in range(DRAWN)):
        raise NasError(
            "every architecture of the space shrinks its maps at the same places, so the mixture rule has nothing to "
            "tell apart: take another supernet.rule"
        )
    if supernet.assignment is None:
        supernet.assignment = Assignment(supernet.members)
    return Mixture(sampler, supernet.assignment, settings.seed)


def _gumbel(settings: TrainSettings, subnets: Subnets, sampler: Sampler, supernet: Supernet) -> Rule:
    coded = coded_of(subnets)
    found = relaxed(coded, settings.relaxed)
    return Gumbel(
        subnets,
        coded,
        sampler,
        groups_of(found),
        {choice.name: Scores([0.0] * len(choice.branches)) for choice in found},
        random_subnets=_drawn(settings, 2),
        sparsity=settings.choice_sparsity,
        seed=settings.seed,
    )


RULES: Mapping[str, Callable[[TrainSettings, Subnets, Sampler, Supernet], Rule]] = {
    "sandwich": _sandwich,
    "single_path": _single_path,
    "progressive": _progressive,
    "delayed": _delayed,
    "mixture": _mixture,
    "gumbel": _gumbel,
}
"""By the name in a recipe."""


def make_rule(settings: TrainSettings, subnets: Subnets, supernet: Supernet) -> Rule:
    """The training rule of `settings`; `NasError` for one that is not known or lacks what it needs."""
    if settings.rule not in RULES:
        raise unknown_name("training rule", settings.rule, RULES)
    sampler = make_sampler(settings.sampling, subnets, bins=settings.cost_bins)
    return RULES[settings.rule](settings, subnets, sampler, supernet)
