"""Closed seas: who pays more, what is at sea, and that nothing is lost."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_same_history, model_of, quiet_config, run
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.books import BALANCE_TOLERANCE
from abm.config import Closure, Config, ConfigError, Shipping, check
from abm.shipping import LONGEST_DETOUR, random_closures, sailing
from abm.world import World

USA, CHN, AUS, ROW = range(4)  # of the tiny world; narrows lie on CHN-USA, the bay on AUS-ROW


def shut(*names: str, years: int = 2, **terms: float) -> Config:
    """A quiet run in which some chokepoints close in the second month, for good."""
    config = quiet_config(years)
    closures = [Closure(name, "2025-02") for name in names]
    config.shipping = Shipping(active=True, closures=closures, closure_rate=0.0, **terms)
    check(config)
    return config


def test_lanes_that_never_close_change_nothing(tiny_world: World) -> None:
    assert_same_history(run(quiet_config(2), tiny_world), run(shut(), tiny_world))


def test_every_lane_of_the_table_is_one_of_the_sea(real_world: World) -> None:
    """Detours against public distances: Rotterdam to Asia by the Cape, New York needs no canal."""
    names, share = real_world.passages.names, real_world.passages.share
    detour = real_world.passages.detour_km
    assert set(names) == {"hormuz", "suez", "malacca", "taiwan_strait", "panama", "cape"}

    def lane(name: str, one: str, other: str) -> tuple[float, float]:
        place = names.index(name), real_world.country(one), real_world.country(other)
        return share[place], detour[place]

    # 8,288 against 11,755 nautical miles to Singapore, 6,300 against 10,700 to Mumbai.
    assert lane("suez", "EU27", "MYS") == (1.0, pytest.approx(6420, rel=0.05))
    assert lane("suez", "IND", "EU27") == (1.0, pytest.approx(8150, rel=0.1))
    assert lane("suez", "EU27", "USA")[0] == 0.0
    assert lane("malacca", "AUS", "CHN")[0] == 0.0
    assert lane("malacca", "EU27", "JPN")[0] == 1.0
    assert np.isinf(lane("taiwan_strait", "TWN", "USA")[1])
    np.testing.assert_array_equal(share, np.swapaxes(share, 1, 2))
    assert (share[:, range(36), range(36)] == 0).all()


def test_a_closure_makes_goods_dearer_behind_it_and_nowhere_else(tiny_world: World) -> None:
    """The bay carries no gallium, so gallium must not notice that it is shut."""
    calm, blocked = run(quiet_config(2), tiny_world), run(shut("bay"), tiny_world)
    gallium = tiny_world.market("gallium", "refined")
    graphite = tiny_world.market("graphite", "mined")
    for name, values in calm.measures.items():
        np.testing.assert_allclose(
            blocked.measures[name][:, gallium], values[:, gallium], rtol=1e-7, err_msg=name
        )
    landed = "landed_price_usd_per_kg"
    before, after = (record.measures[landed][1:, graphite, ROW] for record in (calm, blocked))
    assert after.mean() > before.mean()
    flow = [record.flow[:, graphite, AUS, ROW].sum() for record in (calm, blocked)]
    assert flow[1] < flow[0]


def test_the_detour_costs_what_the_tariff_of_the_sea_says(tiny_world: World) -> None:
    """Against the sum by hand for refined graphite from China to the USA."""
    settings = Shipping(active=True, closures=[Closure("narrows", "2025-02")], closure_rate=0.0)
    lanes = sailing(tiny_world, settings, np.zeros((4, 2), bool), "2025-01").in_month(2).lanes
    market = tiny_world.market("graphite", "refined")
    distance = 5.0 * 1.5 * 6000 / 1000 / 1000  # usd/t per 1000 km, gross weight, km, to USD/kg
    expected = 2.0 * tiny_world.freight[market, CHN, USA] + distance + 0.005 * 6.0
    assert lanes.freight[market, CHN, USA] == pytest.approx(expected)
    assert lanes.freight[market, AUS, CHN] == tiny_world.freight[market, AUS, CHN]
    days = 11000 / 622 + 6000 / (14 * 1.852 * 24) + 5
    assert lanes.voyage[CHN, USA] == round(days / 30)
    assert lanes.voyage.max() <= LONGEST_DETOUR


def test_goods_arrive_later_and_none_are_lost(tiny_world: World) -> None:
    """With a long detour less arrives at first; what was bought is at sea, not gone."""
    config = shut("narrows", delay_days=60.0, freight_surcharge=0.0, insurance_surcharge=0.0)
    model = model_of(config, tiny_world)
    assert model.state.at_sea.shape[3] == LONGEST_DETOUR - 1  # 17.7 + 9.6 + 60 days: three months
    record = model.run()
    assert record.tonnes_gap.max() < BALANCE_TOLERANCE
    calm = run(quiet_config(2), tiny_world).measures
    market = tiny_world.market("gallium", "refined")
    stock = "buyer_stock_t"
    assert record.measures[stock][2, market, USA] < calm[stock][2, market, USA]
    afloat = model.state.at_sea[market, USA].sum()
    bought = record.measures["purchases_t"][-3:, market, USA]
    abroad = record.measures["import_reliance"][-3:, market, USA]
    from_china = record.flow[-1, market, CHN, USA] / record.flow[-1, market, :, USA].sum()
    assert afloat > 1.5 * (bought * abroad * from_china).mean()


def test_a_lane_without_a_way_round_closes_only_if_told_so(tiny_world: World) -> None:
    market = tiny_world.market("graphite", "mined")
    dear, closed = (
        run(shut("bay", close_stranded=choice), tiny_world).flow[1, market, AUS, ROW]
        for choice in (False, True)
    )
    assert dear > 0
    assert closed == 0


def test_taiwan_can_be_blockaded(real_world: World) -> None:
    """With every arc from abroad closed it buys at home alone, and the books still add up."""
    model = model_of(shut("taiwan_strait", years=1, close_stranded=True), real_world)
    taiwan = real_world.country("TWN")
    model.step()
    assert np.delete(model.books.flow[:, :, taiwan], taiwan, axis=1).sum() > 0
    for _ in range(5):
        model.step()
        assert np.delete(model.books.flow[:, :, taiwan], taiwan, axis=1).sum() == 0
    assert model.record.tonnes_gap.max() < BALANCE_TOLERANCE
    assert model.record.money_gap.max() < BALANCE_TOLERANCE


def test_closures_by_chance_come_at_the_rate_and_last_as_long_as_asked(tiny_world: World) -> None:
    """Renewal theory: shut a share r L / (1 + r L) of the time, and independent of each other."""
    shipping = Shipping(active=True, closure_rate=0.24, closure_months=6.0)
    closed = random_closures(tiny_world.passages, shipping, 20_000, seed=3)
    load = 0.24 / 12 * 6.0
    assert not closed[0].any()
    np.testing.assert_allclose(closed.mean(axis=0), load / (1 + load), rtol=0.2)
    assert abs(np.corrcoef(closed.T)[0, 1]) < 0.05
    again = random_closures(tiny_world.passages, shipping, 500, seed=3)
    np.testing.assert_array_equal(again, closed[:500])
    fewer = replace(tiny_world.passages, names=("bay",))
    alone = random_closures(fewer, shipping, 500, seed=3)
    np.testing.assert_array_equal(alone[:, 0], again[:, tiny_world.passages.names.index("bay")])


@pytest.mark.parametrize(
    ("closures", "words"),
    [
        ([Closure("suez", "2027-1")], "shipping.closures[0].start is '2027-1'"),
        ([Closure("suez", "2027-01", "2027-01")], "not after its start 2027-01"),
    ],
)
def test_a_closure_that_cannot_be_meant_is_refused(closures: list[Closure], words: str) -> None:
    config = quiet_config()
    config.shipping.closures = closures
    with pytest.raises(ConfigError) as refused:
        check(config)
    assert words in str(refused.value)


def test_an_unknown_chokepoint_is_refused(tiny_world: World) -> None:
    with pytest.raises(ConfigError, match=r"'suez', which chokepoints.csv does not list; choose"):
        run(shut("suez"), tiny_world)


@settings(max_examples=6)
@given(
    seed=st.integers(0, 99),
    rate=st.floats(0.1, 4.0),
    delay=st.floats(0.0, 90.0),
    stranded=st.booleans(),
    shaken=st.booleans(),
)
def test_the_identities_hold_whatever_closes(
    tiny_world: World, seed: int, rate: float, delay: float, stranded: bool, shaken: bool
) -> None:
    config = shut("bay", delay_days=delay, close_stranded=stranded)
    config.shipping.closure_rate = rate
    config.randomness.active = config.instability.active = shaken
    config.instability.rate = 2.0
    record = run(config, tiny_world, "washington", seed=seed)
    assert record.tonnes_gap.max() < BALANCE_TOLERANCE
    assert record.money_gap.max() < BALANCE_TOLERANCE
    assert np.isfinite(record.measures["landed_price_usd_per_kg"]).all()
