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
"""

from typing import NamedTuple

import numpy as np
from numba import njit

# Division by zero gives infinity, as in NumPy: no branch to raise from in every loop.
# Only the entry, `solve_batch`, is called from Python; the rest go without a wrapper for it, which
# halves the time of compilation.
entry = njit(cache=True, error_model="numpy")
compiled = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)

# Isoelastic demand runs on as its tangent below this fraction of the reference price, so that it
# is finite and falling at every price, also at zero and below.
TANGENT_BELOW = 0.01
NARROWEST_RAMP = 1e-5  # least width of a ramp of demand, relative to its price
REDUNDANT = 1e-9  # a pivot below this means that the rights before it do the same work
RIDGE = 1e-13  # least pivot of the normalised derivative
POLISHED = 1e-13  # residual, relative to volume, at which no further step is worth taking
MOST_STEPS = 80  # of Newton's method, before another way is tried

# Rows of the packed arrays.
CAPACITY, LOW_ASK, HIGH_ASK = 0, 1, 2
PRICE, QUANTITY = 0, 1
NEED, REFERENCE, ELASTICITY, BACKSTOP, CHOKE = 0, 1, 2, 3, 4
BID, BID_LOW, BID_HIGH = 0, 1, 2
FACTOR, ADDITION, FLOOR, QUALITY = 0, 1, 2, 3
SHARE, FLOW, RESPONSE = 0, 1, 2
LANDED, DEMAND, SLOPE = 0, 1, 2


class ProblemArrays(NamedTuple):
    """`Problem`, packed for the compiled code."""

    firm: np.ndarray  # [3, F] capacity, low ask, high ask
    firm_offset: np.ndarray  # [B, I+1]
    ask_order: np.ndarray  # [2F] asks of each origin from the lowest up, see draw_supply
    term: np.ndarray  # [5, B, J, H] need, reference price, elasticity, backstop, choke
    bid: np.ndarray  # [3, B, J, N] quantity, low, high
    arc: np.ndarray  # [4, B, I, J] factor, addition, floor, log weight
    dispersion: np.ndarray  # [B]
    limit: np.ndarray  # [G]
    limit_offset: np.ndarray  # [G+1]
    limit_arc: np.ndarray  # [2, A] origin, destination


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


class Market(NamedTuple):
    """One market's open arcs and its sellers, gathered by `open_market`; arcs by destination."""

    theta: float  # USD/kg
    wanted: float  # t/month, needs at reference prices and bids
    origins: int  # the first sellers are origins, the others hold the rights under limits
    name: np.ndarray  # [sellers] which origin, or which limit, each seller is
    destination: np.ndarray  # [D]
    point_start: np.ndarray  # [sellers + 1] columns of each seller's supply graph
    point: np.ndarray  # [2, points] price, quantity
    arc_start: np.ndarray  # [D + 1]
    arc_seller: np.ndarray  # [arcs]
    arc: np.ndarray  # [4, arcs] factor, addition, floor, quality = theta x log weight
    right_start: np.ndarray  # [arcs + 1]
    right: np.ndarray  # sellers of the rights each arc needs
    term: np.ndarray  # [5, D, H]
    bid: np.ndarray  # [3, D, N]


class Trade(NamedTuple):
    """What buyers do at given seller prices; overwritten by `evaluate`."""

    arc: np.ndarray  # [3, arcs] share, flow, change of delivered price per change of seller price
    place: np.ndarray  # [3, D] landed price, demand, slope of demand
    sales: np.ndarray  # [sellers] t/month


class State(NamedTuple):
    """Where each seller sits on its supply graph."""

    piece: np.ndarray
    price: np.ndarray
    quantity: np.ndarray


