"""Collect a folder of results into one tidy table: `python -m experiments.collect FOLDER`.

The folder is a sweep, or any folder with results below it. Each row of `collected.parquet` carries
the folder of its job and what the job was told; `jobs.csv` lists every job with its state, also
those that were never begun. Tables are read and written piece by piece.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.command import CommandLine
from experiments.engine.parts import FAILURE, PARTS, failure_of, finished
from experiments.engine.store import PLAN, SCHEMA_VERSION, ResultsFolderError

FINISHED, UNFINISHED, FAILED, MISSING = "finished", "unfinished", "failed", "missing"
CHOICES = ("outcomes", "effects")  # the table collected unless another is named: the first there is
JOB, TOLD = "job", "overrides"


@dataclass(frozen=True)
class CollectedJob:
    """One job of a sweep.

    Attributes
    ----------
    name
        Its folder, from the folder that is collected.
    state
        Finished, unfinished (resumed by the same command), failed, or missing (never begun).
    overrides
        What it was told, by setting.
    error
        The sentence it failed with.
    """

    name: str
    folder: Path
    state: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def jobs_below(folder: Path) -> list[CollectedJob]:
    """All jobs of a folder, begun or not, in the order of the sweep, then of their names.

    Raises
    ------
    ResultsFolderError
        If there is none.
    """
    planned = _planned(folder)
    marks = (path for name in (PLAN, FAILURE) for path in folder.rglob(name))
    begun = {path.parent.relative_to(folder).as_posix() for path in marks}
    names = [*planned, *sorted(begun - planned.keys())]
    if not names:
        raise ResultsFolderError(
            f"{folder} holds no results; name the folder of a run or of a sweep"
        )
    return [_job(folder, name, planned.get(name)) for name in names]


def _planned(folder: Path) -> dict[str, list[str]]:
    """What every job of a sweep was to be told, by the number that is its folder's name."""
    path = folder / "multirun.yaml"
    if not path.is_file():
        return {}
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    words = settings["hydra"]["overrides"]["task"]
    parsed = OverridesParser.create().parse_overrides(overrides=words)
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return {str(number): list(told) for number, told in enumerate(jobs)}


def _job(root: Path, name: str, told: Sequence[str] | None) -> CollectedJob:
    folder = root / name
    if told is None:
        told = _told(folder / PLAN) or _told(folder / FAILURE)
    pairs = (word.lstrip("+~").partition("=") for word in told)
    overrides = {key: value for key, _, value in pairs}
    error = failure_of(folder) or ""
    if finished(folder):
        state = FINISHED
    elif error:
        state = FAILED
    else:
        state = UNFINISHED if (folder / PLAN).exists() else MISSING
    return CollectedJob(name, folder, state, overrides, error)


def _told(path: Path) -> list[str]:
    """The overrides that a plan or a note of failure repeats."""
    try:
        return list(json.loads(path.read_text(encoding="utf-8")).get(TOLD, []))
    except (OSError, ValueError):
        return []


def job_table(jobs: Sequence[CollectedJob]) -> pd.DataFrame:
    """The jobs with their state: job, state, error, and a column for each setting told."""
    rows = [{JOB: j.name, "state": j.state, "error": j.error, **j.overrides} for j in jobs]
    return pd.DataFrame(rows)


def collect(folder: Path, name: str = "") -> tuple[Path, list[CollectedJob]]:
    """Write `collected.parquet` and `jobs.csv` into a folder of results.

    Parameters
    ----------
    name
        The table to collect, such as "effects", "outcomes" or "monthly"; by default outcomes of
        studies, else effects. Of jobs that are not finished, what they have left of it is taken.

    Returns
    -------
    tuple
        The table, and the jobs.

    Raises
    ------
    ResultsFolderError
        If no job holds such a table.
    """
    jobs = jobs_below(folder)
    name = name or next((choice for choice in CHOICES if any(_files(j, choice) for j in jobs)), "")
    told = list(dict.fromkeys(key for job in jobs for key in job.overrides))
    path = folder / "collected.parquet"
    part = folder / "collected.part.parquet"
    writer: pq.ParquetWriter | None = None
    try:
        for job, rows in _pieces(jobs, name):
            labelled = _labelled(rows, job, told)
            if writer is None:
                writer = pq.ParquetWriter(part, labelled.schema, compression="zstd")
            writer.write_table(labelled.cast(writer.schema))
    except pa.ArrowInvalid:
        raise ResultsFolderError(
            f"The tables {name} below {folder} have different columns; collect them apart"
        ) from None
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ResultsFolderError(
            f"No job of {folder} holds the table {name or ' or '.join(CHOICES)}; name one that is "
            "there with --table"
        )
    part.replace(path)
    job_table(jobs).to_csv(folder / "jobs.csv", index=False, lineterminator="\n")
    return path, jobs


def _files(job: CollectedJob, name: str) -> list[Path]:
    """The files that hold a table of a job: the whole one, or its finished parts."""
    whole = job.folder / f"{name}.parquet"
    if whole.exists():
        return [whole]
    return sorted((job.folder / PARTS).glob(f"[!.]*/{name}.parquet"))


def _pieces(jobs: Sequence[CollectedJob], name: str) -> Iterator[tuple[CollectedJob, pa.Table]]:
    for job in jobs:
        for path in _files(job, name):
            with pq.ParquetFile(path) as file:
                for number in range(file.num_row_groups):
                    yield job, file.read_row_group(number)


def _labelled(rows: pa.Table, job: CollectedJob, told: Sequence[str]) -> pa.Table:
    """Rows with their job and what it was told in front; words as plain text."""
    plain = {
        item.name: (
            rows[item.name].cast(item.type.value_type)
            if pa.types.is_dictionary(item.type)
            else rows[item.name]
        )
        for item in rows.schema
    }
    labels = {JOB: job.name, **{key: job.overrides.get(key, "") for key in told}}
    front = {key: pa.array([value] * len(rows), pa.string()) for key, value in labels.items()}
    table = pa.table({**front, **{key: col for key, col in plain.items() if key not in front}})
    return table.replace_schema_metadata({"chokepoint_schema": str(SCHEMA_VERSION)})


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = CommandLine("python -m experiments.collect", __doc__)
    parser.add_argument("folder", type=Path, help="folder of a sweep or of results")
    parser.add_argument("--table", default="", help="table to collect, such as monthly")
    chosen = parser.parse_args(words)
    try:
        path, jobs = collect(chosen.folder, chosen.table)
    except OSError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    states = job_table(jobs)["state"].value_counts()
    print(f"{path}: {', '.join(f'{count} {state}' for state, count in states.items())}")
    for job in jobs:
        if job.state != FINISHED:
            said = " ".join(f"{key}={value}" for key, value in job.overrides.items())
            print(f"{job.state}: {job.name} {said} {job.error}".rstrip())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
