"""All figures of the membership experiment, in the order of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from experiments.figures.dependence import drawn_dependence
from experiments.figures.drawn import Drawn
from experiments.figures.effects import drawn_blocs, drawn_effects
from experiments.figures.flows import drawn_trade
from experiments.figures.prices import drawn_gap, drawn_paths
from experiments.figures.scene import Scene
from experiments.figures.welfare import drawn_welfare
from experiments.measures.effects import Layout


def membership_figures(
    layout: Layout,
    paths: Mapping[str, pd.DataFrame],
    effects: pd.DataFrame,
    scene: Scene,
    welfare: pd.DataFrame | None = None,
    flows: pd.DataFrame | None = None,
) -> Iterator[Drawn]:
    """Every figure that the runs of the experiment allow, in the order of the report.

    `paths` are the tables prices and dependence of all seeds, empty or absent where not measured.
    """
    prices, dependence = (paths.get(name, pd.DataFrame()) for name in ("prices", "dependence"))
    if len(prices):
        yield drawn_paths(layout, prices, scene)
        yield drawn_gap(layout, prices, scene)
    if len(dependence):
        yield drawn_dependence(layout, dependence, scene)
    if flows is not None and len(flows):
        yield from drawn_trade(flows, layout, scene)
    if len(effects):
        yield drawn_effects(effects, scene)
        yield drawn_blocs(effects, scene)
    if welfare is not None and len(welfare):
        yield drawn_welfare(welfare, scene)
