"""One compiled evaluation of excess demand, as the core itself makes it at each trial price.

Shares, demand and flows at every destination, and the place of every origin on its supply graph.
The only file of the benchmarks that knows the inside of `abm/market/kernel.py`.
"""

from functools import partial
from typing import Any

from numba import njit

from abm.market import Clearing, Problem
from abm.market.clearing import pack, warm_start
from abm.market.desk import new_desk
from abm.market.kernel import (
    HERE,
    ORIGINS,
    POINT_END,
    POINT_START,
    SELLER_PIECE,
    SELLER_PRICE,
    SELLER_QUANTITY,
    Batch,
    Desk,
    Start,
    begin,
    held,
    look,
    open_cluster,
    place_of,
    residual_of,
)
from benchmarks.core import seconds_each


# Not cached: Numba would not notice a change of the core's file.
@njit(error_model="numpy")
def evaluations(batch: Any, desk: Any, start: Any, repeats: int) -> float:
    """Evaluate excess demand of every cluster `repeats` times; the worst residual."""
    worst = 0.0
    batch, desk, start = held(batch, Batch), held(desk, Desk), held(start, Start)
    link, value = desk.link, desk.value
    for c in range(batch.market_from.shape[0] - 1):
        open_cluster(batch, desk, c, start, 0.0)
        begin(batch, desk, c, start)
        for _ in range(repeats):
            for k in range(desk.size[ORIGINS]):
                first, end = link[POINT_START, k], link[POINT_END, k]
                price, sold = value[SELLER_PRICE, k], value[SELLER_QUANTITY, k]
                link[SELLER_PIECE, k], _, value[SELLER_QUANTITY, k] = place_of(
                    desk.point, first, end, price, sold
                )
            look(desk, HERE)
        worst = max(worst, residual_of(desk))
    return worst


def evaluation_seconds(problem: Problem, found: Clearing, repeats: int) -> float:
    """Processor seconds of one evaluation of excess demand, the mean of the batch's markets.

    Raises RuntimeError where excess demand is not zero at the prices found: then something else
    than the cleared market has been timed.
    """
    batch, room = pack(problem)
    fixed = tuple(batch), tuple(new_desk(room)), tuple(warm_start(problem, found))
    worst = evaluations(*fixed, 1)
    if worst > 1e-6:
        raise RuntimeError(f"Excess demand at the clearing prices is {worst:.2g} of the volume.")
    return seconds_each(partial(evaluations, *fixed), repeats) / problem.shape[0]
