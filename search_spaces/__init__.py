"""Search spaces: what can be built. Pure Python, no deep-learning library."""

from search_spaces.blocks import (
    basic_residual,
    bottleneck,
    classifier,
    conv_norm_act,
    large_kernel,
    mbconv,
    multi_dilated,
    squeeze_excite,
)
from search_spaces.builder import NetworkBuilder, OpenScope, Pick, Tensor, Value, block
from search_spaces.erk import erk_densities, with_erk
from search_spaces.errors import InvalidArchitecture, NasError, ShapeError, SpaceError
from search_spaces.network import Network, Node, Scope
from search_spaces.operators import Counts, divisors
from search_spaces.space import Architecture, Choice, SearchSpace
from search_spaces.stages import Stage, stagewise

__all__ = [
    "Architecture",
    "Choice",
    "Counts",
    "InvalidArchitecture",
    "NasError",
    "Network",
    "NetworkBuilder",
    "Node",
    "OpenScope",
    "Pick",
    "Scope",
    "SearchSpace",
    "ShapeError",
    "SpaceError",
    "Stage",
    "Tensor",
    "Value",
    "basic_residual",
    "block",
    "bottleneck",
    "classifier",
    "conv_norm_act",
    "divisors",
    "erk_densities",
    "large_kernel",
    "mbconv",
    "multi_dilated",
    "squeeze_excite",
    "stagewise",
    "with_erk",
]
