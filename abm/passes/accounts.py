"""Accounts of a month: stocks, surplus, scrap, and the sums that are recorded."""

import numpy as np

from abm.passes import compiled


@compiled
def unit_surplus(
    price: float,
    reference: float,
    elasticity: float,
    backstop: float,
    choke: float,
    least_ratio: float,
) -> float:
    """Area under the curve of `scale_use` from a price up to the choke price, per tonne of need.

    Exact: the isoelastic part up to the backstop price, then the straight fall to the choke price.
    """
    if not price < choke:
        return 0.0
    ratio, top = price / reference, backstop / reference
    start = max(min(ratio, top), least_ratio)
    left_at_top = top**-elasticity
    if abs(elasticity - 1.0) < 1e-9:
        area = np.log(top / start)
    else:
        area = (top * left_at_top - start ** (1.0 - elasticity)) / (1.0 - elasticity)
    if ratio < least_ratio:
        area += (least_ratio - ratio) * least_ratio**-elasticity
    left = choke - max(price, backstop)
    return reference * area + left_at_top * left * left / (2.0 * (choke - backstop))


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
    """[M, J, G] `unit_surplus` at prices [M, J], times need; groups of an elasticity share it."""
    surplus = np.zeros(need.shape)
    for m in range(need.shape[0]):
        for j in range(need.shape[1]):
            unit, last = 0.0, np.nan
            for g in range(need.shape[2]):
                if need[m, j, g] == 0.0:
                    continue
                if elasticity[m, j, g] != last:
                    last = elasticity[m, j, g]
                    unit = unit_surplus(
                        price[m, j],
                        reference_price[m, j],
                        last,
                        backstop[m, j],
                        choke[m, j],
                        least_ratio,
                    )
                surplus[m, j, g] = need[m, j, g] * unit
    return surplus


@compiled
def measure_sectors(
    need: np.ndarray,
    desired: np.ndarray,
    use: np.ndarray,
    stock: np.ndarray,
    taken: np.ndarray,
    paid: np.ndarray,
    months: float,
    intensity: np.ndarray,
    mineral: np.ndarray,
    price: np.ndarray,
    reference_price: np.ndarray,
    elasticity: np.ndarray,
    backstop: np.ndarray,
    choke: np.ndarray,
    least_ratio: float,
    figures: np.ndarray,
) -> np.ndarray:
    """[M, J] surplus of all sectors; what is known of each is added to `figures` [5, M, J, S].

    Those are need, use, need of so many months that no stock covers, outlay, and surplus. Arrays
    are [M, J, G], sectors being all groups but the first and the last; prices [M, J], of which
    `paid` is the mean. The surplus is `unit_surplus` of the need, as far as what is desired is
    used; what `intensity` [K, J, S] below one has freed of need earns it at the reference price.
    """
    markets, countries, groups = need.shape
    surplus = np.zeros((markets, countries))
    for m in range(markets):
        for j in range(countries):
            unit, calm, last = 0.0, np.nan, np.nan
            for g in range(1, groups - 1):
                s, wanted = g - 1, need[m, j, g]
                figures[3, m, j, s] += taken[m, j, g] * paid[m, j]
                if wanted == 0.0:
                    continue
                figures[0, m, j, s] += wanted
                figures[1, m, j, s] += use[m, j, g]
                figures[2, m, j, s] += max(wanted - stock[m, j, g] / months, 0.0)
                first = reference_price[m, j]
                if elasticity[m, j, g] != last:
                    last, calm = elasticity[m, j, g], np.nan
                    unit = unit_surplus(
                        price[m, j], first, last, backstop[m, j], choke[m, j], least_ratio
                    )
                gain = 0.0
                if desired[m, j, g] > 0.0:
                    gain = wanted * unit * (use[m, j, g] / desired[m, j, g])
                kept = intensity[mineral[m], j, s]
                if kept != 1.0:
                    if np.isnan(calm):
                        calm = unit_surplus(
                            first, first, last, backstop[m, j], choke[m, j], least_ratio
                        )
                    gain += wanted * (1.0 / kept - 1.0) * calm
                figures[4, m, j, s] += gain
                surplus[m, j] += gain
    return surplus


