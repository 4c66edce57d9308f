"""Fits against known truths: flows are made from known freights and weights, then recovered."""

from dataclasses import replace

import numpy as np
import pytest

from abm.market import Problem, clear
from abm.market.calibration import fit, log_weights
from tests.markets import market, stacked, with_bids, with_limits


def truth(seed: int, size: int = 4) -> Problem:
    """A market of elastic demand, all of whose sellers have capacity to spare."""
    rng = np.random.default_rng(seed)
    problem = with_bids(market(rng, size, size), rng)
    return replace(
        problem,
        capacity=problem.capacity * 5.0,
        high_ask=problem.low_ask + 40.0,
        price_factor=np.ones_like(problem.price_factor),
    )


def forgotten(problem: Problem, name: str, seed: int) -> Problem:
    noise = np.random.default_rng(1000 + seed).normal(0.0, 1.0, problem.log_weight.shape)
    return replace(problem, **{name: getattr(problem, name) + noise})


def level_free(values: np.ndarray, axis: int) -> np.ndarray:
    return values - values.mean(axis=axis, keepdims=True)


@pytest.mark.parametrize("name", ["price_addition", "log_weight"])
@pytest.mark.parametrize("seed", range(4))
def test_known_numbers_are_recovered_with_their_flows(seed: int, name: str) -> None:
    known = truth(seed)
    flow = clear(known).flow
    found = fit(forgotten(known, name, seed), flow, name)
    assert found.converged
    np.testing.assert_allclose(found.clearing.flow, flow, rtol=1e-8)
    np.testing.assert_allclose(getattr(found.problem, name), getattr(known, name), atol=1e-7)
    np.testing.assert_allclose(
        found.misfit, np.abs(found.clearing.flow - flow).max() / flow.sum(), atol=1e-15
    )


def test_freights_of_a_sold_out_origin_are_recovered_up_to_their_level() -> None:
    """Its price takes up the level; the other origins' freights are recovered in full."""
    known = truth(5)
    capacity, high = known.capacity.copy(), known.high_ask.copy()
    firms = slice(*known.firm_offset[0, 1:3])
    capacity[firms], high[firms] = 0.1, known.low_ask[firms] + 0.1
    known = replace(known, capacity=capacity, high_ask=high)
    flow = clear(known).flow
    assert flow[0, 1].sum() == pytest.approx(capacity[firms].sum())
    found = fit(forgotten(known, "price_addition", 5), flow)
    np.testing.assert_allclose(found.clearing.flow, flow, rtol=1e-8)
    got, wanted = found.problem.price_addition[0], known.price_addition[0]
    np.testing.assert_allclose(level_free(got[1], 0), level_free(wanted[1], 0), atol=1e-7)
    others = [0, 2, 3]
    np.testing.assert_allclose(got[others], wanted[others], atol=1e-7)
    assert abs((got[1] - wanted[1]).mean()) > 1e-3, "the level was open"


def test_freights_under_a_quota_are_recovered_up_to_their_level() -> None:
    known = truth(6)
    exports = [(0, j) for j in range(1, 4)]
    known = with_limits(known, (0.5 * clear(known).flow[0, 0, 1:].sum(), exports))
    flow = clear(known).flow
    found = fit(forgotten(known, "price_addition", 6), flow)
    np.testing.assert_allclose(found.clearing.flow, flow, rtol=1e-8)
    np.testing.assert_allclose(
        level_free(found.problem.price_addition[0, 0, 1:], 0),
        level_free(known.price_addition[0, 0, 1:], 0),
        atol=1e-7,
    )


def test_only_free_values_move_and_only_observed_flows_count() -> None:
    known = truth(7)
    flow = clear(known).flow
    start = forgotten(known, "price_addition", 7)
    free = np.zeros(flow.shape, bool)
    free[0, :2] = True
    found = fit(start, flow, free=free, observed=free)
    np.testing.assert_allclose(found.clearing.flow[free], flow[free], rtol=1e-8)
    np.testing.assert_array_equal(found.problem.price_addition[~free], start.price_addition[~free])
    assert np.abs(found.clearing.flow - flow)[~free].max() > 1e-3


def test_a_heavy_ridge_keeps_the_start() -> None:
    known = truth(8)
    start = forgotten(known, "price_addition", 8)
    found = fit(start, clear(known).flow, ridge=1e8)
    np.testing.assert_allclose(found.problem.price_addition, start.price_addition, atol=1e-5)
    assert found.misfit > 1e-3


def test_a_batch_is_fitted_together() -> None:
    known = stacked([truth(9, 3), truth(10, 3)])
    flow = clear(known).flow
    found = fit(forgotten(known, "price_addition", 9), flow)
    np.testing.assert_allclose(found.problem.price_addition, known.price_addition, atol=1e-7)


def test_impossible_observations_name_the_arc() -> None:
    known = replace(
        truth(11), market_names=["tin"], country_names=["Peru", "Chile", "Japan", "Spain"]
    )
    flow = clear(known).flow
    weight = known.log_weight.copy()
    weight[0, 1, 2] = -np.inf
    with pytest.raises(ValueError, match=r"from Chile to Japan in tin is .*arc open"):
        fit(replace(known, log_weight=weight), flow)
    flow[0, 2, 0] = 0.0
    with pytest.raises(ValueError, match=r"from Japan to Peru in tin is 0 t/month"):
        fit(known, flow, observed=np.ones(flow.shape, bool))
    with pytest.raises(ValueError, match=r"number is 'tariff'; fit 'price_addition'"):
        fit(known, flow, "tariff")


def test_weights_in_closed_form_are_those_that_made_the_flows() -> None:
    known = truth(12)
    found = clear(known)
    weights = log_weights(found.flow, found.delivered_price, found.landed_price, known.dispersion)
    np.testing.assert_allclose(weights, known.log_weight, atol=1e-9)
    again = clear(replace(known, log_weight=weights))
    np.testing.assert_allclose(again.flow, found.flow, rtol=1e-8)


def test_weights_in_closed_form_close_arcs_without_flow_and_want_prices() -> None:
    flow = np.array([[[2.0, 0.0], [1.0, 0.0]]])
    price = np.array([[[5.0, np.nan], [6.0, np.nan]]])
    landed = np.array([[4.0, np.inf]])
    weights = log_weights(flow, price, landed, np.array([2.0]))
    np.testing.assert_allclose(weights[0, :, 0], np.log([2 / 3, 1 / 3]) + np.array([0.5, 1.0]))
    assert (weights[0, :, 1] == -np.inf).all()
    with pytest.raises(ValueError, match=r"flow\[0, 1, 1\] is 3 t/month"):
        log_weights(np.array([[[2.0, 0.0], [1.0, 3.0]]]), price, landed, np.array([2.0]))
