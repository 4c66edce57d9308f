"""One evaluation of excess demand in plain compiled loops over a problem as it is posed.

As one writes it at first: no supply graph drawn, functions of the C library, one number at a time.
The arrays are walked in the order in which they lie in memory.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from abm.market import Clearing, Problem, no_limits
from benchmarks.cold import SOUND, TANGENT_BELOW
from benchmarks.core import seconds_each

FIELDS = (
    "capacity", "low_ask", "high_ask", "firm_offset", "need", "reference_price", "elasticity",
    "backstop_price", "choke_price", "bid_quantity", "bid_low", "bid_high", "log_weight",
    "dispersion", "price_factor", "price_addition", "floor_price",
)  # fmt: skip

plain = njit(cache=True, error_model="numpy")


@plain
def ramp(price: float, capacity: float, low: float, high: float) -> float:
    """What a firm offers, t/month."""
    if price >= high:
        return capacity
    return capacity * (price - low) / (high - low) if price > low else 0.0


@plain
def term(
    price: float, need: float, reference: float, elasticity: float, backstop: float, choke: float
) -> float:
    """What a demand term wants at a landed price, t/month."""
    if need == 0.0:
        return 0.0
    ratio = min(price, backstop) / reference
    inside = max(ratio, TANGENT_BELOW)
    more = need * inside**-elasticity
    more *= 1.0 + elasticity * (inside - ratio) / TANGENT_BELOW
    if price > backstop:
        more *= max(0.0, (choke - price) / (choke - backstop))
    return more


@plain
def excess_demand(
    problem: Any, b: int, price: Any, rent: Any, share: Any, top: Any, total: Any, excess: Any
) -> None:
    """Write what each origin of market `b` is asked for beyond what it offers, t/month [B, I].

    `problem` holds the arrays of `FIELDS`, `rent` [B, I, J] what each arc pays for its limits;
    `share` [I, J], `top` and `total` [J] are memory to work in.
    """
    capacity, low, high, firm, need, reference, elasticity, backstop, choke = problem[:9]
    bid, bid_low, bid_high, weight, dispersion, factor, addition, floor = problem[9:]
    origins, destinations = weight.shape[1:]
    theta = dispersion[b]
    for j in range(destinations):
        top[j] = -np.inf
        total[j] = 0.0
    for i in range(origins):
        for j in range(destinations):
            delivered = factor[b, i, j] * price[b, i] + addition[b, i, j] + rent[b, i, j]
            if floor[b, i, j] > 0.0:
                delivered = max(delivered, floor[b, i, j])
            share[i, j] = weight[b, i, j] - delivered / theta
            top[j] = max(top[j], share[i, j])
    for i in range(origins):
        for j in range(destinations):
            share[i, j] = math.exp(share[i, j] - top[j])
            total[j] += share[i, j]
    for j in range(destinations):
        landed = -theta * (top[j] + math.log(total[j]))
        wanted = 0.0
        for h in range(need.shape[2]):
            wanted += term(
                landed, need[b, j, h], reference[b, j, h], elasticity[b, j, h], backstop[b, j, h],
                choke[b, j, h],
            )  # fmt: skip
        for n in range(bid.shape[2]):
            # a bid is a ramp upside down
            wanted += ramp(-landed, bid[b, j, n], -bid_high[b, j, n], -bid_low[b, j, n])
        total[j] = wanted / total[j]
    for i in range(origins):
        sold = 0.0
        for j in range(destinations):
            sold += share[i, j] * total[j]
        offered = 0.0
        for f in range(firm[b, i], firm[b, i + 1]):
            offered += ramp(price[b, i], capacity[f], low[f], high[f])
        excess[b, i] = sold - offered


@plain
def evaluate(
    problem: Any, price: Any, rent: Any, share: Any, top: Any, total: Any, excess: Any, times: int
) -> None:
    """Evaluate every market so many times; `excess` is [B, I]."""
    for b in range(price.shape[0]):
        for _ in range(times):
            excess_demand(problem, b, price, rent, share, top, total, excess)


def excess_of(problem: Problem, price: np.ndarray, rent: np.ndarray, times: int = 1) -> np.ndarray:
    """Excess demand of every origin at its price, t/month [B, I], worked out so many times."""
    markets, origins, destinations = problem.shape
    excess = np.empty((markets, origins))
    room = np.empty((origins, destinations)), np.empty(destinations), np.empty(destinations)
    evaluate(tuple(getattr(problem, name) for name in FIELDS), price, rent, *room, excess, times)
    return excess


def with_rents(problem: Problem, found: Clearing) -> tuple[Problem, np.ndarray]:
    """The problem without its limits, banned arcs closed; and what the rents add to each arc."""
    arcs = problem.limit_market, problem.limit_origin, problem.limit_destination
    group = problem.limit_group
    rent = np.zeros(problem.shape)
    np.add.at(rent, arcs, found.rent[group])
    weight = problem.log_weight.copy()
    banned = problem.limit[group] == 0.0
    weight[tuple(ends[banned] for ends in arcs)] = -np.inf
    fields: dict[str, Any] = no_limits()
    return replace(problem, log_weight=weight, **fields), rent


def plain_seconds(problem: Problem, found: Clearing, repeats: int) -> float:
    """Processor seconds of one plain evaluation, the mean of the batch's markets.

    Raises RuntimeError where excess demand is not zero at the prices found: then something else
    than the cleared market has been timed.
    """
    free, rent = with_rents(problem, found)
    worst = np.abs(excess_of(free, found.origin_price, rent)).max()
    if not worst <= SOUND * problem.capacity.sum() / problem.shape[0]:
        raise RuntimeError(f"Excess demand at the clearing prices is {worst:.2g} t/month.")
    seconds = seconds_each(partial(excess_of, free, found.origin_price, rent), repeats)
    return seconds / problem.shape[0]
