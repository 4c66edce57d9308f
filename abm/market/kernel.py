"""The compiled solver: supply and demand curves, Newton's method on one market, the batch loop.

All compiled functions but the elementary ones live in this one file, because Numba's cache notices
a change of a function's own file only: spread over files, an edit could run yesterday's machine
code.

Supply is a *graph*, a chain of points rising in price and quantity: upright where a firm offers
all it has at one price, level where nobody answers a higher price. A place on it is a piece, a
price and a quantity, so that steps and capacity limits are met exactly and not to the rounding of
a price. With a start at hand the graph of an origin of many firms is drawn around the start's price
only, since few asks lie there to be sorted; whole as soon as a step leads out of what was drawn.

Sellers are the origins, and the holders of rights under a limit: a limit of Q tonnes is a seller of
rights who offers up to Q at no charge and not a tonne more at any price, so its price is the rent.
The market clears when each seller sells what it offers at its place on its graph. Newton steps are
taken along the graphs, measured by the market's own slope.

Markets that share a limit form a *cluster* and are solved as one; most clusters are one market.
A cluster is gathered on a `Desk`, memory that one thread uses for all of its clusters in turn:
nothing is allocated while markets are solved.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model
from numba.np.arrayobj import make_array, populate_array

from abm.arithmetic import exponential, logarithm
from abm.compilation import PART, fused

# Division by zero gives infinity, as in NumPy: no branch to raise from in every loop.
# Only the entries are called from Python; the rest are parts of them, and in no cache.
entry = njit(cache=True, error_model="numpy", nogil=True, no_cfunc_wrapper=True, _nrt=False)
compiled = njit(**PART)
# Sums over a row may be taken in any order, too: several terms at a time. The loops run over
# slices, for an index that might count from the end is worked out term by term.
rowwise = njit(fastmath={"contract", "reassoc", "nsz"}, **PART)

# Isoelastic demand runs on as its tangent below this fraction of the reference price, so that it
# is finite and falling at every price, also at zero and below.
TANGENT_BELOW = 0.01
NARROWEST_RAMP = 1e-3  # least width of a ramp of demand, relative to its price
REDUNDANT = 1e-9  # a pivot below this means that the rights before it do the same work
RUN = 64  # asks that are sorted by counting
FEW = 16  # asks up to which each is put between those before it
MANY = 256  # asks from which on they are sorted digit by digit
DIGIT_BITS, DIGITS = 11, 6  # of a price's 64 bits
MOST_DIGIT = (1 << DIGIT_BITS) - 1
RIDGE = 1e-13  # least pivot of the normalised derivative
SEVERAL = 8  # firms from which on it pays to draw a part only
CUT_BELOW, CUT_ABOVE = 1, 2  # sides on which a drawn graph ends before the whole one
VECTOR = 8  # numbers that are worked out at a time
LANES = 2 * VECTOR  # columns of a system that are

# Entries of `Desk.size`.
SELLERS, ORIGINS, PLACES, ARCS, FLOORS, MARKETS, RESTRICTED = 0, 1, 2, 3, 4, 5, 6
# Rows of `Desk.point`, and of each term of `Desk.term` and bid of `Desk.bid`.
PRICE, QUANTITY = 0, 1
NEED, REFERENCE, ELASTICITY, BACKSTOP, FADING = 0, 1, 2, 3, 4
BID, BID_LOW, BID_WIDTH = 0, 1, 2
TERM_ROWS, BID_ROWS = 5, 3
# Where a seller is on its supply graph, and where it might go: added to rows SELLER_...
HERE, TRIAL = np.int64(0), np.int64(1)  # not literals, each of which would be compiled for
# Rows of `Desk.link`: by seller; free sellers in turn; by place; by arc under limits.
NAME, POINT_START, SELLER_MARKET, NUMBER, SELLER_PIECE = 0, 1, 2, 3, 4  # and 5 for TRIAL
ROW_START, FIRST_PLACE, LAST_PLACE, OPEN, FREE = 6, 7, 8, 9, 10
DESTINATION, PLACE_MARKET = 11, 12
ARC, ARC_SELLER, ARC_PLACE, RIGHT_START = 13, 14, 15, 16
POINT_END, CUT, FIRST_FIRM, LAST_FIRM = 17, 18, 19, 20  # by seller, the latter two of origins
# Rows of `Desk.value`: by arc, those of a seller together; by place; by seller; by number among the
# free sellers. A right has a row of SHARE and PULL too, the sums over its arcs to each place.
FACTOR, ADDITION, FLOOR, QUALITY, SHARE, RESPONSE, PULL = 0, 1, 2, 3, 4, 5, 6
THETA, OWN_THETA, INVERSE, TOP, TOTAL, LANDED, DEMAND, SLOPE, SWAP, REST, ROW = (
    7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
)  # fmt: skip
SELLER_PRICE, SELLER_QUANTITY = 18, 20  # and 19, 21 for TRIAL
SALES, GAP, WEIGHT, STEP, BY_PRICE, DEARER, OWN, SWAPPED = 22, 23, 24, 25, 26, 27, 28, 29
RIGHT, EXTRA, MOST, PIVOT = 30, 31, 32, 33
LINK_ROWS, VALUE_ROWS = 21, 34


class Batch(NamedTuple):
    """`Problem` for the compiled code. Axes as there; C clusters."""

    capacity: np.ndarray  # [F]
    low_ask: np.ndarray  # [F]
    high_ask: np.ndarray  # [F]
    need: np.ndarray  # [B, J, H]
    reference_price: np.ndarray  # [B, J, H]
    elasticity: np.ndarray  # [B, J, H]
    backstop_price: np.ndarray  # [B, J, H]
    choke_price: np.ndarray  # [B, J, H]
    bid_quantity: np.ndarray  # [B, J, N]
    bid_low: np.ndarray  # [B, J, N]
    bid_high: np.ndarray  # [B, J, N]
    log_weight: np.ndarray  # [B, I, J]
    dispersion: np.ndarray  # [B]
    price_factor: np.ndarray  # [B, I, J]
    price_addition: np.ndarray  # [B, I, J]
    floor_price: np.ndarray  # [B, I, J]
    limit: np.ndarray  # [G]
    firm_offset: np.ndarray  # [B, I+1]
    limit_offset: np.ndarray  # [G+1]
    limit_arc: np.ndarray  # [3, A] market, origin, destination
    cluster_market: np.ndarray  # [B] the markets, cluster by cluster
    market_from: np.ndarray  # [C+1] into cluster_market
    cluster_limit: np.ndarray  # [G] the limits, cluster by cluster
    limit_from: np.ndarray  # [C+1] into cluster_limit


class Start(NamedTuple):
    """An earlier clearing; arrays of length zero for none."""

    origin_price: np.ndarray  # [B, I] NaN where unknown
    flow: np.ndarray  # [B, I, J], or [B, I, 1] what each origin sold
    rent: np.ndarray  # [G]


class Answer(NamedTuple):
    """The arrays of `Clearing`, for the compiled code to fill; flows, sales and rents are zero."""

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

    Sized for the largest cluster: S sellers, P places (destinations that want something), R rights
    that arcs need, M markets. An arc joins an origin and a place of one market, closed or not.
    """

    size: np.ndarray  # [7] sellers, origins, places, arcs, arcs with a floor, markets, under limits
    blur: np.ndarray  # [1] USD/kg by which floors and ramps of demand are softened on the way
    volume: np.ndarray  # [2, M] t/month: traded, and the least that counts
    link: np.ndarray  # [21, widest + 1] what refers to what
    value: np.ndarray  # [34, widest] wedges, prices, flows and steps
    right: np.ndarray  # [R] sellers of the rights that each arc under limits needs
    table: np.ndarray  # [M, I, J] rights that an arc needs, below -1 its number among such arcs
    key: np.ndarray  # [2, E] asks of one origin while they are sorted
    event: np.ndarray  # [3, E] 2f is the low ask of firm f, 2f + 1 the high one; lower asks
    tally: np.ndarray  # [6, 2048] how many asks have each digit, and where they go
    point: np.ndarray  # [2, Q] supply graphs: price, quantity
    term: np.ndarray  # [H x 5, P + VECTOR] demand terms, with room for empty places
    bid: np.ndarray  # [N x 3, P + VECTOR]
    side: np.ndarray  # [2, S, P + limits] see `through_places`
    facing: np.ndarray  # [P, S] whole LANES
    matrix: np.ndarray  # [S + P, S + P], rows of whole LANES
    reduced: np.ndarray  # [2, S + P] right-hand side and solution, most of a step


class Held(types.Type):
    """A named tuple of arrays where it lies in memory, passed on as one address.

    Passed on by value every array is seven figures or more to take apart and put together again,
    in each function: half of all that had to be compiled.
    """

    def __init__(self, record: types.NamedTuple) -> None:
        self.record = record
        super().__init__(f"Held({record.name})")


register_model(Held)(models.OpaqueModel)


