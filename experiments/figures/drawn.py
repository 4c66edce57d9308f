"""A figure with the table behind it, and how both are saved."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.engine.store import origin
from experiments.figures.look import style

DPI = 220  # of a PNG


@dataclass(frozen=True)
class Shown:
    """What is said of a figure: its title, caption and alternative text."""

    name: str
    title: str
    caption: str
    alt: str

    @property
    def words(self) -> dict[str, str]:
        """Title, caption and alternative text, for a manifest."""
        return {"title": self.title, "caption": self.caption, "alt": self.alt}


@dataclass(frozen=True)
class Drawn(Shown):
    """A figure with the table behind it, and what is said of it."""

    figure: Figure
    table: pd.DataFrame


def load_drawing() -> None:
    """Let a process load what draws and writes before its first figure comes."""
    for kind in ("png", "pdf"):
        Figure(figsize=(1.0, 1.0)).savefig(io.BytesIO(), format=kind)


def lay_out(figure: Figure) -> None:
    """Lay a figure out as its PNG needs it, for good: with a layout, each file draws it twice."""
    engine, usual = figure.get_layout_engine(), figure.dpi
    if engine is not None:
        FigureCanvasAgg(figure)
        figure.dpi = DPI
        engine.execute(figure)
        figure.dpi = usual
        figure.set_layout_engine(None)


def save(figure: Figure, folder: Path, name: str, table: pd.DataFrame | None = None) -> Path:
    """Write name.png (`DPI`), name.pdf and the table behind as name.csv; the PNG's path.

    Without a table, the one that is there stays. In `folder` of a results folder, PNG (as Source)
    and PDF (as Subject) name what the results come from: seeds, and hashes of settings, posterior,
    data and code. No creation date or program name is written: the same figure has the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = "; ".join(f"{kind} {value}" for kind, value in origin(folder.parent).items()) or None
    for axes in figure.axes:
        for drawn in (*axes.lines, *axes.collections):
            drawn.set_in_layout(False)  # inside its axes, and slow to measure
    with style():
        lay_out(figure)
        figure.savefig(
            folder / f"{name}.png", dpi=DPI, metadata={"Software": None, "Source": source}
        )
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Subject": source})
    if table is not None:
        path = folder / f"{name}.csv"
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return folder / f"{name}.png"
