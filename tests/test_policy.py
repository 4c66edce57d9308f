"""Export controls and instruments of the alliance, each against figures worked out by hand."""

from typing import Any

import numpy as np
import pytest
from conftest import export_ban, quiet_config, without_instruments
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from abm.config import (
    Circle,
    Config,
    Control,
    EmergencyRelease,
    Instrument,
    JointProcurement,
    Pace,
    Rights,
    Sharing,
    Stage,
)
from abm.passes.ordering import hand_out
from abm.passes.planning import raise_markups
from abm.policy.controls import (
    ExportMeasures,
    alarm,
    along_chain,
    arc_measures,
    controls_in_the_news,
    measures_in_force,
    rumour,
)
from abm.policy.procurement import pooled_part, pooled_share
from abm.policy.stockpile import (
    called_stock,
    national_release,
    pooled_release,
    release_pace,
)
from abm.policy.tariffs import applied_tariff
from abm.scenario import NEVER, DatedControl, scenarios
from abm.world import World

USA, CHN, AUS, ROW = range(4)
START = 24  # 2027-01 in a run from 2025-01


def dated(world: World, *controls: Control) -> tuple[DatedControl, ...]:
    """Controls with their names and dates resolved."""
    config = quiet_config()
    config.controls = list(controls)
    return scenarios(config, world)[0].controls


def in_force(
    world: World,
    controls: tuple[DatedControl, ...],
    month: int,
    growth: float = 1.0,
    gap: float = 1.0,
) -> ExportMeasures:
    markets = len(world.markets)
    return measures_in_force(
        world,
        controls,
        month,
        np.full(markets, growth),
        np.full((markets, len(world.countries)), gap),
        arc_measures(world, ()),
    )


def gallium(world: World) -> int:
    return world.market("gallium", "refined")


# Dates and targets ----------------------------------------------------------------------------


def test_a_control_is_in_force_from_its_start_until_its_end(tiny_world: World) -> None:
    controls = dated(tiny_world, export_ban())
    months = [month for month in range(80) if in_force(tiny_world, controls, month).limits]
    assert months == list(range(START, START + 36))


def test_a_control_without_end_stays(tiny_world: World) -> None:
    (control,) = dated(tiny_world, export_ban(end=""))
    assert control.end == NEVER
    assert in_force(tiny_world, (control,), 5000).limits


@pytest.mark.parametrize(
    ("targets", "reached"),
    [
        (["world"], {USA, AUS, ROW}),
        (["washington"], {USA, AUS}),
        (["ROW"], {ROW}),
        (["USA", "ROW"], {USA, ROW}),
    ],
)
def test_targets_are_countries_circles_or_the_world_never_the_exporter(
    tiny_world: World, targets: list[str], reached: set[int]
) -> None:
    (control,) = dated(tiny_world, export_ban(targets=targets))
    assert set(control.destinations) == reached


def test_the_target_members_is_the_circle_of_the_run(tiny_world: World) -> None:
    config = quiet_config()
    config.membership.circles = {"pair": Circle(add=["AUS", "ROW"])}
    config.shock = export_ban(targets=["members"])
    reached = {
        (case.membership, case.shock): [set(c.destinations) for c in case.controls]
        for case in scenarios(config, tiny_world)
    }
    assert reached == {
        ("none", "none"): [],
        ("none", "ban"): [],
        ("pair", "none"): [],
        ("pair", "ban"): [{AUS, ROW}],
    }


def test_stages_and_minerals_choose_the_markets(tiny_world: World) -> None:
    def chosen(**terms: Any) -> list[tuple[str, str]]:
        (control,) = dated(tiny_world, export_ban(**terms))
        return [tiny_world.markets[row] for row in control.markets]

    assert chosen(minerals=["graphite"], stages=[Stage.mined]) == [("graphite", "mined")]
    assert chosen(minerals=["graphite"]) == [("graphite", "mined"), ("graphite", "refined")]
    assert len(chosen(minerals=["all"])) == 3


# What each control does -----------------------------------------------------------------------


