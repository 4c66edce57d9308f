"""From the offers and orders of a month to a market problem, and back to books of trade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.agents.buyer import BuyerTraits, Orders
from abm.market import Clearing, Problem
from abm.policy.controls import ExportMeasures, Limit
from abm.world import World, firm_offsets


@dataclass(frozen=True)
class TradeTerms:
    """What stands between a seller's price and a buyer's, [market, origin, destination]."""

    markup: np.ndarray  # fraction of the home price
    tariff: np.ndarray  # fraction of the border price
    notional: np.ndarray  # sourcing shares before price and habit, not normalised
    log_weight: np.ndarray
    measures: ExportMeasures

    @property
    def factor(self) -> np.ndarray:
        """Delivered price per unit of the seller's price, before costs per kg."""
        return (1.0 + self.markup) * (1.0 + self.measures.tax) * (1.0 + self.tariff)


@dataclass(frozen=True)
class Offers:
    """What firms offer this month, [firm]."""

    quantity: np.ndarray  # t/month
    low: np.ndarray  # USD/kg
    high: np.ndarray  # USD/kg
    least: np.ndarray  # USD/kg: below this price nothing is sold

    def steps_and_ramps(self, firms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Quantity, lowest and highest ask of two rows a firm: a step, then a ramp.

        The step holds what the ramp would offer at the least price, all of it at that price; so
        supply ends there and no price can fall to zero.
        """
        quantity, low, high = self.quantity[firms], self.low[firms], self.high[firms]
        least = self.least[firms]
        committed = np.clip((least - low) / (high - low), 0.0, 1.0)
        rows = np.stack([quantity * committed, quantity * (1.0 - committed)], axis=1)
        from_price = np.stack([least, np.maximum(low, least)], axis=1)
        to_price = np.stack([least, np.maximum(high, least)], axis=1)
        return rows.ravel(), from_price.ravel(), to_price.ravel()

    @staticmethod
    def by_firm(sales: np.ndarray) -> np.ndarray:
        """Sales of a firm from those of its two rows."""
        return sales.reshape(-1, 2).sum(axis=1)


@dataclass(frozen=True)
class StageRows:
    """The markets that clear together, and where their firms stand in the firm table."""

    refined: bool
    markets: np.ndarray  # [row] market
    firms: np.ndarray  # rows of the firm table, in the order of the markets
    offsets: np.ndarray  # [row, origin + 1] into `firms`


def stage_rows(world: World, refined: bool) -> StageRows:
    """Markets of one stage."""
    markets = np.flatnonzero(world.is_refined == refined)
    bounds = firm_offsets(world)[markets]
    sizes = bounds[:, -1] - bounds[:, 0]
    starts = np.cumsum(sizes) - sizes
    firms = np.arange(sizes.sum()) + np.repeat(bounds[:, 0] - starts, sizes)
    return StageRows(refined, markets, firms, bounds - bounds[:, :1] + starts[:, None])


@dataclass(frozen=True)
class Payments:
    """Who gets the buyers' money, [market, origin, destination], thousand USD a month.

    Prices are USD/kg and flows tonnes, so every product is in thousand dollars.
    """

    outlay: np.ndarray
    sellers: np.ndarray
    export_tax: np.ndarray
    duty: np.ndarray
    freight: np.ndarray
    detour: np.ndarray
    rent: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """[market] outlay less everything it paid for; zero but for rounding."""
        parts = self.sellers + self.export_tax + self.duty + self.freight + self.detour + self.rent
        return (self.outlay - parts).sum(axis=(1, 2))


def notional_shares(world: World, share: np.ndarray, known_size: np.ndarray) -> np.ndarray:
    """[market, origin, destination] pull of each origin before price and habit.

    A buyer's taste for an origin grows with the capacity it has come to know there beyond the
    trend: without this a supplier could double only by cutting its price for ever. Origins without
    supply at the opening enter with the gravity share their size would give them.

    Parameters
    ----------
    known_size
        [market, origin] capacity over its trend where there was supply at the opening; elsewhere
        over the trend of the whole market.
    """
    incumbent = world.opening.supply > 0
    part = world.opening.supply / world.opening.supply.sum(axis=1, keepdims=True)
    level = np.where(incumbent, known_size * part, known_size).sum(axis=1, keepdims=True)
    pull = (known_size / level)[:, :, None]
    return np.where(incumbent[:, :, None], share, world.entry_share) * pull


def sourcing_weights(world: World, notional: np.ndarray, familiarity: np.ndarray) -> np.ndarray:
    """[market, origin, destination] log weights: notional shares, habit and opening prices."""
    with np.errstate(divide="ignore"):
        return np.log(notional * familiarity) + world.opening_gap


def build_problem(
    stage: StageRows,
    world: World,
    offers: Offers,
    orders: Orders,
    traits: BuyerTraits,
    backstop: np.ndarray,
    choke: np.ndarray,
    terms: TradeTerms,
) -> Problem:
    """The clearing problem of one stage in one month."""
    rows, firms = stage.markets, stage.firms
    place = {int(market): position for position, market in enumerate(rows)}
    shape = orders.floor[rows].shape
    capacity, low_ask, high_ask = offers.steps_and_ramps(firms)
    bid_quantity, bid_low, bid_high = orders.rows(rows).bids
    limits = limits_of(stage, terms.measures)
    arcs = [limit.destinations for limit in limits]
    sizes = np.array([len(part) for part in arcs], dtype=np.int64)
    empty = np.zeros(0, dtype=np.int64)
    return Problem(
        capacity=capacity,
        low_ask=low_ask,
        high_ask=high_ask,
        firm_offset=2 * stage.offsets,
        need=orders.floor[rows],
        reference_price=np.broadcast_to(traits.reference_price[rows][:, :, None], shape),
        elasticity=traits.elasticity[rows],
        backstop_price=np.broadcast_to(backstop[rows][:, :, None], shape),
        choke_price=np.broadcast_to(choke[rows][:, :, None], shape),
        bid_quantity=bid_quantity,
        bid_low=bid_low,
        bid_high=bid_high,
        log_weight=terms.log_weight[rows],
        dispersion=world.dispersion[rows],
        price_factor=terms.factor[rows],
        price_addition=(world.freight + terms.measures.detour)[rows],
        floor_price=np.zeros((len(rows), *world.freight.shape[1:])),
        limit=np.array([limit.tonnes for limit in limits], dtype=float),
        limit_market=np.array([place[limit.market] for limit in limits], dtype=np.int64),
        limit_offset=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        limit_origin=np.repeat(np.array([limit.origin for limit in limits], dtype=np.int64), sizes),
        limit_destination=np.concatenate([empty, *arcs]).astype(np.int64),
        market_names=tuple(market_name(world, row) for row in rows),
        country_names=world.countries,
    )


def limits_of(stage: StageRows, measures: ExportMeasures) -> tuple[Limit, ...]:
    """The limits on the markets of a stage, in the order the problem lists them."""
    return tuple(limit for limit in measures.limits if limit.market in stage.markets)


def market_name(world: World, market: int) -> str:
    """How a market is called in messages, such as 'refined gallium'."""
    mineral, stage = world.markets[market]
    return f"{stage} {mineral}"


def payments(
    flow: np.ndarray,
    delivered_price: np.ndarray,
    origin_price: np.ndarray,
    rent: np.ndarray,
    terms: TradeTerms,
    freight: np.ndarray,
) -> Payments:
    """Split every dollar that buyers pay. Arrays are [market, origin, destination].

    Parameters
    ----------
    delivered_price
        What the market says a buyer pays, USD/kg; the parts are computed without it, so that
        their sum is a check. NaN on closed arcs.
    origin_price
        [market, origin] USD/kg; NaN where nothing is offered.
    rent
        Sum of the rents of the limits on an arc, USD/kg.
    """
    price = np.nan_to_num(origin_price)[:, :, None]
    asked = price * (1.0 + terms.markup)
    taxed = asked * (1.0 + terms.measures.tax)
    return Payments(
        outlay=np.nan_to_num(delivered_price) * flow,
        sellers=asked * flow,
        export_tax=(taxed - asked) * flow,
        duty=taxed * terms.tariff * flow,
        freight=freight * flow,
        detour=terms.measures.detour * flow,
        rent=rent * flow,
    )


def rents_by_holder(
    problem: Problem, clearing: Clearing, limits: tuple[Limit, ...]
) -> list[tuple[Limit, float]]:
    """Every limit of the problem with the rent it earned, thousand USD a month."""
    earned = []
    for group, limit in enumerate(limits):
        arcs = slice(problem.limit_offset[group], problem.limit_offset[group + 1])
        tonnes = clearing.flow[
            problem.limit_market[group],
            problem.limit_origin[arcs],
            problem.limit_destination[arcs],
        ].sum()
        earned.append((limit, float(clearing.rent[group] * tonnes)))
    return earned


def arc_rents(shape: tuple[int, ...], problem: Problem, clearing: Clearing) -> np.ndarray:
    """[market, origin, destination] sum of the rents of the limits that hold an arc, USD/kg."""
    rents = np.zeros(shape)
    for group, market in enumerate(problem.limit_market):
        arcs = slice(problem.limit_offset[group], problem.limit_offset[group + 1])
        origins, destinations = problem.limit_origin[arcs], problem.limit_destination[arcs]
        rents[market, origins, destinations] += clearing.rent[group]
    return rents
