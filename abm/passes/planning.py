"""Firms: capacity, asks, mark-ups, plants idled and restarted, and what is built."""

import numpy as np

from abm.passes import compiled


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
def rest_idle(
    markup: np.ndarray, drifted: np.ndarray, capacity: np.ndarray, working: np.ndarray
) -> None:
    """Set mark-ups [F] to the `drifted` ones, and to zero where no capacity works, in place."""
    for f in range(markup.size):
        markup[f] = drifted[f] if capacity[f] > 0.0 and working[f] > 0.0 else 0.0
