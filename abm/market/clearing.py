"""Clear a batch of markets: prices, rents and flows, each result with its certificate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from abm.market.kernel import Answer, ProblemArrays, solve_batch
from abm.market.problem import Problem


@dataclass(frozen=True)
class Clearing:
    """Where a batch of markets clears. Axes as in `Problem`; t/month and USD/kg."""

    origin_price: np.ndarray  # [B, I] NaN where the origin has nothing to offer
    rent: np.ndarray  # [G] zero where the limit does not bind, and where it is a ban
    flow: np.ndarray  # [B, I, J] t/month
    delivered_price: np.ndarray  # [B, I, J] NaN on a closed arc
    landed_price: (
        np.ndarray
    )  # [B, J] logit index of delivered prices; inf where all arcs are closed
    average_price: (
        np.ndarray
    )  # [B, J] mean delivered price by tonnes; NaN where all arcs are closed
    demand: np.ndarray  # [B, J] t/month at the landed price, the sum of flows
    sales: np.ndarray  # [F] t/month
    iterations: np.ndarray  # [B] Newton steps
    residual: np.ndarray  # [B] worst |offered - sold| of an origin or a right, over volume
    fell_back: np.ndarray  # [B] whether Newton's method alone did not suffice


class MarketNotCleared(ValueError):
    """No certified clearing was found; `.market` holds the markets' numbers in the batch."""

    def __init__(self, message: str, market: Sequence[int]) -> None:
        super().__init__(message)
        self.market = tuple(market)

    def __reduce__(self) -> tuple[type, tuple[str, tuple[int, ...]]]:
        """Both arguments travel between processes."""
        return type(self), (str(self), self.market)


def clear(
    problem: Problem,
    *,
    start: Clearing | None = None,
    tolerance: float = 1e-9,
    where: str = "",
) -> Clearing:
    """Clear every market of the batch to `tolerance`, relative to each market's volume.

    `start` is an earlier clearing of markets of the same shape, a hint that never changes which
    market is solved. `where` (such as "month 2027-03") is told in errors.

    Raises ValueError for a malformed problem, MarketNotCleared where no clearing exists (a
    destination that nobody may supply, with demand that no price chokes) or none was certified.
    """
    problem.check()
    refuse_hopeless(problem, where)
    answer = blank_answer(problem)
    by_market = np.argsort(problem.limit_market, kind="stable")
    markets = np.arange(problem.shape[0] + 1)
    first = np.searchsorted(problem.limit_market[by_market], markets)
    warm = warm_answer(problem, start)
    solve_batch(pack(problem), by_market, first, warm, answer, float(tolerance))
    bad = np.flatnonzero(~(answer.residual <= tolerance))
    if bad.size:
        raise MarketNotCleared(failure_text(problem, answer, bad, tolerance, where), bad.tolist())
    return Clearing(**answer._asdict())


def pack(problem: Problem) -> ProblemArrays:
    """The problem as the few contiguous arrays that the compiled code reads."""
    p = problem
    bids = (p.bid_quantity, p.bid_low, p.bid_high)
    return ProblemArrays(
        firm=stacked(p.capacity, p.low_ask, p.high_ask),
        firm_offset=np.ascontiguousarray(p.firm_offset, np.int64),
        ask_order=ask_order(p),
        term=stacked(p.need, p.reference_price, p.elasticity, p.backstop_price, p.choke_price),
        bid=stacked(*bids),
        arc=stacked(p.price_factor, p.price_addition, p.floor_price, p.log_weight),
        dispersion=np.ascontiguousarray(p.dispersion, np.float64),
        limit=np.ascontiguousarray(p.limit, np.float64),
        limit_offset=np.ascontiguousarray(p.limit_offset, np.int64),
        limit_arc=np.stack([p.limit_origin, p.limit_destination]).astype(np.int64),
    )


def ask_order(problem: Problem) -> np.ndarray:
    """Every origin's asks from the lowest up; 2f stands for the low ask of firm f, 2f + 1 high."""
    asks = np.stack([problem.low_ask, problem.high_ask], axis=1).ravel()
    firms = np.arange(problem.capacity.size)
    origin = np.searchsorted(problem.firm_offset.ravel(), firms, side="right")
    return np.lexsort((asks, np.repeat(origin, 2)))


