"""Trade of a stage: what arcs weigh, what firms offer, who is paid, and what sets sail."""

import numpy as np

from abm.arithmetic import logarithm
from abm.passes import compiled


@compiled
def to_every_group(price: np.ndarray, first: int, last: int, groups: int) -> np.ndarray:
    """[R, J, G] the price [M, J] of markets `first` to `last`, the same for every group."""
    prices = np.empty((last - first, price.shape[1], groups))
    for m in range(first, last):
        for j in range(price.shape[1]):
            for g in range(groups):
                prices[m - first, j, g] = price[m, j]
    return prices


@compiled
def part_of_new_plants(
    need: np.ndarray, growth: np.ndarray, planned: np.ndarray, margin: float
) -> np.ndarray:
    """[M, J] part of the first group's `planned` need [M, J, G] that only new plants explain.

    Those of the opening need what they did, grown with the market [M]; a `margin` beyond that is a
    swing of theirs.
    """
    fresh = np.zeros(planned.shape[:2])
    for m in range(planned.shape[0]):
        for j in range(planned.shape[1]):
            settled, wanted = need[m, j, 0] * growth[m], planned[m, j, 0]
            if wanted > settled:
                fresh[m, j] = max((wanted - settled) / wanted - margin, 0.0) / (1.0 - margin)
    return fresh


