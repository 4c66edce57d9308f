"""Dated facts of a scenario besides controls: outages, output caps, state buying and demand.

They are what history or a what-if imposes from outside. What people make of them, prices above all,
is left to the model. Without facts everything here is a neutral value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from abm.agents.buyer import Orders
from abm.agents.firm import FirmTraits
from abm.config import (
    Config,
    ConfigError,
    DemandFact,
    Outage,
    ProductionCap,
    StatePurchase,
    Weight,
    month_index,
)
from abm.scenario import NEVER, check_country, named_countries, named_markets, related_minerals
from abm.state import STATE
from abm.world import MONTHS, World


@dataclass(frozen=True, eq=False)
class Departure:
    """What dated facts make of need, [month + 1, mineral, country or 1, sector or 1], a factor."""

    need: np.ndarray
    foreseen: np.ndarray  # the part of it that planners build for


NO_DEPARTURE = Departure(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))


@dataclass(frozen=True, eq=False)
class DatedCap:
    """A cap on output with names resolved to rows and dates to months of the run."""

    country: int
    markets: np.ndarray
    unit: np.ndarray  # [cap market] t by the weight the cap counts per contained t
    tonnes: float  # a month, by that weight
    overrun: float
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class DatedPurchase:
    """State buying with names resolved to rows and dates to months of the run."""

    country: int
    market: int
    mineral: int
    tonnes: float  # a month
    price_ceiling: float
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts of a run.

    Attributes
    ----------
    availability
        ``[month, firm]`` share of capacity that outages leave; ``[1, 1]`` of one without any.
    news
        Month -> ``[market, country]`` share of supply that news of the month puts in doubt.
    """

    availability: np.ndarray = field(default_factory=lambda: np.ones((1, 1)))
    departure: Departure = NO_DEPARTURE
    caps: tuple[DatedCap, ...] = ()
    purchases: tuple[DatedPurchase, ...] = ()
    news: dict[int, np.ndarray] = field(default_factory=dict)

    def available(self, month: int) -> np.ndarray:
        """[firm] or [1] share of capacity that outages leave in a month."""
        return self.availability[min(month, len(self.availability) - 1)]

    def alarm(self, month: int) -> np.ndarray | float:
        """[market, country] share of supply that news of the month puts in doubt; 0 if none."""
        return self.news.get(month, 0.0)

    def buying(self, month: int) -> Iterator[DatedPurchase]:
        """The purchases under way in a month."""
        return (p for p in self.purchases if p.start <= month < p.end)


def imposed_facts(config: Config, world: World) -> Facts:
    """The facts of a configuration, with every name resolved to rows of the world.

    Raises
    ------
    ConfigError
        For a mineral, country or sector that is not in the world.
    """
    months = config.horizon.years * MONTHS
    news: dict[int, np.ndarray] = {}
    availability = np.ones((1, 1))
    for position, outage in enumerate(config.outages):
        path = f"outages[{position}]"
        markets = named_markets(path, outage.minerals, outage.stages, world)
        country = _country(path, outage.by, world)
        left = _outage(path, outage, country, markets, config, world, months)
        availability = availability * left
        dates = (outage.announced or outage.start, outage.start)
        doubt = np.full(markets.size, outage.share)
        _spread_news(news, dates, doubt, country, markets, config, world)
    caps = []
    for position, cap in enumerate(config.caps):
        caps += _caps(f"caps[{position}]", cap, config, world, news)
    purchases = [
        _purchase(f"purchases[{position}]", purchase, config, world)
        for position, purchase in enumerate(config.purchases)
    ]
    return Facts(
        availability=availability,
        departure=_departure(config, world, months),
        caps=tuple(caps),
        purchases=tuple(purchases),
        news=news,
    )


