"""Clear many wild markets and check each certificate: `python -m benchmarks.stress --help`.

What is drawn stands in `benchmarks/wild.py`. Every market has a seed of its own; those that fail
are named and can be looked at one by one with --replay.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from abm.market import Clearing, MarketNotCleared, Problem, clear
from benchmarks import document
from benchmarks.certificate import Gaps, gaps_of, resolution_of, stranded
from benchmarks.rows import aligned, markdown, shown
from benchmarks.wild import wild_market
from experiments.command import CommandLine, whole_number

CERTIFIED = 1e-9  # residual, relative to volume, by the solver's own account
LOOSER = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)  # tried where a market is not certified
CHECK_ONE_IN = 50
MOST_SEEDS = 20  # named in the summary


@dataclass
class Tally:
    """What became of the markets so far."""

    markets: int = 0
    certified: int = 0
    refused: int = 0  # and rightly so: no clearing exists
    rounded: int = 0  # met as closely as prices in double precision can, and no closer
    again: int = 0  # certified once more, from the clearing of another demand
    fell_back: int = 0
    checked: int = 0
    steps: int = 0
    worst: float = 0.0  # residual by the solver's account
    worst_gap: float = 0.0  # recomputed
    failures: dict[int, str] = field(default_factory=dict)  # seed -> what went wrong

    def add(self, seed: int, check: bool) -> None:
        """Clear the market of a seed and count what became of it."""
        self.markets += 1
        problem = wild_market(seed)
        hopeless = stranded(problem)
        try:
            found = clear(problem)
        except MarketNotCleared as error:
            if hopeless:
                self.refused += 1
            elif met_within_rounding(problem):
                self.rounded += 1
            else:
                self.failures[seed] = str(error)
            return
        except Exception as error:  # a fault of the solver must not end the run
            self.failures[seed] = f"{type(error).__name__}: {error}"
            return
        if hopeless:
            self.failures[seed] = "cleared, although demand without a choke is cut off"
            return
        self._count(seed, problem, found, check)

    def _count(self, seed: int, problem: Problem, found: Clearing, check: bool) -> None:
        residual = float(found.residual.max())
        self.worst = max(self.worst, residual)
        self.fell_back += bool(found.fell_back.any())
        self.steps += int(found.iterations.sum())
        if not residual <= CERTIFIED:
            self.failures[seed] = f"residual {residual:.2g}"
            return
        self.certified += 1
        if check:
            self.checked += 1
            self._recompute(seed, problem, found, "recomputed")
        self._clear_again(seed, problem, check)

    def _clear_again(self, seed: int, problem: Problem, check: bool) -> None:
        """Clear a certified market from a start: how it clears under another demand, if it does."""
        other = with_other_demand(problem, seed)
        try:
            start = clear(other)
        except MarketNotCleared as error:
            if not met_within_rounding(other):
                self.failures[seed] = f"under another demand, {error}"
            return
        try:
            found = clear(problem, start=start)
        except Exception as error:  # a fault of the solver must not end the run
            self.failures[seed] = f"from a start, {type(error).__name__}: {error}"
            return
        self.again += 1
        self.worst = max(self.worst, float(found.residual.max()))
        if check:
            self._recompute(seed, problem, found, "from a start, recomputed")

    def _recompute(self, seed: int, problem: Problem, found: Clearing, how: str) -> None:
        gaps = gaps_of(problem, found)
        self.worst_gap = max(self.worst_gap, gaps.worst)
        if not gaps.worst <= CERTIFIED + resolution_of(problem, found):
            self.failures[seed] = f"{how} {gaps}"


def with_other_demand(problem: Problem, seed: int) -> Problem:
    """The market with all needs and bids up or down, by some percent or by as much as ten times."""
    rng = np.random.default_rng([seed, 1])
    factor = rng.lognormal(0.0, rng.choice([0.02, 0.3, 1.0]))
    return replace(problem, need=problem.need * factor, bid_quantity=problem.bid_quantity * factor)


def closest(problem: Problem) -> tuple[float, Clearing] | None:
    """The strictest of the looser tolerances at which the market clears, and how."""
    for tolerance in LOOSER:
        try:
            return tolerance, clear(problem, tolerance=tolerance)
        except MarketNotCleared:
            continue
    return None


def met_within_rounding(problem: Problem) -> bool:
    """Whether a looser clearing is already as close as the rounding of prices allows.

    Judged by recomputation alone; the solver only proposes the prices.
    """
    near = closest(problem)
    return near is not None and gaps_of(problem, near[1]).worst <= resolution_of(problem, near[1])


def stress(seeds: Iterable[int], one_in: int = CHECK_ONE_IN) -> Tally:
    """Clear the market of every seed; one in so many is recomputed."""
    tally = Tally()
    for n, seed in enumerate(seeds):
        tally.add(seed, n % one_in == 0)
    return tally


def lines_of(tally: Tally) -> list[tuple[str, str]]:
    """The summary, a line a fact."""
    solvable = max(tally.markets - tally.refused, 1)
    return [
        ("markets", f"{tally.markets:,}"),
        (f"certified at {CERTIFIED:g}", f"{tally.certified:,}"),
        ("of these from another demand's clearing as well", f"{tally.again:,}"),
        ("no clearing exists, and refused", f"{tally.refused:,}"),
        ("met as closely as double precision can", f"{tally.rounded:,}"),
        ("failed", f"{len(tally.failures):,}"),
        ("worst residual, by the solver", shown(tally.worst)),
        (f"worst residual, recomputed for {tally.checked:,}", shown(tally.worst_gap)),
        ("needed the fallback", f"{100.0 * tally.fell_back / solvable:.2f} %"),
        ("Newton steps, mean", f"{tally.steps / solvable:.1f}"),
    ]


def failures_of(tally: Tally) -> list[str]:
    """The first failures, a line each, and how to look at one."""
    if not tally.failures:
        return []
    named = [f"seed {seed}: {text}" for seed, text in list(tally.failures.items())[:MOST_SEEDS]]
    seed = next(iter(tally.failures))
    return [*named, f"Look at one with: python -m benchmarks.stress --replay {seed}"]


def replay(seed: int) -> str:
    """What the market of a seed is and what becomes of it."""
    problem = wild_market(seed)
    markets, origins, destinations = problem.shape
    lines = [
        ("seed", str(seed)),
        ("markets, origins, destinations", f"{markets}, {origins}, {destinations}"),
        ("firms, terms, bids", f"{problem.capacity.size}, {problem.need.shape[2]}, "
            f"{problem.bid_quantity.shape[2]}"),
        ("limits", " ".join(f"{tonnes:.3g}" for tonnes in problem.limit) or "none"),
        ("dispersion, USD/kg", " ".join(f"{value:.3g}" for value in problem.dispersion)),
        ("highest ask, USD/kg", f"{problem.high_ask.max(initial=0.0):.3g}"),
        ("capacity, t/month", f"{problem.capacity.sum():.3g}"),
        ("demand without choke cut off", "yes" if stranded(problem) else "no"),
    ]  # fmt: skip
    try:
        near: tuple[float, Clearing] | None = CERTIFIED, clear(problem)
    except MarketNotCleared as error:
        lines.append(("not certified", str(error)))
        near = closest(problem)
    if near is not None:
        lines += outcome(problem, *near)
    return aligned(*split(lines))


def outcome(problem: Problem, tolerance: float, found: Clearing) -> list[tuple[str, str]]:
    gaps: Gaps = gaps_of(problem, found)
    return [
        ("cleared at", f"{tolerance:g}"),
        ("prices, USD/kg", np.array2string(found.origin_price, precision=6)),
        ("rents, USD/kg", np.array2string(found.rent, precision=6)),
        ("Newton steps", str(found.iterations.tolist())),
        ("fell back", str(found.fell_back.tolist())),
        ("residual, by the solver", f"{found.residual.max():.2g}"),
        ("residual, recomputed", f"{gaps.worst:.2g}: {gaps}"),
        ("rounding of prices", f"{resolution_of(problem, found):.2g}"),
    ]


def split(lines: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    """The first line and the rest, as a table's header and body."""
    return lines[0], list(lines[1:])


def options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandLine("python -m benchmarks.stress", "Clear many wild markets.")
    parser.add_argument(
        "--markets", type=whole_number(1), default=100_000, help="how many (100,000)"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of the first (0); the rest follow"
    )
    parser.add_argument(
        "--check", type=whole_number(1), default=CHECK_ONE_IN, metavar="N",
        help=f"recompute one in N ({CHECK_ONE_IN})",
    )  # fmt: skip
    parser.add_argument("--replay", type=whole_number(0), metavar="SEED", help="look at one market")
    parser.add_argument(
        "--document", action="store_true", help="also write the figures into docs/benchmarks.md"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Returns 1 where a market failed."""
    chosen = options(words)
    if chosen.replay is not None:
        print(replay(chosen.replay))
        return 0
    seeds = range(chosen.seed, chosen.seed + chosen.markets)
    tally = stress(tqdm(seeds, unit="market", disable=None, desc="Clearing"), chosen.check)
    lines = lines_of(tally)
    print("\n".join([aligned(*split(lines)), *failures_of(tally)]))
    if chosen.document:
        document.write_section("stress table", markdown(("wild markets", ""), lines))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
