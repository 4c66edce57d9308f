"""Projects and the joint fund: what is built, when, by whom, and who pays for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_history, model_of, quiet_config, without_instruments
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from abm.agents.project import (
    CANCELLED,
    CANDIDATE,
    COMMISSIONING,
    COMPLETE,
    CONSTRUCTION,
    FAILED,
    PERMIT,
    RAMP_UP,
    annuity_factor,
    months_to_output,
    present_values,
)
from abm.config import Config, ConfigError, FloorVariant, InvestmentFund, WorldConfig, check
from abm.investment import planned_months, put_in_place
from abm.ledger import Account, Ledger
from abm.model import MineralModel
from abm.policy.fund import chosen_projects, instalment, promises
from abm.recorder import milestone_table
from abm.shocks import MILESTONES, draw_events
from abm.tables import Tables
from abm.world import MONTHS, World, build_world

HILL, COAST, HOPE, OLD, DELTA = range(5)  # the projects of the tiny tables


@pytest.fixture(scope="module")
def open_world(tiny_tables: Tables) -> World:
    """The tiny world with projects that may be built."""
    return build_world(tiny_tables, quiet_config().world, with_projects=True)


def fund_config(years: int = 10, fund: bool = True, **terms: Any) -> Config:
    """Projects and the fund and nothing else; the terms change the settings of either."""
    config = without_instruments(quiet_config(years=years))
    config.projects.active = True
    config.instruments.investment_fund.active = fund
    config.instruments.investment_fund.round_months = 1
    for name, value in terms.items():
        of_projects = hasattr(config.projects, name)
        setattr(config.projects if of_projects else config.instruments.investment_fund, name, value)
    return config


def cheap(**terms: Any) -> Config:
    """A world in which every project pays at once."""
    return fund_config(operating_cost_share=0.1, idle_cost_share=0.1, **terms)


def finished(model: MineralModel) -> MineralModel:
    model.run()
    return model


# Value -------------------------------------------------------------------------------------------


def test_an_annuity_is_the_sum_of_its_discounted_payments() -> None:
    for rate, years in ((0.12, 20), (0.03, 7)):
        by_hand = sum((1 + rate) ** -year for year in range(1, years + 1))
        np.testing.assert_allclose(annuity_factor(rate, years), by_hand, rtol=1e-9)
    np.testing.assert_allclose(annuity_factor(np.array([0.0]), 9.0), [9.0], rtol=1e-6)


def test_a_loan_is_repaid_with_interest_and_no_more() -> None:
    fund = InvestmentFund(interest=0.05, tenor_years=12)
    monthly = instalment(np.array([100.0]), fund)[0]
    owed = 100.0
    for _ in range(12 * MONTHS):
        owed = owed * 1.05 ** (1 / 12) - monthly
    assert abs(owed) < 1e-8
    free = instalment(np.array([120.0]), replace(fund, interest=0.0, tenor_years=10.0))
    np.testing.assert_allclose(free, [1.0])


@given(st.floats(0.001, 0.5), st.floats(0.0, 200.0), st.floats(0.1, 1e3))
def test_dearer_capital_and_waiting_cost_value(rate: float, wait: float, margin: float) -> None:
    def value(rate: float, wait: float) -> float:
        income, outlay = present_values(
            np.array([margin]), np.array([0.0]), np.array([wait]), np.array([rate]), 20.0
        )
        assert outlay[0] == 0.0
        return float(income[0])

    assert value(rate * 1.1, wait) < value(rate, wait)
    assert value(rate, wait + 1.0) < value(rate, wait)
    assert value(rate, wait) < 20.0 * margin


# Choice ------------------------------------------------------------------------------------------

positive = st.floats(0.1, 100.0)


@given(
    arrays(bool, 8),
    arrays(float, 8, elements=positive),
    arrays(float, 8, elements=positive),
    arrays(int, 8, elements=st.integers(0, 2)),
    arrays(float, 3, elements=st.floats(-10.0, 100.0)),
    st.floats(0.0, 300.0),
    st.floats(1.0, 4.0),
)
def test_a_larger_budget_takes_the_same_projects_and_more(
    eligible: np.ndarray,
    cost: np.ndarray,
    output: np.ndarray,
    market: np.ndarray,
    dependence: np.ndarray,
    budget: float,
    larger: float,
) -> None:
    price, risk = np.array([1.0, 5.0, 0.2]), np.array([0.1, 0.05, 0.3])
    about = (eligible, cost, output, market, dependence, price, risk)
    few, many = chosen_projects(*about, budget), chosen_projects(*about, larger * budget)
    assert not (few & ~many).any()
    assert not (many & ~eligible).any()
    assert (few * cost).sum() <= budget
    assert not few[dependence[market] <= 0].any()


def test_the_fund_takes_the_best_value_per_dollar_first() -> None:
    everyone = np.ones(3, dtype=bool)
    cost, output, market = np.array([10.0, 10.0, 1.0]), np.array([9.0, 8.0, 7.0]), np.zeros(3, int)
    price, risk = np.ones(1), np.ones(1)
    chosen = chosen_projects(
        everyone, cost, output, market, np.array([16.0]), price, risk, budget=11.5
    )
    np.testing.assert_array_equal(chosen, [True, False, True])
    # Once the cheap one and the larger one replace all dependence, the third relieves nothing.
    chosen = chosen_projects(everyone, cost, output, market, np.array([16.0]), price, risk, 1e9)
    np.testing.assert_array_equal(chosen, [True, False, True])


def test_members_promise_by_their_industry() -> None:
    industry, part = np.array([2400.0, 1200.0, 9e6]), np.array([1.0, 0.5, 0.0])
    given_up = promises(industry, part, InvestmentFund(contribution=0.5))
    np.testing.assert_allclose(given_up, [100_000.0, 25_000.0, 0.0])  # thousand USD a month


# Building ----------------------------------------------------------------------------------------


def test_without_slips_every_milestone_comes_when_planned(open_world: World) -> None:
    model = model_of(cheap(years=8), open_world, "washington")
    waits = []
    while model.month < model.months:
        waits.append(months_to_output(model.projects, planned_months(model)))
        model.step()
    table = model.projects
    assert (table.phase == COMPLETE).all()
    np.testing.assert_array_equal(table.planned, table.actual)
    assert (np.diff(table.actual, axis=1) >= 0).all()
    # A new mine takes five years from the decision, and the wait counts down to its first output.
    assert table.actual[HILL, COMMISSIONING] - table.started[HILL] == 60
    assert waits[0][HILL] == 60
    assert [wait[HILL] for wait in waits[10:13]] == [51, 50, 49]
    assert table.actual[OLD, PERMIT] == table.actual[OLD, 0]  # an idle plant has its permit


def test_capacity_comes_after_commissioning_and_ramps_up(open_world: World) -> None:
    model = model_of(cheap(years=8, slip=0.4), open_world, seed=3)
    luck = draw_events(open_world, Config().randomness, model.months, 3).projects
    assert (luck.slip > 0).all()
    row, path = open_world.projects.firm[HILL], []
    while model.month < model.months:
        model.step()
        path.append(model.firms.capacity[row])
    first = int(model.projects.actual[HILL, COMMISSIONING])
    assert first == 60
    assert not np.any(path[: first + 1])
    ramp = np.array(path[first + 1 : first + 25])
    np.testing.assert_allclose(ramp, 100.0 * np.arange(24) / 24, atol=1e-9)
    np.testing.assert_allclose(path[first + 25 :], 100.0)


def test_slips_delay_and_never_hasten(open_world: World) -> None:
    config = cheap(years=8, failure=0.0)
    config.randomness.active = True
    late = finished(model_of(config, open_world, seed=5)).projects
    done = late.actual >= 0
    assert (late.actual >= late.planned)[done].all()
    assert (late.actual > late.planned)[done].any()


def test_a_project_that_must_fail_leaves_sunk_cost_and_no_capacity(open_world: World) -> None:
    config = cheap(years=6, failure=1.0)
    config.randomness.active = True
    model = finished(model_of(config, open_world, "washington", seed=1))
    table = model.projects
    assert (table.phase == FAILED).all()
    assert (table.spent > 0).all()
    assert (table.spent < model.project_traits.capital).all()
    assert not model.firms.capacity[open_world.projects.firm].any()
    assert not model.firms.output[open_world.projects.firm].any()


def test_a_finished_plant_has_cost_its_capital(open_world: World) -> None:
    config = cheap(years=11, failure=0.0)
    config.randomness.active = True
    model = finished(model_of(config, open_world, "washington", seed=2))
    built = model.projects.phase >= RAMP_UP
    assert built.sum() >= 4
    np.testing.assert_allclose(
        model.projects.spent[built], model.project_traits.capital[built], rtol=1e-9
    )


def test_luck_is_the_same_whatever_the_policy(open_world: World) -> None:
    runs = []
    for fund in (False, True):
        config = cheap(years=8, fund=fund, permitting_cut=0.0)
        config.randomness.active = True
        runs.append(finished(model_of(config, open_world, "washington", seed=4)).projects)
    one, other = runs
    np.testing.assert_array_equal(
        one.actual - one.started[:, None], other.actual - other.started[:, None]
    )
    np.testing.assert_array_equal(one.phase, other.phase)


def test_projects_that_nobody_starts_change_nothing(tiny_world: World, open_world: World) -> None:
    config = fund_config(years=3, operating_cost_share=2.0, idle_cost_share=2.0)
    config.randomness.active = True
    waiting = model_of(config, open_world, "washington", seed=6)
    record = waiting.run()
    assert (waiting.projects.phase == CANDIDATE).all()
    plain = model_of(config, tiny_world, "washington", seed=6).run()
    for name, values in plain.measures.items():
        np.testing.assert_allclose(record.measures[name], values, rtol=1e-8, atol=1e-8)


def test_settings_of_projects_change_nothing_without_projects(tiny_world: World) -> None:
    usual = model_of(without_instruments(quiet_config(years=2)), tiny_world, "washington").run()
    odd = model_of(cheap(years=2, contribution=50.0), tiny_world, "washington").run()
    assert_same_history(usual, odd)


def test_projects_take_the_place_of_planned_growth(open_world: World, tiny_world: World) -> None:
    """World capacity of a market rises by less than what is built, as far as growth was planned."""
    row = open_world.market("graphite", "mined")
    total = {}
    for name, world, share in (
        ("without", tiny_world, 1.0),
        ("beside", open_world, 0.0),
        ("instead", open_world, 1.0),
    ):
        model = model_of(cheap(years=8, displacement=share), world)
        for _ in range(90):
            model.step()
        put_in_place(model)
        normal = model.firms.capacity / model.firms.expansion * model.firm_traits.normal_use
        total[name] = normal[world.firms.market == row].sum()
    np.testing.assert_allclose(total["instead"], total["without"], rtol=1e-9)
    assert total["beside"] > total["without"] * 1.05


def test_a_new_refinery_buys_feed_where_none_was_bought(open_world: World) -> None:
    """Australia refined nothing at the opening; its new plant finds suppliers and runs."""
    model = finished(model_of(cheap(years=9), open_world))
    refined = open_world.market("graphite", "refined")
    mined, country = open_world.market("graphite", "mined"), open_world.projects.country[COAST]
    assert model.buyers.need[mined, country, 0] == 0.0
    assert model.projects.phase[COAST] == COMPLETE
    made = model.record.measures["output_t"][-12:, refined, country]
    assert (made > 0.5 * model.project_traits.output[COAST]).all()


# The fund ----------------------------------------------------------------------------------------


def started(world: World, **terms: Any) -> int:
    """Projects that have been started in two years of membership."""
    config = fund_config(years=3, **({"operating_cost_share": 0.75} | terms))
    return int((finished(model_of(config, world, "washington")).projects.started >= 0).sum())


def test_a_larger_fund_starts_no_fewer_projects(open_world: World) -> None:
    counts = [started(open_world, contribution=money) for money in (0.0, 0.05, 1.0)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert counts[0] == started(open_world, fund=False)


def test_cheaper_money_starts_no_fewer_projects(open_world: World) -> None:
    terms = {"contribution": 5.0, "largest_grant": 0.0, "loan_share": 1.0}
    counts = [started(open_world, interest=rate, **terms) for rate in (0.3, 0.06, 0.0)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_only_partners_and_members_are_financed(open_world: World) -> None:
    config = fund_config(years=3, contribution=50.0, operating_cost_share=0.75)
    assert open_world.roles[open_world.projects.country[DELTA]] == "neutral"
    for roles, allowed in ((["allied"], False), (["allied", "neutral"], True)):
        config.instruments.investment_fund.partners = roles
        config.instruments.investment_fund.largest_grant = 1.0
        model = finished(model_of(config, open_world, "washington"))
        assert bool(model.projects.loan[DELTA] > 0) is allowed


def test_permits_are_quicker_inside_the_alliance(open_world: World) -> None:
    model = model_of(fund_config(years=2, permitting_cut=0.5), open_world, "washington")
    while model.month < 14:
        model.step()
    months, usual = planned_months(model), model.project_traits.phase_months
    np.testing.assert_allclose(months[HILL, PERMIT], 0.5 * usual[HILL, PERMIT])
    np.testing.assert_array_equal(months[DELTA], usual[DELTA])
    np.testing.assert_array_equal(months[:, CONSTRUCTION], usual[:, CONSTRUCTION])


def test_the_fund_lowers_dependence_on_the_non_allied(open_world: World) -> None:
    """After eight years and under two seeds, members buy a smaller share from the non-allied."""
    inside = np.isin(open_world.countries, ["USA", "AUS"])
    row = open_world.market("gallium", "refined")
    effects = []
    for seed in range(2):
        shares = []
        for fund in (False, True):
            config = fund_config(years=8, fund=fund, contribution=2.0, operating_cost_share=0.75)
            config.projects.failure = config.projects.cost_spread = 0.0
            config.randomness.active = True
            record = model_of(config, open_world, "washington", seed=seed).run()
            bought = record.measures["purchases_t"][-12:, row][:, inside]
            share = record.measures["non_allied_share"][-12:, row][:, inside]
            shares.append(float((share * bought).sum() / bought.sum()))
        effects.append(shares[1] - shares[0])
    assert max(effects) < -0.01, effects


@pytest.fixture(scope="module")
def funded(open_world: World) -> tuple[MineralModel, list[Ledger]]:
    """Ten years of a generous fund, and the ledger of every month."""
    config = fund_config(years=10, contribution=5.0, operating_cost_share=0.75)
    config.randomness.active = True
    model, ledgers = model_of(config, open_world, "washington", seed=8), []
    while model.month < model.months:
        model.step()
        ledgers.append(model.books.ledger)
        assert_every_dollar_has_two_sides(model)
    return model, ledgers


def test_what_treasuries_pay_reaches_the_builders(
    open_world: World, funded: tuple[MineralModel, list[Ledger]]
) -> None:
    model, ledgers = funded
    called = np.zeros(len(open_world.countries))
    spent = repaid = returned = 0.0
    for ledger in ledgers:
        np.testing.assert_allclose(ledger.balance(Account.fund), 0.0, atol=1e-6)
        if "fund_calls" in ledger.entries:
            called += ledger.entries["fund_calls"].paid.sum(axis=0)
            spent += ledger.entries["fund_spending"].received.sum()
        if "fund_repayments" in ledger.entries:
            repaid += ledger.entries["fund_repayments"].paid.sum()
            returned += ledger.entries["fund_returns"].received.sum()
    np.testing.assert_allclose(called.sum(), model.projects.fund_spent.sum(), rtol=1e-9)
    np.testing.assert_allclose([spent, returned], [called.sum(), repaid], rtol=1e-9)
    assert repaid > 0
    industry = open_world.industry * np.isin(open_world.countries, ["USA", "AUS"])
    np.testing.assert_allclose(called / called.sum(), industry / industry.sum(), rtol=1e-9)
    # What was promised is with projects or still there to give.
    share = model.projects.grant + model.projects.loan * (1 - model.projects.grant)
    alive = model.projects.phase < FAILED
    committed = (share * model.project_traits.capital)[alive].sum()
    committed += model.projects.fund_spent[~alive].sum()
    np.testing.assert_allclose(
        committed + model.fund.uncommitted, model.fund.promised.sum(), rtol=1e-9
    )


def assert_every_dollar_has_two_sides(model: MineralModel) -> None:
    ledger = model.books.ledger
    total = sum(float(ledger.balance(account).sum()) for account in Account)
    assert abs(total) <= 1e-9 * model.books.spent.sum()


# Dumping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [None, *FloorVariant])
def test_entry_survives_dumping_behind_a_floor(
    open_world: World, variant: FloorVariant | None
) -> None:
    """China sells gallium far below its opening price once a plant has been started."""
    config = fund_config(years=8, fund=False, operating_cost_share=0.4)
    config.instruments.price_floor.active = variant is not None
    config.instruments.price_floor.variant = variant or FloorVariant.border
    config.instruments.price_floor.level = 1.0
    model = model_of(config, open_world, "washington")
    row = open_world.market("gallium", "refined")
    china = (open_world.firms.market == row) & (open_world.firms.country == 1)
    for _ in range(15):
        model.step()
    assert model.projects.phase[HOPE] >= 0
    for stage in model.stages:  # what stages hold are views of the same arrays
        assert np.shares_memory(stage.firm_traits.low_ask, model.firm_traits.low_ask)
    model.firm_traits.low_ask[china] -= 1700.0
    model.trend.capacity[:, china] *= 3.0
    path = []
    while model.month < model.months:
        model.step()
        path.append(model.state.market_price[row, 1])
    assert min(path) < 0.6 * open_world.origin_price[row, 1]
    if variant is None:
        assert model.projects.phase[HOPE] == CANCELLED
    else:
        assert model.projects.phase[HOPE] >= RAMP_UP
        assert model.projects.phase[HOPE] <= COMPLETE


# Tables and settings ------------------------------------------------------------------------------


def test_milestones_are_recorded(
    open_world: World, funded: tuple[MineralModel, list[Ledger]]
) -> None:
    model, _ = funded
    table = milestone_table(open_world, model.projects, model.horizon.start)
    assert len(table) == len(open_world.projects.name) * len(MILESTONES)
    row = table[(table["project"] == "Hope Plant") & (table["milestone"] == "permit")].iloc[0]
    assert row["country"] == "AUS"
    assert row["fund_share"] > 0
    planned = model.projects.planned[HOPE, PERMIT]
    assert row["planned_month"] == f"{2025 + planned // 12}-{planned % 12 + 1:02d}"
    reached = table["actual_month"] != ""
    assert (table["planned_month"][reached] <= table["actual_month"][reached]).all()
    assert (table["project_spent_usd"] >= table["fund_spent_usd"]).all()


def test_capital_is_drawn_within_its_range_and_alone(tiny_tables: Tables) -> None:
    fixed = build_world(tiny_tables, quiet_config().world, with_projects=True)
    drawn = build_world(tiny_tables, WorldConfig(), seed=3, with_projects=True)
    again = build_world(tiny_tables, WorldConfig(), seed=3)
    ratio = drawn.projects.capital / fixed.projects.capital
    assert ((ratio >= 0.5) & (ratio <= 2.0)).all()
    assert np.unique(ratio).size == ratio.size
    np.testing.assert_array_equal(drawn.landed_price, again.landed_price)
    assert again.projects.name.size == 0


def test_projects_do_not_touch_the_luck_of_other_firms(
    tiny_world: World, open_world: World
) -> None:
    randomness = Config().randomness
    one, other = (draw_events(world, randomness, 60, 7) for world in (tiny_world, open_world))
    old = open_world.firms.project < 0
    np.testing.assert_array_equal(one.availability, other.availability[:, old])
    np.testing.assert_array_equal(one.demand, other.demand)


def test_unknown_partners_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"partners contains 'friend'; choose from allied"):
        check(fund_config(partners=["friend"]))


@settings(max_examples=4)
@given(
    variant=st.sampled_from(FloorVariant),
    floor=st.booleans(),
    failure=st.floats(0.0, 1.0),
    grant=st.floats(0.0, 1.0),
    displacement=st.floats(0.0, 1.0),
    cost=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_the_books_close_with_projects(
    open_world: World,
    variant: FloorVariant,
    floor: bool,
    failure: float,
    grant: float,
    displacement: float,
    cost: float,
    seed: int,
) -> None:
    config = fund_config(years=4, failure=failure, displacement=displacement)
    config.projects.operating_cost_share = cost
    config.instruments.investment_fund.largest_grant = grant
    config.instruments.price_floor.active = floor
    config.instruments.price_floor.variant = variant
    config.instruments.stockpiles.active = True
    config.randomness.active = True
    model = model_of(config, open_world, "washington", seed=seed)
    for _ in range(model.months):
        model.step()
        assert_every_dollar_has_two_sides(model)
    assert max(model.record.tonnes_gap.max(), model.record.money_gap.max()) <= 1e-9
