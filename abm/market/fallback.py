"""What to do where Newton's method alone does not clear a market: slow, and never led astray.

Sweeps clear one seller at a time. Where they do not help either, an easy relative of the market is
solved and led to the market step by step, on several ways if need be; last, markets of slightly
other demand are solved likewise. What is found is a start from which the market itself is solved
and certified once more.
"""

from itertools import permutations, product

import numpy as np

from abm.market.kernel import (
    ADDITION,
    ARCS,
    FACTOR,
    FIRST_PLACE,
    FLOOR,
    LAST_PLACE,
    NAME,
    ORIGINS,
    OWN_THETA,
    PLACES,
    QUALITY,
    SELLER_MARKET,
    SELLER_PIECE,
    SELLER_PRICE,
    SELLER_QUANTITY,
    SELLERS,
    THETA,
    Answer,
    Batch,
    Desk,
    Start,
    solve_batch,
    sweep,
)

MOST_STEPS = 80  # of Newton's method at one go
BETWEEN_SWEEPS = 12  # steps of Newton's method before it is helped by a sweep
# What an easy relative of a market has otherwise, and in which order it is led to the market:
# where one way ends at a fold, another need not pass there.
WEDGES, DISPERSION, BLUR = range(3)
ORDERS = tuple(permutations((WEDGES, DISPERSION, BLUR)))
LONGEST_STRIDES = (0.5, 0.15, 0.04)
# Of the market's demand: which market's ways lead home is chance where hardly any does.
NEIGHBOURS = (1.003, 0.997, 1.01, 0.99, 1.001, 0.999, 1.03, 0.97)
BOLD_ROUNDS, BOLD_STEPS = 8, 15
# Times the highest landed price: further no price goes in one step. Without, prices may run away to
# where nobody buys and nothing tells the way back; with it, the way may be long.
LEASH = 2.0
LEASHES = (LEASH, np.inf, 0.02)
# Effort after which it is enough, and what things take, in microseconds of no machine in
# particular: a call; a step, alone and for each arc; a sweep, for each seller and arc.
ENOUGH = 4e6
CALL, STEP, STEP_ARC, SWEEP_ARC = 20.0, 2.0, 0.008, 0.12
NO_START = Start(np.empty((0, 0)), np.empty((0, 0, 0)), np.empty(0))  # knows nothing

Place = tuple[np.ndarray, np.ndarray, np.ndarray]  # piece, price, quantity of every seller
Wedges = tuple[np.ndarray, np.ndarray]  # factor and floor of every arc


def solve_stubborn(
    batch: Batch, desk: Desk, answer: Answer, tolerance: float, started: bool
) -> None:
    """Clear what is not cleared yet in `answer`; its residuals tell whether that succeeded.

    `started` tells whether that was from an earlier clearing, a cold start being the next thing.
    """
    first_market = batch.cluster_market[batch.market_from[:-1]]
    for c in np.flatnonzero(~(answer.residual[first_market] <= tolerance)):
        solve_cluster(batch, desk, int(c), answer, tolerance, started)


def solve_cluster(
    batch: Batch, desk: Desk, c: int, answer: Answer, tolerance: float, started: bool
) -> None:
    """Clear one cluster: from a cold start, with sweeps, along paths, last by way of neighbours."""
    markets = batch.cluster_market[batch.market_from[c] : batch.market_from[c + 1]]
    newton = Newton(batch, desk, c, answer)
    newton.iterations = int(answer.iterations[markets[0]])
    residual = newton.afresh(tolerance) if started else np.inf
    if not residual <= tolerance:
        residual = persist(newton, tolerance, LONGEST_STRIDES)
    for factor in NEIGHBOURS:
        if residual <= tolerance or newton.tired:
            break
        neighbour = Newton(with_demand(batch, factor), desk, c, answer)
        neighbour.effort = newton.effort
        persist(neighbour, tolerance, LONGEST_STRIDES[:1])
        newton.effort = neighbour.effort
        newton.iterations += neighbour.iterations
        residual = newton.confirm(tolerance)
    newton.confirm(tolerance)
    answer.iterations[markets] = newton.iterations
    answer.fell_back[markets] = True


def with_demand(batch: Batch, factor: float) -> Batch:
    """The batch with all needs and bids so many times as large."""
    return batch._replace(need=batch.need * factor, bid_quantity=batch.bid_quantity * factor)


