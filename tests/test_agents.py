"""Agents: offers and orders against their calibration, decisions of countries and producers."""

import numpy as np
import pytest
from conftest import export_ban, model_of, purchases, quiet_config
from hypothesis import given
from hypothesis import strategies as st

from abm.agents import buyer, firm
from abm.agents.country import Country, aim_as_in_calm, alarmed
from abm.agents.producer import NonAlliedProducer, dominance
from abm.agents.table import Table
from abm.config import Behaviour, Config, DemandPath
from abm.intentions import month_need
from abm.learning import forecast
from abm.model import MineralModel
from abm.passes.planning import make_goods
from abm.state import STATE, buyer_traits, opening_state
from abm.trade import ask_rows, asks_of
from abm.trend import START_UP_MONTHS, undisturbed_trend
from abm.world import World

USA, CHN, AUS, ROW = range(4)


@pytest.fixture(scope="module")
def traits(real_world: World) -> firm.FirmTraits:
    return firm.firm_traits(real_world, Behaviour())


def sold_at(price: np.ndarray, traits: firm.FirmTraits) -> np.ndarray:
    """[firm] t/month on the ramp from the lowest to the highest ask."""
    return traits.offer * np.clip((price - traits.low_ask) / traits.width, 0.0, 1.0)


# Firms ----------------------------------------------------------------------------------------


def test_ramps_sell_the_opening_output_at_the_opening_price(
    real_world: World, traits: firm.FirmTraits
) -> None:
    firms = real_world.firms
    price = real_world.origin_price[firms.market, firms.country]
    running = firms.output > 0
    sold = sold_at(price, traits)[running]
    np.testing.assert_allclose(sold, firms.output[running], rtol=1e-9)


def test_ramps_have_the_short_run_elasticity_of_the_table(
    real_world: World, traits: firm.FirmTraits
) -> None:
    """d ln s / d ln p by central differences at the opening price."""
    firms = real_world.firms
    price = real_world.origin_price[firms.market, firms.country]
    running = firms.output > 0
    up, down = sold_at(price * 1.001, traits)[running], sold_at(price * 0.999, traits)[running]
    slope = (np.log(up) - np.log(down)) / (np.log(1.001) - np.log(0.999))
    expected = real_world.parameters["supply_elasticity"][firms.market[running]]
    inside = traits.utilisation[running] < 0.99
    np.testing.assert_allclose(slope[inside], expected[inside], rtol=1e-4)
    assert inside.mean() > 0.9


def brought(
    world: World,
    traits: firm.FirmTraits,
    *,
    markup: float = 0.0,
    available: float = 1.0,
    feed: np.ndarray | float = np.inf,
    rise: float = 0.0,
    scrap: np.ndarray | float = np.inf,
    aid: float = 0.0,
) -> firm.Supply:
    """What firms without stocks bring to market; `aid` is support and premium, half of it each."""
    nothing, places = np.zeros(traits.price.size), world.landed_price.shape
    supply = firm.Supply(*(np.full(nothing.size, np.nan) for _ in firm.Supply._fields))
    firm.bring_supply(
        supply,
        traits.capacity,
        nothing + available,
        nothing,
        nothing + markup,
        nothing + aid / 2,
        nothing + aid / 2,
        firm.Inputs(*(np.broadcast_to(table, places).copy() for table in (feed, rise, scrap))),
        world.world_price,
        traits,
        Behaviour(),
    )
    return supply


def test_asks_rise_with_mark_up_and_cost_of_feed_dollar_by_dollar(
    real_world: World, traits: firm.FirmTraits
) -> None:
    usual = brought(real_world, traits)
    np.testing.assert_allclose(usual.low, traits.low_ask)
    marked = brought(real_world, traits, markup=0.1, rise=3.0, aid=1.0)
    dearer = 0.1 * real_world.world_price[traits.market] + np.where(traits.feeds, 2.0, -1.0)
    np.testing.assert_allclose(marked.low - usual.low, dearer)
    np.testing.assert_allclose(marked.high - marked.low, traits.width)