@infer_getattr
class HeldArrays(AttributeTemplate):
    """The type of an array of a held tuple."""

    key = Held

    def generic_resolve(self, held: Held, name: str) -> types.Type:
        return held.record[held.record.fields.index(name)]


@lower_getattr_generic(Held)
def held_array(context: Any, builder: Any, held: Held, address: Any, name: str) -> Any:
    """Load one array of a held tuple; it is where it was at any time before."""
    record, field = held.record, held.record.fields.index(name)
    start = builder.bitcast(address, context.get_value_type(record).as_pointer())
    array = builder.load(cgutils.gep_inbounds(builder, start, 0, field))
    array.set_metadata("invariant.load", builder.module.add_metadata([]))
    return impl_ret_borrowed(context, builder, record[field], array)


@intrinsic
def held(typing: Any, arrays: types.BaseTuple, named: types.NamedTupleClass) -> Any:
    """The address of a tuple of arrays, to be read by the names of a named tuple.

    Good until the function that asks for it returns. Entries take plain tuples, because looking up
    the class of a named one at each call takes as long as half an evaluation of excess demand.
    """

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = cgutils.alloca_once_value(builder, given[0])
        return builder.bitcast(address, cgutils.voidptr_t)

    return Held(types.NamedTuple(arrays.types, named.instance_class))(arrays, named), build


@intrinsic
def part(
    typing: Any, table: types.Array, row: types.Type, first: types.Type, last: types.Type
) -> Any:
    """Columns `first` to `last` of one row of a table, neither counted from the end.

    As a slice would give, in a few instructions: slices take a third of all compilation.
    """

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        row, first, last = (
            context.cast(builder, number, kind, types.intp)
            for number, kind in zip(given[1:], signature.args[1:], strict=True)
        )
        width = cgutils.unpack_tuple(builder, source.shape)[1]
        begin = builder.add(builder.mul(row, width), first)
        found = make_array(signature.return_type)(context, builder)
        populate_array(
            found,
            data=builder.gep(source.data, [begin], inbounds=True),
            shape=[builder.sub(last, first)],
            strides=[source.itemsize],
            itemsize=source.itemsize,
            meminfo=source.meminfo,
            parent=source.parent,
        )
        return found._getvalue()

    return types.Array(table.dtype, 1, "C")(table, row, first, last), build


@intrinsic
def put(
    typing: Any, table: types.Array, row: types.Type, column: types.Type, number: types.Type
) -> Any:
    """Write a number in a table, row and column not counted from the end."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        cells, width = cells_of(context, builder, signature.args[0], given[0])
        row, column = (
            context.cast(builder, given[n], signature.args[n], types.intp) for n in (1, 2)
        )
        place = builder.add(builder.mul(row, width), column)
        builder.store(given[3], builder.gep(cells, [place], inbounds=True))
        return context.get_dummy_value()

    return types.void(table, row, column, table.dtype), build


@intrinsic
def weighted_sums(
    typing: Any,
    row: types.Array,
    weight: types.Array,
    table: types.Array,
    from_row: types.Type,
    out: types.Array,
    i: types.Type,
    column: types.Type,
) -> Any:
    """Write in row `i` of `out`, in the `LANES` columns from `column` on, weight x row x table.

    The table's rows are counted from `from_row`, as many as `row` has numbers. In vectors of the
    compiler's own, because a loop that keeps so many sums at a time it does not find by itself.
    """

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        (left, numbers), (weights, _), (cells, width), (target, stride) = (
            cells_of(context, builder, signature.args[n], given[n]) for n in (0, 1, 2, 4)
        )
        from_row, i, column = (
            context.cast(builder, given[n], signature.args[n], types.intp) for n in (3, 5, 6)
        )
        vector = ir.VectorType(ir.DoubleType(), VECTOR)
        begin = builder.add(builder.mul(from_row, width), column)
        sums = [cgutils.alloca_once(builder, vector) for _ in range(2)]
        for total in sums:
            builder.store(ir.Constant(vector, [0.0] * vector.count), total)
        with cgutils.for_range(builder, numbers) as loop:
            one, other = (builder.load(builder.gep(n, [loop.index])) for n in (left, weights))
            number = spread_out(builder, builder.fmul(one, other), vector)
            place = builder.add(begin, builder.mul(loop.index, width))
            for half, total in enumerate(sums):
                factor = builder.load(lanes_at(builder, cells, place, half, vector), align=8)
                product = builder.fmul(number, factor, flags=("contract",))
                added = builder.fadd(builder.load(total), product, flags=("contract",))
                builder.store(added, total)
        place = builder.add(builder.mul(i, stride), column)
        for half, total in enumerate(sums):
            at = lanes_at(builder, target, place, half, vector)
            builder.store(builder.load(total), at, align=8)
        return context.get_dummy_value()

    return types.void(row, weight, table, from_row, out, i, column), build


def cells_of(context: Any, builder: Any, kind: types.Array, given: Any) -> tuple[Any, Any]:
    """Where an array's numbers are, and how many there are along its last axis."""
    array = make_array(kind)(context, builder, given)
    return array.data, cgutils.unpack_tuple(builder, array.shape)[-1]


def lanes_at(builder: Any, cells: Any, place: Any, half: int, vector: ir.VectorType) -> Any:
    """The address of one of the vectors that follow each other from a place on."""
    place = builder.add(place, ir.Constant(place.type, half * vector.count))
    return builder.bitcast(builder.gep(cells, [place], inbounds=True), vector.as_pointer())


