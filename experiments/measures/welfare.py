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
from experiments.measures.effects import NO_MEMBERSHIP, NO_SHOCK, Window, estimates

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
    return summary_of(welfare_changes(surplus_years(surplus), windows), WELFARE_COLUMNS)


def welfare_changes(surplus: pd.DataFrame, windows: Sequence[Window]) -> pd.DataFrame:
    """The same from the table of `surplus_years`, a row a seed, with the column change."""
    figures = [f"{party}_usd" for party in PARTIES]
    yearly = _Yearly.of(surplus, ["country"], figures)
    changes = []
    pairs = _pairs(yearly, windows)
    for pair in pairs:
        sums = yearly.sums(pair)
        sums = np.concatenate([sums, sums.sum(axis=-1, keepdims=True)], axis=-1)
        change = (sums[0] - sums[1]) / (MILLION * yearly.count(pair))
        changes.append(change.astype(np.float32))
    units = dict.fromkeys([*PARTIES, TOTAL], "million USD a year")
    return yearly.table(pairs, changes, "party", units, WELFARE_COLUMNS)


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
    figures = ["availability", "uncovered", "outlay_usd"]
    table = _Yearly.of(yearly, ["country", "sector"], figures)
    industry = table.places["country"].astype(str).map(size).to_numpy(float)
    changes = []
    pairs = _pairs(table, windows)
    for pair in pairs:
        availability, uncovered, outlay = np.moveaxis(table.sums(pair), -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = 100.0 * pass_through * outlay / table.count(pair) / industry
            values = np.stack([availability / outlay, uncovered / outlay, cost], axis=-1)
        changes.append(values[0] - values[1])
    return table.table(pairs, changes, "measure", units, INDUSTRY_COLUMNS)


def summary_of(changes: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean, interval and quantiles over seeds of a table of changes; what is nowhere known goes."""
    labels = [name for name in columns if name not in SUMMARY]
    if changes.empty:
        return pd.DataFrame(columns=columns)
    grouped = changes.groupby(labels, sort=False, observed=True)
    of_group = grouped.ngroup().to_numpy()
    table = grouped.head(1)[labels].astype(str).reset_index(drop=True)
    values = changes["change"].to_numpy(float)
    numbers, count = estimates(values, of_group, np.zeros(len(table), dtype=bool))
    for place, name in enumerate(("mean", "low", "high", "median", "p10", "p90")):
        table[name] = numbers[:, place]
    table["n"] = count
    known = np.isin(np.arange(len(table)), of_group[~np.isnan(values)])
    return table[known].reset_index(drop=True)[list(columns)]


@dataclass(frozen=True)
class _Yearly:
    """A yearly table laid out, [run, seed, year, place, figure]; zero where there is no row."""

    runs: list[tuple[str, str]]  # membership, shock
    seeds: np.ndarray
    years: np.ndarray
    places: pd.DataFrame  # what tells them apart, a row a place
    values: np.ndarray
    known: np.ndarray  # [run, seed, year, place] bool: there is a row

    @classmethod
    def of(cls, table: pd.DataFrame, labels: list[str], figures: list[str]) -> _Yearly:
        """Lay out a table whose rows are told apart by run, year and labels."""
        run, of_run = _numbered(table, ["membership", "shock"])
        came = np.argsort(of_run)  # runs stand as they come
        run = np.argsort(came)[run]
        place, first = _numbered(table, labels)
        seed, seeds = pd.factorize(table["seed"], sort=True)
        year, years = pd.factorize(table["year"], sort=True)
        cell = run, seed, year, place
        shape = len(of_run), len(seeds), len(years), len(first)
        values, known = np.zeros((*shape, len(figures))), np.zeros(shape, dtype=bool)
        values[cell] = np.nan_to_num(table[figures].to_numpy(float))
        known[cell] = True
        runs = table[["membership", "shock"]].iloc[of_run[came]].to_numpy()
        names = [(str(membership), str(shock)) for membership, shock in runs]
        places = table.iloc[first][labels].reset_index(drop=True)
        return cls(names, np.asarray(seeds), np.asarray(years), places, values, known)

    def sums(self, pair: Comparison) -> np.ndarray:
        """[run or base, seed, place, figure] over the years of a comparison; NaN without rows."""
        at, years = self._part(pair)
        sums = self.values[at][:, :, years].sum(axis=2)
        sums[~self.known[at][:, :, years].any(axis=2)] = np.nan
        return sums

    def count(self, pair: Comparison) -> int:
        """Years of a comparison that have rows."""
        at, years = self._part(pair)
        return int(self.known[at][:, :, years].any(axis=(0, 1, 3)).sum())

    def table(
        self,
        pairs: Sequence[Comparison],
        changes: Sequence[np.ndarray],
        name: str,
        units: Mapping[str, str],
        columns: Sequence[str],
    ) -> pd.DataFrame:
        """The changes of all comparisons, a row a place, what is named and seed.

        Parameters
        ----------
        changes
            Of each comparison, [seed, place, named].
        name, units
            Column of what is named, and the unit of each, by name.
        columns
            Those of the summary, whose order the labels keep.
        """
        labels = [column for column in columns if column not in SUMMARY]
        if not pairs:
            return pd.DataFrame(columns=[*labels, "seed", "change"])
        codes, values = [], []
        for number, (pair, change) in enumerate(zip(pairs, changes, strict=True)):
            at, years = self._part(pair)
            known = self.known[at][:, :, years].any(axis=2)
            seeds, places = (np.flatnonzero(known.any(axis=axes)) for axes in ((0, 2), (0, 1)))
            part = change[np.ix_(seeds, places)].transpose(1, 2, 0)
            place, named, seed = np.indices(part.shape).reshape(3, -1)
            codes.append((np.full(part.size, number), places[place], named, seeds[seed]))
            values.append(part.ravel())
        compared, place, named, seed = np.concatenate(codes, axis=1)
        found = {label: self.places[label].take(place).array for label in self.places}
        found[name] = _named(list(units), named)
        found["unit"] = _named(list(units.values()), named)
        found["membership"] = _named([pair.run[0] for pair in pairs], compared)
        found["shock"] = _named([pair.run[1] for pair in pairs], compared)
        found["window"] = _named([pair.window for pair in pairs], compared)
        found["compared"] = _named([pair.compared for pair in pairs], compared)
        found["seed"], found["change"] = self.seeds[seed], np.concatenate(values)
        return pd.DataFrame(found)[[*labels, "seed", "change"]]

    def _part(self, pair: Comparison) -> tuple[list[int], np.ndarray]:
        at = [self.runs.index(run) for run in (pair.run, pair.base)]
        return at, (self.years >= pair.first) & (self.years <= pair.last)


def _numbered(table: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """[row] which of the distinct labels a row has, in sorted order; and the first row of each."""
    columns = [table[label].astype("category") for label in labels]
    sizes = [len(column.cat.categories) for column in columns]
    codes = np.ravel_multi_index([column.cat.codes for column in columns], sizes)
    _, first, number = np.unique(codes, return_index=True, return_inverse=True)
    return number, first


def _pairs(yearly: _Yearly, windows: Sequence[Window]) -> list[Comparison]:
    memberships = list(dict.fromkeys(name for name, _ in yearly.runs))
    return comparisons(memberships, [shock for _, shock in yearly.runs], windows)


def _named(names: Sequence[str], codes: np.ndarray) -> pd.Categorical:
    """Names by number, where several numbers may share a name."""
    distinct = list(dict.fromkeys(names))
    return pd.Categorical.from_codes(np.array([distinct.index(n) for n in names])[codes], distinct)
