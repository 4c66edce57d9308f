"""What is read off a run for every party: sums of dollars, so that parties and minerals add up."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from abm.model import MineralModel
from abm.welfare import PARTIES
from abm.world import KG, MONTHS
from experiments.measures.indicators import basket_rows, window_months
from experiments.study import Cell

MILLION = 1e6
OPENING, BASKET, EXPOSED = "opening_musd", "basket_musd", "exposed_musd"
SURPLUS = tuple(f"{party}_musd" for party in PARTIES)
QUANTITIES = (OPENING, BASKET, EXPOSED, *SURPLUS)


def party_outcomes(
    parties: Mapping[str, Collection[str]], model: MineralModel, cell: Cell
) -> pd.DataFrame:
    """Outcomes of every party and mineral: in calm over the whole horizon, else in the crisis.

    Parameters
    ----------
    parties
        Countries by the name of the party; each country belongs to one.

    Returns
    -------
    pd.DataFrame
        Columns party, mineral and, all in million USD a year: `opening_musd` and `basket_musd`
        (what the party bought of the refined mineral at the opening, at opening prices and at the
        mean landed price of the window; zero for minerals that are not under the shock),
        `exposed_musd` (opening_musd times the non-allied share of its purchases in the window),
        and what the years of the window are worth to its consumers, producers, holders of rents
        and treasury (both stages).
    """
    world = model.world
    belongs = np.array([np.isin(world.countries, list(codes)) for codes in parties.values()])
    months = window_months(cell, model.record.member.shape[0])
    by_country = np.concatenate(
        [basket_figures(model, cell, months), surplus_figures(model, months)]
    )
    found = np.einsum("qkc,pc->pkq", by_country, belongs.astype(float)) / MILLION
    index = pd.MultiIndex.from_product([parties, world.minerals], names=["party", "mineral"])
    table = pd.DataFrame(found.reshape(len(index), -1), index=index, columns=list(QUANTITIES))
    return table.reset_index()


def basket_figures(model: MineralModel, cell: Cell, months: slice) -> np.ndarray:
    """[opening, basket, exposed; mineral, country] USD a year, refined minerals under the shock.

    Months in which a country has no price are left out of the mean.
    """
    world, measures = model.world, model.record.measures
    rows = basket_rows(world, cell.config.shock.minerals)
    price = measures["landed_price_usd_per_kg"][months][:, rows]
    known = np.isfinite(price)
    count = known.sum(axis=0)
    mean = np.where(known, price, 0.0).sum(axis=0) / np.maximum(count, 1)
    bought = measures["purchases_t"][months][:, rows]
    share = np.nan_to_num(measures["non_allied_share"][months][:, rows])
    total = bought.sum(axis=0)
    share = np.divide(
        (share * bought).sum(axis=0), total, out=np.zeros(total.shape), where=total > 0
    )
    yearly_kg = MONTHS * KG * world.flow.sum(axis=1)[rows]
    opening = yearly_kg * np.nan_to_num(world.landed_price[rows])
    figures = np.zeros((3, len(world.minerals), len(world.countries)))
    figures[:, world.mineral_of_market[rows]] = np.stack(
        [opening, np.where(count > 0, yearly_kg * mean, opening), opening * share]
    )
    return figures


def surplus_figures(model: MineralModel, months: slice) -> np.ndarray:
    """[party of welfare, mineral, country] USD a year over the years of a window, both stages."""
    world = model.world
    years = slice(months.start // MONTHS, -(-months.stop // MONTHS))
    by_market = model.record.surplus[years].mean(axis=0)
    found = np.zeros((len(PARTIES), len(world.minerals), len(world.countries)))
    for market, mineral in enumerate(world.mineral_of_market):
        found[:, mineral] += by_market[:, market]
    return found
