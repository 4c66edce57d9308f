"""Rewrite the tables of the documents that follow from data and code.

Each table stands between two markers, `<!-- name -->` and `<!-- end name -->`, and is computed from
the tables of the model or from the settings' own descriptions. With `--check` nothing is written:
the exit code is 1 and one sentence names the documents that are out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from abm.config import (
    Ambition,
    Circle,
    Closure,
    Config,
    DemandFact,
    Outage,
    ProductionCap,
    StatePurchase,
)
from abm.history import coverage, spans
from abm.opening import (
    Opening,
    concentration,
    hhi,
    import_share_fit,
    opening_balance,
    share_comparison,
)
from abm.tables import PARAMETERS, Tables, read_tables
from experiments.command import CommandLine

ROOT = Path(__file__).parent.parent
COMMAND = "python -m experiments.shares"
LEAST_SHARE = 0.02  # smaller ones are left out where both figures are smaller
MONTHS = 12


class DocumentError(ValueError):
    """A document lacks the place where a table belongs."""


@dataclass(frozen=True)
class Setting:
    """One setting of a run as a user writes it, with what its field says about it."""

    name: str
    default: str
    unit: str
    valid: str
    source: str


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Rewrite the documents, or with `--check` only say which are out of date."""
    parser = CommandLine(COMMAND, (__doc__ or "").split("\n\n")[1])
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if stale")
    check = parser.parse_args(arguments).check
    try:
        stale = stale_documents(root)
    except (DocumentError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if check and stale:
        print(f"Out of date: {' and '.join(stale)}; run '{COMMAND}'.", file=sys.stderr)
        return 1
    for name, text in stale.items():
        (root / name).write_text(text, encoding="utf-8")
        print(f"{name} rewritten.")
    if not stale:
        print("The documents are current.")
    return 0


def stale_documents(root: Path = ROOT) -> dict[str, str]:
    """The documents that differ from what data and code say, each with its text brought up to date.

    Raises
    ------
    DocumentError
        If a marker is missing, with file, marker and cure.
    """
    tables = read_tables()
    opening = opening_balance(tables, tuple(tables.minerals["mineral"]))
    parts: dict[str, dict[str, Callable[[], str]]] = {
        "docs/data.md": {
            "shares table": lambda: shares_section(tables, opening),
            "coverage table": lambda: coverage_table(tables),
            "concentration table": lambda: published_concentration_table(tables, opening),
        },
        "docs/model.md": {
            "settings table": settings_section,
            "mineral parameters table": lambda: mineral_parameters_section(tables, opening),
        },
    }
    stale = {}
    for name, sections in parts.items():
        before = (root / name).read_text(encoding="utf-8")
        after = before
        for marker, write in sections.items():
            after = with_section(after, marker, write(), name)
        if after != before:
            stale[name] = after
    return stale


def with_section(text: str, marker: str, body: str, name: str = "the document") -> str:
    """The text with `body` between the two lines of a marker."""
    start, end = f"<!-- {marker} -->", f"<!-- end {marker} -->"
    place = re.compile(f"^{re.escape(start)}$.*?^{re.escape(end)}$", re.DOTALL | re.MULTILINE)
    if len(place.findall(text)) != 1:
        raise DocumentError(
            f"{name} must hold the lines {start} and {end} once, in this order; put them where the "
            "table belongs."
        )
    return place.sub(lambda _: f"{start}\n\n{body.strip()}\n\n{end}", text)


# --- Shares that follow, against published ones ---------------------------------------------------


def shares_section(tables: Tables, opening: Opening) -> str:
    """Concentration by market, supply shares and import shares, as Markdown."""
    least = f"{LEAST_SHARE:.0%}".replace("%", " %")
    return "\n\n".join(
        [
            "Generated; do not edit between the markers. "
            f"Rows in which both figures are below {least} are left out.",
            "### Concentration of supply by market",
            "HHI is the Herfindahl–Hirschman index of producing countries in the opening month, 0 "
            "to 10,000. The last column is the same index over a country's imports, home supply "
            "left out, for the median of the importers that publish their partners.",
            concentration_table(tables, opening),
            "### Shares of world supply",
            supply_table(tables, share_comparison(tables, opening)),
            "### Partner shares of imports",
            "For each importer the published share, then the share in the balanced opening flows. "
            "A star marks a partner that makes nothing in our tables: a re-exporter, whose share "
            "went to producers. *Moved* is the part of imports that balancing had to give to "
            "another partner than published (half the sum of absolute differences).",
            import_table(tables, import_share_fit(tables, opening)),
        ]
    )


def concentration_table(tables: Tables, opening: Opening) -> str:
    """Volume, HHI and the largest producers of every market."""
    names = dict(zip(tables.countries["code"], tables.countries["name"], strict=True))
    index = hhi(opening.supply, axis=1)
    known = tables.import_shares
    rows = []
    for market, (mineral, stage) in enumerate(opening.markets):
        share = opening.supply[market] / opening.supply[market].sum()
        top = np.argsort(-share, kind="stable")[:3]
        largest = ", ".join(
            f"{names[opening.countries[i]]} {percent(share[i])}" for i in top if share[i] > 0
        )
        here = known[(known["mineral"] == mineral) & (known["stage"] == stage)]
        volume = MONTHS * opening.supply[market].sum()
        rows.append(
            (
                mineral,
                stage,
                f"{volume:,.0f}",
                f"{index[market]:,.0f}",
                largest,
                _median_import_hhi(opening, market, sorted(set(here["importer"]))),
            )
        )
    head = ("mineral", "stage", "supply t/year", "HHI", "three largest, %", "HHI of imports")
    return markdown(head, rows, right=(2, 3, 5))


def coverage_table(tables: Tables) -> str:
    """Years whose world can be opened, by mineral."""
    years = coverage(tables)
    rows = [(mineral, spans(years[mineral])) for mineral in years]
    return markdown(("mineral", "years"), rows)


def published_concentration_table(tables: Tables, opening: Opening) -> str:
    """Opening concentration against every published figure, as Markdown."""
    rows = []
    for row in concentration(tables, opening).dropna(subset="published").itertuples():
        here, there, apart = row.opening, row.published, row.opening - row.published
        if row.measure == "hhi":
            words = ("HHI", f"{here:,.0f}", f"{there:,.0f}", f"{apart:+,.0f}")
        else:
            words = ("largest share, %", percent(here), percent(there), points(apart))
        rows.append((row.mineral, row.stage, *words, str(row.year), row.publisher))
    head = ("mineral", "stage", "measure", "opening", "published", "points", "year", "publisher")
    note = "Generated; do not edit between the markers."
    return f"{note}\n\n{markdown(head, rows, right=(3, 4, 5))}"


def _median_import_hhi(opening: Opening, market: int, importers: Sequence[str]) -> str:
    bought = opening.flow[market].copy()
    np.fill_diagonal(bought, 0.0)
    columns = [opening.countries.index(code) for code in importers]
    columns = [column for column in columns if bought[:, column].sum() > 0]
    if not columns:
        return "–"
    return f"{np.median(hhi(bought[:, columns])):,.0f}"


def supply_table(tables: Tables, comparison: pd.DataFrame) -> str:
    """Shares of world supply in the opening month against published ones."""
    names = dict(zip(tables.countries["code"], tables.countries["name"], strict=True))
    rows = [
        (
            row.mineral,
            row.stage,
            names[row.country],
            percent(row.model_share),
            percent(row.published_share),
            points(row.difference),
            row.publisher,
        )
        for row in comparison.itertuples()
        if max(row.model_share, row.published_share) >= LEAST_SHARE
    ]
    head = ("mineral", "stage", "country", "opening %", "published %", "points", "publisher")
    return markdown(head, rows, right=(3, 4, 5))


def import_table(tables: Tables, fit: pd.DataFrame) -> str:
    """One row an importer and market: published share > share in the balanced flows."""
    rows = []
    order = {code: place for place, code in enumerate(tables.countries["code"])}
    groups = fit.groupby(["mineral", "stage", "importer"], sort=False)
    for (mineral, stage, importer), group in sorted(
        groups, key=lambda item: (_first(fit, item[0]), order[item[0][2]])
    ):
        shown = group[group[["observed_share", "balanced_share"]].max(axis=1) >= LEAST_SHARE]
        shown = shown.sort_values("observed_share", ascending=False, kind="stable")
        pairs = ", ".join(
            f"{row.partner}{'' if row.partner_supplies else '*'} "
            f"{percent(row.observed_share)} → {percent(row.balanced_share)}"
            for row in shown.itertuples()
        )
        rest = group["observed_share"].sum() - group["balanced_share"].sum()
        moved = 0.5 * (group["difference"].abs().sum() + abs(rest))
        rows.append((mineral, stage, importer, percent(moved), pairs))
    head = ("mineral", "stage", "importer", "moved %", "partner: published → opening, %")
    return markdown(head, rows, right=(3,))


def _first(fit: pd.DataFrame, key: tuple[str, str, str]) -> int:
    """Where a market first stands in the table, to keep its order."""
    here = (fit["mineral"] == key[0]) & (fit["stage"] == key[1])
    return int(np.argmax(here.to_numpy()))


def percent(share: float) -> str:
    """A share as a percentage, one decimal where it is small."""
    value = 100.0 * share
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return "0.0" if abs(difference) < 5e-4 else f"{100.0 * difference:+.1f}"


# --- Settings and parameters ----------------------------------------------------------------------


def settings_section() -> str:
    """Every setting of a run, one table a group, from the dataclasses of `abm.config`."""
    parts = [
        "Generated; do not edit between the markers. A setting without a unit is a name, a date, a "
        "list or a switch."
    ]
    for title, prefix, schema in groups():
        about = " ".join((schema.__doc__ or "").split("\n\n")[0].split())
        rows = [
            (f"`{s.name}`", s.unit, s.default, s.valid, s.source) for s in settings(schema, prefix)
        ]
        if rows:
            head = ("setting", "unit", "default", "valid", "source of the default")
            parts += [f"**{title}.** {about}", markdown(head, rows)]
    return "\n\n".join(parts)


def groups() -> Iterator[tuple[str, str, type]]:
    """Title, prefix of the setting's name, and dataclass of every group of settings."""
    yield "Run", "", Config
    yield from _nested(Config, "")
    yield "Circle of members", "membership.circles.NAME.", Circle
    yield "Dated closure", "shipping.closures[N].", Closure
    yield "Outage", "outages[N].", Outage
    yield "Cap on output", "caps[N].", ProductionCap
    yield "State purchase", "purchases[N].", StatePurchase
    yield "Demand fact", "demand_facts[N].", DemandFact
    yield "Ambition of an alliance", "pathways.ambitions.NAME.", Ambition


def settings(schema: type, prefix: str) -> Iterator[Setting]:
    """The settings that stand directly in a group."""
    for item in fields(schema):
        default = _default(item)
        if is_dataclass(default) or isinstance(default, dict):
            continue
        about = item.metadata
        yield Setting(
            name=f"{prefix}{item.name}",
            default=_word(default),
            unit=about.get("unit", ""),
            valid=(
                f"{_word(about['low'])} to {_word(about['high'])}" if about else _valid(default)
            ),
            source=about.get("source", ""),
        )


def _nested(schema: type, prefix: str) -> Iterator[tuple[str, str, type]]:
    for item in fields(schema):
        default = _default(item)
        if is_dataclass(default):
            inner = type(default)
            yield item.name.replace("_", " ").capitalize(), f"{prefix}{item.name}.", inner
            yield from _nested(inner, f"{prefix}{item.name}.")


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _valid(default: object) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, Enum):
        return ", ".join(str(member.value) for member in type(default))
    return ""


