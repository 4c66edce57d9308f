"""The review of export policies: every quarter, non-allied producers weigh their options.

Options are weighed for all producers and minerals at once, each producer then chooses, and what it
chose becomes a dated control that is announced, starts and ends like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from abm.agents import firm
from abm.appraisal import (
    Appraisal,
    RowLimit,
    Stakes,
    Trials,
    appraise,
    steady_demand,
    under_limits,
)
from abm.config import Config, Instrument, Producers
from abm.intentions import feed_at_hand
from abm.market import Clearing, MarketNotCleared, Problem, clear, no_bids
from abm.policy.controls import (
    NOTHING,
    Limit,
    Scope,
    add_to_arcs,
    answers_gap,
    limits_of,
    scopes_of,
)
from abm.policy.menu import Option, Reach, at_present, draft, menu_of
from abm.scenario import DatedControl, Scenario, named_countries
from abm.trade import TradeTerms, ask_rows, asks_of
from abm.world import World, by_market

if TYPE_CHECKING:
    from abm.model import MineralModel


@dataclass(frozen=True)
class Minutes:
    """What one review found and decided."""

    month: int
    appraisal: Appraisal
    possible: np.ndarray  # [case, option] bool: the option has somebody to act on
    chosen: np.ndarray  # [case] option


@dataclass(frozen=True)
class Docket:
    """What is put on the exporters' arcs in the trials; the same while the same is tried."""

    drafts: list[list[DatedControl | None]]  # [case][option]
    imposed: dict[DatedControl, tuple[Scope, ...]]  # by others than the review, with their scopes
    traced: np.ndarray  # [destination] for which the scopes hold
    tax: np.ndarray  # [row, destination] fraction of the export price
    detour: np.ndarray  # [row, destination] USD/kg
    held: list[tuple[int, DatedControl]]  # rows, and the controls that hold there
    # Limits of a draft in a row in the tonnes of the opening, at the price gap of that place.
    opening_limits: dict[tuple[int, DatedControl], tuple[float, list[Limit]]] = field(
        default_factory=dict
    )


@dataclass
class Review:
    """The cases under review, and what stands for each of them.

    A case is one mineral of one producer: its markets in which the producer sells the rest of the
    world at least `least_share` of what it buys, unless the scenario dates a control of that
    producer on that mineral.
    """

    settings: Producers
    menu: tuple[Option, ...]
    producer: np.ndarray  # [case] row of the table of producers
    mineral: np.ndarray  # [case]
    markets: list[np.ndarray]  # [case] rows
    trials: Trials
    export_value: np.ndarray  # [case] thousand USD a month at the opening
    fixed_tension: np.ndarray  # [country, country] of one towards another, 0 to 1
    standing: list[DatedControl | None]  # [case] the control adopted last
    own: tuple[DatedControl, ...] = ()  # adopted here and not yet over
    drafts: list[list[DatedControl | None]] = field(default_factory=list)  # [case][option]
    hit: dict[tuple[int, Reach], bytes] = field(default_factory=dict)  # whom drafts would hit
    archive: dict[tuple[int, str, float, bytes], DatedControl] = field(default_factory=dict)
    traced: np.ndarray | None = None  # [destination] for which `scopes` hold
    scopes: dict[DatedControl, tuple[Scope, ...]] = field(default_factory=dict)  # of drafts
    docket: Docket | None = None
    last: Clearing | None = None  # of the trials, to start the next from
    minutes: list[Minutes] = field(default_factory=list)

    def scopes_of(self, draft: DatedControl, traced: np.ndarray) -> tuple[Scope, ...]:
        """The scopes of a draft, worked out once for as long as buyers trace what they trace."""
        if self.traced is None or not np.array_equal(self.traced, traced):
            self.traced, self.scopes = traced, {}
        if draft not in self.scopes:
            self.scopes[draft] = scopes_of(draft, traced)
        return self.scopes[draft]

    def due(self, month: int) -> bool:
        """Whether a review is held this month."""
        return bool(self.markets) and month > 0 and month % self.settings.review_months == 0


