"""Draw the figures of a results folder again, each from the table that was saved beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.accession.figures import (
    candidates_ranking,
    minerals_heatmap,
    pairs_heatmap,
    shapley_bars,
)
from experiments.command import CommandLine
from experiments.figures.dependence import dependence_heatmap
from experiments.figures.drawn import save
from experiments.figures.effects import bloc_effects, membership_effect
from experiments.figures.flows import bloc_flows, flow_map
from experiments.figures.inside import inside_figure
from experiments.figures.prices import home_gap, price_paths
from experiments.figures.scene import Scene
from experiments.figures.welfare import welfare_bars
from experiments.hindcast import scatter_figure
from experiments.pathways.figures import (
    effects_figure,
    milestones_figure,
    paths_figure,
    reached_figure,
)
from experiments.phase.figures import frontier_figure, phase_figure
from experiments.resilience.figures import league_figure, worst_figure
from experiments.sensitivity.study import screening_figure, shares_figure
from experiments.studies.instrument_figures import frontier_figure as cost_frontier_figure
from experiments.studies.instrument_figures import instruments_figure
from experiments.studies.mechanisms import ablation_figure, mechanisms_figure
from experiments.studies.standoff import standoff_figure

# By the name under which a figure is saved; those of a scene need to know what was run.
OF_SCENE: dict[str, Callable[[pd.DataFrame, Scene], Figure]] = {
    "inside": inside_figure,
    "price_paths": price_paths,
    "home_gap": home_gap,
    "dependence_heatmap": dependence_heatmap,
    "bloc_flows": bloc_flows,
    "flow_map": flow_map,
    "membership_effect": membership_effect,
    "bloc_effects": bloc_effects,
    "welfare": welfare_bars,
}
OF_TABLE: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "ablation": ablation_figure,
    "accession_candidates": candidates_ranking,
    "accession_minerals": minerals_heatmap,
    "accession_pairs": pairs_heatmap,
    "accession_shapley": shapley_bars,
    "cost_frontier": cost_frontier_figure,
    "hindcast_scatter": scatter_figure,
    "instruments": instruments_figure,
    "league": league_figure,
    "mechanisms": mechanisms_figure,
    "milestones": milestones_figure,
    "milestones_reached": reached_figure,
    "pathways_dependence": paths_figure,
    "pathways_effects": effects_figure,
    "phase": phase_figure,
    "phase_by_mineral": frontier_figure,
    "screening": screening_figure,
    "standoff": standoff_figure,
    "variance_shares": shares_figure,
    "worst_supplier": worst_figure,
}


def latest_results(root: Path) -> Path:
    """The newest folder below `root` that holds a manifest."""
    found = sorted(root.rglob("manifest.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"No results below '{root}': run the experiment first (make run).")
    return found[-1].parent


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a results folder says of itself.

    Raises
    ------
    FileNotFoundError, ValueError
        Where it says nothing, or nothing that can be read.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"'{folder}' holds no manifest.json, so it is no finished results folder; name one "
            "that is, or run the experiment first"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not JSON ({error}); run the experiment again") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' holds no object in braces {{ }}; run the experiment again")
    return content


def figure_from(path: Path, manifest: Mapping[str, Any]) -> tuple[Figure, pd.DataFrame]:
    """A figure from its saved table, and the table.

    Raises
    ------
    ValueError
        Where the figure is not drawn from its table alone, the table is not that of the figure, or
        the manifest lacks its scene.
    """
    name = path.stem
    if name not in {*OF_TABLE, *OF_SCENE}:
        known = ", ".join(sorted({*OF_SCENE, *OF_TABLE}))
        raise ValueError(
            f"The figure '{name}' is not drawn from its table alone; those that are: {known}"
        )
    if name in OF_SCENE and "scene" not in manifest:
        raise ValueError(
            f"The manifest beside '{path}' has no 'scene', so the figure cannot be drawn; run the "
            "experiment again"
        )
    back = "put its saved table back, or run the experiment again"
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise ValueError(f"'{path}' is no table ({error}); {back}") from error
    try:
        if name in OF_TABLE:
            return OF_TABLE[name](table), table
        return OF_SCENE[name](table, Scene.from_dict(manifest["scene"])), table
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"'{path}' is not the table of the figure '{name}' ({type(error).__name__}: {error}); "
            f"{back}"
        ) from error


def redraw(folder: Path) -> list[Path]:
    """Draw the figures of a results folder again from their tables; their paths.

    The tables stay as they are; a figure that needs more than its table is left as it is too.
    """
    manifest, figures = read_manifest(folder), folder / "figures"
    tables = [path for path in sorted(figures.glob("*.csv")) if path.stem in {*OF_SCENE, *OF_TABLE}]
    if not tables:
        raise FileNotFoundError(
            f"No table of a figure in '{figures}', so nothing can be drawn; run the experiment "
            "again"
        )
    return [save(figure_from(path, manifest)[0], figures, path.stem) for path in tables]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: draw again the figures of a results folder, by default the latest."""
    parser = CommandLine(
        "python -m experiments.figures",
        "Draw the figures of a results folder again, from their saved tables.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="results folder (default: the latest)")
    chosen = parser.parse_args(arguments).folder
    try:
        paths = redraw(chosen or latest_results(Path("results")))
    except (OSError, ValueError) as error:
        print(error)
        return 2
    print("\n".join(str(path) for path in paths))
    return 0
