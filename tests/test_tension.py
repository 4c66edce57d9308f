"""Tension, retaliation and backlash: directions fixed by theory, levels by hand."""

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config, run
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.config import Config, Instrument, Retaliation, Tension
from abm.model import MineralModel
from abm.policy.retaliation import (
    burden,
    counter_tariff,
    next_commitment,
    pressure,
    under_retaliation,
)
from abm.policy.tariffs import applied_tariff
from abm.shocks import draw_events
from abm.standoff import counter_duty, resented
from abm.tension import growth_grievance, next_level, opening_tension, tariff_grievance
from abm.world import World

USA, CHN, AUS, ROW = range(4)
NONE = np.zeros((4, 4))


def standing(**settings: float) -> Tension:
    return Tension(active=True, **settings)


def towards(country: int, by: tuple[int, ...], size: float) -> np.ndarray:
    """[country, country] a grievance of some countries about one."""
    grievance = np.zeros((4, 4))
    grievance[list(by), country] = size
    return grievance


# The level -----------------------------------------------------------------------------------


def test_a_standing_grievance_leads_to_the_level_of_the_formula() -> None:
    settings = standing(response=0.2, decay=0.05)
    level = NONE
    for _ in range(400):
        level = next_level(level, towards(CHN, (USA,), 0.5), NONE, 0.0, settings)
    expected = 0.2 * 0.5 / (0.2 * 0.5 + 0.05)
    np.testing.assert_allclose(level, towards(CHN, (USA,), expected), rtol=1e-12)


def test_tension_dies_out_without_measures() -> None:
    settings = standing(decay=0.05)
    level = np.full((4, 4), 0.6)
    for month in range(1, 25):
        level = next_level(level, NONE, NONE, 0.0, settings)
        np.testing.assert_allclose(level, 0.6 * 0.95**month)


def test_tension_stays_between_none_and_full() -> None:
    settings = standing(response=1.0, decay=0.0)
    news = np.random.default_rng(1).normal(0.0, 0.5, (200, 4, 4))
    level = NONE
    for incident in news:
        level = next_level(level, towards(CHN, (USA, AUS), 1.0), NONE, incident, settings)
        assert level.min() >= 0.0
        assert level.max() <= 1.0


def test_counter_tariffs_are_resented_by_the_exports_they_hit() -> None:
    rate, exports = np.zeros((2, 2, 4, 4))
    rate[0, CHN, USA] = rate[0, CHN, AUS] = 0.2
    exports[0, CHN, [USA, AUS, ROW]] = 0.3, 0.1, 0.2
    exports[1, CHN, USA] = 0.4
    grievance = tariff_grievance(rate, exports)
    # 0.2 on four tenths of all exports, held against both who levy it.
    np.testing.assert_allclose(grievance[CHN], [0.08, 0.0, 0.08, 0.0])
    assert not grievance[[USA, AUS, ROW]].any()


def test_who_levies_less_is_resented_less() -> None:
    rate, exports = np.zeros((2, 1, 4, 4))
    rate[0, CHN, USA], rate[0, CHN, AUS] = 0.2, 0.1
    exports[0, CHN, [USA, AUS]] = 0.5
    grievance = tariff_grievance(rate, exports)
    np.testing.assert_allclose(grievance[CHN, [USA, AUS]], [0.15, 0.075])


def test_outsiders_resent_a_growing_alliance_and_nobody_one_that_shrinks() -> None:
    inside = np.array([1.0, 0.0, 0.5, 0.0])
    before, bloc = np.array([0.1, 0.2, 0.3, 0.0]), np.array([0.6, 0.5, 0.9, 0.1])
    grown = growth_grievance(before, bloc, inside)
    np.testing.assert_allclose(grown[CHN], [0.3, 0.0, 0.15, 0.0])
    assert not grown[[USA, AUS]].any()
    assert not growth_grievance(bloc, before, inside).any()


# Retaliation ---------------------------------------------------------------------------------


def test_a_control_on_one_member_presses_all() -> None:
    part = np.array([1.0, 0.0, 1.0, 0.0])
    pressed = pressure(NONE, towards(CHN, (AUS,), 0.7), part)
    np.testing.assert_allclose(pressed, [0.0, 0.7, 0.0, 0.0])


def test_complaints_of_outsiders_and_about_members_do_not_count() -> None:
    part = np.array([1.0, 0.0, 1.0, 0.0])
    level = towards(CHN, (ROW,), 0.9) + towards(AUS, (USA,), 0.9)
    assert not pressure(level, NONE, part).any()