class Work(NamedTuple):
    """Memory of Newton's method."""

    fall: np.ndarray  # [sellers, sellers]
    matrix: np.ndarray  # [sellers, sellers]
    vector: np.ndarray  # [4, sellers]
    right: np.ndarray  # [sellers]
    weight: np.ndarray  # [sellers] t/month per USD/kg, measures distance along supply graphs
    step: np.ndarray  # [sellers]
    gap: np.ndarray  # [sellers]
    free: np.ndarray  # [sellers]


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
def draw_supply(firm: np.ndarray, ask_order: np.ndarray, point: np.ndarray) -> int:
    """Write the supply graph of one origin's firms into `point`; returns how many points it has.

    `ask_order` holds their asks from the lowest up: 2f is the low ask of firm f, 2f + 1 the high.
    The slope between two points is a running sum kept in two parts (Neumaier), since a ramp a
    billion times steeper than its neighbour would otherwise leave its rounding behind.
    """
    price, quantity = point[PRICE], point[QUANTITY]
    length = 0
    slope = 0.0
    lost = 0.0
    climbing = 0
    complete = 0.0
    here = 0.0
    for event in ask_order:
        f = event // 2
        capacity = firm[CAPACITY, f]
        width = firm[HIGH_ASK, f] - firm[LOW_ASK, f]
        opens = event % 2 == 0
        at = firm[LOW_ASK, f] if opens else firm[HIGH_ASK, f]
        if capacity <= 0.0 or (width <= 0.0 and not opens):
            continue
        if length == 0:
            price[0] = at
            quantity[0] = 0.0
            length = 1
        elif at > price[length - 1]:
            if climbing > 0:
                here += (slope + lost) * (at - price[length - 1])
            price[length] = at
            quantity[length] = here
            length += 1
        if width <= 0.0:
            here += capacity
            complete += capacity
            if length == 1 or price[length - 2] < at:  # else one step for all with the same ask
                price[length] = at
                length += 1
            quantity[length - 1] = here
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
                here = max(complete, quantity[length - 2])
                quantity[length - 1] = here
    return length


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
def place_at(graph: np.ndarray, price: float, sold: float) -> tuple[int, float, float]:
    """The place on a supply graph at a price; on a step, as near as it can be to `sold`."""
    last = graph.shape[1]
    if price < graph[PRICE, 0]:
        return 0, graph[PRICE, 0], 0.0
    piece = 0
    while piece < last and graph[PRICE, piece] < price:
        piece += 1
    if piece == last:
        return last, price, graph[QUANTITY, last - 1]
    if graph[PRICE, piece] > price:
        rise = graph[PRICE, piece] - graph[PRICE, piece - 1]
        more = graph[QUANTITY, piece] - graph[QUANTITY, piece - 1]
        part = (price - graph[PRICE, piece - 1]) / rise
        return piece, price, graph[QUANTITY, piece - 1] + part * more
    if sold > graph[QUANTITY, piece] and piece + 1 < last and graph[PRICE, piece + 1] == price:
        return piece + 1, price, min(sold, graph[QUANTITY, piece + 1])
    return piece, price, graph[QUANTITY, piece]


@compiled
def place_of(graph: np.ndarray, quantity: float) -> tuple[int, float, float]:
    """The place on a supply graph where this much is offered."""
    last = graph.shape[1]
    for piece in range(1, last):
        if quantity <= graph[QUANTITY, piece]:
            rise = graph[PRICE, piece] - graph[PRICE, piece - 1]
            more = graph[QUANTITY, piece] - graph[QUANTITY, piece - 1]
            part = (quantity - graph[QUANTITY, piece - 1]) / more if more > 0.0 else 1.0
            return piece, graph[PRICE, piece - 1] + part * rise, quantity
    return last, graph[PRICE, last - 1], graph[QUANTITY, last - 1]


@compiled
def slopes(
    point: np.ndarray, first: int, end: int, piece: int, weight: float
) -> tuple[float, float]:
    """How price and quantity change along a piece, per unit of the distance used by `move`."""
    if piece == 0:
        return 0.0, 1.0
    if piece == end - first:
        return 1.0 / weight, 0.0
    at = first + piece
    rise = point[PRICE, at] - point[PRICE, at - 1]
    more = point[QUANTITY, at] - point[QUANTITY, at - 1]
    across = weight * rise + more
    if across <= 0.0:
        return 0.0, 1.0
    return rise / across, more / across


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
def share_out(
    m: Market, k: int, piece: int, quantity: float, firm: np.ndarray, sales: np.ndarray
) -> None:
    """Write each firm's sales at a place on the graph: its ramp's offer, and a step pro rata."""
    at = m.point_start[k] + piece
    for f in range(firm.shape[1]):
        capacity, low_ask, high_ask = firm[CAPACITY, f], firm[LOW_ASK, f], firm[HIGH_ASK, f]
        if piece == 0:
            sales[f] = 0.0
        elif at == m.point_start[k + 1]:
            sales[f] = capacity
        else:
            low, high = m.point[PRICE, at - 1], m.point[PRICE, at]
            more = m.point[QUANTITY, at] - m.point[QUANTITY, at - 1]
            part = (quantity - m.point[QUANTITY, at - 1]) / more if more > 0.0 else 1.0
            if high > low:
                least = offered_above(capacity, low_ask, high_ask, low)
                most = offered_below(capacity, low_ask, high_ask, high)
            else:
                least = offered_below(capacity, low_ask, high_ask, low)
                most = offered_above(capacity, low_ask, high_ask, low)
            sales[f] = least + part * (most - least)


