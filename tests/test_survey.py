"""What a look at a batch finds, against a search that walks from market to market."""

import numpy as np
import pytest

from abm.market.clearing import pack
from abm.market.kernel import Batch
from abm.market.problem import FIGURES
from abm.market.survey import Layout, largest_cluster, tie_markets
from tests.markets import market


def reachable(limits: list[list[int]], market: int) -> list[int]:
    """Markets that some chain of limits joins to one market, in order."""
    found = {market}
    while more := {m for limit in limits if found & {*limit} for m in limit} - found:
        found |= more
    return sorted(found)


@pytest.mark.parametrize("seed", range(20))
def test_markets_that_limits_tie_stand_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    markets = int(rng.integers(1, 9))
    limits = [rng.integers(markets, size=rng.integers(4)).tolist() for _ in range(rng.integers(6))]
    offset = np.cumsum([0, *map(len, limits)])
    market = np.array([m for limit in limits for m in limit], np.int64)
    member, market_from, held, limit_from = tie_markets(market, offset, markets)
    bands = zip(np.split(member, market_from[1:-1]), np.split(held, limit_from[1:-1]), strict=True)
    clusters = [(band.tolist(), own.tolist()) for band, own in bands]
    expected = []
    for first in range(markets):
        together = reachable(limits, first)
        if together[0] == first:
            own = [n for n, limit in enumerate(limits) if (limit or [0])[0] in together]
            expected.append((together, own))
    assert clusters == expected
    assert market_from[-1] == markets
    assert limit_from[-1] == len(limits)


def test_room_is_that_of_the_largest_cluster() -> None:
    offset = np.array([[0, 2, 3], [3, 3, 10], [10, 11, 11]])  # 3, 7 and 1 firms
    first_and_last = np.array([0, 2, 1]), np.array([0, 2, 3]), np.array([0, 1, 4])
    assert largest_cluster(offset, *first_and_last) == (2, 3, 7, 7)
    assert largest_cluster(
        offset, np.array([1, 0, 2]), np.array([0, 2, 3]), np.array([0, 0, 0])
    ) == (2, 0, 10, 7)
    nothing = np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
    assert largest_cluster(np.zeros((0, 3), np.int64), *nothing) == (0, 0, 0, 0)


def test_a_layout_follows_rows_that_are_written_over() -> None:
    """What is kept for the next call is found by its figures, not by the array that holds them."""
    problem = market(np.random.default_rng(4))
    before, _ = pack(problem)
    problem.firm_offset[0, 1] -= 1
    after, _ = pack(problem)
    assert after.firm_offset[0, 1] == before.firm_offset[0, 1] - 1
    problem.firm_offset[0, 1] = -1
    with pytest.raises(ValueError, match="firm_offset must rise"):
        pack(problem)


def test_a_batch_takes_figures_and_rows_in_order() -> None:
    assert Batch._fields == (*FIGURES, *Layout._fields[:-1])
