"""Problems and clearings as JSON files with names, for use without the rest of the model.

Quantities are t/month, prices USD/kg. `read_problem` turns a file into a `Problem`; everything
wrong with the file is a `FileError` in one sentence. `clearing_document` names the results again.
The format is described in docs/clearing.md.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from abm.market.clearing import Clearing
from abm.market.problem import Problem
from abm.market.sensitivity import limit_arcs

LARGEST = 1e12  # of any number in a file; beyond it a unit must be wrong
MOST_PAIRS = 10_000_000  # of countries, over all markets: about a gigabyte
FIRM = ("capacity", "low_ask", "high_ask")
TERM = ("need", "reference_price", "elasticity", "backstop_price", "choke_price")
NO_TERM = (0.0, 1.0, 0.0, np.inf, np.inf)
BID = ("quantity", "low_price", "high_price")
NO_BID = (0.0, 0.0, 0.0)
ARC = {"log_weight": 0.0, "price_factor": 1.0, "price_addition": 0.0, "floor_price": 0.0}

Arc = tuple[int, int, int]  # market, origin, destination


class FileError(ValueError):
    """Something in a file is not as it must be; the message says what, where and what to change."""


@dataclass(frozen=True)
class NamedProblem:
    """A problem, which names its markets and countries, with the names of its firms and limits."""

    problem: Problem
    firm_names: tuple[str, ...]  # [F]
    limit_names: tuple[str, ...]  # [G]


@dataclass(frozen=True)
class Entry:
    """One JSON object and its place in the file, such as markets[0].firms[2]."""

    place: str
    values: dict[str, Any]

    def at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def allow(self, *keys: str) -> None:
        """Refuse keys that are not known, so that a misspelt one is not passed over."""
        for key in self.values:
            if key not in keys:
                raise FileError(
                    f"{self.place or 'the file'} has the key {shown(key)}, which is not known; "
                    f"it may have {', '.join(keys)}."
                )

    def get(self, key: str) -> Any:
        if key not in self.values:
            raise FileError(f"{self.at(key)} is missing; add it.")
        return self.values[key]

    def number(
        self, key: str, default: float | None = None, *, least: float = -LARGEST, rule: str = ""
    ) -> float:
        """A finite number of at least `least`; `rule` says so in words."""
        if default is not None and key not in self.values:
            return default
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FileError(f"{self.at(key)} is {shown(value)}; it must be a number.")
        if not abs(value) <= LARGEST:
            raise FileError(
                f"{self.at(key)} is {shown(value)}; it must lie between {-LARGEST:g} and "
                f"{LARGEST:g}, so check its unit."
            )
        if value < least:
            raise FileError(f"{self.at(key)} is {shown(value)}; it must be {rule}.")
        return float(value)

    def amount(self, key: str, default: float | None = None) -> float:
        return self.number(key, default, least=0.0, rule="zero or more")

    def positive(self, key: str, default: float | None = None) -> float:
        return self.number(key, default, least=1e-12, rule="above zero (1e-12 or more)")

    def ordered(self, low: str, high: str) -> None:
        """Refuse a high end below the low one."""
        if self.unbounded(high) < self.number(low):
            raise FileError(
                f"{self.at(high)} is {shown(self.values[high])}; it must not be below {low}, "
                f"{shown(self.values[low])}."
            )

    def unbounded(self, key: str) -> float:
        """A number, or infinity where the key is left out."""
        return self.number(key) if key in self.values else math.inf

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self.values:
            return default
        return checked_name(self.get(key), self.at(key))

    def choice(self, key: str, names: Sequence[str], what: str) -> int:
        """Which of `names` the text is."""
        name = self.text(key)
        if name not in names:
            raise FileError(
                f"{self.at(key)} is {shown(name)}, which is not a {what}; known: {listed(names)}."
            )
        return names.index(name)

    def items(self, key: str, *, optional: bool = False) -> list[Any]:
        if optional and key not in self.values:
            return []
        values = self.get(key)
        if not isinstance(values, list):
            raise FileError(f"{self.at(key)} is {shown(values)}; it must be a list in [ ].")
        return values

    def entries(self, key: str, *, optional: bool = False) -> "list[Entry]":
        values = self.items(key, optional=optional)
        return [entry_of(value, f"{self.at(key)}[{n}]") for n, value in enumerate(values)]


def entry_of(value: Any, place: str) -> Entry:
    if not isinstance(value, dict):
        raise FileError(
            f"{place or 'the file'} is {shown(value)}; it must be an object in braces {{ }}."
        )
    return Entry(place, value)


def checked_name(name: Any, place: str) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise FileError(f"{place} is {shown(name)}; it must be a name in quotation marks.")
    return name


def shown(value: Any) -> str:
    """A value as it stands in the file, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")


