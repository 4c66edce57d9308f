"""A cold solve under quotas and bans against SciPy's hybrid method without them."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.optimize import root

from abm.market import Problem, clear
from benchmarks.core import seconds_of, solve_seconds
from benchmarks.markets import markets, single, with_controls
from benchmarks.rows import Measured, at_least, at_most

Curve = Callable[[np.ndarray], np.ndarray]

TANGENT_BELOW = 0.01
SOUND = 1e-6  # largest residual, relative to volume, at which SciPy's answer counts


class Residual:
    """Excess supply of each origin of one market without limits, in vectorised NumPy."""

    def __init__(self, problem: Problem) -> None:
        offset = problem.firm_offset[0]
        most = int(np.diff(offset).max())
        shape = (problem.shape[1], most)
        self.capacity, self.low, self.width = np.zeros(shape), np.zeros(shape), np.ones(shape)
        for i, (first, last) in enumerate(pairwise(offset)):
            firms = slice(0, last - first)
            self.capacity[i, firms] = problem.capacity[first:last]
            self.low[i, firms] = problem.low_ask[first:last]
            self.width[i, firms] = problem.high_ask[first:last] - problem.low_ask[first:last]
        self.volume = self.capacity.sum()
        self.theta = problem.dispersion[0]
        self.factor, self.log_weight = problem.price_factor[0], problem.log_weight[0]
        self.constant = problem.log_weight[0] - problem.price_addition[0] / self.theta
        self.need, self.reference = problem.need[0], problem.reference_price[0]
        self.elasticity, self.backstop = problem.elasticity[0], problem.backstop_price[0]
        self.fall = problem.choke_price[0] - problem.backstop_price[0]
        self.bid, self.bid_high = problem.bid_quantity[0], problem.bid_high[0]
        self.bid_width = problem.bid_high[0] - problem.bid_low[0]

    def __call__(self, price: np.ndarray) -> np.ndarray:
        """Supply less sales of each origin, relative to the market's capacity [I]."""
        offered = self.capacity * ((price[:, None] - self.low) / self.width).clip(0.0, 1.0)
        appeal = self.constant - self.factor * (price[:, None] / self.theta)
        top = appeal.max(axis=0)
        pull = np.exp(appeal - top)
        total = pull.sum(axis=0)
        wanted = self.demand(-self.theta * (top + np.log(total)))
        return (offered.sum(axis=1) - pull @ (wanted / total)) / self.volume

    def demand(self, price: np.ndarray) -> np.ndarray:
        """Demand of each destination at its landed price, t/month [J]."""
        at = price[:, None]
        ratio = np.minimum(at, self.backstop) / self.reference
        inside = np.maximum(ratio, TANGENT_BELOW)
        beyond = 1.0 - self.elasticity * np.minimum(ratio - inside, 0.0) / TANGENT_BELOW
        kept = (1.0 - (at - self.backstop) / self.fall).clip(0.0, 1.0)
        wanted = self.need * inside**-self.elasticity * beyond * kept
        bids = self.bid * ((self.bid_high - at) / self.bid_width).clip(0.0, 1.0)
        return wanted.sum(axis=1) + bids.sum(axis=1)

    def start(self) -> np.ndarray:
        """Prices [I] at which each origin offers seven tenths of its capacity."""
        low, high = self.low.min(axis=1), (self.low + self.width).max(axis=1)
        for _ in range(40):
            middle = (low + high) / 2.0
            ramp = ((middle[:, None] - self.low) / self.width).clip(0.0, 1.0)
            enough = (self.capacity * ramp).sum(axis=1) >= 0.7 * self.capacity.sum(axis=1)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return middle


def hybr(problem: Problem, repeats: int) -> tuple[float, np.ndarray | None]:
    """Seconds of the quicker of two ways to pose it, and the prices; None where both failed.

    Unknown are the prices or their logarithms; building the arrays and the start is not timed.
    """
    residual = Residual(problem)
    start = residual.start()
    best, answer = float("inf"), None
    ways: tuple[tuple[Curve, np.ndarray, Curve], ...] = (
        (residual, start, np.asarray),
        (lambda x: residual(np.exp(x)), np.log(start), np.exp),
    )
    for function, first, price_of in ways:
        with np.errstate(all="ignore"):
            found = root(function, first, method="hybr")
            price = price_of(found.x)
            if not np.abs(residual(price)).max() <= SOUND:
                continue
            seconds = seconds_of(partial(root, function, first, method="hybr"), repeats)
        if seconds < best:
            best, answer = seconds, price
    return best, answer


def measure(instances: int, repeats: int, seed: int) -> Measured:
    """Rows of the comparison over so many random markets of the reference size."""
    measured = Measured()
    free = markets(np.random.default_rng(seed), instances)
    unlimited = clear(free)
    limited = with_controls(free, unlimited)
    per_market = solve_seconds(limited, repeats)[1] / instances
    ours, theirs, gaps = [], [], []
    for b in range(instances):
        alone = single(free, b)
        seconds, price = hybr(alone, repeats)
        if price is None:
            continue
        found = clear(alone)
        gaps.append(np.abs(price / found.origin_price[0] - 1.0).max())
        ours.append(solve_seconds(with_controls(alone, found), repeats)[0])
        theirs.append(seconds)
    ratios = np.array(theirs) / np.array(ours)
    goal = at_least(30.0)
    measured.add("cold solve with limits, one call each", 1e6 * np.array(ours), "µs")
    measured.add("SciPy hybr without limits", 1e6 * np.array(theirs), "µs")
    measured.add("SciPy hybr ÷ cold solve, one call each", ratios, "×", goal)
    batched = np.array(theirs) / per_market
    measured.add("SciPy hybr ÷ cold solve, within one batch", batched, "×", goal)
    measured.add("largest gap of prices to SciPy, no limits", max(gaps), "relative", at_most(SOUND))
    measured.add("markets on which SciPy hybr failed", instances - len(gaps), f"of {instances}")
    for place, (how, each) in enumerate((("one call", ratios), ("in a batch", batched))):
        measured.draw("times quicker than", f"SciPy,\n{how}", [place] * len(each), each)
    return measured
