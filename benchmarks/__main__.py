"""Measure the market-clearing core and write table and figure: `python -m benchmarks --help`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cold, command, conic, figure, floor, processes, scaling
from benchmarks.rows import Measured, points_of, table_of

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    instances: int  # random markets against each rival
    groups: int  # batches in which a solve is compared with an evaluation
    size: int  # markets in each of them
    repeats: int  # of which the quickest counts
    batches: tuple[int, ...]
    threaded: int  # markets shared among threads
    origins: tuple[int, ...]
    firms: tuple[int, ...]
    counted: tuple[int, int]  # markets in the batches whose allocations are counted
    again: int  # uses from the cache


FULL = Scale(
    instances=60, groups=20, size=50, repeats=5,
    batches=(1, 10, 100, 1_000, 10_000, 100_000), threaded=2_000,
    origins=(5, 12, 35, 80, 150, 250), firms=(100, 10_000, 100_000, 1_000_000),
    counted=(10, 1_000), again=5,
)  # fmt: skip
QUICK = Scale(
    instances=8, groups=4, size=20, repeats=3,
    batches=(1, 10, 100, 1_000), threaded=300,
    origins=(5, 12, 35), firms=(100, 10_000, 50_000),
    counted=(10, 100), again=1,
)  # fmt: skip


def both(first: Measured, second: Measured) -> Measured:
    first.extend(second)
    return first


Benchmark = Callable[[Scale, int], Measured]
BENCHMARKS: dict[str, Benchmark] = {
    "cold": lambda s, seed: both(
        cold.measure(s.instances, s.repeats, seed),
        floor.measure(s.groups, s.size, s.repeats, seed, warm=False),
    ),
    "warm": lambda s, seed: floor.measure(s.groups, s.size, s.repeats, seed, warm=True),
    "conic": lambda s, seed: conic.measure(s.instances, s.repeats, seed),
    "batch": lambda s, seed: scaling.batch(s.batches, s.repeats, seed),
    "threads": lambda s, seed: scaling.threads(s.threaded, s.repeats, seed),
    "origins": lambda s, seed: scaling.origins(s.origins, 4, s.repeats, seed),
    "firms": lambda s, seed: scaling.firms(s.firms, s.repeats, seed),
    "allocations": lambda s, seed: processes.allocations(*s.counted, seed),
    "first-use": lambda s, seed: processes.first_use(s.again),
}


def options(words: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    folder = ROOT / "results" / "bench"
    return command.options(
        words, "python -m benchmarks", __doc__, BENCHMARKS, folder, "random markets"
    )


def write(measured: Measured, folder: Path) -> list[Path]:
    """Write the table and the points as CSV and the figure as PNG and PDF; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    table, points = folder / "table.csv", folder / "points.csv"
    table_of(measured.rows).to_csv(table, index=False)
    found = points_of(measured)
    found.to_csv(points, index=False)
    return [table, points, *figure.save(figure.figure_of(found), folder, "bench")]


def main(words: Sequence[str] | None = None) -> int:
    chosen = options(words)
    scale = QUICK if chosen.quick else FULL
    measured = command.measure(BENCHMARKS, chosen.only, scale, chosen.seed)
    paths = write(measured, chosen.folder)
    print("\n".join(["", *measured.notes]))
    print("\nWritten:", ", ".join(map(str, paths)))
    if chosen.document:
        command.write_page("benchmarks table", measured)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
