"""The figure of the benchmarks: a pure function from the table of points."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

WIDTH, HEIGHT = 7.2, 2.1  # a journal's double column, and one row of panels, inches
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"))  # Okabe and Ito
AXES = {  # panel -> label of x, targets by place on x
    "times quicker than": ("", {0: 30.0, 1: 30.0, 2: 200.0, 3: 200.0}),
    "evaluations a solve": ("", {0: 15.0, 1: 15.0, 2: 5.0, 3: 5.0}),
    "time per market (µs)": ("markets in the batch", {}),
    "time per arc (ns)": ("origins", {}),
    "time per firm added (ns)": ("firms", {}),
}


def figure_of(points: pd.DataFrame) -> Figure:
    """One panel per measure that was taken; `points` has the columns panel, series, x, y."""
    drawn = points[points["y"] > 0.0]  # the axes are logarithmic
    panels = [name for name in AXES if (drawn["panel"] == name).any()]
    rows = max(1, -(-len(panels) // 3))
    figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout="constrained")
    for n, name in enumerate(panels):
        axes = figure.add_subplot(rows, 3, n + 1)
        own = drawn[drawn["panel"] == name]
        label, targets = AXES[name]
        if targets:
            draw_strips(axes, own, targets)
        else:
            draw_curves(axes, own)
            axes.set_xlabel(label, fontsize=7)
        axes.set_title(name, fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_strips(axes: Axes, points: pd.DataFrame, targets: dict[int, float]) -> None:
    """Every instance as a point beside its fellows, and the target as a bar."""
    places: dict[str, int] = {}
    for (name, x), own in points.groupby(["series", "x"], sort=False):
        places[name] = int(x)
        colour, marker = STYLES[int(x) % 2]
        spread = np.linspace(-0.2, 0.2, len(own)) if len(own) > 1 else np.zeros(1)
        axes.plot(x + spread, own["y"], marker, color=colour, markersize=2.5, alpha=0.7)
        axes.hlines(targets[int(x)], x - 0.35, x + 0.35, color="#222222", linestyle=(0, (4, 2)))
    axes.set_xticks(list(places.values()), list(places), fontsize=5.5)
    axes.set_xlim(min(places.values()) - 0.6, max(places.values()) + 0.6)
    axes.set_yscale("log")
    label_ticks(axes.yaxis, points["y"])


def draw_curves(axes: Axes, points: pd.DataFrame) -> None:
    """One line per series, both axes in logarithms."""
    for (name, own), (colour, marker) in zip(
        points.groupby("series", sort=False), STYLES, strict=False
    ):
        axes.plot(own["x"], own["y"], "-", marker=marker, color=colour, markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(points["y"].min() / 2.0, points["y"].max() * 2.0)
    label_ticks(axes.xaxis, points["x"])
    label_ticks(axes.yaxis, points["y"])
    axes.legend(fontsize=6, frameon=False)


def label_ticks(axis: Axis, values: pd.Series) -> None:
    """Plain numbers, at 1, 2 and 5 of each decade where there are few of them."""
    few = values.max() < 100.0 * values.min()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(FuncFormatter(tick_text))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and PDF; the paths written."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        figure.savefig(path, dpi=200)
    return paths


def tick_text(value: float, _: int) -> str:
    power = np.log10(value)
    if value < 1e4 or power % 1.0 > 1e-9:
        return f"{value:,.6g}"
    return f"10$^{{{power:.0f}}}$"
