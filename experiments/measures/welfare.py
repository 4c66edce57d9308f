"""Who gains and who pays: paired differences of surplus, and what industry notices of them.

Like all effects they compare runs that met the same outside draws: with a membership and without
(`none`), under the same shock; and with the shock and without, under the same membership.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from abm.welfare import PARTIES
from experiments.measures.effects import NO_MEMBERSHIP, NO_SHOCK, Window, estimate

TOTAL = "total"
MEMBERSHIP, SHOCK = "membership", "shock"  # what differs between the two runs of a pair
MILLION = 1e6
RUN = ["membership", "shock", "seed"]
SUMMARY = ["mean", "low", "high", "median", "p10", "p90", "n"]
WELFARE_COLUMNS = [
    *("membership", "shock", "window", "compared", "unit", "country", "party"),
    *SUMMARY,
]
INDUSTRY_COLUMNS = [
    *("membership", "shock", "window", "compared", "measure", "unit", "country", "sector"),
    *SUMMARY,
]


@dataclass(frozen=True)
class Comparison:
    """Two runs of a seed that differ in one thing, over the calendar years of a window."""

    window: str
    compared: str
    run: tuple[str, str]  # membership, shock
    base: tuple[str, str]
    first: int
    last: int


def comparisons(
    memberships: Sequence[str], shocks: Sequence[str], windows: Sequence[Window]
) -> list[Comparison]:
    """Every membership against none in each window, and every shock against calm."""
    found = []
    for window in windows:
        first, last = int(window.start[:4]), int(window.end[:4])
        for name in memberships:
            run = (name, window.shock)
            if name != NO_MEMBERSHIP:
                base = (NO_MEMBERSHIP, window.shock)
                found.append(Comparison(window.name, MEMBERSHIP, run, base, first, last))
            if window.shock != NO_SHOCK and NO_SHOCK in shocks:
                calm = (name, NO_SHOCK)
                found.append(Comparison(window.name, SHOCK, run, calm, first, last))
    return found


def surplus_years(surplus: pd.DataFrame) -> pd.DataFrame:
    """Surplus by run, year, country and party, over all minerals."""
    columns = [f"{party}_usd" for party in PARTIES]
    keys = [*RUN, "year", "country"]
    return surplus.groupby(keys, observed=True)[columns].sum().reset_index()


def sector_years(sectors: pd.DataFrame) -> pd.DataFrame:
    """What sectors used and paid by run, year and country, over all minerals.

    Tonnes of different minerals do not add up: availability and uncovered are percent of need
    times dollars, weighed by the outlay of each market.
    """
    weighed = sectors.assign(
        availability=100.0 * sectors["outlay_usd"] * sectors["use_t"] / sectors["need_t"],
        uncovered=100.0 * sectors["outlay_usd"] * sectors["uncovered_t"] / sectors["need_t"],
    )
    keys = [*RUN, "year", "country", "sector"]
    figures = ["outlay_usd", "availability", "uncovered"]
    return weighed.groupby(keys, observed=True)[figures].sum().reset_index()


def welfare_table(surplus: pd.DataFrame, windows: Sequence[Window]) -> pd.DataFrame:
    """Change of surplus by country and party, million USD a year, mean over seeds with intervals.

    Parameters
    ----------
    surplus
        The table surplus of a results folder, or part of its columns: the run, year, country and
        `<party>_usd`.
    """
    return summary_of(welfare_changes(surplus, windows), WELFARE_COLUMNS)


def welfare_changes(surplus: pd.DataFrame, windows: Sequence[Window]) -> pd.DataFrame:
    """The same, a row a seed, with the column change."""
    yearly = surplus_years(surplus).rename(columns={f"{party}_usd": party for party in PARTIES})
    yearly[TOTAL] = yearly[list(PARTIES)].sum(axis=1)
    parts = []
    for pair in _pairs(yearly, windows):
        years = _years(yearly, pair)
        count = years["year"].nunique()
        sums = years.groupby([*RUN, "country"], observed=True)[[*PARTIES, TOTAL]].sum()
        change = _difference(sums / (MILLION * count), pair, "party")
        parts.append(change.assign(unit="million USD a year"))
    return _changes(parts, WELFARE_COLUMNS)


def industry_table(
    sectors: pd.DataFrame,
    windows: Sequence[Window],
    industry_bn_usd: Mapping[str, float],
    pass_through: float,
) -> pd.DataFrame:
    """What the sectors of each country notice, mean over seeds with intervals.

    `sectors` is the table of that name of a results folder; the measures and the other parameters
    are those of `industry_changes`.
    """
    yearly = sector_years(sectors)
    changes = industry_changes(yearly, windows, industry_bn_usd, pass_through)
    return summary_of(changes, INDUSTRY_COLUMNS)


def industry_changes(
    yearly: pd.DataFrame,
    windows: Sequence[Window],
    industry_bn_usd: Mapping[str, float],
    pass_through: float,
) -> pd.DataFrame:
    """What the sectors of each country notice, a row a seed, with the column change.

    Measures: availability (use over need), uncovered (share of the coming months' need that stock
    does not cover), both in percentage points, and cost_passed_on, the part of the change in outlay
    that a sector passes on, in percent of the value added of the country's industry.

    Parameters
    ----------
    yearly
        The table of `sector_years`.
    industry_bn_usd
        Value added of industry by country, billion USD.
    pass_through
        Share of a cost that is passed on.
    """
    size = {code: 1e9 * value for code, value in industry_bn_usd.items() if value > 0}
    units = {"availability": "points", "uncovered": "points", "cost_passed_on": "%"}
    parts = []
    for pair in _pairs(yearly, windows):
        years = _years(yearly, pair)
        count = years["year"].nunique()
        sums = years.groupby([*RUN, "country", "sector"], observed=True)[
            ["availability", "uncovered", "outlay_usd"]
        ].sum()
        outlay = sums["outlay_usd"]
        industry = sums.index.get_level_values("country").map(size).to_numpy(float)
        values = pd.DataFrame(
            {
                "availability": sums["availability"] / outlay,
                "uncovered": sums["uncovered"] / outlay,
                "cost_passed_on": 100.0 * pass_through * outlay / count / industry,
            }
        )
        change = _difference(values, pair, "measure")
        parts.append(change.assign(unit=change["measure"].map(units)))
    return _changes(parts, INDUSTRY_COLUMNS)


def _changes(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The changes of all comparisons, in the order of a summary's columns."""
    labels = [name for name in columns if name not in SUMMARY]
    found = [part[[*labels, "seed", "change"]] for part in parts]
    if not found:
        return pd.DataFrame(columns=[*labels, "seed", "change"])
    return pd.concat(found, ignore_index=True)


