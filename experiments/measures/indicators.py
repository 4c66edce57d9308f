"""What is read off a finished run for a group of countries: prices, dependence and money."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from abm.config import month_index, month_name
from abm.model import MineralModel
from abm.welfare import PARTIES
from abm.world import KG, MONTHS, World
from experiments.measures.effects import CRISIS_MONTHS
from experiments.study import Cell

CALM, CRISIS = "calm", "crisis"


def window_outcomes(model: MineralModel, cell: Cell) -> pd.DataFrame:
    """Outcomes of the group of a cell: in calm over the whole horizon, else in the crisis.

    Returns
    -------
    pd.DataFrame
        Columns measure and value: `price` (cost of the opening basket over its cost at
        opening prices), `dependence` (percent of purchases from non-allied origins, markets
        weighted by opening expenditure), both for the refined minerals under the shock; and what
        the years of the window are worth to `consumers`, `producers`, holders of `rents` and the
        `treasury` (USD a year, all markets).
    """
    world, record = model.world, model.record
    months = window_months(cell, record.member.shape[0])
    group = np.isin(world.countries, cell.group)
    rows = basket_rows(world, cell.config.shock.minerals)
    found = {
        "price": basket_price(model, rows, group)[months].mean(),
        "dependence": dependence(model, rows, group, months),
    }
    years = slice(months.start // MONTHS, -(-months.stop // MONTHS))
    worth = record.surplus[years][..., group].sum(axis=(2, 3)).mean(axis=0)
    found |= dict(zip(PARTIES, worth, strict=True))
    return pd.DataFrame({"measure": list(found), "value": [float(v) for v in found.values()]})


def window_months(cell: Cell, horizon: int) -> slice:
    """The months over which a cell is measured."""
    if not cell.shocked:
        return slice(0, horizon)
    start = month_index(cell.config.shock.start, cell.config.horizon.start)
    return slice(start, min(start + CRISIS_MONTHS, horizon))


def basket_rows(world: World, minerals: Collection[str]) -> np.ndarray:
    """The refined markets of some minerals, or of all."""
    chosen = world.minerals if not minerals or list(minerals) == ["all"] else minerals
    return np.array([world.market(mineral, "refined") for mineral in chosen])


def basket_price(model: MineralModel, rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """[month] cost of what a group bought at the opening, over its cost at opening prices.

    A Laspeyres index over refined markets `rows` and countries `group` (a mask).
    """
    world = model.world
    quantity = world.flow.sum(axis=1)[np.ix_(rows, np.flatnonzero(group))]
    price = model.record.measures["landed_price_usd_per_kg"][:, rows][:, :, group]
    opening = world.landed_price[np.ix_(rows, np.flatnonzero(group))]
    known = np.isfinite(price)
    cost = (np.where(known, price, 0.0) * quantity).sum(axis=(1, 2))
    return cost / (known * opening * quantity).sum(axis=(1, 2))


def price_gap(
    model: MineralModel, rows: np.ndarray, group: Collection[str], exporter: str
) -> np.ndarray:
    """[month] cost of a group's opening basket over its cost at the exporter's home prices."""
    world, measures = model.world, model.record.measures
    inside = np.isin(world.countries, list(group))
    quantity = world.flow.sum(axis=1)[rows][:, inside]
    price = measures["landed_price_usd_per_kg"][:, rows][:, :, inside]
    home = measures["origin_price_usd_per_kg"][:, rows, world.country(exporter)][:, :, None]
    known = np.isfinite(price) & np.isfinite(home)
    paid = np.where(known, price * quantity, 0.0).sum(axis=(1, 2))
    return paid / np.where(known, home * quantity, 0.0).sum(axis=(1, 2))


def dependence(model: MineralModel, rows: np.ndarray, group: np.ndarray, months: slice) -> float:
    """Percent of a group's purchases from non-allied origins, markets by opening expenditure."""
    world, measures = model.world, model.record.measures
    bought = measures["purchases_t"][months][:, rows][:, :, group]
    share = measures["non_allied_share"][months][:, rows][:, :, group]
    from_foes = np.where(np.isfinite(share), share, 0.0) * bought
    total = bought.sum(axis=(0, 2))
    by_market = np.divide(
        from_foes.sum(axis=(0, 2)), total, out=np.zeros_like(total), where=total > 0
    )
    opening = world.flow.sum(axis=1)[rows][:, group]
    weight = KG * (opening * world.landed_price[rows][:, group]).sum(axis=1) * (total > 0)
    return float(100.0 * (by_market * weight).sum() / weight.sum())


