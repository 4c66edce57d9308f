"""From the offers and orders of a month to a market problem, and back to books of trade."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from abm.agents.buyer import BuyerTraits, Orders
from abm.agents.firm import FirmTraits, Supply
from abm.market import Clearing, Problem
from abm.passes.trading import draw_asks, to_every_group, weigh_arcs
from abm.policy.controls import ArcMeasures, Limit
from abm.policy.standards import StandardTerms
from abm.world import World, by_market, firm_offsets

type LimitedTrade = tuple[int, bytes, bytes]  # exporter, markets and destinations under one limit


@dataclass(frozen=True)
class LimitArcs:
    """The arcs of one stage that stand under limits; a limit's tonnes change from month to month.

    Arcs are listed limit by limit, and once for each limit they stand under.
    """

    number: np.ndarray  # [limit] its place among all limits in force
    offset: np.ndarray  # [limit + 1] into the arcs
    limit: np.ndarray  # [arc] row of `number`
    market: np.ndarray  # [arc] row of the stage
    origin: np.ndarray  # [arc]
    destination: np.ndarray  # [arc]
    trades: tuple[LimitedTrade, ...]  # [limit] what it holds
    of_exporters: np.ndarray  # [limit] bool: exporters hold the rights


@dataclass(frozen=True)
class Lanes:
    """The sea lanes of a month; replaced, never changed, when a chokepoint closes or opens."""

    freight: np.ndarray  # [market, origin, destination] USD/kg; infinite where there is no way
    voyage: np.ndarray  # [origin, destination] months at sea


@dataclass(frozen=True)
class Terms:
    """What decides on the border. Arrays are replaced, never written to, when they change.

    Arrays are [market, origin, destination] unless the comment says otherwise.
    """

    preference: np.ndarray  # [country, country] part two take in preferential tariffs together
    pooling: np.ndarray  # [country] part taken in joint procurement
    controls: ArcMeasures
    lanes: Lanes
    counter_tariff: np.ndarray  # fraction added to the tariff
    compliance: np.ndarray  # USD/kg: cost of standards and of tracing
    floor: np.ndarray  # USD/kg below which no landed price may lie; 0: none
    standards: StandardTerms

    def same(self, other: Terms) -> bool:
        """Whether nothing has changed."""
        return all(
            mine is others or (position < 2 and np.array_equal(mine, others))
            for position, (mine, others) in enumerate(
                zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )


@dataclass(frozen=True)
class Border:
    """What law and membership put between seller and buyer; the same until one of them changes.

    Arrays are [market, origin, destination] unless the comment says otherwise.
    """

    terms: Terms
    tariff: np.ndarray  # fraction of the border price
    wedge: np.ndarray  # price after export tax and tariff per unit of the asked one
    addition: np.ndarray  # USD/kg: freight, detours and compliance; zero where there is no way
    opening_gap: np.ndarray  # price over landed at the opening, in dispersion; -inf: no way
    pool: np.ndarray  # [market, origin] share of each origin in what members would buy together
    # Fraction of the home price, and delivered price per unit of it before costs per kg; the rows
    # of those who set mark-ups themselves are written every month.
    markup: np.ndarray
    factor: np.ndarray
    limits: dict[bool, LimitArcs]  # by stage: is it the refined one


@dataclass(frozen=True)
class TradeTerms:
    """What stands between a seller's price and a buyer's, [market, origin, destination]."""

    border: Border
    markup: np.ndarray  # as in the border
    factor: np.ndarray
    notional: np.ndarray  # sourcing shares before price and habit, not normalised
    log_weight: np.ndarray


@dataclass(frozen=True)
class StageRows:
    """The markets that clear together, and their firms: both stand together in their tables."""

    refined: bool
    markets: slice  # of every array by market
    firms: slice  # of the firm table
    asks: np.ndarray  # [row, origin + 1] into the asks of the stage, those of `asks_of`
    names: tuple[str, ...]  # [row] how the market is called in messages, such as 'refined gallium'
    firm_traits: FirmTraits  # of the firms of the stage
    buyers: BuyerTraits  # of the markets of the stage

    @cached_property
    def reference_price(self) -> np.ndarray:
        """[row, country, group] USD/kg landed at the opening."""
        price, need = self.buyers.reference_price, self.buyers.need
        return to_every_group(price, 0, *need.shape[::2])


def stages_in_order(world: World, firms: FirmTraits, buyers: BuyerTraits) -> list[StageRows]:
    """The stages that have markets, in the order they clear: mined, then refined."""
    return [
        stage_rows(world, refined, firms, buyers)
        for refined in (False, True)
        if (world.is_refined == refined).any()
    ]


def stage_rows(world: World, refined: bool, firms: FirmTraits, buyers: BuyerTraits) -> StageRows:
    """Markets of one stage; an opening lists those of a stage one after the other."""
    markets = np.flatnonzero(world.is_refined == refined)
    rows = slice(int(markets[0]), int(markets[-1]) + 1)
    bounds = firm_offsets(world)[rows]
    own = slice(int(bounds[0, 0]), int(bounds[-1, -1]))
    names = tuple(f"{kind} {mineral}" for mineral, kind in world.markets[rows])
    traits = firms.rows(own)
    asks = by_market(ask_rows(traits.offset), world.origin_price.shape)[rows]
    return StageRows(refined, rows, own, asks, names, traits, buyers.rows(rows))


def ask_rows(offset: np.ndarray) -> np.ndarray:
    """[place + 1] where the asks of every place begin: one step, and a ramp for each firm.

    Parameters
    ----------
    offset
        [place + 1] where the firms of every place begin.
    """
    firms = np.diff(offset.astype(np.int64))
    return np.concatenate([[0], np.cumsum(firms + (firms > 0))])


def limit_arcs(limits: tuple[Limit, ...], stage: StageRows) -> LimitArcs:
    """The arcs of a stage that the limits in force hold."""
    rows, none = stage.markets, np.zeros(0, dtype=np.int64)
    number = [n for n, limit in enumerate(limits) if rows.start <= limit.markets[0] < rows.stop]
    here = [limits[n] for n in number]
    sizes = np.array([limit.markets.size * limit.destinations.size for limit in here], np.int64)
    markets = (np.repeat(limit.markets, limit.destinations.size) for limit in here)
    destinations = (np.tile(limit.destinations, limit.markets.size) for limit in here)
    origin = np.array([limit.origin for limit in here], dtype=np.int64)
    return LimitArcs(
        number=np.array(number, dtype=np.int64),
        offset=np.concatenate([[0], np.cumsum(sizes)]),
        limit=np.repeat(np.arange(sizes.size), sizes),
        market=np.concatenate([none, *markets]) - rows.start,
        origin=np.repeat(origin, sizes),
        destination=np.concatenate([none, *destinations]),
        trades=tuple((x.origin, x.markets.tobytes(), x.destinations.tobytes()) for x in here),
        of_exporters=np.array([limit.holder == "exporters" for limit in here], dtype=bool),
    )


# What is booked for the buyers: tonnes; their outlay, and what it goes to, the goods last.
BUYERS_SIDE = (
    "bought", "spent", "duty", "rent", "carriage", "compliance", "levy", "taxed", "goods",
)  # fmt: skip
# For the sellers: tonnes; taxes and rents on them; the outlay for goods under a rent; receipts.
SELLERS_SIDE = ("sold", "export_tax", "origin_rent", "limited_outlay", "receipts")


def sourcing_weights(
    world: World,
    fresh: np.ndarray,
    pool: np.ndarray,
    pooled: np.ndarray,
    known_size: np.ndarray,
    familiarity: np.ndarray,
    opening_gap: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Notional shares and log weights, [market, origin, destination].

    Notional is the pull of each origin before price and habit. Buyers keep the suppliers of the
    opening, except for what new plants buy and for what members buy as one. A buyer's taste for an
    origin grows with the capacity it has come to know there beyond the trend: without this a
    supplier could double only by cutting its price for ever. Origins without supply at the opening
    enter with the gravity share their size would give them. The log weight adds habit and opening
    prices.

    Parameters
    ----------
    fresh
        [market, destination] part of purchases that is spread as gravity says.
    pool, pooled
        [market, origin] shares of the members' pool and [market, destination] part bought so.
    known_size
        [market, origin] capacity over its trend where there was supply at the opening; elsewhere
        over the trend of the whole market.
    familiarity
        [market, origin, destination] habit.
    opening_gap
        [market, origin, destination] price over landed at the opening, in dispersion; minus
        infinity closes an arc.
    """
    return weigh_arcs(
        world.share,
        world.gravity_share,
        fresh,
        pool,
        pooled,
        world.entry_share,
        world.opening.supply,
        known_size,
        familiarity,
        opening_gap,
    )


