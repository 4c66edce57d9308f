"""The clearing core against a slow reference, identities, and its errors."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest

from abm.market import MarketNotCleared, Problem, clear
from tests.markets import market, stacked, with_bids, with_limits
from tests.reference import Reference


def all_from(origin: int, destinations: int = 3) -> list[tuple[int, int]]:
    return [(origin, j) for j in range(destinations)]


def random_limits(problem: Problem, rng: np.random.Generator) -> Problem:
    """A quota on one origin's exports, one on a corridor, and an overlapping licence."""
    _, origins, destinations = problem.shape
    free = clear(problem).flow[0]
    i, j = rng.integers(origins), rng.integers(destinations)
    exports = [(i, k) for k in range(destinations) if k != i]
    return with_limits(
        problem,
        (rng.uniform(0.2, 1.2) * free[i].sum(), exports),
        (rng.uniform(0.2, 1.2) * free[:, j].sum(), [(k, j) for k in range(origins)]),
        (rng.uniform(0.3, 2.0) * free[i, 0], [(i, 0)]),
    )


@pytest.mark.parametrize("seed", range(24))
def test_agrees_with_the_slow_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = market(rng, int(rng.integers(2, 5)), int(rng.integers(2, 5)))
    if seed % 2:
        problem = with_bids(problem, rng)
    if seed % 4 >= 2:
        problem = random_limits(problem, rng)
    found = clear(problem)
    reference = Reference(problem)
    flow, landed = reference.flow(*reference.clear())
    volume = flow.sum()
    np.testing.assert_allclose(found.flow[0], flow, atol=1e-7 * volume)
    served = flow.sum(axis=0) > 1e-6 * volume
    np.testing.assert_allclose(found.landed_price[0][served], landed[served], rtol=1e-6)


@pytest.mark.parametrize("seed", range(24))
def test_every_result_satisfies_the_conditions_it_claims(seed: int) -> None:
    """Recomputed from the problem's formulas: supply, demand, logit, limits, complementarity."""
    rng = np.random.default_rng(100 + seed)
    problem = with_bids(market(rng, 4, 4), rng)
    problem = random_limits(problem, rng)
    floor = np.where(rng.random(problem.log_weight.shape) < 0.2, 14.0, 0.0)
    problem = replace(problem, floor_price=floor)
    found = clear(problem)
    reference = Reference(problem)
    flow, landed = reference.flow(found.origin_price[0], found.rent)
    volume = flow.sum()
    np.testing.assert_allclose(found.flow[0], flow, atol=1e-9 * volume)
    np.testing.assert_allclose(found.landed_price[0], landed, rtol=1e-9)
    supply = [reference.supply(i, found.origin_price[0, i]) for i in range(4)]
    np.testing.assert_allclose(flow.sum(axis=1), supply, atol=2e-9 * volume)
    np.testing.assert_allclose(flow.sum(axis=0), found.demand[0], atol=1e-9 * volume)
    np.testing.assert_allclose(
        [found.sales[reference.firms(i)].sum() for i in range(4)], supply, atol=2e-9 * volume
    )
    used = np.array([flow[arcs].sum() for arcs in reference.limits])
    assert (used <= problem.limit + 1e-9 * volume).all()
    assert (found.rent >= 0).all()
    assert (np.minimum(found.rent, problem.limit - used) <= 1e-9 * volume).all()
    paid = (found.flow[0] * found.delivered_price[0]).sum(axis=0) / flow.sum(axis=0)
    np.testing.assert_allclose(found.average_price[0], paid, rtol=1e-12)