def summary_of(changes: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean, interval and quantiles over seeds of a table of changes; what is nowhere known goes."""
    labels = [name for name in columns if name not in SUMMARY]
    records = []
    if changes.empty:
        return pd.DataFrame(columns=columns)
    for key, rows in changes.groupby(labels, sort=False, observed=True):
        values = rows["change"].to_numpy(float)
        if np.isnan(values).all():
            continue
        summary = estimate(values, "")
        named = dict(zip(labels, key, strict=True))
        records.append(named | {name: getattr(summary, name) for name in SUMMARY})
    return pd.DataFrame.from_records(records, columns=columns)


def _pairs(yearly: pd.DataFrame, windows: Sequence[Window]) -> list[Comparison]:
    rows = yearly[["membership", "shock"]].drop_duplicates()
    runs = list(zip(rows["membership"], rows["shock"], strict=True))
    memberships = list(dict.fromkeys(str(name) for name, _ in runs))
    return comparisons(memberships, [str(name) for _, name in runs], windows)


def _years(yearly: pd.DataFrame, pair: Comparison) -> pd.DataFrame:
    """Rows of the two runs of a comparison, in its years."""
    inside = yearly["year"].between(pair.first, pair.last)
    membership, shock = yearly["membership"], yearly["shock"]
    runs = [(membership == run[0]) & (shock == run[1]) for run in (pair.run, pair.base)]
    return yearly[inside & (runs[0] | runs[1])]


def _difference(values: pd.DataFrame, pair: Comparison, name: str) -> pd.DataFrame:
    """Run less base by group, column and seed, long; `name` is what the columns are."""
    long = values.rename_axis(columns=name).stack()
    wide = long.unstack(RUN)
    with_, without = (wide.xs(run, axis=1, level=[0, 1]) for run in (pair.run, pair.base))
    change = (with_ - without).rename_axis(columns="seed").stack().rename("change").reset_index()
    about = {"membership": pair.run[0], "shock": pair.run[1]}
    return change.assign(**about, window=pair.window, compared=pair.compared)
