"""The opening month: what the tables leave out is completed so that every market balances.

Published are output by country (tonnes), and shares of demand, sectors and imports. Not public are
most flows between two countries. The steps, each a pure function, and each result an estimate:

1. *Closure.* Mined output is kept as published. What is not used directly is refined at the yield
   of the mineral; countries share this primary refining as published, and refine scrap on top.
   Refined levels are thus closed on the mined balance. A mineral traded only refined keeps its
   published output. World use equals world supply, market by market.
2. *Prior flows.* Home producers serve home first, observed partner shares split the imports of the
   importers that publish them, gravity splits the rest (`CompletionRule`).
3. *Balancing.* Iterative proportional fitting brings the prior to the supply and use of every
   country and changes it least in relative entropy (Deming and Stephan 1940; Stone 1961, "RAS").

Axes: market [M], origin [I], destination [J] (both are countries), sector [S], mineral [K].
Quantities are tonnes a month of contained mineral.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from abm.tables import SECTORS, STAGES, TableError, Tables

Array = np.ndarray

MONTHS_A_YEAR = 12.0
OPENING_YEAR = 2024
BALANCE_TOLERANCE = 1e-13
SWEEPS_AT_ONCE = 20
NEWTON_STEPS = 10  # after sweeps that came near but not there
MAX_SWEEPS = 2_000  # the markets of the reference world need tens to hundreds


class BalanceError(ArithmeticError):
    """The flows of a market cannot be brought to its supply and use."""


@dataclass(frozen=True)
class CompletionRule:
    """How unobserved flows are guessed before they are balanced. All values are assumptions.

    distance_exponent: trade falls with distance to this power; 1 is the usual finding of gravity
        studies of goods trade.
    home_km: distance of a country to itself, and the least between two, where gravity compares
        them (main ports of neighbours can lie nearer than the plants they serve).
    home_share_mined, home_share_refined: share of its output that a country keeps which uses more
        than it makes. Ore is refined where it is mined if it can be; of refined product some grades
        are exported and others imported.
    two_way_share: share of its use that a country imports although it makes more than it uses, if
        it publishes import partners for the market; any other net exporter serves home in full.
    unclaimed_share: least share of an exporter's shipments left for importers that publish no
        partners, when the others' published shares claim all of it.
    gravity_floor: share of plain gravity added to every pair of a producer and a user, so that the
        fit is feasible and an arc that a ban makes worth while has an opening weight.
    """

    distance_exponent: float = 1.0
    home_km: float = 1000.0
    home_share_mined: float = 0.98
    home_share_refined: float = 0.85
    two_way_share: float = 0.03
    unclaimed_share: float = 0.1
    gravity_floor: float = 1e-4

    def home_supply(self, stage: str, supply: Array, use: Array, known: Array) -> Array:
        """[I] what producers sell at home; `known` marks importers that publish partners."""
        kept = self.home_share_mined if stage == "mined" else self.home_share_refined
        served = np.where(known, 1.0 - self.two_way_share, 1.0)
        return np.where(supply >= use, served * use, np.minimum(kept * supply, served * use))


@dataclass(frozen=True, eq=False)
class Opening:
    """The completed opening month; read-only arrays in tonnes a month, axes in the module text.

    Markets are ordered mined first, then refined, each in the order of the minerals.
    `observed_prior` is what was balanced to give `flow`; `refining_yield` is 1 for a mineral
    without a mined stage. Sums of `flow` over origins are the use, over destinations the supply.
    """

    countries: tuple[str, ...]
    minerals: tuple[str, ...]
    sectors: tuple[str, ...]
    markets: tuple[tuple[str, str], ...]
    mineral_of_market: Array  # [M] int
    is_refined: Array  # [M] bool
    supply: Array  # [M, I]
    recycled: Array  # [M, I] part of refined supply made from scrap
    feed_use: Array  # [M, J] mined markets: bought by the refiners of a country
    final_use: Array  # [M, J, S]
    flow: Array  # [M, I, J]
    observed_prior: Array  # [M, I, J]
    refining_yield: Array  # [K] t refined primary per t mined

    @property
    def use(self) -> Array:
        """All use by country, [M, J]: refiners' feed and final use."""
        return self.feed_use + self.final_use.sum(axis=2)

    def market(self, mineral: str, stage: str) -> int:
        """Row of a market; raises ValueError when the opening has no such market."""
        if (mineral, stage) not in self.markets:
            known = ", ".join(" ".join(market) for market in self.markets)
            raise ValueError(f"The opening has no market {mineral} {stage}; use one of {known}.")
        return self.markets.index((mineral, stage))


