"""One look for all figures: sizes, colours, type, axes of time and price, marks of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.dates import MICROSECONDLY, YEARLY, AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from experiments.figures.scene import mineral_label
from experiments.measures.effects import NO_MEMBERSHIP

SINGLE, DOUBLE = 89 / 25.4, 183 / 25.4  # inches: a journal's columns
SMALL, NORMAL = 7.0, 8.0
NEAR = 0.36  # of the time shown: an event that follows sooner leaves no room for a label

BLACK, BLUE, VERMILION, GREEN = "#222222", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, GREY = "#CC79A7", "#E69F00", "#56B4E9", "#777777"
CIRCLE_STYLES: tuple[tuple[str, Any, str], ...] = (
    (BLUE, "-", "o"),
    (VERMILION, (0, (5, 1.5)), "s"),
    (SKY, (0, (3, 1, 1, 1)), "D"),
    (ORANGE, (0, (1, 1)), "^"),
    (PURPLE, (0, (6, 1, 1, 1, 1, 1)), "v"),
)
NEGLIGIBLE = 5e-3  # percent or percentage points: no reader could see it


@contextmanager
def style() -> Iterator[None]:
    settings: dict[str, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": SMALL,
        "axes.titlesize": NORMAL,
        "axes.labelsize": SMALL,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "axes.linewidth": 0.6,
        "axes.edgecolor": "#444444",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "savefig.facecolor": "white",
    }
    with mpl.rc_context():
        mpl.rcParams.update(sns.axes_style("ticks"))
        mpl.rcParams.update(settings)  # type: ignore[arg-type]
        yield


def circle_style(memberships: Sequence[str]) -> dict[str, tuple[str, Any, str]]:
    """Colour, dash and marker of every membership; `none` is black and dotted."""
    circles = [m for m in memberships if m != NO_MEMBERSHIP]
    styles = {m: CIRCLE_STYLES[i % len(CIRCLE_STYLES)] for i, m in enumerate(circles)}
    return {NO_MEMBERSHIP: (BLACK, (0, (1.2, 1.2)), "x"), **styles}


def dates(months: pd.Series) -> Any:
    return pd.to_datetime(months.astype(str), format="%Y-%m").to_numpy()


def years_axis(axes: Axes, most: int = 6) -> None:
    """A few dates below, of years `most` at most: fewer where panels are narrow."""
    locator = AutoDateLocator(
        minticks=3, maxticks={**dict.fromkeys(range(MICROSECONDLY + 1), 6), YEARLY: most}
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.tick_params(labelsize=SMALL)


def mark_events(axes: Axes, events: Mapping[str, str], named: bool) -> None:
    """Thin lines at dated events before the end, named above the panel that carries names."""
    end = np.datetime64(num2date(axes.dataLim.x1).replace(tzinfo=None))
    dated = sorted(events.items(), key=lambda item: item[1])
    dated = [(label, month) for label, month in dated if np.datetime64(month) <= end]
    at = dates(pd.Series([month for _, month in dated], dtype=str))
    near = np.diff(at) < NEAR * (
        end - np.datetime64(num2date(axes.dataLim.x0).replace(tzinfo=None))
    )
    for number, (label, _) in enumerate(dated):
        axes.axvline(at[number], color=GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
        if not named:
            continue
        # Leave the room to the right of the line to an event that follows soon; between two that
        # are near there is room only below.
        crowded, between = near[number : number + 1].any(), near[max(number - 1, 0) : number].any()
        beside, below = crowded and not between, crowded and between
        axes.annotate(
            label,
            (at[number], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-1.5 if beside else 1.5, -1.5 if below else 1.5),
            textcoords="offset points",
            ha="right" if beside else "left",
            va="top" if below else "bottom",
            fontsize=SMALL,
            color="#555555",
        )


def plain_number(value: float, _: object = None) -> str:
    """A number of an axis without needless digits."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def price_axis(axes: Axes, low: float, high: float) -> None:
    """Logarithmic where prices span more than a factor of six, else from zero."""
    if low > 0.0 and high / low > 6.0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 60 else (1, 3)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.minorticks_off()
        axes.set_ylim(low / 1.15, high * 1.15)
    else:
        axes.set_ylim(0.0, high * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))


def mineral_grid(minerals: Sequence[str], handles: Sequence[Any]) -> tuple[Figure, list[Axes]]:
    """Up to three panels a row, each named after its mineral; the key in a spare cell or below."""
    columns = min(3, max(len(minerals), 1))
    rows = -(-len(minerals) // columns)
    size = (DOUBLE if columns > 1 else SINGLE, 2.1 * rows + (0.5 if rows == 1 else 0.0))
    figure = Figure(figsize=size, layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False, sharex=True)
    flat = list(cells.reshape(-1))
    for number, axes in enumerate(flat):
        if number < len(minerals):
            axes.set_title(mineral_label(minerals[number]), pad=12 if number < columns else 6)
            years_axis(axes)
            axes.tick_params(labelbottom=number + columns >= len(minerals))
        else:
            axes.set_axis_off()
    if len(minerals) < len(flat):
        flat[len(minerals)].legend(handles=handles, loc="center left", handlelength=2.6)
    else:
        below = 3 if columns > 1 else 2
        figure.legend(
            handles=handles, loc="outside lower center", ncols=below, handlelength=2.6,
            columnspacing=1.2,
        )  # fmt: skip
    return figure, flat[: len(minerals)]
