"""Random markets far wilder than any that the model meets, each from a seed of its own.

A market is first drawn with prices near 1 and an offer near 1, then scaled by `tonnes` and `money`.

Size: 1 to 8 origins and destinations, one of either in an eighth of the cases, 20 to 40 in one of
fifty; 0 to 5 firms an origin.
Supply: capacities over one to six decades, a tenth of them zero; asks from 0.2 to 1.5, a few of
zero, a tenth of the origins asking 20 times as much, so that they offer nothing at any price paid;
of the ramps four tenths have no width, a tenth a width of 1e-9 to 1e-4, two firms in ten ask the
same.
Demand: 1 to 3 terms with elasticities from 0.02 to 3 (in logarithms), needs over one to three
decades, a fifth of the terms and a tenth of the destinations without need; backstops at 0.3 to 10
times the reference price, a fifth of them chokes as well, else choked at up to three times that; 0
to 3 bids, a third of them steps, some above and some below every ask.
Sourcing: dispersion from 1e-4 to 2 times the price (in logarithms), log weights spread by 0, 1 or
10, a tenth of the arcs closed. In a twelfth of the markets one destination has every arc closed, by
its weights or by a ban.
Wedges: none; up to 50 %; up to 500 %; or a subsidy of up to 40 %, ad valorem; transport costs up to
1; subsidies of up to 0.3 a unit on some arcs.
Floors: on a third of the arcs of a quarter of the markets, from 0.3 to 4.
Limits: in two thirds of the markets 1 to 6, each on one origin's exports, one destination's
imports, one arc, any set of arcs or all; of zero, 0.1 to 100 % of what its origins can sell, or ten
times that; a third of them repeat an earlier limit or its half, on the same arcs or on a part.
No choke: in an eighth of the markets one destination's demand has no backstop. Its elasticities
are then 1 to 3 and the dispersion is at least 0.03, since prices many millions of times the
dispersion leave no digits for the shares. If all its arcs are closed the market has no clearing.
Magnitudes: tonnes and dollars a kilogram are scaled by 1e-6 to 1e9 each (in logarithms).
Families: a tenth of the cases join two or three markets of one shape under common limits.
Crowds: in a tenth of the cases each firm is cut into 2 to 8, with asks of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from abm.market import Problem
from benchmarks.limits import Limit, limit_fields

AMOUNTS = ("capacity", "need", "bid_quantity", "limit")
PRICES = (
    "low_ask", "high_ask", "reference_price", "backstop_price", "choke_price", "bid_low",
    "bid_high", "dispersion", "price_addition", "floor_price",
)  # fmt: skip

Draw = np.random.Generator


@dataclass(frozen=True)
class Shape:
    """Numbers of markets, origins, destinations, demand terms and bids of each destination."""

    markets: int
    origins: int
    destinations: int
    terms: int
    bids: int

    @property
    def arcs(self) -> tuple[int, int, int]:
        return self.markets, self.origins, self.destinations

    @property
    def needs(self) -> tuple[int, int, int]:
        return self.markets, self.destinations, self.terms


def wild_market(seed: int) -> Problem:
    """The market, or the family of markets, of a seed."""
    rng = np.random.default_rng(seed)
    shape = drawn_shape(rng)
    problem = drawn_supply_and_demand(rng, shape)
    problem = replace(problem, **limit_fields(drawn_limits(rng, problem)))
    if rng.random() < 1 / 8:
        problem = with_endless_demand(rng, problem)
    if rng.random() < 1 / 24:
        problem = with_stranded_destination(rng, problem)
    problem = scaled(problem, 10.0 ** rng.uniform(-6.0, 9.0), 10.0 ** rng.uniform(-6.0, 9.0))
    return crowded(rng, problem) if rng.random() < 0.1 else problem


def crowded(rng: Draw, problem: Problem) -> Problem:
    """The market with each firm cut into 2 to 8 of unlike size that ask prices of their own."""
    parts = rng.integers(2, 9, problem.capacity.size)
    ends = np.concatenate([[0], np.cumsum(parts)])
    share = rng.exponential(1.0, ends[-1])
    share /= np.repeat(np.add.reduceat(share, ends[:-1]) if parts.size else share, parts)
    away = rng.lognormal(0.0, 0.3, ends[-1])
    low, high = (np.repeat(ask, parts) for ask in (problem.low_ask, problem.high_ask))
    return replace(
        problem,
        capacity=np.repeat(problem.capacity, parts) * share,
        low_ask=low * away,
        high_ask=low * away + (high - low),
        firm_offset=ends[problem.firm_offset],
    )


def drawn_shape(rng: Draw) -> Shape:
    large = rng.random() < 0.02
    size = (20, 41) if large else (2, 9)
    origins, destinations = rng.integers(*size), rng.integers(*size)
    lonely = rng.random()
    together = int(rng.integers(2, 4)) if rng.random() < 0.1 else 1
    return Shape(
        markets=together,
        origins=1 if lonely < 1 / 8 else int(origins),
        destinations=1 if 1 / 16 < lonely < 3 / 16 else int(destinations),
        terms=int(rng.integers(1, 4)),
        bids=int(rng.integers(0, 4)),
    )


def decades(rng: Draw, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """Values spread evenly in logarithms."""
    return 10.0 ** rng.uniform(np.log10(low), np.log10(high), shape)


def drawn_supply_and_demand(rng: Draw, shape: Shape) -> Problem:
    counts = rng.integers(0, 6, (shape.markets, shape.origins))
    offset = np.concatenate([[0], np.cumsum(counts)])
    origin = np.repeat(np.arange(counts.size), counts.ravel())
    low, width = drawn_asks(rng, counts.size, origin)
    capacity = decades(rng, 10.0 ** -rng.uniform(1.0, 6.0), 1.0, low.shape)
    capacity *= rng.random(low.shape) < 0.9
    needs = shape.needs
    need = decades(rng, 10.0 ** -rng.uniform(1.0, 3.0), 1.0, needs)
    need *= rng.random(needs) < 0.8
    need *= rng.random(needs[:2])[:, :, None] < 0.9
    reference = rng.uniform(0.5, 2.0, needs)
    backstop = reference * decades(rng, 0.3, 10.0, needs)
    choke = backstop * np.where(rng.random(needs) < 0.2, 1.0, rng.uniform(1.0, 3.0, needs))
    starts = np.arange(shape.markets)[:, None] * shape.origins + np.arange(shape.origins + 1)
    return Problem(
        capacity=capacity,
        low_ask=low,
        high_ask=low + width,
        firm_offset=offset[starts],
        need=need,
        reference_price=reference,
        elasticity=decades(rng, 0.02, 3.0, needs),
        backstop_price=backstop,
        choke_price=choke,
        **drawn_bids(rng, (shape.markets, shape.destinations, shape.bids)),
        **drawn_arcs(rng, shape.arcs),
    )


def drawn_asks(rng: Draw, origins: int, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low ask and width of each firm's ramp."""
    firms = origin.size
    dear = np.where(rng.random(origins) < 0.1, 20.0, 1.0)
    low = rng.uniform(0.2, 1.5, firms) * dear[origin]
    low *= rng.random(firms) < 0.97
    width = rng.uniform(0.0, 1.0, firms)
    kind = rng.random(firms)
    width = np.where(kind < 0.1, decades(rng, 1e-9, 1e-4, (firms,)) * low, width)
    width = np.where(kind > 0.6, 0.0, width)
    if firms:
        same = (np.roll(origin, 1) == origin) & (rng.random(firms) < 0.2)
        same[0] = False
        low = np.where(same, np.roll(low, 1), low)
    return low, width


