"""Hindcasts: a past episode played again from its opening year, and scored against what happened.

The settings impose dated facts only; prices, trade, entry and demand are the model's own. Two
simpler forecasts meet the same figures: that nothing changes, and a textbook equilibrium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from abm.config import Config, ConfigError, month_name, named_controls
from abm.facts import imposed_facts
from abm.posterior import POSTERIOR, read_posterior, with_draw
from abm.world import World
from experiments.ensemble import PROJECT
from experiments.figures import (
    BLACK,
    BLUE,
    DOUBLE,
    GREY,
    ORANGE,
    VERMILION,
    Drawn,
    dates,
    mineral_label,
    style,
    years_axis,
)
from experiments.measures.effects import NO_MEMBERSHIP
from experiments.report import Answer
from experiments.scores import (
    ABROAD,
    HOME,
    PRICE_MEASURES,
    Figure,
    Scale,
    Trace,
    follow,
    persistence,
    price_path,
    read_observed,
    score_figure,
    simulated,
    summary,
)
from experiments.study import Cell, Measure, Study, cell_model, labelled, with_settings

HINDCASTS = PROJECT / "conf" / "experiment" / "hindcast"
MODEL, PERSISTENCE, TEXTBOOK = "model", "persistence", "textbook"
# What a textbook leaves out: fear, habits, mark-ups that drift, stocks as a bet, term contracts.
# Buyers expect the price they saw last.
TEXTBOOK_SETTINGS: dict[str, float | bool] = {
    "behaviour.hoarding": 0.0,
    "behaviour.contagion": 0.0,
    "behaviour.speculation": 0.0,
    "behaviour.markup_speed": 0.0,
    "behaviour.price_memory": 1.0,
    "behaviour.trend_memory": 0.0,
    "behaviour.minimum_cover": 1.0,
    "behaviour.qualification_months": 1.0,
    "planning.contracts.active": False,
}
TEXTBOOK_OFF = ("behaviour.anticipation", "behaviour.momentum", "behaviour.rights_reserve")
FORECASTS = {
    MODEL: "the model",
    PERSISTENCE: "persistence",
    TEXTBOOK: "the textbook equilibrium",
}
COLOURS = {ABROAD: VERMILION, HOME: BLUE}


def simulate(config: Config, draw: Mapping[str, float], seed: int) -> pd.DataFrame:
    """Play one hindcast under one draw of settings and one seed.

    Parameters
    ----------
    draw
        Values of settings named as on the command line, such as "behaviour.hoarding";
        "controls.NAME" holds for every control. A setting the scenario has changed stays.

    Returns
    -------
    pd.DataFrame
        One row an observed figure: its columns, and `simulated`. Dates are months since the
        opening.
    """
    settings = with_settings(with_draw(config, draw), {"uncertainty.active": False})
    model = cell_model(_cell(MODEL, settings), seed)
    figures = observed_figures(settings, model.world)
    trace = follow(model)
    rows = [vars(figure) | {"simulated": simulated(trace, figure)} for figure in figures]
    return pd.DataFrame(rows)


def observed_figures(config: Config, world: World) -> list[Figure]:
    """The observed figures of a hindcast.

    Raises
    ------
    ConfigError
        Where the settings name no table, or one that cannot be used.
    """
    named = [c.name for _, c in named_controls(config) if c.instrument.value != "none"]
    return read_observed(observed_path(config), world, config.horizon, named)


def observed_path(config: Config) -> Path:
    """The table of observed figures: where it is named, or beside the hindcasts of conf."""
    named = config.hindcast.observed
    if not named:
        raise ConfigError(
            "hindcast.observed is empty; name the table of observed figures, such as "
            "lithium_2021.csv"
        )
    for path in (Path(named), HINDCASTS / named, PROJECT / named):
        if path.is_file():
            return path
    raise ConfigError(
        f"hindcast.observed is {named!r}, and there is no such file here or beside the hindcasts "
        f"of conf; give its path"
    )


# The study ------------------------------------------------------------------------------------


def hindcast_study(config: Config, world: World) -> Study:
    """The worlds of a hindcast: as the model has it, and the two baselines.

    Raises
    ------
    ConfigError
        Where the settings hold what history cannot: an alliance, or a shock beside the controls.
    """
    if config.membership.circles:
        raise ConfigError("A hindcast knows no alliance; give membership=none")
    figures = observed_figures(config, world)
    imposed_facts(config, world)
    forecasts = [MODEL, PERSISTENCE, TEXTBOOK] if config.hindcast.baselines else [MODEL]
    return Study(
        title=f"Hindcast: {config.name.replace('_', ' ')}",
        cells=[_cell(name, config) for name in forecasts],
        measure=read_off,
        answer=partial(answer, config=config, figures=figures),
        job=play,
    )


def _cell(forecast: str, config: Config) -> Cell:
    changes = _textbook_settings(config) if forecast == TEXTBOOK else {}
    return Cell(
        labels={"forecast": forecast},
        config=with_settings(config, changes),
        membership=NO_MEMBERSHIP,
        shocked=config.shock.instrument.value != "none",
    )


def _textbook_settings(config: Config) -> dict[str, Any]:
    """What a textbook leaves out, also where behaviour is drawn: there, what is off stays off."""
    kept = list(config.uncertainty.keep)
    if config.uncertainty.active:
        drawn = read_posterior(Path(config.uncertainty.table or POSTERIOR)).settings
        kept += [name for name in TEXTBOOK_OFF if name in drawn and name not in kept]
    return {**TEXTBOOK_SETTINGS, "uncertainty.keep": kept}


def play(cell: Cell, measure: Measure, seed: int) -> pd.DataFrame:
    """One forecast under one seed: its figures and price paths, with labels."""
    model = cell_model(cell, seed)
    trace = persistence(model) if cell.labels["forecast"] == PERSISTENCE else follow(model)
    return labelled(measure(trace, cell), cell, seed)


def read_off(trace: Trace, cell: Cell) -> pd.DataFrame:
    """What a trace says of every observed figure, and the price paths of the minerals they name.

    Returns
    -------
    pd.DataFrame
        Columns kind, figure, mineral, stage, month and value. Of a path, `figure` is the place.
    """
    figures = observed_figures(cell.config, trace.world)
    found = [
        {
            "kind": "figure",
            "figure": figure.name,
            "mineral": figure.mineral,
            "stage": figure.stage,
            "month": "",
            "value": simulated(trace, figure),
        }
        for figure in figures
    ]
    tables = [pd.DataFrame(found)]
    for mineral, stage in priced(figures):
        for place in (ABROAD, HOME):
            path = price_path(trace, mineral, stage, place)
            tables.append(_path_table(trace, path, mineral, stage, place))
    return pd.concat(tables, ignore_index=True)


def _path_table(
    trace: Trace, path: np.ndarray, mineral: str, stage: str, place: str
) -> pd.DataFrame:
    months = [month_name(trace.start, month) for month in range(path.size)]
    return pd.DataFrame(
        {
            "kind": "path",
            "figure": place,
            "mineral": mineral,
            "stage": stage,
            "month": months,
            "value": path,
        }
    )


def priced(figures: Sequence[Figure]) -> list[tuple[str, str]]:
    """Mineral and stage of the figures that are prices, each once."""
    return list(dict.fromkeys((f.mineral, f.stage) for f in figures if f.measure in PRICE_MEASURES))


# What was found -------------------------------------------------------------------------------


def scored_figures(outcomes: pd.DataFrame, figures: Sequence[Figure]) -> pd.DataFrame:
    """Every figure under every forecast: observed, simulated, and how far apart.

    Table: forecast, the columns of the observed table, scale, p10, median, p90, error, score,
    close, inside. Errors and scores are in tolerances.
    """
    values = outcomes[outcomes["kind"] == "figure"].groupby(["forecast", "figure"], sort=False)
    rows = []
    for forecast in outcomes["forecast"].unique():
        for figure in figures:
            found = values.get_group((forecast, figure.name))["value"].to_numpy(float)
            about = vars(figure) | {"scale": figure.scale.value}
            rows.append({"forecast": forecast} | about | score_figure(figure, found))
    return pd.DataFrame(rows)


def score_table(scored: pd.DataFrame) -> pd.DataFrame:
    """One row a forecast: figures, score, log error, share close, share inside."""
    rows = [
        {"forecast": forecast} | summary(part)
        for forecast, part in scored.groupby("forecast", sort=False)
    ]
    return pd.DataFrame(rows)


def shown_figures(scored: pd.DataFrame, start: str) -> pd.DataFrame:
    """The model's figures as a reader wants them: dates as months, windows by name."""
    rows = []
    for _, row in scored[scored["forecast"] == MODEL].iterrows():
        first, last = (month_name(start, month) for month in row["window"])
        dated = row["measure"] == "peak_month"
        shown = {name: _shown(row[name], dated, start) for name in ("value", "low", "high")} | {
            name: _shown(row[name], dated, start) for name in ("median", "p10", "p90")
        }
        rows.append(
            {
                "figure": row["name"].replace("_", " "),
                "measure": row["measure"].replace("_", " "),
                "window": first if first == last else f"{first} to {last}",
                "observed": shown["value"],
                "range": f"{shown['low']} to {shown['high']}",
                "simulated": shown["median"],
                "80 % interval": f"{shown['p10']} to {shown['p90']}",
                "inside": "yes" if row["inside"] else "no",
                "close": "yes" if row["close"] else "no",
                "used for": row["used_for"],
                "source": row["source"],
            }
        )
    return pd.DataFrame(rows)


