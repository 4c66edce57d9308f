"""Surplus: exact areas, and that they account for every dollar a market is worth."""

from dataclasses import replace

import numpy as np
import pytest
from markets import market, with_limits
from scipy.integrate import quad, simpson

from abm.agents.buyer import BuyerTraits, use_scale
from abm.market import Clearing, Problem, clear
from abm.welfare import consumer_surplus, cost_of_sales


def traits_of(problem: Problem) -> BuyerTraits:
    """The demand terms of a problem as buyer groups."""
    places = problem.need.shape[:2]
    return BuyerTraits(
        need=problem.need,
        reference_price=problem.reference_price[:, :, 0],
        elasticity=problem.elasticity,
        cover=np.zeros(problem.need.shape),
        transit=np.zeros(places),
    )


def small_market(seed: int) -> Problem:
    """A random market whose demand terms of a country share reference, backstop and choke price."""
    problem = market(np.random.default_rng(seed))
    shared = {
        name: np.repeat(getattr(problem, name)[:, :, :1], 2, axis=2)
        for name in ("reference_price", "backstop_price", "choke_price")
    }
    specific = np.ones(problem.price_factor.shape)
    return replace(problem, price_factor=specific, **shared)


def surpluses(problem: Problem, clearing: Clearing) -> dict[str, float]:
    """Thousand USD: consumers, producers, and the rents of the limits."""
    sold, quantity = clearing.sales, problem.capacity
    firms = np.diff(problem.firm_offset[0])
    received = np.repeat(np.nan_to_num(clearing.origin_price[0]), firms) * sold
    asked = cost_of_sales(
        sold, quantity, problem.low_ask, problem.high_ask, np.zeros(quantity.size)
    )
    buyers = consumer_surplus(
        problem.need,
        clearing.landed_price,
        traits_of(problem),
        problem.backstop_price[:, :, 0],
        problem.choke_price[:, :, 0],
    )
    arcs = (problem.limit_market, problem.limit_origin, problem.limit_destination)
    used = np.bincount(problem.limit_group, clearing.flow[arcs], problem.limit.size)
    return {
        "consumers": float(buyers.sum()),
        "producers": float((received - asked).sum()),
        "rents": float((clearing.rent * used).sum()),
    }


@pytest.mark.parametrize("elasticity", [0.0, 0.1, 1.0, 2.5])
@pytest.mark.parametrize("price", [0.001, 3.0, 29.0, 45.0, 60.0])
def test_consumer_surplus_is_the_area_under_demand(elasticity: float, price: float) -> None:
    """Against quadrature of the rule that final users follow, up to the choke price of 60."""
    shape = (1, 1, 1)
    need, reference = np.full(shape, 7.0), np.full((1, 1), 10.0)
    steep = np.full(shape, elasticity)
    traits = BuyerTraits(need, reference, steep, np.zeros(shape), np.zeros((1, 1)))
    backstop, choke = np.full((1, 1), 30.0), np.full((1, 1), 60.0)

    def demand(p: float) -> float:
        return 7.0 * float(use_scale(need, np.full((1, 1), p), traits, backstop, choke)[0, 0, 0])

    found = consumer_surplus(need, np.full((1, 1), price), traits, backstop, choke)[0, 0, 0]
    area = sum(
        quad(demand, max(a, price), max(b, price), epsabs=1e-10)[0]
        for a, b in ((0.0, 0.1), (0.1, 1.0), (1.0, 30.0), (30.0, 60.0))
    )
    assert found == pytest.approx(area, rel=1e-7, abs=1e-9)


