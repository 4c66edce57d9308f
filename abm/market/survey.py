"""A look at a batch before it is solved: is it sound, which markets are tied, what room it needs.

What follows from the rows of firms and limits alone is kept for the next call: from month to month
they seldom change. Every figure is looked at, in one compiled loop over flat arrays. What exactly
is wrong with a malformed batch is told by `Problem.check`.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

import abm.compilation  # noqa: F401  quicker typing
from abm.market.desk import Room, roomy
from abm.market.problem import FIGURES, row_fault, shape_fault

compiled = njit(cache=True, error_model="numpy", nogil=True, no_cfunc_wrapper=True, _nrt=False)

MALFORMED, CHOKED, INSISTENT = 0, 1, 2  # what `look_over` finds
LARGEST = float(np.finfo(np.float64).max)
# Figures and their bounds, both included.
BOUNDS = (
    (0.0, LARGEST, ("capacity", "need", "elasticity", "bid_quantity", "limit")),
    (-LARGEST, LARGEST, ("low_ask", "high_ask", "bid_low", "bid_high", "price_addition")),
    (-LARGEST, LARGEST, ("reference_price",)),
    (5e-324, LARGEST, ("dispersion", "price_factor")),
    (-np.inf, LARGEST, ("log_weight", "floor_price")),
    (-np.inf, np.inf, ("backstop_price", "choke_price")),
)
BOUND = {name: bounds for *bounds, names in BOUNDS for name in names}
LEAST, MOST = np.array([BOUND[name] for name in FIGURES]).T.copy()
LOW_ASK, HIGH_ASK, BID_LOW, BID_HIGH = (
    FIGURES.index(name) for name in ("low_ask", "high_ask", "bid_low", "bid_high")
)
NEED, REFERENCE, BACKSTOP, CHOKE = (
    FIGURES.index(name) for name in ("need", "reference_price", "backstop_price", "choke_price")
)


class Layout(NamedTuple):
    """What the rows of a batch's firms and limits say. Axes as in `Problem`; C clusters."""

    firm_offset: np.ndarray  # [B, I + 1]
    limit_offset: np.ndarray  # [G + 1]
    limit_arc: np.ndarray  # [3, A] market, origin, destination
    cluster_market: np.ndarray  # [B] the markets, cluster by cluster
    market_from: np.ndarray  # [C + 1] into cluster_market
    cluster_limit: np.ndarray  # [G] the limits, cluster by cluster
    limit_from: np.ndarray  # [C + 1] into cluster_limit
    room: Room  # for any one cluster


class Rows(NamedTuple):
    """The 64-bit integers of the problem's arrays of that name, in C order."""

    firm_offset: bytes
    limit_offset: bytes
    limit_market: bytes
    limit_origin: bytes
    limit_destination: bytes

    def __hash__(self) -> int:
        """Of how long they are and how they end: to read them all takes longer than to compare."""
        return hash(tuple([(len(numbers), numbers[-64:]) for numbers in self]))


@lru_cache(maxsize=16)
def layout_of(shapes: tuple[tuple[int, ...], ...], rows: Rows) -> Layout:
    """The layout of a batch; its arrays are shared, not to be written to.

    Parameters
    ----------
    shapes
        Of the problem's arrays, in the order of `ARRAYS`.

    Raises
    ------
    ValueError
        For arrays or rows that do not fit together.
    """
    fault = shape_fault(shapes)
    if fault:
        raise ValueError(fault)
    shape, firms = shapes[FIGURES.index("log_weight")], shapes[FIGURES.index("capacity")][0]
    offset, limit, *arcs = (np.frombuffer(numbers, np.int64).copy() for numbers in rows)
    limit_arc = np.array(arcs)
    fault = row_fault(shape, firms, offset, limit, list(limit_arc))
    if fault:
        raise ValueError(fault)
    firm = offset.reshape(shape[0], shape[1] + 1)
    clusters = tie_markets(limit_arc[0], limit, shape[0])
    market, market_from, _, limit_from = clusters
    markets, limits, firms, of_one_origin = largest_cluster(firm, market, market_from, limit_from)
    # Numbers that change from month to month are rounded up, so that a desk serves again.
    most = (roomy(number) for number in (limits, limit_arc.shape[1], firms, of_one_origin))
    terms, bids = shapes[NEED][2], shapes[FIGURES.index("bid_quantity")][2]
    room = Room(markets, shape[1], shape[2], terms, bids, *most)
    return Layout(firm, limit, limit_arc, *clusters, room)


@compiled
def look_over(
    figures: tuple[np.ndarray, ...], least: np.ndarray, most: np.ndarray, part: int, parts: int
) -> int:
    """MALFORMED, or INSISTENT where some need is choked off by no price, or CHOKED.

    `figures` are those of a `Problem` in the order of `FIGURES`, each flat; `least` and `most` are
    their bounds. Looks at one of so many parts of each.
    """
    held = True
    for n in range(len(figures)):
        values = figures[n]
        first, last = values.size * part // parts, values.size * (part + 1) // parts
        held &= within(values[first:last], least[n], most[n])
    if not held or not ordered(figures[LOW_ASK], figures[HIGH_ASK], part, parts):
        return MALFORMED
    if not ordered(figures[BID_LOW], figures[BID_HIGH], part, parts):
        return MALFORMED
    found = CHOKED
    need, reference = figures[NEED], figures[REFERENCE]
    backstop, choke = figures[BACKSTOP], figures[CHOKE]
    for k in range(need.size * part // parts, need.size * (part + 1) // parts):
        if need[k] == 0.0:
            continue
        if choke[k] == np.inf:
            found = INSISTENT
            if backstop[k] < np.inf:
                return MALFORMED
        if reference[k] <= 0.0 or choke[k] < backstop[k]:
            return MALFORMED
    return found


# Loops over a slice from its beginning: of an index that might count from the end no several are
# looked at at a time.


@compiled
def within(figures: np.ndarray, low: float, high: float) -> bool:
    """Whether all figures are between two bounds, which no number that is not one is."""
    held = True
    for n in range(figures.size):
        held &= (figures[n] >= low) & (figures[n] <= high)
    return held


@compiled
def ordered(low: np.ndarray, high: np.ndarray, part: int, parts: int) -> bool:
    """Whether no flat figure of the second is below that of the first, in one of so many parts."""
    first, last = low.size * part // parts, low.size * (part + 1) // parts
    lower, higher = low[first:last], high[first:last]
    held = True
    for n in range(lower.size):
        held &= higher[n] >= lower[n]
    return held


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
