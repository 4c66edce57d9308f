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
    build_problem,
    by_weight,
    contained,
    payments,
    rents_paid,
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
    problem = stage_problem(model, stage, firm_offers(model, stage))
    try:
        clearing = clear(
            problem,
            start=model.last_clearing.get(stage.refined),
            where=f"month {model.month_label}",
        )
    except MarketNotCleared as failure:
        raise MarketNotCleared(f"{model.label}: {failure}", failure.market) from failure
    model.last_clearing[stage.refined] = clearing
    unit = model.measures.arcs.unit[stage.markets]
    book_trade(model, stage, contained(clearing, problem, unit))


def stage_problem(model: MineralModel, stage: StageRows, offers: Offers) -> Problem:
    """The clearing problem of a stage, by the weight that limits count."""
    problem = build_problem(
        stage,
        model.world,
        offers,
        model.orders,
        model.backstop,
        model.choke,
        model.terms,
        model.border.limits[stage.refined],
        model.measures.tonnes,
    )
    return by_weight(problem, model.measures.arcs.unit[stage.markets])


def book_trade(model: MineralModel, stage: StageRows, clearing: Clearing) -> None:
    books, measures = model.books, model.measures
    limits = model.border.limits[stage.refined]
    books.enter(stage, clearing, payments(stage, model.terms, clearing, limits))
    if limits.number.size:
        held = [measures.limits[number] for number in limits.number]
        paid = rents_paid(limits, clearing, measures.arcs.unit[stage.markets])
        books.credit_rents(stage.markets, held, paid, measures.arcs.rerouted)
    bought = bought_by_group(model, stage, clearing)
    books.taken[stage.markets] = bought
    ship(model.state, model.lanes.voyage, stage.markets, clearing.flow, bought)
    if not stage.refined:
        update_feed_price(model, stage.markets)


def bought_by_group(model: MineralModel, stage: StageRows, clearing: Clearing) -> np.ndarray:
    """[row, country, group] what each group bought, scaled to the tonnes that flow."""
    rows, price = stage.markets, clearing.landed_price
    need = model.need[rows]
    scale = buyer.use_scale(need, price, stage.buyers, model.backstop[rows], model.choke[rows])
    np.multiply(need, scale, out=model.desired[rows])
    wanted = buyer.purchases(model.orders.rows(rows), scale, price)
    total = np.einsum("mjg->mj", wanted)
    wanted *= (model.books.bought[rows] / np.where(total > 0, total, 1.0))[:, :, None]
    return wanted


def update_feed_price(model: MineralModel, rows: slice) -> None:
    """The mean price of feed on hand moves with what was just bought."""
    held = model.state.stock[rows, :, FEED]
    before = model.state.feed_price[rows]
    bought = model.books.bought[rows]
    paid = mean_price(model.books.spent[rows], bought, before)
    fresh = np.divide(bought, np.maximum(held, bought), out=np.zeros(held.shape), where=bought > 0)
    before += fresh * (paid - before)
