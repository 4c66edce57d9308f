"""Export controls in force: taxes on arcs, and limits on gross, directed flows.

A limit on net exports would leak to twice its size in gross flows, so every quota, licence and ban
is a cap on the shipments that leave the exporter for the named destinations. What a ban or a
licence does not stop travels through third countries: the same arc stays open up to the share that
enforcement misses, at the extra cost of the detour, and its rent goes to the traders who arrange
it. The wider the gap between the price at the destination and the cost of getting there, the more
traders find a way: the share grows with the gap, up to normal trade. Finding a way takes time, and
buyers who trace what they are sold refuse part of it. Smugglers carry goods past a quota where the
gap pays their cost, and past the customs house a share of what a tax is due on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from abm.config import Instrument, Rights
from abm.policy.licences import approvals
from abm.scenario import BEFORE, DatedControl
from abm.world import MONTHS, World

LEAKING = (Instrument.ban, Instrument.licence)  # what they stop may find a way around them
NOTHING = np.zeros(1)  # unused approvals of a control without any
NONE_LEFT: Mapping[DatedControl, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True)
class Limit:
    """A cap on the flows from one origin to some destinations, in t/month.

    A limit on a family holds several markets of one stage together, by the weight it counts.
    """

    markets: np.ndarray
    origin: int
    destinations: np.ndarray
    tonnes: float
    holder: str  # exporters, treasury or traders: who collects the rent
    control: str = ""  # the name of the control that sets it
    smuggled: float = 0.0  # share of the tonnes that passes unseen; its rent goes to traders

    @property
    def holders(self) -> dict[str, float]:
        """Who collects the rent, and which share of it."""
        if self.smuggled == 0.0:
            return {self.holder: 1.0}
        return {self.holder: 1.0 - self.smuggled, "traders": self.smuggled}


@dataclass(frozen=True)
class Scope:
    """Some destinations of a control, and what it may not withhold from them, [control market].

    The first scope of a control holds all its destinations. Others keep what is meant for one part
    of them from the rest: re-routed goods from buyers who trace them, the trade of validated users
    from everybody else.
    """

    destinations: np.ndarray
    exports: np.ndarray  # t/month at the opening
    exempt: np.ndarray  # t/month of validated users at the opening
    untraced: np.ndarray  # share of re-routed goods that is not recognised


@dataclass(frozen=True)
class ArcMeasures:
    """What controls add to the price of an arc; the same until one starts or ends.

    Arrays are [market, origin, destination] unless the comment says otherwise.
    """

    controls: tuple[DatedControl, ...]  # in force
    traced: np.ndarray  # [destination] share of re-routed goods that buyers see and refuse
    tax: np.ndarray  # fraction of the export price; below zero where the exporter dumps
    detour: np.ndarray  # USD/kg of extra cost: of re-routing, and of licences
    rerouted: np.ndarray  # bool: the arc is banned, what flows on it took a detour
    unit: np.ndarray  # [market] t by the weight that limits count per contained t
    scopes: tuple[tuple[Scope, ...], ...]  # of each control in force


@dataclass(frozen=True)
class ExportMeasures:
    """All controls of one month."""

    arcs: ArcMeasures
    limits: tuple[Limit, ...]  # in the order of the controls in force, their groups and scopes

    @property
    def tonnes(self) -> np.ndarray:
        """[limit] t/month by the weight that limits count in their markets."""
        return np.array([self.weighed(limit) for limit in self.limits], dtype=float)

    def weighed(self, limit: Limit) -> float:
        """Tonnes a month of a limit by the weight that limits count in its markets."""
        # A limit on one market is kept in contained tonnes, whatever another one there counts.
        alone = limit.markets.size == 1
        return limit.tonnes * self.arcs.unit[limit.markets[0]] if alone else limit.tonnes


def measures_in_force(
    world: World,
    controls: tuple[DatedControl, ...],
    month: int,
    growth: np.ndarray,
    price_gap: np.ndarray,
    before: ArcMeasures,
    traced: np.ndarray | float = 0.0,
    unused: Mapping[DatedControl, np.ndarray] = NONE_LEFT,
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
    traced
        [destination] share of re-routed goods that buyers see and refuse.
    unused
        [group] t/month of approvals left over from last month, of every licence in force.
    """
    active = tuple([control for control in controls if control.start <= month < control.end])
    seen = traced if isinstance(traced, np.ndarray) else np.full(len(world.countries), traced)
    same = seen is before.traced or np.array_equal(seen, before.traced)
    same = same and before.controls == active
    arcs = before if same else arc_measures(world, active, seen)
    limits = [
        limit
        for control, scopes in zip(active, arcs.scopes, strict=True)
        for limit in limits_of(
            control, scopes, month, growth, price_gap, unused.get(control, NOTHING)
        )
    ]
    return ExportMeasures(arcs, tuple(limits))


