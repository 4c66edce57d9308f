"""What an export policy is worth to the producer who imposes it.

Markets are cleared as they would be under every option a producer weighs, all in one batch; here
the batch is put together, and what comes of it is counted in the producer's interest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from abm.agents.buyer import LEAST_PRICE_RATIO
from abm.config import Producers
from abm.market import Clearing, Problem, no_bids, no_limits
from abm.passes.accounts import demand_surplus

CAPACITY_RANGE = (0.3, 4.0)  # of rivals' capacity over today's; as firms' own long-run answer


@dataclass(frozen=True)
class Trials:
    """Counterfactual markets. A trial is one option of one case; a row is a market of a trial.

    A case is one mineral of one producer. The first option of every case is to do nothing.
    """

    cases: int
    options: int
    case: np.ndarray  # [row]
    option: np.ndarray  # [row]
    market: np.ndarray  # [row] of the world
    exporter: np.ndarray  # [row] country

    @classmethod
    def of(cls, exporters: list[int], markets: list[np.ndarray], options: int) -> Trials:
        """Every option of every case, one after the other."""
        keys = [
            (case, option, int(market), exporter)
            for case, (exporter, rows) in enumerate(zip(exporters, markets, strict=True))
            for option in range(options)
            for market in rows
        ]
        columns = np.array(keys, dtype=np.int64).reshape(len(keys), 4).T
        return cls(len(exporters), options, columns[0], columns[1], columns[2], columns[3])

    @cached_property
    def rows(self) -> np.ndarray:
        """[row] numbers of the rows."""
        return np.arange(self.market.size)

    @cached_property
    def markets(self) -> np.ndarray:
        """[tried] the markets that are on trial, in order, each once."""
        return np.unique(self.market)

    @cached_property
    def untouched(self) -> np.ndarray:
        """[row] the same market where the producer does nothing."""
        found = {
            (case, market): row
            for row, (case, option, market) in enumerate(
                zip(self.case, self.option, self.market, strict=True)
            )
            if option == 0
        }
        keys = zip(self.case, self.market, strict=True)
        return np.array([found[key] for key in keys], dtype=np.int64)

    def by_trial(self, values: np.ndarray) -> np.ndarray:
        """[case, option] sums of a figure of the rows."""
        trial = self.case * self.options + self.option
        sums = np.bincount(trial, values, self.cases * self.options)
        return sums.reshape(self.cases, self.options)


@dataclass(frozen=True)
class RowLimit:
    """A limit on one row of the trials: a cap on flows from an origin to some destinations."""

    row: int
    origin: int
    destinations: np.ndarray
    tonnes: float  # a month
    levied: bool  # its rent stays in the exporting country; with traders otherwise


@dataclass(frozen=True)
class Appraisal:
    """What each option brings over doing nothing, [case, option], thousand USD a month."""

    sellers: np.ndarray  # income of its firms less variable cost
    levies: np.ndarray  # export taxes and rents of limits, less what dumping costs
    home_users: np.ndarray  # surplus of its own users, weighted
    leverage: np.ndarray  # loss of rivals' users, weighted by tension
    future_share: np.ndarray  # earnings abroad lost (negative) or kept from rivals who build
    change: np.ndarray  # cost of leaving the present policy

    @property
    def objective(self) -> np.ndarray:
        """[case, option] their sum."""
        gains = self.sellers + self.levies + self.home_users + self.leverage
        return gains + self.future_share + self.change


@dataclass(frozen=True)
class Stakes:
    """What a producer looks at beyond the market itself."""

    markup: np.ndarray  # [market, origin, destination] fraction over the home price
    tax: np.ndarray  # [row, destination] export tax of the exporter; negative where it dumps
    limits: list[RowLimit]
    tension: np.ndarray  # [origin, destination] of a country towards another, 0 to 1
    pending: np.ndarray  # [market, country] t/month of plants that are not yet open
    elasticity: np.ndarray  # [market] of rivals' capacity in the long run
    lead_years: np.ndarray  # [market] until new capacity produces


def steady_demand(problem: Problem) -> Problem:
    """The same markets where use is all that is bought, each buyer's needs in one term.

    Orders to fill or run down stocks come and go; a policy that lasts meets demand for use. The
    elasticity is the mean over a destination's needs.
    """
    need = problem.need.sum(axis=2, keepdims=True)
    part = problem.need / np.where(need > 0.0, need, 1.0)
    markets, _, destinations = problem.shape
    bids: dict[str, Any] = no_bids(markets, destinations)
    return replace(
        problem,
        need=need,
        elasticity=(part * problem.elasticity).sum(axis=2, keepdims=True),
        reference_price=problem.reference_price[:, :, :1],
        backstop_price=problem.backstop_price[:, :, :1],
        choke_price=problem.choke_price[:, :, :1],
        **bids,
    )


def joined(problems: list[Problem]) -> Problem:
    """Markets of several problems in one, without their limits."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(problem, name) for problem in problems])
        for name in BY_MARKET + BY_FIRM
    } | no_limits()
    firms = np.cumsum([0] + [problem.capacity.size for problem in problems[:-1]])
    offsets = [problem.firm_offset + start for problem, start in zip(problems, firms, strict=True)]
    names = [problem.market(b) for problem in problems for b in range(problem.shape[0])]
    return replace(
        problems[0],
        **arrays,
        firm_offset=np.concatenate(offsets),
        market_names=names,
    )


