"""Figures of the membership experiment: each a pure function from a tidy table to a `Figure`.

Colours are those of Okabe and Ito, told apart in greyscale too by dash and marker. Widths are a
journal's: single column 3.5 in, double 7.2 in. `python -m experiments.figures [folder]` draws the
figures of a results folder again.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from experiments.engine.store import read_monthly
from experiments.measures.effects import (
    ALL,
    HOME,
    MEASURES,
    MEMBERS,
    NO_MEMBERSHIP,
    NO_SHOCK,
    NON_ALLIED,
    OTHER_ALLIED,
    OUTSIDERS,
    REST,
    core_members,
    dependence,
    effects_columns,
    exporter_home_gap,
    memberships_in,
    outside_every_circle,
    price_series,
    seed_bands,
)
from experiments.measures.panel import Panel
from experiments.measures.welfare import PARTIES, TOTAL

SINGLE, DOUBLE = 3.5, 7.2
SMALL, NORMAL = 7.0, 8.0
NEAR = np.timedelta64(500, "D")

BLACK, BLUE, VERMILION, GREEN = "#222222", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, GREY = "#CC79A7", "#E69F00", "#56B4E9", "#777777"
CIRCLE_STYLES: tuple[tuple[str, Any, str], ...] = (
    (BLUE, "-", "o"),
    (VERMILION, (0, (5, 1.5)), "s"),
    (SKY, (0, (3, 1, 1, 1)), "D"),
    (ORANGE, (0, (1, 1)), "^"),
    (PURPLE, (0, (6, 1, 1, 1, 1, 1)), "v"),
)
NEGLIGIBLE = 5e-3  # percent or percentage points: no reader could see it
OUTSIDERS_DASH: Any = (0, (6, 1.5, 1, 1.5))
FIGURE_BLOCS = (MEMBERS, OTHER_ALLIED, REST, NON_ALLIED)
BURDENED = 14  # countries in the figure of who pays
OTHER_MEMBERS = "Other members"
SHORT_LABELS = {"non_allied_share": "Non-allied share"}

MINERAL_LABELS = {
    "rare_earths_light": "Light rare earths",
    "rare_earths_heavy": "Heavy rare earths",
    "graphite": "Natural graphite",
}
MEMBERSHIP_LABELS = {
    NO_MEMBERSHIP: "no alliance",
    "washington": "Washington six",
    "forge": "wide circle",
}
BLOC_LABELS = {
    "members": "Members",
    "other allied": "Other allied",
    "non-allied": "Non-allied",
    "rest": "Rest of world",
}


@dataclass(frozen=True)
class Scene:
    """What the figures and the report must know about an experiment besides its tables.

    `shock` is the name in the table and None where no shock was run; `events` are dated marks
    (label -> YYYY-MM, such as announced, ban starts, lifted); `roles` are the countries' roles
    (code -> role), `names` their names; `memberships` labels of circles that differ from the
    defaults. All text, so that it can be written to a manifest and read back.
    """

    exporter: str
    shock: str | None
    shock_start: str
    shock_minerals: tuple[str, ...]
    roles: Mapping[str, str]
    events: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    memberships: Mapping[str, str] = field(default_factory=dict)
    crisis_months: int = 24

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scene:
        """A scene from a manifest's values."""
        return cls(**{**values, "shock_minerals": tuple(values["shock_minerals"])})

    def membership_label(self, membership: str) -> str:
        """A circle's label."""
        default = MEMBERSHIP_LABELS.get(membership, membership.replace("_", " "))
        return self.memberships.get(membership, default)


@dataclass(frozen=True)
class Drawn:
    """A figure with the table behind it, its title, caption and alternative text."""

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    table: pd.DataFrame


def mineral_label(mineral: str) -> str:
    """A mineral's name for readers."""
    return MINERAL_LABELS.get(mineral, mineral.replace("_", " ").capitalize())


