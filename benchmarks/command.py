"""The command line, the running and the page that all sets of benchmarks share."""

import argparse
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from benchmarks import document
from benchmarks.rows import HEADER, Measured, aligned, cells_of, markdown
from experiments.command import CommandLine, folder_to_write, whole_number

BUSY = 0.5  # load, in processes, from which figures spread more than they should


def options(
    words: Sequence[str] | None,
    program: str,
    about: str | None,
    names: Collection[str],
    folder: Path,
    seeded: str,
) -> argparse.Namespace:
    """What a command line asks for: only, quick, seed, document and folder.

    Parameters
    ----------
    names
        The benchmarks, in the order in which they run.
    folder
        Where results go if the user names no other place.
    seeded
        What the seed draws, to end the sentence of its help.
    """

    def chosen_names(text: str) -> list[str]:
        wanted = text.split(",")
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"names no benchmark with '{', '.join(unknown)}'; choose among {', '.join(names)}"
            )
        return [name for name in names if name in wanted]

    parser = CommandLine(program, about)
    parser.add_argument(
        "--only", type=chosen_names, default=list(names), metavar="NAMES",
        help=f"measure these alone, separated by commas: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer and smaller, for a first look")
    parser.add_argument("--seed", type=whole_number(0), default=0, help=f"of the {seeded}")
    parser.add_argument(
        "--document", action="store_true", help="also write the table into docs/benchmarks.md"
    )
    parser.add_argument("--folder", type=folder_to_write, default=folder)
    chosen = parser.parse_args(words)
    if chosen.document and (chosen.quick or len(chosen.only) < len(names)):
        parser.error("--document takes a full run; leave out --only and --quick")
    return chosen


def measure[Scale](
    benchmarks: Mapping[str, Callable[[Scale, int], Measured]],
    only: Sequence[str],
    scale: Scale,
    seed: int,
) -> Measured:
    """Run the benchmarks named, printing the rows of each as it ends; a busy machine is noted."""
    busy, total = os.getloadavg()[0], Measured()
    for name in only:
        found = benchmarks[name](scale, seed)
        lines = [cells_of(row) for row in found.rows]
        if lines:
            print(f"\n{name}\n{aligned(HEADER, lines)}", flush=True)
        total.extend(found)
    if busy > BUSY:
        total.notes.append(f"The machine was busy with other work (load {busy:.1f} at the start).")
    return total


def write_page(marker: str, measured: Measured) -> None:
    """Put the table of a full run between the two lines of a marker of docs/benchmarks.md."""
    body = markdown(HEADER, [cells_of(row) for row in measured.rows])
    document.write_section(marker, "\n\n".join([document.machine(), body, *measured.notes]))
