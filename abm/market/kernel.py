"""The compiled solver: supply and demand curves, Newton's method on one market, the batch loop.

All compiled functions live in this one file, because Numba's cache notices a change of a
function's own file only: spread over files, an edit could run yesterday's machine code.

Supply is a *graph*, a chain of points rising in price and quantity: upright where a firm offers
all it has at one price, level where nobody answers a higher price. A place on it is a piece, a
price and a quantity, so that steps and capacity limits are met exactly and not to the rounding of
a price.

Sellers are the origins, and the holders of rights under a limit: a limit of Q tonnes is a seller of
rights who offers up to Q at no charge and not a tonne more at any price, so its price is the rent.
The market clears when each seller sells what it offers at its place on its graph. Newton steps are
taken along the graphs, measured by the market's own slope.

Markets that share a limit form a *cluster* and are solved as one; most clusters are one market.
A cluster is gathered on a `Desk`, memory that one thread uses for all of its clusters in turn:
nothing is allocated while markets are solved.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

# Division by zero gives infinity, as in NumPy: no branch to raise from in every loop.
# Only the entries are called from Python; the rest go without a wrapper for it, which halves the
# time of compilation.
entry = njit(cache=True, error_model="numpy", nogil=True)
compiled = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)

# Isoelastic demand runs on as its tangent below this fraction of the reference price, so that it
# is finite and falling at every price, also at zero and below.
TANGENT_BELOW = 0.01
NARROWEST_RAMP = 1e-3  # least width of a ramp of demand, relative to its price
REDUNDANT = 1e-9  # a pivot below this means that the rights before it do the same work
RIDGE = 1e-13  # least pivot of the normalised derivative

# Entries of `Desk.size`.
SELLERS, ORIGINS, PLACES, ARCS, FLOORS, MARKETS = 0, 1, 2, 3, 4, 5
# Rows of `Desk.point`, `Desk.term` and `Desk.bid`.
PRICE, QUANTITY = 0, 1
NEED, REFERENCE, ELASTICITY, BACKSTOP, CHOKE = 0, 1, 2, 3, 4
BID, BID_LOW, BID_HIGH = 0, 1, 2
# Where a seller is on its supply graph, and where it might go: added to rows SELLER_...
HERE, TRIAL = 0, 1
# Rows of `Desk.link`: by seller; free sellers in turn; by place; by arc.
NAME, POINT_START, SELLER_MARKET, NUMBER, SELLER_PIECE = 0, 1, 2, 3, 4  # and 5 for TRIAL
FREE = 6
DESTINATION, ARC_START, PLACE_MARKET = 7, 8, 9
SELLER, RIGHT_START = 10, 11
# Rows of `Desk.value`: by arc; by place; by seller; by number among the free sellers.
FACTOR, ADDITION, FLOOR, QUALITY, SHARE, FLOW, RESPONSE, OWN_FACTOR, OWN_FLOOR = (
    0, 1, 2, 3, 4, 5, 6, 7, 8,
)  # fmt: skip
THETA, LANDED, DEMAND, SLOPE, OWN_THETA = 9, 10, 11, 12, 13
SELLER_PRICE, SELLER_QUANTITY = 14, 16  # and 15, 17 for TRIAL
SALES, GAP, WEIGHT, STEP, BY_PRICE, DEARER, OWN, SWAP = 18, 19, 20, 21, 22, 23, 24, 25
RIGHT, EXTRA, MOST, ROW, COLUMN = 26, 27, 28, 29, 30
LINK_ROWS, VALUE_ROWS = 12, 31


class Batch(NamedTuple):
    """`Problem` for the compiled code. Axes as there; C clusters."""

    capacity: np.ndarray  # [F]
    low_ask: np.ndarray  # [F]
    high_ask: np.ndarray  # [F]
    firm_offset: np.ndarray  # [B, I+1]
    need: np.ndarray  # [B, J, H]
    reference_price: np.ndarray  # [B, J, H]
    elasticity: np.ndarray  # [B, J, H]
    backstop_price: np.ndarray  # [B, J, H]
    choke_price: np.ndarray  # [B, J, H]
    bid_quantity: np.ndarray  # [B, J, N]
    bid_low: np.ndarray  # [B, J, N]
    bid_high: np.ndarray  # [B, J, N]
    log_weight: np.ndarray  # [B, I, J]
    price_factor: np.ndarray  # [B, I, J]
    price_addition: np.ndarray  # [B, I, J]
    floor_price: np.ndarray  # [B, I, J]
    dispersion: np.ndarray  # [B]
    limit: np.ndarray  # [G]
    limit_offset: np.ndarray  # [G+1]
    limit_arc: np.ndarray  # [3, A] market, origin, destination
    cluster_market: np.ndarray  # [B] the markets, cluster by cluster
    market_from: np.ndarray  # [C+1] into cluster_market
    cluster_limit: np.ndarray  # [G] the limits, cluster by cluster
    limit_from: np.ndarray  # [C+1] into cluster_limit


class Start(NamedTuple):
    """An earlier clearing; arrays of length zero for none."""

    origin_price: np.ndarray  # [B, I] NaN where unknown
    sold: np.ndarray  # [B, I]
    rent: np.ndarray  # [G]


class Answer(NamedTuple):
    """The arrays of `Clearing`, for the compiled code to fill."""

    origin_price: np.ndarray
    rent: np.ndarray
    flow: np.ndarray
    delivered_price: np.ndarray
    landed_price: np.ndarray
    average_price: np.ndarray
    demand: np.ndarray
    sales: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    fell_back: np.ndarray


class Desk(NamedTuple):
    """One cluster gathered by `open_cluster`, and the memory to solve it.

    Sized for the largest cluster: S sellers, P places (destinations that want something), A arcs
    that are open, R rights that arcs need, M markets.
    """

    size: np.ndarray  # [6] sellers, origins, places, arcs, arcs with a floor, markets
    blur: np.ndarray  # [1] USD/kg by which floors and ramps of demand are softened on the way
    volume: np.ndarray  # [2, M] t/month: traded, and the least that counts
    link: np.ndarray  # [12, widest + 1] what refers to what
    value: np.ndarray  # [31, widest] wedges, prices, flows and steps
    power: np.ndarray  # [widest] integers and
    exponent: np.ndarray  # [widest] numbers in the same memory, see `exponentials`
    right: np.ndarray  # [R] sellers of the rights each arc needs
    table: np.ndarray  # [M, I, J] arc, -1 closed
    key: np.ndarray  # [2, E] asks of one origin while they are sorted
    event: np.ndarray  # [2, E] 2f is the low ask of firm f, 2f + 1 the high one
    point: np.ndarray  # [2, Q] supply graphs: price, quantity
    term: np.ndarray  # [5, P, H] demand terms
    bid: np.ndarray  # [3, P, N]
    side: np.ndarray  # [2, S, P + limits] see `through_places`
    matrix: np.ndarray  # [S + P, S + P]
    reduced: np.ndarray  # [2, S + P] right-hand side and solution, most of a step


@compiled
def ramp_width(low: float, high: float) -> float:
    """Width of a falling ramp in USD/kg, never so narrow that a price cannot resolve it."""
    return max(high - low, NARROWEST_RAMP * max(abs(low), abs(high)), 1e-300)


@compiled
def demand_at(
    price: float, term: np.ndarray, bid: np.ndarray, d: int, blur: float
) -> tuple[float, float]:
    """Demand of one destination at a landed price, t/month, and its slope.

    `blur` (USD/kg) widens ramps to either side; zero gives the market's own demand.
    """
    wanted = 0.0
    slope = 0.0
    for h in range(term.shape[2]):
        need = term[NEED, d, h]
        backstop = term[BACKSTOP, d, h]
        width = ramp_width(backstop, term[CHOKE, d, h]) + blur
        if need <= 0.0 or price >= backstop + width:
            continue
        reference = term[REFERENCE, d, h]
        elasticity = term[ELASTICITY, d, h]
        edge = min(price, backstop)
        ratio = edge / reference
        if ratio < TANGENT_BELOW:
            more = need * np.exp(-elasticity * np.log(TANGENT_BELOW))
            steeper = -elasticity * more / (TANGENT_BELOW * reference)
            more *= 1.0 + elasticity * (1.0 - ratio / TANGENT_BELOW)
        else:
            more = need * np.exp(-elasticity * np.log(ratio))
            steeper = -elasticity * more / edge
        if price > backstop:
            steeper = -more / width
            more = more * ((backstop + width) - price) / width
        wanted += more
        slope += steeper
    for n in range(bid.shape[2]):
        low = bid[BID_LOW, d, n] - blur
        if bid[BID, d, n] <= 0.0:
            continue
        if price <= low:
            wanted += bid[BID, d, n]
            continue
        width = ramp_width(bid[BID_LOW, d, n], bid[BID_HIGH, d, n]) + 2.0 * blur
        if price < low + width:
            wanted += bid[BID, d, n] * ((low + width) - price) / width
            slope -= bid[BID, d, n] / width
    return wanted, slope


@compiled
def sort_asks(batch: Batch, desk: Desk, first: int, last: int) -> tuple[int, int]:
    """Sort the asks of firms `first` to `last` in `desk.key` and `desk.event`.

    Returns the row that holds them and how many there are. A step has its low ask only. Merge sort
    from runs of eight; equal asks keep the order of the firms.
    """
    capacity, low_ask, high_ask = batch.capacity, batch.low_ask, batch.high_ask
    key, event = desk.key, desk.event
    count = 0
    for f in range(first, last):
        if capacity[f] > 0.0:
            for end in range(2 if high_ask[f] > low_ask[f] else 1):
                ask = high_ask[f] if end else low_ask[f]
                place = count
                while place % 8 != 0 and key[0, place - 1] > ask:
                    key[0, place] = key[0, place - 1]
                    event[0, place] = event[0, place - 1]
                    place -= 1
                key[0, place] = ask
                event[0, place] = 2 * f + end
                count += 1
    source = 0
    width = 8
    while width < count:
        target = 1 - source
        for begin in range(0, count, 2 * width):
            middle = min(begin + width, count)
            end = min(begin + 2 * width, count)
            left, right = begin, middle
            for place in range(begin, end):
                take_left = left < middle and (
                    right >= end or key[source, left] <= key[source, right]
                )
                pick = left if take_left else right
                key[target, place] = key[source, pick]
                event[target, place] = event[source, pick]
                if take_left:
                    left += 1
                else:
                    right += 1
        source = target
        width *= 2
    return source, count


@compiled
def draw_supply(batch: Batch, desk: Desk, first_firm: int, last_firm: int, begin: int) -> int:
    """Write the supply graph of some firms from point `begin` on; returns where it ends.

    The slope between two points is a running sum kept in two parts (Neumaier), since a ramp a
    billion times steeper than its neighbour would otherwise leave its rounding behind.
    """
    low_ask, high_ask, key, event = batch.low_ask, batch.high_ask, desk.key, desk.event
    row, events = sort_asks(batch, desk, first_firm, last_firm)
    point = desk.point
    end = begin
    slope = 0.0
    lost = 0.0
    climbing = 0
    complete = 0.0
    here = 0.0
    for n in range(events):
        at = key[row, n]
        f = event[row, n] // 2
        opens = event[row, n] % 2 == 0
        capacity = batch.capacity[f]
        width = high_ask[f] - low_ask[f]
        if end == begin:
            point[PRICE, end] = at
            point[QUANTITY, end] = 0.0
            end += 1
        elif at > point[PRICE, end - 1]:
            if climbing > 0:
                here += (slope + lost) * (at - point[PRICE, end - 1])
            point[PRICE, end] = at
            point[QUANTITY, end] = here
            end += 1
        if width <= 0.0:
            here += capacity
            complete += capacity
            if end == begin + 1 or point[PRICE, end - 2] < at:  # else one step for equal asks
                point[PRICE, end] = at
                end += 1
            point[QUANTITY, end - 1] = here
            continue
        change = capacity / width if opens else -capacity / width
        total = slope + change
        if abs(slope) >= abs(change):
            lost += (slope - total) + change
        else:
            lost += (change - total) + slope
        slope = total
        climbing += 1 if opens else -1
        if not opens:
            complete += capacity
            if climbing == 0:
                slope = 0.0
                lost = 0.0
                here = max(complete, point[QUANTITY, end - 2])
                point[QUANTITY, end - 1] = here
    return end


@compiled
def open_cluster(batch: Batch, desk: Desk, c: int) -> None:
    """Gather cluster `c` on the desk: sellers with something to sell, places that want it, arcs.

    A limit of zero closes its arcs.
    """
    cluster_market, limit, limit_arc = batch.cluster_market, batch.limit, batch.limit_arc
    limit_offset, cluster_limit = batch.limit_offset, batch.cluster_limit
    need, bid_quantity = batch.need, batch.bid_quantity
    point, right, term, bid, volume = desk.point, desk.right, desk.term, desk.bid, desk.volume
    count, table, index, value = desk.size, desk.table, desk.link, desk.value
    origins, destinations = table.shape[1], table.shape[2]
    first_market, last_market = batch.market_from[c], batch.market_from[c + 1]
    first_limit, last_limit = batch.limit_from[c], batch.limit_from[c + 1]
    markets = last_market - first_market
    count[MARKETS] = markets
    desk.blur[0] = 0.0
    # For now `table` counts the rights that an arc needs; below zero the arc is closed.
    table[:markets] = 0
    for n in range(first_limit, last_limit):
        g = cluster_limit[n]
        for row in range(limit_offset[g], limit_offset[g + 1]):
            b, i, j = limit_arc[0, row], limit_arc[1, row], limit_arc[2, row]
            for local in range(markets):
                if cluster_market[first_market + local] == b:
                    table[local, i, j] += 1 if limit[g] > 0.0 else -1_000_000
    sellers = 0
    points = 0
    index[POINT_START, 0] = 0
    places = 0
    arcs = 0
    rights = 0
    count[FLOORS] = 0
    index[ARC_START, 0] = 0
    index[RIGHT_START, 0] = 0
    for local in range(markets):
        b = cluster_market[first_market + local]
        first_seller = sellers
        for i in range(origins):
            end = draw_supply(
                batch, desk, batch.firm_offset[b, i], batch.firm_offset[b, i + 1], points
            )
            if end > points:
                index[NAME, sellers] = i
                index[SELLER_MARKET, sellers] = local
                points = end
                sellers += 1
                index[POINT_START, sellers] = points
        capacity = 0.0
        for k in range(first_seller, sellers):
            capacity += point[QUANTITY, index[POINT_START, k + 1] - 1]
        theta = batch.dispersion[b]
        all_wanted = 0.0
        for j in range(destinations):
            wanted = 0.0
            for h in range(need.shape[2]):
                wanted += need[b, j, h]
            for n in range(bid_quantity.shape[2]):
                wanted += bid_quantity[b, j, n]
            all_wanted += wanted
            first_arc = arcs
            k = first_seller
            for i in range(origins):
                needs = table[local, i, j]
                table[local, i, j] = -1
                if k >= sellers or index[NAME, k] != i:
                    continue
                k += 1
                weight = batch.log_weight[b, i, j]
                if wanted <= 0.0 or needs < 0 or weight == -np.inf:
                    continue
                table[local, i, j] = arcs
                index[SELLER, arcs] = k - 1
                value[FACTOR, arcs] = batch.price_factor[b, i, j]
                value[OWN_FACTOR, arcs] = batch.price_factor[b, i, j]
                value[ADDITION, arcs] = batch.price_addition[b, i, j]
                floor = batch.floor_price[b, i, j]
                floor = floor if floor > 0.0 else -np.inf
                value[FLOOR, arcs] = floor
                value[OWN_FLOOR, arcs] = floor
                value[QUALITY, arcs] = theta * weight
                value[RESPONSE, arcs] = 1.0
                count[FLOORS] += floor > 0.0
                rights += needs
                arcs += 1
                index[RIGHT_START, arcs] = rights
            if arcs == first_arc:
                continue
            index[DESTINATION, places] = j
            index[PLACE_MARKET, places] = local
            value[THETA, places] = theta
            value[OWN_THETA, places] = theta
            for h in range(need.shape[2]):
                term[NEED, places, h] = need[b, j, h]
                term[REFERENCE, places, h] = batch.reference_price[b, j, h]
                term[ELASTICITY, places, h] = batch.elasticity[b, j, h]
                term[BACKSTOP, places, h] = batch.backstop_price[b, j, h]
                term[CHOKE, places, h] = batch.choke_price[b, j, h]
            for n in range(bid_quantity.shape[2]):
                bid[BID, places, n] = bid_quantity[b, j, n]
                bid[BID_LOW, places, n] = batch.bid_low[b, j, n]
                bid[BID_HIGH, places, n] = batch.bid_high[b, j, n]
            places += 1
            index[ARC_START, places] = arcs
        # Where next to nothing is traded, a millionth of what could be is the measure.
        volume[1, local] = 1e-6 * min(all_wanted, capacity)
    count[ORIGINS] = sellers
    count[PLACES] = places
    count[ARCS] = arcs
    # Until they are filled in, an arc's rights hold -1.
    for r in range(rights):
        right[r] = -1
    for n in range(first_limit, last_limit):
        g = cluster_limit[n]
        if limit[g] <= 0.0:
            continue
        begin = points
        for corner in range(2):
            point[PRICE, points] = 0.0
            point[QUANTITY, points] = limit[g] if corner else 0.0
            points += 1
        index[NAME, sellers] = g
        index[SELLER_MARKET, sellers] = -2
        for row in range(limit_offset[g], limit_offset[g + 1]):
            b, i, j = limit_arc[0, row], limit_arc[1, row], limit_arc[2, row]
            for local in range(markets):
                if cluster_market[first_market + local] != b:
                    continue
                before = index[SELLER_MARKET, sellers]
                index[SELLER_MARKET, sellers] = local if before == -2 or before == local else -1
                a = table[local, i, j]
                if a >= 0:
                    r = index[RIGHT_START, a]
                    while right[r] >= 0:
                        r += 1
                    right[r] = sellers
        sellers += 1
        index[POINT_START, sellers] = begin + 2
    count[SELLERS] = sellers


@compiled
def move(
    point: np.ndarray,
    first: int,
    end: int,
    piece: int,
    price: float,
    quantity: float,
    weight: float,
    distance: float,
) -> tuple[int, float, float]:
    """Walk `distance` along a supply graph, measured as weight x price + quantity (t/month).

    The graph is columns `first` to `end` of `point`. Piece 0 is the upright line below the first
    point, piece k joins points k-1 and k, the last piece is level at full capacity. Returns the new
    piece, price and quantity.
    """
    last = end - first
    left = distance
    while True:
        if left >= 0.0:
            if piece == last:
                return piece, price + left / weight, quantity
            to = first + piece
            room = weight * (point[PRICE, to] - price) + (point[QUANTITY, to] - quantity)
            if left > room:
                left -= max(room, 0.0)
                price = point[PRICE, to]
                quantity = point[QUANTITY, to]
                piece += 1
                continue
        elif piece > 0:
            to = first + piece - 1
            room = weight * (point[PRICE, to] - price) + (point[QUANTITY, to] - quantity)
            if left < room:
                left -= min(room, 0.0)
                price = point[PRICE, to]
                quantity = point[QUANTITY, to]
                piece -= 1
                continue
        if piece == 0:
            return piece, price, quantity + left
        if piece == last:
            return piece, price + left / weight, quantity
        at = first + piece
        rise = point[PRICE, at] - point[PRICE, at - 1]
        more = point[QUANTITY, at] - point[QUANTITY, at - 1]
        across = weight * rise + more
        if across <= 0.0:
            return piece, price, quantity
        if weight * rise >= more:
            price = price + left * (rise / across)
            part = (price - point[PRICE, at - 1]) / rise
            quantity = point[QUANTITY, at - 1] + part * more
        else:
            quantity = quantity + left * (more / across)
            part = (quantity - point[QUANTITY, at - 1]) / more
            price = point[PRICE, at - 1] + part * rise
        return piece, price, quantity


@compiled
def place_of(
    point: np.ndarray, first: int, end: int, price: float, quantity: float
) -> tuple[int, float, float]:
    """The place on a supply graph at a price, on a step or without a price (NaN) at a quantity.

    The graph is columns `first` to `end` of `point`.
    """
    by_price = np.isfinite(price)
    if by_price and price < point[PRICE, first]:
        return 0, point[PRICE, first], 0.0
    low = first  # the last corner that is surely not above the place
    high = end
    while high - low > 1:
        middle = (low + high) // 2
        below = point[PRICE, middle] < price
        if not by_price or point[PRICE, middle] == price:
            below = point[QUANTITY, middle] < quantity
        if below:
            low = middle
        else:
            high = middle
    if high == end:
        return end - first, price if by_price else point[PRICE, low], point[QUANTITY, low]
    rise = point[PRICE, high] - point[PRICE, low]
    more = point[QUANTITY, high] - point[QUANTITY, low]
    if by_price and rise > 0.0:
        return (
            high - first,
            price,
            point[QUANTITY, low] + more * ((price - point[PRICE, low]) / rise),
        )
    quantity = min(max(quantity, point[QUANTITY, low]), point[QUANTITY, high])
    part = (quantity - point[QUANTITY, low]) / more if more > 0.0 else 1.0
    return high - first, point[PRICE, low] + part * rise, quantity


@compiled
def floored(delivered: float, floor: float, blur: float) -> tuple[float, float]:
    """The delivered price raised to the floor, and how it answers a change of the price before."""
    if floor == -np.inf:
        return delivered, 1.0
    above = delivered - floor
    if blur > 0.0:
        raised = max(delivered, floor) + blur * np.log1p(np.exp(-abs(above) / blur))
        return raised, 1.0 / (1.0 + np.exp(-above / blur))
    if above < -1e-14 * abs(floor):
        return floor, 0.0
    return delivered, 1.0


@compiled
def exponentials(x: np.ndarray, size: int, power: np.ndarray, exponent: np.ndarray) -> None:
    """Replace the first numbers of x, none above zero, by their exponentials.

    Split as 2^n exp(r), exp(r) by its series to the last bit, so that the processor does several at
    a time, which it cannot with the library's exponential. `power` (int64) and `exponent` (float64)
    are the same memory: 2^n is written as bits and read as a number.
    """
    for a in range(size):
        v = max(x[a], -700.0)
        n = np.floor(v * 1.4426950408889634 + 0.5)
        r = (v - n * 0.69314718036912381649) - n * 1.90821492927058770002e-10
        y = 1.0 / 6227020800.0
        y = y * r + 1.0 / 479001600.0
        y = y * r + 1.0 / 39916800.0
        y = y * r + 1.0 / 3628800.0
        y = y * r + 1.0 / 362880.0
        y = y * r + 1.0 / 40320.0
        y = y * r + 1.0 / 5040.0
        y = y * r + 1.0 / 720.0
        y = y * r + 1.0 / 120.0
        y = y * r + 1.0 / 24.0
        y = y * r + 1.0 / 6.0
        y = y * r + 0.5
        y = y * r + 1.0
        y = y * r + 1.0
        power[a] = (np.int64(n) + 1023) << 52
        x[a] = y if v > -700.0 else 0.0
    for a in range(size):
        x[a] *= exponent[a]


@compiled
def look(desk: Desk, at: int) -> None:
    """Write what buyers do at the seller prices of place `at` (origin prices, then rents).

    Sellers on a step then sell what is asked of them, as far as it reaches.
    """
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    term, bid, point = desk.term, desk.bid, desk.point
    seller, price, sales = index[SELLER], value[SELLER_PRICE + at], value[SALES]
    factor, addition, quality = value[FACTOR], value[ADDITION], value[QUALITY]
    share, flow = value[SHARE], value[FLOW]
    arcs, rights = count[ARCS], index[RIGHT_START, count[ARCS]] > 0
    blur = desk.blur[0]
    for k in range(count[SELLERS]):
        sales[k] = 0.0
    for a in range(arcs):
        share[a] = factor[a] * price[seller[a]] + addition[a]
    if rights:
        for a in range(arcs):
            for r in range(index[RIGHT_START, a], index[RIGHT_START, a + 1]):
                share[a] += price[right[r]]
    if count[FLOORS] > 0:
        for a in range(arcs):
            share[a], value[RESPONSE, a] = floored(share[a], value[FLOOR, a], blur)
    for d in range(count[PLACES]):
        theta = value[THETA, d]
        top = -np.inf
        for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
            share[a] = (quality[a] - share[a]) / theta
            top = max(top, share[a])
        for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
            share[a] -= top
        value[LANDED, d] = -theta * top
    exponentials(share, arcs, desk.power, desk.exponent)
    for d in range(count[PLACES]):
        first, last = index[ARC_START, d], index[ARC_START, d + 1]
        theta = value[THETA, d]
        total = 0.0
        for a in range(first, last):
            total += share[a]
        # a dispersion widened on the way must not make buyers think everything cheap
        widened = (theta - value[OWN_THETA, d]) * np.log(last - first)
        landed = widened + value[LANDED, d] - theta * np.log(total)
        wanted, slope = demand_at(landed, term, bid, d, blur)
        value[LANDED, d] = landed
        value[DEMAND, d] = wanted
        value[SLOPE, d] = slope
        for a in range(first, last):
            share[a] /= total
            flow[a] = wanted * share[a]
            sales[seller[a]] += flow[a]
    if rights:
        for a in range(arcs):
            for r in range(index[RIGHT_START, a], index[RIGHT_START, a + 1]):
                sales[right[r]] += flow[a]
    for k in range(count[SELLERS]):
        corner = index[POINT_START, k] + index[SELLER_PIECE + at, k]
        if index[SELLER_PIECE + at, k] == 0:
            value[SELLER_QUANTITY + at, k] = min(value[SALES, k], 0.0)
        elif (
            corner < index[POINT_START, k + 1] and point[PRICE, corner] <= point[PRICE, corner - 1]
        ):
            low, high = point[QUANTITY, corner - 1], point[QUANTITY, corner]
            value[SELLER_QUANTITY + at, k] = min(max(value[SALES, k], low), high)


@compiled
def residual_of(desk: Desk) -> float:
    """The worst gap between what a seller offers and sells, relative to its market's volume.

    The volume is the larger of what is bought and offered; where next to nothing is traded, a
    millionth of what could be. A right that spans markets is measured by their sum.
    """
    count, index, value = desk.size, desk.link, desk.value
    quantity, sales = value[SELLER_QUANTITY], value[SALES]
    volume = desk.volume
    everything = 0.0
    for b in range(count[MARKETS]):
        bought = 0.0
        for d in range(count[PLACES]):
            if index[PLACE_MARKET, d] == b:
                bought += value[DEMAND, d]
        offered = 0.0
        for k in range(count[ORIGINS]):
            if index[SELLER_MARKET, k] == b:
                offered += max(quantity[k], 0.0)
        volume[0, b] = max(bought, offered, volume[1, b])
        everything += volume[0, b]
    worst = 0.0
    for k in range(count[SELLERS]):
        gap = abs(quantity[k] - sales[k])
        b = index[SELLER_MARKET, k]
        measure = volume[0, b] if b >= 0 else everything
        if measure > 0.0:
            gap /= measure
        if not gap < np.inf or not abs(value[SELLER_PRICE, k]) < np.inf:
            return np.inf
        worst = max(worst, gap)
    return worst


@compiled
def face(desk: Desk) -> None:
    """At a kink of its graph, a seller turns to the side its gap points to."""
    index, value, point = desk.link, desk.value, desk.point
    for k in range(desk.size[SELLERS]):
        first = index[POINT_START, k]
        points = index[POINT_START, k + 1] - first
        piece = index[SELLER_PIECE, k]
        price, quantity = value[SELLER_PRICE, k], value[SELLER_QUANTITY, k]
        short = quantity < desk.value[SALES, k]
        while (
            short
            and piece < points
            and price >= point[PRICE, first + piece]
            and quantity >= point[QUANTITY, first + piece]
        ):
            piece += 1
        while (
            not short
            and piece > 0
            and price <= point[PRICE, first + piece - 1]
            and quantity <= point[QUANTITY, first + piece - 1]
        ):
            piece -= 1
        index[SELLER_PIECE, k] = piece


@compiled
def lift_to_floors(desk: Desk) -> bool:
    """Sellers at capacity, all of whose buyers pay a floor: raise them to where buyers notice.

    Returns whether any price moved. Without this the market would look indifferent to the price.
    """
    index, value, right = desk.link, desk.value, desk.right
    nearest, price = value[STEP], value[SELLER_PRICE]
    for k in range(desk.size[SELLERS]):
        nearest[k] = np.inf
    for a in range(desk.size[ARCS]):
        o = index[SELLER, a]
        first, last = index[RIGHT_START, a], index[RIGHT_START, a + 1]
        if value[RESPONSE, a] > 0.0:
            if value[SHARE, a] > 0.0:
                nearest[o] = -np.inf
                for r in range(first, last):
                    nearest[right[r]] = -np.inf
            continue
        short = value[FLOOR, a] - value[FACTOR, a] * price[o] - value[ADDITION, a]
        for r in range(first, last):
            short -= price[right[r]]
        nearest[o] = min(nearest[o], short / value[FACTOR, a])
        for r in range(first, last):
            nearest[right[r]] = min(nearest[right[r]], short)
    moved = False
    for k in range(desk.size[SELLERS]):
        pieces = index[POINT_START, k + 1] - index[POINT_START, k]
        short_of_goods = value[SELLER_QUANTITY, k] < desk.value[SALES, k]
        if index[SELLER_PIECE, k] == pieces and short_of_goods and 0.0 < nearest[k] < np.inf:
            price[k] += nearest[k]
            moved = True
    return moved


@compiled
def weigh(desk: Desk) -> None:
    """Weigh each seller's price by how its own sales fall with it, t/month per USD/kg."""
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    origins = count[ORIGINS]
    sellers = count[SELLERS]
    for k in range(sellers):
        value[OWN, k] = 0.0
        value[SWAP, k] = 0.0
        value[ROW, k] = 0.0
        value[COLUMN, k] = 0.0
    wanted = 0.0
    for d in range(count[PLACES]):
        swap = value[DEMAND, d] / value[THETA, d]
        rest = swap + value[SLOPE, d]
        wanted += value[DEMAND, d]
        if swap == 0.0 and rest == 0.0:
            continue
        restricted = False
        for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
            share = value[SHARE, a]
            by_right = share * value[RESPONSE, a]
            by_origin = by_right * value[FACTOR, a]
            value[SWAP, index[SELLER, a]] += swap * by_origin
            value[OWN, index[SELLER, a]] += (swap - rest * share) * by_origin
            for r in range(index[RIGHT_START, a], index[RIGHT_START, a + 1]):
                g = right[r]
                value[SWAP, g] += swap * by_right
                value[OWN, g] += swap * by_right
                value[ROW, g] += share
                value[COLUMN, g] += by_right
                restricted = True
        if restricted:
            for g in range(origins, sellers):
                value[OWN, g] -= rest * value[ROW, g] * value[COLUMN, g]
                value[ROW, g] = 0.0
                value[COLUMN, g] = 0.0
    steepest = 0.0
    highest = 1e-300
    for d in range(count[PLACES]):
        highest = max(highest, value[THETA, d])
    for k in range(sellers):
        steepest = max(steepest, value[OWN, k])
        highest = max(highest, abs(value[SELLER_PRICE, k]))
    if steepest == 0.0:
        for b in range(count[MARKETS]):
            wanted = max(wanted, 1e6 * desk.volume[1, b])
        steepest = max(wanted, 1e-300) / highest
    for k in range(sellers):
        own = value[OWN, k]
        value[WEIGHT, k] = own if own > 1e-250 * steepest else 1e-10 * steepest


