"""Instruments of the alliance: each alone, all together, and all but one, in calm and under shocks.

The calm worlds serve all shocks: a shock is one more row of worlds, not two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from abm.config import Config, ConfigError, Control, Instrument
from abm.scenario import members_of, named_markets
from abm.world import World
from experiments.figures import Drawn
from experiments.measures.effects import CRISIS_MONTHS, Estimate, estimate
from experiments.measures.indicators import CALM, window_outcomes
from experiments.report import Answer, interval, joined, named_once, number
from experiments.studies.instrument_figures import (
    DEPENDENCE,
    LABELS,
    NAMES,
    NET_COST,
    PRICE,
    PUBLIC_COST,
    frontier_figure,
    instrument_label,
    instruments_figure,
    shock_label,
)
from experiments.studies.multiple_tests import clear_together
from experiments.study import Cell, Study, with_settings

NONE, ALL_ON, ONLY, WITHOUT = "none", "all", "only", "without"
UNITS = {
    PRICE: "%",
    DEPENDENCE: "points",
    PUBLIC_COST: "million USD a year",
    NET_COST: "million USD a year",
}
COST_HEADS = {
    "instrument": "Instrument",
    "shock": "Shock",
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
SHOCKS = "mean_of_the_shocks"
MILLION = 1e6
LEAST_POINTS = 0.1  # of dependence: dollars for less are divided by next to nothing


def instruments_study(config: Config, world: World) -> Study:
    """The worlds of the study, for the one circle of the settings and every shock it compares.

    Raises
    ------
    ConfigError
        Unless there is one circle and a shock at least.
    """
    if len(config.membership.circles) != 1:
        raise ConfigError(
            f"The study of instruments needs one circle of members, not "
            f"{len(config.membership.circles)}; give one such as membership=washington"
        )
    shocks = compared_shocks(config, world)
    ((circle, members),) = config.membership.circles.items()
    group = tuple(members_of(members, circle, world))
    calm = Control(minerals=minerals_under(shocks.values()))
    cells = [
        Cell(
            labels={"instruments": variant, "shock": name},
            config=with_settings(config, {"shock": shock, "shocks": {}, **switches}),
            membership=NONE if variant == NONE else circle,
            shocked=name != CALM,
            group=group,
        )
        for name, shock in {CALM: calm, **shocks}.items()
        for variant, switches in variants().items()
    ]
    return Study(
        title="What each instrument does, and what it costs",
        cells=cells,
        measure=window_outcomes,
        answer=answer,
    )


def compared_shocks(config: Config, world: World) -> dict[str, Control]:
    """The shocks of the study by name: that of the settings alone, else all under `shocks`.

    Raises
    ------
    ConfigError
        Where there is none, or one that could not be run or told from calm.
    """
    cure = "give one: shock=export_ban, or several: shocks=[export_ban,licence]"
    if config.shock.instrument is not Instrument.none:
        shocks, paths = {config.shock.name: config.shock}, ["shock"]
    else:
        shocks, paths = config.shocks, [f"shocks.{name}" for name in config.shocks]
        if config.shock != Control():
            raise ConfigError(
                "Settings of shock are given, but shock=none; name it too, such as "
                "shock=licence, or change one of those compared, such as shocks.licence.end=2029-01"
            )
    if not shocks:
        raise ConfigError(f"The study of instruments needs a shock; {cure}")
    for path, (name, shock) in zip(paths, shocks.items(), strict=True):
        if shock.instrument is Instrument.none or name in (CALM, NONE):
            raise ConfigError(f"{path} is no shock, or is called {CALM} or {NONE}; {cure}")
        named_markets(path, shock.minerals, shock.stages, world)
    return {name: dataclasses.replace(shock, name=name) for name, shock in shocks.items()}


def minerals_under(shocks: Iterable[Control]) -> list[str]:
    """The minerals under any of some shocks, which prices in calm are measured of."""
    listed = [["all"] if shock.family else shock.minerals for shock in shocks]
    if any(not minerals or minerals == ["all"] for minerals in listed):
        return ["all"]
    return list(dict.fromkeys(mineral for minerals in listed for mineral in minerals))


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
        package": all against all but this one), shock ("calm" for none), measure,
        seed, value. Prices are log ratios, dependence points, costs million USD a year: a public
        cost is what treasuries lose, a net cost what consumers, producers, holders of rents and
        treasuries lose.
    """
    wide = outcomes.pivot_table(
        index=["shock", "seed", "measure"], columns="instruments", values="value"
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
    """Effects by shock and seed of two worlds whose columns are measures."""
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
    keys = ["instrument", "role", "shock", "measure"]
    for key, part in table.groupby(keys, sort=False):
        measure = str(key[3])
        found = estimate(part["value"].to_numpy(), UNITS[measure], relative=measure == PRICE)
        rows.append(dict(zip(keys, key, strict=True)) | vars(found))
    return pd.DataFrame(rows)


def over_shocks(table: pd.DataFrame) -> pd.DataFrame:
    """Effects seed by seed as the mean of all shocks, each counting the same; calm is none."""
    keys = ["instrument", "role", "measure", "seed"]
    means = table[table["shock"] != CALM].groupby(keys, sort=False)["value"].mean()
    return means.reset_index().assign(shock=SHOCKS)


def cost_effectiveness(table: pd.DataFrame) -> pd.DataFrame:
    """Dollars a year for each percentage point of dependence avoided, instrument by instrument.

    The ratio of the mean cost to the mean fall of dependence, with a 95 % t-interval over seeds.
    Without a ratio where dependence does not clearly fall, by a tenth of a point at least.
    """
    rows = []
    alone = table[table["role"] == "alone"]
    for (name, shock), part in alone.groupby(["instrument", "shock"], sort=False):
        wide = part.pivot(index="seed", columns="measure", values="value")
        avoided = estimate(-wide[DEPENDENCE].to_numpy(), "points")
        row = {
            "instrument": instrument_label(str(name)),
            "shock": str(shock),
            "points_avoided": avoided.mean,
        }
        clear = avoided.clear and avoided.mean >= LEAST_POINTS
        for cost, column in ((PUBLIC_COST, "public"), (NET_COST, "net")):
            mean = low = high = np.nan
            if clear:
                found = estimate(ratios(wide, cost), "million USD a year")
                mean, low, high = found.mean, found.low, found.high
            row |= {
                f"{column}_cost_mn_usd_a_year": wide[cost].mean(),
                f"{column}_mn_usd_per_point": mean,
                f"{column}_low": low,
                f"{column}_high": high,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def ratios(wide: pd.DataFrame, cost: str = NET_COST) -> np.ndarray:
    """[seed] a cost for each point of dependence avoided, from a row a seed.

    Their mean is the ratio of the means, and their spread over seeds is its spread to first order
    (delta method): a seed that costs more than the ratio asks for its points lies above.
    """
    spent, avoided = wide[cost].to_numpy(), -wide[DEPENDENCE].to_numpy()
    ratio = spent.mean() / avoided.mean()
    found: np.ndarray = ratio + (spent - ratio * avoided) / avoided.mean()
    return found


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
        Columns shock, gain (price: percent by which members pay less; dependence: points by which
        the non-allied share falls), instrument, effect, effect_low, effect_high, cost (net, million
        USD a year), cost_low, cost_high (95 % t-intervals over seeds) and frontier (0 or 1).
    """
    found = summary(table[table["role"] == "alone"])
    wide = found.set_index(["shock", "instrument", "measure"]).unstack("measure")
    rows = []
    for shock in dict.fromkeys(found["shock"]):
        for gain in (PRICE, DEPENDENCE):
            part = wide.loc[shock]
            names = [name for name in ("all", *NAMES) if name in part.index]
            part = part.loc[names]
            effect, cost = -part["mean"][gain].to_numpy(), part["mean"][NET_COST].to_numpy()
            rows.append(
                pd.DataFrame(
                    {
                        "shock": shock,
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
    """Sentences, figures and tables of the study."""
    table = contributions(outcomes)
    # Grouping sorts by name: calm comes first, then shocks as they were named.
    order = {name: place for place, name in enumerate(dict.fromkeys(outcomes["shock"]))}
    table = table.sort_values("shock", key=lambda names: names.map(order), kind="stable")
    found = summary(table)
    several = len(order) > 2
    mean = over_shocks(table)
    costs = cost_effectiveness(pd.concat([table, mean]) if several else table)
    points = frontier_table(table)
    drawn = [
        Drawn(
            name="cost_frontier",
            title="What the money buys",
            caption="Each instrument alone and all together, against a circle that does nothing "
            "together: how far the price that members pay and their non-allied share fall, against "
            "the net cost to members (treasuries, consumers, producers and holders of rents; "
            "negative is a gain), in calm over the whole horizon and in the first "
            f"{CRISIS_MONTHS} months of each shock. Means over paired seeds with 95 % t-intervals; "
            "numbers stand beside their dots. The line joins what no other instrument, nor doing "
            "nothing, beats in both: blue; the grey ones are beaten. Scales differ by panel.",
            alt=_alt_of_frontier(points),
            figure=frontier_figure(points),
            table=points,
        ),
        Drawn(
            name="instruments",
            title="Effect on price, dependence and cost",
            caption="Effect on the members of each instrument alone (filled, against a circle that "
            "does nothing together) and as the last one added to the package (hollow, all against "
            f"all but this one), in calm over the whole horizon and in the first {CRISIS_MONTHS} "
            "months of each shock. Means over paired seeds with 95 % t-intervals; one scale a "
            "column. Price and non-allied share: the refined minerals under the shock, in calm "
            "those under any. Net cost: what members’ consumers, producers, holders of rents and "
            "treasuries lose together; negative is a gain.",
            alt=_alt(found),
            figure=instruments_figure(found),
            table=found,
        ),
    ]
    shown = costs.assign(shock=costs["shock"].map(shock_label))
    return Answer(
        sentences=_sentences(mean, [name for name in order if name != CALM]),
        figures=drawn,
        tables={
            "net_cost_of_a_point_of_dependence_avoided": by_shock(shown),
            "dollars_per_point_of_dependence_avoided": shown.rename(columns=COST_HEADS),
        },
        notes=[
            "Cost per point is the mean cost a year over the mean fall of the non-allied share, in "
            "percentage points, each instrument alone, with its 95 % t-interval (delta method). It "
            f"is left out where dependence does not clearly fall, by {LEAST_POINTS:g} points at "
            "least; negative is a gain.",
            "The finding is on the mean of the shocks, each counting the same. What pays for "
            "itself comes first, the largest gain before all. “Clearly” is by the 95 % interval of "
            "the paired difference from the next. To be named, an instrument must be clear with "
            "all of them tested together (Holm’s correction).",
            f"Every instrument stands in {len(outcomes['instruments'].unique())} combinations in "
            f"calm and under {len(order) - 1} shock{'s' * several}: "
            f"{len(outcomes[['instruments', 'shock']].drop_duplicates())} worlds a seed. The calm "
            "worlds are shared by all shocks.",
        ],
    )


def by_shock(costs: pd.DataFrame) -> pd.DataFrame:
    """Net cost of a point of dependence avoided: a row an instrument, a column a shock."""
    wide = costs.pivot(index="instrument", columns="shock", values="net_mn_usd_per_point")
    wide = wide.loc[list(dict.fromkeys(costs["instrument"])), list(dict.fromkeys(costs["shock"]))]
    return wide.rename_axis(index="Million US$ a year", columns=None).reset_index()


def _estimates(found: pd.DataFrame, name: str, measure: str) -> dict[str, Estimate]:
    """Of an instrument alone, or of all together, by shock."""
    rows = found[
        (found["instrument"] == name) & (found["role"] == "alone") & (found["measure"] == measure)
    ]
    names = [item.name for item in dataclasses.fields(Estimate)]
    return {
        str(row["shock"]): Estimate(**{name: row[name] for name in names})
        for row in rows.to_dict("records")
    }


def under(shock: str) -> str:
    """Where an effect holds, as in a sentence."""
    return "in calm" if shock == CALM else f"under the {shock_label(shock).lower()}"


def _sentences(mean: pd.DataFrame, shocks: Sequence[str]) -> list[str]:
    """The answer in two sentences, from the effects seed by seed as the mean of some shocks."""
    by = {name: part for name, part in mean.groupby("instrument", sort=False)}
    alone = {
        str(name): part[part["role"] == "alone"].pivot(
            index="seed", columns="measure", values="value"
        )
        for name, part in by.items()
    }
    names = [shock_label(name).lower() for name in shocks]
    where = f"a shock (mean of {joined(names)})" if len(names) > 1 else f"the {names[0]}"
    package = alone["all"]
    price = estimate(package[PRICE].to_numpy(), "%", relative=True)
    share = estimate(package[DEPENDENCE].to_numpy(), "points")
    return named_once(
        [
            f"In the first {CRISIS_MONTHS} months of {where}, {best_buy(mean, alone)}.",
            f"The price that members pay {lowest_price(alone)}; all {len(alone) - 1} instruments "
            f"together change that price by {number(price.mean, signed=True)} % "
            f"({interval(price)}) and the share by {number(share.mean, signed=True)} percentage "
            f"points ({interval(share)}).",
        ]
    )


def best_buy(mean: pd.DataFrame, alone: Mapping[str, pd.DataFrame]) -> str:
    """What buys most for its money, and whether clearly more than the next.

    That is the instrument which alone avoids a point of dependence at the least net cost, of those
    that clearly avoid any, all tested together; of those that gain money, the one that gains most.
    """
    falls = {name: estimate(-alone[name][DEPENDENCE].to_numpy(), "points") for name in NAMES}
    clear = clear_ones(falls)
    costs = cost_effectiveness(mean[mean["instrument"].isin(clear)])
    share = "members’ non-allied share of purchases"
    if not clear or costs["net_mn_usd_per_point"].isna().all():
        return f"none of the {len(NAMES)} instruments alone clearly lowers {share}"
    costs.index = pd.Index([name for name in dict.fromkeys(mean["instrument"]) if name in clear])
    costs = costs.dropna(subset="net_mn_usd_per_point")
    order = costs.assign(paid=costs["net_mn_usd_per_point"].clip(lower=0.0)).sort_values(
        ["paid", "net_cost_mn_usd_a_year"]
    )
    best = order.iloc[0]
    fall = falls[str(order.index[0])]
    text = (
        f"{best['instrument'].lower()} buys most for its money of the {len(alone) - 1} instruments "
        f"alone: {share} falls by {number(fall.mean)} percentage points ({interval(fall)}), each "
        f"at a net {per_point(best)}"
    )
    if len(order) == 1:
        return f"{text}; no other clearly lowers that share"
    gains = (order["net_mn_usd_per_point"].iloc[:2] < 0.0).all()
    first, second = (
        alone[name][NET_COST].to_numpy() if gains else ratios(alone[name])
        for name in order.index[:2]
    )
    clearly = "" if estimate(first - second, "million USD a year").clear else "not "
    following = order.iloc[1]
    return (
        f"{text}, {clearly}clearly ahead of the next, {following['instrument'].lower()} "
        f"at a {per_point(following)}"
    )


def clear_ones(lowered: Mapping[str, Estimate]) -> list[str]:
    """Instruments that clearly lower something, all of them tested together, the most first."""
    tests = pd.DataFrame([vars(found) for found in lowered.values()], index=list(lowered))
    rows = tests[clear_together(tests) & (tests["mean"] > 0.0)]
    return [str(name) for name in rows.sort_values("mean", ascending=False).index]


def per_point(costs: pd.Series) -> str:
    """The net cost or gain of a point of dependence avoided, with its 95 % interval."""
    mean, low, high = (costs[f"net_{name}"] for name in ("mn_usd_per_point", "low", "high"))
    word = "cost"
    if mean < 0.0:
        word, mean, low, high = "gain", -mean, -high, -low
    return (
        f"{word} of {number(mean)} million US$ a year (95 % interval {number(low)} to "
        f"{number(high)})"
    )


def lowest_price(alone: Mapping[str, pd.DataFrame]) -> str:
    """The instrument that alone lowers the price most, and whether clearly more than the next."""
    known = {name: alone[name][PRICE].to_numpy() for name in NAMES}
    clear = clear_ones({name: estimate(-known[name], "log") for name in NAMES})
    order = sorted(known, key=lambda name: (name not in clear[:1], known[name].mean()))
    if not clear:
        return "clearly falls with none of them alone"
    best = estimate(known[order[0]], "%", relative=True)
    less = estimate(known[order[0]] - known[order[1]], "%", relative=True)
    clearly = "" if less.clear else "not "
    return (
        f"falls clearly, and most, with {LABELS[order[0]].lower()} alone "
        f"({number(best.mean, signed=True)} %, {interval(best)}), {clearly}clearly more than with "
        f"{LABELS[order[1]].lower()}"
    )


def _alt(found: pd.DataFrame) -> str:
    price = _estimates(found, "all", PRICE)
    told = ", ".join(f"{under(n)} {number(e.mean, signed=True)} %" for n, e in price.items())
    return (
        "Dot and interval charts of every instrument’s effect on price, dependence and cost, a row "
        f"of panels for calm and for each shock. All together change the price: {told}."
    )


def _alt_of_frontier(points: pd.DataFrame) -> str:
    lead = points[(points["frontier"] == 1) & (points["gain"] == DEPENDENCE)]
    parts = []
    for shock in dict.fromkeys(points["shock"]):
        names = lead.loc[lead["shock"] == shock, "instrument"]
        named = ", ".join(instrument_label(name).lower() for name in names)
        parts.append(f"{under(shock)} {named or 'nothing but doing nothing'}")
    return (
        "Scatter charts of effect against net cost, a row for calm and for each shock. On the "
        f"frontier for the non-allied share: {'; '.join(parts)}."
    )
