"""Pathways: how dependence goes on, by scenario of demand and by the ambition of an alliance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from abm.config import Ambition, Config, ConfigError, DemandScenario, Instrument, Instruments
from abm.model import MineralModel
from abm.scenario import members_of
from abm.world import World
from experiments.figures import Drawn
from experiments.measures.effects import Estimate, estimate
from experiments.pathways.figures import (
    ALL,
    ambition_label,
    effects_figure,
    milestones_figure,
    paths_figure,
    reached_figure,
    scenario_label,
)
from experiments.pathways.milestones import (
    CASE,
    MEASURES,
    MEMBERS,
    Milestone,
    reached_counts,
    reached_shares,
    read_milestones,
    verdicts,
    years_of,
)
from experiments.report import Answer, effect_clause, interval, number
from experiments.study import Cell, Study, with_settings

NONE = "none"
BANDS = {"p025": 0.025, "p10": 0.1, "median": 0.5, "p90": 0.9, "p975": 0.975}
DEPENDENCE = "non_allied_share"
COMPARED = (2030, 2035)  # years of the comparison, beside the last one


def pathways_study(config: Config, world: World) -> Study:
    """Every ambition, and no alliance, under every scenario of demand.

    Raises
    ------
    ConfigError
        Unless there are one circle, ambitions and scenarios; or where no milestone is due.
    """
    settings = config.pathways
    if len(config.membership.circles) != 1:
        raise ConfigError(
            f"The study of pathways needs one circle of members, not "
            f"{len(config.membership.circles)}; give one such as membership=forge"
        )
    for name in ("scenarios", "ambitions"):
        if not getattr(settings, name):
            raise ConfigError(
                f"pathways.{name} is empty, so nothing could be compared; name at least one"
            )
    ((circle, members),) = config.membership.circles.items()
    group = tuple(members_of(members, circle, world))
    milestones = read_milestones(config, world)
    shocked = config.shock.instrument is not Instrument.none
    cells = [
        Cell(
            labels={"scenario": scenario.value, "ambition": name},
            config=with_settings(config, {**demand(scenario), **switches(ambition, config)}),
            membership=circle if ambition.instruments else NONE,
            shocked=shocked,
            group=group,
        )
        for scenario in settings.scenarios
        for name, ambition in {NONE: Ambition(), **settings.ambitions}.items()
    ]
    return Study(
        title="How dependent members stay, and which milestones they reach",
        cells=cells,
        measure=partial(pathway_outcomes, milestones=milestones),
        answer=partial(answer, milestones=milestones),
        together=len(cells),
    )


def demand(scenario: DemandScenario) -> dict[str, Any]:
    """The settings of a scenario of demand."""
    return {"demand.active": True, "demand.scenario": scenario}


def switches(ambition: Ambition, config: Config) -> dict[str, Any]:
    """The settings of an ambition.

    Where any ambition has a fund, all worlds have the projects that it could finance: those that
    pay without it are built in all of them.
    """
    names = [item.name for item in fields(Instruments)]
    funded = any("investment_fund" in a.instruments for a in config.pathways.ambitions.values())
    chosen = {f"instruments.{name}.active": name in ambition.instruments for name in names}
    if funded:
        chosen["projects.active"] = True
    for name, value in ambition.settings.items():
        instrument, _, part = name.partition(".")
        kind = type(getattr(getattr(config.instruments, instrument), part))
        chosen[f"instruments.{name}"] = kind(value)
    return chosen


# ---------------------------------------------------------------- what is read off a run


def pathway_outcomes(
    model: MineralModel, cell: Cell, milestones: Sequence[Milestone]
) -> pd.DataFrame:
    """Year by year, the members' dependence and every share that a milestone is about.

    Returns
    -------
    pd.DataFrame
        Columns group, mineral ("all": the refined minerals, weighed by the members' opening
        expenditure), measure, year and value (percent).
    """
    world, first = model.world, int(cell.config.horizon.start[:4])
    wanted = dict.fromkeys([(MEMBERS, DEPENDENCE), *((m.group, m.measure) for m in milestones)])
    parts = []
    for group, measure in wanted:
        inside = np.isin(world.countries, cell.group if group == MEMBERS else [group])
        values = MEASURES[measure](years_of(world, model.record, inside))
        found = pd.DataFrame(values, columns=list(world.minerals))
        if (group, measure) == (MEMBERS, DEPENDENCE):
            found[ALL] = whole(values, opening_outlay(world, inside))
        found.insert(0, "year", first + np.arange(len(found)))
        long = found.melt("year", var_name="mineral", value_name="value")
        parts.append(long.assign(group=group, measure=measure))
    table = pd.concat(parts, ignore_index=True)
    return table[["group", "mineral", "measure", "year", "value"]]


def opening_outlay(world: World, group: np.ndarray) -> np.ndarray:
    """[mineral] what a group spent on refined metal in the opening month, thousand USD."""
    rows = world.refined_market
    bought = world.flow[rows].sum(axis=1)[:, group]
    return (bought * world.landed_price[rows][:, group]).sum(axis=1)


def whole(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[year] mean over minerals of what is known, [year, mineral], by a weight of each."""
    known = np.isfinite(values)
    total = (known * weight).sum(axis=1)
    return (np.where(known, values, 0.0) * weight).sum(axis=1) / np.where(total > 0, total, np.nan)


