"""What is measured each month, from the books of trade. Axes: market, country."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.state import STATE
from abm.world import KG

if TYPE_CHECKING:
    from abm.model import MineralModel


def supplier_hhi(share: np.ndarray) -> np.ndarray:
    """Herfindahl–Hirschman index of each country's suppliers, 0 to 10,000; NaN without purchases.

    Parameters
    ----------
    share
        [market, origin, destination] from `origin_shares`. Home supply counts as one supplier.
    """
    return 10_000.0 * (share**2).sum(axis=1)


def origin_shares(flow: np.ndarray) -> np.ndarray:
    """[market, origin, destination] share of each origin in a country's purchases."""
    bought = flow.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bought > 0, flow / bought, np.nan)


def non_allied_share(share: np.ndarray, non_allied: np.ndarray) -> np.ndarray:
    """Share of purchases that comes from non-allied origins, whatever route it took."""
    return share[:, non_allied, :].sum(axis=1)


def import_reliance(share: np.ndarray) -> np.ndarray:
    """Share of purchases that comes from abroad."""
    home = np.diagonal(share, axis1=1, axis2=2)
    return 1.0 - home


def mean_price(outlay: np.ndarray, flow: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """USD/kg paid on average by each country; `otherwise` where nothing was bought.

    Parameters
    ----------
    outlay
        [market, origin, destination] thousand USD.
    flow
        [market, origin, destination] t.
    """
    bought, paid = flow.sum(axis=1), outlay.sum(axis=1)
    return np.where(bought > 0, paid / np.where(bought > 0, bought, 1.0), otherwise)


def month_measures(model: MineralModel) -> dict[str, np.ndarray]:
    """[market, country] of every measure of the month."""
    world, books, state = model.world, model.books, model.state
    private = slice(0, STATE)
    use = books.use.sum(axis=2) + books.feed_used
    stock = state.stock[:, :, private].sum(axis=2)
    output = np.zeros(use.shape)
    np.add.at(output, (model.firms.market, model.firms.country), model.firms.output)
    share = origin_shares(books.flow)
    home = np.diagonal(books.flow, axis1=1, axis2=2)
    wanted = model.desired[:, :, 1:STATE].sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        cover = np.where(use > 0, stock / use, np.nan)
    return {
        "landed_price_usd_per_kg": mean_price(
            books.paid, books.flow, np.minimum(books.price, model.choke)
        ),
        "origin_price_usd_per_kg": books.origin_price,
        "purchases_t": books.flow.sum(axis=1),
        "use_t": use,
        "unmet_t": wanted - books.use.sum(axis=2),
        "output_t": output,
        "exports_t": books.flow.sum(axis=2) - home,
        "buyer_stock_t": stock,
        "strategic_stock_t": state.stock[:, :, STATE],
        "cover_months": cover,
        "non_allied_share": non_allied_share(share, world.non_allied),
        "supplier_hhi": supplier_hhi(share),
        "import_reliance": import_reliance(share),
        "perceived_risk": state.risk,
        "outlay_usd": KG * books.paid.sum(axis=1),
        "duty_usd": KG * books.duty.sum(axis=1),
        "rent_paid_usd": KG * books.rent.sum(axis=1),
        "rent_received_usd": KG * books.rent_income,
        "treasury_usd": KG * books.treasury,
        "rerouted_t": (books.flow * model.measures.rerouted).sum(axis=1),
    }
