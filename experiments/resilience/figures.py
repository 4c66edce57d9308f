"""Figures of resilience: the league of the most vulnerable, and whom each country needs most."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from experiments.figures import (
    DOUBLE,
    GREY,
    MEMBERSHIP_LABELS,
    SMALL,
    circle_style,
    mineral_label,
    style,
)

PANELS = {
    "time_to_survive": "Survives (months)",
    "time_to_recover": "Recovered after (months)",
    "supply_lost": "Supply lost (months’ worth)",
}
SPREAD = 0.17  # rows between two alliances of one case
FELT = 0.05  # months of supply lost: below, a cell is left blank
LOST_BY_WORST = "months of supply lost, and by whose cut"
DARK = 0.55  # share of the scale above which a label is white


def league_figure(table: pd.DataFrame) -> Figure:
    """A row a case, the most vulnerable on top: times to survive and recover, and supply lost.

    Table: rank, supplier_name, country_name, mineral, alliance, cut_months, and the value of
    time_to_survive, time_to_recover and supply_lost with _p10 and _p90, in months, infinite for
    never.
    """
    cases = table.drop_duplicates("rank").sort_values("rank")
    place = {rank: row for row, rank in enumerate(cases["rank"])}
    alliances = list(dict.fromkeys(table["alliance"]))
    styles = circle_style(alliances)
    with style():
        figure = Figure(figsize=(DOUBLE, 1.0 + 0.21 * len(cases)), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, (name, head) in zip(panels, PANELS.items(), strict=True):
            axes.set_title(head, fontsize=SMALL)
            axes.grid(axis="x", color="#e5e5e5", lw=0.5)
            limit = panel_limit(table, name)
            for number, alliance in enumerate(alliances):
                part = table[table["alliance"] == alliance]
                rows = np.array([place[rank] for rank in part["rank"]], dtype=float)
                offset = SPREAD * (2 * number - len(alliances) + 1) / max(len(alliances) - 1, 1)
                draw_times(axes, part, name, rows + offset, styles[alliance][0], limit)
            axes.set_xlim(0.0, limit * 1.06)
            axes.xaxis.set_major_locator(MaxNLocator(4))
        labels = [case_label(row) for _, row in cases.iterrows()]
        panels[0].set_yticks(range(len(labels)), labels)
        panels[0].set_ylim(len(labels) - 0.4, -0.6)
        for axes in panels:
            axes.tick_params(axis="y", length=0)
        handles = [
            Line2D(
                [], [], color=styles[name][0], marker="o", ms=3.2, lw=1.0,
                label=alliance_label(name),
            )
            for name in alliances
        ]  # fmt: skip
        figure.legend(
            handles=[
                *handles,
                Line2D([], [], color=GREY, marker=">", ms=4, ls="none", label="Never"),
            ],
            loc="outside lower center",
            ncols=len(handles) + 1,
        )
    return figure


def panel_limit(table: pd.DataFrame, name: str) -> float:
    """Right end of a panel: the cut's length for survival, else what is finite."""
    if name == "time_to_survive":
        return float(table["cut_months"].max())
    values = table[[name, f"{name}_p10", f"{name}_p90"]].to_numpy()
    known = values[np.isfinite(values)]
    return 1.08 * float(max(known.max(initial=0.0), 1.0))


def draw_times(
    axes: Axes, part: pd.DataFrame, name: str, at: np.ndarray, colour: str, limit: float
) -> None:
    """Dots with their bands; an arrow at the right end stands for never."""
    value = part[name].to_numpy()
    low, high = (np.minimum(part[f"{name}_{end}"].to_numpy(), limit) for end in ("p10", "p90"))
    axes.hlines(at, low, high, color=colour, lw=1.0)
    known = np.isfinite(value)
    axes.plot(value[known], at[known], "o", color=colour, ms=3.2, clip_on=False)
    axes.plot(np.full((~known).sum(), limit), at[~known], ">", color=colour, ms=4, clip_on=False)


def case_label(row: pd.Series) -> str:
    """Who lacks what without whom."""
    return f"{mineral_label(row['mineral'])}, {row['country_name']}  ← {row['supplier_name']}"


def alliance_label(alliance: str) -> str:
    """An alliance's name at the start of a line."""
    name = MEMBERSHIP_LABELS.get(alliance, alliance.replace("_", " "))
    return name[0].upper() + name[1:]


def worst_figure(table: pd.DataFrame) -> Figure:
    """Months of supply lost when the worst supplier is cut, country by mineral, named in the cell.

    A panel an alliance. Table: alliance, country, country_name, mineral, supplier, supply_lost.
    """
    alliances = list(dict.fromkeys(table["alliance"]))
    countries = _heaviest(table, "country_name")
    minerals = _heaviest(table, "mineral")
    scale = Normalize(0.0, max(float(table["supply_lost"].max()), FELT))
    with style():
        height = 0.75 + len(alliances) * (0.75 + 0.26 * len(countries))
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        panels = figure.subplots(len(alliances), 1, sharex=True, squeeze=False)[:, 0]
        for axes, alliance in zip(panels, alliances, strict=True):
            part = table[table["alliance"] == alliance]
            _worst_panel(axes, part, countries, minerals, scale)
            axes.set_title(f"{alliance_label(alliance)}: {LOST_BY_WORST}", fontsize=SMALL)
        panels[-1].set_xticks(
            np.arange(len(minerals)) + 0.5,
            [mineral_label(m).replace(" ", "\n") for m in minerals],
        )
    return figure


def _heaviest(table: pd.DataFrame, column: str) -> list[str]:
    """Values of a column, those that lose most first."""
    sums = table.groupby(column)["supply_lost"].sum()
    return [str(name) for name in sums.sort_values(ascending=False, kind="stable").index]


def _worst_panel(
    axes: Axes,
    part: pd.DataFrame,
    countries: Sequence[str],
    minerals: Sequence[str],
    scale: Normalize,
) -> None:
    lost = part.pivot(index="country_name", columns="mineral", values="supply_lost")
    names = part.pivot(index="country_name", columns="mineral", values="supplier")
    lost = lost.reindex(index=countries, columns=minerals)
    names = names.reindex(index=countries, columns=minerals)
    values = lost.fillna(0.0).to_numpy()
    axes.pcolormesh(values, cmap=mpl.colormaps["YlOrBr"], norm=scale, ec="white", lw=0.6)
    for row in range(len(countries)):
        for column in range(len(minerals)):
            if values[row, column] >= FELT:
                axes.text(
                    column + 0.5, row + 0.5,
                    f"{names.iloc[row, column]} {values[row, column]:.1f}",
                    ha="center", va="center", fontsize=SMALL - 1.0,
                    color="white" if scale(values[row, column]) > DARK else "#222222",
                )  # fmt: skip
    axes.set_yticks(np.arange(len(countries)) + 0.5, list(countries))
    axes.set_ylim(len(countries), 0)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