def test_the_cost_of_sales_is_the_area_under_the_asks() -> None:
    rng = np.random.default_rng(1)
    offered, low = rng.uniform(1, 9, 50), rng.uniform(-5, 8, 50)
    high, least = low + rng.uniform(1, 9, 50), rng.uniform(0, 6, 50)
    sold = offered * rng.uniform(0, 1, 50)

    def asked(firm: int, tonnes: float) -> float:
        ramp = low[firm] + (high[firm] - low[firm]) * tonnes / offered[firm]
        return float(max(ramp, least[firm]))

    found = cost_of_sales(sold, offered, low, high, least)
    for firm in range(50):
        kink = offered[firm] * (least[firm] - low[firm]) / (high[firm] - low[firm])
        area = quad(lambda x, f=firm: asked(f, x), 0, sold[firm], points=[kink])[0]
        assert found[firm] == pytest.approx(area, rel=1e-9)
    nobody = np.zeros(50)
    assert (cost_of_sales(nobody, nobody, low, high, least) == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_tariff_costs_the_world_what_trade_it_kills(seed: int) -> None:
    """Surplus + revenue fall by the area between the flow with and without (Harberger 1964).

    The right side is integrated over forty clearings and uses flows alone.
    """
    problem = small_market(seed)
    most, steps = 3.0, 41
    duty = np.linspace(0.0, most, steps)
    taxed = np.zeros(problem.price_addition.shape)
    taxed[0, 1, 0] = 1.0

    def at(rate: float) -> tuple[dict[str, float], float]:
        here = replace(problem, price_addition=problem.price_addition + rate * taxed)
        clearing = clear(here, tolerance=1e-12)
        return surpluses(here, clearing), float(clearing.flow[0, 1, 0])

    found = [at(rate) for rate in duty]
    flow = np.array([tonnes for _, tonnes in found])
    worth = [sum(parts.values()) for parts, _ in found]
    revenue = most * flow[-1]
    lost = simpson(flow, x=duty) - revenue
    assert lost > 0
    assert worth[-1] + revenue - worth[0] == pytest.approx(-lost, rel=2e-3, abs=1e-6)
    # Behind the tariff consumers lose; the taxed origin's producers never gain.
    assert found[-1][0]["consumers"] < found[0][0]["consumers"]


def test_with_one_seller_and_one_buyer_the_loss_is_the_triangle_between_the_curves() -> None:
    shape = (1, 1, 1)
    problem = Problem(
        capacity=np.array([10.0]),
        low_ask=np.array([2.0]),
        high_ask=np.array([12.0]),
        firm_offset=np.array([[0, 1]]),
        need=np.full(shape, 8.0),
        reference_price=np.full(shape, 8.0),
        elasticity=np.full(shape, 0.5),
        backstop_price=np.full(shape, 30.0),
        choke_price=np.full(shape, 60.0),
        log_weight=np.zeros(shape),
        dispersion=np.array([2.0]),
        price_factor=np.ones(shape),
        price_addition=np.zeros(shape),
        floor_price=np.zeros(shape),
        bid_quantity=np.empty((1, 1, 0)),
        bid_low=np.empty((1, 1, 0)),
        bid_high=np.empty((1, 1, 0)),
    )
    free = clear(problem, tolerance=1e-12)
    taxed = replace(problem, price_factor=np.full(shape, 1.4))
    closed = clear(taxed, tolerance=1e-12)
    before, after = sum(surpluses(problem, free).values()), sum(surpluses(taxed, closed).values())
    most, least = float(free.flow[0, 0, 0]), float(closed.flow[0, 0, 0])
    duty = 0.4 * float(closed.origin_price[0, 0]) * least

    def gap(tonnes: float) -> float:
        worth = 8.0 * (tonnes / 8.0) ** (-1.0 / 0.5)
        return worth - (2.0 + tonnes)

    assert after + duty - before == pytest.approx(-quad(gap, least, most)[0], rel=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_a_quota_and_the_tariff_of_the_same_flow_cost_the_world_the_same(seed: int) -> None:
    """Equivalence of tariff and quota (Bhagwati 1965): the rent takes the place of the revenue."""
    problem = small_market(seed)
    taxed = np.zeros(problem.price_addition.shape)
    taxed[0, 1, 0] = 2.0
    tariff = replace(problem, price_addition=problem.price_addition + taxed)
    with_tariff = clear(tariff, tolerance=1e-12)
    flow = float(with_tariff.flow[0, 1, 0])
    quota = with_limits(problem, (flow, [(1, 0)]))
    with_quota = clear(quota, tolerance=1e-12)
    one, other = surpluses(tariff, with_tariff), surpluses(quota, with_quota)
    assert other["rents"] == pytest.approx(2.0 * flow, rel=1e-6)
    assert other["consumers"] == pytest.approx(one["consumers"], rel=1e-6)
    assert other["producers"] == pytest.approx(one["producers"], rel=1e-6)
