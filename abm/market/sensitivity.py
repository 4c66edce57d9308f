"""How a clearing answers the numbers of its problem: exact derivatives, forward and adjoint.

At a clearing every seller is at a known place of its supply curve and every binding limit is a
seller of rights that sells all of them. Differentiating these conditions gives one linear system
per group of markets that share a binding limit (implicit function theorem). Its unknowns are the
changes of origin prices and rents; flows, landed prices and sales follow from them.

The derivatives hold between kinks: where a price meets an ask, a backstop, a choke price, the end
of a bid or a floor, or where a limit begins to bind, the curves have two slopes and one of them is
taken. `Sensitivity.kinks` tells where that is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components

from abm.market.clearing import Clearing
from abm.market.kernel import NARROWEST_RAMP, TANGENT_BELOW
from abm.market.problem import Problem

FIRM_NUMBERS = ("capacity", "low_ask", "high_ask")
TERM_NUMBERS = ("need", "reference_price", "elasticity", "backstop_price", "choke_price")
BID_NUMBERS = ("bid_quantity", "bid_low", "bid_high")
COST_NUMBERS = ("price_factor", "price_addition", "floor_price")
NUMBERS = (
    *FIRM_NUMBERS, *TERM_NUMBERS, *BID_NUMBERS, *COST_NUMBERS, "log_weight", "dispersion", "limit",
)  # fmt: skip
RESULTS = (
    "origin_price", "rent", "flow", "delivered_price", "landed_price", "average_price", "demand",
    "sales",
)  # fmt: skip

SINGULAR = 1e-12  # singular values below this part of the largest count as zero
LOST = 1e-10  # a fall of sales below this part of its gross is rounding
NOTICEABLE = 1e-6  # part of a null direction that counts as moving a price


@dataclass(frozen=True)
class Kinks:
    """Where a clearing lies at, or very near, a place where two slopes meet."""

    seller: np.ndarray  # [B, I] the price meets an ask, or a step is just begun or just sold out
    demand: np.ndarray  # [B, J] the landed price meets a backstop, a choke price or a bid's end
    floor: np.ndarray  # [B, I, J] the price meets its floor from below or above
    limit: np.ndarray  # [G] full without a noticeable rent

    def any(self) -> bool:
        """Whether any derivative may be one-sided."""
        return any(bool(place.any()) for place in vars(self).values())


class Sensitivity:
    """The derivatives of a clearing by every number of its problem.

    `forward` takes changes of the problem's numbers to changes of the results; `adjoint` takes a
    scalar's partial derivatives by the results to its gradient by the numbers, all of them at the
    price of one solution. Names and shapes are those of `Problem` and `Clearing`, which must be
    what `clear` returned for the problem; derivatives are zero where nothing is open.

    `near` is how close to a kink, relative to the price, `kinks` reports it. Firms that tie on a
    step are taken to move their asks together, each by its share of the step; on a step, low and
    high ask count by the part unsold and sold.

    Where binding limits do the same work, the sum of their rents is determined but not its parts:
    `undetermined_rent` [G] and `undetermined_price` [B, I] name those concerned, and their changes
    are those of least norm. Flows and landed prices do not depend on that choice.

    Raises ValueError where prices themselves are not determined, so that no derivative exists.
    """

    def __init__(self, problem: Problem, clearing: Clearing, *, near: float = 1e-7) -> None:
        if clearing.flow.shape != problem.shape or clearing.rent.shape != problem.limit.shape:
            raise ValueError(
                f"The clearing has {clearing.flow.shape} markets, origins and destinations and "
                f"{clearing.rent.size} limits, the problem {problem.shape} and "
                f"{problem.limit.size}; give a clearing of this problem."
            )
        self.problem = problem
        self._shapes = {name: getattr(clearing, name).shape for name in RESULTS}
        self._supply = supply_at(problem, clearing, near)
        self._demand = demand_at(problem, clearing, near)
        self._binding = (clearing.rent > 0.0) & (problem.limit > 0.0)
        self._costs = costs_at(problem, clearing, near)
        self._buyers = buyers_at(problem, clearing, self._demand.slope)
        trades = np.isfinite(clearing.delivered_price)
        self._paid = Payments(problem, self._buyers, self._costs, self._binding, trades)
        self._offered = np.isfinite(clearing.origin_price).ravel()
        self.kinks = Kinks(
            self._supply.kink, self._demand.kink, self._costs.kink,
            barely_binding(problem, clearing, near),
        )  # fmt: skip
        undetermined = self._solve_components()
        origins = clearing.origin_price.size
        self.undetermined_price = undetermined[:origins].reshape(clearing.origin_price.shape)
        self.undetermined_rent = undetermined[origins:]

    def forward(self, change: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Changes of the results, per unit of a change of the problem's numbers.

        `change` names numbers of `Problem`, each with an array of its shape or one that broadcasts
        to it. Returns every name in `RESULTS`, with the shapes of `Clearing`.
        """
        shapes = {name: getattr(self.problem, name).shape for name in NUMBERS}
        change = completed("change", change, shapes)
        supply, buyers = self._supply, self._buyers
        origins = supply.rides.size
        offered = answered(supply.by, change)
        wanted = self._demand.wanted(change)
        cost = answered(self._costs.by, change)
        tastes = change["log_weight"], change["dispersion"]
        at_once = buyers.forward(cost, *tastes, wanted)
        gap = self._paid.receipts(at_once["flow"])
        gap[:origins] -= supply.by_origin(offered)
        gap[:origins][supply.rides] = supply.step_price(change)
        gap[origins:] -= change["limit"]
        price = self._inverted(gap)
        result = buyers.forward(cost + self._paid.passed_on(price), *tastes, wanted)
        sold = result["flow"].sum(axis=2).ravel()
        result["sales"] = supply.sales(offered, price[:origins], sold, change)
        result["origin_price"] = price[:origins].reshape(result["flow"].shape[:2])
        result["rent"] = price[origins:]
        return result

    def adjoint(self, weight: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The gradient of a scalar by all numbers of the problem.

        `weight` holds the scalar's partial derivatives by results, named as in `RESULTS`, each with
        an array of its shape or one that broadcasts to it. Returns every name in `NUMBERS`.
        """
        weight = completed("weight", weight, self._shapes)
        supply, buyers = self._supply, self._buyers
        origins = supply.rides.size
        gradient = {name: np.zeros(getattr(self.problem, name).shape) for name in NUMBERS}
        offered, by_price, sold = supply.adjoint_sales(weight["sales"], gradient)
        weight["flow"] = weight["flow"] + sold.reshape(self._shapes["origin_price"])[:, :, None]
        price = self._paid.collected(buyers.adjoint(weight)["cost"])
        price[:origins] += weight["origin_price"].ravel() + by_price
        price[origins:] += weight["rent"]
        gap = self._inverted(price, transposed=True)
        supply.adjoint_step_price(gap[:origins], gradient)
        gap[:origins][supply.rides] = 0.0
        weight["flow"] = weight["flow"] + self._paid.receipts_adjoint(gap)
        back = buyers.adjoint(weight)
        offered = offered - gap[:origins][supply.origin]
        gradient["limit"] -= gap[origins:]
        gradient["log_weight"] += back["taste"]
        gradient["dispersion"] += back["dispersion"]
        for name, by in supply.by.items():
            gradient[name] += by * offered
        for name, by in self._demand.by.items():
            gradient[name] += by * back["wanted"][:, :, None]
        for name, by in self._costs.by.items():
            gradient[name] += by * back["cost"]
        return gradient

    def _solve_components(self) -> np.ndarray:
        """Invert each component's system; returns which sellers' prices are not determined."""
        rides = np.concatenate([self._supply.rides, np.zeros(self._binding.size, bool)])
        slope = np.concatenate(
            [self._supply.by_origin(self._supply.slope), np.zeros(self._binding.size)]
        )
        fall = self._paid.fall
        own, gross = fall.diagonal(), self._paid.gross_fall
        self._scale = np.where(rides, 1.0, slope + np.where(own > LOST * gross, own, gross))
        active = np.concatenate([self._offered, self._binding]) & (self._scale > 0.0)
        undetermined = np.zeros(active.size, bool)
        self._parts = []
        for sellers in components(self.problem, self._binding, active):
            matrix = fall[sellers][:, sellers].toarray()
            matrix[np.diag_indices(sellers.size)] += slope[sellers]
            matrix /= self._scale[sellers, None]
            matrix[rides[sellers]] = np.eye(sellers.size)[rides[sellers]]
            inverse, null = inverse_of(matrix)
            self._parts.append((sellers, inverse))
            if null.size:
                self._refuse_undetermined(sellers, null)
                undetermined[sellers] = (np.abs(null) > NOTICEABLE).any(axis=0)
        return undetermined

    def _refuse_undetermined(self, sellers: np.ndarray, null: np.ndarray) -> None:
        """Raise where a direction that changes no sale changes the price somebody pays."""
        for direction in null:
            price = np.zeros(self._scale.size)
            price[sellers] = direction
            moved = np.abs(self._paid.passed_on(price)) * (self._buyers.share > SINGULAR)
            if moved.max(initial=0.0) > NOTICEABLE:
                b = int(np.argmax(moved.max(axis=(1, 2))))
                raise ValueError(
                    f"{self.problem.market(b)} has no derivative at this clearing: no sale answers "
                    "the level of its prices. Give its demand an elasticity, a bid or a choke "
                    "price in reach, or its firms asks that rise."
                )

    def _inverted(self, gap: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """Solve the systems for price changes; transposed, for the weights of the gaps."""
        solution = np.zeros(gap.size)
        for sellers, inverse in self._parts:
            if transposed:
                solution[sellers] = (inverse.T @ gap[sellers]) / self._scale[sellers]
            else:
                solution[sellers] = inverse @ (gap[sellers] / self._scale[sellers])
        return solution


@dataclass(frozen=True)
class Supply:
    """Firms at their origins' prices. Origins are numbered b x I + i."""

    origin: np.ndarray  # [F]
    slope: np.ndarray  # [F] t/month per USD/kg; zero on a step
    by: dict[str, np.ndarray]  # [F] change of a firm's offer by its own numbers; zero on a step
    rides: np.ndarray  # [B x I] whether the price is that of a step that is partly sold
    marginal: np.ndarray  # [F] whether the firm is on that step
    capacity: np.ndarray  # [F] t/month
    part: np.ndarray  # [B x I] of the step that is sold
    step: np.ndarray  # [B x I] t/month, its capacity; 1 without a step
    kink: np.ndarray  # [B, I]

    def by_origin(self, values: np.ndarray) -> np.ndarray:
        """Sums over the firms of each origin."""
        return np.bincount(self.origin, values, self.rides.size)

    def _ask_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """What a marginal firm's low and high ask count for in the price of its step."""
        size = self.marginal * self.capacity / self.step[self.origin]
        part = self.part[self.origin]
        return size * (1.0 - part), size * part

    def step_price(self, change: Mapping[str, np.ndarray]) -> np.ndarray:
        """Changes of the prices of origins that ride on a step."""
        weights = dict(zip(("low_ask", "high_ask"), self._ask_weights(), strict=True))
        return self.by_origin(answered(weights, change))[self.rides]

    def adjoint_step_price(self, weight: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        low, high = self._ask_weights()
        gradient["low_ask"] += low * weight[self.origin]
        gradient["high_ask"] += high * weight[self.origin]

    def sales(
        self,
        offered: np.ndarray,
        price: np.ndarray,
        sold: np.ndarray,
        change: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Changes of firms' sales; the firms on a step share pro rata what is left to them."""
        sales = offered + self.slope * price[self.origin]
        own = self.marginal * self.part[self.origin] * change["capacity"]
        left = sold - self.by_origin(sales + own)
        share = self.marginal * self.capacity / self.step[self.origin]
        return sales + own + share * left[self.origin]

    def adjoint_sales(
        self, weight: np.ndarray, gradient: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights of offers [F], of prices and of tonnes sold [B x I]; capacities on the way."""
        share = self.marginal * self.capacity / self.step[self.origin]
        sold = self.by_origin(share * weight)
        rest = weight - sold[self.origin]
        gradient["capacity"] += self.marginal * self.part[self.origin] * rest
        return rest, self.by_origin(self.slope * rest), sold


def supply_at(problem: Problem, clearing: Clearing, near: float) -> Supply:
    """Where each firm stands at its origin's price, and what its offer answers."""
    p = problem
    places = clearing.origin_price.size
    origin, placed = origin_of_firms(p)
    price = np.where(placed, clearing.origin_price.ravel()[origin], np.nan)
    width = p.high_ask - p.low_ask
    usable = (p.capacity > 0.0) & np.isfinite(price)
    marginal = usable & (width <= 0.0) & (price == p.low_ask)
    ramp = usable & (width > 0.0) & (price >= p.low_ask) & (price < p.high_ask)
    full = (price > p.low_ask) & ~ramp & ~marginal
    span = np.where(ramp, width, 1.0)
    slope = np.where(ramp, p.capacity / span, 0.0)
    above = np.where(ramp, (price - p.low_ask) / span, full)
    rides = np.bincount(origin, marginal, places) > 0.0
    step = np.bincount(origin, marginal * p.capacity, places)
    sold = np.bincount(origin, marginal * clearing.sales, places)
    part = np.where(rides, sold / np.where(rides, step, 1.0), 0.0)
    ends = rides & ((part <= near) | (part >= 1.0 - near))
    beside = usable & ~marginal & beside_an_ask(p, origin, usable, price, near)
    kink = ends | (np.bincount(origin, beside, places) > 0.0)
    return Supply(
        origin=origin,
        slope=slope,
        by={
            "capacity": above.astype(float),
            "low_ask": -slope * (1.0 - above),
            "high_ask": -slope * above,
        },
        rides=rides,
        marginal=marginal,
        capacity=p.capacity,
        part=part,
        step=np.where(rides, step, 1.0),
        kink=kink.reshape(clearing.origin_price.shape),
    )


def beside_an_ask(
    problem: Problem, origin: np.ndarray, usable: np.ndarray, price: np.ndarray, near: float
) -> np.ndarray:
    """[F] whether the price at a firm's origin is near where its ramp begins or ends."""
    theta = np.repeat(problem.dispersion, problem.shape[1])
    close = near * np.maximum(np.abs(price), theta[origin])
    lowest = np.full(theta.size, np.inf)
    np.minimum.at(lowest, origin[usable], problem.low_ask[usable])
    # No price falls below the lowest ask, since a little is always bought: no kink there.
    inner = problem.low_ask > lowest[origin]
    foot = inner & (np.abs(price - problem.low_ask) <= close)
    return foot | (np.abs(price - problem.high_ask) <= close)


@dataclass(frozen=True)
class Demand:
    """Demand at the landed prices."""

    slope: np.ndarray  # [B, J] t/month per USD/kg
    by: dict[str, np.ndarray]  # [B, J, H] or [B, J, N] change of demand by its numbers
    kink: np.ndarray  # [B, J]

    def wanted(self, change: Mapping[str, np.ndarray]) -> np.ndarray:
        """Changes of demand at unchanged landed prices, [B, J]."""
        total = np.zeros(self.slope.shape)
        for name, by in self.by.items():
            total += (by * change[name]).sum(axis=2)
        return total


def demand_at(problem: Problem, clearing: Clearing, near: float) -> Demand:
    """Slopes of the demand terms and bids, by price and by their own numbers."""
    p = problem
    served = np.isfinite(clearing.landed_price)[:, :, None]
    price = np.where(served, clearing.landed_price[:, :, None], 1.0)
    reference = np.where(p.reference_price > 0.0, p.reference_price, 1.0)
    above = price > p.backstop_price
    ratio = np.minimum(price, p.backstop_price) / reference
    tangent = ratio < TANGENT_BELOW
    base = np.where(tangent, TANGENT_BELOW, ratio)
    power = base**-p.elasticity
    beyond = np.where(tangent, 1.0 - ratio / TANGENT_BELOW, 0.0)
    unit = power * (1.0 + p.elasticity * beyond)
    by_edge = -p.elasticity * power / (reference * base)
    by_elasticity = power * beyond - np.log(base) * unit
    left, by_price, by_backstop, by_choke, top = falling_ramp(
        price, p.backstop_price, p.choke_price
    )
    bought, bid_by_price, by_low, by_high, bid_top = falling_ramp(price, p.bid_low, p.bid_high)
    slope = (p.need * (by_edge * left * ~above + unit * by_price)).sum(axis=2)
    slope += (p.bid_quantity * bid_by_price).sum(axis=2)
    by = {
        "need": unit * left,
        "reference_price": -p.need * by_edge * ratio * left,
        "elasticity": p.need * by_elasticity * left,
        "backstop_price": p.need * (by_edge * left * above + unit * by_backstop),
        "choke_price": p.need * unit * by_choke,
        "bid_quantity": bought,
        "bid_low": p.bid_quantity * by_low,
        "bid_high": p.bid_quantity * by_high,
    }
    close = near * np.maximum(np.abs(price), p.dispersion[:, None, None])
    ends = [(p.need, p.backstop_price), (p.need, top), (p.bid_quantity, p.bid_low)]
    ends.append((p.bid_quantity, bid_top))
    met = [((size > 0.0) & (abs(price - end) <= close) & served).any(axis=2) for size, end in ends]
    return Demand(
        slope=slope * served[:, :, 0],
        by={name: values * served for name, values in by.items()},
        kink=np.any(met, axis=0),
    )


def falling_ramp(price: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, ...]:
    """What is left of one, its slopes by price, low and high, and the price from which none is.

    An infinite `low` is a ramp that never begins. Ramps have the least width of `Problem`.
    """
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    least = np.maximum(NARROWEST_RAMP * np.maximum(np.abs(low), np.abs(high)), 1e-300)
    narrow = high - low < least
    width = np.where(narrow, least, high - low)
    by_high_end = np.abs(high) > np.abs(low)
    width_by_low = np.where(narrow, NARROWEST_RAMP * np.sign(low) * ~by_high_end, -1.0)
    width_by_high = np.where(narrow, NARROWEST_RAMP * np.sign(high) * by_high_end, 1.0)
    left = np.where(finite, np.clip(low + width - price, 0.0, width) / width, 1.0)
    steep = np.where(finite & (price > low) & (price < low + width), 1.0 / width, 0.0)
    return (
        left,
        -steep,
        steep * (1.0 + width_by_low * (1.0 - left)),
        steep * width_by_high * (1.0 - left),
        np.where(finite, low + width, np.inf),
    )


@dataclass(frozen=True)
class Costs:
    """What delivered prices answer."""

    response: np.ndarray  # [B, I, J] by the price before the floor: 1, or 0 at a binding floor
    by: dict[str, np.ndarray]  # [B, I, J] by their own numbers
    kink: np.ndarray  # [B, I, J]


def costs_at(problem: Problem, clearing: Clearing, near: float) -> Costs:
    """Slopes of delivered prices; closed arcs have none."""
    p = problem
    trades = np.isfinite(clearing.delivered_price)
    price = np.where(trades, clearing.origin_price[:, :, None], 0.0)
    bare = p.price_factor * price + p.price_addition
    arc = limit_arcs(p)
    np.add.at(bare.reshape(-1), arc, clearing.rent[p.limit_group])
    floor = np.where(p.floor_price > 0.0, p.floor_price, -np.inf)
    floored = floor > -np.inf
    response = trades & (bare >= np.where(floored, floor * (1.0 - 1e-14), -np.inf))
    close = near * np.maximum(np.abs(bare), p.dispersion[:, None, None])
    met = trades & floored & (np.abs(np.where(floored, floor, 0.0) - bare) <= close)
    return Costs(
        response=response.astype(float),
        by={
            "price_factor": response * price,
            "price_addition": response.astype(float),
            "floor_price": (trades & ~response).astype(float),
        },
        kink=met,
    )


@dataclass(frozen=True)
class Buyers:
    """The logit of every destination at the clearing; zeros where nothing is open."""

    share: np.ndarray  # [B, I, J]
    flow: np.ndarray  # [B, I, J]
    delivered: np.ndarray  # [B, I, J]
    landed: np.ndarray  # [B, J]
    average: np.ndarray  # [B, J]
    demand: np.ndarray  # [B, J]
    slope: np.ndarray  # [B, J] of demand
    dispersion: np.ndarray  # [B]

    def _above(self) -> np.ndarray:
        """How far delivered prices lie above the landed one, zero on closed arcs."""
        return np.where(self.share > 0.0, self.delivered - self.landed[:, None, :], 0.0)

    def forward(
        self, cost: np.ndarray, taste: np.ndarray, dispersion: np.ndarray, wanted: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What changes of delivered prices, log weights, dispersion and demand do to purchases."""
        theta = self.dispersion[:, None, None]
        wider = (dispersion / self.dispersion)[:, None]
        burden = np.where(self.share > 0.0, cost - theta * taste, 0.0)
        landed = (self.share * burden).sum(axis=1) + wider * (self.landed - self.average)
        demand = self.slope * landed + wanted
        appeal = (landed[:, None, :] - burden) / theta
        appeal += self._above() * (wider[:, :, None] / theta)
        average = (self.share * (cost + self.delivered * appeal)).sum(axis=1)
        return {
            "flow": self.share * demand[:, None, :] + self.flow * appeal,
            "delivered_price": cost,
            "landed_price": landed,
            "average_price": average,
            "demand": demand,
        }

    def adjoint(self, weight: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The transpose of `forward`: from weights of its results to weights of its arguments."""
        theta = self.dispersion[:, None, None]
        on_flow = weight["flow"]
        on_average = self.share * weight["average_price"][:, None, :]
        wanted = weight["demand"] + (self.share * on_flow).sum(axis=1)
        on_appeal = self.flow * on_flow + self.delivered * on_average
        on_landed = weight["landed_price"] + self.slope * wanted
        on_landed = on_landed + (on_appeal / theta).sum(axis=1)
        on_burden = self.share * on_landed[:, None, :] - on_appeal / theta
        cost = on_burden + on_average + weight["delivered_price"]
        wider = (on_landed * (self.landed - self.average)).sum(axis=1)
        wider += (on_appeal * self._above() / theta).sum(axis=(1, 2))
        return {
            "cost": cost,
            "taste": -theta * on_burden,
            "dispersion": wider / self.dispersion,
            "wanted": wanted,
        }


def buyers_at(problem: Problem, clearing: Clearing, slope: np.ndarray) -> Buyers:
    """The shares and prices of a clearing, with zeros for what is not traded."""
    trades = np.isfinite(clearing.delivered_price)
    served = np.isfinite(clearing.landed_price)
    delivered = np.where(trades, clearing.delivered_price, 0.0)
    landed = np.where(served, clearing.landed_price, 0.0)
    theta = problem.dispersion[:, None, None]
    weight = np.where(trades, problem.log_weight, -np.inf)
    share = np.exp(weight - (delivered - landed[:, None, :]) / theta)
    return Buyers(
        share=share,
        flow=clearing.flow,
        delivered=delivered,
        landed=landed,
        average=(share * delivered).sum(axis=1),
        demand=clearing.demand,
        slope=slope,
        dispersion=problem.dispersion,
    )


class Payments:
    """Who is paid on which arc: the origin, and the holders of rights under binding limits.

    Sellers are the origins, numbered b x I + i, then the limits.
    """

    def __init__(
        self,
        problem: Problem,
        buyers: Buyers,
        costs: Costs,
        binding: np.ndarray,
        trades: np.ndarray,
    ) -> None:
        markets, origins, destinations = problem.shape
        self._shape = problem.shape
        arc, group, limited = np.flatnonzero(trades), problem.limit_group, limit_arcs(problem)
        used = binding[group] & trades.ravel()[limited]
        seller = np.concatenate([arc // destinations, markets * origins + group[used]])
        arcs = np.concatenate([arc, limited[used]])
        rate = costs.response.ravel()[arcs]
        rate[: arc.size] *= problem.price_factor.ravel()[arc]
        size = (markets * origins + binding.size, markets * origins * destinations)
        self._receives = csr_array(coo_array((np.ones(arcs.size), (seller, arcs)), size))
        self._charges = csr_array(coo_array((rate, (seller, arcs)), size))
        self.fall, self.gross_fall = self._fall_of_sales(buyers, seller, arcs, rate)

    def _fall_of_sales(
        self, buyers: Buyers, seller: np.ndarray, arcs: np.ndarray, rate: np.ndarray
    ) -> tuple[csr_array, np.ndarray]:
        """Minus the derivative of each seller's sales by each seller's price.

        Also its diagonal before what the landed price takes back from it.
        """
        markets, origins, destinations = self._shape
        theta = buyers.dispersion
        place = arcs // (origins * destinations) * destinations + arcs % destinations
        size = (self._receives.shape[0], markets * destinations)
        share = buyers.share.ravel()[arcs]
        bought = csr_array(coo_array((share, (seller, place)), size))
        felt = csr_array(coo_array((share * rate, (seller, place)), size))
        swap = (buyers.flow / theta[:, None, None]).ravel()
        rest = (buyers.demand / theta[:, None] + buyers.slope).ravel()
        gross = self._receives @ diags_array(swap) @ self._charges.T
        return csr_array(gross - bought @ diags_array(rest) @ felt.T), gross.diagonal()

    def receipts(self, flow: np.ndarray) -> np.ndarray:
        """Tonnes each seller sells, from flows [B, I, J]."""
        return self._receives @ flow.ravel()

    def receipts_adjoint(self, weight: np.ndarray) -> np.ndarray:
        return (self._receives.T @ weight).reshape(self._shape)

    def passed_on(self, price: np.ndarray) -> np.ndarray:
        """Changes of delivered prices [B, I, J] from changes of sellers' prices."""
        return (self._charges.T @ price).reshape(self._shape)

    def collected(self, weight: np.ndarray) -> np.ndarray:
        """The transpose of `passed_on`."""
        return self._charges @ weight.ravel()


def limit_arcs(problem: Problem) -> np.ndarray:
    """[A] each limited arc's place in an array [B, I, J] laid flat."""
    _, origins, destinations = problem.shape
    row = problem.limit_market * origins + problem.limit_origin
    return row * destinations + problem.limit_destination


def origin_of_firms(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """[F] the origin of each firm, numbered b x I + i, and whether it has one."""
    origins = problem.shape[1]
    firms = np.arange(problem.capacity.size)
    row = np.searchsorted(problem.firm_offset.ravel(), firms, side="right") - 1
    market, origin = np.divmod(row, origins + 1)
    placed = (row >= 0) & (origin < origins)
    return np.where(placed, market * origins + origin, 0), placed


def components(problem: Problem, binding: np.ndarray, active: np.ndarray) -> list[np.ndarray]:
    """The active sellers of each group of markets that binding limits link."""
    markets, origins, _ = problem.shape
    group, market = problem.limit_group, problem.limit_market
    used = binding[group]
    first = market[problem.limit_offset[:-1][group]]
    links = coo_array((np.ones(int(used.sum())), (first[used], market[used])), (markets, markets))
    count, label = connected_components(links, directed=False)
    home = np.zeros(binding.size, np.int64)
    home[group] = market
    of_seller = label[np.concatenate([np.repeat(np.arange(markets), origins), home])]
    return [np.flatnonzero(active & (of_seller == c)) for c in range(count)]


def barely_binding(problem: Problem, clearing: Clearing, near: float) -> np.ndarray:
    """[G] limits that are full, yet command no rent to speak of."""
    group = problem.limit_group
    used = np.bincount(group, clearing.flow.ravel()[limit_arcs(problem)], problem.limit.size)
    theta = np.zeros(problem.limit.size)
    theta[group] = problem.dispersion[problem.limit_market]
    full = (problem.limit > 0.0) & (used >= problem.limit * (1.0 - near))
    return full & (clearing.rent <= near * theta)


def inverse_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse, or the pseudo-inverse and the directions, as rows, that give zero."""
    size = matrix.shape[0]
    try:
        inverse = np.linalg.inv(matrix)
        if np.linalg.norm(matrix) * np.linalg.norm(inverse) < 1.0 / SINGULAR:
            return inverse, np.empty((0, size))
    except np.linalg.LinAlgError:
        pass
    left, values, right = np.linalg.svd(matrix)
    kept = values > SINGULAR * values[0]
    inverse = (right[kept].T / values[kept]) @ left[:, kept].T
    return inverse, right[~kept]


def answered(by: Mapping[str, np.ndarray], change: Mapping[str, np.ndarray]) -> np.ndarray:
    """The sum of slopes times changes."""
    return np.sum([slope * change[name] for name, slope in by.items()], axis=0)


def completed(
    what: str, given: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The arrays given in their full shapes, and zeros for the others."""
    full = {name: np.zeros(shape) for name, shape in shapes.items()}
    for name, values in given.items():
        if name not in shapes:
            raise ValueError(f"{what} has {name!r}; it may have {', '.join(shapes)}.")
        try:
            full[name] = np.broadcast_to(np.asarray(values, float), shapes[name]).copy()
        except ValueError:
            raise ValueError(
                f"{what}[{name!r}] has shape {np.shape(values)} where {shapes[name]} is needed."
            ) from None
    return full
