"""Paired effects of membership by country and by bloc: dots with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from experiments.figures.drawn import Drawn
from experiments.figures.look import (
    DOUBLE,
    GREY,
    NEGLIGIBLE,
    SMALL,
    circle_style,
    style,
)
from experiments.figures.scene import BLOC_LABELS, SHORT_LABELS, Scene, begun, place
from experiments.measures.effects import (
    ALL,
    MEASURES,
    MEMBERS,
    NON_ALLIED,
    OTHER_ALLIED,
    REST,
)

UNMET = "unmet_share"
FIGURE_BLOCS = (MEMBERS, OTHER_ALLIED, REST, NON_ALLIED)


def membership_effect(effects: pd.DataFrame, scene: Scene) -> Figure:
    """Paired effect on price, dependence and unmet need by country: dot and interval.

    Table: effects by country (`effects.EFFECT_COLUMNS`); one colour and marker a membership, filled
    where the country is a member, hollow where it is not.
    """
    table = effects[(effects["country"] != ALL) & (effects["mineral"] == ALL)]
    panels = _effect_panels(table)
    memberships = list(dict.fromkeys(table["membership"]))
    countries = _country_order(table, memberships, scene)
    rows = [scene.names.get(c, c) for c in countries]
    with style():
        figure = Figure(figsize=(DOUBLE, 1.0 + 0.17 * len(rows)), layout="constrained")
        cells = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (measure, window) in zip(cells, panels, strict=True):
            part = table[(table["measure"] == measure) & (table["window"] == window)]
            _dots(axes, part, "country", countries, memberships)
            for border in _borders(table, countries):
                axes.axhline(border - 0.5, color=GREY, lw=0.5)
            axes.set_title(_panel_title(measure, window, scene))
            axes.set_xlabel(_effect_label(measure))
        cells[0].set_yticks(range(len(rows)), rows)
        cells[0].set_ylim(len(rows) - 0.4, -0.6)
        _effect_key(figure, memberships, scene, hollow="Hollow: not a member")
    return figure


def bloc_effects(effects: pd.DataFrame, scene: Scene) -> Figure:
    """Paired effect by bloc, a panel a measure and window: dot and interval.

    Measures that move in no bloc are left out. Table: effects by bloc (country and mineral "all").
    """
    table = effects[
        (effects["country"] == ALL) & (effects["mineral"] == ALL) & (effects["bloc"] != ALL)
    ]
    windows = list(dict.fromkeys(table["window"]))
    measures = list(dict.fromkeys(table["measure"]))
    measures = [m for m in measures if not _still(table, m)] or measures[:1]
    memberships = list(dict.fromkeys(table["membership"]))
    present = [bloc for bloc in FIGURE_BLOCS if bloc in set(table["bloc"])]
    with style():
        figure = Figure(
            figsize=(DOUBLE, 0.55 + (0.55 + 0.2 * len(present)) * len(windows)),
            layout="constrained",
        )
        cells = figure.subplots(len(windows), len(measures), squeeze=False, sharey=True)
        for row, window in enumerate(windows):
            for column, measure in enumerate(measures):
                axes = cells[row, column]
                part = table[(table["measure"] == measure) & (table["window"] == window)]
                axes.set_title(_panel_title(measure, window, scene))
                if not _moved(table, measure, window):
                    axes.text(0.0, 0.5, "No change in any bloc", transform=axes.transAxes)
                    axes.spines[["left", "bottom"]].set_visible(False)
                    axes.tick_params(length=0, labelbottom=False)
                    continue
                _dots(axes, part, "bloc", present, memberships)
                axes.set_xlabel(_effect_label(measure))
        cells[0, 0].set_yticks(range(len(present)), [BLOC_LABELS[b] for b in present])
        cells[0, 0].set_ylim(len(present) - 0.4, -0.6)
        _effect_key(figure, memberships, scene, hollow="Hollow: not members")
    return figure


def _effect_panels(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Price, dependence and unmet need, calm before crisis; without panels where nothing moves.

    Unmet need, nearly everywhere zero, has a panel only where it clearly moves in some country.
    """
    measures = ("landed_price", "non_allied_share", UNMET)
    pairs = [(m, w) for m in measures for w in ("calm", "crisis")]
    shown = [p for p in pairs if _moved(table, *p) and (p[0] != UNMET or _clearly(table, p[1]))]
    return shown or [pairs[0]]


