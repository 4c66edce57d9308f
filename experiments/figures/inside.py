"""Who is inside a circle when, by country: the share of seeds over time."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.drawn import Drawn
from experiments.figures.look import BLACK, DOUBLE, ORANGE, SMALL, style
from experiments.figures.scene import Scene, begun
from experiments.measures.aftermath import inside_over_time
from experiments.measures.effects import NO_SHOCK, Layout, outlined


def inside_figure(table: pd.DataFrame, scene: Scene) -> Figure:
    """Country by month, a panel a circle and shock: percent of seeds in which it is inside.

    Table: membership, shock, country, founding, month, inside_percent.
    """
    circles = list(dict.fromkeys(table["membership"]))
    shocks = sorted(set(table["shock"]), key=lambda name: name != NO_SHOCK)
    rows = [table[table["membership"] == m]["country"].nunique() for m in circles]
    with style():
        height = 0.9 + sum(0.3 + 0.13 * max(count, 3) for count in rows)
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        grid = figure.subplots(len(circles), len(shocks), squeeze=False, height_ratios=rows)
        for circle, line in zip(circles, grid, strict=True):
            for shock, axes in zip(shocks, line, strict=True):
                own = table[(table["membership"] == circle) & (table["shock"] == shock)]
                _panel(axes, own, scene, labelled=axes is line[0])
                when = "calm" if shock == NO_SHOCK else "with the shock"
                axes.set_title(f"{begun(scene.membership_label(circle))}, {when}")
        shown = list(grid.reshape(-1))
        bar = figure.colorbar(shown[0].collections[0], ax=shown, shrink=0.6, aspect=25, pad=0.01)
        bar.set_label("Seeds in which the country is inside (%)", fontsize=SMALL)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=SMALL)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, scene: Scene, labelled: bool) -> None:
    countries = list(dict.fromkeys(table["country"]))
    months = list(dict.fromkeys(table["month"].astype(str)))
    wide = table.pivot(index="country", columns="month", values="inside_percent")
    sns.heatmap(
        wide.reindex(index=countries, columns=months),
        ax=axes,
        vmin=0,
        vmax=100,
        cmap=sns.color_palette("blend:#f4f4f6,#9ecae1,#0072B2,#08306b", as_cmap=True),
        cbar=False,
        rasterized=True,
    )
    axes.set(xlabel="", ylabel="")
    januaries = [at for at, month in enumerate(months) if month.endswith("-01")]
    januaries = januaries[:: 1 + len(januaries) // 7]
    axes.set_xticks(januaries, [months[at][:4] for at in januaries], rotation=0)
    axes.set_yticks(
        [at + 0.5 for at in range(len(countries))],
        [scene.names.get(c, c) for c in countries] if labelled else [""] * len(countries),
        rotation=0,
    )
    axes.tick_params(length=0, labelsize=SMALL, pad=2)
    axes.tick_params(axis="x", length=2.5)
    founding = table.drop_duplicates("country")["founding"].sum()
    if 0 < founding < len(countries):
        axes.axhline(founding, color=BLACK, linewidth=0.8)
    if table["shock"].iloc[0] != NO_SHOCK:
        for month in scene.events.values():
            if month in months:
                axes.axvline(
                    months.index(month), color=ORANGE, linewidth=0.9, linestyle=(0, (2, 2))
                )


def drawn_inside(layout: Layout, stays: pd.DataFrame, scene: Scene) -> Drawn:
    """From the table stays_by_seed."""
    ends = outlined(layout).months
    months = [str(m) for m in pd.period_range(ends[0], ends[-1], freq="M")]
    table = inside_over_time(stays, months)
    last = table[(table["month"] == months[-1]) & (table["inside_percent"] > 0.0)]
    counts = [
        f"{scene.membership_label(str(circle))}, "
        f"{'calm' if shock == NO_SHOCK else 'with the shock'}: "
        f"{len(rows)} countries inside at the end in some seed, "
        f"{(rows['inside_percent'] > 99.9).sum()} of them in all"
        for (circle, shock), rows in last.groupby(["membership", "shock"], sort=False)
    ]
    events = ", ".join(f"{label} {month}" for label, month in scene.events.items())
    return Drawn(
        name="inside",
        title="Who is inside when",
        caption="Percent of seeds in which a country is inside the circle, month by month. Above "
        "the line the founding members, below it who ever joins by choice, by how often they are "
        f"inside at the end.{f' Dashed: {events}.' if events else ''}",
        alt=f"Heat maps of countries by month. {'; '.join(counts)}.",
        figure=inside_figure(table, scene),
        table=table,
    )
