"""What everybody brings to the month's markets: orders, stock releases, trade terms and offers.

All of it is computed from the state the last month left; nothing here writes state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import buyer, firm
from abm.policy.procurement import shared_relationships
from abm.policy.stockpile import national_release, pooled_release
from abm.policy.tariffs import applied_tariff
from abm.state import FEED, STATE
from abm.trade import Offers, TradeTerms, notional_shares, sourcing_weights

if TYPE_CHECKING:
    from abm.model import MineralModel

NEW_PLANT_MARGIN = 0.1  # share of feed by which plans may exceed the trend without new plants


def trend_need(model: MineralModel) -> np.ndarray:
    """[market, country, group] need without this month's swings."""
    need = model.buyers.need.copy()
    sector = model.trend.sector[model.month][model.world.mineral_of_market]
    need[:, :, 1:STATE] *= sector[:, None, :]
    need[:, :, FEED] = feed_need(model)
    return need


def feed_need(model: MineralModel) -> np.ndarray:
    """[market, country] feed that refiners want, in the rows of mined markets."""
    feed = np.zeros(model.buyers.need.shape[:2])
    mined = model.world.mined_market
    has = mined >= 0
    planned = model.state.planned_output[model.world.refined_market[has]]
    feed[mined[has]] = planned / model.world.refining_yield[has][:, None]
    return feed


def releases(model: MineralModel) -> tuple[np.ndarray, np.ndarray]:
    """[mineral, country] strategic stocks given up and received this month."""
    settings = model.case.instruments.emergency_release
    refined = model.world.refined_market
    stock = model.state.stock[refined, :, STATE]
    short = model.countries.short.T
    need = trend_need(model)[refined].sum(axis=2)
    limit = np.minimum(stock / settings.release_months, need)
    own = np.minimum(national_release(stock, short, settings.release_months), limit)
    members = model.members
    if not settings.active or members.sum() < 2:
        return own, own
    pooled = pooled_release(stock, short, need, members, settings.release_months)
    alone = np.where(members, 0.0, own)
    return alone + pooled[0], alone + pooled[1]


def place_month_orders(model: MineralModel) -> buyer.Orders:
    """Orders of private buyers, and of the states that fill their stockpiles."""
    state, traits, behaviour = model.state, model.buyers, model.behaviour
    model.backstop, model.choke = substitution_prices(model)
    trend = trend_need(model)
    model.need = trend.copy()
    swing = model.events.demand[model.month][model.world.mineral_of_market]
    model.need[:, :, 1:STATE] *= swing[:, :, None]
    expected = state.expected_price
    use = buyer.desired_use(model.need, expected, traits, model.backstop, model.choke)
    model.released = released_goods(model, trend)
    following = model.trend.total[model.month + 1] / model.growth - 1.0
    orders = buyer.place_orders(
        model.need,
        trend,
        following,
        state.stock + state.at_sea.sum(axis=3),
        model.released,
        use,
        expected,
        state.risk,
        traits,
        behaviour,
    )
    return with_stockpile_bids(model, orders)


def released_goods(model: MineralModel, trend: np.ndarray) -> np.ndarray:
    """[market, country, group] goods from strategic stocks, shared by need."""
    refined = model.world.refined_market
    goods = np.zeros(trend.shape)
    need = trend[refined]
    total = need.sum(axis=2, keepdims=True)
    part = np.divide(need, total, out=np.zeros_like(need), where=total > 0)
    goods[refined] = part * model.received[:, :, None]
    return goods


def with_stockpile_bids(model: MineralModel, orders: buyer.Orders) -> buyer.Orders:
    """Replace the orders of the state group by purchases towards its target."""
    settings = model.case.instruments.stockpiles
    refined = model.world.refined_market
    held = (model.state.stock + model.state.at_sea.sum(axis=3))[refined, :, STATE]
    gap = np.maximum(model.countries.purchase_target.T - held, 0.0)
    usual = model.state.customary_price[refined]
    for values in (orders.floor, orders.quantity, orders.distress_quantity):
        values[:, :, STATE] = 0.0
    orders.quantity[refined, :, STATE] = gap / settings.build_months
    orders.low[refined, :, STATE] = (settings.price_ceiling - 0.1) * usual
    orders.high[refined, :, STATE] = settings.price_ceiling * usual
    orders.distress_high[refined, :, STATE] = 2.0 * settings.price_ceiling * usual
    return orders


