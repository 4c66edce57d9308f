"""The undisturbed trend: how need grows by sector, and the capacity that is planned to meet it.

Need follows constant growth, or a published scenario of demand, and what a user adds as a surprise.
Planned capacity grows just enough to serve the need that planners foresee and the stocks that go
with it, so that a world without surprise, shock, instrument or noise keeps its opening prices.
Plants under construction take their place in that growth when they start; the rest is shared by the
firms that run already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.agents.firm import FirmTraits
from abm.config import DemandPath, DemandScenario, month_index
from abm.facts import NO_DEPARTURE, Departure
from abm.world import MONTHS, World

START_UP_MONTHS = 24  # from first output of a new plant to its nameplate; assumed


@dataclass(frozen=True)
class Trend:
    """Paths over the horizon."""

    need: np.ndarray  # [month, mineral, country or 1, sector] need over its opening
    total: np.ndarray  # [month + 1, market] use over its opening
    origin: np.ndarray  # [month, market, origin] planned output over its opening
    capacity: np.ndarray  # [month, firm] t/month


def undisturbed_trend(
    world: World,
    traits: FirmTraits,
    stock_months: np.ndarray,
    start: str,
    months: int,
    demand: DemandPath,
    imposed: Departure = NO_DEPARTURE,
) -> Trend:
    """Compute the trend of a horizon.

    Parameters
    ----------
    stock_months
        [market] months of use held along the chain of that market (buyers, goods at sea,
        producers), which must grow with use.
    start
        First month, 'YYYY-MM': the opening, from which growth is counted.
    demand
        The path that need takes, and the part of it that planners foresee.
    imposed
        What dated facts make of it.
    """
    # The opening month is the observed average; growth starts with the second.
    years = np.maximum(np.arange(months + 1) - 1, 0) / MONTHS
    constant = (1.0 + world.growth[None]) ** years[:, None, None]
    beyond = departure(world, demand, years, start)
    need = (constant * beyond)[:, :, None, :] * imposed.need
    place = _use_growth(world, need)
    planned = (constant * beyond**demand.planned_share)[:, :, None, :] * imposed.foreseen
    foreseen = place if np.array_equal(planned, need) else _use_growth(world, planned)
    served = _supply_growth(world, foreseen)
    needed = served[:-1] + stock_months[None, :, None] * np.diff(served, axis=0)
    bought = world.flow.sum(axis=1)
    total = (place * bought[None]).sum(axis=2) / bought.sum(axis=1)
    return Trend(
        need=need[:-1],
        total=total,
        origin=served[:-1],
        capacity=_planned_capacity(world, traits, needed, start),
    )


def departure(world: World, demand: DemandPath, years: np.ndarray, start: str) -> np.ndarray:
    """[month, mineral, sector] need over what constant growth would give; ones by default.

    Parameters
    ----------
    years
        [month] since the opening. The opening is the average of the year of the world, whatever
        the date of the first month, so a scenario is entered there; before 2024 it is constant.
    start
        First month, 'YYYY-MM', from which the date of a surprise is counted.
    """
    beyond = np.ones((years.size, len(world.minerals), len(world.sectors)))
    if demand.scenario is not DemandScenario.constant:
        path = np.log(world.demand_paths[demand.scenario.value])
        for mineral, sector in np.ndindex(path.shape[1:]):
            knots = path[:, mineral, sector]
            beyond[:, mineral, sector] = np.exp(
                np.interp(world.year + years, world.demand_years, knots)
            )
    begun = month_index(demand.surprise_start, start)
    since = np.clip(
        (np.arange(years.size) - begun) / MONTHS, 0.0, demand.surprise_years
    )  # [month] years of surprise so far
    extra = np.array([getattr(demand, name, 0.0) for name in world.sectors])
    return beyond * (1.0 + extra) ** since[:, None, None]


def _use_growth(world: World, need: np.ndarray) -> np.ndarray:
    """[month, market, country] use over its opening; refiners grow in step with their product.

    Parameters
    ----------
    need
        [month, mineral, country or 1, sector] over its opening.
    """
    final = world.opening.final_use  # [market, country, sector]
    grown = np.einsum("tmjs,mjs->tmj", need[:, world.mineral_of_market], final)
    product = grown.sum(axis=2)[:, world.refined_market[world.mineral_of_market]]
    product = product / final.sum(axis=(1, 2))[world.refined_market[world.mineral_of_market]]
    feed = world.opening.feed_use
    use = final.sum(axis=2) + feed
    grown = grown + feed[None] * product[:, :, None]
    return np.divide(grown, use[None], out=np.ones_like(grown), where=use[None] > 0)


def _supply_growth(world: World, place: np.ndarray) -> np.ndarray:
    """[month, market, origin] output that serves an origin's opening customers as they grow."""
    sold = world.flow.sum(axis=2)
    served = (place.transpose(1, 0, 2) @ world.flow.transpose(0, 2, 1)).transpose(1, 0, 2)
    return np.divide(served, sold[None], out=np.ones(served.shape), where=sold[None] > 0)


def _planned_capacity(
    world: World, traits: FirmTraits, needed: np.ndarray, start: str
) -> np.ndarray:
    """[month, firm] capacity in which plants under construction take part of the growth needed.

    Plants of projects that are still to be decided have none.

    Parameters
    ----------
    needed
        [month, market, origin] output over its opening.
    """
    months = needed.shape[0]
    planned = np.zeros((months, traits.capacity.size))
    opens = _opening_months(world, start)
    project = world.firms.start_year > 0
    ripe = np.clip((np.arange(months)[:, None] - opens[None, :]) / START_UP_MONTHS, 0.0, 1.0)
    for market in range(len(world.markets)):
        rows = np.flatnonzero((world.firms.market == market) & (world.firms.project < 0))
        old, new = rows[~project[rows]], rows[project[rows]]
        output = world.firms.output[old].sum()
        arriving = ripe[:, new] * (traits.capacity[new] * traits.normal_use[new])[None, :]
        wanted = needed[:, market, traits.country[old]]
        room = wanted @ world.firms.output[old] - output
        asked = arriving.sum(axis=1)
        granted = np.where(asked > 0, np.minimum(1.0, room / np.where(asked > 0, asked, 1.0)), 0.0)
        granted = np.maximum.accumulate(np.maximum(granted * asked, 0.0)) / np.where(
            asked > 0, asked, 1.0
        )
        granted = np.minimum(granted, 1.0)
        planned[:, new] = granted[:, None] * ripe[:, new] * traits.capacity[new][None, :]
        left = 1.0 - granted * asked / np.maximum(room + output, 1e-300)
        planned[:, old] = wanted * left[:, None] * traits.capacity[old][None, :]
    return planned


def _opening_months(world: World, start: str) -> np.ndarray:
    first = [
        month_index(f"{int(year):04d}-01", start) if year > 0 else 0
        for year in world.firms.start_year
    ]
    return np.maximum(np.array(first, dtype=float), 1.0)
