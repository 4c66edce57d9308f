"""Clear one market the slow, obvious way, to judge the compiled core by.

Nothing is shared with the core but the meaning of the numbers. Unknown are the origins' prices and
the rents. Each in turn is put where its own excess is zero, by plain bisection with the others held
(Gauss-Seidel), until none moves. Slow to settle, so a root finder of SciPy polishes what is left
where no kink is near.
"""

import numpy as np
from scipy.optimize import root

from abm.market import Problem


class Reference:
    """The first market of a `Problem`, priced and cleared with plain NumPy."""

    def __init__(self, problem: Problem) -> None:
        self.p = problem
        _, self.origins, self.destinations = problem.shape
        self.limits = [self.arcs_of(g) for g in range(problem.limit.size)]
        self.open = problem.log_weight[0] > -np.inf
        for i in range(self.origins):
            self.open[i] &= problem.capacity[self.firms(i)].sum() > 0
        for g, arcs in enumerate(self.limits):
            if problem.limit[g] == 0:
                self.open &= ~arcs
        self.sellers = [i for i in range(self.origins) if self.open[i].any()]
        self.rights = [g for g in range(problem.limit.size) if problem.limit[g] > 0]

    def arcs_of(self, g: int) -> np.ndarray:
        arcs = np.zeros((self.origins, self.destinations), bool)
        rows = slice(self.p.limit_offset[g], self.p.limit_offset[g + 1])
        arcs[self.p.limit_origin[rows], self.p.limit_destination[rows]] = True
        return arcs

    def firms(self, i: int) -> slice:
        return slice(self.p.firm_offset[0, i], self.p.firm_offset[0, i + 1])

    def supply(self, i: int, price: float) -> float:
        rows = self.firms(i)
        low, high = self.p.low_ask[rows], self.p.high_ask[rows]
        return float((self.p.capacity[rows] * np.clip((price - low) / (high - low), 0, 1)).sum())

    def demand(self, j: int, price: float) -> float:
        p, total = self.p, 0.0
        for h in range(p.need.shape[2]):
            need, reference = p.need[0, j, h], p.reference_price[0, j, h]
            elasticity = p.elasticity[0, j, h]
            backstop, choke = p.backstop_price[0, j, h], p.choke_price[0, j, h]
            ratio = min(price, backstop) / reference
            edge = 0.01
            if ratio >= edge:
                wanted = need * ratio**-elasticity
            else:
                wanted = need * edge**-elasticity * (1 - elasticity * (ratio - edge) / edge)
            if price > backstop:
                wanted *= max(0.0, (choke - price) / (choke - backstop))
            total += wanted
        for n in range(p.bid_quantity.shape[2]):
            low, high = p.bid_low[0, j, n], p.bid_high[0, j, n]
            total += p.bid_quantity[0, j, n] * np.clip((high - price) / (high - low), 0, 1)
        return total

    def delivered(self, price: np.ndarray, rent: np.ndarray) -> np.ndarray:
        p = self.p
        paid = p.price_factor[0] * price[:, None] + p.price_addition[0]
        for g, arcs in enumerate(self.limits):
            paid = paid + rent[g] * arcs
        return np.where(p.floor_price[0] > 0, np.maximum(paid, p.floor_price[0]), paid)

    def flow(self, price: np.ndarray, rent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flows [origin, destination] and landed prices [destination] at given prices and rents."""
        theta = self.p.dispersion[0]
        appeal = np.where(
            self.open, self.p.log_weight[0] - self.delivered(price, rent) / theta, -np.inf
        )
        flow = np.zeros((self.origins, self.destinations))
        landed = np.full(self.destinations, np.inf)
        for j in range(self.destinations):
            if self.open[:, j].any():
                top = appeal[:, j].max()
                pull = np.exp(appeal[:, j] - top)
                landed[j] = -theta * (top + np.log(pull.sum()))
                flow[:, j] = self.demand(j, landed[j]) * pull / pull.sum()
        return flow, landed

    def excess(self, price: np.ndarray, rent: np.ndarray) -> np.ndarray:
        """Supply less sales of each seller, then room under each limit."""
        flow, _ = self.flow(price, rent)
        origins = [self.supply(i, price[i]) - flow[i].sum() for i in self.sellers]
        rights = [self.p.limit[g] - flow[self.limits[g]].sum() for g in self.rights]
        return np.array(origins + rights)

    def bisect(self, price: np.ndarray, rent: np.ndarray, n: int, high: float) -> None:
        """Put one price or rent where its own excess is zero; a rent stays at or above zero."""
        is_rent = n >= len(self.sellers)
        values = rent if is_rent else price
        k = self.rights[n - len(self.sellers)] if is_rent else self.sellers[n]
        low = 0.0 if is_rent else float(self.p.low_ask[self.firms(k)].min())
        values[k] = low
        if self.excess(price, rent)[n] >= 0:
            return
        for _ in range(60):
            values[k] = (low + high) / 2
            if self.excess(price, rent)[n] < 0:
                low = values[k]
            else:
                high = values[k]
        values[k] = (low + high) / 2

    def clear(self, sweeps: int = 400) -> tuple[np.ndarray, np.ndarray]:
        """Prices [I] and rents [G] that clear the market."""
        price = np.zeros(self.origins)
        rent = np.zeros(self.p.limit.size)
        finite = [self.p.high_ask.max(), self.p.bid_high.max(initial=0.0)]
        finite.append(self.p.choke_price[self.p.need > 0].max(initial=0.0))
        high = 3.0 * max(finite) + 1.0
        for i in self.sellers:
            price[i] = self.p.low_ask[self.firms(i)].min()
        unknowns = len(self.sellers) + len(self.rights)
        for sweep in range(sweeps):
            before = np.concatenate([price, rent])
            for n in range(unknowns):
                self.bisect(price, rent, n, high)
            if np.abs(np.concatenate([price, rent]) - before).max(initial=0.0) < 1e-12 * high:
                break
            if sweep % 10 == 9 and self.polish(price, rent):
                break
        return price, rent

    def polish(self, price: np.ndarray, rent: np.ndarray) -> bool:
        """Try SciPy's root finder on what is not at a bound; keep its answer if it clears."""
        bound = [g for g in self.rights if rent[g] > 0]
        volume = self.flow(price, rent)[0].sum() + 1e-300
        active = [n for n in range(len(self.sellers))]
        active += [len(self.sellers) + self.rights.index(g) for g in bound]

        def gaps(x: np.ndarray) -> np.ndarray:
            trial, rents = price.copy(), rent.copy()
            trial[self.sellers] = x[: len(self.sellers)]
            rents[bound] = x[len(self.sellers) :]
            return self.excess(trial, rents)[active] / volume

        start = np.concatenate([price[self.sellers], rent[bound]])
        found = root(gaps, start, tol=1e-14)
        sound = np.abs(gaps(found.x)).max(initial=0.0) < 1e-12
        sound &= (found.x[len(self.sellers) :] >= 0).all()
        if not sound:
            return False
        trial, rents = price.copy(), rent.copy()
        trial[self.sellers] = found.x[: len(self.sellers)]
        rents[bound] = found.x[len(self.sellers) :]
        if (self.excess(trial, rents)[len(self.sellers) :] < -1e-12 * volume).any():
            return False
        price[:], rent[:] = trial, rents
        return True