def _clearly(table: pd.DataFrame, window: str) -> bool:
    """Whether unmet need moves so that the interval leaves out zero; with one seed, at all."""
    rows = table[(table["measure"] == UNMET) & (table["window"] == window)]
    rows = rows[rows["mean"].abs() > NEGLIGIBLE]
    holds_zero = (rows["low"] <= 0.0) & (rows["high"] >= 0.0)  # never where there is no interval
    return bool((~holds_zero).any())


def _moved(table: pd.DataFrame, measure: str, window: str) -> bool:
    """Whether any effect of this measure in this window differs from zero."""
    rows = table[(table["measure"] == measure) & (table["window"] == window)]
    return bool((rows["mean"].abs() > NEGLIGIBLE).any())


def _still(table: pd.DataFrame, measure: str) -> bool:
    """Whether a measure moves in no window."""
    return not any(_moved(table, measure, window) for window in set(table["window"]))


def _country_order(table: pd.DataFrame, memberships: Sequence[str], scene: Scene) -> list[str]:
    """Members of the smallest circle first, then of the wider ones, then by bloc."""
    rank = {bloc: i for i, bloc in enumerate(FIGURE_BLOCS)}
    rank[ALL] = len(rank)

    def key(country: str) -> tuple[int, ...]:
        rows = table[table["country"] == country].drop_duplicates("membership")
        bloc_of = dict(zip(rows["membership"], rows["bloc"], strict=True))
        return tuple(rank[bloc_of.get(m, ALL)] for m in memberships)

    return sorted(sorted(set(table["country"]), key=place(scene)), key=key)


def _borders(table: pd.DataFrame, countries: Sequence[str]) -> list[int]:
    """Rows where the number of circles a country is in changes, and before the non-allied."""
    inside = table[table["bloc"] == MEMBERS].groupby("country")["membership"].nunique()
    non_allied = set(table.loc[table["bloc"] == NON_ALLIED, "country"])
    kind = [(int(inside.get(c, 0)), c in non_allied) for c in countries]
    return [i for i in range(1, len(kind)) if kind[i] != kind[i - 1]]