def copies(problem: Problem, market: np.ndarray, limits: list[RowLimit]) -> Problem:
    """One market [row] of the problem a row, as often as asked for, under limits of its own."""
    first, last = problem.firm_offset[market, 0], problem.firm_offset[market, -1]
    begin = np.concatenate([[0], np.cumsum(last - first)])
    firms = np.arange(begin[-1]) + np.repeat(first - begin[:-1], last - first)
    sizes = np.array([limit.destinations.size for limit in limits], dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    arrays: dict[str, Any] = {
        name: np.take(getattr(problem, name), picked, axis=0)
        for names, picked in ((BY_MARKET, market), (BY_FIRM, firms))
        for name in names
    }
    return replace(
        problem,
        **arrays,
        firm_offset=problem.firm_offset[market] + (begin[:-1] - first)[:, None],
        limit=np.array([limit.tonnes for limit in limits], dtype=float),
        limit_market=np.repeat(np.array([limit.row for limit in limits], dtype=np.int64), sizes),
        limit_offset=np.concatenate([[0], np.cumsum(sizes)]),
        limit_origin=np.repeat(np.array([limit.origin for limit in limits], dtype=np.int64), sizes),
        limit_destination=np.concatenate([none, *(limit.destinations for limit in limits)]),
        market_names=[problem.market(b) for b in market],
    )


BY_FIRM = ("capacity", "low_ask", "high_ask")
BY_MARKET = (
    "need",
    "reference_price",
    "elasticity",
    "backstop_price",
    "choke_price",
    "bid_quantity",
    "bid_low",
    "bid_high",
    "log_weight",
    "dispersion",
    "price_factor",
    "price_addition",
    "floor_price",
)


def appraise(
    trials: Trials,
    problem: Problem,
    clearing: Clearing,
    stakes: Stakes,
    settings: Producers,
    change: np.ndarray,
) -> Appraisal:
    """Count what each option brings, over doing nothing.

    Parameters
    ----------
    problem, clearing
        One row a market of a trial, with steady demand.
    change
        [case, option] thousand USD a month that leaving the present policy costs.
    """
    books = _books(trials, problem, clearing, stakes)
    users = users_surplus(problem, clearing.landed_price)
    gained = users - users[trials.untouched]
    tension = stakes.tension[trials.exporter]
    home = gained[trials.rows, trials.exporter]
    return Appraisal(
        sellers=_over_nothing(trials, books.sellers),
        levies=_over_nothing(trials, books.levies),
        home_users=settings.home_users * trials.by_trial(home),
        leverage=-settings.leverage * trials.by_trial((tension * gained).sum(axis=1)),
        future_share=-settings.future_share
        * trials.by_trial(lost_earnings(trials, clearing, books, stakes, settings)),
        change=-change,
    )


@dataclass(frozen=True)
class RowBooks:
    """What a market of a trial brings its producer, [row], thousand USD and tonnes a month."""

    sellers: np.ndarray  # income less variable cost
    levies: np.ndarray
    exports: np.ndarray  # t
    abroad: np.ndarray  # earnings on exports, levies among them


def _books(trials: Trials, problem: Problem, clearing: Clearing, stakes: Stakes) -> RowBooks:
    rows, exporter = trials.rows, trials.exporter
    flow = clearing.flow[rows, exporter]
    price = np.nan_to_num(clearing.origin_price[rows, exporter])
    income = price[:, None] * (1.0 + stakes.markup[trials.market, exporter]) * flow
    levies = (income * stakes.tax).sum(axis=1)
    for limit, rent in zip(stakes.limits, clearing.rent.tolist(), strict=True):
        if rent > 0.0 and limit.levied and limit.origin == exporter[limit.row]:
            levies[limit.row] += rent * flow[limit.row, limit.destinations].sum()
    cost = variable_cost(problem, clearing)[rows, exporter]
    sold, home = flow.sum(axis=1), flow[rows, exporter]
    exports = sold - home
    unit_cost = cost / np.where(sold > 0.0, sold, 1.0)
    sellers = income.sum(axis=1) - cost
    abroad = income.sum(axis=1) - income[rows, exporter] - unit_cost * exports + levies
    return RowBooks(sellers, levies, exports, abroad)


def variable_cost(problem: Problem, clearing: Clearing) -> np.ndarray:
    """[row, origin] area under the offers up to what is sold, thousand USD a month."""
    sold, capacity = clearing.sales, problem.capacity
    used = np.divide(sold, capacity, out=np.zeros(sold.size), where=capacity > 0.0)
    cost = sold * (problem.low_ask + 0.5 * used * (problem.high_ask - problem.low_ask))
    upto = np.concatenate([[0.0], np.cumsum(cost)])
    return np.diff(upto[problem.firm_offset], axis=1)


def users_surplus(problem: Problem, landed_price: np.ndarray) -> np.ndarray:
    """[row, destination] area under steady demand above the price, thousand USD a month."""
    return demand_surplus(
        problem.need,
        landed_price,
        problem.reference_price[:, :, 0],
        problem.elasticity,
        problem.backstop_price[:, :, 0],
        problem.choke_price[:, :, 0],
        LEAST_PRICE_RATIO,
    )[:, :, 0]


def lost_earnings(
    trials: Trials, clearing: Clearing, books: RowBooks, stakes: Stakes, settings: Producers
) -> np.ndarray:
    """[row] earnings abroad that rivals' new capacity takes, discounted; thousand USD a month.

    Rivals' capacity, and plants not yet open, head for today's times (price under the option over
    price without) to the long-run elasticity; newcomers add a share of what the rest of the world
    buys where its price rises. What they add displaces the producer's exports one for one, and
    takes that share of the earnings, from the lead time on for ever. Below zero where rivals are
    starved.
    """
    before, market = trials.untouched, trials.market
    others = np.ones(clearing.origin_price.shape, dtype=bool)
    others[trials.rows, trials.exporter] = False
    elasticity = stakes.elasticity[market]
    sold = clearing.flow.sum(axis=2)[before]
    ratio = rivals_price_ratio(clearing, before, others, sold)
    answer = np.clip(ratio ** elasticity[:, None], *CAPACITY_RANGE)
    rivals = np.where(others, sold + stakes.pending[market], 0.0)
    added = (rivals * (answer - 1.0)).sum(axis=1)
    abroad = np.where(others, clearing.demand[before], 0.0)
    paid = price_abroad(clearing.landed_price, abroad)
    call = np.clip((paid / price_abroad(clearing.landed_price[before], abroad)) ** elasticity,
                   1.0, CAPACITY_RANGE[1])  # fmt: skip
    added += settings.newcomers * abroad.sum(axis=1) * (call - 1.0)
    exports = books.exports[before]
    share = np.divide(added, exports, out=np.zeros(added.size), where=exports > 0.0)
    earned = np.maximum(np.maximum(books.abroad, books.abroad[before]), 0.0)
    discount = (1.0 + settings.discount_rate) ** -stakes.lead_years[market]
    return discount * np.minimum(share, 1.0) * earned


def price_abroad(landed_price: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """[row] mean landed price by tonnes `bought`, [row, destination]; one where there are none."""
    total = bought.sum(axis=1)
    spent = (np.where(bought > 0.0, landed_price, 0.0) * bought).sum(axis=1)
    return np.divide(spent, total, out=np.ones(total.size), where=total > 0.0)


def rivals_price_ratio(
    clearing: Clearing, before: np.ndarray, others: np.ndarray, sold: np.ndarray
) -> np.ndarray:
    """[row, origin] price of rivals over what it is where the producer does nothing.

    Who sells nothing yet looks at the mean price of those who do, by what they `sold` there.
    """
    price, usual = clearing.origin_price, clearing.origin_price[before]
    seen = others & np.isfinite(price) & np.isfinite(usual)
    ratio = np.divide(price, usual, out=np.ones(price.shape), where=seen)
    weight = np.where(seen, sold, 0.0)
    total = weight.sum(axis=1)
    mean = np.divide(
        (weight * ratio).sum(axis=1), total, out=np.ones(total.size), where=total > 0.0
    )
    return np.where(seen, ratio, mean[:, None])


def _over_nothing(trials: Trials, values: np.ndarray) -> np.ndarray:
    return trials.by_trial(values - values[trials.untouched])
