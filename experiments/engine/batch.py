"""A batch: runs of an experiment that one process does, and the tables that all of them add up to.

Every run is a row group of its own, so that the tables are the same whatever the size of batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from abm.config import Config
from abm.scenario import Scenario
from experiments.engine.parts import Job, batches, disk_errors, read_part, row_groups
from experiments.engine.store import RUN_TABLES, ResultTables, run_tables, write_described
from experiments.ensemble import one_run, seeds


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
    """The tables of some runs, each a seed and the number of a scenario."""
    for seed, case in batch:
        yield from run_tables(one_run(config, seed, case), memberships, shocks)


def gather(parts: Iterable[Path], folder: Path) -> None:
    """Put the parts of all jobs together, in their order, one run at a time."""
    health = []
    with disk_errors(folder), ResultTables(folder) as results:
        for part in parts:
            for name in RUN_TABLES:
                for rows in row_groups(part, name):
                    results.append(name, rows)
            found = read_part(part, "runs")
            assert found is not None, "every run leaves its health"
            health.append(found)
        write_described(pd.concat(health, ignore_index=True), folder / "runs.parquet")
