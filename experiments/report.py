"""The report: one HTML file that says what was found, with figures, tables and provenance.

The words follow the numbers: an effect whose 95 % interval holds zero is called no clear effect.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from experiments.engine.store import drawn_from
from experiments.figures import NEGLIGIBLE, SHORT_LABELS, Drawn, Scene, Shown, mineral_label
from experiments.finding import Headline, MembershipFinding
from experiments.measures.effects import ALL, HEADLINE_MEASURES, MEASURES, MEMBERS, Estimate

TEMPLATES = Path(__file__).parent / "templates"
TITLE = "What membership does to prices and dependence"
MINUS, DASH = "−", "–"
WINDOWS = {"crisis": "shock"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and whether it is a number or an effect clear of zero."""

    text: str
    number: bool = False
    strong: bool = False


# ---------------------------------------------------------------- numbers and words


def number(value: float, signed: bool = False) -> str:
    """A number with two figures that matter, at least to the unit; − for minus."""
    if not np.isfinite(value):
        return DASH
    size = abs(value)
    digits = 0 if size >= 9.95 or size == 0 else 1 if size >= 0.95 else 2 if size >= 0.095 else 3
    text = f"{round(value, digits) + 0.0:{'+' if signed else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0.0:
        text = "0"
    return text.replace("-", MINUS)


def amount(value: float, unit: str) -> str:
    """A number with its unit, as in a sentence."""
    if unit == "points":
        return f"{number(value)} percentage point{'' if number(value) == '1' else 's'}"
    return f"{number(value)} {unit}"


def interval(estimate: Estimate, turned: bool = False) -> str:
    """The 95 % interval in words, with signs turned for "lowers by"."""
    if not estimate.has_interval:
        return "one seed, so no interval" if estimate.n == 1 else "no interval"
    ends = (-estimate.high, -estimate.low) if turned else (estimate.low, estimate.high)
    return f"95 % interval {number(ends[0])} to {number(ends[1])}"


def effect_clause(estimate: Estimate | None, what: str) -> str:
    """What happens to `what`: a clause whose verb follows the sign and the interval.

    "lowers the price by 2.1 % (95 % interval 1.8 to 2.4)", "has no clear effect on the price
    (+0.3 %, 95 % interval −0.5 to 1.1)", "leaves the price as it is".
    """
    if estimate is None or estimate.n == 0:
        return f"was not measured on {what}"
    if max(abs(estimate.mean), abs(estimate.p10), abs(estimate.p90)) < 0.0005:
        return f"leaves {what} unchanged"
    if estimate.has_interval and not estimate.clear:
        mean = number(estimate.mean, signed=True)
        unit = "percentage points" if estimate.unit == "points" else estimate.unit
        return f"has no clear effect on {what} ({mean} {unit}, {interval(estimate)})"
    down = estimate.mean < 0.0
    verb = "lowers" if down else "raises"
    size = amount(abs(estimate.mean), estimate.unit)
    return f"{verb} {what} by {size} ({interval(estimate, turned=down)})"


def finding(headline: Headline, scene: Scene) -> list[str]:
    """The finding in two sentences, calm and shock; one where only one was run.

    Where the run ends before the shock the second says so.
    """
    if not headline.findings:
        return ["No membership was compared with the run without alliance in this experiment."]
    basket = _basket(headline)
    named = False
    sentences = []
    if any(f.price_calm is not None for f in headline.findings):
        clauses = [
            f"{_circle(f, scene)} "
            + effect_clause(
                f.price_calm, f"its members’ landed price of {basket}" if i == 0 else "it"
            )
            for i, f in enumerate(headline.findings)
        ]
        sentences.append(f"In calm years, {joined(clauses)}.")
        named = True
    if headline.shock is not None:
        clauses = [
            f"{_circle(f, scene)} "
            + _shock_clause(
                f, "that price" if named or i else f"its members’ landed price of {basket}"
            )
            for i, f in enumerate(headline.findings)
        ]
        months = headline.crisis_months
        start = f"In the first {f'{months} months' if months > 1 else 'month'} of the shock"
        sentences.append(f"{start}, {joined(clauses, '; ')}.")
    elif scene.shock is not None:
        sentences.append(
            f"The shock starts in {scene.shock_start}, after the end of the run, so nothing is "
            "known of it; more horizon.years would reach it."
        )
    return named_once(sentences)