@compiled
def evaluate(m: Market, theta: float, blur: float, price: np.ndarray, trade: Trade) -> None:
    """Write what buyers do at these seller prices (origin prices, then rents) into `trade`.

    `theta` is the dispersion and `blur` (USD/kg) softens floors and ramps of demand; both differ
    from the market's own, m.theta and zero, only on the way to a solution.
    """
    trade.sales[:] = 0.0
    for d in range(m.destination.shape[0]):
        first = m.arc_start[d]
        last = m.arc_start[d + 1]
        top = -np.inf
        for a in range(first, last):
            delivered = m.arc[FACTOR, a] * price[m.arc_seller[a]] + m.arc[ADDITION, a]
            for r in range(m.right_start[a], m.right_start[a + 1]):
                delivered += price[m.right[r]]
            response = 1.0
            floor = m.arc[FLOOR, a]
            if floor > -np.inf:
                above = delivered - floor
                if blur > 0.0:
                    response = 1.0 / (1.0 + np.exp(-above / blur))
                    delivered = max(delivered, floor) + blur * np.log1p(np.exp(-abs(above) / blur))
                elif above < -1e-14 * abs(floor):
                    response = 0.0
                    delivered = floor
            trade.arc[RESPONSE, a] = response
            appeal = (m.arc[QUALITY, a] - delivered) / theta
            trade.arc[SHARE, a] = appeal
            top = max(top, appeal)
        total = 0.0
        for a in range(first, last):
            trade.arc[SHARE, a] = np.exp(trade.arc[SHARE, a] - top)
            total += trade.arc[SHARE, a]
        # a dispersion widened on the way must not make buyers think everything cheap
        widened = (theta - m.theta) * np.log(last - first)
        landed = widened - theta * (top + np.log(total))
        wanted, slope = demand_at(landed, m.term, m.bid, d, blur)
        trade.place[LANDED, d] = landed
        trade.place[DEMAND, d] = wanted
        trade.place[SLOPE, d] = slope
        for a in range(first, last):
            trade.arc[SHARE, a] /= total
            flow = wanted * trade.arc[SHARE, a]
            trade.arc[FLOW, a] = flow
            trade.sales[m.arc_seller[a]] += flow
            for r in range(m.right_start[a], m.right_start[a + 1]):
                trade.sales[m.right[r]] += flow


@compiled
def fall_of_sales(
    m: Market, theta: float, trade: Trade, fall: np.ndarray, row: np.ndarray, column: np.ndarray
) -> None:
    """Write minus the derivative of each seller's sales by each seller's price into `fall`.

    Per destination: demand/theta x diag(shares) - (demand/theta + slope) shares shares', gathered
    over the sellers that each arc pays.
    """
    fall[:, :] = 0.0
    sellers = fall.shape[0]
    for d in range(m.destination.shape[0]):
        swap = trade.place[DEMAND, d] / theta
        rest = swap + trade.place[SLOPE, d]
        if swap == 0.0 and rest == 0.0:
            continue
        row[:] = 0.0
        column[:] = 0.0
        for a in range(m.arc_start[d], m.arc_start[d + 1]):
            share = trade.arc[SHARE, a]
            if share == 0.0:
                continue
            o = m.arc_seller[a]
            by_right = share * trade.arc[RESPONSE, a]
            by_origin = by_right * m.arc[FACTOR, a]
            row[o] += share
            column[o] += by_origin
            fall[o, o] += swap * by_origin
            for r in range(m.right_start[a], m.right_start[a + 1]):
                g = m.right[r]
                row[g] += share
                column[g] += by_right
                fall[o, g] += swap * by_right
                fall[g, o] += swap * by_origin
                for r2 in range(m.right_start[a], m.right_start[a + 1]):
                    fall[g, m.right[r2]] += swap * by_right
        for k in range(sellers):
            if row[k] != 0.0:
                part = rest * row[k]
                for n in range(sellers):
                    fall[k, n] -= part * column[n]


@compiled
def solve_linear(
    matrix: np.ndarray, right: np.ndarray, size: int, origins: int, most: np.ndarray
) -> None:
    """Gaussian elimination on the diagonal, in place; the solution overwrites `right`.

    Rows from `origins` on belong to rights. One whose row is spent by those before it is redundant
    for now: rent may pass between it and them without a change of flows. Its step is held to
    `most`, enough to take over all of the largest rent.
    """
    for k in range(size):
        pivot = matrix[k, k]
        if k >= origins and pivot < REDUNDANT:
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
def residual_of(m: Market, state: State, trade: Trade) -> float:
    """The worst gap between what a seller offers and sells, relative to the market's volume.

    The volume is the larger of what is bought and offered; where next to nothing is traded, a
    millionth of what could be.
    """
    bought = 0.0
    for d in range(trade.place.shape[1]):
        bought += trade.place[DEMAND, d]
    offered = 0.0
    capacity = 0.0
    worst = 0.0
    for k in range(state.price.shape[0]):
        gap = abs(state.quantity[k] - trade.sales[k])
        if not gap <= worst:
            worst = gap
        if k < m.origins:
            offered += max(state.quantity[k], 0.0)
            capacity += m.point[QUANTITY, m.point_start[k + 1] - 1]
    volume = max(bought, offered, 1e-6 * min(m.wanted, capacity))
    return worst / volume if volume > 0.0 else worst


@compiled
def merit_of(state: State, trade: Trade) -> float:
    total = 0.0
    for k in range(state.price.shape[0]):
        gap = state.quantity[k] - trade.sales[k]
        total += gap * gap
    return total


