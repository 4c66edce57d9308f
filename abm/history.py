"""Worlds of past years: the tables as they would have stood at the end of another year.

The tables describe 2024. `tables_of_year` gives the same tables for the minerals of a run with the
rows that depend on the year replaced, each by a stated rule, so that everything that reads them
stays as it is:

- *output*: the series of `past_output.csv`, in the units and levels of `output.csv`;
- *recycling*: the tonnes of 2024 in step with the primary output of the world;
- *prices*: `past_prices.csv` in 2024 dollars; a market without its own has the stage ratio of 2024;
- *demand*: shares of 2024 moved with manufacturing, drawn to the shares that `past_demand.csv` has;
- *sectors*: the shares that `past_sectors.csv` has, the others in the proportions of 2024;
- *growth*: that of the years before, from `past_growth.csv` or from world output;
- *imports*: `past_import_shares.csv`; from 2020 on the partners of 2024; gravity otherwise;
- *firms*: those that had started; plants that were being built keep their opening date, and later
  ones are candidate projects, beside those of `past_projects.csv`.

Output, prices and growth never come from later years. Shares of use lie between those of the years
that are known, 2024 included, and the mines that might be built are those that once were.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from abm.tables import TableError, Tables, revised

Row = dict[str, Any]  # of a table, by column
Market = tuple[str, str, str]  # mineral, stage, and world or home

BASE_YEAR = 2024  # which the tables describe
PRICE = "price_usd_per_kg"
SUBSTITUTE_PRICES = ("backstop_price_multiple", "choke_price_multiple")
GROWTH = ["growth_per_year", "growth_low", "growth_high"]
GROWTH_YEARS = 5  # before the opening, over which growth is taken from output
GROWTH_RANGE = (0.0, 0.12)  # a year; nobody plans to shrink or to grow faster for long; assumed
GROWTH_MARGIN = 0.04  # a year, either side
UNDER_CONSTRUCTION = 2  # years before its start in which a plant is being built
FORESIGHT = 10  # years before its start in which a mine that opened later was a candidate; assumed
IMPORTS_KEPT_FROM = 2020  # year from which the import partners of 2024 stand in
PROJECTS_KEPT_FROM = 2018  # year from which the candidate projects of 2024 were known
CAPITAL_SPENT = {"planned": 0.0, "construction": 0.5}  # of the capital by state in projects.csv
CAPITAL_RANGE = (0.5, 2.0)  # low and high over the central capital of a derived candidate
DEMAND_RANGE = (0.6, 1.5)  # low and high over a share that was moved with manufacturing
RIVAL = 2.0  # a leading exporter of 2024 led in a year in which no country made this much more


def tables_of_year(tables: Tables, year: int, minerals: Sequence[str]) -> Tables:
    """Tables for the opening world of a year.

    Parameters
    ----------
    tables
        Tables as read; they describe 2024.
    year
        Opening year. 2024 gives the tables themselves.
    minerals
        The minerals of the run. Rows of others stay as they are.

    Raises
    ------
    TableError
        If output or prices of a mineral are missing in that year; the message names all of them
        and the years that have data.
    """
    if year == BASE_YEAR:
        return tables
    _refuse_gaps(tables, year, minerals)
    chosen = list(minerals)
    primary = _primary_output(tables, year, chosen)
    ratios = _world_ratios(tables, primary, chosen)
    recycling = _recycling(tables, ratios)
    output = _output(tables, primary, recycling, year, chosen)
    firms = _firms(tables, output, year, chosen)
    prices = _prices(tables, output, year, chosen)
    return revised(
        tables,
        f"of {year}",
        countries=_countries(tables, year),
        output=output,
        recycling=recycling,
        prices=prices,
        demand=_demand(tables, year, chosen),
        sectors=_sectors(tables, year, chosen),
        import_shares=_import_shares(tables, year, chosen),
        firms=firms,
        projects=_projects(tables, year, chosen),
        parameters=_parameters(tables, ratios, prices),
    )


# --- What there is --------------------------------------------------------------------------------


def coverage(tables: Tables) -> dict[str, tuple[int, ...]]:
    """Years of which the world of a mineral can be opened, ascending; 2024 is always one.

    A past year needs output at every stage and a world price at one: the other follows from the
    ratio of 2024.
    """
    made = _years_by(tables.past_output, "mineral", "stage")
    priced = _years_by(tables.past_prices, "mineral", "market")
    deflated = set(tables.consumer_prices["year"])
    known = {}
    for mineral in map(str, tables.minerals["mineral"]):
        years = deflated & priced[mineral, "world"]
        for stage in tables.stages_of(mineral):
            years &= made[mineral, stage]
        known[mineral] = (*sorted(int(year) for year in years if year < BASE_YEAR), BASE_YEAR)
    return known


def _years_by(
    rows: pd.DataFrame, first: str, second: str
) -> defaultdict[tuple[str, str], set[int]]:
    """Years that a table has for each pair of labels."""
    years: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for one, other, year in zip(rows[first], rows[second], rows["year"], strict=True):
        years[one, other].add(year)
    return years


def _refuse_gaps(tables: Tables, year: int, minerals: Sequence[str]) -> None:
    known = coverage(tables)
    absent = [mineral for mineral in minerals if year not in known[mineral]]
    if not absent:
        return
    held = "; ".join(f"{mineral} has {spans(known[mineral])}" for mineral in absent)
    left = [mineral for mineral in minerals if mineral not in absent]
    cure = (
        f"leave them out with world.minerals=[{','.join(left)}] or choose another world.year"
        if left
        else "choose another world.year"
    )
    raise TableError(
        f"world.year is {year}, but past_output.csv and past_prices.csv lack that year for "
        f"{', '.join(absent)} ({held}); {cure}."
    )


def spans(years: Sequence[int]) -> str:
    """Ascending years as ranges: 2009 to 2014, 2020."""
    edges = [0, *(np.flatnonzero(np.diff(years) > 1) + 1), len(years)]
    parts = [years[start:end] for start, end in pairwise(edges)]
    return ", ".join(
        f"{part[0]} to {part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts
    )


# --- Output and scrap -----------------------------------------------------------------------------


def _primary_output(tables: Tables, year: int, minerals: list[str]) -> pd.DataFrame:
    made = tables.past_output
    return made[(made["year"] == year) & made["mineral"].isin(minerals)]


def _world_ratios(
    tables: Tables, primary: pd.DataFrame, minerals: Sequence[str]
) -> dict[str, float]:
    """Primary output of the world over that of 2024, at the first stage of each mineral."""
    then, now = (
        frame.groupby(["mineral", "stage"])["quantity_t"].sum()
        for frame in (primary, tables.output)
    )
    scrap = tables.recycling.groupby("mineral")["quantity_t"].sum()
    ratios = {}
    for mineral in minerals:
        market = mineral, tables.stages_of(mineral)[0]
        recycled = scrap.get(mineral, 0.0) if market[1] == "refined" else 0.0
        ratios[mineral] = float(then[market] / (now[market] - recycled))
    return ratios


def _recycling(tables: Tables, ratios: Mapping[str, float]) -> pd.DataFrame:
    scrap = tables.recycling.copy()
    scrap["quantity_t"] *= [ratios.get(mineral, 1.0) for mineral in scrap["mineral"]]
    return scrap


def _output(
    tables: Tables, primary: pd.DataFrame, recycling: pd.DataFrame, year: int, minerals: list[str]
) -> pd.DataFrame:
    """Primary output and, at the refined stage, what is made of scrap on top."""
    scrap = recycling[recycling["mineral"].isin(minerals)].assign(stage="refined", year=year)
    both = pd.concat([primary, scrap])[list(tables.output.columns)]
    key = ["mineral", "stage", "country", "year"]
    summed = both.groupby(key, sort=False, as_index=False).agg(
        {"quantity_t": "sum", "source": "first", "status": "first"}
    )
    return _with(tables.output, summed, minerals)


def _with(frame: pd.DataFrame, rows: pd.DataFrame, minerals: list[str]) -> pd.DataFrame:
    """A table in which the rows of some minerals are replaced."""
    kept = frame[~frame["mineral"].isin(minerals)]
    joined = pd.concat([kept, rows[list(frame.columns)]], ignore_index=True)
    return joined.astype(frame.dtypes.to_dict())


# --- Prices ---------------------------------------------------------------------------------------


def _prices(tables: Tables, output: pd.DataFrame, year: int, minerals: list[str]) -> pd.DataFrame:
    index = tables.consumer_prices.set_index("year")["index"]
    past = tables.past_prices[tables.past_prices["year"] == year]
    real = past[PRICE] * index[BASE_YEAR] / past["dollars_of"].map(index)
    given, base = _by_market(past.assign(**{PRICE: real})), _by_market(tables.prices)
    rows: list[Row] = []
    for mineral in minerals:
        stages = tables.stages_of(mineral)
        for stage in stages:
            world = _world_price(mineral, stage, stages, given, base)
            rows.append(world)
            key = (mineral, stage, "home")
            if key in given:
                rows.append(given[key])
            elif key in base and _still_leads(output, base[key]["exporter"], mineral, stage):
                ratio = base[key][PRICE] / base[mineral, stage, "world"][PRICE]
                rows.append(_repriced(base[key], world, ratio))
    return _with(tables.prices, pd.DataFrame(rows).assign(year=year), minerals)


def _by_market(prices: pd.DataFrame) -> dict[Market, Row]:
    """The rows of a table of prices."""
    return {(row["mineral"], row["stage"], row["market"]): row for row in prices.to_dict("records")}


def _world_price(
    mineral: str,
    stage: str,
    stages: tuple[str, ...],
    given: Mapping[Market, Row],
    base: Mapping[Market, Row],
) -> Row:
    """The world price of a stage: its own, or the ratio of 2024 to that of the other stage."""
    key = (mineral, stage, "world")
    if key in given:
        return given[key]
    other = next((mineral, name, "world") for name in stages if name != stage)
    return _repriced(base[key], given[other], base[key][PRICE] / base[other][PRICE])


def _repriced(row: Row, leader: Row, ratio: float) -> Row:
    """A row of 2024 whose price follows another of the year."""
    source = f"estimated: ratio of 2024 to another price of the year; {leader['source']}"
    return {**row, PRICE: ratio * leader[PRICE], "source": source, "status": "estimated"}


def _still_leads(output: pd.DataFrame, exporter: str, mineral: str, stage: str) -> bool:
    """Whether the leading exporter of 2024 was no small producer then."""
    made = output[(output["mineral"] == mineral) & (output["stage"] == stage)]
    own = made.loc[made["country"] == exporter, "quantity_t"].sum()
    return bool(RIVAL * own >= made["quantity_t"].max())


# --- Demand ---------------------------------------------------------------------------------------


def _industry(tables: Tables, year: int) -> pd.Series:
    """[country] manufacturing of a year over that of the base year, both as shares of those listed.

    Countries without figures move with all others: 1.
    """
    wide = tables.past_industry.pivot(index="year", columns="country", values="industry_bn_usd")
    if wide.empty:
        return pd.Series(dtype=float)
    then = _at_year(wide, year)
    now = _at_year(wide, BASE_YEAR)
    return (then / then.sum()) / (now / now.sum())


def _at_year(wide: pd.DataFrame, year: int) -> pd.Series:
    """Each column at a year, by linear interpolation between the years given, level beyond them."""
    years = wide.index.to_numpy(float)
    return pd.Series({name: np.interp(year, years, wide[name].to_numpy(float)) for name in wide})


def _countries(tables: Tables, year: int) -> pd.DataFrame:
    moved = _industry(tables, year).reindex(tables.countries["code"]).fillna(1.0).to_numpy()
    industry = tables.countries["industry_bn_usd"] * moved
    scale = tables.countries["industry_bn_usd"].sum() / industry.sum()
    return tables.countries.assign(industry_bn_usd=industry * scale)


def _demand(tables: Tables, year: int, minerals: list[str]) -> pd.DataFrame:
    """Shares of each market: known ones held, the rest of 2024 moved with manufacturing."""
    rows = tables.demand[tables.demand["mineral"].isin(minerals)]
    past = _groups(tables.past_demand, "mineral", "stage", "country")
    moved = rows["country"].map(_industry(tables, year)).fillna(1.0).to_numpy(float)
    then = rows[["share", "low", "high"]].to_numpy(float)
    found = np.empty_like(then)
    for market, places in rows.groupby(["mineral", "stage"]).indices.items():
        countries = rows["country"].to_numpy()[places]
        told = [past.get((*market, country)) for country in countries]
        found[places] = _shares_of_market(then[places], moved[places], told, year)
    return _with(
        tables.demand,
        rows.assign(
            **dict(zip(("share", "low", "high"), found.T, strict=True)),
            source="estimated: share of 2024 moved with manufacturing value added; "
            + rows["source"],
            status="estimated",
        ),
        minerals,
    )


def _groups(rows: pd.DataFrame, *labels: str) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of a table by their labels, each in the order of years."""
    return dict(iter(rows.sort_values("year").groupby(list(labels))))


