"""What the clearing core of this checkout can do, and a stopwatch on its compiled part."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import thread_time
from typing import Any
from unittest.mock import patch

from abm.market import Clearing, Problem, clear, clearing


@dataclass
class Clock:
    """Processor seconds spent, added up."""

    seconds: float = 0.0


@contextmanager
def compiled_clock() -> Iterator[Clock]:
    """A clock that runs only while `clear` is inside its compiled entry, `solve_batch`."""
    clock = Clock()
    entry = clearing.solve_batch

    def timed(*arguments: Any) -> Any:
        start = thread_time()
        try:
            return entry(*arguments)
        finally:
            clock.seconds += thread_time() - start

    with patch.object(clearing, "solve_batch", timed):
        yield clock


def seconds_of(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = thread_time
) -> float:
    """The least time of several runs: what else the machine does only ever adds.

    By default processor time of this thread, which waiting for a core leaves alone.
    """
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best


def seconds_each(work: Callable[[int], object], repeats: int) -> float:
    """Least processor seconds of what `work` does as many times as it is told, each time."""
    few, many = 5, 25
    least = {times: seconds_of(partial(work, times), repeats) for times in (few, many)}
    return (least[many] - least[few]) / (many - few)


def solve_seconds(
    problem: Problem, repeats: int, start: Clearing | None = None
) -> tuple[float, float]:
    """Least processor seconds of one call of `clear`, and of its compiled part."""
    whole, inside = float("inf"), float("inf")
    for _ in range(repeats):
        with compiled_clock() as clock:
            whole = min(whole, seconds_of(lambda: clear(problem, start=start), 1))
        inside = min(inside, clock.seconds)
    return whole, inside