@compiled
def choose_system(desk: Desk, in_logs: bool) -> tuple[int, int, bool]:
    """Prepare the Newton system of the sellers whose price may move along their graph.

    Sales answer prices nearly as an exponential does, so where that gives the shorter way down or
    the longer way up, a seller's gap is closed in logarithms (`in_logs`). Returns how many sellers
    are free, how many of them are origins, and whether the system is better solved by way of the
    places (`through_places`) than among the sellers (`among_sellers`).
    """
    count, index, value, point = desk.size, desk.link, desk.value, desk.point
    sellers, origins, places = count[SELLERS], count[ORIGINS], count[PLACES]
    free = 0
    free_origins = 0
    rent = 0.0
    widest = 0.0
    for d in range(places):
        widest = max(widest, value[THETA, d])
    for k in range(origins, sellers):
        rent = max(rent, value[SELLER_PRICE, k])
    for k in range(sellers):
        # how price and quantity change along the piece, per unit of the distance used by `move`
        weight = value[WEIGHT, k]
        by_price, by_quantity = 0.0, 1.0
        at = index[POINT_START, k] + index[SELLER_PIECE, k]
        if at == index[POINT_START, k + 1]:
            by_price, by_quantity = 1.0 / weight, 0.0
        elif index[SELLER_PIECE, k] > 0:
            rise = point[PRICE, at] - point[PRICE, at - 1]
            more = point[QUANTITY, at] - point[QUANTITY, at - 1]
            across = weight * rise + more
            if across > 0.0:
                by_price, by_quantity = rise / across, more / across
        value[BY_PRICE, k] = by_price
        index[NUMBER, k] = -1
        if by_price <= 0.0:
            continue
        index[FREE, free] = k
        index[NUMBER, k] = free
        fall = value[OWN, k] * by_price
        own = max(fall, weight * by_price)
        sold, offered = value[SALES, k], value[SELLER_QUANTITY, k]
        gap = sold - offered
        ratio = 1.0
        if in_logs and sold > 0.0 and offered > 0.0:
            logarithmic = sold * np.log(sold / offered)
            if logarithmic / (own + by_quantity * (sold / offered)) > gap / (own + by_quantity):
                ratio = sold / offered
                gap = logarithmic
        value[RIGHT, free] = gap
        value[EXTRA, free] = (own - fall) + ratio * by_quantity + RIDGE
        value[MOST, free] = (rent + 3.0 * widest) / by_price
        free += 1
        free_origins += k < origins
    size = places + free - free_origins
    by_sellers = (places + free / 3.0) * free * free
    by_places = (free_origins + size / 3.0) * size * size
    return free, free_origins, by_sellers > 1.2 * by_places


