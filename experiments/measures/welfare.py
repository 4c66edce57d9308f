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


def welfare_table(surplus: pd.DataFrame, windows: Sequence[Window]) -> pd.DataFrame:
    """Change of surplus by country and party, million USD a year, mean over seeds with intervals.

    Parameters
    ----------
    surplus
        The table surplus of a results folder, or part of its columns: the run, year, country and
        `<party>_usd`.
    """
    columns = [f"{party}_usd" for party in PARTIES]
    yearly = surplus.groupby([*RUN, "year", "country"], observed=True)[columns].sum()
    yearly[f"{TOTAL}_usd"] = yearly[columns].sum(axis=1)
    yearly.columns = pd.Index([*PARTIES, TOTAL])
    yearly = yearly.reset_index()
    records = []
    for pair in _pairs(yearly, windows):
        years = _years(yearly, pair)
        count = years["year"].nunique()
        sums = years.groupby([*RUN, "country"], observed=True)[[*PARTIES, TOTAL]].sum()
        change = _difference(sums / (MILLION * count), pair)
        for (country, party), values in change.iterrows():
            about = {"unit": "million USD a year", "country": country, "party": party}
            records.append(_row(pair, about, values.to_numpy(float)))
    return pd.DataFrame.from_records(records, columns=WELFARE_COLUMNS)


def industry_table(
    sectors: pd.DataFrame,
    windows: Sequence[Window],
    industry_bn_usd: Mapping[str, float],
    pass_through: float,
) -> pd.DataFrame:
    """What the sectors of each country notice, mean over seeds with intervals.

    Measures: availability (use over need), uncovered (share of the coming months' need that stock
    does not cover), both in percentage points, and cost_passed_on, the part of the change in outlay
    that a sector passes on, in percent of the value added of the country's industry.

    Parameters
    ----------
    sectors
        The table sectors of a results folder: run, year, country, sector and its figures.
    industry_bn_usd
        Value added of industry by country, billion USD.
    pass_through
        Share of a cost that is passed on.
    """
    figures = ["need_t", "use_t", "uncovered_t", "outlay_usd"]
    # Tonnes of different minerals do not add up: shares are weighed by the outlay of each market.
    weighed = sectors.assign(
        availability=100.0 * sectors["outlay_usd"] * sectors["use_t"] / sectors["need_t"],
        uncovered=100.0 * sectors["outlay_usd"] * sectors["uncovered_t"] / sectors["need_t"],
    )
    keys = [*RUN, "year", "country", "sector"]
    yearly = (
        weighed.groupby(keys, observed=True)[[*figures, "availability", "uncovered"]]
        .sum()
        .reset_index()
    )
    size = {code: 1e9 * value for code, value in industry_bn_usd.items() if value > 0}
    units = {"availability": "points", "uncovered": "points", "cost_passed_on": "%"}
    records = []
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
        for (country, sector, measure), found in _difference(values, pair).iterrows():
            about = {"measure": measure, "unit": units[measure]}
            about |= {"country": country, "sector": sector}
            records.append(_row(pair, about, found.to_numpy(float)))
    return pd.DataFrame.from_records(records, columns=INDUSTRY_COLUMNS)


def _pairs(yearly: pd.DataFrame, windows: Sequence[Window]) -> list[Comparison]:
    runs = list(dict.fromkeys(zip(yearly["membership"], yearly["shock"], strict=True)))
    memberships = list(dict.fromkeys(str(name) for name, _ in runs))
    return comparisons(memberships, [str(name) for _, name in runs], windows)


def _years(yearly: pd.DataFrame, pair: Comparison) -> pd.DataFrame:
    """Rows of the two runs of a comparison, in its years."""
    inside = yearly["year"].between(pair.first, pair.last)
    named = list(zip(yearly["membership"], yearly["shock"], strict=True))
    chosen = np.array([run in (pair.run, pair.base) for run in named])
    return yearly[inside & chosen]


def _difference(values: pd.DataFrame, pair: Comparison) -> pd.DataFrame:
    """Run less base by group and column (rows), a column a seed."""
    long = values.rename_axis(columns="of").stack()
    wide = long.unstack(RUN)
    with_, without = (wide.xs(run, axis=1, level=[0, 1]) for run in (pair.run, pair.base))
    change = with_ - without
    return change[change.notna().any(axis=1)]


def _row(pair: Comparison, about: dict[str, object], values: np.ndarray) -> dict[str, object]:
    summary = estimate(values, "")
    named: dict[str, object] = {"membership": pair.run[0], "shock": pair.run[1]}
    named |= {"window": pair.window, "compared": pair.compared} | about
    return named | {name: getattr(summary, name) for name in SUMMARY}