def _shares_of_market(
    then: np.ndarray, moved: np.ndarray, told: Sequence[pd.DataFrame | None], year: int
) -> np.ndarray:
    """[country, (share, low, high)] of one market, from those of 2024 and what is told of others.

    `moved` [country] is manufacturing over that of 2024.
    """
    free = np.array([rows is None for rows in told])
    guess = then[:, 0] * moved
    found = np.column_stack([guess, guess, guess])
    for place, rows in enumerate(told):
        if rows is not None:
            found[place] = _known_share(rows, then[place], year)
    found[free, 0] *= (1.0 - found[~free, 0].sum()) / guess[free].sum()
    found[free, 1] = DEMAND_RANGE[0] * found[free, 0]
    found[free, 2] = np.minimum(DEMAND_RANGE[1] * found[free, 0], 1.0)
    found[:, 0] /= found[:, 0].sum()
    found[:, 1] = np.minimum(found[:, 1], found[:, 0])
    found[:, 2] = np.maximum(found[:, 2], found[:, 0])
    return found


def _known_share(rows: pd.DataFrame, base: np.ndarray, year: int) -> list[float]:
    """Share, low and high between the years given and 2024, level before the first."""
    names = ("share", "low", "high")
    return [_between(rows, name, now, year) for name, now in zip(names, base, strict=True)]


