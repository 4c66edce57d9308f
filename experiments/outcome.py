"""What a finished ensemble shows: effects, figures, finding, manifest and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from abm.config import Config, Instrument
from abm.opening import concentration
from abm.scenario import Scenario
from abm.tables import Tables
from abm.world import World
from experiments.engine.store import (
    plain,
    provenance,
    read_monthly,
    write_described,
    write_manifest,
)
from experiments.engine.workers import Workers
from experiments.figures import Scene, load_drawing, membership_figures, save
from experiments.figures.flows import read_flows
from experiments.finding import headline
from experiments.measures.effects import (
    Window,
    calm_window,
    crisis_window,
    effects_columns,
    effects_table,
)
from experiments.measures.panel import Panel
from experiments.measures.welfare import industry_table, welfare_table
from experiments.report import finding, write_report


def describe(
    config: Config,
    folder: Path,
    world: World,
    tables: Tables,
    cases: list[Scenario],
    workers: Workers,
) -> Path:
    """From the tables of a finished ensemble to figures, manifest and report.

    Returns
    -------
    Path
        The HTML report.
    """
    for _ in range(workers.count):
        workers.submit(load_drawing)
    scene = scene_of(config, world, cases)
    panel = Panel(read_monthly(folder, effects_columns()))
    windows, baskets = comparison_windows(config, panel, scene)
    effects = effects_table(panel, windows, scene.roles, minerals=baskets)
    write_described(effects, folder / "effects.parquet")
    welfare = write_welfare(config, folder, world, tables, windows)
    found = headline(
        panel,
        scene.shock_start,
        scene.shock_minerals,
        scene.exporter,
        shock=scene.shock,
        roles=scene.roles,
    )
    figures, saved = [], []
    flows = read_flows(folder, scene)
    for drawn in membership_figures(panel, effects, scene, welfare, flows):
        figures.append(drawn)
        shown = (drawn.figure, folder / "figures", drawn.name, drawn.table)
        saved.append(workers.submit(save, *shown))
    for job in saved:
        job.result()
    runs = pd.read_parquet(folder / "runs.parquet")
    manifest: dict[str, Any] = {
        "finding": " ".join(finding(found, scene)),
        "seeds": f"{config.first_seed} to {config.first_seed + config.seeds - 1}",
        "largest_residual_of_a_market": f"{runs['certificate_max'].max():.2g}",
        "largest_imbalance_of_tonnes": f"{runs['tonnes_gap_max'].max():.2g}",
        "largest_imbalance_of_payments": f"{runs['money_gap_max'].max():.2g}",
        "data_hash": tables.data_hash(),
        **provenance(),
        "figures": {drawn.name: drawn.words for drawn in figures},
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
    )
    write_manifest(folder, manifest)
    print(manifest["finding"])
    return report


def write_welfare(
    config: Config, folder: Path, world: World, tables: Tables, windows: list[Window]
) -> pd.DataFrame:
    """Write who gains and who pays, what industry notices, and the opening concentration."""
    surplus, sectors = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("surplus", "sectors")
    )
    welfare = welfare_table(surplus, windows)
    write_described(welfare, folder / "welfare.parquet")
    table = tables.countries.set_index("code")["industry_bn_usd"]
    industry = industry_table(sectors, windows, dict(table), config.accounting.pass_through)
    write_described(industry, folder / "industry.parquet")
    write_described(concentration(tables, world.opening), folder / "opening_concentration.parquet")
    return welfare


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
    )


def comparison_windows(
    config: Config, panel: Panel, scene: Scene
) -> tuple[list[Window], dict[str, tuple[str, ...]]]:
    """The periods over which memberships are compared, and the minerals of each."""
    windows = [calm_window(panel)]
    baskets: dict[str, tuple[str, ...]] = {}
    if scene.shock is not None and scene.shock_start <= panel.months[-1]:
        crisis = crisis_window(scene.shock, scene.shock_start)
        windows.append(crisis)
        baskets[crisis.name] = scene.shock_minerals
    return windows, baskets


def assumptions(tables: Tables) -> pd.DataFrame:
    """The parameters that rest on an estimate, with their ranges."""
    table = tables.parameters
    columns = ["mineral", "stage", "parameter", "value", "low", "high", "unit", "source"]
    return table.loc[table["status"] == "estimated", columns]
