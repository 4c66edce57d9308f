"""Single investments: owners and the fund decide on projects, and decided ones are built.

Decisions read what the month before left and return `Plans`; settling carries them out, pays for
them and moves the projects on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from abm.agents.firm import FirmTraits
from abm.agents.project import (
    CANCELLED,
    CANDIDATE,
    COMMISSIONING,
    COMPLETE,
    FAILED,
    PERMIT,
    RAMP_UP,
    ProjectTraits,
    advance,
    begin,
    capital_due,
    fund_share,
    months_to_output,
    present_values,
    running_share,
    under_way,
    yearly_margin,
)
from abm.planning import stand_ready
from abm.policy.floor import assured_price
from abm.policy.fund import chosen_projects, instalment, promises
from abm.trend import Trend
from abm.world import MONTHS, World

if TYPE_CHECKING:
    from abm.model import MineralModel


@dataclass(frozen=True)
class Plans:
    """What is decided in a month, [project]."""

    start: np.ndarray  # bool
    loan: np.ndarray  # what the fund lends, share of the capital that is not given
    grant: np.ndarray  # what it gives, share of the capital
    stop: np.ndarray  # bool: the owner gives up


def no_plans(traits: ProjectTraits) -> Plans:
    """A month in which nothing is decided."""
    no, nothing = np.zeros(traits.count, dtype=bool), np.zeros(traits.count)
    return Plans(no, nothing, nothing, no)


@dataclass(frozen=True)
class GrowthRoom:
    """How much planned growth there is that projects can take the place of, t/month."""

    planned: np.ndarray  # [month, market] output of all other firms on the trend
    growth: np.ndarray  # [month, market] of which beyond the opening


def growth_room(world: World, traits: FirmTraits, trend: Trend) -> GrowthRoom:
    """Planned output and its growth, market by market."""
    planned = np.zeros((trend.capacity.shape[0], len(world.markets)))
    normal = trend.capacity * traits.normal_use
    for market in np.unique(world.projects.market):
        planned[:, market] = normal[:, world.firms.market == market].sum(axis=1)
    opening = np.bincount(world.firms.market, world.firms.output, len(world.markets))
    return GrowthRoom(planned, np.maximum(planned - opening, 0.0))


def put_in_place(model: MineralModel) -> None:
    """The firms' capacity of the month: that of the plans, and the plants that were built.

    What projects make takes its place in the growth that others had planned, as far as there is
    any; the rest comes on top.
    """
    stand_ready(model)
    traits, capacity = model.project_traits, model.firms.capacity
    if traits.count:
        part = running_share(model.projects)
        arrived = np.bincount(traits.market, traits.output * part, model.growth.size)
        planned, growth = model.room.planned[model.month], model.room.growth[model.month]
        yielded = model.config.projects.displacement * np.minimum(arrived, growth)
        capacity *= (1.0 - yielded / np.where(planned > 0, planned, 1.0))[model.firms.market]
        capacity[traits.firm] = traits.capacity * part


# Deciding -------------------------------------------------------------------------------------


def plan_projects(model: MineralModel) -> Plans:
    """Owners start what pays and give up what does not; the fund makes more of it pay."""
    traits, table = model.project_traits, model.projects
    if not traits.count:
        return no_plans(traits)
    settings = model.case.instruments.investment_fund
    margin, wait = expected_margin(model), months_to_output(table, planned_months(model))
    left = traits.capital - table.spent
    waiting, building = table.phase == CANDIDATE, under_way(table.phase)
    # Who is building keeps the terms it has; a candidate can do without the fund, or ask for it.
    own_rate = blended_rate(traits.rate, table.loan, settings.interest)
    income, outlay = present_values(margin, left, wait, own_rate, traits.life)
    value = income - (1.0 - table.grant) * outlay
    alone = waiting & (value >= 0.0)
    stop = building & (value < -model.config.projects.patience * traits.capital)
    rate = blended_rate(traits.rate, settings.loan_share, settings.interest)
    income, outlay = present_values(margin, left, wait, rate, traits.life)
    gap = np.maximum(1.0 - income / np.maximum(outlay, 1e-300), 0.0)
    loan = np.full(traits.count, settings.loan_share)
    grant = np.minimum(gap, settings.largest_grant)
    bankable = waiting & ~alone & (gap <= settings.largest_grant)
    funded = fund_round(model, bankable, fund_share(loan, grant) * traits.capital)
    return Plans(alone | funded, np.where(funded, loan, 0.0), np.where(funded, grant, 0.0), stop)


def blended_rate(rate: np.ndarray, loan: np.ndarray | float, interest: float) -> np.ndarray:
    """Cost of capital a year of an owner who borrows a share of it from the fund."""
    return rate + loan * (interest - rate)


def expected_margin(model: MineralModel) -> np.ndarray:
    """[project] thousand USD a year that an owner counts on."""
    traits, state = model.project_traits, model.state
    price = assured_price(
        state.entry_price[traits.market, traits.country],
        model.guaranteed_price[traits.market],
        model.part("price_floor")[traits.country],
        model.case.instruments.price_floor,
    )
    feed_price = state.customary_price[traits.feed_market, traits.country]
    return yearly_margin(price, feed_price, traits)


def planned_months(model: MineralModel) -> np.ndarray:
    """[project, milestone] months planned; the alliance shortens permits at home."""
    traits, settings = model.project_traits, model.case.instruments.investment_fund
    months = traits.phase_months.copy()
    part = model.part("investment_fund")[traits.country]
    months[:, PERMIT] *= 1.0 - settings.permitting_cut * part
    return months


def fund_round(model: MineralModel, bankable: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """[project] bool: what the fund takes this month; nothing between two rounds.

    Parameters
    ----------
    bankable
        [project] bool: candidates that pay with the fund and do not without.
    cost
        [project] thousand USD that the fund would give and lend.
    """
    settings, traits = model.case.instruments.investment_fund, model.project_traits
    part = model.part("investment_fund")
    if not part.any() or model.month % settings.round_months:
        return np.zeros(traits.count, dtype=bool)
    roles = np.isin(model.world.roles, settings.partners)
    welcome = (part > 0) | (roles & ~model.world.non_allied)
    dependence, price, risk = exposure(model, part)
    return chosen_projects(
        bankable & welcome[traits.country],
        cost,
        traits.output,
        traits.market,
        dependence,
        price,
        settings.baseline_risk + risk,
        model.fund.uncommitted,
    )


def exposure(model: MineralModel, part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[market] members' purchases from the non-allied that nothing under way replaces, t/month;
    the price they are used to, USD/kg; the risk they perceive, 0 to 1."""
    traits, state, flow = model.project_traits, model.state, model.last_flow
    foreign = flow[:, model.world.non_allied].sum(axis=1)
    coming = np.where(under_way(model.projects.phase), traits.output, 0.0)
    dependence = foreign @ part - np.bincount(traits.market, coming, foreign.shape[0])
    bought = flow.sum(axis=1) * part
    weight = bought / np.maximum(bought.sum(axis=1, keepdims=True), 1e-300)
    price = (weight * state.customary_price).sum(axis=1)
    return dependence, price, (weight * state.risk).sum(axis=1)


