"""Variants of a block become one plan where that changes nothing, and stay apart where it would."""

from nas.export.operators import Expression, Module
from nas.export.plan import Body, Ref, Step, common_plan

X = Ref("", 0)


def out(name: str) -> Ref:
    return Ref(name, 0)


def module(name: str, *inputs: Ref) -> Step:
    return Step(name, Module("nn.ReLU6"), inputs)


def add(name: str, *inputs: Ref) -> Step:
    return Step(name, Expression("{0} + {1}"), inputs)


def body(*steps: Step) -> Body:
    return Body(1, steps, (out(steps[-1].name),))


def test_an_absent_step_hands_its_input_through() -> None:
    full = body(module("up", X), module("mid", out("up")), add("sum", out("mid"), X))
    bare = body(module("mid", X))
    plan = common_plan([bare, full])
    assert plan is not None
    assert [slot.name for slot in plan.slots] == ["up", "mid", "sum"]
    assert [slot.optional for slot in plan.slots] == [True, False, True]
    assert plan.slots[1].inputs == (out("up"),)
    assert plan.slots[2].passes == 0


def test_steps_that_no_variant_has_together() -> None:
    first = body(module("up", X), module("mid", out("up")))
    second = body(module("mid", X), add("sum", out("mid"), X))
    plan = common_plan([first, second])
    assert plan is not None
    assert [slot.name for slot in plan.slots] == ["up", "mid", "sum"]


def test_steps_whose_order_no_variant_tells() -> None:
    first = body(module("down", X), module("inner", out("down")), add("sum", out("inner"), X))
    second = body(
        module("down", X), module("inner", out("down")), module("gate", out("inner")), module("end", out("gate"))
    )
    plan = common_plan([first, second])
    assert plan is not None
    assert {slot.name for slot in plan.slots if slot.optional} == {"sum", "gate", "end"}


def test_the_second_input_can_be_the_one_handed_through() -> None:
    long = body(module("a", X), module("b", X), add("sum", out("b"), out("a")), module("c", out("sum")))
    short = body(module("a", X), module("c", out("a")))
    plan = common_plan([long, short])
    assert plan is not None
    assert {slot.name: slot.passes for slot in plan.slots if slot.optional}["sum"] == 1


def test_contradicting_orders_stay_apart() -> None:
    first = body(module("a", X), module("b", out("a")))
    second = body(module("b", X), module("a", out("b")))
    assert common_plan([first, second]) is None


def test_other_data_flow_stays_apart() -> None:
    first = body(module("a", X), module("b", X), add("sum", out("a"), out("b")))
    second = body(module("a", X), module("b", out("a")), add("sum", out("a"), out("b")))
    assert common_plan([first, second]) is None


def test_other_kinds_stay_apart() -> None:
    first = body(module("a", X))
    second = body(Step("a", Module("nn.Hardswish"), (X,)))
    assert common_plan([first, second]) is None


def test_a_tensor_kept_longer_than_alone_stays_apart() -> None:
    skipping = body(module("a", X), module("b", out("a")), module("c", out("b")), add("sum", out("c"), out("a")))
    plain = body(module("a", X), module("b", out("a")), module("c", out("b")))
    assert common_plan([skipping, plain]) is None
    outer = body(module("a", X), module("b", out("a")), module("c", out("b")), add("sum", out("c"), X))
    assert common_plan([outer, plain]) is not None


def test_a_chain_is_known() -> None:
    assert body(module("a", X), module("b", out("a"))).chain
    assert not body(module("a", X), add("sum", out("a"), X)).chain
    assert not body(module("a", X), Step("b", Module("nn.ReLU6"), (out("a"),), shares="a")).chain
