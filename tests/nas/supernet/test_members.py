"""Several sets of weights: who is served by which, and that a mixture of them ranks better than one set."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor as Values

import search_spaces as ss
from nas.modules import execute
from nas.search.evaluators import supernet_evaluator
from nas.supernet.calibrate import calibrate, error_of, with_statistics
from nas.supernet.members import Assignment, balanced, group_of
from nas.supernet.rules.mixture import Mixture
from nas.supernet.train import TrainSettings, load_trained
from nas.supernet.weights import Supernet
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.space import Architecture
from tests.nas.supernet.worlds import Bars, coded_subnets, coded_trainer


def positions(net: NetworkBuilder, pick: Pick) -> Tensor:
    """Five layers, of which one shrinks the map; width varies too."""
    x = net.input(1, pick("resolution", (6, 8)), 8)
    at = pick("at", (0, 1, 2, 3, 4))
    for i in range(5):
        x = ss.conv_norm_act(net, x, pick("width", (4, 8)), stride=2 if i == at else 1, name=f"layer{i}")
    return ss.classifier(net, x, 3)


SPACE = ss.SearchSpace(positions)


def network_at(at: int, *, width: int = 4, resolution: int = 8) -> ss.Network:
    return SPACE.build(Architecture.of({"resolution": resolution, "at": at, "width": width}))


def test_groups_are_told_apart_by_where_the_map_shrinks() -> None:
    assert group_of(network_at(2)) == "layer2.conv"
    assert group_of(network_at(2)) == group_of(network_at(2, width=8, resolution=6))
    assert len({group_of(network_at(at)) for at in range(5)}) == 5


def test_balanced_probabilities_use_all_members_equally() -> None:
    rng = np.random.default_rng(0)
    preferences = np.exp(20 * rng.random((36, 4)))
    found = balanced(preferences)
    assert found.sum(axis=1) == pytest.approx(np.ones(36))
    assert found.mean(axis=0) == pytest.approx(np.full(4, 0.25), abs=0.01)
    one_better = np.exp(20 * np.array([[0.9, 0.1], [0.9, 0.5]]))
    assert balanced(one_better).argmax(axis=1).tolist() == [0, 1]


def test_assignment_learns_remembers_and_guesses_by_likeness() -> None:
    known = Assignment(2, temperature=50.0)
    assert known.member_of(network_at(0)) == 0
    for at, member in ((0, 0), (1, 0), (3, 1), (4, 1)):
        for _ in range(20):
            known.record(group_of(network_at(at)), member, 0.9)
            known.record(group_of(network_at(at)), 1 - member, 0.5)
    again = Assignment.from_json(json.loads(json.dumps(known.to_json())))
    for at, member in ((0, 0), (1, 0), (3, 1), (4, 1)):
        assert again.member_of(network_at(at)) == member
        assert again.probabilities(group_of(network_at(at)))[member] > 0.9
    again.accuracies["a|b"], again.accuracies["layer2.conv|b"] = [0.9, 0.1], [0.1, 0.9]
    assert again.member_of(network_at(2)) == 1


def test_networks_use_the_weights_of_their_member() -> None:
    networks = [network_at(at) for at in range(5)]
    shared = Supernet.of_networks(networks)
    several = Supernet(shared.shapes, members=2)
    assert len(several.tensors) == 2 * len(shared.tensors)
    assert all(torch.equal(several.tensors[name], tensor) for name, tensor in shared.tensors.items())
    several.assignment = Assignment(2, {"layer0.conv": [0.9, 0.1], "layer1.conv": [0.1, 0.9]}, 10.0)
    own = several.weights_for(networks[1])["layer0.conv"]["weight"]
    assert torch.equal(own, several.tensors["1/layer0.conv.weight"][:4])
    assert not torch.equal(own, several.weights_for(networks[1], member=0)["layer0.conv"]["weight"])


def test_a_trained_mixture_is_evaluated_and_loaded_by_its_members(tmp_path: Path) -> None:
    settings = TrainSettings(rule="mixture")
    learner = coded_trainer(tmp_path, settings)
    learner.run(advance=lambda steps, note: None)
    assert isinstance(learner.rule, Mixture)
    fresh = Supernet(learner.supernet.shapes, seed=5, members=3)
    assert load_trained(fresh, tmp_path)
    assert fresh.assignment == learner.rule.assignment
    coded, task = coded_subnets().coded, Bars()
    assert coded is not None
    evaluator = supernet_evaluator(fresh, coded.compiled.space, task, calibration=(1, 32))
    for row in coded.compiled.sample(np.random.default_rng(0), 3):
        network = coded.subnet(row).network
        weights = fresh.weights_for(network, member=fresh.assignment.member_of(network))
        ready = with_statistics(weights, calibrate(network, weights, task.calibration_batches(1, 32)))
        error = error_of(network, ready, task, task.validation_batches(256))
        assert evaluator.evaluate(coded.compiled.decode(row), 0) == {"error": error}
        found: dict[str, Values] = execute(network, ready, torch.zeros(2, *network.input.shape))
        assert found["output"].shape == (2, 3)


@pytest.mark.parametrize(("members", "tau"), [(1, 0.143), (2, 0.311), (4, 0.597), (8, 0.530)])
def test_published_mixtures_rank_as_published(members: int, tau: float, data_folder: Path) -> None:
    from scipy.stats import kendalltau

    rows = list(csv.DictReader((data_folder / "pooling36.csv").read_text().splitlines()))
    truth = [float(row["baseline_avg"]) for row in rows]
    estimate = [float(row[f"M{members}_avg"]) for row in rows]
    assert len(rows) == 36
    assert float(kendalltau(truth, estimate).statistic) == pytest.approx(tau, abs=1e-3)
