"""What states pay and get for strategic stocks: purchases, sales in an emergency, holding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.passes.accounts import cost_of_stockpiles
from abm.world import MONTHS

if TYPE_CHECKING:
    from abm.model import MineralModel


def settle_stockpiles(model: MineralModel) -> None:
    """Treasuries pay for what was bought and for holding it, and get what released goods bring.

    Purchases cost what the country's buyers paid on average; released goods are sold at what the
    receiving country's buyers pay, and the proceeds go to the givers by tonnes.
    """
    books, settings = model.books, model.case.instruments.stockpiles
    refined = model.world.refined_rows
    rate = (settings.storage + settings.financing) / MONTHS
    purchases, cost = cost_of_stockpiles(
        refined.start, books.average_price, books.taken, model.state.stock, rate
    )
    books.ledger.post("stockpile_purchases", purchases)
    if model.received.any():
        sell_released(model, books.average_price[refined])
    books.ledger.post("stockholding", cost)


def sell_released(model: MineralModel, price: np.ndarray) -> None:
    """Buyers pay their price [mineral, country] for what states have released."""
    refined = model.world.refined_rows
    proceeds, income = np.zeros((2, *model.books.price.shape))
    proceeds[refined] = price * model.received
    total = model.given.sum(axis=1, keepdims=True)
    shares = np.divide(model.given, total, out=np.zeros(model.given.shape), where=total > 0)
    income[refined] = shares * proceeds[refined].sum(axis=1, keepdims=True)
    model.books.ledger.post("stockpile_sales", proceeds, income)
