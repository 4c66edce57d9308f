"""How severe a control pays for whom it is aimed at, by how wide the alliance is.

Every cell is a circle and a severity, paired with the same circle under the same seed without the
control. The circles are nested, so that coverage grows country by country.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from abm.config import Circle, Config, ConfigError, Control, Instrument, Ordering
from abm.scenario import members_of, named_markets
from abm.world import World
from experiments.figures import Drawn, mineral_label
from experiments.measures.effects import ALL, estimate
from experiments.measures.indicators import (
    basket_price,
    basket_rows,
    dependence,
    window_months,
)
from experiments.phase.figures import frontier_figure, phase_figure
from experiments.phase.frontier import FROM, LOSES, MIXED, PAYS, UP_TO, frontier
from experiments.phase.worth import PARTS, worth
from experiments.report import Answer, number
from experiments.studies.paired import AgainstCalm, Pair
from experiments.study import Cell, Study, with_settings

MEMBERS_PRICE, OUTSIDE_PRICE, HOME_PRICE = "members_price", "outside_price", "home_price"
DEPENDENCE, GAIN = "dependence", "gain"
MONEY = (*PARTS, GAIN)
UNITS = {
    MEMBERS_PRICE: "%",
    OUTSIDE_PRICE: "%",
    HOME_PRICE: "%",
    DEPENDENCE: "points",
    **dict.fromkeys(MONEY, "million USD a year"),
}
AXES = ("members", "coverage", "severity")
MILLION = 1e6


def phase_study(config: Config, world: World) -> Study:
    """The grid of the settings.

    Raises
    ------
    ConfigError
        Without a circle or a control, or where severities do not rise.
    """
    check_grid(config)
    circles = nested(config, world)
    coverage = {name: covered(config, world, members) for name, members in circles.items()}
    since = min(circle.since for circle in config.membership.circles.values())
    config = with_settings(
        config,
        {
            "membership.circles": {
                name: Circle(add=list(members), since=since) for name, members in circles.items()
            },
            "membership.cases": {},
        },
    )
    cells = [
        Cell(
            labels={
                "members": f"{len(members)}",
                "coverage": f"{coverage[name]:.6g}",
                "severity": f"{severity:.6g}",
            },
            config=replace(config, shock=of_severity(config.shock, severity)),
            membership=name,
            shocked=True,
            group=members,
        )
        for name, members in circles.items()
        for severity in config.phase.severities
    ]
    return Study(
        title="Where retaliation pays no more: severity of a control and coverage of the alliance",
        cells=cells,
        measure=phase_outcomes,
        answer=lambda outcomes, world: answer(outcomes, world, config),
        job=AgainstCalm.of(config),
        together=len(config.phase.severities),
    )


def check_grid(config: Config) -> None:
    """Refuse settings that give no grid."""
    if not config.membership.circles or config.shock.instrument is Instrument.none:
        raise ConfigError(
            "The study of phases needs a circle of members and a control; give some such as "
            "membership=forge shock=export_ban"
        )
    if config.shock.instrument is Instrument.dumping:
        raise ConfigError(
            "shock.instrument is dumping, which withholds nothing; give ban, quota, licence or tax"
        )
    severities = config.phase.severities
    if len(severities) < 2 or any(b <= a for a, b in pairwise(severities)):
        raise ConfigError(
            f"phase.severities is {severities}; give at least two that rise, such as [0.5,1.0]"
        )


def of_severity(control: Control, severity: float) -> Control:
    """The control made so severe that it puts this share of normal trade at stake.

    A ban below severity 1 is a quota that lets the rest go, with as many smugglers, in proportion,
    as get past the ban: at severity 1 it is the ban itself. A tax is as severe as half its rate.
    """
    if control.instrument is Instrument.ban:
        if severity >= 1.0:
            return replace(control)
        return replace(
            control,
            instrument=Instrument.quota,
            quota_share=1.0 - severity,
            quota_tonnes=-1.0,
            smuggled_share=severity * (1.0 - control.enforcement),
        )
    strength: dict[Instrument, dict[str, Any]] = {
        Instrument.quota: {"quota_share": 1.0 - severity, "quota_tonnes": -1.0},
        Instrument.licence: {"approval_share": 1.0 - severity},
        Instrument.tax: {"rate": 2.0 * severity},
    }
    return replace(control, **strength[control.instrument])


# ---------------------------------------------------------------- how wide the alliance is


def nested(config: Config, world: World) -> dict[str, tuple[str, ...]]:
    """Circles, each within the next, by name, from the smallest to all countries of the settings.

    Their coverage rises in steps as equal as the countries allow.
    """
    order = ordered_members(config, world)
    sizes = nested_sizes(
        [covered(config, world, order[:count]) for count in range(1, len(order) + 1)],
        config.phase.steps,
    )
    return {f"first_{size}": tuple(order[:size]) for size in sizes}


def nested_sizes(coverage: Sequence[float], steps: int) -> list[int]:
    """Sizes of circles, at most `steps`, from running coverage; the last holds all countries.

    Each is the size whose coverage comes nearest to an equal part of the whole.
    """
    running = np.array(coverage)
    wanted = running[-1] * np.arange(1, steps + 1) / steps
    return sorted({int(np.abs(running - goal).argmin()) + 1 for goal in wanted} | {len(coverage)})


def ordered_members(config: Config, world: World) -> list[str]:
    """Countries of all circles but the exporter, in the order of the settings."""
    since: dict[str, str] = {}
    for name, circle in config.membership.circles.items():
        listed = world.circles.get(circle.table, {})
        for code in members_of(circle, name, world):
            joins = circle.joins.get(code, listed.get(code, circle.since))
            since[code] = min(since.get(code, joins), joins)
    since.pop(config.shock.by, None)
    if not since:
        raise ConfigError(
            f"The circles of the run hold nobody but {config.shock.by}, who imposes the control; "
            "give others such as membership=forge"
        )
    use = dict(zip(world.countries, use_under_control(config, world), strict=True))
    by_date = config.phase.order is Ordering.accession
    return sorted(since, key=lambda code: (since[code] if by_date else "", -use[code], code))


def use_under_control(config: Config, world: World) -> np.ndarray:
    """[country] share of each in the use of the minerals under control, the exporter left out.

    Final use and refiners' feed at opening prices; every mineral counts by its value.
    """
    control = config.shock
    rows = named_markets("shock", list(control.minerals), list(control.stages), world)
    used = world.opening.final_use[rows].sum(axis=2) + world.opening.feed_use[rows]
    value = (used * world.world_price[rows, None]).sum(axis=0)
    value[world.country(control.by)] = 0.0
    return value / value.sum()


def covered(config: Config, world: World, members: Sequence[str]) -> float:
    """Percent of the use outside the exporter that members hold."""
    use = use_under_control(config, world)
    return float(100.0 * use[np.isin(world.countries, list(members))].sum())


# ---------------------------------------------------------------- what is measured


def phase_outcomes(pair: Pair, cell: Cell) -> pd.DataFrame:
    """What a control did, by mineral and for all of them, over no control.

    Returns
    -------
    pd.DataFrame
        Columns mineral, measure, value and level: change of the prices that members, all but the
        exporter, and the exporter's own buyers pay (percent, refined minerals, first 24 months);
        of the members' non-allied share of purchases (points; the level under control beside it);
        and of the parts of the producer's objective and their sum `gain` (million USD a year).
    """
    world, shock = pair.struck.world, cell.config.shock
    months = window_months(cell, pair.struck.record.member.shape[0])
    minerals = [world.minerals[k] for k in minerals_of(shock, world)]
    exporter = world.country(shock.by)
    parts = worth(pair, exporter, months)
    held = named_markets("shock", list(shock.minerals), list(shock.stages), world)
    rows = []
    for name, chosen in [*((mineral, [mineral]) for mineral in minerals), (ALL, minerals)]:
        found = price_changes(pair, cell, chosen, months)
        here = [row for row in held if world.markets[row][0] in chosen]
        money = {part: float(values[here].sum()) / MILLION for part, values in parts.items()}
        money[GAIN] = sum(money.values())
        rows += [(name, measure, value, level) for measure, value, level in found]
        rows += [(name, measure, value, np.nan) for measure, value in money.items()]
    return pd.DataFrame(rows, columns=["mineral", "measure", "value", "level"])


def minerals_of(control: Control, world: World) -> list[int]:
    """Numbers of the minerals under control, in the order of the world."""
    rows = named_markets("shock", list(control.minerals), list(control.stages), world)
    return sorted({int(world.mineral_of_market[row]) for row in rows})


def price_changes(
    pair: Pair, cell: Cell, minerals: Sequence[str], months: slice
) -> list[tuple[str, float, float]]:
    """Measure, change and level of prices (index, opening 1) and dependence (percent)."""
    world = pair.struck.world
    rows = basket_rows(world, minerals)
    home = np.isin(world.countries, [cell.config.shock.by])
    members = np.isin(world.countries, cell.group)
    found = []
    for name, group in (
        (MEMBERS_PRICE, members),
        (OUTSIDE_PRICE, ~home),
        (HOME_PRICE, home),
    ):
        calm, struck = (float(basket_price(model, rows, group)[months].mean()) for model in pair)
        found.append((name, 100.0 * (struck / calm - 1.0), struck))
    before, after = (dependence(model, rows, members, months) for model in pair)
    return [*found, (DEPENDENCE, after - before, after)]


# ---------------------------------------------------------------- what was found


def effects(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Mean effects of every cell with intervals over seeds.

    Returns
    -------
    pd.DataFrame
        Columns members, coverage (percent), severity, mineral, measure, level (mean, where there is
        one), then mean, low, high (95 % t-interval), median, p10, p90, n and unit.
    """
    keys = [*AXES, "mineral", "measure"]
    rows = []
    for key, part in numbered(outcomes).groupby(keys, sort=False):
        found = vars(estimate(part["value"].to_numpy(), UNITS[str(key[-1])]))
        rows.append(dict(zip(keys, key, strict=True)) | {"level": part["level"].mean()} | found)
    return pd.DataFrame(rows)


