"""One stage clears: the problem is posed, solved, booked, and its goods set sail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from abm.agents import buyer
from abm.books import ship
from abm.intentions import firm_offers
from abm.market import Clearing, MarketNotCleared, Problem, clear
from abm.measures import mean_price
from abm.state import FEED
from abm.trade import (
    LimitArcs,
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
    held_out = rents_held_out_for(model, stage)
    problem = at_least(problem, model.border.limits[stage.refined], held_out)
    try:
        clearing = clear(
            problem,
            start=model.last_clearing.get(stage.refined),
            where=f"month {model.month_label}",
        )
    except MarketNotCleared as failure:
        raise MarketNotCleared(f"{model.label}: {failure}", failure.market) from failure
    model.last_clearing[stage.refined] = clearing
    if held_out.size:
        clearing = replace(clearing, rent=clearing.rent + held_out)
    trades = model.border.limits[stage.refined].trades
    model.last_rent[stage.refined] = dict(zip(trades, clearing.rent, strict=True))
    unit = model.measures.arcs.unit[stage.markets]
    book_trade(model, stage, contained(clearing, problem, unit))


def rents_held_out_for(model: MineralModel, stage: StageRows) -> np.ndarray:
    """[limit] least rent of the month, USD/kg by the weight that limits count.

    Exporters who hold the rights to ship do not give them away as soon as a limit is slack: they
    hold out for a share of the rent they had last, and leave rights unused. So rents fade instead
    of vanishing, and a quota may be used in part at a price gap. Treasuries and traders take what
    the market gives.
    """
    limits, last = model.border.limits[stage.refined], model.last_rent.get(stage.refined, {})
    rents = np.array([last.get(trade, 0.0) for trade in limits.trades])
    return model.behaviour.rights_reserve * rents * limits.of_exporters


def at_least(problem: Problem, limits: LimitArcs, rent: np.ndarray) -> Problem:
    """The problem in which rents [limit] are charged in any case; what clears comes on top."""
    if not rent.any():
        return problem
    addition = problem.price_addition.copy()
    places = (limits.market, limits.origin, limits.destination)
    np.add.at(addition, places, rent[limits.limit])
    return replace(problem, price_addition=addition)


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
