"""A study: one question that many worlds answer together, each boiled down where it was run.

A cell of a study is a world of its own: settings, a circle of members, with or without the shock.
Every cell is run under every seed, so that any two cells can be compared pair by pair.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from abm.books import BooksDoNotBalance
from abm.config import Config, ConfigError, Instrument, check
from abm.market import MarketNotCleared
from abm.model import MineralModel
from abm.posterior import drawn_config
from abm.scenario import Scenario, members_of, scenarios
from abm.tables import Tables
from abm.world import MONTHS, World, build_world
from experiments.engine.parts import (
    Job,
    batches,
    claimed,
    completed,
    disk_errors,
    finished,
    finished_report,
    forget_parts,
    plan_of,
    read_part,
)
from experiments.engine.store import origin, plain, provenance, write_described, write_manifest
from experiments.engine.workers import Workers, let_go, start_workers
from experiments.ensemble import (
    config_opening,
    one_run,
    prepare,
    read_config_tables,
    ready,
    replication,
    seeds,
    worker_count,
)
from experiments.figures import load_drawing, save
from experiments.outcome import assumptions, last_month
from experiments.report import Answer, write_study_report

OUTCOMES = "outcomes"
MANY = 200  # runs whose cost is said before they start
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
    seed
        The only replication in which it is run; all of them where none is named.
    """

    labels: Mapping[str, str]
    config: Config
    membership: str
    shocked: bool
    group: tuple[str, ...] = ()
    seed: int | None = None


Measure = Callable[[Any, Cell], pd.DataFrame]  # of a finished model, or of what a job makes of it
CellJob = Callable[[Cell, Measure, int], pd.DataFrame]


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
        Further worlds, chosen after all outcomes there are; it is asked again after each round,
        until it names none.
    together
        Cells that follow each other in the same world, which one process had better run.
    """

    title: str
    cells: Sequence[Cell]
    measure: Measure
    answer: Callable[[pd.DataFrame, World], Answer]
    job: CellJob = field(default_factory=lambda: run_cell)
    following: Callable[[pd.DataFrame], Sequence[Cell]] | None = None
    together: int = 1


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


def circle_under_shock(config: Config, world: World) -> tuple[str, tuple[str, ...]]:
    """The one circle whose membership a study compares under a shock, and its members.

    Raises
    ------
    ConfigError
        Unless there is one circle and a shock.
    """
    if len(config.membership.circles) != 1 or config.shock.instrument is Instrument.none:
        raise ConfigError(
            f"The study of {config.question.value} needs one circle of members and a shock; give "
            "some such as membership=washington shock=export_ban"
        )
    ((name, circle),) = config.membership.circles.items()
    return name, tuple(members_of(circle, name, world))


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


def run_study(
    config: Config,
    folder: Path,
    study_of: Callable[[Config, World], Study],
    overrides: Sequence[str] = (),
) -> Path:
    """Run a study, write its outcomes, draw its figures and state what was found.

    In a folder that holds a part of the same study only what is missing is computed.

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
    check_cells(study.cells, world)
    count = worker_count(config, config.seeds * len(study.cells))
    with claimed(folder, plan_of(config, tables, overrides)), start_workers(count) as workers:
        if finished(folder):
            return finished_report(folder)
        outcomes = run_cells(config, study, workers, folder)
        rounds = 0
        while study.following is not None and (cells := study.following(outcomes)):
            rounds += 1
            further = dataclasses.replace(study, cells=cells)
            check_cells(cells, world)
            found = run_cells(config, further, workers, folder, f"round_{rounds}_")
            outcomes = pd.concat([outcomes, found], ignore_index=True)
            study = dataclasses.replace(study, cells=[*study.cells, *cells])
        with disk_errors(folder):
            write_described(outcomes, folder / "outcomes.parquet")
        found = study.answer(outcomes, world)
        report = describe_study(config, folder, study, found, tables, workers)
        forget_parts(folder)
        return report


