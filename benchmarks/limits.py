"""The limit arrays of a `Problem`: the one place that knows how they are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from abm.market import Problem


@dataclass(frozen=True)
class Limit:
    """At most so many tonnes a month over a group of arcs; zero closes them."""

    tonnes: float
    arcs: np.ndarray  # [arcs, 3] market, origin, destination


def limit_fields(limits: Sequence[Limit]) -> dict[str, Any]:
    """The fields of a problem with these limits, to pass on as keywords."""
    arcs = [limit.arcs.reshape(-1, 3) for limit in limits]
    return limit_arrays(
        np.array([limit.tonnes for limit in limits], float),
        np.array([len(group) for group in arcs], np.int64),
        np.concatenate([np.empty((0, 3), np.int64), *arcs]),
    )


def limit_arrays(tonnes: np.ndarray, arcs_of_limit: np.ndarray, arcs: np.ndarray) -> dict[str, Any]:
    """The same from arrays: t/month [G], number of arcs [G], arcs [A, 3] in the order of limits."""
    offset = np.concatenate([[0], np.cumsum(arcs_of_limit)]).astype(np.int64)
    return {
        "limit": tonnes,
        "limit_market": arcs[:, 0].astype(np.int64),
        "limit_offset": offset,
        "limit_origin": arcs[:, 1].astype(np.int64),
        "limit_destination": arcs[:, 2].astype(np.int64),
    }


def limit_arcs(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Of every limited arc its limit [A], and its market, origin and destination [A, 3]."""
    arcs = (problem.limit_market, problem.limit_origin, problem.limit_destination)
    return problem.limit_group, np.stack(arcs, axis=1)
