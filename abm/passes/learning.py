"""What is learned from a month: habits and expected prices."""

import numpy as np

from abm.passes import compiled


@compiled
def move_familiarity(
    familiarity: np.ndarray,
    flow: np.ndarray,
    bought: np.ndarray,
    notional: np.ndarray,
    stickiness: np.ndarray,
    pace: float,
    least: float,
    most: float,
) -> None:
    """Move familiarity [M, I, J] towards the target that this month's purchases set.

    The target is the share bought over the notional share, to the power `stickiness` [M], within
    bounds; one where nothing is bought [M, J] or on offer.
    """
    markets, origins, destinations = flow.shape
    for m in range(markets):
        usual = np.zeros(destinations)
        for i in range(origins):
            for j in range(destinations):
                usual[j] += notional[m, i, j]
        for i in range(origins):
            for j in range(destinations):
                target = 1.0
                if notional[m, i, j] > 0.0 and bought[m, j] > 0.0:
                    ratio = flow[m, i, j] / bought[m, j] * usual[j] / notional[m, i, j]
                    target = np.exp(stickiness[m] * np.log(ratio)) if ratio > 0.0 else 0.0
                    target = min(max(target, least), most)
                familiarity[m, i, j] += pace * (target - familiarity[m, i, j])


@compiled
def smooth_price(
    expected: np.ndarray,
    growth: np.ndarray,
    seen: np.ndarray,
    price_memory: float,
    trend_memory: float,
    damping: float,
) -> tuple[np.ndarray, np.ndarray]:
    """[M, J] next forecast and the growth in it, from the error of the one before."""
    forecast, factor = np.empty(seen.shape), np.empty(seen.shape)
    for m in range(seen.shape[0]):
        for j in range(seen.shape[1]):
            error = price_memory * (seen[m, j] / expected[m, j] - 1.0)
            factor[m, j] = (growth[m, j] * (1.0 + trend_memory * error)) ** damping
            forecast[m, j] = expected[m, j] * (1.0 + error) * factor[m, j]
    return forecast, factor


@compiled
def follow(level: np.ndarray, seen: np.ndarray, pace: float) -> None:
    """Move levels [M, J] towards what is seen; where that is NaN nothing is, and they stay."""
    for m in range(level.shape[0]):
        for j in range(level.shape[1]):
            if not np.isnan(seen[m, j]):
                level[m, j] += pace * (seen[m, j] - level[m, j])
