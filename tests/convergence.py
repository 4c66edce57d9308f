"""How far the core is from published answers: the table and the figure of docs/clearing_checks.md.

`python -m tests.convergence` computes both again, and the table of random markets on the same page.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from abm.market import Clearing, clear
from tests.convex import Optimum, compare, gaps_table
from tests.published import Case, cases, relative_error

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "clearing_checks.md"
FIGURE = ROOT / "docs" / "figures" / "convergence.png"
SHARES = 10.0 ** -np.arange(0.0, 7.25, 0.5)  # dispersion over mean landed price
SHOWN = (1e-3, 1e-4, 1e-5, 1e-6)
WITHIN = 1e-3
RANDOM_MARKETS = 500
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vx"


def distance(case: Case, found: Clearing, best: Optimum) -> float:
    """Largest relative error of a landed price, a demand or the objective; they are unique."""
    one, other = case.read(found), case.read(best)
    return max(relative_error(one[name], other[name]) for name in ("price", "demand", "objective"))


def convergence() -> pd.DataFrame:
    """Per case and dispersion: error against the published answer and the classical optimum."""
    rows = []
    for case in cases():
        best = case.optimum()
        for share in SHARES:
            found = clear(case.at(share))
            rows.append((case.name, share, case.error(found), distance(case, found, best)))
    return pd.DataFrame(rows, columns=["case", "share", "error", "distance"])


def published_table(errors: pd.DataFrame) -> list[tuple[str | float, ...]]:
    """Per case the error in % at a few dispersions, and the widest of the grid within 0.1 %."""
    rows: list[tuple[str | float, ...]] = []
    for name, group in errors.groupby("case", sort=False):
        error = [100.0 * group["error"].iloc[np.abs(group["share"] - s).argmin()] for s in SHOWN]
        rows.append((str(name), *error, group["share"][group["error"] <= WITHIN].max()))
    return rows


def convergence_figure(errors: pd.DataFrame) -> Figure:
    """Distance to the classical equilibrium against dispersion, both on log axes."""
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for (name, group), colour, marker in zip(
        errors.groupby("case", sort=False), COLOURS, MARKERS, strict=True
    ):
        axes.loglog(
            group["share"], group["distance"], marker, ls="-", color=colour, ms=4, lw=1, label=name
        )
    axes.loglog(SHARES, SHARES, color="#777777", lw=0.8, ls=":", label="error = dispersion")
    axes.set_xlabel("dispersion θ over mean price")
    axes.set_ylabel("largest relative error")
    axes.invert_xaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7)
    return figure


def split(page: str, name: str) -> tuple[str, str, str]:
    """The page before, between and after the two marks of that name."""
    before, rest = page.split(f"<!-- {name} -->\n")
    inside, after = rest.split(f"<!-- end {name} -->")
    return before, inside, after


def between(page: str, name: str, text: str) -> str:
    """The page with the part between the two marks of that name replaced."""
    before, _, after = split(page, name)
    return f"{before}<!-- {name} -->\n\n{text}\n<!-- end {name} -->{after}"


def table_text(rows: list[tuple[str | float, ...]]) -> str:
    cells = [[c if isinstance(c, str) else f"{c:.2g}" for c in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def main() -> None:
    errors = convergence()
    figure = convergence_figure(errors)
    figure.savefig(FIGURE, dpi=200, metadata={"Software": None})
    shown = " | ".join(f"{share:.0e}" for share in SHOWN)
    head = f"| problem | {shown} | widest θ within 0.1 % |\n|---|{'---|' * (len(SHOWN) + 1)}\n"
    page = PAGE.read_text(encoding="utf-8")
    page = between(page, "published", head + table_text(published_table(errors)))
    head = "| figure | median | 99 in 100 below | largest |\n|---|---|---|---|\n"
    page = between(page, "random", head + table_text(gaps_table(compare(range(RANDOM_MARKETS)))))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