def test_the_sales_of_a_place_add_up_to_what_flowed_and_follow_the_asks(
    real_world: World, traits: firm.FirmTraits
) -> None:
    """Above the least price by the ramps, on the step at it by what stands there, else nothing."""
    supply, places = brought(real_world, traits), real_world.origin_price.shape
    sales, uncounted = np.full(traits.price.size, np.nan), np.full(places, np.nan)
    firm.sell(sales, real_world.origin_price, uncounted, supply, traits)
    np.testing.assert_allclose(sales, supply.offered * traits.utilisation, rtol=1e-9)
    flowed = 0.9 * traits.by_place(sales, places)
    ramps = sales.copy()
    firm.sell(sales, real_world.origin_price, flowed, supply, traits)
    np.testing.assert_allclose(sales, 0.9 * ramps)
    least = np.zeros(places)
    least[traits.market, traits.country] = traits.least_price
    step = supply.offered * np.clip((traits.least_price - supply.low) / traits.width, 0.0, 1.0)
    half = 0.5 * traits.by_place(step, places)
    for price in (least, least * (1.0 - 1e-15)):  # a price may be off its step by a rounding error
        firm.sell(sales, price, half, supply, traits)
        np.testing.assert_allclose(sales, 0.5 * step)
    firm.sell(sales, least * 0.9, np.zeros(places), supply, traits)
    assert (sales == 0.0).all()


def test_asks_in_rows_offer_what_their_firms_do(real_world: World, traits: firm.FirmTraits) -> None:
    """At every price; nothing below the least price."""
    supply, place = brought(real_world, traits), traits.place
    capacity, low, high = asks_of(supply.offered, supply.low, supply.high, traits)
    rows = ask_rows(traits.offset)
    of_row = np.repeat(np.arange(rows.size - 1), np.diff(rows))
    price, least = np.zeros((2, rows.size - 1))
    price[place], least[place] = traits.price, traits.least_price
    assert capacity.size == place.size + np.unique(place).size
    for level in (0.5, 1.0, 1.7, 10.0):
        paid = level * price
        by_firm = (paid[place] - supply.low) / (supply.high - supply.low)
        by_firm = supply.offered * np.clip(by_firm, 0.0, 1.0) * (paid >= least)[place]
        width = high - low
        by_row = np.clip((paid[of_row] - low) / np.where(width > 0, width, 1.0), 0.0, 1.0)
        by_row = capacity * np.where(width > 0, by_row, paid[of_row] >= low)
        offered = np.bincount(of_row, by_row, rows.size - 1)
        expected = np.bincount(place, by_firm, rows.size - 1)
        np.testing.assert_allclose(offered, expected, rtol=1e-9, atol=1e-9 * expected.max())


def produced(
    sales: np.ndarray,
    inventory: np.ndarray,
    target: np.ndarray,
    limit: np.ndarray,
    adjustment: float,
) -> np.ndarray:
    """[firm] what mines in a place of their own make; inventories move."""
    made, no, one = np.empty(sales.size), np.zeros(sales.size, bool), np.ones(sales.size)
    offset, first = np.arange(sales.size + 1, dtype=np.uint64), np.zeros(sales.size, np.int64)
    output, new = make_goods(  # a month of capacity is wanted in store
        offset, sales, limit, target, one, adjustment, no, no, first, 1, inventory, made
    )
    np.testing.assert_array_equal(output, 0.0)
    np.testing.assert_allclose(new, made.sum())
    return made


@given(
    st.lists(
        st.tuples(*(st.floats(0.0, 100.0) for _ in range(4)), st.floats(0.0, 1.0)),
        min_size=1,
        max_size=20,
    ),
    st.floats(1.0, 60.0),
)
def test_production_stays_within_capacity_and_never_overdraws_the_inventory(
    rows: list[tuple[float, ...]], adjustment: float
) -> None:
    limit, inventory, target, demand, stored = map(np.array, zip(*rows, strict=True))
    sales = np.minimum(demand, limit + stored * inventory)  # what was offered bounds what is sold
    before = inventory.copy()
    made = produced(sales, inventory, target, limit, adjustment)
    assert (made >= 0).all()
    assert (made <= limit).all()
    np.testing.assert_allclose(
        inventory, before + made - sales, atol=1e-12 * (before + sales).max()
    )
    assert (inventory >= 0.0).all()


