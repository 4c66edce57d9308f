"""Firms: capacity, asks, mark-ups, plants idled and restarted, and what is built."""

import numpy as np

from abm.passes import compiled


@compiled
def ready_plants(
    planned: np.ndarray,
    expansion: np.ndarray,
    reserves: np.ndarray,
    normal_use: np.ndarray,
    decline_years: np.ndarray,
    ceiling: np.ndarray,
    grown: float,
    months: float,
    luck: np.ndarray,
    facts: np.ndarray,
    working: np.ndarray,
    capacity: np.ndarray,
    availability: np.ndarray,
) -> None:
    """Write the capacity of the month [F], and the part of it that is available.

    The `planned` as expanded, less what is mined out, within a `ceiling` that has `grown`. What
    outages by `luck` and by the `facts` ([F] or [1]) leave of what is `working` is available.
    """
    for f in range(planned.size):
        stands = planned[f] * expansion[f]
        if reserves[f] < np.inf:
            yearly = months * stands * normal_use[f]
            if yearly > 0.0:
                stands *= min(reserves[f] / yearly / decline_years[f], 1.0)
        capacity[f] = min(stands, ceiling[f] * grown)
        left = luck[f] * facts[f if facts.size > 1 else 0]
        availability[f] = left * working[f]


@compiled
def make_goods(
    offset: np.ndarray,
    sales: np.ndarray,
    running: np.ndarray,
    capacity: np.ndarray,
    stock_months: np.ndarray,
    months: float,
    feeds: np.ndarray,
    recycles: np.ndarray,
    mineral: np.ndarray,
    minerals: int,
    inventory: np.ndarray,
    made: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[2, place] made of feed and recycled; [K] all not made of feed.

    Written are what a firm [F] has `made`: sales and a part of the gap to the wanted inventory, so
    many months of capacity, within what can run; and the inventory, in place. Firms of a place
    stand together, from `offset` [place + 1].
    """
    output, fresh = np.zeros((2, offset.size - 1)), np.zeros(minerals)
    for here in range(offset.size - 1):
        begin, end = offset[here], offset[here + 1]
        if begin == end:
            continue
        of_feed, recycled, other = 0.0, 0.0, 0.0
        for f in range(begin, end):
            wanted = sales[f] + (stock_months[f] * capacity[f] - inventory[f]) / months
            now = min(max(wanted, 0.0), running[f])
            made[f] = now
            inventory[f] = max(inventory[f] + now - sales[f], 0.0)
            of_feed += now if feeds[f] else 0.0  # no branches: they are a toss-up
            recycled += now if recycles[f] else 0.0
            other += 0.0 if feeds[f] | recycles[f] else now
        output[0, here], output[1, here] = of_feed, recycled
        fresh[mineral[begin]] += recycled + other
    return output, fresh


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
    flow: np.ndarray,
    part: np.ndarray,
    bargaining: float,
    home: int,
) -> np.ndarray:
    """[M, J] mark-up that has moved with the power over each buyer; none at home.

    Buyers who take `part` [J] together are spared the share `bargaining` of it, by their part and
    by what they take of the exports of `home` in a flow [M, I, J]; nobody bargains alone.
    """
    charged = np.empty(usual.shape)
    pooling = 0
    for j in range(part.size):
        pooling += part[j] > 0.0
    for m in range(usual.shape[0]):
        exports, pooled = 0.0, 0.0
        for j in range(part.size):
            if j != home:
                exports += flow[m, home, j]
                pooled += flow[m, home, j] * part[j]
        spared = bargaining * pooled / exports if pooling > 1 and exports > 0.0 else 0.0
        for j in range(part.size):
            drift = speed * (power[m, j] - usual_power[m, j])
            charged[m, j] = max(usual[m, j] + drift, 0.0) * (1.0 - spared * part[j])
        charged[m, home] = 0.0
    return charged


@compiled
def drift_markups(
    sales: np.ndarray,
    offered: np.ndarray,
    inventory: np.ndarray,
    stock_months: np.ndarray,
    capacity: np.ndarray,
    working: np.ndarray,
    utilisation: np.ndarray,
    power: np.ndarray,
    speed: float,
    markup: np.ndarray,
) -> None:
    """Move mark-ups [F] a step nearer to what use of the offer and stock call for, in place.

    They stay within the power; where no capacity works they rest at zero.
    """
    for f in range(markup.size):
        if capacity[f] > 0.0 and working[f] > 0.0:
            tight = sales[f] / max(offered[f], 1e-300) - utilisation[f]
            target = stock_months[f] * capacity[f]
            short = 1.0 - min(inventory[f] / max(target, 1e-300), 2.0)
            moved = markup[f] + speed * (tight + 0.2 * short - markup[f])
            markup[f] = min(max(moved, -power[f]), power[f])
        else:
            markup[f] = 0.0


@compiled
def plan_feed(
    offset: np.ndarray,
    feeds: np.ndarray,
    able: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    least: np.ndarray,
    price: np.ndarray,
    pace: float,
    planned: np.ndarray,
) -> None:
    """Move the output `planned` [M, J] towards what those who feed on ore would sell, in place.

    They would sell, at the `price` [M, J] of their place, of what they are `able` to without a
    limit of feed, on a ramp from `low` to `high`, and nothing below the `least` price. Firms of a
    place stand together, from `offset` [place + 1].
    """
    here = 0
    for m in range(price.shape[0]):
        for j in range(price.shape[1]):
            wanted, paid = 0.0, price[m, j]
            for f in range(offset[here], offset[here + 1]):
                if feeds[f] and paid >= least[f]:
                    part = (paid - low[f]) / (high[f] - low[f])
                    wanted += able[f] * min(max(part, 0.0), 1.0)
            planned[m, j] += pace * (wanted - planned[m, j])
            here += 1


@compiled
def stop_and_restart(
    price: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    variable_cost: np.ndarray,
    rise: np.ndarray,
    feeds: np.ndarray,
    place: np.ndarray,
    capacity: np.ndarray,
    patience: np.ndarray,
    restart_margin: float,
    restart_months: float,
    pace: float,
    below: np.ndarray,
    above: np.ndarray,
    working: np.ndarray,
) -> None:
    """Count months in a row [F] `below` the cost and `above` restart, and move shares `working`.

    Earned is the `price` [place] with support and premium [F]; the cost of those who buy feed
    `rise`s [place], and who has no capacity loses nothing. Who has borne losses for its `patience`
    works a `pace` less; who has met the restart price long enough a pace more.
    """
    for f in range(working.size):
        earned = price[place[f]] + support[f] + premium[f]
        cost = variable_cost[f] + (rise[place[f]] if feeds[f] else 0.0)
        below[f] = below[f] + 1.0 if capacity[f] > 0.0 and earned < cost else 0.0
        above[f] = above[f] + 1.0 if earned >= restart_margin * cost else 0.0
        step = (pace if above[f] >= restart_months else 0.0) - (
            pace if below[f] >= patience[f] else 0.0
        )
        working[f] = min(max(working[f] + step, 0.0), 1.0)


@compiled
def wanted_at(ratio: float, elasticity: float, ratios: tuple[float, float], most: float) -> float:
    """Capacity wanted at a lasting price over the usual one, to the power of the elasticity."""
    return min(max(min(max(ratio, ratios[0]), ratios[1]) ** elasticity, ratios[0]), most)


@compiled
def follow_price(
    offset: np.ndarray,
    price: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    usual: np.ndarray,
    elasticity: np.ndarray,
    ratios: tuple[float, float],
    most: float,
    rising: np.ndarray,
    falling: float,
    expansion: np.ndarray,
) -> None:
    """Move capacity over plan [F] towards what is wanted at a `price` [place], in place.

    Up over `rising`, down over `falling` months. Firms of a place stand together, from `offset`
    [place + 1], and mostly share price and elasticity, or have none: the power is taken once.
    """
    last_earned, last_usual, last_elasticity, wanted = np.nan, np.nan, np.nan, 1.0
    for here in range(offset.size - 1):
        for f in range(offset[here], offset[here + 1]):
            earned, power = price[here] + support[f] + premium[f], elasticity[f]
            same = earned == last_earned and usual[f] == last_usual and power == last_elasticity
            if power != 0.0 and not same:
                last_earned, last_usual, last_elasticity = earned, usual[f], power
                wanted = wanted_at(earned / usual[f], power, ratios, most)
            gap, months = (wanted if power != 0.0 else 1.0) - expansion[f], rising[f]
            expansion[f] += gap / (months if gap > 0.0 else falling)


@compiled
def foreseen_fall(
    planned: np.ndarray,
    expansion: np.ndarray,
    building: np.ndarray,
    market: np.ndarray,
    exponent: np.ndarray,
) -> np.ndarray:
    """[M] factor on prices once what the market is building has come: its growth to a power."""
    stands, comes = np.zeros(exponent.size), np.zeros(exponent.size)
    for f in range(planned.size):
        stands[market[f]] += planned[f] * expansion[f]
        comes[market[f]] += planned[f] * building[f]
    for m in range(exponent.size):
        growth = 1.0 + comes[m] / stands[m] if stands[m] > 0.0 else 1.0
        stands[m] = growth ** exponent[m]
    return stands


@compiled
def give_up(
    coming: np.ndarray, lead: int, worth: float, month: int, trigger: float, share: float
) -> float:
    """Cut by a share the cohorts of a firm that are worth less than they still cost.

    What is unspent falls evenly over the `lead`; a cohort's place in `coming` [row] is its month,
    round and round. Returns the sum of what is left.
    """
    first, total = (month + 1) % coming.size, 0.0
    for row in range(coming.size):
        ahead = row - first + (1 if row >= first else coming.size + 1)
        coming[row] *= 1.0 - share if worth < trigger * min(ahead / lead, 1.0) else 1.0
        total += coming[row]
    return total


@compiled
def build_and_wear(
    month: int,
    price: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    place: np.ndarray,
    fall: np.ndarray,
    market: np.ndarray,
    usual: np.ndarray,
    pays: float,
    elasticity: np.ndarray,
    ratios: tuple[float, float],
    most: float,
    planned: np.ndarray,
    reserves: np.ndarray,
    normal_use: np.ndarray,
    decline_years: np.ndarray,
    ceiling: np.ndarray,
    grown: float,
    year: float,
    decision_months: float,
    running_share: float,
    trigger: float,
    share: float,
    attrition: float,
    brownfield: float,
    lead: np.ndarray,
    soon: np.ndarray,
    coming: np.ndarray,
    building: np.ndarray,
    expansion: np.ndarray,
) -> None:
    """Begin, give up and complete capacity [F], and let what no longer pays wear out, in place.

    Prices are [place] with support and premium [F]; on completion they will have fallen by the
    factor `fall` [M]. They are counted from the one at which capacity `pays`, as a multiple of the
    usual. Part of what lacks of the capacity wanted then is begun, within the room: a `ceiling`
    that has `grown`, and none for a mine whose reserves last fewer years than it declines over.
    Cohorts worth less than they still cost are given up by a share; the worth is that of the last
    unit, from the price at which it just pays. What is ready next month is taken out of `coming`.
    Firms of a place stand together and mostly share price and plans: a power is taken once.
    """
    rows = coming.shape[1]
    ready = (month + 1) % rows
    last_ratio, last_elasticity, lasting, wanted = np.nan, np.nan, 1.0, 1.0
    last_capacity, last_power, root = np.nan, np.nan, 1.0
    for f in range(expansion.size):
        asked = pays * usual[f]
        earned = price[place[f]] + support[f] + premium[f]
        later = earned * fall[market[f]]
        if earned / asked != last_ratio or elasticity[f] != last_elasticity:
            last_ratio, last_elasticity = earned / asked, elasticity[f]
            lasting = wanted_at(last_ratio, last_elasticity, ratios, most)
            wanted = wanted_at(later / asked, last_elasticity, ratios, most)
        room = np.inf
        if planned[f] > 0.0:
            room = ceiling[f] * grown / planned[f]
            yearly = year * planned[f] * expansion[f] * normal_use[f]
            if yearly > 0.0 and reserves[f] / yearly < decline_years[f]:
                room = 0.0
        had = expansion[f] + building[f]
        begun = max(min(wanted, room) - had, 0.0) / decision_months
        if begun > 0.0:
            opens, early = month % rows + lead[f], month % rows + soon[f]
            coming[f, opens - rows if opens >= rows else opens] += begun - brownfield * begun
            coming[f, early - rows if early >= rows else early] += brownfield * begun
            building[f] += begun
        if building[f] > 0.0:
            power = 1.0 / elasticity[f] if elasticity[f] > 0.0 else 0.0
            if had + begun != last_capacity or power != last_power:
                last_capacity, last_power = had + begun, power
                root = max(last_capacity, 1e-9) ** power
            worth = (later / (asked * root) - running_share) / (1.0 - running_share)
            if worth < trigger:
                building[f] = give_up(coming[f], lead[f], worth, month, trigger, share)
        expansion[f] += coming[f, ready] - max(expansion[f] - lasting, 0.0) / attrition
        building[f] = max(building[f] - coming[f, ready], 0.0)
        coming[f, ready] = 0.0