def check_cells(cells: Sequence[Cell], world: World) -> None:
    """Refuse cells that could not be run, before anything is computed."""
    for cell in cells:
        check(cell.config)
    kinds = {(repr(cell.config), cell.membership, cell.shocked): cell for cell in cells[:MANY]}
    for cell in kinds.values():
        cell_scenario(cell, world)
        if cell.shocked:
            _refuse_late_shock(cell.config)


def _refuse_late_shock(config: Config) -> None:
    """Refuse a shock that a run does not reach, as nothing could be measured under it."""
    shock, end = config.shock, last_month(config)
    if shock.start > end:
        raise ConfigError(
            f"The shock {shock.name} starts in {shock.start}, but the run ends in {end}; give more "
            "horizon.years, or an earlier start"
        )


def run_cells(
    config: Config, study: Study, workers: Workers, folder: Path, name: str = ""
) -> pd.DataFrame:
    """The outcomes of every cell under each of its seeds, in this order: seed, then cell.

    Parameters
    ----------
    folder
        The results folder, where finished jobs leave their parts; `name` is the prefix of these.
    """
    runs = [
        (cell, seed)
        for seed in seeds(config)
        for cell in study.cells
        if cell.seed is None or cell.seed == seed
    ]
    jobs = [
        Job(run_batch, (study.job, study.measure, batch), len(batch))
        for batch in batches(runs, study.together)
    ]
    parts = completed(workers, jobs, folder, lambda: begin(config, len(runs), workers), name)
    return pd.concat((outcomes_of(part) for part in parts), ignore_index=True)


def begin(config: Config, runs: int, workers: Workers) -> None:
    """Have the processes ready, and say what a large study will cost before it starts."""
    ready(prepare(config, workers))
    if runs < MANY:
        return
    year = workers.submit(seconds_of_a_year, config).result()
    print(f"{what_it_costs(runs, config.horizon.years, year, workers.count)}.", flush=True)


def what_it_costs(runs: int, years: int, seconds: float, processes: int) -> str:
    """How long a study takes; `seconds` are those that one year of one world takes."""
    minutes = max(round(seconds * years * runs / processes / 60.0), 1)
    return (
        f"{runs:,} worlds of {_counted(years, 'year', 'years')}: about "
        f"{_counted(minutes, 'minute', 'minutes')} on "
        f"{_counted(processes, 'process', 'processes')}, if nothing was done before"
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def seconds_of_a_year(config: Config) -> float:
    """Time that a year of the first scenario takes in a process that has run one before."""
    took = np.inf
    for _ in range(2):
        start = time.perf_counter()
        one_run(config, config.first_seed, 0, months=MONTHS)
        took = min(took, time.perf_counter() - start)
    return took


def run_batch(
    job: CellJob, measure: Measure, batch: Sequence[tuple[Cell, int]]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The outcomes of some cells, each under its seed."""
    found = []
    for cell, seed in batch:
        found.append(job(cell, measure, seed))
        let_go()
    yield OUTCOMES, pd.concat(found, ignore_index=True)


def outcomes_of(part: Path) -> pd.DataFrame:
    """The outcomes that a job has left."""
    found = read_part(part, OUTCOMES)
    assert found is not None, "every cell has outcomes"
    return found


def run_cell(cell: Cell, measure: Measure, seed: int) -> pd.DataFrame:
    """The outcomes of one cell under one seed, with its labels."""
    model = cell_model(cell, seed)
    model.run()
    return labelled(measure(model, dataclasses.replace(cell, config=model.config)), cell, seed)


def cell_model(cell: Cell, seed: int) -> MineralModel:
    """The world of a cell under a seed, in its opening month."""
    cell = dataclasses.replace(cell, config=drawn_config(cell.config, seed))
    shared = replication(cell.config, seed)
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
        "results_from": origin(folder),
        **provenance(),
        "figures": {drawn.name: drawn.words for drawn in answer.figures},
        "config": plain(dataclasses.asdict(config)),
    }
    report = write_study_report(folder, study.title, answer, manifest, assumptions(tables))
    write_manifest(folder, manifest)
    print(manifest["finding"])
    return report
