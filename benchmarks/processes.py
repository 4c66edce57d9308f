"""What only a process of its own can show: first use with its compilation, and allocations."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import Measured, at_most

ROOT = Path(__file__).resolve().parents[1]

FIRST_USE = """
from time import process_time
start = process_time()
import numpy, numba
libraries = process_time() - start
start = process_time()
from abm.market import clear
core = process_time() - start
from benchmarks.markets import markets
problem = markets(numpy.random.default_rng(0), 2)
start = process_time()
clear(problem, start=clear(problem))
core += process_time() - start
import json
print(json.dumps({"libraries": libraries, "core": core}))
"""

ALLOCATIONS = """
import json, sys
import numpy
from numba.core.runtime import rtsys
from abm.market import clear
from benchmarks.markets import markets, with_controls

def count(problem, tolerance):
    before = rtsys.get_allocation_stats().alloc
    found = clear(problem, tolerance=tolerance)
    return rtsys.get_allocation_stats().alloc - before, found

rng = numpy.random.default_rng(int(sys.argv[1]))
answer = {}
for number in map(int, sys.argv[2:]):
    free = markets(rng, number)
    problem = with_controls(free, clear(free))
    loose, early = count(problem, 1e-1)
    tight, late = count(problem, 1e-9)
    answer[number] = {
        "loose": loose, "tight": tight,
        "more_steps": int((late.iterations - early.iterations).sum()),
        "fell_back": int(late.fell_back.sum()),
    }
print(json.dumps(answer))
"""


def run(code: str, *words: str, **variables: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"A fresh process failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def first_use(again: int) -> Measured:
    """The first cold and warm solve of a process: without a cache of machine code, then with it."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = run(FIRST_USE, NUMBA_CACHE_DIR=folder)
        cached = [run(FIRST_USE, NUMBA_CACHE_DIR=folder) for _ in range(again)]
    measured = Measured()
    measured.add("first use, compilation included", fresh["core"], "s", at_most(25.0))
    later = [times["core"] for times in cached]
    measured.add("first use, from the cache", later, "s", at_most(1.0))
    libraries = [times["libraries"] for times in [fresh, *cached]]
    measured.add("importing NumPy and Numba (not counted above)", libraries, "s")
    return measured


def allocations(few: int, many: int, seed: int) -> Measured:
    """What compiled code allocates for a batch, counted by Numba, by markets and by steps."""
    counts = run(ALLOCATIONS, str(seed), str(few), str(many), NUMBA_NRT_STATS="1")
    small, large = counts[str(few)], counts[str(many)]
    measured = Measured()
    for number, count in ((few, small), (many, large)):
        measured.add(f"allocations of a batch of {number:,}", count["tight"], "")
    by_market = (large["tight"] - small["tight"]) / (many - few)
    measured.add("allocations per further market", by_market, "", at_most(0.0))
    steps = large["more_steps"]
    by_step = (large["tight"] - large["loose"]) / steps if steps else float("nan")
    measured.add(f"allocations per further Newton step, {steps} more", by_step, "", at_most(0.0))
    measured.add("markets of the larger batch that fell back", large["fell_back"], "")
    return measured
