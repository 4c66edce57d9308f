"""Dependence on non-allied producers: heat maps, member by mineral."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.drawn import Drawn
from experiments.figures.look import DOUBLE, SMALL, style
from experiments.figures.scene import Scene, in_order, mineral_label, ordered, place
from experiments.measures.effects import (
    NO_MEMBERSHIP,
    NO_SHOCK,
    Layout,
    core_members,
    mean_dependence,
    outlined,
)
from experiments.measures.replications import OTHER_MEMBERS


def dependence_heatmap(table: pd.DataFrame, scene: Scene) -> Figure:
    """Member by mineral: non-allied share of purchases, before and after.

    First year without alliance, then the last year without and with each membership. Table:
    membership, period (first | last), year, country, mineral, share (percent).
    """
    memberships = ordered(list(table["membership"]))
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


def drawn_dependence(layout: Layout, by_seed: pd.DataFrame, scene: Scene) -> Drawn:
    """From a table of `dependence_by_seed`."""
    mean = mean_dependence(by_seed)
    order = {c: i for i, c in enumerate(sorted(core_members(layout), key=place(scene)))}
    rank = mean["country"].astype(str).map(order).fillna(len(order))
    mean = mean.loc[rank.sort_values(kind="stable").index].reset_index(drop=True)
    table = in_order(mean, layout, scene)
    others = OTHER_MEMBERS in set(table["country"])
    calm_runs = NO_SHOCK in outlined(layout).shocks
    without = table[table["membership"] == NO_MEMBERSHIP].groupby("period")["share"].mean()
    last = table[table["period"] == "last"].groupby("membership", sort=False)["share"].mean()
    calm = "without a shock" if calm_runs else "under the shock"
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
