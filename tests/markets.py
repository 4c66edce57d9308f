"""Small markets for the tests of the clearing core."""

from dataclasses import replace

import numpy as np

from abm.market import Problem, no_bids, no_limits


def market(rng: np.random.Generator, origins: int = 3, destinations: int = 3) -> Problem:
    """One random market without limits, bids or floors; specific and ad-valorem wedges."""
    shape = (1, origins, destinations)
    per_origin = rng.integers(1, 4, origins)
    firms = int(per_origin.sum())
    low = rng.uniform(2.0, 12.0, firms)
    needs = (1, destinations, 2)
    backstop = rng.uniform(25.0, 60.0, needs)
    return Problem(
        capacity=rng.uniform(1.0, 20.0, firms),
        low_ask=low,
        high_ask=low + rng.uniform(1.0, 8.0, firms),
        firm_offset=np.concatenate([[0], np.cumsum(per_origin)])[None].astype(np.int64),
        need=rng.uniform(0.5, 10.0, needs),
        reference_price=rng.uniform(8.0, 12.0, needs),
        elasticity=rng.uniform(0.05, 2.0, needs),
        backstop_price=backstop,
        choke_price=backstop * rng.uniform(1.2, 3.0, needs),
        log_weight=rng.normal(0.0, 1.0, shape),
        dispersion=rng.uniform(1.0, 4.0, 1),
        price_factor=1.0 + rng.uniform(0.0, 0.4, shape) * (rng.random() < 0.7),
        price_addition=rng.uniform(0.1, 2.0, shape),
        floor_price=np.zeros(shape),
        **no_bids(1, destinations),
        **no_limits(),
    )


def with_bids(problem: Problem, rng: np.random.Generator, bids: int = 2) -> Problem:
    shape = (1, problem.shape[2], bids)
    low = rng.uniform(3.0, 15.0, shape)
    return replace(
        problem,
        bid_quantity=rng.uniform(0.5, 8.0, shape),
        bid_low=low,
        bid_high=low + rng.uniform(1.0, 10.0, shape),
    )


def with_limits(problem: Problem, *limits: tuple[float, list[tuple[int, int]]]) -> Problem:
    """The problem with limits, each given as tonnes and its arcs, all on its first market."""
    arcs = [arc for _, group in limits for arc in group]
    return replace(
        problem,
        limit=np.array([tonnes for tonnes, _ in limits], float),
        limit_market=np.zeros(len(arcs), np.int64),
        limit_offset=np.cumsum([0] + [len(group) for _, group in limits]).astype(np.int64),
        limit_origin=np.array([i for i, _ in arcs], np.int64),
        limit_destination=np.array([j for _, j in arcs], np.int64),
    )


def stacked(problems: list[Problem]) -> Problem:
    """Markets of one shape and without limits, as one batch."""
    firms = np.cumsum([0] + [p.capacity.size for p in problems])
    joined = {
        name: np.concatenate([getattr(p, name) for p in problems])
        for name in (
            "capacity", "low_ask", "high_ask", "need", "reference_price", "elasticity",
            "backstop_price", "choke_price", "bid_quantity", "bid_low", "bid_high", "log_weight",
            "dispersion", "price_factor", "price_addition", "floor_price",
        )
    }  # fmt: skip
    offset = np.concatenate([p.firm_offset + firms[n] for n, p in enumerate(problems)])
    return replace(problems[0], firm_offset=offset, **joined)