def refuse_repeats(keys: Sequence[Any], places: Sequence[str], what: str) -> None:
    """Raise for the second of two equal keys."""
    first: dict[Any, str] = {}
    for key, place in zip(keys, places, strict=True):
        if key in first:
            raise FileError(f"{place} repeats the {what} of {first[key]}; list each once.")
        first[key] = place


def read_problem(path: str | Path) -> NamedProblem:
    """Read a problem from a JSON file.

    Raises FileError, naming the file, if it cannot be read or is not a valid problem.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} is not a text file in UTF-8; save it as such.") from None
    try:
        return problem_of(parsed(text))
    except FileError as error:
        raise FileError(f"{path}: {error}") from None


def parsed(text: str) -> Any:
    """The JSON value in a text, without the liberties that Python's reader takes."""
    try:
        return json.loads(text, object_pairs_hook=without_repeats, parse_constant=refuse_constant)
    except FileError:
        raise
    except json.JSONDecodeError as error:
        raise FileError(
            f"line {error.lineno}, column {error.colno} is not JSON: {error.msg}; look for a "
            "missing comma, quotation mark or bracket there or just before."
        ) from None
    except (ValueError, RecursionError):
        raise FileError(
            "a number is too long or the brackets are nested too deeply; simplify the file."
        ) from None


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise FileError(f"the key {shown(key)} stands twice in one object; keep one.")
        values[key] = value
    return values


def refuse_constant(name: str) -> None:
    raise FileError(f"{name} is not a number in JSON; give a number or leave the entry out.")


def problem_of(document: Any) -> NamedProblem:
    """The problem that a parsed JSON document describes."""
    top = entry_of(document, "")
    top.allow("title", "countries", "markets", "limits")
    top.text("title", "untitled")
    names = top.items("countries")
    countries = [checked_name(name, f"countries[{n}]") for n, name in enumerate(names)]
    refuse_repeats(countries, [f"countries[{n}]" for n in range(len(countries))], "name")
    markets = top.entries("markets")
    if not countries or not markets:
        raise FileError("countries and markets must not be empty; name at least one of each.")
    refuse_vast(len(countries), len(markets))
    market_names = [market.text("name") for market in markets]
    refuse_repeats(market_names, [market.at("name") for market in markets], "name")
    for market in markets:
        market.allow("name", "dispersion", "firms", "demand", "bids", "arcs")
    firm_names, firms = firm_fields(markets, countries)
    arcs = arc_fields(markets, countries)
    limits = top.entries("limits", optional=True)
    limit_names = [limit.text("name") for limit in limits]
    refuse_repeats(limit_names, [limit.at("name") for limit in limits], "name")
    is_open = arcs["log_weight"] > -np.inf
    groups = [limit_of(limit, market_names, countries, is_open) for limit in limits]
    problem = Problem(
        **firms,
        **buyer_fields(markets, countries, "demand", TERM, term_of, NO_TERM),
        **bid_fields(markets, countries),
        **arcs,
        **limit_fields(groups),
        dispersion=np.array([market.positive("dispersion") for market in markets]),
        market_names=tuple(market_names),
        country_names=tuple(countries),
    )
    return NamedProblem(problem, tuple(firm_names), tuple(limit_names))


def refuse_vast(countries: int, markets: int) -> None:
    """Arrays hold every pair of countries, also where no arc is listed."""
    if markets * countries**2 > MOST_PAIRS:
        raise FileError(
            f"countries and markets are {countries} and {markets}, which makes "
            f"{markets * countries**2:,} pairs of countries; use at most {MOST_PAIRS:,}."
        )