def asks_of(
    quantity: np.ndarray, low: np.ndarray, high: np.ndarray, traits: FirmTraits
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantity, lowest and highest ask of the rows of `ask_rows`: every place a step, then ramps.

    The step holds what all ramps of the place would offer at the least price, all of it at that
    price; so supply ends there and no price can fall to zero.

    Parameters
    ----------
    quantity, low, high
        [firm] t/month and USD/kg.
    """
    return draw_asks(traits.offset, quantity, low, high, traits.least_price)


def build_problem(
    stage: StageRows,
    world: World,
    supply: Supply,
    orders: Orders,
    backstop: np.ndarray,
    choke: np.ndarray,
    terms: TradeTerms,
    limits: LimitArcs,
    tonnes: np.ndarray,
) -> Problem:
    """The clearing problem of one stage in one month; `tonnes` are those of all limits in force."""
    rows = stage.markets
    floor = orders.floor[rows]
    capacity, low_ask, high_ask = asks_of(
        supply.offered, supply.low, supply.high, stage.firm_traits
    )
    return Problem(
        capacity=capacity,
        low_ask=low_ask,
        high_ask=high_ask,
        firm_offset=stage.asks,
        need=floor,
        reference_price=stage.reference_price,
        elasticity=stage.buyers.elasticity,
        backstop_price=to_every_group(backstop, rows.start, rows.stop, floor.shape[2]),
        choke_price=to_every_group(choke, rows.start, rows.stop, floor.shape[2]),
        bid_quantity=orders.bid_quantity[rows],
        bid_low=orders.bid_low[rows],
        bid_high=orders.bid_high[rows],
        log_weight=terms.log_weight[rows],
        dispersion=world.dispersion[rows],
        price_factor=terms.factor[rows],
        price_addition=terms.border.addition[rows],
        floor_price=terms.border.terms.floor[rows],
        limit=tonnes[limits.number],
        limit_market=limits.market,
        limit_offset=limits.offset,
        limit_origin=limits.origin,
        limit_destination=limits.destination,
        market_names=stage.names,
        country_names=world.countries,
    )


def by_weight(problem: Problem, unit: np.ndarray) -> Problem:
    """The same problem with the tonnes of each market counted by another weight.

    Quantities grow and prices per kilogram fall by `unit` [row], tonnes of the other weight per
    contained tonne, so that a limit on several markets is a plain sum of flows. Limits are given
    by that weight.
    """
    if (unit == 1.0).all():
        return problem
    firm = firm_units(problem.firm_offset, unit, problem.capacity.size)
    changed = {"capacity": problem.capacity * firm}
    changed |= {name: getattr(problem, name) / firm for name in ("low_ask", "high_ask")}
    across = unit[:, None, None]
    changed |= {name: getattr(problem, name) * across for name in ("need", "bid_quantity")}
    for name in ("reference_price", "backstop_price", "choke_price", "bid_low", "bid_high"):
        changed[name] = getattr(problem, name) / across
    for name in ("price_addition", "floor_price"):
        changed[name] = getattr(problem, name) / across
    return replace(problem, **changed, dispersion=problem.dispersion / unit)


def contained(clearing: Clearing, problem: Problem, unit: np.ndarray) -> Clearing:
    """What was cleared by another weight, in contained tonnes and dollars per contained kg.

    Rents stay in dollars per kilogram of the other weight: a limit may hold several markets.
    """
    if (unit == 1.0).all():
        return clearing
    firm = firm_units(problem.firm_offset, unit, problem.capacity.size)
    return replace(
        clearing,
        origin_price=clearing.origin_price * unit[:, None],
        flow=clearing.flow / unit[:, None, None],
        delivered_price=clearing.delivered_price * unit[:, None, None],
        landed_price=clearing.landed_price * unit[:, None],
        average_price=clearing.average_price * unit[:, None],
        demand=clearing.demand / unit[:, None],
        problem=by_weight(problem, 1.0 / unit),
        sales=clearing.sales / firm,
    )


def firm_units(offsets: np.ndarray, unit: np.ndarray, firms: int) -> np.ndarray:
    """[firm] the unit of each firm's market; firms stand market by market."""
    return np.repeat(unit, np.diff(np.append(offsets[:, 0], firms)))
