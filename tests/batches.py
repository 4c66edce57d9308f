"""Batches of markets under limits: joined from single markets, and read back limit by limit."""

from dataclasses import replace

import numpy as np

from abm.market import Problem
from tests.markets import stacked

Arc = tuple[int, int, int]  # market, origin, destination
Limit = tuple[float, list[Arc]]  # t/month, the arcs that share them


def limited(problem: Problem, limits: list[Limit]) -> Problem:
    """The problem under these limits and no others."""
    arcs = np.array([arc for _, group in limits for arc in group], np.int64).reshape(-1, 3)
    return replace(
        problem,
        limit=np.array([tonnes for tonnes, _ in limits], float),
        limit_market=arcs[:, 0],
        limit_offset=np.cumsum([0] + [len(group) for _, group in limits]).astype(np.int64),
        limit_origin=arcs[:, 1],
        limit_destination=arcs[:, 2],
    )


def limits_of(problem: Problem) -> list[Limit]:
    """The limits of a problem, each as tonnes and its arcs."""
    arcs = zip(
        problem.limit_market.tolist(),
        problem.limit_origin.tolist(),
        problem.limit_destination.tolist(),
        strict=True,
    )
    rows = list(arcs)
    ends = problem.limit_offset
    return [(float(q), rows[ends[g] : ends[g + 1]]) for g, q in enumerate(problem.limit)]


def batch(problems: list[Problem]) -> Problem:
    """Single markets of one shape, each with its own limits, as one batch."""
    limits = [
        (tonnes, [(b, i, j) for _, i, j in arcs])
        for b, problem in enumerate(problems)
        for tonnes, arcs in limits_of(problem)
    ]
    return limited(stacked(problems), limits)
