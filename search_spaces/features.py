"""The maps of a classification network, as a decoder takes them."""

from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace


def features(net: NetworkBuilder, space: SearchSpace, pick: Pick, *, name: str = "encoder") -> list[Tensor]:
    """Build a network of `space` in the scope `name`, without its head; its last map of each resolution.

    The largest map first; a resolution counts from the first that is smaller than the input, while every axis has
    more than one position. Raises `SpaceError` for a space that has no such maps.
    """
    with net.scope(name):
        before = net.built
        space.function(net, pick)
        found: dict[tuple[int, ...], Tensor] = {}
        tensors = net.tensors(before)
        whole = tensors[0].spatial
        for tensor in tensors:
            smaller = len(tensor.spatial) == len(whole) and min(tensor.spatial, default=1) > 1
            if smaller and tensor.spatial != whole:
                found[tensor.spatial] = tensor
        if not found:
            raise SpaceError(f"space {space.name!r} has no maps smaller than its input to build on")
        net.discard(max(tensor.index for tensor in found.values()) + 1)
    return sorted(found.values(), key=lambda tensor: tensor.index)