@compiled
def look(m: Market, theta: float, blur: float, state: State, trade: Trade) -> None:
    """Evaluate at a state; sellers on a step sell what is asked of them, as far as it reaches."""
    evaluate(m, theta, blur, state.price, trade)
    for k in range(state.price.shape[0]):
        at = m.point_start[k] + state.piece[k]
        if state.piece[k] == 0:
            state.quantity[k] = min(trade.sales[k], 0.0)
        elif at < m.point_start[k + 1] and m.point[PRICE, at] <= m.point[PRICE, at - 1]:
            low = m.point[QUANTITY, at - 1]
            high = m.point[QUANTITY, at]
            state.quantity[k] = min(max(trade.sales[k], low), high)


@compiled
def face(m: Market, state: State, trade: Trade) -> None:
    """At a kink of its graph, a seller turns to the side its gap points to."""
    for k in range(state.price.shape[0]):
        first = m.point_start[k]
        points = m.point_start[k + 1] - first
        piece = state.piece[k]
        short = state.quantity[k] < trade.sales[k]
        while (
            short
            and piece < points
            and state.price[k] >= m.point[PRICE, first + piece]
            and state.quantity[k] >= m.point[QUANTITY, first + piece]
        ):
            piece += 1
        while (
            not short
            and piece > 0
            and state.price[k] <= m.point[PRICE, first + piece - 1]
            and state.quantity[k] <= m.point[QUANTITY, first + piece - 1]
        ):
            piece -= 1
        state.piece[k] = piece


@compiled
def lift_to_floors(m: Market, state: State, trade: Trade, nearest: np.ndarray) -> bool:
    """Sellers at capacity, all of whose buyers pay a floor: raise them to where buyers notice.

    Returns whether any price moved. Without this the market would look indifferent to the price.
    """
    nearest[:] = np.inf
    for a in range(m.arc_seller.shape[0]):
        o = m.arc_seller[a]
        first, last = m.right_start[a], m.right_start[a + 1]
        if trade.arc[RESPONSE, a] > 0.0:
            if trade.arc[SHARE, a] > 0.0:
                nearest[o] = -np.inf
                for r in range(first, last):
                    nearest[m.right[r]] = -np.inf
            continue
        short = m.arc[FLOOR, a] - m.arc[FACTOR, a] * state.price[o] - m.arc[ADDITION, a]
        for r in range(first, last):
            short -= state.price[m.right[r]]
        nearest[o] = min(nearest[o], short / m.arc[FACTOR, a])
        for r in range(first, last):
            nearest[m.right[r]] = min(nearest[m.right[r]], short)
    moved = False
    for k in range(state.price.shape[0]):
        at_capacity = state.piece[k] == m.point_start[k + 1] - m.point_start[k]
        short = state.quantity[k] < trade.sales[k]
        if at_capacity and short and 0.0 < nearest[k] < np.inf:
            state.price[k] += nearest[k]
            moved = True
    return moved


@compiled
def measure(m: Market, theta: float, state: State, trade: Trade, work: Work) -> None:
    """Weigh each seller's price by how its own sales fall with it, t/month per USD/kg."""
    sellers = state.price.shape[0]
    fall_of_sales(m, theta, trade, work.fall, work.vector[0], work.vector[1])
    steepest = 0.0
    highest = theta
    for k in range(sellers):
        steepest = max(steepest, work.fall[k, k])
        highest = max(highest, abs(state.price[k]))
    if steepest == 0.0:
        steepest = max(m.wanted, 1e-300) / highest
    for k in range(sellers):
        own = work.fall[k, k]
        work.weight[k] = own if own > 1e-250 * steepest else 1e-10 * steepest


@compiled
def newton_step(
    m: Market, theta: float, state: State, trade: Trade, work: Work, in_logs: bool
) -> bool:
    """Write the Newton step of every seller along its graph into `work.step`; False if not finite.

    Sales answer prices nearly as an exponential does, so where that gives the shorter way down or
    the longer way up, a seller's gap is closed in logarithms (`in_logs`).
    """
    sellers = state.price.shape[0]
    by_price, by_quantity = work.vector[2], work.vector[3]
    count = 0
    free_origins = 0
    rent = 0.0
    for k in range(sellers):
        by_price[k], by_quantity[k] = slopes(
            m.point, m.point_start[k], m.point_start[k + 1], state.piece[k], work.weight[k]
        )
        if by_price[k] > 0.0:
            work.free[count] = k
            count += 1
            free_origins += k < m.origins
        if k >= m.origins:
            rent = max(rent, state.price[k])
    most = work.vector[0]
    for i in range(count):
        k = work.free[i]
        for n in range(count):
            work.matrix[i, n] = work.fall[k, work.free[n]] * by_price[work.free[n]]
        own = max(work.matrix[i, i], work.weight[k] * by_price[k])
        sold, offered = trade.sales[k], state.quantity[k]
        gap = sold - offered
        ratio = 1.0
        if in_logs and sold > 0.0 and offered > 0.0:
            logarithmic = sold * np.log(sold / offered)
            if logarithmic / (own + by_quantity[k] * (sold / offered)) > gap / (
                own + by_quantity[k]
            ):
                ratio = sold / offered
                gap = logarithmic
        work.right[i] = gap
        work.matrix[i, i] = own + ratio * by_quantity[k] + RIDGE
        most[i] = (rent + 3.0 * theta) / by_price[k]
    solve_linear(work.matrix, work.right, count, free_origins, most)
    for k in range(sellers):
        work.step[k] = trade.sales[k] - state.quantity[k]
        if by_price[k] == 0.0:
            for i in range(count):
                n = work.free[i]
                work.step[k] -= work.fall[k, n] * by_price[n] * work.right[i]
    for i in range(count):
        work.step[work.free[i]] = work.right[i]
    sound = True
    for k in range(sellers):
        sound &= np.isfinite(work.step[k])
    return sound


