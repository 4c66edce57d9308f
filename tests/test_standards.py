"""Standards and traceability: who pays, who gains, and what is seen."""

from typing import Any

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config, run
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from abm.config import Circle, Config, ConfigError, Standards, Treatment
from abm.ledger import Account
from abm.policy.standards import phase_in, premium_earned, standard_terms
from abm.recorder import Record
from abm.world import World

USA, CHN, AUS, ROW = range(4)  # scores 0.8, 0.45, 0.7 and 0.2 (tiny_world.py)
SINCE = 24


def with_standards(years: int = 5, **settings: Any) -> Config:
    """Only standards act among the two members USA and AUS."""
    config = quiet_config(years)
    for name in ("preferential_tariffs", "joint_procurement", "stockpiles", "emergency_release"):
        getattr(config.instruments, name).active = False
    neutral: dict[str, Any] = {
        "phase_in_months": 0,
        "levy": 0.0,
        "premium": 0.0,
        "compliance_cost": 0.0,
        "audit_cost": 0.0,
        "tracing_cost": 0.0,
        "traced_share": 0.0,
    }
    config.instruments.standards = Standards(active=True, **{**neutral, **settings})
    return config


def history(world: World, config: Config) -> Record:
    return run(config, world, "washington")


def imports(record: Record, world: World, year: int, mineral: str = "graphite") -> np.ndarray:
    """[origin, destination] t in a year of the mined product."""
    return record.flow[year, world.market(mineral, "mined")]


# The terms ------------------------------------------------------------------------------------


def test_standards_come_into_force_evenly() -> None:
    settings = Standards(phase_in_months=4)
    found = [phase_in(settings, 10, month) for month in (0, 9, 10, 11, 13, 99)]
    np.testing.assert_allclose(found, [0.0, 0.0, 0.25, 0.5, 1.0, 1.0])
    at_once = Standards(phase_in_months=0)
    assert [phase_in(at_once, 10, month) for month in (9, 10)] == [0.0, 1.0]


