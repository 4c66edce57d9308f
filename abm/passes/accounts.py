"""Accounts of a month: stocks, surplus, scrap, and the sums that are recorded."""

import numpy as np

from abm.passes import compiled


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
def measure_supply(
    figures: np.ndarray,
    flows: np.ndarray,
    values: np.ndarray,
    flow: np.ndarray,
    paid: np.ndarray,
    marked: np.ndarray,
    rerouted: np.ndarray,
    certified: np.ndarray,
    bought: np.ndarray,
    sold: np.ndarray,
    unit: float,
) -> None:
    """[6, M, J] exports, share of marked origins, Herfindahl index, reliance, rerouted, certified.

    Of a `flow` whose sums are `bought` [M, J] and `sold` [M, I]: origins are `marked` [I], arcs
    `rerouted` [M, I, J], and a share [I, J] is `certified`. Shares are NaN without purchases.
    The flow and what was `paid` for it, times `unit`, are added to those of the year.
    """
    markets, origins, destinations = flow.shape
    for m in range(markets):
        for k in range(figures.shape[0]):
            for j in range(destinations):
                figures[k, m, j] = 0.0
        for i in range(origins):
            for j in range(destinations):
                tonnes = flow[m, i, j]
                if tonnes == 0.0:
                    continue
                flows[m, i, j] += tonnes
                values[m, i, j] += unit * paid[m, i, j]
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


@compiled
def measure_use(
    figures: np.ndarray,
    use: np.ndarray,
    stock: np.ndarray,
    desired: np.ndarray,
    need: np.ndarray,
    feed_used: np.ndarray,
    opening: np.ndarray,
    intensity: np.ndarray,
    mineral: np.ndarray,
) -> None:
    """[7, M, J] used, lacking, given up, in stock, months of cover, the state's, mean intensity.

    Used are `feed_used` [M, J] and what all groups use; lacking and given up is what groups between
    the first and the last want. The last group is the state. Cover is NaN without use. Intensity
    [K, J, S] is weighted by `opening` need [M, J, G]; NaN without any.
    """
    markets, countries, groups = use.shape
    for m in range(markets):
        for j in range(countries):
            used, wanted, given_up, stored = 0.0, 0.0, 0.0, stock[m, j, 0]
            whole, thrifty = 0.0, 0.0
            for g in range(1, groups - 1):
                used += use[m, j, g]
                stored += stock[m, j, g]
                wanted += desired[m, j, g]
                given_up += max(need[m, j, g] - desired[m, j, g], 0.0)
                whole += opening[m, j, g]
                thrifty += opening[m, j, g] * intensity[mineral[m], j, g - 1]
            figures[1, m, j] = wanted - used
            figures[2, m, j] = given_up
            used += feed_used[m, j]
            figures[0, m, j] = used
            figures[3, m, j] = stored
            figures[4, m, j] = stored / used if used > 0.0 else np.nan
            figures[5, m, j] = stock[m, j, groups - 1]
            figures[6, m, j] = thrifty / whole if whole > 0.0 else np.nan


@compiled
def measure_plants(
    figures: np.ndarray,
    capacity: np.ndarray,
    working: np.ndarray,
    building: np.ndarray,
    planned: np.ndarray,
    output: np.ndarray,
    recycles: np.ndarray,
    reserves: np.ndarray,
    place: np.ndarray,
) -> None:
    """[5, place] idle, under construction, made, of it recycled; reserves: NaN where none known."""
    for here in range(figures.shape[1]):
        for k in range(4):
            figures[k, here] = 0.0
        figures[4, here] = np.nan
    for f in range(capacity.size):
        here = place[f]
        figures[0, here] += capacity[f] * (1.0 - working[f])
        figures[1, here] += building[f] * planned[f]
        figures[2, here] += output[f]
        if recycles[f]:
            figures[3, here] += output[f]
        if reserves[f] < np.inf:
            before = figures[4, here]
            figures[4, here] = reserves[f] + (0.0 if np.isnan(before) else before)


@compiled
def measure_money(
    figures: np.ndarray,
    by_buyer: np.ndarray,
    rebate: np.ndarray,
    price: np.ndarray,
    choke: np.ndarray,
    origin_price: np.ndarray,
    risk: np.ndarray,
    of_exporters: np.ndarray,
    of_traders: np.ndarray,
    treasury: np.ndarray,
    unit: float,
) -> None:
    """[10, M, J] mean prices without and with rebate, at the origin; tonnes; risk; five of money.

    Tonnes, outlay, duty and rent stand first `by_buyer` [side, M, J]. Where nothing was bought the
    price is the index, at most `choke`. Money, also rents received and the treasury, is in `unit`.
    """
    for m in range(price.shape[0]):
        for j in range(price.shape[1]):
            bought, spent = by_buyer[0, m, j], by_buyer[1, m, j]
            usual = min(price[m, j], choke[m, j])
            figures[0, m, j] = spent / bought if bought > 0.0 else usual
            figures[1, m, j] = (spent - rebate[m, j]) / bought if bought > 0.0 else usual
            figures[2, m, j] = origin_price[m, j]
            figures[3, m, j] = bought
            figures[4, m, j] = risk[m, j]
            for side in range(1, 4):
                figures[4 + side, m, j] = unit * by_buyer[side, m, j]
            figures[8, m, j] = unit * (of_exporters[m, j] + of_traders[m, j])
            figures[9, m, j] = unit * treasury[m, j]


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


@compiled
def add_up_entries(
    posted: np.ndarray, sides: np.ndarray, account: np.ndarray, accounts: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Accounts [A, M, J], sums of entries by country [2, E, J], and the first that is not balanced.

    Of the entries [E] that were `posted`, the first side [2, E, M, J] is what `account` [2, E] pays
    and the second what it receives. Last come the totals [2] of both sides of the entry whose sides
    differ by more than `tolerance` of the larger, and its number; -1: there is none.
    """
    _, entries, markets, countries = sides.shape
    net = np.zeros((accounts, markets, countries))
    sums = np.zeros((2, entries, countries))
    total = np.zeros(2)
    for e in range(entries):
        if not posted[e]:
            continue
        for side in range(2):
            owner, sign = account[side, e], 2.0 * side - 1.0
            for m in range(markets):
                for j in range(countries):
                    amount = sides[side, e, m, j]
                    net[owner, m, j] += sign * amount
                    sums[side, e, j] += amount
            total[side] = 0.0
            for j in range(countries):
                total[side] += sums[side, e, j]
        if not abs(total[0] - total[1]) <= tolerance * max(abs(total[0]), abs(total[1])):
            return net, sums, total, e
    return net, sums, total, -1