def monthly_outcomes(model: MineralModel, cell: Cell) -> pd.DataFrame:
    """Month by month, for the group of a cell and the refined minerals under the shock.

    Returns
    -------
    pd.DataFrame
        Columns month (YYYY-MM), measure and value: `price`, `home_price` (of the exporter),
        `use`, `output` and `stock` (all indices of opening baskets, opening 1), `dependence`
        (percent), `treasury` (million USD a month, all markets).
    """
    world, record, config = model.world, model.record, cell.config
    group = np.isin(world.countries, cell.group)
    rows = basket_rows(world, config.shock.minerals)
    exporter = np.isin(world.countries, [config.shock.by])
    found = {
        "price": basket_price(model, rows, group),
        "home_price": value_index(model, "origin_price_usd_per_kg", rows, exporter, prices=True),
        "use": value_index(model, "use_t", rows, group),
        "output": value_index(model, "output_t", rows, group),
        "stock": value_index(model, "strategic_stock_t", rows, group)
        + value_index(model, "buyer_stock_t", rows, group),
        "dependence": monthly_dependence(model, rows, group),
        "treasury": np.nansum(record.measures["treasury_usd"][:, :, group], axis=(1, 2)) / 1e6,
    }
    months = [month_name(config.horizon.start, month) for month in range(record.member.shape[0])]
    table = pd.DataFrame(found | {"month": months})
    return table.melt("month", var_name="measure", value_name="value")


def standing_outcomes(model: MineralModel, cell: Cell) -> pd.DataFrame:
    """Month by month, how the group of a cell and the exporter stand to each other.

    Returns
    -------
    pd.DataFrame
        Columns month, measure and value: `tension_felt` (of the exporter towards the group, mean)
        and `tension_held` (of the group towards it), 0 to 1; `restricted` (percent of the
        exporter's opening export value that its controls hold back), `counter_tariff` (percent,
        mean over the group's opening imports), `commitment` (percent, mean over the group), and
        `price` as in `monthly_outcomes`.
    """
    world, record, config = model.world, model.record, cell.config
    group = np.isin(world.countries, cell.group)
    exporter = world.country(config.shock.by)
    found = {
        "tension_felt": record.tension[:, exporter, group].mean(axis=1),
        "tension_held": record.tension[:, group, exporter].mean(axis=1),
        "restricted": 100.0 * record.restricted[:, exporter],
        "counter_tariff": 100.0 * record.counter_tariff[:, group].mean(axis=1),
        "commitment": 100.0 * record.commitment[:, group].mean(axis=1),
        "price": basket_price(model, basket_rows(world, config.shock.minerals), group),
    }
    months = [month_name(config.horizon.start, month) for month in range(record.member.shape[0])]
    table = pd.DataFrame(found | {"month": months})
    return table.melt("month", var_name="measure", value_name="value")


def value_index(
    model: MineralModel, name: str, rows: np.ndarray, group: np.ndarray, prices: bool = False
) -> np.ndarray:
    """[month] a measure over countries, at opening prices, over what was used at the opening.

    With `prices` the measure is a price, and is weighted by opening purchases instead.
    """
    world = model.world
    values = np.nan_to_num(model.record.measures[name][:, rows][:, :, group])
    quantity = world.flow.sum(axis=1)[rows][:, group]
    price = (world.origin_price if prices else world.landed_price)[rows][:, group]
    weight = quantity if prices else price
    return (values * weight).sum(axis=(1, 2)) / (price * quantity).sum()


def monthly_dependence(model: MineralModel, rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """[month] percent of purchases from non-allied origins, markets by opening expenditure."""
    months = range(model.record.member.shape[0])
    return np.array([dependence(model, rows, group, slice(m, m + 1)) for m in months])