def stacked(*fields: np.ndarray) -> np.ndarray:
    # C order whatever the fields' own: another memory layout would be compiled for anew
    return np.ascontiguousarray(np.stack(fields), np.float64)


def blank_answer(problem: Problem) -> Answer:
    b, i, j = problem.shape
    return Answer(
        origin_price=np.full((b, i), np.nan),
        rent=np.zeros(problem.limit.size),
        flow=np.zeros((b, i, j)),
        delivered_price=np.full((b, i, j), np.nan),
        landed_price=np.full((b, j), np.inf),
        average_price=np.full((b, j), np.nan),
        demand=np.zeros((b, j)),
        sales=np.zeros(problem.capacity.size),
        iterations=np.zeros(b, np.int64),
        residual=np.zeros(b),
        fell_back=np.zeros(b, np.bool_),
    )


def warm_answer(problem: Problem, start: Clearing | None) -> Answer:
    """The start as arrays; without one, or with one of another shape, an empty batch."""
    if start is None:
        b, i, j = 0, *problem.shape[1:]
        return Answer(
            np.empty((b, i)), np.zeros(problem.limit.size), np.empty((b, i, j)),
            np.empty((b, i, j)), np.empty((b, j)), np.empty((b, j)), np.empty((b, j)),
            np.empty(0), np.empty(b, np.int64), np.empty(b), np.empty(b, np.bool_),
        )  # fmt: skip
    if start.flow.shape != problem.shape:
        raise ValueError(
            f"The start has {start.flow.shape} markets, origins and destinations, "
            f"the problem {problem.shape}; start from a clearing of the same shape or from none."
        )
    answer = Answer(*(np.ascontiguousarray(getattr(start, name)) for name in Answer._fields))
    if start.rent.size != problem.limit.size:  # other limits than before: rents start at zero
        answer = answer._replace(rent=np.zeros(problem.limit.size))
    return answer


def refuse_hopeless(problem: Problem, where: str) -> None:
    """Raise where a destination with demand that nothing chokes has every arc closed."""
    insistent = ((problem.need > 0.0) & np.isinf(problem.choke_price)).any(axis=2)
    if not insistent.any():
        return
    reached = open_arcs(problem).any(axis=1)
    stranded = np.argwhere(insistent & ~reached)
    if stranded.size:
        b, j = (int(n) for n in stranded[0])
        raise MarketNotCleared(
            f"{place_text(problem, b, where)} has no equilibrium: no origin with capacity may "
            f"supply {problem.country(j)}, whose demand has no choke price. Open an arc to it or "
            "give its demand a backstop and a choke price.",
            sorted({int(n) for n in stranded[:, 0]}),
        )


def open_arcs(problem: Problem) -> np.ndarray:
    """Which arcs may carry anything, [B, I, J]."""
    ends = np.concatenate([[0.0], np.cumsum(problem.capacity > 0.0)])
    firms = ends[problem.firm_offset[:, 1:]] - ends[problem.firm_offset[:, :-1]]
    usable = (problem.log_weight > -np.inf) & (firms > 0)[:, :, None]
    group = np.repeat(np.arange(problem.limit.size), np.diff(problem.limit_offset))
    banned = problem.limit[group] <= 0.0
    market = problem.limit_market[group[banned]]
    usable[market, problem.limit_origin[banned], problem.limit_destination[banned]] = False
    return usable


def place_text(problem: Problem, b: int, where: str) -> str:
    return f"{problem.market(b)}, {where}," if where else problem.market(b)


def failure_text(
    problem: Problem, answer: Answer, bad: np.ndarray, tolerance: float, where: str
) -> str:
    b = int(bad[np.argmax(np.nan_to_num(answer.residual[bad], nan=np.inf))])
    others = f" ({bad.size} markets of the batch did not clear)" if bad.size > 1 else ""
    return (
        f"{place_text(problem, b, where)} did not clear: residual {answer.residual[b]:.3g} of its "
        f"volume after {answer.iterations[b]} steps, tolerance {tolerance:.3g}{others}. Check for "
        "demand without a choke price that capacity or limits cannot meet, and for prices far "
        "above the dispersion."
    )
