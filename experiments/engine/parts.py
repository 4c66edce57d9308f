"""Parts: what every finished job of a run has left, so that nothing is computed twice.

A job writes its tables into a hidden folder, which gets its name only when all of it is there: a
part that can be seen is whole, whenever the machine stopped. The plan beside the parts says which
settings, code and data they come from, so that those of two runs are never mixed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from abm.config import Config
from abm.tables import DATA_FOLDER, Tables
from experiments.engine.store import (
    PLAN,
    SCHEMA_VERSION,
    ResultsFolderError,
    described,
    drawn_from,
    passing_writer,
    plain,
    provenance,
    write_json,
)
from experiments.engine.workers import Workers, in_order
from experiments.ensemble import PROJECT

PARTS, FAILURE, MARK = "parts", "failed.json", "running"
JOBS = 400  # about so many at most: what a thousand small runs cost is then the runs
SHARED = 2  # jobs at the end whose runs are shared out
ANOTHER_FOLDER = "give another folder with hydra.run.dir=FOLDER"
NOT_RESULTS = ("workers", "results")  # settings that change nothing in a table
MATCHED = ("settings", "code", "data")

Rows = Iterable[tuple[str, pd.DataFrame]]  # tables of a job, piece by piece, by name


@dataclass(frozen=True)
class Job:
    """Runs that one process does one after the other: a pure function and its arguments.

    Attributes
    ----------
    work
        A function of a module; it yields names and tables, and its arguments can be pickled.
    runs
        How many runs it does.
    """

    work: Callable[..., Rows]
    arguments: tuple[Any, ...]
    runs: int = 1


def batches[Run](runs: Sequence[Run], together: int = 1) -> list[tuple[Run, ...]]:
    """Runs cut into jobs in their order, small enough to share out and large enough to be worth it.

    The last come one at a time, so that all processes end together.

    Parameters
    ----------
    together
        Runs that follow each other in the same world; they stay in one job where jobs are large.
    """
    size = -(-len(runs) // JOBS)
    if size > 1:
        size = -(-size // together) * together
    jobs = [tuple(runs[at : at + size]) for at in range(0, len(runs), max(size, 1))]
    return jobs[:-SHARED] + [(run,) for job in jobs[-SHARED:] for run in job]


# ---------------------------------------------------------------- the plan of a folder


@dataclass(frozen=True)
class Plan:
    """What a results folder is for.

    Attributes
    ----------
    settings, code, data
        Hashes of the settings, of the program with its libraries, and of all tables.
    overrides
        What was said on the command line.
    seeds
        The first and the last.
    posterior
        Hash of the table that behaviour is drawn from; empty where it is not drawn.
    """

    settings: str
    code: str
    data: str
    overrides: tuple[str, ...] = ()
    seeds: str = ""
    posterior: str = ""


def plan_of(config: Config, tables: Tables, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a run."""
    settings = {k: v for k, v in plain(asdict(config)).items() if k not in NOT_RESULTS}
    beside = [path for home in (DATA_FOLDER, PROJECT / "conf") for path in home.rglob("*.csv")]
    files = [*sorted(beside), *sorted(_named_tables(settings))]
    return Plan(
        settings=_digest([json.dumps(settings, sort_keys=True, default=str).encode()]),
        code=_code(),
        data=_digest([tables.data_hash().encode(), *(path.read_bytes() for path in files)]),
        overrides=tuple(overrides),
        seeds=f"{config.first_seed} to {config.first_seed + config.seeds - 1}",
        posterior=str(drawn_from({"config": settings}).get("posterior", {}).get("sha256", "")),
    )


def _named_tables(settings: Any) -> Iterator[Path]:
    """Tables that settings name by their path."""
    if isinstance(settings, dict):
        settings = list(settings.values())
    if isinstance(settings, list):
        for entry in settings:
            yield from _named_tables(entry)
    elif isinstance(settings, str) and settings.endswith(".csv"):
        for path in (Path(settings), PROJECT / settings):
            if path.is_file():
                yield path