def named_once(sentences: Sequence[str], name: str = "95 % interval ") -> list[str]:
    """The sentences with the interval named at its first mention only."""
    seen, result = False, []
    for sentence in sentences:
        head, found, tail = sentence.partition(name)
        result.append(sentence.replace(name, "") if seen else head + found + tail.replace(name, ""))
        seen = seen or bool(found)
    return result


def _circle(found: MembershipFinding, scene: Scene) -> str:
    return f"membership of the {scene.membership_label(found.membership)}"


def _shock_clause(found: MembershipFinding, price: str) -> str:
    parts = [
        effect_clause(found.price_shock, price),
        effect_clause(found.dependence_shock, "the non-allied share of members’ purchases"),
        _unmet_clause(found),
    ]
    return joined(parts)


def _unmet_clause(found: MembershipFinding) -> str:
    """What happens to unmet need; none with and none without is no achievement of membership."""
    if found.unmet_level_shock is not None and found.unmet_level_shock < 0.0005:
        return "leaves their unmet need at zero, as without it"
    return effect_clause(found.unmet_shock, "their unmet need")


def _basket(headline: Headline) -> str:
    """The minerals whose prices make the headline, in words."""
    names = [mineral_label(m) for m in headline.shock_minerals]
    names = [name[0].lower() + name[1:] for name in names]
    if len(names) > 1:
        which = "minerals under control" if headline.shock else "minerals chosen"
        return f"the {len(names)} {which} ({joined(names)})"
    return names[0] if names else "all minerals"


def joined(parts: Sequence[str], comma: str = ", ") -> str:
    """Parts of a sentence in a row, "and" before the last."""
    if len(parts) < 2:
        return "".join(parts)
    last = comma if comma != ", " else " and "
    return comma.join(parts[:-1]) + last + parts[-1]


def context(headline: Headline, scene: Scene) -> list[str]:
    """Further sentences: the peak, the exporter's home price, non-members."""
    sentences = []
    for found in headline.findings:
        if found.peak_multiple is None or found.peak_multiple_without is None:
            continue
        level = "the opening price" if found.price_calm is None else "the level without the shock"
        sentences.append(
            f"With the {scene.membership_label(found.membership)} its members’ price peaks "
            f"{_months(found.months_to_peak or 0)} after the shock starts, at "
            f"{number(found.peak_multiple.mean)} times {level}; without "
            f"alliance the same countries pay up to {number(found.peak_multiple_without.mean)} "
            f"times ({found.peak_month_without})."
        )
    if headline.home_price_shock is not None:
        home = scene.names.get(headline.exporter, headline.exporter)
        clause = effect_clause(headline.home_price_shock, f"the home price in {home}")
        sentences.append(f"Without alliance, the shock itself {clause} over the same months.")
    for found in headline.findings:
        if found.outsiders_price_shock is not None:
            clause = effect_clause(found.outsiders_price_shock, "what non-members pay")
            sentences.append(f"Under the shock, {_circle(found, scene)} {clause}.")
    return sentences


def _months(count: int) -> str:
    return f"{count} month{'' if count == 1 else 's'}"


# ---------------------------------------------------------------- tables


