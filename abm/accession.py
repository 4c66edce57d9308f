"""Membership by choice: countries review what the first circle of the case is worth to them.

They judge last month's trade and prices; who joins or leaves does so in the month that follows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from abm.agents.country import Country
from abm.config import AccessionRule
from abm.policy.accession import (
    Pool,
    bargaining_benefit,
    pool_benefit,
    retaliation_cost,
    stock_cost,
    tariff_benefit,
)
from abm.scenario import NEVER, Bloc
from abm.state import STATE
from abm.world import World

if TYPE_CHECKING:
    from abm.model import MineralModel

REST = "ROW"  # closes the balances; it is no country that could sign anything


def candidates(world: World, named: list[str]) -> np.ndarray:
    """[country] who may join: those named, or all that are not non-allied."""
    if named:
        return np.isin(world.countries, named)
    return ~world.non_allied & (np.array(world.countries) != REST)


def review_membership(model: MineralModel) -> None:
    """In the month of a review, each country asks whether to be in or out."""
    settings, month = model.config.accession, model.month
    by_choice = settings.active and settings.rule is AccessionRule.choice
    if not by_choice or not model.case.circles or month == 0 or month % settings.review_months:
        return
    table = model.countries
    table.member[:] = model.case.circles[0].inside(month) > 0
    table.commitment[:] = model.commitment
    table.net_benefit[:] = net_benefit(model)
    table.wants_in[:] = table.member
    model.agents_by_type[Country].do("review")
    model.case = replace(
        model.case, circles=(admitted(model, model.case.circles[0]), *model.case.circles[1:])
    )


def admitted(model: MineralModel, circle: Bloc) -> Bloc:
    """The circle after the review: who wants in joins next month, who wants out leaves."""
    table, following = model.countries, model.month + 1
    joins = table.wants_in & ~table.member & (circle.joined != following)
    leaves = ~table.wants_in & table.member
    joined = np.where(joins, following, circle.joined)
    left = np.where(joins, NEVER, np.where(leaves, following, circle.left))
    return replace(circle, joined=joined, left=left)


def net_benefit(model: MineralModel) -> np.ndarray:
    """[country] what membership of the first circle is worth, share of its trade in minerals.

    The trade of a country is what it buys, at customary prices, and what it sells abroad.
    """
    settings, state = model.config.accession, model.state
    value = model.last_flow * state.producer_price[:, :, None]
    outlay = (model.last_flow.sum(axis=1) * state.customary_price).sum(axis=0)
    sold = value.sum(axis=(0, 2)) - np.einsum("mii->i", value)
    inside = model.case.circles[0].inside(model.month) * model.commitment
    worth = _tariffs(model, value) + _bargaining(model, value) + _stocks(model)
    trade = outlay + sold
    worth -= settings.contribution * trade
    worth -= retaliation_cost(
        value.sum(axis=0),
        model.tension.level,
        inside,
        model.world.non_allied,
        settings.feared_loss,
    )
    return np.divide(worth, trade, out=np.full(trade.shape, -np.inf), where=trade > 0)


def _part(model: MineralModel, instrument: str) -> np.ndarray:
    """[country] how far members of the first circle take part in an instrument."""
    active = getattr(model.case.instruments, instrument).active
    return active * model.case.circles[0].part(model.month, instrument) * model.commitment


def _tariffs(model: MineralModel, value: np.ndarray) -> np.ndarray:
    cut = model.case.instruments.preferential_tariffs.cut
    part = _part(model, "preferential_tariffs")
    return tariff_benefit(value, model.world.tariff, part, cut)


def _bargaining(model: MineralModel, value: np.ndarray) -> np.ndarray:
    part = _part(model, "joint_procurement")
    worth = np.zeros(part.size)
    if part.any():
        power = model.case.instruments.joint_procurement.countervailing_power
        for row, producer in enumerate(model.producers.country):
            bought = model.last_flow[:, producer].copy()
            bought[:, producer] = 0.0
            paid = model.producers.markup[row] * value[:, producer]
            worth += bargaining_benefit(paid, bought, part, power)
    return worth


def _stocks(model: MineralModel) -> np.ndarray:
    """What pooled stocks are worth less what holding the common minimum costs."""
    circle, instruments, state = model.case.circles[0], model.case.instruments, model.state
    asked = instruments.stockpiles.active and "stockpiles" in circle.instruments
    refined, use = model.world.refined_rows, model.countries.trend_use.T
    pool = Pool(
        stock=state.stock[refined, :, STATE],
        required=asked * instruments.stockpiles.target_months * use,
        customary_stock=model.countries.opening_cover.T * use,
        need=np.einsum("kjg->kj", model.trend_need[refined]),
        price=state.customary_price[refined],
        risk=np.maximum(state.risk[refined], model.config.accession.emergency_risk),
        trigger=instruments.emergency_release.trigger,
        release_months=instruments.emergency_release.release_months,
    )
    worth = pool_benefit(pool, _part(model, "emergency_release"))
    return worth - stock_cost(pool, model.config.accession.carrying_cost)