def capped_share(
    facts: Facts, month: int, planned: np.ndarray, availability: np.ndarray, traits: FirmTraits
) -> np.ndarray:
    """[firm] share of what each could run that caps on output leave it; [1] of one without caps.

    Firms under a cap share it by what they could run. Recyclers stand under none.

    Parameters
    ----------
    planned
        [firm] capacity, t/month.
    availability
        [firm] share of it that can run.
    """
    share = np.ones(1)
    for cap in facts.caps:
        here = np.isin(traits.market, cap.markets) & (traits.country == cap.country)
        here &= ~traits.recycles
        if not (cap.start <= month < cap.end and here.any()):
            continue
        weight = cap.unit[np.searchsorted(cap.markets, traits.market[here])]
        able = float((weight * planned[here] * availability[here]).sum())
        allowed = cap.tonnes + cap.overrun * max(able - cap.tonnes, 0.0)
        share = np.broadcast_to(share, planned.shape).copy()
        share[here] = np.minimum(share[here], allowed / max(able, 1e-300))
    return share


def place_state_purchases(
    facts: Facts, month: int, orders: Orders, customary_price: np.ndarray
) -> None:
    """Add what states buy for their reserves to the orders of the state group, in place.

    Parameters
    ----------
    customary_price
        [market, country] USD/kg.
    """
    for purchase in facts.buying(month):
        place = (purchase.market, purchase.country, STATE)
        ceiling = purchase.price_ceiling * customary_price[place[:2]]
        orders.distress_quantity[place] += purchase.tonnes
        orders.distress_low[place] = ceiling
        orders.distress_high[place] = 2.0 * ceiling


def states_buying(facts: Facts, month: int, shape: tuple[int, int]) -> np.ndarray:
    """[mineral, country] who buys for the reserve this month, and so releases nothing."""
    buying = np.zeros(shape, dtype=bool)
    for purchase in facts.buying(month):
        buying[purchase.mineral, purchase.country] = True
    return buying


# Names to rows, dates to months ---------------------------------------------------------------


def _country(path: str, code: str, world: World) -> int:
    check_country(code, f"{path}.by", world)
    return world.country(code)


def _months(start: str, end: str, config: Config) -> tuple[int, int]:
    """First month of the run, and the first after it; the opening month stays as observed."""
    first = config.horizon.start
    return max(month_index(start, first), 1), month_index(end, first) if end else NEVER


def _outage(
    path: str,
    outage: Outage,
    country: int,
    markets: np.ndarray,
    config: Config,
    world: World,
    months: int,
) -> np.ndarray:
    """[month, firm] share of capacity that one outage leaves."""
    left = np.ones((months, world.firms.market.size))
    here = np.isin(world.firms.market, markets) & (world.firms.country == country)
    if not world.firms.capacity[here].any():
        raise ConfigError(
            f"{path} strikes {outage.by}, which has no capacity for {', '.join(outage.minerals)} "
            "at these stages; name another country, mineral or stage"
        )
    start, end = _months(outage.start, outage.end, config)
    left[start : max(end, start), here] = 1.0 - outage.share
    return left


def _spread_news(
    news: dict[int, np.ndarray],
    dates: tuple[str, str],
    severity: np.ndarray,
    country: int,
    markets: np.ndarray,
    config: Config,
    world: World,
) -> None:
    """Add what buyers fear: the severity [market of the fact] times the country's share."""
    flow = world.flow[markets]
    bought = flow.sum(axis=1)
    share = np.divide(flow[:, country], bought, out=np.zeros_like(bought), where=bought > 0)
    for date in dict.fromkeys(dates):
        month = max(month_index(date, config.horizon.start), 1)
        doubt = news.setdefault(month, np.zeros((len(world.markets), len(world.countries))))
        doubt[markets] = np.minimum(doubt[markets] + severity[:, None] * share, 1.0)


