"""What is learnt from a month: expectations, habits, mark-ups and capacity move on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import firm
from abm.measures import origin_shares
from abm.world import MONTHS

if TYPE_CHECKING:
    from abm.model import MineralModel

FAMILIARITY_RANGE = (0.25, 4.0)  # habit cannot shrink or swell a sourcing weight further; assumed
PLAN_PACE = 0.5  # a month; refiners' plans follow orders; assumed


def update_prices(model: MineralModel) -> None:
    state, books, behaviour = model.state, model.books, model.behaviour
    seen = np.minimum(books.price, model.choke)
    state.expected_price = state.expected_price + behaviour.price_memory * (
        seen - state.expected_price
    )
    state.customary_price = state.customary_price + behaviour.customary_memory * (
        seen - state.customary_price
    )
    offered = np.where(np.isnan(books.origin_price), state.producer_price, books.origin_price)
    state.producer_price = state.producer_price + behaviour.investment_memory * (
        offered - state.producer_price
    )


def update_price_gap(model: MineralModel) -> None:
    """What rents say of the profit in finding a way around a limit."""
    limited = model.books.rent.sum(axis=2)
    paid = np.where(model.books.rent > 0, model.books.paid, 0.0).sum(axis=2)
    cost = paid - limited
    gap = np.divide(paid, cost, out=np.ones_like(paid), where=cost > 0)
    pace = model.behaviour.price_memory
    model.state.price_gap = model.state.price_gap + pace * (gap - model.state.price_gap)


def update_habits(model: MineralModel) -> None:
    """Relationships follow trade: what is bought becomes familiar, what is not is forgotten."""
    world, state = model.world, model.state
    pace = 1.0 / model.behaviour.qualification_months
    share = origin_shares(model.books.flow)
    notional = model.terms.notional
    usual = notional / notional.sum(axis=1, keepdims=True)
    trades = (usual > 0) & np.isfinite(share)
    stickiness = np.broadcast_to(
        1.0 - 1.0 / world.parameters["longrun_sourcing_factor"][:, None, None], share.shape
    )
    target = np.ones(share.shape)
    ratio = share[trades] / usual[trades]
    target[trades] = np.clip(ratio ** stickiness[trades], *FAMILIARITY_RANGE)
    state.familiarity = state.familiarity + pace * (target - state.familiarity)
    state.known_size = state.known_size + pace * (relative_size(model) - state.known_size)
    model.last_flow = model.books.flow
    model.purchase_share = np.nan_to_num(share)


def relative_size(model: MineralModel) -> np.ndarray:
    """[market, origin] capacity over its trend; over the market's trend for new origins."""
    size = np.zeros(model.state.known_size.shape)
    np.add.at(size, (model.firms.market, model.firms.country), model.firms.capacity)
    usual = model.opening_size * model.trend.origin[model.month]
    whole = usual.sum(axis=1, keepdims=True)
    return size / np.where(usual > 0, usual, whole)


def update_firms(model: MineralModel) -> None:
    traits, books, firms = model.firm_traits, model.books, model.firms
    offered = np.maximum(model.offered, 1e-300)
    target = np.maximum(traits.cover * traits.normal_use * firms.capacity, 1e-300)
    active = firms.capacity > 0
    drifted = firm.drifted_markup(
        firms.markup, books.sales / offered, firms.inventory / target, traits, model.behaviour
    )
    firms.markup[:] = np.where(active, drifted, 0.0)
    ratio = model.state.producer_price[traits.market, traits.country] / traits.price
    firms.expansion[:] = firm.invested(
        firms.expansion, ratio, traits, model.behaviour.attrition_years * MONTHS
    )
    plan_feed(model)


def plan_feed(model: MineralModel) -> None:
    """Refiners plan feed for what they would sell at today's price if feed were no limit."""
    traits = model.firm_traits
    low, high = model.asked
    price = np.nan_to_num(model.books.origin_price)[traits.market, traits.country]
    sold = model.able * np.clip((price - low) / (high - low), 0.0, 1.0)
    sold = np.where(price >= model.behaviour.shutdown_price * traits.price, sold, 0.0)
    wanted = np.zeros(model.state.planned_output.shape)
    feeds = traits.feeds
    np.add.at(wanted, (traits.market[feeds], traits.country[feeds]), sold[feeds])
    model.state.planned_output = model.state.planned_output + PLAN_PACE * (
        wanted - model.state.planned_output
    )
