"""Surplus: what users gain above what they pay, and what firms earn above what they ask.

Areas under the curves of the model itself, so that the two of them, the rents and the treasuries
account for every dollar a market is worth (Samuelson 1952). Prices are USD/kg and quantities
t/month, so all money is in thousand USD a month.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents.buyer import LEAST_PRICE_RATIO, BuyerTraits
from abm.ledger import Account
from abm.measures import mean_price
from abm.passes.accounts import (
    add_sectors,
    cost_by_place,
    demand_surplus,
    split_owners,
    split_taken,
)
from abm.state import STATE

if TYPE_CHECKING:
    from abm.model import MineralModel

# Who gains and who loses, in the order of the first axis of `month_surplus`.
PARTIES = ("consumers", "producers", "rents", "treasury")
# What is known of each sector, in the order of the first axis of `add_sector_figures`.
SECTOR_FIGURES = ("need_t", "use_t", "uncovered_t", "outlay_usd", "surplus_usd")


def consumer_surplus(
    need: np.ndarray,
    price: np.ndarray,
    traits: BuyerTraits,
    backstop: np.ndarray,
    choke: np.ndarray,
) -> np.ndarray:
    """[market, country, group] thousand USD a month: the area under demand above the price.

    With a logit over origins the price index P is the unit cost of the composite good, and the
    area under D(P) is the exact measure of surplus (Small and Rosen 1981). It ends at the choke
    price, so it is finite also where demand is inelastic.

    Parameters
    ----------
    need
        [market, country, group] t/month wanted at the reference price.
    price, backstop, choke
        [market, country] USD/kg.
    """
    return demand_surplus(
        need,
        price,
        traits.reference_price,
        traits.elasticity,
        backstop,
        choke,
        LEAST_PRICE_RATIO,
    )


def month_surplus(model: MineralModel) -> np.ndarray:
    """[party, market, country] thousand USD: what the month was worth to each party.

    Money is that of the ledger. To it comes what money does not show: what goods are worth to
    those who use them, what firms ask for what they sell, and what is put in store, at the prices
    of the opening, so that stocks that only change in price count for nothing.
    """
    books, cash = model.books, model.books.ledger.net
    rents = books.rents_received("exporters")
    paid = mean_price(books.spent, books.bought, np.minimum(books.price, model.choke))
    users, refiners, state = model.buyers.reference_price * stock_building(model)
    for owner, part in zip((users, refiners), split_taken(books.taken), strict=True):
        owner += part * cash[Account.buyers]
    # What the state buys is paid by its treasury; where nobody else buys, users pay and get.
    surplus = np.empty((len(PARTIES), *paid.shape))
    surplus[0] = users + np.einsum("mjg->mj", model.gain) + paid * np.einsum("mjg->mj", books.use)
    surplus[1] = cash[Account.producers] - rents - sales_cost(model)
    surplus[1] += refiners + model.state.feed_price * books.feed_used
    surplus[2] = cash[Account.traders] + rents
    surplus[3] = cash[Account.treasury] + cash[Account.fund] + state
    return surplus


def stock_building(model: MineralModel) -> np.ndarray:
    """[owner, market, country] t bought or received and not used, on hand or at sea.

    Owners are users, refiners and the state.
    """
    books = model.books
    built = split_owners(books.taken + model.released - books.use)
    built[1] -= books.feed_used
    built[2, model.world.refined_rows] -= model.given
    return built


def users_gain(model: MineralModel) -> np.ndarray:
    """[market, country, sector] thousand USD above the price; goods that are missing earn none.

    What is at hand goes to all uses alike: a tenth missing takes a tenth of the surplus. Thrift
    and research are no loss to those who can do without the mineral: uses are valued on the demand
    of the opening, whatever research has made of the substitute, and a use that has been redesigned
    is taken to cost what the mineral cost at the opening.
    """
    sectors = slice(1, STATE)
    books = model.books
    wanted, used = model.desired[:, :, sectors], books.use[:, :, sectors]
    surplus = consumer_surplus(model.need, books.price, model.buyers, *model.unaided)
    served = np.divide(used, wanted, out=np.zeros(used.shape), where=wanted > 0)
    gain = surplus[:, :, sectors] * served
    intensity = model.intensity[model.world.mineral_of_market]
    if (intensity != 1.0).any():
        freed = np.zeros(model.need.shape)
        freed[:, :, sectors] = model.need[:, :, sectors] * (1.0 / intensity - 1.0)
        opening = model.buyers.reference_price
        gain += consumer_surplus(freed, opening, model.buyers, *model.unaided)[:, :, sectors]
    return gain


def sales_cost(model: MineralModel) -> np.ndarray:
    """[market, country] thousand USD firms ask for what they sell, less mark-ups and support.

    The area under their asks, which rise along the ramp; but nothing is sold below the least price.
    A drift of the mark-up is income and no cost; support lowers the ask but not the cost.
    """
    firms, traits, shape = model.firms, model.firm_traits, model.books.price.shape
    return cost_by_place(
        model.books.sales,
        firms.offered,
        firms.low_ask,
        firms.high_ask,
        traits.least_price,
        firms.markup,
        model.world.world_price,
        traits.market,
        model.support,
        traits.place,
        shape[0] * shape[1],
    ).reshape(shape)


def add_sector_figures(model: MineralModel, year: np.ndarray) -> None:
    """Add the month to a year's [figure, market, country, sector]: tonnes, and thousand USD.

    Uncovered is the need of the coming months (`accounting.uncovered_months`) that the stock on
    hand does not cover, per month.
    """
    books = model.books
    add_sectors(
        year,
        model.need,
        books.use,
        model.state.stock,
        books.taken,
        books.spent,
        books.bought,
        model.gain,
        model.config.accounting.uncovered_months,
    )
