"""All figures of the membership experiment, in the order of its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from experiments.engine.store import read_by_seed
from experiments.figures.dependence import drawn_dependence
from experiments.figures.drawn import Drawn, Shown, save
from experiments.figures.effects import drawn_blocs, drawn_effects
from experiments.figures.flows import drawn_trade, read_flows
from experiments.figures.inside import drawn_inside
from experiments.figures.prices import drawn_gap, drawn_paths
from experiments.figures.scene import Scene
from experiments.figures.welfare import drawn_welfare
from experiments.measures.effects import Layout


def of_prices(prices: pd.DataFrame, layout: Layout, scene: Scene) -> Iterator[Drawn]:
    yield drawn_paths(layout, prices, scene)
    yield drawn_gap(layout, prices, scene)


def of_dependence(by_seed: pd.DataFrame, layout: Layout, scene: Scene) -> Iterator[Drawn]:
    yield drawn_dependence(layout, by_seed, scene)


def of_effects(effects: pd.DataFrame, layout: Layout, scene: Scene) -> Iterator[Drawn]:
    yield drawn_effects(effects, scene)
    yield drawn_blocs(effects, scene)


def of_welfare(welfare: pd.DataFrame, layout: Layout, scene: Scene) -> Iterator[Drawn]:
    yield drawn_welfare(welfare, scene)


def of_stays(stays: pd.DataFrame, layout: Layout, scene: Scene) -> Iterator[Drawn]:
    yield drawn_inside(layout, stays, scene)


# What is drawn from a table, by its name; in the order of the report.
DRAWN_FROM: dict[str, Callable[[pd.DataFrame, Layout, Scene], Iterator[Drawn]]] = {
    "stays": of_stays,
    "prices": of_prices,
    "dependence": of_dependence,
    "flows": drawn_trade,
    "effects": of_effects,
    "welfare": of_welfare,
}


def membership_figures(
    layout: Layout, tables: Mapping[str, pd.DataFrame], scene: Scene
) -> Iterator[Drawn]:
    """Every figure that the tables allow, in the order of the report.

    Prices and dependence are of all seeds. A table may be empty or absent.
    """
    for name, figures in DRAWN_FROM.items():
        if len(tables.get(name, ())):
            yield from figures(tables[name], layout, scene)


def read_and_draw(folder: Path, layout: Layout, scene: Scene, name: str) -> list[Shown]:
    """`draw` for a table of a results folder."""
    table = read_flows(folder, scene) if name == "flows" else read_by_seed(folder, name)
    return draw(folder, layout, scene, name, table)


def draw(folder: Path, layout: Layout, scene: Scene, name: str, table: pd.DataFrame) -> list[Shown]:
    """Draw and save the figures of one table; what is said of them."""
    shown = []
    for drawn in membership_figures(layout, {name: table}, scene):
        save(drawn.figure, folder / "figures", drawn.name, drawn.table)
        shown.append(Shown(drawn.name, **drawn.words))
    return shown
