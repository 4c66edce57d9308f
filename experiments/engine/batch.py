"""A batch: runs of an experiment that one process does, and the tables that all of them add up to.

Every run is a row group of its own, so that the tables are the same whatever the size of batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from abm.config import Config
from abm.scenario import Scenario
from experiments.engine.parts import Job, batches, read_part, row_groups
from experiments.engine.store import ResultTables, run_health, run_tables, write_described
from experiments.engine.workers import let_go
from experiments.ensemble import TABLES, one_run, seeds
from experiments.measures.aftermath import LEFT_BY_RUNS
from experiments.measures.brief import BRIEF, MONTHLY, brief_months
from experiments.measures.effects import common_of
from experiments.measures.panel import Common
from experiments.measures.replications import (
    MEASURED,
    Asked,
    measured_seeds,
    seeds_together,
)


def ensemble_jobs(config: Config, cases: Sequence[Scenario]) -> list[Job]:
    """Every scenario under every seed, seed by seed, cut into jobs."""
    names = tuple(dict.fromkeys(case.membership for case in cases))
    shocks = tuple(dict.fromkeys(case.shock for case in cases))
    runs = [(seed, case) for seed in seeds(config) for case in range(len(cases))]
    return [
        Job(run_batch, (config, batch, names, shocks), len(batch))
        for batch in batches(runs, len(cases))
    ]


def run_batch(
    config: Config,
    batch: Sequence[tuple[int, int]],
    memberships: Sequence[str],
    shocks: Sequence[str],
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of some runs, each a seed and the number of a scenario.

    All of them of the first seeds, of every seed what it is measured by and who was inside when.
    """
    for seed, case in batch:
        result = one_run(config, seed, case)
        in_full = seed < config.first_seed + config.full_tables
        if in_full:
            yield from run_tables(result, memberships, shocks)
        yield MONTHLY, brief_months(result.model)
        yield from run_tables(result, memberships, shocks, BRIEF)
        yield from run_tables(result, memberships, shocks, LEFT_BY_RUNS)
        yield "runs", run_health(result)
        del result
        let_go()


def take_in(parts: Iterable[Path], results: ResultTables) -> tuple[list[Path], Common]:
    """Put the tables of runs together as their parts come, in their order and one run at a time.

    Returns
    -------
    tuple[list[Path], Common]
        The parts, and what all seeds share.
    """
    taken: list[Path] = []
    health: list[pd.DataFrame] = []

    def openings() -> Iterator[pd.DataFrame]:
        for part in parts:
            for name in TABLES:
                for rows in row_groups(part, name):
                    results.append(name, rows)
            for name in LEFT_BY_RUNS:
                for rows in row_groups(part, name):
                    results.append(f"{name}_by_seed", rows)
            taken.append(part)
            health.append(left_by_every_run(part, "runs"))
            yield left_by_every_run(part, "openings")

    common = common_of(openings())
    write_described(pd.concat(health, ignore_index=True), results.folder / "runs.parquet")
    return taken, common


def left_by_every_run(part: Path, name: str) -> pd.DataFrame:
    """A table of a part that no run goes without."""
    found = read_part(part, name)
    assert found is not None, name
    return found


def measure_jobs(
    parts: Sequence[Path], runs: Sequence[int], cases: int, common: Common, asked: Asked
) -> list[Job]:
    """Every seed measured from the parts of its runs, so many each; a seed has so many cases."""
    groups = seeds_together(parts, runs, cases)
    return [Job(measured_seeds, (group, common, asked)) for group in groups]


def take_in_measures(measures: Iterable[Path], results: ResultTables) -> None:
    """Put together what was measured, in the order of the parts, one seed at a time."""
    for part in measures:
        for name in MEASURED:
            for rows in row_groups(part, name):
                results.append(f"{name}_by_seed", rows)