def _between(rows: pd.DataFrame, name: str, base: float, year: int) -> float:
    """A column at a year, linear between the years given, which ascend, and the base year."""
    return float(np.interp(year, [*rows["year"], BASE_YEAR], [*rows[name], base]))


def _sectors(tables: Tables, year: int, minerals: list[str]) -> pd.DataFrame:
    """Known shares of the year, others in proportion; all grow as use did in the years before."""
    sectors = tables.sectors
    past = _groups(tables.past_sectors, "mineral", "sector")
    made = tables.past_output.groupby(["mineral", "stage", "year"])["quantity_t"].sum()
    given = tables.past_growth[tables.past_growth["year"] == year].set_index("mineral")[GROWTH]
    share = sectors["share"].to_numpy(float, copy=True)
    growth = sectors[GROWTH].to_numpy(float, copy=True)
    names = sectors["sector"].to_numpy()
    places = sectors.groupby("mineral").indices
    for mineral in minerals:
        mine = places[mineral]
        known = {
            row: _between(past[mineral, names[row]], "share", share[row], year)
            for row in mine
            if (mineral, names[row]) in past
        }
        free = [row for row in mine if row not in known]
        share[free] *= (1.0 - sum(known.values())) / share[free].sum()
        share[list(known)] = list(known.values())
        if mineral in given.index:
            growth[mine] = given.loc[mineral]
        else:
            growth[mine] = _past_growth(made[mineral, tables.stages_of(mineral)[0]], year)
    return sectors.assign(share=share, **dict(zip(GROWTH, growth.T, strict=True)))


