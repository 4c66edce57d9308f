"""One limit over several markets: a family of products shares a quota by weight, and one rent."""

from dataclasses import replace

import numpy as np
import pytest

from abm.market import Clearing, Problem, clear
from tests.batches import Limit, batch, limited, limits_of
from tests.convex import differences, optimum
from tests.markets import market, with_bids

SIZE = (3, 4)
EXPORTS = [(0, 1), (0, 2), (0, 3)]  # of origin 0, whose home is destination 0
SEEDS = pytest.mark.parametrize("seed", range(8))


def family(seed: int, convex: bool = False) -> Problem:
    """Two products, each with its own market; bids and specific wedges only if `convex`."""
    rng = np.random.default_rng(seed)
    products = [with_bids(market(rng, *SIZE), rng, 3) for _ in range(2)]
    if convex:
        products = [
            replace(p, need=np.zeros_like(p.need), price_factor=np.ones_like(p.price_factor))
            for p in products
        ]
    return batch(products)


def quota(problem: Problem, share: float) -> Limit:
    """A limit on the exports of origin 0 in both markets, as a share of what they are without."""
    arcs = [(b, i, j) for b in range(problem.shape[0]) for i, j in EXPORTS]
    free = clear(limited(problem, [])).flow
    return share * sum(float(free[arc]) for arc in arcs), arcs


def one_market(problem: Problem, limits: list[Limit]) -> Problem:
    """The markets side by side as one, with every arc between them closed; one dispersion."""
    markets, origins, destinations = problem.shape
    shape = (1, markets * origins, markets * destinations)

    def blocks(values: np.ndarray, elsewhere: float) -> np.ndarray:
        joined = np.full(shape, elsewhere)
        for b in range(markets):
            rows = slice(b * origins, (b + 1) * origins)
            joined[0, rows, b * destinations : (b + 1) * destinations] = values[b]
        return joined

    places = (
        "need", "reference_price", "elasticity", "backstop_price", "choke_price", "bid_quantity",
        "bid_low", "bid_high",
    )  # fmt: skip
    joined = replace(
        problem,
        firm_offset=np.append(problem.firm_offset[:, :-1].ravel(), problem.firm_offset[-1, -1])[
            None
        ],
        log_weight=blocks(problem.log_weight, -np.inf),
        price_factor=blocks(problem.price_factor, 1.0),
        price_addition=blocks(problem.price_addition, 0.0),
        floor_price=blocks(problem.floor_price, 0.0),
        dispersion=problem.dispersion[:1],
        **{
            name: (values := getattr(problem, name)).reshape(1, shape[2], values.shape[2])
            for name in places
        },
    )
    return limited(
        joined,
        [
            (tonnes, [(0, b * origins + i, b * destinations + j) for b, i, j in arcs])
            for tonnes, arcs in limits
        ],
    )


def assert_same(found: Clearing, expected: Clearing) -> None:
    volume = expected.flow.sum()
    np.testing.assert_allclose(found.flow, expected.flow, atol=1e-7 * volume)
    np.testing.assert_allclose(found.landed_price, expected.landed_price, rtol=1e-6)
    np.testing.assert_allclose(found.rent, expected.rent, rtol=1e-6, atol=1e-6)


@SEEDS
def test_agrees_with_the_conic_solver(seed: int) -> None:
    """The markets are one convex program; beside the family's limit each has its own."""
    problem = family(seed, convex=True)
    shared = quota(problem, 0.5)
    rng = np.random.default_rng(seed)
    licences = [(float(rng.uniform(0.1, 1.0)), [(b, 0, 1), (b, 1, 1)]) for b in range(2)]
    problem = limited(problem, [shared, *licences, (0.0, [(1, 2, 3)])])
    gaps = differences(problem, clear(problem), optimum(problem))
    assert max(gaps.values()) < 1e-6, gaps


@SEEDS
def test_every_arc_pays_the_same_rent_and_the_quota_is_used_up(seed: int) -> None:
    problem = family(seed)
    tonnes, arcs = quota(problem, 0.4)
    problem = limited(problem, [(tonnes, arcs)])
    found = clear(problem)
    assert sum(found.flow[arc] for arc in arcs) == pytest.approx(tonnes, rel=1e-8)
    assert found.rent[0] > 0.0
    for arc in arcs:
        seller = problem.price_factor[arc] * found.origin_price[arc[:2]]
        paid = found.delivered_price[arc] - seller - problem.price_addition[arc]
        assert paid == pytest.approx(found.rent[0], rel=1e-9)


