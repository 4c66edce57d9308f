"""What an export policy is worth to the producer who imposes it.

Markets are cleared as they would be under every option a producer weighs, all in one batch; here
the batch is put together, and what comes of it is counted in the producer's interest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from abm.agents.buyer import LEAST_PRICE_RATIO
from abm.config import Producers
from abm.market import Clearing, Problem
from abm.passes.accounts import demand_surplus
from abm.passes.appraisal import count_books, draw_rivals

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
        columns = np.array(keys, dtype=np.int64).reshape(len(keys), 4).T.copy()
        return cls(len(exporters), options, *columns)

    @cached_property
    def rows(self) -> np.ndarray:
        """[row] numbers of the rows."""
        return np.arange(self.market.size)

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


def steady_demand(need: np.ndarray, elasticity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[market, destination, 1] what all groups need, and the mean of their elasticities.

    Of [market, destination, group] t/month. Orders to fill or run down stocks come and go; a policy
    that lasts meets demand for use.
    """
    total = need.sum(axis=2, keepdims=True)
    weighed = (need * elasticity).sum(axis=2, keepdims=True)
    return total, np.divide(weighed, total, out=np.zeros(total.shape), where=total > 0.0)


def under_limits(problem: Problem, limits: list[RowLimit]) -> Problem:
    """The same rows under limits of their own."""
    sizes = np.array([limit.destinations.size for limit in limits], dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    return replace(
        problem,
        limit=np.array([limit.tonnes for limit in limits], dtype=float),
        limit_market=np.repeat(np.array([limit.row for limit in limits], dtype=np.int64), sizes),
        limit_offset=np.concatenate([[0], np.cumsum(sizes)]),
        limit_origin=np.repeat(np.array([limit.origin for limit in limits], dtype=np.int64), sizes),
        limit_destination=np.concatenate([none, *(limit.destinations for limit in limits)]),
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
    rows, before = trials.rows, trials.untouched
    books = count_books(
        clearing.flow,
        clearing.origin_price,
        clearing.sales,
        problem.capacity,
        problem.low_ask,
        problem.high_ask,
        problem.firm_offset,
        trials.market,
        trials.exporter,
        stakes.markup,
        stakes.tax,
        rents_levied(trials, clearing, stakes.limits),
    )
    sellers, levies = books[:2] - books[:2, before]
    users = users_surplus(problem, clearing.landed_price)
    gained = users - users[before]
    harm = (stakes.tension[trials.exporter] * gained).sum(axis=1)
    lost = lost_earnings(trials, clearing, books, stakes, settings)
    return Appraisal(
        sellers=trials.by_trial(sellers),
        levies=trials.by_trial(levies),
        home_users=settings.home_users * trials.by_trial(gained[rows, trials.exporter]),
        leverage=-settings.leverage * trials.by_trial(harm),
        future_share=-settings.future_share * trials.by_trial(lost),
        change=-change,
    )


def rents_levied(trials: Trials, clearing: Clearing, limits: list[RowLimit]) -> np.ndarray:
    """[row] rents of limits that stay with the exporter whose row it is, thousand USD a month."""
    levied = np.zeros(trials.market.size)
    exporter = trials.exporter.tolist()
    for limit, rent in zip(limits, clearing.rent.tolist(), strict=True):
        if rent > 0.0 and limit.levied and limit.origin == exporter[limit.row]:
            sold = clearing.flow[limit.row, limit.origin, limit.destinations].sum()
            levied[limit.row] += rent * sold
    return levied


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
    trials: Trials,
    clearing: Clearing,
    books: np.ndarray,
    stakes: Stakes,
    settings: Producers,
) -> np.ndarray:
    """[row] earnings abroad that rivals' new capacity takes, discounted; thousand USD a month.

    Rivals' capacity, and plants not yet open, head for today's times (price under the option over
    price without) to the long-run elasticity; newcomers add a share of what the rest of the world
    buys where its price rises. What they add displaces the producer's exports one for one, and
    takes that share of the earnings, from the lead time on for ever. Below zero where rivals are
    starved.

    Parameters
    ----------
    books
        [figure, row] of `count_books`.
    """
    market, before = trials.market, trials.untouched
    added = draw_rivals(
        clearing.flow,
        clearing.origin_price,
        clearing.landed_price,
        clearing.demand,
        market,
        trials.exporter,
        before,
        stakes.pending,
        stakes.elasticity,
        settings.newcomers,
        *CAPACITY_RANGE,
    )
    _, _, exports, abroad = books
    exports = exports[before]
    share = np.divide(added, exports, out=np.zeros(added.size), where=exports > 0.0)
    earned = np.maximum(np.maximum(abroad, abroad[before]), 0.0)
    discount = (1.0 + settings.discount_rate) ** -stakes.lead_years[market]
    return discount * np.minimum(share, 1.0) * earned
