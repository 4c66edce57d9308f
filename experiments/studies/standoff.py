"""Standoffs: tension, controls and counter-measures over time, by size of the alliance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from abm.config import Config, ConfigError
from abm.scenario import members_of
from abm.world import World
from experiments.figures import (
    DOUBLE,
    GREY,
    MEMBERSHIP_LABELS,
    Drawn,
    begun,
    circle_style,
    dates,
    style,
    years_axis,
)
from experiments.measures.effects import NO_MEMBERSHIP, estimate
from experiments.measures.indicators import standing_outcomes
from experiments.report import Answer, effect_clause, number
from experiments.study import Cell, Study

LAST_MONTHS = 36
PANELS = {
    "tension_felt": "Tension of the exporter\ntowards members (0 to 1)",
    "tension_held": "Tension of members\ntowards the exporter (0 to 1)",
    "restricted": "Exports held back\n(% of opening value)",
    "counter_tariff": "Counter-tariffs on\nmembers’ imports (%)",
    "commitment": "Members’ commitment (%)",
    "price": "Members’ landed price\n(opening = 1)",
}


def standoff_study(config: Config, world: World) -> Study:
    """The worlds of the study: no alliance, and every circle of the settings.

    Outcomes are those of the smallest circle's members, so that they can be compared.

    Raises
    ------
    ConfigError
        Without a circle, or where producers do not review their policy.
    """
    if not config.membership.circles:
        raise ConfigError(
            "The study of standoffs needs circles of members; give some such as "
            "membership=washington_and_forge"
        )
    if not config.producers.active:
        raise ConfigError(
            "producers.active is false, so nobody would answer the alliance; give "
            "producers=strategic"
        )
    circles = {
        name: tuple(members_of(circle, name, world))
        for name, circle in config.membership.circles.items()
    }
    group = min(circles.values(), key=len)
    cells = [
        Cell(labels={"alliance": name}, config=config, membership=name, shocked=False, group=group)
        for name in (NO_MEMBERSHIP, *sorted(circles, key=lambda name: len(circles[name])))
    ]
    return Study(
        title="How a standoff unfolds, by size of the alliance",
        cells=cells,
        measure=standing_outcomes,
        answer=answer,
    )


def bands(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Median and the 80 % band over seeds, by alliance, measure and month."""
    keys = ["alliance", "measure", "month"]
    values = outcomes.groupby(keys, sort=False)["value"].quantile([0.1, 0.5, 0.9]).unstack()
    values.columns = pd.Index(["p10", "median", "p90"])
    return values.reset_index()


def late_levels(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Mean over the last three years of every measure, with 95 % interval over seeds."""
    last = sorted(outcomes["month"].unique())[-LAST_MONTHS:]
    late = outcomes[outcomes["month"].isin(last)]
    means = late.groupby(["alliance", "measure", "seed"], sort=False)["value"].mean()
    rows = []
    for (alliance, measure), part in means.groupby(level=[0, 1], sort=False):
        found = estimate(part.to_numpy(), "")
        rows.append(
            {"alliance": alliance, "measure": measure}
            | {k: v for k, v in vars(found).items() if k != "unit"}
        )
    return pd.DataFrame(rows)


def worded(late: pd.DataFrame) -> pd.DataFrame:
    """The table of late levels as readers see it: a row a measure, mean and 95 % interval."""
    rows = late.assign(
        measure=late["measure"].map(lambda name: PANELS[name].replace("\n", " ")),
        alliance=late["alliance"].map(lambda name: begun(_label(name))),
    )
    names = {"low": "95 % low", "high": "95 % high", "p10": "10 % of seeds", "p90": "90 % of seeds"}
    return rows.rename(columns={**names, "n": "seeds"})


def answer(outcomes: pd.DataFrame, world: World) -> Answer:
    """Sentences, figure and table of the study."""
    table = bands(outcomes)
    late = late_levels(outcomes)
    drawn = Drawn(
        name="standoff",
        title="Tension, controls and counter-measures",
        caption="Medians over seeds with the 80 % band, by alliance. Exports held back: severity "
        "of the controls in force times the share of the exporter’s opening mineral exports they "
        "hold. Prices: what the members of the smallest circle pay for the opening basket.",
        alt="Line charts of tension, export controls, counter-tariffs, commitment and price over "
        f"time for {outcomes['alliance'].nunique()} alliances.",
        figure=standoff_figure(table),
        table=table,
    )
    return Answer(
        sentences=_sentences(outcomes, late),
        figures=[drawn],
        tables={"mean_of_the_last_three_years": worded(late)},
        notes=["Nothing is imposed: controls are what the non-allied producers chose themselves."],
    )


def _label(alliance: str) -> str:
    return MEMBERSHIP_LABELS.get(alliance, alliance.replace("_", " "))


def _sentences(outcomes: pd.DataFrame, late: pd.DataFrame) -> list[str]:
    found = late.set_index(["alliance", "measure"])
    parts: list[str] = []
    for alliance in outcomes["alliance"].unique():
        row = found.loc[(alliance, "restricted")]
        where = (
            "without an alliance" if alliance == NO_MEMBERSHIP else f"with the {_label(alliance)}"
        )
        parts.append(f"{number(row['mean'])} % {where} ({_interval(row, not parts)})")
    first = (
        "In the last three years the exporter holds back, of its opening mineral exports, "
        + ", ".join(parts)
        + "."
    )
    widest = outcomes["alliance"].unique()[-1]
    wide = outcomes.pivot_table(index="seed", columns=["alliance", "measure"], values="value")
    change = 100.0 * (wide[(widest, "price")] - wide[(NO_MEMBERSHIP, "price")])
    found_change = estimate(change.to_numpy(), "% of the opening price")
    paid = "what the members of the smallest circle pay"
    second = (
        f"Over the whole horizon the {_label(widest)}, against no alliance, "
        f"{effect_clause(found_change, paid)}."
    )
    return [first, second]


def _interval(row: pd.Series, named: bool) -> str:
    """The 95 % interval of a level, named at its first mention."""
    if row["n"] < 2:
        return "one seed, so no interval"
    return f"{'95 % interval ' * named}{number(row['low'])} to {number(row['high'])}"


def standoff_figure(table: pd.DataFrame) -> Figure:
    """Six panels over time, a line with its band for every alliance.

    Table: alliance, measure, month, p10, median, p90.
    """
    alliances = list(dict.fromkeys(table["alliance"]))
    styles = circle_style(alliances)
    with style():
        figure = Figure(figsize=(DOUBLE, 4.2), layout="constrained")
        cells = figure.subplots(2, 3, sharex=True).reshape(-1)
        for axes, (measure, head) in zip(cells, PANELS.items(), strict=True):
            _lines(axes, table[table["measure"] == measure], styles)
            axes.set_ylabel(head)
            years_axis(axes)
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=styles[a][0], ls=styles[a][1], lw=1.2, label=_label(a))
            for a in alliances
        ]
        handles.append(Patch(color=GREY, alpha=0.35, lw=0, label="80 % of seeds"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _lines(axes: Axes, table: pd.DataFrame, styles: Mapping[str, tuple[str, Any, str]]) -> None:
    for alliance, (colour, dash, _) in styles.items():
        line = table[table["alliance"] == alliance]
        at = dates(line["month"])
        axes.fill_between(at, line["p10"], line["p90"], color=colour, alpha=0.15, lw=0)
        axes.plot(at, line["median"], color=colour, ls=dash, lw=1.2)