def test_production_replaces_sales_and_closes_the_gap_in_steps() -> None:
    made = produced(
        np.array([10.0, 10.0, 10.0]),
        np.array([6.0, 18.0, 0.0]),
        np.full(3, 12.0),
        np.full(3, 11.5),
        6.0,
    )
    np.testing.assert_allclose(made, [11.0, 9.0, 11.5])


def test_outages_and_empty_feed_bins_stop_plants(tiny_world: World) -> None:
    traits = firm.firm_traits(tiny_world, Behaviour())
    normal = traits.capacity
    down = brought(tiny_world, traits, available=0.4)
    np.testing.assert_allclose(down.running, 0.4 * normal)
    refined = tiny_world.market("graphite", "refined")
    short = np.full(tiny_world.landed_price.shape, np.inf)
    short[refined, CHN] = 100.0
    supply = brought(tiny_world, traits, feed=short)
    running = supply.running
    here = (traits.market == refined) & (traits.country == CHN)
    assert normal[here].sum() > 100.0
    assert running[here].sum() == pytest.approx(100.0)
    np.testing.assert_allclose(
        running[here] / running[here].sum(), normal[here] / normal[here].sum()
    )
    np.testing.assert_array_equal(running[~here], normal[~here])
    np.testing.assert_array_equal(supply.able, normal)
    full = np.ones(normal.size)
    np.testing.assert_array_equal(firm.running_capacity(normal, full, short, traits), running)


def test_only_plants_with_a_mined_stage_below_them_feed_on_ore(tiny_world: World) -> None:
    traits = firm.firm_traits(tiny_world, Behaviour())
    graphite = traits.market == tiny_world.market("graphite", "refined")
    np.testing.assert_array_equal(traits.feeds, graphite)


def test_mark_ups_rise_when_sold_out_fall_when_idle_and_stay_bounded(
    traits: firm.FirmTraits,
) -> None:
    behaviour = Behaviour(markup_speed=0.5)
    rest = np.zeros(traits.price.size)
    usual, one = traits.utilisation, np.ones(traits.price.size)
    target = one / traits.stock_months  # capacity of which a tonne is wanted in store
    calm, up, down = rest.copy(), rest.copy(), rest.copy()
    firm.drift_markup(calm, usual, one, one, target, one, traits, behaviour)
    np.testing.assert_allclose(calm, 0.0, atol=1e-12)
    for _ in range(50):
        firm.drift_markup(up, usual + 0.2, one, rest, target, one, traits, behaviour)
        firm.drift_markup(down, usual - 0.4, one, 2.0 * one, target, one, traits, behaviour)
        assert (np.abs(up) <= traits.power).all()
        assert (np.abs(down) <= traits.power).all()
    assert (up > 0).all()
    assert (down < 0).all()
    firm.drift_markup(up, usual + 0.2, one, rest, target, rest, traits, behaviour)
    assert (up == 0).all(), "no capacity works"


def test_capacity_follows_price_up_over_the_lead_time_and_down_with_wear(
    real_world: World, traits: firm.FirmTraits
) -> None:
    one = np.ones(traits.price.size)

    def invested(ratio: float) -> np.ndarray:
        capacity, nothing = one.copy(), 0.0 * one
        price = ratio * real_world.origin_price
        firm.invest(capacity, price, nothing, nothing, traits, 60.0)
        return capacity

    np.testing.assert_array_equal(invested(1.0), one)
    dear = invested(1.5)
    mines = ~real_world.firms.recycler.astype(bool)
    goal = np.clip(1.5 ** real_world.parameters["longrun_supply_elasticity"], 0.3, 4.0)
    goal = goal[traits.market]
    np.testing.assert_allclose((dear - 1)[mines], ((goal - 1) / traits.lead_months)[mines])
    assert (dear[~mines] == 1).all()
    cheap = invested(0.8)
    assert (cheap[mines] < 1).all()
    assert (cheap > 0.95).all()


# Buyers ---------------------------------------------------------------------------------------


