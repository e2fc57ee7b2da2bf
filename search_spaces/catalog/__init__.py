"""Ready-made spaces: builders that take the task's input shape and number of classes."""

from collections.abc import Callable

from search_spaces.catalog.bignas import bignas
from search_spaces.catalog.convnext import convnext, inceptionnext
from search_spaces.catalog.deepmad import deepmad
from search_spaces.catalog.downsampling import downsampling
from search_spaces.catalog.efficientnet import efficientnet
from search_spaces.catalog.mobile import mobile
from search_spaces.catalog.mobilenet import mobilenet_v1, mobilenet_v2
from search_spaces.catalog.nas_bench_macro import nas_bench_macro
from search_spaces.catalog.osnet import osnet, osnet_ain
from search_spaces.catalog.resnet import resnet, resnext_groups
from search_spaces.catalog.reversible_unet import reversible_unet
from search_spaces.catalog.segmentation import macmd, unet
from search_spaces.catalog.unireplknet import unireplknet
from search_spaces.catalog.vovnet import vovnet
from search_spaces.space import SearchSpace

CATALOG: dict[str, Callable[..., SearchSpace]] = {
    "bignas": bignas,
    "convnext": convnext,
    "deepmad": deepmad,
    "downsampling": downsampling,
    "efficientnet": efficientnet,
    "inceptionnext": inceptionnext,
    "macmd": macmd,
    "mobile": mobile,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "nas_bench_macro": nas_bench_macro,
    "osnet": osnet,
    "osnet_ain": osnet_ain,
    "resnet": resnet,
    "resnext_groups": resnext_groups,
    "reversible_unet": reversible_unet,
    "unet": unet,
    "unireplknet": unireplknet,
    "vovnet": vovnet,
}

__all__ = [
    "CATALOG",
    "bignas",
    "convnext",
    "deepmad",
    "downsampling",
    "efficientnet",
    "inceptionnext",
    "macmd",
    "mobile",
    "mobilenet_v1",
    "mobilenet_v2",
    "nas_bench_macro",
    "osnet",
    "osnet_ain",
    "resnet",
    "resnext_groups",
    "reversible_unet",
    "unet",
    "unireplknet",
    "vovnet",
]
