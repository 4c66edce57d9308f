"""What is to be cleared: a batch of markets as plain arrays, and the checks on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

Floats = np.ndarray
Integers = np.ndarray


@dataclass(frozen=True)
class Problem:
    """A batch of markets, each one mineral at one stage in one month.

    Axes: B markets, I origins, J destinations, H demand terms, N bids, F firms, G limits,
    A arcs under limits, counted once for each limit. Quantities in t/month, prices in USD/kg.

    Supply of a firm at its origin's price p is capacity x clip((p - low)/(high - low), 0, 1), a
    step where low = high. A demand term wants need x (P/reference)^-elasticity at landed price P,
    up to the backstop price, then less along a line down to nothing at the choke price; below 1 %
    of the reference price it runs on along its tangent. A bid is bought in full up to its low price
    and not at all from its high one. Falling ramps are at least a thousandth of their price wide:
    prices in double precision could not place a steeper one to 1e-9 of the volume where most of
    the demand is cut off.

    The delivered price is price_factor x origin price + price_addition + the rents of every limit
    on the arc, raised to the floor. Buyers spread their demand over origins as a logit with
    `dispersion`; an arc is closed by a log weight of -inf, a limit of zero, or an origin without
    capacity.

    A limit caps the sum of the flows on its arcs, which may lie in several markets (a quota on a
    family of products); its rent is common to all of them.
    """

    capacity: Floats  # [F] t/month
    low_ask: Floats  # [F] USD/kg
    high_ask: Floats  # [F] USD/kg
    firm_offset: Integers  # [B, I+1] rows of the firms of market b, origin i
    need: Floats  # [B, J, H] t/month at the reference price
    reference_price: Floats  # [B, J, H] USD/kg, > 0 where there is need
    elasticity: Floats  # [B, J, H] >= 0
    backstop_price: Floats  # [B, J, H] USD/kg, may be inf
    choke_price: Floats  # [B, J, H] USD/kg, >= backstop, inf with it
    bid_quantity: Floats  # [B, J, N] t/month
    bid_low: Floats  # [B, J, N] USD/kg
    bid_high: Floats  # [B, J, N] USD/kg
    log_weight: Floats  # [B, I, J] -inf closes the arc
    dispersion: Floats  # [B] USD/kg, > 0
    price_factor: Floats  # [B, I, J] > 0
    price_addition: Floats  # [B, I, J] USD/kg
    floor_price: Floats  # [B, I, J] USD/kg, 0 or less is none
    limit: Floats = field(default_factory=lambda: np.empty(0))  # [G] t/month
    limit_market: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # [A]
    limit_offset: Integers = field(default_factory=lambda: np.zeros(1, np.int64))  # [G+1]
    limit_origin: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # [A]
    limit_destination: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # [A]
    market_names: Sequence[str] | None = None
    country_names: Sequence[str] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Markets, origins, destinations."""
        markets, origins, destinations = self.log_weight.shape
        return markets, origins, destinations

    @property
    def limit_group(self) -> Integers:
        """[A] the limit that each limited arc stands under."""
        return np.arange(self.limit.size).repeat(self.limit_offset[1:] - self.limit_offset[:-1])

    def market(self, b: int) -> str:
        """How market `b` is called in messages."""
        return self.market_names[b] if self.market_names is not None else f"market {b}"

    def country(self, i: int) -> str:
        """How country `i` is called in messages."""
        return self.country_names[i] if self.country_names is not None else f"country {i}"

    def check(self) -> None:
        """Refuse a malformed problem: ValueError naming the field, the place and the value."""
        self.check_shapes()
        self._check_rows()
        self._check_numbers()

    def check_shapes(self) -> None:
        """Refuse arrays that do not fit together: ValueError naming the field and its shape."""
        fault = shape_fault(tuple([np.shape(getattr(self, name)) for name in ARRAYS]))
        if fault:
            raise ValueError(fault)

    def _check_rows(self) -> None:
        arcs = (self.limit_market, self.limit_origin, self.limit_destination)
        fault = row_fault(
            self.shape, self.capacity.shape[0], self.firm_offset, self.limit_offset, arcs
        )
        if fault:
            raise ValueError(fault)

    def _check_numbers(self) -> None:
        finite = (
            "capacity", "low_ask", "high_ask", "need", "reference_price", "elasticity",
            "bid_quantity", "bid_low", "bid_high", "dispersion", "price_factor", "price_addition",
            "limit",
        )  # fmt: skip
        # A sum, a least or a largest value tells in one pass whether to look for the culprit.
        for name in finite:
            values = getattr(self, name)
            if not np.isfinite(values.sum()):
                self._refuse(name, ~np.isfinite(values), "must be a finite number")
        for name in ("log_weight", "floor_price"):
            values = getattr(self, name)
            if values.size and not values.max() < np.inf:
                bad = np.isnan(values) | (values == np.inf)
                self._refuse(name, bad, "must be a finite number or -inf")
        for name in ("backstop_price", "choke_price"):
            values = getattr(self, name)
            if values.size and np.isnan(values.max()):
                self._refuse(name, np.isnan(values), "must be a number or inf")
        for name in ("capacity", "need", "elasticity", "bid_quantity", "limit"):
            values = getattr(self, name)
            if values.size and values.min() < 0.0:
                self._refuse(name, values < 0.0, "must not be negative")
        for name in ("dispersion", "price_factor"):
            values = getattr(self, name)
            if values.size and values.min() <= 0.0:
                self._refuse(name, values <= 0.0, "must be above zero")
        wanted = self.need > 0.0
        self._refuse(
            "reference_price", wanted & (self.reference_price <= 0.0), "must be above zero"
        )
        self._refuse("high_ask", self.high_ask < self.low_ask, "must not be below low_ask")
        self._refuse("bid_high", self.bid_high < self.bid_low, "must not be below bid_low")
        unchoked = np.isinf(self.choke_price) & np.isfinite(self.backstop_price)
        disorder = wanted & ((self.choke_price < self.backstop_price) | unchoked)
        self._refuse(
            "choke_price", disorder, "must be at or above backstop_price, inf only with it"
        )

    def _refuse(self, name: str, bad: np.ndarray, rule: str) -> None:
        """Raise for the first place where `bad` holds."""
        if not bad.any():
            return
        place = tuple(int(n) for n in np.argwhere(bad)[0])
        values = getattr(self, name)
        inside = ""
        if values.ndim > 1 or name == "dispersion":
            names = [self.market(place[0])] + [self.country(c) for c in place[1:]]
            inside = f" ({' · '.join(names[: 3 if values.shape == self.log_weight.shape else 2])})"
        raise ValueError(f"Problem.{name}{list(place)}{inside} is {values[place]}; it {rule}.")


