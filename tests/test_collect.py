"""Parts and collecting: what is whole is read, what is cut off is not, what is missing is named."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from experiments import collect as collecting
from experiments.collect import collect, job_table, jobs_below
from experiments.engine.batch import take_in_measures
from experiments.engine.parts import (
    PARTS,
    Job,
    PartWriter,
    Plan,
    batches,
    claimed,
    completed,
    disk_errors,
    read_part,
)
from experiments.engine.store import ResultsFolderError, ResultTables, write_json
from experiments.engine.workers import Workers
from experiments.measures.replications import seeds_together

PLAN = Plan("settings", "code", "data", ("shock.enforcement=0.5",))


def outcomes(seed: int) -> pd.DataFrame:
    return pd.DataFrame({"seed": [seed], "measure": ["price"], "value": [1.0 + seed]})


done: list[int] = []


def work(seeds: tuple[int, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    for seed in seeds:
        done.append(seed)
        if seed == 5:
            raise RuntimeError("seed 5 fails")
        yield "outcomes", outcomes(seed)


def jobs_of(seeds: list[int]) -> list[Job]:
    return [Job(work, ((seed,),)) for seed in seeds]


def values(folder: Path, seeds: list[int]) -> list[float]:
    with claimed(folder, PLAN):
        parts = list(completed(Workers(1), jobs_of(seeds), folder, lambda: None))
        return [float(part_value) for part in parts for part_value in _read(part)["value"]]


def _read(part: Path) -> pd.DataFrame:
    found = read_part(part, "outcomes")
    assert found is not None
    return found


def test_only_what_is_missing_is_done(tmp_path: Path) -> None:
    done.clear()
    with pytest.raises(RuntimeError):
        values(tmp_path, [3, 4, 5])
    assert done == [3, 4, 5]
    assert sorted(path.name for path in (tmp_path / PARTS).iterdir()) == ["000000", "000001"]
    (tmp_path / PARTS / ".000002-1").mkdir()  # as a killed process leaves it
    (tmp_path / PARTS / ".000002-1" / "outcomes.parquet").write_bytes(b"PAR1 cut")
    done.clear()
    assert values(tmp_path, [3, 4, 6]) == [4.0, 5.0, 7.0]
    assert done == [6]
    assert not list((tmp_path / PARTS).glob(".*"))


def test_a_full_disk_is_one_sentence_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PARTS).mkdir()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    part = tmp_path / PARTS / "000000"
    with pytest.raises(ResultsFolderError, match="no room left on the disk"), PartWriter(part) as p:
        p.add("outcomes", outcomes(0))
    assert list((tmp_path / PARTS).iterdir()) == []


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def put_together(part: Path, folder: Path) -> None:
    with disk_errors(folder), ResultTables(folder) as results:
        take_in_measures([part], results)


def test_a_disk_that_fills_leaves_what_was_finished(tmp_path: Path) -> None:
    """A part that does not fit is not there; the whole tables neither, and the parts stay."""
    many = pd.DataFrame({"seed": range(20_000), "value": np.random.default_rng(0).random(20_000)})
    (tmp_path / PARTS).mkdir()
    first, second = tmp_path / PARTS / "000000", tmp_path / PARTS / "000001"
    with PartWriter(first) as part:
        part.add("effects", many)
    with (
        small_disk(20_000),
        pytest.raises(ResultsFolderError, match="no room left on the disk"),
        PartWriter(second) as part,
    ):
        part.add("effects", many)
    assert [path.name for path in (tmp_path / PARTS).iterdir()] == ["000000"]
    with small_disk(20_000), pytest.raises(ResultsFolderError, match="no room left on the disk"):
        put_together(first, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))
    put_together(first, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "effects_by_seed.parquet"), many)


def test_ten_thousand_runs_are_planned_and_resumed_at_once(tmp_path: Path) -> None:
    """A whole part is known by its name: none is opened, whatever it holds."""
    done.clear()
    start = time.process_time()
    jobs = [Job(work, (batch,), len(batch)) for batch in batches(range(100, 10_100), 6)]
    for number in range(len(jobs) - 1):
        (tmp_path / PARTS / f"{number:06d}").mkdir(parents=True)
        (tmp_path / PARTS / f"{number:06d}" / "outcomes.parquet").write_bytes(b"not to be read")
    with claimed(tmp_path, PLAN):
        parts = list(completed(Workers(1), jobs, tmp_path, lambda: None))
    assert len(parts) == len(jobs) <= 400
    assert done == list(jobs[-1].arguments[0])
    assert time.process_time() - start < 3.0


def test_a_vanished_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultsFolderError, match="vanished"), PartWriter(tmp_path / "a/parts/0"):
        pass


@pytest.mark.parametrize(("runs", "together", "jobs", "most"), [(6, 6, 6, 1), (6000, 6, 356, 18)])
def test_many_small_runs_share_jobs(runs: int, together: int, jobs: int, most: int) -> None:
    found = batches(range(runs), together)
    assert len(found) == jobs
    assert max(map(len, found)) == most
    assert [run for batch in found for run in batch] == list(range(runs))


def test_parts_are_measured_by_whole_seeds() -> None:
    parts = [Path(name) for name in "abcdef"]
    groups = seeds_together(parts, [4, 2, 1, 1, 1, 1], 2)
    assert ["".join(map(str, group)) for group in groups] == ["a", "b", "cd", "ef"]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, "tests")
from test_collect import PLAN, completed, claimed, Job, Workers, outcomes

def slow(seed):
    time.sleep(0.0 if seed < 2 else 60.0)
    yield "outcomes", outcomes(seed)

folder = Path(sys.argv[1])
with claimed(folder, PLAN):
    list(completed(Workers(1), [Job(slow, (s,)) for s in (1, 2)], folder, lambda: None))
"""


