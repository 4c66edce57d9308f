"""Which uncertain parameters move the results: a screening of all, then variance shares of a few.

Every sample of parameters is four worlds: with and without the alliance, in calm and under the
shock. All samples meet the same outside events, seed by seed, and a result is its mean over seeds,
so that samples differ in their parameters alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from abm.config import Config, month_index
from abm.model import MineralModel
from abm.world import World
from experiments.ensemble import read_config_tables
from experiments.figures import BLUE, DOUBLE, SMALL, Drawn, style
from experiments.measures.indicators import (
    CALM,
    CRISIS,
    basket_price,
    basket_rows,
    price_gap,
    window_months,
)
from experiments.report import Answer, named_once, number
from experiments.sensitivity.factors import POSITIONS, Factor, changes, factor_table, factors_of
from experiments.sensitivity.indices import (
    elementary_effects,
    exchanges,
    missing_blocks,
    trajectories,
    variance_shares,
)
from experiments.study import Cell, Study, circle_under_shock, run_cell_or_not, with_settings

SCREENING, VARIANCE = "screening", "variance"
ALLIED, ALONE = "members", "no alliance"
NO_MEMBERSHIP = "none"
WORLDS = tuple((alliance, shock) for shock in (CALM, CRISIS) for alliance in (ALONE, ALLIED))
RESULTS = {
    "effect_calm": "Membership’s effect\non the price\nin calm",
    "effect_crisis": "Membership’s effect\non the price\nunder the shock",
    "peak": "Peak of the price\nunder the shock",
    "gap": "Price abroad\nover home\nunder the shock",
}
NAMED = {
    "effect_calm": "the effect of membership in calm",
    "effect_crisis": "the effect of membership under the shock",
    "peak": "the peak of the price",
    "gap": "the gap to the exporter's home price",
}
NOISE = (
    "A true share lies between 0 and 100 %. Its estimate is noisy and is not cut off at these "
    "ends, which would bias it: what lies beyond is noise of few base points, and more of them "
    "(sensitivity.base_samples) narrow it."
)
BEYOND = "#e8e4dc"  # where no true share can lie
SHOWN = 12  # parameters named in the figure of the screening
LEAST = 0.05  # of the largest effect: what moves less everywhere does not survive


def sensitivity_study(config: Config, world: World) -> Study:
    """The worlds of the screening, and how those of the variance shares follow from it.

    Raises
    ------
    ConfigError
        Unless there is one circle and a shock.
    """
    circle, group = circle_under_shock(config, world)
    factors = factors_of(config, world, read_config_tables(config))
    design = trajectories(len(factors), config.sensitivity.trajectories)

    def following(outcomes: pd.DataFrame) -> list[Cell]:
        if (outcomes["stage"] == VARIANCE).any():
            return []
        chosen = survivors(screening(outcomes, factors, design), config.sensitivity.survivors)
        few = [factor for factor in factors if factor.setting in chosen]
        rows = exchanges(len(few), config.sensitivity.base_samples)
        return cells_of(config, VARIANCE, few, rows, circle, group)

    return Study(
        title="Which assumptions the results hang on",
        cells=cells_of(config, SCREENING, factors, design, circle, group),
        measure=sensitivity_outcomes,
        answer=lambda outcomes, world: answer(outcomes, config, factors, design),
        following=following,
        together=len(WORLDS),
        job=run_cell_or_not,
    )


def cells_of(
    config: Config,
    stage: str,
    factors: Sequence[Factor],
    design: np.ndarray,
    circle: str,
    group: tuple[str, ...],
) -> list[Cell]:
    """Four worlds for every row of a design, [sample, factor] positions."""
    cells = []
    for sample, row in enumerate(design):
        changed = with_settings(config, changes(factors, row))
        cells += [
            Cell(
                labels={
                    "stage": stage,
                    "sample": f"{sample}",
                    "alliance": alliance,
                    "shock": shock,
                },
                config=changed,
                membership=circle if alliance == ALLIED else NO_MEMBERSHIP,
                shocked=shock == CRISIS,
                group=group,
            )
            for alliance, shock in WORLDS
        ]
    return cells


def sensitivity_outcomes(model: MineralModel, cell: Cell) -> pd.DataFrame:
    """What the group of a cell pays for the refined minerals under the shock.

    Returns
    -------
    pd.DataFrame
        Columns measure and value: `price` (mean of the basket over the window, opening 1), `peak`
        (its highest month since the announcement) and `gap` (mean over the window of the basket
        over the same at the exporter's home price).
    """
    config = cell.config
    rows = basket_rows(model.world, config.shock.minerals)
    price = basket_price(model, rows, np.isin(model.world.countries, cell.group))
    gap = price_gap(model, rows, cell.group, config.shock.by)
    months = window_months(cell, len(price))
    announced = month_index(config.shock.announced or config.shock.start, config.horizon.start)
    found = {
        "price": price[months].mean(),
        "peak": price[announced:].max(),
        "gap": gap[months].mean(),
    }
    return pd.DataFrame({"measure": list(found), "value": [float(v) for v in found.values()]})


# ---------------------------------------------------------------- indices


def results(outcomes: pd.DataFrame, stage: str) -> pd.DataFrame:
    """[sample x result] in percent (100 times logs), means over seeds; NaN where a world failed.

    Returns
    -------
    pd.DataFrame
        Indexed by sample, a column for each of `RESULTS`.
    """
    rows = outcomes[outcomes["stage"] == stage]
    keys = ["sample", "seed", "alliance", "shock", "measure"]
    logs = np.log(rows.set_index(keys)["value"].unstack(["alliance", "shock", "measure"]))

    def column(alliance: str, shock: str, measure: str) -> Any:
        return logs.get((alliance, shock, measure), np.nan)

    found = pd.DataFrame(
        {
            "effect_calm": column(ALLIED, CALM, "price") - column(ALONE, CALM, "price"),
            "effect_crisis": column(ALLIED, CRISIS, "price") - column(ALONE, CRISIS, "price"),
            "peak": column(ALONE, CRISIS, "peak"),
            "gap": column(ALONE, CRISIS, "gap"),
        },
        index=logs.index,
    )
    by_sample = 100.0 * found.groupby(level="sample").agg(lambda values: values.mean(skipna=False))
    by_sample.index = by_sample.index.astype(int)
    return by_sample.sort_index()


def screening(
    outcomes: pd.DataFrame, factors: Sequence[Factor], design: np.ndarray
) -> pd.DataFrame:
    """Elementary effects of every factor on every result.

    Returns
    -------
    pd.DataFrame
        Columns result, parameter, mu, mu_star, low, high and sigma, in percent over the range.
    """
    names = [factor.setting for factor in factors]
    parts = []
    for result, values in results(outcomes, SCREENING).items():
        part = elementary_effects(design, values.to_numpy())
        part.insert(0, "parameter", names)
        part.insert(0, "result", result)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def survivors(screened: pd.DataFrame, most: int) -> list[str]:
    """Parameters whose effect counts for some result, the strongest first.

    The strength of a parameter is the largest of its effects, each over the largest that any
    parameter has on that result.
    """
    largest = screened.groupby("result")["mu_star"].transform("max")
    moving = screened[largest > 0.0]
    strength = (moving["mu_star"] / largest[largest > 0.0]).groupby(moving["parameter"]).max()
    order = strength[strength >= LEAST].sort_values(ascending=False, kind="stable")
    return [str(name) for name in order.index[:most]]


def shares(outcomes: pd.DataFrame, parameters: Sequence[str]) -> pd.DataFrame:
    """Variance shares of the surviving parameters in every result.

    Parameters
    ----------
    parameters
        Those varied, in the order of the design.

    Returns
    -------
    pd.DataFrame
        Columns result, parameter, first, first_low, first_high, total, total_low and total_high.
    """
    parts = []
    for result, values in results(outcomes, VARIANCE).items():
        part = variance_shares(len(parameters), values.to_numpy())
        part.insert(0, "parameter", list(parameters))
        part.insert(0, "result", result)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


# ---------------------------------------------------------------- what is shown


def answer(
    outcomes: pd.DataFrame, config: Config, factors: Sequence[Factor], design: np.ndarray
) -> Answer:
    """Sentences, figures and tables of the study."""
    screened = screening(outcomes, factors, design)
    chosen = survivors(screened, config.sensitivity.survivors)
    few = [factor.setting for factor in factors if factor.setting in chosen]
    found = shares(outcomes, few)
    drawn = [
        Drawn(
            name="variance_shares",
            title="Where the variance of the results comes from",
            caption="Share of each result’s variance over the parameters’ ranges that a parameter "
            "accounts for: by itself (filled) and with all its interactions (hollow), with 95 % "
            "intervals from resampled base points. Parameters that passed the screening, most "
            f"important first. {NOISE}",
            alt="Dot and interval chart of first and total Sobol indices by parameter and result.",
            figure=shares_figure(found),
            table=found,
        ),
        Drawn(
            name="screening",
            title="How far each assumption moves the results",
            caption="Change of a result when one parameter moves over its range, at many places "
            "of the space of the others: mean size (μ*, filled) with its 95 % interval from "
            "resampled trajectories, and standard deviation (σ, hollow). Where σ is as large as "
            "μ* the change hangs on the other parameters, or turns its sign. "
            f"The {SHOWN} strongest of all that were screened, most important first.",
            alt="Dot and interval chart of elementary effects by parameter and result.",
            figure=screening_figure(screened),
            table=screened,
        ),
    ]
    return Answer(
        sentences=_sentences(screened, found, len(factors)),
        figures=drawn,
        tables={"variance_shares": found, "parameters_varied": factor_table(factors)},
        notes=_notes(outcomes, config, len(factors), len(few)),
    )


def _sentences(screened: pd.DataFrame, found: pd.DataFrame, count: int) -> list[str]:
    parts = []
    for result in RESULTS:
        rows = found[found["result"] == result].sort_values("total", ascending=False)
        best = rows.iloc[0]
        if best["total"] <= 0.0:
            parts.append(f"nothing that was varied moves {NAMED[result]}")
            continue
        beyond = "above 100 by noise of the estimate, " * bool(best["total"] > 1.0)
        share = (
            f"{number(100 * best['total'])} % of the variance with interactions, {beyond}95 % "
            f"interval {number(100 * best['total_low'])} to {number(100 * best['total_high'])}"
        )
        most = label(best["parameter"])
        rivals = int((rows["total_high"].iloc[1:] >= best["total_low"]).sum())
        others = f" or on one of {rivals} others" if rivals > 1 else " or on one other"
        overlapping = f"{others} whose interval{'s' * (rivals > 1)} overlap{'s' * (rivals == 1)}"
        parts.append(
            f"{NAMED[result]} hangs most on {most} ({share}){overlapping * bool(rivals)}"
            if best["total_low"] > 0.0
            else f"what {NAMED[result]} hangs most on is not known from so few base points "
            f"(largest: {most}, {share})"
        )
    (text,) = named_once(named_once(["; ".join(parts)]), " of the variance with interactions")
    largest = screened.groupby("result")["mu_star"].max()
    quiet = screened["mu_star"] < LEAST * screened["result"].map(largest)
    still = int(quiet.groupby(screened["parameter"]).all().sum())
    return [
        f"{text[0].upper()}{text[1:]}.",
        f"Of {count} uncertain parameters, {still} move no result by more than "
        f"{number(100 * LEAST)} % of what the strongest moves it.",
    ]


def _notes(outcomes: pd.DataFrame, config: Config, count: int, few: int) -> list[str]:
    failed = outcomes.loc[outcomes["value"].isna(), ["stage", "sample"]].drop_duplicates()
    lost = {
        "trajectories": missing_blocks(results(outcomes, SCREENING)["peak"].to_numpy(), count + 1),
        "base points": missing_blocks(results(outcomes, VARIANCE)["peak"].to_numpy(), few + 2),
    }
    left_out = ", ".join(f"{number(n)} {name}" for name, n in lost.items())
    return [
        "Results are 100 times logs, about percent: the paired effect of membership on the price "
        "that members pay, the highest price after the announcement over the opening, and the "
        "price members pay over the exporter’s home price, both without the alliance.",
        f"Every sample runs under the same {config.seeds} seeds and a result is its mean over "
        "them; parameters by mineral that are not varied keep what the settings say of them.",
        NOISE,
        f"{len(failed)} samples hold a world that could not be run; the estimates leave out the "
        f"blocks they belong to ({left_out}).",
    ]


def label(setting: str) -> str:
    """A parameter's name for readers."""
    if setting.startswith(f"{POSITIONS}."):
        return setting.rpartition(".")[2].replace("_", " ") + " (by mineral)"
    *path, last = setting.split(".")
    group = path[-1].replace("_", " ") if path and path[-1] != "behaviour" else ""
    return f"{group}: {last.replace('_', ' ')}" if group else last.replace("_", " ")


def shares_figure(found: pd.DataFrame) -> Figure:
    """Rows: parameters, most important first; a column for each result, over 0 to 100 % at least.

    What lies beyond 0 and 100 %, where no true share can, is shaded. Table: result, parameter,
    first, first_low, first_high, total, total_low, total_high.
    """
    order = found.groupby("parameter")["total"].max().sort_values(ascending=False).index.tolist()
    series = (("first", "By itself", BLUE), ("total", "With interactions", "white"))
    percent = found.set_index(["result", "parameter"]).mul(100.0)
    beyond = Patch(color=BEYOND, lw=0, label="Beyond 0 to 100 %: noise of the estimate")
    figure = _by_result(percent.reset_index(), order, series, "Share of variance (%)", [beyond])
    for result, axes in zip(RESULTS, figure.axes, strict=True):
        values = percent.loc[result].to_numpy()
        low, high = min(values.min(), 0.0), max(values.max(), 100.0)
        room = 0.04 * (high - low)
        axes.set_xlim(low - room, high + room)
        axes.axvspan(low - room, 0.0, color=BEYOND, lw=0, zorder=0)
        axes.axvspan(100.0, high + room, color=BEYOND, lw=0, zorder=0)
        apart = 50.0 * 2.0 ** max(np.ceil(np.log2((high - low) / 200.0)), 0.0)
        axes.xaxis.set_major_locator(MultipleLocator(apart))
    return figure


def screening_figure(screened: pd.DataFrame) -> Figure:
    """Rows: the strongest parameters, most important first; a column for each result.

    Table: result, parameter, mu_star, low, high, sigma.
    """
    named = screened.rename(columns={"low": "mu_star_low", "high": "mu_star_high"})
    series = (("mu_star", "Mean size, μ*", BLUE), ("sigma", "Standard deviation, σ", "white"))
    order = survivors(screened, SHOWN)
    return _by_result(named, order, series, "Change over the parameter’s range (%)")


def _by_result(
    table: pd.DataFrame,
    order: Sequence[str],
    series: Sequence[tuple[str, str, str]],
    unit: str,
    also: Sequence[Patch] = (),
) -> Figure:
    """Dots of two columns of a table, with intervals where the table has their ends."""
    with style():
        figure = Figure(figsize=(DOUBLE, 1.3 + 0.24 * len(order)), layout="constrained")
        cells = figure.subplots(1, len(RESULTS), sharey=True)
        for axes, (result, head) in zip(cells, RESULTS.items(), strict=True):
            rows = table[table["result"] == result].set_index("parameter").reindex(order)
            axes.set_title(head, fontsize=SMALL, loc="left")
            for (column, name, face), offset in zip(series, (-0.14, 0.14), strict=True):
                _dots(axes, rows, column, name, face, offset)
            axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
            axes.grid(axis="x", color="#e5e5e5", lw=0.5)
            axes.xaxis.set_major_locator(MaxNLocator(3))
        cells[0].set_yticks(range(len(order)), [label(name) for name in order])
        cells[0].set_ylim(len(order) - 0.4, -0.6)
        dots, _ = cells[0].get_legend_handles_labels()
        handles = [*dots, *also]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
        figure.supxlabel(unit, fontsize=SMALL)
    return figure


def _dots(axes: Axes, rows: pd.DataFrame, column: str, name: str, face: str, offset: float) -> None:
    at = np.arange(len(rows)) + offset
    if f"{column}_low" in rows:
        low, high = rows[f"{column}_low"], rows[f"{column}_high"]
        axes.hlines(at, low, high, color=BLUE, lw=1.0, zorder=2)
    axes.plot(
        rows[column], at, ls="none", marker="o", ms=3.4, mew=0.8, color=BLUE, mfc=face, zorder=3,
        label=name,
    )  # fmt: skip
