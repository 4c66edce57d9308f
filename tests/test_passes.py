"""The compiled passes against the same figures in plain NumPy, and against what they must keep."""

import numpy as np
import pytest
from conftest import model_of, purchases, quiet_config
from hypothesis import given
from hypothesis import strategies as st

from abm.agents.buyer import Orders
from abm.passes.accounts import compare_prices, cost_of_stockpiles, mean_price, measure_money
from abm.passes.learning import foresee_landed, learn_asked, learn_suppliers
from abm.passes.ordering import bid_for_stockpiles, grow_need, price_substitutes
from abm.passes.trading import (
    book_flows,
    charge,
    credit_rents,
    mix_price,
    part_of_new_plants,
    scale_use,
    send_off,
    share_purchases,
    to_every_group,
    weigh_arcs,
)
from abm.world import World

MARKETS, PLACES, GROUPS, LONGEST = 3, 4, 2, 2
arcs = (MARKETS, PLACES, PLACES)
seeds = st.integers(0, 10_000)


def draws(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def some_flow(draw: np.random.Generator) -> np.ndarray:
    """Flows with empty arcs, and a destination that buys nothing."""
    flow = draw.uniform(0, 100, arcs) * (draw.uniform(size=arcs) > 0.4)
    flow[0, :, 1] = 0.0
    return flow


# Sourcing -------------------------------------------------------------------------------------


@given(seed=seeds)
def test_weights_are_those_of_shares_pool_size_and_habit(seed: int) -> None:
    draw = draws(seed)
    share, gravity, entry, familiarity = draw.dirichlet(np.ones(PLACES), (4, MARKETS, PLACES))
    share *= draw.uniform(size=arcs) > 0.3
    fresh, pool, pooled, known = draw.uniform(size=(4, MARKETS, PLACES))
    fresh[0] = pooled[1] = 0.0
    supply = draw.uniform(1, 9, (MARKETS, PLACES)) * (draw.uniform(size=(MARKETS, PLACES)) > 0.5)
    supply[:, 0] = 1.0
    incumbent, gap = supply > 0, draw.normal(size=arcs)
    known[2, 1], gap[2, 2, 3] = 0.0, -np.inf
    notional, log_weight = weigh_arcs(
        share, gravity, fresh, pool, pooled, entry, supply, known, familiarity, gap
    )
    part = np.where(incumbent, supply / supply.sum(axis=1, keepdims=True), 1.0)
    pull = known / (known * part).sum(axis=1, keepdims=True)
    settled = (1 - fresh[:, None]) * share + fresh[:, None] * gravity
    blended = (1 - pooled[:, None]) * settled + pooled[:, None] * pool[:, :, None]
    expected = np.where(incumbent[:, :, None], blended, entry) * pull[:, :, None]
    np.testing.assert_allclose(notional, expected, rtol=1e-12, atol=1e-15)
    weight = expected * familiarity * np.exp(gap)
    np.testing.assert_allclose(np.exp(log_weight), weight, rtol=1e-12, atol=1e-15)
    assert np.isneginf(log_weight[2, 1]).all()


def test_a_price_is_that_of_every_group() -> None:
    price = draws(8).uniform(1, 9, (MARKETS, PLACES))
    found = to_every_group(price, 1, MARKETS, GROUPS)
    np.testing.assert_array_equal(found, np.repeat(price[1:, :, None], GROUPS, axis=2))


def test_only_need_beyond_a_margin_is_that_of_new_plants() -> None:
    need, planned = np.full((1, 3, 2), 10.0), np.full((1, 3, 2), 7.0)
    planned[0, :, 0] = 20.0, 20.0 / 0.95, 40.0
    fresh = part_of_new_plants(need, np.array([2.0]), planned, 0.1)
    np.testing.assert_allclose(fresh, [[0.0, 0.0, 0.4 / 0.9]])


def test_dominant_sellers_charge_their_own_markups_and_certified_goods_a_premium() -> None:
    draw = draws(7)
    usual, premium, wedge = draw.uniform(0, 1, (3, *arcs))
    own = draw.uniform(0, 1, (1, MARKETS, PLACES))
    markup, factor = usual.copy(), usual.copy()
    charge(np.array([2]), own, premium, wedge, markup, factor)
    np.testing.assert_allclose(1 + markup[:, 2], (1 + own[0]) * (1 + premium[:, 2]), rtol=1e-12)
    np.testing.assert_allclose(factor[:, 2], (1 + markup[:, 2]) * wedge[:, 2], rtol=1e-12)
    for values in (markup, factor):
        np.testing.assert_array_equal(np.delete(values, 2, axis=1), np.delete(usual, 2, axis=1))


@given(seed=seeds, pace=st.floats(0.0, 1.0))
def test_familiarity_and_size_move_towards_what_was_bought_and_stands(
    seed: int, pace: float
) -> None:
    draw = draws(seed)
    flow, notional = some_flow(draw), some_flow(draw)
    before, stickiness = draw.uniform(0.25, 4.0, arcs), draw.uniform(0.1, 1.0, MARKETS)
    size, opening, grown, known = draw.uniform(1.0, 2.0, (4, MARKETS, PLACES))
    opening[:, 0] = 0.0
    for nothing in (size, known, flow, notional):  # of an origin that has never offered any
        nothing[0, 2] = 0.0
    before[0, 2] = 1.0
    bought = flow.sum(axis=1)
    after, knows, share = before.copy(), known.copy(), np.zeros((2, MARKETS, PLACES))
    learn_suppliers(
        flow, bought, notional, stickiness, pace, 0.25, 4.0, after,
        size, opening, grown, knows, np.array([3, 1]), share,
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = notional / notional.sum(axis=1, keepdims=True)
        ratio = flow / bought[:, None, :] / usual
        target = np.clip(ratio ** stickiness[:, None, None], 0.25, 4.0)
        bought_from = flow / bought[:, None, :]
    on_offer = (notional > 0) & (bought > 0)[:, None, :]
    target = np.where(on_offer, target, 1.0)
    np.testing.assert_allclose(after, before + pace * (target - before), rtol=1e-12)
    usual = opening * grown
    relative = size / np.where(usual > 0, usual, usual.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(knows, known + pace * (relative - known), rtol=1e-12)
    np.testing.assert_allclose(share, np.nan_to_num(bought_from).swapaxes(0, 1)[[3, 1]])


# Prices ---------------------------------------------------------------------------------------


def test_buyers_see_prices_within_bounds() -> None:
    draw = draws(1)
    landed, expected, growth, customary = draw.uniform(0.5, 2.0, (4, MARKETS, PLACES))
    least, choke = np.full(landed.shape, 0.8), np.full(landed.shape, 1.5)
    used = customary.copy()
    found, factor = foresee_landed(landed, least, choke, expected, growth, used, 0.4, 0.2, 0.9, 0.1)
    seen = np.clip(landed, least, choke)
    error = 0.4 * (seen / expected - 1)
    np.testing.assert_allclose(factor, (growth * (1 + 0.2 * error)) ** 0.9)
    np.testing.assert_allclose(found, np.minimum(expected * (1 + error) * factor, choke))
    np.testing.assert_allclose(used, customary + 0.1 * (seen - customary))


def test_who_sells_nothing_reckons_with_what_others_get() -> None:
    draw = draws(2)
    opening, asked, sold, rent, cost = draw.uniform(0.5, 2.0, (5, MARKETS, PLACES))
    asked[0, 1] = asked[1, :] = np.nan
    cost[2, 2] = 0.0
    producer, entry, gap = draw.uniform(0.5, 2.0, (3, MARKETS, PLACES))
    moved = producer.copy(), entry.copy(), gap.copy()
    outlay = rent + cost
    price = learn_asked(asked, opening, sold, outlay, rent, 0.1, 0.3, *moved)
    worth, usual = np.nansum(sold * asked, axis=1), (sold * opening * (asked > 0)).sum(axis=1)
    level = np.where(usual > 0, worth / np.where(usual > 0, usual, 1.0), 1.0)
    expected = np.where(asked > 0, asked, opening * level[:, None])
    np.testing.assert_allclose(price, expected)
    np.testing.assert_allclose(
        moved[0], np.where(asked > 0, producer + 0.1 * (asked - producer), producer)
    )
    np.testing.assert_allclose(moved[1], entry + 0.1 * (expected - entry))
    ratio = np.divide(outlay, cost, out=np.ones(gap.shape), where=cost > 0)
    np.testing.assert_allclose(moved[2], gap + 0.3 * (ratio - gap))


# Orders ---------------------------------------------------------------------------------------

MINED, REFINED, YIELD = np.array([0]), np.array([2]), np.array([[0.8]])  # the last is refined
MINERAL = np.array([1, 0, 1])  # of the three markets


@pytest.mark.parametrize("columns", [1, PLACES])
def test_need_grows_by_mineral_and_sector_and_feed_follows_plans(columns: int) -> None:
    draw, sectors = draws(3), 2
    opening = draw.uniform(1, 9, (MARKETS, PLACES, sectors + 2))
    grown = draw.uniform(1, 2, (2, columns, sectors))
    intensity, swing = (
        draw.uniform(0.5, 1, (2, PLACES, sectors)),
        draw.uniform(0.9, 1.1, (2, PLACES)),
    )
    planned = draw.uniform(1, 9, (MARKETS, PLACES))
    trend, need = grow_need(
        opening, grown, intensity, swing, MINERAL, planned, MINED, REFINED, YIELD
    )
    expected = opening.copy()
    expected[:, :, 1:-1] *= (grown * intensity)[MINERAL]
    expected[:, :, 0] = 0.0
    expected[0, :, 0] = planned[2] / 0.8
    np.testing.assert_allclose(trend, expected, rtol=1e-12)
    expected[:, :, 1:-1] *= swing[MINERAL][:, :, None]
    np.testing.assert_allclose(need, expected, rtol=1e-12)


def test_substitutes_cost_multiples_and_feed_what_its_product_brings() -> None:
    draw = draws(4)
    reference, worth = draw.uniform(1, 9, (2, MARKETS, PLACES))
    backstop, choke = draw.uniform(2, 3, MARKETS), draw.uniform(4, 5, MARKETS)
    cheaper = draw.uniform(0, 0.5, (2, PLACES))
    found = price_substitutes(
        reference, backstop, choke, cheaper, MINERAL, worth, MINED, REFINED, YIELD
    )
    limit = np.maximum(0.8 * worth[2], 1.2 * reference[0])
    for prices, multiple, times in zip(found, (backstop, choke), (1.0, 1.5), strict=True):
        expected = reference * (1 + (multiple[:, None] - 1) * (1 - cheaper[MINERAL]))
        expected[0] = np.minimum(expected[0], times * limit)
        np.testing.assert_allclose(prices, expected, rtol=1e-12)


def test_states_bid_for_the_gap_to_their_targets_in_the_last_markets_only() -> None:
    draw = draws(5)
    floor, position = draw.uniform(1, 9, (2, MARKETS, PLACES, GROUPS))
    quantity, low, high = draw.uniform(1, 9, (3, MARKETS, PLACES, 2 * GROUPS))
    target, usual = draw.uniform(0, 18, (PLACES, 2)), draw.uniform(1, 9, (MARKETS, PLACES))
    private = [values[:, :, 0].copy() for values in (floor, quantity, low, high)]
    bid_for_stockpiles(target, position, usual, 12.0, 1.3, floor, quantity, low, high)
    for values, before in zip((floor, quantity, low, high), private, strict=True):
        np.testing.assert_array_equal(values[:, :, 0], before)
    assert not floor[:, :, 1].any()
    assert not quantity[0, :, 1].any()
    assert not quantity[:, :, 3].any()
    gap = np.maximum(target.T - position[1:, :, 1], 0.0)
    np.testing.assert_allclose(quantity[1:, :, 1], gap / 12.0)
    ends = (low[1:, :, 1], high[1:, :, 1], low[1:, :, 3], high[1:, :, 3])
    for price, multiple in zip(ends, (1.2, 1.3, 1.3, 2.6), strict=True):
        np.testing.assert_allclose(price, multiple * usual[1:])


# Money ----------------------------------------------------------------------------------------


def some_terms(draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Prices, rents and wedges by arc, and prices by origin."""
    names = ("rent", "markup", "tax", "tariff", "freight", "detour", "compliance")
    terms = {name: draw.uniform(0, 2, arcs) * (draw.uniform(size=arcs) > 0.5) for name in names}
    terms["floor"] = draw.uniform(0, 30, arcs) * (draw.uniform(size=arcs) > 0.5)
    return {"origin_price": draw.uniform(1, 9, (MARKETS, PLACES)), **terms}


def price_of(terms: dict[str, np.ndarray]) -> np.ndarray:
    """USD/kg delivered, as the text of the model has it."""
    factor = (1 + terms["markup"]) * (1 + terms["tax"]) * (1 + terms["tariff"])
    price = terms["origin_price"][:, :, None] * factor
    price = price + terms["freight"] + terms["detour"] + terms["compliance"] + terms["rent"]
    return np.maximum(price, terms["floor"])


FIRST = 2  # row of the books in which the first market of a stage stands


def booked(
    flow: np.ndarray, price: np.ndarray, terms: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Outlay, sums by destination and by origin, and what is left over, of markets from `FIRST`."""
    terms = dict(terms)
    origin_price, rent = terms.pop("origin_price"), terms.pop("rent").ravel()
    wide = (FIRST + MARKETS, PLACES, PLACES)
    in_books = {name: np.zeros(wide) for name in terms}
    for name, values in terms.items():
        in_books[name][FIRST:] = values
    unit = np.full(FIRST + MARKETS, 2.0)
    limits = (0.5 * rent, np.arange(rent.size), *np.indices(arcs).reshape(3, -1))
    books = np.zeros(wide), np.zeros(wide), np.zeros((9, *wide[:2])), np.zeros((5, *wide[:2]))
    over = book_flows(
        FIRST,
        flow,
        price,
        origin_price,
        *limits,
        unit,
        **in_books,
        **dict(zip(("booked", "paid", "by_buyer", "by_seller"), books, strict=True)),
    )
    tonnes, paid, by_buyer, by_seller = books
    np.testing.assert_array_equal(tonnes[FIRST:], flow)
    for values in (tonnes, paid, np.moveaxis(by_buyer, 1, 0), np.moveaxis(by_seller, 1, 0)):
        assert not values[:FIRST].any()
    return paid[FIRST:], by_buyer[:, FIRST:], by_seller[:, FIRST:], over


@given(seed=seeds)
def test_every_dollar_of_the_outlay_is_somebodys(seed: int) -> None:
    draw = draws(seed)
    flow, terms = some_flow(draw), some_terms(draw)
    price = np.where(flow > 0, price_of(terms), np.nan)  # no price on a closed arc
    outlay, by_destination, by_origin, over = booked(flow, price, terms)
    tonnes, spent, duty, rent, carriage, compliance, levy, taxed, goods = by_destination
    np.testing.assert_allclose(outlay, price_of(terms) * flow, rtol=1e-12)
    assert over < 1e-11
    np.testing.assert_allclose(tonnes, flow.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(spent, outlay.sum(axis=1), rtol=1e-12)
    asked = terms["origin_price"][:, :, None] * (1 + terms["markup"])
    border = asked * (1 + terms["tax"])
    np.testing.assert_allclose(duty, (border * terms["tariff"] * flow).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(rent, (terms["rent"] * flow).sum(axis=1), rtol=1e-12)
    carried = (terms["freight"] + terms["detour"]) * flow
    np.testing.assert_allclose(carriage, carried.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(compliance, (terms["compliance"] * flow).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(goods, (asked * flow).sum(axis=1), rtol=1e-12)
    parts = duty + rent + carriage + compliance + levy + taxed + goods
    np.testing.assert_allclose(parts, spent, rtol=1e-12)
    unlifted = price_of(terms | {"floor": np.zeros(arcs)})
    lifted = np.maximum(terms["floor"] - unlifted, 0.0) * flow
    np.testing.assert_allclose(levy, lifted.sum(axis=1), rtol=1e-9, atol=1e-9)
    sold, tax, origin_rent, limited, receipts = by_origin
    np.testing.assert_allclose(receipts, (asked * flow).sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(taxed.sum(axis=1), tax.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(sold, flow.sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(tax, (terms["tax"] * asked * flow).sum(axis=2), rtol=1e-9)
    np.testing.assert_allclose(origin_rent, (terms["rent"] * flow).sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(limited, (outlay * (terms["rent"] > 0)).sum(axis=2), rtol=1e-12)


@pytest.mark.parametrize("wrong", [1e-3, np.nan])
def test_a_price_that_nobody_receives_is_left_over(wrong: float) -> None:
    draw = draws(1)
    flow, terms = np.full(arcs, 10.0), some_terms(draw)
    terms["floor"][:] = 0.0
    price = price_of(terms)
    price[1, 2, 3] += wrong
    *_, over = booked(flow, price, terms)
    np.testing.assert_allclose(over, 10.0 * wrong / (10.0 * price[1].sum()), rtol=1e-6)


@given(seed=seeds)
def test_rents_go_to_their_holders_and_those_of_detours_where_goods_still_go(seed: int) -> None:
    draw = draws(seed)
    flow, rerouted = some_flow(draw), np.zeros(arcs, dtype=bool)
    rerouted[0, 2, [1, 3]] = rerouted[1, 3] = True  # of the last, nothing goes anywhere else
    rent, part = draw.uniform(0, 2, 2), draw.dirichlet(np.ones(3), 2)
    limit, market = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    origin, destination = np.array([2, 2, 3, 3]), np.array([1, 3, 0, 0])
    unit = draw.uniform(1, 2, MARKETS)
    given, taken = np.zeros((2, 3, MARKETS, PLACES))
    arc = (limit, market, origin, destination)
    credit_rents(0, rent, *arc, unit, part, flow, rerouted, given, taken)
    owed, earned = np.zeros((2, 3, MARKETS, PLACES))
    for g, m, i, j in zip(*arc, strict=True):
        for h in range(3):
            held = part[g, h] * rent[g] * unit[m] * flow[m, i, j]
            owed[h, m, j] += held
            kept = np.where(rerouted[m, i] | (np.arange(PLACES) == i), 0.0, flow[m, i])
            if h == 2 and rerouted[m, i].any() and kept.sum() > 0:
                earned[h, m] += held * kept / kept.sum()
            else:
                earned[h, m, i] += held
    np.testing.assert_allclose(given, owed, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(taken, earned, rtol=1e-12, atol=1e-12)


# Goods ----------------------------------------------------------------------------------------


@given(seed=seeds)
def test_goods_arrive_after_their_months_at_sea_and_none_is_lost(seed: int) -> None:
    """One shipment; then months in which nothing is bought."""
    draw = draws(seed)
    flow, voyage = some_flow(draw), draw.integers(0, LONGEST + 1, (PLACES, PLACES))
    part = draw.dirichlet(np.ones(GROUPS), (MARKETS, PLACES))
    bought = flow.sum(axis=1)[:, :, None] * part
    stock = np.zeros(bought.shape)
    at_sea = np.zeros((*bought.shape, LONGEST))
    nothing = np.zeros(arcs)
    for month in range(LONGEST + 1):
        shipped, wanted = (flow, bought) if month == 0 else (nothing, 0.0 * bought)
        send_off(shipped, voyage, wanted, stock, at_sea)
        landed = (flow * (voyage <= month)).sum(axis=1)[:, :, None] * part
        np.testing.assert_allclose(stock, landed, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(stock + at_sea.sum(axis=3), bought, rtol=1e-12, atol=1e-12)


@given(seed=seeds)
def test_groups_get_their_parts_of_what_is_bought(seed: int) -> None:
    """In proportion to what they order at the price; in the rows asked for only."""
    draw = draws(seed)
    shape = (MARKETS, PLACES, GROUPS)
    need = draw.uniform(0, 9, shape) * (draw.uniform(size=shape) > 0.3)
    price, reference, bought = draw.uniform(0.001, 9, (3, MARKETS, PLACES))
    backstop = reference * draw.uniform(1, 3, (MARKETS, PLACES))
    choke = 1.5 * backstop
    elasticity = draw.choice([0.2, 0.7], shape)
    ramps = (MARKETS, PLACES, 2 * GROUPS)
    low = draw.uniform(0, 5, ramps)
    quantity = draw.uniform(0, 9, ramps) * (draw.uniform(size=ramps) > 0.3)
    orders = Orders(draw.uniform(0, 9, shape), quantity, low, low + 2.0)
    desired, taken = np.full((2, *shape), -1.0)
    prices = (price, reference, elasticity, backstop, choke, 0.01)
    ordered = (orders.floor, orders.bid_quantity, orders.bid_low, orders.bid_high)
    share_purchases(1, MARKETS, need, *prices, *ordered, bought, desired, taken)
    assert (desired[0] == -1.0).all()
    assert (taken[0] == -1.0).all()
    scale = scale_use(need, *prices)
    np.testing.assert_allclose(desired[1:], (need * scale)[1:], rtol=1e-12)
    wanted = purchases(orders, scale, price)
    total = wanted.sum(axis=2, keepdims=True)
    expected = bought[:, :, None] * wanted / np.where(total > 0, total, 1.0)
    np.testing.assert_allclose(taken[1:], expected[1:], rtol=1e-12)


def test_the_price_of_feed_on_hand_is_its_mean() -> None:
    draw = draws(6)
    stock, bought, price = draw.uniform(1, 9, (3, MARKETS, PLACES))
    bought[1, 1] = 0.0
    spent, before = 4.0 * bought, price.copy()
    mix_price(1, MARKETS, spent, bought, stock[:, :, None], price)
    held = np.maximum(stock, bought)
    expected = ((held - bought) * before + spent) / held
    np.testing.assert_allclose(price[1:], expected[1:], rtol=1e-12)
    np.testing.assert_array_equal(price[0], before[0])
    assert price[1, 1] == before[1, 1]


def test_mean_prices_and_money_are_those_of_the_purchases() -> None:
    draw = draws(7)
    places = (MARKETS, PLACES)
    spent, rebate, bought, price, choke = draw.uniform(1, 9, (5, *places))
    bought[1] = spent[1] = rebate[1] = 0.0
    mean = mean_price(spent, bought, price, choke)
    with np.errstate(invalid="ignore"):
        usual, net = spent / bought, (spent - rebate) / bought
    expected = np.where(bought > 0, usual, np.minimum(price, choke))
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    origin, risk, duty, rent, exporters, traders, treasury = draw.uniform(size=(7, *places))
    found = np.full((10, *places), np.nan)
    measure_money(
        found, mean, rebate, origin, bought, risk, spent, duty, rent, exporters, traders, treasury,
        1e3,
    )  # fmt: skip
    money = 1e3 * np.array([spent, duty, rent, exporters + traders, treasury])
    paid = np.where(bought > 0, net, mean)
    np.testing.assert_allclose(found, [mean, paid, origin, bought, risk, *money], rtol=1e-12)


def test_states_pay_for_what_they_take_and_hold() -> None:
    draw = draws(8)
    price = draw.uniform(1, 9, (MARKETS, PLACES))
    taken, stock = draw.uniform(1, 9, (2, MARKETS, PLACES, GROUPS))
    purchases, holding = cost_of_stockpiles(1, price, taken, stock, 0.02)
    later = np.array([0.0, 1.0, 1.0])[:, None]
    np.testing.assert_allclose(purchases, later * price * taken[:, :, -1], rtol=1e-12)
    np.testing.assert_allclose(holding, 0.02 * later * price * stock[:, :, -1], rtol=1e-12)


def test_final_users_see_the_prices_of_what_they_buy() -> None:
    draw = draws(9)
    price, reference, of_stage = draw.uniform(1, 9, (3, MARKETS, PLACES))
    of_world = draw.dirichlet(np.ones(PLACES), 2)
    of_world[0, 2] = 0.0
    dear = np.zeros((2, PLACES))
    np.add.at(dear, MINERAL, of_stage * price / reference)
    mean = (of_world * dear).sum(axis=1)
    dear[0, 2] = mean[0]
    found = compare_prices(price, reference, of_stage, of_world, MINERAL)
    np.testing.assert_allclose(found, dear, rtol=1e-12)


def test_measures_of_suppliers_are_those_of_the_flows(tiny_world: World) -> None:
    """Month by month, from the flows alone."""
    model = model_of(quiet_config(years=1), tiny_world)
    for month in range(3):
        model.step()
        shown = {name: values[month] for name, values in model.record.measures.items()}
        flow = model.last_flow
        bought = flow.sum(axis=1)
        np.testing.assert_allclose(shown["purchases_t"], bought, rtol=1e-12)
        abroad = flow * (1 - np.eye(PLACES))
        np.testing.assert_allclose(shown["exports_t"], abroad.sum(axis=2), rtol=1e-9, atol=1e-9)
        buys = bought > 0
        shares = flow / np.where(buys, bought, np.nan)[:, None, :]
        np.testing.assert_allclose(shown["supplier_hhi"], 1e4 * (shares**2).sum(axis=1))
        imported = (abroad / np.where(buys, bought, np.nan)[:, None, :]).sum(axis=1)
        np.testing.assert_allclose(shown["import_reliance"], imported, atol=1e-12)
        outside = shares[:, tiny_world.non_allied].sum(axis=1)
        np.testing.assert_allclose(shown["non_allied_share"], outside)
