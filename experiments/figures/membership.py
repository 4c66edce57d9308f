"""All figures of the membership experiment, in the order of its report."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from experiments.figures.dependence import drawn_dependence
from experiments.figures.drawn import Drawn
from experiments.figures.effects import drawn_blocs, drawn_effects
from experiments.figures.flows import drawn_trade
from experiments.figures.prices import drawn_gap, drawn_paths
from experiments.figures.scene import Scene
from experiments.figures.welfare import drawn_welfare
from experiments.measures.effects import (
    core_members,
)
from experiments.measures.panel import Panel


def membership_figures(
    monthly: pd.DataFrame | Panel,
    effects: pd.DataFrame,
    scene: Scene,
    welfare: pd.DataFrame | None = None,
    flows: pd.DataFrame | None = None,
) -> Iterator[Drawn]:
    """Every figure that the runs of the experiment allow, in the order of the report."""
    panel = Panel.of(monthly)
    if scene.shock is not None and scene.shock in panel.shocks and core_members(panel):
        yield drawn_paths(panel, scene)
        yield drawn_gap(panel, scene)
    if core_members(panel):
        yield drawn_dependence(panel, scene)
    if flows is not None and len(flows):
        yield from drawn_trade(flows, panel, scene)
    if len(effects):
        yield drawn_effects(effects, scene)
        yield drawn_blocs(effects, scene)
    if welfare is not None and len(welfare):
        yield drawn_welfare(welfare, scene)
