"""Clear a batch of markets: prices, rents and flows, each result with its certificate."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np

from abm.market.desk import Room, keep_desks, take_desks
from abm.market.fallback import LEASH, MOST_STEPS, NO_START, solve_stubborn
from abm.market.kernel import Answer, Batch, Start, solve_batch
from abm.market.problem import FIGURES, ROWS, Problem
from abm.market.survey import CHOKED, LEAST, MOST, Rows, layout_of, look_over

RUNS_OF_A_THREAD = 64  # at least, where there are several threads
BYTES_OF_A_RUN = 500_000  # about, of figures, so that they stay near at hand
NEAR = 0.03  # of a start's price: so far to either side supply is drawn to begin with


@dataclass(frozen=True)
class Clearing:
    """Where a batch of markets clears. Axes as in `Problem`; t/month and USD/kg."""

    origin_price: np.ndarray  # [B, I] NaN where the origin has nothing to offer
    rent: np.ndarray  # [G] zero where the limit does not bind, and where it is a ban
    flow: np.ndarray  # [B, I, J] t/month
    delivered_price: np.ndarray  # [B, I, J] NaN on a closed arc
    landed_price: np.ndarray  # [B, J] logit index of delivered prices; inf if all arcs are closed
    average_price: np.ndarray  # [B, J] mean delivered price by tonnes; NaN if all arcs are closed
    demand: np.ndarray  # [B, J] t/month at the landed price, the sum of flows
    sales: np.ndarray  # [F] t/month
    iterations: np.ndarray  # [B] Newton steps
    residual: np.ndarray  # [B] worst |offered - sold| of an origin or a right, over volume
    fell_back: np.ndarray  # [B] whether Newton's method alone did not suffice
    problem: Problem = field(repr=False, compare=False)  # what was cleared

    @cached_property
    def unmet(self) -> np.ndarray:
        """[B, J] t/month of need at reference prices that the price has choked off."""
        return unmet_need(self.problem, self.landed_price)

    @property
    def certificate(self) -> float:
        """The worst residual of the batch: relative imbalance and complementarity."""
        return float(self.residual.max(initial=0.0))


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
    threads: int = 1,
    where: str = "",
) -> Clearing:
    """Clear every market of the batch to `tolerance`, relative to each market's volume.

    `start` is an earlier clearing of markets of the same shape, a hint where to begin: where the
    equilibrium is unique, it does not change the result beyond `tolerance`. It always is with
    specific wedges; with ad-valorem ones where demand falls by less than demand over dispersion
    per dollar. The result is the same to the last bit for every number of `threads`. `where`
    (such as "month 2027-03") is told in errors.

    Raises ValueError for a malformed problem, MarketNotCleared where no clearing exists (a
    destination that nobody may supply, with demand that no price chokes) or none was certified.
    """
    batch, room = pack(problem)
    figures = tuple([values.ravel() for values in batch[: len(FIGURES)]])
    clusters = batch.market_from.size - 1
    threads = max(1, min(threads, clusters))
    runs = runs_of(clusters, threads, sum([values.nbytes for values in figures]))
    todo = iter(enumerate(runs))
    answer = blank_answer(problem)
    arrays = tuple(warm_start(problem, start)), tuple(answer)
    desks = take_desks(room, threads)
    unclear: list[int] = []  # runs in which something is wrong, or demand has no choke

    def work(part: int) -> float:
        where_to = tuple(batch), tuple(desks[part]), *arrays
        settings = float(tolerance), MOST_STEPS, NEAR, LEASH, False, False
        worst = 0.0
        for n, own in todo:
            # right before they are solved: what is looked over is near at hand then
            if look_over(figures, LEAST, MOST, n, len(runs)) != CHOKED:
                unclear.append(n)
            worst = max(worst, solve_batch(*where_to, *own, *settings))
        return worst

    worst = work(0) if threads == 1 else max(share_out(work, range(threads)))
    if unclear:
        problem.check()
        refuse_hopeless(problem, where)
    if not worst <= tolerance:
        solve_stubborn(batch, desks[0], answer, float(tolerance), start is not None)
        worst = answer.residual.max()
    keep_desks(room, desks)
    if not worst <= tolerance:
        bad = np.flatnonzero(~(answer.residual <= tolerance))
        raise MarketNotCleared(failure_text(problem, answer, bad, tolerance, where), bad.tolist())
    return Clearing(*answer, problem)


def runs_of(clusters: int, threads: int, size: int) -> list[tuple[int, int]]:
    """First and end of the clusters that are solved in one go, of figures of so many bytes in all.

    Every thread takes the next when it is done with one: none waits long for another that had
    harder markets, or a busier core.
    """
    wanted = max(RUNS_OF_A_THREAD * threads if threads > 1 else 1, size // BYTES_OF_A_RUN)
    runs = max(min(clusters, wanted), 1)
    ends = [clusters * n // runs for n in range(runs + 1)]
    return list(pairwise(ends))


def share_out(work: Callable[[int], Any], parts: range) -> list[Any]:
    """What `work` returns for every part, the first done here, the others by threads."""
    with ThreadPoolExecutor(len(parts) - 1) as pool:
        others = pool.map(work, parts[1:])
        return [work(parts[0]), *others]


def pack(problem: Problem) -> tuple[Batch, Room]:
    """The problem for the compiled code, and the room its clusters need.

    Its arrays are contiguous whatever their own order: another layout would be compiled for anew.

    Raises ValueError for shapes or rows that do not fit together.
    """
    figures = [np.asarray(values, np.float64, order="C") for values in figures_of(problem)]
    rows = [np.asarray(values, np.int64, order="C") for values in rows_of(problem)]
    shapes = tuple([array.shape for array in (*figures, *rows)])
    layout = layout_of(shapes, Rows(*[numbers.tobytes() for numbers in rows]))
    return Batch._make((*figures, *layout[:-1])), layout.room


figures_of, rows_of = attrgetter(*FIGURES), attrgetter(*ROWS)


def blank_answer(problem: Problem) -> Answer:
    """Arrays for a clearing, zero where the compiled code writes only what is not."""
    b, i, j = problem.shape
    return Answer(
        origin_price=np.empty((b, i)),
        rent=np.zeros(problem.limit.size),
        flow=np.zeros((b, i, j)),
        delivered_price=np.empty((b, i, j)),
        landed_price=np.empty((b, j)),
        average_price=np.empty((b, j)),
        demand=np.empty((b, j)),
        sales=np.zeros(problem.capacity.size),
        iterations=np.empty(b, np.int64),
        residual=np.empty(b),
        fell_back=np.empty(b, np.bool_),
    )


def warm_start(problem: Problem, start: Clearing | None) -> Start:
    """The start for the compiled code; arrays of length zero for none."""
    if start is None:
        return NO_START
    if start.flow.shape != problem.shape:
        raise ValueError(
            f"The start has {start.flow.shape} markets, origins and destinations, "
            f"the problem {problem.shape}; start from a clearing of the same shape or from none."
        )
    rent = start.rent
    if rent.size != problem.limit.size:  # other limits than before: rents start at zero
        rent = np.zeros(problem.limit.size)
    price, flow, rent = (
        np.asarray(values, np.float64, order="C")
        for values in (start.origin_price, start.flow, rent)
    )
    return Start(price, flow, rent)


def unmet_need(problem: Problem, landed_price: np.ndarray) -> np.ndarray:
    """[B, J] t/month of need at reference prices that is not bought at these landed prices.

    What bids do not get is no unmet need: they are orders at a price.
    """
    price = landed_price[:, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.minimum(price, problem.backstop_price) / problem.reference_price
        fading = (problem.choke_price - price) / (problem.choke_price - problem.backstop_price)
        fading = np.where(price > problem.backstop_price, np.clip(fading, 0.0, 1.0), 1.0)
        part = np.maximum(ratio, 1.0) ** -problem.elasticity * fading
    unmet = np.where(problem.need > 0.0, problem.need * (1.0 - part), 0.0)
    return np.where(np.isinf(landed_price), problem.need.sum(axis=2), unmet.sum(axis=2))


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
    banned = problem.limit[problem.limit_group] <= 0.0
    arcs = (problem.limit_market, problem.limit_origin, problem.limit_destination)
    usable[tuple(ends[banned] for ends in arcs)] = False
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
