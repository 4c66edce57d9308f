"""One stage clears: the problem is posed, solved, booked, and its goods set sail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from abm.agents.buyer import LEAST_PRICE_RATIO
from abm.agents.firm import Supply
from abm.books import ship
from abm.intentions import firm_offers
from abm.market import Clearing, MarketNotCleared, Problem, clear
from abm.passes.trading import mix_price, share_purchases
from abm.trade import (
    LimitArcs,
    StageRows,
    build_problem,
    by_weight,
    contained,
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
    supply = firm_offers(model, stage)
    problem = stage_problem(model, stage, supply)
    limits = model.border.limits[stage.refined]
    held_out = rents_held_out_for(model, stage, limits)
    problem = at_least(problem, limits, held_out)
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
    model.last_rent[stage.refined] = dict(zip(limits.trades, clearing.rent.tolist(), strict=True))
    unit = model.measures.arcs.unit[stage.markets]
    book_trade(model, stage, supply, contained(clearing, problem, unit))


def rents_held_out_for(model: MineralModel, stage: StageRows, limits: LimitArcs) -> np.ndarray:
    """[limit] least rent of the month, USD/kg by the weight that limits count.

    Exporters who hold the rights to ship do not give them away as soon as a limit is slack: they
    hold out for a share of the rent they had last, and leave rights unused. So rents fade instead
    of vanishing, and a quota may be used in part at a price gap. Treasuries and traders take what
    the market gives.
    """
    last = model.last_rent.get(stage.refined, {})
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


def stage_problem(model: MineralModel, stage: StageRows, supply: Supply) -> Problem:
    """The clearing problem of a stage, by the weight that limits count."""
    problem = build_problem(
        stage,
        model.world,
        supply,
        model.orders,
        model.backstop,
        model.choke,
        model.terms,
        model.border.limits[stage.refined],
        model.measures.tonnes,
    )
    return by_weight(problem, model.measures.arcs.unit[stage.markets])


def book_trade(model: MineralModel, stage: StageRows, supply: Supply, clearing: Clearing) -> None:
    """Enter the trade in the books, share the goods among those who ordered, and ship them."""
    books, measures, rows = model.books, model.measures, stage.markets
    books.enter(stage, clearing, model.terms)
    books.sell(stage, supply)
    held = [measures.limits[number] for number in model.border.limits[stage.refined].number]
    if held:
        books.credit_rents(stage, clearing, model.terms, held)
    share_bought(model, rows)
    ship(model.state, model.lanes.voyage, rows, clearing.flow, books.taken[rows])
    if not stage.refined:
        state = model.state
        mix_price(rows.start, rows.stop, books.spent, books.bought, state.stock, state.feed_price)


def share_bought(model: MineralModel, rows: slice) -> None:
    """What each group wishes to use at the price, and its part of the tonnes that flow."""
    orders, traits, books = model.orders, model.buyers, model.books
    share_purchases(
        rows.start,
        rows.stop,
        model.need,
        books.price,
        traits.reference_price,
        traits.elasticity,
        model.backstop,
        model.choke,
        LEAST_PRICE_RATIO,
        orders.floor,
        orders.bid_quantity,
        orders.bid_low,
        orders.bid_high,
        books.bought,
        model.desired,
        books.taken,
    )
