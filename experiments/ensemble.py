"""Paired replications: every scenario under every seed, on all cores, in a fixed order.

A run is one scenario under one seed. Its result depends on nothing but the two, so the tables come
out the same whatever the number of processes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pandas as pd

from abm.config import Config, with_projects
from abm.history import tables_of_year
from abm.market import Problem, clear, no_bids, no_limits
from abm.model import MineralModel
from abm.opening import Opening, opening_balance
from abm.posterior import drawn_config
from abm.recorder import (
    account_table,
    decision_table,
    flow_table,
    milestone_table,
    monthly_table,
    sector_table,
    surplus_table,
)
from abm.scenario import scenarios
from abm.shocks import OutsideEvents, draw_events
from abm.tables import DATA_FOLDER, Tables, read_tables
from abm.world import MONTHS, World, build_world, select_minerals
from experiments.engine.workers import Workers, keep_loaded

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE = 5.0  # seconds; a month that needs no compiling takes half of one
COMPILING = "Compiling the market core, once on this machine: up to a minute."


@dataclass(frozen=True)
class RunResult:
    """A finished run, of which `TABLES` are made."""

    membership: str
    shock: str
    seed: int
    model: MineralModel
    start: str  # first month, YYYY-MM

    @property
    def health(self) -> dict[str, float]:
        """The largest residual and imbalances of any month, and the solver's steps."""
        record = self.model.record
        return {
            "certificate_max": float(record.certificate.max()),
            "tonnes_gap_max": float(record.tonnes_gap.max()),
            "money_gap_max": float(record.money_gap.max()),
            "newton_steps": float(record.iterations.sum()),
        }


# A table of a finished run, from its model and its first month.
type Maker = Callable[[MineralModel, str], pd.DataFrame]
# In the order in which they are written; decisions and projects are empty where there are none.
TABLES: dict[str, Maker] = {
    "monthly": lambda model, start: monthly_table(model.world, model.record, start),
    "flows": lambda model, start: flow_table(model.world, model.record, start),
    "accounts": lambda model, start: account_table(model.world, model.record, start),
    "surplus": lambda model, start: surplus_table(model.world, model.record, start),
    "sectors": lambda model, start: sector_table(model.world, model.record, start),
    "decisions": lambda model, start: decision_table(model.world, model.review, start),
    "projects": lambda model, start: milestone_table(model.world, model.projects, start),
}


@dataclass(frozen=True)
class Replication:
    """What all scenarios of a seed share: the world with its drawn parameters, and the events."""

    world: World
    events: OutsideEvents


def worker_count(config: Config, runs: int) -> int:
    """Processes for so many runs: as many as were asked for, by default one a core."""
    return min(config.workers or os.cpu_count() or 1, runs)


def prepare(config: Config, workers: Workers) -> list[Future[None]]:
    """Let processes read their tables and compile what all of them need, two of them a part each.

    Machine code is kept on disk: what one process has compiled, the others load.
    """
    if workers.count == 1:
        return [workers.submit(first_month, config)]
    jobs = [workers.submit(loaded, first_clearing), workers.submit(loaded, rehearse, config)]
    return jobs + [workers.submit(loaded, first_world, config) for _ in range(workers.count - 2)]


def loaded(work: Callable[..., None], *arguments: Any) -> None:
    """Do what loads or compiles, and keep that."""
    work(*arguments)
    keep_loaded()


def ready(prepared: list[Future[None]]) -> None:
    """Wait for `prepare`: no run may start while a process compiles what it needs."""
    for job in prepared:
        job.result()


def seeds(config: Config) -> range:
    """The replications of a configuration."""
    return range(config.first_seed, config.first_seed + config.seeds)


def one_run(config: Config, seed: int, case: int, months: int | None = None) -> RunResult:
    """One scenario under one seed; `months` cuts it short."""
    config = drawn_config(config, seed)
    shared = replication(config, seed)
    world = shared.world
    scenario = scenarios(config, world)[case]
    model = MineralModel(world, scenario, shared.events, config)
    for _ in range(months or model.months):
        model.step()
    return RunResult(scenario.membership, scenario.shock, seed, model, config.horizon.start)


