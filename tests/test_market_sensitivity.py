"""Derivatives of a clearing against differences of clearings, and against themselves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from abm.market import Clearing, Problem, clear, no_limits
from abm.market.sensitivity import NUMBERS, RESULTS, Sensitivity
from tests.markets import market, stacked, with_bids, with_limits

STEP = 5e-5


def drawn(seed: int, origins: int = 4, destinations: int = 4) -> Problem:
    """A random market with bids, steps, floors, ad-valorem wedges and overlapping limits."""
    rng = np.random.default_rng(seed)
    problem = with_bids(market(rng, origins, destinations), rng)
    steps = rng.random(problem.low_ask.size) < 0.4
    problem = replace(
        problem,
        high_ask=np.where(steps, problem.low_ask, problem.high_ask),
        price_factor=1.0 + rng.uniform(0.0, 0.4, problem.log_weight.shape),
        floor_price=np.where(rng.random(problem.log_weight.shape) < 0.2, 14.0, 0.0),
    )
    flow = clear(problem).flow[0]
    return with_limits(
        problem,
        (0.6 * flow[0].sum(), [(0, j) for j in range(destinations)]),
        (0.5 * flow[:, 1].sum(), [(i, 1) for i in range(origins)]),
        (0.3 * flow[0, 2], [(0, 2)]),
        (2.0 * flow[1].sum(), [(1, j) for j in range(destinations)]),
    )


def sensitivity_of(problem: Problem, **near: float) -> Sensitivity:
    return Sensitivity(problem, clear(problem, tolerance=1e-12), **near)


def direction(problem: Problem, rng: np.random.Generator, *names: str) -> dict[str, np.ndarray]:
    """A random change of numbers, each by about its own size; a step's two asks move together."""
    change = {}
    for name in names or NUMBERS:
        values = getattr(problem, name)
        size = np.where(np.isfinite(values), np.abs(values), 0.0) + (name == "log_weight")
        change[name] = size * rng.normal(0.0, 1.0, values.shape)
    if {"low_ask", "high_ask"} <= change.keys():
        step = problem.high_ask == problem.low_ask
        change["high_ask"] = np.where(step, change["low_ask"], change["high_ask"])
    return change


def shifted(problem: Problem, change: dict[str, np.ndarray], length: float) -> Problem:
    return replace(problem, **{n: getattr(problem, n) + length * c for n, c in change.items()})


def moved(problem: Problem, change: dict[str, np.ndarray], length: float) -> Clearing:
    return clear(shifted(problem, change, length), tolerance=1e-13)


