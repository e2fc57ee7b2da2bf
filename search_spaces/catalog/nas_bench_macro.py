"""The NAS-Bench-Macro space: eight layers, three operators each (Su et al. 2021)."""

from search_spaces.blocks import classifier, conv_norm_act, mbconv
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.space import Architecture, SearchSpace

STAGES = ((64, 2), (128, 3), (256, 3))
LAYERS = sum(depth for _, depth in STAGES)


def nas_bench_macro(input_shape: tuple[int, ...], classes: int) -> SearchSpace:
    """3^8 picks: per layer identity, MBConv k3 e3 or MBConv k5 e6; 3,969 distinct networks.

    Stages of 2, 3 and 3 layers, the first of each with stride 2, where identity is a 1x1 convolution.
    """
    channels, *spatial = input_shape

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(channels, *spatial)
        x = conv_norm_act(net, x, 32, act="relu6", name="stem")
        layer = 0
        for width, depth in STAGES:
            for j in range(depth):
                operator = pick(f"layer{layer}.operator", ("identity", "mb3_3", "mb5_6"))
                stride = 2 if j == 0 else 1
                name = f"layer{layer}"
                if operator == "mb3_3":
                    x = mbconv(net, x, width, kernel=3, expand=3, stride=stride, act="relu6", name=name)
                elif operator == "mb5_6":
                    x = mbconv(net, x, width, kernel=5, expand=6, stride=stride, act="relu6", name=name)
                elif j == 0:
                    x = conv_norm_act(net, x, width, kernel=1, stride=stride, act="relu6", name=name)
                layer += 1
        x = conv_norm_act(net, x, 1280, kernel=1, act="relu6", name="head")
        return classifier(net, x, classes)

    return SearchSpace(space, name="nas_bench_macro")


def from_code(code: str) -> Architecture:
    """Architecture of a table code such as "01201201" (0 identity, 1 MBConv k3 e3, 2 MBConv k5 e6)."""
    operators = ("identity", "mb3_3", "mb5_6")
    return Architecture(tuple((f"layer{i}.operator", operators[int(digit)]) for i, digit in enumerate(code)))