@cache
def _code() -> str:
    """Of the files as they were when this process first asked."""
    folders = [PROJECT / name for name in ("abm", "experiments")]
    sources = [path for folder in folders for path in sorted(folder.rglob("*"))]
    kept = [path.read_bytes() for path in sources if path.suffix in (".py", ".html", ".css")]
    return _digest([json.dumps(provenance()["versions"]).encode(), *kept])


def _digest(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(hashlib.sha256(piece).digest())
    return found.hexdigest()


@contextmanager
def claimed(folder: Path, plan: Plan) -> Iterator[None]:
    """Keep a folder for one run, new or resumed; two at the same time cannot both get it.

    The hold ends with the process, however that ends. A failure leaves its sentence beside what
    was finished; a folder in which nothing was finished is left as it was found.

    Raises
    ------
    ResultsFolderError
        If another run is at work in it, or what it holds comes from other settings, code or data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder):
        _match(folder, plan)
        try:
            write_json(folder / PLAN, {"schema_version": SCHEMA_VERSION, **asdict(plan)})
            (folder / FAILURE).unlink(missing_ok=True)
            _sweep_up(folder)
            yield
        except Exception as error:
            note_failure(folder, str(error), plan.overrides)
            raise
        finally:
            _leave(folder)


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    mark = folder / MARK
    with mark.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResultsFolderError(
                f"{folder} belongs to another run, at work; {ANOTHER_FOLDER}"
            ) from None
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)


def _match(folder: Path, plan: Plan) -> None:
    """Refuse a folder with results that this run would not give."""
    try:
        before = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / "manifest.json").exists() or any(folder.glob("*.parquet")):
            raise ResultsFolderError(
                f"{folder} holds the results of an earlier run; {ANOTHER_FOLDER}"
            ) from None
        return
    except ValueError:
        before = {}
    differ = [name for name in MATCHED if before.get(name) != getattr(plan, name)]
    if differ:
        raise ResultsFolderError(
            f"{folder} holds the results of an earlier run with other {' and '.join(differ)}, "
            f"which this one cannot complete; {ANOTHER_FOLDER}"
        )


def _sweep_up(folder: Path) -> None:
    """Make room for parts, and remove those that were cut off."""
    (folder / PARTS).mkdir(exist_ok=True)
    for path in (folder / PARTS).glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def _leave(folder: Path) -> None:
    """Take away the plan of a run that has left nothing."""
    with suppress(OSError):
        (folder / PARTS).rmdir()  # fails where there are parts
        if not finished(folder):
            (folder / PLAN).unlink()


def finished(folder: Path) -> bool:
    """Whether a run has come to its end: the manifest is written last."""
    return (folder / "manifest.json").exists()


def finished_report(folder: Path) -> Path:
    """The report of a finished run, whose finding is said again."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    forget_parts(folder)
    print(manifest["finding"])
    return folder / "report.html"


def forget_parts(folder: Path) -> None:
    """Remove the parts of a finished run, whose tables hold all of them."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)


# ---------------------------------------------------------------- jobs and their parts


def completed(
    workers: Workers,
    jobs: Sequence[Job],
    folder: Path,
    prepare: Callable[[], None],
    name: str = "",
    doing: str = "Running",
) -> Iterator[Path]:
    """The parts of all jobs in their order; jobs whose part is there already are not done again.

    Parameters
    ----------
    folder
        The results folder, claimed.
    prepare
        Called once before the first job, if there is one to do.
    name
        Prefix of the parts, where a run has several rounds of jobs.
    doing
        What the progress bar says.
    """
    paths = [folder / PARTS / f"{name}{number:06d}" for number in range(len(jobs))]
    there = [path.is_dir() for path in paths]
    missing = [(path, job) for path, job, done in zip(paths, jobs, there, strict=True) if not done]
    if missing:
        prepare()
    runs = sum(job.runs for job in jobs)
    todo = [job.runs for _, job in missing]
    done = in_order(workers, finish, missing, runs, sizes=todo, doing=doing)
    for path, is_there in zip(paths, there, strict=True):
        if not is_there:
            next(done)
        yield path


def finish(part: Path, job: Job) -> None:
    """Do the runs of a job and leave its part."""
    with PartWriter(part) as tables:
        for name, table in job.work(*job.arguments):
            tables.add(name, table)


@dataclass
class PartWriter:
    """Writes the tables of a job into a folder that is seen only when it is whole."""

    part: Path
    _writers: dict[str, pq.ParquetWriter] = field(default_factory=dict)
    _sinks: dict[str, BytesIO] = field(default_factory=dict)

    @property
    def hidden(self) -> Path:
        """Where the tables stand until all of them are there."""
        return self.part.with_name(f".{self.part.name}-{os.getpid()}")

    def __enter__(self) -> PartWriter:
        with disk_errors(self.part.parent.parent):
            self.hidden.mkdir()
        return self

    def add(self, name: str, table: pd.DataFrame) -> None:
        """Append rows to a table of the part, as a row group of their own."""
        rows = described(table)
        with disk_errors(self.part.parent.parent):
            if name not in self._writers:
                self._sinks[name] = BytesIO()
                self._writers[name] = passing_writer(self._sinks[name], rows.schema)
            self._writers[name].write_table(rows, row_group_size=max(len(rows), 1))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show the part, or take away what there is of it."""
        try:
            if kind is None:
                with disk_errors(self.part.parent.parent):
                    self._close()
                    self._show()
        finally:
            shutil.rmtree(self.hidden, ignore_errors=True)

    def _close(self) -> None:
        for name, writer in self._writers.items():
            writer.close()
            with (self.hidden / f"{name}.parquet").open("wb") as file:
                file.write(self._sinks[name].getbuffer())
                file.flush()
                os.fsync(file.fileno())

    def _show(self) -> None:
        try:
            self.hidden.rename(self.part)
        except OSError as error:
            # A process that outlived its run has left the same part meanwhile.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with the disk or the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResultsFolderError(
                f"There is no room left on the disk of {folder}; make some"
            ) from None
        if not folder.is_dir() or not (folder / PARTS).is_dir():
            raise ResultsFolderError(
                f"{folder} or its parts have vanished while they were written; {ANOTHER_FOLDER}"
            ) from None
        raise


