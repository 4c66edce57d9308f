"""The processes that share the work of an experiment."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm


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


def in_order[Result](
    workers: Workers, work: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], total: int
) -> Iterator[Result]:
    """The results of many jobs, in the order of the jobs, with a progress bar on a terminal.

    A short queue bounds memory: results wait for their turn, not for the end. What has not begun
    when the caller stops, or when a job fails, is not done.
    """
    waiting: deque[Future[Result]] = deque()
    with tqdm(total=total, unit="run", disable=None, desc="Running") as bar:
        try:
            for arguments in jobs:
                waiting.append(workers.submit(work, *arguments))
                if len(waiting) > workers.ahead:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            for job in waiting:
                job.cancel()


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
