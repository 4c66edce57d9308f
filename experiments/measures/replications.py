"""What a membership experiment reads off its runs, a row a seed, so that no table need hold all.

A run leaves a brief of itself; when all have been run, and it is known what seeds share, the briefs
of each seed are measured together. The tables of all seeds add up to what reports and figures need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pandas as pd

from experiments.finding import Subject, headline_levels, home_changes, peak_paths
from experiments.measures.brief import seed_tables
from experiments.measures.effects import (
    MEMBERS,
    NO_SHOCK,
    OUTSIDERS,
    Layout,
    Window,
    core_members,
    dependence_by_seed,
    levels_table,
    memberships_in,
    outlined,
    outside_every_circle,
    price_series,
)
from experiments.measures.panel import Common, Panel
from experiments.measures.welfare import industry_changes, welfare_changes

# What every seed leaves, in the results folder as <name>_by_seed.parquet.
MEASURED = ("effects", "headline", "peaks", "home", "prices", "dependence", "welfare", "industry")
OTHER_MEMBERS = "Other members"


@dataclass(frozen=True)
class Asked:
    """What is read off every seed.

    Attributes
    ----------
    months
        Those of every run, YYYY-MM.
    baskets
        Minerals of a window, by its name; all where it is not named.
    industry_bn_usd, pass_through
        Value added of industry by country, billion USD; share of a cost that is passed on.
    """

    months: tuple[str, ...]
    subject: Subject
    roles: Mapping[str, str]
    windows: tuple[Window, ...]
    baskets: Mapping[str, tuple[str, ...]]
    industry_bn_usd: Mapping[str, float]
    pass_through: float


def measured_seeds(
    parts: Sequence[Path], common: Common, asked: Asked
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of every seed whose runs stand in these parts, seed by seed, as `MEASURED`."""
    for panel, surplus, sectors in seed_tables(parts, asked.months, common):
        yield from measured_months(panel, asked)
        yield "welfare", welfare_changes(surplus, asked.windows)
        yield (
            "industry",
            industry_changes(sectors, asked.windows, asked.industry_bn_usd, asked.pass_through),
        )


def measured_months(panel: Panel, asked: Asked) -> Iterator[tuple[str, pd.DataFrame]]:
    """What is read off the months of a panel's seeds, by name; tables that are not empty."""
    about = asked.subject
    tables = {
        "effects": levels_table(panel, asked.windows, asked.roles, minerals=asked.baskets),
        "headline": headline_levels(panel, about),
        "peaks": peak_paths(panel, about),
        "home": home_changes(panel, about),
    }
    if core_members(panel):
        if about.shock is not None:
            tables["prices"] = price_series(
                panel,
                price_groups(panel, asked.roles),
                about.exporter,
                shock=about.shock,
                minerals=about.shock_minerals,
            )
        groups = dependence_groups(panel)
        shock = NO_SHOCK if NO_SHOCK in panel.shocks else panel.shocks[0]
        tables["dependence"] = dependence_by_seed(panel, groups, shock=shock)
    for name, table in tables.items():
        if len(table):
            yield name, table.astype({"seed": "int32"})


def price_groups(layout: Layout, roles: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Countries whose landed prices are followed: inside every circle, and in none."""
    return {MEMBERS: core_members(layout), OUTSIDERS: outside_every_circle(layout, roles)}


def dependence_groups(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Countries inside every circle, each on its own, and the other members together."""
    core = core_members(layout)
    circles = outlined(layout).circles
    others = {c for m in memberships_in(layout) for c in circles[m]} - set(core)
    groups: dict[str, tuple[str, ...]] = {c: (c,) for c in core}
    return groups | ({OTHER_MEMBERS: tuple(sorted(others))} if others else {})


def seeds_together(
    parts: Sequence[Path], runs: Sequence[int], cases: int
) -> list[tuple[Path, ...]]:
    """Parts in groups that hold whole seeds.

    Parameters
    ----------
    parts, runs, cases
        The parts of all jobs in their order, the runs of each, and scenarios of a seed.
    """
    groups: list[list[Path]] = []
    for part, before in zip(parts, accumulate(runs, initial=0), strict=False):
        if before % cases == 0:
            groups.append([])
        groups[-1].append(part)
    return [tuple(group) for group in groups]