def _dots(
    axes: Axes, part: pd.DataFrame, column: str, order: Sequence[str], memberships: Sequence[str]
) -> None:
    styles = circle_style(memberships)
    step = 0.64 / max(len(memberships), 2)
    axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
    for number, membership in enumerate(memberships):
        colour, _, marker = styles[membership]
        rows = part[part["membership"] == membership].set_index(column, drop=False)
        rows = rows[~rows.index.duplicated()].reindex(list(order))
        at = np.arange(len(order)) + (number - (len(memberships) - 1) / 2) * step
        inside = (rows["bloc"] == MEMBERS).to_numpy()
        axes.hlines(at, rows["low"], rows["high"], color=colour, lw=1.0, zorder=2)
        for chosen, face in ((inside, colour), (~inside, "white")):
            axes.plot(
                rows["mean"].to_numpy()[chosen], at[chosen], linestyle="none", marker=marker,
                markersize=3.2, markeredgewidth=0.8, color=colour, markerfacecolor=face, zorder=3,
            )  # fmt: skip
    axes.grid(axis="x", color="#e5e5e5", lw=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    reach = part[["mean", "low", "high"]].to_numpy(float)
    low, high = min(0.0, np.nanmin(reach)), max(0.0, np.nanmax(reach))
    margin = 0.07 * max(high - low, 1e-6)
    axes.set_xlim(low - margin, high + margin)
    axes.tick_params(labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _panel_title(measure: str, window: str, scene: Scene) -> str:
    when = "calm" if window == "calm" else f"{scene.crisis_months} months of shock"
    return f"{SHORT_LABELS.get(measure, MEASURES[measure].label)}\n{when}"


def _effect_label(measure: str) -> str:
    unit = MEASURES[measure].unit
    return f"Effect ({'% points' if unit == 'points' else unit})"


def _effect_key(figure: Figure, memberships: Sequence[str], scene: Scene, hollow: str) -> None:
    styles = circle_style(memberships)
    handles = [
        Line2D([], [], color=styles[m][0], marker=styles[m][2], markersize=3.5, lw=1.0,
               label=begun(scene.membership_label(m)))
        for m in memberships
    ]  # fmt: skip
    handles.append(
        Line2D([], [], color=GREY, marker="o", markersize=3.5, lw=0, markerfacecolor="white",
               label=hollow)
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def drawn_effects(effects: pd.DataFrame, scene: Scene) -> Drawn:
    table = effects[(effects["country"] != ALL) & (effects["mineral"] == ALL)]
    return Drawn(
        name="membership_effect",
        title="What membership does, by country",
        caption="Effect of each membership on landed price (basket at opening quantities), on the "
        "non-allied share of purchases and on unmet need (share of need): difference to the run "
        "without alliance under the same draws, mean over seeds with 95 % t-interval, over "
        f"{_spans(table, scene)}. "
        "Filled: member of that circle. Lines part members, members of the wider circles only, "
        "others and the non-allied." + (_unclear(table, scene) or _quiet(table)),
        alt=_effects_alt(table[table["bloc"] == MEMBERS], "member countries", scene),
        figure=membership_effect(table, scene),
        table=table,
    )


def _spans(table: pd.DataFrame, scene: Scene) -> str:
    """The periods that were measured, in words."""
    shock = f"the first {scene.crisis_months} months of the shock (only the shocked minerals)"
    windows = dict.fromkeys(table["window"].astype(str))
    return " and ".join("the calm horizon" if name == "calm" else shock for name in windows)


def _quiet(table: pd.DataFrame) -> str:
    """What the chart leaves out because it is zero everywhere."""
    rows = table[table["measure"] == "unmet_share"]
    if len(rows) == 0:
        return ""
    if _still(rows, "unmet_share"):
        return " Unmet need is left out: membership changes it nowhere."
    if "calm" not in set(rows["window"]) or _moved(rows, "unmet_share", "calm"):
        return ""
    return " In calm years membership changes unmet need nowhere."


def _unclear(table: pd.DataFrame, scene: Scene) -> str:
    """What the chart by country leaves out because it is small and clear in no country."""
    rows = table[(table["measure"] == UNMET) & (table["mean"].abs() > NEGLIGIBLE)]
    if rows.empty or any(_clearly(table, window) for window in set(rows["window"])):
        return ""
    most = rows.loc[rows["mean"].abs().idxmax()]
    mean, low, high = (f"{most[name]:.2g}".replace("-", "−") for name in ("mean", "low", "high"))
    return (
        " Unmet need is left out: membership changes it clearly in no country (most in "
        f"{scene.names.get(most['country'], most['country'])}, by {mean} percentage points, "
        f"95 % interval {low} to {high})."
    )


def drawn_blocs(effects: pd.DataFrame, scene: Scene) -> Drawn:
    table = effects[
        (effects["country"] == ALL) & (effects["mineral"] == ALL) & (effects["bloc"] != ALL)
    ]
    return Drawn(
        name="bloc_effects",
        title="What membership does, by bloc",
        caption="The same paired effects for blocs of countries: members of the circle, other "
        "allied countries, the non-allied and the rest; mean over seeds with 95 % t-interval."
        + _quiet(table),
        alt=_effects_alt(table[table["bloc"] == MEMBERS], "the members' bloc", scene),
        figure=bloc_effects(table, scene),
        table=table,
    )


def _effects_alt(table: pd.DataFrame, whom: str, scene: Scene) -> str:
    parts = [f"Dot and interval chart of paired effects of membership. Landed price of {whom}:"]
    prices = table[table["measure"] == "landed_price"]
    for keys, rows in prices.groupby(["window", "membership"], sort=False):
        window, membership = (str(key) for key in keys)
        low, high = (
            f"{value:+.1f}".replace("-", "−") for value in rows["mean"].agg(["min", "max"])
        )
        span = low if low == high else f"{low} to {high}"
        parts.append(f"{window}, {scene.membership_label(membership)}: {span} %;")
    return " ".join(parts).rstrip(";") + "."
