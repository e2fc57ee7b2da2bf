"""Architectures and networks in a line and in a table."""

import numpy as np

from predictors.counts import count_network
from search_spaces import Architecture
from search_spaces.catalog import mobile
from search_spaces.opaque import Opaque
from search_spaces.operators import Counts


def test_an_architecture_shows_its_picks() -> None:
    few = Architecture.of({"width": 16, "act": "<relu>", "gate": True})
    assert repr(few) == "Architecture(width=16, act='<relu>', gate=True)"
    html = few._repr_html_()
    assert "<td>act</td><td>&#x27;&lt;relu&gt;&#x27;</td>" in html
    many = Architecture.of({f"stage{i}": i for i in range(40)})
    assert repr(many).endswith("stage11=11, … 28 more)")
    assert many._repr_html_().count("<tr>") == 41


def test_a_network_shows_what_it_counts(rng: np.random.Generator) -> None:
    space = mobile((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    counts = count_network(network)
    shape = "×".join(map(str, network.input.shape))
    summary = f"input {shape}, {len(counts.operators)} operators, {counts.total['params']:,} parameters"
    assert repr(network) == f"Network({network.id}, {summary}, {counts.total['macs']:,} MACs)"
    html = network._repr_html_()
    assert html.count("<tr>") == 1 + len(counts.operators)
    assert counts.operators[1].name in html


def test_an_opaque_operator_shows_all_faces_and_counts_what_was_recorded() -> None:
    op = Opaque("matmul", (4, 2), macs=8, params=3, nonzero_params=2, weight_bytes=12, activations=8, moved_elements=9)
    assert op.infer(((1, 1, 1),)) == (4, 2)
    assert op.counts(()) == Counts(8, 8, 3, 2, 12, 8, 9)
    assert op.layout("x", (), (4, 2)) == (("x", 4),)
    assert (op.weights(()), op.saves(), Opaque("view", (1,), is_view=True).saves()) == ({}, ("in",), ())