def drawn_bids(rng: Draw, shape: tuple[int, int, int]) -> dict[str, Any]:
    low = rng.uniform(0.0, 4.0, shape)
    return {
        "bid_quantity": rng.uniform(0.0, 1.0, shape) * (rng.random(shape) < 0.8),
        "bid_low": low,
        "bid_high": low + rng.uniform(0.0, 2.0, shape) * (rng.random(shape) < 2 / 3),
    }


def drawn_arcs(rng: Draw, shape: tuple[int, int, int]) -> dict[str, Any]:
    weight = rng.normal(0.0, 1.0, shape) * rng.choice([0.0, 1.0, 10.0])
    least, most = [(1.0, 1.0), (1.0, 1.5), (1.0, 6.0), (0.6, 1.0)][rng.integers(4)]
    addition = rng.uniform(0.0, rng.choice([0.0, 0.1, 1.0]), shape)
    given = rng.random(shape) < 0.1
    floored = (rng.random(shape) < 1 / 3) & (rng.random() < 0.25)
    return {
        "log_weight": np.where(rng.random(shape) < 0.1, -np.inf, weight),
        "dispersion": decades(rng, 1e-4, 2.0, shape[:1]),
        "price_factor": rng.uniform(least, most, shape),
        "price_addition": addition - given * rng.uniform(0.0, 0.3, shape),
        "floor_price": np.where(floored, rng.uniform(0.3, 4.0, shape), 0.0),
    }


