"""What is learnt from a month: expectations, habits, mark-ups and feed plans move on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import firm
from abm.agents.buyer import LEAST_PRICE_RATIO
from abm.agents.producer import shares_from
from abm.config import Behaviour
from abm.passes.learning import follow, move_familiarity, smooth_price
from abm.passes.planning import rest_idle
from abm.planning import market_price
from abm.policy.licences import unused_approvals
from abm.policy.standards import premium_earned

if TYPE_CHECKING:
    from abm.model import MineralModel

FAMILIARITY_RANGE = (0.25, 4.0)  # habit cannot shrink or swell a sourcing weight further; assumed
PLAN_PACE = 0.5  # a month; refiners' plans follow orders; assumed


def update_prices(model: MineralModel) -> None:
    state, books, behaviour = model.state, model.books, model.behaviour
    least = LEAST_PRICE_RATIO * model.buyers.reference_price
    seen = np.clip(books.price, least, model.choke)
    expected, state.price_growth = forecast(
        state.expected_price, state.price_growth, seen, behaviour
    )
    state.expected_price = np.minimum(expected, model.choke)
    follow(state.customary_price, seen, behaviour.customary_memory)
    state.market_price = market_price(model)
    follow(state.producer_price, books.origin_price, behaviour.investment_memory)
    follow(state.entry_price, state.market_price, behaviour.investment_memory)


def forecast(
    expected: np.ndarray, growth: np.ndarray, seen: np.ndarray, behaviour: Behaviour
) -> tuple[np.ndarray, np.ndarray]:
    """The price expected for next month, and the monthly growth factor that it contains.

    Exponential smoothing of level and growth, with the growth damped a little in every forecast
    (Gardner and McKenzie 1985; in the multiplicative form of Taylor 2003, which keeps prices
    positive), written as a correction of the last forecast by the error it made.

    Parameters
    ----------
    expected
        [market, country] what was expected for this month, USD/kg.
    growth
        [market, country] the growth factor in that forecast; one where no trend was seen.
    seen
        [market, country] this month's price, USD/kg.
    """
    memory, damping = behaviour.price_memory, behaviour.trend_damping
    return smooth_price(expected, growth, seen, memory, behaviour.trend_memory, damping)


def update_price_gap(model: MineralModel) -> None:
    """What rents say of the profit in finding a way around a limit."""
    paid = model.books.limited_outlay
    cost = paid - model.books.origin_rent
    gap = np.divide(paid, cost, out=np.ones_like(paid), where=cost > 0)
    pace = model.behaviour.price_memory
    model.state.price_gap += pace * (gap - model.state.price_gap)


def update_approvals(model: MineralModel) -> None:
    """Export licences that were not used stay valid for a while."""
    state, controls = model.state, model.measures.arcs.controls
    state.unused_approvals = unused_approvals(
        controls, model.month, model.growth, state.unused_approvals, model.books.flow
    )


def update_premium(model: MineralModel) -> None:
    """What certified goods earn beyond their price counts in the asks and plans of their makers."""
    books, standards = model.books, model.standards
    if not standards.strength.any():
        if model.premium.any():
            model.premium = np.zeros(len(model.firms))
        return
    earned = premium_earned(standards.premium, books.origin_price, books.flow, books.sold)
    model.premium = model.firm_traits.here(earned)


def update_habits(model: MineralModel) -> None:
    """Relationships follow trade: what is bought becomes familiar, what is not is forgotten."""
    state, books = model.state, model.books
    pace = 1.0 / model.behaviour.qualification_months
    move_familiarity(
        state.familiarity,
        books.flow,
        books.bought,
        model.terms.notional,
        1.0 - 1.0 / model.world.parameters["longrun_sourcing_factor"],
        pace,
        *FAMILIARITY_RANGE,
    )
    state.known_size += pace * (relative_size(model) - state.known_size)
    model.last_flow = books.flow
    producers = model.producers
    producers.purchase_share[:] = shares_from(producers.country, books.flow, books.bought)


def relative_size(model: MineralModel) -> np.ndarray:
    """[market, origin] capacity over its trend; over the market's trend for new origins."""
    size = model.firm_traits.by_place(model.firms.capacity, model.state.known_size.shape)
    usual = model.opening_size * model.trend.origin[model.month]
    whole = usual.sum(axis=1, keepdims=True)
    return size / np.where(usual > 0, usual, whole)


def update_firms(model: MineralModel) -> None:
    traits, books, firms = model.firm_traits, model.books, model.firms
    target = traits.stock_months * firms.capacity
    drifted = firm.drifted_markup(
        firms.markup, books.sales, firms.offered, firms.inventory, target, traits, model.behaviour
    )
    rest_idle(firms.markup, drifted, firms.capacity, firms.working)
    plan_feed(model)


def plan_feed(model: MineralModel) -> None:
    """Refiners plan feed for what they would sell at today's price if feed were no limit.

    Where nobody sold, for want of feed, the price is what they would get: a new plant that waited
    for a first sale before it bought feed would never run.
    """
    traits, firms, state = model.firm_traits, model.firms, model.state
    sold = firm.sold_at(state.market_price, firms.able, firms.low_ask, firms.high_ask, traits)
    wanted = traits.by_place_of(traits.feeds, sold, state.planned_output.shape)
    state.planned_output += PLAN_PACE * (wanted - state.planned_output)
