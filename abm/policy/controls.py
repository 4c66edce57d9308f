"""Export controls in force: taxes on arcs, and limits on gross, directed flows.

A limit on net exports would leak to twice its size in gross flows, so every quota, licence and ban
is a cap on the shipments that leave the exporter for the named destinations. What a ban or a
licence does not stop travels through third countries: the same arc stays open up to the share that
enforcement misses, at the extra cost of the detour, and its rent goes to the traders who arrange
it. The wider the gap between the price at the destination and the cost of getting there, the more
traders find a way: the share grows with the gap, up to normal trade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.config import Instrument, Rights
from abm.scenario import DatedControl
from abm.world import MONTHS, World


@dataclass(frozen=True)
class Limit:
    """A cap on the flows of one market from one origin to some destinations, in t/month."""

    market: int
    origin: int
    destinations: np.ndarray
    tonnes: float
    holder: str  # exporters, treasury or traders: who collects the rent


@dataclass(frozen=True)
class ArcMeasures:
    """What controls add to the price of an arc; the same until one starts or ends.

    Arrays are [market, origin, destination].
    """

    controls: tuple[DatedControl, ...]  # in force
    tax: np.ndarray  # fraction of the export price
    detour: np.ndarray  # USD/kg of extra cost where goods must be re-routed
    rerouted: np.ndarray  # bool: the arc is banned, what flows on it took a detour


@dataclass(frozen=True)
class ExportMeasures:
    """All controls of one month."""

    arcs: ArcMeasures
    limits: tuple[Limit, ...]  # in the order of the controls in force and their markets

    @property
    def tonnes(self) -> np.ndarray:
        """[limit] t/month."""
        return np.array([limit.tonnes for limit in self.limits], dtype=float)


def measures_in_force(
    world: World,
    controls: tuple[DatedControl, ...],
    month: int,
    growth: np.ndarray,
    price_gap: np.ndarray,
    before: ArcMeasures,
) -> ExportMeasures:
    """Translate the dated controls to what the market meets in a month.

    Parameters
    ----------
    growth
        [market] trade of the month over opening trade on the undisturbed trend: shares refer to
        normal trade, which grows.
    price_gap
        [market, origin] what buyers of re-routed goods paid last months over what the goods cost
        delivered, at least 1.
    before
        Measures on arcs of last month, kept where the same controls are still in force.
    """
    active = tuple(control for control in controls if control.start <= month < control.end)
    arcs = before if before.controls == active else arc_measures(world, active)
    limits = []
    for control in active:
        if control.instrument is Instrument.tax:
            continue
        for market, exports in zip(control.markets, control.opening_exports, strict=True):
            normal = float(exports * growth[market])
            gap = float(price_gap[market, control.exporter])
            tonnes, holder = _cap(control, float(exports), normal, month, gap)
            limits.append(
                Limit(int(market), control.exporter, control.destinations, tonnes, holder)
            )
    return ExportMeasures(arcs, tuple(limits))


def arc_measures(world: World, active: tuple[DatedControl, ...]) -> ArcMeasures:
    """What the controls in force add to prices, arc by arc."""
    tax, detour = np.zeros((2, *world.flow.shape))
    rerouted = np.zeros(world.flow.shape, dtype=bool)
    for control in active:
        for market in control.markets:
            arcs = (market, control.exporter, control.destinations)
            if control.instrument is Instrument.tax:
                tax[arcs] += control.terms.rate
            elif control.instrument is Instrument.ban:
                rerouted[arcs] = True
                extra = control.terms.evasion_cost * world.origin_price[market, control.exporter]
                detour[arcs] = np.maximum(detour[arcs], extra)
    return ArcMeasures(active, tax, detour, rerouted)


def _cap(
    control: DatedControl, opening: float, normal: float, month: int, gap: float
) -> tuple[float, str]:
    """Tonnes a month that a control lets through, and who collects the rent."""
    terms = control.terms
    leak = min(1.0, (1.0 - terms.enforcement) * gap**terms.evasion_response)
    if control.instrument is Instrument.ban:
        return leak * normal, "traders"
    holder = "treasury" if control.rights is Rights.treasury else "exporters"
    if control.instrument is Instrument.licence:
        ripe = min(1.0, (month - control.start) / max(terms.processing_months, 1))
        ripe = 1.0 if terms.processing_months == 0 else ripe
        approved = terms.approval_share * ripe
        return (approved + leak * max(1.0 - approved, 0.0)) * normal, holder
    if terms.quota_tonnes >= 0:
        return terms.quota_tonnes / MONTHS, holder
    return terms.quota_share * opening, holder


def alarm(world: World, controls: tuple[DatedControl, ...], month: int) -> np.ndarray:
    """[market, destination] share of supply put in doubt by news of this month.

    News breaks when a control is announced and again when it starts; what a buyer fears is the
    severity of the control times the share of its supply that comes from there.
    """
    doubt = np.zeros((len(world.markets), len(world.countries)))
    for control in controls:
        if month in (control.announced, control.start):
            share = _supplier_share(world, control)
            doubt[np.ix_(control.markets, control.destinations)] += (
                control.severity * share[:, control.destinations]
            )
    return np.minimum(doubt, 1.0)


def rumour(world: World, controls: tuple[DatedControl, ...], month: int) -> np.ndarray:
    """[market, destination] what buyers who are not targeted would lose if they were next."""
    doubt = np.zeros((len(world.markets), len(world.countries)))
    for control in controls:
        if month in (control.announced, control.start):
            feared = control.severity * _supplier_share(world, control)
            feared[:, control.exporter] = 0.0
            doubt[control.markets] = np.maximum(doubt[control.markets], feared)
    return doubt


def _supplier_share(world: World, control: DatedControl) -> np.ndarray:
    """[control market, destination] share of the exporter in opening purchases."""
    bought = world.flow[control.markets].sum(axis=1)
    from_exporter = world.flow[control.markets, control.exporter]
    return np.divide(from_exporter, bought, out=np.zeros_like(bought), where=bought > 0)