def _past_growth(world: pd.Series, year: int) -> tuple[float, float, float]:
    """Growth of output [year] in the years before, a year: central, low and high."""
    before = world.index[(world.index >= year - GROWTH_YEARS) & (world.index < year)]
    if not len(before):
        return 0.0, -GROWTH_MARGIN, GROWTH_MARGIN
    first = int(before.min())
    rate = float((world[year] / world[first]) ** (1.0 / (year - first)) - 1.0)
    rate = min(max(rate, GROWTH_RANGE[0]), GROWTH_RANGE[1])
    return rate, rate - GROWTH_MARGIN, rate + GROWTH_MARGIN


def _import_shares(tables: Tables, year: int, minerals: list[str]) -> pd.DataFrame:
    past = tables.past_import_shares
    past = past[past["mineral"].isin(minerals)]
    past = past[(past["from_year"] <= year) & (year <= past["to_year"])]
    if year < IMPORTS_KEPT_FROM:
        return _with(tables.import_shares, past, minerals)
    key = ["mineral", "stage", "importer"]
    told = pd.MultiIndex.from_frame(past[key])
    base = tables.import_shares[tables.import_shares["mineral"].isin(minerals)]
    kept = base[~pd.MultiIndex.from_frame(base[key]).isin(told)]
    return _with(tables.import_shares, pd.concat([kept, past]), minerals)


