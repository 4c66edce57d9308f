"""The headline: what membership does to members and to others, in calm and under the shock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.measures.effects import (
    CRISIS_MONTHS,
    HOME_PRICE,
    MEMBERS,
    NO_MEMBERSHIP,
    NO_SHOCK,
    NON_MEMBERS,
    PRICE,
    Estimate,
    Window,
    calm_window,
    cells_in,
    crisis_window,
    estimate,
    estimate_of,
    memberships_in,
    opening_basket,
    paired_effects,
)
from experiments.measures.panel import Array, Panel


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
    circles = {m: panel.circles[m] for m in memberships_in(panel)}
    groups = {
        m: {MEMBERS: members, NON_MEMBERS: _non_members(panel, members, exporter, roles)}
        for m, members in circles.items()
    }
    windows = {"calm": calm_window(panel)} if NO_SHOCK in panel.shocks else {}
    if name is not None:
        windows["shock"] = crisis_window(name, shock_start, crisis_months)
    found: dict[tuple[str, str, str, str], Estimate] = {}
    unmet: dict[str, float] = {}
    for key, window in windows.items():
        for measure in ("landed_price", "non_allied_share", "unmet_share"):
            table = paired_effects(
                panel, measure, window, groups=groups, minerals=shock_minerals, stages=stages
            )
            found |= _by_group(table, key)
            if (key, measure) == ("shock", "unmet_share"):
                unmet = _members_level(table)
    if "calm" in windows:
        table = paired_effects(panel, "landed_price", windows["calm"], groups=groups, stages=stages)
        found |= _by_group(table, "calm, all minerals")
    home: Estimate | None = None
    peaks: dict[tuple[str, str], _Peak] = {}
    if name is not None:
        home = _home_price_change(panel, windows["shock"], shock_minerals, exporter, stages)
        peaks = _peaks(panel, name, shock_start, shock_minerals, circles, stages)
    return Headline(
        shock=name,
        shock_start=shock_start,
        shock_minerals=tuple(shock_minerals),
        exporter=exporter,
        crisis_months=crisis_months,
        seeds=len(panel.seeds),
        home_price_shock=home,
        findings=tuple(_finding(m, circles[m], found, peaks, unmet.get(m)) for m in circles),
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
        price_calm_all=effect("calm, all minerals", "landed_price"),
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


def _by_group(table: pd.DataFrame, window: str) -> dict[tuple[str, str, str, str], Estimate]:
    """Estimates by membership, window, measure and group of countries."""
    return {
        (row["membership"], window, row["measure"], row["bloc"]): estimate_of(
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


def _non_members(
    panel: Panel,
    members: Collection[str],
    exporter: str,
    roles: Mapping[str, str] | None,
) -> tuple[str, ...]:
    apart = {*members, exporter}
    apart |= {c for c, role in (roles or {}).items() if role == "non_allied"}
    return tuple(c for c in panel.countries if c not in apart)


def _home_price_change(
    panel: Panel,
    window: Window,
    minerals: Collection[str],
    exporter: str,
    stages: Collection[str],
) -> Estimate | None:
    """Change (percent) of the exporter's home price with the shock, without any membership.

    Basket of the exporter's own opening purchases; None without a calm run to compare with.
    """
    if NO_SHOCK not in panel.shocks or exporter not in panel.countries:
        return None
    calm = Window(window.name, NO_SHOCK, window.start, window.end)
    prices = []
    for span in (calm, window):
        cells = cells_in(panel, (HOME_PRICE,), span, minerals, stages)
        at = cells.countries.index(exporter)
        prices.append(cells.columns[HOME_PRICE][cells.memberships.index(NO_MEMBERSHIP), ..., at])
    quantity = opening_basket(panel, cells.markets)[0][:, at]
    known = np.isfinite(prices[0]) & np.isfinite(prices[1])
    cost = [np.where(known, price * quantity, 0.0).sum(axis=(1, 2)) for price in prices]
    with np.errstate(divide="ignore", invalid="ignore"):
        summary = estimate(np.log(cost[1] / cost[0]), "%", relative=True)
    return summary if summary.n else None


def _peaks(
    panel: Panel,
    shock: str,
    start: str,
    minerals: Collection[str],
    circles: Mapping[str, tuple[str, ...]],
    stages: Collection[str],
) -> dict[tuple[str, str], _Peak]:
    """Highest monthly basket price of a circle's members, by circle and membership of the run.

    The month is that of the mean path over seeds; the multiple is each seed's own at that month,
    over the same run without shock, or over opening prices where there is no such run.
    """
    last = panel.months[-1]
    hit = cells_in(panel, (PRICE,), Window("path", shock, start, last), minerals, stages)
    quantity, expenditure = opening_basket(panel, hit.markets)
    opening = expenditure / np.where(quantity > 0.0, 1000.0 * quantity, np.nan)
    reference = np.broadcast_to(opening, hit.columns[PRICE].shape)
    if NO_SHOCK in panel.shocks:
        calm = Window("path", NO_SHOCK, start, last)
        reference = cells_in(panel, (PRICE,), calm, minerals, stages).columns[PRICE]
    result = {}
    for circle, members in circles.items():
        weight = quantity * np.isin(hit.countries, list(members))
        for run in (NO_MEMBERSHIP, circle):
            at = hit.memberships.index(run)
            peak = _peak(hit.columns[PRICE][at], reference[at], weight, hit.months)
            if peak is not None:
                result[circle, run] = peak
    return result


def _peak(price: Array, reference: Array, weight: Array, months: list[str]) -> _Peak | None:
    """Peak of price over reference, both [seed, month, market, country], matched cell by cell."""
    matched = np.isfinite(price) & np.isfinite(reference) & (weight > 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        path = np.where(matched, price * weight, 0.0).sum(axis=(2, 3)) / np.where(
            matched, reference * weight, 0.0
        ).sum(axis=(2, 3))
    path = path[np.isfinite(path).all(axis=1)]
    if path.size == 0:
        return None
    at = int(path.mean(axis=0).argmax())
    return _Peak(estimate(path[:, at], "times"), months[at], at)