def test_retaliation_starts_at_the_trigger_and_holds_until_the_release() -> None:
    settings = Retaliation(active=True, trigger=0.5, release=0.6)
    acting = np.array([False])
    seen = []
    for pressed in (0.4, 0.6, 0.4, 0.2, 0.4):
        acting = under_retaliation(acting, np.array([pressed]), settings)
        seen.append(bool(acting[0]))
    assert seen == [False, True, True, False, False]


def test_counter_tariffs_scale_with_the_part_and_spare_what_cannot_be_replaced() -> None:
    supply = np.full((2, 4, 4), 0.2)
    supply[1, CHN, USA] = 0.8
    part = np.array([1.0, 0.0, 0.5, 0.0])
    targets = np.arange(4) == CHN
    rate = counter_tariff(targets, part, supply, Retaliation(tariff=0.4, spare_dependence=0.6))
    np.testing.assert_allclose(rate[0, CHN], [0.4, 0.0, 0.2, 0.0])
    np.testing.assert_allclose(rate[1, CHN], [0.0, 0.0, 0.2, 0.0])
    assert not rate[:, [USA, AUS, ROW]].any()


def test_without_retaliation_nobody_is_a_target() -> None:
    pressed = np.ones(4)
    assert not under_retaliation(np.zeros(4, dtype=bool), pressed, Retaliation(active=False)).any()


# Backlash ------------------------------------------------------------------------------------


def test_the_burden_is_duty_and_what_is_dearer_than_customary() -> None:
    spent, bought = np.array([[120.0], [50.0]]), np.array([[10.0], [10.0]])
    duty, customary = np.array([[20.0], [0.0]]), np.array([[8.0], [6.0]])
    # 20 of duty and 20 above 8 a kilogram; the second market is cheaper than usual.
    np.testing.assert_allclose(burden(spent, duty, bought, customary), [40.0 / 170.0])


def test_nobody_suffers_who_buys_nothing() -> None:
    none = np.zeros((2, 3))
    assert not burden(none, none, none, none).any()


def test_a_standing_burden_wears_commitment_to_the_level_of_the_formula() -> None:
    settings = Retaliation(backlash=0.2, recovery=0.05)
    commitment = np.ones(3)
    inside = np.array([1.0, 0.5, 0.0])
    for _ in range(600):
        commitment = next_commitment(commitment, np.full(3, 0.3), inside, settings)
    np.testing.assert_allclose(commitment, 0.05 / (0.05 + 0.06 * inside))


def test_commitment_recovers_slowly() -> None:
    settings = Retaliation(backlash=0.2, recovery=0.05)
    commitment = np.array([0.4])
    for month in range(1, 13):
        commitment = next_commitment(commitment, np.zeros(1), np.ones(1), settings)
        assert commitment[0] == pytest.approx(1.0 - 0.6 * 0.95**month)


# In the model --------------------------------------------------------------------------------


def tense_config(years: int = 4, **tension: float) -> Config:
    """Four quiet years of the tiny world, a ban of China on gallium in the second, tension on."""
    config = quiet_config(years=years)
    config.shock = export_ban(targets=["USA"], start="2026-06", announced="2026-06", end="2027-06")
    config.tension = Tension(active=True, **tension)
    return config


def retaliating(config: Config, **terms: float) -> Config:
    config.instruments.retaliation = Retaliation(active=True, **terms)
    return config


def history(model: MineralModel, months: int) -> list[dict[str, np.ndarray]]:
    """What stands after each month."""
    seen = []
    for _ in range(months):
        model.step()
        seen.append(
            {
                "level": model.tension.level,
                "tariff": model.counter_tariff,
                "commitment": model.commitment,
                "controls": len(model.adopted),
            }
        )
    return seen


BAN = slice(17, 29)  # months of the ban


def test_opening_tension_is_the_distance_of_votes_across_the_divide(tiny_world: World) -> None:
    level = opening_tension(tiny_world, Tension(active=True, opening_distance=6.0))
    expected = np.zeros((4, 4))
    expected[USA, CHN] = expected[CHN, USA] = 3.0 / 6.0
    expected[AUS, CHN] = expected[CHN, AUS] = 2.0 / 6.0
    np.testing.assert_allclose(level, expected)  # ROW has no vote
    assert not opening_tension(tiny_world, Tension(active=False)).any()


def test_all_that_is_off_changes_nothing(tiny_world: World) -> None:
    plain = tense_config()
    plain.tension.active = False
    plain.randomness.active = True
    noisy = tense_config()
    noisy.tension.active = False
    noisy.randomness.active, noisy.randomness.tension_noise = True, 0.1
    settings = Retaliation(active=False, trigger=0.0, tariff=5.0, backlash=1.0, counter_quota=0.0)
    noisy.instruments.retaliation = settings
    one = run(plain, tiny_world, "washington", shocked=True)
    other = run(noisy, tiny_world, "washington", shocked=True)
    assert_same_history(one, other)