def arc_measures(
    world: World, active: tuple[DatedControl, ...], traced: np.ndarray | float = 0.0
) -> ArcMeasures:
    """What the controls in force add to prices, arc by arc, and whom they hold together."""
    tax, detour = np.zeros((2, *world.flow.shape))
    rerouted = np.zeros(world.flow.shape, dtype=bool)
    unit = np.ones(len(world.markets))
    seen = np.broadcast_to(traced, len(world.countries))
    for control in active:
        for market in control.markets:
            place = (market, control.exporter)
            add_to_arcs(control, world, market, tax[place], detour[place])
            if control.instrument is Instrument.ban:
                rerouted[place][control.destinations] = True
        for rows in control.groups:
            if rows.size > 1:
                unit[control.markets[rows]] = control.unit[rows]
    scopes = tuple(scopes_of(control, seen) for control in active)
    return ArcMeasures(active, seen, tax, detour, rerouted, unit, scopes)


def opening_duties_apart(world: World, controls: tuple[DatedControl, ...]) -> World:
    """The world with taxes that stand since before the opening taken out of the export mark-ups.

    What buyers pay at the opening holds them already. The tax then collects its part, and the price
    falls when it is abolished: `(1 + mark-up) (1 + tax)` is the observed gap to the home price.
    """
    tax = np.zeros(world.flow.shape)
    for control in controls:
        if control.start == BEFORE and control.end > 0:
            for market in control.markets:
                tax[market, control.exporter, control.destinations] += control.terms.rate
    if not tax.any():
        return world
    markup = np.where(tax > 0, (1.0 + world.export_markup) / (1.0 + tax) - 1.0, world.export_markup)
    return replace(world, export_markup=markup)


def add_to_arcs(
    control: DatedControl, world: World, market: int, tax: np.ndarray, detour: np.ndarray
) -> None:
    """Add what a control puts on its exporter's arcs of one market, [destination], in place."""
    reached, terms = control.destinations, control.terms
    home_price = world.origin_price[market, control.exporter]
    if control.instrument is Instrument.tax:
        unseen = terms.smuggled_share if terms.rate > terms.evasion_cost else 0.0
        tax[reached] += (1.0 - unseen) * terms.rate
        detour[reached] += unseen * terms.evasion_cost * home_price
    elif control.instrument is Instrument.dumping:
        tax[reached] -= terms.rate
    elif control.instrument is Instrument.ban:
        detour[reached] = np.maximum(detour[reached], terms.evasion_cost * home_price)
    elif control.instrument is Instrument.licence:
        detour[reached] += terms.licence_cost * home_price


def scopes_of(control: DatedControl, traced: np.ndarray) -> tuple[Scope, ...]:
    """All destinations of a control, and the parts of them that need a limit of their own."""
    sees = traced[control.destinations] > 0.0
    strangers = ~control.validated.any(axis=0)
    leaks = control.instrument in LEAKING
    parts = [np.ones(sees.size, dtype=bool)]
    parts += [part for part, wanted in ((sees, leaks), (strangers, True))
              if wanted and part.any() and not part.all()]  # fmt: skip
    return tuple(_scope(control, part, traced) for part in parts)


