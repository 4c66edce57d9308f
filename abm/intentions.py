"""What everybody brings to the month's markets: orders, stock releases, trade terms and offers.

All of it is computed from the state the last month left; nothing here writes state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import buyer, firm
from abm.agents.table import Table
from abm.config import Behaviour, Instrument, month_index
from abm.facts import capped_share, place_state_purchases, states_buying
from abm.passes.ordering import (
    anticipate,
    bid_for_stockpiles,
    grow_need,
    limit_by_feed,
    price_substitutes,
)
from abm.passes.trading import charge, part_of_new_plants
from abm.policy.controls import forward_cover
from abm.policy.procurement import pooled_part, pooled_share
from abm.policy.standards import StandardTerms, phase_in, standard_terms
from abm.policy.stockpile import called_stock, national_release, pooled_release, release_pace
from abm.policy.tariffs import applied_tariff
from abm.recycling import scrap_limit
from abm.state import STATE
from abm.substitution import research_progress
from abm.trade import Border, StageRows, Terms, TradeTerms, limit_arcs, sourcing_weights

if TYPE_CHECKING:
    from abm.model import MineralModel

NEW_PLANT_MARGIN = 0.1  # share of feed by which plans may exceed the trend without new plants
NOTABLE_RISE = 0.1  # a month: the expected gain at which anticipation counts once
LEAST_ANTICIPATED = 0.5  # share of the calm target that buyers give up at most; assumed


def month_need(model: MineralModel) -> tuple[np.ndarray, np.ndarray]:
    """[market, country, group] need without this month's swings, and with them."""
    world, chain = model.world, model.world.chain
    return grow_need(
        model.buyers.need,
        model.trend.need[model.month],
        model.intensity,
        model.events.demand[model.month],
        world.mineral_of_market,
        model.state.planned_output,
        chain.mined,
        chain.refined,
        chain.refining_yield,
    )


def releases(model: MineralModel) -> tuple[np.ndarray, np.ndarray]:
    """[mineral, country] strategic stocks given up and received this month."""
    settings = model.case.instruments.emergency_release
    refined = model.world.refined_rows
    stock = model.state.stock[refined, :, STATE]
    short = model.countries.short
    if not short.any():
        nothing = np.zeros(stock.shape)
        model.called = nothing
        return nothing, nothing
    short = short.T.copy()
    short &= ~states_buying(model.facts, model.month, stock.shape)
    part = settings.pooled_share * model.part("emergency_release")
    model.called = called_stock(model.state.called_stock, stock, short, part)
    pace = release_pace(stock, model.called, settings)
    need = np.einsum("kjg->kj", model.trend_need[refined])
    own = np.minimum(national_release(pace, short), need)
    if (part > 0).sum() < 2:
        return own, own
    given, received = pooled_release(pace, short, need, part, settings.sharing)
    alone = (1.0 - part) * own
    # Two parts of a stock can add up to more than the whole by a rounding error.
    return np.minimum(alone + given, stock), alone + received


def place_month_orders(model: MineralModel) -> buyer.Orders:
    """Orders of private buyers, and of the states that fill their stockpiles."""
    state, traits, behaviour = model.state, model.buyers, model.behaviour
    model.unaided = substitution_prices(model, model.no_progress)
    model.backstop, model.choke = model.unaided
    if model.technology.knowledge.any():
        cheaper = model.case.instruments.research.backstop_cut * research_progress(model)
        model.backstop, model.choke = substitution_prices(model, cheaper)
    expected = state.expected_price
    use = buyer.desired_use(model.need, expected, traits, model.backstop, model.choke)
    model.expected_use = use
    model.released = released_goods(model)
    following = model.trend.total[model.month + 1] / model.growth - 1.0
    position = state.position
    orders = buyer.place_orders(
        model.need,
        model.trend_need,
        following,
        position,
        model.released,
        use,
        expected,
        state.risk,
        traits,
        behaviour,
        forward_buying(model),
        anticipated_cover(state.price_growth, state.risk, traits.all_need, behaviour),
    )
    return with_stockpile_bids(model, orders, position)


