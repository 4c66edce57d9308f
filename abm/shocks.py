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
    shape = months, world.firms.market.size
    if not settings.active:
        return np.ones(shape)
    struck, lasts, lost = np.zeros(shape, dtype=bool), np.ones(shape, dtype=int), np.zeros(shape)
    for market, (mineral, stage) in enumerate(world.markets):
        here = world.firms.market == market
        old, new = here & (world.firms.project < 0), here & (world.firms.project >= 0)
        # Plants that may be built draw from streams of their own and leave the others' luck alone.
        for rows, name in ((old, (mineral, stage)), (new, (mineral, stage, "projects"))):
            stability = world.political_stability[world.firms.country[rows]]
            rate = settings.outage_rate * np.exp(-settings.stability_effect * stability)
            shape_here = (months, int(rows.sum()))
            draw = stream(seed, "outage start", *name)
            struck[:, rows] = draw.random(shape_here) < rate
            draw = stream(seed, "outage length", *name)
            lasts[:, rows] = draw.geometric(1.0 / settings.outage_months, shape_here)
            draw = stream(seed, "outage depth", *name)
            lost[:, rows] = draw.uniform(*PARTIAL_OUTAGE, shape_here)
    return _availability(struck, lasts, lost)


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
    shape = months, len(world.countries)
    struck, lasts, taken = np.zeros(shape, dtype=bool), np.ones(shape, dtype=int), np.zeros(shape)
    shared = {
        region: stream(seed, "instability", "region", region).standard_normal(months)
        for region in set(world.regions)
    }
    for column, (code, region) in enumerate(zip(world.countries, world.regions, strict=True)):
        alone = stream(seed, "instability", "country", code).standard_normal(months)
        struck[:, column] = common * shared[region] + own * alone < threshold[column]
        draw = stream(seed, "instability length", code)
        lasts[:, column] = draw.geometric(1.0 / settings.months, months)
        draw = stream(seed, "instability depth", code)
        taken[:, column] = draw.uniform(settings.least_lost, settings.most_lost, months)
    return 1.0 - _availability(struck, lasts, taken)


def demand_swings(world: World, settings: Randomness, months: int, seed: int) -> np.ndarray:
    """[month, mineral, country] factor on the need of final users."""
    shape = months, len(world.minerals), 1 + len(world.countries)
    if not settings.active:
        return np.ones((months, len(world.minerals), len(world.countries)))
    draws = np.empty(shape)
    for row, mineral in enumerate(world.minerals):
        for series, name in enumerate([(), *((country,) for country in world.countries)]):
            draw = stream(seed, "demand", mineral, *name)
            draws[:, row, series] = draw.standard_normal(months)
    # Log swings: one common to the world, and one of each country.
    deviation = np.full(shape[2], settings.country_noise)
    deviation[0] = settings.demand_noise
    swings = _autoregressions(draws, deviation, settings.noise_memory)
    return np.exp(swings[:, :, :1] + swings[:, :, 1:])


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


def _availability(struck: np.ndarray, lasts: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """[month, place]: share of capacity left by the events under way; none in the first month.

    Where `struck`, an event lasts so many months and takes that share; the worst one counts.
    """
    available = np.ones(struck.shape)
    month, place = np.nonzero(struck[1:])
    month += 1
    left = 1.0 - lost[month, place]
    end = np.minimum(month + lasts[month, place], struck.shape[0])
    while month.size:
        np.minimum.at(available, (month, place), left)
        month = month + 1
        on = month < end
        month, place, left, end = month[on], place[on], left[on], end[on]
    return available


def _autoregressions(innovations: np.ndarray, deviation: np.ndarray, memory: float) -> np.ndarray:
    """First-order autoregressions that start at zero and tend to the given deviations.

    Parameters
    ----------
    innovations
        [month, ..., series] standard normal.
    deviation
        [series].
    """
    paths = np.zeros(innovations.shape)
    moved = deviation * np.sqrt(1.0 - memory**2) * innovations
    for month in range(1, len(paths)):
        paths[month] = memory * paths[month - 1] + moved[month]
    return paths
