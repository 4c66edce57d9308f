"""What Numba is told at once is what it would have found out, and parts do what they say."""

import operator

import numpy as np
import pytest
from numba import njit, types
from numba.core.registry import cpu_target

from abm.compilation import ARITHMETIC, COMPARISONS, PART

NUMBERS = (types.int64, types.float64)
TABLE = types.Array(types.float64, 2, "C")
STACK = types.Array(types.int64, 3, "C")
PAIR = types.UniTuple(types.int64, 2)
OPERATIONS = [(way, (kind, kind)) for way in ARITHMETIC + COMPARISONS for kind in NUMBERS]
ELEMENTS = [
    (operator.getitem, (array, index))
    for array in (TABLE, STACK)
    for index in (types.int64, PAIR, types.uint32)
]


@pytest.mark.parametrize(("function", "arguments"), OPERATIONS + ELEMENTS)
def test_types_are_those_that_numba_finds_by_itself(function, arguments):
    context = cpu_target.typing_context
    context.refresh()
    told = context.resolve_value_type(function)
    ours = [way for way in told.templates if getattr(way, "metadata", {}) == {"target": "cpu"}]
    own = types.Function(tuple(way for way in told.templates if way not in ours))
    first = next(way for way in ours if way(context).apply(arguments, {}))

    assert first(context).apply(arguments, {}) == own.get_call_type(context, arguments, {})
    assert told.get_call_type(context, arguments, {}) == own.get_call_type(context, arguments, {})


def test_slices_and_mixed_numbers_are_left_to_numba():
    context = cpu_target.typing_context
    context.refresh()
    for function, arguments in (
        (operator.getitem, (TABLE, types.slice2_type)),
        (operator.add, (types.int64, types.float64)),
        (operator.mul, (TABLE, TABLE)),
    ):
        told = context.resolve_value_type(function)
        ours = [way for way in told.templates if getattr(way, "metadata", {}) == {"target": "cpu"}]
        assert ours
        assert not any(way(context).apply(arguments, {}) for way in ours)


part = njit(**PART)
SCALE = np.array([3.0, 5.0])


@part
def scaled(x, k):
    return x * SCALE[k]


@part
def in_turn(values):
    total = 0.0
    for n in range(values.size):
        total += scaled(values[n], n % 2)
    return total


@njit
def twice(values):
    return scaled(in_turn(values), 0) + in_turn(values)


def test_parts_are_linked_into_what_calls_them_and_into_nothing_else():
    values = np.array([1.0, 2.0, 4.0])
    assert twice(values) == 4.0 * (3.0 * 1.0 + 5.0 * 2.0 + 3.0 * 4.0)
    (whole,) = twice.overloads.values()
    assert whole.library.get_pointer_to_function(whole.fndesc.llvm_func_name)
    for function in (scaled, in_turn):
        for found in function.overloads.values():
            assert found.library.get_pointer_to_function(found.fndesc.llvm_func_name) == 0
