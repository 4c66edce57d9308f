"""A study: one question that many worlds answer together, each boiled down where it was run.

A cell of a study is a world of its own: settings, a circle of members, with or without the shock.
Every cell is run under every seed, so that any two cells can be compared pair by pair.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from abm.books import BooksDoNotBalance
from abm.config import Config, ConfigError, check
from abm.market import MarketNotCleared
from abm.model import MineralModel
from abm.posterior import drawn_config
from abm.scenario import Scenario, scenarios
from abm.tables import Tables
from abm.world import World, build_world
from experiments.ensemble import (
    config_opening,
    prepare,
    read_config_tables,
    replication,
    seeds,
    worker_count,
)
from experiments.figures import load_drawing, save
from experiments.outcome import assumptions, plain
from experiments.report import Answer, write_study_report
from experiments.store import claimed, provenance, write_described, write_manifest
from experiments.workers import Workers, in_order, start_workers

FAILED = "failed"  # the measure of a world that could not be run


@dataclass(frozen=True)
class Cell:
    """One world of a study.

    Attributes
    ----------
    labels
        What tells it from the others, by axis, such as {"instruments": "all", "shock": "calm"}.
    config
        The settings it is run under.
    membership
        Its circle, by name; "none" for the world without an alliance.
    shocked
        Whether the shock of the settings strikes.
    group
        Countries whose outcomes are measured.
    """

    labels: Mapping[str, str]
    config: Config
    membership: str
    shocked: bool
    group: tuple[str, ...] = ()


Measure = Callable[[Any, Cell], pd.DataFrame]  # of a finished model, or of what a job makes of it
Job = Callable[[Cell, Measure, int], pd.DataFrame]


@dataclass(frozen=True)
class Study:
    """A question, the worlds that answer it, and what is read off each of them.

    Attributes
    ----------
    measure
        A function of a module, called where a world was run: a small table of its outcomes.
    answer
        From the table of all outcomes, labelled by cell and seed, to what was found.
    job
        What is done for a cell and a seed; by default its world is run, then measured.
    following
        Further worlds, chosen after the outcomes of the first ones.
    """

    title: str
    cells: Sequence[Cell]
    measure: Measure
    answer: Callable[[pd.DataFrame, World], Answer]
    job: Job = field(default_factory=lambda: run_cell)
    following: Callable[[pd.DataFrame], Sequence[Cell]] | None = None


def with_settings(config: Config, changes: Mapping[str, Any]) -> Config:
    """A copy of the settings in which some, named as on the command line, have other values."""
    changed = deepcopy(config)
    for name, value in changes.items():
        *path, last = name.split(".")
        node: Any = changed
        for part in path:
            node = getattr(node, part)
        if isinstance(node, dict):
            node[last] = value
            continue
        if last not in {item.name for item in dataclasses.fields(node)}:
            raise ConfigError(f"There is no setting {name}; see all settings with --help")
        setattr(node, last, value)
    return changed


def cell_scenario(cell: Cell, world: World) -> Scenario:
    """The scenario of a cell.

    Raises
    ------
    ConfigError
        If its settings have no such circle, or no shock.
    """
    for case in scenarios(cell.config, world):
        if case.membership == cell.membership and (case.shock != "none") == cell.shocked:
            return case
    missing = "shock" if cell.shocked else f"circle {cell.membership}"
    raise ConfigError(f"The study needs a {missing}; choose one, such as shock=export_ban")


def run_study(config: Config, folder: Path, study_of: Callable[[Config, World], Study]) -> Path:
    """Run a study, write its outcomes, draw its figures and state what was found.

    Returns
    -------
    Path
        The HTML report.

    Raises
    ------
    ConfigError, TableError, ResultsFolderError
        Before anything is computed.
    """
    check(config)
    tables = read_config_tables(config)
    world = build_world(tables, config.world, opening=config_opening(config))
    study = study_of(config, world)
    for cell in study.cells:
        check(cell.config)
        cell_scenario(cell, world)
    count = worker_count(config, config.seeds * len(study.cells))
    with claimed(folder), start_workers(count) as workers:
        outcomes = run_cells(config, study, workers)
        if study.following is not None:
            further = dataclasses.replace(study, cells=study.following(outcomes))
            outcomes = pd.concat([outcomes, run_cells(config, further, workers)])
        write_described(outcomes, folder / "outcomes.parquet")
        return describe_study(config, folder, study, study.answer(outcomes, world), tables, workers)


def run_cells(config: Config, study: Study, workers: Workers) -> pd.DataFrame:
    """The outcomes of every cell under every seed, in this order: seed, then cell."""
    for ready in prepare(config, workers):
        ready.result()
    jobs = ((cell, study.measure, seed) for seed in seeds(config) for cell in study.cells)
    total = config.seeds * len(study.cells)
    return pd.concat(in_order(workers, study.job, jobs, total), ignore_index=True)


def run_cell(cell: Cell, measure: Measure, seed: int) -> pd.DataFrame:
    """The outcomes of one cell under one seed, with its labels."""
    model = cell_model(cell, seed)
    model.run()
    return labelled(measure(model, dataclasses.replace(cell, config=model.config)), cell, seed)


def cell_model(cell: Cell, seed: int) -> MineralModel:
    """The world of a cell under a seed, in its opening month."""
    shared = replication(cell.config, seed)
    cell = dataclasses.replace(cell, config=drawn_config(cell.config, seed))
    scenario = cell_scenario(cell, shared.world)
    return MineralModel(shared.world, scenario, shared.events, cell.config)


def labelled(found: pd.DataFrame, cell: Cell, seed: int) -> pd.DataFrame:
    """A table of outcomes with the labels of its cell, and the seed, in front."""
    for place, (axis, value) in enumerate([*cell.labels.items(), ("seed", seed)]):
        found.insert(place, axis, value)
    return found


def run_cell_or_not(cell: Cell, measure: Measure, seed: int) -> pd.DataFrame:
    """The same; a world that cannot be run leaves one empty outcome, and the study goes on."""
    try:
        return run_cell(cell, measure, seed)
    except (MarketNotCleared, BooksDoNotBalance):
        return labelled(pd.DataFrame({"measure": [FAILED], "value": [np.nan]}), cell, seed)


def describe_study(
    config: Config,
    folder: Path,
    study: Study,
    answer: Answer,
    tables: Tables,
    workers: Workers,
) -> Path:
    """Write figures, tables, manifest and report of a study; the path of the report."""
    for _ in range(workers.count):
        workers.submit(load_drawing)
    saved = [
        workers.submit(save, drawn.figure, folder / "figures", drawn.name, drawn.table)
        for drawn in answer.figures
    ]
    for job in saved:
        job.result()
    for name, table in answer.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    manifest: dict[str, Any] = {
        "question": study.title,
        "finding": " ".join(answer.sentences),
        "seeds": f"{config.first_seed} to {config.first_seed + config.seeds - 1}",
        "worlds": len(study.cells),
        "data_hash": tables.data_hash(),
        **provenance(),
        "config": plain(dataclasses.asdict(config)),
    }
    write_manifest(folder, manifest)
    report = write_study_report(folder, study.title, answer, manifest, assumptions(tables))
    print(manifest["finding"])
    return report
