"""What states pay and get for strategic stocks: purchases, sales in an emergency, holding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.measures import mean_price
from abm.state import STATE
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
    price = np.zeros(books.price.shape)
    usual = np.minimum(books.price[refined], model.choke[refined])
    price[refined] = mean_price(books.spent[refined], books.bought[refined], usual)
    purchases = price * books.taken[:, :, STATE]
    books.ledger.post("stockpile_purchases", purchases)
    proceeds, shares = np.zeros((2, *price.shape))
    proceeds[refined] = price[refined] * model.received
    shares[refined] = model.given
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    income = shares * proceeds.sum(axis=1, keepdims=True)
    books.ledger.post("stockpile_sales", proceeds, income)
    rate = (settings.storage + settings.financing) / MONTHS
    cost = rate * price * model.state.stock[:, :, STATE]
    books.ledger.post("stockholding", cost)
