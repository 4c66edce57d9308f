"""What is measured each month, from the books of trade. Axes: market, country."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.ledger import Account
from abm.passes.accounts import measure_money, measure_plants, measure_supply, measure_use
from abm.world import KG

if TYPE_CHECKING:
    from abm.model import MineralModel


# What is measured, in the order in which the passes write it.
SUPPLY_MEASURES = (
    "exports_t", "non_allied_share", "supplier_hhi", "import_reliance", "rerouted_t",
    "low_impact_share",
)  # fmt: skip
USE_MEASURES = (
    "use_t", "unmet_t", "priced_out_t", "buyer_stock_t", "cover_months", "strategic_stock_t",
    "use_intensity",
)  # fmt: skip
PLANT_MEASURES = (
    "idle_capacity_t", "building_capacity_t", "output_t", "recycled_t", "reserves_t",
)  # fmt: skip
MONEY_MEASURES = (
    "landed_price_usd_per_kg", "paid_price_usd_per_kg", "origin_price_usd_per_kg", "purchases_t",
    "perceived_risk", "outlay_usd", "duty_usd", "rent_paid_usd", "rent_received_usd",
    "treasury_usd",
)  # fmt: skip
MEASURED = (*SUPPLY_MEASURES, *USE_MEASURES, *PLANT_MEASURES, *MONEY_MEASURES)
_ENDS = np.cumsum([len(SUPPLY_MEASURES), len(USE_MEASURES), len(PLANT_MEASURES)]).tolist()


def measure_month(
    model: MineralModel, figures: np.ndarray, flow: np.ndarray, value: np.ndarray
) -> None:
    """Write every measure of the month, and add its trade to that of the year.

    Parameters
    ----------
    figures
        [measure, market, country] to be filled, in the order of `MEASURED`.
    flow, value
        [market, origin, destination] t and USD of the year so far.
    """
    supply, use, plants = _ENDS
    measure_trade(model, figures[:supply], flow, value)
    measure_goods(model, figures[supply:use])
    measure_firms(model, figures[use:plants])
    measure_payments(model, figures[plants:])


def measure_trade(
    model: MineralModel, figures: np.ndarray, flow: np.ndarray, value: np.ndarray
) -> None:
    """Where the month's purchases came from, and what went abroad: `SUPPLY_MEASURES`.

    The share of non-allied origins counts whatever route goods took. The Herfindahl–Hirschman index
    of suppliers runs from 0 to 10,000, with home supply as one supplier. Shares and the index are
    NaN without purchases.
    """
    books = model.books
    measure_supply(
        figures,
        flow,
        value,
        books.flow,
        books.paid,
        model.world.non_allied,
        model.measures.arcs.rerouted,
        model.standards.certified,
        books.bought,
        books.sold,
        KG,
    )


def measure_goods(model: MineralModel, figures: np.ndarray) -> None:
    """What is used, missing, choked off by the price and in stock: `USE_MEASURES`.

    The last is the mineral per product over the opening, weighted by opening use; NaN where no
    final user is.
    """
    books = model.books
    measure_use(
        figures,
        books.use,
        model.state.stock,
        model.desired,
        model.need,
        books.feed_used,
        model.buyers.need,
        model.intensity,
        model.world.mineral_of_market,
    )


def measure_firms(model: MineralModel, figures: np.ndarray) -> None:
    """Capacity idle and under construction, output and reserves: `PLANT_MEASURES`."""
    firms, traits = model.firms, model.firm_traits
    measure_plants(
        figures.reshape(len(figures), -1),
        traits.offset,
        firms.capacity,
        firms.working,
        model.pipeline.building,
        model.trend.capacity[model.month],
        firms.output,
        traits.recycles,
        firms.reserves,
    )


def measure_payments(model: MineralModel, figures: np.ndarray) -> None:
    """Prices, and who paid and received what: `MONEY_MEASURES`.

    Where nothing was bought, the price is the index that buyers faced, at most the choke price.
    """
    books = model.books
    measure_money(
        figures,
        books.average_price,
        books.rebate,
        books.origin_price,
        books.bought,
        model.state.risk,
        books.spent,
        books.duty,
        books.rent,
        books.rents_received("exporters"),
        books.rents_received("traders"),
        books.ledger.net[Account.treasury],
        KG,
    )


def exports_held_back(model: MineralModel) -> np.ndarray:
    """[country] share of opening export value that controls in force put at stake.

    Severity times the share of the exports that each control holds; overlapping ones add up, to
    one at most.
    """
    held = np.zeros(len(model.world.countries))
    for control in model.measures.arcs.controls:
        exports = model.tension.exports[:, control.exporter]
        hit = exports[np.ix_(control.markets, control.destinations)].sum()
        held[control.exporter] += control.severity * hit
    return np.minimum(held, 1.0)


def mean_counter_tariff(model: MineralModel) -> np.ndarray:
    """[country] counter-tariff on what each imported at the opening, by value."""
    rate = model.border.terms.counter_tariff
    if not rate.any():
        return np.zeros(len(model.world.countries))
    value = model.world.flow * model.world.delivered_price
    value = np.where(np.eye(value.shape[1], dtype=bool), 0.0, np.nan_to_num(value))
    total = value.sum(axis=(0, 1))
    return (rate * value).sum(axis=(0, 1)) / np.where(total > 0, total, 1.0)
