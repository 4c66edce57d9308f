"""Spatial-equilibrium problems with published answers, and how dispersion tends to them."""

import numpy as np
import pytest

from abm.market import clear
from tests.convergence import PAGE, SHARES, convergence, distance, published_table, split
from tests.published import RAMPS, Case, cases, data, gas_field, gas_trade, ramps, takayama_judge

SMALL = 1e-4  # dispersion over mean price at which every figure is within 0.1 %
CASES = cases()
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every_case
def test_published_figures_are_reproduced_from_a_cold_start(case: Case) -> None:
    assert case.error(clear(case.at(SMALL))) < 1e-3
    assert case.error(clear(case.at(1e-6))) < 1e-4


@every_case
def test_the_conic_solver_reproduces_the_published_figures_too(case: Case) -> None:
    assert case.error(case.optimum()) < 1e-4


@every_case
def test_a_path_of_falling_dispersion_ends_where_a_cold_start_does(case: Case) -> None:
    found = clear(case.at(1.0))
    for share in SHARES[1:]:
        found = clear(case.at(share), start=found)
    cold = clear(case.at(SHARES[-1]))
    np.testing.assert_allclose(found.landed_price, cold.landed_price, rtol=1e-9)
    np.testing.assert_allclose(found.flow, cold.flow, atol=1e-8 * cold.flow.sum())


@every_case
def test_the_error_falls_in_proportion_to_dispersion(case: Case) -> None:
    """Of the order of dispersion x log of the number of tied origins, down to what is resolved."""
    best = case.optimum()
    resolved = 1e-5
    for share in (1e-3, 1e-4, 1e-5):
        assert distance(case, clear(case.at(share)), best) < 12.0 * share + resolved
    wide, narrow = (distance(case, clear(case.at(share)), best) for share in (1e-2, 1e-3))
    assert narrow < 0.15 * wide + resolved


def test_the_pipelines_that_are_full_carry_the_rents() -> None:
    case = gas_trade()
    problem, solution = case.at(SMALL), data()["gtm"]
    origins, destinations = list(solution["supply"]), list(solution["demand"])
    found = clear(problem)
    full = {
        (origins[i], destinations[j])
        for i, j, rent in zip(
            problem.limit_origin, problem.limit_destination, found.rent, strict=True
        )
        if rent > 0.01
    }
    assert full == {tuple(pair) for pair in solution["solution"]["binding_capacities"]}


def test_the_ramps_of_a_gas_field_stay_close_to_its_curve() -> None:
    a, b, c = gas_field(*data()["gtm"]["supply"]["us-gulf"])
    capacity, low, high = np.array(ramps(a, b, c)).T
    ends = np.cumsum(capacity)
    middle = ends - capacity / 2.0
    np.testing.assert_allclose(high, a + b / (c - ends), rtol=1e-9)
    np.testing.assert_allclose((low + high) / 2.0, a + b / (c - middle), rtol=3.4e-5)
    assert capacity.size == RAMPS
    assert ends[-1] == pytest.approx(0.99 * c)


def test_cross_prices_between_goods_are_found_by_clearing_in_turn() -> None:
    """The book's example proper: each good's curves move with the price of the other."""
    price = np.zeros((3, 2))
    for _ in range(8):
        case = takayama_judge(price)
        found = clear(case.at(1e-6))
        price = found.landed_price.T
    assert case.error(found) < 1e-5


def test_the_page_shows_what_is_computed() -> None:
    """Numbers may differ in their last digit between machines, hence the margin."""
    _, table, _ = split(PAGE.read_text(encoding="utf-8"), "published")
    for row in published_table(convergence()):
        shown = next(line for line in table.splitlines() if line.startswith(f"| {row[0]} |"))
        cells = [cell.strip() for cell in shown.strip("|").split("|")]
        np.testing.assert_allclose([float(c) for c in cells[1:]], row[1:], rtol=0.06)