def _scope(control: DatedControl, part: np.ndarray, traced: np.ndarray) -> Scope:
    everybody = bool(part.all())
    places, exports = control.destinations[part], control.exports[:, part]
    total = control.opening_exports if everybody else exports.sum(axis=1)
    seen = (exports * traced[places]).sum(axis=1)
    untraced = 1.0 - np.divide(seen, total, out=np.zeros(seen.shape), where=total > 0)
    exempt = (exports * control.validated[:, part]).sum(axis=1)
    return Scope(places, total, exempt, untraced)


def limits_of(
    control: DatedControl,
    scopes: tuple[Scope, ...],
    month: int,
    growth: np.ndarray,
    price_gap: np.ndarray,
    unused: np.ndarray,
) -> Iterator[Limit]:
    """The limits of one control in one month: one for each group of markets and each scope.

    There are none where a control acts through the price.
    """
    if control.instrument in (Instrument.tax, Instrument.dumping):
        return
    trend, leaks = growth[control.markets], control.instrument in LEAKING
    gap = price_gap[control.markets, control.exporter].tolist()
    leak = np.array([_leak(control, month, seen) if leaks else 0.0 for seen in gap])
    unseen = np.array([_smuggled(control, month, seen) for seen in gap])
    allowed = _allowed(control, month, growth, unused).tolist()
    holder = _holder(control)
    for scope in scopes:
        trade = scope.exports * trend
        exempt, normal = control.weighed(scope.exempt * trend), control.weighed(trade)
        astray = control.weighed(leak * scope.untraced * trade)
        smuggled = control.weighed(unseen * trade)
        for number, rows in enumerate(control.groups):
            free, carried = allowed[number] + exempt[number], smuggled[number]
            if control.instrument is Instrument.ban:
                free = astray[number]
            elif control.instrument is Instrument.licence:
                missed = max(1.0 - free / max(normal[number], 1e-300), 0.0)
                free += astray[number] * missed
            free += carried
            yield Limit(
                markets=control.markets[rows],
                origin=control.exporter,
                destinations=scope.destinations,
                tonnes=free,
                holder=holder,
                control=control.terms.name,
                smuggled=carried / free if carried > 0.0 else 0.0,
            )


def answers_gap(control: DatedControl) -> bool:
    """Whether what passes a control depends on the price gap that it makes."""
    return control.instrument in LEAKING or control.terms.smuggled_share > 0.0


def _allowed(
    control: DatedControl, month: int, growth: np.ndarray, unused: np.ndarray
) -> np.ndarray:
    """[group] t/month that the exporting state lets go to any of the targets."""
    terms = control.terms
    if control.instrument is Instrument.licence:
        return approvals(control, month, growth) + unused
    if terms.quota_tonnes >= 0:
        return np.array([control.published_tonnes(rows) for rows in control.groups]) / MONTHS
    opening = control.opening_exports
    return terms.quota_share * np.array(control.weighed(opening))


def _leak(control: DatedControl, month: int, gap: float) -> float:
    """Share of normal trade that finds a way around the control."""
    terms = control.terms
    found = min(1.0, (month - control.start + 1) / max(terms.detour_months, 1))
    return found * min(1.0, (1.0 - terms.enforcement) * gap**terms.evasion_response)


def _smuggled(control: DatedControl, month: int, gap: float) -> float:
    """Share of normal trade that smugglers carry past a quota, once the gap pays their cost."""
    terms = control.terms
    if terms.smuggled_share == 0.0:
        return 0.0
    found = min(1.0, (month - control.start + 1) / max(terms.detour_months, 1))
    paid = (gap - 1.0) / terms.evasion_cost if terms.evasion_cost > 0.0 else 1.0
    tempted = min(max(paid, 0.0), 1.0)
    return found * tempted * min(1.0, terms.smuggled_share * gap**terms.evasion_response)