def forward_buying(model: MineralModel) -> buyer.Bridge | None:
    """Extra cover to bridge the wait for licences, and the months in which it is bought, if any."""
    if not any(control.instrument is Instrument.licence for control in model.controls):
        return None
    pace = model.behaviour.adjustment_months
    months, left = forward_cover(model.world, model.controls, model.month, pace)
    usual = model.world.parameters["buyer_cover_months"][:, None]
    share = np.divide(months, usual, out=np.zeros(months.shape), where=usual > 0)
    return buyer.Bridge(share, left)


def anticipated_cover(
    growth: np.ndarray, risk: np.ndarray, need: np.ndarray, behaviour: Behaviour
) -> np.ndarray:
    """[market, country] extra cover of buyers who expect the price to move, share of the target.

    Who expects goods to become dearer by more than it costs to carry them stores more, in
    proportion to the gain (the demand for stocks of Muth 1961); who expects them to become cheaper
    runs stocks down, at most to half of the calm target. A rally is believed in as far as supply is
    in doubt, and a little without any doubt (`momentum`). One elsewhere counts by contagion: where
    a control keeps it out, buyers still bet that the price at home will follow.

    Parameters
    ----------
    growth
        [market, country] factor by which the price is expected to grow in a month.
    risk
        [market, country] perceived supply risk, 0 to 1.
    need
        [market, country] t/month, by which countries count in the rally elsewhere.
    """
    return anticipate(
        growth,
        risk,
        need,
        behaviour.contagion,
        behaviour.carrying_cost,
        behaviour.momentum,
        behaviour.anticipation / NOTABLE_RISE,
        -LEAST_ANTICIPATED,
    )


def released_goods(model: MineralModel) -> np.ndarray:
    """[market, country, group] goods from strategic stocks, shared by need."""
    refined = model.world.refined_rows
    goods = np.zeros(model.trend_need.shape)
    if model.received.any():
        need = model.trend_need[refined]
        total = np.einsum("kjg->kj", need)
        share = model.received / np.where(total > 0, total, 1.0)
        np.multiply(need, share[:, :, None], out=goods[refined])
    return goods


def with_stockpile_bids(
    model: MineralModel, orders: buyer.Orders, position: np.ndarray
) -> buyer.Orders:
    """Replace the orders of the state group by purchases towards its target."""
    settings = model.case.instruments.stockpiles
    bid_for_stockpiles(
        model.countries.purchase_target,
        position,
        model.state.customary_price,
        settings.build_months,
        settings.price_ceiling,
        orders.floor,
        orders.bid_quantity,
        orders.bid_low,
        orders.bid_high,
    )
    place_state_purchases(model.facts, model.month, orders, model.state.customary_price)
    return orders


