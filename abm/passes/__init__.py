"""Compiled passes over arcs and orders: one loop where NumPy would sweep the arrays a dozen times.

Two arcs of three are closed and three buyers of five need nothing, and a loop can leave them out.
What the figures mean stands in the modules that call; here is only the arithmetic. A pass calls
none of another file but elementary functions, because Numba's cache notices a change of a
function's own file only.

Axes: M markets, I origins, J destinations, G groups of buyers, F firms.
"""

from numba import njit

import abm.compilation  # noqa: F401  quicker typing

# Division by zero gives infinity, as in NumPy: no branch to raise from in every loop.
# Loops, no slices or sums: NumPy's own operations inside compiled code take long to compile.
compiled = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)
# A row at a time, as a slice: of an index that might count from the end no several are worked out.
