"""Ready-made spaces: builders that take the task's input shape and number of classes."""

from collections.abc import Callable

from search_spaces.catalog.bignas import bignas
from search_spaces.catalog.deepmad import deepmad
from search_spaces.catalog.downsampling import downsampling
from search_spaces.catalog.mobile import mobile
from search_spaces.catalog.mobilenet import mobilenet_v1, mobilenet_v2
from search_spaces.catalog.nas_bench_macro import nas_bench_macro
from search_spaces.catalog.resnet import resnet, resnext_groups
from search_spaces.space import SearchSpace

CATALOG: dict[str, Callable[..., SearchSpace]] = {
    "bignas": bignas,
    "deepmad": deepmad,
    "downsampling": downsampling,
    "mobile": mobile,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "nas_bench_macro": nas_bench_macro,
    "resnet": resnet,
    "resnext_groups": resnext_groups,
}

__all__ = [
    "CATALOG",
    "bignas",
    "deepmad",
    "downsampling",
    "mobile",
    "mobilenet_v1",
    "mobilenet_v2",
    "nas_bench_macro",
    "resnet",
    "resnext_groups",
]
