"""The headline: what membership does to members and to others, in calm and under the shock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from experiments.measures.effects import (
    CRISIS_MONTHS,
    HEADLINE_MEASURES,
    HOME_PRICE,
    MEMBERS,
    NO_MEMBERSHIP,
    NO_SHOCK,
    NON_MEMBERS,
    PRICE,
    Choice,
    Estimate,
    Window,
    calm_window,
    cells_in,
    crisis_length,
    crisis_window,
    effects_of,
    estimate,
    estimate_of,
    group_levels,
    level_table,
    memberships_in,
    opening_basket,
)
from experiments.measures.panel import Array, Outline, Panel

CALM, HIT, CALM_ALL = "calm", "shock", "calm, all minerals"


@dataclass(frozen=True)
class MembershipFinding:
    """What one circle does to its members and to others; `None` where no run allows it.

    Prices in percent, shares in percentage points, both against the same runs without membership.
    `unmet_level_shock` is their unmet need under the shock in percent of need, with the membership
    or without, whichever is more. `peak_multiple` is the members' highest monthly basket price
    over that of the run with the same membership and seed without the shock (over the opening price
    if there is none).
    """

    membership: str
    members: tuple[str, ...]
    price_calm: Estimate | None
    price_calm_all: Estimate | None
    price_shock: Estimate | None
    dependence_calm: Estimate | None
    dependence_shock: Estimate | None
    unmet_calm: Estimate | None
    unmet_shock: Estimate | None
    unmet_level_shock: float | None
    outsiders_price_calm: Estimate | None
    outsiders_price_shock: Estimate | None
    peak_multiple: Estimate | None
    peak_multiple_without: Estimate | None
    peak_month: str | None
    peak_month_without: str | None
    months_to_peak: int | None


@dataclass(frozen=True)
class Headline:
    """The numbers behind the finding."""

    shock: str | None
    shock_start: str
    shock_minerals: tuple[str, ...]
    exporter: str
    crisis_months: int
    seeds: int
    home_price_shock: Estimate | None
    findings: tuple[MembershipFinding, ...]


@dataclass(frozen=True)
class Subject:
    """What the headline is about; without a shock `shock` is None."""

    shock: str | None
    shock_start: str
    shock_minerals: tuple[str, ...]
    exporter: str
    roles: Mapping[str, str] | None = None
    crisis_months: int = CRISIS_MONTHS
    stages: tuple[str, ...] = ("refined",)


def headline(
    monthly: pd.DataFrame | Panel,
    shock_start: str,
    shock_minerals: Collection[str],
    exporter: str,
    *,
    shock: str | None = None,
    roles: Mapping[str, str] | None = None,
    crisis_months: int = CRISIS_MONTHS,
    stages: Collection[str] = ("refined",),
) -> Headline:
    """Numbers of the two-sentence finding.

    All prices are those of the basket of shocked minerals (`price_calm_all`: of all minerals);
    non-members leave out the exporter and, with `roles`, every non-allied country. `shock` defaults
    to the only shock in the table; without one the fields of the shock are None.
    """
    panel = Panel.of(monthly)
    name = shock or next((s for s in panel.shocks if s != NO_SHOCK), None)
    if name is not None and (name not in panel.shocks or shock_start > panel.months[-1]):
        name = None
    minerals, kinds = tuple(shock_minerals), tuple(stages)
    about = Subject(name, shock_start, minerals, exporter, roles, crisis_months, kinds)
    levels, peaks = headline_levels(panel, about), peak_paths(panel, about)
    home = home_changes(panel, about)
    return headline_of(levels, peaks, home, about, panel, len(panel.seeds))


def headline_levels(panel: Panel, about: Subject) -> pd.DataFrame:
    """Levels of members and non-members behind the headline: `LEVEL_COLUMNS`, a row a seed.

    Windows are calm, shock, and calm with all minerals.
    """
    groups = {
        m: {MEMBERS: members, NON_MEMBERS: _non_members(panel, members, about)}
        for m, members in ((m, panel.circles[m]) for m in memberships_in(panel))
    }
    windows = []
    if NO_SHOCK in panel.shocks:
        windows.append(replace(calm_window(panel), name=CALM))
    if about.shock is not None:
        crisis = crisis_window(about.shock, about.shock_start, about.crisis_months)
        windows.append(replace(crisis, name=HIT))
    asked: list[tuple[Window, str, tuple[str, ...] | None]] = [
        (w, m, about.shock_minerals) for w in windows for m in HEADLINE_MEASURES
    ]
    asked += [(replace(w, name=CALM_ALL), "landed_price", None) for w in windows if w.name == CALM]
    return level_table(
        part
        for w, m, which in asked
        for part in group_levels(
            panel, m, w, [Choice(groups=groups, minerals=which, stages=about.stages)]
        )
    )


def headline_of(
    levels: pd.DataFrame,
    peaks: pd.DataFrame,
    home: pd.DataFrame,
    about: Subject,
    outline: Outline | Panel,
    seeds: int,
) -> Headline:
    """The headline from `headline_levels`, `peak_paths` and `home_changes` of all seeds."""
    effects = effects_of(levels)
    found = _by_group(effects)
    hit = effects[(effects["window"] == HIT) & (effects["measure"] == "unmet_share")]
    unmet = _members_level(hit)
    highest = _peaks_of(peaks)
    changes = home["change"].to_numpy(float) if len(home) else np.zeros(0)
    change = estimate(changes, "%", relative=True)
    months = about.crisis_months
    if about.shock is not None:
        months = crisis_length(about.shock_start, outline.months[-1], months)
    return Headline(
        shock=about.shock,
        shock_start=about.shock_start,
        shock_minerals=about.shock_minerals,
        exporter=about.exporter,
        crisis_months=months,
        seeds=seeds,
        home_price_shock=change if change.n else None,
        findings=tuple(
            _finding(m, outline.circles[m], found, highest, unmet.get(m))
            for m in memberships_in(outline)
        ),
    )


def _finding(
    membership: str,
    members: tuple[str, ...],
    found: Mapping[tuple[str, str, str, str], Estimate],
    peaks: Mapping[tuple[str, str], _Peak],
    unmet_level: float | None,
) -> MembershipFinding:
    def effect(window: str, measure: str, group: str = MEMBERS) -> Estimate | None:
        return found.get((membership, window, measure, group))

    peak, without = peaks.get((membership, membership)), peaks.get((membership, NO_MEMBERSHIP))
    return MembershipFinding(
        membership=membership,
        members=members,
        price_calm=effect("calm", "landed_price"),
        price_calm_all=effect(CALM_ALL, "landed_price"),
        price_shock=effect("shock", "landed_price"),
        dependence_calm=effect("calm", "non_allied_share"),
        dependence_shock=effect("shock", "non_allied_share"),
        unmet_calm=effect("calm", "unmet_share"),
        unmet_shock=effect("shock", "unmet_share"),
        unmet_level_shock=unmet_level,
        outsiders_price_calm=effect("calm", "landed_price", NON_MEMBERS),
        outsiders_price_shock=effect("shock", "landed_price", NON_MEMBERS),
        peak_multiple=peak.multiple if peak else None,
        peak_multiple_without=without.multiple if without else None,
        peak_month=peak.month if peak else None,
        peak_month_without=without.month if without else None,
        months_to_peak=peak.months if peak else None,
    )


@dataclass(frozen=True)
class _Peak:
    multiple: Estimate
    month: str
    months: int


def _by_group(table: pd.DataFrame) -> dict[tuple[str, str, str, str], Estimate]:
    """Estimates by membership, window, measure and group of countries."""
    return {
        (row["membership"], row["window"], row["measure"], row["bloc"]): estimate_of(
            [row[f] for f in ("mean", "low", "high", "median", "p10", "p90")],
            int(row["n"]),
            str(row["unit"]),
        )
        for row in table.to_dict("records")
    }


def _members_level(table: pd.DataFrame) -> dict[str, float]:
    """Higher of the members' levels with and without the membership, by membership."""
    rows = table[table["bloc"] == MEMBERS].set_index("membership")
    return rows[["level_without", "level_with"]].max(axis=1).to_dict()


