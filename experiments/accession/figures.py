"""Figures of the study of accession: each from its saved table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.accession.values import (
    CANDIDATE,
    DEPENDENCE,
    ITSELF,
    MEMBERS,
    OTHER_MEMBERS,
    PRICE,
    RECEIVED,
    TOGETHER,
    WELFARE,
)
from experiments.figures import BLACK, BLUE, DOUBLE, GREY, ORANGE, SMALL, style
from experiments.figures import mineral_label as label_of
from experiments.measures.effects import ALL
from experiments.measures.indicators import CALM, CRISIS

HEADS = {
    PRICE: "Members’ price\n(% of their bill)",
    DEPENDENCE: "Members’ non-allied share\n(percentage points)",
    WELFARE: "Members’ welfare\n(million US$ a year)",
}
WHEN = {CALM: "calm", CRISIS: "under the shock"}
JOINING = {
    (PRICE, MEMBERS): "Price that present\nmembers pay (%)",
    (PRICE, CANDIDATE): "Price that the\ncandidate pays (%)",
    (DEPENDENCE, MEMBERS): "Non-allied share of\nmembers (points)",
    (WELFARE, TOGETHER): "Welfare of all of them\n(million US$ a year)",
}
SHOWN = 16  # candidates in the figure


def shapley_bars(table: pd.DataFrame) -> Figure:
    """What each member brings, to itself and to the others, and what it receives from all.

    Table: `values.shapley_table` with `name`; a panel for each measure, in calm and under the
    shock.
    """
    rows = table[(table["mineral"] == ALL) & (table["player"] != ALL)]
    shocks = [shock for shock in (CALM, CRISIS) if shock in set(rows["shock"])]
    order = _by_size(rows[(rows["measure"] == PRICE) & (rows["part"] == MEMBERS)], "name")
    with style():
        height = 0.9 + len(shocks) * (0.55 + 0.19 * len(order))
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        cells = figure.subplots(len(shocks), len(HEADS), squeeze=False, sharey=True)
        for shock, line in zip(shocks, cells, strict=True):
            for axes, (measure, head) in zip(line, HEADS.items(), strict=True):
                chosen = rows[(rows["shock"] == shock) & (rows["measure"] == measure)]
                _bars(axes, chosen, order)
                if shock == shocks[-1]:
                    axes.set_xlabel(head)
            line[0].set_title(WHEN[shock].capitalize())
            line[0].set_yticks(range(len(order)), order)
            line[0].set_ylim(len(order) - 0.4, -0.6)
        figure.legend(handles=_bar_key(), loc="outside lower center", ncols=4)
    return figure


def _bar_key() -> list[Line2D | Patch]:
    return [
        Patch(color=BLUE, label="Brings to itself"),
        Patch(color=ORANGE, label="Brings to other members"),
        Line2D([], [], color=BLACK, marker="o", ms=3.0, lw=1.0, label="Brings in all, 95 %"),
        Line2D(
            [], [], color=BLACK, marker="D", ms=3.0, mfc="white", mew=0.7, ls="none",
            label="Receives from all",
        ),
    ]  # fmt: skip


def _bars(axes: Axes, rows: pd.DataFrame, order: Sequence[str]) -> None:
    mean = rows.pivot(index="name", columns="part", values="mean").reindex(list(order))
    at, gains, losses = np.arange(len(order)), *np.zeros((2, len(order)))
    for part, colour in ((ITSELF, BLUE), (OTHER_MEMBERS, ORANGE)):
        values = mean[part].to_numpy()
        axes.barh(
            at,
            values,
            left=np.where(values > 0, gains, losses),
            height=0.62,
            lw=0,
            color=colour,
            zorder=2,
        )
        gains, losses = gains + np.maximum(values, 0.0), losses + np.minimum(values, 0.0)
    whole = rows[rows["part"] == MEMBERS].set_index("name").reindex(list(order))
    axes.hlines(at, whole["low"], whole["high"], color=BLACK, lw=1.0, zorder=3)
    axes.plot(whole["mean"], at, ls="none", marker="o", ms=3.0, color=BLACK, zorder=4)
    axes.plot(
        mean[RECEIVED], at, ls="none", marker="D", ms=3.0, mfc="white", mec=BLACK, mew=0.7, zorder=5
    )
    axes.use_sticky_edges = False  # bars would end the panel at zero, and cut its marks in two
    _zero_line(axes)


def _zero_line(axes: Axes) -> None:
    axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
    axes.grid(axis="x", color="#e5e5e5", lw=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _by_size(rows: pd.DataFrame, column: str) -> list[str]:
    """Names by the mean of the last shock, the lowest first."""
    last = rows[rows["shock"] == list(rows["shock"])[-1]]
    return [str(name) for name in last.sort_values("mean", kind="stable")[column]]


def pairs_heatmap(table: pd.DataFrame) -> Figure:
    """Who brings what to whom, under the shock: price, and welfare.

    Table: `values.pairs_table` with `name` and `to_name`.
    """
    rows = table[(table["mineral"] == ALL) & (table["shock"] == list(table["shock"])[-1])]
    heads = {PRICE: "Price (% of all members’ bill)", WELFARE: "Welfare (million US$ a year)"}
    return _heat(rows, "to_name", heads, str, "brings to …")


def minerals_heatmap(table: pd.DataFrame) -> Figure:
    """What each member brings to all members by mineral, under the shock: price and welfare.

    Table: `values.shapley_table` with `name`.
    """
    rows = table[
        (table["mineral"] != ALL)
        & (table["player"] != ALL)
        & (table["part"] == MEMBERS)
        & (table["shock"] == list(table["shock"])[-1])
    ]
    heads = {PRICE: "Price (% of members’ bill)", WELFARE: "Welfare (million US$ a year)"}
    return _heat(rows, "mineral", heads, label_of, "")


def _heat(
    rows: pd.DataFrame,
    column: str,
    heads: dict[str, str],
    label: Callable[[str], str],
    below: str,
) -> Figure:
    """Players by columns, a panel for each measure; good is blue, bad is red."""
    names = list(dict.fromkeys(rows["name"]))
    columns = list(dict.fromkeys(rows[column]))
    with style():
        figure = Figure(figsize=(DOUBLE, 1.3 + 0.24 * len(names)), layout="constrained")
        cells = figure.subplots(1, len(heads), sharey=True)
        for axes, (measure, head) in zip(cells, heads.items(), strict=True):
            chosen = rows[rows["measure"] == measure]
            wide = chosen.pivot(index="name", columns=column, values="mean").loc[names, columns]
            reach = float(np.nanmax(np.abs(wide.to_numpy()))) or 1.0
            sns.heatmap(
                wide, ax=axes, cmap="RdBu_r" if measure == PRICE else "RdBu", vmin=-reach,
                vmax=reach, annot=_figures(wide), fmt="", cbar=False, linewidths=0.5,
                annot_kws={"fontsize": SMALL - 1.0},
            )  # fmt: skip
            axes.set_xticklabels([label(c) for c in columns], rotation=45, ha="right")
            axes.set_title(head)
            axes.set_xlabel(below)
            axes.set_ylabel("")
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
    return figure


def _figures(wide: pd.DataFrame) -> np.ndarray:
    """The numbers of a heat map; what rounds to nothing is left blank."""
    reach = np.abs(wide.to_numpy()).max()
    digits = 0 if reach >= 20 else 1 if reach >= 2 else 2
    text = np.vectorize(lambda v: f"{v:+.{digits}f}".replace("-", "−"))(wide.to_numpy())
    zero = np.vectorize(lambda v: round(v, digits) == 0.0)(wide.to_numpy())
    found: np.ndarray = np.where(zero, "", text)
    return found


def candidates_ranking(table: pd.DataFrame) -> Figure:
    """Who should join next: effect of each candidate on the circle and on itself.

    Table: `values.candidates_table` with `name` and `rank`; filled where the 95 % interval leaves
    out zero. The best comes first.
    """
    ranked = table.sort_values("rank", kind="stable")
    order = list(dict.fromkeys(ranked["name"]))[:SHOWN]
    shocks = [shock for shock in (CALM, CRISIS) if shock in set(table["shock"])]
    colours = {CALM: GREY, CRISIS: BLUE}
    with style():
        figure = Figure(figsize=(DOUBLE, 0.95 + 0.19 * len(order)), layout="constrained")
        cells = figure.subplots(1, len(JOINING), sharey=True)
        for axes, ((measure, part), head) in zip(cells, JOINING.items(), strict=True):
            for number, shock in enumerate(shocks):
                rows = table[
                    (table["measure"] == measure)
                    & (table["part"] == part)
                    & (table["shock"] == shock)
                ]
                at = np.arange(len(order)) + 0.3 * (number - (len(shocks) - 1) / 2)
                _dots(axes, rows.set_index("name").reindex(order), at, colours[shock])
            _zero_line(axes)
            axes.set_xlabel(head)
        cells[0].set_yticks(range(len(order)), [f"{n + 1}  {c}" for n, c in enumerate(order)])
        cells[0].set_ylim(len(order) - 0.4, -0.6)
        handles = [
            Line2D([], [], color=colours[s], marker="o", ms=3.0, lw=1.0, label=WHEN[s].capitalize())
            for s in shocks
        ]
        handles.append(
            Line2D(
                [], [], color=BLACK, marker="o", ms=3.0, mfc="white", mew=0.7, ls="none",
                label="95 % interval holds zero",
            )
        )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _dots(axes: Axes, rows: pd.DataFrame, at: np.ndarray, colour: str) -> None:
    axes.hlines(at, rows["low"], rows["high"], color=colour, lw=1.0, zorder=2)
    clear = ((rows["low"] > 0.0) | (rows["high"] < 0.0)).to_numpy()
    for chosen, face in ((clear, colour), (~clear, "white")):
        axes.plot(
            rows["mean"].to_numpy()[chosen], at[chosen], ls="none", marker="o", ms=3.0, mew=0.7,
            color=colour, mfc=face, zorder=3,
        )  # fmt: skip