def test_those_further_from_the_standard_pay_more_and_the_unfit_pay_a_levy(
    tiny_world: World,
) -> None:
    settings = Standards(
        standard=0.75,
        least_score=0.4,
        compliance_cost=0.2,
        audit_cost=0.01,
        tracing_cost=0.0,
        levy=0.1,
        premium=0.05,
    )
    terms = standard_terms(tiny_world, settings, np.array([1.0, 0.0, 0.5, 0.0]), None)
    row = tiny_world.market("gallium", "refined")
    cost = terms.compliance[row] / tiny_world.world_price[row]
    np.testing.assert_allclose(cost[:, USA], [0.0, 0.01 + 0.2 * 0.3, 0.01 + 0.2 * 0.05, 0.0])
    np.testing.assert_allclose(cost[:, AUS], [0.005, 0.5 * (0.01 + 0.2 * 0.3), 0.0, 0.0])
    np.testing.assert_allclose(terms.levy[row, :, USA], [0.0, 0.0, 0.0, 0.1])
    np.testing.assert_allclose(terms.premium[row, :, USA], [0.0, 0.05, 0.05, 0.0])
    for values in (terms.compliance, terms.levy, terms.premium, terms.appeal):
        assert not values[:, :, [CHN, ROW]].any()
    np.testing.assert_allclose(terms.certified[:, USA], [1.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(terms.certified[:, CHN], [1.0, 0.0, 0.0, 0.0])


def test_terms_are_kept_while_the_members_part_stays(tiny_world: World) -> None:
    settings, strength = Standards(), np.array([1.0, 0.0, 1.0, 0.0])
    first = standard_terms(tiny_world, settings, strength, None)
    assert standard_terms(tiny_world, settings, strength.copy(), first) is first
    assert standard_terms(tiny_world, settings, 0.5 * strength, first) is not first


def test_premia_are_earned_on_what_goes_to_members() -> None:
    premium = np.zeros((1, 2, 2))
    premium[0, :, 0] = 0.1
    flow = np.array([[[3.0, 1.0], [0.0, 0.0]]])
    earned = premium_earned(premium, np.array([[20.0, np.nan]]), flow, flow.sum(axis=2))
    np.testing.assert_allclose(earned, [[0.75 * 2.0, 0.0]])


# What they do ---------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [False, True])
def test_standards_without_strength_change_nothing(tiny_world: World, active: bool) -> None:
    plain = with_standards(3)
    plain.instruments.standards = Standards(active=False)
    other = with_standards(3) if active else with_standards(3, levy=0.3, premium=0.2)
    other.instruments.standards.active = active
    one, two = history(tiny_world, plain), history(tiny_world, other)
    one.measures.pop("low_impact_share")
    assert_same_history(one, two)


def test_a_levy_on_the_unfit_moves_members_to_the_others_and_fills_treasuries(
    tiny_world: World,
) -> None:
    calm = history(tiny_world, with_standards())
    levied = history(tiny_world, with_standards(levy=0.3))
    before, after = (imports(record, tiny_world, 3) for record in (calm, levied))
    assert after[ROW, USA] < 0.9 * before[ROW, USA]
    assert after[AUS, USA] > before[AUS, USA]
    share = [r.measures["low_impact_share"][SINCE + 12 :, :, USA] for r in (calm, levied)]
    assert (share[1] > share[0])[:, tiny_world.market("graphite", "mined")].all()
    row = tiny_world.market("graphite", "mined")
    duty = [record.measures["duty_usd"][SINCE:, row, USA].sum() for record in (calm, levied)]
    assert duty[1] > duty[0]


def test_exclusion_shuts_the_unfit_out_of_members_and_only_there(tiny_world: World) -> None:
    shut = history(tiny_world, with_standards(treatment=Treatment.exclusion))
    flow = imports(shut, tiny_world, 3)
    assert flow[ROW, USA] == 0.0
    assert flow[ROW, CHN] > 0.0
    assert imports(shut, tiny_world, 1)[ROW, USA] > 0.0
    assert shut.tonnes_gap.max() < 1e-9


def test_a_premium_goes_to_certified_makers_and_their_output_grows(tiny_world: World) -> None:
    calm = history(tiny_world, with_standards(years=8))
    model = model_of(with_standards(years=8, premium=0.15), tiny_world, "washington")
    paid = model.run()
    row = tiny_world.market("graphite", "mined")
    output = [record.measures["output_t"][60:, row].mean(axis=0) for record in (calm, paid)]
    assert output[1][AUS] > 1.005 * output[0][AUS]
    # Buyers hold certified goods worth the premium: it does not drive them to the unfit.
    before, after = (imports(record, tiny_world, 7) for record in (calm, paid))
    assert after[ROW, USA] / after[:, USA].sum() <= before[ROW, USA] / before[:, USA].sum()
    price = model.books.origin_price[row, AUS] * (1 + model.terms.markup[row, AUS, USA])
    assert price > calm.measures["origin_price_usd_per_kg"][-1, row, AUS]


def test_compliance_is_paid_by_members_for_services_and_raises_their_price(
    tiny_world: World,
) -> None:
    calm = history(tiny_world, with_standards())
    model = model_of(
        with_standards(compliance_cost=0.4, tracing_cost=50.0), tiny_world, "washington"
    )
    costly = model.run()
    row = tiny_world.market("gallium", "refined")
    price = [r.measures["landed_price_usd_per_kg"][SINCE + 1, row] for r in (calm, costly)]
    assert price[1][USA] > price[0][USA]
    assert price[1][CHN] < price[0][CHN] * (1 + 1e-9)
    entry = model.books.ledger.entries["compliance"]
    assert entry.payee is Account.services
    bought = model.books.flow[row, CHN, USA]
    cost = 0.4 * (0.6 - 0.45) * tiny_world.world_price[row] + 0.05
    assert entry.paid[row, USA] == pytest.approx(cost * bought, rel=1e-6)


def test_members_who_trace_stop_a_ban_from_leaking_to_them(tiny_world: World) -> None:
    """Fact 5: the ban is on USA and ROW; only USA is a member."""
    leaks = []
    for seen in (0.0, 0.5, 1.0):
        config = with_standards(4, traced_share=seen, since="2026-06")
        config.membership.circles = {"washington": Circle(add=["USA", "AUS"])}
        config.controls = [export_ban(targets=["USA", "ROW"], evasion_response=0.0)]
        record = history(tiny_world, config)
        row = tiny_world.market("gallium", "refined")
        leaks.append(record.measures["rerouted_t"][25:36, row].mean(axis=0))
    assert leaks[0][USA] > 1.3 * leaks[1][USA] > leaks[2][USA]
    assert leaks[2][USA] == pytest.approx(0.0, abs=1e-9)
    assert leaks[2][ROW] > 0.0


def test_the_month_of_standards_is_checked(tiny_world: World) -> None:
    with pytest.raises(ConfigError, match=r"instruments.standards.since is '2027'"):
        history(tiny_world, with_standards(since="2027"))


def test_countries_without_a_score_get_one_from_their_stability(real_world: World) -> None:
    assert ((real_world.standard_score > 0) & (real_world.standard_score < 1)).all()
    norway, congo = (real_world.country(code) for code in ("NOR", "COD"))
    assert real_world.standard_score[norway] > 0.8 > 0.3 > real_world.standard_score[congo]


@hypothesis_settings(max_examples=6)
@given(
    levy=st.floats(0.0, 0.5),
    premium=st.floats(0.0, 0.3),
    cost=st.floats(0.0, 0.5),
    traced=st.floats(0.0, 1.0),
    treatment=st.sampled_from(list(Treatment)),
    months=st.integers(0, 30),
)
def test_tonnes_and_money_balance_with_standards_and_a_ban(
    tiny_world: World,
    levy: float,
    premium: float,
    cost: float,
    traced: float,
    treatment: Treatment,
    months: int,
) -> None:
    config = with_standards(
        4,
        levy=levy,
        premium=premium,
        compliance_cost=cost,
        traced_share=traced,
        treatment=treatment,
        phase_in_months=months,
        tracing_cost=30.0,
        audit_cost=0.01,
    )
    config.controls = [export_ban(targets=["world"])]
    model = model_of(config, tiny_world, "washington")
    record = model.run()
    assert record.tonnes_gap.max() < 1e-9
    assert record.money_gap.max() < 1e-9
    net = sum(model.books.ledger.balance(account).sum() for account in Account)
    assert abs(net) < 1e-9 * record.measures["outlay_usd"][-1].sum()