def test_a_tax_falls_on_the_named_arcs_and_adds_to_another(tiny_world: World) -> None:
    tax = export_ban(targets=["USA"], rate=0.2)
    tax.instrument = Instrument.tax
    other = export_ban(targets=["world"], rate=0.1)
    other.instrument = Instrument.tax
    found = in_force(tiny_world, dated(tiny_world, tax, other), START)
    expected = np.zeros(tiny_world.flow.shape)
    expected[gallium(tiny_world), CHN] = [0.3, 0.0, 0.1, 0.1]
    np.testing.assert_allclose(found.arcs.tax, expected)
    assert not found.limits
    assert not found.arcs.rerouted.any()


def test_a_ban_leaves_what_enforcement_misses_at_the_cost_of_the_detour(
    tiny_world: World,
) -> None:
    control = dated(
        tiny_world,
        export_ban(enforcement=0.75, evasion_cost=0.25, evasion_response=0.5, targets=["USA"]),
    )
    row = gallium(tiny_world)
    normal = 1.2 * tiny_world.flow[row, CHN, USA]
    found = in_force(tiny_world, control, START, growth=1.2)
    (limit,) = found.limits
    assert limit.tonnes == pytest.approx(0.25 * normal)
    assert (list(limit.markets), limit.origin, list(limit.destinations)) == ([row], CHN, [USA])
    assert found.arcs.detour[row, CHN, USA] == pytest.approx(
        0.25 * tiny_world.origin_price[row, CHN]
    )
    assert found.arcs.rerouted.sum() == 1
    # Twice the pay-off raises the leak by the square root of two, up to normal trade.
    assert in_force(tiny_world, control, START, 1.2, 2.0).limits[0].tonnes == pytest.approx(
        0.25 * np.sqrt(2.0) * normal
    )
    assert in_force(tiny_world, control, START, 1.2, 1e6).limits[0].tonnes == pytest.approx(normal)


def test_a_perfectly_enforced_ban_lets_nothing_through(tiny_world: World) -> None:
    control = dated(tiny_world, export_ban(enforcement=1.0))
    assert in_force(tiny_world, control, START, gap=9.0).limits[0].tonnes == 0.0


def test_a_quota_is_a_share_of_opening_exports_or_so_many_tonnes(tiny_world: World) -> None:
    quota = export_ban(targets=["USA", "ROW"], quota_share=0.4)
    quota.instrument = Instrument.quota
    row = gallium(tiny_world)
    opening = tiny_world.flow[row, CHN, [USA, ROW]].sum()
    found = in_force(tiny_world, dated(tiny_world, quota), START, growth=1.5)
    assert found.limits[0].tonnes == pytest.approx(0.4 * opening)
    assert not found.arcs.detour.any()
    quota.quota_tonnes = 60.0  # a year
    found = in_force(tiny_world, dated(tiny_world, quota), START)
    assert found.limits[0].tonnes == pytest.approx(5.0)


def test_licences_come_when_applications_have_waited(tiny_world: World) -> None:
    """Nothing for four months, then what was applied for in the meantime with that of the month."""
    licence = export_ban(targets=["USA"], approval_share=0.8, processing_months=4, enforcement=1.0)
    licence.instrument, licence.ramp_months = Instrument.licence, 0
    controls = dated(tiny_world, licence)
    normal = tiny_world.flow[gallium(tiny_world), CHN, USA]
    shares = [
        in_force(tiny_world, controls, START + month).limits[0].tonnes / normal
        for month in (0, 1, 3, 4, 5, 9)
    ]
    np.testing.assert_allclose(shares, [0.0, 0.0, 0.0, 4.0, 0.8, 0.8], atol=1e-12)
    licence.ramp_months = 3
    slow = [
        in_force(tiny_world, dated(tiny_world, licence), START + month).limits[0].tonnes / normal
        for month in (3, 4, 5, 6, 7, 8)
    ]
    np.testing.assert_allclose(slow, 0.8 * np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.0]), atol=1e-12)
    licence.processing_months = licence.ramp_months = 0
    at_once = in_force(tiny_world, dated(tiny_world, licence), START)
    assert at_once.limits[0].tonnes == pytest.approx(0.8 * normal)


def test_the_rent_goes_to_whoever_holds_the_right(tiny_world: World) -> None:
    quota = export_ban()
    quota.instrument = Instrument.quota
    for rights, holder in ((Rights.exporters, "exporters"), (Rights.treasury, "treasury")):
        quota.rights = rights
        found = in_force(tiny_world, dated(tiny_world, quota), START)
        assert found.limits[0].holder == holder
    assert (
        in_force(tiny_world, dated(tiny_world, export_ban()), START).limits[0].holder == "traders"
    )


