"""Whether a clearing clears, recomputed from the problem alone: slow, plain and independent.

Nothing of the solver is used. From the prices and rents returned follow delivered prices, shares,
demand and flows; with them and the sales returned every condition of a clearing is checked, each
gap relative to what is traded.
"""

from dataclasses import dataclass

import numpy as np

from abm.market import Clearing, Problem
from benchmarks.limits import limit_arcs

TANGENT_BELOW = 0.01  # of the reference price: below, isoelastic demand runs on along its tangent
NARROWEST_RAMP = 1e-3  # of its price: no ramp of demand is narrower
ROUNDING = float(np.finfo(float).eps)  # of a price, in double precision
ON_A_STEP = 4.0 * ROUNDING  # of its price: this near a firm may sell anything it has
BARELY_TRADED = 1e-6  # of what could be traded: less than that counts as that much


@dataclass(frozen=True)
class Gaps:
    """The worst violation of each condition, relative to the volume traded."""

    supply: float  # sales that no price within rounding explains
    balance: float  # an origin's sales less its flows
    flows: float  # flows returned less flows that the prices imply
    limits: float  # flow above a limit, or room under one that bears a rent
    demand: float  # demand returned less the flows that arrive

    @property
    def worst(self) -> float:
        return float(np.max([self.supply, self.balance, self.flows, self.limits, self.demand]))


def gaps_of(problem: Problem, found: Clearing) -> Gaps:
    """Check a clearing of the whole batch; a limit over several markets counts by their sum."""
    flow = np.stack([flow_at(problem, found, b) for b in range(problem.shape[0])])
    volume = np.array([volume_of(problem, found, b) for b in range(problem.shape[0])])
    each = np.where(volume > 0.0, volume, 1.0)
    offset = problem.firm_offset
    sold = np.zeros(problem.shape[:2])
    supply = 0.0
    for b, i in np.ndindex(sold.shape):
        firms = slice(offset[b, i], offset[b, i + 1])
        sold[b, i] = found.sales[firms].sum()
        apart = unexplained(problem, float(found.origin_price[b, i]), found.sales[firms], firms)
        supply = max(supply, apart / float(each[b]))
    wide, long = each[:, None], each[:, None, None]
    return Gaps(
        supply=float(supply),
        balance=worst(found.flow.sum(axis=2) - sold, wide),
        flows=worst(found.flow - flow, long),
        limits=limit_gap(problem, found, flow, each),
        demand=worst(found.demand - flow.sum(axis=1), wide),
    )


def resolution_of(problem: Problem, found: Clearing) -> float:
    """How far flows move, relative to volume, with two roundings of delivered prices, up and down.

    A price is rounded once and its sum with wedges and rents once more, so that no prices in double
    precision can be counted on to clear a market more closely. It matters where demand many times
    the volume is cut off within a ramp of a thousandth of its price.
    """
    widest = 0.0
    for b in range(problem.shape[0]):
        up, down = (flow_at(problem, found, b, 2.0 * side * ROUNDING) for side in (1.0, -1.0))
        volume = volume_of(problem, found, b)
        widest = max(widest, worst(up - down, np.array(volume if volume > 0.0 else 1.0)))
    return widest


def worst(gap: np.ndarray, volume: np.ndarray) -> float:
    """The largest gap relative to volume; infinite where one is not a number."""
    return float(np.nan_to_num(np.abs(gap / volume), nan=np.inf).max(initial=0.0))


def volume_of(problem: Problem, found: Clearing, b: int) -> float:
    """What market `b` trades, t/month; at least a millionth of what it could."""
    firms = slice(problem.firm_offset[b, 0], problem.firm_offset[b, -1])
    could = min(
        problem.need[b].sum() + problem.bid_quantity[b].sum(), problem.capacity[firms].sum()
    )
    return float(max(found.flow[b].sum(), found.sales[firms].sum(), BARELY_TRADED * could))


def unexplained(problem: Problem, price: float, sales: np.ndarray, firms: slice) -> float:
    """By how much a firm's sales lie outside what it offers at a price, to either side of it."""
    if np.isnan(price):
        return float(np.abs(sales).max(initial=0.0))
    capacity, low, high = problem.capacity[firms], problem.low_ask[firms], problem.high_ask[firms]
    below, above = price - ON_A_STEP * abs(price), price + ON_A_STEP * abs(price)
    ramp = high > low
    width = np.where(ramp, high - low, 1.0)
    least = capacity * np.where(ramp, ((below - low) / width).clip(0.0, 1.0), below > low)
    most = capacity * np.where(ramp, ((above - low) / width).clip(0.0, 1.0), above >= low)
    return float(np.maximum(least - sales, sales - most).max(initial=0.0))


