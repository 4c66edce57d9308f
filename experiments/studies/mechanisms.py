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
    NEGLIGIBLE,
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
from experiments.studies.multiple_tests import HOLM, clear_together
from experiments.study import Cell, Study, circle_under_shock, with_settings

AS_CONFIGURED = "none"
ALLIED, ALONE = "members", "no alliance"
COLUMNS = 4
NAMED = 4  # mechanisms in the finding
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
    """A mechanism that can be switched.

    Attributes
    ----------
    number
        Which of the eighteen mechanisms it belongs to, in the order of docs/model.md, section 7.
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

    number: int
    label: str
    switches: Mapping[str, tuple[Any, Any]]
    shown: str
    allied: bool = False
    ground: Mapping[str, Any] = field(default_factory=dict)
    calm: bool = False


def switch(*names: str) -> dict[str, tuple[Any, Any]]:
    """Switches that are off or on."""
    return {f"{name}.active": (False, True) for name in names}


def instrument(number: int, label: str, name: str, shown: str, **ground: Any) -> Mechanism:
    """An instrument of the alliance."""
    held = {key.replace("__", "."): value for key, value in ground.items()}
    return Mechanism(number, label, switch(f"instruments.{name}"), shown, allied=True, ground=held)


def mechanisms(config: Config) -> dict[str, Mechanism]:
    """Every mechanism that can be switched, by name, with what it is shown in."""
    dated = {"start": config.shock.start, "end": month_after(config.shock.start, 12)}
    strait = [Closure(chokepoint="malacca", **dated)]
    return {
        "enforcement": Mechanism(
            2, "Leaks of the ban", {"shock.enforcement": (1.0, 0.75)}, "price"
        ),
        "review": Mechanism(
            3, "Strategic producers", switch("producers", "tension"), "price", calm=True
        ),
        "tension": Mechanism(
            4,
            "Tension and retaliation",
            switch("tension", "instruments.retaliation"),
            "price",
            allied=True,
        ),
        "joint_procurement": instrument(5, "Joint procurement", "joint_procurement", "price"),
        "preferential_tariffs": instrument(
            5, "Preferential tariffs", "preferential_tariffs", "price"
        ),
        "stockpiles": instrument(6, "Stockpiles", "stockpiles", "price"),
        "emergency_release": instrument(
            7, "Joint emergency response", "emergency_release", "stock"
        ),
        "investment_fund": instrument(8, "Investment fund", "investment_fund", "output"),
        "price_floor": instrument(9, "Price floor", "price_floor", "output"),
        "standards": instrument(10, "Standards and tracing", "standards", "dependence"),
        "recycling": Mechanism(11, "Recycling", switch("recycling"), "output"),
        "substitution": Mechanism(12, "Substitution", switch("substitution"), "use"),
        "research": instrument(
            12,
            "Joint research",
            "research",
            "use",
            substitution__active=True,
            recycling__active=True,
        ),
        "instability": Mechanism(13, "Political instability", switch("instability"), "price"),
        "demand": Mechanism(
            14,
            "Demand: net zero",
            {
                "demand.active": (False, True),
                "demand.scenario": (DemandScenario.constant, DemandScenario.nze),
            },
            "price",
        ),
        "contracts": Mechanism(15, "Term contracts", switch("planning.contracts"), "price"),
        "idling": Mechanism(15, "Idling and restart", switch("planning.idling"), "price"),
        "depletion": Mechanism(
            15,
            "Depletion",
            switch("planning.depletion"),
            "price",
            ground={"shock.minerals": ["all"]},
            calm=True,
        ),
        "entry": Mechanism(15, "Entry with lead times", switch("planning.entry"), "price"),
        "host_metals": Mechanism(15, "Host metals", switch("planning.host_metals"), "price"),
        "hoarding": Mechanism(15, "Hoarding", {"behaviour.hoarding": (0.0, 2.0)}, "price"),
        "shipping": Mechanism(
            16,
            "Malacca closed for a year",
            {"shipping.active": (False, True), "shipping.closures": ([], strait)},
            "price",
        ),
        "accession": Mechanism(
            17, "Countries join and leave", switch("accession"), "price", allied=True
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


def pictures(outcomes: pd.DataFrame, known: Mapping[str, Mechanism], start: str) -> pd.DataFrame:
    """Paired difference on less off over time, in what each mechanism is shown in.

    Returns
    -------
    pd.DataFrame
        Columns mechanism, label, alliance, shock, start (of the shock), measure, month, p10,
        median, p90: percent, or points and dollars for dependence and treasuries.
    """
    parts = []
    for name, mechanism in known.items():
        alliance = ALLIED if mechanism.allied else ALONE
        shock = CALM if mechanism.calm else CRISIS
        rows = outcomes[
            (outcomes["mechanism"] == name)
            & (outcomes["alliance"] == alliance)
            & (outcomes["shock"] == shock)
            & (outcomes["measure"] == mechanism.shown)
        ]
        wide = rows.pivot(index=["month", "seed"], columns="switch", values="value")
        relative = MEASURES[mechanism.shown][1] == "%"
        change = 100.0 * (wide["on"] / wide["off"] - 1.0) if relative else wide["on"] - wide["off"]
        band = change.groupby(level="month").quantile([0.1, 0.5, 0.9]).unstack()
        band.columns = pd.Index(["p10", "median", "p90"])
        of = {"mechanism": name, "label": labelled(mechanism), "alliance": alliance}
        of |= {"shock": shock, "start": start, "measure": mechanism.shown}
        band = band.reset_index()
        for place, (column, value) in enumerate(of.items()):
            band.insert(place, column, value)
        parts.append(band)
    return pd.concat(parts, ignore_index=True)


def labelled(mechanism: Mechanism) -> str:
    """A mechanism's name for readers, with its number among the eighteen."""
    return f"{mechanism.label} ({mechanism.number})"


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