# News -----------------------------------------------------------------------------------------


def test_news_breaks_at_announcement_and_start_in_proportion_to_dependence(
    tiny_world: World,
) -> None:
    controls = dated(tiny_world, export_ban(announced="2026-07"))
    row = gallium(tiny_world)
    share = tiny_world.flow[row, CHN] / tiny_world.flow[row].sum(axis=0)
    heard = [m for m in range(60) if controls_in_the_news(controls, m)]
    assert heard == [18, START]
    doubt = alarm(tiny_world, list(controls))
    np.testing.assert_allclose(doubt[row], [share[USA], 0.0, share[AUS], 0.0])
    assert not np.delete(doubt, row, axis=0).any()
    hearsay = rumour(tiny_world, list(controls))
    np.testing.assert_allclose(hearsay[row], [share[USA], 0.0, share[AUS], share[ROW]])


def test_doubt_about_ore_reaches_those_who_buy_from_its_refiners(tiny_world: World) -> None:
    """By the share of each refiner in what they buy; news of a product without ore stays put."""
    mined = tiny_world.market("graphite", "mined")
    refined = tiny_world.market("graphite", "refined")
    doubt = np.zeros(tiny_world.landed_price.shape)
    doubt[gallium(tiny_world), USA] = 0.9
    np.testing.assert_array_equal(along_chain(tiny_world, doubt), doubt)
    doubt[mined, CHN] = 0.5
    told = along_chain(tiny_world, doubt)
    bought = np.maximum(tiny_world.flow[refined].sum(axis=0), 1e-9)
    np.testing.assert_allclose(told[refined], 0.5 * tiny_world.flow[refined, CHN] / bought)
    told[refined] = 0.0
    np.testing.assert_array_equal(told, doubt)
    doubt[refined, USA] = 0.8
    assert along_chain(tiny_world, doubt)[refined, USA] == 0.8  # the larger of the two counts


@pytest.mark.parametrize(
    ("instrument", "terms", "severity"),
    [
        (Instrument.ban, {}, 1.0),
        (Instrument.quota, {"quota_share": 0.3}, 0.7),
        (Instrument.quota, {"quota_share": 4.0}, 0.0),
        (Instrument.licence, {"approval_share": 0.9}, 0.1),
        (Instrument.tax, {"rate": 0.0}, 0.0),
    ],
)
def test_what_is_feared_is_the_trade_at_stake(
    tiny_world: World, instrument: Instrument, terms: dict[str, Any], severity: float
) -> None:
    control = export_ban(**terms)
    control.instrument = instrument
    assert dated(tiny_world, control)[0].severity == pytest.approx(severity)


# Stocks ---------------------------------------------------------------------------------------

tonnes = arrays(np.float64, (2, 5), elements=st.floats(0.0, 1e4))


@given(
    tonnes,
    arrays(np.bool_, (2, 5)),
    tonnes,
    arrays(np.float64, 5, elements=st.sampled_from([0.0, 0.4, 1.0])),
    st.floats(1.0, 60.0),
    st.sampled_from(list(Sharing)),
)
def test_the_pool_gives_exactly_what_it_hands_out(
    stock: np.ndarray,
    short: np.ndarray,
    need: np.ndarray,
    part: np.ndarray,
    months: float,
    sharing: Sharing,
) -> None:
    given_up, received = pooled_release(stock / months, short, need, part, sharing)
    np.testing.assert_allclose(given_up.sum(axis=1), received.sum(axis=1), rtol=1e-12, atol=1e-12)
    assert (given_up >= 0).all()
    assert (given_up <= part * stock / months * (1 + 1e-12)).all()
    assert (received <= need * (1 + 1e-9) + 1e-12).all()
    entitled = short & (part > 0) & (need > 0)
    assert not received[~entitled].any()
    assert not given_up[:, part == 0].any()