def headline_table(headline: Headline, scene: Scene) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows: a row a number of the headline, a column a membership."""
    rows: list[tuple[str, str]] = [
        ("Members’ landed price, calm", "price_calm"),
        ("— all minerals", "price_calm_all"),
        ("Members’ landed price, shock", "price_shock"),
        ("Members’ non-allied share, calm", "dependence_calm"),
        ("Members’ non-allied share, shock", "dependence_shock"),
        ("Members’ unmet need, calm", "unmet_calm"),
        ("Members’ unmet need, shock", "unmet_shock"),
        ("Non-members’ landed price, calm", "outsiders_price_calm"),
        ("Non-members’ landed price, shock", "outsiders_price_shock"),
    ]
    labels = [scene.membership_label(f.membership) for f in headline.findings]
    head = ["Effect of", *(label[0].upper() + label[1:] for label in labels)]
    body = [
        [Cell(label), *(_estimate_cell(getattr(f, name)) for f in headline.findings)]
        for label, name in rows
        if any(getattr(f, name) is not None for f in headline.findings)
    ]
    return head, body


def _estimate_cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(DASH, number=True)
    return _effect_cell(
        estimate.mean, estimate.low, estimate.high, "pp" if estimate.unit == "points" else "%"
    )


def _effect_cell(mean: float, low: float, high: float, unit: str) -> Cell:
    text = f"{number(mean, signed=True)} {unit}"
    if np.isfinite(low) and np.isfinite(high) and abs(high - low) > 0.0005:
        text += f" [{number(low)}, {number(high)}]"
    clear = bool(np.isfinite(low) and (low > 0.0 or high < 0.0))
    return Cell(text, number=True, strong=clear)


def country_table(effects: pd.DataFrame, scene: Scene) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of the effects by country and circle; a measure that moves nowhere is left out.

    Landed price always stands; a column a measure and window.
    """
    table = effects[(effects["country"] != ALL) & (effects["mineral"] == ALL)]
    memberships = list(dict.fromkeys(table["membership"]))
    columns = [
        (measure, window)
        for window in dict.fromkeys(table["window"])
        for measure in HEADLINE_MEASURES
        if _shown(table[(table["measure"] == measure) & (table["window"] == window)])
    ]
    labels = {m: SHORT_LABELS.get(m, MEASURES[m].label) for m, _ in columns}
    head = ["Country", "Circle", *(f"{labels[m]}, {WINDOWS.get(w, w)}" for m, w in columns)]
    found = table.set_index(["country", "membership", "measure", "window"]).sort_index()
    body = []
    for country in _countries(table, scene):
        for membership in memberships:
            inside = table[(table["country"] == country) & (table["membership"] == membership)]
            mark = " (member)" if (inside["bloc"] == MEMBERS).any() else ""
            row = [
                Cell(scene.names.get(country, country)),
                Cell(scene.membership_label(membership) + mark),
            ]
            for measure, window in columns:
                key = (country, membership, measure, window)
                if key not in found.index:
                    row.append(Cell(DASH, number=True))
                    continue
                values = found.loc[key].squeeze()
                unit = "pp" if MEASURES[measure].unit == "points" else MEASURES[measure].unit
                row.append(_effect_cell(values["mean"], values["low"], values["high"], unit))
            body.append(row)
    return head, body


def _shown(rows: pd.DataFrame) -> bool:
    """Whether the effects of one measure and window are worth a column."""
    return bool(
        (rows["measure"] == "landed_price").any() or (rows["mean"].abs() > NEGLIGIBLE).any()
    )


def _countries(table: pd.DataFrame, scene: Scene) -> list[str]:
    """Members first, each part in the order of the table of roles."""
    inside = set(table.loc[table["bloc"] == MEMBERS, "country"])
    order = {country: i for i, country in enumerate(scene.roles)}
    return sorted(
        set(table["country"]), key=lambda c: (c not in inside, order.get(c, len(order)), c)
    )


def plain_table(table: pd.DataFrame) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of any small table."""
    head = [str(column).replace("_", " ").capitalize() for column in table.columns]
    body = [[_plain_cell(value) for value in row] for row in table.itertuples(index=False)]
    return head, body


def _plain_cell(value: Any) -> Cell:
    if isinstance(value, (float, np.floating)):
        return Cell(DASH if np.isnan(value) else f"{value:.4g}".replace("-", MINUS), number=True)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return Cell(f"{value:,}".replace("-", MINUS), number=True)
    return Cell(DASH if value is None else str(value))


# ---------------------------------------------------------------- the file


def write_report(
    folder: Path,
    headline: Headline,
    figures: Sequence[Shown],
    manifest: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    scene: Scene,
    first: Answer | None = None,
) -> Path:
    """Write `report.html` into `folder` and return its path.

    The figures are read as PNG from `folder`/figures, where `figures.save` puts them. `manifest`
    may hold config, seeds, versions, commit and data_hash; `tables` "effects" (by country is
    shown), "assumptions" (the estimated parameters) and others, shown under their names. `first` is
    what the report answers before the headline. Raises FileNotFoundError for a figure that was not
    saved.
    """
    first = first or Answer((), (), {})
    others = {k: v for k, v in tables.items() if k not in {"effects", "assumptions"}}
    others |= first.tables
    effects = tables.get("effects")
    page = _template("report.html").render(
        title=first.title or TITLE,
        notes=first.notes,
        finding=named_once([*first.sentences, *finding(headline, scene)]),
        context=context(headline, scene),
        headline=headline,
        headline_table=headline_table(headline, scene),
        figures=[(drawn, _embedded(folder, drawn.name)) for drawn in figures],
        countries=None if effects is None or effects.empty else country_table(effects, scene),
        tables={name: plain_table(table) for name, table in others.items()},
        assumptions=plain_table(tables["assumptions"]) if "assumptions" in tables else None,
        caveats=caveats(manifest),
        provenance=_provenance(manifest),
        config=_settings(manifest),
        members={
            scene.membership_label(f.membership): ", ".join(
                scene.names.get(c, c) for c in f.members
            )
            for f in headline.findings
        },
        minerals=_basket(headline),
    )
    return _written(folder, page)


@dataclass(frozen=True)
class Answer:
    """What a study found: sentences first, then figures and tables, and how to read them."""

    sentences: Sequence[str]
    figures: Sequence[Drawn]
    tables: Mapping[str, pd.DataFrame]
    notes: Sequence[str] = ()
    title: str = ""


def write_study_report(
    folder: Path,
    title: str,
    answer: Answer,
    manifest: Mapping[str, Any],
    assumed: pd.DataFrame,
) -> Path:
    """Write `report.html` of a study into `folder` and return its path.

    Raises
    ------
    FileNotFoundError
        For a figure that was not saved.
    """
    page = _template("study.html").render(
        heading=title,
        finding=answer.sentences,
        figures=[(drawn, _embedded(folder, drawn.name)) for drawn in answer.figures],
        tables={name: plain_table(table) for name, table in answer.tables.items()},
        notes=answer.notes,
        assumptions=plain_table(assumed),
        caveats=caveats(manifest),
        provenance=_provenance(manifest),
        config=_settings(manifest),
    )
    return _written(folder, page)


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _settings(manifest: Mapping[str, Any]) -> str:
    return yaml.safe_dump(_plain(manifest.get("config", {})), sort_keys=False, width=72)


def _written(folder: Path, page: str) -> Path:
    """Write the page whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    part = path.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
    return path


