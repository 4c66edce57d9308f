"""Compiled passes over arcs and orders: one loop where NumPy would sweep the arrays a dozen times.

Two arcs of three are closed and three buyers of five need nothing, and a loop can leave them out.
What the figures mean stands in the modules that call; here is only the arithmetic. All passes live
in this one file, because Numba's cache notices a change of a function's own file only.

Axes: M markets, I origins, J destinations, G groups of buyers, F firms.
"""

import numpy as np
from numba import njit

# Division by zero gives infinity, as in NumPy: no branch to raise from in every loop.
# Loops, no slices or sums: NumPy's own operations inside compiled code take long to compile.
compiled = njit(cache=True, error_model="numpy")


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
def draw_orders(
    need: np.ndarray,
    trend_need: np.ndarray,
    expected_use: np.ndarray,
    position: np.ndarray,
    released: np.ndarray,
    cover: np.ndarray,
    extra_cover: np.ndarray,
    bridge: np.ndarray,
    bridge_months: np.ndarray,
    transit: np.ndarray,
    growth: np.ndarray,
    expected_price: np.ndarray,
    least_order: float,
    minimum_cover: float,
    drawdown_months: float,
    adjustment_months: float,
    speculation: float,
    order_width: float,
    distress: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Floor [M, J, G] and quantity, low and high price of both ramps [M, J, 2G] of every order.

    Arrays are [M, J, G]; `extra_cover` and `bridge` (shares of the cover), `bridge_months`,
    `transit` and `expected_price` are [M, J]; `growth` is [M].
    """
    markets, countries, groups = need.shape
    floor = np.zeros(need.shape)
    quantity = np.zeros((markets, countries, 2 * groups))
    low = np.empty(quantity.shape)
    high = np.empty(quantity.shape)
    for m in range(markets):
        for j in range(countries):
            price = expected_price[m, j]
            width = order_width * price
            for g in range(groups):
                part = 0.0
                wanted = need[m, j, g]
                if wanted > 0.0:
                    usual = trend_need[m, j, g]
                    aboard = transit[m, j] * usual
                    calm_target = cover[m, j, g] * usual
                    target = calm_target * (1.0 + extra_cover[m, j])
                    gap = target + aboard - position[m, j, g]
                    due = min(max(gap, 0.0), bridge[m, j] * calm_target)
                    closing = (
                        (gap - due) / adjustment_months
                        + due / bridge_months[m, j]
                        + growth[m] * (calm_target + aboard)
                    )
                    held = max(position[m, j, g] - aboard, 0.0)
                    spare = max(held - minimum_cover * target, 0.0)
                    least = least_order * wanted
                    given = released[m, j, g]
                    moderate = max(wanted - spare / drawdown_months - given, least)
                    distressed = max(wanted - held / drawdown_months - given, least)
                    use = expected_use[m, j, g]
                    scale = use / wanted
                    bottom = moderate * scale
                    # Who expected to use little still buys its need once the price has fallen back.
                    ramp = max(use, wanted) - bottom + max(closing, 0.0) + speculation * usual
                    middle = min(max(use + closing - given, bottom) - bottom, ramp)
                    part = middle / ramp if ramp > 0.0 else 0.0
                    floor[m, j, g] = distressed
                    quantity[m, j, g] = ramp
                    quantity[m, j, groups + g] = (moderate - distressed) * scale
                top = price + width * part
                low[m, j, g] = top - width
                high[m, j, g] = top
                low[m, j, groups + g] = top
                high[m, j, groups + g] = max(distress * price, top + 0.1 * price)
    return floor, quantity, low, high


@compiled
def demand_surplus(
    need: np.ndarray,
    price: np.ndarray,
    reference_price: np.ndarray,
    elasticity: np.ndarray,
    backstop: np.ndarray,
    choke: np.ndarray,
    least_ratio: float,
) -> np.ndarray:
    """[M, J, G] area under the curve of `scale_use`, times need, from a price [M, J] to the choke.

    Exact: the isoelastic part up to the backstop price, then the straight fall to the choke price.
    Groups of a country that share an elasticity share the integral.
    """
    surplus = np.zeros(need.shape)
    for m in range(need.shape[0]):
        for j in range(need.shape[1]):
            level = price[m, j]
            if not level < choke[m, j]:
                continue
            unit, last = 0.0, np.nan
            for g in range(need.shape[2]):
                if need[m, j, g] == 0.0:
                    continue
                if elasticity[m, j, g] != last:
                    last = elasticity[m, j, g]
                    reference = reference_price[m, j]
                    top = backstop[m, j] / reference
                    start = max(min(level / reference, top), least_ratio)
                    flat = max(least_ratio - level / reference, 0.0) * least_ratio**-last
                    if abs(last - 1.0) < 1e-9:
                        curved = np.log(top / start)
                    else:
                        curved = (top ** (1.0 - last) - start ** (1.0 - last)) / (1.0 - last)
                    left = choke[m, j] - max(level, backstop[m, j])
                    fading = top**-last * left * left / (2.0 * (choke[m, j] - backstop[m, j]))
                    unit = reference * (flat + curved) + fading
                surplus[m, j, g] = need[m, j, g] * unit
    return surplus


@compiled
def settle_terms(
    share: np.ndarray,
    flow: np.ndarray,
    usual_flow: np.ndarray,
    banned: np.ndarray,
    markup: np.ndarray,
    gap: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What sellers hand back and what buyers pay on top, by destination and by origin.

    Both [2, M, J or I]. Under contract is the `share` [M] of what flows on an arc that is not
    `banned`, up to its usual flow; a tonne settles the `gap` [M, I] of its price with the mark-up.
    """
    markets, origins, destinations = flow.shape
    by_destination = np.zeros((2, markets, destinations))
    by_origin = np.zeros((2, markets, origins))
    for m in range(markets):
        for i in range(origins):
            if gap[m, i] == 0.0:
                continue
            side = 0 if gap[m, i] > 0.0 else 1
            for j in range(destinations):
                tonnes = share[m] * min(flow[m, i, j], usual_flow[m, i, j])
                if tonnes > 0.0 and not banned[m, i, j]:
                    amount = abs(tonnes * (1.0 + markup[m, i, j]) * gap[m, i])
                    by_destination[side, m, j] += amount
                    by_origin[side, m, i] += amount
    return by_destination, by_origin


@compiled
def usual_purchases(usual_flow: np.ndarray, banned: np.ndarray) -> np.ndarray:
    """[M, J] sum of the usual flows on arcs that are not `banned`."""
    markets, origins, destinations = usual_flow.shape
    bought = np.zeros((markets, destinations))
    for m in range(markets):
        for i in range(origins):
            for j in range(destinations):
                if not banned[m, i, j]:
                    bought[m, j] += usual_flow[m, i, j]
    return bought


@compiled
def firm_up(
    floor: np.ndarray,
    quantity: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    committed: np.ndarray,
    need: np.ndarray,
    expected_use: np.ndarray,
    expected_price: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Floor [M, J, G] and ramps [M, J, 2G] of orders whose `committed` part [M, J] is firm.

    The same part of both ramps of every group moves to its floor, up to its need, so that at the
    expected price it orders what it did.
    """
    markets, countries, groups = floor.shape
    new_floor, new_quantity = floor.copy(), quantity.copy()
    new_low, new_high = low.copy(), high.copy()
    flexible = np.zeros(groups)
    for m in range(markets):
        for j in range(countries):
            if committed[m, j] == 0.0:
                continue
            firm, total = 0.0, 0.0
            for g in range(groups):
                flexible[g] = 0.0
                if expected_use[m, j, g] > 0.0:
                    width = high[m, j, g] - low[m, j, g]
                    filled = min(max((high[m, j, g] - expected_price[m, j]) / width, 0.0), 1.0)
                    flexible[g] = quantity[m, j, g] * filled + quantity[m, j, groups + g]
                    total += flexible[g]
                    firm += floor[m, j, g] * expected_use[m, j, g] / need[m, j, g]
            if total == 0.0:
                continue
            wanted = min(max(committed[m, j] - firm, 0.0) / total, 1.0)
            for g in range(groups):
                if flexible[g] > 0.0:
                    scale = expected_use[m, j, g] / need[m, j, g]
                    room = max(need[m, j, g] - floor[m, j, g], 0.0) * scale
                    part = min(wanted, room / flexible[g])
                    new_floor[m, j, g] += part * flexible[g] / scale
                    width = high[m, j, g] - low[m, j, g]
                    price = expected_price[m, j]
                    filled = min(max((high[m, j, g] - price) / width, 0.0), 1.0)
                    left = (1.0 - part) * filled
                    kept = left + 1.0 - filled
                    new_quantity[m, j, g] *= kept
                    top = price + width * (left / kept if kept > 0.0 else 0.0)
                    new_low[m, j, g], new_high[m, j, g] = top - width, top
                    new_low[m, j, groups + g] = top
                    new_quantity[m, j, groups + g] *= 1.0 - part
    return new_floor, new_quantity, new_low, new_high


@compiled
def share_out(
    running: np.ndarray, chosen: np.ndarray, place: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """[F] what can run of the `running`: the `chosen` share their place's `limit` [place].

    Within a place every one of them runs the same share of what it could.
    """
    demand = np.zeros(limit.size)
    for f in range(running.size):
        if chosen[f]:
            demand[place[f]] += running[f]
    kept = running.copy()
    for f in range(running.size):
        if chosen[f] and limit[place[f]] < demand[place[f]]:
            # What is left of a stock may be below zero by a rounding error.
            kept[f] *= max(limit[place[f]], 0.0) / demand[place[f]]
    return kept


@compiled
def add_stock(
    planned: np.ndarray,
    availability: np.ndarray,
    running: np.ndarray,
    inventory: np.ndarray,
    share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """[F] the offer without limits on inputs and with them: capacity, and a share of the stock."""
    able, offered = np.empty(planned.size), np.empty(planned.size)
    for f in range(planned.size):
        stored = share * inventory[f]
        able[f] = planned[f] * availability[f] + stored
        offered[f] = running[f] + stored
    return able, offered


@compiled
def sum_at(place: np.ndarray, values: np.ndarray, places: int) -> np.ndarray:
    """[place] sums of `values` [F]; quick where the firms of a place stand together."""
    sums = np.zeros(places)
    here, total = 0, 0.0
    for f in range(values.size):
        if place[f] != here:
            sums[here] = total
            here = place[f]
            total = sums[here]
        total += values[f]
    if values.size:
        sums[here] = total
    return sums


@compiled
def stand_capacity(
    planned: np.ndarray,
    expansion: np.ndarray,
    reserves: np.ndarray,
    normal_use: np.ndarray,
    decline_years: np.ndarray,
    ceiling: np.ndarray,
    months: float,
) -> np.ndarray:
    """[F] the `planned` as expanded, less what is mined out, within the `ceiling`."""
    stands = np.empty(planned.size)
    for f in range(planned.size):
        grown = planned[f] * expansion[f]
        yearly = months * grown * normal_use[f]
        if yearly > 0.0 and reserves[f] < np.inf:
            grown *= min(reserves[f] / yearly / decline_years[f], 1.0)
        stands[f] = min(grown, ceiling[f])
    return stands


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
def area_below(sold: float, offered: float, low: float, high: float, least: float) -> float:
    """Area under one firm's asks up to what it sold: flat at `least`, then up the ramp."""
    width = high - low
    flat = offered * min(max((least - low) / width, 0.0), 1.0)
    slope = width / offered if offered > 0.0 else 0.0
    rising = max(sold - flat, 0.0)
    return least * min(sold, flat) + rising * (low + slope * (flat + 0.5 * rising))


@compiled
def cost_by_place(
    sold: np.ndarray,
    offered: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    least: np.ndarray,
    markup: np.ndarray,
    world_price: np.ndarray,
    market: np.ndarray,
    support: np.ndarray,
    place: np.ndarray,
    places: int,
) -> np.ndarray:
    """[place] area under asks from which mark-up (of the world price [M]) and support are taken."""
    sums = np.zeros(places)
    for f in range(sold.size):
        if sold[f] != 0.0:
            drift = markup[f] * world_price[market[f]] - support[f]
            sums[place[f]] += area_below(
                sold[f], offered[f], low[f] - drift, high[f] - drift, least[f]
            )
    return sums


@compiled
def restock(
    sales: np.ndarray, inventory: np.ndarray, target: np.ndarray, limit: np.ndarray, months: float
) -> np.ndarray:
    """[F] output: sales and a part of the gap to the target inventory, within the limit."""
    made = np.empty(sales.size)
    for f in range(sales.size):
        wanted = sales[f] + (target[f] - inventory[f]) / months
        made[f] = min(max(wanted, 0.0), limit[f])
    return made


@compiled
def drift_markups(
    markup: np.ndarray,
    sales: np.ndarray,
    offered: np.ndarray,
    inventory: np.ndarray,
    target: np.ndarray,
    utilisation: np.ndarray,
    power: np.ndarray,
    speed: float,
) -> np.ndarray:
    """[F] mark-ups a step nearer to what use of the offer and stock call for, within the power."""
    drifted = np.empty(markup.size)
    for f in range(markup.size):
        tight = sales[f] / max(offered[f], 1e-300) - utilisation[f]
        short = 1.0 - min(inventory[f] / max(target[f], 1e-300), 2.0)
        moved = markup[f] + speed * (tight + 0.2 * short - markup[f])
        drifted[f] = min(max(moved, -power[f]), power[f])
    return drifted


@compiled
def want_capacity(
    price_ratio: np.ndarray, elasticity: np.ndarray, ratios: tuple[float, float], most: float
) -> np.ndarray:
    """[F] capacity wanted at a lasting price: its ratio to the power of the elasticity, bounded.

    Firms of a place stand together and mostly share ratio and elasticity: the power is taken once.
    """
    wanted = np.empty(price_ratio.size)
    last_ratio, last_elasticity, last = 1.0, 0.0, 1.0
    for f in range(price_ratio.size):
        if price_ratio[f] != last_ratio or elasticity[f] != last_elasticity:
            last_ratio, last_elasticity = price_ratio[f], elasticity[f]
            bounded = min(max(last_ratio, ratios[0]), ratios[1])
            last = min(max(bounded**last_elasticity, ratios[0]), most)
        wanted[f] = last
    return wanted


@compiled
def move_asks(
    low: np.ndarray,
    width: np.ndarray,
    markup: np.ndarray,
    world_price: np.ndarray,
    market: np.ndarray,
    cost: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[F] lowest and highest ask: that of the opening, moved by mark-up (of the world price [M])
    and cost, and a `width` above it."""
    lowest, highest = np.empty(low.size), np.empty(low.size)
    for f in range(low.size):
        lowest[f] = low[f] + markup[f] * world_price[market[f]] + cost[f]
        highest[f] = lowest[f] + width[f]
    return lowest, highest


@compiled
def sell_ramps(
    offered: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    least: np.ndarray,
    price: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """[F] sold at a `price` [place] of the `offered`, from `low` to `high`, none below `least`."""
    sold = np.zeros(offered.size)
    for f in range(offered.size):
        paid = price[place[f]]
        if paid >= least[f]:
            part = (paid - low[f]) / (high[f] - low[f])
            sold[f] = offered[f] * min(max(part, 0.0), 1.0)
    return sold


@compiled
def approach_capacity(
    expansion: np.ndarray, wanted: np.ndarray, rising: np.ndarray, falling: float
) -> np.ndarray:
    """[F] capacity a month nearer to the wanted: up over `rising`, down over `falling` months."""
    moved = np.empty(expansion.size)
    for f in range(expansion.size):
        gap = wanted[f] - expansion[f]
        moved[f] = expansion[f] + gap / (rising[f] if gap > 0.0 else falling)
    return moved


@compiled
def measure_supply(
    flow: np.ndarray,
    marked: np.ndarray,
    rerouted: np.ndarray,
    certified: np.ndarray,
    bought: np.ndarray,
    sold: np.ndarray,
) -> np.ndarray:
    """[6, M, J] exports, share of marked origins, Herfindahl index, reliance, rerouted, certified.

    Of a `flow` whose sums are `bought` [M, J] and `sold` [M, I]: origins are `marked` [I], arcs
    `rerouted` [M, I, J], and a share [I, J] is `certified`. Shares are NaN without purchases.
    """
    markets, origins, destinations = flow.shape
    figures = np.zeros((6, markets, destinations))
    for m in range(markets):
        for i in range(origins):
            for j in range(destinations):
                tonnes = flow[m, i, j]
                if tonnes == 0.0:
                    continue
                figures[2, m, j] += tonnes * tonnes
                if marked[i]:
                    figures[1, m, j] += tonnes
                if rerouted[m, i, j]:
                    figures[4, m, j] += tonnes
                figures[5, m, j] += tonnes * certified[i, j]
        for j in range(destinations):
            total = bought[m, j] if bought[m, j] > 0.0 else np.nan
            figures[0, m, j] = sold[m, j] - flow[m, j, j]
            figures[1, m, j] /= total
            figures[2, m, j] *= 10_000.0 / total
            figures[2, m, j] /= total
            figures[3, m, j] = 1.0 - flow[m, j, j] / total
            figures[5, m, j] /= total
    return figures


@compiled
def measure_use(
    use: np.ndarray,
    stock: np.ndarray,
    desired: np.ndarray,
    need: np.ndarray,
    feed_used: np.ndarray,
) -> np.ndarray:
    """[5, M, J] used, lacking, given up, in stock but for the last group, and months of cover.

    Used are `feed_used` [M, J] and what all groups use; lacking and given up is what groups between
    the first and the last want. Cover is NaN without use.
    """
    markets, countries, groups = use.shape
    figures = np.zeros((5, markets, countries))
    for m in range(markets):
        for j in range(countries):
            used, wanted, stored = 0.0, 0.0, 0.0
            for g in range(groups):
                used += use[m, j, g]
            for g in range(groups - 1):
                stored += stock[m, j, g]
            for g in range(1, groups - 1):
                wanted += desired[m, j, g]
                figures[2, m, j] += max(need[m, j, g] - desired[m, j, g], 0.0)
            figures[1, m, j] = wanted - used
            used += feed_used[m, j]
            figures[0, m, j] = used
            figures[3, m, j] = stored
            figures[4, m, j] = stored / used if used > 0.0 else np.nan
    return figures


@compiled
def measure_plants(
    capacity: np.ndarray,
    working: np.ndarray,
    building: np.ndarray,
    planned: np.ndarray,
    reserves: np.ndarray,
    place: np.ndarray,
    places: int,
) -> np.ndarray:
    """[3, place] capacity idle, capacity under construction, and reserves: NaN where none known."""
    figures = np.zeros((3, places))
    figures[2] = np.nan
    for f in range(capacity.size):
        here = place[f]
        figures[0, here] += capacity[f] * (1.0 - working[f])
        figures[1, here] += building[f] * planned[f]
        if reserves[f] < np.inf:
            before = figures[2, here]
            figures[2, here] = reserves[f] + (0.0 if np.isnan(before) else before)
    return figures


@compiled
def add_sectors(
    year: np.ndarray,
    need: np.ndarray,
    use: np.ndarray,
    stock: np.ndarray,
    taken: np.ndarray,
    spent: np.ndarray,
    bought: np.ndarray,
    gain: np.ndarray,
    months: float,
) -> None:
    """Add to a year's figures [5, M, J, S] a month's need, use, need uncovered, outlay and gain.

    Arrays are [M, J, G], sectors being all groups but the first and the last; `gain` [M, J, S],
    `spent` and `bought` [M, J].
    """
    for m in range(need.shape[0]):
        for j in range(need.shape[1]):
            price = spent[m, j] / bought[m, j] if bought[m, j] > 0.0 else 0.0
            for s in range(gain.shape[2]):
                wanted = need[m, j, s + 1]
                year[0, m, j, s] += wanted
                year[1, m, j, s] += use[m, j, s + 1]
                year[2, m, j, s] += max(wanted - stock[m, j, s + 1] / months, 0.0)
                year[3, m, j, s] += taken[m, j, s + 1] * price
                year[4, m, j, s] += gain[m, j, s]


@compiled
def split_owners(groups: np.ndarray) -> np.ndarray:
    """[3, M, J] sums over groups [M, J, G]: all between the first and the last, first, last."""
    markets, countries, count = groups.shape
    sums = np.zeros((3, markets, countries))
    for m in range(markets):
        for j in range(countries):
            for g in range(1, count - 1):
                sums[0, m, j] += groups[m, j, g]
            sums[1, m, j] = groups[m, j, 0]
            sums[2, m, j] = groups[m, j, count - 1]
    return sums


@compiled
def sum_where(chosen: np.ndarray, place: np.ndarray, values: np.ndarray, places: int) -> np.ndarray:
    """[place] sums of `values` [F] of the `chosen`."""
    sums = np.zeros(places)
    for f in range(values.size):
        if chosen[f]:
            sums[place[f]] += values[f]
    return sums


@compiled
def add_aid(
    table: np.ndarray, place: np.ndarray, support: np.ndarray, premium: np.ndarray
) -> np.ndarray:
    """[F] what a price `table` [place] says of each firm's place, with support and premium."""
    price = np.empty(place.size)
    for f in range(place.size):
        price[f] = table[place[f]] + support[f] + premium[f]
    return price


@compiled
def count_losses(
    price: np.ndarray,
    variable_cost: np.ndarray,
    rise: np.ndarray,
    feeds: np.ndarray,
    place: np.ndarray,
    capacity: np.ndarray,
    restart_margin: float,
    below: np.ndarray,
    above: np.ndarray,
) -> None:
    """Count on the months [F] `below` the cost for which there is capacity, and `above` restart.

    The cost of those who buy feed `rise`s [place].
    """
    for f in range(price.size):
        cost = variable_cost[f] + (rise[place[f]] if feeds[f] else 0.0)
        below[f] = below[f] + 1.0 if capacity[f] > 0.0 and price[f] < cost else 0.0
        above[f] = above[f] + 1.0 if price[f] >= restart_margin * cost else 0.0


@compiled
def stop_and_restart(
    working: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    patience: np.ndarray,
    restart_months: float,
    pace: float,
) -> np.ndarray:
    """[F] share working: down a pace where patience is over, up one where it is time to restart."""
    moved = np.empty(working.size)
    for f in range(working.size):
        step = (pace if above[f] >= restart_months else 0.0) - (
            pace if below[f] >= patience[f] else 0.0
        )
        moved[f] = min(max(working[f] + step, 0.0), 1.0)
    return moved


@compiled
def foresee_price(
    price: np.ndarray,
    existing: np.ndarray,
    building: np.ndarray,
    market: np.ndarray,
    exponent: np.ndarray,
) -> np.ndarray:
    """[F] price once what the market [M] is building has come: its growth to a power lowers it."""
    stands, comes = np.zeros(exponent.size), np.zeros(exponent.size)
    for f in range(price.size):
        stands[market[f]] += existing[f]
        comes[market[f]] += building[f]
    for m in range(exponent.size):
        growth = 1.0 + comes[m] / stands[m] if stands[m] > 0.0 else 1.0
        stands[m] = growth ** exponent[m]
    later = np.empty(price.size)
    for f in range(price.size):
        later[f] = price[f] * stands[market[f]]
    return later


@compiled
def room_left(
    planned: np.ndarray,
    expansion: np.ndarray,
    reserves: np.ndarray,
    normal_use: np.ndarray,
    decline_years: np.ndarray,
    ceiling: np.ndarray,
    grown: float,
    months: float,
) -> np.ndarray:
    """[F] the most a firm may have, over its plan: a `ceiling` that has `grown`.

    None at all for a mine whose reserves are worth fewer years of output than it declines over.
    """
    room = np.empty(planned.size)
    for f in range(planned.size):
        room[f] = np.inf
        if planned[f] > 0.0:
            room[f] = ceiling[f] * grown / planned[f]
            yearly = months * planned[f] * expansion[f] * normal_use[f]
            if yearly > 0.0 and reserves[f] / yearly < decline_years[f]:
                room[f] = 0.0
    return room


@compiled
def build_more(
    price: np.ndarray,
    usual: np.ndarray,
    pays: float,
    elasticity: np.ndarray,
    ratios: tuple[float, float],
    most: float,
    room: np.ndarray,
    expansion: np.ndarray,
    building: np.ndarray,
    months: float,
) -> np.ndarray:
    """[F] begun this month: part of what lacks of the capacity wanted, within the room there is.

    Prices are counted from the one at which capacity `pays`, as a multiple of the `usual`.
    """
    ratio = np.empty(price.size)
    for f in range(price.size):
        ratio[f] = price[f] / (pays * usual[f])
    begun = want_capacity(ratio, elasticity, ratios, most)
    for f in range(price.size):
        lacks = min(begun[f], room[f]) - expansion[f] - building[f]
        begun[f] = max(lacks, 0.0) / months
    return begun


@compiled
def value_projects(
    price: np.ndarray,
    usual: np.ndarray,
    pays: float,
    capacity: np.ndarray,
    elasticity: np.ndarray,
    running_share: float,
) -> np.ndarray:
    """[F] worth over cost of the last unit of a capacity, from the price at which it just pays."""
    worth = np.empty(price.size)
    last_capacity, last_elasticity, last = 1.0, 1.0, 1.0
    for f in range(price.size):
        if capacity[f] != last_capacity or elasticity[f] != last_elasticity:
            last_capacity, last_elasticity = capacity[f], elasticity[f]
            power = 1.0 / last_elasticity if last_elasticity > 0.0 else 0.0
            last = max(last_capacity, 1e-9) ** power
        asked = pays * usual[f] * last
        worth[f] = (price[f] / asked - running_share) / (1.0 - running_share)
    return worth


@compiled
def give_up(
    coming: np.ndarray,
    building: np.ndarray,
    lead: np.ndarray,
    worth: np.ndarray,
    month: int,
    trigger: float,
    share: float,
) -> None:
    """Cut by a share the cohorts `coming` [row, F] that are worth less than they still cost.

    What is unspent falls evenly over the `lead`; a cohort's row is its month, round and round.
    `building` [F] is the sum of the cohorts.
    """
    rows = coming.shape[0]
    for f in range(building.size):
        if building[f] <= 0.0 or not worth[f] < trigger:
            continue
        total = 0.0
        for row in range(rows):
            ahead = (row - month - 1) % rows + 1
            if worth[f] < trigger * min(ahead / lead[f], 1.0):
                coming[row, f] *= 1.0 - share
            total += coming[row, f]
        building[f] = total


@compiled
def wear_out(expansion: np.ndarray, lasting: np.ndarray, months: float) -> np.ndarray:
    """[F] capacity a month later where what is more than `lasting` wears out."""
    left = np.empty(expansion.size)
    for f in range(expansion.size):
        left[f] = expansion[f] - max(expansion[f] - lasting[f], 0.0) / months
    return left


@compiled
def lerner(share: np.ndarray, demand: np.ndarray, rivals: np.ndarray, most: float) -> np.ndarray:
    """[M, J] share over the elasticity left to its seller: of `demand` [M] and of `rivals` [M]."""
    power = np.empty(share.shape)
    for m in range(share.shape[0]):
        for j in range(share.shape[1]):
            left = demand[m] + (1.0 - share[m, j]) * rivals[m]
            power[m, j] = min(share[m, j] / left, most)
    return power


@compiled
def raise_markups(
    usual: np.ndarray,
    power: np.ndarray,
    usual_power: np.ndarray,
    speed: float,
    countervailing: np.ndarray,
    home: int,
) -> np.ndarray:
    """[M, J] mark-up that has moved with the power over each buyer, less its own; none at home."""
    charged = np.empty(usual.shape)
    for m in range(usual.shape[0]):
        for j in range(usual.shape[1]):
            drift = speed * (power[m, j] - usual_power[m, j])
            charged[m, j] = max(usual[m, j] + drift, 0.0) * countervailing[m, j]
        charged[m, home] = 0.0
    return charged


@compiled
def split_taken(taken: np.ndarray) -> np.ndarray:
    """[2, M, J] the part of users and of the first group in what both took [M, J, G].

    All is the users' where neither took anything; the last group does not count.
    """
    markets, countries, groups = taken.shape
    part = np.zeros((2, markets, countries))
    for m in range(markets):
        for j in range(countries):
            users = 0.0
            for g in range(1, groups - 1):
                users += taken[m, j, g]
            total = users + taken[m, j, 0]
            part[0, m, j] = users / total if total != 0.0 else 1.0
            part[1, m, j] = taken[m, j, 0] / total if total != 0.0 else 0.0
    return part


@compiled
def add_up_held(stock: np.ndarray, at_sea: np.ndarray) -> np.ndarray:
    """[M, J, G] what is in `stock` and, over the months to arrival, `at_sea` [M, J, G, months]."""
    held = np.empty(stock.shape)
    for m in range(stock.shape[0]):
        for j in range(stock.shape[1]):
            for g in range(stock.shape[2]):
                total = stock[m, j, g]
                for month in range(at_sea.shape[3]):
                    total += at_sea[m, j, g, month]
                held[m, j, g] = total
    return held


@compiled
def limit_by_feed(
    mined: np.ndarray,
    refined: np.ndarray,
    refining_yield: np.ndarray,
    stock: np.ndarray,
    feed_price: np.ndarray,
    reference_price: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[M, J] output that the first group's stock of feed allows, and by how much feed is dearer.

    In the rows of `refined` markets, from those of `mined` ones; elsewhere infinite and zero.
    """
    limit, rise = np.full(feed_price.shape, np.inf), np.zeros(feed_price.shape)
    for row in range(mined.size):
        m, r, share = mined[row], refined[row], refining_yield[row, 0]
        for j in range(feed_price.shape[1]):
            limit[r, j] = stock[m, j, 0] * share
            rise[r, j] = (feed_price[m, j] - reference_price[m, j]) / share
    return limit, rise


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


@compiled
def impute_price(seen: np.ndarray, opening: np.ndarray, sold: np.ndarray) -> np.ndarray:
    """[M, J] price seen; where it is NaN that of the opening, moved as the others on average."""
    price = seen.copy()
    for m in range(seen.shape[0]):
        usual, worth = 0.0, 0.0
        for j in range(seen.shape[1]):
            if not np.isnan(seen[m, j]):
                usual += sold[m, j] * opening[m, j]
                worth += sold[m, j] * seen[m, j]
        level = worth / usual if usual > 0.0 else 1.0
        for j in range(seen.shape[1]):
            if np.isnan(seen[m, j]):
                price[m, j] = opening[m, j] * level
    return price


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


@compiled
def age_products(in_use: np.ndarray, ageing: np.ndarray, entered: np.ndarray) -> np.ndarray:
    """[K, J, S] what retires; products [stage, K, J, S] move on a stage by `ageing` [S], in place.

    Those that `entered` [K, J, S] stand in the first stage.
    """
    stages, minerals, countries, sectors = in_use.shape
    retired = np.empty(entered.shape)
    for k in range(minerals):
        for j in range(countries):
            for s in range(sectors):
                arriving = entered[k, j, s]
                for stage in range(stages):
                    leaving = in_use[stage, k, j, s] * ageing[s]
                    in_use[stage, k, j, s] = in_use[stage, k, j, s] - leaving + arriving
                    arriving = leaving
                retired[k, j, s] = arriving
    return retired


@compiled
def collect_scrap(
    retired: np.ndarray,
    made: np.ndarray,
    collectable: np.ndarray,
    new_scrap: np.ndarray,
    rate: np.ndarray,
    support: np.ndarray,
    recycled: np.ndarray,
    part: np.ndarray,
    route: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[K, J] collected with support, collected in all, and what reaches recyclers.

    Of what retired and of new scrap [K, J, S]: a `rate` of the `collectable` [K], and `support`
    [K, J] beyond it where recyclers take part. The usual goes by `route` [K, from, to]; the rest
    to recyclers by what they `recycled`, as far as their countries take `part` [J].
    """
    minerals, countries, sectors = retired.shape
    supported, collected = np.zeros(rate.shape), np.zeros(rate.shape)
    inflow = np.zeros(rate.shape)
    for k in range(minerals):
        able, extra = 0.0, 0.0
        for j in range(countries):
            able += recycled[k, j] * part[j]
        for j in range(countries):
            old, fresh = 0.0, 0.0
            for s in range(sectors):
                old += retired[k, j, s]
                fresh += made[k, j, s]
            old *= collectable[k]
            usual = rate[k, j] * old + new_scrap[k] * fresh
            if able > 0.0:
                supported[k, j] = support[k, j] * old
            extra += supported[k, j]
            collected[k, j] = usual + supported[k, j]
            if usual != 0.0:
                for to in range(countries):
                    inflow[k, to] += usual * route[k, j, to]
        if extra > 0.0:
            for j in range(countries):
                inflow[k, j] += extra * (recycled[k, j] * part[j] / able)
    return supported, collected, inflow


@compiled
def move_usual(usual: np.ndarray, flow: np.ndarray, months: float) -> np.ndarray:
    """[M, I, J] usual flows a month on: a part of the way to this month's."""
    moved = np.empty(flow.shape)
    for m in range(flow.shape[0]):
        for i in range(flow.shape[1]):
            for j in range(flow.shape[2]):
                moved[m, i, j] = usual[m, i, j] + (flow[m, i, j] - usual[m, i, j]) / months
    return moved


@compiled
def raise_cost(
    feeds: np.ndarray,
    rise: np.ndarray,
    place: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
) -> np.ndarray:
    """[F] `rise` [place] of the cost of those who buy feed, less support and premium."""
    cost = np.empty(place.size)
    for f in range(place.size):
        cost[f] = (rise[place[f]] if feeds[f] else 0.0) - support[f] - premium[f]
    return cost


@compiled
def take_stock(
    inventory: np.ndarray,
    made: np.ndarray,
    sales: np.ndarray,
    last_output: np.ndarray,
    last_sales: np.ndarray,
) -> None:
    """Add to inventories [F] what was made, take out what was sold, and note both, in place."""
    for f in range(made.size):
        inventory[f] = max(inventory[f] + made[f] - sales[f], 0.0)
        last_output[f], last_sales[f] = made[f], sales[f]


@compiled
def rest_idle(
    markup: np.ndarray, drifted: np.ndarray, capacity: np.ndarray, working: np.ndarray
) -> None:
    """Set mark-ups [F] to the `drifted` ones, and to zero where no capacity works, in place."""
    for f in range(markup.size):
        markup[f] = drifted[f] if capacity[f] > 0.0 and working[f] > 0.0 else 0.0


@compiled
def add_up_markets(stock: np.ndarray, at_sea: np.ndarray) -> np.ndarray:
    """[M] all that is in `stock` [M, J, G] and `at_sea` [M, J, G, months]."""
    held = np.zeros(stock.shape[0])
    for m in range(stock.shape[0]):
        for j in range(stock.shape[1]):
            for g in range(stock.shape[2]):
                held[m] += stock[m, j, g]
                for month in range(at_sea.shape[3]):
                    held[m] += at_sea[m, j, g, month]
    return held