def test_the_pool_is_shared_by_need() -> None:
    stock = np.array([[60.0, 30.0, 0.0, 500.0]])
    short = np.array([[True, False, True, True]])
    members = np.array([1.0, 1.0, 1.0, 0.0])
    need = np.array([[20.0, 9.0, 10.0, 9.0]])
    given_up, received = pooled_release(stock / 6, short, need, members, Sharing.need)
    np.testing.assert_allclose(given_up, [[10.0, 5.0, 0.0, 0.0]])  # a sixth of each stock
    np.testing.assert_allclose(received, [[10.0, 0.0, 5.0, 0.0]])  # two to one, as they need it


def test_a_country_alone_releases_while_it_is_short() -> None:
    found = national_release(np.array([[2.0, 2.0]]), np.array([[True, False]]))
    np.testing.assert_allclose(found, [[2.0, 0.0]])


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        (Sharing.need, [8.0, 4.0, 0.0]),
        (Sharing.equal, [6.0, 6.0, 0.0]),
        (Sharing.contribution, [2.0, 10.0, 0.0]),  # nine to one, but nobody gets above its need
    ],
)
def test_the_key_says_who_gets_how_much_of_a_pool_that_does_not_suffice(
    sharing: Sharing, expected: list[float]
) -> None:
    pace, short = np.array([[1.0, 9.0, 2.0]]), np.array([[True, True, False]])
    need = np.array([[20.0, 10.0, 5.0]])
    found = pooled_release(pace, short, need, np.ones(3), sharing)
    np.testing.assert_allclose(found[0], pace)
    np.testing.assert_allclose(found[1], [expected])


def test_what_some_cannot_use_goes_to_the_others() -> None:
    most = np.array([1.0, 10.0, 10.0])
    found = np.zeros(3)
    hand_out(12.0, np.ones(3), most, 1e-12, found)
    np.testing.assert_allclose(found, [1.0, 5.5, 5.5])
    hand_out(3.0, np.zeros(3), most, 1e-12, found)
    np.testing.assert_allclose(found, 3.0 * most / 21.0)


def test_a_steady_release_runs_dry_and_then_gives_nothing() -> None:
    settings = EmergencyRelease(release_months=4.0, pace=Pace.steady)
    stock, called = np.array([[8.0, 0.0]]), np.zeros((1, 2))
    short, members = np.array([[True, True]]), np.ones(2)
    received = []
    for _ in range(7):
        called = called_stock(called, stock, short, members)
        pace = release_pace(stock, called, settings)
        given_up, got = pooled_release(pace, short, np.full((1, 2), 9.0), members, Sharing.need)
        stock = stock - given_up
        received.append(float(got.sum()))
    np.testing.assert_allclose(received, [2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0])
    settings.pace = Pace.declining
    np.testing.assert_allclose(release_pace(np.array([[6.0]]), np.array([[8.0]]), settings), 1.5)
    assert not called_stock(called, stock, ~short, members).any()


# Procurement and tariffs ----------------------------------------------------------------------