def rents_on_arcs(problem: Problem, found: Clearing) -> np.ndarray:
    """Sum of the rents on every arc, USD/kg [B, I, J]."""
    rents = np.zeros(problem.shape)
    group, arc = limit_arcs(problem)
    np.add.at(rents, tuple(arc.T), found.rent[group])
    return rents


def open_arcs(problem: Problem) -> np.ndarray:
    """Arcs that may carry anything [B, I, J]."""
    able = np.array(
        [
            [problem.capacity[row[i] : row[i + 1]].sum() > 0.0 for i in range(problem.shape[1])]
            for row in problem.firm_offset
        ]
    )
    usable = (problem.log_weight > -np.inf) & able[:, :, None]
    group, arc = limit_arcs(problem)
    usable[tuple(arc[problem.limit[group] == 0.0].T)] = False
    return usable


def flow_at(problem: Problem, found: Clearing, b: int, moved: float = 0.0) -> np.ndarray:
    """Flows of market `b` that its prices and rents imply, t/month [I, J].

    `moved` shifts all delivered prices by this part of themselves.
    """
    usable = open_arcs(problem)[b]
    price = np.nan_to_num(found.origin_price[b])[:, None]
    delivered = problem.price_factor[b] * price + problem.price_addition[b]
    delivered = delivered + rents_on_arcs(problem, found)[b]
    floor = problem.floor_price[b]
    delivered = np.where(floor > 0.0, np.maximum(delivered, floor), delivered)
    delivered = delivered * (1.0 + moved)
    theta = problem.dispersion[b]
    flow = np.zeros(usable.shape)
    for j in np.flatnonzero(usable.any(axis=0)).tolist():
        rows = usable[:, j]
        appeal = problem.log_weight[b, rows, j] - delivered[rows, j] / theta
        top = appeal.max()
        pull = np.exp(appeal - top)
        landed = -theta * (top + np.log(pull.sum()))
        flow[rows, j] = demand_at(problem, b, j, landed) * pull / pull.sum()
    return flow


def demand_at(problem: Problem, b: int, j: int, price: float) -> float:
    """What destination `j` of market `b` wants at a landed price, t/month."""
    total = 0.0
    for h in np.flatnonzero(problem.need[b, j] > 0.0):
        need, reference = problem.need[b, j, h], problem.reference_price[b, j, h]
        elasticity, backstop = problem.elasticity[b, j, h], problem.backstop_price[b, j, h]
        ratio = min(price, backstop) / reference
        if ratio >= TANGENT_BELOW:
            wanted = need * ratio**-elasticity
        else:
            short = 1.0 - ratio / TANGENT_BELOW
            wanted = need * TANGENT_BELOW**-elasticity * (1.0 + elasticity * short)
        total += wanted * falling(price, backstop, problem.choke_price[b, j, h])
    for n in range(problem.bid_quantity.shape[2]):
        low, high = problem.bid_low[b, j, n], problem.bid_high[b, j, n]
        total += problem.bid_quantity[b, j, n] * falling(price, low, high)
    return total


def falling(price: float, low: float, high: float) -> float:
    """One up to the low price, zero from the high one, a line between."""
    if price <= low:
        return 1.0
    width = max(high - low, NARROWEST_RAMP * max(abs(low), abs(high)))
    return float(max(0.0, (low + width - price) / width)) if width > 0.0 else 0.0


def limit_gap(problem: Problem, found: Clearing, flow: np.ndarray, volume: np.ndarray) -> float:
    """Flow above a limit, room under one with a rent, or a rent below zero (infinite)."""
    group, arc = limit_arcs(problem)
    gap = 0.0
    for g in range(problem.limit.size):
        own = arc[group == g]
        if problem.limit[g] == 0.0 or not len(own):
            continue
        room = problem.limit[g] - flow[tuple(own.T)].sum()
        if found.rent[g] < 0.0 or np.isnan(found.rent[g]):
            return np.inf
        short = abs(room) if found.rent[g] > 0.0 else max(-room, 0.0)
        gap = max(gap, short / volume[np.unique(own[:, 0])].sum())
    return gap


def stranded(problem: Problem) -> bool:
    """Whether demand that no price chokes has nobody who may serve it: no clearing exists."""
    endless = (problem.need > 0.0) & np.isinf(problem.choke_price)
    reached = open_arcs(problem).any(axis=1)
    return bool((endless.any(axis=2) & ~reached).any())