# ---------------------------------------------------------------- style


@contextmanager
def style() -> Iterator[None]:
    settings: dict[str, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": SMALL,
        "axes.titlesize": NORMAL,
        "axes.labelsize": SMALL,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "axes.linewidth": 0.6,
        "axes.edgecolor": "#444444",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "savefig.facecolor": "white",
    }
    with mpl.rc_context():
        mpl.rcParams.update(sns.axes_style("ticks"))
        mpl.rcParams.update(settings)  # type: ignore[arg-type]
        yield


def circle_style(memberships: Sequence[str]) -> dict[str, tuple[str, Any, str]]:
    """Colour, dash and marker of every membership; `none` is black and dotted."""
    circles = [m for m in memberships if m != NO_MEMBERSHIP]
    styles = {m: CIRCLE_STYLES[i % len(CIRCLE_STYLES)] for i, m in enumerate(circles)}
    return {NO_MEMBERSHIP: (BLACK, (0, (1.2, 1.2)), "x"), **styles}


def _ordered(memberships: Sequence[str], scene: Scene | None = None) -> list[str]:
    """`none` first, the others in their order of appearance."""
    names = list(dict.fromkeys(memberships))
    return [m for m in names if m == NO_MEMBERSHIP] + [m for m in names if m != NO_MEMBERSHIP]


def dates(months: pd.Series) -> Any:
    return pd.to_datetime(months.astype(str), format="%Y-%m").to_numpy()


