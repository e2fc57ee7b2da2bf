"""Scores of options: their temperature, how they move, what is drawn from them."""

import json

import numpy as np
import pytest
import torch

from nas.supernet.choices.scores import Scores, drawn, gumbel, likeliest, temperature
from tests.nas.supernet.choices.worlds import kinds_subnets


def test_temperature_is_the_published_log() -> None:
    """OSNet-AIN: max(1, 10 * 0.5^(epoch // 20)) over 120 epochs."""
    assert [temperature(epoch / 120) for epoch in range(120)] == [max(1, 10 * 0.5 ** (e // 20)) for e in range(120)]
    assert [temperature((phase + 0.5) / 6) for phase in range(6)] == [10, 5, 2.5, 1.25, 1, 1]


def test_hard_choices_with_gumbel_noise_follow_the_probabilities() -> None:
    scores = Scores([0.0, 1.0, -1.0])
    rng = np.random.default_rng(0)
    counts = np.bincount([int((scores.leaf() + gumbel(rng, 3)).argmax()) for _ in range(4000)], minlength=3)
    assert counts / 4000 == pytest.approx(scores.probabilities, abs=0.03)
    assert sum(scores.probabilities) == pytest.approx(1)


def test_scores_move_as_torch_moves_them() -> None:
    scores, leaf = Scores([0.3, -0.2]), torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([leaf], lr=0.02, betas=(0.9, 0.99), eps=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        gradient = rng.normal(size=2)
        leaf.grad = torch.from_numpy(gradient)
        adam.step()
        scores = Scores.from_json(json.loads(json.dumps(scores.to_json())))
        scores.move(gradient.tolist(), 0.02)
    assert scores.values == pytest.approx(leaf.tolist(), rel=1e-9)
    before = list(scores.values)
    scores.move([float("nan"), 0.0], 0.02)
    assert scores.values == before


def test_rows_are_drawn_by_probability() -> None:
    coded = kinds_subnets().coded
    assert coded is not None
    space = coded.compiled
    likely = {"layer0.kind": (0.0, 0.25, 0.75)}
    rng = np.random.default_rng(0)
    rows = drawn(space, space.sample(rng, 2000), likely, rng)
    first = [space.decode(row)["layer0.kind"] for row in rows]
    assert first.count("wide") / 2000 == pytest.approx(0.75, abs=0.04)
    assert "none" not in first
    assert {space.decode(row)["layer1.kind"] for row in rows} == {"none", "point", "wide"}
    best = space.decode(likeliest(space, coded.largest, {"layer1.kind": (0.4, 0.5, 0.1)}))
    assert best.values == {"layer0.kind": "wide", "layer1.kind": "point"}
