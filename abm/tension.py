"""Tension between countries: it rises with what one does to the other and fades with time.

The level from i towards j, between 0 and 1, says how ready i is to act against j. What i resents
in a month (its grievance) is a share, too: of the supplies that j's export controls put at stake,
and of the exports that j's counter-tariffs hit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from abm.config import Tension
from abm.scenario import DatedControl
from abm.world import World


@dataclass
class TensionState:
    """How countries stand to each other. Arrays are replaced, never written to."""

    level: np.ndarray  # [country, country] from the first towards the second, 0 to 1
    supply: np.ndarray  # [market, origin, destination] share of origins in opening purchases
    exports: np.ndarray  # [market, origin, destination] share of sales in an origin's exports
    bloc: np.ndarray  # [country] share of its opening exports that members buy
    resented: np.ndarray  # [country, country] what the first resents in controls of the second
    controls: tuple[DatedControl, ...] = ()  # those that `resented` was computed from


def opening_stand(world: World, settings: Tension) -> TensionState:
    """Where countries stand before month one."""
    return TensionState(
        level=opening_tension(world, settings),
        supply=supplier_share(world),
        exports=export_share(world),
        bloc=np.zeros(len(world.countries)),
        resented=np.zeros((len(world.countries), len(world.countries))),
    )


def opening_tension(world: World, settings: Tension) -> np.ndarray:
    """[country, country] level at the opening, the same both ways.

    Distance of votes in the UN General Assembly over `opening_distance`, for pairs of which one
    is non-allied. Votes do not tell allies apart from others (treaties do, and roles follow them),
    so all other pairs open without tension, as do countries without a known position.
    """
    count = len(world.countries)
    if not settings.active:
        return np.zeros((count, count))
    distance = np.abs(world.ideal_point[:, None] - world.ideal_point[None, :])
    across = world.non_allied[:, None] != world.non_allied[None, :]
    level = np.where(across, distance / settings.opening_distance, 0.0)
    return np.clip(np.nan_to_num(level), 0.0, 1.0)


def supplier_share(world: World) -> np.ndarray:
    """[market, origin, destination] share of each origin in opening purchases."""
    bought = world.flow.sum(axis=1, keepdims=True)
    return np.divide(world.flow, bought, out=np.zeros_like(world.flow), where=bought > 0)


def export_share(world: World) -> np.ndarray:
    """[market, origin, destination] share of each sale in all an origin exports, by value."""
    value = world.flow * world.origin_price[:, :, None]
    diagonal = np.arange(len(world.countries))
    value[:, diagonal, diagonal] = 0.0
    total = value.sum(axis=(0, 2))[None, :, None]
    return np.divide(value, total, out=np.zeros_like(value), where=total > 0)


def control_grievance(world: World, controls: Iterable[DatedControl]) -> np.ndarray:
    """[country, country] what the first resents in the export controls of the second.

    Severity of a control times the share of the imposer in the opening purchases of the target;
    of several on one mineral the worst counts, and minerals count alike: by outlay a ban on
    gallium would weigh nothing.
    """
    count = len(world.countries)
    hurt: dict[int, np.ndarray] = {}
    for control in controls:
        rows, exporter = control.markets, control.exporter
        bought = world.flow[rows].sum(axis=1)
        sold = world.flow[rows, exporter]
        at_stake = np.zeros(sold.shape)
        np.divide(control.severity * sold, bought, out=at_stake, where=bought > 0)
        targeted = np.zeros(count, dtype=bool)
        targeted[control.destinations] = True
        worst = hurt.setdefault(exporter, np.zeros((len(world.minerals), count)))
        np.maximum.at(worst, world.mineral_of_market[rows], at_stake * targeted)
    grievance = np.zeros((count, count))
    for exporter, worst in hurt.items():
        grievance[:, exporter] = worst.mean(axis=0)
    return grievance


def tariff_grievance(rate: np.ndarray, exports: np.ndarray) -> np.ndarray:
    """[country, country] what the first resents in the counter-tariffs of the second.

    The rate times the share of its exports that is hit. Who acts with others answers for the
    whole: the loss of all sales is held against every country that levies, by its rate.

    Parameters
    ----------
    rate
        [market, origin, destination] counter-tariff, fraction.
    exports
        [market, origin, destination] from `export_share`.
    """
    hit = np.flatnonzero(rate.any(axis=(0, 2)))
    grievance = np.zeros(rate.shape[1:])
    if hit.size:
        loss = np.einsum("moj,moj->o", rate[:, hit], exports[:, hit])
        own = rate[:, hit].max(axis=0)
        grievance[hit] = loss[:, None] * own / own.max(axis=1, keepdims=True)
    return grievance


def growth_grievance(before: np.ndarray, bloc: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """[country, country] what the first resents in the growth of the alliance of the second.

    Parameters
    ----------
    before, bloc
        [country] share of each country's opening exports that members buy, last month and now.
    inside
        [country] how far each is a member, 0 to 1; members do not resent their own alliance.
    """
    grown = np.maximum(bloc - before, 0.0) * (inside == 0)
    return grown[:, None] * inside[None, :]


def next_level(
    level: np.ndarray,
    grievance: np.ndarray,
    joined: np.ndarray,
    incident: np.ndarray | float,
    settings: Tension,
) -> np.ndarray:
    """[country, country] tension after a month.

    A standing grievance g leads to the level r g / (r g + d), r the response and d the decay;
    without one, tension dies out at the rate d. The form is that of Richardson's (1960) arms race
    with a ceiling: measures are his armaments, the fatigue is d.

    Parameters
    ----------
    grievance, joined
        [country, country] from measures in force, and from this month's growth of the alliance.
    incident
        [country, country] outside news of the month, either sign.
    """
    pull = settings.response * grievance + settings.alliance_growth * joined
    moved = level + pull * (1.0 - level) - settings.decay * level + incident
    return np.clip(moved, 0.0, 1.0)
