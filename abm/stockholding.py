"""What states pay and get for strategic stocks: purchases, sales in an emergency, holding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abm.passes.accounts import value_stockpiles
from abm.world import MONTHS

if TYPE_CHECKING:
    from abm.model import MineralModel


def settle_stockpiles(model: MineralModel) -> None:
    """Treasuries pay for what was bought and for holding it, and get what released goods bring.

    Purchases cost what the country's buyers paid on average; released goods are sold at what the
    receiving country's buyers pay, and the proceeds go to the givers by tonnes.
    """
    books, settings = model.books, model.case.instruments.stockpiles
    purchases, proceeds, income, cost = value_stockpiles(
        books.by_buyer,
        books.price,
        model.choke,
        books.taken,
        model.state.stock,
        model.received,
        model.given,
        (settings.storage + settings.financing) / MONTHS,
    )
    books.ledger.post("stockpile_purchases", purchases)
    books.ledger.post("stockpile_sales", proceeds, income)
    books.ledger.post("stockholding", cost)