@compiled
def among_sellers(desk: Desk, free: int) -> None:
    """Write the system with a row for each free seller: how sales fall along each other's graphs.

    Per place: demand/theta x diag(shares) - (demand/theta + slope) shares shares', gathered over
    the sellers that each arc pays.
    """
    index, value, matrix, rights = desk.link, desk.value, desk.matrix, desk.right
    for i in range(free):
        for n in range(free):
            matrix[i, n] = 0.0
        matrix[i, i] = value[EXTRA, i]
        desk.reduced[0, i] = value[RIGHT, i]
        desk.reduced[1, i] = value[MOST, i]
    for d in range(desk.size[PLACES]):
        swap = value[DEMAND, d] / value[THETA, d]
        rest = swap + value[SLOPE, d]
        if swap == 0.0 and rest == 0.0:
            continue
        for i in range(free):
            value[ROW, i] = 0.0
            value[COLUMN, i] = 0.0
        for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
            share = value[SHARE, a]
            k = index[SELLER, a]
            o = index[NUMBER, k]
            by_right = share * value[RESPONSE, a]
            by_origin = by_right * value[FACTOR, a] * value[BY_PRICE, k]
            if o >= 0:
                value[ROW, o] += share
                value[COLUMN, o] += by_origin
                matrix[o, o] += swap * by_origin
            first, last = index[RIGHT_START, a], index[RIGHT_START, a + 1]
            for r in range(first, last):
                g = index[NUMBER, rights[r]]
                if g < 0:
                    continue
                by_rent = by_right * value[BY_PRICE, rights[r]]
                value[ROW, g] += share
                value[COLUMN, g] += by_rent
                if o >= 0:
                    matrix[o, g] += swap * by_rent
                    matrix[g, o] += swap * by_origin
                for r2 in range(first, last):
                    g2 = index[NUMBER, rights[r2]]
                    if g2 >= 0:
                        matrix[g2, g] += swap * by_rent
        for i in range(free):
            part = rest * value[ROW, i]
            if part != 0.0:
                for n in range(free):
                    matrix[i, n] -= part * value[COLUMN, n]