@compiled
def walk(
    m: Market,
    theta: float,
    blur: float,
    start: State,
    work: Work,
    length: float,
    end: State,
    trade: Trade,
) -> None:
    """Move every seller `length` of its step along its graph, from `start` to `end`, and look."""
    for k in range(start.price.shape[0]):
        end.piece[k], end.price[k], end.quantity[k] = move(
            m.point,
            m.point_start[k],
            m.point_start[k + 1],
            start.piece[k],
            start.price[k],
            start.quantity[k],
            work.weight[k],
            length * work.step[k],
        )
    look(m, theta, blur, end, trade)


@compiled
def copy_state(source: State, target: State) -> None:
    for k in range(source.price.shape[0]):
        target.piece[k] = source.piece[k]
        target.price[k] = source.price[k]
        target.quantity[k] = source.quantity[k]


@compiled
def pull_of(gap: np.ndarray, state: State, trial: State, trade: Trade) -> float:
    """What is left, after a move, of the gaps' pull along it: 1 all, 0 none, below 0 too far.

    With specific wedges excess supply is the gradient of a convex function, and the pull its slope
    along the move, so a move that leaves some pull has gone down it.
    """
    before = 0.0
    after = 0.0
    for k in range(state.price.shape[0]):
        change = trial.price[k] - state.price[k]
        before += gap[k] * change
        after += (trial.quantity[k] - trade.sales[k]) * change
    return after / before if before < 0.0 else -10.0


@compiled
def search(
    m: Market,
    theta: float,
    blur: float,
    state: State,
    trial: State,
    trade: Trade,
    work: Work,
    merit: float,
    near: bool,
    trials: int,
) -> bool:
    """Find how far to walk along a step; the accepted end is in `trial` and `trade`.

    Looks for where the pull along the step has fallen to half or less without turning round, by
    regula falsi and bisection in turn.
    """
    length = 1.0
    low = 0.0
    high = np.inf
    pull_low = 1.0
    pull_high = -1.0
    for n in range(trials):
        walk(m, theta, blur, state, work, length, trial, trade)
        if near and merit_of(trial, trade) <= 0.25 * merit:
            return True
        pull = pull_of(work.gap, state, trial, trade)
        if -0.05 <= pull <= 0.5:
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
        if high - low <= 1e-14 * high:
            break
    if low == 0.0:
        return False
    walk(m, theta, blur, state, work, low, trial, trade)
    return True


@compiled
def shrink(
    m: Market,
    theta: float,
    blur: float,
    state: State,
    trial: State,
    trade: Trade,
    work: Work,
    merit: float,
    trials: int,
) -> bool:
    """Walk along a step as far as the sum of squared gaps falls; whether it does."""
    length = 1.0
    for _ in range(trials):
        walk(m, theta, blur, state, work, length, trial, trade)
        if merit_of(trial, trade) < (1.0 - 1e-3 * length) * merit:
            return True
        length *= 0.4
    return False


@compiled
def sweep(m: Market, theta: float, blur: float, state: State, trade: Trade, work: Work) -> None:
    """Clear each seller by itself, the others' prices held, one after another.

    A seller's gap rises along its graph, so bisection is sure. Slow, and never led astray.
    """
    look(m, theta, blur, state, trade)
    measure(m, theta, state, trade, work)
    for k in range(state.price.shape[0]):
        first, end = m.point_start[k], m.point_start[k + 1]
        look(m, theta, blur, state, trade)
        gap = state.quantity[k] - trade.sales[k]
        span = max(abs(gap), 1e-12 * trade.sales[k])
        if gap == 0.0:
            continue
        piece, price, quantity = state.piece[k], state.price[k], state.quantity[k]
        near = 0.0
        far = np.inf
        distance = -gap
        for _ in range(80):
            state.piece[k], state.price[k], state.quantity[k] = move(
                m.point, first, end, piece, price, quantity, work.weight[k], distance
            )
            look(m, theta, blur, state, trade)
            now = state.quantity[k] - trade.sales[k]
            if abs(now) <= 1e-3 * min(span, max(trade.sales[k], abs(state.quantity[k]))):
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
    look(m, theta, blur, state, trade)


@compiled
def rest_idle(m: Market, state: State) -> None:
    """Sellers with no open arc to a buyer sell nothing, at their lowest ask or no rent."""
    idle = np.ones(state.price.shape[0], np.bool_)
    for a in range(m.arc_seller.shape[0]):
        idle[m.arc_seller[a]] = False
        for r in range(m.right_start[a], m.right_start[a + 1]):
            idle[m.right[r]] = False
    for k in range(state.price.shape[0]):
        if idle[k]:
            state.piece[k] = 0
            state.price[k] = m.point[PRICE, m.point_start[k]]
            state.quantity[k] = 0.0