def firm_fields(
    markets: Sequence[Entry], countries: Sequence[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Firms sorted by market and country, in the order of the file within each."""
    rows: list[tuple[int, int, str, tuple[float, ...]]] = []
    for b, market in enumerate(markets):
        firms = market.entries("firms")
        for firm in firms:
            firm.allow("name", "country", *FIRM)
            row = firm.amount("capacity"), firm.number("low_ask"), firm.number("high_ask")
            firm.ordered("low_ask", "high_ask")
            rows.append((b, firm.choice("country", countries, "country"), firm.text("name"), row))
        names = [firm.text("name") for firm in firms]
        refuse_repeats(names, [firm.at("name") for firm in firms], "name")
    rows.sort(key=lambda row: row[:2])
    counts = np.zeros((len(markets), len(countries) + 1), np.int64)
    for b, i, _, _ in rows:
        counts[b, i + 1] += 1
    offset = np.cumsum(counts.ravel()).reshape(counts.shape)
    numbers = np.array([row for *_, row in rows]).reshape(-1, len(FIRM))
    fields = dict(zip(FIRM, numbers.T.copy(), strict=True))
    return [name for _, _, name, _ in rows], {**fields, "firm_offset": offset}


def term_of(entry: Entry) -> tuple[float, ...]:
    """One demand term; without a backstop price it never gives way to a substitute."""
    ends = ("backstop_price", "choke_price")
    if (ends[0] in entry.values) != (ends[1] in entry.values):
        raise FileError(f"{entry.place} has one of {' and '.join(ends)}; give both or neither.")
    if ends[0] in entry.values:
        entry.ordered(*ends)
    return (
        entry.amount("need"),
        entry.positive("reference_price"),
        entry.amount("elasticity"),
        entry.unbounded("backstop_price"),
        entry.unbounded("choke_price"),
    )


def bid_of(entry: Entry) -> tuple[float, ...]:
    row = entry.amount("quantity"), entry.number("low_price"), entry.number("high_price")
    entry.ordered("low_price", "high_price")
    return row


def bid_fields(markets: Sequence[Entry], countries: Sequence[str]) -> dict[str, np.ndarray]:
    fields = buyer_fields(markets, countries, "bids", BID, bid_of, NO_BID)
    names = ("bid_quantity", "bid_low", "bid_high")
    return dict(zip(names, fields.values(), strict=True))


def buyer_fields(
    markets: Sequence[Entry],
    countries: Sequence[str],
    key: str,
    names: Sequence[str],
    row_of: Callable[[Entry], tuple[float, ...]],
    blank: tuple[float, ...],
) -> dict[str, np.ndarray]:
    """Terms or bids as arrays [B, J, most of one country]; the others are `blank`."""
    rows: dict[tuple[int, int], list[tuple[float, ...]]] = {}
    for b, market in enumerate(markets):
        for entry in market.entries(key, optional=True):
            entry.allow("country", *names)
            place = b, entry.choice("country", countries, "country")
            rows.setdefault(place, []).append(row_of(entry))
    most = max((len(several) for several in rows.values()), default=0)
    numbers = np.empty((len(names), len(markets), len(countries), most))
    numbers[:] = np.reshape(blank, (-1, 1, 1, 1))
    for (b, j), several in rows.items():
        numbers[:, b, j, : len(several)] = np.transpose(several)
    return dict(zip(names, numbers, strict=True))


def arc_fields(markets: Sequence[Entry], countries: Sequence[str]) -> dict[str, np.ndarray]:
    """Arcs [B, I, J]; those that are not listed are closed."""
    size = len(markets), len(countries), len(countries)
    fields = {name: np.full(size, value) for name, value in ARC.items()}
    fields["log_weight"][:] = -np.inf
    for b, market in enumerate(markets):
        arcs = market.entries("arcs")
        ends = []
        for arc in arcs:
            arc.allow("from", "to", *ARC)
            i, j = (arc.choice(end, countries, "country") for end in ("from", "to"))
            ends.append((i, j))
            for name, default in ARC.items():
                read = arc.positive if name == "price_factor" else arc.number
                fields[name][b, i, j] = read(name, default)
        refuse_repeats(ends, [arc.place for arc in arcs], "countries")
    return fields


def limit_of(
    limit: Entry, markets: Sequence[str], countries: Sequence[str], is_open: np.ndarray
) -> tuple[float, list[Arc]]:
    """A limit's quantity and its arcs, which must be arcs of their market."""
    limit.allow("name", "quantity", "arcs")
    entries = limit.entries("arcs")
    if not entries:
        raise FileError(f"{limit.at('arcs')} is empty; list the arcs that the limit is on.")
    arcs = [limited_arc(entry, markets, countries) for entry in entries]
    for entry, (b, i, j) in zip(entries, arcs, strict=True):
        if not is_open[b, i, j]:
            raise FileError(
                f"{entry.place} is {countries[i]} to {countries[j]}, which is not among the arcs "
                f"of {markets[b]}; list it there or take it out of the limit."
            )
    refuse_repeats(arcs, [entry.place for entry in entries], "arc")
    return limit.amount("quantity"), arcs


def limited_arc(entry: Entry, markets: Sequence[str], countries: Sequence[str]) -> Arc:
    """Where a limit applies; a file with one market need not name it."""
    entry.allow("market", "from", "to")
    named = len(markets) > 1 or "market" in entry.values
    return (
        entry.choice("market", markets, "market") if named else 0,
        entry.choice("from", countries, "country"),
        entry.choice("to", countries, "country"),
    )


def limit_fields(groups: Sequence[tuple[float, list[Arc]]]) -> dict[str, np.ndarray]:
    """The fields of a problem that hold its limits."""
    arcs = np.array([arc for _, group in groups for arc in group], np.int64).reshape(-1, 3)
    offset = np.cumsum([0, *(len(group) for _, group in groups)], dtype=np.int64)
    return {
        "limit": np.array([quantity for quantity, _ in groups], float),
        "limit_market": arcs[:, 0],
        "limit_offset": offset,
        "limit_origin": arcs[:, 1],
        "limit_destination": arcs[:, 2],
    }


def clearing_document(named: NamedProblem, clearing: Clearing) -> dict[str, Any]:
    """The clearing with its names, ready for JSON: null where there is no price."""
    markets = range(named.problem.shape[0])
    return {
        "units": {"quantities": "t/month", "prices": "USD/kg", "rent_income": "USD/month"},
        "markets": [market_document(named, clearing, b) for b in markets],
        "limits": limit_documents(named, clearing),
    }


def market_document(named: NamedProblem, clearing: Clearing, b: int) -> dict[str, Any]:
    problem = named.problem
    names = [problem.country(i) for i in range(problem.shape[1])]
    firms = range(problem.firm_offset[b, 0], problem.firm_offset[b, -1])
    price, landed = clearing.origin_price[b], clearing.landed_price[b]
    offers = np.diff(problem.firm_offset[b]) > 0
    buys = (problem.need[b] > 0.0).any(axis=1) | (problem.bid_quantity[b] > 0.0).any(axis=1)
    return {
        "name": problem.market(b),
        "certificate": {
            "residual": finite(clearing.residual[b]),
            "newton_steps": int(clearing.iterations[b]),
            "fell_back": bool(clearing.fell_back[b]),
        },
        "origins": [
            {
                "country": names[i],
                "price": finite(price[i]),
                "sold": finite(clearing.flow[b, i].sum()),
            }
            for i in np.flatnonzero(offers)
        ],
        "destinations": [
            {
                "country": names[j],
                "landed_price": finite(landed[j]),
                "average_price": finite(clearing.average_price[b, j]),
                "bought": finite(clearing.demand[b, j]),
                "unmet_need": finite(clearing.unmet[b, j]),
            }
            for j in np.flatnonzero(buys)
        ],
        "flows": [
            {
                "from": names[i],
                "to": names[j],
                "quantity": finite(clearing.flow[b, i, j]),
                "delivered_price": finite(clearing.delivered_price[b, i, j]),
            }
            for i, j in np.argwhere(np.isfinite(clearing.delivered_price[b]))
        ],
        "firms": [{"name": named.firm_names[f], "sold": finite(clearing.sales[f])} for f in firms],
    }


def limit_documents(named: NamedProblem, clearing: Clearing) -> list[dict[str, Any]]:
    """Limits with what they let through; a ban closes its arcs and has no rent."""
    problem = named.problem
    flow = clearing.flow.ravel()[limit_arcs(problem)]
    used = np.bincount(problem.limit_group, flow, problem.limit.size)
    return [
        {
            "name": name,
            "quantity": finite(problem.limit[g]),
            "used": finite(used[g]),
            "rent": finite(clearing.rent[g]) if problem.limit[g] > 0.0 else None,
            "rent_income": finite(1000.0 * clearing.rent[g] * used[g]),
        }
        for g, name in enumerate(named.limit_names)
    ]


def finite(value: float) -> float | None:
    """The number as written, or None (null in JSON) where there is none.

    Ten digits, one more than the tolerance of a clearing vouches for.
    """
    return float(f"{value:.10g}") if math.isfinite(value) else None


def write_document(document: dict[str, Any], path: str | Path) -> None:
    """Write a document as indented JSON. Raises FileError if the file cannot be written."""
    try:
        Path(path).write_text(json_text(document), encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.") from None


def json_text(document: dict[str, Any]) -> str:
    """JSON in which an object or a list that holds no other stands on one line."""
    return laid_out(document, "\n") + "\n"


def laid_out(value: Any, margin: str) -> str:
    """The value as JSON; its further lines begin with `margin`, a line break and spaces."""
    if not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = list(value.values()) if isinstance(value, dict) else value
    texts = [laid_out(item, margin + "  ") for item in inner]
    if isinstance(value, dict):
        names = [json.dumps(name, ensure_ascii=False) for name in value]
        texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    start, end = "{}" if isinstance(value, dict) else "[]"
    if not any(isinstance(item, dict | list) for item in inner):
        return start + ", ".join(texts) + end
    return start + margin + "  " + f",{margin}  ".join(texts) + margin + end
