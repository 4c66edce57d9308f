"""Outside events of a run: outages, swings of demand and closed seas, drawn before month one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from abm.config import Instability, Randomness, Shipping
from abm.shipping import random_closures
from abm.streams import stream
from abm.world import MONTHS, World

MILESTONES = ("financing", "permit", "construction", "commissioning", "ramp-up")  # of a project
PARTIAL_OUTAGE = (0.3, 1.0)  # share of capacity lost while an outage lasts; assumed


@dataclass(frozen=True)
class ProjectLuck:
    """What a project meets if it is started; free of units, so that settings give it its size.

    Attributes
    ----------
    slip
        ``[project, milestone]`` exponential with mean one; zero without randomness.
    failure
        ``[project, milestone]`` uniform: the milestone is missed where it lies below the
        probability; one without randomness.
    cost
        ``[project]`` standard normal.
    """

    slip: np.ndarray
    failure: np.ndarray
    cost: np.ndarray


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
    closed
        ``[month, chokepoint]`` whether chance closes a chokepoint at sea.
    projects
        Luck of the mines and plants that may be built.
    """

    availability: np.ndarray
    demand: np.ndarray
    incident: np.ndarray
    closed: np.ndarray
    projects: ProjectLuck


def draw_events(
    world: World,
    settings: Randomness,
    months: int,
    seed: int,
    instability: Instability | None = None,
    shipping: Shipping | None = None,
) -> OutsideEvents:
    """Draw a run's outside events from streams named after what they strike.

    The opening month is left as observed: no outage, no swing of demand and open seas. Without
    `instability` or `shipping` nothing of the kind happens.
    """
    availability = firm_outages(world, settings, months, seed)
    if instability is not None and instability.active:
        availability *= (
            1.0 - country_events(world, instability, months, seed)[:, world.firms.country]
        )
    closed = random_closures(world.passages, shipping or Shipping(), months, seed)
    return OutsideEvents(
        availability=availability,
        demand=demand_swings(world, settings, months, seed),
        incident=incidents(world, settings, months, seed),
        closed=closed,
        projects=project_luck(world, settings, seed),
    )


def firm_outages(world: World, settings: Randomness, months: int, seed: int) -> np.ndarray:
    """[month, firm] share of capacity that the outages of single firms leave."""
    availability = np.ones((months, world.firms.market.size))
    if not settings.active:
        return availability
    for market, (mineral, stage) in enumerate(world.markets):
        here = world.firms.market == market
        old, new = here & (world.firms.project < 0), here & (world.firms.project >= 0)
        # Plants that may be built draw from streams of their own and leave the others' luck alone.
        for rows, name in ((old, (mineral, stage)), (new, (mineral, stage, "projects"))):
            stability = world.political_stability[world.firms.country[rows]]
            rate = settings.outage_rate * np.exp(-settings.stability_effect * stability)
            shape_here = (months, int(rows.sum()))
            starts = stream(seed, "outage start", *name).random(shape_here)
            lasts = stream(seed, "outage length", *name).geometric(
                1.0 / settings.outage_months, shape_here
            )
            lost = stream(seed, "outage depth", *name).uniform(*PARTIAL_OUTAGE, shape_here)
            availability[:, rows] = _availability(starts < rate, lasts, lost)
    return availability


def country_events(world: World, settings: Instability, months: int, seed: int) -> np.ndarray:
    """[month, country] share of capacity that strikes, coups and cut routes take.

    An event starts in a country when a standard normal falls below the quantile of its monthly
    rate. Countries of a region share a factor in it (a Gaussian copula), so they tend to fall
    together; regions are independent. Draws depend on nothing but the seed and the names of
    country and region.
    """
    rate = settings.rate / MONTHS * np.exp(-settings.stability_effect * world.political_stability)
    threshold = ndtri(np.minimum(rate, 1.0))
    common, own = np.sqrt(settings.correlation), np.sqrt(1.0 - settings.correlation)
    lost = np.zeros((months, len(world.countries)))
    for column, (code, region) in enumerate(zip(world.countries, world.regions, strict=True)):
        shared = stream(seed, "instability", "region", region).standard_normal(months)
        alone = stream(seed, "instability", "country", code).standard_normal(months)
        lasts = stream(seed, "instability length", code).geometric(1.0 / settings.months, months)
        taken = stream(seed, "instability depth", code).uniform(
            settings.least_lost, settings.most_lost, months
        )
        starts = common * shared + own * alone < threshold[column]
        lost[:, column] = 1.0 - _availability(starts[:, None], lasts[:, None], taken[:, None])[:, 0]
    return lost


def demand_swings(world: World, settings: Randomness, months: int, seed: int) -> np.ndarray:
    """[month, mineral, country] factor on the need of final users."""
    if not settings.active:
        return np.ones((months, len(world.minerals), len(world.countries)))
    return np.stack(
        [_demand_swings(world, settings, months, seed, mineral) for mineral in world.minerals], 1
    )


def incidents(world: World, settings: Randomness, months: int, seed: int) -> np.ndarray:
    """[month, country, country]: news between each non-allied country and each other, both ways."""
    news = np.zeros((months, len(world.countries), len(world.countries)))
    if settings.active and settings.tension_noise > 0:
        for one in np.flatnonzero(world.non_allied):
            for other in np.flatnonzero(~world.non_allied):
                draw = stream(seed, "tension", world.countries[one], world.countries[other])
                size = settings.tension_noise * draw.standard_normal(months)
                news[1:, one, other] = news[1:, other, one] = size[1:]
    return news


def project_luck(world: World, settings: Randomness, seed: int) -> ProjectLuck:
    """Draws of each project from a stream named after its mineral, stage and name."""
    shape = (world.projects.market.size, len(MILESTONES))
    luck = ProjectLuck(np.zeros(shape), np.ones(shape), np.zeros(shape[0]))
    for row, name in enumerate(world.projects.name if settings.active else ()):
        mineral, stage = world.markets[world.projects.market[row]]
        draw = stream(seed, "project", mineral, stage, str(name))
        luck.slip[row] = draw.standard_exponential(len(MILESTONES))
        luck.failure[row] = draw.random(len(MILESTONES))
        luck.cost[row] = draw.standard_normal()
    return luck


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
    names = [(), *((country,) for country in world.countries)]
    draws = np.stack(
        [stream(seed, "demand", mineral, *name).standard_normal(months) for name in names], axis=1
    )
    deviation = np.full(len(names), settings.country_noise)
    deviation[0] = settings.demand_noise
    swings = _autoregressions(draws, deviation, settings.noise_memory)
    return np.exp(swings[:, :1] + swings[:, 1:])


def _autoregressions(innovations: np.ndarray, deviation: np.ndarray, memory: float) -> np.ndarray:
    """First-order autoregressions that start at zero and tend to the given deviations.

    Parameters
    ----------
    innovations
        [month, series] standard normal.
    deviation
        [series].
    """
    paths = np.zeros(innovations.shape)
    moved = deviation * np.sqrt(1.0 - memory**2) * innovations
    for month in range(1, len(paths)):
        paths[month] = memory * paths[month - 1] + moved[month]
    return paths