def spread_out(builder: Any, number: Any, vector: ir.VectorType) -> Any:
    """A vector of nothing but a number."""
    whole, none = ir.IntType(32), ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(none, number, ir.Constant(whole, 0))
    everywhere = ir.Constant(ir.VectorType(whole, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, none, everywhere)


@compiled
def ramp_width(low: float, high: float) -> float:
    """Width of a falling ramp in USD/kg, never so narrow that a price cannot resolve it."""
    return max(high - low, NARROWEST_RAMP * max(abs(low), abs(high)), 1e-300)


@compiled
def whole_vectors(places: int) -> int:
    """So many places, and empty ones up to whole vectors."""
    return (places + VECTOR - 1) & -VECTOR


@compiled
def empty_places(desk: Desk) -> None:
    """Write the places that follow the last one, which want nothing."""
    value, term, bid = desk.value, desk.term, desk.bid
    for d in range(desk.size[PLACES], whole_vectors(desk.size[PLACES])):
        value[LANDED, d] = 1.0
        for h in range(0, term.shape[0], TERM_ROWS):
            term[h + NEED, d], term[h + REFERENCE, d], term[h + ELASTICITY, d] = 0.0, 1.0, 0.0
            term[h + BACKSTOP, d], term[h + FADING, d] = np.inf, 1.0
        for n in range(0, bid.shape[0], BID_ROWS):
            bid[n + BID, d], bid[n + BID_LOW, d], bid[n + BID_WIDTH, d] = 0.0, 0.0, 1.0


@fused
def buy(desk: Desk) -> None:
    """Write demand at every place's landed price, t/month, and its slope.

    The desk's blur (USD/kg) widens ramps to either side; zero gives the market's own demand.
    """
    value, term, bid, blur = desk.value, desk.term, desk.bid, desk.blur[0]
    places = whole_vectors(desk.size[PLACES])
    landed, demand = part(value, LANDED, 0, places), part(value, DEMAND, 0, places)
    slope = part(value, SLOPE, 0, places)
    for d in range(places):
        demand[d] = 0.0
        slope[d] = 0.0
    for h in range(0, term.shape[0], TERM_ROWS):
        need, reference = part(term, h + NEED, 0, places), part(term, h + REFERENCE, 0, places)
        elasticity = part(term, h + ELASTICITY, 0, places)
        backstop = part(term, h + BACKSTOP, 0, places)
        fading = part(term, h + FADING, 0, places)
        for d in range(places):
            price = landed[d]
            ratio = min(price, backstop[d]) / reference[d]
            inside = max(ratio, TANGENT_BELOW)
            more = need[d] * exponential(-elasticity[d] * logarithm(inside))
            steeper = -elasticity[d] * more / (inside * reference[d])
            more *= 1.0 + elasticity[d] * ((inside - ratio) / TANGENT_BELOW)
            width = fading[d] + blur
            left = (backstop[d] + width) - price
            ramp = left / width
            steeper = steeper if price <= backstop[d] else -more / width
            more = more if price <= backstop[d] else more * ramp
            demand[d] += more if left > 0.0 else 0.0
            slope[d] += steeper if left > 0.0 else 0.0
    for n in range(0, bid.shape[0], BID_ROWS):
        quantity, low = part(bid, n + BID, 0, places), part(bid, n + BID_LOW, 0, places)
        wide = part(bid, n + BID_WIDTH, 0, places)
        for d in range(places):
            width = wide[d] + 2.0 * blur
            left = ((low[d] - blur) + width) - landed[d]
            falls = left > 0.0 and landed[d] > low[d] - blur
            demand[d] += quantity[d] * (left / width if falls else 1.0 if left > 0.0 else 0.0)
            slope[d] -= quantity[d] / width if falls else 0.0


@rowwise
def rank(desk: Desk, begin: int, end: int) -> None:
    """Sort a short run of asks from row 0 of `desk.key` and `desk.event` into row 1.

    Each ask goes to where as many are lower, after equal ones before it: no branch to guess.
    """
    key, event = desk.key, desk.event
    ask, lower = part(key, 0, begin, end), part(event, 2, begin, end)
    for n in range(ask.size):
        lower[n] = 0
    fours = ask.size - ask.size % 4
    for m in range(0, fours, 4):
        a, b, c, d = ask[m], ask[m + 1], ask[m + 2], ask[m + 3]
        for n in range(ask.size):
            lower[n] += (a < ask[n]) + (b < ask[n]) + (c < ask[n]) + (d < ask[n])
    for m in range(fours, ask.size):
        a = ask[m]
        for n in range(ask.size):
            lower[n] += a < ask[n]
    for n in range(begin, end):
        event[1, n] = -1
    for n in range(begin, end):
        place = begin + event[2, n]
        while event[1, place] >= 0:
            place += 1
        key[1, place] = key[0, n]
        event[1, place] = event[0, n]


@compiled
def insert(desk: Desk, count: int) -> None:
    """Sort so many asks of row 0 of `desk.key` and `desk.event`, each put between those before."""
    key, event = desk.key, desk.event
    for n in range(1, count):
        ask, what = key[0, n], event[0, n]
        m = n
        while m > 0 and key[0, m - 1] > ask:
            key[0, m], event[0, m] = key[0, m - 1], event[0, m - 1]
            m -= 1
        key[0, m], event[0, m] = ask, what


@compiled
def ordered_bits(price: float) -> int:
    """A whole number for each price, in the same order."""
    bits: Any = np.float64(price + 0.0).view(np.int64)  # the sum makes one of both zeros
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@compiled
def digit_of(bits: int, d: int) -> int:
    """Digit `d` of an ordered number, the last first; the first one has the sign."""
    digit = (bits >> (DIGIT_BITS * d)) & MOST_DIGIT
    return digit ^ ((MOST_DIGIT + 1) >> 1) if d == DIGITS - 1 else digit


@compiled
def sort_by_digits(desk: Desk, count: int) -> int:
    """Sort so many asks of row 0 of `desk.key` and `desk.event`; returns the row that holds them.

    By one digit after the other, the last first, each time in the order found: as long an ask for
    a million as for a thousand.
    """
    key, event, tally = desk.key, desk.event, desk.tally
    for d in range(DIGITS):
        for digit in range(MOST_DIGIT + 1):
            tally[d, digit] = 0
    for n in range(count):
        bits = ordered_bits(key[0, n])
        for d in range(DIGITS):
            tally[d, digit_of(bits, d)] += 1
    source = 0
    for d in range(DIGITS):
        if tally[d, digit_of(ordered_bits(key[source, 0]), d)] == count:
            continue  # all have the same
        place = 0
        for digit in range(MOST_DIGIT + 1):
            here = tally[d, digit]
            tally[d, digit] = place
            place += here
        target = 1 - source
        for n in range(count):
            digit = digit_of(ordered_bits(key[source, n]), d)
            place = tally[d, digit]
            tally[d, digit] = place + 1
            key[target, place] = key[source, n]
            event[target, place] = event[source, n]
        source = target
    return source


@compiled
def sort_asks(
    batch: Batch, desk: Desk, first: int, last: int, low: float, high: float
) -> tuple[int, int]:
    """Sort the asks of firms `first` to `last` from `low` to `high` in `desk.key` and `desk.event`.

    Returns the row that holds them and how many there are. A step has its low ask only, a ramp
    that is under way at `low` asks from there. Few are put in one by one, many sorted by digits,
    others merged from runs sorted by `rank`; equal asks keep the order of the firms.
    """
    capacity, low_ask, high_ask = batch.capacity, batch.low_ask, batch.high_ask
    key, event = desk.key, desk.event
    count = 0
    highest = -np.inf
    sorted_already = True
    for f in range(first, last):
        bottom, top = low_ask[f], high_ask[f]
        if (capacity[f] > 0.0) & (bottom <= high) & ((bottom >= low) | (top > low)):
            bottom = max(bottom, low)
            sorted_already &= bottom >= highest
            key[0, count], event[0, count] = bottom, 2 * f
            count += 1
            highest = bottom
            if (top > bottom) & (top <= high):
                key[0, count], event[0, count] = top, 2 * f + 1
                count += 1
                highest = top
    if sorted_already:
        return 0, count
    if count <= FEW:
        insert(desk, count)
        return 0, count
    if count >= MANY:
        return sort_by_digits(desk, count), count
    for begin in range(0, count, RUN):
        rank(desk, begin, min(begin + RUN, count))
    source = 1
    width = RUN
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


@rowwise
def offered_at(
    batch: Batch, first: int, last: int, low: float, high: float
) -> tuple[float, float, float, float]:
    """What firms `first` to `last` offer just below price `low`, t/month, and those of them who
    offer all they have; what those have who ask more than `high`, and what all have.
    """
    capacity, low_ask = batch.capacity[first:last], batch.low_ask[first:last]
    high_ask = batch.high_ask[first:last]
    offered, complete, everything, beyond = 0.0, 0.0, 0.0, 0.0
    for f in range(capacity.size):
        width = high_ask[f] - low_ask[f]
        complete_here = high_ask[f] <= low if width > 0.0 else low_ask[f] < low
        climbed = min(max((low - low_ask[f]) / (width if width > 0.0 else 1.0), 0.0), 1.0)
        climbed = climbed if width > 0.0 else 1.0 if complete_here else 0.0
        offered += climbed * capacity[f]
        complete += capacity[f] if complete_here else 0.0
        beyond += capacity[f] if high_ask[f] > high else 0.0
        everything += capacity[f]
    return offered, complete, beyond, everything


@compiled
def draw_near(batch: Batch, desk: Desk, k: int, price: float, near: float) -> float:
    """Write the supply graph of seller `k` around a price, to a part `near` of it on either side.

    The whole of it where that saves nothing. Returns the seller's capacity, t/month.
    """
    index, first, last = desk.link, desk.link[FIRST_FIRM, k], desk.link[LAST_FIRM, k]
    low, high = price - near * abs(price), price + near * abs(price)
    if last - first < SEVERAL or not low < price < high:
        return draw_whole(batch, desk, k)
    offered, complete, beyond, everything = offered_at(batch, first, last, low, high)
    low = low if offered > 0.0 else -np.inf
    high = high if beyond > 0.0 else np.inf
    end = draw_supply(batch, desk, k, low, high, offered, complete)
    if end == index[POINT_START, k]:
        return draw_whole(batch, desk, k)
    index[POINT_END, k] = end
    index[CUT, k] = (CUT_BELOW if low > -np.inf else 0) + (CUT_ABOVE if high < np.inf else 0)
    return everything


@compiled
def draw_whole(batch: Batch, desk: Desk, k: int) -> float:
    """Write the whole supply graph of seller `k`; returns its capacity, t/month."""
    index = desk.link
    end = draw_supply(batch, desk, k, -np.inf, np.inf, 0.0, 0.0)
    index[POINT_END, k] = end
    index[CUT, k] = 0
    return desk.point[QUANTITY, end - 1] if end > index[POINT_START, k] else 0.0


@compiled
def draw_supply(
    batch: Batch, desk: Desk, k: int, low: float, high: float, offered: float, complete: float
) -> int:
    """Write the supply graph of seller `k` from price `low` to `high`; returns where it ends.

    At `low` the seller's firms have `offered`, of which `complete` comes from those who offer all
    they have.

    The slope between two points is a running sum kept in two parts (Knuth), since a ramp a
    billion times steeper than its neighbour would otherwise leave its rounding behind.
    """
    low_ask, high_ask, key, event = batch.low_ask, batch.high_ask, desk.key, desk.event
    first_firm, last_firm = desk.link[FIRST_FIRM, k], desk.link[LAST_FIRM, k]
    row, events = sort_asks(batch, desk, first_firm, last_firm, low, high)
    point = desk.point
    begin = desk.link[POINT_START, k]
    end = begin
    slope = 0.0
    lost = 0.0
    climbing = 0
    here = offered
    if offered > 0.0:
        point[PRICE, end] = low
        point[QUANTITY, end] = here
        end += 1
    for n in range(events):
        at = key[row, n]
        f = event[row, n] >> 1
        closes = event[row, n] & 1
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
        # without branches, since which way they go cannot be foreseen
        change = (1.0 - 2.0 * closes) * (capacity / width)
        total = slope + change
        added = total - slope
        lost += (slope - (total - added)) + (change - added)
        slope = total
        climbing += 1 - 2 * closes
        complete += closes * capacity
        if climbing == 0:
            slope = 0.0
            lost = 0.0
            here = max(complete, point[QUANTITY, end - 2])
            point[QUANTITY, end - 1] = here
    if high < np.inf and end > begin and point[PRICE, end - 1] < high:
        if climbing > 0:
            here += (slope + lost) * (high - point[PRICE, end - 1])
        point[PRICE, end] = high
        point[QUANTITY, end] = here
        end += 1
    return end


@compiled
def count_rights(batch: Batch, desk: Desk, c: int) -> None:
    """Write in `table` how many rights each arc of a cluster needs; below zero it is banned."""
    cluster_market, limit, limit_arc = batch.cluster_market, batch.limit, batch.limit_arc
    table, limit_offset = desk.table, batch.limit_offset
    first_market = batch.market_from[c]
    markets = batch.market_from[c + 1] - first_market
    for local in range(markets):
        for i in range(table.shape[1]):
            for j in range(table.shape[2]):
                table[local, i, j] = 0
    for n in range(batch.limit_from[c], batch.limit_from[c + 1]):
        g = batch.cluster_limit[n]
        for row in range(limit_offset[g], limit_offset[g + 1]):
            b, i, j = limit_arc[0, row], limit_arc[1, row], limit_arc[2, row]
            for local in range(markets):
                if cluster_market[first_market + local] == b:
                    table[local, i, j] += 1 if limit[g] > 0.0 else -1_000_000


@compiled
def open_places(batch: Batch, desk: Desk, b: int, local: int, first: int, last: int) -> float:
    """Add the destinations of market `b` that want something and that a seller from `first` to
    `last` may supply; returns what all destinations want.
    """
    need, bid_quantity = batch.need, batch.bid_quantity
    index, value, term, bid = desk.link, desk.value, desk.term, desk.bid
    table, theta = desk.table, batch.dispersion[b]
    all_wanted = 0.0
    d = desk.size[PLACES]
    for j in range(table.shape[2]):
        wanted = 0.0
        for h in range(need.shape[2]):
            wanted += need[b, j, h]
        for n in range(bid_quantity.shape[2]):
            wanted += bid_quantity[b, j, n]
        all_wanted += wanted
        k = first
        while k < last and (
            table[local, index[NAME, k], j] < 0 or batch.log_weight[b, index[NAME, k], j] == -np.inf
        ):
            k += 1
        if wanted <= 0.0 or k == last:
            continue
        index[DESTINATION, d] = j
        index[PLACE_MARKET, d] = local
        value[THETA, d] = theta
        value[OWN_THETA, d] = theta
        for h in range(need.shape[2]):
            wants = need[b, j, h] > 0.0
            backstop = batch.backstop_price[b, j, h] if wants else np.inf
            fading = ramp_width(backstop, batch.choke_price[b, j, h])
            term[TERM_ROWS * h + NEED, d] = need[b, j, h]
            term[TERM_ROWS * h + REFERENCE, d] = batch.reference_price[b, j, h] if wants else 1.0
            term[TERM_ROWS * h + ELASTICITY, d] = batch.elasticity[b, j, h] if wants else 0.0
            term[TERM_ROWS * h + BACKSTOP, d] = backstop
            term[TERM_ROWS * h + FADING, d] = fading if backstop < np.inf else 1.0
        for n in range(bid_quantity.shape[2]):
            low = batch.bid_low[b, j, n]
            bid[BID_ROWS * n + BID, d] = bid_quantity[b, j, n]
            bid[BID_ROWS * n + BID_LOW, d] = low
            bid[BID_ROWS * n + BID_WIDTH, d] = ramp_width(low, batch.bid_high[b, j, n])
        d += 1
    desk.size[PLACES] = d
    return all_wanted


@compiled
def open_row(batch: Batch, desk: Desk, b: int, k: int) -> None:
    """Write the arcs of seller `k` of market `b` to the places that it faces.

    A closed arc has a quality of -inf, and so a share of zero.
    """
    index, begin = desk.link, desk.size[ARCS]
    i, local = index[NAME, k], index[SELLER_MARKET, k]
    first, last = index[FIRST_PLACE, k], index[LAST_PLACE, k]
    needs, weight = desk.table[local, i], batch.log_weight[b, i]
    from_factor, from_addition = batch.price_factor[b, i], batch.price_addition[b, i]
    from_floor = batch.floor_price[b, i]
    end = begin + needs.size  # all destinations first, so that loops run straight
    factor, addition = part(desk.value, FACTOR, begin, end), part(desk.value, ADDITION, begin, end)
    floor, quality = part(desk.value, FLOOR, begin, end), part(desk.value, QUALITY, begin, end)
    theta = batch.dispersion[b]
    for j in range(quality.size):
        quality[j] = theta * weight[j] if needs[j] >= 0 else -np.inf
    for j in range(quality.size):
        factor[j] = from_factor[j]
    for j in range(quality.size):
        addition[j] = from_addition[j]
    for j in range(quality.size):
        has_floor = quality[j] > -np.inf and from_floor[j] > 0.0
        floor[j] = from_floor[j] if has_floor else -np.inf
    end = begin + last - first
    if last - first < needs.size:
        destination = part(index, DESTINATION, first, last)
        for n in range(destination.size):
            j = destination[n]
            factor[n], addition[n], floor[n], quality[n] = (
                factor[j],
                addition[j],
                floor[j],
                quality[j],
            )
    response = part(desk.value, RESPONSE, begin, end)
    usable = 0
    floors = 0
    for n in range(response.size):
        usable += quality[n] > -np.inf
        floors += floor[n] > -np.inf
        response[n] = 1.0
    index[ROW_START, k] = begin
    index[OPEN, k] = usable
    desk.size[ARCS] = end
    desk.size[FLOORS] += floors


@compiled
def number_restricted(desk: Desk, k: int) -> None:
    """List the open arcs of seller `k` that need rights, and write their numbers in `table`."""
    index, begin = desk.link, desk.link[ROW_START, k]
    needs = desk.table[index[SELLER_MARKET, k], index[NAME, k]]
    first, last = index[FIRST_PLACE, k], index[LAST_PLACE, k]
    d = first
    x = desk.size[RESTRICTED]
    some = 0
    for j in range(needs.size):
        some += needs[j] > 0
    if some == 0:
        return
    for j in range(needs.size):
        rights = needs[j]
        needs[j] = -1
        if d == last or index[DESTINATION, d] != j:
            continue
        a = begin + d - first
        if rights > 0 and desk.value[QUALITY, a] > -np.inf:
            needs[j] = x
            index[ARC, x] = a
            index[ARC_SELLER, x] = k
            index[ARC_PLACE, x] = d
            index[RIGHT_START, x + 1] = index[RIGHT_START, x] + rights
            x += 1
        d += 1
    desk.size[RESTRICTED] = x


@compiled
def open_rights(batch: Batch, desk: Desk, c: int) -> None:
    """Add the limits of cluster `c` as sellers of rights to the arcs that need them."""
    limit, limit_arc, limit_offset = batch.limit, batch.limit_arc, batch.limit_offset
    count, index, point, right = desk.size, desk.link, desk.point, desk.right
    first_market = batch.market_from[c]
    k = count[ORIGINS]
    # Until they are filled in, an arc's rights hold -1.
    for r in range(index[RIGHT_START, count[RESTRICTED]]):
        right[r] = -1
    for n in range(batch.limit_from[c], batch.limit_from[c + 1]):
        g = batch.cluster_limit[n]
        if limit[g] <= 0.0:
            continue
        begin = index[POINT_START, k]
        for corner in range(2):
            point[PRICE, begin + corner] = 0.0
            point[QUANTITY, begin + corner] = limit[g] if corner else 0.0
        index[POINT_END, k] = begin + 2
        index[POINT_START, k + 1] = begin + 2
        index[CUT, k] = 0
        index[NAME, k] = g
        index[SELLER_MARKET, k] = -2
        index[FIRST_PLACE, k] = 0
        index[LAST_PLACE, k] = count[PLACES]
        index[ROW_START, k] = count[ARCS] + (k - count[ORIGINS]) * count[PLACES]
        index[OPEN, k] = 0
        for row in range(limit_offset[g], limit_offset[g + 1]):
            local = 0
            while batch.cluster_market[first_market + local] != limit_arc[0, row]:
                local += 1
            before = index[SELLER_MARKET, k]
            index[SELLER_MARKET, k] = local if before == -2 or before == local else -1
            x = desk.table[local, limit_arc[1, row], limit_arc[2, row]]
            if x < 0:
                continue
            r = index[RIGHT_START, x]
            while right[r] >= 0:
                r += 1
            right[r] = k
            index[OPEN, k] += 1
        k += 1
    count[SELLERS] = k


@compiled
def knows(start: Start, batch: Batch) -> bool:
    """Whether there is a start."""
    return start.rent.size == batch.limit.size and start.origin_price.size > 0


@compiled
def open_cluster(batch: Batch, desk: Desk, c: int, start: Start, near: float) -> None:
    """Gather cluster `c` on the desk: sellers with something to sell, places that want it, arcs.

    A limit of zero closes its arcs. Where the start knows a price, supply is drawn `near` it only.
    """
    count, index, offset = desk.size, desk.link, batch.firm_offset
    first_market = batch.market_from[c]
    for n in range(count.size):
        count[n] = 0
    count[MARKETS] = batch.market_from[c + 1] - first_market
    desk.blur[0] = 0.0
    count_rights(batch, desk, c)
    index[POINT_START, 0] = 0
    index[RIGHT_START, 0] = 0
    k = count[SELLERS]
    warm = knows(start, batch)
    for local in range(count[MARKETS]):
        b = batch.cluster_market[first_market + local]
        first_seller = k
        capacity = 0.0
        for i in range(desk.table.shape[1]):
            index[FIRST_FIRM, k] = offset[b, i]
            index[LAST_FIRM, k] = offset[b, i + 1]
            price = start.origin_price[b, i] if warm else np.nan
            capacity += draw_near(batch, desk, k, price, near)
            end = index[POINT_END, k]
            if end == index[POINT_START, k]:
                for j in range(desk.table.shape[2]):
                    desk.table[local, i, j] = -1
                continue
            index[NAME, k] = i
            index[SELLER_MARKET, k] = local
            k += 1
            # of a graph that is drawn in part the whole will find room, too
            all_points = 2 * (offset[b, i + 1] - offset[b, i])
            cut = index[CUT, k - 1] != 0
            index[POINT_START, k] = index[POINT_START, k - 1] + all_points if cut else end
        first_place = count[PLACES]
        all_wanted = open_places(batch, desk, b, local, first_seller, k)
        for seller in range(first_seller, k):
            index[FIRST_PLACE, seller] = first_place
            index[LAST_PLACE, seller] = count[PLACES]
            open_row(batch, desk, b, seller)
            number_restricted(desk, seller)
        # Where next to nothing is traded, a millionth of what could be is the measure.
        desk.volume[1, local] = 1e-6 * min(all_wanted, capacity)
    count[ORIGINS] = k
    empty_places(desk)
    open_rights(batch, desk, c)


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


@rowwise
def appeal(desk: Desk, at: int) -> None:
    """Write in SHARE how cheap every arc is for its buyer, USD/kg: quality less delivered price."""
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    share, price = value[SHARE], value[SELLER_PRICE + at]
    for k in range(count[ORIGINS]):
        begin = index[ROW_START, k]
        end = begin + index[LAST_PLACE, k] - index[FIRST_PLACE, k]
        delivered, factor = part(value, SHARE, begin, end), part(value, FACTOR, begin, end)
        addition = part(value, ADDITION, begin, end)
        here = price[k]
        for d in range(delivered.size):
            delivered[d] = factor[d] * here + addition[d]
    for x in range(count[RESTRICTED]):
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            share[index[ARC, x]] += price[right[r]]
    if count[FLOORS] > 0:
        for a in range(count[ARCS]):
            share[a], value[RESPONSE, a] = floored(share[a], value[FLOOR, a], desk.blur[0])
    delivered, quality = part(value, SHARE, 0, count[ARCS]), part(value, QUALITY, 0, count[ARCS])
    for a in range(delivered.size):
        delivered[a] = quality[a] - delivered[a]


@rowwise
def spread(desk: Desk) -> None:
    """Turn the appeal of arcs in SHARE into shares of each place's demand, and write that."""
    count, index, value = desk.size, desk.link, desk.value
    places = count[PLACES]
    top, total = part(value, TOP, 0, places), part(value, TOTAL, 0, places)
    inverse, landed = part(value, INVERSE, 0, places), part(value, LANDED, 0, places)
    theta, own_theta = part(value, THETA, 0, places), part(value, OWN_THETA, 0, places)
    for d in range(places):
        top[d] = -np.inf
        total[d] = 0.0
        inverse[d] = 1.0 / theta[d]
    for k in range(count[ORIGINS]):
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        share, highest = (
            part(value, SHARE, begin, begin + last - first),
            part(value, TOP, first, last),
        )
        for d in range(share.size):
            highest[d] = max(highest[d], share[d])
    for k in range(count[ORIGINS]):
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        share, highest = (
            part(value, SHARE, begin, begin + last - first),
            part(value, TOP, first, last),
        )
        scale, added = part(value, INVERSE, first, last), part(value, TOTAL, first, last)
        for d in range(share.size):
            share[d] = exponential((share[d] - highest[d]) * scale[d])
            added[d] += share[d]
    for d in range(places):
        landed[d] = -top[d] - theta[d] * logarithm(total[d])
        inverse[d] = 1.0 / total[d]
    for d in range(places):
        if theta[d] != own_theta[d]:  # widened on the way: must not make everything seem cheap
            landed[d] += (theta[d] - own_theta[d]) * np.log(open_arcs_to(desk, d))
    buy(desk)
    for k in range(count[ORIGINS]):
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        share, scale = (
            part(value, SHARE, begin, begin + last - first),
            part(value, INVERSE, first, last),
        )
        demand = part(value, DEMAND, first, last)
        sold = 0.0
        for d in range(share.size):
            share[d] *= scale[d]
            sold += share[d] * demand[d]
        value[SALES, k] = sold


@compiled
def open_arcs_to(desk: Desk, d: int) -> float:
    """How many open arcs place `d` has."""
    index = desk.link
    arcs = 0.0
    for k in range(desk.size[ORIGINS]):
        if index[FIRST_PLACE, k] <= d < index[LAST_PLACE, k]:
            a = index[ROW_START, k] + d - index[FIRST_PLACE, k]
            arcs += desk.value[QUALITY, a] > -np.inf
    return arcs


@compiled
def look(desk: Desk, at: int) -> None:
    """Write what buyers do at the seller prices of place `at` (origin prices, then rents).

    Sellers on a step then sell what is asked of them, as far as it reaches.
    """
    count, index, value, point = desk.size, desk.link, desk.value, desk.point
    sales = value[SALES]
    appeal(desk, at)
    spread(desk)
    for k in range(count[ORIGINS], count[SELLERS]):
        sales[k] = 0.0
    for x in range(count[RESTRICTED]):
        flow = value[SHARE, index[ARC, x]] * value[DEMAND, index[ARC_PLACE, x]]
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            sales[desk.right[r]] += flow
    for k in range(count[SELLERS]):
        corner = index[POINT_START, k] + index[SELLER_PIECE + at, k]
        if index[SELLER_PIECE + at, k] == 0:
            value[SELLER_QUANTITY + at, k] = min(sales[k], 0.0)
        elif corner < index[POINT_END, k] and point[PRICE, corner] <= point[PRICE, corner - 1]:
            low, high = point[QUANTITY, corner - 1], point[QUANTITY, corner]
            value[SELLER_QUANTITY + at, k] = min(max(sales[k], low), high)


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
        offered = 0.0
        for k in range(count[ORIGINS]):
            if index[SELLER_MARKET, k] == b:
                bought += sales[k]
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
        points = index[POINT_END, k] - first
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
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    nearest, price, short = value[STEP], value[SELLER_PRICE], value[PULL]
    for k in range(count[SELLERS]):
        nearest[k] = np.inf
    for a in range(count[ARCS]):
        short[a] = value[FLOOR, a] - value[ADDITION, a]
    for x in range(count[RESTRICTED]):
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            short[index[ARC, x]] -= price[right[r]]
    for k in range(count[ORIGINS]):
        begin = index[ROW_START, k]
        for a in range(begin, begin + index[LAST_PLACE, k] - index[FIRST_PLACE, k]):
            short[a] -= value[FACTOR, a] * price[k]
            if value[RESPONSE, a] <= 0.0:
                nearest[k] = min(nearest[k], short[a] / value[FACTOR, a])
            elif value[SHARE, a] > 0.0:
                nearest[k] = -np.inf
    for x in range(count[RESTRICTED]):
        a = index[ARC, x]
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            if value[RESPONSE, a] <= 0.0:
                nearest[right[r]] = min(nearest[right[r]], short[a])
            elif value[SHARE, a] > 0.0:
                nearest[right[r]] = -np.inf
    moved = False
    for k in range(count[SELLERS]):
        pieces = index[POINT_END, k] - index[POINT_START, k]
        short_of_goods = value[SELLER_QUANTITY, k] < value[SALES, k]
        if index[SELLER_PIECE, k] == pieces and short_of_goods and 0.0 < nearest[k] < np.inf:
            price[k] += nearest[k]
            moved = True
    return moved


@rowwise
def answer_prices(desk: Desk) -> None:
    """Write how landed prices answer each seller's (PULL), and its own sales (OWN, SWAPPED).

    Per dollar on seller n, the sales of seller k change by the sum over places of REST x SHARE of k
    x PULL of n, less SWAP x PULL on the arcs that both are paid for.
    """
    count, index, value = desk.size, desk.link, desk.value
    places, arcs = count[PLACES], count[ARCS]
    swap, rest = part(value, SWAP, 0, places), part(value, REST, 0, places)
    demand, slope = part(value, DEMAND, 0, places), part(value, SLOPE, 0, places)
    theta = part(value, THETA, 0, places)
    for d in range(places):
        swap[d] = demand[d] / theta[d]
        rest[d] = swap[d] + slope[d]
    share, response = part(value, SHARE, 0, arcs), part(value, RESPONSE, 0, arcs)
    factor, pull = part(value, FACTOR, 0, arcs), part(value, PULL, 0, arcs)
    for a in range(arcs):
        pull[a] = share[a] * response[a] * factor[a]
    if count[SELLERS] > count[ORIGINS]:
        gather_rights(desk)
    for k in range(count[SELLERS]):
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        end = begin + last - first
        by_share, by_pull = part(value, SHARE, begin, end), part(value, PULL, begin, end)
        swaps, rests = part(value, SWAP, first, last), part(value, REST, first, last)
        swapped = 0.0
        own = 0.0
        for d in range(by_pull.size):
            swapped += swaps[d] * by_pull[d]
            own += (swaps[d] - rests[d] * by_share[d]) * by_pull[d]
        value[SWAPPED, k] = swapped
        value[OWN, k] = own


@compiled
def gather_rights(desk: Desk) -> None:
    """Write the rows of rights: sums over the arcs that need them."""
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    arcs = count[ARCS]
    end = arcs + (count[SELLERS] - count[ORIGINS]) * count[PLACES]
    wipe(part(value, SHARE, arcs, end))
    wipe(part(value, PULL, arcs, end))
    for x in range(count[RESTRICTED]):
        a, d = index[ARC, x], index[ARC_PLACE, x]
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            at = index[ROW_START, right[r]] + d
            value[SHARE, at] += value[SHARE, a]
            value[PULL, at] += value[SHARE, a] * value[RESPONSE, a]


@compiled
def weigh(desk: Desk) -> None:
    """Weigh each seller's price by how its own sales fall with it, t/month per USD/kg."""
    count, value = desk.size, desk.value
    answer_prices(desk)
    wanted = 0.0
    steepest = 0.0
    highest = 1e-300
    for d in range(count[PLACES]):
        highest = max(highest, value[THETA, d])
        wanted += value[DEMAND, d]
    for k in range(count[SELLERS]):
        steepest = max(steepest, value[OWN, k])
        highest = max(highest, abs(value[SELLER_PRICE, k]))
    if steepest == 0.0:
        for b in range(count[MARKETS]):
            wanted = max(wanted, 1e6 * desk.volume[1, b])
        steepest = max(wanted, 1e-300) / highest
    for k in range(count[SELLERS]):
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
        if at == index[POINT_END, k]:
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
def wipe(row: np.ndarray) -> None:
    """Zero a row."""
    fill(row, 0.0)


@compiled
def fill(row: np.ndarray, number: float) -> None:
    """Write the same number all along a row."""
    for n in range(row.size):
        row[n] = number


@rowwise
def dot(left: np.ndarray, right: np.ndarray) -> float:
    """The sum of products of two rows of one length."""
    total = 0.0
    for n in range(left.size):
        total += left[n] * right[n]
    return total


@rowwise
def subtract(row: np.ndarray, part: float, other: np.ndarray) -> None:
    """Take a multiple of another row of the same length away from a row."""
    for n in range(row.size):
        row[n] -= part * other[n]


@rowwise
def face_places(desk: Desk, free: int) -> None:
    """Write in `facing` how each place's landed price falls along each free seller's graph.

    Columns behind the last of them hold anything: nothing reads what becomes of those.
    """
    index, value, facing = desk.link, desk.value, desk.facing
    if desk.size[MARKETS] > 1:
        for d in range(desk.size[PLACES]):
            wipe(part(facing, d, 0, facing.shape[1]))
    for n in range(free):
        k = index[FREE, n]
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        pull, less = part(value, PULL, begin, begin + last - first), -value[BY_PRICE, k]
        for d in range(pull.size):
            put(facing, first + d, n, less * pull[d])


@rowwise
def among_sellers(desk: Desk, free: int) -> None:
    """Write the system with a row for each free seller: how sales fall along each other's graphs.

    Per place: demand/theta x diag(shares) - (demand/theta + slope) shares shares', gathered over
    the sellers that each arc pays.
    """
    index, value, matrix, rights = desk.link, desk.value, desk.matrix, desk.right
    face_places(desk, free)
    for i in range(free):
        k = index[FREE, i]
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        share, rest = (
            part(value, SHARE, begin, begin + last - first),
            part(value, REST, first, last),
        )
        for n in range(0, free, LANES):
            weighted_sums(share, rest, desk.facing, first, matrix, i, n)
        matrix[i, i] = value[EXTRA, i] + value[OWN, k] * value[BY_PRICE, k]
        desk.reduced[0, i] = value[RIGHT, i]
        desk.reduced[1, i] = value[MOST, i]
    for x in range(desk.size[RESTRICTED]):
        a, k = index[ARC, x], index[ARC_SELLER, x]
        o = index[NUMBER, k]
        by_right = value[SWAP, index[ARC_PLACE, x]] * value[SHARE, a] * value[RESPONSE, a]
        by_origin = by_right * value[FACTOR, a] * value[BY_PRICE, k]
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            g = index[NUMBER, rights[r]]
            if g < 0:
                continue
            by_rent = by_right * value[BY_PRICE, rights[r]]
            if o >= 0:
                matrix[o, g] += by_rent
                matrix[g, o] += by_origin
            for r2 in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
                g2 = index[NUMBER, rights[r2]]
                if g2 >= 0 and r2 != r:
                    matrix[g2, g] += by_rent


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
        wipe(part(matrix, i, 0, size))
        result[i] = 0.0
    for d in range(places):
        matrix[d, d] = 1.0
    for i in range(free):
        k = index[FREE, i]
        begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
        own = value[EXTRA, i] + value[SWAPPED, k] * value[BY_PRICE, k]
        if i < free_origins:
            wipe(part(out, i, 0, size))
            wipe(part(into, i, 0, size))
            value[PIVOT, i] = own
            for d in range(first, last):
                a = begin + d - first
                out[i, d] = -value[SHARE, a]
                into[i, d] = -value[REST, d] * value[PULL, a] * value[BY_PRICE, k]
        else:
            y = places + i - free_origins
            matrix[y, y] = own
            result[y] = value[RIGHT, i]
            most[y] = value[MOST, i]
            for d in range(first, last):
                a = begin + d - first
                matrix[y, d] = -value[SHARE, a]
                matrix[d, y] = -value[REST, d] * value[PULL, a] * value[BY_PRICE, k]
    for x in range(desk.size[RESTRICTED]):
        a, k = index[ARC, x], index[ARC_SELLER, x]
        o = index[NUMBER, k]
        by_right = value[SWAP, index[ARC_PLACE, x]] * value[SHARE, a] * value[RESPONSE, a]
        by_origin = by_right * value[FACTOR, a] * value[BY_PRICE, k]
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            g = index[NUMBER, rights[r]]
            if g < 0:
                continue
            y = places + g - free_origins
            by_rent = by_right * value[BY_PRICE, rights[r]]
            if o >= 0:
                out[o, y] += by_rent
                into[o, y] += by_origin
            for r2 in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
                g2 = index[NUMBER, rights[r2]]
                if g2 >= 0 and r2 != r:
                    matrix[places + g2 - free_origins, y] += by_rent
    for o in range(free_origins):
        for i in range(size):
            if into[o, i] != 0.0:
                ratio = into[o, i] / value[PIVOT, o]
                subtract(part(matrix, i, 0, size), ratio, part(out, o, 0, size))
                result[i] -= ratio * value[RIGHT, o]
    return size


@compiled
def solve_linear(matrix: np.ndarray, system: np.ndarray, size: int, first_right: int) -> None:
    """Gaussian elimination on the diagonal, in place; the solution overwrites `system[0]`.

    Below the diagonal stay the multiples that were taken away, for `aim_again`. Rows from
    `first_right` on belong to rights. One whose row is spent by those before it is redundant for
    now: rent may pass between it and them without a change of flows. Its step is held to
    `system[1]`, enough to take over all of the largest rent.
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
        row = part(matrix, k, k + 1, size)
        for i in range(k + 1, size):
            if matrix[i, k] != 0.0:
                ratio = matrix[i, k] / matrix[k, k]
                subtract(part(matrix, i, k + 1, size), ratio, row)
                right[i] -= ratio * right[k]
                matrix[i, k] = ratio
    put_back(matrix, system, size)


@compiled
def put_back(matrix: np.ndarray, system: np.ndarray, size: int) -> None:
    """The last unknown first, put into the equations before it."""
    for k in range(size - 1, -1, -1):
        total = system[0, k] - dot(part(matrix, k, k + 1, size), part(system, 0, k + 1, size))
        system[0, k] = total / matrix[k, k]


@compiled
def finish_step(desk: Desk, free: int, free_origins: int, by_places: bool, leash: float) -> bool:
    """Write the step of every seller along its graph; whether it is finite.

    No price goes further than `leash` times the highest landed price. Sellers whose price is held
    answer what the moves of the others do to their sales.
    """
    count, index, value = desk.size, desk.link, desk.value
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
            step = (
                value[RIGHT, i] - dot(part(out, i, 0, size), part(desk.reduced, 0, 0, size))
            ) / value[PIVOT, i]
        value[STEP, index[FREE, i]] = step
    sound = True
    furthest = 0.0
    for d in range(places):
        furthest = max(furthest, leash * abs(value[LANDED, d]))
    for k in range(sellers):
        value[DEARER, k] = 0.0
        if index[NUMBER, k] >= 0:
            value[DEARER, k] = value[BY_PRICE, k] * value[STEP, k]
            if abs(value[DEARER, k]) > furthest:
                value[STEP, k] *= furthest / abs(value[DEARER, k])
                value[DEARER, k] = value[BY_PRICE, k] * value[STEP, k]
            sound &= np.isfinite(value[STEP, k])
        else:
            value[STEP, k] = value[SALES, k] - value[SELLER_QUANTITY, k]
    if free < sellers:
        answer_moves(desk)
    return sound


@rowwise
def answer_moves(desk: Desk) -> None:
    """Add to the steps of sellers whose price is held what the others' moves do to their sales."""
    count, index, value, right = desk.size, desk.link, desk.value, desk.right
    places = count[PLACES]
    moved, rest = part(value, ROW, 0, places), part(value, REST, 0, places)
    for d in range(places):
        moved[d] = 0.0
    for k in range(count[SELLERS]):
        if value[DEARER, k] != 0.0:
            begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
            pull = part(value, PULL, begin, begin + last - first)
            subtract(part(value, ROW, first, last), -value[DEARER, k], pull)
    for d in range(places):
        moved[d] *= rest[d]
    for k in range(count[SELLERS]):
        if index[NUMBER, k] < 0:
            begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
            value[STEP, k] += dot(
                part(value, ROW, first, last), part(value, SHARE, begin, begin + last - first)
            )
    for x in range(count[RESTRICTED]):
        a, k = index[ARC, x], index[ARC_SELLER, x]
        dearer = value[FACTOR, a] * value[DEARER, k]
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            dearer += value[DEARER, right[r]]
        less = value[SWAP, index[ARC_PLACE, x]] * value[SHARE, a] * value[RESPONSE, a] * dearer
        if index[NUMBER, k] < 0:
            value[STEP, k] -= less
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            if index[NUMBER, right[r]] < 0:
                value[STEP, right[r]] -= less


@compiled
def stay(desk: Desk) -> bool:
    """Make TRIAL the place to go on from; whether every seller is still on its piece."""
    index, value = desk.link, desk.value
    same = True
    for k in range(desk.size[SELLERS]):
        same &= index[SELLER_PIECE, k] == index[SELLER_PIECE + TRIAL, k]
        index[SELLER_PIECE, k] = index[SELLER_PIECE + TRIAL, k]
        value[SELLER_PRICE, k] = value[SELLER_PRICE + TRIAL, k]
        value[SELLER_QUANTITY, k] = value[SELLER_QUANTITY + TRIAL, k]
    return same


@compiled
def walk(desk: Desk, k: int, length: float) -> None:
    """Write as TRIAL where seller `k` gets from HERE by a length of its step."""
    index, value = desk.link, desk.value
    (
        index[SELLER_PIECE + TRIAL, k],
        value[SELLER_PRICE + TRIAL, k],
        value[SELLER_QUANTITY + TRIAL, k],
    ) = move(
        desk.point,
        index[POINT_START, k],
        index[POINT_END, k],
        index[SELLER_PIECE, k],
        value[SELLER_PRICE, k],
        value[SELLER_QUANTITY, k],
        value[WEIGHT, k],
        length * value[STEP, k],
    )


@compiled
def beyond_cut(desk: Desk, k: int) -> bool:
    """Whether TRIAL of seller `k` is where its graph was not drawn any more."""
    index, price = desk.link, desk.value[SELLER_PRICE + TRIAL, k]
    below = price <= desk.point[PRICE, index[POINT_START, k]]
    above = price >= desk.point[PRICE, index[POINT_END, k] - 1]
    return (below and index[CUT, k] & CUT_BELOW != 0) or (above and index[CUT, k] & CUT_ABOVE != 0)


@compiled
def place_again(desk: Desk, k: int) -> None:
    """Find HERE of seller `k` on its graph drawn anew."""
    index, value = desk.link, desk.value
    index[SELLER_PIECE, k], value[SELLER_PRICE, k], value[SELLER_QUANTITY, k] = place_of(
        desk.point,
        index[POINT_START, k],
        index[POINT_END, k],
        value[SELLER_PRICE, k],
        value[SELLER_QUANTITY, k],
    )


@compiled
def advance(batch: Batch, desk: Desk, by_pull: bool, near: bool, trials: int) -> bool:
    """Find how far to walk along the step from HERE; whether an end was accepted, which is TRIAL.

    `by_pull` looks for where the gaps' pull along the step has fallen to half or less without
    turning round, by regula falsi and bisection in turn: with specific wedges excess supply is the
    gradient of a convex function, and the pull its slope along the move, so a move that leaves some
    pull has gone down it. Otherwise, and `near` the solution, the sum of squared gaps must fall.
    """
    index, value = desk.link, desk.value
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
            walk(desk, k, length)
            if index[CUT, k] != 0 and beyond_cut(desk, k):
                draw_whole(batch, desk, k)
                place_again(desk, k)
                walk(desk, k, length)
        look(desk, TRIAL)
        if last or trials == 0:
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
def begin(batch: Batch, desk: Desk, c: int, start: Start) -> bool:
    """Put every seller where the start says, else origins at seven tenths of their capacity.

    Sellers with no open arc to a buyer sell nothing, at their lowest ask or no rent. Returns
    whether there was a start.
    """
    count, index, value, point = desk.size, desk.link, desk.value, desk.point
    warm = knows(start, batch)
    for k in range(count[SELLERS]):
        if index[OPEN, k] == 0:
            if index[CUT, k] != 0:
                draw_whole(batch, desk, k)
            index[SELLER_PIECE, k] = 0
            value[SELLER_PRICE, k] = point[PRICE, index[POINT_START, k]]
            value[SELLER_QUANTITY, k] = 0.0
            continue
        first, end = index[POINT_START, k], index[POINT_END, k]
        name = index[NAME, k]
        price = np.nan
        sold = 0.0
        if k < count[ORIGINS]:
            sold = 0.7 * point[QUANTITY, end - 1]
            if warm:
                b = batch.cluster_market[batch.market_from[c] + index[SELLER_MARKET, k]]
                if np.isfinite(start.origin_price[b, name]):
                    price = start.origin_price[b, name]
                    sold = flow_of(start, b, name) if on_step(point, first, end, price) else 0.0
        elif warm:
            price = start.rent[name]
        index[SELLER_PIECE, k], value[SELLER_PRICE, k], value[SELLER_QUANTITY, k] = place_of(
            point, first, end, price, sold
        )
    return warm


@compiled
def on_step(point: np.ndarray, first: int, end: int, price: float) -> bool:
    """Whether an upright part of a supply graph is at this price."""
    corners = 0
    for n in range(first, end):
        corners += point[PRICE, n] == price
    return corners > 1


@compiled
def flow_of(start: Start, b: int, i: int) -> float:
    """What an origin sold at the start, t/month."""
    sold = 0.0
    for j in range(start.flow.shape[2]):
        sold += start.flow[b, i, j]
    return sold


@compiled
def aim_again(desk: Desk, free: int) -> None:
    """Solve the system of the step before, which `solve_linear` left behind, for today's gaps."""
    index, value = desk.link, desk.value
    for i in range(free):
        k = index[FREE, i]
        gap = value[SALES, k] - value[SELLER_QUANTITY, k]
        row, solved = part(desk.matrix, i, 0, i), part(desk.reduced, 0, 0, i)
        desk.reduced[0, i] = gap - dot(row, solved)
    put_back(desk.matrix, desk.reduced, free)


@entry
def solve_batch(
    batch: Any,
    desk: Any,
    start: Any,
    answer: Any,
    first: int,
    end: int,
    tolerance: float,
    most: int,
    near: float,
    leash: float,
    resume: bool,
    bold: bool,
) -> float:
    """Clear clusters `first` to `end` by damped Newton; returns the worst residual.

    Plain tuples of what makes a `Batch`, a `Desk`, a `Start` and an `Answer`. From `start` where it
    knows something, in at most `most` steps each. Without a start every seller first closes its own
    gap, as if the others' prices stayed. A poor Newton step is tried again without logarithms, then
    by the sum of squared gaps; one that can do with the derivatives of the step before it takes
    those. Supply is drawn to a part `near` of the start's price around it, at 0 the whole of it.
    No price goes further in a step than `leash` times the highest landed price. `resume` goes on
    with what is on the desk, the first of the clusters; `bold` takes whole steps and goes on from
    where they end, better or not.
    """
    batch, desk = held(batch, Batch), held(desk, Desk)
    start, answer = held(start, Start), held(answer, Answer)
    value = desk.value
    worst = 0.0
    for c in range(first, end):
        guessed = True
        if not resume:
            open_cluster(batch, desk, c, start, near)
            guessed = begin(batch, desk, c, start)
        look(desk, HERE)
        residual = residual_of(desk)
        before = 0.0
        iterations = 0
        free, free_origins, by_places, factored = 0, 0, False, False
        while not residual <= tolerance and iterations < most:
            iterations += 1
            # leaves some twice the square over the residual before: a tenth of the tolerance
            again = factored and not bold and 20.0 * residual * residual <= tolerance * before
            easy = again or not guessed
            if not easy:
                face(desk)
                if desk.size[FLOORS] > 0 and desk.blur[0] == 0.0 and lift_to_floors(desk):
                    look(desk, HERE)
            if not again:
                weigh(desk)
            accepted = False
            for attempt in range(1 if easy else 3):
                sound = True
                if not guessed:
                    for k in range(desk.size[SELLERS]):
                        value[STEP, k] = value[SALES, k] - value[SELLER_QUANTITY, k]
                elif attempt < 2:
                    if again:
                        aim_again(desk, free)
                    else:
                        free, free_origins, by_places = choose_system(desk, attempt == 0)
                        size, rights_from = free, free_origins
                        if by_places:
                            size = through_places(desk, free, free_origins)
                            rights_from = desk.size[PLACES]
                        else:
                            among_sellers(desk, free)
                        solve_linear(desk.matrix, desk.reduced, size, rights_from)
                    sound = finish_step(desk, free, free_origins, by_places, leash)
                if sound:
                    trials = 1 if again else 8 if attempt == 0 else 30 if attempt == 1 else 12
                    trials = 0 if bold else trials
                    by_pull = attempt < 2 and not again
                    accepted = advance(batch, desk, by_pull, residual < 1e-2, trials)
                    if accepted:
                        factored = not easy and attempt == 0 and not by_places
                        break
                    look(desk, HERE)
            guessed = True
            if not accepted:
                factored = False
                if easy:
                    continue
                break
            factored &= stay(desk)
            before = residual
            residual = residual_of(desk)
        write_answer(batch, desk, c, iterations, residual, answer)
        worst = max(worst, residual)
    return worst


@rowwise
def share_out(batch: Batch, desk: Desk, k: int, first: int, last: int, answer: Answer) -> None:
    """Write each firm's sales at HERE: its ramp's offer, and a step pro rata.

    Between two points of the supply graph no ramp begins or ends.
    """
    index, value, point = desk.link, desk.value, desk.point
    piece = index[SELLER_PIECE, k]
    at = index[POINT_START, k] + piece
    capacity, low_ask = batch.capacity[first:last], batch.low_ask[first:last]
    high_ask, sales = batch.high_ask[first:last], answer.sales[first:last]
    if piece == 0 or at == index[POINT_END, k]:
        every = 1.0 if piece > 0 else 0.0
        for f in range(sales.size):
            sales[f] = every * capacity[f]
        return
    low, high = point[PRICE, at - 1], point[PRICE, at]
    more = point[QUANTITY, at] - point[QUANTITY, at - 1]
    walked = (value[SELLER_QUANTITY, k] - point[QUANTITY, at - 1]) / more if more > 0.0 else 1.0
    upright = high <= low
    for f in range(sales.size):
        width = high_ask[f] - low_ask[f]
        per_dollar = 1.0 / (width if width > 0.0 else 1.0)
        begun = min(max((low - low_ask[f]) * per_dollar, 0.0), 1.0)
        done = min(max((high - low_ask[f]) * per_dollar, 0.0), 1.0)
        step_before = low_ask[f] < low or (low_ask[f] == low and not upright)
        step_after = low_ask[f] < high or (low_ask[f] == high and upright)
        least = begun if width > 0.0 else 1.0 if step_before else 0.0
        most = done if width > 0.0 else 1.0 if step_after else 0.0
        sales[f] = capacity[f] * (least + walked * (most - least))


@compiled
def write_answer(
    batch: Batch, desk: Desk, c: int, iterations: int, residual: float, answer: Answer
) -> None:
    """Copy one solved cluster, as last looked at, into the batch's arrays."""
    count, index, value = desk.size, desk.link, desk.value
    here = value[SELLER_PRICE]
    first_market = batch.market_from[c]
    for local in range(count[MARKETS]):
        b = batch.cluster_market[first_market + local]
        answer.iterations[b] = iterations
        answer.residual[b] = residual
        answer.fell_back[b] = False
        for i in range(answer.origin_price.shape[1]):
            answer.origin_price[b, i] = np.nan
            fill(answer.delivered_price[b, i], np.nan)
        for j in range(answer.demand.shape[1]):
            answer.landed_price[b, j] = np.inf
            answer.average_price[b, j] = np.nan
            answer.demand[b, j] = 0.0
    for k in range(count[SELLERS]):
        name = index[NAME, k]
        if k >= count[ORIGINS]:
            answer.rent[name] = here[k]
            continue
        b = batch.cluster_market[first_market + index[SELLER_MARKET, k]]
        answer.origin_price[b, name] = here[k]
        share_out(batch, desk, k, index[FIRST_FIRM, k], index[LAST_FIRM, k], answer)
    for d in range(count[PLACES]):
        b = batch.cluster_market[first_market + index[PLACE_MARKET, d]]
        j = index[DESTINATION, d]
        answer.landed_price[b, j] = value[LANDED, d]
        answer.demand[b, j] = value[DEMAND, d]
    rent = value[PULL]
    wipe(part(value, ROW, 0, count[PLACES]))
    wipe(part(value, PULL, 0, count[ARCS]))
    for x in range(count[RESTRICTED]):
        for r in range(index[RIGHT_START, x], index[RIGHT_START, x + 1]):
            rent[index[ARC, x]] += here[desk.right[r]]
    for k in range(count[ORIGINS]):
        b = batch.cluster_market[first_market + index[SELLER_MARKET, k]]
        write_row(desk, k, b, answer)
    for d in range(count[PLACES]):
        b = batch.cluster_market[first_market + index[PLACE_MARKET, d]]
        answer.average_price[b, index[DESTINATION, d]] = value[ROW, d]


@rowwise
def write_row(desk: Desk, k: int, b: int, answer: Answer) -> None:
    """Copy flows and delivered prices of the open arcs of seller `k` of market `b`.

    Their mean by tonnes is added up in ROW; PULL is spent.
    """
    index, value = desk.link, desk.value
    begin, first, last = index[ROW_START, k], index[FIRST_PLACE, k], index[LAST_PLACE, k]
    end = begin + last - first
    destination, demand = part(index, DESTINATION, first, last), part(value, DEMAND, first, last)
    share, factor = part(value, SHARE, begin, end), part(value, FACTOR, begin, end)
    addition, rent = part(value, ADDITION, begin, end), part(value, PULL, begin, end)
    floor, quality = part(value, FLOOR, begin, end), part(value, QUALITY, begin, end)
    mean = part(value, ROW, first, last)
    flow = answer.flow[b, index[NAME, k]]
    delivered = answer.delivered_price[b, index[NAME, k]]
    here = value[SELLER_PRICE, k]
    # Several short loops, of which several arcs are done at a time, are quicker than one of all.
    for n in range(share.size):
        rent[n] = max(factor[n] * here + addition[n] + rent[n], floor[n])
    for n in range(share.size):
        mean[n] += rent[n] * share[n]
    if share.size == flow.size:  # places are all destinations
        for j in range(flow.size):
            flow[j] = share[j] * demand[j]
        for j in range(delivered.size):
            delivered[j] = rent[j] if quality[j] > -np.inf else np.nan
        return
    for n in range(destination.size):
        flow[destination[n]] = share[n] * demand[n]
        delivered[destination[n]] = rent[n] if quality[n] > -np.inf else np.nan


@entry
def sweep(desk: Any) -> None:
    """Clear each seller by itself, the others' prices held, one after another.

    `desk` is a plain tuple of what makes a `Desk`. A seller's gap rises along its graph, so
    bisection is sure.
    """
    desk = held(desk, Desk)
    index, value = desk.link, desk.value
    look(desk, HERE)
    weigh(desk)
    for k in range(desk.size[SELLERS]):
        first, end = index[POINT_START, k], index[POINT_END, k]
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