def _holder(control: DatedControl) -> str:
    if control.instrument is Instrument.ban:
        return "traders"
    return "treasury" if control.rights is Rights.treasury else "exporters"


def controls_in_the_news(controls: tuple[DatedControl, ...], month: int) -> list[DatedControl]:
    """Those that are announced this month, or start."""
    return [control for control in controls if month in (control.announced, control.start)]


def alarm(world: World, in_the_news: list[DatedControl]) -> np.ndarray:
    """[market, destination] share of supply put in doubt by news of this month.

    News breaks when a control is announced and again when it starts; what a buyer fears is the
    severity of the control times the share of its supply that comes from there, less the part
    that validated users are promised.
    """
    doubt = np.zeros((len(world.markets), len(world.countries)))
    for control in in_the_news:
        share = supplier_share(world, control)
        doubt[np.ix_(control.markets, control.destinations)] += (
            control.severity * share[:, control.destinations] * (1.0 - control.validated)
        )
    return np.minimum(doubt, 1.0)


def rumour(world: World, in_the_news: list[DatedControl]) -> np.ndarray:
    """[market, destination] what buyers who are not targeted would lose if they were next."""
    doubt = np.zeros((len(world.markets), len(world.countries)))
    for control in in_the_news:
        feared = control.severity * supplier_share(world, control)
        feared[:, control.exporter] = 0.0
        doubt[control.markets] = np.maximum(doubt[control.markets], feared)
    return doubt


def along_chain(world: World, doubt: np.ndarray) -> np.ndarray:
    """[market, country] supply put in doubt, with what doubt about ore does to refined product.

    A buyer of refined product fears for what its refiners would lose: the doubt of each of them
    about their ore, by the share it takes in what the buyer buys. The larger of this and the doubt
    about the product itself counts.
    """
    if not doubt.any():
        return doubt
    told = doubt.copy()
    for mined, refined in zip(world.mined_market, world.refined_market, strict=True):
        if mined >= 0 and doubt[mined].any():
            bought = world.flow[refined].sum(axis=0)
            feared = doubt[mined] @ world.flow[refined]
            at_stake = np.divide(feared, bought, out=np.zeros_like(feared), where=bought > 0)
            told[refined] = np.maximum(told[refined], at_stake)
    return told


def forward_cover(
    world: World, controls: tuple[DatedControl, ...], month: int, pace: float
) -> tuple[np.ndarray, np.ndarray]:
    """[market, destination] months of use to store for the wait for a licence, and until when.

    From the announcement on buyers want to own at the start what the exporter would have shipped
    while they wait, and buy it in the months that are left; then they live off it until the first
    decisions come. What is missing when the control has started is bought at the usual `pace`,
    in months.
    """
    cover = np.zeros((len(world.markets), len(world.countries)))
    months = np.full(cover.shape, pace)
    for control in controls:
        if control.instrument is Instrument.licence and control.announced <= month < control.end:
            wait = control.start + control.terms.processing_months - max(month, control.start)
            place = np.ix_(control.markets, control.destinations)
            share = supplier_share(world, control)[:, control.destinations]
            withheld = share * (1.0 - control.validated)
            if month < control.start:
                months[place] = np.minimum(months[place], control.start - month)
            cover[place] = np.maximum(cover[place], max(wait, 0) * withheld)
    return cover, months


def supplier_share(world: World, control: DatedControl) -> np.ndarray:
    """[control market, destination] share of the exporter in opening purchases."""
    bought = world.flow[control.markets].sum(axis=1)
    from_exporter = world.flow[control.markets, control.exporter]
    return np.divide(from_exporter, bought, out=np.zeros_like(bought), where=bought > 0)