@compiled
def share_worth(
    gain: np.ndarray,
    use: np.ndarray,
    taken: np.ndarray,
    released: np.ndarray,
    given: np.ndarray,
    feed_used: np.ndarray,
    feed_price: np.ndarray,
    reference_price: np.ndarray,
    net: np.ndarray,
    rents: np.ndarray,
    asked: np.ndarray,
    paid: np.ndarray,
) -> np.ndarray:
    """[4, M, J] what a month was worth to users, producers, holders of rents and the treasury.

    To the `net` cash of buyers, producers, traders, treasury and fund [A, M, J] come the `gain` of
    users [M, J], what they use [M, J, G] at the mean price `paid` [M, J], and what is put in
    store at the reference price: what was `taken` and `released` and not used, less the feed that
    went into production and the stock `given` [K, J] by the states of the last markets. Buyers'
    cash is shared by tonnes taken. What firms `asked` for their sales and the `rents` of exporters
    are [M, J] and go from producers.
    """
    markets, countries, groups = use.shape
    last, first = groups - 1, markets - given.shape[0]
    worth = np.empty((4, markets, countries))
    for m in range(markets):
        for j in range(countries):
            users, used, bought = 0.0, 0.0, 0.0
            for g in range(1, last):
                bought += taken[m, j, g]
                used += use[m, j, g]
                users += taken[m, j, g] + released[m, j, g] - use[m, j, g]
            total = bought + taken[m, j, 0]
            part = bought / total if total != 0.0 else 1.0
            refiners = taken[m, j, 0] + released[m, j, 0] - use[m, j, 0] - feed_used[m, j]
            state = taken[m, j, last] + released[m, j, last] - use[m, j, last]
            if m >= first:
                state -= given[m - first, j]
            reference = reference_price[m, j]
            cash, right = net[0, m, j], rents[m, j]
            worth[0, m, j] = reference * users + part * cash + gain[m, j] + paid[m, j] * used
            worth[1, m, j] = net[1, m, j] - right - asked[m, j] + reference * refiners
            worth[1, m, j] += (1.0 - part) * cash + feed_price[m, j] * feed_used[m, j]
            worth[2, m, j] = net[2, m, j] + right
            worth[3, m, j] = net[3, m, j] + net[4, m, j] + reference * state
    return worth


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
def sum_at(offset: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[place] sums of `values` [F]; firms of a place stand together, from `offset` [place + 1]."""
    sums = np.zeros(offset.size - 1)
    for here in range(sums.size):
        for f in range(offset[here], offset[here + 1]):
            sums[here] += values[f]
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
    offset: np.ndarray,
    sold: np.ndarray,
    offered: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    least: np.ndarray,
    markup: np.ndarray,
    world_price: np.ndarray,
    market: np.ndarray,
    support: np.ndarray,
) -> np.ndarray:
    """[place] area under asks from which mark-up (of the world price [M]) and support are taken.

    Firms [F] of a place stand together, from `offset` [place + 1].
    """
    sums = np.zeros(offset.size - 1)
    for here in range(sums.size):
        begin, end, total = offset[here], offset[here + 1], 0.0
        usual = world_price[market[begin]] if end > begin else 0.0
        for f in range(begin, end):
            if sold[f] != 0.0:
                drift = markup[f] * usual - support[f]
                total += area_below(sold[f], offered[f], low[f] - drift, high[f] - drift, least[f])
        sums[here] = total
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
        from_marked, squares, hidden, clean = (
            figures[1, m],
            figures[2, m],
            figures[4, m],
            figures[5, m],
        )
        for i in range(origins):
            if sold[m, i] == 0.0:
                continue
            # Several short loops, of which several arcs are done at a time.
            shipped, spent, flow_of_year, value_of_year = (
                flow[m, i],
                paid[m, i],
                flows[m, i],
                values[m, i],
            )
            for j in range(destinations):
                flow_of_year[j] += shipped[j]
            for j in range(destinations):
                value_of_year[j] += unit * spent[j]
            for j in range(destinations):
                squares[j] += shipped[j] * shipped[j]
            for j in range(destinations if marked[i] else 0):
                from_marked[j] += shipped[j]
            detours, share = rerouted[m, i], certified[i]
            for j in range(destinations):
                hidden[j] += shipped[j] if detours[j] else 0.0
            for j in range(destinations):
                clean[j] += shipped[j] * share[j]
        for j in range(destinations):
            total = bought[m, j] if bought[m, j] > 0.0 else np.nan
            figures[0, m, j] = sold[m, j] - flow[m, j, j]
            figures[1, m, j] /= total
            figures[2, m, j] *= 10_000.0 / total
            figures[2, m, j] /= total
            figures[3, m, j] = 1.0 - flow[m, j, j] / total
            figures[5, m, j] /= total


@compiled
def mean_price(
    spent: np.ndarray, bought: np.ndarray, price: np.ndarray, choke: np.ndarray
) -> np.ndarray:
    """[M, J] mean price of what is bought; where nothing is, the price, at most the choke price."""
    mean = np.empty(bought.shape)
    for m in range(bought.shape[0]):
        for j in range(bought.shape[1]):
            usual = min(price[m, j], choke[m, j])
            mean[m, j] = spent[m, j] / bought[m, j] if bought[m, j] > 0.0 else usual
    return mean


@compiled
def measure_money(
    figures: np.ndarray,
    price: np.ndarray,
    rebate: np.ndarray,
    origin_price: np.ndarray,
    bought: np.ndarray,
    risk: np.ndarray,
    spent: np.ndarray,
    duty: np.ndarray,
    rent: np.ndarray,
    of_exporters: np.ndarray,
    of_traders: np.ndarray,
    treasury: np.ndarray,
    unit: float,
) -> None:
    """[10, M, J] price, that after rebates, price of the origin, tonnes, risk, and money.

    All [M, J]. Money, in as many `unit`s: outlay, duty, rent paid, rents received by exporters and
    traders, and what the treasury received. Without purchases there is no rebate.
    """
    for m in range(price.shape[0]):
        for j in range(price.shape[1]):
            net, tonnes = spent[m, j] - rebate[m, j], bought[m, j]
            figures[0, m, j] = price[m, j]
            figures[1, m, j] = net / tonnes if tonnes > 0.0 else price[m, j]
            figures[2, m, j] = origin_price[m, j]
            figures[3, m, j] = tonnes
            figures[4, m, j] = risk[m, j]
            figures[5, m, j] = unit * spent[m, j]
            figures[6, m, j] = unit * duty[m, j]
            figures[7, m, j] = unit * rent[m, j]
            figures[8, m, j] = unit * (of_exporters[m, j] + of_traders[m, j])
            figures[9, m, j] = unit * treasury[m, j]


@compiled
def cost_of_stockpiles(
    first: int, price: np.ndarray, taken: np.ndarray, stock: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """[M, J] what the last group of each place paid for what it has taken, and for its stock.

    Of markets from `first` on, at the `price` [M, J]; `taken` and `stock` are [M, J, G], and the
    `rate` is the share of its worth that a stock costs.
    """
    purchases, holding = np.zeros(price.shape), np.zeros(price.shape)
    last = stock.shape[2] - 1
    for m in range(first, price.shape[0]):
        for j in range(price.shape[1]):
            purchases[m, j] = price[m, j] * taken[m, j, last]
            holding[m, j] = rate * price[m, j] * stock[m, j, last]
    return purchases, holding


@compiled
def compare_prices(
    price: np.ndarray,
    reference: np.ndarray,
    stage_share: np.ndarray,
    world_share: np.ndarray,
    mineral: np.ndarray,
) -> np.ndarray:
    """[K, J] `price` over `reference` [M, J], weighted by a mineral's shares of use [M, J].

    Countries without a `world_share` [K, J] see the mean of the others, weighted by theirs.
    """
    minerals, countries = world_share.shape
    dear = np.zeros((minerals, countries))
    for m in range(mineral.size):
        k = mineral[m]
        for j in range(countries):
            dear[k, j] += stage_share[m, j] * (price[m, j] / reference[m, j])
    for k in range(minerals):
        mean = 0.0
        for j in range(countries):
            mean += world_share[k, j] * dear[k, j]
        for j in range(countries):
            if not world_share[k, j] > 0.0:
                dear[k, j] = mean
    return dear


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
    offset: np.ndarray,
    capacity: np.ndarray,
    working: np.ndarray,
    building: np.ndarray,
    planned: np.ndarray,
    output: np.ndarray,
    recycles: np.ndarray,
    reserves: np.ndarray,
) -> None:
    """[5, place] idle, under construction, made, of it recycled; reserves: NaN where none known.

    Firms [F] of a place stand together, from `offset` [place + 1].
    """
    for here in range(figures.shape[1]):
        idle, coming, made, recycled, left, known = 0.0, 0.0, 0.0, 0.0, 0.0, False
        for f in range(offset[here], offset[here + 1]):
            idle += capacity[f] * (1.0 - working[f])
            coming += building[f] * planned[f]
            made += output[f]
            recycled += output[f] if recycles[f] else 0.0
            if reserves[f] < np.inf:
                left += reserves[f]
                known = True
        figures[0, here], figures[1, here], figures[2, here] = idle, coming, made
        figures[3, here], figures[4, here] = recycled, left if known else np.nan


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
def age_products(
    in_use: np.ndarray,
    ageing: np.ndarray,
    made: np.ndarray,
    new_scrap: np.ndarray,
    placed: np.ndarray,
    traded: float,
) -> tuple[np.ndarray, np.ndarray]:
    """[K, J, S] what enters use and what retires; products [stage, K, J, S] move on, in place.

    A share of a stage, `ageing` [S], moves on to the next. Of what was `made` [K, J, S], less the
    `new_scrap` [K], the part that is `traded` is `placed` [J] world-wide; it enters the first.
    """
    stages, minerals, countries, sectors = in_use.shape
    entered, retired = np.empty(made.shape), np.empty(made.shape)
    for k in range(minerals):
        left = 1.0 - new_scrap[k]
        for s in range(sectors):
            world_wide = 0.0
            for j in range(countries):
                world_wide += left * made[k, j, s]
            for j in range(countries):
                arriving = (1.0 - traded) * left * made[k, j, s] + traded * world_wide * placed[j]
                entered[k, j, s] = arriving
                for stage in range(stages):
                    leaving = in_use[stage, k, j, s] * ageing[s]
                    in_use[stage, k, j, s] += arriving - leaving
                    arriving = leaving
                retired[k, j, s] = arriving
    return entered, retired


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
def follow_scrap(
    rate: np.ndarray,
    support: np.ndarray,
    plant: np.ndarray,
    dear: np.ndarray,
    opening_rate: np.ndarray,
    elasticity: float,
    most: float,
    rate_months: float,
    part: np.ndarray,
    target: float,
    support_months: float,
    inflow: np.ndarray,
    beyond: np.ndarray,
    output: np.ndarray,
    plan: np.ndarray,
    up_months: float,
    down_months: float,
) -> None:
    """Move the `rate` and `support` of collection and the recyclers' `plant` [K, J] on, in place.

    The rate goes to that of the opening [K] times `dear` [K, J], the price over that of the
    opening, to the power of the elasticity, at most the `most`. Support fills what it leaves of the
    `target`, as far as countries take `part` [J]. Plant, over the `plan` [K, J] that starts from
    `output` at the opening, goes to `inflow` and what lies `beyond` the usual; up and down at a
    pace of its own.
    """
    for k in range(rate.shape[0]):
        for j in range(rate.shape[1]):
            worth = min(opening_rate[k] * dear[k, j] ** elasticity, most)
            rate[k, j] += (worth - rate[k, j]) / rate_months
            lacking = part[j] * max(target - rate[k, j], 0.0)
            support[k, j] += (lacking - support[k, j]) / support_months
            wanted = 1.0
            if output[k, j] > 0.0:
                wanted = max(inflow[k, j] + beyond[k, j], 0.0) / output[k, j] / plan[k, j]
            months = up_months if wanted > plant[k, j] else down_months
            plant[k, j] += (wanted - plant[k, j]) / months


@compiled
def redesign(
    intensity: np.ndarray,
    ratio: np.ndarray,
    weight: np.ndarray,
    pace: np.ndarray,
    faster: np.ndarray,
    threshold: float,
    elasticity: float,
    floor: float,
    spillover: float,
    back: float,
) -> np.ndarray:
    """[K, J, S] next month's intensity: down at `pace` [S] times `faster` [K, J], and `back` again.

    Wanted is the price over the norm, `ratio` [K, J], beyond the threshold to the power of minus
    the elasticity, at least the floor; or less where the savings of all by `weight` [K, J, S], of
    which a part spills over, are more.
    """
    minerals, countries, sectors = intensity.shape
    moved, wanted = np.empty(intensity.shape), np.empty(countries)
    for k in range(minerals):
        for j in range(countries):
            dear = ratio[k, j] / threshold
            wanted[j] = max(dear**-elasticity, floor) if dear > 1.0 else 1.0
        for s in range(sectors):
            saved = 0.0
            for j in range(countries):
                saved += weight[k, j, s] * (1.0 - intensity[k, j, s])
            for j in range(countries):
                gap = min(wanted[j], 1.0 - spillover * saved) - intensity[k, j, s]
                share = min(pace[s] * faster[k, j], 1.0) if gap < 0.0 else back
                moved[k, j, s] = intensity[k, j, s] + gap * share
    return moved


@compiled
def use_up(
    stock: np.ndarray,
    desired: np.ndarray,
    released: np.ndarray,
    given: np.ndarray,
    product: np.ndarray,
    mined_market: np.ndarray,
    refining_yield: np.ndarray,
    mineral: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Use [M, J, G] and [K, J, S], feed used [M, J], and lost in refining [K], out of `stock`.

    What is `desired` by groups between the first and the last, as far as it is there after goods
    are `released` [M, J, G] and states, the last group, have `given` [K, J] in the last markets.
    The feed for a `product` [M, J] of a mineral is the first group of its `mined_market` [K].
    """
    markets, countries, groups = stock.shape
    minerals, first = given.shape[0], markets - given.shape[0]
    use = np.zeros(stock.shape)
    final_use = np.zeros((minerals, countries, groups - 2))
    feed_used, lost = np.zeros((markets, countries)), np.zeros(minerals)
    for k in range(minerals):
        for j in range(countries):
            stock[first + k, j, groups - 1] -= given[k, j]
            if product[first + k, j] > 0.0:
                eaten = product[first + k, j] / refining_yield[k]
                feed_used[mined_market[k], j] = eaten
                stock[mined_market[k], j, 0] -= eaten
                lost[k] += eaten - product[first + k, j]
    for m in range(markets):
        for j in range(countries):
            for g in range(groups):
                stock[m, j, g] += released[m, j, g]
                if 0 < g < groups - 1:
                    use[m, j, g] = min(desired[m, j, g], stock[m, j, g])
                    stock[m, j, g] -= use[m, j, g]
                    final_use[mineral[m], j, g - 1] += use[m, j, g]
    return use, final_use, feed_used, lost


@compiled
def add_up_stocks(
    stock: np.ndarray,
    at_sea: np.ndarray,
    offset: np.ndarray,
    inventory: np.ndarray,
    mineral: np.ndarray,
    minerals: int,
) -> np.ndarray:
    """[K] all in `stock` [M, J, G], `at_sea` [M, J, G, months] and the inventories of firms [F].

    Firms of a market stand together, those of its places from `offset` [M x J + 1].
    """
    held = np.zeros(minerals)
    markets, places, groups = stock.shape
    for m in range(markets):
        here = 0.0
        for j in range(places):
            for g in range(groups):
                here += stock[m, j, g]
                for month in range(at_sea.shape[3]):
                    here += at_sea[m, j, g, month]
        for f in range(offset[m * places], offset[(m + 1) * places]):
            here += inventory[f]
        held[mineral[m]] += here
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
