"""A look at a batch before it is solved: is it sound, which markets are tied, what room it needs.

Compiled, so that looking takes as long as a few calls of NumPy. What exactly is wrong with a
malformed batch is told by `Problem.check`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

compiled = njit(cache=True, error_model="numpy")

MALFORMED, CHOKED, INSISTENT = 0, 1, 2  # what `look_over` finds
LEAST_ABOVE_ZERO = 5e-324


class Fields(NamedTuple):
    """The fields of a `Problem` as contiguous arrays. Axes as there."""

    capacity: np.ndarray
    low_ask: np.ndarray
    high_ask: np.ndarray
    need: np.ndarray
    reference_price: np.ndarray
    elasticity: np.ndarray
    backstop_price: np.ndarray
    choke_price: np.ndarray
    bid_quantity: np.ndarray
    bid_low: np.ndarray
    bid_high: np.ndarray
    log_weight: np.ndarray
    price_factor: np.ndarray
    price_addition: np.ndarray
    floor_price: np.ndarray
    dispersion: np.ndarray
    limit: np.ndarray
    firm_offset: np.ndarray
    limit_offset: np.ndarray
    limit_arc: np.ndarray  # [3, A] market, origin, destination


@compiled
def look_over(fields: Fields) -> int:
    """MALFORMED, or INSISTENT where some need is choked off by no price, or CHOKED."""
    p = fields
    arcs = p.limit_arc.shape[1]
    offset = p.limit_offset
    sound = (
        rise(p.firm_offset.ravel(), p.capacity.size)
        and rise(offset, arcs)
        and offset[0] == 0
        and offset[offset.size - 1] == arcs
        and listed_once(offset, p.limit_arc, p.log_weight.shape)
    )
    nothing, zero = -np.inf, 0.0
    sound &= finite(p.capacity, zero) and finite(p.limit, zero)
    sound &= finite(p.low_ask, nothing) and ordered(p.low_ask, p.high_ask)
    sound &= finite(p.high_ask, nothing) and finite(p.dispersion, LEAST_ABOVE_ZERO)
    sound &= finite(p.elasticity.ravel(), zero) and finite(p.bid_quantity.ravel(), zero)
    sound &= finite(p.bid_low.ravel(), nothing) and finite(p.bid_high.ravel(), nothing)
    sound &= ordered(p.bid_low.ravel(), p.bid_high.ravel())
    sound &= finite(p.price_factor.ravel(), LEAST_ABOVE_ZERO)
    sound &= finite(p.price_addition.ravel(), nothing)
    sound &= below_infinity(p.log_weight.ravel()) and below_infinity(p.floor_price.ravel())
    if not sound:
        return MALFORMED
    return look_over_needs(
        p.need.ravel(),
        p.reference_price.ravel(),
        p.backstop_price.ravel(),
        p.choke_price.ravel(),
    )


@compiled
def finite(values: np.ndarray, least: float) -> bool:
    """Whether flat figures are finite numbers and none is below the least one allowed."""
    held = True
    for n in range(values.size):
        held &= (values[n] >= least) & (np.abs(values[n]) < np.inf)
    return held


@compiled
def below_infinity(values: np.ndarray) -> bool:
    """Whether flat figures are numbers below infinity."""
    held = True
    for n in range(values.size):
        held &= values[n] < np.inf
    return held


@compiled
def ordered(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether no flat figure of the second is below that of the first."""
    held = True
    for n in range(low.size):
        held &= high[n] >= low[n]
    return held


@compiled
def rise(offset: np.ndarray, last: int) -> bool:
    """Whether flat offsets rise, between zero and the last row."""
    held = offset.size == 0 or (offset[0] >= 0 and offset[offset.size - 1] <= last)
    for n in range(1, offset.size):
        held &= offset[n] >= offset[n - 1]
    return held


@compiled
def listed_once(offset: np.ndarray, arc: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Whether all arcs [3, A] exist, and no limit lists one twice."""
    if arc.shape[1] == 0:
        return True
    seen = np.full(shape, -1)
    for limit in range(offset.size - 1):
        for n in range(offset[limit], offset[limit + 1]):
            m, i, j = arc[0, n], arc[1, n], arc[2, n]
            if min(m, i, j) < 0 or m >= shape[0] or i >= shape[1] or j >= shape[2]:
                return False
            if seen[m, i, j] == limit:
                return False
            seen[m, i, j] = limit
    return True


@compiled
def look_over_needs(
    need: np.ndarray, reference_price: np.ndarray, backstop: np.ndarray, choke: np.ndarray
) -> int:
    """As `look_over`, of flat needs and their prices only."""
    found = CHOKED
    for n in range(need.size):
        if not 0.0 <= need[n] < np.inf or not np.abs(reference_price[n]) < np.inf:
            return MALFORMED
        if np.isnan(backstop[n]) or np.isnan(choke[n]):
            return MALFORMED
        if need[n] == 0.0:
            continue
        if choke[n] == np.inf:
            found = INSISTENT
            if backstop[n] < np.inf:
                return MALFORMED
        if reference_price[n] <= 0.0 or choke[n] < backstop[n]:
            return MALFORMED
    return found


@compiled
def tie_markets(
    market: np.ndarray, offset: np.ndarray, markets: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Markets cluster by cluster, where each cluster begins, and the same for the limits.

    Markets that a limit ties together share a cluster; clusters stand in the order of their first
    markets. A limit without arcs binds nobody anywhere and goes with the first cluster.

    Parameters
    ----------
    market, offset
        [A] the market of every arc under limits, and [G + 1] where the arcs of each limit begin.
    """
    limits = offset.size - 1
    name = np.arange(markets)  # a market's cluster is called by its first market
    of_limit = np.zeros(limits, np.int64)
    for limit in range(limits):
        for n in range(offset[limit] + 1, offset[limit + 1]):
            a, b = name[market[offset[limit]]], name[market[n]]
            if a != b:
                for m in range(markets):
                    name[m] = min(a, b) if name[m] == max(a, b) else name[m]
    for limit in range(limits):
        if offset[limit + 1] > offset[limit]:
            of_limit[limit] = name[market[offset[limit]]]
    member, start = np.empty(markets, np.int64), np.zeros(markets + 1, np.int64)
    held, held_from = np.arange(limits), np.zeros(markets + 1, np.int64)
    clusters, tied, limited = 0, 0, 0
    for first in range(markets):
        if name[first] != first:
            continue
        for m in range(first, markets):
            if name[m] == first:
                member[tied] = m
                tied += 1
        for limit in range(limits):
            if of_limit[limit] == first:
                held[limited] = limit
                limited += 1
        clusters += 1
        start[clusters], held_from[clusters] = tied, limited
    return member, start[: clusters + 1], held, held_from[: clusters + 1]


@compiled
def largest_cluster(
    firm_offset: np.ndarray,
    cluster_market: np.ndarray,
    market_from: np.ndarray,
    limit_from: np.ndarray,
) -> tuple[int, int, int, int]:
    """The most markets, limits and firms of a cluster, and the most firms of one origin."""
    last = firm_offset.shape[1] - 1
    markets, limits, firms, here = 0, 0, 0, 0
    for c in range(market_from.size - 1):
        markets = max(markets, market_from[c + 1] - market_from[c])
        limits = max(limits, limit_from[c + 1] - limit_from[c])
        count = 0
        for n in range(market_from[c], market_from[c + 1]):
            m = cluster_market[n]
            count += firm_offset[m, last] - firm_offset[m, 0]
            for i in range(last):
                here = max(here, firm_offset[m, i + 1] - firm_offset[m, i])
        firms = max(firms, count)
    return markets, limits, firms, here
