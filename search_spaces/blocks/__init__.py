"""Block functions: each is written once, as operators."""

from search_spaces.blocks.aggregation import one_shot_aggregation
from search_spaces.blocks.attention import efficient_attention, squeeze_excite
from search_spaces.blocks.basic import classifier, conv_norm_act
from search_spaces.blocks.dilated import multi_dilated
from search_spaces.blocks.large_kernel import (
    dilated_reparam,
    inception_depthwise,
    inception_next,
    large_kernel,
    universal_large_kernel,
)
from search_spaces.blocks.mobile import mbconv
from search_spaces.blocks.omni_scale import lite_conv, omni_scale
from search_spaces.blocks.residual import basic_residual, bottleneck

__all__ = [
    "basic_residual",
    "bottleneck",
    "classifier",
    "conv_norm_act",
    "dilated_reparam",
    "efficient_attention",
    "inception_depthwise",
    "inception_next",
    "large_kernel",
    "lite_conv",
    "mbconv",
    "multi_dilated",
    "omni_scale",
    "one_shot_aggregation",
    "squeeze_excite",
    "universal_large_kernel",
]
