"""Paired replications: every scenario under every seed, on all cores, in a fixed order.

A run is one scenario under one seed. Its result depends on nothing but the two, so the tables come
out the same whatever the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from abm.config import Config
from abm.model import MineralModel
from abm.recorder import flow_table, monthly_table
from abm.scenario import scenarios
from abm.shocks import draw_events
from abm.tables import Tables, read_tables
from abm.world import MONTHS, World, build_world


@dataclass(frozen=True)
class RunResult:
    """The tables of one run."""

    membership: str
    shock: str
    seed: int
    monthly: pd.DataFrame
    flows: pd.DataFrame
    health: dict[str, float]


def run_all(config: Config) -> Iterator[RunResult]:
    """Every run of a configuration, seed by seed, scenario by scenario.

    Raises
    ------
    MarketNotCleared, BooksDoNotBalance
        From the run that failed; the runs before it have been yielded.
    """
    world = _world(config, config.first_seed)
    cases = scenarios(config, world)
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    jobs = [(seed, case) for seed in seeds for case in range(len(cases))]
    workers = min(config.workers or os.cpu_count() or 1, len(jobs))
    with tqdm(total=len(jobs), unit="run", disable=None, desc="Running") as bar:
        for result in _results(config, jobs, workers):
            bar.update()
            yield result


def one_run(config: Config, seed: int, case: int, months: int | None = None) -> RunResult:
    """One scenario under one seed; `months` cuts it short."""
    world = _world(config, seed)
    scenario = scenarios(config, world)[case]
    events = draw_events(world, config.randomness, config.horizon.years * MONTHS, seed)
    model = MineralModel(world, scenario, events, config)
    for _ in range(months or model.months):
        model.step()
    record = model.record
    monthly = monthly_table(world, record, config.horizon.start)
    return RunResult(
        membership=scenario.membership,
        shock=scenario.shock,
        seed=seed,
        monthly=monthly,
        flows=flow_table(world, record, config.horizon.start),
        health={
            "certificate_max": float(record.certificate.max()),
            "tonnes_gap_max": float(record.tonnes_gap.max()),
            "money_gap_max": float(record.money_gap.max()),
            "newton_steps": float(record.iterations.sum()),
        },
    )


def read_config_tables(config: Config) -> Tables:
    """The built-in tables with those that the configuration lays over them."""
    return _tables(tuple(config.world.tables))


@lru_cache(maxsize=2)
def _tables(folders: tuple[str, ...]) -> Tables:
    return read_tables([Path(folder) for folder in folders])


_latest: dict[str, tuple[str, int, World]] = {}


def _world(config: Config, seed: int) -> World:
    """The world of a seed; the last one is kept, since a seed's scenarios follow each other."""
    setting = repr(config.world)
    kept_setting, kept_seed, kept = _latest.get("world", ("", -1, None))
    if kept is None or (kept_setting, kept_seed) != (setting, seed):
        opening = kept.opening if kept is not None and kept_setting == setting else None
        kept = build_world(read_config_tables(config), config.world, seed, opening)
        _latest["world"] = (setting, seed, kept)
    return kept


def _results(config: Config, jobs: list[tuple[int, int]], workers: int) -> Iterator[RunResult]:
    if workers == 1:
        _compile(config, jobs[0])
        for job in jobs:
            yield one_run(config, *job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # Processes start and read the tables while this one compiles the core they share.
        for _ in range(workers):
            pool.submit(_world, config, jobs[0][0])
        _compile(config, jobs[0])
        # A short queue bounds memory: results wait for their turn, not for the end.
        waiting: list[Future[RunResult]] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(one_run, config, *job))
                if len(waiting) >= 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _compile(config: Config, job: tuple[int, int]) -> None:
    """Run one month, so that the market core is compiled before anything else needs it."""
    _say_if_compiling()
    one_run(config, *job, months=1)


def _say_if_compiling() -> None:
    """Tell the user why the first run pauses: the market core is compiled once per machine."""
    core = Path(sys.modules["abm.market"].__file__ or "").parent
    if not list(core.glob("__pycache__/*.nbi")):
        print("Compiling the market core, once: about half a minute.", flush=True)
