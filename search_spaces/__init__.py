"""Search spaces: what can be built. Pure Python, no deep-learning library."""

from search_spaces.blocks import (
    basic_residual,
    bottleneck,
    classifier,
    conv_norm_act,
    dilated_reparam,
    efficient_attention,
    inception_depthwise,
    inception_next,
    large_kernel,
    lite_conv,
    mbconv,
    multi_dilated,
    omni_scale,
    one_shot_aggregation,
    squeeze_excite,
    universal_large_kernel,
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
    "dilated_reparam",
    "divisors",
    "efficient_attention",
    "erk_densities",
    "inception_depthwise",
    "inception_next",
    "large_kernel",
    "lite_conv",
    "mbconv",
    "multi_dilated",
    "omni_scale",
    "one_shot_aggregation",
    "squeeze_excite",
    "stagewise",
    "universal_large_kernel",
    "with_erk",
]
