"""What is learned from a month: habits and expected prices."""

import numpy as np

from abm.arithmetic import exponential, logarithm
from abm.passes import compiled


@compiled
def learn_suppliers(
    flow: np.ndarray,
    bought: np.ndarray,
    notional: np.ndarray,
    stickiness: np.ndarray,
    pace: float,
    least: float,
    most: float,
    familiarity: np.ndarray,
    size: np.ndarray,
    opening_size: np.ndarray,
    grown: np.ndarray,
    known_size: np.ndarray,
    dominant: np.ndarray,
    dominant_share: np.ndarray,
) -> None:
    """Move what buyers know of suppliers a `pace` towards a month's flows [M, I, J], in place.

    Familiarity [M, I, J] moves towards the share bought over the notional share, to the power
    `stickiness` [M], within bounds; towards one where nothing is bought [M, J] or on offer. The
    `known_size` [M, I] moves towards capacity [M, I] over that of the opening as it has `grown`
    [M, I], or over that of the whole market for an origin that had none. One that is not known yet
    has no notional share and no familiarity to move. Written anew is the share of `dominant`
    origins [P] in what is bought [P, M, J].
    """
    markets, origins, destinations = flow.shape
    part, target = np.empty(destinations), np.empty(destinations)
    ratio, place = np.empty(destinations), np.empty(destinations, np.int64)
    for m in range(markets):
        whole = 0.0
        total = bought[m]
        part[:] = 0.0
        for i in range(origins):
            whole += opening_size[m, i] * grown[m, i]
            if known_size[m, i] > 0.0:
                expected = notional[m, i]
                for j in range(destinations):
                    part[j] += expected[j]
        for j in range(destinations):
            part[j] = part[j] / total[j] if total[j] > 0.0 else 0.0
        for i in range(origins):
            usual = opening_size[m, i] * grown[m, i]
            relative = size[m, i] / (usual if usual > 0.0 else whole)
            if relative == 0.0 and known_size[m, i] == 0.0:
                continue  # it has never had anything to offer
            known_size[m, i] += pace * (relative - known_size[m, i])
            shipped, expected, known = flow[m, i], notional[m, i], familiarity[m, i]
            offers, trades = False, 0
            for j in range(destinations):
                offers |= expected[j] > 0.0
                target[j] = 1.0
            for j in range(destinations if offers else 0):  # no branch: it would be a toss-up
                compared = (expected[j] > 0.0) & (total[j] > 0.0)
                target[j] = least if compared else 1.0
                ratio[trades] = shipped[j] * part[j] / (expected[j] if compared else 1.0)
                place[trades] = j
                trades += compared & (shipped[j] > 0.0)
            traded = ratio[:trades]
            for n in range(trades):
                traded[n] = exponential(stickiness[m] * logarithm(traded[n]))
            for n in range(trades):
                target[place[n]] = min(max(traded[n], least), most)
            for j in range(destinations):
                known[j] += pace * (target[j] - known[j])
        for p in range(dominant.size):
            for j in range(destinations):
                total = bought[m, j] if bought[m, j] > 0.0 else 1.0
                dominant_share[p, m, j] = flow[m, dominant[p], j] / total


@compiled
def foresee_landed(
    landed: np.ndarray,
    least: np.ndarray,
    choke: np.ndarray,
    expected: np.ndarray,
    growth: np.ndarray,
    customary: np.ndarray,
    price_memory: float,
    trend_memory: float,
    damping: float,
    customary_memory: float,
) -> tuple[np.ndarray, np.ndarray]:
    """[M, J] next forecast of landed prices and the growth in it, from the error of the last one.

    Seen are prices from the `least` to the `choke`, where forecasts end, too. The `customary`
    price moves towards them in place.
    """
    forecast, factor = np.empty(landed.shape), np.empty(landed.shape)
    for m in range(landed.shape[0]):
        for j in range(landed.shape[1]):
            seen = min(max(landed[m, j], least[m, j]), choke[m, j])
            error = price_memory * (seen / expected[m, j] - 1.0)
            factor[m, j] = (growth[m, j] * (1.0 + trend_memory * error)) ** damping
            moved = expected[m, j] * (1.0 + error) * factor[m, j]
            forecast[m, j] = min(moved, choke[m, j])
            customary[m, j] += customary_memory * (seen - customary[m, j])
    return forecast, factor


@compiled
def learn_asked(
    asked: np.ndarray,
    opening: np.ndarray,
    sold: np.ndarray,
    outlay: np.ndarray,
    rent: np.ndarray,
    memory: float,
    gap_memory: float,
    producer: np.ndarray,
    entry: np.ndarray,
    gap: np.ndarray,
) -> np.ndarray:
    """[M, I] price asked; where it is NaN that of the opening, moved as the others on average.

    In place, what a `producer` has come to expect moves towards the price asked where there is
    one, what an `entry` would bring towards that price anywhere, and the `gap` under limits
    towards the outlay for limited goods over what is left of it without their rent.
    """
    price = asked.copy()
    for m in range(asked.shape[0]):
        usual, worth = 0.0, 0.0
        for i in range(asked.shape[1]):
            if not np.isnan(asked[m, i]):
                usual += sold[m, i] * opening[m, i]
                worth += sold[m, i] * asked[m, i]
        level = worth / usual if usual > 0.0 else 1.0
        for i in range(asked.shape[1]):
            if np.isnan(asked[m, i]):
                price[m, i] = opening[m, i] * level
            else:
                producer[m, i] += memory * (asked[m, i] - producer[m, i])
            entry[m, i] += memory * (price[m, i] - entry[m, i])
            cost = outlay[m, i] - rent[m, i]
            found = outlay[m, i] / cost if cost > 0.0 else 1.0
            gap[m, i] += gap_memory * (found - gap[m, i])
    return price
