"""Every mechanism switched, one at a time: a picture of what it does, and what it is worth.

The picture is the paired difference over time in the figure that the mechanism should move. The
ablation is what its switch does to the headline: the effect of membership on the price and the
dependence of members under the shock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from abm.config import Closure, Config, DemandScenario
from abm.world import World
from experiments.figures import (
    BLUE,
    DOUBLE,
    GREY,
    SMALL,
    VERMILION,
    Drawn,
    dates,
    style,
    years_axis,
)
from experiments.measures.effects import CRISIS_MONTHS, NO_MEMBERSHIP, estimate, month_after
from experiments.measures.indicators import CALM, CRISIS, monthly_outcomes
from experiments.report import Answer, interval, number
from experiments.study import Cell, Study, circle_under_shock, with_settings

AS_CONFIGURED = "none"
ALLIED, ALONE = "members", "no alliance"
COLUMNS = 4
MEASURES = {
    "price": ("landed price", "%"),
    "home_price": ("exporter's home price", "%"),
    "use": ("use", "%"),
    "output": ("members' output", "%"),
    "stock": ("stocks", "%"),
    "dependence": ("non-allied share", "points"),
    "treasury": ("treasuries", "million US$ a month"),
}


@dataclass(frozen=True)
class Mechanism:
    """A row of the list of mechanisms.

    Attributes
    ----------
    switches
        Settings that turn it on or off, each with its two values (off, on).
    shown
        The measure of `MEASURES` in which its picture is drawn.
    allied
        Whether the picture is drawn with the alliance: what acts through members.
    ground
        Settings that hold in both worlds of the picture, as where it acts on another mechanism.
    calm
        Whether the picture is drawn without the shock: what the shock would hide.
    """

    label: str
    switches: Mapping[str, tuple[Any, Any]]
    shown: str
    allied: bool = False
    ground: Mapping[str, Any] = field(default_factory=dict)
    calm: bool = False


def switch(*names: str) -> dict[str, tuple[Any, Any]]:
    """Switches that are off or on."""
    return {f"{name}.active": (False, True) for name in names}


def instrument(label: str, name: str, shown: str, **ground: Any) -> Mechanism:
    """An instrument of the alliance."""
    held = {key.replace("__", "."): value for key, value in ground.items()}
    return Mechanism(label, switch(f"instruments.{name}"), shown, allied=True, ground=held)


def mechanisms(config: Config) -> dict[str, Mechanism]:
    """Every mechanism that can be switched, by name, with what it is shown in."""
    dated = {"start": config.shock.start, "end": month_after(config.shock.start, 12)}
    strait = [Closure(chokepoint="malacca", **dated)]
    return {
        "enforcement": Mechanism("Leaks of the ban", {"shock.enforcement": (1.0, 0.75)}, "price"),
        "review": Mechanism(
            "Strategic producers", switch("producers", "tension"), "price", calm=True
        ),
        "tension": Mechanism(
            "Tension and retaliation",
            switch("tension", "instruments.retaliation"),
            "price",
            allied=True,
        ),
        "joint_procurement": instrument("Joint procurement", "joint_procurement", "price"),
        "preferential_tariffs": instrument("Preferential tariffs", "preferential_tariffs", "price"),
        "stockpiles": instrument("Stockpiles", "stockpiles", "price"),
        "emergency_release": instrument("Joint emergency response", "emergency_release", "stock"),
        "investment_fund": instrument("Investment fund", "investment_fund", "output"),
        "price_floor": instrument("Price floor", "price_floor", "output"),
        "standards": instrument("Standards and tracing", "standards", "dependence"),
        "recycling": Mechanism("Recycling", switch("recycling"), "output"),
        "substitution": Mechanism("Substitution", switch("substitution"), "use"),
        "research": instrument(
            "Joint research", "research", "use", substitution__active=True, recycling__active=True
        ),
        "instability": Mechanism("Political instability", switch("instability"), "price"),
        "demand": Mechanism(
            "Demand: net zero",
            {
                "demand.active": (False, True),
                "demand.scenario": (DemandScenario.constant, DemandScenario.nze),
            },
            "price",
        ),
        "contracts": Mechanism("Term contracts", switch("planning.contracts"), "price"),
        "idling": Mechanism("Idling and restart", switch("planning.idling"), "price"),
        "depletion": Mechanism(
            "Depletion",
            switch("planning.depletion"),
            "price",
            ground={"shock.minerals": ["all"]},
            calm=True,
        ),
        "entry": Mechanism("Entry with lead times", switch("planning.entry"), "price"),
        "hoarding": Mechanism("Hoarding", {"behaviour.hoarding": (0.0, 2.0)}, "price"),
        "shipping": Mechanism(
            "Malacca closed for a year",
            {"shipping.active": (False, True), "shipping.closures": ([], strait)},
            "price",
        ),
    }


def switched(config: Config, mechanism: Mechanism) -> dict[str, Config]:
    """The settings with a mechanism off and on."""
    return {
        state: with_settings(config, {key: pair[at] for key, pair in mechanism.switches.items()})
        for at, state in enumerate(("off", "on"))
    }


def mechanisms_study(config: Config, world: World) -> Study:
    """The worlds of the study: as configured, and with each mechanism switched.

    Raises
    ------
    ConfigError
        Unless there is one circle and a shock.
    """
    circle, group = circle_under_shock(config, world)
    known = mechanisms(config)

    def cell(name: str, state: str, changed: Config, alliance: str, shocked: bool) -> Cell:
        axes = {"mechanism": name, "switch": state, "alliance": alliance}
        return Cell(
            labels={**axes, "shock": CRISIS if shocked else CALM},
            config=changed,
            membership=circle if alliance == ALLIED else NO_MEMBERSHIP,
            shocked=shocked,
            group=group,
        )

    cells = [cell(AS_CONFIGURED, "as configured", config, a, True) for a in (ALONE, ALLIED)]
    for name, mechanism in known.items():
        ground = with_settings(config, mechanism.ground)
        for state, changed in switched(config if mechanism.calm else ground, mechanism).items():
            cells += [cell(name, state, changed, alliance, True) for alliance in (ALONE, ALLIED)]
        if mechanism.calm:
            pair = switched(ground, mechanism).items()
            cells += [cell(name, state, changed, ALONE, False) for state, changed in pair]
    return Study(
        title="What each mechanism does, and which matter most",
        cells=cells,
        measure=monthly_outcomes,
        answer=lambda outcomes, world: answer(outcomes, known, config),
    )


# ---------------------------------------------------------------- effects


def pictures(outcomes: pd.DataFrame, known: Mapping[str, Mechanism]) -> pd.DataFrame:
    """Paired difference on less off over time, in what each mechanism is shown in.

    Returns
    -------
    pd.DataFrame
        Columns mechanism, measure, month, p10, median, p90: percent, or points and dollars for
        dependence and treasuries.
    """
    parts = []
    for name, mechanism in known.items():
        alliance = ALLIED if mechanism.allied else ALONE
        rows = outcomes[
            (outcomes["mechanism"] == name)
            & (outcomes["alliance"] == alliance)
            & (outcomes["shock"] == (CALM if mechanism.calm else CRISIS))
            & (outcomes["measure"] == mechanism.shown)
        ]
        wide = rows.pivot(index=["month", "seed"], columns="switch", values="value")
        relative = MEASURES[mechanism.shown][1] == "%"
        change = 100.0 * (wide["on"] / wide["off"] - 1.0) if relative else wide["on"] - wide["off"]
        band = change.groupby(level="month").quantile([0.1, 0.5, 0.9]).unstack()
        band.columns = pd.Index(["p10", "median", "p90"])
        parts.append(band.reset_index().assign(mechanism=name, measure=mechanism.shown))
    return pd.concat(parts, ignore_index=True)


def headline_effects(outcomes: pd.DataFrame, start: str) -> pd.DataFrame:
    """Effect of membership in the first two years of the shock, by mechanism, switch and seed.

    Returns
    -------
    pd.DataFrame
        Columns mechanism, switch, seed, price (log ratio) and dependence (points).
    """
    end = month_after(start, CRISIS_MONTHS - 1)
    inside = outcomes[outcomes["month"].between(start, end)]
    inside = inside[inside["measure"].isin(["price", "dependence"]) & (inside["shock"] == CRISIS)]
    means = inside.groupby(["mechanism", "switch", "seed", "measure", "alliance"])["value"].mean()
    wide = means.unstack(["measure", "alliance"])
    return pd.DataFrame(
        {
            "price": np.log(wide["price", ALLIED] / wide["price", ALONE]),
            "dependence": wide["dependence", ALLIED] - wide["dependence", ALONE],
        }
    ).reset_index()


def ablation(effects: pd.DataFrame) -> pd.DataFrame:
    """What each mechanism adds to the effect of membership: on less off, seed by seed.

    Returns
    -------
    pd.DataFrame
        Columns mechanism, measure, mean, low, high, median, p10, p90, n and unit; prices in
        percentage points of the effect, dependence in points. Largest price first.
    """
    rows = []
    for name, part in effects.groupby("mechanism", sort=False):
        wide = part.pivot(index="seed", columns="switch")
        if name == AS_CONFIGURED:
            continue
        for measure in ("price", "dependence"):
            values = wide[measure]
            if measure == "price":
                values = 100.0 * np.expm1(values)
            found = estimate((values["on"] - values["off"]).to_numpy(), "points")
            rows.append({"mechanism": name, "measure": measure} | vars(found))
    table = pd.DataFrame(rows)
    size = table[table["measure"] == "price"].set_index("mechanism")["mean"].abs()
    order = size.sort_values(ascending=False).index
    table["mechanism"] = pd.Categorical(table["mechanism"], categories=order)
    return table.sort_values(["mechanism", "measure"]).astype({"mechanism": str})


# ---------------------------------------------------------------- what is shown


def answer(outcomes: pd.DataFrame, known: Mapping[str, Mechanism], config: Config) -> Answer:
    """Sentences, figures and tables of the study."""
    over_time = pictures(outcomes, known)
    effects = headline_effects(outcomes, config.shock.start)
    worth = ablation(effects)
    labels = {name: mechanism.label for name, mechanism in known.items()}
    drawn = [
        Drawn(
            name="mechanisms",
            title="What each mechanism does",
            caption="Difference between worlds with and without each mechanism, under the shock "
            "unless said, in the figure it acts on (depletion: all minerals): medians over paired "
            "seeds with the 80 % band. Instruments of the alliance are drawn with it, all else "
            "without. The dotted line dates the shock.",
            alt="A small line chart for each mechanism of the paired difference it makes.",
            figure=pictures_figure(over_time, known, config.shock.start),
            table=over_time,
        ),
        Drawn(
            name="ablation",
            title="What each mechanism adds to the effect of membership",
            caption="Effect of membership on members’ price and non-allied share in the first "
            f"{CRISIS_MONTHS} months of the shock, with the mechanism less without it; mean over "
            "paired seeds with the 95 % interval.",
            alt="Dot and interval chart: what each mechanism adds to the effect of membership.",
            figure=ablation_figure(worth, labels),
            table=worth,
        ),
    ]
    return Answer(
        sentences=_sentences(effects, worth, labels),
        figures=drawn,
        tables={"ablation": worth.assign(mechanism=worth["mechanism"].map(labels))},
        notes=["Mechanisms are switched one at a time, all others as configured."],
    )


def _sentences(effects: pd.DataFrame, worth: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    base = effects[effects["mechanism"] == AS_CONFIGURED]
    price = estimate(base["price"].to_numpy(), "%", relative=True)
    first = (
        f"As configured, membership changes members’ price in the first {CRISIS_MONTHS} months of "
        f"the shock by {number(price.mean, signed=True)} % ({interval(price)})."
    )
    rows = worth[(worth["measure"] == "price")].head(3)
    named = [
        f"{labels[row.mechanism].lower()} ({number(row.mean, signed=True)} points)"
        for row in rows.itertuples()
    ]
    return [first, f"What moves that effect most: {', '.join(named)}."]


def pictures_figure(table: pd.DataFrame, known: Mapping[str, Mechanism], start: str) -> Figure:
    """A small panel a mechanism: the paired difference over time.

    Table: mechanism, measure, month, p10, median, p90.
    """
    names = [name for name in known if name in set(table["mechanism"])]
    rows = -(-len(names) // COLUMNS)
    with style():
        figure = Figure(figsize=(DOUBLE, 0.4 + 1.35 * rows), layout="constrained")
        cells = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).reshape(-1)
        for axes, name in zip(cells, names, strict=False):
            _picture(axes, table[table["mechanism"] == name], known[name], start)
        for axes in cells[len(names) :]:
            axes.set_axis_off()
    return figure


def _picture(axes: Axes, part: pd.DataFrame, mechanism: Mechanism, start: str) -> None:
    at = dates(part["month"])
    colour = BLUE if mechanism.allied else VERMILION
    axes.axhline(0.0, color="#444444", lw=0.5)
    axes.axvline(date2num(np.datetime64(start)), color=GREY, lw=0.6, ls=(0, (1, 2)))
    axes.fill_between(at, part["p10"], part["p90"], color=colour, alpha=0.2, lw=0)
    axes.plot(at, part["median"], color=colour, lw=1.1)
    what, unit = MEASURES[mechanism.shown]
    axes.set_title(
        f"{mechanism.label}, calm" if mechanism.calm else mechanism.label, fontsize=SMALL
    )
    axes.set_ylabel(f"{what}\n({unit})", fontsize=SMALL - 1)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    years_axis(axes)


def ablation_figure(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Rows: mechanisms, largest first; columns: the effect on price and on dependence.

    Table: mechanism, measure, mean, low, high.
    """
    order = list(dict.fromkeys(table["mechanism"]))
    heads = {
        "price": "Price effect of\nmembership (points)",
        "dependence": "Share effect of\nmembership (points)",
    }
    with style():
        figure = Figure(figsize=(DOUBLE, 0.8 + 0.2 * len(order)), layout="constrained")
        cells = figure.subplots(1, 2, sharey=True)
        for axes, (measure, head) in zip(cells, heads.items(), strict=True):
            rows = table[table["measure"] == measure].set_index("mechanism").reindex(order)
            at = np.arange(len(order))
            axes.axvline(0.0, color="#444444", lw=0.6)
            axes.hlines(at, rows["low"], rows["high"], color=BLUE, lw=1.0)
            axes.plot(rows["mean"], at, ls="none", marker="o", ms=3.5, color=BLUE)
            axes.grid(axis="x", color="#e5e5e5", lw=0.5)
            axes.set_xlabel(head)
        cells[0].set_yticks(range(len(order)), [labels[name] for name in order])
        cells[0].set_ylim(len(order) - 0.4, -0.6)
    return figure
