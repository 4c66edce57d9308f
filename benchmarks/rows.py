"""What a benchmark yields: rows of the table and points of the figure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Target:
    """What a figure should reach."""

    sign: str  # "<=" or ">="
    value: float

    def met_by(self, figure: float) -> bool:
        return figure <= self.value if self.sign == "<=" else figure >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.sign == '<=' else '≥'} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """One measure: its figure (a median where there are several), their range, its target."""

    measure: str
    figure: float
    low: float
    high: float
    unit: str
    target: Target | None = None

    @property
    def verdict(self) -> str:
        if self.target is None or np.isnan(self.figure):
            return "" if self.target is None else "not measured"
        return "met" if self.target.met_by(self.figure) else "missed"


@dataclass
class Measured:
    """Rows and points of one benchmark, with sentences about what was left out."""

    rows: list[Row] = field(default_factory=list)
    points: list[tuple[str, str, float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        measure: str,
        figures: float | Sequence[float] | np.ndarray,
        unit: str,
        target: Target | None = None,
    ) -> None:
        """Add a row: the median of the figures and their range."""
        values = np.atleast_1d(np.asarray(figures, float))
        self.rows.append(
            Row(
                measure,
                float(np.median(values)),
                float(values.min()),
                float(values.max()),
                unit,
                target,
            )
        )

    def draw(self, panel: str, series: str, x: Iterable[float], y: Iterable[float]) -> None:
        """Add the points of one series to a panel of the figure."""
        self.points += [(panel, series, float(a), float(b)) for a, b in zip(x, y, strict=True)]

    def extend(self, other: "Measured") -> None:
        self.rows += other.rows
        self.points += other.points
        self.notes += other.notes


def at_least(value: float) -> Target:
    return Target(">=", value)


def at_most(value: float) -> Target:
    return Target("<=", value)


def table_of(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a tidy table."""
    columns = ["measure", "figure", "low", "high", "unit", "target", "verdict"]
    return pd.DataFrame(
        [
            (r.measure, r.figure, r.low, r.high, r.unit, str(r.target or ""), r.verdict)
            for r in rows
        ],
        columns=columns,
    )


def points_of(measured: Measured) -> pd.DataFrame:
    """The points of the figure as a tidy table."""
    return pd.DataFrame(measured.points, columns=["panel", "series", "x", "y"])


def shown(value: float) -> str:
    """A figure in three digits, large ones in full."""
    if np.isnan(value):
        return "–"
    if value.is_integer() and abs(value) < 1e7:
        return f"{value:,.0f}"
    if not 1e-3 <= abs(value) < 1e7:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100.0 else 1 if abs(value) >= 10.0 else 2
    return f"{value:,.{digits}f}" if abs(value) >= 0.1 else f"{value:.2g}"


def cells_of(row: Row) -> list[str]:
    """The row as it is printed."""
    spread = "" if row.low == row.high else f"{shown(row.low)} to {shown(row.high)}"
    return [
        row.measure,
        f"{shown(row.figure)} {row.unit}".strip(),
        spread,
        str(row.target or ""),
        row.verdict,
    ]


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def aligned(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for the terminal."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in [header, *lines]
    )


HEADER = ("measure", "figure", "range", "target", "verdict")