def test_joint_buying_takes_off_the_mark_up_as_much_as_the_bloc_matters() -> None:
    bought = np.array([[30.0, 0.0, 10.0, 60.0], [0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    found = bargained(bought, np.array([1.0, 0.0, 1.0, 0.0]), home=1)
    np.testing.assert_allclose(found, [[0.8, 0.0, 0.8, 1.0], [1.0, 0.0, 1.0, 1.0], [1, 0, 1, 1]])


def bargained(bought: np.ndarray, part: np.ndarray, home: int) -> np.ndarray:
    """[market, destination] what half the power leaves of a mark-up of one on what is bought."""
    flow = np.ones((*bought.shape, part.size))
    flow[:, home, :] = bought
    flow[:, home, home] = 77.0  # what stays at home does not count
    one, speed, power = np.ones(bought.shape), 0.4, 0.5
    return raise_markups(one, one, one, speed, flow, part, power, home)


@pytest.mark.parametrize("part", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
def test_there_is_no_joint_buying_for_one(part: list[float]) -> None:
    found = bargained(np.array([[3.0, 2.0, 1.0]]), np.array(part), home=2)
    np.testing.assert_array_equal(found, [[1.0, 1.0, 0.0]])
    settings = JointProcurement()
    flow = np.arange(1.0, 10.0).reshape(1, 3, 3)
    pool = pooled_share(flow, np.array(part))
    assert not pooled_part(pool, np.array(part), np.full(3, 100), 18.0, settings).any()


def test_an_instrument_that_is_off_has_no_participants(tiny_world: World) -> None:
    config = quiet_config()
    config.instruments.joint_procurement.active = False
    case = scenarios(config, tiny_world)[-1]
    assert case.members(100).any()
    assert not case.participation(100, "joint_procurement").any()
    np.testing.assert_array_equal(case.participation(100, "stockpiles"), case.members(100))
    assert not case.participation(1, "stockpiles").any()


def test_members_buy_a_growing_part_as_the_pool_does(real_world: World) -> None:
    flow = real_world.flow
    members = np.isin(real_world.countries, ["USA", "JPN", "KOR"])
    joined = np.where(members, 13, NEVER)
    settings = JointProcurement(shared_relationships=0.3)
    pool = pooled_share(flow, members)
    together = sum(flow[:, :, real_world.country(code)] for code in ("USA", "JPN", "KOR"))
    np.testing.assert_allclose(pool, together / together.sum(axis=1, keepdims=True))
    for month, weight in ((12, 0.0), (13, 0.0), (22, 0.15), (31, 0.3), (99, 0.3)):
        found = pooled_part(pool, 1.0 * (joined <= month), month - joined, 18.0, settings)
        np.testing.assert_allclose(found, np.broadcast_to(weight * members, found.shape))


def test_a_market_in_which_the_pool_buys_nothing_is_left_alone() -> None:
    pool, part = np.array([[0.4, 0.6], [0.0, 0.0]]), np.ones(2)
    settings = JointProcurement(shared_relationships=0.3)
    found = pooled_part(pool, part, np.full(2, 99), 18.0, settings)
    np.testing.assert_allclose(found, [[0.3, 0.3], [0.0, 0.0]])


def test_measures_on_arcs_are_kept_until_a_control_starts_or_ends(tiny_world: World) -> None:
    tax = export_ban(rate=0.2, start="2027-06", announced="")
    tax.instrument = Instrument.tax
    controls = dated(tiny_world, export_ban(), tax)
    markets, countries = tiny_world.landed_price.shape
    arcs, changed = arc_measures(tiny_world, ()), []
    for month in range(80):
        found = measures_in_force(
            tiny_world, controls, month, np.ones(markets), np.ones((markets, countries)), arcs
        )
        fresh = in_force(tiny_world, controls, month)
        np.testing.assert_array_equal(found.arcs.tax, fresh.arcs.tax)
        np.testing.assert_array_equal(found.arcs.detour, fresh.arcs.detour)
        changed += [month] if found.arcs is not arcs else []
        arcs = found.arcs
    assert changed == [START, START + 5, START + 36]


def test_preferences_cut_duties_between_members_only() -> None:
    tariff = np.full((1, 3, 3), 0.1)
    members = np.array([1.0, 1.0, 0.0])
    found = applied_tariff(tariff, np.outer(members, members), 0.4)
    np.testing.assert_allclose(found[0, :2, :2], 0.06)
    np.testing.assert_allclose(found[0, 2], 0.1)
    np.testing.assert_allclose(found[0, :, 2], 0.1)
    part = np.array([1.0, 0.5, 0.0])
    halfway = applied_tariff(tariff, np.outer(part, part), 0.4)
    np.testing.assert_allclose(halfway[0, 0, 1], 0.08)
    np.testing.assert_array_equal(applied_tariff(tariff, np.zeros((3, 3)), 0.4), tariff)


def test_a_scenario_carries_members_from_the_second_month_at_the_earliest(
    tiny_world: World,
) -> None:
    config: Config = without_instruments(quiet_config())
    config.membership.circles = {
        "old": Circle(add=["USA", "AUS"], since="1999-01"),
        "new": Circle(table="washington", since="1999-01"),  # 2026-02 in the table
        "late": Circle(table="washington", since="2027-01"),
    }
    cases = {case.membership: case for case in scenarios(config, tiny_world)}
    assert not cases["none"].members(10_000).any()
    assert not cases["old"].members(0).any()
    np.testing.assert_array_equal(cases["old"].members(1), [True, False, True, False])
    assert not cases["new"].members(12).any()
    np.testing.assert_array_equal(cases["new"].members(13), [True, False, True, False])
    assert not cases["late"].members(23).any()
    np.testing.assert_array_equal(cases["late"].members(24), [True, False, True, False])