def test_tension_alone_changes_no_market(tiny_world: World) -> None:
    calm = tense_config()
    calm.tension.active = False
    one = run(calm, tiny_world, "washington", shocked=True)
    assert_same_history(one, run(tense_config(), tiny_world, "washington", shocked=True))


def test_tension_rises_under_a_ban_and_fades_after_it(tiny_world: World) -> None:
    model = model_of(tense_config(), tiny_world, "washington", shocked=True)
    level = np.array([month["level"][USA, CHN] for month in history(model, 48)])
    assert (np.diff(level[: BAN.start]) < 0).all()
    assert (np.diff(level[BAN.start - 1 : BAN.stop]) > 0).all()
    assert (np.diff(level[BAN.stop :]) < 0).all()
    np.testing.assert_allclose(level[BAN.stop :], level[BAN.stop] * 0.98 ** np.arange(19))


def test_tension_answers_severity_and_exposure(tiny_world: World) -> None:
    ban, quota = tense_config(), tense_config()
    quota.shock.instrument, quota.shock.quota_share = Instrument.quota, 0.5
    levels = []
    for config in (ban, quota):
        model = model_of(config, tiny_world, "washington", shocked=True)
        history(model, 20)
        assert model.tension.level[AUS, CHN] == pytest.approx(0.25 * 0.98**20)  # not targeted
        resent = resented(model)[USA, CHN]
        gallium = tiny_world.market("gallium", "refined")
        share = tiny_world.flow[gallium, CHN, USA] / tiny_world.flow[gallium, :, USA].sum()
        severity = 1.0 if config is ban else 0.5
        assert resent == pytest.approx(severity * share / 2)  # one mineral of two
        levels.append(model.tension.level[USA, CHN])
    assert levels[0] > levels[1] > 0.375 * 0.98**20


def test_an_alliance_that_grows_is_resented_by_those_it_leaves_out(tiny_world: World) -> None:
    config = tense_config(alliance_growth=0.5)
    config.shock.instrument = Instrument.none
    alone = model_of(config, tiny_world, "none")
    allied = model_of(config, tiny_world, "washington")
    history(alone, 16), history(allied, 16)
    assert allied.tension.level[CHN, USA] > alone.tension.level[CHN, USA]
    assert allied.tension.level[USA, CHN] == alone.tension.level[USA, CHN]


def dear(**terms: float) -> Config:
    """Retaliation at the first complaint, on every good, without backlash or answer."""
    strict: dict[str, float] = {"trigger": 0.05, "release": 0.2, "spare_dependence": 1.0}
    config = tense_config(answer_quota=1.0)
    return retaliating(config, **{**strict, "backlash": 0.0, "tariff": 0.5, **terms})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_counter_tariffs_make_the_producer_dear_and_shift_purchases(
    tiny_world: World, seed: int
) -> None:
    none, taxed = dear(tariff=0.0), dear()
    for config in (none, taxed):
        config.shock.instrument = Instrument.none
        config.randomness.active = True
    one = model_of(none, tiny_world, "washington", seed=seed)
    other = model_of(taxed, tiny_world, "washington", seed=seed)
    history(one, 40), history(other, 40)
    graphite = tiny_world.market("graphite", "refined")
    last = slice(30, 40)
    for measure, sign in (("landed_price_usd_per_kg", 1), ("non_allied_share", -1)):
        before = one.record.measures[measure][last, graphite]
        after = other.record.measures[measure][last, graphite]
        assert (sign * (after[:, USA] - before[:, USA]) > 0).all()
    duty = other.record.measures["duty_usd"][last, graphite, USA]
    assert (duty > one.record.measures["duty_usd"][last, graphite, USA]).all()


def test_the_counter_duty_is_what_the_books_take_more(tiny_world: World) -> None:
    model = model_of(dear(), tiny_world, "washington", shocked=True)
    history(model, 24)
    assert model.counter_tariff.any()
    flow, price = model.books.flow, np.nan_to_num(model.books.origin_price)
    asked = price[:, :, None] * (1.0 + model.terms.markup)
    preference = applied_tariff(tiny_world.tariff, model.together("preferential_tariffs"), 1.0)
    expected = model.books.duty - (flow * asked * preference).sum(axis=1)
    np.testing.assert_allclose(counter_duty(model), expected, atol=1e-9 * expected.max())


def test_burdens_wear_down_commitment_and_with_it_every_instrument(tiny_world: World) -> None:
    model = model_of(dear(backlash=0.5), tiny_world, "washington", shocked=True)
    seen = history(model, 40)
    commitment = np.array([month["commitment"] for month in seen])
    assert commitment[-1, USA] < commitment[14, USA] < 1.0
    assert (commitment[:, [CHN, ROW]] == 1.0).all()
    for name in ("stockpiles", "preferential_tariffs", "retaliation"):
        np.testing.assert_array_equal(model.part(name)[USA], commitment[-1, USA])
    assert 0 < seen[-1]["tariff"].max() < 0.5