@compiled
def through_places(desk: Desk, free: int, free_origins: int) -> int:
    """Write the system of many origins with a row for each place and free right; returns its size.

    A place's landed price is an unknown of its own, so that origins are tied to places and rights
    only, not to each other, and can be eliminated one by one.
    """
    index, value, matrix, rights = desk.link, desk.value, desk.matrix, desk.right
    out, into = desk.side[0], desk.side[1]  # [free origin, unknown]
    result, most = desk.reduced[0], desk.reduced[1]
    places = desk.size[PLACES]
    size = places + free - free_origins
    for i in range(size):
        for n in range(size):
            matrix[i, n] = 0.0
        result[i] = 0.0
    for o in range(free_origins):
        for n in range(size):
            out[o, n] = 0.0
            into[o, n] = 0.0
        k = index[FREE, o]
        value[COLUMN, o] = value[EXTRA, o] + value[SWAP, k] * value[BY_PRICE, k]
    for i in range(free_origins, free):
        k = index[FREE, i]
        y = places + i - free_origins
        matrix[y, y] = value[EXTRA, i] + value[SWAP, k] * value[BY_PRICE, k]
        result[y] = value[RIGHT, i]
        most[y] = value[MOST, i]
    for d in range(places):
        matrix[d, d] = 1.0
        swap = value[DEMAND, d] / value[THETA, d]
        rest = swap + value[SLOPE, d]
        for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
            share = value[SHARE, a]
            k = index[SELLER, a]
            o = index[NUMBER, k]
            by_right = share * value[RESPONSE, a]
            by_origin = by_right * value[FACTOR, a] * value[BY_PRICE, k]
            if o >= 0:
                out[o, d] -= share
                into[o, d] -= rest * by_origin
            first, last = index[RIGHT_START, a], index[RIGHT_START, a + 1]
            for r in range(first, last):
                g = index[NUMBER, rights[r]]
                if g < 0:
                    continue
                y = places + g - free_origins
                by_rent = by_right * value[BY_PRICE, rights[r]]
                matrix[y, d] -= share
                matrix[d, y] -= rest * by_rent
                if o >= 0:
                    out[o, y] += swap * by_rent
                    into[o, y] += swap * by_origin
                for r2 in range(first, last):
                    g2 = index[NUMBER, rights[r2]]
                    if g2 >= 0 and r2 != r:
                        matrix[places + g2 - free_origins, y] += swap * by_rent
    for o in range(free_origins):
        for i in range(size):
            if into[o, i] != 0.0:
                ratio = into[o, i] / value[COLUMN, o]
                for n in range(size):
                    matrix[i, n] -= ratio * out[o, n]
                result[i] -= ratio * value[RIGHT, o]
    return size


