"""Surplus: what users gain above what they pay, and what firms earn above what they ask.

Areas under the curves of the model itself, so that the two of them, the rents and the treasuries
account for every dollar a market is worth (Samuelson 1952). Prices are USD/kg and quantities
t/month, so all money is in thousand USD a month.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents.buyer import LEAST_PRICE_RATIO
from abm.passes.accounts import cost_by_place, measure_sectors, share_worth

if TYPE_CHECKING:
    from abm.model import MineralModel

# Who gains and who loses, in the order of the first axis of `month_surplus`.
PARTIES = ("consumers", "producers", "rents", "treasury")
# What is known of each sector, in the order of the first axis of what `users_gain` adds to.
SECTOR_FIGURES = ("need_t", "use_t", "uncovered_t", "outlay_usd", "surplus_usd")


def month_surplus(model: MineralModel) -> np.ndarray:
    """[party, market, country] thousand USD: what the month was worth to each party.

    Money is that of the ledger. To it comes what money does not show: what goods are worth to
    those who use them, what firms ask for what they sell, and what is put in store (bought or
    received and not used, on hand or at sea), at the prices of the opening, so that stocks that
    only change in price count for nothing. What the state buys is paid by its treasury; where
    nobody else buys, users pay and get.
    """
    books, state = model.books, model.state
    return share_worth(
        model.users_gain,
        books.use,
        books.taken,
        model.released,
        model.given,
        books.feed_used,
        state.feed_price,
        model.buyers.reference_price,
        books.ledger.net,
        books.rents_received("exporters"),
        sales_cost(model),
        books.average_price,
    )


def users_gain(model: MineralModel, figures: np.ndarray) -> np.ndarray:
    """[market, country] surplus of all users in the month, thousand USD.

    What is known of each sector is added to `figures` [figure, market, country, sector], tonnes
    and thousand USD. Figures are `SECTOR_FIGURES`. Uncovered is the need of the coming months
    (`accounting.uncovered_months`) that the stock on hand does not cover, per month.

    The surplus is what users gain above the price; goods that are missing earn none. With a logit
    over origins the price index P is the unit cost of the composite good, and the area under D(P)
    is the exact measure of surplus (Small and Rosen 1981). It ends at the choke price, so it is
    finite also where demand is inelastic. What is at hand goes to all uses alike: a tenth missing
    takes a tenth of the surplus. Thrift and research are no loss to those who can do without the
    mineral: uses are valued on the demand of the opening, whatever research has made of the
    substitute, and a use that has been redesigned is taken to cost what the mineral cost at the
    opening.
    """
    books, traits, (backstop, choke) = model.books, model.buyers, model.unaided
    return measure_sectors(
        model.need,
        model.desired,
        books.use,
        model.state.stock,
        books.taken,
        books.average_price,
        model.config.accounting.uncovered_months,
        model.intensity,
        model.world.mineral_of_market,
        books.price,
        traits.reference_price,
        traits.elasticity,
        backstop,
        choke,
        LEAST_PRICE_RATIO,
        figures,
    )


def sales_cost(model: MineralModel) -> np.ndarray:
    """[market, country] thousand USD firms ask for what they sell, less mark-ups and support.

    The area under their asks, which rise along the ramp; but nothing is sold below the least price.
    A drift of the mark-up is income and no cost; support lowers the ask but not the cost.
    """
    firms, traits, shape = model.firms, model.firm_traits, model.books.price.shape
    return cost_by_place(
        traits.offset,
        model.books.sales,
        firms.offered,
        firms.low_ask,
        firms.high_ask,
        traits.least_price,
        firms.markup,
        model.world.world_price,
        traits.market,
        model.support,
    ).reshape(shape)