def calm_orders(world: World, behaviour: Behaviour) -> tuple[buyer.Orders, buyer.BuyerTraits]:
    """Orders of the opening month: stocks at target, prices as expected, nothing grows."""
    traits = buyer_traits(world)
    state = opening_state(world, traits)
    private = traits.need.copy()
    position = state.stock + state.at_sea.sum(axis=3)
    position[:, :, STATE] = 0.0
    orders = buyer.place_orders(
        private,
        private,
        np.zeros(len(world.markets)),
        position,
        np.zeros_like(private),
        private,
        world.landed_price,
        np.zeros(world.landed_price.shape),
        traits,
        behaviour,
    )
    return orders, traits


def test_in_calm_buyers_buy_exactly_what_they_need(real_world: World) -> None:
    orders, traits = calm_orders(real_world, Behaviour())
    bought = purchases(orders, np.ones(traits.need.shape), real_world.landed_price)
    volume = real_world.flow.sum(axis=(1, 2))[:, None]
    total = bought.sum(axis=2)
    np.testing.assert_allclose(total / volume, real_world.flow.sum(axis=1) / volume, atol=1e-9)
    np.testing.assert_allclose(bought, traits.need, rtol=1e-9, atol=1e-12)


fractions = st.floats(0.0, 1.0)


@given(
    months=st.floats(0.0, 12.0),
    risk=fractions,
    growth=st.floats(0.0, 0.02),
    released=st.floats(0.0, 0.5),
    intensity=st.floats(0.2, 1.3),
    expected=st.floats(0.3, 6.0),
    hoarding=st.floats(0.0, 5.0),
    adjustment=st.floats(1.0, 24.0),
)
def test_at_the_expected_price_an_order_is_use_plus_a_part_of_the_stock_gap(
    months: float,
    risk: float,
    growth: float,
    released: float,
    intensity: float,
    expected: float,
    hoarding: float,
    adjustment: float,
) -> None:
    """Computed again by hand for one buyer who needs 10 t and holds `months` of them."""
    need, cover, transit = 10.0, 2.0, 1.0
    one = np.full((1, 1, 1), need)
    traits = buyer.BuyerTraits(
        one, np.ones((1, 1)), 0.3 * one / need, cover * one / need, np.full((1, 1), transit)
    )
    behaviour = Behaviour(hoarding=hoarding, adjustment_months=adjustment)
    use = intensity * need
    orders = buyer.place_orders(
        one,
        one,
        np.array([growth]),
        months * one,
        released * one,
        intensity * one,
        np.full((1, 1), expected),
        np.full((1, 1), risk),
        traits,
        behaviour,
    )
    scale = np.full((1, 1, 1), intensity)
    target = (cover * (1 + hoarding * risk) + transit) * need
    gap = (target - months * need) / adjustment + growth * (cover + transit) * need
    wanted = use + gap - released * need
    least = orders.floor.item() * intensity + orders.distress_quantity.item()
    found = purchases(orders, scale, np.full((1, 1), expected)).item()
    assert found == pytest.approx(max(wanted, least))
    assert orders.floor.item() >= 0.02 * need - 1e-12
    prices = expected * np.linspace(0.05, 5.0, 80)
    bought = [purchases(orders, scale, np.full((1, 1), p)).item() for p in prices]
    assert (np.diff(bought) <= 1e-9).all()
    # Far above what it expected the buyer lives off its stock: only the floor is left.
    assert bought[-1] == pytest.approx(orders.floor.item() * intensity)


def one_order(
    months: float, expected_use: float, expected: float, risk: float
) -> tuple[buyer.Orders, float]:
    """Orders of one buyer who needs 10 t and holds `months` of them, and its cover in tonnes."""
    one = np.full((1, 1, 1), 10.0)
    traits = buyer.BuyerTraits(one, np.ones((1, 1)), 0.03 * one, 0.2 * one, np.zeros((1, 1)))
    orders = buyer.place_orders(
        one,
        one,
        np.zeros(1),
        months * one,
        0.0 * one,
        np.full((1, 1, 1), expected_use),
        np.full((1, 1), expected),
        np.full((1, 1), risk),
        traits,
        Behaviour(),
    )
    return orders, 20.0


