"""Figures of the pathways, each from the table that is saved with it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.figures import (
    DOUBLE,
    GREY,
    SMALL,
    circle_style,
    mineral_label,
    style,
)
from experiments.measures.effects import NO_MEMBERSHIP

ALL = "all"
SCENARIOS = {
    "constant": "constant growth",
    "steps": "stated policies (STEPS)",
    "aps": "announced pledges (APS)",
    "nze": "net zero (NZE)",
}
LEAST_SPAN = 12.0  # percentage points of a panel, so that noise does not look like a path
PANELS = 5  # a row
TITLE_SIGNS = 18  # a line above a panel


def scenario_label(scenario: str) -> str:
    """A scenario of demand for readers."""
    return SCENARIOS.get(scenario, scenario)


def ambition_label(ambition: str) -> str:
    """An ambition for readers."""
    if ambition == NO_MEMBERSHIP:
        return "No alliance"
    return f"Ambition “{ambition.replace('_', ' ')}”"


def _name(mineral: str) -> str:
    return "All minerals" if mineral == ALL else mineral_label(mineral)


def _minerals(table: pd.DataFrame) -> list[str]:
    """All minerals together first."""
    found = list(dict.fromkeys(table["mineral"]))
    return [m for m in found if m == ALL] + [m for m in found if m != ALL]


def _key(ambitions: Sequence[str], marker: bool) -> list[Line2D]:
    styles = circle_style(ambitions)
    return [
        Line2D(
            [], [], color=styles[a][0], lw=1.2, ls="none" if marker else styles[a][1], ms=3.5,
            marker=styles[a][2] if marker else "", label=ambition_label(a),
        )
        for a in ambitions
    ]  # fmt: skip


def paths_figure(table: pd.DataFrame) -> Figure:
    """Rows: minerals; columns: scenarios; a line with its bands for every ambition.

    Table: scenario, ambition, mineral, year, p025, p10, median, p90, p975 (percent).
    """
    minerals, scenarios = _minerals(table), list(dict.fromkeys(table["scenario"]))
    ambitions = list(dict.fromkeys(table["ambition"]))
    with style():
        layout = ConstrainedLayoutEngine(hspace=0.0, h_pad=0.015, w_pad=0.03)
        figure = Figure(figsize=(DOUBLE, 0.7 + 0.78 * len(minerals)), layout=layout)
        cells = figure.subplots(len(minerals), len(scenarios), squeeze=False, sharex=True)
        for row, mineral in enumerate(minerals):
            mine = table[table["mineral"] == mineral]
            for axes, scenario in zip(cells[row], scenarios, strict=True):
                _paths(axes, mine[mine["scenario"] == scenario], ambitions)
                _share_axis(axes, mine)
                axes.tick_params(labelleft=axes is cells[row, 0])
            cells[row, 0].set_ylabel(
                _name(mineral).replace(" ", "\n", 1), rotation=0, ha="right", va="center"
            )
        for axes, scenario in zip(cells[0], scenarios, strict=True):
            label = scenario_label(scenario)
            axes.set_title(label[0].upper() + label[1:])
        figure.supylabel("Non-allied share of purchases (%)", fontsize=SMALL)
        handles = [
            *_key(ambitions, marker=False),
            Patch(color=GREY, alpha=0.4, lw=0, label="80 % and 95 % of seeds"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _paths(axes: Axes, table: pd.DataFrame, ambitions: Sequence[str]) -> None:
    styles = circle_style(ambitions)
    for ambition in ambitions:
        colour, dash, _ = styles[ambition]
        line = table[table["ambition"] == ambition]
        axes.fill_between(line["year"], line["p025"], line["p975"], color=colour, alpha=0.12, lw=0)
        axes.fill_between(line["year"], line["p10"], line["p90"], color=colour, alpha=0.2, lw=0)
        axes.plot(line["year"], line["median"], color=colour, ls=dash, lw=1.2)


def _share_axis(axes: Axes, table: pd.DataFrame) -> None:
    """The same range in all panels of a mineral, wide enough to judge a change by."""
    low, high = float(table["p025"].min()), float(table["p975"].max())
    middle, half = (low + high) / 2.0, 0.55 * max(high - low, LEAST_SPAN)
    bottom = max(middle - half, 0.0)
    axes.set_ylim(bottom, bottom + 2.0 * half)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=SMALL)
    axes.grid(axis="y", color="#e5e5e5", lw=0.5)


def effects_figure(table: pd.DataFrame) -> Figure:
    """A panel a scenario: the change of dependence by mineral and ambition in the last year.

    Table: scenario, ambition, mineral, year, mean, low, high (percentage points).
    """
    last = table[table["year"] == table["year"].max()]
    minerals, scenarios = _minerals(last), list(dict.fromkeys(last["scenario"]))
    ambitions = list(dict.fromkeys(last["ambition"]))
    with style():
        figure = Figure(figsize=(DOUBLE, 0.9 + 0.22 * len(minerals)), layout="constrained")
        cells = figure.subplots(1, len(scenarios), squeeze=False, sharex=True, sharey=True)[0]
        for axes, scenario in zip(cells, scenarios, strict=True):
            axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
            part = last[last["scenario"] == scenario]
            _dots(axes, part, "mineral", minerals, [NO_MEMBERSHIP, *ambitions])
            label = scenario_label(scenario)
            axes.set_title(label[0].upper() + label[1:])
        _rows(cells[0], [_name(m) for m in minerals])
        figure.supxlabel(
            f"Change of the non-allied share in {int(last['year'].max())} (percentage points)",
            fontsize=SMALL,
        )
        figure.legend(
            handles=_key([NO_MEMBERSHIP, *ambitions], marker=True)[1:],
            loc="outside upper center",
            ncols=len(ambitions),
        )
    return figure


def reached_figure(table: pd.DataFrame) -> Figure:
    """A panel a milestone: in how many minerals it is reached, by scenario and ambition.

    Table: scenario, ambition, label, minerals, mean, low, high.
    """
    labels, scenarios = (list(dict.fromkeys(table[name])) for name in ("label", "scenario"))
    ambitions = list(dict.fromkeys(table["ambition"]))
    with style():
        figure, cells = _panels(labels, 0.55 + 0.2 * len(scenarios))
        for axes, label in zip(cells, labels, strict=True):
            part = table[table["label"] == label]
            most = int(part["minerals"].max())
            _dots(axes, part, "scenario", scenarios, ambitions)
            axes.set_xlim(-0.04 * most, 1.04 * most)
            axes.set_xticks(sorted({0, most // 2, most}))
        _rows(cells[0], [s.upper() if s != "constant" else "Constant" for s in scenarios])
        figure.supxlabel("Minerals in which the milestone is reached", fontsize=SMALL)
        handles = _key(ambitions, marker=True)
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def milestones_figure(table: pd.DataFrame) -> Figure:
    """A panel a milestone: the share of seeds that reach it, by mineral and ambition.

    Of the first scenario. Table: scenario, ambition, label, mineral, percent, low, high.
    """
    shown = table[table["scenario"] == table["scenario"].iloc[0]]
    labels, ambitions = (list(dict.fromkeys(shown[name])) for name in ("label", "ambition"))
    widest = shown.groupby("label")["mineral"].nunique().idxmax()  # most ask for all minerals
    named = [*shown.loc[shown["label"] == widest, "mineral"], *shown["mineral"]]
    minerals = list(dict.fromkeys(named))
    with style():
        figure, cells = _panels(labels, 0.45 + 0.2 * len(minerals))
        for axes, label in zip(cells, labels, strict=True):
            _dots(axes, shown[shown["label"] == label], "mineral", minerals, ambitions)
            axes.set_xlim(-4.0, 104.0)
            axes.set_xticks([0, 50, 100])
        _rows(cells[0], [_name(m) for m in minerals])
        figure.supxlabel("Seeds that reach the milestone in its due year (%)", fontsize=SMALL)
        handles = _key(ambitions, marker=True)
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _panels(labels: Sequence[str], height: float) -> tuple[Figure, list[Axes]]:
    """Panels in rows of at most five, each named above; rows share their entries."""
    columns = min(PANELS, len(labels))
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(DOUBLE, 0.6 + height * rows), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False, sharey=True).reshape(-1)
    for axes in cells[len(labels) :]:
        axes.set_axis_off()
    for axes, label in zip(cells, labels, strict=False):
        head, _, due = label.replace(" %", "\N{NO-BREAK SPACE}%").rpartition(" by ")
        axes.set_title("\n".join([*wrap(head, TITLE_SIGNS), f"by {due}"]), fontsize=SMALL)
    return figure, list(cells[: len(labels)])


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _dots(
    axes: Axes, part: pd.DataFrame, column: str, order: Sequence[str], ambitions: Sequence[str]
) -> None:
    """A dot with its interval for every ambition that the table has, side by side."""
    styles = circle_style(ambitions)
    shown = [name for name in ambitions if name in set(part["ambition"])]
    value = "percent" if "percent" in part else "mean"
    for place, ambition in enumerate(shown):
        colour, _, marker = styles[ambition]
        rows = part[part["ambition"] == ambition].set_index(column).reindex(list(order))
        at = np.arange(len(order)) + 0.24 * (place - (len(shown) - 1) / 2)
        axes.hlines(at, rows["low"], rows["high"], color=colour, lw=1.0, zorder=2)
        axes.plot(rows[value], at, ls="none", marker=marker, ms=2.8, color=colour, zorder=3)
    axes.grid(axis="x", color="#e5e5e5", lw=0.5)
    axes.tick_params(labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
