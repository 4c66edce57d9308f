"""Phase diagrams: severity of a control against coverage of the alliance, with the frontier."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from experiments.figures import BLACK, DOUBLE, SMALL, VERMILION, mineral_label, style
from experiments.phase.frontier import LOSES, PAYS

HEADS = {
    "members_price": "Price members pay (%)",
    "dependence": "Members’ non-allied share (points)",
    "gain": "Producer’s gain (million US$ a year)",
}
DIVERGING, RISING, FALLING = "PuOr_r", "YlGnBu", "YlGnBu_r"
COLUMNS = 3  # panels a row
DARK = 0.45  # luminance below which a label is white
CROSSINGS = {"up_to": ("-", BLACK), "from": ((0, (3, 1.5)), VERMILION)}


def phase_figure(table: pd.DataFrame) -> Figure:
    """Price, dependence and the producer's gain over the grid, each with the frontier.

    Table: measure (members_price | dependence | gain), members, coverage (percent), severity, mean,
    and of the frontier kind, up_to, up_to_low, up_to_high, from, from_low and from_high.
    """
    measures = [name for name in HEADS if name in set(table["measure"])]
    with style():
        figure = Figure(figsize=(DOUBLE, 2.9), layout="constrained")
        cells = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axes, measure in zip(cells, measures, strict=True):
            part = table[table["measure"] == measure]
            draw_panel(axes, part, centred=measure == "gain")
            axes.set_title(HEADS[measure], fontsize=SMALL)
        finish(figure, [cells[0]], [cells[len(measures) // 2]])
        figure.legend(handles=key(table), loc="outside lower center", ncols=5)
    return figure


def frontier_figure(table: pd.DataFrame) -> Figure:
    """The producer's gain over the grid, one panel a mineral, each with its frontier.

    Table: mineral and, for the gain, the columns of `phase_figure`.
    """
    minerals = list(dict.fromkeys(table["mineral"]))
    columns = min(COLUMNS, len(minerals))
    rows = -(-len(minerals) // columns)
    with style():
        size = (DOUBLE, 0.75 + 2.15 * rows)
        figure = Figure(figsize=size, layout="constrained")
        cells = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for number, axes in enumerate(cells.reshape(-1)):
            if number >= len(minerals):
                axes.set_axis_off()
                continue
            draw_panel(axes, table[table["mineral"] == minerals[number]], centred=True)
            axes.set_title(mineral_label(minerals[number]), fontsize=SMALL)
            axes.tick_params(labelbottom=number + columns >= len(minerals))
        flat = cells.reshape(-1)
        finish(figure, list(cells[:, 0]), list(flat[max(len(minerals) - columns, 0) :][:columns]))
        words = {"title": HEADS["gain"], "title_fontsize": SMALL}
        if len(minerals) < flat.size:
            flat[len(minerals)].legend(handles=key(table), loc="center", handlelength=1.6, **words)
        else:
            figure.legend(handles=key(table), loc="outside lower center", ncols=2, **words)
    return figure


def draw_panel(axes: Axes, part: pd.DataFrame, centred: bool) -> None:
    """Cells labelled with their means; colours centred on zero, or from the least to the most."""
    grid = part.pivot(index="severity", columns="coverage", values="mean").sort_index()
    values = grid.to_numpy()
    coverage, severity = grid.columns.to_numpy(), grid.index.to_numpy()
    colours, scale = palette(values, centred)
    edges = np.arange(len(coverage) + 1) - 0.5
    crossed = part.groupby("coverage")[list(CROSSINGS)].first().notna().any(axis=1).to_numpy()
    axes.pcolormesh(
        edges, severity_edges(severity), values, cmap=colours, norm=scale, lw=0.4, ec="white"
    )
    for row, level in enumerate(severity):
        for column in range(len(coverage)):
            face = colours(scale(values[row, column]))
            aside = crossed[column]  # the frontier runs through the middle of the cells
            axes.text(
                column - 0.46 * aside, level, short(values[row, column]),
                ha="left" if aside else "center", va="center", zorder=4,
                path_effects=[withStroke(linewidth=1.5, foreground=face)] if aside else None,
                fontsize=SMALL - 1.0, color="white" if luminance(face) < DARK else "#222222",
            )  # fmt: skip
    circles = part[["members", "coverage"]].drop_duplicates().sort_values("coverage")
    names = [f"{share:.0f}\n{count}" for count, share in circles.itertuples(index=False)]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(severity, [f"{s:g}" for s in severity])
    axes.tick_params(length=0, labelsize=SMALL)
    for side in axes.spines.values():
        side.set_visible(False)
    draw_frontier(axes, part, severity_edges(severity))


def palette(values: np.ndarray, centred: bool) -> tuple[Colormap, Normalize]:
    """Colours of a panel: purple to orange around zero, else the darker the further from zero."""
    low, high = float(values.min()), float(values.max())
    if centred:
        most = max(abs(low), abs(high), 1e-12)
        return mpl.colormaps[DIVERGING], TwoSlopeNorm(0.0, -most, most)
    name = FALLING if abs(low) > abs(high) else RISING
    return mpl.colormaps[name], Normalize(min(low, 0.0), max(high, 0.0))


def severity_edges(severity: np.ndarray) -> np.ndarray:
    """Edges of the rows: halfway between severities."""
    middle = 0.5 * (severity[1:] + severity[:-1])
    first, last = severity[0] - middle[0], severity[-1] - middle[-1]
    return np.concatenate([[severity[0] + first], middle, [severity[-1] + last]])


def draw_frontier(axes: Axes, part: pd.DataFrame, edges: np.ndarray) -> None:
    """The contour of zero gain with its band; a triangle where it lies beyond the grid."""
    rows = part.drop_duplicates("coverage").sort_values("coverage").reset_index(drop=True)
    for name, (dash, colour) in CROSSINGS.items():
        known = rows[name].notna()
        if not known.any():
            continue
        at, here = np.flatnonzero(known), rows[known]
        ends = [here[f"{name}_{end}"].clip(edges[0], edges[-1]) for end in ("low", "high")]
        axes.fill_between(at, *ends, color=colour, alpha=0.22, lw=0)
        axes.vlines(at, *ends, color=colour, lw=0.8, alpha=0.8)
        axes.plot(
            at, here[name], color=colour, ls=dash, lw=1.4, marker="o", ms=3.5, mec="white", mew=0.5
        )
    for kind, place, mark in ((PAYS, edges[-1], "^"), (LOSES, edges[0], "v")):
        at = np.flatnonzero(rows["kind"] == kind)
        axes.plot(at, np.full(at.size, place), mark, color=BLACK, ms=4.5, clip_on=False, ls="none")


def finish(figure: Figure, left: list[Axes], below: list[Axes]) -> None:
    """Names of the axes."""
    for axes in left:
        axes.set_ylabel("Severity of the control")
    for axes in below:
        if axes.axison:
            axes.set_xlabel("Coverage (% of use abroad)\nMembers")


def key(table: pd.DataFrame) -> list[Line2D | Patch]:
    """What the lines and marks of a table mean."""
    names = {
        "up_to": "Pays below, no more above",
        "from": "Pays above only",
    }
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=CROSSINGS[n][1], ls=CROSSINGS[n][0], marker="o", ms=3.0, label=text)
        for n, text in names.items()
        if table[n].notna().any()
    ]
    if handles:
        handles.append(Patch(color=BLACK, alpha=0.22, lw=0, label="80 % band"))
    for kind, mark, text in ((PAYS, "^", "Pays at any severity"), (LOSES, "v", "Pays at none")):
        if (table["kind"] == kind).any():
            handles.append(Line2D([], [], color=BLACK, ls="none", marker=mark, ms=4.5, label=text))
    return handles


def short(value: float) -> str:
    """A number for a small cell."""
    size = abs(value)
    if size >= 9950:
        text = f"{value / 1000:.0f}k"
    else:
        text = f"{value:.0f}" if size >= 9.95 else f"{value:.1f}"
    return text.replace("-0.0", "0.0").replace("-", "−")


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of a colour, 0 to 1 (weights of Rec. 709)."""
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]
