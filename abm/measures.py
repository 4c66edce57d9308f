"""What is measured each month, from the books of trade. Axes: market, country."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.ledger import Account
from abm.passes.accounts import measure_plants, measure_supply, measure_use
from abm.state import STATE
from abm.world import KG

if TYPE_CHECKING:
    from abm.model import MineralModel


SUPPLY_MEASURES = (
    "exports_t", "non_allied_share", "supplier_hhi", "import_reliance", "rerouted_t",
    "low_impact_share",
)  # fmt: skip
USE_MEASURES = ("use_t", "unmet_t", "priced_out_t", "buyer_stock_t", "cover_months")
PLANT_MEASURES = ("idle_capacity_t", "building_capacity_t", "reserves_t")


def per_purchase(amount: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """An amount per tonne bought; NaN where nothing is bought."""
    return np.divide(amount, bought, out=np.full(bought.shape, np.nan), where=bought > 0)


def supply_measures(model: MineralModel) -> dict[str, np.ndarray]:
    """[market, country] where the month's purchases came from, and what went abroad.

    The share of non-allied origins counts whatever route goods took. The Herfindahl–Hirschman index
    of suppliers runs from 0 to 10,000, with home supply as one supplier. Shares and the index are
    NaN without purchases.
    """
    books, arcs = model.books, model.measures.arcs
    figures = measure_supply(
        books.flow,
        model.world.non_allied,
        arcs.rerouted,
        model.standards.certified,
        books.bought,
        books.sold,
    )
    return dict(zip(SUPPLY_MEASURES, figures, strict=True))


def mean_price(spent: np.ndarray, bought: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    """USD/kg paid on average by each country; `otherwise` where nothing was bought.

    Parameters
    ----------
    spent
        [market, destination] thousand USD.
    bought
        [market, destination] t.
    """
    return np.where(bought > 0, spent / np.where(bought > 0, bought, 1.0), otherwise)


def use_measures(model: MineralModel) -> dict[str, np.ndarray]:
    """[market, country] t used, missing, choked off by the price, in stock; months of cover."""
    books, state = model.books, model.state
    figures = measure_use(books.use, state.stock, model.desired, model.need, books.feed_used)
    return dict(zip(USE_MEASURES, figures, strict=True))


def plant_measures(model: MineralModel) -> dict[str, np.ndarray]:
    """[market, country] t/month of capacity idle and under construction, and t in the ground."""
    firms, traits, shape = model.firms, model.firm_traits, model.books.price.shape
    figures = measure_plants(
        firms.capacity,
        firms.working,
        model.pipeline.building,
        model.trend.capacity[model.month],
        firms.reserves,
        traits.place,
        shape[0] * shape[1],
    )
    return dict(zip(PLANT_MEASURES, figures.reshape(-1, *shape), strict=True))


def recycled_output(model: MineralModel) -> np.ndarray:
    """[market, country] t made by recyclers."""
    traits = model.firm_traits
    return traits.by_place_of(traits.recycles, model.firms.output, model.books.price.shape)


def mean_intensity(model: MineralModel) -> np.ndarray:
    """[market, country] mineral per product over the opening; NaN where no final user is."""
    use = model.buyers.need[:, :, 1:STATE]
    intensity = model.intensity[model.world.mineral_of_market]
    return per_purchase(np.einsum("mjs,mjs->mj", use, intensity), np.einsum("mjs->mj", use))


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


def month_measures(model: MineralModel) -> dict[str, np.ndarray]:
    """[market, country] of every measure of the month."""
    books, state = model.books, model.state
    bought = books.bought
    otherwise = np.minimum(books.price, model.choke)
    return {
        "landed_price_usd_per_kg": mean_price(books.spent, bought, otherwise),
        "paid_price_usd_per_kg": mean_price(books.spent - books.rebate, bought, otherwise),
        "origin_price_usd_per_kg": books.origin_price,
        "purchases_t": bought,
        "output_t": model.firm_traits.by_place(model.firms.output, bought.shape),
        **use_measures(model),
        **plant_measures(model),
        **supply_measures(model),
        "strategic_stock_t": state.stock[:, :, STATE],
        "perceived_risk": state.risk,
        "outlay_usd": KG * books.spent,
        "duty_usd": KG * books.duty,
        "rent_paid_usd": KG * books.rent,
        "rent_received_usd": KG
        * (books.rents_received("exporters") + books.rents_received("traders")),
        "treasury_usd": KG * books.ledger.balance(Account.treasury),
        "recycled_t": recycled_output(model),
        "use_intensity": mean_intensity(model),
    }