def _embedded(folder: Path, name: str) -> Markup:
    """A saved figure as a data address."""
    path = folder / "figures" / f"{name}.png"
    if not path.is_file():
        raise FileNotFoundError(f"No figure '{path}' for the report: save the figures first.")
    return Markup("data:image/png;base64,") + base64.b64encode(path.read_bytes()).decode("ascii")


def drawn_between_seeds(manifest: Mapping[str, Any]) -> list[str]:
    """What one seed may have otherwise than another, by the configuration of the manifest."""
    config = manifest.get("config", {})
    drawn = ["chance"]
    if config.get("world", {}).get("draw_parameters", False):
        drawn.append("parameters of minerals within their stated ranges")
    if config.get("uncertainty", {}).get("active", False):
        drawn.append("behaviour, drawn from the settings that fit past episodes best")
    return drawn


def caveats(manifest: Mapping[str, Any]) -> list[str]:
    """What a reader must know before using the numbers: what intervals hold, what is estimated."""
    drawn = drawn_between_seeds(manifest)
    several = f"{', '.join(drawn[:-1])} and {drawn[-1]}" if len(drawn) > 1 else f"{drawn[0]} only"
    missing = (
        "the data or of the model’s form"
        if len(drawn) > 2
        else ("all parameters, of the data or of the model’s form")
    )
    behaviour = (
        "Behavioural parameters are draws of the posterior: the settings that come closest "
        "to past episodes, which they miss by the factors told in the validation."
        if manifest.get("config", {}).get("uncertainty", {}).get("active", False)
        else "Behavioural parameters are assumed from ranges in the literature."
    )
    return [
        f"The intervals show what differs between seeds: {several}. They do not show the "
        f"uncertainty of {missing}.",
        "Much of the opening state is estimated: demand by country and most flows between pairs of "
        "countries are not public and are completed from known totals.",
        f"{behaviour} Results are conditional on the scenario as configured and are no forecast.",
    ]


def _provenance(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and text of every scalar or flat entry of the manifest but the configuration.

    The posterior is among them where behaviour is drawn.
    """
    rows = []
    for key, value in {**manifest, **drawn_from(manifest)}.items():
        if key in {"config", "scene", "tables", "figures"}:
            continue
        if isinstance(value, Mapping):
            text = ", ".join(f"{name} {entry}" for name, entry in value.items())
        elif isinstance(value, (list, tuple)):
            text = ", ".join(str(entry) for entry in value)
        else:
            text = str(value)
        rows.append((str(key).replace("_", " ").capitalize(), text))
    return rows


def _plain(value: Any) -> Any:
    """Nested values as YAML can write them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
