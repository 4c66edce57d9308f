"""Countries: each decides on its strategic stocks and on membership, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents.table import Column, Row, Table
from abm.passes.ordering import aim_in_calm

if TYPE_CHECKING:
    from abm.state import State


def aim_as_in_calm(
    table: Table, state: State, trend_need: np.ndarray, target_months: float
) -> None:
    """What all countries see, and mean to do if prices are calm: no emergency, a stock to aim at.

    That of the opening or the common one of the alliance, whichever is larger, in months of use.

    Parameters
    ----------
    trend_need
        [market, country, group] t/month without the swings of the month.
    target_months
        Months of use of the common stock.
    """
    table.short[:] = False
    aim_in_calm(
        state.expected_price,
        state.customary_price,
        state.stock,
        trend_need,
        table.opening_cover,
        target_months * table.stocking,
        table.price_ratio,
        table.dearest,
        table.stockpile,
        table.trend_use,
        table.purchase_target,
    )


def alarmed(table: Table, trigger: float) -> list[int]:
    """Rows of the countries in which some mineral is dear enough for an emergency."""
    return np.flatnonzero(table.dearest > trigger).tolist()


class Country(Row):
    """A country or bloc as an actor. Arrays are per mineral.

    Reads what the last month left (`price_ratio`, `stockpile`) and writes intentions
    (`short`, `purchase_target`, `wants_in`); settling moves the goods.
    """

    code = Column()
    stocking = Column()  # how far it takes part in the stockpiles of the alliance, 0 to 1
    stockpile = Column()
    opening_cover = Column()
    trend_use = Column()
    price_ratio = Column()
    dearest = Column()  # the highest of these ratios
    short = Column()
    purchase_target = Column()
    candidate = Column()  # may join by choice
    member = Column()  # of the first circle of the case, at the last review
    commitment = Column()
    net_benefit = Column()  # of membership, share of its trade in minerals
    doubts = Column()  # reviews in a row at which membership did not pay
    wants_in = Column()

    def decide(self) -> None:
        """Call an emergency where prices have jumped, and aim at no stock there.

        Where all are calm there is nothing to decide.
        """
        short = self.price_ratio > self.model.case.instruments.emergency_release.trigger
        self.short = short
        self.purchase_target[short] = 0.0

    def review(self) -> None:
        """Join where it pays; leave when it has not paid for long, or when worn out.

        Between the two margins nobody moves.
        """
        settings = self.model.config.accession
        if self.member:
            self.doubts = self.doubts + 1 if self.net_benefit < settings.leave_margin else 0
            worn_out = self.commitment < settings.worn_out
            self.wants_in = self.doubts < settings.patience and not worn_out
        else:
            self.doubts = 0
            rested = self.commitment >= 0.5 * (1.0 + settings.worn_out)
            self.wants_in = self.candidate and rested and self.net_benefit > settings.join_margin