@compiled
def solve_linear(matrix: np.ndarray, system: np.ndarray, size: int, first_right: int) -> None:
    """Gaussian elimination on the diagonal, in place; the solution overwrites `system[0]`.

    Rows from `first_right` on belong to rights. One whose row is spent by those before it is
    redundant for now: rent may pass between it and them without a change of flows. Its step is held
    to `system[1]`, enough to take over all of the largest rent.
    """
    right, most = system[0], system[1]
    for k in range(size):
        pivot = matrix[k, k]
        if k >= first_right and pivot < REDUNDANT:
            step = right[k] / RIDGE
            right[k] = min(max(step, -most[k]), most[k])
            for n in range(k + 1, size):
                matrix[k, n] = 0.0
            matrix[k, k] = 1.0
            for i in range(k + 1, size):
                right[i] -= matrix[i, k] * right[k]
            continue
        if abs(pivot) < RIDGE:
            matrix[k, k] = RIDGE
        for i in range(k + 1, size):
            if matrix[i, k] != 0.0:
                ratio = matrix[i, k] / matrix[k, k]
                for n in range(k + 1, size):
                    matrix[i, n] -= ratio * matrix[k, n]
                right[i] -= ratio * right[k]
    for k in range(size - 1, -1, -1):
        total = right[k]
        for n in range(k + 1, size):
            total -= matrix[k, n] * right[n]
        right[k] = total / matrix[k, k]