def _parameters(
    tables: Tables, output_ratios: Mapping[str, float], prices: pd.DataFrame
) -> pd.DataFrame:
    """What is stated as a multiple of 2024 and stays where it is in tonnes or real dollars.

    The ceiling of a by-product is further above a smaller output; what a substitute costs is
    further above a lower price, and never below the least multiple that is stated.
    """
    found = tables.parameters.copy()
    numbers = ["value", "low", "high"]
    price_ratios = _price_ratios(tables, prices, list(output_ratios))
    rows = (found["parameter"] == "byproduct_ceiling") & found["mineral"].isin(output_ratios)
    multiple = found.loc[rows, numbers].div(_of_minerals(found[rows], output_ratios), axis=0)
    found.loc[rows, numbers] = multiple.clip(lower=1.0)
    rows = found["parameter"].isin(SUBSTITUTE_PRICES) & found["mineral"].isin(output_ratios)
    multiple = found.loc[rows, numbers].div(_of_minerals(found[rows], price_ratios), axis=0)
    found.loc[rows, numbers] = multiple.clip(lower=found.loc[rows, "low"].clip(lower=1.0), axis=0)
    return found


def _of_minerals(rows: pd.DataFrame, values: Mapping[str, float]) -> np.ndarray:
    """[row] the value of the mineral that a row is about."""
    return np.array([values[mineral] for mineral in rows["mineral"]], dtype=float)


def _price_ratios(
    tables: Tables, prices: pd.DataFrame, minerals: Sequence[str]
) -> dict[str, float]:
    """World price of the last stage over that of 2024, both in dollars of 2024."""
    then, now = (_by_market(frame) for frame in (prices, tables.prices))
    last = {mineral: (mineral, tables.stages_of(mineral)[-1], "world") for mineral in minerals}
    return {mineral: then[key][PRICE] / now[key][PRICE] for mineral, key in last.items()}


# --- Firms and projects ---------------------------------------------------------------------------


def _firms(tables: Tables, output: pd.DataFrame, year: int, minerals: list[str]) -> pd.DataFrame:
    """Facilities that ran or were being built, none above the nation's output."""
    firms = tables.firms
    mine = firms["mineral"].isin(minerals)
    start = firms["start_year"]
    building = mine & _being_built(tables, year)
    ran = ~mine | ~(start > year)
    kept = firms[ran | building].copy()
    building = building[kept.index]
    size = kept["capacity_t"].fillna(kept["output_t"])
    kept.loc[building, "capacity_t"] = size[building]
    kept.loc[building, "output_t"] = 0.0
    kept.loc[building, "state"] = "construction"
    kept["output_t"] *= _national_scale(kept, output)
    return kept.reset_index(drop=True)