def opening_review(world: World, case: Scenario, config: Config) -> Review:
    """What is reviewed in a run; nothing where producers do not decide."""
    settings = config.producers
    producers = [int(country) for country in np.flatnonzero(world.non_allied)]
    found = [
        (row, mineral, rows)
        for row, country in enumerate(producers)
        for mineral in range(len(world.minerals))
        if settings.active
        and (rows := dominated(world, country, mineral, settings.least_share)).size
        and not dated_by_scenario(case, country, rows)
    ]
    exporters = [producers[row] for row, _, _ in found]
    markets = [rows for _, _, rows in found]
    menu = menu_of(settings)
    value = [
        float((world.flow[rows, c].sum(axis=1) - world.flow[rows, c, c]) @ world.world_price[rows])
        for c, rows in zip(exporters, markets, strict=True)
    ]
    return Review(
        settings=settings,
        menu=menu,
        producer=np.array([row for row, _, _ in found], dtype=np.int64),
        mineral=np.array([mineral for _, mineral, _ in found], dtype=np.int64),
        markets=markets,
        trials=Trials.of(exporters, markets, len(menu)),
        export_value=np.array(value),
        fixed_tension=fixed_tension(world, config),
        standing=[None] * len(found),
    )


def dominated(world: World, country: int, mineral: int, least_share: float) -> np.ndarray:
    """Rows of a mineral's markets in which a country sells the rest of the world that share."""
    rows = np.flatnonzero(world.mineral_of_market == mineral)
    abroad = np.delete(world.flow[rows], country, axis=2).sum(axis=2)
    total = abroad.sum(axis=1)
    share = np.divide(abroad[:, country], total, out=np.zeros(rows.size), where=total > 0)
    return rows[share >= least_share]


def dated_by_scenario(case: Scenario, country: int, markets: np.ndarray) -> bool:
    """Whether the scenario dates a control of a country on some of these markets."""
    return any(
        control.exporter == country and np.isin(control.markets, markets).any()
        for control in case.controls
    )


def fixed_tension(world: World, config: Config) -> np.ndarray:
    """[country, country] of producers towards their rivals; none where tension moves by itself."""
    settings = config.producers
    rivals = named_countries(settings.rivals, "producers.rivals", world)
    level = 0.0 if config.tension.active else settings.opening_tension
    fixed = level * (world.non_allied[:, None] & rivals[None, :])
    np.fill_diagonal(fixed, 0.0)
    return fixed


def weigh_policies(model: MineralModel) -> None:
    """Clear the markets of every option, and tell each producer what its options are worth."""
    review, producers = model.review, model.producers
    producers.objective[:] = np.nan
    if not review.due(model.month):
        return
    review.drafts = draft_options(model)
    possible = np.array([[control is not None for control in row] for row in review.drafts])
    possible[:, 0] = True
    problem, stakes = trial_markets(model)
    try:
        review.last = clear(problem, start=review.last, where=f"month {model.month_label}")
    except MarketNotCleared as failure:
        where = f"{model.label}, review of export policies"
        raise MarketNotCleared(f"{where}: {failure}", failure.market) from failure
    change = cost_of_change(model)
    appraisal = appraise(review.trials, problem, review.last, stakes, review.settings, change)
    objective = np.where(possible, appraisal.objective, -np.inf)
    producers.objective[review.producer, review.mineral] = objective
    review.minutes.append(Minutes(model.month, appraisal, possible, np.argmax(objective, axis=1)))