@compiled
def weigh_arcs(
    share: np.ndarray,
    gravity_share: np.ndarray,
    fresh: np.ndarray,
    pool: np.ndarray,
    pooled: np.ndarray,
    entry_share: np.ndarray,
    supply: np.ndarray,
    known_size: np.ndarray,
    familiarity: np.ndarray,
    opening_gap: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sourcing shares before price and habit, and log weights, both [M, I, J].

    A share is what the buyer settled on, moved towards gravity by the `fresh` part [M, J] of its
    purchases and towards the `pool` [M, I] by the `pooled` part [M, J]; or, for an origin without
    `supply` [M, I] at the opening, its share on entry; times the pull of the origin's size: the
    `known_size` [M, I] over its mean among those with supply, by their supply, plus that of others.
    """
    notional = np.zeros(share.shape)
    log_weight = np.full(share.shape, -np.inf)
    markets, origins, destinations = share.shape
    for m in range(markets):
        whole, known = 0.0, 0.0
        for i in range(origins):
            whole += supply[m, i]
        for i in range(origins):
            known += known_size[m, i] * (supply[m, i] / whole if supply[m, i] > 0.0 else 1.0)
        fresh_part, pooled_part = fresh[m], pooled[m]
        for i in range(origins):
            pull, joint = known_size[m, i] / known, pool[m, i]
            if pull == 0.0:
                continue
            level, known_as, weight = notional[m, i], familiarity[m, i], log_weight[m, i]
            if supply[m, i] > 0.0:
                usual, far = share[m, i], gravity_share[m, i]
                for j in range(destinations):
                    own = usual[j] + fresh_part[j] * (far[j] - usual[j])
                    level[j] = ((1.0 - pooled_part[j]) * own + pooled_part[j] * joint) * pull
            else:
                usual = entry_share[m, i]
                for j in range(destinations):
                    level[j] = usual[j] * pull
            gap, offers = opening_gap[m, i], False
            for j in range(destinations):
                offers |= level[j] > 0.0
            for j in range(destinations if offers else 0):
                taste = level[j] * known_as[j]
                weight[j] = (logarithm(taste) if taste > 0.0 else -np.inf) + gap[j]
    return notional, log_weight


@compiled
def charge(
    seller: np.ndarray,
    own_markup: np.ndarray,
    premium: np.ndarray,
    wedge: np.ndarray,
    markup: np.ndarray,
    factor: np.ndarray,
) -> None:
    """Write the rows of origins that set their own mark-ups, in `markup` and `factor` [M, I, J].

    Over the home price a `seller` [P] takes its `own_markup` [P, M, J] and on top the `premium`
    [M, I, J] of certified goods, both fractions. The factor, the delivered price per unit of the
    home price before costs, holds the `wedge` [M, I, J] of taxes and tariff as well.
    """
    for p in range(seller.size):
        i = seller[p]
        for m in range(markup.shape[0]):
            for j in range(markup.shape[2]):
                own = own_markup[p, m, j]
                markup[m, i, j] = own + (1.0 + own) * premium[m, i, j]
                factor[m, i, j] = (1.0 + markup[m, i, j]) * wedge[m, i, j]


@compiled
def book_flows(
    first: int,
    flow: np.ndarray,
    delivered_price: np.ndarray,
    origin_price: np.ndarray,
    rent: np.ndarray,
    limit: np.ndarray,
    market: np.ndarray,
    origin: np.ndarray,
    destination: np.ndarray,
    unit: np.ndarray,
    markup: np.ndarray,
    tax: np.ndarray,
    tariff: np.ndarray,
    freight: np.ndarray,
    detour: np.ndarray,
    compliance: np.ndarray,
    floor: np.ndarray,
    booked: np.ndarray,
    paid: np.ndarray,
    by_buyer: np.ndarray,
    by_seller: np.ndarray,
) -> float:
    """Book what some markets have traded; returns the most that a market's outlay leaves over.

    Markets of `flow` [R, I, J], `delivered_price` [R, I, J] and `origin_price` [R, I] are rows from
    `first` on of the other arrays. An arc under limits (`market` of R, `origin`, `destination`)
    pays the `rent` of each `limit`, per kg of the weight of which there are `unit` [M] per
    contained tonne. Terms are [M, I, J], USD/kg or fractions.

    Written in those rows, which must be zero: tonnes `booked` and outlay `paid` [M, I, J], thousand
    USD; `by_buyer` [9, M, J] tonnes, outlay, duty, rent, carriage, compliance, the levy that lifts
    a price to the floor, export tax and the goods themselves; `by_seller` [5, M, I] tonnes, export
    tax, rent, the outlay for goods that paid a rent, and receipts. The outlay comes from the
    delivered price, the parts from the origin price: their difference over the outlay is a check.
    """
    markets, origins, destinations = flow.shape
    for a in range(limit.size):  # until they are paid, `paid` holds the rents per kg
        m = first + market[a]
        paid[m, origin[a], destination[a]] += rent[limit[a]] * unit[m]
    worst = 0.0
    for row in range(markets):
        m = first + row
        left, outlay = 0.0, 0.0
        for i in range(origins):
            if np.isnan(origin_price[row, i]):  # it has nothing to sell
                for j in range(destinations):
                    paid[m, i, j] = 0.0
                continue
            for j in range(destinations):
                tonnes = flow[row, i, j]
                if tonnes == 0.0:
                    paid[m, i, j] = 0.0
                    continue
                spent = delivered_price[row, i, j] * tonnes
                asked = origin_price[row, i] * (1.0 + markup[m, i, j])
                taxed = asked * (1.0 + tax[m, i, j])
                duty = taxed * tariff[m, i, j] * tonnes
                held = paid[m, i, j] * tonnes
                export_tax = (taxed - asked) * tonnes
                carriage = (freight[m, i, j] + detour[m, i, j]) * tonnes
                complying = compliance[m, i, j] * tonnes
                parts = asked * tonnes + export_tax + duty + carriage + complying + held
                levy = max(floor[m, i, j] * tonnes - parts, 0.0)
                left += spent - (parts + levy)
                outlay += spent
                booked[m, i, j] = tonnes
                paid[m, i, j] = spent
                by_buyer[0, m, j] += tonnes
                by_buyer[1, m, j] += spent
                by_buyer[2, m, j] += duty
                by_buyer[3, m, j] += held
                by_buyer[4, m, j] += carriage
                by_buyer[5, m, j] += complying
                by_buyer[6, m, j] += levy
                by_buyer[7, m, j] += export_tax
                by_buyer[8, m, j] += asked * tonnes
                by_seller[0, m, i] += tonnes
                by_seller[1, m, i] += export_tax
                by_seller[2, m, i] += held
                by_seller[4, m, i] += asked * tonnes
                if held > 0.0:
                    by_seller[3, m, i] += spent
        share = abs(left) / max(outlay, 1e-300)
        if not share <= worst:  # no number counts as the most
            worst = share if worst == worst else worst
    return worst


@compiled
def credit_rents(
    first: int,
    rent: np.ndarray,
    limit: np.ndarray,
    market: np.ndarray,
    origin: np.ndarray,
    destination: np.ndarray,
    unit: np.ndarray,
    part: np.ndarray,
    flow: np.ndarray,
    rerouted: np.ndarray,
    given: np.ndarray,
    taken: np.ndarray,
) -> None:
    """Add rents that buyers have `given` and holders have `taken`, [H, M, J] thousand USD.

    Limits, their arcs, `unit` and `first` as in `book_flows`; `part` [G, H] of a limit's rent goes
    to each kind of holder. The last kind are traders, who sit where `flow` [M, I, J] still may go
    if goods of an origin are `rerouted` [M, I, J]; else holders sit in the origin.
    """
    traders, places = part.shape[1] - 1, flow.shape[1]
    for a in range(limit.size):
        m, i, j, g = first + market[a], origin[a], destination[a], limit[a]
        paid = rent[g] * unit[m] * flow[m, i, j]
        for h in range(part.shape[1]):
            held, elsewhere, hidden = part[g, h] * paid, 0.0, False
            if held == 0.0:
                continue
            given[h, m, j] += held
            if h == traders:
                for k in range(places):
                    hidden |= rerouted[m, i, k]
                    elsewhere += 0.0 if k == i or rerouted[m, i, k] else flow[m, i, k]
            if not (hidden and elsewhere > 0.0):
                taken[h, m, i] += held
                continue
            for k in range(places):
                if k != i and not rerouted[m, i, k]:
                    taken[h, m, k] += held * (flow[m, i, k] / elsewhere)


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
                if flow[m, i, j] > 0.0:
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
def filled(price: float, low: float, high: float) -> float:
    """Part of a falling ramp that is bought at a price: all below `low`, nothing above `high`."""
    return min(max((high - price) / (high - low), 0.0), 1.0)


@compiled
def share_purchases(
    first: int,
    last: int,
    need: np.ndarray,
    price: np.ndarray,
    reference_price: np.ndarray,
    elasticity: np.ndarray,
    backstop: np.ndarray,
    choke: np.ndarray,
    least_ratio: float,
    floor: np.ndarray,
    quantity: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    bought: np.ndarray,
    desired: np.ndarray,
    taken: np.ndarray,
) -> None:
    """What groups wish to use at the price [M, J], and their parts of what is `bought` [M, J].

    Of markets `first` to `last`. Written are `desired` [M, J, G], need times the part of
    `scale_use`, and `taken` [M, J, G]: in proportion to the floor, scaled as use is, and the filled
    part of both ramps, whose last axis holds the first of every group, then the second.
    """
    groups = need.shape[2]
    for m in range(first, last):
        for j in range(need.shape[1]):
            level = price[m, j]
            part, fading, log_ratio, known = 0.0, 0.0, 0.0, -1.0
            if level < choke[m, j]:
                fading = min((choke[m, j] - level) / (choke[m, j] - backstop[m, j]), 1.0)
                ratio = min(level, backstop[m, j]) / reference_price[m, j]
                log_ratio = np.log(max(ratio, least_ratio))
            total = 0.0
            for g in range(groups):
                wanted = 0.0
                desired[m, j, g] = 0.0
                if fading > 0.0 and need[m, j, g] > 0.0:
                    if elasticity[m, j, g] != known:
                        known = elasticity[m, j, g]
                        part = np.exp(-known * log_ratio) * fading
                    desired[m, j, g] = need[m, j, g] * part
                    wanted = floor[m, j, g] * part
                for n in range(g, 2 * groups, groups):
                    if quantity[m, j, n] > 0.0:
                        wanted += quantity[m, j, n] * filled(level, low[m, j, n], high[m, j, n])
                taken[m, j, g] = wanted
                total += wanted
            shared = bought[m, j] / total if total > 0.0 else bought[m, j]
            for g in range(groups):
                taken[m, j, g] *= shared


@compiled
def mix_price(
    first: int,
    last: int,
    spent: np.ndarray,
    bought: np.ndarray,
    stock: np.ndarray,
    price: np.ndarray,
) -> None:
    """Move the mean price [M, J] of the first group's stock by what was just bought, in place.

    Of markets `first` to `last`; `spent` and `bought` are [M, J], `stock` [M, J, G] is after it.
    """
    for m in range(first, last):
        for j in range(price.shape[1]):
            tonnes = bought[m, j]
            if tonnes > 0.0:
                fresh = tonnes / max(stock[m, j, 0], tonnes)
                price[m, j] += fresh * (spent[m, j] / tonnes - price[m, j])


@compiled
def bring_to_market(
    offset: np.ndarray,
    planned: np.ndarray,
    availability: np.ndarray,
    feeds: np.ndarray,
    recycles: np.ndarray,
    feed_limit: np.ndarray,
    feed_rise: np.ndarray,
    scrap_limit: np.ndarray,
    inventory: np.ndarray,
    share: float,
    low_ask: np.ndarray,
    width: np.ndarray,
    markup: np.ndarray,
    world_price: np.ndarray,
    market: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    running: np.ndarray,
    able: np.ndarray,
    offered: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Write what firms [F] can run, what they offer without limits and with them, and their asks.

    Firms of a place stand together, from `offset` [place + 1]. There those who feed on ore share
    what feed allows and recyclers what scrap does (limits [place]); offered is that and a `share`
    of the inventory. The asks of the opening are moved by the mark-up (of the world price [M]) and
    the cost, which rises [place] for those who feed on ore and falls by support and premium [F].
    """
    for here in range(offset.size - 1):
        begin, end = offset[here], offset[here + 1]
        if begin == end:
            continue
        fed, returned = 0.0, 0.0
        for f in range(begin, end):
            could = planned[f] * availability[f]
            running[f] = could
            fed += could if feeds[f] else 0.0  # no branches: they are a toss-up
            returned += could if recycles[f] else 0.0
        # What is left of a stock may be below zero by a rounding error.
        by_feed = max(feed_limit[here], 0.0) / fed if feed_limit[here] < fed else 1.0
        by_scrap = max(scrap_limit[here], 0.0) / returned if scrap_limit[here] < returned else 1.0
        usual, rise = world_price[market[begin]], feed_rise[here]
        for f in range(begin, end):
            stored, could = share * inventory[f], running[f]
            others = by_scrap if recycles[f] else 1.0
            kept = could * (by_feed if feeds[f] else others)
            running[f], able[f], offered[f] = kept, could + stored, kept + stored
            cost = (rise if feeds[f] else 0.0) - support[f] - premium[f]
            lowest = low_ask[f] + markup[f] * usual + cost
            low[f] = lowest
            high[f] = lowest + width[f]


@compiled
def draw_asks(
    offset: np.ndarray,
    quantity: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    least: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantity, lowest and highest ask of the rows of every place: a step, then a ramp a firm.

    Firms of a place stand together, from `offset` [place + 1], and share the `least` price; on the
    step is what all of them sell at it.
    """
    rows, n = quantity.size, 0
    for here in range(offset.size - 1):
        rows += offset[here + 1] > offset[here]
    parts, lowest, highest = np.empty(rows), np.empty(rows), np.empty(rows)
    for here in range(offset.size - 1):
        begin, end = offset[here], offset[here + 1]
        if begin == end:
            continue
        bottom, first, step = least[begin], n, 0.0
        n += 1
        for f in range(begin, end):
            committed = min(max((bottom - low[f]) / (high[f] - low[f]), 0.0), 1.0)
            step += quantity[f] * committed
            parts[n] = quantity[f] * (1.0 - committed)
            lowest[n], highest[n] = max(low[f], bottom), max(high[f], bottom)
            n += 1
        parts[first], lowest[first], highest[first] = step, bottom, bottom
    return parts, lowest, highest


@compiled
def sell_offers(
    offset: np.ndarray,
    offered: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    least: np.ndarray,
    price: np.ndarray,
    sold: np.ndarray,
    sales: np.ndarray,
) -> None:
    """Write what firms [F] sell of what they `offered` on ramps, at the price [place].

    Nothing below the `least` price. Firms of a place stand together, from `offset` [place + 1].
    Where it is known what a place has `sold` [place], all sales are scaled to that: on the step at
    the least price each sells the same part of what it has there.
    """
    for here in range(offset.size - 1):
        begin, end = offset[here], offset[here + 1]
        flows, total = sold[here] > 0.0, 0.0
        for f in range(begin, end):
            paid = max(price[here], least[f]) if flows else price[here]
            part = min(max((paid - low[f]) / (high[f] - low[f]), 0.0), 1.0)
            own = offered[f] * part if paid >= least[f] else 0.0
            sales[f] = own
            total += own
        if sold[here] >= 0.0 and total > 0.0:
            scale = sold[here] / total
            for f in range(begin, end):
                sales[f] *= scale
