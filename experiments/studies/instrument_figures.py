"""Figures of the study of instruments: effects by shock, and what the money buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from abm.config import Instruments
from experiments.figures import BLACK, BLUE, DOUBLE, GREY, SMALL, VERMILION, style
from experiments.measures.indicators import CALM

NAMES = tuple(item.name for item in fields(Instruments))
LABELS = {
    "preferential_tariffs": "Preferential tariffs",
    "joint_procurement": "Joint procurement",
    "stockpiles": "Stockpiles",
    "emergency_release": "Joint emergency response",
    "price_floor": "Price floor",
    "investment_fund": "Investment fund",
    "standards": "Standards and tracing",
    "research": "Research and recycling",
    "retaliation": "Retaliation",
}
PRICE, DEPENDENCE, PUBLIC_COST, NET_COST = "price", "dependence", "public_cost", "net_cost"
HEADS = {
    PRICE: "Landed price\n(%)",
    DEPENDENCE: "Non-allied share\n(points)",
    PUBLIC_COST: "Public cost\n(million US$ a year)",
    NET_COST: "Net cost\n(million US$ a year)",
}
GAINS = {
    PRICE: "Landed price, fall (%)",
    DEPENDENCE: "Non-allied share, fall (points)",
}
PANEL = (3.05, 1.45)  # inches, about: the plot area of a panel of the frontier
NEAR = 0.115  # inches, about: two numbers closer than this would touch
RINGS = (0.12, 0.2, 0.29, 0.39)  # inches from a dot where its number may stand


def shock_label(shock: str) -> str:
    """A shock's name for readers; calm is one of them."""
    return "Licences" if shock == "licence" else shock.replace("_", " ").capitalize()


def instrument_label(instrument: str) -> str:
    """An instrument's name for readers; "all" is the package."""
    return LABELS.get(instrument, "All together")


def _mark(instrument: str) -> str:
    """The number of an instrument in the figure, A for all together."""
    return f"{NAMES.index(instrument) + 1}" if instrument in NAMES else "A"


# ---------------------------------------------------------------- effects by shock


def instruments_figure(found: pd.DataFrame) -> Figure:
    """Rows: calm and shocks, in each the instruments; columns: price, share, public and net cost.

    Table: instrument, role, shock, measure, mean, low, high.
    """
    shocks = list(dict.fromkeys(found["shock"]))
    order = ["all", *(name for name in NAMES if name in set(found["instrument"]))]
    height = 0.9 + len(shocks) * (0.3 + 0.135 * len(order))
    with style():
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        cells = figure.subplots(len(shocks), len(HEADS), sharex="col", sharey=True, squeeze=False)
        for shock, line in zip(shocks, cells, strict=True):
            rows = found[found["shock"] == shock]
            colour = BLUE if shock == CALM else VERMILION
            for axes, measure in zip(line, HEADS, strict=True):
                _panel(axes, rows[rows["measure"] == measure], order, colour)
            line[0].set_title(shock_label(shock), fontsize=SMALL, fontweight="bold")
        for axes, head in zip(cells[-1], HEADS.values(), strict=True):
            axes.set_xlabel(head)
        cells[0, 0].set_yticks(range(len(order)), [instrument_label(name) for name in order])
        cells[0, 0].set_ylim(len(order) - 0.4, -0.6)
        handles = [
            Line2D([], [], ls="none", marker="o", ms=3.5, color="#444444", mfc=face, label=label)
            for label, face in (("Alone", "#444444"), ("Last one added to the package", "white"))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, order: Sequence[str], colour: str) -> None:
    axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
    for role, offset, face in (("alone", -0.18, colour), ("in the package", 0.18, "white")):
        rows = part[part["role"] == role].set_index("instrument").reindex(list(order))
        at = np.arange(len(order)) + offset
        axes.hlines(at, rows["low"], rows["high"], color=colour, lw=0.9, zorder=2)
        axes.plot(
            rows["mean"], at, ls="none", marker="o", ms=2.8, mew=0.7, color=colour, mfc=face,
            zorder=3,
        )  # fmt: skip
    axes.grid(axis="x", color="#e5e5e5", lw=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=SMALL - 0.5)


# ---------------------------------------------------------------- the frontier


