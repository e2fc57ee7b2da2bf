"""Zero-cost scores against closed forms, published relations and the plain way of computing them."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.supernet.zero_cost import (
    SCORES,
    Score,
    gradient_norm,
    jacobian_covariance,
    naswot,
    synflow,
    zero_cost_scores,
)
from predictors.counts import count_network
from predictors.entropy import network_entropy
from search_spaces.catalog import mobile, nas_bench_macro
from search_spaces.catalog.nas_bench_macro import from_code

K = 1e-5


def images(count: int, *shape: int) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


def batch(count: int = 6, channels: int = 3) -> tuple[Tensor, Tensor]:
    return images(count, channels, 8, 8), torch.arange(count) % 4


class WithEverything(nn.Module):
    """Convolutions, a batch norm with statistics of its own, dropout, and a rectifier that works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(6, 5, 3), nn.SiLU()
        )
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.body(x).mean((2, 3))))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_repeats_and_leaves_the_module_alone(name: str) -> None:
    module = WithEverything().train()
    module.body[1].eval()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    score: Score = SCORES[name]
    assert score(module, batch()) == score(module, batch())
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert [part.training for part in module.body] == [True, False, True, True, True, True]


def test_synflow_is_conserved_from_layer_to_layer() -> None:
    """Without biases every layer carries the whole flow (Tanaka et al., theorem 1): their sum is layers times flow."""
    layers = [nn.Linear(5, 7, bias=False), nn.Linear(7, 4, bias=False), nn.Linear(4, 3, bias=False)]
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    flow = torch.ones(5, dtype=torch.float64)
    for layer in layers:
        flow = layer.weight.detach().double().abs() @ flow
    assert synflow(module, (images(2, 5), torch.zeros(2))) == pytest.approx(3 * float(flow.sum()), rel=1e-12)


def test_synflow_leaves_norms_out() -> None:
    module = WithEverything()
    without = nn.Sequential(*(module.body[i] for i in (0, 2, 4, 5)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), module.head)
    expected = synflow(without, batch())
    with torch.no_grad():
        module.body[1].weight.zero_()
    assert synflow(module, batch()) == pytest.approx(expected, rel=1e-12)


def test_alike_and_unlike_jacobians_give_both_ends_of_the_covariance_score() -> None:
    count = 5
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    alike = -(math.log(count + K) + 1 / (count + K)) - (count - 1) * (math.log(K) + 1 / K)
    assert jacobian_covariance(linear, (images(count, 12), torch.zeros(count))) == pytest.approx(alike, rel=1e-9)

    class Own(nn.Module):
        """Image i reaches the output through one pixel of its own."""

        def forward(self, x: Tensor) -> Tensor:
            return (x * torch.eye(count, 400)).sum(1, keepdim=True)

    assert jacobian_covariance(Own(), (images(count, 400), torch.zeros(count))) == pytest.approx(
        -count * (math.log(1 + K) + 1 / (1 + K)), rel=1e-4
    )


def test_jacobian_covariance_equals_the_plain_way() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 30), nn.Tanh(), nn.Linear(30, 4))
    given = batch()
    rows = []
    for image in given[0]:
        x = image[None].clone().requires_grad_()
        rows.append(torch.autograd.grad(module(x).sum(), x)[0].flatten().numpy())
    values = np.linalg.eigvalsh(np.corrcoef(np.array(rows, dtype=np.float64)))
    expected = -sum(math.log(v + K) + 1 / (v + K) for v in values)
    assert jacobian_covariance(module, given) == pytest.approx(expected, rel=1e-6)


def test_naswot_counts_what_two_images_switch_alike() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 40), nn.ReLU(), nn.Linear(40, 25), nn.GELU())
    given = batch(5)[0]
    first = module[1](given.flatten(1)).detach().numpy()
    second = module[3](functional.relu(module[1](given.flatten(1)))).detach().numpy()
    codes = [np.concatenate([a > 0, b > 0]) for a, b in zip(first, second, strict=True)]
    kernel = np.array([[sum(p == q for p, q in zip(a, b, strict=True)) for b in codes] for a in codes], dtype=float)
    expected = math.log(np.linalg.det(kernel))
    assert naswot(module, (given, torch.zeros(5))) == pytest.approx(expected, rel=1e-9)


def test_naswot_is_not_known_for_an_image_given_twice_or_without_rectifiers() -> None:
    twice = images(1, 3, 8, 8).repeat(2, 1, 1, 1)
    assert naswot(WithEverything(), (twice, torch.zeros(2))) is None
    assert naswot(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), batch()) is None


def test_gradient_norm_of_a_softmax_regression_at_zero() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    nn.init.zeros_(module[1].weight)
    nn.init.zeros_(module[1].bias)
    x, target = batch()
    slope = (0.25 - functional.one_hot(target, 4).float()).T @ x.flatten(1) / len(x)
    assert gradient_norm(module, (x, target)) == pytest.approx(float(slope.norm()), rel=1e-6)


def test_all_scores_of_networks() -> None:
    space = nas_bench_macro((3, 8, 8), 4)
    small, large = (space.build(from_code(code)) for code in ("00000000", "11111111"))
    found = [zero_cost_scores(network, batch(8)) for network in (small, large)]
    assert found[0] == zero_cost_scores(small, batch(8))
    for network, scores in zip((small, large), found, strict=True):
        total = count_network(network).total
        assert (scores["macs"], scores["params"]) == (total["macs"], total["params"])
        assert scores["entropy"] == network_entropy(network).entropy
        assert scores.keys() == {"macs", "params", "entropy", *SCORES}
        assert all(score is not None and math.isfinite(score) for score in scores.values())
    assert (found[1]["naswot"] or 0) > (found[0]["naswot"] or 0)


def test_branches_whose_norm_begins_at_zero_are_seen() -> None:
    space = mobile((3, 8, 8), 4, widths=((8,),), depths=((2,),), strides=(1,), resolutions=(8,), stem_width=8)

    def scores(kernel: int) -> dict[str, float | None]:
        return zero_cost_scores(space.build(space.repair({"stage0.block1.kernel": kernel})), batch(8))

    small, large = scores(3), scores(7)
    assert all(small[name] != large[name] for name in SCORES)