def adopt_policies(model: MineralModel) -> None:
    """What producers chose becomes controls, announced next month; what they left ends."""
    review = model.review
    if not review.due(model.month):
        return
    others = tuple(control for control in model.adopted if control not in review.own)
    announced = model.month + 1  # this month's news is already out
    start = announced + review.settings.lead_months
    kept = [control for control in review.own if control.end > model.month]
    chosen = model.producers.policy[review.producer, review.mineral]
    for case, option in enumerate(chosen):
        before, draft = review.standing[case], review.drafts[case][option]
        after = draft and at_present(draft, model.growth)
        if same_policy(before, after):
            after = renewed(before, after)
        elif after is not None:
            after = replace(after, announced=announced, start=start)
        if after is before:
            continue
        kept = [c for c in kept if c is not before]
        if before is not None and not same_policy(before, after):
            kept.append(replace(before, end=start))
        if after is not None:
            kept.append(after)
        review.standing[case] = after
    review.own = tuple(kept)
    model.adopted = others + review.own


def same_policy(before: DatedControl | None, after: DatedControl | None) -> bool:
    """Whether two controls are the same option towards the same countries."""
    if before is None or after is None:
        return before is after
    return before.terms == after.terms and np.array_equal(before.destinations, after.destinations)


def renewed(standing: DatedControl | None, draft: DatedControl | None) -> DatedControl | None:
    """The standing control in the tonnes of today: a quota is issued anew, without fresh news."""
    if standing is None or draft is None or standing.instrument is not Instrument.quota:
        return standing
    return replace(standing, opening_exports=draft.opening_exports)


def draft_options(model: MineralModel) -> list[list[DatedControl | None]]:
    """[case][option] the control that an option would be; None where it would hit nobody.

    In the tonnes of the opening month: `at_present` brings a draft up to date.
    """
    review = model.review
    countries = [int(model.producers.country[row]) for row in review.producer]
    tense, members = tension(model), model.members
    hit = {
        (country, reach): np.flatnonzero(targets(model, country, reach, tense, members))
        for country in set(countries)
        for reach in Reach
    }
    told = {key: reached.tobytes() for key, reached in hit.items()}
    if review.drafts and told == review.hit:
        return review.drafts
    review.hit = told
    return [
        [drafted(model, case, option, hit[country, option.reach]) for option in review.menu]
        for case, country in enumerate(countries)
    ]


def drafted(
    model: MineralModel, case: int, option: Option, reached: np.ndarray
) -> DatedControl | None:
    if option.instrument is Instrument.none or not reached.size:
        return None
    review = model.review
    key = (case, option.name, option.strength, reached.tobytes())
    if key not in review.archive:
        country = int(model.producers.country[review.producer[case]])
        review.archive[key] = draft(option, model.world, country, review.markets[case], reached)
    return review.archive[key]


def targets(
    model: MineralModel, exporter: int, reach: Reach, tense: np.ndarray, members: np.ndarray
) -> np.ndarray:
    """[country] whom a policy of the exporter would hit, by tension and who is a member now."""
    hit = {
        Reach.world: np.ones(members.size, dtype=bool),
        Reach.bloc: members.copy(),
        Reach.rivals: tense[exporter] >= model.review.settings.ban_tension,
    }[reach]
    hit[exporter] = False
    return hit


def tension(model: MineralModel) -> np.ndarray:
    """[country, country] of one towards another, 0 to 1."""
    return np.maximum(model.tension.level, model.review.fixed_tension)


def cost_of_change(model: MineralModel) -> np.ndarray:
    """[case, option] thousand USD a month; nothing for the policy that stands."""
    review = model.review
    present = model.producers.policy[review.producer, review.mineral]
    leaves = present[:, None] != np.arange(len(review.menu))[None, :]
    return review.settings.change_cost * review.export_value[:, None] * leaves


# The markets of the trials ----------------------------------------------------------------------


def trial_markets(model: MineralModel) -> tuple[Problem, Stakes]:
    """One row a market of a trial, and what producers look at beside it."""
    trials, world, border = model.review.trials, model.world, model.border
    docket = docket_of(model)
    limits = foreign_limits(model) + limits_of_trials(model, docket)
    problem = under_limits(calm_markets(model, trials.market), limits)
    place = (trials.market, trials.exporter)
    asked = (1.0 + model.terms.markup[place]) * (1.0 + border.tariff[place])
    problem.price_factor[trials.rows, trials.exporter] = asked * (1.0 + docket.tax)
    added = border.addition[place] - border.terms.controls.detour[place] + docket.detour
    problem.price_addition[trials.rows, trials.exporter] = added
    stakes = Stakes(
        markup=model.terms.markup,
        tax=docket.tax,
        limits=limits,
        tension=tension(model),
        pending=pending_plants(model),
        elasticity=world.parameters["longrun_supply_elasticity"],
        lead_years=world.parameters["lead_time_years"],
    )
    return problem, stakes


