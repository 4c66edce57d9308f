"""How the time of a solve grows with markets, threads, origins and firms."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from time import perf_counter

import numpy as np

from abm.market import Problem, clear
from benchmarks.core import seconds_of, solve_seconds
from benchmarks.markets import markets, with_controls
from benchmarks.rows import Measured, Target, at_least, at_most

SMALL = {"origins": 5, "destinations": 8, "firms": 20}  # so that 100,000 markets fit in memory
ROUNDS = 4  # of threads, in each repetition: another program on a core must not decide
LINEAR_FROM = 100  # markets; below, the fixed cost of a call counts
FLAT = 2.0


def limited(seed: int, count: int = 1, **size: int) -> Problem:
    """Random markets under quotas and bans."""
    free = markets(np.random.default_rng(seed), count, **size)
    return with_controls(free, clear(free))


def batch(sizes: Sequence[int], repeats: int, seed: int) -> Measured:
    """One call over more and more markets."""
    each = []
    for count in sizes:
        problem = limited(seed, count, **SMALL)
        each.append(solve_seconds(problem, repeats if count < 10_000 else 2)[0] / count)
    measured = Measured()
    for count, seconds in ((sizes[0], each[0]), (sizes[-1], each[-1])):
        measured.add(f"time per small market, batch of {count:,}", 1e6 * seconds, "µs")
    large = np.array(sizes) >= LINEAR_FROM
    sizes_there, there = np.array(sizes)[large], np.array(each)[large]
    if there.size > 1:
        power = 1.0 + np.polyfit(np.log(sizes_there), np.log(there), 1)[0]
        goal = Target("<=", 1.1)
        measured.add(f"growth of time from {LINEAR_FROM} markets on", power, "power", goal)
    measured.draw("time per market (µs)", "one thread", sizes, 1e6 * np.array(each))
    return measured


def threads(count: int, repeats: int, seed: int) -> Measured:
    """One batch on two threads instead of one."""
    measured = Measured()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    problem = limited(seed, count)
    clear(problem, threads=2)
    seconds: dict[str, list[float]] = {"one": [], "two": [], "alone": [], "both": []}
    with ThreadPoolExecutor(2) as pool:
        works = {
            "one": lambda: clear(problem),
            "two": lambda: clear(problem, threads=2),
            "alone": lambda: list(pool.map(apart, range(1))),
            "both": lambda: list(pool.map(apart, range(2))),
        }
        for _ in range(ROUNDS * repeats):
            for name, work in works.items():
                seconds[name].append(seconds_of(work, 1, perf_counter))
    one, two, alone, together = (np.array(times) for times in seconds.values())
    name = f"two threads on {cores} cores, {count:,} markets"
    measured.add(name, one.min() / two.min(), "×", at_least(1.8))
    measured.add("the same, round by round", one / two, "×")
    measured.add("two threads that share nothing", 2.0 * alone.min() / together.min(), "×")
    measured.add("the same, round by round", 2.0 * alone / together, "×")
    return measured


def apart(number: int) -> str:
    """Some 20 ms of work on next to no memory, that no other thread waits for."""
    digest = b"0" * 64_000
    for _ in range(500):
        digest = blake2b(digest).digest() * 1_000
    return digest.hex()


def origins(numbers: Sequence[int], instances: int, repeats: int, seed: int) -> Measured:
    """More and more origins, with 20 firms each and 35 destinations; the compiled part."""
    destinations = 35
    each = []
    for number in numbers:
        problem = limited(
            seed, instances, origins=number, destinations=destinations, firms=20 * number
        )
        arcs = instances * number * destinations
        each.append(1e9 * solve_seconds(problem, repeats)[1] / arcs)
    measured = Measured()
    span = f"{numbers[0]} to {numbers[-1]} origins"
    measured.add(f"time per arc, {span}", each, "ns")
    measured.add("its highest ÷ lowest", max(each) / min(each), "×", at_most(FLAT))
    measured.draw("time per arc (ns)", "compiled part", numbers, each)
    return measured


def firms(numbers: Sequence[int], repeats: int, seed: int) -> Measured:
    """More and more firms in a market of the reference size.

    A market has a cost without regard to firms, so what counts is the time that each further firm
    adds to the smallest number; the next should be far above it, or that cost's own spread shows.
    The compiled part, and the whole call, which sorts the asks.
    """
    whole, inside = [], []
    for number in numbers:
        instances = max(1, min(32, 100_000 // number))  # steps vary from market to market
        problem = limited(seed, instances, firms=number)
        seconds = solve_seconds(problem, repeats)
        whole.append(1e9 * seconds[0] / instances)
        inside.append(1e9 * seconds[1] / instances)
    measured = Measured()
    more = np.array(numbers[1:]) - numbers[0]
    span = f"from {numbers[0]:,} to {numbers[-1]:,}"
    for name, times in (("compiled part", inside), ("whole call", whole)):
        added = (np.array(times[1:]) - times[0]) / more
        spread = added.max() / added.min() if added.min() > 0.0 else np.inf
        measured.add(f"time per firm added, {span}, {name}", added, "ns")
        measured.add(f"its highest ÷ lowest, {name}", spread, "×", at_most(FLAT))
        measured.draw("time per firm added (ns)", name, numbers[1:], added)
    return measured
