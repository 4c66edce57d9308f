"""What is learnt from a month: expectations, habits, mark-ups and feed plans move on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import firm
from abm.config import Behaviour
from abm.passes.learning import foresee_landed, learn_asked, learn_suppliers
from abm.passes.planning import plan_feed
from abm.policy.licences import unused_approvals
from abm.policy.standards import premium_earned

if TYPE_CHECKING:
    from abm.model import MineralModel

FAMILIARITY_RANGE = (0.25, 4.0)  # habit cannot shrink or swell a sourcing weight further; assumed
PLAN_PACE = 0.5  # a month; refiners' plans follow orders; assumed


def update_prices(model: MineralModel) -> None:
    """Buyers and sellers learn the prices of the month."""
    state, books, behaviour = model.state, model.books, model.behaviour
    state.expected_price, state.price_growth = forecast(
        state.expected_price,
        state.price_growth,
        state.customary_price,
        books.price,
        model.buyers.least_price,
        model.choke,
        behaviour,
    )
    state.market_price = learn_asked(
        books.origin_price,
        model.world.origin_price,
        books.sold,
        books.limited_outlay,
        books.origin_rent,
        behaviour.investment_memory,
        behaviour.price_memory,
        state.producer_price,
        state.entry_price,
        state.price_gap,
    )


def forecast(
    expected: np.ndarray,
    growth: np.ndarray,
    customary: np.ndarray,
    landed: np.ndarray,
    least: np.ndarray,
    choke: np.ndarray,
    behaviour: Behaviour,
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
    customary
        [market, country] what buyers have been used to pay, USD/kg; moved on in place.
    landed
        [market, country] this month's price, USD/kg.
    least, choke
        [market, country] USD/kg: the lowest price that is believed, and that which ends demand.
    """
    return foresee_landed(
        landed,
        least,
        choke,
        expected,
        growth,
        customary,
        behaviour.price_memory,
        behaviour.trend_memory,
        behaviour.trend_damping,
        behaviour.customary_memory,
    )


def update_approvals(model: MineralModel) -> None:
    """Export licences that were not used stay valid for a while."""
    state, controls = model.state, model.measures.arcs.controls
    state.unused_approvals = unused_approvals(
        controls, model.month, model.growth, state.unused_approvals, model.books.flow
    )


def update_premium(model: MineralModel) -> None:
    """What certified goods earn beyond their price counts in the asks and plans of their makers."""
    books, standards = model.books, model.standards
    if not standards.asked:
        model.premium = model.no_aid
        return
    earned = premium_earned(standards.premium, books.origin_price, books.flow, books.sold)
    model.premium = model.firm_traits.here(earned)


def update_habits(model: MineralModel) -> None:
    """Relationships follow trade: what is bought becomes familiar, what is not is forgotten.

    Buyers come to know capacity over its trend; over the market's trend for new origins.
    """
    state, books, producers = model.state, model.books, model.producers
    learn_suppliers(
        books.flow,
        books.bought,
        model.terms.notional,
        model.stickiness,
        1.0 / model.behaviour.qualification_months,
        *FAMILIARITY_RANGE,
        state.familiarity,
        model.firm_traits.by_place(model.firms.capacity, state.known_size.shape),
        model.opening_size,
        model.trend.origin[model.month],
        state.known_size,
        producers.country,
        producers.purchase_share,
    )
    model.last_flow = books.flow


def update_firms(model: MineralModel) -> None:
    """Mark-ups drift with sales and stocks, and refiners plan the feed they will need.

    They plan for what they would sell at today's price if feed were no limit. Where nobody sold,
    for want of feed, the price is what they would get: a new plant that waited for a first sale
    before it bought feed would never run.
    """
    traits, firms, state = model.firm_traits, model.firms, model.state
    firm.drift_markup(
        firms.markup,
        model.books.sales,
        firms.offered,
        firms.inventory,
        firms.capacity,
        firms.working,
        traits,
        model.behaviour,
    )
    plan_feed(
        traits.offset,
        traits.feeds,
        firms.able,
        firms.low_ask,
        firms.high_ask,
        traits.least_price,
        state.market_price,
        PLAN_PACE,
        state.planned_output,
    )
