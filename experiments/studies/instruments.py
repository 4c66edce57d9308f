"""Instruments of the alliance: each alone, all together, and all but one, in calm and crisis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from abm.config import Config, ConfigError, Instrument, Instruments
from abm.scenario import members_of
from abm.world import World
from experiments.figures import BLACK, BLUE, DOUBLE, GREY, SMALL, VERMILION, Drawn, style
from experiments.measures.effects import Estimate, estimate
from experiments.measures.indicators import CALM, CRISIS, window_outcomes
from experiments.report import Answer, interval, number
from experiments.study import Cell, Study, with_settings

NONE, ALL_ON, ONLY, WITHOUT = "none", "all", "only", "without"
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
UNITS = {
    PRICE: "%",
    DEPENDENCE: "points",
    PUBLIC_COST: "million USD a year",
    NET_COST: "million USD a year",
}
HEADS = {
    PRICE: "Landed price (%)",
    DEPENDENCE: "Non-allied share (points)",
    PUBLIC_COST: "Public cost (million US$ a year)",
    NET_COST: "Net cost (million US$ a year)",
}
GAINS = {
    PRICE: "Landed price, fall (%)",
    DEPENDENCE: "Non-allied share, fall (points)",
}
COST_HEADS = {
    "points_avoided": "Points of dependence avoided",
    "public_cost_mn_usd_a_year": "Public cost, million US$ a year",
    "public_mn_usd_per_point": "Public, million US$ a point",
    "public_low": "Public, 95 % low",
    "public_high": "Public, 95 % high",
    "net_cost_mn_usd_a_year": "Net cost, million US$ a year",
    "net_mn_usd_per_point": "Net, million US$ a point",
    "net_low": "Net, 95 % low",
    "net_high": "Net, 95 % high",
}
MILLION = 1e6
RESAMPLES = 2000


def instruments_study(config: Config, world: World) -> Study:
    """The worlds of the study, for the one circle of the settings.

    Raises
    ------
    ConfigError
        Unless there is one circle and a shock.
    """
    if len(config.membership.circles) != 1:
        raise ConfigError(
            f"The study of instruments needs one circle of members, not "
            f"{len(config.membership.circles)}; give one such as membership=washington"
        )
    if config.shock.instrument is Instrument.none:
        raise ConfigError("The study of instruments needs a shock; give one: shock=export_ban")
    ((circle, members),) = config.membership.circles.items()
    group = tuple(members_of(members, circle, world))
    cells = [
        Cell(
            labels={"instruments": variant, "shock": CRISIS if shocked else CALM},
            config=with_settings(config, switches),
            membership=NONE if variant == NONE else circle,
            shocked=shocked,
            group=group,
        )
        for shocked in (False, True)
        for variant, switches in variants().items()
    ]
    return Study(
        title="What each instrument does, and what it costs",
        cells=cells,
        measure=window_outcomes,
        answer=answer,
    )


def variants() -> dict[str, dict[str, bool]]:
    """Which instruments are switched on, by the name of the variant."""

    def switches(on: Sequence[str]) -> dict[str, bool]:
        return {f"instruments.{name}.active": name in on for name in NAMES}

    alone = {f"{ONLY} {name}": switches([name]) for name in NAMES}
    but_one = {f"{WITHOUT} {name}": switches([n for n in NAMES if n != name]) for name in NAMES}
    return {NONE: switches([]), ALL_ON: switches(NAMES), **alone, **but_one}


def contributions(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Paired effects of every instrument, seed by seed.

    Returns
    -------
    pd.DataFrame
        Columns instrument ("all" for the package), role ("alone": against no instrument; "in the
        package": all against all but this one), window, measure, seed, value. Prices are log
        ratios, dependence points, costs million USD a year: a public cost is what treasuries lose,
        a net cost what consumers, producers, holders of rents and treasuries lose.
    """
    wide = outcomes.pivot_table(
        index=["window", "seed", "measure"], columns="instruments", values="value"
    )
    rows = []
    for name in ("all", *NAMES):
        pairs = {"alone": (f"{ONLY} {name}", NONE), "in the package": (ALL_ON, f"{WITHOUT} {name}")}
        if name == "all":
            pairs = {"alone": (ALL_ON, NONE)}
        for role, (with_, without) in pairs.items():
            found = _effects(wide[with_].unstack("measure"), wide[without].unstack("measure"))
            rows.append(found.assign(instrument=name, role=role))
    return pd.concat(rows, ignore_index=True)


