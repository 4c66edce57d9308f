"""Runs that a calibration has paid for: each is kept as soon as it is done, and never done twice.

A run is one episode at one point of the settings under one seed. Its key covers code and data, so
that a store never answers for a model that has changed since.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from abm.books import BooksDoNotBalance
from abm.market import MarketNotCleared
from experiments.engine.workers import Workers

Simulate = Callable[[Any, Mapping[str, float], int], pd.DataFrame]


@dataclass(frozen=True)
class Candidate:
    """A point of the settings and the seed of everything else."""

    scores: tuple[float, ...]
    draw: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class Episode:
    """A stretch of history: the settings of its hindcast, and the table of observed figures."""

    name: str
    config: Any
    observed: pd.DataFrame


class RunStore:
    """A file of finished runs; SQLite keeps a run whole or not at all, whenever it is cut off."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path)
        self._file.execute("PRAGMA journal_mode = WAL")  # a run is kept without waiting for a disk
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS runs "
            "(key TEXT PRIMARY KEY, figures TEXT, trouble TEXT, seconds REAL)"
        )

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, key: str) -> tuple[np.ndarray, float] | None:
        """``[figure]`` simulated values and the seconds they took, or None."""
        found = self._file.execute(
            "SELECT figures, seconds FROM runs WHERE key = ?", (key,)
        ).fetchone()
        if found is None:
            return None
        return np.array(json.loads(found[0]), float), float(found[1])

    def put(self, key: str, figures: np.ndarray, trouble: str, seconds: float) -> None:
        """Keep a run."""
        with self._file:
            self._file.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)",
                (key, json.dumps(figures.tolist()), trouble, seconds),
            )


def run_episode(
    simulate: Simulate, config: Any, draw: Mapping[str, float], seed: int, figures: int
) -> tuple[list[float], str, float]:
    """One run in a worker: its figures, what went wrong, the seconds it took.

    A world that cannot be cleared at such settings has no figures; any other error is a defect.
    """
    started = time.perf_counter()
    try:
        values, trouble = simulate(config, draw, seed)["simulated"].astype(float).tolist(), ""
    except (MarketNotCleared, BooksDoNotBalance) as error:
        values, trouble = [np.nan] * figures, str(error)
    return values, trouble, time.perf_counter() - started


@dataclass
class Runs:
    """Answers for candidates: from memory, from the store, or from the worker processes.

    Attributes
    ----------
    version
        Hash of code and data.
    """

    simulate: Simulate
    episodes: Mapping[str, Episode]
    version: str
    store: RunStore
    workers: Workers
    seconds: float = 0.0  # spent by all processes on the runs used, now or before
    count: int = 0
    failed: int = 0
    _known: dict[str, np.ndarray] = field(default_factory=dict)
    _waiting: dict[str, Future[tuple[list[float], str, float]]] = field(default_factory=dict)

    def known(self, names: Sequence[str], candidate: Candidate) -> np.ndarray | None:
        """``[figure]`` of the episodes named, one after the other, or None if one is not run."""
        found = [self._known.get(self._key(name, candidate)) for name in names]
        if any(item is None for item in found):
            return None
        return np.concatenate([item for item in found if item is not None])

    def request(self, names: Sequence[str], candidate: Candidate) -> None:
        """Hand in what is not known yet."""
        for name in names:
            key = self._key(name, candidate)
            if key in self._known or key in self._waiting:
                continue
            stored = self.store.get(key)
            if stored is not None:
                self._keep(key, *stored)
                continue
            episode = self.episodes[name]
            self._waiting[key] = self.workers.submit(
                run_episode,
                self.simulate,
                episode.config,
                candidate.draw,
                candidate.seed,
                len(episode.observed),
            )

    def wait(self, names: Sequence[str], candidate: Candidate) -> np.ndarray:
        """``[figure]`` of the episodes named, once they are done."""
        self.request(names, candidate)
        for name in names:
            key = self._key(name, candidate)
            job = self._waiting.pop(key, None)
            if job is not None:
                values, trouble, seconds = job.result()
                figures = np.array(values, float)
                self.store.put(key, figures, trouble, seconds)
                self._keep(key, figures, seconds)
        found = self.known(names, candidate)
        assert found is not None
        return found

    def all_of(
        self, names: Sequence[str], candidates: Sequence[Candidate], done: Callable[[], None]
    ) -> np.ndarray:
        """``[candidate, figure]`` of many candidates; `done` is called after each."""
        rows = []
        for place, candidate in enumerate(candidates):
            for later in candidates[place : place + self.workers.ahead + 1]:
                self.request(names, later)
            rows.append(self.wait(names, candidate))
            done()
        width = sum(len(self.episodes[name].observed) for name in names)
        return np.array(rows).reshape(len(rows), width)

    def cancel(self) -> None:
        """Give up what has not begun."""
        for job in self._waiting.values():
            job.cancel()

    def _key(self, name: str, candidate: Candidate) -> str:
        text = json.dumps([self.version, name, sorted(candidate.draw.items()), candidate.seed])
        return hashlib.sha256(text.encode()).hexdigest()

    def _keep(self, key: str, figures: np.ndarray, seconds: float) -> None:
        self._known[key] = figures
        self.seconds += seconds
        self.count += 1
        self.failed += bool(np.isnan(figures).all())
