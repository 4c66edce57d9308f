"""Memory for the compiled solver, and a few pieces of it kept for the next call.

Fresh memory costs as much as solving a market of middling size, for the operating system clears
every page of it at first touch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

import numpy as np

from abm.market.kernel import BID_ROWS, LINK_ROWS, TERM_ROWS, VALUE_ROWS, Batch, Desk

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


def room_for(batch: Batch, largest: tuple[int, int, int, int]) -> Room:
    """Room for any one cluster of the batch, from its `largest_cluster`.

    Numbers that change from month to month are rounded up to a power of two, so that a desk serves
    again.
    """
    _, origins, destinations = batch.log_weight.shape
    markets, limits, firms, of_one_origin = largest
    return Room(
        markets,
        origins,
        destinations,
        batch.need.shape[2],
        batch.bid_quantity.shape[2],
        roomy(limits),
        roomy(batch.limit_arc.shape[1]),
        roomy(firms),
        roomy(of_one_origin),
    )


def roomy(number: int) -> int:
    """The next power of two; zero stays."""
    return 1 << (number - 1).bit_length() if number else 0


def new_desk(room: Room) -> Desk:
    """Memory to solve one cluster at a time."""
    sellers = room.markets * room.origins + room.limits
    places = room.markets * room.destinations
    arcs = places * room.origins
    both = sellers + places
    widest = max(sellers, places, arcs + room.limits * places)
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
        point=real((2, 2 * room.firms + 2 * room.limits + 2)),
        term=real((TERM_ROWS * room.terms, places)),
        bid=real((BID_ROWS * room.bids, places)),
        side=real((2, sellers, places + room.limits)),
        matrix=real((both, both)),
        reduced=real((2, both)),
    )


_kept: list[tuple[Room, Desk]] = []
_lock = Lock()


@contextmanager
def desks(room: Room, count: int) -> Iterator[list[Desk]]:
    """So many desks for the time of a call, used before where there are any of this size."""
    with _lock:
        mine = [entry for entry in _kept if entry[0] == room][:count]
        _kept[:] = [entry for entry in _kept if not any(entry is taken for taken in mine)]
    mine += [(room, new_desk(room)) for _ in range(count - len(mine))]
    try:
        yield [desk for _, desk in mine]
    finally:
        with _lock:
            if sum(array.nbytes for array in mine[0][1]) <= LARGEST_KEPT:
                _kept.extend(mine)
                del _kept[:-MOST_KEPT]