@SEEDS
def test_equals_one_market_of_two_blocks(seed: int) -> None:
    problem = family(seed)
    problem = replace(problem, dispersion=np.full(2, problem.dispersion[0]))
    limits = [quota(problem, 0.3), (0.5, [(1, 1, 1), (1, 0, 1)])]
    apart, together = clear(limited(problem, limits)), clear(one_market(problem, limits))
    flow = np.stack([together.flow[0, :3, :4], together.flow[0, 3:, 4:]])
    landed = together.landed_price.reshape(2, -1)
    assert_same(apart, replace(together, flow=flow, landed_price=landed))


@SEEDS
def test_two_limits_at_the_split_that_was_found_do_the_same(seed: int) -> None:
    """Once the tonnes are shared out, each member's own limit yields the common rent."""
    problem = family(seed)
    tonnes, arcs = quota(problem, 0.6)
    shared = clear(limited(problem, [(tonnes, arcs)]))
    parts = [[arc for arc in arcs if arc[0] == b] for b in range(2)]
    own = [(sum(float(shared.flow[arc]) for arc in part), part) for part in parts]
    split = clear(limited(problem, own))
    assert_same(replace(split, rent=split.rent[:1]), shared)
    np.testing.assert_allclose(split.rent, shared.rent[0], rtol=1e-5)


@SEEDS
def test_a_quota_that_does_not_bind_changes_nothing(seed: int) -> None:
    problem = family(seed)
    found = clear(limited(problem, [quota(problem, 1.01)]))
    assert found.rent[0] == 0.0
    assert_same(replace(found, rent=np.zeros(0)), clear(problem))


@SEEDS
def test_a_family_of_one_is_an_ordinary_limit(seed: int) -> None:
    problem = family(seed)
    rng = np.random.default_rng(seed)
    alone = with_bids(market(rng, *SIZE), rng, 3)
    tonnes, arcs = quota(alone, 0.5)
    found = clear(limited(problem, [(tonnes, arcs)]))
    ordinary = clear(limited(alone, [(tonnes, arcs)]))
    np.testing.assert_allclose(found.flow[0], ordinary.flow[0], atol=1e-7 * ordinary.flow.sum())
    np.testing.assert_allclose(found.rent, ordinary.rent, rtol=1e-6)


@SEEDS
def test_no_tonnes_at_all_is_a_ban_in_every_market(seed: int) -> None:
    problem = family(seed)
    _, arcs = quota(problem, 0.0)
    weight = problem.log_weight.copy()
    weight[tuple(np.transpose(arcs))] = -np.inf
    closed = clear(replace(problem, log_weight=weight))
    banned = clear(limited(problem, [(0.0, arcs)]))
    assert_same(replace(banned, rent=np.zeros(0)), closed)


@SEEDS
def test_markets_outside_the_family_do_not_notice(seed: int) -> None:
    first, second, third = (
        with_bids(market(np.random.default_rng(seed + n), *SIZE), np.random.default_rng(n), 3)
        for n in (0, 100, 200)
    )
    arcs = [(b, i, j) for b in (0, 2) for i, j in EXPORTS]
    problem = limited(batch([first, second, third]), [(1.0, arcs)])
    assert limits_of(problem) == [(1.0, arcs)]
    found, alone = clear(problem), clear(second)
    np.testing.assert_array_equal(found.flow[1], alone.flow[0])
    np.testing.assert_array_equal(found.landed_price[1], alone.landed_price[0])


@pytest.mark.parametrize("dearness", [2.0, 10.0, 100.0])
def test_the_cheap_members_price_rises_by_the_larger_multiple(dearness: float) -> None:
    """Rare earths in 2010: a quota by weight adds the same dollars to a kilogram of each.

    The two members are one market in tonnes; all prices of the second are `dearness` times higher.
    """
    cheap = market(np.random.default_rng(3), *SIZE)
    weight = cheap.log_weight.copy()
    weight[0, 1:, 0] = -np.inf  # tonnes kept at home push nobody else's out
    cheap = replace(cheap, log_weight=weight)
    dear = replace(
        cheap,
        **{
            name: dearness * getattr(cheap, name)
            for name in (
                "low_ask", "high_ask", "reference_price", "backstop_price", "choke_price",
                "dispersion", "price_addition",
            )
        },
    )  # fmt: skip
    problem = batch([cheap, dear])
    before, after = clear(problem), clear(limited(problem, [quota(problem, 0.5)]))
    abroad = after.landed_price[:, 1:] / before.landed_price[:, 1:]
    assert (abroad[0] > abroad[1]).all()
    assert (abroad[1] > 1.0).all()
    lost = 1.0 - after.flow[:, 0, 1:].sum(axis=1) / before.flow[:, 0, 1:].sum(axis=1)
    assert lost[0] > lost[1] > 0.0