def frontier_figure(points: pd.DataFrame) -> Figure:
    """Effect against net cost: a row for calm and for each shock, a column an effect.

    Table: shock, gain, instrument, effect, effect_low, effect_high, cost, cost_low, cost_high,
    frontier.
    """
    shocks = list(dict.fromkeys(points["shock"]))
    with style():
        figure = Figure(figsize=(DOUBLE, 0.9 + 1.85 * len(shocks)), layout="constrained")
        cells = figure.subplots(len(shocks), len(GAINS), squeeze=False)
        for shock, line in zip(shocks, cells, strict=True):
            for (gain, head), axes in zip(GAINS.items(), line, strict=True):
                part = points[(points["shock"] == shock) & (points["gain"] == gain)]
                _frontier_panel(axes, part)
                axes.set_ylabel(head.replace(", ", ",\n"))
            line[0].set_title(shock_label(shock), fontsize=SMALL, fontweight="bold")
        for axes in cells[-1]:
            axes.set_xlabel("Net cost (million US$ a year)")
        handles = [
            Line2D([], [], ls="none", marker=f"${_mark(name)}$", ms=5.0, color=BLACK,
                   label=instrument_label(name))
            for name in dict.fromkeys(points["instrument"])
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _frontier_panel(axes: Axes, part: pd.DataFrame) -> None:
    """Numbered points with both intervals, and the frontier as steps from doing nothing."""
    axes.axhline(0.0, color="#444444", lw=0.6, zorder=1)
    axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
    lead = part["frontier"] == 1
    for rows, colour in ((part[~lead], GREY), (part[lead], BLUE)):
        axes.hlines(rows["effect"], rows["cost_low"], rows["cost_high"], color=colour, lw=0.6)
        axes.vlines(rows["cost"], rows["effect_low"], rows["effect_high"], color=colour, lw=0.6)
        axes.plot(rows["cost"], rows["effect"], ls="none", marker="o", ms=3.0, color=colour,
                  zorder=3)  # fmt: skip
    steps = part[lead].sort_values("cost")[["cost", "effect"]].to_numpy()
    if (part.loc[lead, "cost"] > 0.0).all():
        steps = np.concatenate([np.zeros((1, 2)), steps])
    axes.plot(*steps.T, color=BLUE, lw=1.0, ls=(0, (4, 1.5)), drawstyle="steps-post", zorder=2)
    axes.margins(0.1)
    _number_points(axes, part)


def _number_points(axes: Axes, part: pd.DataFrame) -> None:
    """The number of each instrument beside its dot, with a line where that is not next to it."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    scale = np.array(PANEL) / (high - low)
    dots = (part[["cost", "effect"]].to_numpy() - low) * scale
    for row, dot, place in zip(part.to_dict("records"), dots, number_places(dots), strict=True):
        colour = BLUE if row["frontier"] else "#444444"
        (x0, y0), (x, y) = dot / scale + low, place / scale + low
        if np.hypot(*(place - dot)) > RINGS[0] + 1e-9:
            axes.plot([x0, x], [y0, y], color=colour, lw=0.4, zorder=4)
        axes.text(
            x, y, _mark(row["instrument"]), fontsize=SMALL, ha="center", va="center_baseline",
            zorder=6, color=colour, fontweight="bold" if row["frontier"] else "normal",
            bbox={"boxstyle": "circle,pad=0.08", "fc": "white", "ec": "none", "alpha": 0.85},
        )  # fmt: skip
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])


def number_places(dots: np.ndarray) -> np.ndarray:
    """Where to write the numbers of dots so that none covers another or a dot.

    Parameters
    ----------
    dots
        [dot, 2] inches within a panel.

    Returns
    -------
    np.ndarray
        [dot, 2] inches: the free place nearest to each dot, on rings around it; where none is
        free, the one with most room.
    """
    angles = np.pi / 4.0 * np.array([1, 3, 7, 5, 2, 0, 6, 4])
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = np.concatenate([radius * around for radius in RINGS])
    taken = np.empty((0, 2))
    for dot in dots:
        places = dot + rings
        inside = ((places > NEAR / 2) & (places < np.array(PANEL) - NEAR / 2)).all(axis=1)
        others = np.concatenate([taken, dots])
        room = np.hypot(*(places[:, None] - others).transpose(2, 0, 1)).min(axis=1)
        free = inside & (room >= NEAR)
        best = int(free.argmax()) if free.any() else int(np.where(inside, room, -1.0).argmax())
        taken = np.concatenate([taken, places[best : best + 1]])
    return taken