def _non_members(panel: Panel, members: Collection[str], about: Subject) -> tuple[str, ...]:
    apart = {*members, about.exporter}
    apart |= {c for c, role in (about.roles or {}).items() if role == "non_allied"}
    return tuple(c for c in panel.countries if c not in apart)


def home_changes(panel: Panel, about: Subject) -> pd.DataFrame:
    """Log change of the exporter's home price with the shock, without any membership, by seed.

    Basket of the exporter's own opening purchases; empty without a calm run to compare with.
    """
    empty = pd.DataFrame({"seed": np.zeros(0, dtype="int32"), "change": np.zeros(0)})
    if about.shock is None or NO_SHOCK not in panel.shocks:
        return empty
    if about.exporter not in panel.countries:
        return empty
    crisis = crisis_window(about.shock, about.shock_start, about.crisis_months)
    prices = []
    for window in (replace(crisis, shock=NO_SHOCK), crisis):
        cells = cells_in(panel, (HOME_PRICE,), window, about.shock_minerals, about.stages)
        at = cells.countries.index(about.exporter)
        prices.append(cells.columns[HOME_PRICE][cells.memberships.index(NO_MEMBERSHIP), ..., at])
    quantity = opening_basket(panel, cells.markets)[0][:, at]
    known = np.isfinite(prices[0]) & np.isfinite(prices[1])
    cost = [np.where(known, price * quantity, 0.0).sum(axis=(1, 2)) for price in prices]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(cost[1] / cost[0])
    return pd.DataFrame({"seed": np.array(panel.seeds, dtype="int32"), "change": change})


