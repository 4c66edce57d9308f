"""How Numba is told at once what it would find out slowly, and what it need not compile.

Nothing here changes what compiled code does: imported wherever something is compiled, it only saves
time.
"""

import operator
from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.typing.arraydecl import get_array_index_type
from numba.core.typing.templates import AbstractTemplate, infer_global, signature


@infer_global(operator.getitem)
class Element(AbstractTemplate):
    """The type of an array's element, and of what else an array gives for whole numbers.

    It comes first because it is for one target. Numba would else ask how tuples, strings, lists and
    dictionaries are indexed, twice for each element: a fifth of all compilation.
    """

    metadata = {"target": "cpu"}  # noqa: RUF012

    def generic(self, args: Any, kws: Any) -> Any:
        array, index = args
        places = index if isinstance(index, types.UniTuple | types.Tuple) else (index,)
        if not isinstance(array, types.Array) or not all_whole(places):
            return None
        found = get_array_index_type(array, index)
        return found and signature(found.result, array, found.index)


def all_whole(places: Any) -> bool:
    """Whether an index is made of whole numbers."""
    return all(isinstance(place, types.Integer) for place in places)


class Arithmetic(AbstractTemplate):
    """The type of a sum or product of two numbers of the one or the other commonest type."""

    metadata = {"target": "cpu"}  # noqa: RUF012

    def generic(self, args: Any, kws: Any) -> Any:
        common = args[0] in (types.int64, types.float64) and args == (args[0], args[0])
        return signature(self.result(args[0]), *args) if common else None

    def result(self, given: types.Type) -> types.Type:
        return given


class Comparison(Arithmetic):
    """That such numbers compare to a truth."""

    def result(self, given: types.Type) -> types.Type:
        return types.boolean


ARITHMETIC = (operator.add, operator.sub, operator.mul)
COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
for way in ARITHMETIC:
    infer_global(way)(Arithmetic)
for way in COMPARISONS:
    infer_global(way)(Comparison)


class Part(JITCodeLibrary):
    """What other functions are compiled from: linked into them, never made machine code by itself.

    Numba would else optimise and assemble every function for its own sake, and do it again, with
    all that it calls, in each of its callers.
    """

    def finalize(self) -> None:
        linked = set()
        for library in self._linking_libraries:
            if library not in linked:
                linked.add(library)
                self._reload_init.update(library._reload_init)
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._final_module.verify()
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> "Part":
        """Itself: Numba asks a library's code generator to set the environment of a function."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Nothing to set: there is no machine code."""


class PartCompiler(Compiler):
    """Compiles functions that only compiled functions call."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.library = Part(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


# Options of a function that only compiled functions call: a part of them, without a wrapper for
# Python. It allocates nothing, so references to memory are not counted (_nrt).
PART: dict[str, Any] = {
    "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False,
    "pipeline_class": PartCompiler,
}  # fmt: skip
# Products may be added unrounded.
fused = njit(fastmath={"contract"}, **PART)
