"""A look at a batch before it is solved: is it sound, which markets are tied, what room it needs.

Where it looks at every figure it is compiled, in a few short loops over flat arrays: one function
for many fields is compiled once. What exactly is wrong with a malformed batch is told by
`Problem.check`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

compiled = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True, _nrt=False)

MALFORMED, CHOKED, INSISTENT = 0, 1, 2  # what `look_over` finds
LARGEST = float(np.finfo(np.float64).max)
LEAST_ABOVE_ZERO = 5e-324
# Fields and the bounds of their figures; those of needs are looked at together.
BOUNDS = (
    (0.0, LARGEST, ("capacity", "limit", "elasticity", "bid_quantity")),
    (-LARGEST, LARGEST, ("low_ask", "high_ask", "bid_low", "bid_high", "price_addition")),
    (LEAST_ABOVE_ZERO, LARGEST, ("dispersion", "price_factor")),
    (-np.inf, LARGEST, ("log_weight", "floor_price")),
)


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


def look_over(fields: Fields) -> int:
    """MALFORMED, or INSISTENT where some need is choked off by no price, or CHOKED."""
    p = fields
    sound = (
        rise(p.firm_offset.reshape(-1), p.capacity.size)
        and limits_sound(p)
        and all(
            within(getattr(p, name).reshape(-1), low, high)
            for low, high, names in BOUNDS
            for name in names
        )
        and ordered(p.low_ask, p.high_ask)
        and ordered(p.bid_low.reshape(-1), p.bid_high.reshape(-1))
    )
    if not sound:
        return MALFORMED
    needs = (p.need, p.reference_price, p.backstop_price, p.choke_price)
    return int(look_over_needs(*[figures.reshape(-1) for figures in needs]))


def limits_sound(fields: Fields) -> bool:
    """Whether all arcs under limits exist, and no limit lists one twice."""
    offset, arc = fields.limit_offset, fields.limit_arc
    arcs = arc.shape[1]
    if not rise(offset, arcs) or offset[0] != 0 or offset[-1] != arcs:
        return False
    shape = fields.log_weight.shape
    return not arcs or bool(listed_once(offset, arc, np.full(shape, -1)))


@compiled
def within(values: np.ndarray, low: float, high: float) -> bool:
    """Whether flat figures are numbers from `low` to `high`, both included."""
    held = True
    for n in range(values.size):
        held &= (values[n] >= low) & (values[n] <= high)
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
    before = 0
    held = True
    for n in range(offset.size):
        held &= before <= offset[n] <= last
        before = offset[n]
    return held


@compiled
def listed_once(offset: np.ndarray, arc: np.ndarray, seen: np.ndarray) -> bool:
    """Whether all arcs [3, A] are among those `seen` [B, I, J] and no limit lists one twice.

    `seen` is -1 everywhere and is written: the last limit that listed an arc.
    """
    markets, origins, destinations = seen.shape
    for limit in range(offset.size - 1):
        for n in range(offset[limit], offset[limit + 1]):
            m, i, j = arc[0, n], arc[1, n], arc[2, n]
            if m < 0 or i < 0 or j < 0 or m >= markets or i >= origins or j >= destinations:
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
        wanted, reference, highest = need[n], reference_price[n], choke[n]
        sound = 0.0 <= wanted <= LARGEST and -LARGEST <= reference <= LARGEST
        if not sound or backstop[n] != backstop[n] or highest != highest:  # no number
            return MALFORMED
        if wanted == 0.0:
            continue
        if highest == np.inf:
            found = INSISTENT
            if backstop[n] < np.inf:
                return MALFORMED
        if reference <= 0.0 or highest < backstop[n]:
            return MALFORMED
    return found


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
    arcs = offset[1:] - offset[:-1]
    of_limit = np.zeros(arcs.size, np.int64)
    of_limit[arcs > 0] = market[offset[:-1][arcs > 0]]
    tied = of_limit.repeat(arcs)
    name = np.arange(markets)  # a market's cluster is called by its first market
    away = tied != market
    if away.any():
        for a, b in set(zip(tied[away].tolist(), market[away].tolist(), strict=True)):
            one, other = sorted((name[a], name[b]))
            name[name == other] = one
        of_limit = name[of_limit]
    member, held = name.argsort(kind="stable"), of_limit.argsort(kind="stable")
    first = np.flatnonzero(name == np.arange(markets))
    market_from = name[member].searchsorted(first)
    limit_from = of_limit[held].searchsorted(first)
    return member, np.append(market_from, markets), held, np.append(limit_from, arcs.size)


def largest_cluster(
    firm_offset: np.ndarray,
    cluster_market: np.ndarray,
    market_from: np.ndarray,
    limit_from: np.ndarray,
) -> tuple[int, int, int, int]:
    """The most markets, limits and firms of a cluster, and the most firms of one origin."""
    firms = (firm_offset[:, -1] - firm_offset[:, 0])[cluster_market]
    of_cluster = np.add.reduceat(firms, market_from[:-1]) if firms.size else firms
    counts = (
        market_from[1:] - market_from[:-1],
        limit_from[1:] - limit_from[:-1],
        of_cluster,
        firm_offset[:, 1:] - firm_offset[:, :-1],
    )
    markets, limits, most_firms, here = (int(count.max(initial=0)) for count in counts)
    return markets, limits, most_firms, here