def numbered(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The outcomes with the axes of the grid as numbers."""
    return outcomes.assign(
        members=outcomes["members"].astype(int),
        coverage=outcomes["coverage"].astype(float),
        severity=outcomes["severity"].astype(float),
    )


def frontiers(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Where the producer's gain is zero, mineral by mineral and circle by circle.

    Returns
    -------
    pd.DataFrame
        Columns mineral, members, coverage and those of `frontier`.
    """
    gains = numbered(outcomes[outcomes["measure"] == GAIN])
    parts = []
    for mineral, part in gains.groupby("mineral", sort=False):
        cube = part.set_index(["seed", "members", "severity"])["value"].sort_index()
        shape = [len(level) for level in cube.index.levels]
        severity = cube.index.levels[2].to_numpy()
        found = frontier(severity, cube.to_numpy().reshape(shape))
        places = part[["members", "coverage"]].drop_duplicates().sort_values("members")
        places.insert(0, "mineral", mineral)
        parts.append(pd.concat([places.reset_index(drop=True), found], axis=1))
    return pd.concat(parts, ignore_index=True)


def answer(outcomes: pd.DataFrame, world: World, config: Config) -> Answer:
    """Sentences, figures and tables of the study."""
    found, contour = effects(outcomes), frontiers(outcomes)
    table = found.merge(contour, on=["mineral", "members", "coverage"])
    exporter = world.country_names[world.country(config.shock.by)]
    by_mineral = table[(table["measure"] == GAIN) & (table["mineral"] != ALL)]
    whole = table[
        (table["mineral"] == ALL) & table["measure"].isin([MEMBERS_PRICE, DEPENDENCE, GAIN])
    ]
    drawn = [
        Drawn(
            name="phase",
            title="Severity of the control against coverage of the alliance",
            caption="Change of the price that members pay, of their non-allied share of purchases, "
            f"and of the objective of {exporter}, under a control on the members over the same "
            "circle without it; means over paired seeds, first two years. Line: where the gain is "
            "zero, with its 80 % band over resampled seeds; triangles point beyond the grid where "
            "there is no such severity.",
            alt="Heat maps of the change of price, dependence and producer’s gain by severity of "
            "the control and coverage of the alliance.",
            figure=phase_figure(whole),
            table=whole,
        ),
        Drawn(
            name="phase_by_mineral",
            title="Where retaliation pays, mineral by mineral",
            caption=f"Gain of {exporter} from the control over no control, million US$ a year, "
            "with the line where it is zero and its 80 % band over resampled seeds.",
            alt="Heat maps of the producer’s gain, one a mineral.",
            figure=frontier_figure(by_mineral),
            table=by_mineral,
        ),
    ]
    return Answer(
        sentences=_sentences(found, contour, exporter, config),
        figures=drawn,
        tables={"frontier": contour, "effects": found},
        notes=_notes(config, world),
    )


def _sentences(
    found: pd.DataFrame, contour: pd.DataFrame, exporter: str, config: Config
) -> list[str]:
    whole = contour[contour["mineral"] == ALL]
    ends = [whole.iloc[0], whole.iloc[-1]] if len(whole) > 1 else [whole.iloc[0]]
    text = "; ".join(
        f"against {number(row['coverage'])} % of the use abroad ({_members(row['members'])}) "
        f"{_pays(row)}"
        for row in ends
    )
    first = f"For {exporter}, a control of {_named(config)} on the members, {text}."
    hardest = found[(found["mineral"] == ALL) & (found["severity"] == found["severity"].max())]
    wide = hardest[hardest["members"] == hardest["members"].max()].set_index("measure")
    price, share, gain = (wide.loc[name] for name in (MEMBERS_PRICE, DEPENDENCE, GAIN))
    second = (
        f"At severity {wide['severity'].iloc[0]:g} on the widest circle members pay "
        f"{_signed(price, '%')} for the refined minerals in the first two years, their non-allied "
        f"share changes by {_signed(share, 'points')}, and {exporter} gains "
        f"{_signed(gain, 'million US$ a year')}."
    )
    return [first, second]


def _named(config: Config) -> str:
    minerals = list(config.shock.minerals)
    if len(minerals) > 2 or minerals == ["all"]:
        return "all minerals under control together"
    return " and ".join(mineral_label(mineral).lower() for mineral in minerals)


def _members(count: int) -> str:
    return f"{count} member" if count == 1 else f"{count} members"


def _pays(row: pd.Series) -> str:
    band = (
        f" (80 % band {number(row['up_to_low'])} to {number(row['up_to_high'])})"
        if row["kind"] == UP_TO
        else f" (80 % band {number(row['from_low'])} to {number(row['from_high'])})"
    )
    said = {
        PAYS: "pays at every severity",
        LOSES: "pays at none",
        UP_TO: f"pays up to a severity of {number(row['up_to'])}{band}",
        FROM: f"pays only from a severity of {number(row['from'])} on{band}",
        MIXED: "pays at some severities between others at which it does not",
    }
    return said[str(row["kind"])]


def _signed(row: pd.Series, unit: str) -> str:
    return (
        f"{number(row['mean'], signed=True)} {unit} "
        f"(95 % interval {number(row['low'])} to {number(row['high'])})"
    )


def _notes(config: Config, world: World) -> list[str]:
    order = "by use" if config.phase.order is Ordering.use else "by date of accession, then by use"
    names = ", ".join(ordered_members(config, world))
    settings = config.producers
    return [
        f"Coverage is the share of the use of the minerals under control outside the exporter, at "
        f"opening prices, that members hold. Countries join {order}: {names}.",
        "Severity is the share of normal exports to the targets that the control withholds by its "
        "text. A ban below severity 1 is a quota with smugglers in proportion to what the ban "
        "lets through.",
        "The producer’s gain is the objective of its review, taken of what happened: income of its "
        "firms and levies, surplus of its own users (weight "
        f"{settings.home_users:g}), loss of others’ users times the tension towards them (weight "
        f"{settings.leverage:g}), less the earnings abroad that rivals’ capacity, built or begun "
        f"by the end of the run, takes from the lead time on (weight {settings.future_share:g}). "
        "The rent of goods that pass a ban stays with traders abroad. The cost of changing policy "
        "is left out.",
        "Bands of the frontier: seeds are resampled 2,000 times, all cells of a seed together.",
    ]