def _word(value: object) -> str:
    """A value as it would be written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list):
        return f"[{', '.join(_word(entry) for entry in value)}]"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "empty"


def mineral_parameters_section(tables: Tables, opening: Opening) -> str:
    """The parameters that differ by mineral and stage: central values and stated ranges."""
    rows = []
    for name, rule in PARAMETERS.items():
        markets = [market for market in opening.markets if market[1] in rule.stages]
        values = np.array([tables.parameter(*market, name) for market in markets])
        named = tables.parameters["parameter"] == name
        units = ", ".join(sorted(set(tables.parameters.loc[named, "unit"].replace("1", "–"))))
        widest = f"{values[:, 1].min():g} to {values[:, 2].max():g}"
        rows.append((f"`{name}`", rule.meaning, units, span(values[:, 0]), widest))
    head = ("parameter", "meaning", "unit", "central values", "stated ranges, outermost")
    note = (
        "Generated; do not edit between the markers. Central values run from the lowest to the "
        "highest market; every row with its own range and source is in `abm/data/parameters.csv`."
    )
    return f"{note}\n\n{markdown(head, rows)}"


def span(values: np.ndarray) -> str:
    """The least and the largest of some values, or the one they share."""
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


# --- Markdown -------------------------------------------------------------------------------------


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table in Markdown; the columns in `right` are aligned to the right."""
    rule = ["--:" if column in right else "---" for column in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    raise SystemExit(main())
