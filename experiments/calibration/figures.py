"""Figures of a calibration: each a pure function from a tidy table to a `Figure`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures import BLACK, BLUE, DOUBLE, GREY, ORANGE, VERMILION, style

PANELS = 4  # in a row
BINS = 14
ROW = 0.16  # inches a row of a list takes
WIDEST = 6.0  # deviations at which errors are cut in a figure
DASHED: Any = (0, (2, 2))


def settings_figure(draws: pd.DataFrame, settings: pd.DataFrame) -> Figure:
    """Prior and posterior of every setting, with its default.

    Parameters
    ----------
    draws
        One column a setting, one row a draw.
    settings
        Columns setting, low, high, default, log (whether the prior is flat in the log).
    """
    rows = -(-len(settings) // PANELS)
    with style():
        figure = Figure(figsize=(DOUBLE, 1.15 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, PANELS, squeeze=False).ravel()
        for axes, (_, line) in zip(grid, settings.iterrows(), strict=False):
            _setting_panel(axes, draws[line["setting"]].to_numpy(float), line)
        for axes in grid[len(settings) :]:
            axes.set_axis_off()
        keys = [
            Line2D([], [], color=GREY, linewidth=4, alpha=0.4, label="prior"),
            Line2D([], [], color=BLUE, linewidth=4, label="posterior"),
            Line2D([], [], color=VERMILION, linestyle=DASHED, label="default"),
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=3)
    return figure


def _setting_panel(axes: Axes, values: np.ndarray, line: pd.Series) -> None:
    low, high = line["low"], line["high"]
    edges = np.geomspace(low, high, BINS + 1) if line["log"] else np.linspace(low, high, BINS + 1)
    shares = np.histogram(values, edges)[0] / len(values)
    axes.fill_between([low, high], 1.0 / BINS, color=GREY, alpha=0.3, linewidth=0)
    axes.stairs(shares, edges, fill=True, color=BLUE, alpha=0.75)
    axes.axvline(line["default"], color=VERMILION, linestyle=DASHED, linewidth=1.0)
    if line["log"]:
        axes.set_xscale("log")
        axes.minorticks_off()
    marks = [low, high]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.set_yticks([])
    axes.set_title(line["setting"].rpartition(".")[2].replace("_", " "), fontsize=7.0)


def correlation_figure(table: pd.DataFrame) -> Figure:
    """Correlations of the settings. Table: setting, other, correlation."""
    names = list(dict.fromkeys(table["setting"]))
    matrix = table.pivot(index="setting", columns="other", values="correlation")
    values = matrix.loc[names, names].to_numpy()
    labels = [name.rpartition(".")[2].replace("_", " ") for name in names]
    places = np.arange(len(names))
    with style():
        figure = Figure(figsize=(DOUBLE, DOUBLE * 0.82), layout="constrained")
        axes = figure.subplots()
        mesh = axes.pcolormesh(values, cmap="RdBu_r", vmin=-1.0, vmax=1.0, rasterized=True)
        axes.set_xticks(places + 0.5, labels, rotation=90)
        axes.set_yticks(places + 0.5, labels)
        axes.invert_yaxis()
        figure.colorbar(mesh, ax=axes, label="correlation in the posterior", shrink=0.6)
    return figure


def predictive_figure(table: pd.DataFrame) -> Figure:
    """Errors of every figure under prior and posterior.

    Table: episode, figure, used_for; and, in standard deviations of all that is uncertain,
    p10, median, p90 of prior and posterior as prior_p10 and so on.
    """
    with style():
        figure = Figure(figsize=(DOUBLE, ROW * (len(table) + 6)), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(table))
        for run, shift, colour in (("prior", -0.18, ORANGE), ("posterior", 0.18, BLUE)):
            low, middle, high = (
                np.clip(table[f"{run}_{key}"].to_numpy(float), -WIDEST, WIDEST)
                for key in ("p10", "median", "p90")
            )
            axes.hlines(places + shift, low, high, color=colour, linewidth=1.4)
            axes.plot(middle, places + shift, "o", color=colour, markersize=2.8)
        axes.axvline(0.0, color=BLACK, linewidth=0.8)
        axes.axvspan(-2.0, 2.0, color=GREY, alpha=0.15, linewidth=0)
        starts = np.flatnonzero(table["episode"].ne(table["episode"].shift()))
        for start in starts[1:]:
            axes.axhline(start - 0.5, color=GREY, linewidth=0.6)
        axes.set_yticks(places, _figure_labels(table))
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlim(-WIDEST, WIDEST)
        axes.set_xlabel("simulated over observed, standard deviations (80 % band and median)")
        keys = [
            Line2D([], [], color=ORANGE, marker="o", markersize=3, label="prior"),
            Line2D([], [], color=BLUE, marker="o", markersize=3, label="posterior"),
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=2)
    return figure


def _figure_labels(table: pd.DataFrame) -> list[str]:
    words = table["figure"].str.replace("_", " ")
    return list(words + np.where(table["used_for"] == "check", " (not fitted)", ""))


def left_out_figure(table: pd.DataFrame) -> Figure:
    """Misfit of each episode by what was fitted on. Table: episode, prior, default, without, all.

    Misfit is the mean capped square of the errors of figures in standard deviations.
    """
    looks = {
        "prior": (ORANGE, "^", "prior"),
        "default": (GREY, "D", "defaults"),
        "without": (VERMILION, "s", "fitted on the other episodes"),
        "all": (BLUE, "o", "fitted on all"),
    }
    with style():
        figure = Figure(figsize=(DOUBLE, 0.4 * len(table) + 0.9), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(table))
        for name, (colour, marker, _) in looks.items():
            axes.plot(table[name], places, marker, color=colour, markersize=5)
        axes.set_yticks(places, _spaced(table["episode"]))
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlim(0.0, max(1.0, float(table[list(looks)].max().max()) * 1.1))
        axes.set_xlabel("median misfit: mean squared error of figures, in deviations, capped")
        keys = [
            Line2D([], [], linestyle="", color=colour, marker=marker, label=label)
            for colour, marker, label in looks.values()
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=4)
    return figure


def _spaced(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]