def _being_built(tables: Tables, year: int) -> pd.Series:
    """[firm] whether a plant was under construction: it opened within two years.

    Plants that `past_projects.csv` lists are left to their owners' decision.
    """
    firms = tables.firms
    soon = (firms["start_year"] > year) & (firms["start_year"] <= year + UNDER_CONSTRUCTION)
    real = firms["state"].isin(["operating", "construction"])
    listed = tables.past_projects.loc[_in_force(tables.past_projects, year), "project"]
    return soon & real & ~firms["firm"].isin(set(listed))


def _in_force(rows: pd.DataFrame, year: int) -> pd.Series:
    return (rows["from_year"] <= year) & (year <= rows["to_year"])


def _national_scale(firms: pd.DataFrame, output: pd.DataFrame) -> np.ndarray:
    """[firm] what brings the firms of a nation down to its output; 1 where they are below."""
    stage = firms["stage"].replace("recycled", "refined")
    key = [firms["mineral"], stage, firms["country"]]
    listed = firms["output_t"].fillna(0.0).groupby(key).transform("sum").to_numpy()
    national = output.set_index(["mineral", "stage", "country"])["quantity_t"]
    made = national.reindex(pd.MultiIndex.from_arrays(key)).fillna(0.0).to_numpy()
    return np.minimum(1.0, np.divide(made, listed, out=np.ones(len(firms)), where=listed > 0))


def _projects(tables: Tables, year: int, minerals: list[str]) -> pd.DataFrame:
    """Candidates: those listed for the year, plants that opened later, those of 2024 if known."""
    listed = tables.past_projects
    listed = listed[_in_force(listed, year) & listed["mineral"].isin(minerals)]
    known = _projects_known(tables) if year >= PROJECTS_KEPT_FROM else tables.projects.iloc[:0]
    found = pd.concat([listed, _later_plants(tables, year), known])[list(tables.projects.columns)]
    found = found[found["mineral"].isin(minerals)]
    return _with(tables.projects, found.drop_duplicates(["project", "mineral", "stage"]), minerals)


def _projects_known(tables: Tables) -> pd.DataFrame:
    """The candidates of 2024 before anything was spent on them; those idle then still ran."""
    known = tables.projects[tables.projects["state"].isin(list(CAPITAL_SPENT))]
    whole = 1.0 / (1.0 - known["state"].map(CAPITAL_SPENT).astype(float))
    money = {
        name: known[name] * whole
        for name in ("capital_musd", "capital_low_musd", "capital_high_musd")
    }
    return known.assign(state="planned", **money)


def _later_plants(tables: Tables, year: int) -> pd.DataFrame:
    """Plants that opened three to ten years later, outside the non-allied countries."""
    firms = tables.firms
    later = (firms["start_year"] > year) & (firms["start_year"] <= year + FORESIGHT)
    later &= firms["state"].isin(["operating", "construction"])
    role = tables.countries.set_index("code")["role"]
    later &= ~_being_built(tables, year) & (firms["country"].map(role) != "non_allied")
    plants = firms[later]
    size = plants["capacity_t"].fillna(plants["output_t"]).fillna(0.0)
    cost = _capital_per_tonne(tables).reindex(
        pd.MultiIndex.from_frame(plants[["mineral", "stage"]])
    )
    capital = size * cost.to_numpy()
    found = plants.assign(
        project=plants["firm"],
        state="planned",
        capacity_t=size,
        capital_musd=capital,
        capital_low_musd=CAPITAL_RANGE[0] * capital,
        capital_high_musd=CAPITAL_RANGE[1] * capital,
        source="estimated: opened later, at the median capital per tonne of planned projects; "
        + plants["source"],
        status="estimated",
    )
    return found[(size > 0) & capital.notna()]


def _capital_per_tonne(tables: Tables) -> pd.Series:
    """[mineral, stage] million USD per t/year, median of the planned projects."""
    planned = tables.projects[tables.projects["state"] == "planned"]
    ratio = planned["capital_musd"] / planned["capacity_t"]
    return ratio.groupby([planned["mineral"], planned["stage"]]).median()