@compiled
def newton(
    m: Market,
    theta: float,
    blur: float,
    state: State,
    trial: State,
    trade: Trade,
    work: Work,
    tolerance: float,
    sweeps: int,
) -> tuple[int, float]:
    """Damped Newton from `state`, which it moves. Returns (iterations, residual).

    A poor step is tried again without logarithms, then by the sum of squared gaps, then, up to
    `sweeps` times, replaced by a sweep.
    """
    rest_idle(m, state)
    look(m, theta, blur, state, trade)
    iteration = 0
    extra = 0
    while True:
        residual = residual_of(m, state, trade)
        if residual <= POLISHED or iteration >= MOST_STEPS or extra == 2:
            return iteration, residual
        done = residual <= tolerance
        extra += done
        face(m, state, trade)
        if blur == 0.0 and lift_to_floors(m, state, trade, work.gap):
            evaluate(m, theta, blur, state.price, trade)
        merit = merit_of(state, trade)
        for k in range(state.price.shape[0]):
            work.gap[k] = state.quantity[k] - trade.sales[k]
        measure(m, theta, state, trade, work)
        accepted = False
        for attempt in range(3):
            if attempt < 2 and not newton_step(m, theta, state, trade, work, attempt == 0):
                continue
            if done or attempt == 2:
                trials = 1 if done else 12
                accepted = shrink(m, theta, blur, state, trial, trade, work, merit, trials)
            else:
                near = residual < 1e-2
                trials = 8 if attempt == 0 else 30
                accepted = search(m, theta, blur, state, trial, trade, work, merit, near, trials)
            if accepted:
                copy_state(trial, state)
                break
            evaluate(m, theta, blur, state.price, trade)
        iteration += 1
        if not done and sweeps > 0 and (not accepted or iteration % 12 == 0):
            sweeps -= 1
            sweep(m, theta, blur, state, trade, work)
        elif not accepted:
            return iteration, residual


@compiled
def start_cold(m: Market, state: State) -> None:
    """Origins at seven tenths of their capacity, no rents."""
    for k in range(state.price.shape[0]):
        state.piece[k] = 1
        state.price[k] = 0.0
        state.quantity[k] = 0.0
        if k < m.origins:
            graph = m.point[:, m.point_start[k] : m.point_start[k + 1]]
            quantity = 0.7 * graph[QUANTITY, -1]
            state.piece[k], state.price[k], state.quantity[k] = place_of(graph, quantity)


@compiled
def start_warm(m: Market, state: State, b: int, warm: Answer) -> None:
    """Sellers as an earlier clearing left them, on today's supply graphs."""
    start_cold(m, state)
    for k in range(state.price.shape[0]):
        graph = m.point[:, m.point_start[k] : m.point_start[k + 1]]
        sold = 0.0
        if k < m.origins:
            price = warm.origin_price[b, m.name[k]]
            for j in range(warm.flow.shape[2]):
                sold += warm.flow[b, m.name[k], j]
        else:
            price = warm.rent[m.name[k]]
        if np.isfinite(price):
            state.piece[k], state.price[k], state.quantity[k] = place_at(graph, price, sold)


@compiled
def spread_of(m: Market, state: State) -> float:
    """A dispersion so wide that sourcing hardly answers prices, USD/kg."""
    low = np.inf
    high = -np.inf
    for a in range(m.arc_seller.shape[0]):
        cost = m.arc[FACTOR, a] * state.price[m.arc_seller[a]] + m.arc[ADDITION, a]
        low = min(low, cost - m.arc[QUALITY, a])
        high = max(high, cost - m.arc[QUALITY, a])
    return max(high - low, m.theta)


@compiled
def ease(m: Market, wedges: float, arc: np.ndarray) -> None:
    """Write arcs with eased wedges and floors: at 0 wedges are specific, and floors are gone."""
    for row in range(arc.shape[0]):
        for a in range(arc.shape[1]):
            arc[row, a] = m.arc[row, a]
    for a in range(m.arc_seller.shape[0]):
        floor = m.arc[FLOOR, a]
        arc[FACTOR, a] = m.arc[FACTOR, a] ** wedges
        arc[FLOOR, a] = floor + np.log(wedges) * abs(floor) if wedges > 0.0 else -np.inf


