"""Laws of any market, on markets that hypothesis draws."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.market import Clearing, Problem, clear
from tests.markets import market, with_bids, with_limits

seeds = st.integers(0, 10**6)
few = settings(max_examples=40, deadline=None, derandomize=True)


def drawn(seed: int) -> Problem:
    """A market with bids, steps, floors, a quota, a licence and sometimes a small dispersion."""
    rng = np.random.default_rng(seed)
    problem = with_bids(market(rng, int(rng.integers(1, 5)), int(rng.integers(1, 5))), rng)
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


def assert_same_flows(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_allclose(first, second, atol=2e-7 * max(second.sum(), 1e-300))


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
    assert_same_flows(certified(moved).flow[0], certified(problem).flow[0][to_i][:, to_j])


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
    assert_same_flows(certified(scaled).flow / t, certified(problem).flow)


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
@given(seeds, st.floats(1.0, 3.0))
def test_more_supply_never_raises_a_landed_price(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    problem = market(rng)
    problem = replace(problem, price_factor=np.ones_like(problem.price_factor))
    capacity = problem.capacity.copy()
    capacity[0] *= factor
    before = certified(problem).landed_price
    after = certified(replace(problem, capacity=capacity)).landed_price
    assert (after <= before + 1e-7).all()


@few
@given(seeds, st.floats(0.05, 0.95))
def test_a_tighter_export_quota_helps_nobody_abroad_and_home_never_pays_more(
    seed: int, share: float
) -> None:
    """Origin 0 sells at home (destination 0), only it does; its exports are limited."""
    problem = market(np.random.default_rng(seed))
    problem = replace(problem, price_factor=np.ones_like(problem.price_factor))
    weight = problem.log_weight.copy()
    weight[0, 1:, 0] = -np.inf
    problem = replace(problem, log_weight=weight)
    exports = [(0, 1), (0, 2)]
    before = certified(problem)
    quota = share * before.flow[0, 0, 1:].sum()
    after = certified(with_limits(problem, (quota, exports)))
    assert (after.landed_price[0, 1:] >= before.landed_price[0, 1:] - 1e-7).all()
    assert after.landed_price[0, 0] <= before.landed_price[0, 0] + 1e-7


@few
@given(seeds)
def test_a_limit_without_rent_may_be_dropped(seed: int) -> None:
    problem = drawn(seed)
    found = certified(problem)
    loose = (found.rent == 0.0) & (problem.limit > 0.0)
    kept = [
        (problem.limit[g], [(int(i), int(j)) for i, j in zip(
            problem.limit_origin[rows], problem.limit_destination[rows], strict=True)])
        for g in np.flatnonzero(~loose)
        for rows in [slice(problem.limit_offset[g], problem.limit_offset[g + 1])]
    ]  # fmt: skip
    assert_same_flows(certified(with_limits(problem, *kept)).flow, found.flow)


@few
@given(seeds)
def test_the_start_never_decides_the_answer(seed: int) -> None:
    problem = drawn(seed)
    other = replace(problem, need=problem.need * 3.0, limit=problem.limit * 0.2)
    assert_same_flows(clear(problem, start=clear(other)).flow, certified(problem).flow)