def docket_of(model: MineralModel) -> Docket:
    """The docket of this review; the last one where it tries the same."""
    review, arcs = model.review, model.border.terms.controls
    pairs = zip(arcs.controls, arcs.scopes, strict=True)
    imposed = {control: scopes for control, scopes in pairs if control not in review.own}
    last = review.docket
    if (
        last is None
        or last.drafts != review.drafts
        or list(last.imposed) != list(imposed)
        or not np.array_equal(last.traced, arcs.traced)
    ):
        review.docket = new_docket(model, imposed)
    assert review.docket is not None
    return review.docket


def new_docket(model: MineralModel, imposed: dict[DatedControl, tuple[Scope, ...]]) -> Docket:
    review, trials = model.review, model.review.trials
    tax, detour = np.zeros((2, trials.market.size, len(model.world.countries)))
    touched = {control: control.markets.tolist() for control in imposed}
    held: list[tuple[int, DatedControl]] = []
    places = zip(trials.market.tolist(), trials.exporter.tolist(), strict=True)
    for row, (market, exporter) in enumerate(places):
        option = review.drafts[trials.case[row]][trials.option[row]]
        here = [c for c in imposed if c.exporter == exporter and market in touched[c]]
        for control in [*here, option] if option else here:
            add_to_arcs(control, model.world, market, tax[row], detour[row])
            held.append((row, control))
    traced = model.border.terms.controls.traced
    return Docket(review.drafts, imposed, traced, tax, detour, held)


def limits_of_trials(model: MineralModel, docket: Docket) -> list[RowLimit]:
    """The limits that producers' own controls and drafts set on the rows of the trials."""
    trials = model.review.trials
    markets, growth = trials.market.tolist(), model.growth[trials.market].tolist()
    gaps = model.state.price_gap[trials.market, trials.exporter].tolist()
    imposed = {
        control: at_full_pace(model, control, scopes, model.growth)
        for control, scopes in docket.imposed.items()
    }
    limits = []
    for row, control in docket.held:
        if control in imposed:
            here, grown = [x for x in imposed[control] if markets[row] in x.markets], 1.0
        else:
            here, grown = opening_limits(model, docket, row, control, gaps[row]), growth[row]
        limits += [
            RowLimit(row, x.origin, x.destinations, grown * x.tonnes, levied(x)) for x in here
        ]
    return limits


def levied(limit: Limit) -> bool:
    """Whether the rent of a limit stays in the exporting country."""
    return limit.holder != "traders"


def opening_limits(
    model: MineralModel, docket: Docket, row: int, draft: DatedControl, gap: float
) -> list[Limit]:
    """The limits of a draft in a row, at full pace and in the tonnes of the opening.

    A draft holds every market alone and its quotas are shares, so tonnes grow with normal trade;
    limits are worked out anew only where a price gap that matters to them has moved.
    """
    known = docket.opening_limits.get((row, draft))
    if known is None or (known[0] != gap and answers_gap(draft)):
        market = model.review.trials.market[row]
        scopes = model.review.scopes_of(draft, docket.traced)
        limits = at_full_pace(model, draft, scopes, np.ones(model.growth.size))
        known = gap, [limit for limit in limits if limit.markets[0] == market]
        docket.opening_limits[row, draft] = known
    return known[1]


