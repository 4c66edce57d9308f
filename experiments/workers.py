"""The processes that share the work of an experiment."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workers:
    """Processes that take jobs; with one worker, jobs are done here and at once."""

    count: int
    pool: ProcessPoolExecutor | None = None

    @property
    def ahead(self) -> int:
        """Jobs to hand in before the first of them is waited for."""
        return 0 if self.pool is None else 2 * self.count

    def submit[Result](self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Hand in a job: a function of a module, and arguments that can be pickled."""
        if self.pool is not None:
            return self.pool.submit(work, *arguments)
        done: Future[Result] = Future()
        try:
            done.set_result(work(*arguments))
        except BaseException as error:
            done.set_exception(error)
        return done


@contextmanager
def start_workers(count: int) -> Iterator[Workers]:
    """Worker processes, which start with their first job and end with the block."""
    if count == 1:
        yield Workers(1)
        return
    # A forked process could inherit a lock that a thread of this one holds.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=end_when_interrupted) as pool:
        yield Workers(count, pool)


def end_when_interrupted() -> None:
    """An interrupt from the keyboard ends a worker without a word; the command answers for all."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