def substitution_prices(model: MineralModel) -> tuple[np.ndarray, np.ndarray]:
    """[market, country] prices at which a substitute starts and ends to displace demand.

    A refiner stops buying feed that costs more than its product brings.
    """
    world = model.world
    reference = model.buyers.reference_price
    backstop = reference * world.parameters["backstop_price_multiple"][:, None]
    choke = reference * world.parameters["choke_price_multiple"][:, None]
    mined = world.mined_market
    has = mined >= 0
    product = model.state.producer_price[world.refined_market[has]]
    worth = product * world.refining_yield[has][:, None]
    feed_limit = np.maximum(worth, 1.2 * reference[mined[has]])
    backstop[mined[has]] = np.minimum(backstop[mined[has]], feed_limit)
    choke[mined[has]] = np.minimum(choke[mined[has]], 1.5 * feed_limit)
    return backstop, choke


def habitual_shares(model: MineralModel) -> np.ndarray:
    """[market, origin, destination] sourcing shares before price, habit of the year and alliance.

    Refiners keep the suppliers of the opening for what they bought then, grown with the market;
    what new plants buy beyond that is spread as gravity says.
    """
    world = model.world
    settled = model.buyers.need[:, :, FEED] * model.growth[:, None]
    planned = feed_need(model)
    fresh = np.divide(
        planned - settled, planned, out=np.zeros_like(planned), where=planned > settled
    )
    # Plans swing a little around the trend; only plants beyond it count as new.
    fresh = np.maximum(fresh - NEW_PLANT_MARGIN, 0.0) / (1.0 - NEW_PLANT_MARGIN)
    return world.share + fresh[:, None, :] * (world.gravity_share - world.share)


def trade_terms(model: MineralModel) -> TradeTerms:
    world, case = model.world, model.case
    markup = np.zeros(world.flow.shape)
    markup[:] = world.export_markup
    for row, country in enumerate(model.producers.country):
        markup[:, country, :] = model.producers.markup[row]
    share = shared_relationships(
        habitual_shares(model),
        world.flow,
        case.joined,
        model.month,
        model.behaviour.qualification_months,
        case.instruments.joint_procurement,
    )
    notional = notional_shares(world, share, model.state.known_size)
    log_weight = sourcing_weights(world, notional, model.state.familiarity)
    tariff = applied_tariff(world.tariff, model.members, case.instruments.preferential_tariffs)
    return TradeTerms(markup, tariff, notional, log_weight, model.measures)


def firm_offers(model: MineralModel) -> Offers:
    """[firm] what firms offer; the feed at hand, bought this month or before, limits refiners."""
    world, traits, state = model.world, model.firm_traits, model.state
    planned = model.firms.capacity
    limit = np.full(state.risk.shape, np.inf)
    mined = world.mined_market
    has = mined >= 0
    refined = world.refined_market[has]
    feed = state.stock[mined[has], :, FEED]
    limit[refined] = feed * world.refining_yield[has][:, None]
    model.running = firm.running_capacity(planned, model.availability, limit, traits)
    able = planned * model.availability
    rise = np.zeros(state.risk.shape)
    dearer = state.feed_price[mined[has]] - model.buyers.reference_price[mined[has]]
    rise[refined] = dearer / world.refining_yield[has][:, None]
    feed_cost = np.where(traits.feeds, rise[traits.market, traits.country], 0.0)
    low, high = firm.asks(model.firms.markup, feed_cost, world.world_price, traits)
    stored = model.behaviour.inventory_offer * model.firms.inventory
    model.able, model.asked = able + stored, (low, high)
    model.offered = model.running + stored
    return Offers(model.offered, low, high, model.behaviour.shutdown_price * traits.price)
