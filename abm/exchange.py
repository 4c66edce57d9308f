"""One stage clears: the problem is posed, solved, booked, and its goods set sail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents import buyer
from abm.books import ship
from abm.intentions import firm_offers
from abm.market import Clearing, MarketNotCleared, Problem, clear
from abm.measures import mean_price
from abm.state import FEED
from abm.trade import (
    Offers,
    StageRows,
    TradeTerms,
    arc_rents,
    build_problem,
    limits_of,
    payments,
    rents_by_holder,
)

if TYPE_CHECKING:
    from abm.model import MineralModel


def trade(model: MineralModel, stage: StageRows) -> None:
    """Firms offer, the markets of one stage clear, and their goods set sail.

    Raises
    ------
    MarketNotCleared
        Naming scenario, month and market, with the residual and what to check.
    """
    problem = stage_problem(model, stage, firm_offers(model))
    try:
        clearing = clear(
            problem,
            start=model.last_clearing.get(stage.refined),
            where=f"month {model.month_label}",
        )
    except MarketNotCleared as failure:
        raise MarketNotCleared(f"{model.label}: {failure}", failure.market) from failure
    model.last_clearing[stage.refined] = clearing
    book_trade(model, stage, problem, clearing)


def stage_problem(model: MineralModel, stage: StageRows, offers: Offers) -> Problem:
    return build_problem(
        stage,
        model.world,
        offers,
        model.orders,
        model.buyers,
        model.backstop,
        model.choke,
        model.terms,
    )


def book_trade(model: MineralModel, stage: StageRows, problem: Problem, clearing: Clearing) -> None:
    rows = stage.markets
    terms = model.terms
    part = TradeTerms(
        terms.markup[rows],
        terms.tariff[rows],
        terms.notional[rows],
        terms.log_weight[rows],
        terms.measures.rows(rows),
    )
    rent = arc_rents(clearing.flow.shape, problem, clearing)
    paid = payments(
        clearing.flow,
        clearing.delivered_price,
        clearing.origin_price,
        rent,
        part,
        model.world.freight[rows],
    )
    model.books.enter(stage, clearing, paid)
    limits = limits_of(stage, terms.measures)
    model.books.credit_rents(rents_by_holder(problem, clearing, limits), terms.measures.rerouted)
    bought = bought_by_group(model, rows, clearing)
    ship(model.state, model.world.voyage, rows, clearing.flow, bought)
    if not stage.refined:
        update_feed_price(model, rows, paid.outlay, clearing.flow)


def bought_by_group(model: MineralModel, rows: np.ndarray, clearing: Clearing) -> np.ndarray:
    """[row, country, group] what each group bought, scaled to the tonnes that flow."""
    price = clearing.landed_price
    one = np.ones(model.orders.floor[rows].shape)
    traits = buyer.BuyerTraits(
        model.buyers.need[rows],
        model.buyers.reference_price[rows],
        model.buyers.elasticity[rows],
        model.buyers.cover[rows],
        model.buyers.transit[rows],
    )
    scale = buyer.desired_use(one, price, traits, model.backstop[rows], model.choke[rows])
    orders = model.orders.rows(rows)
    model.desired[rows] = model.need[rows] * scale
    wanted = buyer.purchases(orders, scale, price)
    total = wanted.sum(axis=2, keepdims=True)
    flowed = clearing.flow.sum(axis=1)[:, :, None]
    return np.divide(wanted * flowed, total, out=np.zeros_like(wanted), where=total > 0)


def update_feed_price(
    model: MineralModel, rows: np.ndarray, outlay: np.ndarray, flow: np.ndarray
) -> None:
    """The mean price of feed on hand moves with what was just bought."""
    held = model.state.stock[rows, :, FEED]
    before = model.state.feed_price[rows]
    paid = mean_price(outlay, flow, before)
    bought = flow.sum(axis=1)
    fresh = np.divide(bought, np.maximum(held, bought), out=np.zeros_like(held), where=bought > 0)
    model.state.feed_price[rows] = before + fresh * (paid - before)