@compiled
def finish_step(desk: Desk, free: int, free_origins: int, by_places: bool) -> bool:
    """Write the step of every seller along its graph; whether it is finite.

    Sellers whose price is held answer what the moves of the others do to their sales.
    """
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    solved, out = desk.reduced[0], desk.side[0]
    places, sellers = count[PLACES], count[SELLERS]
    first_right = places if by_places else free_origins
    size = first_right + free - free_origins
    for i in range(free):
        if not by_places:
            step = solved[i]
        elif i >= free_origins:
            step = solved[places + i - free_origins]
        else:
            step = value[RIGHT, i]
            for n in range(size):
                step -= out[i, n] * solved[n]
            step /= value[COLUMN, i]
        value[STEP, index[FREE, i]] = step
    sound = True
    for k in range(sellers):
        value[DEARER, k] = 0.0
        if index[NUMBER, k] >= 0:
            value[DEARER, k] = value[BY_PRICE, k] * value[STEP, k]
            sound &= np.isfinite(value[STEP, k])
        else:
            value[STEP, k] = value[SALES, k] - value[SELLER_QUANTITY, k]
    if free == sellers:
        return sound
    for d in range(places):
        swap = value[DEMAND, d] / value[THETA, d]
        rest = swap + value[SLOPE, d]
        mean = 0.0
        for turn in range(2):
            for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
                k = index[SELLER, a]
                dearer = value[FACTOR, a] * value[DEARER, k]
                for r in range(index[RIGHT_START, a], index[RIGHT_START, a + 1]):
                    dearer += value[DEARER, right[r]]
                dearer *= value[RESPONSE, a]
                if turn == 0:
                    mean += value[SHARE, a] * dearer
                    continue
                more = value[SHARE, a] * (rest * mean - swap * dearer)
                if index[NUMBER, k] < 0:
                    value[STEP, k] += more
                for r in range(index[RIGHT_START, a], index[RIGHT_START, a + 1]):
                    if index[NUMBER, right[r]] < 0:
                        value[STEP, right[r]] += more
    return sound