def _shown(value: float, dated: bool, start: str) -> str:
    if not np.isfinite(value):
        return "none"
    return month_name(start, round(value)) if dated else f"{value:.3g}"


def answer(
    outcomes: pd.DataFrame, world: World, config: Config, figures: Sequence[Figure]
) -> Answer:
    """Sentences, figures and tables of a hindcast."""
    scored = scored_figures(outcomes, figures)
    table = score_table(scored)
    start = config.horizon.start
    drawn = [
        Drawn(
            name="hindcast_paths",
            title="Prices, simulated and observed",
            caption="Simulated medians with the 80 % band over seeds, opening = 1; crosses: "
            "observed multiples over the months they are means of, with their range.",
            alt="Price paths abroad and at home by mineral, with observed points.",
            figure=paths_figure(price_bands(outcomes), figures, start),
            table=price_bands(outcomes),
        ),
        Drawn(
            name="hindcast_scatter",
            title="Simulated against observed multiples",
            caption="Every multiple and gap of the episode; bars: 80 % interval and observed "
            "range. Dashed: a factor of 1.5 apart.",
            alt="Scatter of simulated against observed multiples for three forecasts.",
            figure=scatter_figure(scored),
            table=scored.drop(columns=["window", "base"]),
        ),
    ]
    return Answer(
        sentences=finding(table),
        figures=drawn,
        tables={
            "scores": table,
            "figures": shown_figures(scored, start),
            "scored": scored.drop(columns=["window", "base"]),
        },
        notes=[
            "Only dated facts are imposed; prices, trade, entry and demand are the model’s own.",
            "A score is the continuous ranked probability score in tolerances: a factor of 1.5, "
            "5 points of a share, four months. Zero is perfect.",
        ],
    )