def read_part(part: Path, name: str) -> pd.DataFrame | None:
    """A whole table of a part; None where its job has left none of that name."""
    path = part / f"{name}.parquet"
    if not path.exists():
        return None
    with pq.ParquetFile(path) as file:
        return file.read(use_threads=False).to_pandas()


def row_groups(part: Path, name: str) -> Iterator[pa.Table]:
    """The pieces of a table of a part, one at a time; none where the job has left none."""
    path = part / f"{name}.parquet"
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield _without_ids(file.read_row_group(number))


def _without_ids(rows: pa.Table) -> pa.Table:
    """Without the column numbers that reading adds to what columns mean."""
    meanings = [
        item.with_metadata({k: v for k, v in (item.metadata or {}).items() if k == b"description"})
        for item in rows.schema
    ]
    return rows.cast(pa.schema(meanings, metadata=rows.schema.metadata))


def note_failure(folder: Path, said: str, overrides: Sequence[str]) -> None:
    """Leave the sentence of a failure in a folder, where the disk still takes it."""
    with suppress(OSError):
        write_json(folder / FAILURE, {"error": said, "overrides": list(overrides)})


def failure_of(folder: Path) -> str | None:
    """The sentence of the failure that ended the last run in a folder."""
    try:
        found: Mapping[str, Any] = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(found.get("error"))