class Newton:
    """Newton's method on the cluster that is on the desk, and a count of its steps."""

    def __init__(self, batch: Batch, desk: Desk, c: int, answer: Answer) -> None:
        self.batch, self.desk, self.answer = batch, desk, answer
        self.cluster = c
        self.market = batch.cluster_market[batch.market_from[c]]
        self.iterations = 0
        self.effort = 0.0
        self.leash = LEASH

    @property
    def tired(self) -> bool:
        """Whether enough was tried: what does not clear by then hardly ever does."""
        return bool(self.effort > ENOUGH)

    def gather(self) -> None:
        """Put the cluster on the desk, its sellers at a cold start."""
        self._run(NO_START, np.inf, 0, resume=False)

    def afresh(self, tolerance: float) -> float:
        """Solve the cluster as without a start; the residual."""
        return self._run(NO_START, tolerance, MOST_STEPS, resume=False)

    def confirm(self, tolerance: float) -> float:
        """Solve the cluster itself once more, from where sellers are on the desk; its residual."""
        start = start_from(self.batch, self.desk, self.cluster)
        return self._run(start, tolerance, MOST_STEPS, resume=False)

    def helped_by_sweeps(self, tolerance: float, sweeps: int) -> float:
        """Go on from where the sellers are, put on the way again by a sweep each time it is stuck
        or slow; returns the residual."""
        while True:
            steps = BETWEEN_SWEEPS if sweeps > 0 else MOST_STEPS
            residual = self._run(NO_START, tolerance, steps, resume=True)
            if residual <= tolerance or sweeps == 0:
                return residual
            sweeps -= 1
            sweep(tuple(self.desk))
            self.effort += CALL + SWEEP_ARC * self.desk.size[SELLERS] * self.desk.size[ARCS]

    def boldly(self, tolerance: float) -> float:
        """Take whole steps, uphill too, and go on from the best place they led to; its residual.

        A way down that bends has no step down longer than the bend; a longer one leads up the side,
        and the next down again further on.
        """
        residual = self._run(NO_START, tolerance, 0, resume=True)
        for _ in range(BOLD_ROUNDS):
            if residual <= tolerance or self.tired:
                break
            lowest, there = residual, remember(self.desk)
            for _ in range(BOLD_STEPS):
                residual = self._run(NO_START, tolerance, 1, resume=True, bold=True)
                if residual < lowest:
                    lowest, there = residual, remember(self.desk)
            return_to(self.desk, there)
            residual = self.helped_by_sweeps(tolerance, 1)
        return residual

    def _run(
        self, start: Start, tolerance: float, most: int, resume: bool, bold: bool = False
    ) -> float:
        places = tuple(self.batch), tuple(self.desk), tuple(start), tuple(self.answer)
        own = self.cluster, self.cluster + 1
        solve_batch(*places, *own, tolerance, most, 0.0, self.leash, resume, bold)
        steps = int(self.answer.iterations[self.market])
        self.iterations += steps
        self.effort += CALL + steps * (STEP + STEP_ARC * self.desk.size[ARCS])
        return float(self.answer.residual[self.market])


def persist(newton: Newton, tolerance: float, strides: tuple[float, ...]) -> float:
    """Solve a cluster with sweeps, then along paths in such longest strides; its residual."""
    for newton.leash in LEASHES:
        newton.gather()
        residual = newton.helped_by_sweeps(tolerance, 1)
        if residual <= tolerance or newton.tired:
            return residual
    for newton.leash, order, longest in product(LEASHES, ORDERS, strides):
        newton.gather()
        follow(newton, tolerance, longest, order)
        # also where a way was not walked to its end: that may be near enough
        residual = newton.confirm(tolerance)
        if not residual <= tolerance:
            residual = newton.boldly(tolerance)
        if residual <= tolerance or newton.tired:
            return residual
    return np.inf


