"""A solve in units of one compiled evaluation of excess demand, below which no solver can go.

In two units: an evaluation in plain loops over the problem as it is posed, and the core's own, some
two times quicker, from supply graphs that are drawn already.
"""

from dataclasses import replace

import numpy as np

from abm.market import Clearing, Problem, clear
from benchmarks.core import solve_seconds
from benchmarks.evaluation import evaluation_seconds
from benchmarks.markets import markets, single, with_controls
from benchmarks.plain import plain_seconds
from benchmarks.rows import Measured, at_most

MOVED = 1.03  # demand of the month after, for the warm start


def measure(groups: int, size: int, repeats: int, seed: int, *, warm: bool) -> Measured:
    """Rows over so many groups of markets of the reference size, each group in one batch.

    Cold, or `warm` from the clearing before demand moved.
    """
    rng = np.random.default_rng(seed)
    name = "warm" if warm else "cold"
    unit, own_unit, inside, call, alone, steps = [], [], [], [], [], []
    for _ in range(groups):
        free = markets(rng, size)
        problem = with_controls(free, clear(free))
        moved = replace(problem, need=problem.need * MOVED)
        start = clear(problem) if warm else None
        found = clear(moved, start=start)
        unit.append(plain_seconds(moved, found, repeats))
        own_unit.append(evaluation_seconds(moved, found, repeats))
        whole, compiled = solve_seconds(moved, repeats, start)
        call.append(whole / size)
        inside.append(compiled / size)
        steps.append(found.iterations.mean())
        one, before = alone_in_batch(moved, problem if warm else None)
        alone.append(solve_seconds(one, repeats, before)[0])
    measured = Measured()
    goal = at_most(5.0 if warm else 15.0)
    plain, own, compiled_part = np.array(unit), np.array(own_unit), np.array(inside)
    measured.add("one plain evaluation of excess demand", 1e6 * plain, "µs")
    measured.add("one evaluation as the core makes it", 1e6 * own, "µs")
    measured.add(f"{name} solve, compiled part", 1e6 * compiled_part, "µs")
    measured.add(f"{name} solve, compiled part", compiled_part / plain, "plain evaluations", goal)
    measured.add(f"{name} solve, compiled part", compiled_part / own, "of the core's own", goal)
    whole_call = np.array(call) / plain
    measured.add(f"{name} solve, whole call of {size} markets", whole_call, "plain evaluations")
    alone_call = np.array(alone) / plain
    measured.add(f"{name} solve, whole call of one market", alone_call, "plain evaluations")
    measured.add(f"Newton steps, {name}", steps, "a market")
    for own_unit_too, (series, each) in enumerate((("plain", plain), ("the core's", own))):
        place = [2 * warm + own_unit_too] * groups
        measured.draw("evaluations a solve", f"{name},\n{series}", place, compiled_part / each)
    return measured


def alone_in_batch(moved: Problem, problem: Problem | None) -> tuple[Problem, Clearing | None]:
    """The first market of a batch by itself under its own controls, and where to start it from."""
    free = single(moved, 0)
    if problem is None:
        return with_controls(free, clear(free)), None
    earlier = single(problem, 0)
    controls = clear(earlier)
    return with_controls(free, controls), clear(with_controls(earlier, controls))