def opening_balance(
    tables: Tables, minerals: Sequence[str], rule: CompletionRule | None = None
) -> Opening:
    """Complete the opening month of the given minerals; every market balances to 1e-12.

    Raises TableError for an unknown or repeated mineral, BalanceError when flows cannot be fitted.
    """
    rule = rule or CompletionRule()
    names = _checked_minerals(tables, minerals)
    countries = tuple(str(code) for code in tables.countries["code"])
    markets = tuple(
        (name, stage) for stage in STAGES for name in names if stage in tables.stages_of(name)
    )
    closures = [_close_mineral(tables, name, countries) for name in names]
    parts = {
        field: np.array([closures[names.index(name)][stage][field] for name, stage in markets])
        for field in ("supply", "recycled", "feed_use", "final_use")
    }
    use = parts["feed_use"] + parts["final_use"].sum(axis=2)
    resistance = _resistance(tables, countries, rule)
    own, observed = _partner_shares(tables, markets, countries)
    prior = np.array(
        [
            _prior_flow(stage, parts["supply"][m], use[m], own[m], observed[m], resistance, rule)
            for m, (_, stage) in enumerate(markets)
        ]
    )
    flow = np.array(
        [
            balance_flows(prior[m], parts["supply"][m], use[m], " ".join(market))
            for m, market in enumerate(markets)
        ]
    )
    arrays = {
        **parts,
        "mineral_of_market": np.array([names.index(name) for name, _ in markets]),
        "is_refined": np.array([stage == "refined" for _, stage in markets]),
        "flow": flow,
        "observed_prior": prior,
        "refining_yield": np.array([_refining_yield(tables, name) for name in names]),
    }
    for array in arrays.values():
        array.setflags(write=False)
    return Opening(countries, names, SECTORS, markets, **arrays)


def _checked_minerals(tables: Tables, minerals: Sequence[str]) -> tuple[str, ...]:
    names = tuple(minerals)
    if not names:
        raise TableError("world.minerals is empty; name at least one mineral, or [all].")
    for name in names:
        tables.stages_of(name)
        if names.count(name) > 1:
            raise TableError(f"Mineral {name!r} is given twice; name it once.")
    return names


# --- 1. Closure -----------------------------------------------------------------------------------


def _close_mineral(
    tables: Tables, mineral: str, countries: tuple[str, ...]
) -> dict[str, dict[str, Array]]:
    """Supply and use of a mineral at each of its stages."""
    recycled = _monthly(tables.recycling, countries, mineral)
    refined = _monthly(tables.output, countries, mineral, "refined")
    if tables.stages_of(mineral) == ("refined",):
        final = _final_use(tables, mineral, "refined", countries, refined.sum(), refined.sum())
        return {"refined": _stage_parts(refined, recycled, 0.0 * refined, final)}
    mined = _monthly(tables.output, countries, mineral, "mined")
    direct = _direct_share(tables, mineral) * mined.sum()
    refined_yield = _refining_yield(tables, mineral)
    primary_share = _normalised(np.maximum(refined - recycled, 0.0))
    primary = refined_yield * (mined.sum() - direct) * primary_share
    refined = primary + recycled
    all_use = direct + refined.sum()
    direct_use = _final_use(tables, mineral, "mined", countries, direct, all_use)
    refined_use = _final_use(tables, mineral, "refined", countries, refined.sum(), all_use)
    return {
        "mined": _stage_parts(mined, 0.0 * mined, primary / refined_yield, direct_use),
        "refined": _stage_parts(refined, recycled, 0.0 * refined, refined_use),
    }


def _stage_parts(supply: Array, recycled: Array, feed: Array, final: Array) -> dict[str, Array]:
    """One market's supply and use, use scaled (by rounding only) to supply."""
    scale = supply.sum() / (feed.sum() + final.sum())
    return {
        "supply": supply,
        "recycled": recycled,
        "feed_use": feed * scale,
        "final_use": final * scale,
    }


def _refining_yield(tables: Tables, mineral: str) -> float:
    if tables.stages_of(mineral) == ("refined",):
        return 1.0
    return tables.parameter(mineral, "refined", "refining_yield")[0]


def _direct_share(tables: Tables, mineral: str) -> float:
    share = tables.direct_use.loc[tables.direct_use["mineral"] == mineral, "share"]
    return float(share.sum())


