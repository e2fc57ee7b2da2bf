"""The conditions under which a block has its optional steps."""

from collections.abc import Callable, Iterator, Sequence

from nas.export.parameters import MISSING, Missing, Pool, Term, Value, Values, constant, fits, same

Test = tuple[str, Callable[[Value], Value]]
TESTS: tuple[Test, ...] = (
    ("{} != 1", lambda value: value != 1),
    ("{} > 0", lambda value: value > 0 if isinstance(value, int | float) else MISSING),
    ("{} is not None", lambda value: value is not None),
)


def presence(pool: Pool, step: str, present: Sequence[bool], *, flag: str, private: Sequence[str] = ()) -> str:
    """Condition, over the arguments of the class, that tells the instances that have `step`.

    `private` are arguments that this step alone uses: `None` then means its absence. `flag` is the name of the new
    argument to add where nothing else tells.
    """
    wanted = tuple(present)
    if private:
        for name in private:
            pool.chosen[name].may_be_none = True
        return f"{private[0]} is not None"
    for known in pool.flags.values():
        if fits(known.values, wanted):
            return known.text
    for term in _conditions(pool, step):
        if fits(term.values, wanted):
            return pool.take(term).text
    return pool.new(flag, wanted, step).text


def _conditions(pool: Pool, step: str) -> Iterator[Term]:
    yield from (Term(name, values) for name, values in pool.recorded.items() if isinstance(values[0], bool))
    for name, values in pool.recorded.items():
        if name in step or step in name:
            yield from (Term(text.format(name), tuple(map(test, values))) for text, test in TESTS)
    yield from _same_shape(pool)


def _same_shape(pool: Pool) -> Iterator[Term]:
    """Whether a block keeps its input's shape, or not."""
    out, stride = pool.recorded.get("out_channels"), pool.recorded.get("stride")
    if out is None:
        return
    equal = _equal(pool.channels, out)
    if stride is not None and isinstance(constant(stride), Missing):
        kept = tuple(bool(e) and same(s, 1) for e, s in zip(equal, stride, strict=True))
        yield Term("stride == 1 and in_channels == out_channels", kept)
        yield Term("stride != 1 or in_channels != out_channels", _not(kept))
    yield Term("in_channels == out_channels", equal)
    yield Term("in_channels != out_channels", _not(equal))


def _equal(first: Values, second: Values) -> Values:
    return tuple(MISSING if isinstance(a, Missing) else same(a, b) for a, b in zip(first, second, strict=True))


def _not(values: Values) -> Values:
    return tuple(value if isinstance(value, Missing) else not value for value in values)