def finding(table: pd.DataFrame) -> list[str]:
    """What the scores say, in sentences."""
    rows = table.set_index("forecast")
    mine = rows.loc[MODEL]
    count = int(mine["figures"])
    first = (
        f"Of {count} observed figures, {round(mine['close'] * count)} are met within the tolerance "
        f"(a factor of 1.5, 5 points, four months) and {round(mine['inside'] * count)} lie within "
        f"the simulated 80 % interval"
    )
    if np.isfinite(mine["log_error"]):
        first += f"; multiples are off by a factor of {np.exp(mine['log_error']):.2f} on average"
    others = [
        f"{rows.loc[name, 'score']:.2f} of {FORECASTS[name]}"
        for name in (PERSISTENCE, TEXTBOOK)
        if name in rows.index
    ]
    if not others:
        return [f"{first}."]
    best = rows["score"].idxmin() == MODEL
    verdict = (
        "the best of the three"
        if best
        else f"not the best: {FORECASTS[rows['score'].idxmin()]} is closer"
    )
    against = " and ".join(others)
    return [
        f"{first}.",
        f"The model’s score is {mine['score']:.2f}, against {against}: {verdict}.",
    ]


def price_bands(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Median and 80 % band over seeds of prices over their opening, by forecast and place."""
    paths = outcomes[outcomes["kind"] == "path"].copy()
    keys = ["forecast", "mineral", "stage", "figure"]
    opening = paths.groupby([*keys, "seed"], sort=False)["value"].transform("first")
    paths["value"] /= opening
    bands = paths.groupby([*keys, "month"], sort=False)["value"].quantile([0.1, 0.5, 0.9]).unstack()
    bands.columns = pd.Index(["p10", "median", "p90"])
    return bands.reset_index()


# Figures --------------------------------------------------------------------------------------


def paths_figure(bands: pd.DataFrame, figures: Sequence[Figure], start: str) -> Drawing:
    """A panel a market: price paths abroad and at home with their bands, and observed points.

    Table: forecast, mineral, stage, figure (the place), month, p10, median, p90.
    """
    markets = priced(figures)
    across = min(len(markets), 3)
    down = -(-len(markets) // across) if markets else 1
    with style():
        drawing = Drawing(figsize=(DOUBLE, 0.5 + 2.2 * down), layout="constrained")
        cells = drawing.subplots(down, max(across, 1), squeeze=False).reshape(-1)
        for axes, (mineral, stage) in zip(cells, markets, strict=False):
            here = bands[(bands["mineral"] == mineral) & (bands["stage"] == stage)]
            _paths(axes, here)
            _observed_points(axes, here, figures, mineral, stage, start)
            axes.set_title(f"{mineral_label(mineral)}, {stage}")
            axes.set_yscale("log")
            _plain_ticks(axes.yaxis)
            axes.set_ylabel("Price (opening = 1)")
            years_axis(axes)
        for axes in cells[len(markets) :]:
            axes.set_visible(False)
        drawing.legend(handles=_path_legend(), loc="outside lower center", ncols=5)
    return drawing


def _paths(axes: Axes, bands: pd.DataFrame) -> None:
    for (forecast, place), line in bands.groupby(["forecast", "figure"], sort=False):
        at, colour = dates(line["month"]), COLOURS[str(place)]
        if forecast == MODEL:
            axes.fill_between(at, line["p10"], line["p90"], color=colour, alpha=0.18, lw=0)
            axes.plot(at, line["median"], color=colour, lw=1.3)
        elif forecast == TEXTBOOK:
            axes.plot(at, line["median"], color=colour, lw=0.8, ls=(0, (1, 1.5)))


def _observed_points(
    axes: Axes, bands: pd.DataFrame, figures: Sequence[Figure], mineral: str, stage: str, start: str
) -> None:
    """Observed multiples at the middle of their windows, over the simulated base."""
    model = bands[bands["forecast"] == MODEL]
    for figure in figures:
        if (figure.mineral, figure.stage) != (mineral, stage):
            continue
        if not figure.measure.startswith("price") or figure.measure == "price_gap":
            continue
        place = figure.place if figure.place in COLOURS else ABROAD
        line = model[model["figure"] == place]["median"].to_numpy()
        base = line[figure.base[0] : figure.base[1] + 1].mean()
        ends = dates(pd.Series([month_name(start, month) for month in figure.window]))
        middle = ends[0] + (ends[1] - ends[0]) / 2
        colour = COLOURS.get(figure.place, GREY)
        axes.plot(ends, [base * figure.value] * 2, color=colour, lw=0.8, alpha=0.7)
        axes.plot([middle] * 2, [base * figure.low, base * figure.high], color=colour, lw=0.8)
        axes.plot([middle], [base * figure.value], color=colour, marker="x", ms=4, ls="")


def _path_legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=VERMILION, lw=1.3, label="abroad"),
        Line2D([], [], color=BLUE, lw=1.3, label="at home"),
        Line2D([], [], color=BLACK, lw=0.8, ls=(0, (1, 1.5)), label="textbook"),
        Line2D([], [], color=BLACK, marker="x", ms=4, ls="", label="observed"),
        Patch(color=GREY, alpha=0.35, lw=0, label="80 % of seeds"),
    ]


def scatter_figure(scored: pd.DataFrame) -> Drawing:
    """Simulated against observed multiples, with lines a factor of 1.5 apart.

    Table: forecast, scale, value, low, high, p10, median, p90.
    """
    ratios = scored[(scored["scale"] == Scale.ratio.value) & scored["median"].gt(0)]
    looks = {MODEL: (BLUE, "o"), PERSISTENCE: (GREY, "s"), TEXTBOOK: (ORANGE, "^")}
    with style():
        drawing = Drawing(figsize=(DOUBLE / 2, DOUBLE / 2), layout="constrained")
        axes = drawing.subplots()
        for forecast in reversed(list(looks)):
            part = ratios[ratios["forecast"] == forecast]
            colour, marker = looks[forecast]
            axes.plot(part["value"], part["median"], color=colour, marker=marker, ms=3.5, ls="",
                      alpha=0.9 if forecast == MODEL else 0.5,
                      label=FORECASTS[forecast].removeprefix("the "))  # fmt: skip
            if forecast == MODEL:
                for _, row in part.iterrows():
                    axes.plot([row["value"]] * 2, [row["p10"], row["p90"]], color=colour, lw=0.7)
                    axes.plot([row["low"], row["high"]], [row["median"]] * 2, color=colour, lw=0.7)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _diagonals(axes, ratios)
        _plain_ticks(axes.xaxis)
        _plain_ticks(axes.yaxis)
        axes.set_xlabel("Observed multiple")
        axes.set_ylabel("Simulated multiple")
        axes.legend(loc="upper left")
    return drawing


def _plain_ticks(axis: Axis) -> None:
    """Ticks of a log axis as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _diagonals(axes: Axes, ratios: pd.DataFrame) -> None:
    values = ratios[["value", "median"]].to_numpy(float)
    low, high = (values.min() / 1.5, values.max() * 1.5) if values.size else (0.5, 2.0)
    ends = np.array([low, high])
    for factor, dash in ((1.0, "-"), (1.5, "--"), (1.0 / 1.5, "--")):
        axes.plot(ends, factor * ends, color=GREY, lw=0.6, ls=dash, zorder=0)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