PEAK_COLUMNS = ["alliance", "membership", "seed", "month", "multiple"]


def peak_paths(panel: Panel, about: Subject) -> pd.DataFrame:
    """Monthly basket price of a circle's members under the shock, by circle, run and seed.

    As a multiple of the same run without shock, or of opening prices where there is no such run.
    """
    if about.shock is None:
        return pd.DataFrame(columns=PEAK_COLUMNS)
    last = panel.months[-1]
    window = Window("path", about.shock, about.shock_start, last)
    hit = cells_in(panel, (PRICE,), window, about.shock_minerals, about.stages)
    quantity, expenditure = opening_basket(panel, hit.markets)
    opening = expenditure / np.where(quantity > 0.0, 1000.0 * quantity, np.nan)
    reference = np.broadcast_to(opening, hit.columns[PRICE].shape)
    if NO_SHOCK in panel.shocks:
        calm = replace(window, shock=NO_SHOCK)
        cells = cells_in(panel, (PRICE,), calm, about.shock_minerals, about.stages)
        reference = cells.columns[PRICE]
    circles = memberships_in(panel)
    if not circles:
        return pd.DataFrame(columns=PEAK_COLUMNS)
    runs = [(circle, run) for circle in circles for run in (NO_MEMBERSHIP, circle)]
    paths = []
    for circle, run in runs:
        weight = quantity * np.isin(hit.countries, list(panel.circles[circle]))
        at = hit.memberships.index(run)
        paths.append(_multiples(hit.columns[PRICE][at], reference[at], weight))
    values = np.array(paths)  # [run, seed, month]
    of_run, seed, month = np.indices(values.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "alliance": np.array([circle for circle, _ in runs])[of_run],
            "membership": np.array([run for _, run in runs])[of_run],
            "seed": np.array(panel.seeds, dtype="int32")[seed],
            "month": np.array(hit.months)[month],
            "multiple": values.ravel(),
        }
    )


def _multiples(price: Array, reference: Array, weight: Array) -> Array:
    """[seed, month]: price over reference, [seed, month, market, country], matched by cell."""
    matched = np.isfinite(price) & np.isfinite(reference) & (weight > 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(matched, price * weight, 0.0).sum(axis=(2, 3))
        return np.asarray(top / np.where(matched, reference * weight, 0.0).sum(axis=(2, 3)))


def _peaks_of(paths: pd.DataFrame) -> dict[tuple[str, str], _Peak]:
    """Highest multiple by circle and membership of the run.

    The month is that of the mean path over seeds; the multiple is each seed's own at that month.
    A seed whose path has a gap is left out.
    """
    result: dict[tuple[str, str], _Peak] = {}
    if paths.empty:
        return result
    for (circle, run), rows in paths.groupby(["alliance", "membership"], observed=True):
        wide = rows.pivot(index="seed", columns="month", values="multiple").dropna()
        if wide.empty:
            continue
        at = int(wide.to_numpy().mean(axis=0).argmax())
        multiple = estimate(wide.to_numpy()[:, at], "times")
        result[str(circle), str(run)] = _Peak(multiple, str(wide.columns[at]), at)
    return result
