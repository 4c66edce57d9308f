"""Prices over time: landed prices under the shock, and the gap to the exporter's home price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.figures.drawn import Drawn
from experiments.figures.look import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    circle_style,
    dates,
    mark_events,
    mineral_grid,
    plain_number,
    price_axis,
    style,
)
from experiments.figures.scene import Scene, begun, in_order, mineral_label, ordered, place
from experiments.measures.effects import (
    HOME,
    MEMBERS,
    NO_MEMBERSHIP,
    OUTSIDERS,
    Layout,
    core_members,
    home_gap_of,
    memberships_in,
    seed_bands,
)

NARROW, WIDE = "#c9c9c9", "#e6e6e6"  # what holds 80 and 95 % of seeds
EDGE = 0.5  # width of the lines between which 80 % of seeds lie
OUTSIDERS_DASH: Any = (0, (6, 1.5, 1, 1.5))


def price_paths(table: pd.DataFrame, scene: Scene) -> Figure:
    """A panel a shocked mineral: members' landed price by membership, outsiders', exporter's home.

    Table: mineral, group (members | outsiders | home), membership, month, median, p025, p10, p90,
    p975 in usd/kg. Shades: 80 and 95 % of seeds of the first membership (without the alliance);
    thin lines: 80 % of seeds of each other. Shades of several would mix to a colour of none.
    """
    minerals = [m for m in scene.shock_minerals if m in set(table["mineral"])]
    memberships = ordered(list(table["membership"]))
    styles = circle_style(memberships)
    with style():
        figure, cells = mineral_grid(minerals, _price_key(memberships, styles, scene))
        for number, (mineral, axes) in enumerate(zip(minerals, cells, strict=True)):
            _price_panel(axes, table[table["mineral"] == mineral], memberships, styles)
            mark_events(axes, scene.events, named=number == 0)
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
        if membership == memberships[0]:
            axes.fill_between(at, line["p025"], line["p975"], color=WIDE, lw=0, zorder=0.5)
            axes.fill_between(at, line["p10"], line["p90"], color=NARROW, lw=0, zorder=0.6)
        else:
            edges = line[["p10", "p90"]].to_numpy()
            axes.plot(at, edges, color=colour, lw=EDGE, zorder=1.5)
        axes.plot(at, line["median"], color=colour, linestyle=dash, lw=1.2)
    drawn = np.concatenate([values.reshape(-1) for values in shown])
    price_axis(axes, float(drawn.min()), float(drawn.max()))


def membership_lines(
    memberships: Sequence[str],
    styles: Mapping[str, tuple[str, Any, str]],
    scene: Scene,
    before: str = "",
) -> list[Line2D]:
    """Entries of a key, one a membership."""
    labels = [begun(before + scene.membership_label(m)) for m in memberships]
    return [
        Line2D([], [], color=styles[m][0], linestyle=styles[m][1], lw=1.2, label=label)
        for m, label in zip(memberships, labels, strict=True)
    ]


def _price_key(
    memberships: Sequence[str], styles: Mapping[str, tuple[str, Any, str]], scene: Scene
) -> list[Line2D | Patch]:
    home = scene.names.get(scene.exporter, scene.exporter)
    return [
        *membership_lines(memberships, styles, scene, "Members pay, "),
        Line2D([], [], color=GREEN, linestyle=OUTSIDERS_DASH, lw=0.9, label="Outsiders pay"),
        Line2D([], [], color=PURPLE, lw=1.6, label=f"Home price, {home}"),
        *_seeds_key(memberships, scene),
    ]


def _seeds_key(memberships: Sequence[str], scene: Scene) -> list[Line2D | Patch]:
    """Whose seeds shades and thin lines hold."""
    without = memberships[0] == NO_MEMBERSHIP
    first = "without" if without else scene.membership_label(memberships[0])
    shades = ((NARROW, "80"), (WIDE, "95"))
    found: list[Line2D | Patch] = [
        Patch(color=colour, lw=0, label=f"{share} % of seeds, {first}") for colour, share in shades
    ]
    if len(memberships) > 1:
        found.append(Line2D([], [], color=BLUE, lw=EDGE, label="80 % of seeds, with"))
    return found


def home_gap(table: pd.DataFrame, scene: Scene) -> Figure:
    """Members' landed price over the exporter's home price, one panel a mineral.

    Table: mineral, membership, month, median, p10, p90 (a multiple).
    """
    minerals = [m for m in scene.shock_minerals if m in set(table["mineral"])]
    memberships = ordered(list(table["membership"]))
    styles = circle_style(memberships)
    low, high = min(1.0, float(table["p10"].min())), float(table["p90"].max())
    with style():
        handles = [
            *membership_lines(memberships, styles, scene),
            Patch(color=GREY, alpha=0.35, lw=0, label="80 % of seeds"),
        ]
        figure, cells = mineral_grid(minerals, handles)
        for number, (mineral, axes) in enumerate(zip(minerals, cells, strict=True)):
            for membership in memberships:
                colour, dash, _ = styles[membership]
                line = table[(table["mineral"] == mineral) & (table["membership"] == membership)]
                at = dates(line["month"])
                axes.fill_between(at, line["p10"], line["p90"], color=colour, alpha=0.18, lw=0)
                axes.plot(at, line["median"], color=colour, linestyle=dash, lw=1.2)
            axes.axhline(1.0, color=GREY, lw=0.6)
            mark_events(axes, scene.events, named=number == 0)
            price_axis(axes, low, high)
            if axes.get_yscale() != "log":
                axes.set_ylim(0.9 * low, 1.05 * high)
            if number % 3 == 0:
                axes.set_ylabel("Members' price over\nexporter's home price (×)")
    return figure


def drawn_paths(layout: Layout, prices: pd.DataFrame, scene: Scene) -> Drawn:
    """From a table of `price_series`."""
    table = in_order(seed_bands(prices, "usd_per_kg"), layout, scene)
    inside = sorted(core_members(layout), key=place(scene))
    core = ", ".join(scene.names.get(c, c) for c in inside)
    widest = scene.membership_label(([NO_MEMBERSHIP, *memberships_in(layout)])[-1])
    home = scene.names.get(scene.exporter, scene.exporter)
    return Drawn(
        name="price_paths",
        title="Landed prices under the shock",
        caption=f"Price of the refined product under the shock: what members pay on delivery "
        f"with and without the alliance (the countries inside every circle: {core}), what "
        f"outsiders pay and the home price in {home} (both with the alliance: {widest}). Lines "
        "are medians over seeds; shades hold 80 and 95 % of the seeds without the alliance, thin "
        "lines of a circle’s colour 80 % of those with it; vertical lines date the shock. "
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
        opens = plain_number(members["median"].iloc[0])
        peak = members.loc[members["median"].idxmax()]
        parts.append(
            f"{mineral_label(mineral)}: without alliance members' price opens at "
            f"{opens} and peaks at {plain_number(peak['median'])} US$ per kg in {peak['month']}, "
            f"the home price ends at {plain_number(home['median'].iloc[-1])}."
        )
    return " ".join(["Line charts of monthly prices, one a mineral.", *parts])


def drawn_gap(layout: Layout, prices: pd.DataFrame, scene: Scene) -> Drawn:
    """From a table of `price_series`."""
    table = in_order(seed_bands(home_gap_of(prices), "gap"), layout, scene)
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
