"""Random markets of any size, of the kind that the model clears every month.

Prices lie around 10 USD/kg and each market offers 1,000 t/month: firms of very unequal size on
ramps, one origin far ahead of the others, destinations with two isoelastic demand terms that a
backstop ends and one bid, ad-valorem and specific wedges on each arc.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from abm.market import Clearing, Problem, no_limits
from benchmarks.limits import limit_arrays

OFFERED = 1000.0  # t/month
ORIGINS, DESTINATIONS, FIRMS = 12, 35, 240  # the size that targets are set for


def markets(
    rng: np.random.Generator,
    count: int = 1,
    origins: int = ORIGINS,
    destinations: int = DESTINATIONS,
    firms: int = FIRMS,
) -> Problem:
    """So many markets without limits, in one batch."""
    arcs = (count, origins, destinations)
    terms = (count, destinations, 2)
    bids = (count, destinations, 1)
    starts = np.linspace(0, firms, origins + 1).astype(np.int64)
    origin = np.repeat(np.arange(origins), np.diff(starts))
    weight = np.sort(rng.lognormal(0.0, 1.0, (count, origins)))[:, ::-1]
    capacity = rng.lognormal(0.0, 1.2, (count, firms)) * weight[:, origin]
    low = rng.uniform(4.0, 10.0, (count, firms))
    backstop = rng.uniform(30.0, 60.0, terms)
    bid_low = rng.uniform(6.0, 10.0, bids)
    return Problem(
        capacity=per_market(capacity, OFFERED).ravel(),
        low_ask=low.ravel(),
        high_ask=(low + rng.uniform(0.5, 4.0, low.shape)).ravel(),
        firm_offset=firms * np.arange(count)[:, None] + starts,
        need=per_market(rng.lognormal(0.0, 1.0, terms), 0.7 * OFFERED),
        reference_price=rng.uniform(9.0, 12.0, terms),
        elasticity=rng.uniform(0.1, 0.8, terms),
        backstop_price=backstop,
        choke_price=1.5 * backstop,
        bid_quantity=per_market(rng.lognormal(0.0, 1.0, bids), 0.15 * OFFERED),
        bid_low=bid_low,
        bid_high=bid_low + rng.uniform(2.0, 8.0, bids),
        log_weight=rng.normal(0.0, 1.0, arcs),
        dispersion=rng.uniform(0.8, 2.0, count),
        price_factor=1.0 + rng.uniform(0.0, 0.3, arcs),
        price_addition=rng.uniform(0.1, 2.0, arcs),
        floor_price=np.zeros(arcs),
    )


def per_market(values: np.ndarray, total: float) -> np.ndarray:
    """The values, scaled so that those of each market add up to `total`."""
    axes = tuple(range(1, values.ndim))
    return values * (total / values.sum(axis=axes, keepdims=True))


def convex(problem: Problem) -> Problem:
    """The markets with specific wedges and bids alone, which makes them a convex program."""
    return replace(
        problem,
        need=np.zeros_like(problem.need),
        bid_quantity=problem.bid_quantity / 0.15,
        bid_high=problem.bid_high + 6.0,
        price_factor=np.ones_like(problem.price_factor),
    )


def with_controls(problem: Problem, free: Clearing) -> Problem:
    """The markets under quotas and bans that bind, from how they clear without.

    The largest origin's exports are held to half, what the second sends a bloc (every third
    destination) to 70 %, what the third sends the first destination to 60 %; the largest may sell
    the second destination nothing, nor the fourth origin the last.
    """
    count, origins, destinations = problem.shape
    bloc = np.arange(0, destinations, 3)
    groups: list[tuple[float, list[tuple[int, int]]]] = [
        (0.5, [(0, j) for j in range(1, destinations)]),
        (0.7, [(1 % origins, j) for j in bloc.tolist()]),
        (0.6, [(2 % origins, 0)]),
        (0.0, [(0, min(1, destinations - 1))]),
        (0.0, [(3 % origins, destinations - 1)]),
    ]
    groups = [(share, arcs) for share, arcs in groups if arcs]
    tonnes = [share * sum(free.flow[:, i, j] for i, j in arcs) for share, arcs in groups]
    pattern = np.array([arc for _, arcs in groups for arc in arcs])
    market = np.repeat(np.arange(count), len(pattern))
    return replace(
        problem,
        **limit_arrays(
            np.stack(tonnes, axis=1).ravel(),
            np.tile([len(arcs) for _, arcs in groups], count),
            np.column_stack([market, np.tile(pattern, (count, 1))]),
        ),
    )


def single(problem: Problem, b: int) -> Problem:
    """Market `b` of a batch by itself, without the batch's limits."""
    firms = slice(problem.firm_offset[b, 0], problem.firm_offset[b, -1])
    by_firm = ("capacity", "low_ask", "high_ask")
    by_market = (
        "need", "reference_price", "elasticity", "backstop_price", "choke_price", "bid_quantity",
        "bid_low", "bid_high", "log_weight", "dispersion", "price_factor", "price_addition",
        "floor_price",
    )  # fmt: skip
    fields: dict[str, Any] = no_limits()
    fields |= {name: getattr(problem, name)[firms] for name in by_firm}
    fields |= {name: getattr(problem, name)[b : b + 1] for name in by_market}
    fields["firm_offset"] = problem.firm_offset[b : b + 1] - problem.firm_offset[b, 0]
    return replace(problem, **fields)