def first_month(config: Config) -> None:
    """Run one month, so that what it needs is compiled; the user is told where that takes long."""
    first_world(config)
    with told_if_slow(), all_kept():
        one_run(config, config.first_seed, 0, months=1)


def first_clearing() -> None:
    """Clear a market of one seller and one buyer, so that the market core is compiled."""
    one, cell = np.ones(1), np.ones((1, 1, 1))
    bids_and_limits: dict[str, Any] = {**no_bids(1, 1), **no_limits()}
    problem = Problem(
        capacity=one,
        low_ask=one,
        high_ask=2.0 * one,
        firm_offset=np.array([[0, 1]]),
        need=cell,
        reference_price=cell,
        elasticity=cell,
        backstop_price=10.0 * cell,
        choke_price=20.0 * cell,
        log_weight=0.0 * cell,
        price_factor=cell,
        price_addition=0.0 * cell,
        floor_price=0.0 * cell,
        dispersion=one,
        **bids_and_limits,
    )
    with told_if_slow(), all_kept():
        clear(problem)


def rehearse(config: Config) -> None:
    """Go through a month in which no market opens, so that all but the core is compiled.

    What books trade is left to the first run: a few seconds.
    """
    shared = replication(config, config.first_seed)
    scenario = scenarios(config, shared.world)[0]
    model = MineralModel(shared.world, scenario, shared.events, config)
    model.stages = []
    model.firms.sales[:] = 0.0  # as no market opens, nobody sells
    with np.errstate(all="ignore"), all_kept():
        model.step()


@contextmanager
def told_if_slow() -> Iterator[None]:
    """Tell the user what is going on where it takes long."""
    notice = Timer(PATIENCE, print, [COMPILING], {"flush": True})
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()


@contextmanager
def all_kept() -> Iterator[None]:
    """Look for no garbage: to go again and again through what compiling keeps is a tenth of it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def first_world(config: Config) -> None:
    """Read the tables and build the first world, which this process keeps."""
    replication(config, config.first_seed)


_kept: dict[tuple[str, int], Replication] = {}


def replication(config: Config, seed: int) -> Replication:
    """World and events of a seed; a process keeps the last, as a seed's scenarios come in a row."""
    drawn = (config.randomness, config.instability, config.shipping)
    key = (repr((config.world, drawn, config.horizon, with_projects(config))), seed)
    if key not in _kept:
        tables, opening = read_config_tables(config), config_opening(config)
        world = build_world(tables, config.world, seed, opening, with_projects(config))
        months = config.horizon.years * MONTHS
        events = draw_events(
            world, config.randomness, months, seed, config.instability, config.shipping
        )
        _kept.clear()
        _kept[key] = Replication(world, events)
    return _kept[key]


def config_opening(config: Config) -> Opening:
    """The opening balance, which all seeds share."""
    return _opening(_folders(config), config.world.year, tuple(config.world.minerals))


@lru_cache(maxsize=4)
def _opening(folders: tuple[Path, ...], year: int, minerals: tuple[str, ...]) -> Opening:
    tables = _tables_of_year(folders, year, minerals)
    return opening_balance(tables, select_minerals(tables, list(minerals)))


def read_config_tables(config: Config) -> Tables:
    """The built-in tables with those that the configuration lays over them, of its year.

    A relative folder is looked for where the command was called, then in the project's folder,
    then among the folders that lie beside the built-in tables.
    """
    return _tables_of_year(_folders(config), config.world.year, tuple(config.world.minerals))


def _folders(config: Config) -> tuple[Path, ...]:
    return tuple(_found_folder(Path(folder)) for folder in config.world.tables)


def _found_folder(named: Path) -> Path:
    places = (named, PROJECT / named, DATA_FOLDER / named)
    return next((folder for folder in places if folder.is_dir()), named)


@lru_cache(maxsize=4)
def _tables_of_year(folders: tuple[Path, ...], year: int, minerals: tuple[str, ...]) -> Tables:
    tables = _tables(folders)
    return tables_of_year(tables, year, select_minerals(tables, list(minerals)))


@lru_cache(maxsize=2)
def _tables(folders: tuple[Path, ...]) -> Tables:
    return read_tables(list(folders))