@compiled
def follow(
    m: Market,
    eased: Market,
    state: State,
    trial: State,
    reached: State,
    trade: Trade,
    work: Work,
    tolerance: float,
    longest: float,
) -> tuple[int, float]:
    """Solve an easy relative of the market, then lead it to the market, each answer a start.

    First with specific wedges, wide dispersion and blurred kinks, where excess supply is the
    gradient of a smooth convex function. From 0 to 1 the wedges and floors come in, from 1 to 2
    dispersion narrows, from 2 to 3 the blur goes; in strides of at most `longest`.
    """
    start_cold(m, state)
    copy_state(state, reached)
    wide = spread_of(m, state)
    iterations = 0
    residual = np.inf
    progress = -1.0
    stride = longest
    while progress < 3.0 and stride > 1e-4:
        first = progress < 0.0
        ahead = 0.0 if first else min(progress + stride, np.floor(progress) + 1.0)
        ease(m, min(ahead, 1.0), eased.arc)
        theta = m.theta if ahead >= 2.0 else wide * (m.theta / wide) ** max(ahead - 1.0, 0.0)
        blur = 0.3 * theta * 10.0 ** (-9.0 * max(ahead - 2.0, 0.0)) if ahead < 3.0 else 0.0
        goal = tolerance if ahead == 3.0 else 1e-3 if longest > 0.3 else 1e-8
        sweeps = 8 if first or longest < 0.3 else 2
        more, residual = newton(eased, theta, blur, state, trial, trade, work, goal, sweeps)
        iterations += more
        if residual <= goal or first:
            copy_state(state, reached)
            progress = ahead
            stride = longest if first else min(stride * 1.5, longest)
        else:
            copy_state(reached, state)
            stride *= 0.4
    return iterations, residual if progress == 3.0 else max(residual, 1.0)


@compiled
def open_market(problem: ProblemArrays, b: int, limits: np.ndarray) -> Market:
    """Gather market `b`: sellers with something to sell, destinations that want it, open arcs.

    `limits` holds the numbers of this market's limits; one of zero closes its arcs.
    """
    origins, destinations = problem.arc.shape[2], problem.arc.shape[3]
    limit_count = limits.shape[0]
    uses = np.zeros((origins, destinations), np.int64)  # rights an arc needs; < 0 closed
    for g in limits:
        for row in range(problem.limit_offset[g], problem.limit_offset[g + 1]):
            i, j = problem.limit_arc[0, row], problem.limit_arc[1, row]
            uses[i, j] += 1 if problem.limit[g] > 0.0 else -limit_count - 1
    seller = np.full(origins, -1, np.int64)
    name = np.empty(origins + limit_count, np.int64)
    firms = problem.firm_offset[b, origins] - problem.firm_offset[b, 0]
    point_start = np.zeros(origins + limit_count + 1, np.int64)
    point = np.empty((2, 2 * firms + 2 * limit_count + 2))
    count = 0
    for i in range(origins):
        first, last = problem.firm_offset[b, i], problem.firm_offset[b, i + 1]
        begin = point_start[count]
        length = draw_supply(
            problem.firm, problem.ask_order[2 * first : 2 * last], point[:, begin:]
        )
        if length > 0:
            seller[i] = count
            name[count] = i
            count += 1
            point_start[count] = begin + length
    first_right = count
    for g in limits:
        if problem.limit[g] > 0.0:
            begin = point_start[count]
            point[:, begin : begin + 2] = 0.0
            point[QUANTITY, begin + 1] = problem.limit[g]
            name[count] = g
            count += 1
            point_start[count] = begin + 2
    destination = np.empty(destinations, np.int64)
    arc_start = np.zeros(destinations + 1, np.int64)
    number = np.full((origins, destinations), -1, np.int64)
    most = origins * destinations
    arc_seller = np.empty(most, np.int64)
    arc = np.empty((4, most))
    right_start = np.zeros(most + 1, np.int64)
    theta = problem.dispersion[b]
    served = 0
    arcs = 0
    all_wanted = 0.0
    for j in range(destinations):
        wanted = 0.0
        for h in range(problem.term.shape[3]):
            wanted += problem.term[NEED, b, j, h]
        for n in range(problem.bid.shape[3]):
            wanted += problem.bid[BID, b, j, n]
        if wanted <= 0.0:
            continue
        all_wanted += wanted
        for i in range(origins):
            weight = problem.arc[QUALITY, b, i, j]
            if seller[i] < 0 or uses[i, j] < 0 or weight == -np.inf:
                continue
            number[i, j] = arcs
            arc_seller[arcs] = seller[i]
            arc[FACTOR, arcs] = problem.arc[FACTOR, b, i, j]
            arc[ADDITION, arcs] = problem.arc[ADDITION, b, i, j]
            floor = problem.arc[FLOOR, b, i, j]
            arc[FLOOR, arcs] = floor if floor > 0.0 else -np.inf
            arc[QUALITY, arcs] = theta * weight
            right_start[arcs + 1] = right_start[arcs] + uses[i, j]
            arcs += 1
        if arcs > arc_start[served]:
            destination[served] = j
            served += 1
            arc_start[served] = arcs
    right = np.empty(right_start[arcs], np.int64)
    filled = np.zeros(arcs, np.int64)
    for k in range(first_right, count):
        for row in range(problem.limit_offset[name[k]], problem.limit_offset[name[k] + 1]):
            a = number[problem.limit_arc[0, row], problem.limit_arc[1, row]]
            if a >= 0:
                right[right_start[a] + filled[a]] = k
                filled[a] += 1
    term = np.empty((5, served, problem.term.shape[3]))
    bid = np.empty((3, served, problem.bid.shape[3]))
    for d in range(served):
        # Loops: an assignment of slices would compile its error text as well, for seconds.
        for row in range(term.shape[0]):
            for h in range(term.shape[2]):
                term[row, d, h] = problem.term[row, b, destination[d], h]
        for row in range(bid.shape[0]):
            for n in range(bid.shape[2]):
                bid[row, d, n] = problem.bid[row, b, destination[d], n]
    return Market(
        theta,
        all_wanted,
        first_right,
        name[:count],
        destination[:served],
        point_start[: count + 1],
        point,
        arc_start[: served + 1],
        arc_seller[:arcs],
        arc[:, :arcs].copy(),
        right_start[: arcs + 1],
        right,
        term,
        bid,
    )


