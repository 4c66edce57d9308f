"""What a finished ensemble shows: effects, figures, finding, manifest and report."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pandas as pd

from abm.config import Config, Instrument, month_name
from abm.opening import concentration
from abm.scenario import Scenario
from abm.tables import Tables
from abm.world import MONTHS, World
from experiments.aftermath import aftermath
from experiments.engine.store import (
    origin,
    plain,
    provenance,
    read_by_seed,
    write_described,
    write_manifest,
)
from experiments.engine.workers import Workers
from experiments.figures import Scene, Shown, draw, read_and_draw
from experiments.figures.membership import DRAWN_FROM
from experiments.finding import Subject, headline_of
from experiments.measures.aftermath import by_choice
from experiments.measures.effects import (
    CRISIS_MONTHS,
    calm_window,
    crisis_length,
    crisis_window,
    effects_of,
    month_after,
)
from experiments.measures.panel import Common, Outline
from experiments.measures.replications import Asked
from experiments.measures.welfare import INDUSTRY_COLUMNS, WELFARE_COLUMNS, summary_of
from experiments.report import finding, named_once, write_report


def describe(
    config: Config,
    folder: Path,
    world: World,
    tables: Tables,
    outline: Outline,
    scene: Scene,
    asked: Asked,
    workers: Workers,
) -> Path:
    """From the tables of a finished ensemble to figures, manifest and report.

    Returns
    -------
    Path
        The HTML report.
    """
    drawn: dict[str, Future[list[Shown]]] = {}
    chosen = by_choice(config)
    # What takes longest comes first.
    for name in ("flows", "prices", "dependence", *(["stays"] if chosen else [])):
        drawn[name] = workers.submit(read_and_draw, folder, outline, scene, name)
    effects = effects_of(read_by_seed(folder, "effects"))
    write_described(effects, folder / "effects.parquet")
    drawn["effects"] = workers.submit(draw, folder, outline, scene, "effects", effects)
    welfare = write_welfare(folder, world, tables)
    drawn["welfare"] = workers.submit(draw, folder, outline, scene, "welfare", welfare)
    levels, peaks, home = (read_by_seed(folder, name) for name in ("headline", "peaks", "home"))
    found = headline_of(levels, peaks, home, asked.subject, outline, config.seeds)
    first = aftermath(folder, config, scene) if chosen else None
    figures = [shown for name in DRAWN_FROM if name in drawn for shown in drawn[name].result()]
    runs = pd.read_parquet(folder / "runs.parquet")
    manifest: dict[str, Any] = {
        "finding": " ".join(
            named_once([*(first.sentences if first else ()), *finding(found, scene)])
        ),
        "seeds": f"{config.first_seed} to {config.first_seed + config.seeds - 1}",
        "largest_residual_of_a_market": f"{runs['certificate_max'].max():.2g}",
        "largest_imbalance_of_tonnes": f"{runs['tonnes_gap_max'].max():.2g}",
        "largest_imbalance_of_payments": f"{runs['money_gap_max'].max():.2g}",
        "data_hash": tables.data_hash(),
        "results_from": origin(folder),
        **provenance(),
        "figures": {shown.name: shown.words for shown in figures},
        "config": plain(dataclasses.asdict(config)),
        "scene": scene.to_dict(),
    }
    report = write_report(
        folder,
        found,
        figures,
        manifest,
        {"effects": effects, "assumptions": assumptions(tables)},
        scene,
        first,
    )
    write_manifest(folder, manifest)
    print(manifest["finding"])
    return report


def write_welfare(folder: Path, world: World, tables: Tables) -> pd.DataFrame:
    """Write who gains and who pays, what industry notices, and the opening concentration."""
    welfare = summary_of(read_by_seed(folder, "welfare"), WELFARE_COLUMNS)
    write_described(welfare, folder / "welfare.parquet")
    industry = summary_of(read_by_seed(folder, "industry"), INDUSTRY_COLUMNS)
    write_described(industry, folder / "industry.parquet")
    write_described(concentration(tables, world.opening), folder / "opening_concentration.parquet")
    return welfare


def outline_of(config: Config, world: World, cases: list[Scenario], common: Common) -> Outline:
    """Which runs there are, and who is in which circle."""
    return Outline(
        memberships=sorted({case.membership for case in cases}),
        shocks=sorted({case.shock for case in cases}),
        months=[config.horizon.start, last_month(config)],
        countries=list(world.countries),
        circles=common.circles,
    )


def last_month(config: Config) -> str:
    """Of the horizon, YYYY-MM."""
    return month_after(config.horizon.start, config.horizon.years * MONTHS - 1)


def asked_of(config: Config, tables: Tables, scene: Scene, outline: Outline) -> Asked:
    """What is read off every seed: periods, the minerals of each, and the headline's subject."""
    windows = [calm_window(outline)]
    baskets: dict[str, tuple[str, ...]] = {}
    shock = scene.shock if scene.shock_start <= outline.months[-1] else None
    if shock is not None:
        crisis = crisis_window(shock, scene.shock_start)
        windows.append(crisis)
        baskets[crisis.name] = scene.shock_minerals
    about = (scene.shock_start, scene.shock_minerals, scene.exporter, scene.roles)
    industry = tables.countries.set_index("code")["industry_bn_usd"]
    start, months = config.horizon.start, config.horizon.years * MONTHS
    return Asked(
        months=tuple(month_name(start, month) for month in range(months)),
        subject=Subject(shock, *about),
        roles=scene.roles,
        windows=tuple(windows),
        baskets=baskets,
        industry_bn_usd=dict(industry),
        pass_through=config.accounting.pass_through,
    )


def scene_of(config: Config, world: World, cases: list[Scenario]) -> Scene:
    """What figures and report must know of the run."""
    shock = config.shock
    shocked = shock.instrument is not Instrument.none
    control = next((c for case in cases for c in case.controls if case.shock != "none"), None)
    minerals = world.minerals
    if shocked and shock.minerals != ["all"]:
        minerals = tuple(m for m in world.minerals if m in shock.minerals)
    events = {}
    if shocked:
        if shock.announced and shock.announced != shock.start:
            events["announced"] = shock.announced
        events[f"{shock.instrument.value} starts"] = shock.start
        if shock.end:
            events["lifted"] = shock.end
    return Scene(
        exporter=shock.by if shocked else "CHN",
        shock=shock.name if shocked and control is not None else None,
        shock_start=shock.start,
        shock_minerals=minerals,
        roles=dict(zip(world.countries, world.roles, strict=True)),
        events=events,
        names=dict(zip(world.countries, world.country_names, strict=True)),
        crisis_months=crisis_length(shock.start, last_month(config)) if shocked else CRISIS_MONTHS,
    )


def assumptions(tables: Tables) -> pd.DataFrame:
    """The parameters that rest on an estimate, with their ranges."""
    table = tables.parameters
    columns = ["mineral", "stage", "parameter", "value", "low", "high", "unit", "source"]
    return table.loc[table["status"] == "estimated", columns]
