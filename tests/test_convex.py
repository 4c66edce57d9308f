"""The clearing core against a conic solver, which shares nothing with it but the convex program."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from abm.market import Problem, clear
from tests.batches import batch, limits_of
from tests.convex import compare, differences, optimum, random_market
from tests.markets import market

MARKETS = 40


@pytest.fixture(scope="module")
def gaps() -> pd.DataFrame:
    return compare(range(MARKETS))


@pytest.mark.parametrize("figure", ["flow", "sales", "origin price", "landed price", "rent"])
def test_random_markets_agree_with_the_conic_solver(gaps: pd.DataFrame, figure: str) -> None:
    """Bans and overlapping limits. Most programs are solved much closer than all of them are."""
    assert gaps[figure].max() < 1e-6, f"seed {gaps[figure].idxmax()}"
    assert gaps[figure].median() < 1e-8


def test_the_random_markets_have_limits_that_bind_together() -> None:
    binding = np.array([(clear(random_market(n)).rent > 0.0).sum() for n in range(MARKETS)])
    assert (binding >= 1).mean() > 0.8
    assert (binding >= 2).mean() > 0.4


@pytest.mark.parametrize("seed", range(6))
def test_isoelastic_demand_agrees_too(seed: int) -> None:
    problem = market(np.random.default_rng(seed), 3, 4)
    endless = np.full_like(problem.choke_price, np.inf)
    problem = replace(
        problem,
        capacity=problem.capacity * 4.0,
        backstop_price=endless,
        choke_price=endless,
        price_factor=np.ones_like(problem.price_factor),
    )
    assert_alike(problem)


@pytest.mark.parametrize("seed", range(6))
def test_steps_of_supply_and_hardly_any_dispersion_agree_too(seed: int) -> None:
    problem = random_market(seed)
    steps = np.random.default_rng(seed).random(problem.capacity.size) < 0.5
    assert_alike(
        replace(
            problem,
            high_ask=np.where(steps, problem.low_ask, problem.high_ask),
            dispersion=np.array([3e-3]),
        )
    )


def test_a_batch_is_one_program() -> None:
    small = [p for p in map(random_market, range(60)) if p.shape == random_market(0).shape]
    problem = batch(small)
    assert problem.shape[0] >= 2
    assert len(limits_of(problem)) == 4 * problem.shape[0]
    assert_alike(problem)


def assert_alike(problem: Problem) -> None:
    gaps = differences(problem, clear(problem), optimum(problem))
    assert max(gaps.values()) < 1e-6, gaps