def ablation(effects: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """What each mechanism adds to the effect of membership: on less off, seed by seed.

    Parameters
    ----------
    labels
        Names for readers.

    Returns
    -------
    pd.DataFrame
        Columns mechanism, label, measure, mean, low, high, median, p10, p90, n and unit; prices in
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
            of = {"mechanism": name, "label": labels[name], "measure": measure}
            rows.append(of | vars(found))
    table = pd.DataFrame(rows)
    size = table[table["measure"] == "price"].set_index("mechanism")["mean"].abs()
    order = size.sort_values(ascending=False).index
    table["mechanism"] = pd.Categorical(table["mechanism"], categories=order)
    return table.sort_values(["mechanism", "measure"]).astype({"mechanism": str})


# ---------------------------------------------------------------- what is shown


def answer(outcomes: pd.DataFrame, known: Mapping[str, Mechanism], config: Config) -> Answer:
    """Sentences, figures and tables of the study."""
    over_time = pictures(outcomes, known, config.shock.start)
    effects = headline_effects(outcomes, config.shock.start)
    labels = {name: labelled(mechanism) for name, mechanism in known.items()}
    worth = ablation(effects, labels)
    drawn = [
        Drawn(
            name="mechanisms",
            title="What each mechanism does",
            caption="Difference between worlds with and without each mechanism, under the shock "
            "unless said, in the figure it acts on (depletion: all minerals): medians over paired "
            "seeds with the 80 % band. What acts through members is drawn with the alliance "
            "(blue), all else without (red). The dotted line dates the shock; numbers are those of "
            "the list of mechanisms.",
            alt="A small line chart for each mechanism of the paired difference it makes.",
            figure=mechanisms_figure(over_time),
            table=over_time,
        ),
        Drawn(
            name="ablation",
            title="What each mechanism adds to the effect of membership",
            caption="Effect of membership on members’ price and non-allied share in the first "
            f"{CRISIS_MONTHS} months of the shock, with the mechanism less without it; mean over "
            "paired seeds with the 95 % interval. Left of zero it makes membership lower price or "
            "share by more. Filled: clear of zero even though so many are tested; a hollow mark "
            "whose interval leaves out zero may be luck. Scales are even up to one point, "
            "logarithmic beyond. Numbers are those of the list of mechanisms.",
            alt="Dot and interval chart: what each mechanism adds to the effect of membership.",
            figure=ablation_figure(worth),
            table=worth,
        ),
    ]
    return Answer(
        sentences=_sentences(effects, worth),
        figures=drawn,
        tables={
            "ablation": worth.assign(clear=np.where(clear(worth), "yes", "no"))
            .drop(columns="mechanism")
            .rename(columns={"label": "mechanism"})
        },
        notes=[
            "Mechanisms are switched one at a time, all others as configured. Concentration (1) "
            "and welfare (18) are measured, not switched; the control itself (2) is in every "
            "world under the shock, and its leaks are what is switched.",
            HOLM.format(count=len(worth)),
        ],
    )


def _sentences(effects: pd.DataFrame, worth: pd.DataFrame) -> list[str]:
    base = effects[effects["mechanism"] == AS_CONFIGURED]
    price = estimate(base["price"].to_numpy(), "%", relative=True)
    first = (
        f"As configured, membership changes members’ price in the first {CRISIS_MONTHS} months of "
        f"the shock by {number(price.mean, signed=True)} % ({interval(price)})."
    )
    moved = worth["measure"] == "price"
    tested = f"of {moved.sum()} mechanisms, all tested together (Holm’s correction),"
    rows = worth[moved & clear(worth)]
    rows = (worth[moved] if rows.empty else rows).sort_values("mean", key=abs, ascending=False)
    named = [
        f"{row.label} ({number(row.mean, signed=True)} points, {number(row.low)} to "
        f"{number(row.high)})"
        for row in rows.head(NAMED).itertuples()
    ]
    if not (moved & clear(worth)).any():
        none = f"None {tested} clearly moves that effect"
        return [first, f"{none}; the largest, {named[0]}, may be luck: more seeds would tell."]
    verb = "move" if len(rows) > 1 else "moves"
    most = "most of all " * (len(rows) > NAMED) + ", ".join(named)
    return [first, f"{len(rows)} {tested} clearly {verb} that effect: {most}."]


def clear(table: pd.DataFrame) -> pd.Series:
    """Which effects of a whole table are clear, all tested together, and large enough to see."""
    return clear_together(table) & (table["mean"].abs() > NEGLIGIBLE)


def mechanisms_figure(table: pd.DataFrame) -> Figure:
    """A small panel a mechanism: the paired difference over time.

    Table: mechanism, label, alliance, shock, start, measure, month, p10, median, p90.
    """
    names = list(dict.fromkeys(table["mechanism"]))
    rows = -(-len(names) // COLUMNS)
    with style():
        figure = Figure(figsize=(DOUBLE, 0.4 + 1.35 * rows), layout="constrained")
        cells = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).reshape(-1)
        for axes, name in zip(cells, names, strict=False):
            _picture(axes, table[table["mechanism"] == name])
        for axes in cells[len(names) :]:
            axes.set_axis_off()
        for axes in cells[max(len(names) - COLUMNS, 0) : len(names)]:
            axes.tick_params(labelbottom=True)
    return figure


def _picture(axes: Axes, part: pd.DataFrame) -> None:
    at, first = dates(part["month"]), part.iloc[0]
    colour = BLUE if first["alliance"] == ALLIED else VERMILION
    axes.axhline(0.0, color="#444444", lw=0.5)
    axes.axvline(date2num(np.datetime64(first["start"])), color=GREY, lw=0.6, ls=(0, (1, 2)))
    axes.fill_between(at, part["p10"], part["p90"], color=colour, alpha=0.2, lw=0)
    axes.plot(at, part["median"], color=colour, lw=1.1)
    what, unit = MEASURES[first["measure"]]
    title = f"{first['label']}, calm" if first["shock"] == CALM else first["label"]
    axes.set_title(title, fontsize=SMALL - 0.5)
    axes.set_ylabel(f"{what}\n({unit})", fontsize=SMALL - 1)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if part[["p10", "p90"]].abs().to_numpy().max() < NEGLIGIBLE:
        axes.set_ylim(-1.0, 1.0)  # nothing moves: a flat line, not the noise of rounding
    years_axis(axes, most=4)


def ablation_figure(table: pd.DataFrame) -> Figure:
    """Rows: mechanisms, largest first; columns: the effect on price and on dependence.

    Filled where clear, all of the table tested together.

    Table: mechanism, label, measure, mean, low, high, n.
    """
    labels = dict(zip(table["mechanism"], table["label"], strict=True))
    order = list(labels)
    heads = {
        "price": "Price effect of\nmembership (points)",
        "dependence": "Share effect of\nmembership (points)",
    }
    filled = clear(table)
    with style():
        figure = Figure(figsize=(DOUBLE, 0.8 + 0.2 * len(order)), layout="constrained")
        cells = figure.subplots(1, 2, sharey=True)
        for axes, (measure, head) in zip(cells, heads.items(), strict=True):
            rows = table.assign(clear=filled)[table["measure"] == measure]
            rows = rows.set_index("mechanism").loc[order]
            axes.axvline(0.0, color="#444444", lw=0.6)
            for chosen, face in ((rows["clear"], BLUE), (~rows["clear"], "white")):
                at, part = np.flatnonzero(chosen), rows[chosen]
                axes.hlines(at, part["low"], part["high"], color=BLUE, lw=1.0)
                axes.plot(part["mean"], at, ls="none", marker="o", ms=3.5, color=BLUE, mfc=face)
            axes.grid(axis="x", color="#e5e5e5", lw=0.5)
            axes.set_xscale("symlog", linthresh=1.0, linscale=1.5)
            axes.xaxis.set_major_formatter(signed)
            axes.set_xlabel(head)
        cells[0].set_yticks(range(len(order)), [labels[name] for name in order])
        cells[0].set_ylim(len(order) - 0.4, -0.6)
    return figure


def signed(value: float, _: object = None) -> str:
    """A number of an axis, with a proper minus."""
    return f"{value:g}".replace("-", "−")
