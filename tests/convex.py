"""Clear markets as one convex program, solved by a conic solver, to judge the compiled core by.

With specific wedges (factor 1) and no floors, prices are the multipliers of the program

    least   sum_f  integral of the ask over s_f          what supply costs
          - sum_jn integral of the bid over d_jn         what buyers would pay
          + sum_ij x_ij (addition_ij - theta log w_ij)   transport, less a taste for the origin
          + theta sum_ij x_ij log(x_ij / X_j)            dispersion, with X_j = sum_i x_ij
    with    sum_j x_ij = sum_(f in i) s_f                price of origin i
            sum_i x_ij = sum_n d_jn                      landed price of j
            sum_(ij in g) x_ij <= Q_g                    rent of limit g
            0 <= s_f <= K_f,  0 <= d_jn <= q_jn,  x_ij >= 0.

The derivative of the dispersion term by x_ij is theta log(x_ij / X_j): at an optimum the share of
origin i is w_ij exp((P_j - p_i - addition_ij - rents) / theta), the logit, and since shares sum to
one P_j is its index. Without that term this is the net social payoff of Samuelson (1952) and of
Takayama and Judge (1964), the classical equilibrium of one homogeneous good.

`python -m tests.convex [problems]` compares that many random problems and prints how far apart the
two answers are.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from abm.market import Clearing, Problem, clear
from tests.batches import limited, limits_of
from tests.markets import market, with_bids

CAUTIOUS = {"max_step_fraction": 0.8, "min_terminate_step_length": 1e-8}
# Tried in turn: not every program can be solved to the first.
PRECISIONS = (1e-12, 1e-11, 1e-10, 1e-9, 1e-8)
TRADED = 1e-4  # of the volume: below it a price hardly matters, and at zero it is not unique


@dataclass(frozen=True)
class Optimum:
    """Solution of the program; axes and units as in `Clearing`."""

    origin_price: np.ndarray  # [B, I] NaN where all arcs are closed
    landed_price: np.ndarray  # [B, J] NaN where all arcs are closed
    rent: np.ndarray  # [G]
    flow: np.ndarray  # [B, I, J]
    demand: np.ndarray  # [B, J]
    sales: np.ndarray  # [F], or as the supply that was given


def open_arcs(problem: Problem) -> np.ndarray:
    """[B, I, J] arcs that neither a weight, a ban nor an origin without firms closes."""
    usable = problem.log_weight > -np.inf
    total = np.concatenate([[0.0], np.cumsum(problem.capacity)])
    usable &= (np.diff(total[problem.firm_offset], axis=1) > 0.0)[:, :, None]
    for tonnes, arcs in limits_of(problem):
        if tonnes == 0.0:
            usable[tuple(np.transpose(arcs))] = False
    return usable


def incidence(row: np.ndarray, column: np.ndarray, rows: int, columns: int) -> csr_array:
    return csr_array((np.ones(len(row)), (row, column)), shape=(rows, columns))


def limit_matrix(problem: Problem, arcs: tuple[np.ndarray, ...]) -> np.ndarray:
    """[G, arcs] one where the arc is under the limit."""
    limits = limits_of(problem)
    under = [[arc in group for arc in zip(*arcs, strict=True)] for _, group in limits]
    return np.array(under, float).reshape(len(limits), arcs[0].size)


def ramp_area(
    start: np.ndarray, rise: np.ndarray, full: np.ndarray, part: cp.Variable
) -> cp.Expression:
    """Area under straight curves from `start`, which rise by `rise` over `full` tonnes."""
    return start @ part + cp.sum(cp.multiply(rise / (2.0 * full), cp.square(part)))


def isoelastic_worth(
    need: float, reference: float, elasticity: float, bought: cp.Expression
) -> cp.Expression:
    """Integral of reference x (bought / need)^(-1/elasticity), up to a constant."""
    if elasticity == 1.0:
        return reference * need * cp.log(bought)
    power = 1.0 - 1.0 / elasticity
    return reference * need / power * cp.power(bought / need, power, approx=False)


@dataclass(frozen=True)
class Side:
    """Supply or demand: its variable, what arrives at each origin or destination, its money."""

    variable: cp.Variable
    tonnes: cp.Expression  # [B*I] or [B*J]
    money: cp.Expression  # cost of supply, worth of demand
    rules: list[cp.Constraint]


def supply_side(problem: Problem) -> Side:
    """Firms on their ramps."""
    markets, origins, _ = problem.shape
    sales = cp.Variable(problem.capacity.size, nonneg=True)
    ends = problem.firm_offset
    origin = np.repeat(np.arange(markets * origins), np.diff(ends, axis=1).ravel())
    firms = np.concatenate([np.arange(row[0], row[-1]) for row in ends])
    cost = ramp_area(problem.low_ask, problem.high_ask - problem.low_ask, problem.capacity, sales)
    matrix = incidence(origin, firms, markets * origins, sales.size)
    return Side(sales, matrix @ sales, cost, [sales <= problem.capacity])


def demand_side(problem: Problem) -> Side:
    """Bids on their ramps, and isoelastic terms without a backstop."""
    markets, _, destinations = problem.shape
    places = np.arange(markets * destinations)
    quantity, low, high = (
        v.reshape(places.size, -1)
        for v in (problem.bid_quantity, problem.bid_low, problem.bid_high)
    )
    need, reference, elasticity = (
        v.reshape(places.size, -1)
        for v in (problem.need, problem.reference_price, problem.elasticity)
    )
    bid, term = np.nonzero(quantity), np.nonzero(need)
    if np.isfinite(problem.backstop_price.reshape(places.size, -1)[term]).any():
        raise ValueError("The convex program knows no backstop price; write such demand as bids.")
    bought = cp.Variable(bid[0].size + term[0].size, nonneg=True)
    ordered, wanted = bought[: bid[0].size], bought[bid[0].size :]
    worth = ramp_area(high[bid], (low - high)[bid], quantity[bid], ordered)
    rules = [ordered <= quantity[bid]]
    for n, place in enumerate(zip(*term, strict=True)):
        if elasticity[place] == 0.0:
            rules.append(wanted[n] == need[place])
        else:
            worth += isoelastic_worth(need[place], reference[place], elasticity[place], wanted[n])
    matrix = incidence(
        np.concatenate([bid[0], term[0]]), np.arange(bought.size), places.size, bought.size
    )
    return Side(bought, matrix @ bought, worth, rules)


def solve(program: cp.Problem) -> None:
    """Solve to the tightest precision that the solver certifies; RuntimeError if to none."""
    for gap in PRECISIONS:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Solution may be inaccurate")
            precision = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), gap)
            program.solve(solver=cp.CLARABEL, **CAUTIOUS, **precision)
        if program.status == cp.OPTIMAL:
            return
    raise RuntimeError(f"The conic solver ends with status {program.status}.")


def optimum(problem: Problem, dispersed: bool = True, supply: Side | None = None) -> Optimum:
    """The program's solution.

    `dispersed=False` leaves the dispersion and all weights out; `supply` replaces the ramps of the
    problem's firms by other curves. RuntimeError if the solver certifies no solution.
    """
    markets, origins, destinations = problem.shape
    b, i, j = arcs = np.nonzero(open_arcs(problem))
    supply, demand = supply or supply_side(problem), demand_side(problem)
    flow = cp.Variable(b.size, nonneg=True)
    rows = np.arange(b.size)
    leaving = incidence(b * origins + i, rows, markets * origins, b.size)
    arriving = incidence(b * destinations + j, rows, markets * destinations, b.size)
    price = supply.tonnes == leaving @ flow
    landed = demand.tonnes == arriving @ flow
    rent = limit_matrix(problem, arcs) @ flow <= problem.limit
    cost = supply.money - demand.money + problem.price_addition[arcs] @ flow
    if dispersed:
        theta = problem.dispersion[b]
        into = (arriving.T @ arriving) @ flow
        cost += theta @ cp.rel_entr(flow, into) - (theta * problem.log_weight[arcs]) @ flow
    solve(cp.Problem(cp.Minimize(cost), [price, landed, rent, *supply.rules, *demand.rules]))
    flows = np.zeros(problem.shape)
    flows[arcs] = flow.value
    closed = ~open_arcs(problem)
    return Optimum(
        origin_price=np.where(closed.all(axis=2), np.nan, -price.dual_value.reshape(markets, -1)),
        landed_price=np.where(closed.all(axis=1), np.nan, landed.dual_value.reshape(markets, -1)),
        rent=np.where(problem.limit > 0.0, rent.dual_value, 0.0),
        flow=flows,
        demand=flows.sum(axis=1),
        sales=supply.variable.value,
    )


def random_market(seed: int) -> Problem:
    """Bids on ramps, a ban, and limits that overlap: exports, a corridor, a licence."""
    rng = np.random.default_rng(seed)
    problem = with_bids(market(rng, *rng.integers(2, 7, 2).tolist()), rng, 3)
    problem = replace(
        problem,
        need=np.zeros_like(problem.need),
        price_factor=np.ones_like(problem.price_factor),
        dispersion=10.0 ** rng.uniform(-0.5, 0.7, 1),
    )
    _, origins, destinations = problem.shape
    i, j, banned = rng.integers(origins), rng.integers(destinations), rng.integers(origins)
    exports = [(0, int(i), k) for k in range(destinations) if k != i]
    corridor = [(0, k, int(j)) for k in range(origins)]
    ban = [(0, int(banned), k) for k in range(destinations) if k == j or rng.random() < 0.4]
    free = clear(problem).flow[0]
    return limited(
        problem,
        [
            (rng.uniform(0.2, 1.2) * free[i].sum(), exports),
            (rng.uniform(0.2, 1.2) * free[:, j].sum(), corridor),
            (rng.uniform(0.3, 2.0) * free[i, 0], [(0, int(i), 0)]),
            (0.0, ban),
        ],
    )


def arc_rents(problem: Problem, rent: np.ndarray) -> np.ndarray:
    """[B, I, J] the rents of all limits on each arc: unique where single rents are not."""
    rents = np.zeros(problem.shape)
    for value, (_, arcs) in zip(rent, limits_of(problem), strict=True):
        rents[tuple(np.transpose(arcs))] += value
    return rents


def differences(problem: Problem, found: Clearing, best: Optimum) -> dict[str, float]:
    """Largest gaps: flows over volume, prices relative, rents over the dearest landed price."""
    volume = best.flow.sum()
    selling = best.flow.sum(axis=2) > TRADED * volume
    buying = best.flow.sum(axis=1) > TRADED * volume
    trading = best.flow > TRADED * volume
    rents = arc_rents(problem, found.rent)[trading] - arc_rents(problem, best.rent)[trading]
    gaps = {
        "flow": (found.flow - best.flow) / volume,
        "sales": (found.sales - best.sales) / volume,
        "origin price": found.origin_price[selling] / best.origin_price[selling] - 1.0,
        "landed price": found.landed_price[buying] / best.landed_price[buying] - 1.0,
        "rent": rents / best.landed_price[buying].max(),
    }
    return {name: float(np.abs(gap).max(initial=0.0)) for name, gap in gaps.items()}


def compare(seeds: Sequence[int]) -> pd.DataFrame:
    """The gaps between the core and the conic solver, one row a random market."""
    problems = {seed: random_market(seed) for seed in seeds}
    rows = [differences(problem, clear(problem), optimum(problem)) for problem in problems.values()]
    return pd.DataFrame(rows, index=list(problems))


def gaps_table(gaps: pd.DataFrame) -> list[tuple[str | float, ...]]:
    """Per figure the median gap, the gap that 99 in 100 markets stay below, and the largest."""
    parts = gaps.quantile([0.5, 0.99, 1.0])
    return [(str(name), *parts[name]) for name in gaps]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare the core with a conic solver.")
    parser.add_argument("problems", nargs="?", type=int, default=500)
    gaps = compare(range(parser.parse_args(arguments).problems))
    print(f"{len(gaps)} random markets: median gap, 99 in 100 below, largest")
    for name, *values in gaps_table(gaps):
        print(f"{name:12s}", *(f"{value:.1e}" for value in values), f"seed {gaps[name].idxmax()}")


if __name__ == "__main__":
    main()