def test_opening_weights_reproduce_given_flows_and_prices() -> None:
    rng = np.random.default_rng(5)
    problem = market(rng)
    flow = rng.uniform(0.1, 5.0, (3, 3))
    origin_price = rng.uniform(5.0, 9.0, 3)
    delivered = problem.price_factor[0] * origin_price[:, None] + problem.price_addition[0]
    landed = rng.uniform(8.0, 12.0, 3)
    share = flow / flow.sum(axis=0)
    problem = replace(
        problem,
        capacity=flow.sum(axis=1) / 0.8,
        low_ask=origin_price - 0.8 * 3.0,
        high_ask=origin_price + 0.2 * 3.0,
        firm_offset=np.arange(4)[None],
        need=np.stack([flow.sum(axis=0) * 0.3, flow.sum(axis=0) * 0.7], axis=-1)[None],
        reference_price=np.repeat(landed, 2).reshape(1, 3, 2),
        log_weight=(np.log(share) + (delivered - landed) / problem.dispersion[0])[None],
    )
    found = clear(problem)
    np.testing.assert_allclose(found.flow[0], flow, rtol=1e-9)
    np.testing.assert_allclose(found.origin_price[0], origin_price, rtol=1e-9)
    np.testing.assert_allclose(found.landed_price[0], landed, rtol=1e-9)


def test_a_quota_binds_exactly_and_splits_prices_by_destination() -> None:
    problem = market(np.random.default_rng(1))
    free = clear(problem)
    exports = [(0, 1), (0, 2)]
    quota = 0.5 * (free.flow[0, 0, 1] + free.flow[0, 0, 2])
    found = clear(with_limits(problem, (quota, exports)))
    assert found.flow[0, 0, 1:].sum() == pytest.approx(quota, rel=1e-9)
    assert found.rent[0] > 0.0
    abroad = found.landed_price[0, 1:] - free.landed_price[0, 1:]
    assert (abroad > 0.0).all()
    assert found.origin_price[0, 0] <= free.origin_price[0, 0]
    assert found.landed_price[0, 0] < free.landed_price[0, 0] + abroad.min()


def test_a_ban_equals_a_prohibitive_tax() -> None:
    problem = with_bids(market(np.random.default_rng(2)), np.random.default_rng(3))
    banned = clear(with_limits(problem, (0.0, [(1, 0), (1, 2)])))
    addition = problem.price_addition.copy()
    addition[0, 1, [0, 2]] += 1e4
    taxed = clear(replace(problem, price_addition=addition))
    np.testing.assert_allclose(banned.flow, taxed.flow, atol=1e-8)
    np.testing.assert_allclose(banned.landed_price, taxed.landed_price, rtol=1e-9)
    assert banned.rent[0] == 0.0
    assert np.isnan(banned.delivered_price[0, 1, 0])


def test_a_limit_that_does_not_bind_changes_nothing() -> None:
    problem = market(np.random.default_rng(4))
    free = clear(problem)
    loose = clear(with_limits(problem, (free.flow[0, 0].sum() * 1.01, all_from(0))))
    assert loose.rent[0] == 0.0
    np.testing.assert_allclose(loose.flow, free.flow, rtol=1e-9)


def test_redundant_and_nested_limits_act_as_the_tightest() -> None:
    problem = market(np.random.default_rng(6))
    quota = 0.4 * clear(problem).flow[0, 0].sum()
    one = clear(with_limits(problem, (quota, all_from(0))))
    twice = clear(with_limits(problem, (quota, all_from(0)), (quota, all_from(0))))
    nested = clear(with_limits(problem, (1.5 * quota, all_from(0)), (quota, all_from(0))))
    for found in (twice, nested):
        np.testing.assert_allclose(found.flow, one.flow, atol=1e-9 * one.flow.sum())
        assert found.rent.sum() == pytest.approx(one.rent[0], rel=1e-6)


def test_overlapping_rents_add_up_in_the_delivered_price() -> None:
    problem = market(np.random.default_rng(7))
    free = clear(problem)
    limits = (0.5 * free.flow[0, 0].sum(), all_from(0)), (0.1 * free.flow[0, 0, 1], [(0, 1)])
    found = clear(with_limits(problem, *limits))
    assert (found.rent > 0.0).all()
    bare = problem.price_factor[0, 0] * found.origin_price[0, 0] + problem.price_addition[0, 0]
    rents = np.array([found.rent[0], found.rent.sum(), found.rent[0]])
    np.testing.assert_allclose(found.delivered_price[0, 0], bare + rents, rtol=1e-12)