@compiled
def with_arcs(m: Market, arc: np.ndarray) -> Market:
    """The same market with other arcs."""
    return Market(
        m.theta, m.wanted, m.origins, m.name, m.destination, m.point_start, m.point, m.arc_start,
        m.arc_seller, arc, m.right_start, m.right, m.term, m.bid,
    )  # fmt: skip


@compiled
def empty_state(sellers: int) -> State:
    return State(np.zeros(sellers, np.int64), np.zeros(sellers), np.zeros(sellers))


@compiled
def solve_market(
    m: Market, b: int, warm: Answer, warmed: bool, state: State, trade: Trade, tolerance: float
) -> tuple[int, float, bool]:
    """Newton from the start given, else from a cold one, else along a path."""
    sellers = state.price.shape[0]
    trial = empty_state(sellers)
    work = Work(
        np.empty((sellers, sellers)),
        np.empty((sellers, sellers)),
        np.empty((4, sellers)),
        np.empty(sellers),
        np.empty(sellers),
        np.empty(sellers),
        np.empty(sellers),
        np.empty(sellers, np.int64),
    )
    iterations = 0
    residual = np.inf
    for cold in range(0 if warmed else 1, 2):
        if cold:
            start_cold(m, state)
        else:
            start_warm(m, state, b, warm)
        more, residual = newton(m, m.theta, 0.0, state, trial, trade, work, tolerance, cold)
        iterations += more
        if residual <= tolerance:
            return iterations, residual, False
    reached = empty_state(sellers)
    eased = with_arcs(m, m.arc.copy())
    for longest in (0.5, 0.15, 0.04):
        more, residual = follow(m, eased, state, trial, reached, trade, work, tolerance, longest)
        iterations += more
        if residual <= tolerance:
            break
    return iterations, residual, True


@entry
def solve_batch(
    problem: ProblemArrays,
    limits: np.ndarray,
    limits_from: np.ndarray,
    warm: Answer,
    answer: Answer,
    tolerance: float,
) -> None:
    """Clear every market of the batch into `answer`; `warm` is an earlier answer or empty."""
    markets = problem.arc.shape[1]
    warmed = warm.origin_price.shape[0] == markets
    for b in range(markets):
        m = open_market(problem, b, limits[limits_from[b] : limits_from[b + 1]])
        sellers = m.name.shape[0]
        state = empty_state(sellers)
        trade = Trade(
            np.zeros(m.arc.shape), np.zeros((3, m.destination.shape[0])), np.zeros(sellers)
        )
        answer.iterations[b], answer.residual[b], answer.fell_back[b] = solve_market(
            m, b, warm, warmed, state, trade, tolerance
        )
        evaluate(m, m.theta, 0.0, state.price, trade)
        write_answer(problem, b, m, state, trade, answer)


@compiled
def write_answer(
    problem: ProblemArrays, b: int, m: Market, state: State, trade: Trade, answer: Answer
) -> None:
    """Copy one solved market into the batch's arrays."""
    for k in range(m.name.shape[0]):
        if k >= m.origins:
            answer.rent[m.name[k]] = state.price[k]
            continue
        i = m.name[k]
        answer.origin_price[b, i] = state.price[k]
        firms = slice(problem.firm_offset[b, i], problem.firm_offset[b, i + 1])
        share_out(
            m, k, state.piece[k], state.quantity[k], problem.firm[:, firms], answer.sales[firms]
        )
    for d in range(m.destination.shape[0]):
        j = m.destination[d]
        answer.landed_price[b, j] = trade.place[LANDED, d]
        answer.demand[b, j] = trade.place[DEMAND, d]
        paid = 0.0
        for a in range(m.arc_start[d], m.arc_start[d + 1]):
            price = m.arc[FACTOR, a] * state.price[m.arc_seller[a]] + m.arc[ADDITION, a]
            for r in range(m.right_start[a], m.right_start[a + 1]):
                price += state.price[m.right[r]]
            price = max(price, m.arc[FLOOR, a])
            i = m.name[m.arc_seller[a]]
            answer.flow[b, i, j] = trade.arc[FLOW, a]
            answer.delivered_price[b, i, j] = price
            paid += price * trade.arc[SHARE, a]
        answer.average_price[b, j] = paid
