"""Who gains and who pays: surplus by country and party."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.figures.drawn import Drawn
from experiments.figures.look import BLACK, BLUE, DOUBLE, GREEN, ORANGE, PURPLE, SMALL, style
from experiments.figures.scene import Scene, begun
from experiments.measures.effects import (
    NO_MEMBERSHIP,
)
from experiments.measures.welfare import PARTIES, TOTAL

BURDENED = 14  # countries in the figure of who pays


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
    return f"{begun(circle)} against none\n{window}"


def drawn_welfare(welfare: pd.DataFrame, scene: Scene) -> Drawn:
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
