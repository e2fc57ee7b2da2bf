"""Search spaces by definition at run time: a function picks values and builds a network from them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.builder import NetworkBuilder, Pick, Tensor, Value
from search_spaces.display import architecture_html, architecture_text
from search_spaces.errors import InvalidArchitecture, SpaceError
from search_spaces.merging import merged
from search_spaces.network import Network

if TYPE_CHECKING:
    from search_spaces.compiled import CompiledSpace

Outputs = Tensor | Mapping[str, Tensor]
SpaceFunction = Callable[[NetworkBuilder, Pick], Outputs]
Choose = Callable[[str, tuple[Value, ...]], Value]
SAMPLE_TRIES = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice as it was offered: its name, its options in order, the value taken."""

    name: str
    options: tuple[Value, ...]
    value: Value


@dataclass(frozen=True, slots=True)
class Architecture:
    """The values picked, in the order in which the space asked for them; hashable, exact through JSON."""

    picks: tuple[tuple[str, Value], ...]

    @classmethod
    def of(cls, picks: Mapping[str, Value]) -> "Architecture":
        """Architecture with these picks."""
        return cls(tuple(picks.items()))

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Inverse of `to_json`."""
        return cls.of(json.loads(text))

    def to_json(self) -> str:
        """The picks as one JSON object."""
        return json.dumps(self.values)

    @property
    def values(self) -> dict[str, Value]:
        """The picks as a dict."""
        return dict(self.picks)

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def __repr__(self) -> str:
        return architecture_text(self)

    def _repr_html_(self) -> str:
        return architecture_html(self)


@dataclass(frozen=True)
class Trace:
    """One run of a space function: what it asked for, in order, and what it built.

    `network` is `None` when the picks were refused; `refused` then says why. `requirements` lists every
    `net.require` reached, with its verdict.
    """

    choices: tuple[Choice, ...]
    network: Network | None
    refused: str | None
    requirements: tuple[tuple[str, bool], ...]

    @cached_property
    def architecture(self) -> Architecture:
        """The picks made."""
        return Architecture(tuple((choice.name, choice.value) for choice in self.choices))


class _Picker:
    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.choices: dict[str, Choice] = {}

    def __call__(self, name: str, options: Sequence[Value], /) -> Value:
        offered = tuple(options)
        known = self.choices.get(name)
        if known is not None:
            if known.options != offered:
                raise SpaceError(
                    f"choice {name!r} is asked for twice with other options: {known.options} and {offered}"
                )
            return known.value
        if not offered:
            raise SpaceError(f"choice {name!r} offers no options")
        if len(set(map(_key, offered))) != len(offered):
            raise SpaceError(f"choice {name!r} offers a value twice: {offered}")
        for value in offered:
            if not isinstance(value, (str, int, float, bool)):
                raise SpaceError(f"choice {name!r} offers {value!r}; options are text, numbers or booleans")
        value = self._choose(name, offered)
        self.choices[name] = Choice(name, offered, value)
        return value


def _key(value: Value) -> tuple[bool, Value]:
    """Tells `True` from `1`, which Python takes for equal."""
    return isinstance(value, bool), value


def _same(first: Architecture, second: Architecture) -> bool:
    """Whether two architectures are equal, `True` and `1` told apart."""
    return first.picks == second.picks and all(
        _key(one) == _key(other) for (_, one), (_, other) in zip(first.picks, second.picks, strict=True)
    )


def nearest_option(value: Value, options: Sequence[Value]) -> Value:
    """The option closest to `value`: itself, else the nearest number (ties: the smaller), else the first."""
    keys = [_key(option) for option in options]
    if _key(value) in keys:
        return options[keys.index(_key(value))]
    if _is_number(value) and all(map(_is_number, options)):
        return min(options, key=lambda option: (abs(float(option) - float(value)), float(option)))
    return options[0]


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class _Prefix:
    """Takes the given option numbers first and the first option afterwards; notes how many were offered."""

    def __init__(self, prefix: Sequence[int]) -> None:
        self._prefix = prefix
        self.offered: list[int] = []

    def __call__(self, _name: str, options: tuple[Value, ...]) -> Value:
        position = len(self.offered)
        self.offered.append(len(options))
        return options[self._prefix[position] if position < len(self._prefix) else 0]


class SearchSpace:
    """A space function `function(net, pick) -> output tensor or named outputs` and what can be done with it.

    `as_used` makes its networks those that are used in the end (`search_spaces.merging`) instead of those that train.
    """

    def __init__(
        self,
        function: SpaceFunction,
        *,
        name: str | None = None,
        training_only: Sequence[str] = (),
        declarative: bool = False,
        as_used: bool = False,
    ) -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", "space")
        self.training_only = frozenset(training_only)
        self.declarative = declarative
        self.as_used = as_used
        self._latest: Trace | None = None

    def used_form(self) -> "SearchSpace":
        """The same choices, with every network in the form in which it is used."""
        return SearchSpace(
            self.function,
            name=self.name,
            training_only=tuple(self.training_only),
            declarative=self.declarative,
            as_used=True,
        )

    def finished(self, net: NetworkBuilder, outputs: Outputs) -> Network:
        """The network that `net` holds, with what the function returned."""
        network = net.finish(outputs, self.training_only)
        return merged(network).network if self.as_used else network

    def trace(self, choose: Choose) -> Trace:
        """Run the function, asking `choose(name, options)` for every new choice."""
        picker = _Picker(choose)
        net = NetworkBuilder(picker)
        network, refused = None, None
        try:
            network = self.finished(net, self.function(net, picker))
        except InvalidArchitecture as error:
            refused = str(error)
        trace = Trace(tuple(picker.choices.values()), network, refused, tuple(net.requirements))
        self._latest = trace
        return trace

    def build(self, architecture: Architecture) -> Network:
        """The network of `architecture`; `InvalidArchitecture` when the space does not offer it."""
        latest = self._latest
        if latest is not None and latest.network is not None and _same(latest.architecture, architecture):
            return latest.network
        given = architecture.values

        def choose(name: str, options: tuple[Value, ...]) -> Value:
            if name not in given:
                raise InvalidArchitecture(f"choice {name!r} is missing; options: {options}")
            if _key(given[name]) not in map(_key, options):
                raise InvalidArchitecture(f"choice {name!r} is {given[name]!r}; options: {options}")
            return given[name]

        trace = self.trace(choose)
        if trace.network is None:
            raise InvalidArchitecture(str(trace.refused))
        unused = given.keys() - {choice.name for choice in trace.choices}
        if unused:
            raise InvalidArchitecture(f"the space does not ask for {', '.join(sorted(unused))}")
        return trace.network

    def repair(self, values: Mapping[str, Value]) -> Architecture:
        """Nearest architecture to `values`: unknown names dropped, missing ones first option, others nearest.

        Deterministic. Raises `InvalidArchitecture` when a `require` refuses the result.
        """
        trace = self.trace(
            lambda name, options: nearest_option(values[name], options) if name in values else options[0]
        )
        if trace.network is None:
            raise InvalidArchitecture(str(trace.refused))
        return trace.architecture

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Architecture with every choice drawn uniformly from its options.

        Raises `SpaceError` with the reasons met when 200 draws in a row are refused.
        """
        refusals: dict[str, int] = {}
        for _ in range(SAMPLE_TRIES):
            trace = self.trace(lambda _name, options: options[int(rng.integers(len(options)))])
            if trace.network is not None:
                return trace.architecture
            refusals[str(trace.refused)] = refusals.get(str(trace.refused), 0) + 1
        raise self._none_valid(refusals)

    def _none_valid(self, refusals: Mapping[str, int]) -> SpaceError:
        reasons = "; ".join(f"{why} ({n} times)" for why, n in sorted(refusals.items(), key=lambda item: -item[1]))
        return SpaceError(
            f"space {self.name!r}: no valid architecture among {SAMPLE_TRIES} draws, refused by: {reasons}. "
            "Make options depend on earlier picks so that what is drawn is valid, or relax the requirement"
        )

    def mutate(
        self, architecture: Architecture, rng: np.random.Generator, *, rate: float | None = None
    ) -> Architecture:
        """Redraw each pick with probability `rate` (default: one on average), at least one; always valid."""
        given = architecture.values
        chance = 1 / max(1, len(given)) if rate is None else rate
        for _ in range(SAMPLE_TRIES):
            redrawn = {name for name in given if rng.random() < chance}
            redrawn = redrawn or {list(given)[int(rng.integers(len(given)))]}

            def choose(name: str, options: tuple[Value, ...], redrawn: set[str] = redrawn) -> Value:
                if name in given and name not in redrawn:
                    return nearest_option(given[name], options)
                return options[int(rng.integers(len(options)))]

            trace = self.trace(choose)
            if trace.network is not None:
                return trace.architecture
        return architecture

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Take each pick from either parent, mapped to the nearest legal option; always valid."""
        parents = (first.values, second.values)
        for _ in range(SAMPLE_TRIES):

            def choose(name: str, options: tuple[Value, ...]) -> Value:
                order = parents if rng.random() < 0.5 else parents[::-1]
                for parent in order:
                    if name in parent:
                        return nearest_option(parent[name], options)
                return options[int(rng.integers(len(options)))]

            trace = self.trace(choose)
            if trace.network is not None:
                return trace.architecture
        return first

    def traces(self) -> Iterator[Trace]:
        """Every combination of picks in lexicographic order, refused ones included."""
        prefix: list[int] = []
        while True:
            taken = _Prefix(prefix)
            yield self.trace(taken)
            prefix = [*prefix, *[0] * len(taken.offered)][: len(taken.offered)]
            while prefix and prefix[-1] + 1 == taken.offered[len(prefix) - 1]:
                prefix.pop()
            if not prefix:
                return
            prefix[-1] += 1

    def enumerate(self) -> Iterator[Architecture]:
        """Every valid architecture in lexicographic order of picks; for small spaces."""
        for trace in self.traces():
            if trace.network is not None:
                yield trace.architecture

    def compile(self) -> "CompiledSpace":
        """The space as fixed slots and field tables (computed once)."""
        return self._compiled

    @cached_property
    def _compiled(self) -> "CompiledSpace":
        from search_spaces.compiled import compile_space

        return compile_space(self)

    def size(self) -> "Any":
        """Number of valid combinations of picks, and whether it was proved (see `CompiledSpace.size`)."""
        return self.compile().size()