def test_a_binding_floor_is_paid_by_buyers_and_shields_the_rest() -> None:
    problem = market(np.random.default_rng(8))
    free = clear(problem)
    floor = np.zeros((1, 3, 3))
    floor[0, 1, 0] = free.delivered_price[0, 1, 0] + 3.0
    found = clear(replace(problem, floor_price=floor))
    assert found.delivered_price[0, 1, 0] == pytest.approx(floor[0, 1, 0])
    assert found.flow[0, 1, 0] < free.flow[0, 1, 0]
    assert found.landed_price[0, 0] > free.landed_price[0, 0]


def test_a_limit_under_a_binding_floor_needs_rent_above_the_floor() -> None:
    problem = market(np.random.default_rng(8))
    floor = np.full((1, 3, 3), 16.0)
    shielded = clear(replace(problem, floor_price=floor))
    quota = 0.5 * shielded.flow[0, 0, 0]
    found = clear(with_limits(replace(problem, floor_price=floor), (quota, [(0, 0)])))
    assert found.flow[0, 0, 0] == pytest.approx(quota, rel=1e-8)
    assert found.delivered_price[0, 0, 0] > 16.0


def test_steps_of_supply_sell_pro_rata_at_their_ask() -> None:
    problem = market(np.random.default_rng(9))
    capacity = np.array([30.0, 10.0, 60.0, 50.0])
    ask = np.array([6.0, 6.0, 7.0, 8.0])
    problem = replace(
        problem,
        capacity=capacity,
        low_ask=ask,
        high_ask=ask,
        firm_offset=np.array([[0, 2, 3, 4]]),
    )
    found = clear(problem)
    assert found.residual[0] < 1e-9
    assert found.origin_price[0, 0] == 6.0
    assert 0.0 < found.sales[0] < 30.0
    assert found.sales[0] / 30.0 == pytest.approx(found.sales[1] / 10.0)
    np.testing.assert_allclose(
        [found.sales[:2].sum(), *found.sales[2:]], found.flow[0].sum(axis=1), rtol=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("firms", [3, 120, 140, 3000])
def test_every_firm_sells_what_its_ask_says_at_the_price(firms: int, seed: int) -> None:
    """However many there are, in whatever order: equal asks, steps, subsidised and absurd ones."""
    rng = np.random.default_rng(seed)
    low = rng.normal(5.0, 3.0, firms) * 10.0 ** rng.choice([0, -9, 6], firms, p=[0.8, 0.1, 0.1])
    low[rng.random(firms) < 0.3] = np.array([0.0, -0.0, 5.0])[seed % 3]
    width = rng.uniform(0.1, 4.0, firms) * (rng.random(firms) < 0.7)
    problem = replace(
        market(rng, 1, 1),
        capacity=rng.uniform(0.0, 2.0, firms),
        low_ask=low,
        high_ask=low + width,
        firm_offset=np.array([[0, firms]]),
        need=np.full((1, 1, 2), 0.3 * firms),
        price_factor=np.ones((1, 1, 1)),
    )
    found = clear(problem)
    price, ramp = found.origin_price[0, 0], np.maximum(width, 1e-300)
    offered = problem.capacity * np.clip((price - low) / ramp, 0.0, 1.0)
    upright = (width == 0.0) & (np.abs(low - price) < 1e-9)
    np.testing.assert_allclose(found.sales[~upright], offered[~upright], atol=1e-8 * firms)
    assert (found.sales[upright] <= problem.capacity[upright]).all()
    assert found.sales.sum() == pytest.approx(found.demand.sum(), rel=1e-8)


def test_a_warm_start_finds_the_same_clearing_sooner() -> None:
    rng = np.random.default_rng(10)
    problem = with_limits(market(rng, 4, 4), (3.0, all_from(0, 4)))
    moved = replace(problem, need=problem.need * 1.03)
    cold = clear(moved)
    warm = clear(moved, start=clear(problem))
    assert warm.iterations[0] <= cold.iterations[0]
    np.testing.assert_allclose(warm.flow, cold.flow, atol=1e-9 * cold.flow.sum())


@pytest.mark.parametrize("moved", [1.0, 1.03, 0.25, 4.0])
def test_a_start_near_or_far_finds_the_clearing_of_many_firms(moved: float) -> None:
    """Whether the price stays where supply was drawn at first or leaves it, up or down."""
    rng = np.random.default_rng(14)
    origins, firms = 3, 90
    problem = market(rng, origins, 4)
    low = rng.uniform(2.0, 14.0, firms)
    width = np.where(rng.random(firms) < 0.4, 0.0, rng.uniform(0.01, 3.0, firms))
    problem = replace(
        problem,
        capacity=rng.lognormal(-1.0, 1.0, firms) * (rng.random(firms) < 0.9),
        low_ask=low,
        high_ask=low + width,
        firm_offset=np.array([[0, 40, 80, 90]]),
    )
    problem = with_limits(problem, (0.5 * clear(problem).flow[0, 0].sum(), all_from(0, 4)))
    elsewhere = clear(replace(problem, need=problem.need * moved))
    cold, warm = clear(problem), clear(problem, start=elsewhere)
    assert not warm.fell_back.any()
    np.testing.assert_allclose(warm.origin_price, cold.origin_price, rtol=1e-7)
    np.testing.assert_allclose(warm.flow, cold.flow, atol=1e-8 * cold.flow.sum())
    np.testing.assert_allclose(warm.sales, cold.sales, atol=1e-8 * cold.sales.sum())
    np.testing.assert_allclose(
        np.add.reduceat(warm.sales, [0, 40, 80]), warm.flow[0].sum(axis=1), rtol=1e-7
    )


def test_a_batch_clears_each_market_as_if_alone() -> None:
    rng = np.random.default_rng(11)
    problems = [market(rng) for _ in range(5)]
    together = clear(stacked(problems))
    for b, problem in enumerate(problems):
        alone = clear(problem)
        np.testing.assert_array_equal(together.flow[b], alone.flow[0])
        np.testing.assert_array_equal(together.origin_price[b], alone.origin_price[0])


def test_a_destination_without_supplier_goes_without_where_demand_chokes() -> None:
    problem = market(np.random.default_rng(12))
    weight = problem.log_weight.copy()
    weight[0, :, 1] = -np.inf
    found = clear(replace(problem, log_weight=weight))
    assert found.demand[0, 1] == 0.0
    assert found.landed_price[0, 1] == np.inf
    assert np.isnan(found.average_price[0, 1])


def test_origins_without_capacity_are_closed() -> None:
    problem = market(np.random.default_rng(13))
    capacity = problem.capacity.copy()
    capacity[: problem.firm_offset[0, 1]] = 0.0
    found = clear(replace(problem, capacity=capacity))
    assert np.isnan(found.origin_price[0, 0])
    assert (found.flow[0, 0] == 0.0).all()


def test_nothing_wanted_and_nothing_offered_clear_at_zero() -> None:
    problem = market(np.random.default_rng(14))
    idle = clear(replace(problem, need=np.zeros_like(problem.need)))
    assert idle.flow.sum() == 0.0
    assert idle.sales.sum() == 0.0
    bare = clear(replace(problem, capacity=np.zeros_like(problem.capacity)))
    assert bare.flow.sum() == 0.0


def test_demand_that_nothing_chokes_and_nobody_serves_names_the_destination() -> None:
    problem = market(np.random.default_rng(15))
    endless = np.full_like(problem.choke_price, np.inf)
    problem = replace(
        problem,
        backstop_price=endless,
        choke_price=endless,
        market_names=("gallium refined",),
        country_names=("CHN", "USA", "DEU"),
    )
    banned = with_limits(problem, (0.0, [(0, 1), (1, 1), (2, 1)]))
    with pytest.raises(MarketNotCleared, match=r"gallium refined, month 2027-03.*USA") as caught:
        clear(banned, where="month 2027-03")
    assert caught.value.market == (0,)


def test_an_impossible_market_is_an_error_with_residual_and_tolerance() -> None:
    problem = market(np.random.default_rng(16))
    endless = np.full_like(problem.choke_price, np.inf)
    rigid = replace(
        problem,
        backstop_price=endless,
        choke_price=endless,
        elasticity=np.zeros_like(endless),
        need=problem.need * 1e3,
    )
    with pytest.raises(MarketNotCleared, match=r"market 0, month 3, .*residual .*tolerance 1e-09"):
        clear(rigid, where="month 3")


NUMBERS = [
    f.name for f in fields(Problem) if f.name not in ("market_names", "country_names")
    and not f.name.startswith(("limit_", "firm_offset"))
]  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_nan_is_refused_by_name(name: str) -> None:
    problem = with_limits(
        with_bids(market(np.random.default_rng(17)), np.random.default_rng(18)), (1.0, [(0, 0)])
    )
    values = getattr(problem, name).copy()
    values.flat[-1] = np.nan
    with pytest.raises(ValueError, match=rf"Problem\.{name}\["):
        clear(replace(problem, **{name: values}))


@pytest.mark.parametrize("place", range(5))
def test_threads_leave_no_figure_unseen(place: int) -> None:
    """Each looks over a part of the figures, and the parts are the whole."""
    five = stacked([market(np.random.default_rng(seed)) for seed in range(5)])
    dispersion = five.dispersion.copy()
    dispersion[place] = np.nan
    firm = five.firm_offset[place, 0]
    for threads in (1, 2, 3):
        with pytest.raises(ValueError, match=rf"Problem\.dispersion\[{place}\]"):
            clear(replace(five, dispersion=dispersion), threads=threads)
        low_ask = five.low_ask.copy()
        low_ask[firm] = five.high_ask[firm] + 1.0
        with pytest.raises(ValueError, match=rf"Problem\.high_ask\[{firm}\]"):
            clear(replace(five, low_ask=low_ask), threads=threads)


@pytest.mark.parametrize("name", ["capacity", "need", "elasticity", "bid_quantity", "limit"])
def test_negative_amounts_are_refused_by_name(name: str) -> None:
    problem = with_limits(
        with_bids(market(np.random.default_rng(17)), np.random.default_rng(18)), (1.0, [(0, 0)])
    )
    values = getattr(problem, name).copy()
    values.flat[0] = -1.0
    with pytest.raises(ValueError, match=rf"Problem\.{name}.* is -1.0; it must not be negative"):
        clear(replace(problem, **{name: values}))


def test_shapes_that_do_not_fit_are_refused_by_name() -> None:
    problem = market(np.random.default_rng(19))
    with pytest.raises(ValueError, match=r"price_factor has shape \(1, 2, 3\)"):
        clear(replace(problem, price_factor=np.ones((1, 2, 3))))
    with pytest.raises(ValueError, match="same arc twice"):
        clear(with_limits(problem, (1.0, [(0, 0), (0, 0)])))
    with pytest.raises(ValueError, match="start"):
        clear(problem, start=clear(market(np.random.default_rng(1), 2, 2)))


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_threads_give_the_same_bits(threads: int) -> None:
    problem = stacked([market(np.random.default_rng(seed)) for seed in range(50)])
    alone, shared = clear(problem), clear(problem, threads=threads)
    for name in ("origin_price", "flow", "delivered_price", "sales", "residual", "iterations"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name))


def test_used_memory_leaves_no_trace() -> None:
    """A clearing is the same to the last bit whatever was cleared before it, and on two threads."""
    problems = [
        random_limits(market(np.random.default_rng(seed)), np.random.default_rng(seed))
        for seed in range(6)
    ]
    fresh = [clear(problem) for problem in problems]
    stubborn = replace(
        problems[0], need=1e6 * problems[0].need, dispersion=1e-4 * problems[0].dispersion
    )
    clear(stubborn, tolerance=1e-6)
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(clear, reversed(problems)))
    for before, after in zip(fresh, reversed(again), strict=True):
        names = [part.name for part in fields(before) if part.name != "problem"]
        for name in [*names, "unmet"]:
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