def difference(problem: Problem, change: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Central differences of every result, free of the error of second order."""
    ends = {k: moved(problem, change, k * STEP) for k in (-2, -1, 1, 2)}
    slope = {}
    for name in RESULTS:
        at = {k: np.nan_to_num(getattr(end, name), posinf=0.0) for k, end in ends.items()}
        slope[name] = (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * STEP)
    return slope


def assert_close(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name in RESULTS:
        size = np.abs(wanted[name]).max(initial=1e-3)
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6 * size, err_msg=name)


def dot(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> tuple[float, float]:
    """The sum of products over the names of `first`, and that of their sizes."""
    products = [first[name] * np.broadcast_to(second[name], first[name].shape) for name in first]
    return sum(float(p.sum()) for p in products), sum(float(np.abs(p).sum()) for p in products)


def assert_transposed(sensitivity: Sensitivity, problem: Problem, seed: int) -> None:
    """Forward and adjoint are one linear map: <weight, forward change> = <adjoint weight, change>.

    A transposition is exact, so that any change and weight will do.
    """
    rng = np.random.default_rng(seed)
    change = direction(problem, rng)
    moved_by = sensitivity.forward(change)
    weight = {name: rng.normal(size=moved_by[name].shape) for name in RESULTS}
    there, size = dot(weight, moved_by)
    back, other = dot(sensitivity.adjoint(weight), change)
    assert there == pytest.approx(back, abs=1e-10 * max(size, other))


GROUPS = [
    ("capacity",),
    ("low_ask", "high_ask"),
    ("need", "reference_price", "elasticity"),
    ("backstop_price", "choke_price"),
    ("bid_quantity", "bid_low", "bid_high"),
    ("log_weight",),
    ("dispersion",),
    ("price_factor", "price_addition"),
    ("floor_price",),
    ("limit",),
    NUMBERS,
]


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_differences_of_clearings(seed: int) -> None:
    """Markets too near a kink for a difference are passed over; the next test counts them."""
    problem = drawn(seed)
    sensitivity = sensitivity_of(problem, near=1e-3)
    if sensitivity.kinks.any():
        return
    rng = np.random.default_rng(seed)
    for names in GROUPS:
        change = direction(problem, rng, *names)
        assert_close(sensitivity.forward(change), difference(problem, change))


def test_the_markets_compared_have_every_feature_and_few_are_near_kinks() -> None:
    problems = [drawn(seed) for seed in range(12)]
    cases = [(p, clear(p)) for p in problems if not sensitivity_of(p, near=1e-3).kinks.any()]
    assert len(cases) >= 9
    assert sum((found.rent > 0.0).sum() for _, found in cases) > 2 * len(cases)
    at_step = [np.isin(found.origin_price[0], p.low_ask[p.low_ask == p.high_ask]).sum()
               for p, found in cases]  # fmt: skip
    assert sum(at_step) > 3
    lifted = [(found.delivered_price == p.floor_price).sum() for p, found in cases]
    assert sum(lifted) > 3
    assert sum((found.landed_price[:, :, None] > p.backstop_price).sum() for p, found in cases) > 0


@pytest.mark.parametrize("seed", range(12))
def test_adjoint_is_the_transpose_of_forward(seed: int) -> None:
    problem = drawn(seed)
    assert_transposed(sensitivity_of(problem), problem, seed)


def test_gradient_entry_by_entry_against_differences() -> None:
    """Each freight and each log weight alone, on what one destination pays."""
    problem = drawn(0)
    sensitivity = sensitivity_of(problem, near=1e-3)
    assert not sensitivity.kinks.any()
    gradient = sensitivity.adjoint({"average_price": np.array([[0.0, 1.0, 0.0, 0.0]])})
    for name in ("price_addition", "log_weight"):
        for i, j in ((0, 1), (2, 1), (3, 3)):
            unit = np.zeros(problem.log_weight.shape)
            unit[0, i, j] = 1.0
            slope = difference(problem, {name: unit})["average_price"][0, 1]
            assert gradient[name][0, i, j] == pytest.approx(slope, rel=1e-6, abs=1e-9)


# --- Closed forms ---------------------------------------------------------------------------------


def linear_market(**numbers: np.ndarray) -> Problem:
    """Supply 5 (p - 2) up to 100 t, demand 5 (30 - P), one arc with a freight of 4 USD/kg."""
    lone = np.zeros((1, 1, 0))
    one = np.ones((1, 1, 1))
    problem = Problem(
        capacity=np.array([100.0]), low_ask=np.array([2.0]), high_ask=np.array([22.0]),
        firm_offset=np.array([[0, 1]]),
        need=lone, reference_price=lone, elasticity=lone, backstop_price=lone, choke_price=lone,
        bid_quantity=100.0 * one, bid_low=10.0 * one, bid_high=30.0 * one,
        log_weight=0.0 * one, dispersion=np.array([0.5]),
        price_factor=one, price_addition=4.0 * one, floor_price=0.0 * one,
    )  # fmt: skip
    return replace(problem, **numbers)


def test_linear_market_by_hand() -> None:
    """Half of a freight falls on each side, since supply and demand are equally steep."""
    change = sensitivity_of(linear_market()).forward({"price_addition": np.array(1.0)})
    assert change["origin_price"][0, 0] == pytest.approx(-0.5)
    assert change["landed_price"][0, 0] == pytest.approx(0.5)
    assert change["flow"][0, 0, 0] == pytest.approx(-2.5)


def test_a_seller_at_capacity_bears_all_of_a_freight() -> None:
    full = linear_market(capacity=np.array([20.0]), high_ask=np.array([6.0]))
    change = sensitivity_of(full).forward({"price_addition": np.array(1.0)})
    assert change["origin_price"][0, 0] == pytest.approx(-1.0)
    assert change["flow"][0, 0, 0] == pytest.approx(0.0, abs=1e-12)


def test_a_seller_on_a_step_bears_nothing_and_its_firms_share_the_change() -> None:
    step = np.array([7.0, 7.0])
    two = linear_market(
        capacity=np.array([100.0, 50.0]),
        low_ask=step,
        high_ask=step,
        firm_offset=np.array([[0, 2]]),
    )
    change = sensitivity_of(two).forward({"price_addition": np.array(1.0)})
    assert change["origin_price"][0, 0] == 0.0
    assert change["landed_price"][0, 0] == pytest.approx(1.0)
    np.testing.assert_allclose(change["sales"], [-5.0 * 2 / 3, -5.0 / 3])
    change = direction(two, np.random.default_rng(1), "capacity", "bid_quantity")
    assert_close(sensitivity_of(two).forward(change), difference(two, change))
    assert_transposed(sensitivity_of(two), two, 1)


@pytest.mark.parametrize(("name", "part"), [("low_ask", -0.05), ("high_ask", 0.95)])
def test_a_step_that_tilts_turns_about_what_it_sells(name: str, part: float) -> None:
    """95 of 100 t are sold: a low ask below the high one leaves the price near the high one."""
    step = np.array([7.0])
    problem = linear_market(low_ask=step, high_ask=step)
    found = clear(problem)
    assert found.sales[0] == pytest.approx(95.0)
    change = {name: np.sign(np.array([part]))}
    tilted = clear(shifted(problem, change, 1e-6), tolerance=1e-13)
    slope = (tilted.origin_price[0, 0] - 7.0) / 1e-6
    assert slope == pytest.approx(part, rel=1e-5)
    result = Sensitivity(problem, found).forward(change)
    assert result["origin_price"][0, 0] == pytest.approx(slope, rel=1e-5)


def test_very_cheap_demand_runs_along_its_tangent() -> None:
    """Below 1 % of the reference price, where the isoelastic curve is left for its tangent."""
    need = np.full((1, 1, 1), 5.0)
    endless = np.full((1, 1, 1), np.inf)
    problem = linear_market(
        need=need, reference_price=2000.0 + 0.0 * need, elasticity=0.3 + 0.0 * need,
        backstop_price=endless, choke_price=endless,
    )  # fmt: skip
    found = clear(problem)
    assert found.landed_price[0, 0] < 20.0
    change = direction(problem, np.random.default_rng(3))
    assert_close(sensitivity_of(problem).forward(change), difference(problem, change))


@pytest.mark.parametrize("name", ["bid_low", "bid_high"])
def test_a_bid_narrower_than_the_least_ramp_is_as_wide_as_that(name: str) -> None:
    edge = np.full((1, 1, 1), 18.0)
    problem = linear_market(bid_low=edge - 5e-5, bid_high=edge)
    change = {name: edge}
    low, high = (clear(shifted(problem, change, k)).flow for k in (-1e-7, 1e-7))
    slope = Sensitivity(problem, clear(problem)).forward(change)["flow"]
    np.testing.assert_allclose(slope, (high - low) / 2e-7, rtol=1e-3, atol=1e-3)


# --- Groups of markets, closed arcs ---------------------------------------------------------------


def test_markets_of_a_batch_do_not_touch() -> None:
    rng = np.random.default_rng(4)
    problems = [with_bids(market(rng), rng) for _ in range(3)]
    batch = sensitivity_of(stacked(problems))
    change = np.zeros((3, 3, 3))
    change[1] = rng.normal(size=(3, 3))
    together = batch.forward({"price_addition": change})
    alone = sensitivity_of(problems[1]).forward({"price_addition": change[1:2]})
    np.testing.assert_allclose(together["flow"][1], alone["flow"][0], rtol=1e-9, atol=1e-12)
    assert not together["flow"][[0, 2]].any()


def taxed(problem: Problem, tax: float) -> Clearing:
    """Two markets whose limited arcs pay a tax in place of the rent of their common limit."""
    addition = problem.price_addition.copy()
    addition[problem.limit_market, problem.limit_origin, problem.limit_destination] += tax
    free = replace(problem, price_addition=addition, **no_limits())
    return clear(free, tolerance=1e-12)


def under_common_limit(problem: Problem) -> Clearing:
    """Its clearing, by the tax at which the limited arcs of both markets carry the limit."""
    arcs = problem.limit_market, problem.limit_origin, problem.limit_destination

    def excess(tax: float) -> float:
        return float(taxed(problem, tax).flow[arcs].sum() - problem.limit[0])

    rent = brentq(excess, 0.0, 60.0, xtol=1e-13, rtol=1e-14)
    return replace(taxed(problem, rent), rent=np.array([rent]))


def test_one_limit_over_two_markets_has_one_rent() -> None:
    rng = np.random.default_rng(8)
    problem = stacked([with_bids(market(rng), rng) for _ in range(3)])
    problem = replace(
        problem,
        limit=np.array([9.0]),
        limit_offset=np.array([0, 6]),
        limit_market=np.repeat([0, 2], 3),
        limit_origin=np.repeat([0, 1], 3),
        limit_destination=np.tile(np.arange(3), 2),
    )
    found = under_common_limit(problem)
    assert found.rent[0] > 1.0
    sensitivity = Sensitivity(problem, found, near=1e-3)
    assert not sensitivity.kinks.any()
    change = direction(problem, rng)
    low, high = (under_common_limit(shifted(problem, change, k)) for k in (-2e-5, 2e-5))
    result = sensitivity.forward(change)
    for name in RESULTS:
        slope = (getattr(high, name) - getattr(low, name)) / 4e-5
        np.testing.assert_allclose(
            result[name], slope, atol=1e-5 * np.abs(slope).max(), err_msg=name
        )
    assert_transposed(sensitivity, problem, 8)
    only_limit = sensitivity.forward({"limit": np.ones(1)})["flow"]
    assert only_limit[0].any()
    assert only_limit[2].any()
    assert not only_limit[1].any()


def test_closed_arcs_idle_origins_and_unserved_destinations_have_no_derivatives() -> None:
    problem = drawn(2)
    weight = problem.log_weight.copy()
    weight[0, :, 3] = -np.inf
    weight[0, 1, 2] = -np.inf
    capacity = problem.capacity.copy()
    capacity[: problem.firm_offset[0, 1]] = 0.0
    problem = replace(problem, log_weight=weight, capacity=capacity)
    sensitivity = sensitivity_of(problem)
    change = direction(problem, np.random.default_rng(2), "price_addition", "need", "log_weight")
    change["log_weight"][0, 0] = 1e9
    result = sensitivity.forward(change)
    closed = np.isnan(clear(problem).delivered_price)
    for name in ("flow", "delivered_price"):
        assert not result[name][closed].any()
    assert result["landed_price"][0, 3] == 0.0
    assert result["origin_price"][0, 0] == 0.0
    assert_transposed(sensitivity, problem, 2)
    change["log_weight"][0, 0] = 0.0
    assert_close(sensitivity.forward(change), difference(problem, change))


def test_firms_need_not_follow_one_another_without_gaps() -> None:
    problem = drawn(1)
    gap = replace(
        problem,
        firm_offset=problem.firm_offset + 1,
        **{name: np.concatenate([[7.0], getattr(problem, name), [9.0]])
           for name in ("capacity", "low_ask", "high_ask")},
    )  # fmt: skip
    weight = {"landed_price": np.ones((1, 4))}
    spaced = sensitivity_of(gap).adjoint(weight)["capacity"]
    np.testing.assert_allclose(
        spaced, [0.0, *sensitivity_of(problem).adjoint(weight)["capacity"], 0.0], rtol=1e-9
    )


# --- Kinks and what is not determined -------------------------------------------------------------


def test_nothing_is_at_a_kink_in_the_middle_of_every_line() -> None:
    assert not sensitivity_of(linear_market()).kinks.any()


def test_kinks_are_reported_where_they_are() -> None:
    landed = np.array([[[18.0]]])
    met = {
        "demand": linear_market(
            bid_quantity=np.array([[[100.0, 1.0]]]), bid_low=np.array([[[10.0, 18.0]]]),
            bid_high=np.array([[[30.0, 40.0]]]),
        ),
        "floor": linear_market(floor_price=landed),
        "limit": with_limits(linear_market(), (60.0, [(0, 0)])),
        "seller": linear_market(
            capacity=np.array([100.0, 1.0]), low_ask=np.array([2.0, 14.0]),
            high_ask=np.array([22.0, 20.0]), firm_offset=np.array([[0, 2]]),
        ),
    }  # fmt: skip
    for name, problem in met.items():
        kinks = sensitivity_of(problem, near=1e-2).kinks
        assert getattr(kinks, name).all(), name
        others = {place: bool(values.any()) for place, values in vars(kinks).items()}
        assert [place for place, there in others.items() if there] == [name]


def test_limits_that_do_the_same_work_share_their_rent() -> None:
    quota = 40.0
    once = with_limits(linear_market(), (quota, [(0, 0)]))
    twice = with_limits(linear_market(), (quota, [(0, 0)]), (quota, [(0, 0)]))
    alone, shared = sensitivity_of(once), sensitivity_of(twice)
    if not shared.undetermined_rent.any():
        # the core may as well leave all the rent to one of them: then the other does not bind
        assert (clear(twice).rent > 0.0).sum() == 1
        return
    assert shared.undetermined_rent.all()
    assert not shared.undetermined_price.any()
    change = shared.forward({"limit": np.ones(2)})
    expected = alone.forward({"limit": np.ones(1)})
    for name in ("flow", "landed_price", "origin_price"):
        np.testing.assert_allclose(change[name], expected[name], atol=1e-10)
    assert change["rent"].sum() == pytest.approx(expected["rent"][0])
    assert_transposed(shared, twice, 0)


def test_rents_of_redundant_limits_at_any_split_give_the_same_derivatives() -> None:
    """The clearing's split of the rent is arbitrary, so another is as good."""
    problem = drawn(0)
    limited = with_limits(
        problem,
        *((0.5 * clear(problem).flow[0, 1].sum(), [(1, j) for j in range(4)]) for _ in range(2)),
    )
    found = clear(limited, tolerance=1e-12)
    rent = found.rent.sum()
    results = []
    for split in ([rent, 0.0], [0.3 * rent, 0.7 * rent]):
        sensitivity = Sensitivity(limited, replace(found, rent=np.array(split)))
        results.append(sensitivity.forward({"need": limited.need}))
    assert sensitivity.undetermined_rent.all()
    for name in ("flow", "landed_price", "origin_price", "sales"):
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-7, atol=1e-9)
    assert results[0]["rent"].sum() == pytest.approx(results[1]["rent"].sum(), rel=1e-7)