@compiled
def advance(desk: Desk, by_pull: bool, near: bool, trials: int) -> bool:
    """Find how far to walk along the step from HERE; whether an end was accepted, which is TRIAL.

    `by_pull` looks for where the gaps' pull along the step has fallen to half or less without
    turning round, by regula falsi and bisection in turn: with specific wedges excess supply is the
    gradient of a convex function, and the pull its slope along the move, so a move that leaves some
    pull has gone down it. Otherwise, and `near` the solution, the sum of squared gaps must fall.
    """
    index, value, point = desk.link, desk.value, desk.point
    sellers = desk.size[SELLERS]
    merit = 0.0
    for k in range(sellers):
        value[GAP, k] = value[SELLER_QUANTITY, k] - value[SALES, k]
        merit += value[GAP, k] ** 2
    length = 1.0
    low = 0.0
    high = np.inf
    pull_low = 1.0
    pull_high = -1.0
    last = False
    for n in range(trials + 1):
        for k in range(sellers):
            (
                index[SELLER_PIECE + TRIAL, k],
                value[SELLER_PRICE + TRIAL, k],
                value[SELLER_QUANTITY + TRIAL, k],
            ) = move(
                point,
                index[POINT_START, k],
                index[POINT_START, k + 1],
                index[SELLER_PIECE, k],
                value[SELLER_PRICE, k],
                value[SELLER_QUANTITY, k],
                value[WEIGHT, k],
                length * value[STEP, k],
            )
        look(desk, TRIAL)
        if last:
            return True
        squares = 0.0
        before = 0.0
        after = 0.0
        for k in range(sellers):
            gap = value[SELLER_QUANTITY + TRIAL, k] - value[SALES, k]
            change = value[SELLER_PRICE + TRIAL, k] - value[SELLER_PRICE, k]
            squares += gap * gap
            before += value[GAP, k] * change
            after += gap * change
        if not by_pull:
            if squares < (1.0 - 1e-3 * length) * merit:
                return True
            length *= 0.4
            if n + 1 == trials:
                return False
            continue
        pull = after / before if before < 0.0 else -10.0
        if (near and squares <= 0.25 * merit) or -0.05 <= pull <= 0.5:
            return True
        if pull > 0.5:
            low = length
            pull_low = min(pull, 1.0)
        else:
            high = length
            pull_high = pull
        if high == np.inf:
            length *= 4.0
        elif n % 2 == 0:
            part = pull_low / (pull_low - pull_high)
            length = low + (high - low) * min(max(part, 0.02), 0.98)
        else:
            length = low + (high - low) * (0.5 if low > 0.0 else 0.1)
        if n + 1 >= trials or high - low <= 1e-14 * high:
            # none of the ends was good; the furthest that did not go too far will do
            last = True
            length = low
            if low == 0.0:
                return False
    return False


@compiled
def begin(batch: Batch, desk: Desk, c: int, start: Start) -> None:
    """Put every seller where the start says, else origins at seven tenths of their capacity.

    Sellers with no open arc to a buyer sell nothing, at their lowest ask or no rent.
    """
    count, index, value, point = desk.size, desk.link, desk.value, desk.point
    warm = start.rent.size == batch.limit.size and start.origin_price.size > 0
    idle = index[FREE]
    for k in range(count[SELLERS]):
        idle[k] = 1
    for a in range(count[ARCS]):
        idle[index[SELLER, a]] = 0
    for r in range(index[RIGHT_START, count[ARCS]]):
        idle[desk.right[r]] = 0
    for k in range(count[SELLERS]):
        first, end = index[POINT_START, k], index[POINT_START, k + 1]
        name = index[NAME, k]
        price = np.nan
        sold = 0.0
        if k < count[ORIGINS]:
            sold = 0.7 * point[QUANTITY, end - 1]
            if warm:
                b = batch.cluster_market[batch.market_from[c] + index[SELLER_MARKET, k]]
                if np.isfinite(start.origin_price[b, name]):
                    price, sold = start.origin_price[b, name], start.sold[b, name]
        elif warm:
            price = start.rent[name]
        index[SELLER_PIECE, k], value[SELLER_PRICE, k], value[SELLER_QUANTITY, k] = place_of(
            point, first, end, price, sold
        )
        if idle[k]:
            index[SELLER_PIECE, k] = 0
            value[SELLER_PRICE, k] = point[PRICE, first]
            value[SELLER_QUANTITY, k] = 0.0


