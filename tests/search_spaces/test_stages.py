"""The declarative form."""

import tomllib

import numpy as np
import pytest

import search_spaces as ss
from search_spaces import SpaceError, Stage, stagewise

TOML = """
[[stages]]
block = "mbconv"
width = [16, 24]
depth = [0, 1, 2]
stride = 2
kernel = [3, 5]
group_size = [1, 4]

[[stages]]
block = "bottleneck"
width = [64, 128]
depth = 2
stride = 2
group_size = [4, 8]
per_stage = ["group_size"]

[[stages]]
block = "large_kernel"
width = 96
kernel = [7, 9]
dilation = [1, 2]

[[stages]]
block = "multi_dilated"
width = 64
stride = 2
group_size = [4, 8]
"""


def test_stages_from_toml_build_valid_networks_with_their_choices() -> None:
    stages = [Stage.from_table(table) for table in tomllib.loads(TOML)["stages"]]
    space = stagewise((3, 32, 32), 10, stages=stages)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        architecture = space.sample(rng)
        network = space.build(architecture)
        assert network.nodes[network.outputs[0][1]].shape == (10,)
        seen |= set(architecture.values)
    assert {"stage0.depth", "stage0.block1.kernel", "stage1.group_size", "stage2.block0.dilation"} <= seen
    assert "stage1.block0.group_size" not in seen


def test_dilations_are_offered_where_the_outer_taps_meet_the_map() -> None:
    stage = Stage("mbconv", 16, 1, 1, {"kernel": (3, 7), "dilation": (1, 2)})
    offered = {}
    for trace in stagewise((3, 4, 4), 10, stages=[stage]).traces():
        choices = {choice.name: choice for choice in trace.choices}
        offered[choices["stage0.block0.kernel"].value] = choices["stage0.block0.dilation"].options
    assert offered == {3: (1, 2), 7: (1,)}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"block": "mbcnv", "width": 8}, "stage 0: unknown block 'mbcnv': did you mean 'mbconv'"),
        ({"block": "mbconv", "width": 8, "kernl": 3}, "'kernl': did you mean 'kernel'"),
        ({"width": 8}, "a stage needs block"),
        ({"block": "mbconv", "width": 8, "per_stage": ["kernel"]}, "per_stage entry 'kernel'"),
    ],
)
def test_mistakes_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(ss.NasError, match=message):
        stagewise((3, 8, 8), 10, stages=[Stage.from_table(table)])


def test_group_sizes_that_never_fit_leave_no_architecture() -> None:
    space = stagewise((3, 8, 8), 10, stages=[Stage("mbconv", 16, 1, 1, {"group_size": (7,)})])
    with pytest.raises(SpaceError, match=r"none of the group_size options \(7,\) fits"):
        space.sample(np.random.default_rng(0))