def test_prices_that_nothing_pins_down_are_an_error() -> None:
    """All of it is sold and all of it is needed at any price in reach."""
    need = np.full((1, 1, 1), 20.0)
    rigid = linear_market(
        capacity=np.array([20.0]), bid_quantity=0.0 * need,
        need=need, reference_price=need, elasticity=0.0 * need,
        backstop_price=4.0 * need, choke_price=5.0 * need,
    )  # fmt: skip
    found = clear(rigid)
    price = np.array([[40.0]])
    above = replace(
        found,
        origin_price=price,
        landed_price=price + 4.0,
        delivered_price=(price + 4.0)[:, :, None],
    )
    with pytest.raises(ValueError, match=r"market 0 has no derivative.*elasticity"):
        Sensitivity(rigid, above)


# --- What is given wrongly ------------------------------------------------------------------------


def test_unknown_names_and_shapes_are_refused() -> None:
    sensitivity = sensitivity_of(linear_market())
    with pytest.raises(ValueError, match=r"change has 'freight'; it may have capacity, low_ask"):
        sensitivity.forward({"freight": np.ones(1)})
    with pytest.raises(ValueError, match=r"weight has 'iterations'; it may have origin_price"):
        sensitivity.adjoint({"iterations": np.ones(1)})
    with pytest.raises(ValueError, match=r"change\['capacity'\] has shape \(3,\) where \(1,\)"):
        sensitivity.forward({"capacity": np.ones(3)})
    with pytest.raises(ValueError, match="give a clearing of this problem"):
        Sensitivity(linear_market(), clear(drawn(0)))