def test_a_killed_run_is_completed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    end = time.monotonic() + 120
    while not list((tmp_path / PARTS).glob(".000001-*")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((tmp_path / PARTS).glob(".000001-*")), "the second job was cut off"
    done.clear()
    assert values(tmp_path, [1, 2]) == [2.0, 3.0]
    assert done == [2]


# ---------------------------------------------------------------- collecting


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four jobs: one finished, one unfinished, one failed, one never begun."""
    words = ["experiment=instruments", "shock.enforcement=0.25,0.5,0.75,1.0"]
    write_json(tmp_path / "multirun.yaml", {"hydra": {"overrides": {"task": words}}})
    for name in "012":
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "plan.json", {"overrides": []})
    outcomes(0).to_parquet(tmp_path / "0" / "outcomes.parquet")
    write_json(tmp_path / "0" / "manifest.json", {})
    (tmp_path / "1" / PARTS / "000000").mkdir(parents=True)
    outcomes(7).to_parquet(tmp_path / "1" / PARTS / "000000" / "outcomes.parquet")
    write_json(tmp_path / "2" / "failed.json", {"error": "gallium was not cleared"})
    return tmp_path


def test_a_sweep_becomes_one_table(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collecting.main([str(sweep)]) == 0
    table = pd.read_parquet(sweep / "collected.parquet")
    assert list(table["shock.enforcement"]) == ["0.25", "0.5"]
    assert list(table["value"]) == [1.0, 8.0]
    assert b"chokepoint_schema" in pq.read_schema(sweep / "collected.parquet").metadata
    listed = pd.read_csv(sweep / "jobs.csv", dtype=str)
    assert list(listed["state"]) == ["finished", "unfinished", "failed", "missing"]
    said = capsys.readouterr().out
    assert "failed: 2 experiment=instruments shock.enforcement=0.75 gallium was not" in said
    assert "missing: 3 experiment=instruments shock.enforcement=1.0" in said


def test_collecting_nothing_is_one_sentence(
    tmp_path: Path, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collecting.main([str(sweep), "--table", "monthly"]) == 2
    assert "No job of" in capsys.readouterr().err
    with pytest.raises(ResultsFolderError, match="holds no results"):
        jobs_below(tmp_path / "0" / "figures")
    assert list(job_table(jobs_below(sweep))["job"]) == ["0", "1", "2", "3"]
    assert collect(sweep)[0].name == "collected.parquet"
