"""Who belongs, since when and how far; and what a country weighs that may join or leave."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_history, case_of, model_of, quiet_config, run
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.accession import candidates, net_benefit
from abm.config import Accession, AccessionRule, Circle, Config, ConfigError, Tension, check
from abm.model import MineralModel
from abm.policy.accession import (
    Pool,
    bargaining_benefit,
    pool_benefit,
    retaliation_cost,
    stock_cost,
    tariff_benefit,
)
from abm.scenario import Scenario, scenarios
from abm.shocks import draw_events
from abm.tables import Tables
from abm.world import World, build_world
from experiments.measures.brief import openings

USA, CHN, AUS, ROW = range(4)
BOTH = np.array([1.0, 0.0, 1.0, 0.0])


def pool(stock: tuple[float, ...] = (90.0, 0.0, 90.0, 0.0), **terms: float) -> Pool:
    """One mineral, four countries that each use 10 t a month at 5 USD/kg."""
    each = np.ones((1, 4))
    return Pool(
        stock=np.array([stock]),
        required=20.0 * each,
        customary_stock=0.0 * each,
        need=10.0 * each,
        price=5.0 * each,
        risk=terms.get("risk", 0.1) * each,
        trigger=1.2,
        release_months=9.0,
    )


# What membership is worth ---------------------------------------------------------------------


def test_preferences_are_worth_the_duties_they_spare_on_both_sides() -> None:
    value, tariff = np.zeros((2, 1, 4, 4))
    value[0, AUS, ROW], tariff[0, AUS, ROW] = 100.0, 0.1
    value[0, ROW, USA], tariff[0, ROW, USA] = 200.0, 0.05
    value[0, CHN, ROW], tariff[0, CHN, ROW] = 300.0, 0.5
    benefit = tariff_benefit(value, tariff, BOTH, cut=0.5)
    assert benefit[ROW] == pytest.approx(0.5 * (100.0 * 0.1 + 200.0 * 0.05))


def test_a_larger_bloc_bargains_away_more_of_the_mark_up() -> None:
    paid, bought = np.full((1, 4), 40.0), np.array([[30.0, 0.0, 30.0, 40.0]])
    alone = bargaining_benefit(paid, bought, np.zeros(4), 0.5)[ROW]
    with_one = bargaining_benefit(paid, bought, np.eye(4)[USA], 0.5)[ROW]
    with_both = bargaining_benefit(paid, bought, BOTH, 0.5)[ROW]
    np.testing.assert_allclose([alone, with_one, with_both], 40.0 * 0.5 * np.array([0.4, 0.7, 1.0]))


def test_a_member_sees_the_mark_up_it_would_pay_alone() -> None:
    bought = np.array([[50.0, 0.0, 50.0, 0.0]])
    part = BOTH
    paid = np.array([[40.0 * (1.0 - 0.5 * 1.0), 0.0, 20.0, 0.0]])
    assert bargaining_benefit(paid, bought, part, 0.5)[USA] == pytest.approx(20.0)


def test_the_pool_is_worth_more_the_higher_the_risk() -> None:
    worth = [pool_benefit(pool(risk=risk), BOTH)[ROW] for risk in (0.05, 0.1, 0.2)]
    assert 0 < worth[0] < worth[1] < worth[2]


def test_the_pool_costs_its_joiner_less_the_more_stand_behind_it() -> None:
    stocks = pool(stock=(20.0, 0.0, 20.0, 0.0))
    costs = [
        stock_cost(stocks, 0.1)[ROW] - pool_benefit(stocks, part)[ROW]
        for part in (np.zeros(4), np.eye(4)[USA], BOTH)
    ]
    assert costs[0] > costs[1] > costs[2]


def test_a_pool_by_hand() -> None:
    # Its own 20/9 t a month; the members add 10 each, more than the need of 10.
    worth = pool_benefit(pool(), BOTH)[ROW]
    own = 20.0 / 9.0
    drawn = 10.0 - own
    given = 0.9 * own * 2 * 0.1 * 10.0 / (20.0 + own)
    assert worth == pytest.approx(5.0 * (0.1 * (1.2 * drawn + 0.2 * own) - given))


def test_stocks_that_a_country_holds_anyway_cost_nothing_more() -> None:
    stocks = replace(pool(), customary_stock=np.full((1, 4), 15.0))
    np.testing.assert_allclose(stock_cost(stocks, 0.12), 0.01 * 5.0 * 5.0)
    assert not stock_cost(replace(stocks, customary_stock=stocks.required), 0.12).any()


def test_retaliation_is_feared_by_dependence_and_tension() -> None:
    trade, level = np.zeros((2, 4, 4))
    trade[CHN, ROW], trade[ROW, CHN] = 80.0, 20.0
    level[CHN, USA], level[CHN, AUS] = 0.6, 0.2
    non_allied = np.arange(4) == CHN
    cost = retaliation_cost(trade, level, BOTH, non_allied, 0.5)
    assert cost[ROW] == pytest.approx(0.5 * 100.0 * 0.4)  # the mean that members meet
    level[CHN, ROW] = 0.9
    assert retaliation_cost(trade, level, BOTH, non_allied, 0.5)[ROW] == pytest.approx(45.0)
    assert not retaliation_cost(trade, 0.0 * level, BOTH, non_allied, 0.5).any()


# Who belongs, since when and how far -----------------------------------------------------------


def case_with(
    world: World, name: str = "club", shocked: bool = False, **circles: Circle
) -> Scenario:
    config = quiet_config()
    config.membership.circles = circles
    return case_of(config, world, name, shocked)


def pair_of_circles() -> Config:
    """USA with AUS for preferences, AUS with ROW for stocks, both in force together."""
    config = quiet_config(years=3)
    config.membership.circles = {
        "traders": Circle(add=["USA", "AUS"], instruments=["preferential_tariffs"]),
        "keepers": Circle(add=["AUS", "ROW"], instruments=["stockpiles"], since="2026-06"),
    }
    config.membership.cases = {"both": ["traders", "keepers"], "one": ["traders"]}
    return config


def test_countries_join_and_leave_on_their_own_dates(tiny_world: World) -> None:
    circle = Circle(table="washington", joins={"AUS": "2026-06"}, exits={"USA": "2027-01"})
    case = case_with(tiny_world, club=circle)
    inside = [[bool(case.members(month)[row]) for row in (USA, AUS)] for month in range(36)]
    expected = [[13 <= month < 24, month >= 17] for month in range(36)]
    assert inside == expected


@pytest.mark.parametrize(("scheduled", "month"), [(False, 36), (True, 13)])
def test_on_schedule_the_dates_of_the_table_count(
    tiny_world: World, scheduled: bool, month: int
) -> None:
    config = quiet_config()
    config.membership.circles = {"club": Circle(table="washington", since="2028-01")}
    config.accession = Accession(active=scheduled, rule=AccessionRule.scheduled)
    case = case_of(config, tiny_world, "club", False)
    assert case.members(month)[[USA, AUS]].all()
    assert not case.members(month - 1).any()


def test_a_partial_member_takes_part_by_its_share(tiny_world: World) -> None:
    case = case_with(tiny_world, club=Circle(table="washington", share={"AUS": 0.4}))
    np.testing.assert_allclose(case.participation(20, "stockpiles"), [1.0, 0.0, 0.4, 0.0])
    pairs = case.together(20, "preferential_tariffs", np.ones(4))
    assert pairs[USA, AUS] == pairs[AUS, USA] == pytest.approx(0.4)
    assert case.members(20)[AUS]


def test_a_partner_takes_part_in_what_is_named_and_is_no_member(tiny_world: World) -> None:
    circle = Circle(table="washington", partners={"ROW": ["stockpiles"]})
    case = case_with(tiny_world, club=circle)
    np.testing.assert_array_equal(case.participation(20, "stockpiles"), [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(case.participation(20, "joint_procurement"), BOTH)
    assert not case.members(20)[ROW]
    assert not case.participation(12, "stockpiles").any()


def test_circles_that_overlap_keep_their_own_instruments(tiny_world: World) -> None:
    config = pair_of_circles()
    case = case_of(config, tiny_world, "both", False)
    np.testing.assert_array_equal(case.members(20), [True, False, True, True])
    np.testing.assert_array_equal(case.participation(20, "stockpiles"), [0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(case.participation(20, "preferential_tariffs"), BOTH)
    assert not case.participation(16, "stockpiles").any()
    alone = case_of(config, tiny_world, "one", False)
    np.testing.assert_array_equal(alone.members(20), BOTH > 0)
    assert [each.membership for each in scenarios(config, tiny_world)] == ["none", "both", "one"]


def test_preferences_bind_countries_of_one_circle_only(tiny_world: World) -> None:
    """AUS is in both circles; USA and ROW meet in none."""
    circles = {"east": Circle(add=["USA", "AUS"]), "west": Circle(add=["AUS", "ROW"])}
    config = quiet_config()
    config.membership.circles = circles
    config.membership.cases = {"both": ["east", "west"]}
    case = case_of(config, tiny_world, "both", False)
    pairs = case.together(20, "preferential_tariffs", np.ones(4))
    assert pairs[USA, AUS] == pairs[AUS, ROW] == 1.0
    assert pairs[USA, ROW] == 0.0


def test_a_circle_twice_is_as_once(tiny_world: World) -> None:
    config = quiet_config(years=3)
    config.membership.circles["again"] = Circle(table="washington")
    config.membership.cases = {"twice": ["washington", "again"], "once": ["washington"]}
    assert_same_history(run(config, tiny_world, "once"), run(config, tiny_world, "twice"))


def test_an_exit_ends_preferences_from_its_month(tiny_tables: Tables) -> None:
    rows = tiny_tables.tariffs.assign(exporter="AUS", rate=0.25)
    world = build_world(replace(tiny_tables, tariffs=rows), quiet_config().world)
    config = quiet_config(years=3)
    config.membership.circles = {"club": Circle(table="washington", exits={"AUS": "2027-01"})}
    model = model_of(config, world, "club")
    graphite = world.market("graphite", "refined")
    rates = []
    for _ in range(30):
        model.step()
        rates.append(model.border.tariff[graphite, AUS, USA])
    assert rates == [0.25] * 13 + [0.0] * 11 + [0.25] * 6


@pytest.mark.parametrize(
    ("circle", "mentioned"),
    [
        (Circle(table="washington", joins={"AUS": "2026"}), ("joins.AUS", "'2026'")),
        (Circle(table="washington", exits={"AUS": "2026-02"}), ("exits.AUS", "2026-02")),
        (Circle(table="washington", share={"AUS": 1.2}), ("share.AUS", "1.2")),
        (Circle(table="washington", share={"ROW": 0.5}), ("share", "ROW")),
        (Circle(table="washington", joins={"MARS": "2026-02"}), ("joins", "'MARS'")),
        (Circle(table="washington", instruments=["gifts"]), ("instruments", "'gifts'")),
        (Circle(table="washington", partners={"ROW": ["gifts"]}), ("partners.ROW", "'gifts'")),
        (Circle(table="washington", partners={"AUS": ["research"]}), ("partners", "AUS")),
    ],
)
def test_a_membership_that_cannot_be_meant_is_refused(
    tiny_world: World, circle: Circle, mentioned: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        case_with(tiny_world, x=circle, name="x")
    for text in ("membership.circles.x", *mentioned):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "together", "mentioned"),
    [("none", ["washington"], "none"), ("a", [], "empty"), ("a", ["mars"], "'mars'")],
)
def test_a_case_without_meaning_is_refused(
    tiny_world: World, name: str, together: list[str], mentioned: str
) -> None:
    config = quiet_config()
    config.membership.cases = {name: together}
    with pytest.raises(ConfigError, match=f"membership.cases.{name}.*{mentioned}"):
        check(config)


# Membership by choice --------------------------------------------------------------------------


def choosing(years: int = 4, **settings: Any) -> Config:
    """ROW may join USA and AUS; it is asked every half year."""
    config = quiet_config(years=years)
    config.accession = Accession(
        active=True, candidates=["ROW"], review_months=6, **{"carrying_cost": 0.0, **settings}
    )
    return config


def after(config: Config, world: World, months: int) -> MineralModel:
    model = model_of(config, world, "washington")
    for _ in range(months):
        model.step()
    return model


def test_a_country_joins_where_it_pays_and_not_where_it_costs(tiny_world: World) -> None:
    joined = [
        bool(after(choosing(contribution=rate), tiny_world, 30).members[ROW])
        for rate in (0.0, 0.001, 0.01, 0.1)
    ]
    assert joined[0]
    assert not joined[-1]
    assert joined == sorted(joined, reverse=True)


def test_the_net_benefit_falls_one_for_one_with_the_contribution(tiny_world: World) -> None:
    worth = [
        net_benefit(after(choosing(contribution=rate, join_margin=1.0), tiny_world, 20))
        for rate in (0.0, 0.01)
    ]
    np.testing.assert_allclose(worth[0] - worth[1], 0.01)


def test_who_fears_for_its_supply_finds_membership_worth_more(tiny_world: World) -> None:
    model = after(choosing(join_margin=1.0), tiny_world, 20)
    calm = net_benefit(model)
    model.state.risk = model.state.risk.copy()
    model.state.risk[:, ROW] = 0.5
    afraid = net_benefit(model)
    assert afraid[ROW] > calm[ROW]
    # The others must expect to be asked by a member only, and it is none.
    np.testing.assert_array_equal(afraid[[USA, AUS]], calm[[USA, AUS]])


def test_tension_with_those_it_depends_on_keeps_a_country_out(tiny_world: World) -> None:
    worth, joined = [], []
    for tense in (False, True):
        config = choosing(feared_loss=1.0)
        config.tension = Tension(active=tense, opening_distance=3.0, decay=0.0)
        model = after(config, tiny_world, 30)
        worth.append(net_benefit(model)[ROW])
        joined.append(bool(model.members[ROW]))
    assert worth[1] < worth[0]
    assert joined == [True, False]


def test_who_joins_does_so_the_month_after_the_review(tiny_world: World) -> None:
    model = model_of(choosing(contribution=0.0), tiny_world, "washington")
    model.run()
    joined = int(model.case.circles[0].joined[ROW])
    assert (joined - 1) % 6 == 0
    np.testing.assert_array_equal(model.record.member[:, ROW], np.arange(48) >= joined)


def test_a_member_leaves_only_after_lasting_losses(tiny_world: World) -> None:
    config = choosing(contribution=0.5, patience=3)
    model = model_of(config, tiny_world, "washington")
    model.run()
    # Reviews in months 18, 24 and 30; none before anybody has joined.
    np.testing.assert_array_equal(model.case.circles[0].left[[USA, AUS]], 31)
    assert model.record.member[30, USA]
    assert not model.record.member[31:].any()


def test_between_the_margins_nobody_moves(tiny_world: World) -> None:
    config = choosing(contribution=0.02, join_margin=1.0, leave_margin=-1.0)
    model = after(config, tiny_world, 40)
    np.testing.assert_array_equal(model.members, BOTH > 0)


def test_a_worn_out_member_leaves_at_the_next_review(tiny_world: World) -> None:
    config = choosing(leave_margin=-1.0, join_margin=1.0)
    model = after(config, tiny_world, 20)
    model.commitment = np.array([0.0, 1.0, 1.0, 1.0])
    for _ in range(6):
        model.step()
    np.testing.assert_array_equal(model.members, [False, False, True, False])


def test_without_a_circle_or_on_schedule_there_is_nothing_to_choose(tiny_world: World) -> None:
    plain = quiet_config(years=3)
    assert_same_history(run(plain, tiny_world), run(choosing(years=3), tiny_world))
    scheduled = quiet_config(years=3)
    scheduled.accession = Accession(active=True, rule=AccessionRule.scheduled, contribution=1.0)
    one, other = (run(config, tiny_world, "washington") for config in (plain, scheduled))
    assert_same_history(one, other)


def test_a_paired_run_starts_from_its_own_circle_again(tiny_world: World) -> None:
    """Joining replaces the circles of one run and touches no other."""
    config = choosing(contribution=0.0)
    case = case_of(config, tiny_world, "washington", False)
    events = draw_events(tiny_world, config.randomness, 48, 0)
    records = [MineralModel(tiny_world, case, events, config).run() for _ in range(2)]
    assert records[0].member[-1, ROW]
    np.testing.assert_array_equal(records[0].member, records[1].member)
    assert_same_history(*records)


def test_a_circle_is_measured_by_its_founders_whoever_joins_or_leaves(tiny_world: World) -> None:
    """By choice ROW joins and, in another run, the founders leave: the circle stays the same."""
    joined = after(choosing(contribution=0.0), tiny_world, 48)
    left = after(choosing(contribution=1.0, patience=1), tiny_world, 48)
    assert joined.record.member[-1, ROW]
    assert not left.record.member[-1].any()
    for model in (joined, left):
        np.testing.assert_array_equal(model.opening_case.founders(48), BOTH > 0)
        rows = openings(model, "2025-01")
        assert set(rows.loc[rows["member"], "country"]) == {"USA", "AUS"}


def test_with_dates_the_founders_are_whoever_is_inside_within_the_run(tiny_world: World) -> None:
    """Without choice that is what the record says, of those who come late and leave early, too."""
    config = quiet_config(years=2)
    config.membership.circles = {
        "club": Circle(
            add=["USA", "AUS", "ROW"],
            joins={"AUS": "2026-03", "ROW": "2027-03"},
            exits={"USA": "2025-09"},
        )
    }
    config.membership.circles["club"].since = "2025-02"
    model = model_of(config, tiny_world, "club")
    record = model.run()
    founders = model.opening_case.founders(model.months)
    np.testing.assert_array_equal(founders, record.member.any(axis=0))
    np.testing.assert_array_equal(founders, [True, False, True, False])


def test_a_candidate_that_no_table_lists_is_refused(tiny_world: World) -> None:
    config = choosing()
    config.accession.candidates = ["MARS"]
    with pytest.raises(ConfigError, match=r"accession\.candidates.*'MARS'"):
        scenarios(config, tiny_world)


def test_all_but_the_non_allied_and_the_rest_may_join(tiny_world: World) -> None:
    np.testing.assert_array_equal(candidates(tiny_world, []), [True, False, True, False])
    np.testing.assert_array_equal(candidates(tiny_world, ["ROW"]), [False, False, False, True])


@given(
    st.sampled_from(["washington", "both"]),
    st.floats(0.0, 0.02),
    st.floats(0.1, 1.0),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=8)
def test_books_balance_whoever_joins_or_leaves(
    tiny_world: World,
    name: str,
    contribution: float,
    share: float,
    tense: bool,
    random: bool,
    seed: int,
) -> None:
    config = choosing(years=3, contribution=contribution, patience=1, leave_margin=0.0)
    circles = {
        "washington": Circle(table="washington", share={"AUS": share}, exits={"USA": "2026-12"}),
        "keepers": Circle(add=["AUS", "ROW"], instruments=["stockpiles"], since="2026-06"),
    }
    config.membership.circles = circles
    config.membership.cases = {"washington": ["washington"], "both": ["keepers", "washington"]}
    config.tension.active = config.instruments.retaliation.active = tense
    config.instruments.retaliation.trigger = 0.2
    config.randomness.active = random
    record = run(config, tiny_world, name, seed=seed)
    assert record.tonnes_gap.max() < 1e-9
    assert record.money_gap.max() < 1e-9
