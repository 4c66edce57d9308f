"""Measured effects: from the monthly table to paired differences with their intervals.

Every number compares two runs that met the same outside draws: the same shock and seed, once with
a membership and once without (`none`). Nothing here reads or writes a file. Each measure comes in
two steps, a table with a row a seed and its summary over seeds, so that a panel may hold all seeds
or one at a time; what seeds share, circles and the basket, a panel of one seed is told
(`panel.Common`).

Prices of several minerals and countries are put together as the cost of a fixed basket
(Laspeyres, opening quantities `q0`, so minerals weigh by their opening expenditure):

    I = sum_tkc q0_kc p_kct(with) / sum_tkc q0_kc p_kct(without)

over the months `t` of a window, the markets `k` and the countries `c` of a group. Months in which
either run has no price are left out of both sums (a matched index). `q0` is the mean monthly
purchase in the first twelve months of the run without membership and without shock. A share
(dependence, unmet need) is first taken per market, tonnes over tonnes of the group, and then
averaged over markets with opening expenditure, because tonnes of graphite and of gallium do not
add up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from experiments.measures.panel import Array, Common, Outline, Panel

NO_SHOCK = "none"
NO_MEMBERSHIP = "none"
ALL = "all"
OPENING_MONTHS = 12
CRISIS_MONTHS = 24
PRICE = "landed_price_usd_per_kg"
HOME_PRICE = "origin_price_usd_per_kg"

MEMBERS, OTHER_ALLIED, NON_ALLIED, REST = "members", "other allied", "non-allied", "rest"
BLOCS = (MEMBERS, OTHER_ALLIED, NON_ALLIED, REST)
NON_MEMBERS = "non-members"
OUTSIDERS = "outsiders"
HOME = "home"


@dataclass(frozen=True)
class Measure:
    """What is compared: a basket's cost, a weighted mean, or a sum of dollars.

    `numerator` columns are multiplied, `denominator` columns are added. Without a denominator the
    effect is a ratio in percent, otherwise a difference of `scale` times the mean, in `unit`.
    """

    name: str
    label: str
    unit: str
    numerator: tuple[str, ...]
    denominator: tuple[str, ...] = ()
    scale: float = 1.0
    basket: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the monthly table that the measure needs."""
        return tuple(dict.fromkeys((*self.numerator, *self.denominator)))

    @property
    def relative(self) -> bool:
        """Whether the effect is a ratio (percent) and not a difference."""
        return not self.denominator


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("landed_price", "Landed price", "%", (PRICE,), basket=True),
        Measure(
            "non_allied_share",
            "Non-allied share of purchases",
            "points",
            ("non_allied_share", "purchases_t"),
            ("purchases_t",),
            scale=100.0,
        ),
        Measure(
            "unmet_share",
            "Unmet need",
            "points",
            ("unmet_t",),
            ("use_t", "unmet_t"),
            scale=100.0,
        ),
        Measure(
            "import_reliance",
            "Import reliance",
            "points",
            ("import_reliance", "use_t"),
            ("use_t",),
            scale=100.0,
        ),
        Measure(
            "supplier_hhi",
            "Supplier concentration",
            "HHI points",
            ("supplier_hhi", "purchases_t"),
            ("purchases_t",),
        ),
        Measure("cover_months", "Stock cover", "months", ("cover_months", "use_t"), ("use_t",)),
        Measure("outlay", "Outlay", "%", ("outlay_usd",)),
    )
}


HEADLINE_MEASURES = ("landed_price", "non_allied_share", "unmet_share")


@dataclass(frozen=True)
class Window:
    """The months compared: `start` to `end` inclusive (YYYY-MM) of the runs with this shock."""

    name: str
    shock: str
    start: str
    end: str


@dataclass(frozen=True)
class Estimate:
    """A paired effect over seeds: mean with 95 % t-interval, median with 80 % band."""

    mean: float
    low: float
    high: float
    median: float
    p10: float
    p90: float
    n: int
    unit: str

    @property
    def has_interval(self) -> bool:
        """False with fewer than two seeds."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval lies on one side of zero."""
        return self.has_interval and (self.low > 0.0 or self.high < 0.0)


@dataclass(frozen=True)
class Cells:
    """Columns as dense arrays [membership, seed, month, market, country]; NaN where no row is."""

    memberships: list[str]
    seeds: list[int]
    months: list[str]
    markets: list[tuple[str, str]]
    countries: list[str]
    columns: dict[str, Array]


# ---------------------------------------------------------------- scenarios and groups

# What says which runs there are and who is in a circle.
type Layout = pd.DataFrame | Panel | Outline


