"""Block functions: each is written once, as operators."""

from search_spaces.blocks.basic import classifier, conv_norm_act
from search_spaces.blocks.dilated import multi_dilated
from search_spaces.blocks.large_kernel import large_kernel
from search_spaces.blocks.mobile import mbconv, squeeze_excite
from search_spaces.blocks.residual import basic_residual, bottleneck

__all__ = [
    "basic_residual",
    "bottleneck",
    "classifier",
    "conv_norm_act",
    "large_kernel",
    "mbconv",
    "multi_dilated",
    "squeeze_excite",
]
