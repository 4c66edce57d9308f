"""Countries: each decides on its strategic stocks, one by one."""

from __future__ import annotations

import numpy as np

from abm.agents.table import Column, Row


class Country(Row):
    """A country or bloc as an actor. Arrays are per mineral.

    Reads what the last month left (`price_ratio`, `stockpile`) and writes intentions
    (`short`, `purchase_target`); settling moves the goods.
    """

    code = Column()
    stocking = Column()  # how far it takes part in the stockpiles of the alliance, 0 to 1
    stockpile = Column()
    opening_cover = Column()
    trend_use = Column()
    price_ratio = Column()
    short = Column()
    purchase_target = Column()

    def decide(self) -> None:
        """Call an emergency where prices have jumped; set the stock to aim at."""
        settings = self.model.case.instruments
        short = self.price_ratio > settings.emergency_release.trigger
        months = self.opening_cover
        months = np.maximum(months, self.stocking * settings.stockpiles.target_months)
        self.short = short
        self.purchase_target = np.where(short, 0.0, months * self.trend_use)