def years_axis(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.tick_params(labelsize=SMALL)


def _events(axes: Axes, events: Mapping[str, str], named: bool) -> None:
    """Thin lines at dated events before the end, named above the panel that carries names."""
    end = np.datetime64(num2date(axes.dataLim.x1).replace(tzinfo=None))
    dated = sorted(events.items(), key=lambda item: item[1])
    dated = [(label, month) for label, month in dated if np.datetime64(month) <= end]
    at = dates(pd.Series([month for _, month in dated], dtype=str))
    for number, (label, _) in enumerate(dated):
        axes.axvline(at[number], color=GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
        if not named:
            continue
        # leave the room to the right of the line to an event that follows soon
        crowded = number + 1 < len(at) and at[number + 1] - at[number] < NEAR
        axes.annotate(
            label,
            (at[number], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-1.5 if crowded else 1.5, 1.5),
            textcoords="offset points",
            ha="right" if crowded else "left",
            va="bottom",
            fontsize=SMALL,
            color="#555555",
        )


def _plain(value: float, _: object = None) -> str:
    """A number of an axis without needless digits."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _price_axis(axes: Axes, low: float, high: float) -> None:
    """Logarithmic where prices span more than a factor of six, else from zero."""
    if low > 0.0 and high / low > 6.0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 60 else (1, 3)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.minorticks_off()
        axes.set_ylim(low / 1.15, high * 1.15)
    else:
        axes.set_ylim(0.0, high * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))


def _mineral_grid(minerals: Sequence[str], handles: Sequence[Any]) -> tuple[Figure, list[Axes]]:
    """Up to three panels a row, each named after its mineral; the key in a spare cell or below."""
    columns = min(3, max(len(minerals), 1))
    rows = -(-len(minerals) // columns)
    size = (DOUBLE if columns > 1 else SINGLE, 2.1 * rows + (0.5 if rows == 1 else 0.0))
    figure = Figure(figsize=size, layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False, sharex=True)
    flat = list(cells.reshape(-1))
    for number, axes in enumerate(flat):
        if number < len(minerals):
            axes.set_title(mineral_label(minerals[number]), pad=12 if number < columns else 6)
            years_axis(axes)
            axes.tick_params(labelbottom=number + columns >= len(minerals))
        else:
            axes.set_axis_off()
    if len(minerals) < len(flat):
        flat[len(minerals)].legend(handles=handles, loc="center left", handlelength=2.6)
    else:
        below = 3 if columns > 1 else 2
        figure.legend(handles=handles, loc="outside lower center", ncols=below, handlelength=2.6)
    return figure, flat[: len(minerals)]


# ---------------------------------------------------------------- price paths


def price_paths(table: pd.DataFrame, scene: Scene) -> Figure:
    """A panel a shocked mineral: members' landed price by membership, outsiders', exporter's home.

    Table: mineral, group (members | outsiders | home), membership, month, median, p025, p10, p90,
    p975 in usd/kg. Shades: 80 and 95 % of seeds.
    """
    minerals = [m for m in scene.shock_minerals if m in set(table["mineral"])]
    memberships = _ordered(list(table["membership"]))
    styles = circle_style(memberships)
    with style():
        figure, cells = _mineral_grid(minerals, _price_key(memberships, styles, scene))
        for number, (mineral, axes) in enumerate(zip(minerals, cells, strict=True)):
            _price_panel(axes, table[table["mineral"] == mineral], memberships, styles)
            _events(axes, scene.events, named=number == 0)
            if number % 3 == 0:
                axes.set_ylabel("Price (2024 US$ per kg)")
    return figure


def _price_panel(
    axes: Axes,
    part: pd.DataFrame,
    memberships: Sequence[str],
    styles: Mapping[str, tuple[str, Any, str]],
) -> None:
    reference = memberships[-1]
    shown = [part.loc[part["group"] == MEMBERS, ["p025", "p975"]].to_numpy()]
    for group, colour, dash in ((OUTSIDERS, GREEN, OUTSIDERS_DASH), (HOME, PURPLE, "-")):
        line = part[(part["group"] == group) & (part["membership"] == reference)]
        width = 1.6 if group == HOME else 0.9
        shown.append(line[["median"]].to_numpy())
        axes.plot(dates(line["month"]), line["median"], color=colour, linestyle=dash, lw=width)
    for membership in memberships:
        colour, dash, _ = styles[membership]
        line = part[(part["group"] == MEMBERS) & (part["membership"] == membership)]
        at = dates(line["month"])
        axes.fill_between(at, line["p025"], line["p975"], color=colour, alpha=0.1, lw=0)
        axes.fill_between(at, line["p10"], line["p90"], color=colour, alpha=0.18, lw=0)
        axes.plot(at, line["median"], color=colour, linestyle=dash, lw=1.2)
    drawn = np.concatenate([values.reshape(-1) for values in shown])
    _price_axis(axes, float(drawn.min()), float(drawn.max()))


def _membership_lines(
    memberships: Sequence[str],
    styles: Mapping[str, tuple[str, Any, str]],
    scene: Scene,
    before: str = "",
) -> list[Line2D]:
    """Entries of a key, one a membership."""
    labels = [before + scene.membership_label(m) for m in memberships]
    return [
        Line2D([], [], color=styles[m][0], linestyle=styles[m][1], lw=1.2, label=label)
        for m, label in zip(memberships, [t[0].upper() + t[1:] for t in labels], strict=True)
    ]


def _price_key(
    memberships: Sequence[str], styles: Mapping[str, tuple[str, Any, str]], scene: Scene
) -> list[Line2D | Patch]:
    home = scene.names.get(scene.exporter, scene.exporter)
    return [
        *_membership_lines(memberships, styles, scene, "Members pay, "),
        Line2D([], [], color=GREEN, linestyle=OUTSIDERS_DASH, lw=0.9, label="Outsiders pay"),
        Line2D([], [], color=PURPLE, lw=1.6, label=f"Home price, {home}"),
        Patch(color=GREY, alpha=0.35, lw=0, label="80 % and 95 % of seeds"),
    ]


# ---------------------------------------------------------------- home gap


def home_gap(table: pd.DataFrame, scene: Scene) -> Figure:
    """Members' landed price over the exporter's home price, one panel a mineral.

    Table: mineral, membership, month, median, p10, p90 (a multiple).
    """
    minerals = [m for m in scene.shock_minerals if m in set(table["mineral"])]
    memberships = _ordered(list(table["membership"]))
    styles = circle_style(memberships)
    low, high = min(1.0, float(table["p10"].min())), float(table["p90"].max())
    with style():
        handles = [
            *_membership_lines(memberships, styles, scene),
            Patch(color=GREY, alpha=0.35, lw=0, label="80 % of seeds"),
        ]
        figure, cells = _mineral_grid(minerals, handles)
        for number, (mineral, axes) in enumerate(zip(minerals, cells, strict=True)):
            for membership in memberships:
                colour, dash, _ = styles[membership]
                line = table[(table["mineral"] == mineral) & (table["membership"] == membership)]
                at = dates(line["month"])
                axes.fill_between(at, line["p10"], line["p90"], color=colour, alpha=0.18, lw=0)
                axes.plot(at, line["median"], color=colour, linestyle=dash, lw=1.2)
            axes.axhline(1.0, color=GREY, lw=0.6)
            _events(axes, scene.events, named=number == 0)
            _price_axis(axes, low, high)
            if axes.get_yscale() != "log":
                axes.set_ylim(0.9 * low, 1.05 * high)
            if number % 3 == 0:
                axes.set_ylabel("Members' price over\nexporter's home price (×)")
    return figure


# ---------------------------------------------------------------- dependence


def dependence_heatmap(table: pd.DataFrame, scene: Scene) -> Figure:
    """Member by mineral: non-allied share of purchases, before and after.

    First year without alliance, then the last year without and with each membership. Table:
    membership, period (first | last), year, country, mineral, share (percent).
    """
    memberships = _ordered(list(table["membership"]))
    countries = list(dict.fromkeys(table["country"]))
    minerals = list(dict.fromkeys(table["mineral"]))
    panels = [(memberships[0], "first"), *((m, "last") for m in memberships)]
    rows = -(-len(panels) // 2)
    height = 0.8 + rows * (0.3 + 0.165 * len(countries))
    with style():
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        cells = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True).reshape(-1)
        for (membership, period), axes in zip(panels, cells, strict=False):
            part = table[(table["membership"] == membership) & (table["period"] == period)]
            shares = part.pivot(index="country", columns="mineral", values="share")
            _share_panel(axes, shares.reindex(index=countries, columns=minerals), scene)
            axes.set_title(f"{part['year'].iloc[0]}, {scene.membership_label(membership)}")
        for axes in cells[len(panels) :]:
            axes.set_axis_off()
            cells[len(panels) - 2].tick_params(labelbottom=True)
        shown = list(cells)
        bar = figure.colorbar(shown[0].collections[0], ax=shown, shrink=0.8, aspect=25, pad=0.01)
        bar.set_label("Non-allied share of purchases (%)", fontsize=SMALL)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=SMALL)
    return figure


def _share_panel(axes: Axes, shares: pd.DataFrame, scene: Scene) -> None:
    sns.heatmap(
        shares,
        ax=axes,
        vmin=0,
        vmax=100,
        cmap=sns.color_palette("blend:#ffffff,#f5c27a,#b03a10,#4a0d0d", as_cmap=True),
        annot=True,
        fmt=".0f",
        annot_kws={"fontsize": SMALL},
        linewidths=0.5,
        linecolor="white",
        cbar=False,
    )
    axes.set(xlabel="", ylabel="")
    axes.set_xticklabels([mineral_label(m) for m in shares.columns], rotation=40, ha="right")
    axes.set_yticklabels([scene.names.get(c, c) for c in shares.index], rotation=0)
    axes.tick_params(length=0, labelsize=SMALL, pad=2)
    for text in axes.texts:
        text.set_in_layout(False)  # inside its cell, and slow to measure


# ---------------------------------------------------------------- effects


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
    """Price, dependence and unmet need, calm before crisis; without panels where nothing moves."""
    measures = ("landed_price", "non_allied_share", "unmet_share")
    pairs = [(m, w) for m in measures for w in ("calm", "crisis")]
    return [pair for pair in pairs if _moved(table, *pair)] or [pairs[0]]


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

    return sorted(sorted(set(table["country"]), key=_place(scene)), key=key)


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
    when = "calm" if window == "calm" else f"first {scene.crisis_months} months of shock"
    return f"{SHORT_LABELS.get(measure, MEASURES[measure].label)}\n{when}"


def _effect_label(measure: str) -> str:
    unit = MEASURES[measure].unit
    return f"Effect ({'percentage points' if unit == 'points' else unit})"


def _effect_key(figure: Figure, memberships: Sequence[str], scene: Scene, hollow: str) -> None:
    styles = circle_style(memberships)
    handles = [
        Line2D([], [], color=styles[m][0], marker=styles[m][2], markersize=3.5, lw=1.0,
               label=scene.membership_label(m).capitalize())
        for m in memberships
    ]  # fmt: skip
    handles.append(
        Line2D([], [], color=GREY, marker="o", markersize=3.5, lw=0, markerfacecolor="white",
               label=hollow)
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


# ---------------------------------------------------------------- who pays


def welfare_bars(welfare: pd.DataFrame, scene: Scene) -> Figure:
    """Change of surplus by country: stacked bars by party, a dot with interval for the sum.

    Table: `welfare.WELFARE_COLUMNS`; a panel for each comparison.
    """
    panels, countries = _burdened(welfare)
    colours = dict(zip(PARTIES, (BLUE, ORANGE, PURPLE, GREEN), strict=True))
    with style():
        figure = Figure(figsize=(DOUBLE, 1.2 + 0.2 * len(countries)), layout="constrained")
        cells = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (window, compared, membership) in zip(cells, panels, strict=True):
            rows = welfare[
                (welfare["window"] == window)
                & (welfare["compared"] == compared)
                & (welfare["membership"] == membership)
            ]
            _stacked(axes, rows, countries, colours)
            axes.set_title(_burden_title(window, compared, membership, scene))
            axes.set_xlabel("Million USD a year")
        cells[0].set_yticks(range(len(countries)), [scene.names.get(c, c) for c in countries])
        cells[0].set_ylim(len(countries) - 0.4, -0.6)
        handles: list[Any] = [Patch(color=colours[p], label=p.capitalize()) for p in PARTIES]
        handles.append(Line2D([], [], color=BLACK, marker="o", markersize=3.0, label="Total"))
        figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def _stacked(
    axes: Axes, rows: pd.DataFrame, countries: Sequence[str], colours: Mapping[str, str]
) -> None:
    """Gains to the right of zero, losses to the left, and the sum as a dot."""
    mean = rows.pivot(index="country", columns="party", values="mean").reindex(list(countries))
    at, gains, losses = np.arange(len(countries)), *np.zeros((2, len(countries)))
    for party, colour in colours.items():
        values = mean[party].fillna(0.0).to_numpy()
        left = np.where(values > 0, gains, losses)
        axes.barh(at, values, left=left, height=0.62, color=colour, zorder=2)
        gains, losses = gains + np.maximum(values, 0.0), losses + np.minimum(values, 0.0)
    total = rows[rows["party"] == TOTAL].set_index("country").reindex(list(countries))
    axes.hlines(at, total["low"], total["high"], color=BLACK, lw=1.0, zorder=3)
    axes.plot(total["mean"], at, linestyle="none", marker="o", markersize=3.0, color=BLACK)
    axes.axvline(0.0, color="#444444", lw=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=SMALL)


def _burdened(welfare: pd.DataFrame) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Comparisons that get a panel, at most three, and the countries that move most in them.

    The shock without any alliance comes first, then the largest circle in every window.
    """
    found = welfare[["window", "compared", "membership"]].drop_duplicates()
    shocks = found[(found["compared"] == "shock") & (found["membership"] == NO_MEMBERSHIP)]
    circles = found[found["compared"] == "membership"].drop_duplicates("window", keep="last")
    panels = [tuple(row) for row in pd.concat([shocks, circles]).itertuples(index=False)]
    sums = welfare[welfare["party"] == TOTAL].assign(size=lambda t: t["mean"].abs())
    order = sums.groupby("country")["size"].max().sort_values(ascending=False, kind="stable")
    return panels[:3], [str(country) for country in order.index[:BURDENED]]


def _burden_title(window: str, compared: str, membership: str, scene: Scene) -> str:
    circle = scene.membership_label(membership)
    if compared == "shock":
        return f"Shock against calm\n{circle}"
    return f"{circle.capitalize()} against none\n{window}"


# ---------------------------------------------------------------- all of them


def membership_figures(
    monthly: pd.DataFrame | Panel,
    effects: pd.DataFrame,
    scene: Scene,
    welfare: pd.DataFrame | None = None,
) -> Iterator[Drawn]:
    """Every figure that the runs of the experiment allow, in the order of the report."""
    panel = Panel.of(monthly)
    if scene.shock is not None and scene.shock in panel.shocks and core_members(panel):
        yield _drawn_paths(panel, scene)
        yield _drawn_gap(panel, scene)
    if core_members(panel):
        yield _drawn_dependence(panel, scene)
    if len(effects):
        yield _drawn_effects(effects, scene)
        yield _drawn_blocs(effects, scene)
    if welfare is not None and len(welfare):
        yield _drawn_welfare(welfare, scene)


def _in_order(table: pd.DataFrame, panel: Panel, scene: Scene) -> pd.DataFrame:
    """Rows with `none` first and circles from small to large, the shocked minerals first."""
    rank = {m: i for i, m in enumerate([NO_MEMBERSHIP, *memberships_in(panel)])}
    minerals = {m: i for i, m in enumerate(scene.shock_minerals)}
    places = pd.DataFrame(
        {
            "membership": table["membership"].map(rank).astype(int),
            "mineral": table["mineral"].map(minerals).fillna(len(minerals)).astype(int),
        }
    )
    order = places.sort_values(["membership", "mineral"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _place(scene: Scene) -> Callable[[str], tuple[int, str]]:
    """Sort key of countries: the order of the table of roles."""
    order = {country: i for i, country in enumerate(scene.roles)}
    return lambda country: (order.get(country, len(order)), country)


def _drawn_paths(panel: Panel, scene: Scene) -> Drawn:
    groups = {MEMBERS: core_members(panel), OUTSIDERS: outside_every_circle(panel, scene.roles)}
    prices = price_series(
        panel, groups, scene.exporter, shock=str(scene.shock), minerals=scene.shock_minerals
    )
    table = _in_order(seed_bands(prices, "usd_per_kg"), panel, scene)
    core = ", ".join(scene.names.get(c, c) for c in sorted(groups[MEMBERS], key=_place(scene)))
    widest = scene.membership_label(([NO_MEMBERSHIP, *memberships_in(panel)])[-1])
    home = scene.names.get(scene.exporter, scene.exporter)
    return Drawn(
        name="price_paths",
        title="Landed prices under the shock",
        caption=f"Price of the refined product under the shock: what members pay on delivery "
        f"with and without the alliance (the countries inside every circle: {core}), what "
        f"outsiders pay and the home price in {home} (both with the alliance: {widest}). Lines "
        "are medians over seeds, shades hold 80 and 95 % of them; vertical lines date the shock. "
        "Scales differ by panel: from zero, or logarithmic where prices span a factor of six.",
        alt=_paths_alt(table, scene),
        figure=price_paths(table, scene),
        table=table,
    )


def _paths_alt(table: pd.DataFrame, scene: Scene) -> str:
    without = table[table["membership"] == NO_MEMBERSHIP]
    parts = []
    for mineral in scene.shock_minerals:
        rows = without[without["mineral"] == mineral]
        members = rows[rows["group"] == MEMBERS].reset_index(drop=True)
        home = rows[rows["group"] == HOME]
        if members.empty or home.empty:
            continue
        peak = members.loc[members["median"].idxmax()]
        parts.append(
            f"{mineral_label(mineral)}: without alliance members' price opens at "
            f"{_plain(members['median'].iloc[0])} and peaks at {_plain(peak['median'])} US$ per kg "
            f"in {peak['month']}, the home price ends at {_plain(home['median'].iloc[-1])}."
        )
    return " ".join(["Line charts of monthly prices, one a mineral.", *parts])


def _drawn_gap(panel: Panel, scene: Scene) -> Drawn:
    gap = exporter_home_gap(
        panel, scene.exporter, shock=str(scene.shock), minerals=scene.shock_minerals
    )
    table = _in_order(seed_bands(gap, "gap"), panel, scene)
    top = table.loc[table["median"].idxmax()]
    home = scene.names.get(scene.exporter, scene.exporter)
    return Drawn(
        name="home_gap",
        title="Gap to the exporter's home price",
        caption=f"What members pay on delivery, over the home price in {home}, under the shock. "
        "Lines are medians over seeds, shades hold 80 % of them; at 1 there is no gap. Scale "
        "common to all panels, logarithmic where the gap spans a factor of six.",
        alt=f"Line charts of the price gap, one a mineral. The largest is {top['median']:.1f} "
        f"times: {mineral_label(top['mineral'])}, {scene.membership_label(top['membership'])}, "
        f"{top['month']}.",
        figure=home_gap(table, scene),
        table=table,
    )


def _drawn_dependence(panel: Panel, scene: Scene) -> Drawn:
    core = sorted(core_members(panel), key=_place(scene))
    others = {c for m in memberships_in(panel) for c in panel.circles[m]} - set(core)
    groups: dict[str, tuple[str, ...]] = {c: (c,) for c in core}
    if others:
        groups[OTHER_MEMBERS] = tuple(sorted(others))
    shock = NO_SHOCK if NO_SHOCK in panel.shocks else str(scene.shock)
    table = _in_order(dependence(panel, groups, shock=shock), panel, scene)
    without = table[table["membership"] == NO_MEMBERSHIP].groupby("period")["share"].mean()
    last = table[table["period"] == "last"].groupby("membership", sort=False)["share"].mean()
    calm = "without a shock" if shock == NO_SHOCK else "under the shock"
    wide = " Other members are those of the wider circles." if others else ""
    return Drawn(
        name="dependence_heatmap",
        title="Dependence on non-allied producers",
        caption=f"Share of members' purchases of refined products that comes from non-allied "
        f"countries, percent of tonnes, in the first and the last year {calm}; means over "
        f"seeds.{wide}",
        alt="Heat maps of the non-allied share, member by mineral. Plain mean over the cells, "
        f"no alliance: {without['first']:.0f} % in the first year; in the last year "
        + ", ".join(f"{scene.membership_label(m)} {share:.0f} %" for m, share in last.items())
        + ".",
        figure=dependence_heatmap(table, scene),
        table=table,
    )


def _drawn_effects(effects: pd.DataFrame, scene: Scene) -> Drawn:
    table = effects[(effects["country"] != ALL) & (effects["mineral"] == ALL)]
    return Drawn(
        name="membership_effect",
        title="What membership does, by country",
        caption="Effect of each membership on landed price (basket at opening quantities), on the "
        "non-allied share of purchases and on unmet need (share of need): difference to the run "
        "without alliance under the same draws, mean over seeds with 95 % t-interval, over the "
        f"calm horizon and the first {scene.crisis_months} months of the shock{_baskets(scene)}. "
        "Filled: member of that circle. Lines part members, members of the wider circles only, "
        "others and the non-allied." + _quiet(table),
        alt=_effects_alt(table[table["bloc"] == MEMBERS], "member countries", scene),
        figure=membership_effect(table, scene),
        table=table,
    )


def _baskets(scene: Scene) -> str:
    return " (only the shocked minerals)" if scene.shock is not None else ""


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


def _drawn_blocs(effects: pd.DataFrame, scene: Scene) -> Drawn:
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


def _drawn_welfare(welfare: pd.DataFrame, scene: Scene) -> Drawn:
    panels, countries = _burdened(welfare)
    table = welfare[welfare["country"].isin(countries)]
    whole = welfare[welfare["party"] == TOTAL]
    said = []
    for window, compared, membership in panels:
        rows = whole[(whole["window"] == window) & (whole["compared"] == compared)]
        total = rows.loc[rows["membership"] == membership, "mean"].sum()
        title = _burden_title(window, compared, membership, scene).replace("\n", ", ")
        said.append(f"{title}: {total:+,.0f}".replace("-", "−"))
    return Drawn(
        name="welfare",
        title="Who gains and who pays",
        caption="Change of surplus by country and party, million USD a year, mean over seeds: bars "
        "are consumers (final users), producers, holders of rents and the treasury with its stock; "
        "the dot is their sum with its 95 % t-interval. Shown are the countries that move most. "
        "Stocks count at opening prices, so their revaluation is left out.",
        alt=f"Bar chart of welfare effects. Sum over all countries: {'; '.join(said)}.",
        figure=welfare_bars(table, scene),
        table=table,
    )


def load_drawing() -> None:
    """Let a process load what draws and writes before its first figure comes."""
    for kind in ("png", "pdf"):
        Figure(figsize=(1.0, 1.0)).savefig(io.BytesIO(), format=kind)


def save(figure: Figure, folder: Path, name: str, table: pd.DataFrame) -> Path:
    """Write name.png (220 dpi), name.pdf and the table behind as name.csv; the PNG's path.

    No creation date or program name is written: the same figure gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for axes in figure.axes:
        for drawn in (*axes.lines, *axes.collections):
            drawn.set_in_layout(False)  # inside its axes, and slow to measure
    with style():
        figure.savefig(folder / f"{name}.png", dpi=220, metadata={"Software": None})
        figure.set_layout_engine("none")  # the PDF is laid out as the PNG was
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    return folder / f"{name}.png"


# ---------------------------------------------------------------- again, from a results folder


def latest_results(root: Path) -> Path:
    """The newest folder below `root` that holds a manifest."""
    found = sorted(root.rglob("manifest.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"No results below '{root}': run the experiment first (make run).")
    return found[-1].parent


def redraw(folder: Path) -> list[Path]:
    """Draw the figures of a results folder again from its tables; their paths."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if "scene" not in manifest:
        raise ValueError(
            f"The manifest in '{folder}' has no 'scene', so the figures cannot be drawn; run the "
            "experiment again."
        )
    scene = Scene.from_dict(manifest["scene"])
    monthly = read_monthly(folder, effects_columns())
    effects = pd.read_parquet(folder / "effects.parquet")
    bore = folder / "welfare.parquet"
    welfare = pd.read_parquet(bore) if bore.exists() else None
    drawn = membership_figures(monthly, effects, scene, welfare)
    return [save(d.figure, folder / "figures", d.name, d.table) for d in drawn]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: draw again the figures of a results folder, by default the latest."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.figures",
        description="Draw the figures of a results folder again, from its tables.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="results folder (default: the latest)")
    chosen = parser.parse_args(arguments).folder
    try:
        paths = redraw(chosen or latest_results(Path("results")))
    except (OSError, ValueError) as error:
        print(error)
        return 2
    print("\n".join(str(path) for path in paths))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