def _final_use(
    tables: Tables,
    mineral: str,
    stage: str,
    countries: tuple[str, ...],
    quantity: float,
    all_use: float,
) -> Array:
    """[J, S] use of one stage: demand shares by country times one sector mix for all countries."""
    if quantity == 0.0:
        return np.zeros((len(countries), len(SECTORS)))
    demand = tables.demand
    rows = demand[(demand["mineral"] == mineral) & (demand["stage"] == stage)]
    by_country = _by_country(rows, "country", "share", countries)
    mix = _sector_mix(tables, mineral, stage, quantity / all_use)
    return quantity * np.outer(_normalised(by_country), mix)


def _sector_mix(tables: Tables, mineral: str, stage: str, part: float) -> Array:
    """[S] sector shares of a stage that covers `part` of a mineral's use.

    Sectors that need refined product come first in SECTORS: they take it until it is used up, and
    what is used unrefined goes to the rest, so both stages together show the published mix.
    """
    table = tables.sectors[tables.sectors["mineral"] == mineral]
    shares = _normalised(_by_country(table, "sector", "share", SECTORS))
    if part >= 1.0:
        return shares
    refined_part = part if stage == "refined" else 1.0 - part
    before = np.cumsum(shares) - shares
    refined = np.clip(refined_part - before, 0.0, shares)
    return _normalised(refined if stage == "refined" else shares - refined)


def _monthly(
    frame: pd.DataFrame, countries: tuple[str, ...], mineral: str, stage: str | None = None
) -> Array:
    rows = frame[frame["mineral"] == mineral]
    if stage is not None:
        rows = rows[rows["stage"] == stage]
    return _by_country(rows, "country", "quantity_t", countries) / MONTHS_A_YEAR


def _by_country(rows: pd.DataFrame, label: str, value: str, labels: tuple[str, ...]) -> Array:
    found = np.zeros(len(labels))
    for name, quantity in _rows(rows, (label, value)):
        found[labels.index(name)] += quantity
    return found


