"""Orders of the month: need, contracts, feed, and what is bought of them."""

import numpy as np

from abm.passes import compiled


@compiled
def grow_need(
    opening: np.ndarray,
    grown: np.ndarray,
    intensity: np.ndarray,
    swing: np.ndarray,
    mineral: np.ndarray,
    planned_output: np.ndarray,
    mined: np.ndarray,
    refined: np.ndarray,
    refining_yield: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[M, J, G] need of the month on its trend, and with the swings of the month.

    That of the `opening` [M, J, G], for the groups between the first and the last times what has
    `grown` [K, J or 1, S], times the `intensity` [K, J, S] of use, and times the `swing` [K, J].
    The first group needs the feed, in the `mined` markets, for what is planned [M, J] in the
    `refined` ones.
    """
    markets, countries, groups = opening.shape
    trend, need = np.zeros(opening.shape), np.zeros(opening.shape)
    for m in range(markets):
        k = mineral[m]
        for j in range(countries):
            column = j if grown.shape[1] > 1 else 0
            for g in range(1, groups - 1):
                level = grown[k, column, g - 1] * intensity[k, j, g - 1]
                trend[m, j, g] = opening[m, j, g] * level
                need[m, j, g] = trend[m, j, g] * swing[k, j]
            trend[m, j, groups - 1] = need[m, j, groups - 1] = opening[m, j, groups - 1]
    for row in range(mined.size):
        for j in range(countries):
            feed = planned_output[refined[row], j] / refining_yield[row, 0]
            trend[mined[row], j, 0] = need[mined[row], j, 0] = feed
    return trend, need


@compiled
def price_substitutes(
    reference_price: np.ndarray,
    backstop_multiple: np.ndarray,
    choke_multiple: np.ndarray,
    cheaper: np.ndarray,
    mineral: np.ndarray,
    producer_price: np.ndarray,
    mined: np.ndarray,
    refined: np.ndarray,
    refining_yield: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[M, J] prices at which a substitute starts and ends to displace demand.

    Multiples [M] of the reference price, of whose excess over one a part is `cheaper` [K, J]. Feed
    is wanted up to the worth of its product, and of 1.2 times the reference price.
    """
    backstop, choke = np.empty(reference_price.shape), np.empty(reference_price.shape)
    for m in range(reference_price.shape[0]):
        for j in range(reference_price.shape[1]):
            saved = cheaper[mineral[m], j]
            low = backstop_multiple[m] - saved * (backstop_multiple[m] - 1.0)
            high = choke_multiple[m] - saved * (choke_multiple[m] - 1.0)
            backstop[m, j] = reference_price[m, j] * low
            choke[m, j] = reference_price[m, j] * high
    for row in range(mined.size):
        m = mined[row]
        for j in range(reference_price.shape[1]):
            worth = producer_price[refined[row], j] * refining_yield[row, 0]
            limit = max(worth, 1.2 * reference_price[m, j])
            backstop[m, j] = min(backstop[m, j], limit)
            choke[m, j] = min(choke[m, j], 1.5 * limit)
    return backstop, choke


@compiled
def anticipate(
    growth: np.ndarray,
    risk: np.ndarray,
    need: np.ndarray,
    contagion: float,
    carrying_cost: float,
    momentum: float,
    slope: float,
    least: float,
) -> np.ndarray:
    """[M, J] extra cover for an expected rise of the price, at a `slope`, no less than `least`.

    The rise at home, and by `contagion` that elsewhere by `need`, less what it costs to carry; it
    is believed in by the risk, and by the `momentum` at least.
    """
    cover = np.empty(growth.shape)
    for m in range(growth.shape[0]):
        total, rally = 0.0, 0.0
        for j in range(growth.shape[1]):
            total += need[m, j]
            rally += need[m, j] * (growth[m, j] - 1.0)
        rally = rally / total if total > 0.0 else 0.0
        for j in range(growth.shape[1]):
            rise = growth[m, j] - 1.0
            rise += contagion * max(rally - rise, 0.0)
            gain = max(rise - carrying_cost, 0.0) + min(rise + carrying_cost, 0.0)
            cover[m, j] = max(risk[m, j], momentum) * max(slope * gain, least)
    return cover


@compiled
def bid_for_stockpiles(
    target: np.ndarray,
    position: np.ndarray,
    usual_price: np.ndarray,
    build_months: float,
    ceiling: float,
    floor: np.ndarray,
    quantity: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Write orders of the last group, in the last markets, one a mineral: its gap to a target.

    A part of the gap of its `position` [M, J, G] to the `target` [J, K], up to a `ceiling` over the
    usual price [M, J]; nothing elsewhere. Orders are those of `draw_orders`.
    """
    markets, countries, groups = floor.shape
    state, last = groups - 1, 2 * groups - 1
    first = markets - target.shape[1]
    for m in range(markets):
        for j in range(countries):
            floor[m, j, state] = quantity[m, j, state] = quantity[m, j, last] = 0.0
            if m >= first:
                gap = max(target[j, m - first] - position[m, j, state], 0.0)
                usual = usual_price[m, j]
                quantity[m, j, state] = gap / build_months
                low[m, j, state] = (ceiling - 0.1) * usual
                high[m, j, state] = low[m, j, last] = ceiling * usual
                high[m, j, last] = 2.0 * ceiling * usual


@compiled
def aim_in_calm(
    expected_price: np.ndarray,
    customary_price: np.ndarray,
    stock: np.ndarray,
    trend_need: np.ndarray,
    opening_cover: np.ndarray,
    common_cover: np.ndarray,
    price_ratio: np.ndarray,
    dearest: np.ndarray,
    stockpile: np.ndarray,
    trend_use: np.ndarray,
    purchase_target: np.ndarray,
) -> None:
    """Write what countries see of the last markets of [M, J, G], one a mineral, and aim to hold.

    The last five, [J, K] but `dearest` [J]: price over the customary one and the highest of them,
    what the last group holds, what the groups between the first and the last need, and the larger
    of both covers (`opening_cover` [J, K], `common_cover` [J]) times that.
    """
    countries, minerals = price_ratio.shape
    groups, first = stock.shape[2], stock.shape[0] - minerals
    for j in range(countries):
        dearest[j] = 0.0
        for k in range(minerals):
            m = first + k
            ratio = expected_price[m, j] / customary_price[m, j]
            price_ratio[j, k] = ratio
            dearest[j] = max(dearest[j], ratio)
            stockpile[j, k] = stock[m, j, groups - 1]
            use = 0.0
            for g in range(1, groups - 1):
                use += trend_need[m, j, g]
            trend_use[j, k] = use
            purchase_target[j, k] = max(opening_cover[j, k], common_cover[j]) * use


@compiled
def hand_out(
    total: float, key: np.ndarray, most: np.ndarray, rounding: float, shares: np.ndarray
) -> None:
    """Write parts [J] of a total in proportion to a key, none above `most`, whose sum is not less.

    What exceeds the most of some goes to the others by the same key, and then to those without a
    key by what they still lack.
    """
    shares[:] = 0.0
    left = total
    for _ in range(key.size):
        whole, above = 0.0, False
        for j in range(key.size):
            whole += key[j] if shares[j] < most[j] else 0.0
        if whole == 0.0:
            break
        for j in range(key.size):
            shares[j] += left * key[j] / whole if shares[j] < most[j] else 0.0
            above = above or shares[j] > most[j] * (1.0 + rounding)
        if not above:
            left = 0.0
            break
        left = total
        for j in range(key.size):
            shares[j] = min(shares[j], most[j])
            left -= shares[j]
    if left > rounding * total:
        lacking = 0.0
        for j in range(key.size):
            lacking += most[j] - shares[j]
        for j in range(key.size):
            shares[j] += left * (most[j] - shares[j]) / lacking


@compiled
def pool_stocks(
    pace: np.ndarray,
    short: np.ndarray,
    need: np.ndarray,
    part: np.ndarray,
    by_offer: bool,
    equal: bool,
    rounding: float,
) -> tuple[np.ndarray, np.ndarray]:
    """[K, J] t given to and received from the pool, equal in sum.

    Where one of those who take `part` [J] is `short` all of them offer their part of the `pace`,
    and those who are short share it up to their need: by need, by what they offer, or equally.
    """
    minerals, countries = pace.shape
    given, received = np.zeros(pace.shape), np.zeros(pace.shape)
    key, most = np.zeros(countries), np.zeros(countries)
    for k in range(minerals):
        offered, asked = 0.0, 0.0
        for j in range(countries):
            calls = short[k, j] and part[j] > 0.0
            offer = part[j] * pace[k, j]
            offered += offer
            most[j] = need[k, j] if calls else 0.0
            asked += most[j]
            key[j] = (1.0 if equal else offer if by_offer else need[k, j]) if calls else 0.0
        total = min(offered, asked)
        if total > 0.0:
            hand_out(total, key, most, rounding, received[k])
            for j in range(countries):
                given[k, j] = part[j] * pace[k, j] * (total / offered)
    return given, received


@compiled
def draw_orders(
    need: np.ndarray,
    trend_need: np.ndarray,
    expected_use: np.ndarray,
    position: np.ndarray,
    released: np.ndarray,
    cover: np.ndarray,
    risk: np.ndarray,
    anticipated: np.ndarray,
    bridge: np.ndarray,
    bridge_months: np.ndarray,
    transit: np.ndarray,
    growth: np.ndarray,
    expected_price: np.ndarray,
    least_order: float,
    hoarding: float,
    minimum_cover: float,
    drawdown_months: float,
    adjustment_months: float,
    speculation: float,
    order_width: float,
    distress: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Floor [M, J, G] and quantity, low and high price of both ramps [M, J, 2G] of every order.

    Arrays are [M, J, G]; `risk`, `anticipated` and `bridge` (shares of the cover),
    `bridge_months`, `transit` and `expected_price` are [M, J]; `growth` is [M].
    """
    markets, countries, groups = need.shape
    closed, drawn = 1.0 / adjustment_months, 1.0 / drawdown_months  # a month: products are quicker
    floor = np.zeros(need.shape)
    quantity = np.zeros((markets, countries, 2 * groups))
    low = np.empty(quantity.shape)
    high = np.empty(quantity.shape)
    for m in range(markets):
        for j in range(countries):
            price = expected_price[m, j]
            width = order_width * price
            covered = 1.0 + hoarding * risk[m, j] + bridge[m, j] + anticipated[m, j]
            for g in range(groups):
                part = 0.0
                wanted = need[m, j, g]
                if wanted > 0.0:
                    usual = trend_need[m, j, g]
                    aboard = transit[m, j] * usual
                    calm_target = cover[m, j, g] * usual
                    target = calm_target * covered
                    gap = target + aboard - position[m, j, g]
                    due = min(max(gap, 0.0), bridge[m, j] * calm_target)
                    closing = (
                        (gap - due) * closed
                        + due / bridge_months[m, j]
                        + growth[m] * (calm_target + aboard)
                    )
                    held = max(position[m, j, g] - aboard, 0.0)
                    spare = max(held - minimum_cover * target, 0.0)
                    least = least_order * wanted
                    given = released[m, j, g]
                    moderate = max(wanted - spare * drawn - given, least)
                    distressed = max(wanted - held * drawn - given, least)
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
def settle_terms(
    share: np.ndarray,
    flow: np.ndarray,
    usual_flow: np.ndarray,
    banned: np.ndarray,
    markup: np.ndarray,
    price: np.ndarray,
    index: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What sellers hand back and what buyers pay on top, by destination and by origin.

    Both [2, M, J or I]. Under contract is the `share` [M] of what flows on an arc that is not
    `banned`, up to its usual flow; a tonne settles by how much the `price` [M, I], if there is one,
    is off the `index` [M, I], with the mark-up.
    """
    markets, origins, destinations = flow.shape
    by_destination = np.zeros((2, markets, destinations))
    by_origin = np.zeros((2, markets, origins))
    for m in range(markets):
        for i in range(origins):
            gap = price[m, i] - index[m, i]
            if np.isnan(gap) or share[m] == 0.0:
                continue
            side = 0 if gap > 0.0 else 1
            for j in range(destinations):
                tonnes = share[m] * min(flow[m, i, j], usual_flow[m, i, j])
                if tonnes > 0.0 and not banned[m, i, j]:
                    amount = abs(tonnes * (1.0 + markup[m, i, j]) * gap)
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
) -> None:
    """Make the `committed` part [M, J] of orders firm, in place: floor [M, J, G], ramps [M, J, 2G].

    The same part of both ramps of every group moves to its floor, up to its need, so that at the
    expected price it orders what it did.
    """
    markets, countries, groups = floor.shape
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
                    floor[m, j, g] += part * flexible[g] / scale
                    width = high[m, j, g] - low[m, j, g]
                    price = expected_price[m, j]
                    filled = min(max((high[m, j, g] - price) / width, 0.0), 1.0)
                    left = (1.0 - part) * filled
                    kept = left + 1.0 - filled
                    quantity[m, j, g] *= kept
                    top = price + width * (left / kept if kept > 0.0 else 0.0)
                    low[m, j, g], high[m, j, g] = top - width, top
                    low[m, j, groups + g] = top
                    quantity[m, j, groups + g] *= 1.0 - part


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
def remember_trade(
    flow: np.ndarray,
    months: float,
    row: int,
    usual: np.ndarray,
    past_price: np.ndarray,
    index: np.ndarray,
) -> None:
    """Move usual flows [M, I, J] a part of the way to this month's, and the price index, in place.

    The `index` [M, I] is the mean of past prices [months of the index, M, I], of which a `row` is
    new; where it is NaN nothing was sold, and the index takes its place.
    """
    for m in range(flow.shape[0]):
        for i in range(flow.shape[1]):
            for j in range(flow.shape[2]):
                usual[m, i, j] += (flow[m, i, j] - usual[m, i, j]) / months
            if np.isnan(past_price[row, m, i]):
                past_price[row, m, i] = index[m, i]
            total = 0.0
            for past in range(past_price.shape[0]):
                total += past_price[past, m, i]
            index[m, i] = total / past_price.shape[0]
