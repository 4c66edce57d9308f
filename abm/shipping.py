"""Shipping: chokepoints at sea that close, and what the way round costs in money and months."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.config import ConfigError, Shipping, month_index
from abm.streams import stream
from abm.trade import Lanes
from abm.world import DAYS_A_MONTH, KG, LONGEST_VOYAGE, MONTHS, Passages, World

LONGEST_DETOUR = 4  # months; no voyage takes longer, whatever is closed
KM_A_KNOT_DAY = 1.852 * 24.0


@dataclass(frozen=True)
class SeaState:
    """The lanes while one set of chokepoints is closed."""

    lanes: Lanes
    transit: np.ndarray  # [market, country] mean months at sea of the opening purchases


@dataclass(frozen=True)
class Sailing:
    """The lanes of every month of a run, known before month one."""

    states: tuple[SeaState, ...]
    number: np.ndarray  # [month] which of the states

    def in_month(self, month: int) -> SeaState:
        """The lanes of a month; the same object as long as nothing opens or closes."""
        return self.states[self.number[month]]

    @property
    def longest(self) -> int:
        """Months of the longest voyage of the run."""
        return max(LONGEST_VOYAGE, *(int(state.lanes.voyage.max()) for state in self.states))


def random_closures(passages: Passages, settings: Shipping, months: int, seed: int) -> np.ndarray:
    """[month, chokepoint] bool: closures by chance, each chokepoint from a stream of its own.

    They start at `closure_rate` a year and last a geometric number of months; the opening month is
    left as observed.
    """
    closed = np.zeros((months, len(passages.names)), dtype=bool)
    if not settings.active:
        return closed
    for column, name in enumerate(passages.names):
        starts = stream(seed, "closure start", name).random(months) < settings.closure_rate / MONTHS
        lasts = stream(seed, "closure length", name).geometric(
            1.0 / settings.closure_months, months
        )
        for month in np.flatnonzero(starts[1:]) + 1:
            closed[month : month + lasts[month], column] = True
    return closed


def dated_closures(passages: Passages, settings: Shipping, months: int, start: str) -> np.ndarray:
    """[month, chokepoint] bool: closures that the configuration dates.

    Raises
    ------
    ConfigError
        For a chokepoint that the table does not list.
    """
    closed = np.zeros((months, len(passages.names)), dtype=bool)
    for position, closure in enumerate(settings.closures):
        if closure.chokepoint not in passages.names:
            raise ConfigError(
                f"shipping.closures[{position}].chokepoint is {closure.chokepoint!r}, which "
                f"chokepoints.csv does not list; choose from {', '.join(passages.names)}"
            )
        begins = max(month_index(closure.start, start), 1)
        ends = max(month_index(closure.end, start), 1) if closure.end else months
        closed[begins:ends, passages.names.index(closure.chokepoint)] = settings.active
    return closed


def sailing(world: World, settings: Shipping, closed: np.ndarray, start: str) -> Sailing:
    """The lanes of every month, from closures by chance and by date.

    Parameters
    ----------
    closed
        [month, chokepoint] from `random_closures`.
    start
        The opening month, 'YYYY-MM'.
    """
    shut = closed | dated_closures(world.passages, settings, closed.shape[0], start)
    sets, number = np.unique(shut, axis=0, return_inverse=True)
    states = tuple(sea_state(world, settings, chosen) for chosen in sets)
    return Sailing(states, number.reshape(-1))


def sea_state(world: World, settings: Shipping, shut: np.ndarray) -> SeaState:
    """Freight and voyages while some chokepoints [chokepoint] are shut."""
    lanes = Lanes(world.freight, world.voyage)
    if shut.any():
        lanes = detoured(world, settings, shut)
    bought = world.flow.sum(axis=1)
    months = (world.flow * lanes.voyage[None]).sum(axis=1)
    transit = np.divide(months, bought, out=np.zeros_like(bought), where=bought > 0)
    return SeaState(lanes, transit)


def detoured(world: World, settings: Shipping, shut: np.ndarray) -> Lanes:
    """What the way round adds; detours of several closures add up.

    A lane pays for the extra way, for ships that are scarce while others sail round too, and for
    the risk, each by the part of its trade that is concerned. A lane without a way round is
    infinitely dear if `close_stranded` says so.
    """
    share, further = world.passages.share[shut], world.passages.detour_km[shut]
    stranded = np.isinf(further) & (share > 0)
    km = (share * np.where(np.isinf(further), settings.stranded_km, further)).sum(axis=0)
    concerned = share.max(axis=0)
    days = km / (settings.knots * KM_A_KNOT_DAY) + settings.delay_days * concerned
    months = np.rint((world.voyage_days + days) / DAYS_A_MONTH)
    voyage = np.clip(months, world.voyage, LONGEST_DETOUR).astype(np.int64)
    parameters = world.parameters
    by_distance = parameters["freight_usd_per_t_per_1000km"] * parameters["gross_weight"] / KG
    insured = settings.insurance_surcharge * world.world_price
    freight = (
        world.freight * (1.0 + settings.freight_surcharge * concerned)
        + by_distance[:, None, None] * km / 1000.0
        + insured[:, None, None] * concerned
    )
    if settings.close_stranded:
        freight = np.where((stranded & (share >= 1.0)).any(axis=0), np.inf, freight)
    return Lanes(freight, voyage)
