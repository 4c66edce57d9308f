"""Memory for the compiled solver, and a few pieces of it kept for the next call.

Fresh memory costs as much as solving a market of middling size, for the operating system clears
every page of it at first touch.
"""

from threading import Lock
from typing import NamedTuple

import numpy as np

from abm.market.kernel import (
    BID_ROWS,
    DIGITS,
    LANES,
    LINK_ROWS,
    MOST_DIGIT,
    TERM_ROWS,
    VALUE_ROWS,
    VECTOR,
    Desk,
)

MOST_KEPT = 4  # desks
LARGEST_KEPT = 16_000_000  # bytes


class Room(NamedTuple):
    """What the largest cluster of a batch needs."""

    markets: int
    origins: int
    destinations: int
    terms: int
    bids: int
    limits: int
    rights: int
    firms: int
    firms_of_one_origin: int


def roomy(number: int) -> int:
    """The next power of two; zero stays."""
    return 1 << (number - 1).bit_length() if number else 0


def whole_lanes(number: int) -> int:
    """Columns for whole `LANES`, and some more: rows must not lie a power of two apart."""
    return -(-number // LANES) * LANES + VECTOR


def new_desk(room: Room) -> Desk:
    """Memory to solve one cluster at a time."""
    sellers = room.markets * room.origins + room.limits
    places = room.markets * room.destinations
    arcs = places * room.origins
    both = sellers + places
    widest = max(sellers, places + VECTOR, arcs + room.limits * places)
    real, whole = np.empty, lambda shape: np.empty(shape, np.int64)
    return Desk(
        size=whole(7),
        blur=real(1),
        volume=real((2, room.markets)),
        link=whole((LINK_ROWS, widest + 1)),
        value=real((VALUE_ROWS, widest)),
        right=whole(room.rights),
        table=whole((room.markets, room.origins, room.destinations)),
        key=real((2, 2 * room.firms_of_one_origin)),
        event=whole((3, 2 * room.firms_of_one_origin)),
        tally=whole((DIGITS, MOST_DIGIT + 1)),
        point=real((2, 2 * room.firms + 2 * room.limits + 2)),
        term=real((TERM_ROWS * room.terms, places + VECTOR)),
        bid=real((BID_ROWS * room.bids, places + VECTOR)),
        side=real((2, sellers, places + room.limits)),
        facing=real((places, whole_lanes(sellers))),
        matrix=real((both, whole_lanes(both))),
        reduced=real((2, both)),
    )


_kept: list[tuple[Room, Desk]] = []
_lock = Lock()


def take_desks(room: Room, count: int) -> list[Desk]:
    """So many desks, used before where any of this size were kept; nobody else has them then."""
    mine: list[Desk] = []
    with _lock:
        for n in range(len(_kept) - 1, -1, -1):
            if len(mine) < count and _kept[n][0] == room:
                mine.append(_kept.pop(n)[1])
    return mine + [new_desk(room) for _ in range(count - len(mine))]


def keep_desks(room: Room, mine: list[Desk]) -> None:
    """Put desks back for the next call, unless they are large; the longest unused give way."""
    if sum(array.nbytes for array in mine[0]) <= LARGEST_KEPT:
        with _lock:
            _kept.extend([(room, desk) for desk in mine])
            del _kept[:-MOST_KEPT]
