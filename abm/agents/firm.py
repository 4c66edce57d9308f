"""Firms: mines, refineries and recyclers. One row each, moved as arrays.

A firm offers its running capacity and part of its inventory on a ramp of asking prices. The ramp
is set so that the opening output is sold at the opening price with the short-run supply elasticity
of the literature; it then moves with the firm's mark-up and, for a refiner, with the cost of feed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from abm.agents.table import Column, Row
from abm.config import Behaviour
from abm.passes.accounts import share_out, sum_at
from abm.passes.planning import drift_markups, follow_price, make_goods
from abm.passes.trading import bring_to_market, sell_offers
from abm.world import MONTHS, World, place_offsets

PRICE_RATIOS = (0.3, 10.0)  # bounds of the price over the opening one, in what firms want; assumed
MOST_CAPACITY = 4.0  # of the planned one; the least is that of the ratios; assumed


class Firm(Row):
    """One mine, refinery or recycler."""

    name = Column()
    market = Column()
    country = Column()
    capacity = Column()
    working = Column()  # share of capacity
    reserves = Column()  # t in the ground; infinite where none are listed
    inventory = Column()
    markup = Column()
    sales = Column()
    output = Column()


@dataclass(frozen=True)
class FirmTraits:
    """What does not change during a run: [firm], unless the comment says otherwise."""

    # [place + 1] the first firm of every place, and the end of the last: unsigned, or a compiled
    # loop asks of every index whether it counts from the end.
    offset: np.ndarray
    market: np.ndarray
    country: np.ndarray
    mineral: np.ndarray
    place: np.ndarray  # cell of [market, country] tables, counted row by row
    capacity: np.ndarray  # t/month nameplate
    offer: np.ndarray  # t/month offered in the opening month
    utilisation: np.ndarray  # share of the offer sold at the opening price
    width: np.ndarray  # USD/kg from lowest to highest ask
    low_ask: np.ndarray  # USD/kg
    least_price: np.ndarray  # USD/kg: below it the firm sells nothing
    cover: np.ndarray  # months of normal output held as finished goods
    stock_months: np.ndarray  # the same in months of nameplate output
    normal_use: np.ndarray  # share of capacity run in normal times
    price: np.ndarray  # USD/kg opening price in the firm's country
    lead_months: np.ndarray  # from decision to capacity
    expansion: np.ndarray  # long-run elasticity of capacity to price
    feeds: np.ndarray  # bool: buys the mined product
    recycles: np.ndarray  # bool: lives on scrap
    power: np.ndarray  # largest mark-up the firm's market share supports, fraction

    def rows(self, firms: slice) -> FirmTraits:
        """The traits of some firms."""
        own = {item.name: getattr(self, item.name)[firms] for item in fields(self)}
        own["offset"] = np.clip(self.offset, firms.start, firms.stop) - np.uint64(firms.start)
        return FirmTraits(**own)

    def here(self, table: np.ndarray) -> np.ndarray:
        """[firm] what a [market, country] table says of each firm's place."""
        return table.ravel()[self.place]

    def by_place(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """[market, country] sums of a figure of the firms."""
        return sum_at(self.offset, values).reshape(shape)


def firm_traits(world: World, behaviour: Behaviour) -> FirmTraits:
    """Calibrate the ramps to the opening outputs and prices."""
    market, country = world.firms.market, world.firms.country
    here = {name: values[market] for name, values in world.parameters.items()}
    price = world.origin_price[market, country]
    cover = here["producer_stock_months"]
    running = world.firms.output > 0
    normal = here["utilisation"].copy()
    normal[running] = world.firms.output[running] / world.firms.capacity[running]
    inventory = cover * world.firms.output
    offer = np.where(
        running,
        world.firms.capacity + behaviour.inventory_offer * inventory,
        world.firms.capacity * (1.0 + behaviour.inventory_offer * cover * normal),
    )
    sold = np.divide(world.firms.output, offer, out=np.zeros_like(offer), where=offer > 0)
    typical = normal / (1.0 + behaviour.inventory_offer * cover * normal)
    sold = np.where(sold > 0, sold, typical)
    width = price / (here["supply_elasticity"] * sold)
    return FirmTraits(
        offset=place_offsets(world).astype(np.uint64),
        market=market,
        country=country,
        mineral=world.mineral_of_market[market],
        place=market * len(world.countries) + country,
        capacity=world.firms.capacity,
        offer=offer,
        utilisation=sold,
        width=width,
        low_ask=price - sold * width,
        least_price=behaviour.shutdown_price * price,
        cover=cover,
        stock_months=cover * normal,
        normal_use=normal,
        price=price,
        lead_months=here["lead_time_years"] * MONTHS,
        # Scrap at hand, not plant, limits recyclers: they grow with scrap, not with price.
        # The plant of a project has the size that was built.
        expansion=np.where(
            world.firms.recycler | (world.firms.project >= 0),
            0.0,
            here["longrun_supply_elasticity"],
        ),
        feeds=_feeds(world),
        recycles=world.firms.recycler.astype(bool),
        power=_market_power(world, behaviour),
    )


def _feeds(world: World) -> np.ndarray:
    has_mine = world.mined_market[world.mineral_of_market] >= 0
    buys = world.is_refined & has_mine
    return buys[world.firms.market] & ~world.firms.recycler.astype(bool)


def _market_power(world: World, behaviour: Behaviour) -> np.ndarray:
    """Lerner's bound: market share over the elasticity of the demand left to the firm.

    The residual demand of a firm with share s is (e + (1 - s) n) / s for market elasticity e and
    rivals' supply elasticity n (the dominant firm with a competitive fringe).
    """
    market = world.firms.market
    total = np.bincount(market, world.firms.output, len(world.markets))
    share = world.firms.output / np.maximum(total, 1e-300)[market]
    bite = (
        world.parameters["demand_elasticity"][market]
        + (1.0 - share) * (world.parameters["supply_elasticity"][market])
    )
    lerner = behaviour.market_power * share / bite
    return np.maximum(behaviour.markup_bound, np.minimum(lerner, 1.0))


def running_capacity(
    planned: np.ndarray, availability: np.ndarray, feed_limit: np.ndarray, traits: FirmTraits
) -> np.ndarray:
    """[firm] t/month that can run: planned capacity less outages, and within the feed at hand.

    Parameters
    ----------
    feed_limit
        [market, country] t/month of output the feed on hand allows; infinite where none is needed.
    """
    return share_out(planned * availability, traits.feeds, traits.place, feed_limit.ravel())


class Inputs(NamedTuple):
    """What plants meet where they stand, [market, country]."""

    feed_limit: np.ndarray  # t/month of output the feed on hand allows; infinite: none is needed
    feed_rise: np.ndarray  # USD/kg of output by which feed has become dearer since the opening
    scrap_limit: np.ndarray  # t/month that scrap allows recyclers; infinite: nothing is known


class Supply(NamedTuple):
    """What firms bring to a month's market, [firm]."""

    running: np.ndarray  # t/month that can run
    able: np.ndarray  # t/month offered if feed and scrap were no limit
    offered: np.ndarray  # t/month offered, part of the stock included
    low: np.ndarray  # USD/kg: the lowest ask
    high: np.ndarray  # USD/kg: the highest ask


def bring_supply(
    supply: Supply,
    planned: np.ndarray,
    availability: np.ndarray,
    inventory: np.ndarray,
    markup: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    inputs: Inputs,
    world_price: np.ndarray,
    traits: FirmTraits,
    behaviour: Behaviour,
) -> None:
    """Write what firms offer, and at what asks, into the arrays of `supply`.

    What can run is the planned capacity less outages; refiners of a place share its feed, and
    recyclers its scrap, so that each runs the same part of what it could. Asks are those of the
    opening, moved by the mark-up and by the cost of feed, less what is earned beside the price.

    Parameters
    ----------
    planned, availability, inventory
        [firm] t/month of capacity, the part of it that is up, and t of finished goods.
    markup
        [firm] drift of the mark-up since the opening, fraction of the world price.
    support, premium
        [firm] USD/kg that support and certified goods bring.
    world_price
        [market] opening world price, USD/kg.
    """
    bring_to_market(
        traits.offset,
        planned,
        availability,
        traits.feeds,
        traits.recycles,
        inputs.feed_limit.ravel(),
        inputs.feed_rise.ravel(),
        inputs.scrap_limit.ravel(),
        inventory,
        behaviour.inventory_offer,
        traits.low_ask,
        traits.width,
        markup,
        world_price,
        traits.market,
        support,
        premium,
        *supply,
    )


def hold_to_caps(supply: Supply, ceiling: np.ndarray, runnable: np.ndarray) -> None:
    """Leave of the supply what caps on output allow: every ramp ends earlier, on its old slope.

    Parameters
    ----------
    ceiling
        [firm] t/month that each may make.
    runnable
        [firm] t/month that each could make if feed and scrap were no limit.
    """
    low = supply.low
    running = np.minimum(supply.running, ceiling)
    # What is left of a firm that is stopped altogether may be below zero by a rounding error.
    offered = np.maximum(supply.offered - (supply.running - running), 0.0)
    kept = np.divide(
        offered, supply.offered, out=np.ones(offered.size), where=supply.offered > offered
    )
    # Where all is withheld the ramp keeps its ends: nothing stands on it.
    kept = np.where(kept > 0.0, kept, 1.0)
    supply.high[:] = np.where(kept < 1.0, low + kept * (supply.high - low), supply.high)
    supply.able[:] = np.maximum(supply.able - (runnable - np.minimum(runnable, ceiling)), 0.0)
    supply.running[:], supply.offered[:] = running, offered


def sell(
    sales: np.ndarray, price: np.ndarray, sold: np.ndarray, supply: Supply, traits: FirmTraits
) -> None:
    """Write what firms sell of their offers at the price of their place, [firm] t/month.

    Parameters
    ----------
    price
        [market, country] USD/kg.
    sold
        [market, country] t/month that flowed from the place, to which sales are matched; NaN where
        it was not counted.
    """
    sell_offers(
        traits.offset,
        supply.offered,
        supply.low,
        supply.high,
        traits.least_price,
        price.ravel(),
        sold.ravel(),
        sales,
    )


def produce(
    made: np.ndarray,
    inventory: np.ndarray,
    sales: np.ndarray,
    running: np.ndarray,
    capacity: np.ndarray,
    traits: FirmTraits,
    adjustment_months: float,
    minerals: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Write output [firm] t/month, what is sold and part of the gap to the wanted inventory.

    Inventories take it in and give out what is sold, in place.

    Returns
    -------
    tuple
        [kind, market x country] t made of feed and recycled, and [mineral] t not made of feed.
    """
    return make_goods(
        traits.offset,
        sales,
        running,
        capacity,
        traits.stock_months,
        adjustment_months,
        traits.feeds,
        traits.recycles,
        traits.mineral,
        minerals,
        inventory,
        made,
    )


def drift_markup(
    markup: np.ndarray,
    sales: np.ndarray,
    offered: np.ndarray,
    inventory: np.ndarray,
    capacity: np.ndarray,
    working: np.ndarray,
    traits: FirmTraits,
    behaviour: Behaviour,
) -> None:
    """Move mark-ups [firm] on: up when sold out or short of stock, down when idle or full.

    Parameters
    ----------
    sales, offered, capacity
        [firm] t/month.
    inventory
        [firm] t of finished goods.
    working
        [firm] share of capacity; without any that works there is no mark-up.
    """
    drift_markups(
        sales,
        offered,
        inventory,
        traits.stock_months,
        capacity,
        working,
        traits.utilisation,
        traits.power,
        behaviour.markup_speed,
        markup,
    )


def invest(
    expansion: np.ndarray,
    price: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    traits: FirmTraits,
    attrition_months: float,
) -> None:
    """Move capacity over its plan [firm] on, where capacity follows the price smoothly.

    Capacity follows the long-run supply elasticity to the price firms have come to expect: up over
    the lead time of new capacity, down at the slow pace at which plant wears out.

    Parameters
    ----------
    price
        [market, country] USD/kg.
    support, premium
        [firm] USD/kg that support and certified goods bring.
    """
    follow_price(
        traits.offset,
        price.ravel(),
        support,
        premium,
        traits.price,
        traits.expansion,
        PRICE_RATIOS,
        MOST_CAPACITY,
        traits.lead_months,
        attrition_months,
        expansion,
    )
