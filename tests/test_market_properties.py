"""Laws of any market, on markets that hypothesis draws."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from abm.market import Clearing, Problem, clear
from tests.batches import batch, limited, limits_of
from tests.markets import market, with_bids, with_limits
from tests.reference import Reference

seeds = st.integers(0, 10**6)
few = settings(max_examples=40, deadline=None, derandomize=True)


def drawn(seed: int, size: tuple[int, int] | None = None) -> Problem:
    """A market with bids, steps, floors, a quota, a licence and sometimes a small dispersion."""
    rng = np.random.default_rng(seed)
    size = size or (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    problem = with_bids(market(rng, *size), rng)
    _, origins, destinations = problem.shape
    high = np.where(rng.random(problem.low_ask.size) < 0.3, problem.low_ask, problem.high_ask)
    floor = np.where(rng.random(problem.log_weight.shape) < 0.2, rng.uniform(5, 20), 0.0)
    i = int(rng.integers(origins))
    quota = rng.uniform(0.0, 15.0)
    return with_limits(
        replace(
            problem,
            high_ask=high,
            floor_price=floor,
            dispersion=np.array([10.0 ** rng.uniform(-2, 0.7)]),
        ),
        (quota, [(i, j) for j in range(destinations)]),
        (rng.uniform(0.5, 10.0), [(k, 0) for k in range(origins)]),
    )


def specific(problem: Problem) -> Problem:
    """The market without ad-valorem wedges."""
    return replace(problem, price_factor=np.ones_like(problem.price_factor))


def substitutes(problem: Problem, found: Clearing) -> bool:
    """Whether dearer tonnes of one origin raise the sales of the others, at every destination.

    They do where demand loses less than demand / dispersion per dollar; where it loses more, a
    dearer origin takes so much off the total that the others sell less too.
    """
    reference = Reference(problem)
    step = 1e-5
    for j, price in enumerate(found.landed_price[0]):
        fall = reference.demand(j, price - step) - reference.demand(j, price + step)
        if fall / (2.0 * step) >= reference.demand(j, price) / problem.dispersion[0]:
            return False
    return True


def assert_same_flows(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_allclose(first, second, atol=2e-7 * max(second.sum(), 1e-300))


def assert_same_prices(first: Clearing, second: Clearing) -> None:
    """Landed prices wherever something is bought; what nobody buys has no single price."""
    bought = second.demand > 1e-4 * second.demand.sum()
    np.testing.assert_allclose(first.landed_price[bought], second.landed_price[bought], rtol=1e-6)


def certified(problem: Problem) -> Clearing:
    found = clear(problem)
    assert found.residual[0] <= 1e-9
    return found


@few
@given(seeds)
def test_tonnes_are_conserved(seed: int) -> None:
    problem = drawn(seed)
    found = certified(problem)
    volume = found.flow.sum()
    np.testing.assert_allclose(found.flow[0].sum(axis=0), found.demand[0], atol=1e-12 * volume)
    sold = np.add.reduceat(found.sales, problem.firm_offset[0, :-1])
    np.testing.assert_allclose(found.flow[0].sum(axis=1), sold, atol=1e-9 * volume)
    assert (found.sales <= problem.capacity * (1 + 1e-12)).all()


@few
@given(seeds)
def test_the_names_of_countries_do_not_matter(seed: int) -> None:
    problem = drawn(seed)
    rng = np.random.default_rng(seed)
    _, origins, destinations = problem.shape
    to_i, to_j = rng.permutation(origins), rng.permutation(destinations)
    offset = problem.firm_offset[0]
    firms = np.concatenate([np.arange(offset[i], offset[i + 1]) for i in to_i])
    counts = np.diff(offset)[to_i]
    arcs = ("log_weight", "price_factor", "price_addition", "floor_price")
    needs = ("need", "reference_price", "elasticity", "backstop_price", "choke_price")
    bids = ("bid_quantity", "bid_low", "bid_high")
    moved = replace(
        problem,
        firm_offset=np.concatenate([[0], np.cumsum(counts)])[None],
        limit_origin=np.argsort(to_i)[problem.limit_origin],
        limit_destination=np.argsort(to_j)[problem.limit_destination],
        **{name: getattr(problem, name)[firms] for name in ("capacity", "low_ask", "high_ask")},
        **{name: getattr(problem, name)[:, to_i][:, :, to_j] for name in arcs},
        **{name: getattr(problem, name)[:, to_j] for name in needs + bids},
    )
    here, there = certified(problem), certified(moved)
    assert_same_flows(there.flow[0], here.flow[0][to_i][:, to_j])
    assert_same_prices(there, replace(here, **{
        name: getattr(here, name)[:, to_j] for name in ("demand", "landed_price")
    }))  # fmt: skip


@few
@given(seeds)
def test_the_order_of_an_origins_firms_does_not_matter(seed: int) -> None:
    problem = drawn(seed)
    rng = np.random.default_rng(seed)
    offset = problem.firm_offset[0]
    order = np.concatenate([rng.permutation(np.arange(*ends)) for ends in pairwise(offset)])
    firms = {name: getattr(problem, name)[order] for name in ("capacity", "low_ask", "high_ask")}
    here, there = certified(problem), certified(replace(problem, **firms))
    assert_same_flows(there.flow, here.flow)
    assert_same_flows(there.sales, here.sales[order])
    assert_same_prices(there, here)


@few
@given(seeds, st.floats(-6, 6), st.floats(-4, 4))
def test_units_do_not_matter(seed: int, tonnes: float, money: float) -> None:
    problem = drawn(seed)
    t, p = 10.0**tonnes, 10.0**money
    amounts = ("capacity", "need", "bid_quantity", "limit")
    prices = (
        "low_ask", "high_ask", "reference_price", "backstop_price", "choke_price", "bid_low",
        "bid_high", "dispersion", "price_addition", "floor_price",
    )  # fmt: skip
    scaled = replace(
        problem,
        **{name: getattr(problem, name) * t for name in amounts},
        **{name: getattr(problem, name) * p for name in prices},
    )
    here, there = certified(problem), certified(scaled)
    assert_same_flows(there.flow / t, here.flow)
    assert_same_prices(replace(there, landed_price=there.landed_price / p), here)


@few
@given(seeds)
def test_splitting_a_firm_in_two_changes_nothing(seed: int) -> None:
    problem = drawn(seed)
    capacity = np.concatenate([[0.3 * problem.capacity[0]], problem.capacity])
    capacity[1] *= 0.7
    offset = problem.firm_offset + 1
    offset[0, 0] = 0
    split = replace(
        problem,
        capacity=capacity,
        low_ask=np.concatenate([problem.low_ask[:1], problem.low_ask]),
        high_ask=np.concatenate([problem.high_ask[:1], problem.high_ask]),
        firm_offset=offset,
    )
    whole, parts = certified(problem), certified(split)
    assert_same_flows(parts.flow, whole.flow)
    assert_same_flows(parts.sales[:2].sum(keepdims=True), whole.sales[:1])


@few
@given(seeds)
def test_two_alike_destinations_are_one_of_twice_the_size(seed: int) -> None:
    problem = drawn(seed)
    last = problem.shape[2] - 1
    both = np.append(np.arange(last + 1), last)
    arcs = ("log_weight", "price_factor", "price_addition", "floor_price")
    places = (
        "need", "reference_price", "elasticity", "backstop_price", "choke_price", "bid_quantity",
        "bid_low", "bid_high",
    )  # fmt: skip
    twins = replace(
        problem,
        **{name: getattr(problem, name)[:, :, both] for name in arcs},
        **{name: getattr(problem, name)[:, both] for name in places},
    )
    shared = [
        (tonnes, group + [(b, i, last + 1) for b, i, j in group if j == last])
        for tonnes, group in limits_of(problem)
    ]
    double = np.where(np.arange(last + 1) == last, 2.0, 1.0)[None, :, None]
    merged = replace(
        problem, need=problem.need * double, bid_quantity=problem.bid_quantity * double
    )
    apart, together = certified(limited(twins, shared)), certified(merged)
    flow = apart.flow[:, :, :-1].copy()
    flow[:, :, last] += apart.flow[:, :, -1]
    assert_same_flows(flow, together.flow)
    assert_same_prices(replace(apart, landed_price=apart.landed_price[:, :-1]), together)


@few
@given(seeds, st.booleans())
def test_a_ban_is_a_tax_that_nobody_pays(seed: int, ad_valorem: bool) -> None:
    """Origin 0 stops selling to destination 0, by ban, by closing the arc and by an export tax."""
    problem = drawn(seed, (3, 3))
    name, tax = ("price_factor", 1e4) if ad_valorem else ("price_addition", 1e5)
    wedge = getattr(problem, name).copy()
    wedge[0, 0, 0] = tax
    weight = problem.log_weight.copy()
    weight[0, 0, 0] = -np.inf
    banned = certified(limited(problem, [*limits_of(problem), (0.0, [(0, 0, 0)])]))
    for stopped in (replace(problem, log_weight=weight), replace(problem, **{name: wedge})):
        found = certified(stopped)
        assert_same_flows(found.flow, banned.flow)
        assert_same_prices(found, banned)
    assert banned.flow[0, 0, 0] == 0.0


@few
@given(seeds, st.floats(1.0, 3.0))
def test_more_supply_never_raises_a_landed_price(seed: int, factor: float) -> None:
    problem = specific(market(np.random.default_rng(seed)))
    capacity = problem.capacity.copy()
    capacity[0] *= factor
    before = certified(problem)
    after = certified(replace(problem, capacity=capacity))
    assume(substitutes(problem, before) and substitutes(problem, after))
    assert (after.landed_price <= before.landed_price + 1e-7).all()


@few
@given(seeds, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_tighter_export_quota_helps_nobody_abroad_and_home_never_pays_more(
    seed: int, share: float, tighter: float
) -> None:
    """Origin 0 sells at home (destination 0), only it does; its exports are limited.

    If others sold there too, tonnes that stay at home would push theirs out to other markets.
    """
    problem = specific(market(np.random.default_rng(seed)))
    weight = problem.log_weight.copy()
    weight[0, 1:, 0] = -np.inf
    problem = replace(problem, log_weight=weight)
    exports = [(0, 1), (0, 2)]
    free = certified(problem)
    quota = share * free.flow[0, 0, 1:].sum()
    some = certified(with_limits(problem, (quota, exports)))
    more = certified(with_limits(problem, (tighter * quota, exports)))
    assume(all(substitutes(problem, found) for found in (free, some, more)))
    for before, after in pairwise([free, some, more]):
        assert (after.landed_price[0, 1:] >= before.landed_price[0, 1:] - 1e-7).all()
        assert after.landed_price[0, 0] <= before.landed_price[0, 0] + 1e-7


@few
@given(seeds)
def test_a_limit_without_rent_may_be_dropped(seed: int) -> None:
    problem = drawn(seed)
    found = certified(problem)
    loose = (found.rent == 0.0) & (problem.limit > 0.0)
    kept = [limit for limit, idle in zip(limits_of(problem), loose, strict=True) if not idle]
    dropped = certified(limited(problem, kept))
    assert_same_flows(dropped.flow, found.flow)
    assert_same_prices(dropped, found)


@few
@given(seeds)
def test_the_start_does_not_decide_the_answer(seed: int) -> None:
    """With duties of at most 40 %; the next test shows what large ones can do."""
    problem = drawn(seed)
    other = replace(problem, need=problem.need * 3.0, limit=problem.limit * 0.2)
    warm, cold = clear(problem, start=clear(other)), certified(problem)
    assert_same_flows(warm.flow, cold.flow)
    assert_same_prices(warm, cold)


def mirrored_duties(first: float, second: float) -> tuple[Problem, np.ndarray]:
    """A market with two mirrored clearings, and the origin prices of both.

    Two origins sell 6 t each at any price above 1; two destinations bid for 12 t each and put a
    duty of 100 % on the farther origin. With a dispersion of 10, attraction exp(-price/10) of the
    origins is `first` and `second` at home, its square abroad. From these follow landed prices
    and, as each origin sells its 6 t, purchases; the bids' ramp is the line through both.
    """
    attraction = np.array([[first, first**2], [second**2, second]])  # [origin, destination]
    share = attraction / attraction.sum(axis=0)
    bought = np.linalg.solve(share, [6.0, 6.0])
    landed = -10.0 * np.log(attraction.sum(axis=0))
    width = 12.0 * (landed[0] - landed[1]) / (bought[1] - bought[0])
    nothing = landed[0] + width * bought[0] / 12.0
    none = np.zeros((1, 2, 0))
    problem = Problem(
        capacity=np.full(2, 6.0),
        low_ask=np.zeros(2),
        high_ask=np.ones(2),
        firm_offset=np.array([[0, 1, 2]]),
        need=none, reference_price=none, elasticity=none, backstop_price=none, choke_price=none,
        bid_quantity=np.full((1, 2, 1), 12.0),
        bid_low=np.full((1, 2, 1), nothing - width),
        bid_high=np.full((1, 2, 1), nothing),
        log_weight=np.zeros((1, 2, 2)),
        dispersion=np.array([10.0]),
        price_factor=np.array([[[1.0, 2.0], [2.0, 1.0]]]),
        price_addition=np.zeros((1, 2, 2)),
        floor_price=np.zeros((1, 2, 2)),
    )  # fmt: skip
    prices = -10.0 * np.log([[first, second], [second, first]])
    return problem, prices


def test_duties_can_leave_a_market_with_several_clearings() -> None:
    """Demand is steeper here than D/dispersion; freight instead of duties leaves one clearing."""
    duties, prices = mirrored_duties(0.6, 0.45)
    freight = replace(specific(duties), price_addition=5.0 * (duties.price_factor - 1.0))
    assert not substitutes(duties, clear(duties))
    landed = []
    for price in prices:
        excess = Reference(duties).excess(price, np.empty(0))
        np.testing.assert_allclose(excess, 0.0, atol=1e-11)
        start = replace(clear(duties), origin_price=price[None])
        np.testing.assert_allclose(clear(duties, start=start).origin_price[0], price, rtol=1e-9)
        landed.append(clear(freight, start=start).landed_price)
    assert abs(prices[0] - prices[1]).min() > 2.0
    np.testing.assert_allclose(landed[0], landed[1], rtol=1e-9)


@few
@given(st.lists(seeds, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_a_market_does_not_notice_its_batch(drawn_seeds: list[int], shuffle: Random) -> None:
    """Every bit is the same alone, in a batch, in another order, and on two threads."""
    problems = [drawn(seed, (3, 4)) for seed in drawn_seeds]
    order = shuffle.sample(range(len(problems)), len(problems))
    together = clear(batch(problems), threads=2)
    mixed = clear(batch([problems[n] for n in order]))
    per_market = ("origin_price", "flow", "delivered_price", "landed_price", "demand", "iterations")
    for place, n in enumerate(order):
        alone = clear(problems[n])
        for name in per_market:
            expected = getattr(alone, name)[0]
            np.testing.assert_array_equal(getattr(together, name)[n], expected)
            np.testing.assert_array_equal(getattr(mixed, name)[place], expected)
        np.testing.assert_array_equal(together.rent.reshape(-1, 2)[n], alone.rent)
        np.testing.assert_array_equal(mixed.rent.reshape(-1, 2)[place], alone.rent)