def test_fear_raises_the_minimum_that_a_buyer_keeps() -> None:
    """Two months in store: at risk one the target is six and the minimum 0.3 of that."""
    drawn = {}
    for risk in (0.0, 1.0):
        orders, cover = one_order(2.0, 10.0, 1.0, risk)
        price = orders.high.max(keepdims=True)[:, :, 0]  # the end of the first ramp
        bought = purchases(orders, np.ones((1, 1, 1)), price).item()
        drawn[risk] = 10.0 - bought
        spare = max(20.0 - 0.3 * cover * (1 + 2.0 * risk), 0.0)
        assert bought == pytest.approx(max(10.0 - spare / 1.5, 0.2))
    assert drawn[1.0] < drawn[0.0]


@given(months=st.floats(0.0, 6.0), expected_use=st.floats(0.0, 10.0), risk=fractions)
def test_a_buyer_who_feared_the_worst_price_still_buys_its_need_at_a_low_one(
    months: float, expected_use: float, risk: float
) -> None:
    """Otherwise supply beyond what was expected to be used finds no buyer at any price."""
    orders, _ = one_order(months, expected_use, 20.0, risk)
    bought = purchases(orders, np.ones((1, 1, 1)), np.ones((1, 1))).item()
    assert bought >= 10.0 - 1e-9


def test_use_falls_with_the_elasticity_then_to_nothing_at_the_choke_price() -> None:
    one = np.ones((1, 1, 1))
    traits = buyer.BuyerTraits(one, 2.0 * one[:, :, 0], 0.4 * one, one, 0.0 * one[:, :, 0])
    backstop, choke = np.full((1, 1), 8.0), np.full((1, 1), 20.0)

    def use(price: float) -> float:
        return buyer.desired_use(one, np.full((1, 1), price), traits, backstop, choke).item()

    assert use(2.0) == pytest.approx(1.0)
    assert use(4.0) == pytest.approx(2.0**-0.4)
    assert use(8.0) == pytest.approx(4.0**-0.4)
    assert use(14.0) == pytest.approx(0.5 * 4.0**-0.4)
    assert use(20.0) == use(1e9) == 0.0


# Expectations ---------------------------------------------------------------------------------

SMOOTH = Behaviour(price_memory=0.4, trend_memory=0.25, trend_damping=0.9)


def expectations(prices: list[float], behaviour: Behaviour) -> list[float]:
    """What is expected after each of a series of prices, from rest at a price of one."""
    (expected, growth, customary), path = np.ones((3, 1, 1)), []
    bounds = np.zeros((1, 1)), np.full((1, 1), np.inf)
    for price in prices:
        landed = np.array([[price]])
        expected, growth = forecast(expected, growth, customary, landed, *bounds, behaviour)
        path.append(expected.item())
    return path


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=24))
def test_forecasts_are_those_of_level_and_damped_growth(prices: list[float]) -> None:
    """The recursion for level and growth as Taylor (2003) writes it; prices stay positive."""
    alpha, beta, phi = 0.4, 0.25, 0.9
    level, growth, wanted = 1.0, 1.0, []
    for price in prices:
        before = level
        level = alpha * price + (1 - alpha) * before * growth**phi
        growth = beta * level / before + (1 - beta) * growth**phi
        wanted.append(level * growth**phi)
    found = expectations(prices, SMOOTH)
    assert min(found) > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_without_a_trend_weight_expectations_are_a_moving_average() -> None:
    plain = Behaviour(price_memory=0.4, trend_memory=0.0)
    prices = [2.0, 0.5, 3.0]
    weights = 0.4 * 0.6 ** np.arange(2, -1, -1)
    assert expectations(prices, plain)[-1] == pytest.approx(0.6**3 + weights @ prices)


def test_expectations_rest_where_prices_rest_and_foresee_a_climb() -> None:
    assert expectations([1.0] * 5, Behaviour()) == [1.0] * 5
    climb = [1.05**month for month in range(1, 25)]
    plain = Behaviour(trend_memory=0.0)
    lag = [climb[-1] / expectations(climb, rule)[-2] for rule in (plain, Behaviour())]
    assert 1.0 < lag[1] < lag[0]


