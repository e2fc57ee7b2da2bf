"""Search spaces: what can be built. Pure Python, no deep-learning library."""

from search_spaces.builder import NetworkBuilder, OpenScope, Pick, Tensor, block
from search_spaces.errors import InvalidArchitecture, NasError, ShapeError, SpaceError
from search_spaces.network import Network, Node, Scope
from search_spaces.operators import Counts, divisors
from search_spaces.space import Architecture, Choice, SearchSpace

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
    "Tensor",
    "block",
    "divisors",
]