def outlined(monthly: Layout) -> Panel | Outline:
    """The axes and circles of a table, a panel or an outline."""
    return Panel(monthly) if isinstance(monthly, pd.DataFrame) else monthly


def memberships_in(monthly: Layout) -> list[str]:
    """Memberships compared, smallest circle first, without the baseline."""
    circles = outlined(monthly).circles
    names = [name for name in circles if name != NO_MEMBERSHIP]
    return sorted(names, key=lambda name: (len(circles[name]), name))


def core_members(monthly: Layout) -> tuple[str, ...]:
    """Countries inside every circle: the group whose price can be compared over memberships."""
    circles = [circle for circle in outlined(monthly).circles.values() if circle]
    return tuple(c for c in circles[0] if all(c in circle for circle in circles)) if circles else ()


def outside_every_circle(monthly: Layout, roles: Mapping[str, str]) -> tuple[str, ...]:
    """Countries in no circle and not non-allied."""
    panel = outlined(monthly)
    inside = {c for circle in panel.circles.values() for c in circle}
    return tuple(c for c in panel.countries if c not in inside and roles.get(c) != "non_allied")


def blocs(
    countries: Collection[str], members: Collection[str], roles: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Countries by bloc of one circle: members, other allied, non-allied, rest."""
    named = {"allied": OTHER_ALLIED, "non_allied": NON_ALLIED}
    of = {c: MEMBERS if c in members else named.get(roles.get(c, ""), REST) for c in countries}
    return {bloc: tuple(c for c in countries if of[c] == bloc) for bloc in BLOCS}


def calm_window(monthly: Layout) -> Window:
    """The whole horizon without a shock."""
    months = outlined(monthly).months
    return Window("calm", NO_SHOCK, months[0], months[-1])


def crisis_window(shock: str, start: str, months: int = CRISIS_MONTHS) -> Window:
    """The first `months` months after the shock starts."""
    return Window("crisis", shock, start, month_after(start, months - 1))


def month_after(month: str, months: int) -> str:
    """`month` (YYYY-MM) moved on by `months`."""
    return str(pd.Period(month, freq="M") + months)


def crisis_length(start: str, last: str, months: int = CRISIS_MONTHS) -> int:
    """Months of the crisis that a run holds which ends with the month `last` (YYYY-MM)."""
    left = pd.Period(last, freq="M").ordinal - pd.Period(start, freq="M").ordinal + 1
    return int(min(months, max(left, 0)))


# ---------------------------------------------------------------- yearly averages


def yearly(monthly: pd.DataFrame) -> pd.DataFrame:
    """Annual table per run, market and country.

    Prices and shares are weighted by purchases (a plain mean where nothing was bought), the
    seller's price by output; tonnes and dollars are sums, the others plain means over the months.
    """
    keys = ["membership", "shock", "seed", "year", "mineral", "stage", "country"]
    table = monthly.assign(year=monthly["month"].astype(str).str[:4].astype(int))
    weights = {
        PRICE: "purchases_t",
        "non_allied_share": "purchases_t",
        "supplier_hhi": "purchases_t",
        HOME_PRICE: "output_t",
    }
    weights = {c: weight for c, weight in weights.items() if {c, weight} <= set(table)}
    for column, weight in weights.items():
        known = table[column].notna()
        table[f"_{column}"] = (table[column] * table[weight]).where(known, 0.0)
        table[f"_{column}_w"] = table[weight].where(known, 0.0)
    hidden = [name for column in weights for name in (f"_{column}", f"_{column}_w")]
    values = [c for c in monthly.columns if c not in {*keys, "month", "member"}]
    summed = [c for c in values if c.endswith(("_t", "_usd")) and "stock" not in c]
    means = [c for c in values if c not in summed]
    group = table.groupby(keys, observed=True, sort=True)
    result = pd.concat(
        [group[["member"]].any(), group[means].mean(), group[summed].sum(), group[hidden].sum()],
        axis=1,
    )
    for column in weights:
        total, weight = result[f"_{column}"], result[f"_{column}_w"]
        result[column] = (total / weight.where(weight > 0.0)).fillna(result[column])
    return result[["member", *values]].reset_index()


# ---------------------------------------------------------------- paired effects


@cache
def student_quantile(freedom: int) -> float:
    """Student's t at 97.5 %; thousands of estimates of a run ask for the same one."""
    return float(stdtrit(freedom, 0.975))


def wilson(count: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of a share of runs, in percent (Wilson 1927): also where all agree."""
    z = float(ndtri(0.975))
    part, wide = count / runs, z * z / runs
    middle = part + wide / 2.0
    half = float(np.sqrt(wide * (part * (1.0 - part) + wide / 4.0)))
    low, high = (100.0 * end / (1.0 + wide) for end in (middle - half, middle + half))
    return max(low, 0.0), min(high, 100.0)


def estimate(values: Array, unit: str, relative: bool = False) -> Estimate:
    """Summary of one paired difference per seed; missing seeds (NaN) are left out.

    With `relative` the values are log ratios: mean, interval and quantiles are taken in logs and
    shown as percent, 100 (exp x - 1).
    """
    one = np.zeros(values.size, dtype=np.intp)
    numbers, n = estimates(values, one, np.array([relative]))
    return estimate_of(numbers[0].tolist(), int(n[0]), unit)


def estimates(
    values: Array, of_group: NDArray[np.intp], relative: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.intp]]:
    """Summaries of many groups of values at once, each as `estimate` says.

    Parameters
    ----------
    values, of_group
        [row] differences, one a seed, and the group of each.
    relative
        [group] whether the values are log ratios, shown as percent.

    Returns
    -------
    tuple[Array, NDArray[np.intp]]
        [group, number] mean, low, high, median, p10 and p90, NaN where no seed is known; and
        [group] how many seeds are.
    """
    numbers, known = np.full((relative.size, 6), np.nan), np.flatnonzero(np.isfinite(values))
    count = np.bincount(of_group[known], minlength=relative.size)
    for groups, rows in alike(of_group[known], count):
        found = values[known[rows]]
        n = rows.shape[1]
        mean, half = found.mean(axis=1), np.full(groups.size, np.nan)
        if n > 1:
            half = student_quantile(n - 1) * found.std(axis=1, ddof=1) / np.sqrt(n)
        p10, median, p90 = np.quantile(found, [0.1, 0.5, 0.9], axis=1)
        numbers[groups] = np.stack([mean, mean - half, mean + half, median, p10, p90], axis=1)
    numbers[relative] = 100.0 * np.expm1(numbers[relative])
    return numbers, count


def alike(
    of_group: NDArray[np.intp], count: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Groups with as many rows as each other, and [group, row] their rows in their order."""
    order, begin = np.argsort(of_group, kind="stable"), np.cumsum(count) - count
    for n in np.unique(count[count > 0]):
        groups = np.flatnonzero(count == n)
        yield groups, order[begin[groups, None] + np.arange(n)]


def estimate_of(numbers: Sequence[float], n: int, unit: str) -> Estimate:
    """An estimate from its numbers in the order of the fields."""
    mean, low, high, median, p10, p90 = (float(x) for x in numbers)
    return Estimate(mean, low, high, median, p10, p90, n, unit)


def paired_levels(
    monthly: pd.DataFrame | Panel,
    measure: str,
    window: Window,
    *,
    by: Sequence[str] = ("country",),
    roles: Mapping[str, str] | None = None,
    groups: Mapping[str, Mapping[str, Collection[str]]] | None = None,
    minerals: Collection[str] | None = None,
    stages: Collection[str] | None = ("refined",),
) -> pd.DataFrame:
    """Levels without and with each membership, same shock and seed: `LEVEL_COLUMNS`, a row a seed.

    `by` holds any of country, bloc (needs `roles`: country code to role) and mineral. `groups`
    replaces country and bloc by own sets of countries: membership -> name -> countries. Country,
    bloc and mineral are "all" where not split. Levels are 100 at opening for the basket, the mean
    in percent for a share, dollars for outlay.
    """
    chosen = Choice(by, roles, groups, minerals, stages)
    return level_table(group_levels(Panel.of(monthly), measure, window, [chosen]))


@dataclass(frozen=True)
class Choice:
    """How levels are split and what they cover, as `paired_levels` says."""

    by: Sequence[str] = ("country",)
    roles: Mapping[str, str] | None = None
    groups: Mapping[str, Mapping[str, Collection[str]]] | None = None
    minerals: Collection[str] | None = None
    stages: Collection[str] | None = ("refined",)


def group_levels(
    panel: Panel, measure: str, window: Window, choices: Sequence[Choice]
) -> Iterator[LevelColumns]:
    """Columns of the levels of each choice and membership; choices differ in groups alone."""
    rule, (minerals, stages) = _measure(measure), (choices[0].minerals, choices[0].stages)
    cells = cells_in(panel, rule.columns, window, minerals, stages)
    basket = opening_basket(panel, cells.markets)
    compared = {name: _Comparison(rule, cells, name, basket) for name in memberships_in(panel)}
    for chosen in choices:
        mineral_groups = _mineral_groups(cells.markets, "mineral" in chosen.by)
        for membership, compare in compared.items():
            groups = (
                [(ALL, name, tuple(own)) for name, own in chosen.groups[membership].items()]
                if chosen.groups is not None
                else _country_groups(
                    cells.countries, panel.circles[membership], chosen.by, chosen.roles
                )
            )
            labels = [
                (code, bloc, mineral) for code, bloc, _ in groups for mineral in mineral_groups
            ]
            inside = [_rows_of(codes, cells.countries) for _, _, codes in groups]
            levels = compare.levels(list(mineral_groups.values()), inside)
            about = (membership, window.shock, window.name, measure, rule.unit)
            yield _level_columns(about, labels, cells.seeds, levels)


def level_table(parts: Iterable[LevelColumns]) -> pd.DataFrame:
    """The columns of some levels as one table, `LEVEL_COLUMNS`."""
    found = list(parts)
    if not found:
        return pd.DataFrame(columns=LEVEL_COLUMNS)
    return pd.DataFrame(
        {name: np.concatenate([part[name] for part in found]) for name in LEVEL_COLUMNS}
    )


def _level_columns(
    about: tuple[str, ...], labels: Sequence[tuple[str, ...]], seeds: Sequence[int], levels: Array
) -> LevelColumns:
    """Rows of one membership; levels [group, without or with, seed]."""
    count = len(labels) * len(seeds)
    texts = [np.repeat(value, count) for value in about]
    texts += [np.repeat([label[place] for label in labels], len(seeds)) for place in range(3)]
    columns: LevelColumns = dict(zip(LEVEL_COLUMNS, texts, strict=False))
    columns["seed"] = np.tile(np.array(seeds, dtype="int32"), len(labels))
    columns["level_without"] = levels[:, 0].reshape(-1)
    columns["level_with"] = levels[:, 1].reshape(-1)
    return columns


def effects_of(levels: pd.DataFrame) -> pd.DataFrame:
    """The paired effects in a table of levels: mean over seeds, `EFFECT_COLUMNS`.

    A group in which no seed has both levels is left out.
    """
    if levels.empty:
        return pd.DataFrame(columns=EFFECT_COLUMNS)
    grouped = levels.groupby(EFFECT_KEYS, sort=False, observed=True)
    of_group = grouped.ngroup().to_numpy()
    table = grouped.head(1)[EFFECT_KEYS].astype(str).reset_index(drop=True)
    relative = np.array([_measure(name).relative for name in table["measure"]])
    without, with_ = (levels[name].to_numpy(float) for name in ("level_without", "level_with"))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(relative[of_group], np.log(with_ / without), with_ - without)
    numbers, count = estimates(values, of_group, relative)
    for place, name in enumerate(("mean", "low", "high", "median", "p10", "p90")):
        table[name] = numbers[:, place]
    table["n"] = count
    measured = count > 0
    for name, level in (("level_without", without), ("level_with", with_)):
        table[name] = np.nan
        for groups, rows in alike(of_group, np.bincount(of_group)):
            some = measured[groups]
            table.loc[groups[some], name] = np.nanmean(level[rows[some]], axis=1)
    return table[measured].reset_index(drop=True)[EFFECT_COLUMNS]


def paired_effects(
    monthly: pd.DataFrame | Panel,
    measure: str,
    window: Window,
    *,
    by: Sequence[str] = ("country",),
    roles: Mapping[str, str] | None = None,
    groups: Mapping[str, Mapping[str, Collection[str]]] | None = None,
    minerals: Collection[str] | None = None,
    stages: Collection[str] | None = ("refined",),
) -> pd.DataFrame:
    """Effect of each membership against `none`, same shock and seed, mean over seeds.

    One row per membership and group: mean, low, high (95 %), median, p10, p90, n and the mean
    levels; what is split and how is said at `paired_levels`.
    """
    levels = paired_levels(
        monthly,
        measure,
        window,
        by=by,
        roles=roles,
        groups=groups,
        minerals=minerals,
        stages=stages,
    )
    return effects_of(levels)


EFFECT_KEYS = ["membership", "shock", "window", "measure", "unit", "country", "bloc", "mineral"]
type LevelColumns = dict[str, NDArray[Any]]  # by the names of LEVEL_COLUMNS
LEVEL_COLUMNS = [*EFFECT_KEYS, "seed", "level_without", "level_with"]
EFFECT_COLUMNS = [
    *EFFECT_KEYS,
    *("mean", "low", "high", "median", "p10", "p90", "n", "level_without", "level_with"),
]


def levels_table(
    monthly: pd.DataFrame | Panel,
    windows: Sequence[Window],
    roles: Mapping[str, str],
    *,
    measures: Sequence[str] = HEADLINE_MEASURES,
    minerals: Mapping[str, Collection[str]] | None = None,
) -> pd.DataFrame:
    """All paired levels of an experiment, long: by country, bloc, mineral within bloc.

    `minerals` limits the basket of a window by its name, for instance crisis -> shocked minerals.
    """
    panel = Panel.of(monthly)
    baskets = dict(minerals or {})
    splits: tuple[tuple[str, ...], ...] = (("country",), ("bloc",), ("bloc", "mineral"))
    return level_table(
        part
        for window in windows
        for measure in measures
        for part in group_levels(
            panel,
            measure,
            window,
            [Choice(by, roles, None, baskets.get(window.name)) for by in splits],
        )
    )


def effects_table(
    monthly: pd.DataFrame | Panel,
    windows: Sequence[Window],
    roles: Mapping[str, str],
    *,
    measures: Sequence[str] = HEADLINE_MEASURES,
    minerals: Mapping[str, Collection[str]] | None = None,
) -> pd.DataFrame:
    """All paired effects of an experiment: the summary of `levels_table`."""
    return effects_of(levels_table(monthly, windows, roles, measures=measures, minerals=minerals))


def opening_basket(
    monthly: pd.DataFrame | Panel, markets: Sequence[tuple[str, str]]
) -> tuple[Array, Array]:
    """Opening purchases (t/month) and expenditure (usd/month), both [market, country].

    From what all seeds share; zero where nothing was bought.
    """
    panel = Panel.of(monthly)
    if NO_MEMBERSHIP not in panel.memberships:
        raise ValueError(
            f"The monthly table has no run with membership '{NO_MEMBERSHIP}', so no effect of "
            f"membership can be measured; add '{NO_MEMBERSHIP}' to the memberships that are run."
        )
    if panel.basket is None:
        panel.common = panel.common or common_of([opening_of(panel)])
        panel.basket = _basket_of(panel.common.basket, panel)
    rows = [panel.markets.index(market) for market in markets]
    purchases, price = panel.basket[:, rows]
    # $/kg is k$/t
    return purchases, 1000.0 * (purchases * price)


def _basket_of(basket: pd.DataFrame, panel: Panel) -> Array:
    """[purchases or price, market, country] of a panel; zero where the basket has nothing."""
    index = pd.MultiIndex.from_tuples(panel.markets, names=["mineral", "stage"])
    wide = (basket[name].unstack("country") for name in OPENING)
    found = [
        table.reindex(index=index, columns=panel.countries).fillna(0.0).to_numpy() for table in wide
    ]
    return np.array(found)


OPENING = ("purchases_t", PRICE)


def opening_of(panel: Panel) -> pd.DataFrame:
    """What seeds have to share, a row a membership, shock, seed, market and country.

    The mean purchase and price over what is known of the first twelve months, and whether the
    country is in the circle of the panel.
    """
    known = {name: panel.column(name)[:, :, :, :OPENING_MONTHS] for name in OPENING}
    means = {name: known_mean(values, axis=3) for name, values in known.items()}
    codes = np.indices(means[PRICE].shape).reshape(5, -1)
    inside = np.array([[c in panel.circles[m] for c in panel.countries] for m in panel.memberships])
    minerals, stages = ([market[part] for market in panel.markets] for part in (0, 1))
    labels = (panel.memberships, panel.shocks, panel.seeds, minerals, panel.countries)
    membership, shock, seed, mineral, country = (
        np.array(names)[code] for names, code in zip(labels, codes, strict=True)
    )
    return pd.DataFrame(
        {
            "membership": membership,
            "shock": shock,
            "seed": seed,
            "country": country,
            **{name: values.reshape(-1) for name, values in means.items()},
            "mineral": mineral,
            "stage": np.array(stages)[codes[3]],
            "member": inside[codes[0], codes[4]],
        }
    )


def common_of(openings: Iterable[pd.DataFrame]) -> Common:
    """What all seeds share, from the `opening_of` each of them, or of some of them together.

    A country is in a circle if a table says so of any run; the basket is the mean over seeds of the
    run without membership, without shock if there is one.
    """
    circles: dict[str, set[str]] = {}
    sums: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for table in openings:
        for name, rows in table.groupby("membership", observed=True):
            circles.setdefault(str(name), set()).update(rows.loc[rows["member"], "country"])
        bare = table[table["membership"] == NO_MEMBERSHIP]
        for shock, rows in bare.groupby("shock", observed=True):
            group = rows.groupby(["mineral", "stage", "country"], observed=True)[list(OPENING)]
            found = group.sum(), group.count()
            before = sums.get(str(shock))
            sums[str(shock)] = found if before is None else _added(before, found)
    total, count = sums[NO_SHOCK if NO_SHOCK in sums else min(sums)]
    mean = total / count
    return Common(
        {name: tuple(sorted(circles[name])) for name in sorted(circles)}, mean.fillna(0.0)
    )


def _added(
    before: tuple[pd.DataFrame, pd.DataFrame], found: tuple[pd.DataFrame, pd.DataFrame]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums and counts put together; a place may be missing in some."""
    total, count = (a.add(b, fill_value=0.0) for a, b in zip(before, found, strict=True))
    return total, count


def known_mean(values: Array, axis: int) -> Array:
    """Mean of what is known along an axis, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(known, values, 0.0).sum(axis=axis) / np.where(count > 0, count, np.nan)


class _Comparison:
    """A membership against `none`, summed over a window's months: [seed, market, country]."""

    def __init__(
        self, rule: Measure, cells: Cells, membership: str, basket: tuple[Array, Array]
    ) -> None:
        self.rule = rule
        self.quantity, self.expenditure = basket
        runs = [cells.memberships.index(name) for name in (NO_MEMBERSHIP, membership)]
        top = [reduce(np.multiply, [cells.columns[c][run] for c in rule.numerator]) for run in runs]
        if rule.basket:
            self._price_basket(top)
        else:
            self._mean_or_sum(cells, runs, top)

    def _price_basket(self, price: list[Array]) -> None:
        matched = np.isfinite(price[0]) & np.isfinite(price[1])
        months = matched.sum(axis=1)
        self.top = [1000.0 * self.quantity * np.where(matched, p, 0.0).sum(axis=1) for p in price]
        self.bottom = [self.expenditure * months] * 2

    def _mean_or_sum(self, cells: Cells, runs: list[int], top: list[Array]) -> None:
        self.top, self.bottom = [], []
        for run, values in zip(runs, top, strict=True):
            below = sum((cells.columns[c][run] for c in self.rule.denominator), np.zeros(()))
            known = np.isfinite(values) & np.isfinite(below)
            self.top.append(np.where(known, values, 0.0).sum(axis=1))
            self.bottom.append(np.where(known, below, 0.0).sum(axis=1))

    def levels(self, markets: Sequence[NDArray[np.bool_]], inside: Sequence[list[int]]) -> Array:
        """[group, without or with, seed] for all groups of countries, of markets within each."""
        top = [_grouped(t, inside) for t in self.top]  # [seed, market, countries]
        bottom = [_grouped(b, inside) for b in self.bottom]
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.rule.basket:
                found = [
                    [_over(t, b, some) for some in markets]
                    for t, b in zip(top, bottom, strict=True)
                ]
                levels = 100.0 * np.array(found)
            elif self.rule.relative:
                sums = np.array([[t[:, some].sum(axis=1) for some in markets] for t in top])
                levels = np.where(sums > 0.0, sums, np.nan)
            else:
                means = [self.rule.scale * t / b for t, b in zip(top, bottom, strict=True)]
                both = np.isfinite(means[0]) & np.isfinite(means[1])
                weights = np.where(both, _grouped(self.expenditure[None], inside), 0.0)
                weighed = [np.where(both, m * weights, 0.0) for m in means]
                levels = np.array([[_over(w, weights, some) for some in markets] for w in weighed])
        # [without or with, markets, seed, countries]
        return levels.transpose(3, 1, 0, 2).reshape(-1, 2, levels.shape[2])


def _rows_of(codes: Collection[str], countries: Sequence[str]) -> list[int]:
    """The rows of some countries, in the order of all."""
    some = set(codes)
    return [row for row, country in enumerate(countries) if country in some]


def _grouped(values: Array, inside: Sequence[list[int]]) -> Array:
    """[seed, market, group] sums over the countries of each group; values [.., .., country]."""
    if all(len(some) == 1 for some in inside):
        return values[:, :, [some[0] for some in inside]]
    return np.stack([values[:, :, some].sum(axis=2) for some in inside], axis=2)


def _over(top: Array, bottom: Array, markets: NDArray[np.bool_]) -> Array:
    """[seed, group] ratio of the sums over some markets."""
    ratio: Array = top[:, markets].sum(axis=1) / bottom[:, markets].sum(axis=1)
    return ratio


def _country_groups(
    countries: Sequence[str],
    members: Collection[str],
    by: Sequence[str],
    roles: Mapping[str, str] | None,
) -> list[tuple[str, str, tuple[str, ...]]]:
    """(country, bloc, codes) of every group of countries."""
    unknown = set(by) - {"country", "bloc", "mineral"}
    if unknown:
        raise ValueError(f"Cannot split effects by {sorted(unknown)}: use country, bloc, mineral.")
    bloc_of = {c: ALL for c in countries}
    if roles is not None:
        sets = blocs(countries, members, roles)
        bloc_of = {c: bloc for bloc, codes in sets.items() for c in codes}
        if "bloc" in by and "country" not in by:
            return [(ALL, bloc, codes) for bloc, codes in sets.items() if codes]
    elif "bloc" in by:
        raise ValueError("Effects by bloc need the countries' roles: pass roles={code: role}.")
    if "country" in by:
        return [(c, bloc_of[c], (c,)) for c in countries]
    return [(ALL, ALL, tuple(countries))]


def _mineral_groups(
    markets: Sequence[tuple[str, str]], split: bool
) -> dict[str, NDArray[np.bool_]]:
    if not split:
        return {ALL: np.ones(len(markets), dtype=bool)}
    names = dict.fromkeys(mineral for mineral, _ in markets)
    return {name: np.array([mineral == name for mineral, _ in markets]) for name in names}


# ---------------------------------------------------------------- prices over time


def price_series(
    monthly: pd.DataFrame | Panel,
    groups: Mapping[str, Collection[str]],
    exporter: str,
    *,
    shock: str,
    minerals: Collection[str] | None = None,
    stage: str = "refined",
) -> pd.DataFrame:
    """Monthly price per run and mineral: landed in each group, and the exporter's home price.

    Columns membership, seed, month, mineral, group ("home" for the exporter), usd_per_kg. A group's
    price weighs its countries by opening purchases, so it moves with prices, not with who buys.
    """
    panel = Panel.of(monthly)
    months = panel.months
    window = Window("path", shock, months[0], months[-1])
    cells = cells_in(panel, (PRICE, HOME_PRICE), window, minerals, (stage,))
    quantity, _ = opening_basket(panel, cells.markets)
    landed = cells.columns[PRICE]
    series = {
        name: _weighted(landed, quantity * np.isin(cells.countries, list(codes)))
        for name, codes in groups.items()
    }
    if exporter in cells.countries:
        series[HOME] = cells.columns[HOME_PRICE][..., cells.countries.index(exporter)]
    values = np.array(list(series.values()))  # [group, membership, seed, month, market]
    places = np.nonzero(np.isfinite(values))
    group, membership, seed, month, market = places
    return pd.DataFrame(
        {
            "membership": pd.Categorical.from_codes(membership, cells.memberships),
            "seed": np.array(cells.seeds)[seed],
            "month": pd.Categorical.from_codes(month, cells.months),
            "mineral": pd.Categorical.from_codes(market, [mineral for mineral, _ in cells.markets]),
            "group": pd.Categorical.from_codes(group, list(series)),
            "usd_per_kg": values[places],
        }
    )


def exporter_home_gap(
    monthly: pd.DataFrame | Panel,
    exporter: str,
    *,
    shock: str,
    minerals: Collection[str] | None = None,
    members: Collection[str] | None = None,
    stage: str = "refined",
) -> pd.DataFrame:
    """Members' landed price over the exporter's home price, per run and month.

    Columns membership, seed, month, mineral, gap (a multiple). `members` defaults to the countries
    inside every circle, so that the gap is that of the same buyers in every run.
    """
    panel = Panel.of(monthly)
    buyers = core_members(panel) if members is None else tuple(members)
    prices = price_series(
        panel, {MEMBERS: buyers}, exporter, shock=shock, minerals=minerals, stage=stage
    )
    if HOME not in set(prices["group"]):
        raise ValueError(
            f"No home price of exporter '{exporter}' for {sorted(minerals or [])} in the monthly "
            "table; name an exporter that produces them."
        )
    return home_gap_of(prices)


def home_gap_of(prices: pd.DataFrame) -> pd.DataFrame:
    """Members' price over the home price, from a table of `price_series`: gap (a multiple)."""
    keys = ["membership", "seed", "month", "mineral"]
    prices = prices[prices["group"].isin([MEMBERS, HOME])]
    wide = prices.pivot(index=keys, columns="group", values="usd_per_kg")
    return (wide[MEMBERS] / wide[HOME]).dropna().rename("gap").reset_index()


def seed_bands(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean, median and the 80 % and 95 % bands of `value` over seeds, for every other column."""
    keys = [c for c in table.columns if c not in {"seed", value}]
    group = table.groupby(keys, observed=True, sort=True)[value]
    quantiles = group.quantile([0.025, 0.1, 0.5, 0.9, 0.975]).unstack()
    quantiles.columns = pd.Index(["p025", "p10", "median", "p90", "p975"])
    return quantiles.assign(mean=group.mean(), n=group.size()).reset_index()


def dependence(
    monthly: pd.DataFrame | Panel,
    groups: Mapping[str, Collection[str]],
    *,
    shock: str,
    minerals: Collection[str] | None = None,
    stage: str = "refined",
) -> pd.DataFrame:
    """Non-allied share of purchases (percent) in the first and the last year, mean over seeds.

    Columns membership, period (first | last), year, country (name of the group), mineral, share.
    """
    return mean_dependence(
        dependence_by_seed(monthly, groups, shock=shock, minerals=minerals, stage=stage)
    )


def dependence_by_seed(
    monthly: pd.DataFrame | Panel,
    groups: Mapping[str, Collection[str]],
    *,
    shock: str,
    minerals: Collection[str] | None = None,
    stage: str = "refined",
) -> pd.DataFrame:
    """The same, a row a seed; empty where nothing was bought."""
    panel = Panel.of(monthly)
    months = panel.months
    spans = {"first": months[:12], "last": months[-12:]}
    columns = ("non_allied_share", "purchases_t")
    shares = []
    for period, span in spans.items():
        window = Window(period, shock, span[0], span[-1])
        cells = cells_in(panel, columns, window, minerals, (stage,))
        bought = np.nan_to_num(cells.columns["purchases_t"])
        foe = np.nan_to_num(cells.columns["non_allied_share"]) * bought
        for codes in groups.values():
            inside = np.isin(cells.countries, list(codes))
            with np.errstate(divide="ignore", invalid="ignore"):
                share = foe[..., inside].sum(axis=(2, 4)) / bought[..., inside].sum(axis=(2, 4))
            shares.append(100.0 * share.transpose(0, 2, 1))
    values = np.array(shares).reshape(len(spans), len(groups), *shares[0].shape)
    spanned, group, membership, market, seed = np.indices(values.shape).reshape(5, -1)
    return pd.DataFrame(
        {
            "membership": pd.Categorical.from_codes(membership, cells.memberships),
            "period": pd.Categorical.from_codes(spanned, list(spans)),
            "year": np.array([int(span[-1][:4]) for span in spans.values()])[spanned],
            "country": pd.Categorical.from_codes(group, list(groups)),
            "mineral": pd.Categorical.from_codes(market, [mineral for mineral, _ in cells.markets]),
            "seed": np.array(cells.seeds)[seed],
            "share": values.ravel(),
        }
    )


DEPENDENCE = ["membership", "period", "year", "country", "mineral"]


def mean_dependence(by_seed: pd.DataFrame) -> pd.DataFrame:
    """The mean over seeds of a table of `dependence_by_seed`."""
    group = by_seed.groupby(DEPENDENCE, sort=False, observed=True)["share"]
    return group.mean().reset_index()


# ---------------------------------------------------------------- from rows to arrays


def _measure(name: str) -> Measure:
    if name not in MEASURES:
        raise ValueError(f"Unknown measure '{name}': use one of {', '.join(MEASURES)}.")
    return MEASURES[name]


def cells_in(
    panel: Panel,
    columns: Sequence[str],
    window: Window,
    minerals: Collection[str] | None,
    stages: Collection[str] | None,
) -> Cells:
    """The part of a panel inside a window, minerals and stages; an error where that is empty."""
    months = [i for i, month in enumerate(panel.months) if window.start <= month <= window.end]
    markets = [
        i
        for i, (mineral, stage) in enumerate(panel.markets)
        if (minerals is None or mineral in minerals) and (stages is None or stage in stages)
    ]
    shock = [i for i, name in enumerate(panel.shocks) if name == window.shock]
    if not (months and markets and shock):
        raise ValueError(
            f"The monthly table has no row for shock '{window.shock}', {window.start} to "
            f"{window.end}, minerals {sorted(minerals) if minerals is not None else 'all'}, stages "
            f"{sorted(stages) if stages is not None else 'all'}; check the names and the horizon."
        )
    span = slice(months[0], months[-1] + 1)
    arrays = {
        column: panel.column(column)[:, shock[0], :, span][:, :, :, markets] for column in columns
    }
    return Cells(
        memberships=panel.memberships,
        seeds=panel.seeds,
        months=panel.months[span],
        markets=[panel.markets[i] for i in markets],
        countries=panel.countries,
        columns=arrays,
    )


def _weighted(price: Array, weight: Array) -> Array:
    """Mean of price [..., country] over known countries with weight [market, country]."""
    known = np.isfinite(price)
    total = (known * weight).sum(axis=-1)
    value = np.where(known, price, 0.0) * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0.0, value.sum(axis=-1) / total, np.nan)