ROWS = ("firm_offset", "limit_offset", "limit_market", "limit_origin", "limit_destination")
FIGURES = tuple(
    item.name
    for item in fields(Problem)
    if item.name not in ROWS and not item.name.endswith("_names")
)
ARRAYS = (*FIGURES, *ROWS)


def shape_fault(shapes: tuple[tuple[int, ...], ...]) -> str:
    """What is wrong with shapes in the order of `ARRAYS`; nothing if they fit together."""
    shape = dict(zip(ARRAYS, shapes, strict=True))
    if len(shape["log_weight"]) != 3:
        return (
            "Problem.log_weight must have the axes market, origin, destination; "
            f"it has shape {shape['log_weight']}."
        )
    b, i, j = shape["log_weight"]
    h, n = shape["need"][-1:], shape["bid_quantity"][-1:]
    f, g, a = shape["capacity"][:1], shape["limit"][:1], shape["limit_origin"][:1]
    demand = ("need", "reference_price", "elasticity", "backstop_price", "choke_price")
    wanted = (
        ((b, i, j), ("price_factor", "price_addition", "floor_price")),
        ((b, j, *h), demand),
        ((b, j, *n), ("bid_quantity", "bid_low", "bid_high")),
        (f, ("capacity", "low_ask", "high_ask")),
        ((b,), ("dispersion",)),
        ((b, i + 1), ("firm_offset",)),
        (g, ("limit",)),
        ((g[0] + 1,), ("limit_offset",)),
        (a, ("limit_market", "limit_origin", "limit_destination")),
    )
    for right, names in wanted:
        for name in names:
            if shape[name] != right:
                return (
                    f"Problem.{name} has shape {shape[name]} where {right} is needed for "
                    f"{b} markets, {i} origins, {j} destinations."
                )
    return ""


def row_fault(
    shape: tuple[int, ...],
    firms: int,
    firm_offset: Integers,
    limit_offset: Integers,
    arcs: Sequence[Integers],
) -> str:
    """What is wrong with the rows that firms and limits have; nothing if all is well.

    Parameters
    ----------
    shape, firms
        Markets, origins and destinations, and how many firms there are.
    arcs
        Market, origin and destination of every arc under limits, [A] each.
    """
    row, offset = firm_offset.ravel(), limit_offset
    if shape[0] and (row[0] < 0 or row[-1] > firms or (row[1:] < row[:-1]).any()):
        return (
            "Problem.firm_offset must rise along origins and markets, between 0 and "
            f"{firms} firms; each market has firms of its own."
        )
    if offset[0] != 0 or offset[-1] != arcs[0].size or (offset[1:] < offset[:-1]).any():
        return "Problem.limit_offset must rise from 0 to the number of limit arcs."
    if not arcs[0].size:
        return ""
    key = np.arange(offset.size - 1).repeat(offset[1:] - offset[:-1])
    for name, rows, size in zip(("market", "origin", "destination"), arcs, shape, strict=True):
        if rows.min() < 0 or rows.max() >= size:
            return f"Problem.limit_{name} holds a number outside 0 to {size - 1}."
        key = key * size + rows
    # sorting is dear, and needless where arcs are listed in order
    if not (key[1:] > key[:-1]).all() and np.unique(key).size < key.size:
        return "A limit lists the same arc twice; list each arc once per limit."
    return ""


def no_limits() -> dict[str, np.ndarray]:
    """The fields of a problem without limits, to pass on as keywords."""
    return {
        "limit": np.empty(0),
        "limit_market": np.empty(0, np.int64),
        "limit_offset": np.zeros(1, np.int64),
        "limit_origin": np.empty(0, np.int64),
        "limit_destination": np.empty(0, np.int64),
    }


def no_bids(markets: int, destinations: int) -> dict[str, np.ndarray]:
    """The fields of a problem without bids, to pass on as keywords."""
    return {
        name: np.empty((markets, destinations, 0))
        for name in ("bid_quantity", "bid_low", "bid_high")
    }
