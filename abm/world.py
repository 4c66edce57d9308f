"""The opening world: axes, firms, prices, trade costs and sourcing weights as plain arrays.

`build_world` is the one door from the tables to the model. It turns a balanced opening (tonnes)
into a calibrated one: prices on every arc, logit weights that reproduce the flows exactly, and a
firm table in which residual producers complete every national total.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from abm.config import ConfigError, WorldConfig
from abm.opening import Opening, affinity, opening_balance
from abm.streams import stream
from abm.tables import SCENARIOS, Tables

MONTHS = 12
KG = 1000.0
TABLE_YEAR = 2024  # from which scenarios of demand start
PARAMETER_NAMES = (
    "supply_elasticity",
    "demand_elasticity",
    "sourcing_elasticity",
    "longrun_sourcing_factor",
    "longrun_supply_elasticity",
    "backstop_price_multiple",
    "choke_price_multiple",
    "utilisation",
    "buyer_cover_months",
    "producer_stock_months",
    "lead_time_years",
    "gross_weight",
    "freight_fixed_usd_per_t",
    "freight_usd_per_t_per_1000km",
    "insurance_share",
    "contract_share",
    "byproduct_ceiling",
)
UNCERTAIN = (*PARAMETER_NAMES, "old_scrap_share", "collectable_share", "growth", "capital")
RESIDUAL_FIRMS = 3  # other producers of a country, sized 1 : 1/2 : 1/3 (Zipf); assumed
DAYS_A_MONTH = 30.0
LONGEST_VOYAGE = 2  # months; the longest lane at 14 knots takes under 60 days


@dataclass(frozen=True)
class FirmColumns:
    """The firms of the world, sorted by market and country; one entry a firm.

    Tonnes are a month. `opens` is the month of horizon in which a plant under construction starts
    (0: operating at the opening).
    """

    name: np.ndarray
    operator: np.ndarray
    parent: np.ndarray
    market: np.ndarray
    country: np.ndarray
    capacity: np.ndarray
    output: np.ndarray
    recycler: np.ndarray
    start_year: np.ndarray
    cash_cost: np.ndarray  # USD/kg, NaN where none is reported
    project: np.ndarray  # row of the project whose plant this is; -1: not a project


@dataclass(frozen=True)
class ProjectColumns:
    """Mines and plants that may be built during a run; one entry a project.

    Each owns a firm that stands idle until it is built. A world without them has empty columns.
    """

    name: np.ndarray
    market: np.ndarray
    country: np.ndarray
    state: np.ndarray  # planned, construction or idle at the opening
    recycler: np.ndarray
    capacity: np.ndarray  # t/month
    capital: np.ndarray  # thousand USD left to spend
    firm: np.ndarray  # row of the firms


@dataclass(frozen=True)
class Chain:
    """The minerals that are traded mined and refined; one row each."""

    mined: np.ndarray  # [row] market
    refined: np.ndarray  # [row] market
    refining_yield: np.ndarray  # [row, 1] t refined per t mined


@dataclass(frozen=True)
class Passages:
    """The chokepoints of the sea, and the lanes that pass them."""

    names: tuple[str, ...]
    share: np.ndarray  # [chokepoint, origin, destination] part of a lane's trade that passes
    detour_km: np.ndarray  # the same axes: extra way when closed; infinite where there is none


@dataclass(frozen=True)
class World:
    """Everything that is true before month one. Axes: market, origin, destination."""

    year: int  # whose average the opening month is
    countries: tuple[str, ...]
    country_names: tuple[str, ...]
    roles: tuple[str, ...]
    regions: tuple[str, ...]
    minerals: tuple[str, ...]
    families: tuple[str, ...]
    sectors: tuple[str, ...]
    markets: tuple[tuple[str, str], ...]
    mineral_of_market: np.ndarray  # [market]
    is_refined: np.ndarray  # [market]
    mined_market: np.ndarray  # [mineral] market of its mined stage, -1 where there is none
    refined_market: np.ndarray  # [mineral]
    political_stability: np.ndarray  # [country] WGI points
    industry: np.ndarray  # [country] manufacturing value added, billion USD a year
    standard_score: np.ndarray  # [country] environmental and social, 0 to 1
    non_allied: np.ndarray  # [country]
    ideal_point: np.ndarray  # [country] position in votes of the UN; NaN where unknown
    opening: Opening
    flow: np.ndarray  # [market, origin, destination] t/month
    parameters: dict[str, np.ndarray]  # each [market]
    refining_yield: np.ndarray  # [mineral] t refined per t mined
    old_scrap_share: np.ndarray  # [mineral] part of recycled output from retired products
    collectable_share: np.ndarray  # [mineral] part of retired products that could be refined again
    world_price: np.ndarray  # [market] USD/kg, landed at the reference importers
    home_price: np.ndarray  # [market] USD/kg, at home in the leading exporter
    leading_exporter: np.ndarray  # [market] country
    origin_price: np.ndarray  # [market, origin] USD/kg
    export_markup: np.ndarray  # [market, origin, destination] fraction
    tariff: np.ndarray  # [market, origin, destination] fraction
    freight: np.ndarray  # [market, origin, destination] USD/kg
    delivered_price: np.ndarray  # [market, origin, destination] USD/kg
    landed_price: np.ndarray  # [market, destination] USD/kg, mean over the opening flows
    dispersion: np.ndarray  # [market] USD/kg
    share: np.ndarray  # [market, origin, destination] of purchases; gravity where none is bought
    gravity_share: np.ndarray  # [market, origin, destination] of a buyer without habits
    entry_share: np.ndarray  # [market, origin, destination] of a new origin per unit of its size
    opening_gap: np.ndarray  # [market, origin, destination] price over landed, in dispersion
    voyage: np.ndarray  # [origin, destination] months at sea
    voyage_days: np.ndarray  # [origin, destination] days at sea
    passages: Passages
    firms: FirmColumns
    projects: ProjectColumns
    capital_cost: np.ndarray  # [market] USD per kg of yearly output of projects; NaN: none
    stockpile_months: np.ndarray  # [mineral, country] months of use held by the state
    reserves: np.ndarray  # [mineral, country] t in the ground; zero where none are listed
    by_product: np.ndarray  # [mineral] bool: recovered while another metal is made
    growth: np.ndarray  # [mineral, sector] a year
    demand_years: np.ndarray  # [point] years at which scenarios of demand are given
    demand_paths: dict[str, np.ndarray]  # [point, mineral, sector] need over constant growth
    circles: dict[str, dict[str, str]]  # circle -> country -> date it joined

    @cached_property
    def chain(self) -> Chain:
        """Where refiners buy feed: markets of both stages of the minerals that have both."""
        both = self.mined_market >= 0
        return Chain(
            self.mined_market[both], self.refined_market[both], self.refining_yield[both][:, None]
        )

    @cached_property
    def refined_rows(self) -> slice:
        """The refined markets, one a mineral in the order of the minerals: they stand last."""
        return slice(len(self.markets) - len(self.minerals), len(self.markets))

    def country(self, code: str) -> int:
        """Row of a country code."""
        return self.countries.index(code)

    def market(self, mineral: str, stage: str) -> int:
        """Row of a market."""
        return self.markets.index((mineral, stage))


def select_minerals(tables: Tables, wanted: list[str]) -> tuple[str, ...]:
    """The minerals a run simulates, in the order of the table.

    Raises
    ------
    ConfigError
        If a name is not in the table minerals.
    """
    known = tuple(tables.minerals["mineral"])
    if wanted == ["all"]:
        return known
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"world.minerals contains {name!r}, which no table knows; "
                f"choose from {', '.join(known)}"
            )
    return tuple(name for name in known if name in wanted)


def build_world(
    tables: Tables,
    config: WorldConfig,
    seed: int | None = None,
    opening: Opening | None = None,
    with_projects: bool = False,
) -> World:
    """Complete the tables to an opening world.

    Parameters
    ----------
    tables
        Validated tables.
    config
        Which minerals, and whether uncertain parameters are drawn.
    seed
        Replication whose parameters are drawn within their ranges; None keeps central values.
    opening
        A balance computed before from the same tables and minerals; it does not depend on seeds.
    with_projects
        Whether the projects of the tables may be built.
    """
    if opening is None:
        opening = opening_balance(tables, select_minerals(tables, config.minerals))
    _check_positions(config.positions)
    ground = _ground(tables, opening, with_projects)
    draws = _Draws(seed if config.draw_parameters else None, config.positions)
    parameters = _parameters(tables, opening, draws)
    capital = np.array([KG * draws.value(*figure) for figure in ground.capital])
    costs = _trade_costs(ground, opening, parameters)
    return World(
        opening=opening,
        flow=opening.flow,
        year=config.year,
        parameters=parameters,
        old_scrap_share=_by_mineral(tables, opening, "old_scrap_share", draws),
        collectable_share=_by_mineral(tables, opening, "collectable_share", draws),
        firms=_firms(ground, parameters["utilisation"], config.scrap_utilisation),
        projects=replace(ground.projects, capital=capital[: ground.projects.firm.size]),
        capital_cost=_capital_cost(ground.plans, capital, len(opening.markets)),
        growth=_growth(ground.growth, opening, draws),
        **(ground.known | costs | _weights(ground, parameters, costs)),
    )


@dataclass(frozen=True, eq=False)
class _Ground:
    """What no draw changes of the worlds of one opening; all of them share these arrays."""

    known: dict[str, Any]  # fields of the world
    km: np.ndarray  # [origin, destination] at sea
    foreign: np.ndarray  # [origin, destination] bool
    firms: FirmColumns  # capacity: of those that run, what it would be if they ran in full
    projects: ProjectColumns  # without their capital
    plans: list[dict[str, Any]]  # all projects of the tables, whether they may be built or not
    capital: list[_Figure]  # [plan] million USD
    growth: list[tuple[tuple[int, int], _Figure]]  # by mineral and sector, a year


@lru_cache(maxsize=2)
def _ground(tables: Tables, opening: Opening, with_projects: bool) -> _Ground:
    lanes = _lanes(tables, opening.countries)
    plans = _listed_projects(tables, opening)
    built = plans if with_projects else []
    firms = _listed_and_residual_firms(tables, opening, built)
    growth = _growth_figures(tables, opening)
    foreign = ~np.eye(len(opening.countries), dtype=bool)
    known = {
        "mineral_of_market": opening.mineral_of_market,
        "is_refined": opening.is_refined,
        "mined_market": _market_of(opening, refined=False),
        "refined_market": _market_of(opening, refined=True),
        "refining_yield": opening.refining_yield,
        "voyage": lanes["months"],
        "voyage_days": lanes["days"],
        "tariff": np.where(foreign, _tariffs(tables, opening), 0.0),
        "passages": _passages(tables, opening.countries),
        "stockpile_months": _stockpiles(tables, opening),
        "reserves": _reserves(tables, opening),
        "demand_years": _demand_years(tables),
        "demand_paths": _demand_paths(tables, opening, _growth(growth, opening, CENTRAL)),
        "circles": _circles(tables),
    }
    return _Ground(
        known=known
        | _axes(tables, opening)
        | _country_traits(tables, opening.countries)
        | _market_prices(tables, opening)
        | _shares(tables, opening),
        km=lanes["km"],
        foreign=foreign,
        firms=firms,
        projects=_project_columns(built, firms),
        plans=plans,
        capital=_capital_figures(plans),
        growth=growth,
    )


def _axes(tables: Tables, opening: Opening) -> dict[str, Any]:
    """Names along the axes, and what the table of minerals says of them."""
    names = tables.minerals.set_index("mineral")
    return {
        "countries": opening.countries,
        "minerals": opening.minerals,
        "families": tuple(_text(names.loc[m, "family"]) for m in opening.minerals),
        "sectors": opening.sectors,
        "markets": opening.markets,
        "by_product": (names["by_product"].loc[list(opening.minerals)] == "yes").to_numpy(),
    }


def _country_traits(tables: Tables, countries: tuple[str, ...]) -> dict[str, Any]:
    table = tables.countries.set_index("code").loc[list(countries)]
    return {
        "country_names": tuple(table["name"]),
        "roles": tuple(table["role"]),
        "regions": tuple(table["region"]),
        "political_stability": table["political_stability"].to_numpy(float),
        "industry": table["industry_bn_usd"].to_numpy(float),
        "standard_score": _standard_scores(tables, countries),
        "non_allied": (table["role"] == "non_allied").to_numpy(),
        "ideal_point": _ideal_points(tables, countries),
    }


def _check_positions(positions: Mapping[str, float]) -> None:
    for name, position in positions.items():
        if name not in UNCERTAIN:
            raise ConfigError(
                f"world.positions contains {name!r}, which has no range by mineral; choose from "
                f"{', '.join(UNCERTAIN)}"
            )
        if not 0.0 <= position <= 1.0:
            raise ConfigError(
                f"world.positions.{name} is {position:.10g}; give a quantile of its range, 0 to 1"
            )


def firm_offsets(world: World) -> np.ndarray:
    """[market, origin + 1] first firm row of every origin, and the end of the last."""
    return by_market(place_offsets(world), world.origin_price.shape)


def place_offsets(world: World) -> np.ndarray:
    """[place + 1] first firm row of every market and country, and the end of the last."""
    place = world.firms.market * len(world.countries) + world.firms.country
    return np.searchsorted(place, np.arange(world.origin_price.size + 1)).astype(np.int64)


def by_market(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[market, origin + 1] where the rows of every origin begin, from those of places."""
    count = shape[1]
    return rows[np.arange(shape[0])[:, None] * count + np.arange(count + 1)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _market_of(opening: Opening, refined: bool) -> np.ndarray:
    found = np.full(len(opening.minerals), -1)
    for market, mineral in enumerate(opening.mineral_of_market):
        if bool(opening.is_refined[market]) == refined:
            found[mineral] = market
    return found


def triangular_quantile(position: float, mode: float, low: float, high: float) -> float:
    """Quantile of the triangular distribution, in closed form; `low` is below `high`."""
    width = high - low
    if position * width <= mode - low:
        return low + math.sqrt(position * width * (mode - low))
    return high - math.sqrt((1.0 - position) * width * (high - mode))


# Name, beginning with its parameter; then value, low and high.
type _Figure = tuple[tuple[str, ...], float, float, float]


@dataclass(frozen=True)
class _Draws:
    """Where in its stated range an uncertain figure lies: triangular, with its value as the mode.

    Attributes
    ----------
    seed
        Replication whose figures are drawn; None keeps central values.
    positions
        Quantiles by parameter, the same in all minerals; they go before draws.
    """

    seed: int | None
    positions: Mapping[str, float]

    def value(self, name: tuple[str, ...], value: float, low: float, high: float) -> float:
        """One figure; `name` begins with its parameter."""
        if high <= low:
            return value
        if name[0] in self.positions:
            return triangular_quantile(self.positions[name[0]], value, low, high)
        if self.seed is None:
            return value
        return float(stream(self.seed, "parameter", *name).triangular(low, value, high))


CENTRAL = _Draws(None, {})


def _parameters(tables: Tables, opening: Opening, draws: _Draws) -> dict[str, np.ndarray]:
    found = {}
    for name in PARAMETER_NAMES:
        column = [
            draws.value((name, mineral, stage), *tables.parameter(mineral, stage, name))
            for mineral, stage in opening.markets
        ]
        found[name] = np.array(column)
    # A substitute cannot displace demand before it takes over.
    found["choke_price_multiple"] = np.maximum(
        found["choke_price_multiple"], 1.05 * found["backstop_price_multiple"]
    )
    return found


def _by_mineral(tables: Tables, opening: Opening, name: str, draws: _Draws) -> np.ndarray:
    """[mineral] a parameter of the refined stage."""
    column = [
        draws.value((name, mineral), *tables.parameter(mineral, "refined", name))
        for mineral in opening.minerals
    ]
    return np.array(column)


def _market_prices(tables: Tables, opening: Opening) -> dict[str, np.ndarray]:
    world, home, exporter = [], [], []
    table = tables.prices.set_index(["mineral", "stage", "market"])
    for market, key in enumerate(opening.markets):
        world.append(float(table.loc[(*key, "world"), "price_usd_per_kg"]))
        if (*key, "home") in table.index:
            row = table.loc[(*key, "home")]
            home.append(float(row["price_usd_per_kg"]))
            exporter.append(opening.countries.index(row["exporter"]))
        else:
            home.append(np.nan)
            exporter.append(int(np.argmax(opening.supply[market])))
    return {
        "world_price": np.array(world),
        "home_price": np.array(home),
        "leading_exporter": np.array(exporter),
    }


def _lanes(tables: Tables, countries: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Kilometres and months at sea, [origin, destination]; none within a country."""
    km, days = np.zeros((2, len(countries), len(countries)))
    row = {code: position for position, code in enumerate(countries)}
    for lane in tables.distances.itertuples():
        if lane.origin in row and lane.destination in row:
            i, j = row[lane.origin], row[lane.destination]
            km[i, j] = km[j, i] = lane.sea_km
            days[i, j] = days[j, i] = lane.days
    months = np.clip(np.rint(days / DAYS_A_MONTH), 0, LONGEST_VOYAGE).astype(np.int64)
    return {"km": km, "days": days, "months": months}


def _passages(tables: Tables, countries: tuple[str, ...]) -> Passages:
    table = tables.chokepoints
    names = tuple(dict.fromkeys(table["chokepoint"]))
    share, detour = np.zeros((2, len(names), len(countries), len(countries)))
    row = {code: position for position, code in enumerate(countries)}
    for lane in table.itertuples():
        if lane.origin in row and lane.destination in row:
            n, i, j = names.index(lane.chokepoint), row[lane.origin], row[lane.destination]
            share[n, i, j] = share[n, j, i] = lane.share
            further = np.inf if np.isnan(lane.detour_km) else lane.detour_km
            detour[n, i, j] = detour[n, j, i] = further
    return Passages(names, share, detour)


def _trade_costs(
    ground: _Ground, opening: Opening, parameters: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Prices at origin and delivered on every arc.

    The reference importer pays the world price. A seller on a typical lane receives that less its
    freight; the leading exporter asks its home price at home and the same net price abroad, so
    that the observed gap between the two is its opening export mark-up (licence cost included).
    """
    prices, foreign, count = ground.known, ground.foreign, len(opening.countries)
    per_tonne = (
        parameters["freight_fixed_usd_per_t"][:, None, None]
        + parameters["freight_usd_per_t_per_1000km"][:, None, None] * ground.km / 1000.0
    )
    shipping = per_tonne * parameters["gross_weight"][:, None, None] / KG
    insurance = (parameters["insurance_share"] * prices["world_price"])[:, None, None]
    freight = np.where(foreign, shipping + insurance, 0.0)
    abroad = opening.flow * foreign
    volume = abroad.sum(axis=(1, 2))
    typical = np.where(
        volume > 0, (abroad * freight).sum(axis=(1, 2)) / np.where(volume > 0, volume, 1.0), 0.0
    )
    net_price = prices["world_price"] - typical
    if (net_price <= 0).any():
        market = opening.markets[int(np.argmin(net_price))]
        raise ConfigError(
            f"prices.csv: the world price of {market[1]} {market[0]} is below its typical freight "
            f"of {typical[opening.markets.index(market)]:.3g} USD/kg; correct the price, or "
            "freight and gross_weight in parameters.csv"
        )
    origin_price = np.repeat(net_price[:, None], count, axis=1)
    export_markup = np.zeros((len(opening.markets), count, count))
    for row, exporter in enumerate(prices["leading_exporter"]):
        home = prices["home_price"][row]
        home = net_price[row] if np.isnan(home) else min(home, net_price[row])
        origin_price[row, exporter] = home
        export_markup[row, exporter] = net_price[row] / home - 1.0
    export_markup = np.where(foreign, export_markup, 0.0)
    duty = 1.0 + prices["tariff"]
    delivered = origin_price[:, :, None] * (1.0 + export_markup) * duty + freight
    return {
        "origin_price": origin_price,
        "export_markup": export_markup,
        "freight": freight,
        "delivered_price": delivered,
    }


def _tariffs(tables: Tables, opening: Opening) -> np.ndarray:
    rate = np.zeros((len(opening.markets), len(opening.countries), len(opening.countries)))
    row = {code: position for position, code in enumerate(opening.countries)}
    general = tables.tariffs["exporter"] == "*"
    for part in (tables.tariffs[general], tables.tariffs[~general]):
        for line in part.itertuples():
            key = (line.mineral, line.stage)
            if key in opening.markets and line.importer in row:
                origins = slice(None) if line.exporter == "*" else row[line.exporter]
                rate[opening.markets.index(key), origins, row[line.importer]] = line.rate
    return rate


def _shares(tables: Tables, opening: Opening) -> dict[str, np.ndarray]:
    """Where buyers buy at the opening.

    `gravity_share` is what a plant without habits buys: the share that supply and nearness give.
    """
    use = opening.flow.sum(axis=1)
    entrant = affinity(tables, opening)
    gravity = entrant * opening.supply[:, :, None]
    gravity = gravity / gravity.sum(axis=1, keepdims=True)
    share = opening.flow / np.where(use > 0, use, 1.0)[:, None, :]
    return {
        "share": np.where((use > 0)[:, None, :], share, gravity),
        "gravity_share": gravity,
        "entry_share": entrant,
    }


def _weights(
    ground: _Ground, parameters: dict[str, np.ndarray], costs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What makes the logit reproduce the opening shares exactly at opening prices."""
    dispersion = ground.known["world_price"] / parameters["sourcing_elasticity"]
    landed = (ground.known["share"] * costs["delivered_price"]).sum(axis=1)
    gap = (costs["delivered_price"] - landed[:, None, :]) / dispersion[:, None, None]
    return {"dispersion": dispersion, "landed_price": landed, "opening_gap": gap}


def _firms(ground: _Ground, utilisation: np.ndarray, scrap_utilisation: float) -> FirmColumns:
    """The firms with capacity at the usual use of it; plants not yet open have their nameplate."""
    firms = ground.firms
    running = (firms.start_year == 0.0) & (firms.project < 0)
    rate = np.where(firms.recycler, scrap_utilisation, utilisation[firms.market])
    return replace(firms, capacity=np.where(running, firms.output / rate, firms.capacity))


def _listed_and_residual_firms(
    tables: Tables, opening: Opening, plans: list[dict[str, Any]]
) -> FirmColumns:
    """The firms in their order, those that run with their output for capacity."""
    listed = _listed_firms(tables)
    rows: list[dict[str, object]] = []
    for market, (mineral, stage) in enumerate(opening.markets):
        for country, code in enumerate(opening.countries):
            scrap = float(opening.recycled[market, country])
            kinds = [(stage, False, float(opening.supply[market, country]) - scrap)]
            if stage == "refined":
                kinds.append(("recycled", True, scrap))
            for kind, recycler, total in kinds:
                name = f"Other {kind} {mineral} producers of {code}"
                place = {"market": market, "country": country, "recycler": recycler}
                lines = listed.get((mineral, kind, code), [])
                rows += [firm | place for firm in _national_firms(lines, name, total)]
            rows += [
                _idle_plant(plan, number)
                for number, plan in enumerate(plans)
                if (plan["market"], plan["country"]) == (market, country)
            ]
    names = [item.name for item in fields(FirmColumns)]
    return FirmColumns(**{name: np.array([row[name] for row in rows]) for name in names})


def _listed_firms(tables: Tables) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Facilities by mineral, stage and country; steps counted elsewhere are left out."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in tables.firms.to_dict("records"):
        if line["state"] != "double_count":
            key = (line["mineral"], line["stage"], line["country"])
            found.setdefault(key, []).append(line)
    return found


def _national_firms(
    lines: list[dict[str, Any]], residual_name: str, total: float
) -> list[dict[str, object]]:
    """The listed firms of a country, scaled to its total, and residual producers for the rest.

    `total` is the country's output of the kind, t/month.
    """
    published = [max(0.0, float(line["output_t"] or 0.0)) / MONTHS for line in lines]
    published = [tonnes if np.isfinite(tonnes) else 0.0 for tonnes in published]
    whole = sum(published)
    scale = min(1.0, total / whole) if whole > 0 else 0.0
    rows = [_firm_row(line, tonnes * scale) for line, tonnes in zip(lines, published, strict=True)]
    rest = total - whole * scale
    if rest > 1e-9 * max(total, 1e-12):
        rows += _residual_firms(residual_name, rest)
    return rows


def _firm_row(line: dict[str, Any], tonnes: float) -> dict[str, object]:
    """One real facility: running, or under construction with a known start."""
    nameplate, start = float(line["capacity_t"]) / MONTHS, float(line["start_year"])
    dated = np.isfinite(nameplate) and np.isfinite(start)
    opens = line["state"] == "construction" and tonnes == 0.0 and dated
    return {
        "name": line["firm"],
        "operator": _text(line["operator"]),
        "parent": _text(line["parent"]),
        "capacity": nameplate if opens else tonnes,
        "output": tonnes,
        "start_year": start if opens else 0.0,
        "cash_cost": float(line["cash_cost_usd_per_kg"]),
        "project": -1,
    }


def _residual_firms(name: str, tonnes: float) -> list[dict[str, object]]:
    sizes = 1.0 / np.arange(1, RESIDUAL_FIRMS + 1)
    return [
        {
            "name": f"{name} {rank + 1}",
            "operator": "",
            "parent": "",
            "capacity": tonnes * share,
            "output": tonnes * share,
            "start_year": 0.0,
            "cash_cost": np.nan,
            "project": -1,
        }
        for rank, share in enumerate(sizes / sizes.sum())
    ]


def _listed_projects(tables: Tables, opening: Opening) -> list[dict[str, Any]]:
    """Projects of the minerals of this world, each with its line of the table."""
    plans = []
    for line in tables.projects.to_dict("records"):
        stage = "mined" if line["stage"] == "mined" else "refined"
        if (line["mineral"], stage) in opening.markets:
            plans.append(
                {
                    "name": line["project"],
                    "market": opening.markets.index((line["mineral"], stage)),
                    "country": opening.countries.index(line["country"]),
                    "state": line["state"],
                    "recycler": line["stage"] == "recycled",
                    "capacity": line["capacity_t"] / MONTHS,
                    "line": line,
                }
            )
    return plans


def _capital_figures(plans: list[dict[str, Any]]) -> list[_Figure]:
    lines = [plan["line"] for plan in plans]
    return [
        (
            ("capital", line["mineral"], line["stage"], line["project"]),
            *(line[f"capital_{point}musd"] for point in ("", "low_", "high_")),
        )
        for line in lines
    ]


def _idle_plant(plan: dict[str, Any], number: int) -> dict[str, object]:
    """The firm of a project: it stands idle until it is built."""
    shared = {name: plan[name] for name in ("name", "market", "country", "recycler", "capacity")}
    return {
        **shared,
        "operator": "",
        "parent": "",
        "output": 0.0,
        "start_year": 0.0,
        "cash_cost": np.nan,
        "project": number,
    }


def _project_columns(plans: list[dict[str, Any]], firms: FirmColumns) -> ProjectColumns:
    numbers = firms.project[firms.project >= 0]
    row = np.zeros(len(plans), dtype=np.int64)
    row[numbers] = np.flatnonzero(firms.project >= 0)
    kinds: dict[str, type] = {"market": np.int64, "country": np.int64, "recycler": bool}
    kinds |= {"capacity": float, "name": str, "state": str}
    return ProjectColumns(
        firm=row,
        capital=np.full(len(plans), np.nan),
        **{name: np.array([plan[name] for plan in plans], kind) for name, kind in kinds.items()},
    )


def _capital_cost(plans: list[dict[str, Any]], capital: np.ndarray, markets: int) -> np.ndarray:
    """[market] USD per kg of yearly output of the planned projects, weighted by capacity."""
    new = [
        row for row, plan in enumerate(plans) if plan["state"] == "planned" and not plan["recycler"]
    ]
    market = np.array([plans[row]["market"] for row in new], dtype=np.int64)
    spent = np.bincount(market, capital[new], markets)
    output = np.bincount(market, [MONTHS * plans[row]["capacity"] for row in new], markets)
    return np.divide(spent, output, out=np.full(markets, np.nan), where=output > 0)


def _stockpiles(tables: Tables, opening: Opening) -> np.ndarray:
    held = np.zeros((len(opening.minerals), len(opening.countries)))
    for line in tables.stockpiles.itertuples():
        if line.mineral in opening.minerals and line.country in opening.countries:
            place = opening.minerals.index(line.mineral), opening.countries.index(line.country)
            held[place] = line.cover_months
    return held


def _reserves(tables: Tables, opening: Opening) -> np.ndarray:
    held = np.zeros((len(opening.minerals), len(opening.countries)))
    for line in tables.reserves.itertuples():
        if line.mineral in opening.minerals and line.country in opening.countries:
            place = opening.minerals.index(line.mineral), opening.countries.index(line.country)
            held[place] += line.reserves_t
    return held


def _growth_figures(tables: Tables, opening: Opening) -> list[tuple[tuple[int, int], _Figure]]:
    """Growth a year and its range, with the place of its mineral and sector."""
    return [
        (
            (opening.minerals.index(line.mineral), opening.sectors.index(line.sector)),
            (
                ("growth", line.mineral, line.sector),
                line.growth_per_year,
                line.growth_low,
                line.growth_high,
            ),
        )
        for line in tables.sectors.itertuples()
        if line.mineral in opening.minerals
    ]


def _growth(
    figures: list[tuple[tuple[int, int], _Figure]], opening: Opening, draws: _Draws
) -> np.ndarray:
    growth = np.zeros((len(opening.minerals), len(opening.sectors)))
    for place, figure in figures:
        growth[place] = draws.value(*figure)
    return growth


def _ideal_points(tables: Tables, countries: tuple[str, ...]) -> np.ndarray:
    known = tables.alignment.set_index("country")["ideal_point"]
    return known.reindex(list(countries)).to_numpy(float)


def _demand_years(tables: Tables) -> np.ndarray:
    return np.unique([TABLE_YEAR, *tables.demand_paths["year"]]).astype(float)


def _demand_paths(tables: Tables, opening: Opening, central: np.ndarray) -> dict[str, np.ndarray]:
    """Scenarios of demand as multiples of what constant growth at the central rate gives.

    So a world with another drawn rate keeps its distance from the scenario. A sector without a
    path grows at its constant rate in every scenario. `central` is [mineral, sector] a year.
    """
    years = _demand_years(tables)
    paths = {
        scenario: np.ones((years.size, len(opening.minerals), len(opening.sectors)))
        for scenario in SCENARIOS
    }
    groups = tables.demand_paths.groupby(["scenario", "mineral", "sector"])
    for (scenario, mineral, sector), rows in groups:
        if mineral in opening.minerals:
            place = opening.minerals.index(mineral), opening.sectors.index(sector)
            points = rows.sort_values("year")
            given = np.array([TABLE_YEAR, *points["year"]], dtype=float)
            beyond = np.log([1.0, *points["multiple"]])
            beyond = beyond - np.log1p(central[place]) * (given - TABLE_YEAR)
            paths[scenario][:, *place] = np.exp(np.interp(years, given, beyond))
    return paths


def _standard_scores(tables: Tables, countries: tuple[str, ...]) -> np.ndarray:
    """Scores of the table; of a country it leaves out, its political stability on the scale."""
    known = tables.standards.set_index("country")["score"]
    stability = tables.countries.set_index("code")["political_stability"]
    return known.combine_first((stability + 2.5) / 5.0).loc[list(countries)].to_numpy(float)


def _circles(tables: Tables) -> dict[str, dict[str, str]]:
    circles: dict[str, dict[str, str]] = {}
    for line in tables.memberships.itertuples():
        circles.setdefault(line.circle, {})[line.country] = str(line.date)
    return circles
