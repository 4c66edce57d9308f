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
from abm.passes.planning import ready_plants
from abm.world import MONTHS

if TYPE_CHECKING:
    from abm.model import MineralModel


def stand_ready(model: MineralModel) -> None:
    """Capacity of the month: the plan as expanded, less what is mined out, within the host's
    ceiling; and what outages and idling leave of it."""
    firms, lives, month = model.firms, model.plant_lives, model.month
    ready_plants(
        model.trend.capacity[month],
        firms.expansion,
        firms.reserves,
        model.firm_traits.normal_use,
        lives.decline_years,
        lives.host_ceiling,
        host_growth(model),
        float(MONTHS),
        model.events.availability[month],
        model.facts.available(month),
        firms.working,
        firms.capacity,
        model.availability,
    )


def host_growth(model: MineralModel) -> float:
    """Output of host metals over that of the opening."""
    return (1.0 + model.config.planning.host_metals.growth) ** (model.month / MONTHS)


def commit_orders(model: MineralModel, orders: Orders) -> None:
    """Let what is under contract stand in the floor of the month's orders."""
    if model.contracts.active:
        committed = model.contracts.committed(model.measures.arcs.rerouted)
        expected = model.state.expected_price
        firm_orders(orders, committed, model.need, model.expected_use, expected)


def settle_contracts(model: MineralModel) -> None:
    """Buyers and sellers settle what contracted tonnes cost less or more than on the spot."""
    contracts, books = model.contracts, model.books
    if not contracts.active:
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
    if model.contracts.active:
        model.contracts.remember(model.books.flow, model.books.origin_price)
    open_plants(model)
    build_capacity(model)


def open_plants(model: MineralModel) -> None:
    """Plants below their variable cost for long stop; those above the restart price come back."""
    settings = model.config.planning.idling
    if settings.active:
        plant.run_plants(
            model.firms,
            model.state.market_price,
            model.support,
            model.premium,
            feed_at_hand(model)[1],
            model.firm_traits,
            model.plant_lives,
            settings,
        )


def build_capacity(model: MineralModel) -> None:
    """Capacity over its plan moves to that of next month, before depletion and ceilings."""
    settings = model.config.planning.entry
    closing = model.behaviour.attrition_years * MONTHS
    price, support, premium = model.state.producer_price, model.support, model.premium
    if not settings.active:
        firm.invest(model.firms.expansion, price, support, premium, model.firm_traits, closing)
        return
    plant.move_pipeline(
        model.pipeline,
        model.month,
        model.firms,
        price,
        support,
        premium,
        model.trend.capacity[model.month],
        host_growth(model),
        model.firm_traits,
        model.plant_lives,
        settings,
        closing,
    )
