"""Log weights or freights that make a market trade what was observed.

What flows can tell. On an arc only `log_weight - price_addition/dispersion` moves the shares, so
weights and freights are never both identified: fix one, fit the other. Of the one that is fitted,
flows leave open

- its level over all arcs of an origin that sells its whole capacity, whose price takes up the
  difference (with equal price factors);
- its level over all arcs of a destination whose demand does not answer prices;
- its level over all arcs of a binding limit, whose rent takes up the difference;
- a freight under a binding floor, where the price does not contain it, and anything on closed arcs.

What is left open stays at the problem's own value, as near as the rest allows.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.linalg import LinearOperator, lsmr

from abm.market.clearing import Clearing, MarketNotCleared, clear, open_arcs
from abm.market.problem import Problem
from abm.market.sensitivity import Sensitivity

MILD = 1e-2  # damping, relative to the answer of log flows to a value, that starts and ends it


@dataclass(frozen=True)
class Fit:
    """A problem fitted to flows, and how it clears."""

    problem: Problem  # with the fitted numbers
    clearing: Clearing
    misfit: float  # worst |flow - observed| over the observed volume
    steps: int  # of the search
    converged: bool  # whether it ended by itself


def log_weights(
    flow: np.ndarray, delivered_price: np.ndarray, landed_price: np.ndarray, dispersion: np.ndarray
) -> np.ndarray:
    """Weights under which buyers choose these flows at these prices, [B, I, J].

    `flow` [B, I, J] in t/month, `delivered_price` [B, I, J] and `landed_price` [B, J] in USD/kg,
    `dispersion` [B] in USD/kg. Solves the logit for log w = log share + (p - P)/dispersion, -inf
    where nothing flows. The problem clears at these flows if its demands at the landed prices and
    its supplies at the origin prices are those of the flows; the landed prices fix the level of a
    destination's weights, which shares alone leave open.

    Raises ValueError where an arc with a flow lacks a finite price.
    """
    traded = flow > 0.0
    unpriced = traded & ~np.isfinite(delivered_price - landed_price[:, None, :])
    if unpriced.any():
        b, i, j = (int(n) for n in np.argwhere(unpriced)[0])
        raise ValueError(
            f"flow[{b}, {i}, {j}] is {flow[b, i, j]:g} t/month, but the arc's delivered or landed "
            "price is not a finite number; give both where something flows."
        )
    bought = flow.sum(axis=1, keepdims=True)
    share = np.where(traded, flow, 1.0) / np.where(bought > 0.0, bought, 1.0)
    above = np.where(traded, delivered_price - landed_price[:, None, :], 0.0)
    return np.where(traded, np.log(share) + above / dispersion[:, None, None], -np.inf)


def fit(
    problem: Problem,
    flow: np.ndarray,
    number: str = "price_addition",
    *,
    free: np.ndarray | None = None,
    observed: np.ndarray | None = None,
    ridge: float = 1e-12,
    tolerance: float = 1e-9,
    most_steps: int = 50,
) -> Fit:
    """Fit freights ("price_addition") or weights ("log_weight") to flows, by least squares.

    Minimises the squares of log(flow/observed flow) over the `observed` arcs ([B, I, J], by default
    those with a positive flow) plus `ridge` times the squared distance from the problem's own
    values, in units of the dispersion for freights. `free` [B, I, J] tells which values may change,
    by default all open arcs. `flow` [B, I, J] is in t/month. The search is damped Gauss-Newton with
    exact derivatives; it ends when no value moves by more than `tolerance` of its unit.

    Raises ValueError for an observed flow on an arc that is closed or not positive, and
    MarketNotCleared where the problem does not clear as it is.
    """
    if number not in ("price_addition", "log_weight"):
        raise ValueError(f"number is {number!r}; fit 'price_addition' or 'log_weight'.")
    usable = open_arcs(problem)
    observed = flow > 0.0 if observed is None else observed.astype(bool)
    free = usable if free is None else free.astype(bool) & usable
    refuse_impossible(problem, flow, observed, usable)
    search = Search(problem, flow, number, free, observed, ridge)
    steps, converged = search.run(tolerance, most_steps)
    gap = np.abs(search.clearing.flow - flow)[observed].max(initial=0.0)
    misfit = float(gap / max(flow[observed].sum(), np.finfo(float).tiny))
    return Fit(search.trial, search.clearing, misfit, steps, converged)


def refuse_impossible(
    problem: Problem, flow: np.ndarray, observed: np.ndarray, usable: np.ndarray
) -> None:
    """Raise for the first observed flow that no freight and no weight can bring about."""
    bad = observed & (~usable | ~(flow > 0.0))
    if not bad.any():
        return
    b, i, j = (int(n) for n in np.argwhere(bad)[0])
    arc = f"{problem.country(i)} to {problem.country(j)} in {problem.market(b)}"
    raise ValueError(
        f"The observed flow from {arc} is {flow[b, i, j]:g} t/month; it must be positive and its "
        "arc open. Open the arc, or take it out of `observed`."
    )


class Search:
    """The least-squares problem of `fit`, and the way to its solution (Levenberg-Marquardt)."""

    def __init__(
        self,
        problem: Problem,
        flow: np.ndarray,
        number: str,
        free: np.ndarray,
        observed: np.ndarray,
        ridge: float,
    ) -> None:
        self._number = number
        self._free = free
        self._observed = observed
        self._log_flow = np.log(flow[observed])
        self._weight = np.sqrt(ridge)
        unit = problem.dispersion if number == "price_addition" else np.ones(free.shape[0])
        self._unit = np.broadcast_to(unit[:, None, None], free.shape)[free]
        self._start = getattr(problem, number)[free] / self._unit
        self.trial = problem
        self.clearing = clear(problem)

    def run(self, tolerance: float, most_steps: int) -> tuple[int, bool]:
        """Search until no value moves by more than `tolerance`; returns steps and whether so."""
        values = self._start
        residual = self._residual(values, self.clearing)
        damping = 0.0
        for step in range(most_steps):
            jacobian = self._jacobian()
            move = lsmr(jacobian, -residual, damp=damping, atol=1e-8, btol=1e-8)[0]
            if np.abs(move).max(initial=0.0) <= tolerance:
                return step, True
            if self._accept(values + move, residual):
                values = values + move
                residual = self._residual(values, self.clearing)
                damping = damping / 10.0 if damping > MILD else 0.0
            else:
                damping = max(5.0 * damping, MILD)
        return most_steps, False

    def _accept(self, values: np.ndarray, residual: np.ndarray) -> bool:
        """Whether the market clears at these values with a smaller misfit; keeps it if so."""
        numbers = getattr(self.trial, self._number).copy()
        numbers[self._free] = values * self._unit
        trial = replace(self.trial, **{self._number: numbers})
        try:
            clearing = clear(trial, start=self.clearing)
        except MarketNotCleared:
            return False
        tried = self._residual(values, clearing)
        if not tried @ tried < residual @ residual:
            return False
        self.trial, self.clearing = trial, clearing
        return True

    def _residual(self, values: np.ndarray, clearing: Clearing) -> np.ndarray:
        flow = np.maximum(clearing.flow[self._observed], np.finfo(float).tiny)
        distance = self._weight * (values - self._start)
        return np.concatenate([np.log(flow) - self._log_flow, distance])

    def _jacobian(self) -> LinearOperator:
        sensitivity = Sensitivity(self.trial, self.clearing)
        arcs, values = self._log_flow.size, self._start.size
        scale = 1.0 / np.maximum(self.clearing.flow[self._observed], np.finfo(float).tiny)

        def forward(change: np.ndarray) -> np.ndarray:
            spread = np.zeros(self._free.shape)
            spread[self._free] = change * self._unit
            moved = sensitivity.forward({self._number: spread})["flow"][self._observed]
            return np.concatenate([moved * scale, self._weight * change])

        def adjoint(weight: np.ndarray) -> np.ndarray:
            spread = np.zeros(self._free.shape)
            spread[self._observed] = weight[:arcs] * scale
            gradient = sensitivity.adjoint({"flow": spread})[self._number][self._free]
            return gradient * self._unit + self._weight * weight[arcs:]

        return LinearOperator(
            (arcs + values, values), matvec=forward, rmatvec=adjoint, dtype=np.float64
        )
