"""What Numba is told at once is what it would have found out."""

import operator

import pytest
from numba import types
from numba.core.registry import cpu_target

from abm.compilation import ARITHMETIC, COMPARISONS

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