def test_expectations_settle_on_a_new_price_and_hardly_pass_it_by() -> None:
    for price in (0.3, 0.9, 1.1, 3.0):
        path = np.array(expectations([price] * 60, Behaviour()))
        gone = (path - 1.0) / (price - 1.0)  # share of the step
        assert gone[-1] == pytest.approx(1.0, rel=1e-3)
        assert gone.max() < 1.12


def test_nobody_expects_more_than_the_price_that_ends_demand(tiny_world: World) -> None:
    config = quiet_config(years=4)
    config.behaviour.trend_memory = 1.0
    config.controls = [export_ban(enforcement=0.999, targets=["USA", "ROW"])]
    model = model_of(config, tiny_world)
    row = tiny_world.market("gallium", "refined")
    for _ in range(40):
        model.step()
        assert (model.state.expected_price <= model.choke).all()
    assert model.state.expected_price[row, USA] > 0.5 * model.choke[row, USA]


# Countries and producers ----------------------------------------------------------------------


@pytest.fixture
def member_model(tiny_world: World) -> MineralModel:
    """The tiny world at the opening of a month in which USA and AUS are members."""
    model = model_of(quiet_config(years=3), tiny_world, "washington")
    model.month = 20
    model.trend_need, _ = month_need(model)
    return model


def countries_of(model: MineralModel) -> list[Country]:
    return list(model.agents_by_type[Country])


def aimed(model: MineralModel) -> list[int]:
    """Rows of the countries that have something to decide, once all aim as in calm."""
    aim_as_in_calm(model.countries, model.state, model.trend_need, 3.0)
    return alarmed(model.countries, 1.3)


def test_what_countries_see_is_last_months_state(member_model: MineralModel) -> None:
    aimed(member_model)
    table, state = member_model.countries, member_model.state
    ratio = (state.expected_price / state.customary_price)[-2:].T
    np.testing.assert_allclose(table.price_ratio, ratio)
    np.testing.assert_allclose(table.dearest, ratio.max(axis=1))
    np.testing.assert_allclose(table.stockpile, state.stock[-2:, :, -1].T)
    use = member_model.trend_need[-2:, :, 1:-1].sum(axis=2).T
    np.testing.assert_allclose(table.trend_use, use)


def test_a_member_in_calm_aims_at_the_common_stock_or_its_own_larger_one(
    member_model: MineralModel,
) -> None:
    member_model.case.instruments.stockpiles.target_months = 3.0
    usa, chn, aus, _ = countries_of(member_model)
    usa.opening_cover = np.array([0.0, 5.0])
    member_model.countries.stocking[:] = [1.0, 0.0, 1.0, 0.0]
    assert aimed(member_model) == []
    np.testing.assert_allclose(usa.purchase_target, np.array([3.0, 5.0]) * usa.trend_use)
    np.testing.assert_allclose(aus.purchase_target, 3.0 * aus.trend_use)
    np.testing.assert_allclose(chn.purchase_target, chn.opening_cover * chn.trend_use)
    assert not usa.short.any()


def test_a_price_jump_calls_an_emergency_for_that_mineral_only(
    member_model: MineralModel,
) -> None:
    usa, state = countries_of(member_model)[USA], member_model.state
    member_model.countries.stocking[USA] = 1.0
    dearer = np.array([1.29, 1.31])  # the trigger is 1.3
    state.expected_price[-2:, USA] = dearer * state.customary_price[-2:, USA]
    assert aimed(member_model) == [USA]
    np.testing.assert_allclose(usa.price_ratio, dearer)
    usa.decide()
    np.testing.assert_array_equal(usa.short, [False, True])
    assert usa.purchase_target[1] == 0.0
    assert usa.purchase_target[0] > 0.0


def test_membership_begins_in_its_month(tiny_world: World) -> None:
    config = quiet_config(years=3)
    config.membership.circles["washington"].since = "2026-02"  # month 13
    model = model_of(config, tiny_world, "washington")
    for month, inside in ((12, False), (13, True)):
        model.month = month
        np.testing.assert_array_equal(model.members, [inside, False, inside, False])


