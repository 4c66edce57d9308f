"""The same market as a convex program, solved by Clarabel.

With specific wedges and demand by bids, a clearing minimises sellers' cost less buyers' worth plus
the dispersion's relative entropy: sum of asks' and bids' quadratics + wedges x flow + theta x sum
of flow x log(flow / (weight x demand)), under the balances of origins and destinations and the
limits. The balances' multipliers are the prices, the limits' the rents.
"""

import importlib
from time import process_time
from typing import Any

import numpy as np
from scipy import sparse

from abm.market import Clearing, Problem, clear
from benchmarks.core import solve_seconds
from benchmarks.limits import limit_arcs
from benchmarks.markets import convex, markets, single, with_controls
from benchmarks.rows import Measured, at_least, at_most

DEFAULT = 1e-8  # Clarabel's own tolerance, at which it is timed
TIGHT = 1e-11  # at which prices are compared: the default leaves them uncertain to some 1e-5


class Stalled(RuntimeError):
    """Clarabel ended before it reached its tolerance."""


class Program:
    """Variables are firms' sales, bids' purchases, flows, entropies and demands, in this order."""

    def __init__(self, problem: Problem) -> None:
        _, self.origins, self.destinations = problem.shape
        self.p = problem
        arcs = self.origins * self.destinations
        bids = problem.bid_quantity[0].size
        sizes = [problem.capacity.size, bids, arcs, arcs, self.destinations]
        self.firm, self.bid, self.flow, self.entropy, self.demand = np.split(
            np.arange(sum(sizes)), np.cumsum(sizes)[:-1]
        )
        self.size = sum(sizes)

    def objective(self) -> tuple[sparse.csc_matrix, np.ndarray]:
        """Quadratic and linear part."""
        p, theta = self.p, self.p.dispersion[0]
        bid = p.bid_quantity[0].ravel()
        diagonal, linear = np.zeros(self.size), np.zeros(self.size)
        diagonal[self.firm] = (p.high_ask - p.low_ask) / p.capacity
        linear[self.firm] = p.low_ask
        diagonal[self.bid] = (p.bid_high - p.bid_low)[0].ravel() / bid
        linear[self.bid] = -p.bid_high[0].ravel()
        linear[self.flow] = (p.price_addition[0] - theta * p.log_weight[0]).ravel()
        linear[self.entropy] = theta
        return sparse.diags(diagonal, format="csc"), linear

    def balances(self) -> sparse.csc_matrix:
        """Zero: flows less sales of each origin, demand less flows, purchases less demand."""
        i, j = np.divmod(np.arange(self.flow.size), self.destinations)
        origin = np.repeat(np.arange(self.origins), np.diff(self.p.firm_offset[0]))
        buyer = np.repeat(np.arange(self.destinations), self.bid.size // self.destinations)
        arrives, buys = self.origins, self.origins + self.destinations
        here = np.arange(self.destinations)
        blocks = [
            (origin, self.firm, -1.0), (i, self.flow, 1.0),
            (arrives + here, self.demand, 1.0), (arrives + j, self.flow, -1.0),
            (buys + buyer, self.bid, 1.0), (buys + here, self.demand, -1.0),
        ]  # fmt: skip
        return matrix(blocks, (buys + self.destinations, self.size))

    def bounds(self) -> tuple[sparse.csc_matrix, np.ndarray]:
        """Rows at most their right side: limits first, then capacities and bids, none below 0."""
        p = self.p
        limits = p.limit.size
        group, arc = limit_arcs(p)
        amounts = np.concatenate([self.firm, self.bid])
        rows = np.arange(amounts.size)
        flow = self.flow[arc[:, 1] * self.destinations + arc[:, 2]]
        blocks = [
            (group, flow, 1.0),
            (limits + rows, amounts, 1.0),
            (limits + amounts.size + rows, amounts, -1.0),
        ]
        most = np.concatenate([p.limit, p.capacity, p.bid_quantity[0].ravel()])
        right = np.concatenate([most, np.zeros(amounts.size)])
        return matrix(blocks, (right.size, self.size)), right

    def cones(self) -> sparse.csc_matrix:
        """Minus the rows (-entropy, flow, demand) of each arc: in the exponential cone."""
        _, j = np.divmod(np.arange(self.flow.size), self.destinations)
        row = 3 * np.arange(self.flow.size)
        blocks = [
            (row, self.entropy, 1.0), (row + 1, self.flow, -1.0), (row + 2, self.demand[j], -1.0),
        ]  # fmt: skip
        return matrix(blocks, (3 * self.flow.size, self.size))

    def solve(self, clarabel: Any, tolerance: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Seconds, prices [I] and rents [G].

        The time is Clarabel's own, or the processor's if that is less: it had to wait then.

        Raises Stalled where Clarabel does not report the program as solved to the tolerance.
        """
        quadratic, linear = self.objective()
        equal, (below, right), cones = self.balances(), self.bounds(), self.cones()
        rows = sparse.vstack([equal, below, cones], format="csc")
        sides = np.concatenate([np.zeros(equal.shape[0]), right, np.zeros(cones.shape[0])])
        kinds = [
            clarabel.ZeroConeT(equal.shape[0]),
            clarabel.NonnegativeConeT(below.shape[0]),
            *[clarabel.ExponentialConeT()] * self.flow.size,
        ]
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
        solver = clarabel.DefaultSolver(quadratic, linear, rows, sides, kinds, settings)
        start = process_time()
        found = solver.solve()
        spent = process_time() - start
        if str(found.status) != "Solved":
            raise Stalled(f"Clarabel ended with {found.status}.")
        dual = np.asarray(found.z)
        first = equal.shape[0]
        return (
            min(found.solve_time, spent),
            dual[: self.origins],
            dual[first : first + self.p.limit.size],
        )


def matrix(
    blocks: list[tuple[np.ndarray, np.ndarray, float]], shape: tuple[int, int]
) -> sparse.csc_matrix:
    """A sparse matrix from (rows, columns, value) blocks."""
    rows = np.concatenate([block[0] for block in blocks])
    columns = np.concatenate([block[1] for block in blocks])
    values = np.concatenate([np.full(len(block[0]), block[2]) for block in blocks])
    return sparse.csc_matrix((values, (rows, columns)), shape=shape)


def price_gap(found: Clearing, price: np.ndarray, rent: np.ndarray, banned: np.ndarray) -> float:
    """Largest relative gap of prices, and of rents relative to the highest price."""
    ours = found.origin_price[0]
    apart = np.abs(found.rent - rent)[~banned]
    return float(max(np.abs(price / ours - 1.0).max(), apart.max(initial=0.0) / ours.max()))


def measure(instances: int, repeats: int, seed: int) -> Measured:
    """Rows of the comparison over so many random markets of the reference size."""
    measured = Measured()
    try:
        clarabel = importlib.import_module("clarabel")
    except ImportError:
        measured.notes.append("Not compared with Clarabel: the package clarabel is not installed.")
        return measured
    free = convex(markets(np.random.default_rng(seed), instances))
    limited = with_controls(free, clear(free))
    per_market = solve_seconds(limited, repeats)[1] / instances
    ours, theirs, gaps = [], [], []
    for b in range(instances):
        alone = single(free, b)
        problem = with_controls(alone, clear(alone))
        program = Program(problem)
        try:
            seconds = min(program.solve(clarabel, DEFAULT)[0] for _ in range(min(repeats, 3)))
            _, price, rent = program.solve(clarabel, TIGHT)
        except Stalled:
            continue
        theirs.append(seconds)
        gaps.append(price_gap(clear(problem), price, rent, problem.limit == 0.0))
        ours.append(solve_seconds(problem, repeats)[0])
    ratios = np.array(theirs) / np.array(ours)
    goal = at_least(200.0)
    measured.add("Clarabel's solve time", 1e6 * np.array(theirs), "µs")
    measured.add("Clarabel ÷ cold solve, one call each", ratios, "×", goal)
    batched = np.array(theirs) / per_market
    measured.add("Clarabel ÷ cold solve, within one batch", batched, "×", goal)
    measured.add(
        "largest gap of prices and rents to Clarabel", max(gaps), "relative", at_most(1e-6)
    )
    stalled = instances - len(gaps)
    measured.add("markets on which Clarabel stalled, left out", stalled, f"of {instances}")
    for place, (how, each) in enumerate((("one call", ratios), ("in a batch", batched)), start=2):
        measured.draw("times quicker than", f"Clarabel,\n{how}", [place] * len(each), each)
    return measured
