"""The processes that share the work of an experiment."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from threading import Thread
from typing import Any

from tqdm import tqdm

# What workers need: to take a job, to be told what the command is, to run and to draw.
LOADED = ("hydra", "experiments.engine.batch", "experiments.figures")


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
    workers: Workers,
    work: Callable[..., Result],
    jobs: Iterable[tuple[Any, ...]],
    total: int,
    sizes: Sequence[int] | None = None,
    doing: str = "Running",
) -> Iterator[Result]:
    """The results of many jobs, in the order of the jobs, with a progress bar on a terminal.

    A short queue bounds memory: results wait for their turn, not for the end. What has not begun
    when the caller stops, or when a job fails, is not done. `sizes` are the runs of each job, one
    each by default; what is missing of the `total` was done before.
    """
    waiting: deque[Future[Result]] = deque()
    ahead = iter(repeat(1) if sizes is None else sizes)
    before = 0 if sizes is None else total - sum(sizes)
    with tqdm(total=total, initial=before, unit="run", disable=None, desc=doing) as bar:
        try:
            for arguments in jobs:
                waiting.append(workers.submit(work, *arguments))
                if len(waiting) > workers.ahead:
                    yield waiting.popleft().result()
                    bar.update(next(ahead))
            while waiting:
                yield waiting.popleft().result()
                bar.update(next(ahead))
        finally:
            for job in waiting:
                job.cancel()


def start_loading() -> None:
    """Start the process that workers are forked from: it loads once what all of them need.

    Nothing on other systems, whose own libraries may not survive a fork.
    """
    if sys.platform == "linux":
        from multiprocessing.forkserver import ensure_running

        multiprocessing.set_forkserver_preload(list(LOADED))
        ensure_running()


@contextmanager
def start_workers(count: int) -> Iterator[Workers]:
    """Worker processes, which start with their first job and end with the block."""
    if count == 1:
        yield Workers(1)
        return
    start_loading()
    # A process forked from this one could inherit a lock that a thread of it holds.
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=end_with_the_command) as pool:
        yield Workers(count, pool)


@cache
def keep_loaded() -> None:
    """Settle, once in a process, that what it has loaded and compiled by now is never garbage."""
    gc.collect()
    gc.freeze()


def let_go() -> None:
    """Give back what finished runs of a worker held: a model and its agents name each other.

    What is loaded is settled first: to look through it every time takes longer than it saves.
    """
    if multiprocessing.parent_process() is not None:
        keep_loaded()
        gc.collect()


def end_with_the_command() -> None:
    """A worker ends without a word when the keyboard interrupts, or its command is no more."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