def follow(newton: Newton, tolerance: float, longest: float, order: tuple[int, ...]) -> None:
    """Solve an easy relative of the gathered cluster and lead it to the cluster in strides.

    First with specific wedges, wide dispersion and blurred kinks, where excess supply is the
    gradient of a smooth convex function. One after the other, in the given order, wedges and floors
    come in, dispersion narrows and the blur goes. A stride starts from where the last one led, at
    most `longest`, a third of the way being 1. Leaves the sellers where that ends.
    """
    desk = newton.desk
    own = wedges_of(desk)
    wide = spread_of(desk, own)
    reached = remember(desk)
    progress = -1.0
    stride = longest
    while progress < 3.0 and stride > 1e-4 and not newton.tired:
        first = progress < 0.0
        ahead = 0.0 if first else min(progress + stride, np.floor(progress) + 1.0)
        ease(desk, own, wide, [min(max(ahead - order.index(n), 0.0), 1.0) for n in range(3)])
        goal = tolerance if ahead == 3.0 else 1e-3 if longest > 0.3 else 1e-8
        residual = newton.helped_by_sweeps(goal, 8 if first or longest < 0.3 else 2)
        if residual <= goal or first:
            reached = remember(desk)
            progress = ahead
            stride = longest if first else min(stride * 1.5, longest)
        else:
            return_to(desk, reached)
            stride *= 0.4


def wedges_of(desk: Desk) -> Wedges:
    """Copies of the cluster's own factors and floors, which `ease` replaces."""
    arc = desk.value[:, : desk.size[ARCS]]
    return arc[FACTOR].copy(), arc[FLOOR].copy()


def ease(desk: Desk, own: Wedges, wide: float, done: list[float]) -> None:
    """Set wedges, floors, dispersion and blur on the way to the market's own.

    `done` tells how much of the way has been gone in each, from 0 to 1: from specific wedges and no
    floors, from a dispersion of `wide`, from floors and ramps blurred by a part of the dispersion.
    """
    arc = desk.value[:, : desk.size[ARCS]]
    own_factor, own_floor = own
    arc[FACTOR] = own_factor ** done[WEDGES]
    arc[FLOOR] = -np.inf
    floored = np.isfinite(own_floor)
    if done[WEDGES] > 0.0:
        arc[FLOOR, floored] = own_floor[floored] * (1.0 + np.log(done[WEDGES]))
    place = desk.value[:, : desk.size[PLACES]]
    own_theta = place[OWN_THETA]
    start = np.maximum(wide, own_theta)
    narrowed = done[DISPERSION]
    place[THETA] = own_theta if narrowed == 1.0 else start * (own_theta / start) ** narrowed
    narrowest = place[THETA].min(initial=np.inf)
    desk.blur[0] = 0.0 if done[BLUR] == 1.0 else 0.3 * narrowest * 10.0 ** (-9.0 * done[BLUR])


def spread_of(desk: Desk, own: Wedges) -> float:
    """A dispersion so wide that sourcing hardly answers prices, USD/kg."""
    sellers, arcs = desk.size[ORIGINS], desk.size[ARCS]
    faced = desk.link[LAST_PLACE, :sellers] - desk.link[FIRST_PLACE, :sellers]
    price = np.repeat(desk.value[SELLER_PRICE, :sellers], faced)
    cost = own[0] * price + desk.value[ADDITION, :arcs] - desk.value[QUALITY, :arcs]
    cost = cost[np.isfinite(cost)]
    return float(np.ptp(cost)) if cost.size else 0.0


def remember(desk: Desk) -> Place:
    """Copies of where every seller is."""
    piece, value = desk.link[SELLER_PIECE], desk.value
    return piece.copy(), value[SELLER_PRICE].copy(), value[SELLER_QUANTITY].copy()


def return_to(desk: Desk, place: Place) -> None:
    """Put every seller back where it was."""
    desk.link[SELLER_PIECE], desk.value[SELLER_PRICE], desk.value[SELLER_QUANTITY] = place


def start_from(batch: Batch, desk: Desk, c: int) -> Start:
    """Where the sellers of the desk's cluster are, as a start for it."""
    markets, origins, _ = batch.log_weight.shape
    price = np.full((markets, origins), np.nan)
    sold = np.zeros((markets, origins, 1))
    rent = np.zeros(batch.limit.size)
    sellers, split = desk.size[SELLERS], desk.size[ORIGINS]
    name, local = desk.link[NAME, :sellers], desk.link[SELLER_MARKET, :split]
    here, offered = desk.value[SELLER_PRICE], desk.value[SELLER_QUANTITY]
    market = batch.cluster_market[batch.market_from[c] + local]
    price[market, name[:split]] = here[:split]
    sold[market, name[:split], 0] = offered[:split]
    rent[name[split:]] = here[split:sellers]
    return Start(price, sold, rent)