# ---------------------------------------------------------------- what is shown


def bands(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Dependence of the members: median with the 80 and 95 % bands over seeds, percent.

    Returns
    -------
    pd.DataFrame
        Columns scenario, ambition, mineral, year, p025, p10, median, p90, p975.
    """
    shown = dependence(outcomes)
    keys = [*CASE, "mineral", "year"]
    found = shown.groupby(keys, sort=False)["value"].quantile(list(BANDS.values())).unstack()
    found.columns = pd.Index(list(BANDS))
    return found.reset_index()


def dependence(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The rows of the members' non-allied share that are known."""
    mine = (outcomes["group"] == MEMBERS) & (outcomes["measure"] == DEPENDENCE)
    return outcomes[mine & outcomes["value"].notna()]


def differences(outcomes: pd.DataFrame) -> pd.DataFrame:
    """What each ambition does to dependence against no alliance, seed by seed.

    Returns
    -------
    pd.DataFrame
        Columns scenario, ambition, mineral, year and the fields of an estimate, in percentage
        points; years are those of the comparison.
    """
    shown = dependence(outcomes)
    years = compared_years(shown)
    chosen, keys = shown[shown["year"].isin(years)], ["scenario", "mineral", "year", "seed"]
    order = pd.MultiIndex.from_frame(chosen[keys].drop_duplicates())
    wide = chosen.pivot(index=keys, columns="ambition", values="value").reindex(order)
    rows = []
    for ambition in [name for name in shown["ambition"].unique() if name != NONE]:
        change = wide[ambition] - wide[NONE]
        for key, part in change.groupby(level=[0, 1, 2], sort=False):
            found = estimate(part.to_numpy(), "points")
            names = dict(zip(("scenario", "mineral", "year"), key, strict=True))
            rows.append(names | {"ambition": ambition} | vars(found))
    return pd.DataFrame(rows)


def compared_years(shown: pd.DataFrame) -> list[int]:
    """The years of the comparison within the run, its last year among them."""
    last = int(shown["year"].max())
    return [*(year for year in COMPARED if shown["year"].min() <= year < last), last]


def answer(outcomes: pd.DataFrame, world: World, milestones: Sequence[Milestone]) -> Answer:
    """Sentences, figures and tables of the study."""
    paths, effects = bands(outcomes), differences(outcomes)
    table = verdicts(outcomes, milestones)
    goals = pd.DataFrame(
        {
            "milestone": [m.name for m in milestones],
            "label": [f"{m.label} by {m.due}" for m in milestones],
        }
    )
    shares = reached_shares(table).merge(goals, on="milestone")
    counts = reached_counts(table).merge(goals, on="milestone")
    return Answer(
        sentences=_sentences(outcomes, effects, table),
        figures=[
            _drawn_paths(paths),
            _drawn_effects(effects),
            _drawn_reached(counts),
            _drawn_milestones(shares),
        ],
        tables={
            "milestones_reached": reached_table(counts),
            "change_of_dependence_in_points": effect_table(effects),
        },
        notes=_notes(milestones),
    )


def reached_table(counts: pd.DataFrame) -> pd.DataFrame:
    """Minerals in which each milestone is reached, means over seeds: a column an ambition."""
    keys = ["label", "scenario", "minerals"]
    wide = counts.pivot(index=keys, columns="ambition", values="mean")
    order = list(dict.fromkeys(counts["ambition"]))
    rows = pd.MultiIndex.from_frame(counts[keys].drop_duplicates())
    found = wide.reindex(rows)[order].reset_index()
    found["scenario"] = found["scenario"].map(scenario_label)
    named = {name: ambition_label(name) for name in order}
    return found.rename(columns={"label": "milestone", "minerals": "of_minerals"} | named)


def effect_table(effects: pd.DataFrame) -> pd.DataFrame:
    """The change of the whole basket, by scenario, ambition and year."""
    chosen = effects[effects["mineral"] == ALL]
    columns = ["scenario", "ambition", "year", "mean", "low", "high", "n"]
    return chosen[columns].assign(
        scenario=chosen["scenario"].map(scenario_label),
        ambition=chosen["ambition"].map(ambition_label),
    )


def _sentences(outcomes: pd.DataFrame, effects: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    shown = dependence(outcomes)
    last = int(shown["year"].max())
    scenario = str(shown["scenario"].iloc[0])
    final = shown[(shown["year"] == last) & (shown["mineral"] == ALL)]
    alone = final[final["ambition"] == NONE]
    level = estimate(alone.loc[alone["scenario"] == scenario, "value"].to_numpy(), "%")
    means = alone.groupby("scenario")["value"].mean()
    spread = (
        f"; {number(means.min())} to {number(means.max())} % over the scenarios"
        if len(means) > 1
        else ""
    )
    changes = effects[(effects["mineral"] == ALL) & (effects["year"] == last)]
    clauses = [
        f"{_phrase(str(row['ambition']))} "
        + effect_clause(_estimate(row), "it" if place else "that share")
        for place, row in enumerate(changes[changes["scenario"] == scenario].to_dict("records"))
    ]
    first = (
        f"Without an alliance members buy {number(level.mean)} % of their refined minerals from "
        f"the non-allied in {last} under {scenario_label(scenario)} ({interval(level)}{spread}); "
        + ", ".join(clauses)
        + "."
    )
    return [first, _milestone_sentence(table, scenario)]


def _phrase(ambition: str) -> str:
    """An ambition within a sentence."""
    return f"the ambition “{ambition.replace('_', ' ')}”"


def _estimate(row: dict[str, Any]) -> Estimate:
    return Estimate(**{item.name: row[item.name] for item in fields(Estimate)})


def _milestone_sentence(table: pd.DataFrame, scenario: str) -> str:
    """How many milestones are reached, and how many more with each ambition."""
    here = table[table["scenario"] == scenario]
    reached = 100.0 * here.groupby(["seed", "ambition"])["reached"].mean().unstack()
    level = estimate(reached[NONE].to_numpy(), "%")
    pairs = here.drop_duplicates(["milestone", "mineral"])
    clauses = []
    for ambition in [name for name in here["ambition"].unique() if name != NONE]:
        change = estimate((reached[ambition] - reached[NONE]).to_numpy(), "points")
        clauses.append(f"{ambition_label(ambition).lower()} {effect_clause(change, 'that share')}")
    return (
        f"Of {len(pairs)} milestones, each counted by mineral, {number(level.mean)} % are met in "
        f"their due year under {scenario_label(scenario)} without an alliance "
        f"({interval(level)}); {', '.join(clauses)}."
    )


def _notes(milestones: Sequence[Milestone]) -> list[str]:
    return [
        "Dependence is the part of the members’ purchases of refined metal, home supply included, "
        "that comes from non-allied countries by whatever route; minerals are weighed by what "
        "members spent on them at the opening.",
        "A milestone is met where the mean of its due year meets the target. Output at home, not "
        "capacity, counts as mined, refined or recycled; use is the use of refined metal. The "
        "share of seeds that reach a milestone has a Wilson interval: with few seeds it stays wide "
        "even where all agree.",
        "Milestones: " + "; ".join(f"{m.label} by {m.due}" for m in milestones) + ".",
        "Scenarios change the need of all countries; ambitions change what members do together. "
        "Where an ambition has a fund, all worlds have the projects it could finance, so that the "
        "fund is credited only with what it adds.",
    ]


def _drawn_paths(paths: pd.DataFrame) -> Drawn:
    last = paths[(paths["year"] == paths["year"].max()) & (paths["mineral"] == ALL)]
    return Drawn(
        name="pathways_dependence",
        title="Dependence by mineral, scenario and ambition",
        caption="Non-allied share of members’ purchases of refined metal, yearly: medians over "
        "seeds with the 80 % (dark) and 95 % (light) bands. Columns are scenarios of demand; the "
        "first row weighs minerals by the members’ opening expenditure.",
        alt="Line charts of the non-allied share over time. Last year, all minerals: "
        + "; ".join(
            f"{scenario_label(row.scenario)}, {ambition_label(row.ambition)}: "
            f"{number(row.median)} %"
            for row in last.itertuples()
        )
        + ".",
        figure=paths_figure(paths),
        table=paths,
    )


def _drawn_effects(effects: pd.DataFrame) -> Drawn:
    last = int(effects["year"].max())
    return Drawn(
        name="pathways_effects",
        title="What ambition changes",
        caption=f"Change of the members’ non-allied share in {last} against no alliance, by "
        "mineral and scenario: mean over paired seeds with 95 % t-interval. Other years stand in "
        "the table of the figure.",
        alt="Dot and interval chart of the change of dependence by mineral, scenario and ambition.",
        figure=effects_figure(effects),
        table=effects,
    )


def _drawn_reached(counts: pd.DataFrame) -> Drawn:
    return Drawn(
        name="milestones_reached",
        title="Milestones reached, by scenario",
        caption="In how many minerals each milestone is met in its due year, mean over seeds with "
        "95 % t-interval; the axis ends at the number of minerals it is for.",
        alt="Dot and interval chart of the number of minerals in which each milestone is reached.",
        figure=reached_figure(counts),
        table=counts,
    )


def _drawn_milestones(shares: pd.DataFrame) -> Drawn:
    scenario = scenario_label(str(shares["scenario"].iloc[0]))
    return Drawn(
        name="milestones",
        title=f"Milestones reached or missed, mineral by mineral ({scenario})",
        caption=f"Share of seeds in which a milestone is met in its due year under {scenario}, "
        "with the 95 % Wilson interval; no dot: the mineral is not asked for, or not used. The "
        "table of the figure has the other scenarios too, the first year in which a target is met, "
        "and the values of the first and the due year.",
        alt="Dot and interval chart of the share of seeds that reach each milestone, by mineral.",
        figure=milestones_figure(shares),
        table=shares,
    )
