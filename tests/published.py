"""Spatial-equilibrium problems with published answers, as problems of the clearing core.

All are classical: one homogeneous good, which is the core's limit of no dispersion. A `Case` can be
posed at any dispersion, given as a share of its mean price, and read in the terms of its source.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np

from abm.market import Clearing, Problem, no_bids
from tests.batches import limited
from tests.convex import Optimum, Side, optimum

DATA = Path(__file__).parent / "data" / "spatial_equilibrium.json"
RAMPS = 400  # per supply curve of the gas trade model


@dataclass(frozen=True)
class Case:
    """One problem and its answer, NaN where the answer gives no figure or none is unique."""

    name: str
    problem: Problem
    answer: dict[str, np.ndarray]  # origin_price, price, supply, demand, flow, objective
    objective: Callable[[Clearing | Optimum], float]
    scale: float  # mean landed price
    supply: Callable[[], Side | None] = lambda: None  # exact curves, where the ramps are not

    def at(self, share: float) -> Problem:
        """The problem with a dispersion of this share of the mean price."""
        markets = self.problem.shape[0]
        return replace(self.problem, dispersion=np.full(markets, share * self.scale))

    def optimum(self) -> Optimum:
        """The classical equilibrium by the conic solver."""
        return optimum(self.problem, dispersed=False, supply=self.supply())

    def read(self, found: Clearing | Optimum) -> dict[str, np.ndarray]:
        """The figures of a clearing that the answer is about."""
        return {
            "origin_price": found.origin_price,
            "price": found.landed_price,
            "supply": found.flow.sum(axis=2),
            "demand": found.demand,
            "flow": found.flow,
            "objective": np.array(self.objective(found)),
        }

    def error(self, found: Clearing | Optimum) -> float:
        """Largest relative error of any figure of the answer."""
        return max(
            relative_error(value, self.answer[name]) for name, value in self.read(found).items()
        )


def relative_error(found: np.ndarray, right: np.ndarray) -> float:
    """Largest error of an array; where the right figure is zero, over the largest of the array."""
    given = ~np.isnan(right)
    if not given.any():
        return 0.0
    size = np.where(right == 0.0, np.nanmax(np.abs(right)), np.abs(right))
    return float((np.abs(found - right) / size)[given].max())


@cache
def data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def row(figures: dict[str, float], names: list[str]) -> np.ndarray:
    """[1, names], NaN where there is no figure."""
    return np.array([[figures.get(name, np.nan) for name in names]])


def blank_answer(problem: Problem) -> dict[str, np.ndarray]:
    markets, origins, destinations = problem.shape
    return {
        "origin_price": np.full((markets, origins), np.nan),
        "price": np.full((markets, destinations), np.nan),
        "supply": np.full((markets, origins), np.nan),
        "demand": np.full((markets, destinations), np.nan),
        "flow": np.full(problem.shape, np.nan),
        "objective": np.array(np.nan),
    }


def homogeneous(
    firms: list[list[tuple[float, float, float]]], cost: np.ndarray, **demand: np.ndarray
) -> Problem:
    """Markets of one good each: per origin its firms (capacity, low ask, high ask), origins market
    by market; transport cost [B, I, J], NaN where there is no arc; the fields of demand."""
    offers = np.array([firm for group in firms for firm in group])
    markets, origins, destinations = cost.shape
    ends = np.cumsum([0] + [len(group) for group in firms])
    nobody = np.zeros((markets, destinations, 0))
    fields = ("need", "reference_price", "elasticity", "backstop_price", "choke_price")
    return Problem(
        capacity=offers[:, 0],
        low_ask=offers[:, 1],
        high_ask=offers[:, 2],
        firm_offset=ends[np.arange(markets)[:, None] * origins + np.arange(origins + 1)],
        log_weight=np.where(np.isnan(cost), -np.inf, 0.0),
        dispersion=np.ones(markets),
        price_factor=np.ones(cost.shape),
        price_addition=np.nan_to_num(cost),
        floor_price=np.zeros(cost.shape),
        **{**dict.fromkeys(fields, nobody), **no_bids(markets, destinations), **demand},
    )


def isoelastic(
    need: np.ndarray, price: np.ndarray, elasticity: np.ndarray
) -> dict[str, np.ndarray]:
    """The fields of one isoelastic demand per destination, all [1, J], that nothing chokes."""
    endless = np.full((*need.shape, 1), np.inf)
    return {
        "need": need[..., None],
        "reference_price": price[..., None],
        "elasticity": elasticity[..., None],
        "backstop_price": endless,
        "choke_price": endless,
    }


# --- Gas trade model, Manne and Beltramo ----------------------------------------------------------


def gas_trade() -> Case:
    """Ten gas fields and fourteen regions of North America; pipelines have capacities."""
    d = data()["gtm"]
    origins, destinations = list(d["supply"]), list(d["demand"])
    cost = np.full((1, len(origins), len(destinations)), np.nan)
    limits = []
    for origin, destination, charge, capacity in d["arcs"]:
        arc = (0, origins.index(origin), destinations.index(destination))
        cost[arc] = charge
        if capacity != "inf":
            limits.append((capacity, [arc]))
    price, need, elasticity = np.array(list(d["demand"].values())).T[:, None]
    fixed = np.isin(destinations, d["fixed_demand"])
    demand = isoelastic(need, price, np.where(fixed, 0.0, -elasticity))
    fields = [gas_field(*columns) for columns in d["supply"].values()]
    problem = limited(homogeneous([ramps(*field) for field in fields], cost, **demand), limits)
    power = 1.0 + 1.0 / elasticity
    worth = price * need ** (1.0 - power) / power

    def objective(found: Clearing | Optimum) -> float:
        lift = sum(
            a * s - b * np.log((c - s) / c)
            for (a, b, c), s in zip(fields, found.flow[0].sum(axis=1), strict=True)
        )
        return float((worth * found.demand**power).sum() - lift - carriage(problem, found))

    solution = d["solution"]
    answer = blank_answer(problem) | {
        "origin_price": row(solution["origin_price"], origins),
        "price": row(solution["price"], destinations),
        "supply": row(solution["supply"], origins),
        "demand": row(solution["demand"], destinations),
        "objective": np.array(d["published"]["objective"]),
    }

    def exact_supply() -> Side:
        a, b, c = np.array(fields).T
        sales = cp.Variable(len(fields), nonneg=True)
        lift = a @ sales - b @ cp.log1p(-sales / c)
        return Side(sales, sales, lift, [sales <= d["most_of_limit"] * c])

    scale = float(np.nanmean(answer["price"]))
    return Case("gas trade", problem, answer, objective, scale, exact_supply)


def gas_field(
    price: float, output: float, dear: float, more: float, limit: float | str
) -> tuple[float, float, float]:
    """Marginal cost a + b / (c - s), laid through two points: returns a, b, c."""
    c = 100.0 if limit == "inf" else float(limit)
    b = 0.0 if limit == "inf" else (price - dear) / (1.0 / (c - output) - 1.0 / (c - more))
    return round(price - b / (c - output), 4), b, c


def ramps(a: float, b: float, c: float) -> list[tuple[float, float, float]]:
    """The marginal cost curve a + b / (c - s) up to s = 0.99 c as straight pieces, one firm each.

    The room left, c - s, falls by the same ratio r = 100^(1/RAMPS) from one corner to the next, so
    b / (c - s) rises by r, and a chord is at most (r - 1)^2 / 4 of it above the curve: 3.4e-5.
    """
    most = data()["gtm"]["most_of_limit"]
    if b == 0.0:
        return [(most * c, a, a)]
    room = c * (1.0 - most) ** np.linspace(0.0, 1.0, RAMPS + 1)
    ask = a + b / room
    return list(zip(-np.diff(room), ask[:-1], ask[1:], strict=True))


def carriage(problem: Problem, found: Clearing | Optimum) -> float:
    """What transport costs."""
    return float((problem.price_addition * found.flow).sum())


# --- Takayama and Judge ---------------------------------------------------------------------------


def takayama_judge(cross_price: np.ndarray | None = None) -> Case:
    """Three regions, two goods with linear curves: two markets in one batch.

    Without `cross_price` the curves are those of the library's code. With prices [region, good] the
    curves are the book's, at these prices of the other good.
    """
    d = data()["takayama_judge"]
    constant = {side: np.array(d[f"{side}_constant"], float) for side in ("demand", "supply")}
    slopes = {side: np.array(d[f"{side}_slope"], float) for side in ("demand", "supply")}
    if cross_price is None:
        slope = {side: matrix.sum(axis=2) for side, matrix in slopes.items()}
        solution = d["solution"]
    else:
        slope = {side: np.diagonal(matrix, axis1=1, axis2=2) for side, matrix in slopes.items()}
        for side, matrix in slopes.items():
            others = matrix * (1.0 - np.eye(2))
            constant[side] = constant[side] + np.einsum("rgh,rh->rg", others, cross_price)
        solution = d["solution_with_cross_prices"]
    choke = (constant["demand"] / -slope["demand"]).T  # [good, region]
    start = (-constant["supply"] / slope["supply"]).T
    dearest = choke.max()
    firms = [
        [(rise * (dearest - low), low, dearest)]
        for rise, low in zip(slope["supply"].T.ravel(), start.ravel(), strict=True)
    ]
    problem = homogeneous(
        firms,
        np.array(d["transport_cost"], float),
        bid_quantity=constant["demand"].T[..., None],
        bid_low=np.zeros((*choke.shape, 1)),
        bid_high=choke[..., None],
    )

    def objective(found: Clearing | Optimum) -> float:
        price = found.landed_price.T
        halved = 1.0 - 0.5 * np.eye(2)
        areas = {
            side: price * (constant[side] + np.einsum("rgh,rh->rg", slopes[side] * halved, price))
            for side in slopes
        }
        return float((areas["demand"] - areas["supply"]).sum() - carriage(problem, found))

    answer = blank_answer(problem) | {
        "price": np.array(solution["price"]).T,
        "supply": np.array(solution["supply"]).T,
        "demand": np.array(solution["demand"]).T,
    }
    if cross_price is None:
        answer["objective"] = np.array(d["published"]["objective"])
    return Case("Takayama-Judge", problem, answer, objective, float(answer["price"].mean()))


# --- Dantzig --------------------------------------------------------------------------------------


def dantzig(responsive: bool, halved: bool) -> Case:
    """Two canneries and three cities; demand fixed or isoelastic; perhaps one lane at half cost."""
    d = data()["dantzig"]
    plants, cities = list(d["capacity"]), list(d["demand"])
    cost = d["freight"] * np.array([[d["distance"][plant] for plant in plants]]) / 1000.0
    lane = (0, plants.index("seattle"), cities.index("chicago"))
    cost[lane] *= 0.5 if halved else 1.0
    demand = isoelastic(
        row(d["demand"], cities),
        row(d["solution"]["price"], cities),
        row(d["elasticity"], cities) * (1.0 if responsive else 0.0),
    )
    firms = [[(capacity, 0.0, 0.0)] for capacity in d["capacity"].values()]
    problem = homogeneous(firms, cost, **demand)
    half = d["half_cost_seattle_chicago"]
    solution = (
        half["responsive" if responsive else "fixed"] if halved else d["published"] | d["solution"]
    )
    answer = blank_answer(problem)
    answer["price"] = row(solution["price"], cities)
    answer["origin_price"] = row(solution.get("origin_price", {}), plants)
    answer["objective"] = np.array(solution.get("cost", np.nan))
    for plant, city, cases in solution.get("flow", []):
        answer["flow"][0, plants.index(plant), cities.index(city)] = cases
    name = f"Dantzig, {'responsive' if responsive else 'fixed'}{', half cost' if halved else ''}"
    scale = float(answer["price"].mean())
    return Case(name, problem, answer, lambda found: carriage(problem, found), scale)


def cases() -> list[Case]:
    return [
        gas_trade(),
        takayama_judge(),
        *(dantzig(responsive, halved) for responsive in (False, True) for halved in (False, True)),
    ]
