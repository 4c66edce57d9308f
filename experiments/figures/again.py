"""Draw the figures of a results folder again, from its saved tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.engine.store import read_monthly
from experiments.figures.drawn import save
from experiments.figures.membership import membership_figures
from experiments.figures.scene import Scene
from experiments.measures.effects import (
    effects_columns,
)


def latest_results(root: Path) -> Path:
    """The newest folder below `root` that holds a manifest."""
    found = sorted(root.rglob("manifest.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"No results below '{root}': run the experiment first (make run).")
    return found[-1].parent


def redraw(folder: Path) -> list[Path]:
    """Draw the figures of a results folder again from its tables; their paths."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if "scene" not in manifest:
        raise ValueError(
            f"The manifest in '{folder}' has no 'scene', so the figures cannot be drawn; run the "
            "experiment again."
        )
    scene = Scene.from_dict(manifest["scene"])
    monthly = read_monthly(folder, effects_columns())
    effects = pd.read_parquet(folder / "effects.parquet")
    bore = folder / "welfare.parquet"
    welfare = pd.read_parquet(bore) if bore.exists() else None
    drawn = membership_figures(monthly, effects, scene, welfare)
    return [save(d.figure, folder / "figures", d.name, d.table) for d in drawn]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: draw again the figures of a results folder, by default the latest."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.figures",
        description="Draw the figures of a results folder again, from its tables.",
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
