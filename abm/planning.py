"""Firms' planning in a month: what exists, what is under contract, and what is decided next.

What each rule says stands in `abm.agents.plant` and `abm.agents.contracts`; here they meet the
model. A mechanism that is off has values that change nothing: no share under contract, no cost to
fall below, reserves and ceilings without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import firm, plant
from abm.agents.buyer import Orders
from abm.agents.contracts import firm_orders
from abm.intentions import feed_at_hand
from abm.passes.planning import add_aid, wear_out
from abm.world import MONTHS

if TYPE_CHECKING:
    from abm.model import MineralModel


def existing_capacity(model: MineralModel) -> np.ndarray:
    """[firm] t/month: the plan as expanded, less what is mined out, within the host's ceiling."""
    firms = model.firms
    return plant.standing(
        model.trend.capacity[model.month],
        firms.expansion,
        firms.reserves,
        model.firm_traits,
        model.plant_lives.decline_years,
        host_limit(model),
    )


def host_limit(model: MineralModel) -> np.ndarray:
    """[firm] t/month that the host metal allows in this month."""
    return model.plant_lives.host_ceiling * host_growth(model)


def host_growth(model: MineralModel) -> float:
    """Output of host metals over that of the opening."""
    return (1.0 + model.config.planning.host_metals.growth) ** (model.month / MONTHS)


def earned_price(model: MineralModel, price: np.ndarray) -> np.ndarray:
    """[firm] USD/kg: a price [market, country], with support and with what certified goods earn."""
    return add_aid(price.ravel(), model.firm_traits.place, model.support, model.premium)


def commit_orders(model: MineralModel, orders: Orders) -> None:
    """Let what is under contract stand in the floor of the month's orders."""
    if model.contracts.share.any():
        committed = model.contracts.committed(model.measures.arcs.rerouted)
        expected = model.state.expected_price
        firm_orders(orders, committed, model.need, model.expected_use, expected)


def settle_contracts(model: MineralModel) -> None:
    """Buyers and sellers settle what contracted tonnes cost less or more than on the spot."""
    contracts, books = model.contracts, model.books
    if not contracts.share.any():
        return
    by_buyer, by_seller = contracts.settlement(
        books.flow, books.origin_price, model.terms.markup, model.measures.arcs.rerouted
    )
    books.rebate = by_buyer[0] - by_buyer[1]
    books.ledger.post("contract_rebate", by_seller[0], by_buyer[0])
    books.ledger.post("contract_premium", by_buyer[1], by_seller[1])


def mine_reserves(model: MineralModel) -> None:
    """What was mined leaves the ground, as far as exploration does not replace it."""
    settings, reserves = model.config.planning.depletion, model.firms.reserves
    if settings.active:
        reserves -= (1.0 - settings.replacement) * model.books.made
        np.maximum(reserves, 0.0, out=reserves)


def pay_for_construction(model: MineralModel) -> None:
    """Money is spent evenly over the time of construction."""
    pipeline, settings = model.pipeline, model.config.planning.entry
    if not settings.active:
        return
    under_way = pipeline.building * model.trend.capacity[model.month] / pipeline.lead
    spent = model.firm_traits.by_place(
        under_way * model.plant_lives.capital_cost, model.books.price.shape
    )
    model.books.ledger.post("construction", spent)


def update_plans(model: MineralModel) -> None:
    """Contracts remember the month; plants stop or restart; new capacity is decided on."""
    if model.contracts.share.any():
        model.contracts.remember(model.books.flow, model.books.origin_price)
    open_plants(model)
    model.firms.expansion[:] = next_expansion(model)


def open_plants(model: MineralModel) -> None:
    """Plants below their variable cost for long stop; those above the restart price come back."""
    firms, traits, settings = model.firms, model.firm_traits, model.config.planning.idling
    if not settings.active:
        return
    plant.count_months(
        firms.months_below,
        firms.months_above,
        earned_price(model, model.state.market_price),
        model.plant_lives.variable_cost,
        feed_at_hand(model)[1],
        firms.capacity,
        traits,
        settings,
    )
    firms.working[:] = plant.share_working(
        firms.working,
        firms.months_below,
        firms.months_above,
        model.plant_lives.patience,
        settings,
    )


def next_expansion(model: MineralModel) -> np.ndarray:
    """[firm] capacity over its plan next month, before depletion and ceilings."""
    firms, traits, settings = model.firms, model.firm_traits, model.config.planning.entry
    closing = model.behaviour.attrition_years * MONTHS
    price = earned_price(model, model.state.producer_price)
    if not settings.active:
        return firm.invested(firms.expansion, price / traits.price, traits, closing)
    pipeline, planned = model.pipeline, model.trend.capacity[model.month]
    later = plant.price_on_completion(
        price,
        planned * firms.expansion,
        planned * pipeline.building,
        model.plant_lives.flexibility,
        traits,
        settings.foresight,
    )
    room = plant.room_to_grow(
        planned, firms.expansion, firms.reserves, traits, model.plant_lives, host_growth(model)
    )
    begun = plant.decided(later, firms.expansion, pipeline, room, traits, settings)
    pipeline.start(model.month, begun)
    worth = plant.project_worth(later, firms.expansion + pipeline.building, traits, settings)
    pipeline.cancel(model.month, worth, settings)
    lasting = firm.wanted_capacity(price / (plant.break_even(settings) * traits.price), traits)
    return wear_out(firms.expansion, lasting, closing) + pipeline.complete(model.month + 1)