def _effects(with_: pd.DataFrame, without: pd.DataFrame) -> pd.DataFrame:
    """Effects by window and seed of two worlds whose columns are measures."""
    change = with_ - without
    public = -change["treasury"] / MILLION
    effects = pd.DataFrame(
        {
            PRICE: np.log(with_["price"] / without["price"]),
            DEPENDENCE: change["dependence"],
            PUBLIC_COST: public,
            NET_COST: public
            - (change["consumers"] + change["producers"] + change["rents"]) / MILLION,
        }
    )
    return effects.rename_axis(columns="measure").stack().rename("value").reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean with 95 % interval, median and 80 % band over seeds of every contribution."""
    rows = []
    keys = ["instrument", "role", "window", "measure"]
    for key, part in table.groupby(keys, sort=False):
        measure = str(key[3])
        found = estimate(part["value"].to_numpy(), UNITS[measure], relative=measure == PRICE)
        rows.append(dict(zip(keys, key, strict=True)) | vars(found))
    return pd.DataFrame(rows)


def cost_effectiveness(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Dollars a year for each percentage point of dependence avoided, instrument by instrument.

    The ratio of the mean cost to the mean fall of dependence, with a 95 % interval from resampled
    seeds (percentile bootstrap). Without a ratio where dependence does not clearly fall.
    """
    draws = np.random.default_rng(seed)
    rows = []
    alone = table[table["role"] == "alone"]
    for (name, window), part in alone.groupby(["instrument", "window"], sort=False):
        wide = part.pivot(index="seed", columns="measure", values="value")
        chosen = draws.integers(0, len(wide), (RESAMPLES, len(wide)))
        avoided = -wide[DEPENDENCE].to_numpy()
        row = {
            "instrument": LABELS.get(str(name), "All together"),
            "window": window,
            "points_avoided": avoided.mean(),
        }
        clear = np.quantile(avoided[chosen].mean(axis=1), 0.025) > 0
        for cost, column in ((PUBLIC_COST, "public"), (NET_COST, "net")):
            spent = wide[cost].to_numpy()
            low = high = np.nan
            if clear:
                ratios = spent[chosen].mean(axis=1) / avoided[chosen].mean(axis=1)
                low, high = np.quantile(ratios, [0.025, 0.975])
            row |= {
                f"{column}_cost_mn_usd_a_year": spent.mean(),
                f"{column}_mn_usd_per_point": spent.mean() / avoided.mean() if clear else np.nan,
                f"{column}_low": low,
                f"{column}_high": high,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def frontier_table(table: pd.DataFrame) -> pd.DataFrame:
    """What each instrument alone, and all together, buys and costs, and which of them lead.

    An instrument is on the frontier if none gives as much for less, or more for as much: the means
    over seeds decide. Doing nothing, at zero and zero, competes too.

    Parameters
    ----------
    table
        Effects seed by seed, as from `contributions`.

    Returns
    -------
    pd.DataFrame
        Columns window, gain (price: percent by which members pay less; dependence: points by which
        the non-allied share falls), instrument, effect, effect_low, effect_high, cost (net, million
        USD a year), cost_low, cost_high (95 % t-intervals over seeds) and frontier (0 or 1).
    """
    found = summary(table[table["role"] == "alone"])
    wide = found.set_index(["window", "instrument", "measure"]).unstack("measure")
    rows = []
    for window in dict.fromkeys(found["window"]):
        for gain in (PRICE, DEPENDENCE):
            part = wide.loc[window]
            names = [name for name in ("all", *NAMES) if name in part.index]
            part = part.loc[names]
            effect, cost = -part["mean"][gain].to_numpy(), part["mean"][NET_COST].to_numpy()
            rows.append(
                pd.DataFrame(
                    {
                        "window": window,
                        "gain": gain,
                        "instrument": names,
                        "effect": effect,
                        "effect_low": -part["high"][gain].to_numpy(),
                        "effect_high": -part["low"][gain].to_numpy(),
                        "cost": cost,
                        "cost_low": part["low"][NET_COST].to_numpy(),
                        "cost_high": part["high"][NET_COST].to_numpy(),
                        "frontier": leading(effect, cost).astype(int),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def leading(effect: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Whether each option is beaten by none: not by another one, and not by doing nothing."""
    effects, costs = np.append(effect, 0.0), np.append(cost, 0.0)
    no_worse = (effects >= effect[:, None]) & (costs <= cost[:, None])
    better = (effects > effect[:, None]) | (costs < cost[:, None])
    return ~(no_worse & better).any(axis=1)


# ---------------------------------------------------------------- what is shown


def answer(outcomes: pd.DataFrame, world: World) -> Answer:
    """Sentences, figure and table of the study."""
    table = contributions(outcomes)
    found = summary(table)
    costs = cost_effectiveness(table)
    drawn = Drawn(
        name="instruments",
        title="Effect on price, dependence and cost",
        caption="Effect on the members of each instrument alone (filled, against a circle that "
        "does nothing together) and as the last one added to the package (hollow, all against all "
        "but this one), in calm over the whole horizon and in the first 24 months of the shock. "
        "Means over paired seeds with 95 % t-intervals. Price and non-allied share: the refined "
        "minerals under the shock. Net cost: what members’ consumers, producers, holders of "
        "rents and treasuries lose together; negative is a gain.",
        alt=_alt(found),
        figure=instruments_figure(found),
        table=found,
    )
    return Answer(
        sentences=_sentences(found, costs),
        figures=[drawn, _drawn_frontier(table)],
        tables={"dollars_per_point_of_dependence_avoided": costs.rename(columns=COST_HEADS)},
        notes=[
            "Cost per point is the mean cost a year over the mean fall of the non-allied share, in "
            "percentage points, each instrument alone; its interval comes from resampled seeds. It "
            "is left out where dependence does not clearly fall.",
        ],
    )


def _estimate(found: pd.DataFrame, name: str, window: str, measure: str) -> Estimate:
    row = found[
        (found["instrument"] == name)
        & (found["role"] == "alone")
        & (found["window"] == window)
        & (found["measure"] == measure)
    ].iloc[0]
    return Estimate(**{item.name: row[item.name] for item in fields(Estimate)})


def _sentences(found: pd.DataFrame, costs: pd.DataFrame) -> list[str]:
    price = _estimate(found, "all", CRISIS, PRICE)
    share = _estimate(found, "all", CRISIS, DEPENDENCE)
    first = (
        "All instruments together change the price that members pay in the crisis by "
        f"{number(price.mean, signed=True)} % ({interval(price)}) and their non-allied share by "
        f"{number(share.mean, signed=True)} percentage points ({interval(share)})."
    )
    alone = found[
        (found["role"] == "alone") & (found["window"] == CRISIS) & (found["instrument"] != "all")
    ]
    most = alone[alone["measure"] == PRICE].sort_values("mean").iloc[0]
    second = (
        f"Alone, {LABELS[most['instrument']].lower()} lowers the price most "
        f"({number(most['mean'], signed=True)} %)"
    )
    cheap = costs[(costs["window"] == CALM) & costs["net_mn_usd_per_point"].notna()]
    cheap = cheap[cheap["instrument"] != "All together"].sort_values("net_mn_usd_per_point")
    if len(cheap):
        row = cheap.iloc[0]
        second += (
            f"; {str(row['instrument']).lower()} avoids a point of dependence in calm at the least "
            f"net cost ({number(row['net_mn_usd_per_point'], signed=True)} million US$ a year)"
        )
    return [first, second + "."]


def _alt(found: pd.DataFrame) -> str:
    price = _estimate(found, "all", CRISIS, PRICE)
    return (
        "Dot and interval chart of every instrument’s effect on price, dependence and cost; all "
        f"together change the crisis price by {number(price.mean, signed=True)} %."
    )


def _drawn_frontier(table: pd.DataFrame) -> Drawn:
    points = frontier_table(table)
    lead = points[(points["frontier"] == 1) & (points["gain"] == DEPENDENCE)]
    named = ", ".join(_name(name).lower() for name in dict.fromkeys(lead["instrument"]))
    return Drawn(
        name="cost_frontier",
        title="What the money buys",
        caption="Each instrument alone and all together, against a circle that does nothing "
        "together: how far the price that members pay and their non-allied share fall, against the "
        "net cost to members (treasuries, consumers, producers and holders of rents; negative is "
        "a gain). Means over paired seeds with 95 % t-intervals. The line joins what no other "
        "instrument, nor doing nothing, beats in both: filled; the hollow ones are beaten.",
        alt="Scatter charts of effect against net cost, one a window and effect. On the frontier "
        f"for the non-allied share: {named or 'nothing but doing nothing'}.",
        figure=frontier_figure(points),
        table=points,
    )


def _name(instrument: str) -> str:
    return LABELS.get(instrument, "All together")


def frontier_figure(points: pd.DataFrame) -> Figure:
    """Effect against net cost: a row a window, a column an effect, with the frontier.

    Table: window, gain, instrument, effect, effect_low, effect_high, cost, cost_low, cost_high,
    frontier.
    """
    windows = list(dict.fromkeys(points["window"]))
    with style():
        figure = Figure(figsize=(DOUBLE, 0.7 + 2.5 * len(windows)), layout="constrained")
        cells = figure.subplots(len(windows), len(GAINS), squeeze=False)
        for window, line in zip(windows, cells, strict=True):
            for (gain, head), axes in zip(GAINS.items(), line, strict=True):
                part = points[(points["window"] == window) & (points["gain"] == gain)]
                _frontier_panel(axes, part)
                axes.set_title(f"{str(window).capitalize()}", fontsize=SMALL)
                axes.set_xlabel("Net cost (million US$ a year)")
                axes.set_ylabel(head)
        handles = [
            Line2D([], [], ls="none", marker=f"${_mark(name)}$", ms=5.0, color=BLACK,
                   label=_name(name))
            for name in dict.fromkeys(points["instrument"])
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _frontier_panel(axes: Axes, part: pd.DataFrame) -> None:
    """Numbered points with both intervals, and the frontier as steps from doing nothing."""
    axes.axhline(0.0, color="#444444", lw=0.6, zorder=1)
    axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
    lead = part["frontier"] == 1
    for rows, colour, face in ((part[~lead], GREY, "white"), (part[lead], BLUE, BLUE)):
        axes.hlines(rows["effect"], rows["cost_low"], rows["cost_high"], color=colour, lw=0.8)
        axes.vlines(rows["cost"], rows["effect_low"], rows["effect_high"], color=colour, lw=0.8)
        axes.plot(
            rows["cost"], rows["effect"], ls="none", marker="o", ms=8.0, mew=0.8, color=colour,
            mfc=face, zorder=3,
        )  # fmt: skip
    for row in part.to_dict("records"):
        axes.text(
            row["cost"], row["effect"], _mark(row["instrument"]), fontsize=SMALL, ha="center",
            va="center_baseline", zorder=4, color="white" if row["frontier"] else "#333333",
        )  # fmt: skip
    steps = part[lead].sort_values("cost")[["cost", "effect"]].to_numpy()
    if (part.loc[lead, "cost"] > 0.0).all():
        steps = np.concatenate([np.zeros((1, 2)), steps])
    axes.plot(*steps.T, color=BLUE, lw=1.0, ls=(0, (4, 1.5)), drawstyle="steps-post", zorder=2)
    axes.margins(0.08)


def _mark(instrument: str) -> str:
    """The number of an instrument in the figure, A for all together."""
    return f"{NAMES.index(instrument) + 1}" if instrument in NAMES else "A"


def instruments_figure(found: pd.DataFrame) -> Figure:
    """Rows: instruments; columns: price, non-allied share, public and net cost.

    Table: instrument, role, window, measure, mean, low, high.
    """
    order = ["all", *(name for name in NAMES if name in set(found["instrument"]))]
    colours = {CALM: BLUE, CRISIS: VERMILION}
    with style():
        figure = Figure(figsize=(DOUBLE, 1.1 + 0.34 * len(order)), layout="constrained")
        cells = figure.subplots(1, len(HEADS), sharey=True)
        for axes, (measure, head) in zip(cells, HEADS.items(), strict=True):
            _panel(axes, found[found["measure"] == measure], order, colours)
            axes.set_xlabel(head)
        cells[0].set_yticks(range(len(order)), ["All together", *(LABELS[n] for n in order[1:])])
        cells[0].set_ylim(len(order) - 0.4, -0.6)
        handles = [
            *(
                Line2D(
                    [], [], color=colours[w], marker="o", ms=3.5, ls="none", label=w.capitalize()
                )
                for w in colours
            ),
            Line2D([], [], color="#444444", marker="o", ms=3.5, ls="none", label="Alone"),
            Line2D(
                [],
                [],
                color="#444444",
                marker="o",
                ms=3.5,
                ls="none",
                mfc="white",
                label="Last one added to the package",
            ),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _panel(
    axes: Axes, part: pd.DataFrame, order: Sequence[str], colours: Mapping[str, str]
) -> None:
    axes.axvline(0.0, color="#444444", lw=0.6, zorder=1)
    offsets = {(CALM, "alone"): -0.27, (CALM, "in the package"): -0.09,
               (CRISIS, "alone"): 0.09, (CRISIS, "in the package"): 0.27}  # fmt: skip
    for (window, role), offset in offsets.items():
        rows = part[(part["window"] == window) & (part["role"] == role)]
        rows = rows.set_index("instrument").reindex(list(order))
        at = np.arange(len(order)) + offset
        face = colours[window] if role == "alone" else "white"
        axes.hlines(at, rows["low"], rows["high"], color=colours[window], lw=1.0, zorder=2)
        axes.plot(
            rows["mean"], at, ls="none", marker="o", ms=3.2, mew=0.8, color=colours[window],
            mfc=face, zorder=3,
        )  # fmt: skip
    axes.grid(axis="x", color="#e5e5e5", lw=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=SMALL)