def drawn_limits(rng: Draw, problem: Problem) -> list[Limit]:
    limits: list[Limit] = []
    for _ in range(rng.integers(1, 7) if rng.random() < 2 / 3 else 0):
        if limits and rng.random() < 1 / 3:
            limits.append(repeated(rng, limits[rng.integers(len(limits))]))
        else:
            limits.append(drawn_limit(rng, problem))
    if rng.random() < 1 / 24:
        arc = arcs_of(problem)
        limits.append(
            Limit(0.0, arc[(arc[:, ::2] == arc[rng.integers(len(arc)), ::2]).all(axis=1)])
        )
    return limits


def arcs_of(problem: Problem) -> np.ndarray:
    """Every arc of every market: market, origin, destination [arcs, 3]."""
    return np.indices(problem.shape).reshape(3, -1).T


def repeated(rng: Draw, limit: Limit) -> Limit:
    """The same limit, or half of it, on the same arcs or on a part of them."""
    tonnes = limit.tonnes * rng.choice([0.5, 1.0])
    kept = rng.random(len(limit.arcs)) < rng.choice([0.5, 1.0])
    kept[0] = True
    return Limit(tonnes, limit.arcs[kept])


def drawn_limit(rng: Draw, problem: Problem) -> Limit:
    markets, origins, destinations = problem.shape
    arc = arcs_of(problem)
    # A limit lies in one market or, in a family, over all of them.
    inside = (arc[:, 0] == rng.integers(markets)) | (rng.random() < 0.5)
    i, j = rng.integers(origins), rng.integers(destinations)
    groups: list[Callable[[], np.ndarray]] = [
        lambda: (arc[:, 1] == i) & (arc[:, 2] != j),
        lambda: arc[:, 1] == i,
        lambda: arc[:, 2] == j,
        lambda: (arc[:, 1] == i) & (arc[:, 2] == j),
        lambda: rng.random(len(arc)) < 0.4,
        lambda: np.ones(len(arc), bool),
    ]
    held = inside & groups[rng.integers(len(groups))]()
    if not held.any():
        held[rng.integers(len(arc))] = True
    rows = arc[held]
    offered = sum(
        problem.capacity[problem.firm_offset[b, o] : problem.firm_offset[b, o + 1]].sum()
        for b, o in np.unique(rows[:, :2], axis=0)
    )
    size = rng.choice([0.0, 1.0, 10.0], p=[0.15, 0.7, 0.15])
    return Limit(size * float(decades(rng, 1e-3, 1.0, (1,))[0] ** (size < 10.0)) * offered, rows)


def with_endless_demand(rng: Draw, problem: Problem) -> Problem:
    """One destination's demand neither backed nor choked, elastic enough to be met at a price."""
    b, j = rng.integers(problem.shape[0]), rng.integers(problem.shape[2])
    elasticity, backstop = problem.elasticity.copy(), problem.backstop_price.copy()
    choke = problem.choke_price.copy()
    elasticity[b, j] = rng.uniform(1.0, 3.0, elasticity.shape[2])
    backstop[b, j] = choke[b, j] = np.inf
    return replace(
        problem,
        elasticity=elasticity,
        backstop_price=backstop,
        choke_price=choke,
        dispersion=np.maximum(problem.dispersion, 0.03),
    )


def with_stranded_destination(rng: Draw, problem: Problem) -> Problem:
    """One destination with every arc closed by its weights."""
    weight = problem.log_weight.copy()
    weight[rng.integers(problem.shape[0]), :, rng.integers(problem.shape[2])] = -np.inf
    return replace(problem, log_weight=weight)


def scaled(problem: Problem, tonnes: float, money: float) -> Problem:
    """The problem in other units."""
    return replace(
        problem,
        **{name: getattr(problem, name) * tonnes for name in AMOUNTS},
        **{name: getattr(problem, name) * money for name in PRICES},
    )