def substitution_prices(model: MineralModel, cheaper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[market, country] prices at which a substitute starts and ends to displace demand.

    Research lowers what the substitute costs beyond the mineral at its opening price. A refiner
    stops buying feed that costs more than its product brings.

    Parameters
    ----------
    cheaper
        [mineral, country] part of that extra cost which research has removed.
    """
    world, chain = model.world, model.world.chain
    return price_substitutes(
        model.buyers.reference_price,
        world.parameters["backstop_price_multiple"],
        world.parameters["choke_price_multiple"],
        cheaper,
        world.mineral_of_market,
        model.state.producer_price,
        chain.mined,
        chain.refined,
        chain.refining_yield,
    )


def fresh_purchases(model: MineralModel) -> np.ndarray:
    """[market, destination] part of purchases that new plants make.

    Refiners keep the suppliers of the opening for what they bought then, grown with the market;
    what new plants buy beyond that is spread as gravity says.
    """
    # Plans swing a little around the trend; only plants beyond it count as new.
    return part_of_new_plants(model.buyers.need, model.growth, model.trend_need, NEW_PLANT_MARGIN)


def standards_in_force(model: MineralModel) -> StandardTerms:
    """What standards ask of those who sell to members; the last one where nothing has changed."""
    settings, part = model.case.instruments.standards, model.part("standards")
    phase = phase_in(settings, month_index(settings.since, model.horizon.start), model.month)
    if part is model.standard_part and phase == model.standard_phase:
        return model.standards
    model.standard_part, model.standard_phase = part, phase
    return standard_terms(model.world, settings, part * phase, model.standards)


def border_in_force(model: MineralModel, last: Border | None) -> Border:
    """Duties, taxes, freight and costs of the month; the last one where nothing has changed."""
    terms = Terms(
        preference=model.together("preferential_tariffs"),
        pooling=model.part("joint_procurement"),
        controls=model.measures.arcs,
        lanes=model.lanes,
        counter_tariff=model.counter_tariff,
        compliance=model.compliance,
        floor=model.floor_price,
        standards=model.standards,
    )
    if last and terms.same(last.terms):
        return last
    cut = model.case.instruments.preferential_tariffs.cut
    tariff = applied_tariff(model.world.tariff, terms.preference, cut) + terms.counter_tariff
    tariff = tariff + terms.standards.levy
    addition = terms.lanes.freight + terms.controls.detour + terms.compliance
    shut = np.isinf(addition)
    wedge = (1.0 + terms.controls.tax) * (1.0 + tariff)
    usual = model.world.export_markup
    markup = usual + (1.0 + usual) * terms.standards.premium
    return Border(
        terms,
        tariff,
        wedge=wedge,
        addition=np.where(shut, 0.0, addition),
        opening_gap=np.where(shut, -np.inf, model.world.opening_gap + terms.standards.appeal),
        pool=pooled_share(model.world.flow, terms.pooling),
        markup=markup,
        factor=(1.0 + markup) * wedge,
        limits={stage.refined: limit_arcs(model.measures.limits, stage) for stage in model.stages},
    )


def trade_terms(model: MineralModel) -> TradeTerms:
    """What stands between sellers and buyers this month: mark-ups, wedges and sourcing weights."""
    world, border, state = model.world, model.border, model.state
    charge(
        model.producers.country,
        model.producers.markup,
        border.terms.standards.premium,
        border.wedge,
        border.markup,
        border.factor,
    )
    pooled = model.unpooled
    if model.anyone("joint_procurement"):
        pooled = pooled_part(
            border.pool,
            border.terms.pooling,
            model.month - model.case.since("joint_procurement"),
            model.behaviour.qualification_months,
            model.case.instruments.joint_procurement,
        )
    notional, log_weight = sourcing_weights(
        world,
        fresh_purchases(model),
        border.pool,
        pooled,
        state.known_size,
        state.familiarity,
        border.opening_gap,
    )
    return TradeTerms(border, border.markup, border.factor, notional, log_weight)


def firm_offers(model: MineralModel, stage: StageRows) -> firm.Supply:
    """What the firms of a stage offer; feed bought this month or before limits refiners."""
    rows, firms, traits = stage.firms, model.firms, stage.firm_traits
    limit, rise = feed_at_hand(model)
    planned, availability = firms.capacity[rows], model.availability[rows]
    supply = supply_of(firms, rows)
    firm.bring_supply(
        supply,
        planned,
        availability,
        firms.inventory[rows],
        firms.markup[rows],
        model.support[rows],
        model.premium[rows],
        firm.Inputs(limit, rise, scrap_limit(model)),
        model.world.world_price,
        traits,
        model.behaviour,
    )
    if model.facts.caps:
        held = capped_share(model.facts, model.month, planned, availability, traits)
        if (held < 1.0).any():
            runnable = planned * availability
            firm.hold_to_caps(supply, held * runnable, runnable)
    return supply


def supply_of(firms: Table, rows: slice) -> firm.Supply:
    """What some firms offer, as their columns say."""
    return firm.Supply(
        firms.running[rows],
        firms.able[rows],
        firms.offered[rows],
        firms.low_ask[rows],
        firms.high_ask[rows],
    )


def feed_at_hand(model: MineralModel) -> tuple[np.ndarray, np.ndarray]:
    """[market, country] output that feed on hand allows, t/month, and the rise of its cost, USD/kg.

    Both in the rows of refined markets; elsewhere no limit and no rise.
    """
    state, chain = model.state, model.world.chain
    return limit_by_feed(
        chain.mined,
        chain.refined,
        chain.refining_yield,
        state.stock,
        state.feed_price,
        model.buyers.reference_price,
    )