def test_a_producer_answers_and_relents(tiny_world: World) -> None:
    """With a rule in place of its own review: a cap on what the levying members need most."""
    terms = {"response": 0.02, "answer_trigger": 0.2, "answer_release": 0.75}
    config = retaliating(tense_config(8, **terms), trigger=0.2, release=0.75, spare_dependence=1.0)
    config.shock.instrument = Instrument.none
    model = model_of(config, tiny_world, "washington")
    adopted = []
    for _ in range(90):
        model.step()
        adopted.append(model.adopted)
    first = next(controls for controls in adopted if controls)
    (control,) = first
    assert control.exporter == CHN
    assert set(control.destinations) == {USA, AUS}
    assert control.start == adopted.index(first) + 1
    assert not adopted[-1]


def test_members_may_hold_back_their_own_exports(tiny_world: World) -> None:
    config = dear(counter_quota=0.2)
    config.shock.instrument = Instrument.none
    model = model_of(config, tiny_world, "washington")
    history(model, 30)
    graphite = tiny_world.market("graphite", "mined")
    held = [control for control in model.adopted if control.exporter == AUS]
    assert len(held) == 1
    opening = tiny_world.flow[graphite, AUS, CHN]
    assert opening > 0
    assert model.books.flow[graphite, AUS, CHN] <= 0.2 * opening * (1 + 1e-9)


def standoff(
    world: World, response: float, decay: float
) -> tuple[MineralModel, list[dict[str, np.ndarray]]]:
    """Nine years with a ban of one year in the second, retaliation and answers."""
    terms = {"response": response, "decay": decay, "opening_distance": 1000.0}
    answers = {"answer_trigger": 0.15, "answer_release": 0.7, "answer_quota": 0.0}
    config = retaliating(
        tense_config(9, **terms, **answers),
        trigger=0.2,
        release=0.5,
        tariff=1.0,
        spare_dependence=1.0,
        backlash=0.0,
    )
    model = model_of(config, world, "washington", shocked=True)
    return model, history(model, 108)


def test_a_spiral_outlasts_its_cause_and_a_cool_world_returns(tiny_world: World) -> None:
    hot, _ = standoff(tiny_world, 0.5, 0.01)
    cool, seen = standoff(tiny_world, 0.02, 0.1)
    assert hot.adopted
    assert hot.counter_tariff.any()
    pairs = ([USA, CHN], [CHN, USA])
    before = hot.tension.level[pairs]
    # A fixed point: the level that the standing grievances lead to.
    grievance = resented(hot) + tariff_grievance(hot.counter_tariff, hot.tension.exports)
    pull = 0.5 * grievance[pairs]
    np.testing.assert_allclose(before, pull / (pull + 0.01), rtol=1e-3)
    assert before.min() > 0.5
    assert seen[20]["tariff"].any()
    assert not cool.adopted
    assert not cool.counter_tariff.any()
    assert cool.tension.level.max() < 0.01


@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.5),
    st.floats(0.0, 2.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=6)
def test_books_balance_whatever_countries_do_to_each_other(
    tiny_world: World,
    response: float,
    trigger: float,
    tariff: float,
    quota: float,
    backlash: float,
    random: bool,
    seed: int,
) -> None:
    """The model stops by itself if tonnes or money do not add up to 1e-9."""
    config = retaliating(
        tense_config(3, response=response, answer_trigger=0.05, answer_release=0.0),
        trigger=trigger,
        tariff=tariff,
        spare_dependence=0.9,
        counter_quota=quota,
        backlash=backlash,
    )
    config.randomness.active = random
    record = run(config, tiny_world, "washington", shocked=True, seed=seed)
    assert record.tonnes_gap.max() < 1e-9
    assert record.money_gap.max() < 1e-9


def test_news_between_countries_is_drawn_before_and_the_same_for_all(tiny_world: World) -> None:
    config = quiet_config()
    config.randomness.active, config.randomness.tension_noise = True, 0.01
    one = draw_events(tiny_world, config.randomness, 60, seed=3).incident
    other = draw_events(tiny_world, config.randomness, 24, seed=3).incident
    np.testing.assert_array_equal(one[:24], other)
    np.testing.assert_array_equal(one, one.transpose(0, 2, 1))
    assert not one[0].any()
    assert one[1:, USA, CHN].std() == pytest.approx(0.01, rel=0.3)
    assert not one[:, USA, AUS].any()
    config.randomness.active = False
    assert not draw_events(tiny_world, config.randomness, 24, seed=3).incident.any()