def _caps(
    path: str, cap: ProductionCap, config: Config, world: World, news: dict[int, np.ndarray]
) -> list[DatedCap]:
    """The caps of one entry: one for all its markets of a stage, or one for each market."""
    wanted = [*world.minerals] if cap.minerals == ["all"] else [*cap.minerals]
    if cap.family:
        wanted += related_minerals(path, cap.family, world)
    markets = named_markets(path, wanted, cap.stages, world)
    country = _country(path, cap.by, world)
    output = _primary_output(world, country)
    unit = np.ones(len(world.markets))
    if cap.weight is Weight.gross:
        unit = world.parameters["gross_weight"]
    refined = world.is_refined[markets]
    groups = [markets[~refined], markets[refined]]
    if not (cap.joint or cap.family):
        groups = [markets[row : row + 1] for row in range(markets.size)]
    start, end = _months(cap.start, cap.end, config)
    found = []
    for rows in groups:
        opening = float((unit[rows] * output[rows]).sum())
        if opening <= 0.0:
            continue
        tonnes = cap.tonnes / MONTHS if cap.tonnes >= 0 else cap.share * opening
        found.append(DatedCap(country, rows, unit[rows], tonnes, cap.overrun, start, end))
        lost = np.full(rows.size, max(1.0 - tonnes / opening, 0.0))
        dates = (cap.announced or cap.start, cap.start)
        _spread_news(news, dates, lost, country, rows, config, world)
    if not found:
        raise ConfigError(
            f"{path} caps the output of {cap.by}, which makes none of {', '.join(wanted)} at the "
            "opening at these stages; name another country, mineral or stage"
        )
    return found


def _primary_output(world: World, country: int) -> np.ndarray:
    """[market] t/month that mines and plants of a country make at the opening, recyclers apart."""
    firms = world.firms
    here = (firms.country == country) & ~firms.recycler.astype(bool)
    return np.bincount(firms.market[here], firms.output[here], len(world.markets))


def _purchase(path: str, purchase: StatePurchase, config: Config, world: World) -> DatedPurchase:
    if purchase.mineral not in world.minerals:
        raise ConfigError(
            f"{path}.mineral is {purchase.mineral!r}, which is not in this world; "
            f"choose from {', '.join(world.minerals)}"
        )
    start, end = _months(purchase.start, purchase.end, config)
    mineral = world.minerals.index(purchase.mineral)
    return DatedPurchase(
        country=_country(path, purchase.by, world),
        market=int(world.refined_market[mineral]),
        mineral=mineral,
        tonnes=purchase.tonnes / MONTHS,
        price_ceiling=purchase.price_ceiling,
        start=start,
        end=end,
    )


def _departure(config: Config, world: World, months: int) -> Departure:
    """What the demand facts make of need, month by month."""
    if not config.demand_facts:
        return NO_DEPARTURE
    shape = (months + 1, len(world.minerals), len(world.countries), len(world.sectors))
    need, foreseen = np.zeros(shape), np.zeros(shape)  # in logs
    for position, fact in enumerate(config.demand_facts):
        grown = _log_growth(f"demand_facts[{position}]", fact, config, world, months)
        need += grown
        foreseen += fact.foreseen * grown
    return Departure(np.exp(need), np.exp(foreseen))


def _log_growth(
    path: str, fact: DemandFact, config: Config, world: World, months: int
) -> np.ndarray:
    """[month + 1, mineral, country, sector] log of need over what it would have been."""
    minerals = named_minerals(path, fact.minerals, world)
    countries = np.ones(len(world.countries), dtype=bool)
    if fact.countries:
        countries = named_countries(fact.countries, f"{path}.countries", world)
    sectors = np.array([not fact.sectors or name in fact.sectors for name in world.sectors])
    for name in fact.sectors:
        if name not in world.sectors:
            raise ConfigError(
                f"{path}.sectors contains {name!r}, which is no sector; "
                f"choose from {', '.join(world.sectors)}"
            )
    start, end = _months(fact.start, fact.end, config)
    # Growth over a month shows at its end; the opening month stays as observed.
    years = (np.clip(np.arange(months + 1), start, max(end, start)) - start) / MONTHS
    pace = np.log1p(fact.growth) - np.log1p(world.growth)  # [mineral, sector]
    grown = years[:, None, None, None] * pace[None, :, None, :]
    return grown * (minerals[:, None, None] & countries[None, :, None] & sectors[None, None, :])


def named_minerals(path: str, names: list[str], world: World) -> np.ndarray:
    """[mineral] bool: which are meant.

    Raises
    ------
    ConfigError
        For a mineral that is not in the world.
    """
    for name in names if names != ["all"] else ():
        if name not in world.minerals:
            raise ConfigError(
                f"{path}.minerals contains {name!r}, which is not in this world; "
                f"choose from {', '.join(world.minerals)}, or [all]"
            )
    return np.array([names == ["all"] or name in names for name in world.minerals])