# Settling -------------------------------------------------------------------------------------


def build_projects(model: MineralModel) -> None:
    """Pay for the month's work, move projects on, and carry out what was decided."""
    if not model.project_traits.count:
        return
    table, traits, plans = model.projects, model.project_traits, model.plans
    settings = model.case.instruments.investment_fund
    pay_for_projects(model)
    months = planned_months(model)
    advance(table, traits, months, model.month)
    table.phase[plans.stop & under_way(table.phase)] = CANCELLED
    begin(table, traits, plans.start, plans.loan, plans.grant, months, model.month)
    over = (table.ended < 0) & (table.phase >= FAILED)
    table.ended[over] = model.month
    committed = fund_share(table.loan, table.grant) * traits.capital
    model.fund.uncommitted += float((committed - table.fund_spent)[over].sum())
    model.fund.uncommitted -= float(committed[plans.start].sum())
    promised = promises(model.world.industry, model.part("investment_fund"), settings)
    model.fund.promised += promised
    model.fund.uncommitted += float(promised.sum())


def pay_for_projects(model: MineralModel) -> None:
    """Owners and the fund pay the builders; producing plants repay the fund."""
    table, traits, settings = (
        model.projects,
        model.project_traits,
        model.case.instruments.investment_fund,
    )
    due = capital_due(table, traits)
    from_fund = fund_share(table.loan, table.grant) * due
    table.spent[:] += due
    table.fund_spent[:] += from_fund
    age = model.month - table.actual[:, COMMISSIONING]
    owing = (table.phase >= RAMP_UP) & (table.phase <= COMPLETE)
    owing &= age < settings.tenor_years * MONTHS
    lent = table.loan * (1.0 - table.grant) * table.spent
    repaid = np.where(owing, instalment(lent, settings), 0.0)
    post = model.books.ledger.post
    if due.any():
        own, called = at_home(model, due - from_fund), at_home(model, from_fund)
        shared = by_member(model, called)
        post("projects", own)
        post("fund_calls", shared)
        post("fund_spending", shared, called)
    if repaid.any():
        back = at_home(model, repaid)
        shared = by_member(model, back)
        post("fund_repayments", back, shared)
        post("fund_returns", shared)


def at_home(model: MineralModel, amount: np.ndarray) -> np.ndarray:
    """[market, country] amounts by project, in the row of the mineral's refined market."""
    traits, shape = model.project_traits, model.books.price.shape
    cell = traits.home_market * shape[1] + traits.country
    return np.bincount(cell, amount, shape[0] * shape[1]).reshape(shape)


def by_member(model: MineralModel, amount: np.ndarray) -> np.ndarray:
    """[market, country] the same sums by market, shared by the members' key."""
    return amount.sum(axis=1, keepdims=True) * model.fund.key