@entry
def solve_batch(
    batch: Batch,
    desk: Desk,
    clusters: np.ndarray,
    start: Start,
    answer: Answer,
    tolerance: float,
    most: int,
    resume: bool,
) -> None:
    """Clear some clusters into `answer` by damped Newton, from `start` where it knows something.

    At most `most` steps each. A poor step is tried again without logarithms, then by the sum of
    squared gaps. `resume` goes on with what is on the desk, the first of `clusters`.
    """
    index, value = desk.link, desk.value
    for c in clusters:
        if not resume:
            open_cluster(batch, desk, c)
            begin(batch, desk, c, start)
        look(desk, HERE)
        residual = residual_of(desk)
        iterations = 0
        while not residual <= tolerance and iterations < most:
            iterations += 1
            face(desk)
            if desk.size[FLOORS] > 0 and desk.blur[0] == 0.0 and lift_to_floors(desk):
                look(desk, HERE)
            weigh(desk)
            accepted = False
            for attempt in range(3):
                sound = True
                if attempt < 2:
                    free, free_origins, by_places = choose_system(desk, attempt == 0)
                    size, rights_from = free, free_origins
                    if by_places:
                        size = through_places(desk, free, free_origins)
                        rights_from = desk.size[PLACES]
                    else:
                        among_sellers(desk, free)
                    solve_linear(desk.matrix, desk.reduced, size, rights_from)
                    sound = finish_step(desk, free, free_origins, by_places)
                if sound:
                    trials = 8 if attempt == 0 else 30 if attempt == 1 else 12
                    accepted = advance(desk, attempt < 2, residual < 1e-2, trials)
                    if accepted:
                        break
                    look(desk, HERE)
            if not accepted:
                break
            for k in range(desk.size[SELLERS]):
                index[SELLER_PIECE, k] = index[SELLER_PIECE + TRIAL, k]
                value[SELLER_PRICE, k] = value[SELLER_PRICE + TRIAL, k]
                value[SELLER_QUANTITY, k] = value[SELLER_QUANTITY + TRIAL, k]
            residual = residual_of(desk)
        write_answer(batch, desk, c, iterations, residual, answer)


@compiled
def offered_below(capacity: float, low_ask: float, high_ask: float, price: float) -> float:
    """One firm's offer just below a price (t/month)."""
    if price <= low_ask:
        return 0.0
    if price > high_ask or high_ask <= low_ask:
        return capacity
    return capacity * ((price - low_ask) / (high_ask - low_ask))


@compiled
def offered_above(capacity: float, low_ask: float, high_ask: float, price: float) -> float:
    """One firm's offer just above a price (t/month)."""
    if price >= high_ask:
        return capacity
    if price <= low_ask:
        return 0.0
    return capacity * ((price - low_ask) / (high_ask - low_ask))


@compiled
def share_out(batch: Batch, desk: Desk, k: int, first: int, last: int, sales: np.ndarray) -> None:
    """Write each firm's sales at HERE: its ramp's offer, and a step pro rata."""
    capacities, low_asks, high_asks = batch.capacity, batch.low_ask, batch.high_ask
    index, value, point = desk.link, desk.value, desk.point
    piece = index[SELLER_PIECE, k]
    at = index[POINT_START, k] + piece
    upright = False
    part = 1.0
    low = high = 0.0
    between = piece > 0 and at < index[POINT_START, k + 1]
    if between:
        low, high = point[PRICE, at - 1], point[PRICE, at]
        more = point[QUANTITY, at] - point[QUANTITY, at - 1]
        part = (value[SELLER_QUANTITY, k] - point[QUANTITY, at - 1]) / more if more > 0.0 else 1.0
        upright = high <= low
    for f in range(first, last):
        capacity, low_ask, high_ask = capacities[f], low_asks[f], high_asks[f]
        if not between:
            sales[f] = capacity if piece > 0 else 0.0
        elif upright:
            least = offered_below(capacity, low_ask, high_ask, low)
            most = offered_above(capacity, low_ask, high_ask, high)
            sales[f] = least + part * (most - least)
        else:
            least = offered_above(capacity, low_ask, high_ask, low)
            most = offered_below(capacity, low_ask, high_ask, high)
            sales[f] = least + part * (most - least)


@compiled
def write_answer(
    batch: Batch, desk: Desk, c: int, iterations: int, residual: float, answer: Answer
) -> None:
    """Copy one solved cluster, as last looked at, into the batch's arrays."""
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    here = value[SELLER_PRICE]
    first_market = batch.market_from[c]
    for local in range(count[MARKETS]):
        b = batch.cluster_market[first_market + local]
        answer.iterations[b] = iterations
        answer.residual[b] = residual
    for k in range(count[SELLERS]):
        name = index[NAME, k]
        if k >= count[ORIGINS]:
            answer.rent[name] = here[k]
            continue
        b = batch.cluster_market[first_market + index[SELLER_MARKET, k]]
        answer.origin_price[b, name] = here[k]
        first, last = batch.firm_offset[b, name], batch.firm_offset[b, name + 1]
        share_out(batch, desk, k, first, last, answer.sales)
    for d in range(count[PLACES]):
        b = batch.cluster_market[first_market + index[PLACE_MARKET, d]]
        j = index[DESTINATION, d]
        answer.landed_price[b, j] = desk.value[LANDED, d]
        answer.demand[b, j] = desk.value[DEMAND, d]
        paid = 0.0
        for a in range(index[ARC_START, d], index[ARC_START, d + 1]):
            k = index[SELLER, a]
            price = value[FACTOR, a] * here[k] + value[ADDITION, a]
            for r in range(index[RIGHT_START, a], index[RIGHT_START, a + 1]):
                price += here[right[r]]
            price = max(price, value[FLOOR, a])
            i = index[NAME, k]
            answer.flow[b, i, j] = value[FLOW, a]
            answer.delivered_price[b, i, j] = price
            paid += price * value[SHARE, a]
        answer.average_price[b, j] = paid


@entry
def sweep(desk: Desk) -> None:
    """Clear each seller by itself, the others' prices held, one after another.

    A seller's gap rises along its graph, so bisection is sure.
    """
    index, value = desk.link, desk.value
    look(desk, HERE)
    weigh(desk)
    for k in range(desk.size[SELLERS]):
        first, end = index[POINT_START, k], index[POINT_START, k + 1]
        weight = value[WEIGHT, k]
        look(desk, HERE)
        gap = value[SELLER_QUANTITY, k] - value[SALES, k]
        span = max(abs(gap), 1e-12 * value[SALES, k])
        if gap == 0.0:
            continue
        piece = index[SELLER_PIECE, k]
        price, quantity = value[SELLER_PRICE, k], value[SELLER_QUANTITY, k]
        near = 0.0
        far = np.inf
        distance = -gap
        for _ in range(80):
            index[SELLER_PIECE, k], value[SELLER_PRICE, k], value[SELLER_QUANTITY, k] = move(
                desk.point, first, end, piece, price, quantity, weight, distance
            )
            look(desk, HERE)
            sold, offered = value[SALES, k], value[SELLER_QUANTITY, k]
            now = offered - sold
            if abs(now) <= 1e-3 * min(span, max(sold, abs(offered))):
                break
            if (now > 0.0) == (gap > 0.0):
                near = abs(distance)
            else:
                far = abs(distance)
            size = 4.0 * near if far == np.inf else 0.5 * (near + far)
            if near > 0.0 and far > 100.0 * near and far < np.inf:
                size = np.sqrt(near * far)
            elif near == 0.0:
                size = 1e-3 * far
            if size > 1e250 or far - near < 1e-15 * far:
                break
            distance = size if gap < 0.0 else -size