def test_dominance_is_the_lerner_index_of_a_dominant_firm_with_a_fringe() -> None:
    parameters = {"demand_elasticity": np.array([0.5]), "supply_elasticity": np.array([1.0])}
    found = dominance(np.array([[0.0, 0.5, 0.75, 1.0]]), parameters)
    np.testing.assert_allclose(found, [[0.0, 0.5, 1.0, 2.0]])
    tight = {"demand_elasticity": np.array([0.1]), "supply_elasticity": np.array([0.1])}
    assert dominance(np.array([[1.0]]), tight).item() == 3.0


def test_a_producer_charges_what_dependence_allows_and_nothing_at_home(
    tiny_world: World,
) -> None:
    model = model_of(quiet_config(years=3), tiny_world)
    (producer,) = model.agents_by_type[NonAlliedProducer]
    assert producer.country == CHN
    producer.decide()
    np.testing.assert_allclose(producer.markup, tiny_world.export_markup[:, CHN, :])
    gallium = tiny_world.market("gallium", "refined")
    before = producer.markup[gallium].copy()
    producer.purchase_share[gallium, USA] = 0.99
    producer.purchase_share[gallium, AUS] = 0.05
    producer.decide()
    assert producer.markup[gallium, USA] > before[USA]
    assert producer.markup[gallium, AUS] < before[AUS]
    assert producer.markup[gallium, ROW] == pytest.approx(before[ROW])
    assert (producer.markup[:, CHN] == 0).all()


# An agent is a row ----------------------------------------------------------------------------


def test_an_agent_reads_and_writes_its_own_row_of_its_own_model(tiny_world: World) -> None:
    one, other = (model_of(quiet_config(years=3), tiny_world) for _ in range(2))
    usa = countries_of(one)[USA]
    before = other.countries.price_ratio.copy()
    usa.price_ratio = np.array([7.0, 8.0])
    np.testing.assert_array_equal(one.countries.price_ratio[USA], [7.0, 8.0])
    np.testing.assert_array_equal(one.countries.price_ratio[CHN], before[CHN])
    np.testing.assert_array_equal(other.countries.price_ratio, before)
    facility = one.firm_agent(0)
    facility.inventory = 123.0
    assert one.firms.inventory[0] == 123.0
    assert other.firms.inventory[0] != 123.0


def test_every_row_can_be_an_agent(tiny_world: World) -> None:
    model = model_of(quiet_config(years=3), tiny_world)
    assert firm.Firm not in model.agents_by_type
    names = [model.firm_agent(row).name for row in range(len(model.firms))]
    assert names == list(tiny_world.firms.name)
    assert [agent.code for agent in countries_of(model)] == list(tiny_world.countries)


def test_a_table_needs_columns_of_one_length() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Table(one=np.zeros(3), other=np.zeros(4))
    with pytest.raises(AttributeError, match="no column 'three'"):
        _ = Table(one=np.zeros(3)).three


# The trend the firms plan for -----------------------------------------------------------------


def test_planned_capacity_serves_trend_use_and_nothing_before_it_opens(real_world: World) -> None:
    config = Config()
    traits = firm.firm_traits(real_world, config.behaviour)
    months, markets = 120, len(real_world.markets)
    none = DemandPath()
    trend = undisturbed_trend(real_world, traits, np.zeros(markets), "2025-01", months, none)
    np.testing.assert_allclose(
        trend.capacity[0, real_world.firms.output > 0],
        real_world.firms.capacity[real_world.firms.output > 0],
    )
    able = np.zeros((months, markets))
    planned = trend.capacity * traits.normal_use
    for market in range(markets):
        able[:, market] = planned[:, real_world.firms.market == market].sum(axis=1)
    supply = real_world.opening.supply.sum(axis=1)
    np.testing.assert_allclose(able / supply, trend.total[:-1], rtol=1e-9)
    project = real_world.firms.start_year > 0
    assert project.any()
    opens = np.maximum((real_world.firms.start_year[project] - 2025) * 12, 1)
    for column, month in zip(trend.capacity[:, project].T, opens, strict=True):
        assert (column[: int(month) + 1] == 0).all()
        later = column[int(month) + START_UP_MONTHS :]
        assert (np.diff(later) >= -1e-9).all()
