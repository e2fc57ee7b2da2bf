"""Runs of a space function, broken down into fields: the smallest things a compiled space learns.

A field is one value that a run shows: whether a choice is asked for, the options it offers, the verdict of a
requirement, the class of an operator, one attribute of it, one axis of one input. Every value is interned, so a run
becomes a sparse vector of integers.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields

from search_spaces.builder import NetworkBuilder, Pick, Tensor, Value
from search_spaces.errors import InvalidArchitecture, NasError, SpaceError
from search_spaces.network import Network, Node
from search_spaces.operators import Layout, Operator, Shape, elements
from search_spaces.space import Choice, Choose, SearchSpace, _key, _Picker, nearest_option

Observer = Callable[[Network], Mapping[str, Sequence[Hashable]]]
NOTHING = 0
Found = tuple[list[int], list[int]]
COLUMNS = ("channels", "spatial", "maker")


@dataclass(frozen=True, slots=True)
class FieldKey:
    """What a field describes.

    `place` is the name of a choice, a requirement or a node. Parts of choices are "active", "offered" and, for the
    last tensor built before the choice was asked for, "channels", "spatial" and "maker" (class of its operator).
    A requirement has a "verdict". A node has a "kind" (its operator's class, nothing when absent) and, per class
    named in `operator`: ".<attribute>" each, "ranks" of its inputs, "in<i>.<axis>", "channels" and "positions" of its
    output, "producers" (classes), "segments" (sizes in the layout of each input), "flags" (used at inference, owner of
    its weights), "weights" (their path) and what observers add.
    """

    place: str
    part: str
    operator: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.place, self.operator, self.part.lstrip("."))))


def _types(value: object) -> object:
    return tuple(map(_types, value)) if isinstance(value, tuple) else type(value)


class Interner:
    """Numbers for values; number 0 is `None`, and `True` is told from 1, also inside tuples."""

    def __init__(self) -> None:
        self.values: list[object] = [None]
        self._numbers: dict[tuple[object, object], int] = {(type(None), None): NOTHING}

    def number(self, value: object) -> int:
        """The number of `value`, a new one when it was not met before."""
        key = (_types(value), value)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.values)
            self.values.append(value)
        return number


class _Probe(NetworkBuilder):
    """A builder that also remembers where requirements were stated and what was built before each choice."""

    def __init__(self, pick: Pick) -> None:
        super().__init__(pick)
        self.verdicts: dict[str, bool] = {}
        self.stated_after: dict[str, int] = {}
        self._position: dict[str, int] = {}

    def require(self, condition: bool, why: str) -> None:
        place, count = self._path or "space", 1
        while (site := f"{place} requirement {count}") in self.verdicts:
            count += 1
        self.verdicts[site] = bool(condition)
        self.stated_after[site] = self.built
        super().require(condition, why)

    def position(self, name: str) -> int:
        """How many nodes were built before the node `name`."""
        return self._position[name]

    def apply(self, op: Operator, *inputs: Tensor, name: str | None = None, weights: str | None = None) -> Tensor:
        tensor = super().apply(op, *inputs, name=name, weights=weights)
        self._position[self._nodes[-1].name] = tensor.index
        return tensor

    @property
    def last(self) -> tuple[Shape, str] | None:
        """Shape of the last tensor built and the class that made it."""
        return (self._nodes[-1].shape, type(self._nodes[-1].op).__name__) if self._nodes else None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the space function.

    `asked` lists choices in order, `built` how many nodes existed then, `last` the shape and maker of the last one;
    `picked` holds positions in `Observer.options`. `places` gives, per node and requirement, how many nodes existed
    before it. `found` are (field, value) numbers. `refused` is the reason of a refusal.
    """

    asked: tuple[str, ...]
    picked: tuple[int, ...]
    offered: tuple[int, ...]
    built: tuple[int, ...]
    last: tuple[tuple[Shape, str] | None, ...]
    places: Mapping[str, int]
    found: Found
    refused: str | None


class RunObserver:
    """Runs a space and numbers all it shows; choices, options and fields are appended as they are met."""

    def __init__(self, space: SearchSpace, observers: Sequence[Observer]) -> None:
        self.space = space
        self.observers = tuple(observers)
        self.observed: frozenset[str] = frozenset()
        self.values = Interner()
        self.slots: list[str] = []
        self.options: list[list[Value]] = []
        self.operators: dict[str, type[Operator]] = {}
        self.keys: list[FieldKey] = []
        self.conditions: list[tuple[int, int] | None] = []
        self.defaults: list[int] = []
        self._slot: dict[str, int] = {}
        self._position: list[dict[tuple[bool, Value], int]] = []
        self._field: dict[FieldKey, int] = {}
        self._offers: dict[tuple[str, tuple[Value, ...]], Found] = {}
        self._nodes: dict[tuple[str, type[Operator]], _NodeRecords] = {}
        self._nearest: dict[tuple[int, tuple[Value, ...], int], Value] = {}

    def field(self, key: FieldKey, condition: tuple[int, int] | None, default: int) -> int:
        """Number of the field `key`; `condition` (field, value) says when it exists, `default` what it is if unseen."""
        number = self._field.get(key)
        if number is None:
            number = self._field[key] = len(self.keys)
            self.keys.append(key)
            self.conditions.append(condition)
            self.defaults.append(default)
        return number

    @property
    def layouts(self) -> dict[tuple[str, str], tuple[Layout, ...]]:
        """Per node and class: the layouts of its first input that were met."""
        return {(name, kind.__name__): tuple(known.layouts) for (name, kind), known in self._nodes.items()}

    def slot(self, name: str) -> int:
        """Number of the choice `name`."""
        number = self._slot.get(name)
        if number is None:
            number = self._slot[name] = len(self.slots)
            self.slots.append(name)
            self.options.append([])
            self._position.append({})
        return number

    def option(self, slot: int, value: Value) -> int:
        """Position of `value` among the options met of `slot`."""
        key = _key(value)
        position = self._position[slot].get(key)
        if position is None:
            position = self._position[slot][key] = len(self.options[slot])
            self.options[slot].append(value)
        return position

    def row_choose(self, row: Sequence[int]) -> Choose:
        """The `choose` that follows `row` (option positions per slot), mapped to the nearest option offered."""

        def choose(name: str, options: tuple[Value, ...]) -> Value:
            slot = self._slot.get(name)
            if slot is None or slot >= len(row):
                return options[0]
            key = (slot, options, row[slot])
            value = self._nearest.get(key)
            if value is None:
                value = self._nearest[key] = nearest_option(self.options[slot][row[slot]], options)
            return value

        return choose

    def run(self, choose: Choose) -> Run:
        """Run the space function once; `SpaceError` when the function breaks on these picks."""
        built: list[int] = []
        last: list[tuple[Shape, str] | None] = []

        def ask(name: str, options: tuple[Value, ...]) -> Value:
            built.append(net.built)
            last.append(net.last)
            return choose(name, options)

        asked = _Picker(ask)
        net = _Probe(asked)
        network, refused = None, None
        try:
            network = self.space.finished(net, self.space.function(net, asked))
        except InvalidArchitecture as error:
            refused = str(error)
        except NasError as error:
            picks = {choice.name: choice.value for choice in asked.choices.values()}
            raise SpaceError(
                f"space {self.space.name!r} breaks on the picks {picks}: {error}. Offer only options that fit "
                "what was picked before, or state a requirement"
            ) from error
        choices = tuple(asked.choices.values())
        found: Found = ([], [])
        self._note_choices(choices, net.verdicts, found)
        places = dict(net.stated_after)
        if network is not None:
            self._note_nodes(network, found)
            places.update((node.name, net.position(node.name)) for node in network.nodes)
        slots = [self.slot(choice.name) for choice in choices]
        return Run(
            asked=tuple(choice.name for choice in choices),
            picked=tuple(self.option(s, choice.value) for s, choice in zip(slots, choices, strict=True)),
            offered=tuple(self.values.number(choice.options) for choice in choices),
            built=tuple(built),
            last=tuple(last),
            places=places,
            found=found,
            refused=refused,
        )

    def _note_choices(self, choices: Sequence[Choice], verdicts: Mapping[str, bool], found: Found) -> None:
        yes, no = self.values.number(True), self.values.number(False)
        for choice in choices:
            known = self._offers.get((choice.name, choice.options))
            # Tuples of 1 and True are equal keys, so numbers are kept only for options seen in the same types.
            if known is None or known[1][1] != self.values.number(choice.options):
                slot = self.slot(choice.name)
                for option in choice.options:
                    self.option(slot, option)
                active = self.field(FieldKey(choice.name, "active"), None, no)
                offered = self.field(FieldKey(choice.name, "offered"), (active, yes), -1)
                known = ([active, offered], [yes, self.values.number(choice.options)])
                self._offers[choice.name, choice.options] = known
            _extend(found, known)
        for site, verdict in verdicts.items():
            _extend(found, ([self.field(FieldKey(site, "verdict"), None, yes)], [yes if verdict else no]))

    def _note_nodes(self, network: Network, found: Found) -> None:
        used = set(network.inference_nodes)
        owned: set[str] = set()
        observed = {name: values for observe in self.observers for name, values in observe(network).items()}
        names, columns = tuple(observed), list(observed.values())
        self.observed |= set(names)
        for i, node in enumerate(network.nodes):
            owns = i in used and node.weights_path not in owned
            if i in used:
                owned.add(node.weights_path)
            place = (node.name, type(node.op))
            records = self._nodes.get(place)
            if records is None:
                records = self._nodes[place] = _NodeRecords(self, *place)
            sources = [network.nodes[j] for j in node.inputs]
            seen = tuple([values[i] for values in columns])
            known = records.of(node, sources, (i in used, owns), names, seen)
            found[0].extend(known[0])
            found[1].extend(known[1])


def _extend(found: Found, more: Found) -> None:
    found[0].extend(more[0])
    found[1].extend(more[1])


class _NodeRecords:
    """The numbered fields of one node in one class; what was seen before costs a look-up."""

    def __init__(self, observer: RunObserver, name: str, kind: type[Operator]) -> None:
        self._observer = observer
        self._name, self._kind = name, kind.__name__
        observer.operators[self._kind] = kind
        number = observer.values.number(self._kind)
        field = observer.field(FieldKey(name, "kind"), None, NOTHING)
        self._condition = (field, number)
        self._fields: dict[str, int] = {}
        self._records: dict[tuple[object, ...], Found] = {}
        self._pieces: dict[tuple[str, object], Found] = {}
        self.layouts: dict[Layout, None] = {}
        self._singles: dict[tuple[str, Hashable], Found] = {}

    def of(
        self,
        node: Node,
        sources: Sequence[Node],
        flags: tuple[bool, bool],
        names: tuple[str, ...],
        seen: tuple[Hashable, ...],
    ) -> Found:
        """The fields of `node`, which reads `sources`, with the parts `names` that observers saw."""
        shapes = (node.shape, tuple([source.shape for source in sources]))
        producers = tuple([type(source.op).__name__ for source in sources])
        layouts = tuple([source.layout for source in sources])
        links = (producers, layouts, flags, node.weights_path)
        record = (node.op, shapes, links, seen)
        found = self._records.get(record)
        if found is None:
            found = self._records[record] = ([self._condition[0]], [self._condition[1]])
            self._extend(found, ("operator", node.op), lambda: _operator_parts(node.op))
            self._extend(found, ("shapes", shapes), lambda: _shape_parts(*shapes))
            self._extend(found, ("links", links), lambda: _link_parts(*links))
            for part, value in zip(names, seen, strict=True):
                self._extend(found, (part, value), lambda part=part, value=value: {part: value})  # type: ignore[misc]
            if layouts:
                self.layouts.setdefault(layouts[0])
        return found

    def _extend(self, found: Found, key: tuple[str, object], parts: Callable[[], Mapping[str, object]]) -> None:
        """Append the numbered `parts`, which `key` determines."""
        known = self._pieces.get(key)
        if known is None:
            known = self._pieces[key] = self._numbered(parts())
        found[0].extend(known[0])
        found[1].extend(known[1])

    def _numbered(self, parts: Mapping[str, object]) -> Found:
        for part in parts:
            if part not in self._fields:
                key = FieldKey(self._name, part, self._kind)
                self._fields[part] = self._observer.field(key, self._condition, -1)
        return [self._fields[part] for part in parts], list(map(self._observer.values.number, parts.values()))


def _operator_parts(op: Operator) -> dict[str, object]:
    return {f".{field.name}": getattr(op, field.name) for field in fields(op)}  # type: ignore[arg-type]


def _link_parts(
    producers: tuple[str, ...], layouts: tuple[Layout, ...], flags: tuple[bool, bool], weights_path: str
) -> dict[str, object]:
    segments = tuple(tuple(size for _, size in layout) for layout in layouts)
    return {"producers": producers, "segments": segments, "flags": flags, "weights": weights_path}


def _shape_parts(shape: Shape, in_shapes: tuple[Shape, ...]) -> dict[str, object]:
    parts: dict[str, object] = {"ranks": tuple(map(len, in_shapes))}
    parts |= {f"in{i}.{axis}": size for i, source in enumerate(in_shapes) for axis, size in enumerate(source)}
    return parts | {"channels": shape[0], "positions": elements(shape[1:])}