def calm_markets(model: MineralModel, market: np.ndarray) -> Problem:
    """Markets of the month on the trend: nobody is down, nobody fills or empties stocks.

    Parameters
    ----------
    market
        [row] of the world, as often as asked for. There are no limits on the rows.
    """
    world, border, terms = model.world, model.border, terms_today(model)
    asks, offsets = asks_in_rows(model, market)
    capacity, low_ask, high_ask = calm_asks(model)
    need, elasticity = steady_demand(model.trend_need, model.buyers.elasticity)
    names = [" ".join(reversed(world.markets[row])) for row in market]
    return Problem(
        capacity=capacity[asks],
        low_ask=low_ask[asks],
        high_ask=high_ask[asks],
        firm_offset=offsets,
        need=need[market],
        elasticity=elasticity[market],
        reference_price=model.buyers.reference_price[market][:, :, None],
        backstop_price=model.backstop[market][:, :, None],
        choke_price=model.choke[market][:, :, None],
        log_weight=terms.log_weight[market],
        dispersion=world.dispersion[market],
        price_factor=terms.factor[market],
        price_addition=border.addition[market],
        floor_price=border.terms.floor[market],
        market_names=names,
        country_names=world.countries,
        **no_bids(market.size, len(world.countries)),
    )


def asks_in_rows(model: MineralModel, market: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which asks stand in every row, one row after the other, and [row, origin + 1] where."""
    every = by_market(ask_rows(model.firm_traits.offset), model.world.origin_price.shape)
    first = every[market]
    count = first[:, -1] - first[:, 0]
    begin = np.cumsum(count) - count
    offsets = first + (begin - first[:, 0])[:, None]
    return np.arange(count.sum()) + np.repeat(first[:, 0] - begin, count), offsets


def terms_today(model: MineralModel) -> TradeTerms:
    """The terms of last month at the border of today."""
    terms, border = model.terms, model.border
    if terms.border is border:
        return terms
    return replace(
        terms,
        border=border,
        factor=(1.0 + terms.markup) * border.wedge,
        log_weight=np.where(np.isinf(border.opening_gap), -np.inf, terms.log_weight),
    )


def calm_asks(model: MineralModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last month's asks for what firms can make without outages, and what they offer from store.

    Quantity, lowest and highest ask of the rows of `asks_of`.
    """
    firms, traits = model.firms, model.firm_traits
    feed, _ = feed_at_hand(model)
    running = firm.running_capacity(firms.capacity, firms.working, feed, traits)
    stored = model.behaviour.inventory_offer * firms.inventory
    return asks_of(running + stored, firms.low_ask, firms.high_ask, traits)


def foreign_limits(model: MineralModel) -> list[RowLimit]:
    """The limits of other producers that are in force in the rows of the trials.

    Of a limit that holds several markets together, each keeps the tonnes it had last month.
    """
    trials, found = model.review.trials, []
    for limit in model.measures.limits:
        for market in limit.markets.tolist():
            tonnes = limit.tonnes
            if limit.markets.size > 1:
                tonnes = float(model.last_flow[market, limit.origin, limit.destinations].sum())
            here = (trials.market == market) & (trials.exporter != limit.origin)
            found += [
                RowLimit(row, limit.origin, limit.destinations, tonnes, levied(limit))
                for row in np.flatnonzero(here).tolist()
            ]
    return found


def at_full_pace(
    model: MineralModel, control: DatedControl, scopes: tuple[Scope, ...], growth: np.ndarray
) -> list[Limit]:
    """The limits of a control once licences come and detours go at the usual pace.

    `growth` [market] is normal trade over opening trade.
    """
    terms = control.terms
    month = control.start + terms.processing_months + terms.ramp_months
    month += terms.detour_months + 1
    return list(limits_of(control, scopes, month, growth, model.state.price_gap, NOTHING))


def pending_plants(model: MineralModel) -> np.ndarray:
    """[market, country] t/month of capacity under construction, at the opening or decided since."""
    planned = model.trend.capacity[model.month]
    nameplate = np.where(model.world.firms.start_year > 0, model.firm_traits.capacity, 0.0)
    left = np.maximum(nameplate - planned, 0.0) + model.pipeline.building * planned
    return model.firm_traits.by_place(left, model.world.landed_price.shape)
