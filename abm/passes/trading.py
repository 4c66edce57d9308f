"""Trade of a stage: what arcs weigh, what firms offer, who is paid, and what sets sail."""

import numpy as np

from abm.passes import compiled


@compiled
def weigh_arcs(
    share: np.ndarray,
    gravity_share: np.ndarray,
    fresh: np.ndarray,
    pool: np.ndarray,
    pooled: np.ndarray,
    entry_share: np.ndarray,
    incumbent: np.ndarray,
    pull: np.ndarray,
    familiarity: np.ndarray,
    opening_gap: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sourcing shares before price and habit, and log weights, both [M, I, J].

    A share is what the buyer settled on, moved towards gravity by the `fresh` part [M, J] of its
    purchases and towards the `pool` [M, I] by the `pooled` part [M, J]; or, for an origin that is
    no `incumbent` [M, I], its share on entry; times the `pull` [M, I] of the origin's size.
    """
    notional = np.zeros(share.shape)
    log_weight = np.empty(share.shape)
    for m in range(share.shape[0]):
        for i in range(share.shape[1]):
            for j in range(share.shape[2]):
                log_weight[m, i, j] = -np.inf
                if pull[m, i] == 0.0:
                    continue
                if incumbent[m, i]:
                    own = share[m, i, j] + fresh[m, j] * (gravity_share[m, i, j] - share[m, i, j])
                    own = (1.0 - pooled[m, j]) * own + pooled[m, j] * pool[m, i]
                else:
                    own = entry_share[m, i, j]
                level = own * pull[m, i]
                if level > 0.0:
                    notional[m, i, j] = level
                    weight = np.log(level * familiarity[m, i, j])
                    log_weight[m, i, j] = weight + opening_gap[m, i, j]
    return notional, log_weight


@compiled
def split_outlay(
    flow: np.ndarray,
    delivered_price: np.ndarray,
    origin_price: np.ndarray,
    rent: np.ndarray,
    markup: np.ndarray,
    tax: np.ndarray,
    tariff: np.ndarray,
    freight: np.ndarray,
    detour: np.ndarray,
    compliance: np.ndarray,
    floor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Outlay by arc [M, I, J], sums by destination and by origin, and what is left over [M].

    The sums by destination [9, M, J] are tonnes, outlay, duty, rent, carriage, compliance, the levy
    that lifts a price to the floor, export tax and the goods themselves; those by origin [5, M, I]
    tonnes, export tax, rent, the outlay for goods that paid a rent, and receipts. The outlay comes
    from the delivered price [M, I, J], the parts from the origin price [M, I]: their difference is
    a check.
    """
    markets, origins, destinations = flow.shape
    outlay = np.zeros(flow.shape)
    by_destination = np.zeros((9, markets, destinations))
    by_origin = np.zeros((5, markets, origins))
    left = np.zeros(markets)
    for m in range(markets):
        for i in range(origins):
            for j in range(destinations):
                tonnes = flow[m, i, j]
                if tonnes == 0.0:
                    continue
                paid = delivered_price[m, i, j] * tonnes
                asked = origin_price[m, i] * (1.0 + markup[m, i, j])
                taxed = asked * (1.0 + tax[m, i, j])
                duty = taxed * tariff[m, i, j] * tonnes
                held = rent[m, i, j] * tonnes
                export_tax = (taxed - asked) * tonnes
                carriage = (freight[m, i, j] + detour[m, i, j]) * tonnes
                complying = compliance[m, i, j] * tonnes
                parts = asked * tonnes + export_tax + duty + carriage + complying + held
                levy = max(floor[m, i, j] * tonnes - parts, 0.0)
                left[m] += paid - (parts + levy)
                outlay[m, i, j] = paid
                by_destination[0, m, j] += tonnes
                by_destination[1, m, j] += paid
                by_destination[2, m, j] += duty
                by_destination[3, m, j] += held
                by_destination[4, m, j] += carriage
                by_destination[5, m, j] += complying
                by_destination[6, m, j] += levy
                by_destination[7, m, j] += export_tax
                by_destination[8, m, j] += asked * tonnes
                by_origin[0, m, i] += tonnes
                by_origin[1, m, i] += export_tax
                by_origin[2, m, i] += held
                by_origin[4, m, i] += asked * tonnes
                if held > 0.0:
                    by_origin[3, m, i] += paid
    return outlay, by_destination, by_origin, left


@compiled
def send_off(
    flow: np.ndarray,
    voyage: np.ndarray,
    bought: np.ndarray,
    stock: np.ndarray,
    at_sea: np.ndarray,
) -> None:
    """Move goods at sea on by a month and send off those `bought` [M, J, G].

    Every group owns its part of what is `flow`n over each `voyage` [I, J], in months. `stock`
    [M, J, G] and `at_sea` [M, J, G, months to arrival] are written.
    """
    markets, origins, destinations = flow.shape
    longest = at_sea.shape[3]
    for m in range(markets):
        sent = np.zeros((longest + 1, destinations))
        for i in range(origins):
            for j in range(destinations):
                sent[voyage[i, j], j] += flow[m, i, j]
        for j in range(destinations):
            total = 0.0
            for month in range(longest + 1):
                total += sent[month, j]
            for g in range(bought.shape[2]):
                part = bought[m, j, g] / total if total > 0.0 else 0.0
                stock[m, j, g] += at_sea[m, j, g, 0] + sent[0, j] * part
                for month in range(longest):
                    later = at_sea[m, j, g, month + 1] if month + 1 < longest else 0.0
                    at_sea[m, j, g, month] = later + sent[month + 1, j] * part


@compiled
def scale_use(
    need: np.ndarray,
    price: np.ndarray,
    reference_price: np.ndarray,
    elasticity: np.ndarray,
    backstop: np.ndarray,
    choke: np.ndarray,
    least_ratio: float,
) -> np.ndarray:
    """[M, J, G] use at a price [M, J] over need; zero where nothing is needed."""
    scale = np.zeros(need.shape)
    for m in range(need.shape[0]):
        for j in range(need.shape[1]):
            level = price[m, j]
            if level >= choke[m, j]:
                continue
            fading = min((choke[m, j] - level) / (choke[m, j] - backstop[m, j]), 1.0)
            ratio = max(min(level, backstop[m, j]) / reference_price[m, j], least_ratio)
            log_ratio = np.log(ratio)
            for g in range(need.shape[2]):
                if need[m, j, g] > 0.0:
                    scale[m, j, g] = np.exp(-elasticity[m, j, g] * log_ratio) * fading
    return scale


@compiled
def fill_ramps(
    floor: np.ndarray,
    quantity: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    use_scale: np.ndarray,
    price: np.ndarray,
) -> np.ndarray:
    """[M, J, G] t/month bought at a price [M, J]: the floor, and the filled part of both ramps.

    The ramps' last axis holds the first ramp of every group, then the second of every group.
    """
    markets, countries, groups = floor.shape
    bought = np.empty(floor.shape)
    for m in range(markets):
        for j in range(countries):
            for g in range(groups):
                bought[m, j, g] = floor[m, j, g] * use_scale[m, j, g]
            for ramp in range(2 * groups):
                if quantity[m, j, ramp] > 0.0:
                    width = high[m, j, ramp] - low[m, j, ramp]
                    filled = min(max((high[m, j, ramp] - price[m, j]) / width, 0.0), 1.0)
                    bought[m, j, ramp % groups] += quantity[m, j, ramp] * filled
    return bought


@compiled
def step_and_ramp(
    quantity: np.ndarray, low: np.ndarray, high: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantity, lowest and highest ask of two rows a firm: what is sold at `least`, and above."""
    parts, lowest, highest = (
        np.empty(2 * quantity.size),
        np.empty(2 * quantity.size),
        np.empty(2 * quantity.size),
    )
    for f in range(quantity.size):
        committed = min(max((least[f] - low[f]) / (high[f] - low[f]), 0.0), 1.0)
        parts[2 * f] = quantity[f] * committed
        parts[2 * f + 1] = quantity[f] * (1.0 - committed)
        lowest[2 * f] = highest[2 * f] = least[f]
        lowest[2 * f + 1] = max(low[f], least[f])
        highest[2 * f + 1] = max(high[f], least[f])
    return parts, lowest, highest


@compiled
def match_sales(sales: np.ndarray, place: np.ndarray, sold: np.ndarray) -> np.ndarray:
    """[F] sales of firms with two rows each, scaled to what their place has sold in all."""
    total = np.zeros(sold.size)
    for f in range(place.size):
        total[place[f]] += sales[2 * f] + sales[2 * f + 1]
    matched = np.empty(place.size)
    for f in range(place.size):
        here = place[f]
        factor = sold[here] / total[here] if total[here] > 0.0 else 1.0
        matched[f] = (sales[2 * f] + sales[2 * f + 1]) * factor
    return matched
