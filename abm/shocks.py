"""Outside events of a run: outages and swings of demand, all drawn before month one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.config import Randomness
from abm.streams import stream
from abm.world import World

PARTIAL_OUTAGE = (0.3, 1.0)  # share of capacity lost while an outage lasts; assumed


@dataclass(frozen=True)
class OutsideEvents:
    """What happens to the world whatever anybody decides.

    Attributes
    ----------
    availability
        ``[month, firm]`` share of capacity that can run.
    demand
        ``[month, mineral, country]`` factor on the need of final users.
    incident
        ``[month, country, country]`` outside news between countries, added to their tension.
    """

    availability: np.ndarray
    demand: np.ndarray
    incident: np.ndarray


def draw_events(world: World, settings: Randomness, months: int, seed: int) -> OutsideEvents:
    """Draw a run's outside events from streams named after mineral and stage.

    The opening month is left as observed: no outage and no swing of demand.
    """
    shape = (months, len(world.minerals), len(world.countries))
    if not settings.active:
        calm = np.zeros((months, len(world.countries), len(world.countries)))
        return OutsideEvents(np.ones((months, world.firms.market.size)), np.ones(shape), calm)
    availability = np.ones((months, world.firms.market.size))
    for market, (mineral, stage) in enumerate(world.markets):
        rows = np.flatnonzero(world.firms.market == market)
        stability = world.political_stability[world.firms.country[rows]]
        rate = settings.outage_rate * np.exp(-settings.stability_effect * stability)
        shape_here = (months, rows.size)
        starts = stream(seed, "outage start", mineral, stage).random(shape_here)
        lasts = stream(seed, "outage length", mineral, stage).geometric(
            1.0 / settings.outage_months, shape_here
        )
        lost = stream(seed, "outage depth", mineral, stage).uniform(*PARTIAL_OUTAGE, shape_here)
        availability[:, rows] = _availability(starts < rate, lasts, lost)
    demand = np.stack(
        [_demand_swings(world, settings, months, seed, mineral) for mineral in world.minerals], 1
    )
    return OutsideEvents(availability, demand, _incidents(world, settings, months, seed))


def _incidents(world: World, settings: Randomness, months: int, seed: int) -> np.ndarray:
    """[month, country, country]: news between each non-allied country and each other, both ways."""
    news = np.zeros((months, len(world.countries), len(world.countries)))
    if settings.tension_noise > 0:
        for one in np.flatnonzero(world.non_allied):
            for other in np.flatnonzero(~world.non_allied):
                draw = stream(seed, "tension", world.countries[one], world.countries[other])
                size = settings.tension_noise * draw.standard_normal(months)
                news[1:, one, other] = news[1:, other, one] = size[1:]
    return news


def _availability(starts: np.ndarray, lasts: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """[month, firm]: share of capacity left by the outages under way; none in the first month."""
    available = np.ones(starts.shape)
    for month, firm in zip(*np.nonzero(starts), strict=True):
        if month > 0:
            span = slice(month, month + lasts[month, firm])
            available[span, firm] = np.minimum(available[span, firm], 1.0 - lost[month, firm])
    return available


def _demand_swings(
    world: World, settings: Randomness, months: int, seed: int, mineral: str
) -> np.ndarray:
    """[month, country]: autoregressive log swings, common to the world and country by country."""
    common = _autoregression(
        stream(seed, "demand", mineral).standard_normal(months),
        settings.demand_noise,
        settings.noise_memory,
    )
    own = np.stack(
        [
            _autoregression(
                stream(seed, "demand", mineral, country).standard_normal(months),
                settings.country_noise,
                settings.noise_memory,
            )
            for country in world.countries
        ],
        axis=1,
    )
    return np.exp(common[:, None] + own)


def _autoregression(innovations: np.ndarray, deviation: float, memory: float) -> np.ndarray:
    """A first-order autoregression that starts at zero and tends to the given deviation."""
    path = np.zeros(innovations.size)
    scale = deviation * np.sqrt(1.0 - memory**2)
    for month in range(1, path.size):
        path[month] = memory * path[month - 1] + scale * innovations[month]
    return path