def _rows(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of a table, row by row."""
    return zip(*(frame[name].tolist() for name in names), strict=True)


def _normalised(values: Array) -> Array:
    return values / values.sum()


# --- 2. Prior flows -------------------------------------------------------------------------------


def _resistance(tables: Tables, countries: tuple[str, ...], rule: CompletionRule) -> Array:
    """[I, J] ease of trade, (kilometres / 1000) to the power of minus the distance exponent."""
    row = {code: place for place, code in enumerate(countries)}
    km = np.full((len(countries), len(countries)), rule.home_km)
    for origin, destination, sea in _rows(tables.distances, ("origin", "destination", "sea_km")):
        i, j = row[origin], row[destination]
        km[i, j] = km[j, i] = max(sea, rule.home_km)
    return (km / 1000.0) ** -rule.distance_exponent


def _prior_flow(
    stage: str,
    supply: Array,
    use: Array,
    own: Array,
    observed: Array,
    resistance: Array,
    rule: CompletionRule,
) -> Array:
    """[I, J] flows before balancing: home, observed imports, gravity for the rest, floor."""
    known = observed.sum(axis=0) > 0
    home = np.where(
        own > 0,
        np.minimum(own * use, supply),
        rule.home_supply(stage, supply, use, known),
    )
    exports, imports = supply - home, use - home
    foreign = resistance * (1.0 - np.eye(supply.size))
    claimed = _observed_imports(observed, exports, imports, foreign)
    free = np.maximum(exports - claimed.sum(axis=1), rule.unclaimed_share * exports)
    rest = _gravity_imports(free, np.where(known, 0.0, imports), foreign)
    floor = rule.gravity_floor * _plain_gravity(supply, use, resistance)
    return np.diag(home) + claimed + rest + floor


def _partner_shares(
    tables: Tables, markets: Sequence[tuple[str, str]], countries: tuple[str, ...]
) -> tuple[Array, Array]:
    """What is published of where a country buys, by market; zero where nothing is.

    [M, J] the part of its use that a country makes itself, and [M, I, J] the shares of partners in
    its imports.
    """
    row = {market: place for place, market in enumerate(markets)}
    column = {code: place for place, code in enumerate(countries)}
    own = np.zeros((len(markets), len(countries)))
    partners = np.zeros((len(markets), len(countries), len(countries)))
    names = ("mineral", "stage", "importer", "partner", "share")
    for mineral, stage, importer, partner, share in _rows(tables.import_shares, names):
        m, j = row.get((mineral, stage)), column[importer]
        if m is None:
            continue
        if importer == partner:
            own[m, j] = share
        else:
            partners[m, column[partner], j] += share
    return own, partners / np.maximum(partners.sum(axis=1, keepdims=True), 1.0)


def _observed_imports(observed: Array, exports: Array, imports: Array, foreign: Array) -> Array:
    """[I, J] imports of the importers with published partners.

    Shares of partners that export nothing in our data are re-exports: gravity over the exporters
    stands for their true origin, as for the share that is not published at all.
    """
    known = observed.sum(axis=0) > 0
    produced = observed * (exports > 0)[:, None]
    unknown = np.where(known, 1.0 - produced.sum(axis=0), 0.0)
    return produced * imports + _gravity_imports(exports, unknown * imports, foreign)


def _gravity_imports(exports: Array, imports: Array, foreign: Array) -> Array:
    """[I, J] imports of each country split by exports over distance."""
    pull = exports[:, None] * foreign
    total = pull.sum(axis=0)
    return pull / np.where(total > 0, total, 1.0) * imports


def _plain_gravity(supply: Array, use: Array, resistance: Array) -> Array:
    """[I, J] supply times use over distance, scaled to the volume of the market."""
    gravity = supply[:, None] * use * resistance
    return gravity * (supply.sum() / gravity.sum())


# --- 3. Balancing ---------------------------------------------------------------------------------


def balance_flows(
    prior: Array,
    supply: Array,
    use: Array,
    market: str = "the market",
    max_sweeps: int = MAX_SWEEPS,
) -> Array:
    """[I, J] the flows nearest to the prior (relative entropy) whose sums are supply and use.

    prior [I, J] >= 0, supply [I] and use [J] in the same unit and of equal total. The fit has the
    cross ratios of the prior. Raises BalanceError when the sums do not meet within 1e-13.
    """
    flow = np.array(prior, dtype=float)
    for _ in range(0, max_sweeps, SWEEPS_AT_ONCE):
        flow, balanced = _swept(flow, supply, use)
        if balanced:
            break
    else:
        flow = _polished(flow, supply, use)
    gap = max(_gap(flow.sum(axis=1), supply), _gap(flow.sum(axis=0), use))
    if not gap <= 10 * BALANCE_TOLERANCE:
        raise BalanceError(
            f"The opening flows of {market} do not balance after {max_sweeps} sweeps, relative gap "
            f"{gap:.2e}; check its rows in output.csv, demand.csv and import_shares.csv."
        )
    return flow


def _swept(flow: Array, supply: Array, use: Array) -> tuple[Array, bool]:
    """[I, J] flows with rows and columns scaled in turn, and whether both sums are met.

    Only the scales are swept, which is far less than all flows. They may grow without end where a
    fit is far, so that the flows take them up after a few.
    """
    sold, balanced = flow.sum(axis=1), False
    for _ in range(SWEEPS_AT_ONCE):
        rows = _scale(supply, sold)
        columns = _scale(use, rows @ flow)
        sold = flow @ columns
        balanced = bool(np.abs(rows * sold - supply).max() <= BALANCE_TOLERANCE * supply.max())
        if balanced:
            break
    return rows[:, None] * flow * columns, balanced


def _polished(flow: Array, supply: Array, use: Array) -> Array:
    """[I, J] the same fit by Newton steps on the logarithms of the scales of rows and columns.

    Sweeps hardly move where two groups of countries trade almost nothing with each other.
    """
    count = supply.size
    for _ in range(NEWTON_STEPS):
        rows, columns = flow.sum(axis=1), flow.sum(axis=0)
        slope = np.block([[np.diag(rows), flow], [flow.T, np.diag(columns)]])
        short = np.concatenate([supply - rows, use - columns])
        step = np.linalg.lstsq(slope, short, rcond=None)[0].clip(-1.0, 1.0)
        flow = flow * np.exp(step[:count, None] + step[None, count:])
    return flow


def _scale(wanted: Array, found: Array) -> Array:
    return np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)


def _gap(found: Array, wanted: Array) -> float:
    return float(np.abs(found - wanted).max() / wanted.max())


# --- Entry and comparison -------------------------------------------------------------------------


def affinity(tables: Tables, opening: Opening, rule: CompletionRule | None = None) -> Array:
    """[M, I, J] share a producer would have in a destination per unit of its share of world supply.

    Gravity against the producers already there: nearness over the supply-weighted nearness of all
    producers, scaled to a mean of one over destinations weighted by use. It needs no opening flow
    and so lets a country without opening supply enter at par price.
    """
    resistance = _resistance(tables, opening.countries, rule or CompletionRule())
    supply_share = opening.supply / opening.supply.sum(axis=1, keepdims=True)
    use_share = opening.use / opening.use.sum(axis=1, keepdims=True)
    relative = resistance[None] / (supply_share @ resistance)[:, None, :]
    return relative / np.einsum("mij,mj->mi", relative, use_share)[:, :, None]


def share_comparison(tables: Tables, opening: Opening) -> pd.DataFrame:
    """Shares of world supply by country in the opening against published ones.

    Columns: mineral, stage, country, model_share, published_share, publisher, difference.
    """
    rows = []
    for row in tables.published_shares.itertuples():
        if (row.mineral, row.stage) not in opening.markets:
            continue
        supply = opening.supply[opening.market(row.mineral, row.stage)]
        model = float(supply[opening.countries.index(row.country)] / supply.sum())
        key = (row.mineral, row.stage, row.country)
        rows.append((*key, model, row.share, row.publisher, model - row.share))
    names = "mineral stage country model_share published_share publisher difference"
    return pd.DataFrame(rows, columns=names.split())


WHOLE = 0.9  # published shares that add up to less say too little of concentration


def concentration(tables: Tables, opening: Opening) -> pd.DataFrame:
    """Concentration of producing countries in the opening against published figures.

    Columns: mineral, stage, measure (hhi, 0 to 10,000, or largest_share, 0 to 1), opening,
    published, year, publisher. A market without a published figure has NaN there. An index of
    published shares is taken over the countries that the publisher lists.
    """
    known: dict[tuple[str, str, str], list[tuple[float, float, str]]] = {}
    for row in tables.published_concentration.itertuples():
        key = (row.mineral, row.stage, row.measure)
        known.setdefault(key, []).append((row.value, row.year, row.publisher))
    for (mineral, stage, publisher), group in tables.published_shares.groupby(
        ["mineral", "stage", "publisher"], sort=False
    ):
        if group["share"].sum() >= WHOLE:
            published = float(1e4 * (group["share"] ** 2).sum())
            found = published, OPENING_YEAR, publisher
            known.setdefault((mineral, stage, "hhi"), []).append(found)
    rows = []
    index = hhi(opening.supply, axis=1)
    largest = opening.supply.max(axis=1) / opening.supply.sum(axis=1)
    for market, (mineral, stage) in enumerate(opening.markets):
        for measure, value in (("hhi", index[market]), ("largest_share", largest[market])):
            nothing = [(np.nan, OPENING_YEAR, "")]
            for published, year, publisher in known.get((mineral, stage, measure), nothing):
                figures = float(value), float(published), int(year), str(publisher)
                rows.append((mineral, stage, measure, *figures))
    names = "mineral stage measure opening published year publisher"
    return pd.DataFrame(rows, columns=names.split())


def import_share_fit(tables: Tables, opening: Opening) -> pd.DataFrame:
    """Published partner shares of imports against those of the balanced flows.

    Columns: mineral, stage, importer, partner, observed_share, balanced_share, difference, and
    partner_supplies (False: re-exports, whose share went to producers).
    """
    rows = []
    for row in tables.import_shares.itertuples():
        if (row.mineral, row.stage) not in opening.markets or row.importer == row.partner:
            continue
        market = opening.market(row.mineral, row.stage)
        origin = opening.countries.index(row.partner)
        balanced = _import_share(opening, market, origin, opening.countries.index(row.importer))
        key = (row.mineral, row.stage, row.importer, row.partner)
        supplies = bool(opening.supply[market, origin] > 0)
        rows.append((*key, row.share, balanced, balanced - row.share, supplies))
    names = "mineral stage importer partner observed_share balanced_share difference"
    return pd.DataFrame(rows, columns=[*names.split(), "partner_supplies"])


def _import_share(opening: Opening, market: int, origin: int, importer: int) -> float:
    bought = opening.flow[market, :, importer]
    imports = bought.sum() - bought[importer]
    return float(bought[origin] / imports) if imports > 0 else 0.0


def hhi(shares: Array, axis: int = 0) -> Array:
    """Herfindahl-Hirschman index, 0 to 10,000, of shares or quantities along an axis; 0 if none."""
    values = np.asarray(shares, dtype=float)
    total = values.sum(axis=axis, keepdims=True)
    fractions = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    return 1e4 * (fractions**2).sum(axis=axis)
