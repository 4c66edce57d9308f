"""The calibration tables in `abm/data/`: their schema, and a reader that trusts nothing.

Every table is a CSV file (UTF-8, comma, one header line) whose rows carry a `source` and a `status`
(observed or estimated). Quantities are tonnes of contained mineral a year, prices 2024 US dollars a
kilogram. A folder of extra tables with the same file names adds rows, or replaces the rows that
have the same key: that is how a mineral or a country joins without code.

Any fault raises `TableError`: one plain sentence with file, row (line in the file), value and cure.
"""

import csv
import hashlib
import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pandas as pd

DATA_FOLDER = Path(__file__).parent / "data"

STAGES = ("mined", "refined")
# In the order in which refined product is set aside when part of a mineral is used unrefined.
SECTORS = ("clean_energy", "digital", "defence", "alloys", "other")
SCENARIOS = ("steps", "aps", "nze")  # IEA: stated policies, announced pledges, net zero by 2050
STATUSES = ("observed", "estimated")

SHARE_SUM_TOLERANCE = 1e-6
IMPORT_SHARE_LIMIT = 1.001  # published shares are rounded
OUTPUT_TOLERANCE = 1e-6

Cell = str | float | int


class TableError(ValueError):
    """A table cannot be used: the message names file, row, value and cure."""


# --- Schema ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One column: its kind (text, number or integer), its range, and the words it may hold."""

    name: str
    kind: str = "text"
    required: bool = True
    least: float = -math.inf
    most: float = math.inf
    words: tuple[str, ...] = ()
    refers_to: str = ""  # "countries" or "minerals": the cell is a key of that table
    wildcard: bool = False  # "*" is allowed and means all
    pattern: str = ""
    meaning: str = ""  # how a fault of range or pattern is put in words


@dataclass(frozen=True)
class Schema:
    """One table: its columns and the columns that identify a row."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unordered_key: bool = False
    optional: bool = False  # a base folder without the file has an empty table

    @property
    def file_name(self) -> str:
        return f"{self.name}.csv"

    def key_of(self, cells: Mapping[str, Cell]) -> tuple[str, ...]:
        values = [str(cells[name]) for name in self.key]
        return tuple(sorted(values)) if self.unordered_key else tuple(values)


@dataclass(frozen=True)
class ParameterRule:
    """Where a parameter is needed and the range a value must lie in."""

    least: float
    most: float
    stages: tuple[str, ...] = STAGES
    meaning: str = ""


PARAMETERS: dict[str, ParameterRule] = {
    "supply_elasticity": ParameterRule(0.0, 20.0, meaning="short-run price elasticity of supply"),
    "demand_elasticity": ParameterRule(0.0, 20.0, meaning="own-price elasticity of use, positive"),
    "sourcing_elasticity": ParameterRule(0.0, 100.0, meaning="price over the sourcing spread"),
    "longrun_sourcing_factor": ParameterRule(1.0, 100.0, meaning="long run over short run"),
    "refining_yield": ParameterRule(1e-6, 1.0, ("refined",), "t refined per t mined"),
    "backstop_price_multiple": ParameterRule(1.0, 1e4, meaning="substitute enters above it"),
    "choke_price_multiple": ParameterRule(1.0, 1e5, meaning="demand is gone above it"),
    "utilisation": ParameterRule(0.01, 1.0, meaning="opening output over capacity"),
    "buyer_cover_months": ParameterRule(0.0, 120.0, meaning="months of use in buyers' stocks"),
    "producer_stock_months": ParameterRule(0.0, 120.0, meaning="months of output in store"),
    "lead_time_years": ParameterRule(0.0, 60.0, meaning="years from decision to output"),
    "longrun_supply_elasticity": ParameterRule(0.0, 50.0, meaning="elasticity with entry"),
    "gross_weight": ParameterRule(1.0, 1e5, meaning="t shipped per t contained"),
    "freight_fixed_usd_per_t": ParameterRule(0.0, 1e5, meaning="freight at the quay"),
    "freight_usd_per_t_per_1000km": ParameterRule(0.0, 1e4, meaning="freight with distance"),
    "insurance_share": ParameterRule(0.0, 1.0, meaning="insurance over value"),
    "contract_share": ParameterRule(0.0, 1.0, meaning="share of usual trade under term contract"),
    "byproduct_ceiling": ParameterRule(
        1.0, 1e3, meaning="output the host metal allows over the opening one; by-products only"
    ),
    "old_scrap_share": ParameterRule(
        0.0, 1.0, ("refined",), "part of recycled output made from retired products"
    ),
    "collectable_share": ParameterRule(
        0.0, 1.0, ("refined",), "part of retired products that could be collected and refined"
    ),
}


def _text(name: str, required: bool = True) -> Column:
    return Column(name, required=required)


def _word(name: str, *words: str) -> Column:
    return Column(name, words=words)


def _number(
    name: str,
    least: float = -math.inf,
    most: float = math.inf,
    required: bool = True,
    meaning: str = "",
) -> Column:
    return Column(name, "number", required, least, most, meaning=meaning)


def _tonnes(name: str, required: bool = True) -> Column:
    return _number(name, 0.0, required=required, meaning="tonnes cannot be negative")


def _share(name: str) -> Column:
    return _number(name, 0.0, 1.0, meaning="a share lies between 0 and 1")


def _price(name: str, required: bool = True) -> Column:
    return _number(name, 1e-9, required=required, meaning="a price is positive")


def _year(name: str, required: bool = True) -> Column:
    return Column(name, "integer", required, 1800, 2200, meaning="a year has four digits")


def _country(name: str, wildcard: bool = False, required: bool = True) -> Column:
    return Column(name, required=required, refers_to="countries", wildcard=wildcard)


def _mineral(wildcard: bool = False) -> Column:
    return Column("mineral", refers_to="minerals", wildcard=wildcard)


def _stage(*more: str, wildcard: bool = False) -> Column:
    return Column("stage", words=(*STAGES, *more), wildcard=wildcard)


def _slug(name: str) -> Column:
    return Column(
        name,
        pattern=r"[a-z][a-z0-9_]*",
        meaning="a name is small letters, digits and underscores",
    )


_PROVENANCE = (_text("source"), _word("status", *STATUSES))


def _schema(
    name: str, key: str, *columns: Column, unordered_key: bool = False, optional: bool = False
) -> tuple[str, Schema]:
    return name, Schema(name, (*columns, *_PROVENANCE), tuple(key.split()), unordered_key, optional)


_PROJECT_COLUMNS = (
    _word("state", "planned", "construction", "idle"),
    _number("capacity_t", 1e-9, meaning="a project has a positive capacity"),
    *(
        _number(name, 1e-9, meaning="capital left to spend is positive")
        for name in ("capital_musd", "capital_low_musd", "capital_high_musd")
    ),
    _word("confidence", "read", "derived", "memory"),
)
_GROWTH_COLUMNS = tuple(
    _number(name, -0.5, 1.0, meaning="growth is a fraction a year, -0.5 to 1")
    for name in ("growth_per_year", "growth_low", "growth_high")
)


SCHEMAS: dict[str, Schema] = dict(
    [
        _schema(
            "countries",
            "code",
            Column("code", pattern=r"[A-Z][A-Z0-9]{2,4}", meaning="a code is capitals, as CHN"),
            _text("name"),
            _text("region"),
            _word("role", "allied", "partner", "neutral", "non_allied"),
            _number("political_stability", -2.5, 2.5, meaning="the WGI scale is -2.5 to 2.5"),
            _number("industry_bn_usd", 0.0, meaning="industry cannot be negative"),
        ),
        _schema(
            "country_codes",
            "iso3",
            Column("iso3", pattern=r"[A-Z]{3}", meaning="an iso3 code is three capitals"),
            _country("code"),
        ),
        _schema(
            "minerals",
            "mineral",
            _slug("mineral"),
            _text("name"),
            _text("family", required=False),
            _word("by_product", "yes", "no"),
            _word("stages", "mined+refined", "refined"),
        ),
        _schema(
            "parameters",
            "mineral stage parameter",
            _mineral(wildcard=True),
            _stage(wildcard=True),
            _word("parameter", *PARAMETERS),
            _number("value"),
            _number("low"),
            _number("high"),
            _text("unit"),
        ),
        _schema(
            "output",
            "mineral stage country",
            _mineral(),
            _stage(),
            _country("country"),
            _year("year"),
            _tonnes("quantity_t"),
        ),
        _schema(
            "recycling", "mineral country", _mineral(), _country("country"), _tonnes("quantity_t")
        ),
        _schema(
            "firms",
            "firm country mineral stage",
            _text("firm"),
            _text("operator", required=False),
            _text("parent", required=False),
            _country("country"),
            _mineral(),
            _stage("recycled"),
            _word("state", "operating", "construction", "planned", "idle", "double_count"),
            _tonnes("capacity_t", required=False),
            _tonnes("output_t", required=False),
            _year("start_year", required=False),
            _price("cash_cost_usd_per_kg", required=False),
            _word("confidence", "read", "derived", "memory"),
            _text("note", required=False),
        ),
        _schema(
            "projects",
            "project mineral stage",
            _text("project"),
            _country("country"),
            _mineral(),
            _stage("recycled"),
            *_PROJECT_COLUMNS,
        ),
        _schema(
            "demand",
            "mineral stage country",
            _mineral(),
            _stage(),
            _country("country"),
            _share("share"),
            _share("low"),
            _share("high"),
        ),
        _schema(
            "direct_use", "mineral", _mineral(), _share("share"), _share("low"), _share("high")
        ),
        _schema(
            "sectors",
            "mineral sector",
            _mineral(),
            _word("sector", *SECTORS),
            _share("share"),
            *_GROWTH_COLUMNS,
        ),
        _schema(
            "demand_paths",
            "mineral sector scenario year",
            _mineral(),
            _word("sector", *SECTORS),
            _word("scenario", *SCENARIOS),
            Column("year", "integer", True, 2025, 2200, meaning="a path starts from 2024"),
            _number("multiple", 1e-6, 1e6, meaning="a multiple of use in 2024 is positive"),
        ),
        _schema(
            "prices",
            "mineral stage market",
            _mineral(),
            _stage(),
            _word("market", "world", "home"),
            _country("exporter", required=False),
            _year("year"),
            _price("price_usd_per_kg"),
        ),
        _schema(
            "import_shares",
            "mineral stage importer partner",
            _mineral(),
            _stage(),
            _country("importer"),
            _country("partner"),
            _share("share"),
            _word("basis", "quantity", "value"),
        ),
        _schema(
            "distances",
            "origin destination",
            _country("origin"),
            _country("destination"),
            _number("sea_km", 1.0, 60000.0, meaning="a distance is 1 to 60000 km"),
            _number("days", 0.0, 365.0, meaning="a voyage is 0 to 365 days"),
            unordered_key=True,
        ),
        _schema(
            "chokepoints",
            "chokepoint origin destination",
            _slug("chokepoint"),
            _country("origin"),
            _country("destination"),
            _share("share"),
            _number("detour_km", 0.0, 60000.0, required=False, meaning="a detour is 0 to 60000 km"),
            unordered_key=True,
        ),
        _schema(
            "tariffs",
            "mineral stage importer exporter",
            _mineral(),
            _stage(),
            _country("importer"),
            _country("exporter", wildcard=True),
            _number("rate", 0.0, 10.0, meaning="a rate is a fraction of value, 0 to 10"),
        ),
        _schema(
            "reserves", "mineral country", _mineral(), _country("country"), _tonnes("reserves_t")
        ),
        _schema(
            "stockpiles",
            "mineral country",
            _mineral(),
            _country("country"),
            _number("cover_months", 0.0, 240.0, meaning="cover is 0 to 240 months"),
        ),
        _schema(
            "memberships",
            "circle country",
            _slug("circle"),
            _country("country"),
            _text("role", required=False),
            Column("date", pattern=r"\d{4}-(0[1-9]|1[0-2])", meaning="a date is YYYY-MM"),
        ),
        _schema(
            "alignment",
            "country",
            _country("country"),
            _number("ideal_point", -10.0, 10.0, meaning="an ideal point lies between -10 and 10"),
        ),
        _schema("standards", "country", _country("country"), _share("score")),
        _schema(
            "published_shares",
            "mineral stage country publisher",
            _mineral(),
            _stage(),
            _country("country"),
            _share("share"),
            _text("publisher"),
        ),
        _schema(
            "published_concentration",
            "mineral stage measure publisher",
            _mineral(),
            _stage(),
            _word("measure", "hhi", "largest_share"),
            _year("year"),
            _number("value", 0.0, 10000.0, meaning="an index is 0 to 10000, a share 0 to 1"),
            _text("publisher"),
        ),
        _schema(
            "past_output",
            "mineral stage country year",
            _mineral(),
            _stage(),
            _country("country"),
            _year("year"),
            _tonnes("quantity_t"),
            optional=True,
        ),
        _schema(
            "past_prices",
            "mineral stage market year",
            _mineral(),
            _stage(),
            _word("market", "world", "home"),
            _country("exporter", required=False),
            _year("year"),
            _year("dollars_of"),
            _price("price_usd_per_kg"),
            optional=True,
        ),
        _schema(
            "past_demand",
            "mineral stage country year",
            _mineral(),
            _stage(),
            _country("country"),
            _year("year"),
            _share("share"),
            _share("low"),
            _share("high"),
            optional=True,
        ),
        _schema(
            "past_growth",
            "mineral year",
            _mineral(),
            _year("year"),
            *_GROWTH_COLUMNS,
            optional=True,
        ),
        _schema(
            "past_sectors",
            "mineral sector year",
            _mineral(),
            _word("sector", *SECTORS),
            _year("year"),
            _share("share"),
            optional=True,
        ),
        _schema(
            "past_import_shares",
            "mineral stage importer partner from_year",
            _mineral(),
            _stage(),
            _country("importer"),
            _country("partner"),
            _year("from_year"),
            _year("to_year"),
            _share("share"),
            _word("basis", "quantity", "value"),
            optional=True,
        ),
        _schema(
            "past_industry",
            "country year",
            _country("country"),
            _year("year"),
            _number("industry_bn_usd", 0.0, meaning="industry cannot be negative"),
            optional=True,
        ),
        _schema(
            "past_projects",
            "project mineral stage from_year",
            _text("project"),
            _country("country"),
            _mineral(),
            _stage("recycled"),
            _year("from_year"),
            _year("to_year"),
            *_PROJECT_COLUMNS,
            optional=True,
        ),
        _schema(
            "consumer_prices",
            "year",
            _year("year"),
            _number("index", 1e-9, meaning="an index of prices is positive"),
            optional=True,
        ),
    ]
)

# (table, columns that hold low <= value <= high)
_RANGES = (
    ("projects", "capital_low_musd", "capital_musd", "capital_high_musd"),
    ("past_projects", "capital_low_musd", "capital_musd", "capital_high_musd"),
    ("past_projects", "from_year", "to_year"),
    ("past_import_shares", "from_year", "to_year"),
    ("past_demand", "low", "share", "high"),
    ("past_growth", "growth_low", "growth_per_year", "growth_high"),
    ("parameters", "low", "value", "high"),
    ("demand", "low", "share", "high"),
    ("direct_use", "low", "share", "high"),
    ("sectors", "growth_low", "growth_per_year", "growth_high"),
)

# (table, columns of the group whose shares make a whole)
_WHOLES = (("demand", ("mineral", "stage")), ("sectors", ("mineral",)))


# --- The tables -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tables:
    """The validated tables, one frame a file; text blanks are "", number blanks NaN."""

    countries: pd.DataFrame
    country_codes: pd.DataFrame
    minerals: pd.DataFrame
    parameters: pd.DataFrame
    output: pd.DataFrame
    recycling: pd.DataFrame
    firms: pd.DataFrame
    projects: pd.DataFrame
    demand: pd.DataFrame
    direct_use: pd.DataFrame
    sectors: pd.DataFrame
    demand_paths: pd.DataFrame
    prices: pd.DataFrame
    import_shares: pd.DataFrame
    distances: pd.DataFrame
    chokepoints: pd.DataFrame
    tariffs: pd.DataFrame
    reserves: pd.DataFrame
    stockpiles: pd.DataFrame
    memberships: pd.DataFrame
    alignment: pd.DataFrame
    standards: pd.DataFrame
    published_shares: pd.DataFrame
    published_concentration: pd.DataFrame
    past_output: pd.DataFrame
    past_prices: pd.DataFrame
    past_demand: pd.DataFrame
    past_growth: pd.DataFrame
    past_sectors: pd.DataFrame
    past_import_shares: pd.DataFrame
    past_industry: pd.DataFrame
    past_projects: pd.DataFrame
    consumer_prices: pd.DataFrame
    digest: str

    @cached_property
    def _parameter_rows(self) -> dict[tuple[str, str, str], tuple[float, float, float]]:
        frame = self.parameters
        keys = zip(frame["mineral"], frame["stage"], frame["parameter"], strict=True)
        values = zip(frame["value"], frame["low"], frame["high"], strict=True)
        return dict(zip(keys, values, strict=True))

    def parameter(self, mineral: str, stage: str, name: str) -> tuple[float, float, float]:
        """Value, low and high of a parameter; the most specific row wins.

        Order: this mineral and stage, this mineral at any stage, any mineral at this stage, all.
        Raises TableError when no row covers the market.
        """
        for key in _parameter_keys(mineral, stage, name):
            if key in self._parameter_rows:
                return self._parameter_rows[key]
        raise TableError(_missing_parameter(mineral, stage, name))

    def country_of(self, iso3: str) -> str:
        """Country of the model that a three-letter code belongs to; ROW when it has no own row."""
        if iso3 in set(self.countries["code"]):
            return iso3
        match = self.country_codes.loc[self.country_codes["iso3"] == iso3, "code"]
        return str(match.iloc[0]) if len(match) else "ROW"

    @cached_property
    def _stages(self) -> dict[str, tuple[str, ...]]:
        """The stages of every mineral."""
        names, stages = self.minerals["mineral"], self.minerals["stages"]
        return {name: tuple(text.split("+")) for name, text in zip(names, stages, strict=True)}

    def stages_of(self, mineral: str) -> tuple[str, ...]:
        """Stages at which a mineral is traded; raises TableError for an unknown mineral."""
        if mineral not in self._stages:
            raise TableError(f"There is no mineral {mineral!r}; {_suggest(mineral, self._stages)}.")
        return self._stages[mineral]

    @cached_property
    def _rows(self) -> "dict[str, list[_Row]]":
        """The rows of every table, for the checks."""
        return {
            name: _rows_of(getattr(self, name), schema.file_name)
            for name, schema in SCHEMAS.items()
        }

    def data_hash(self) -> str:
        """SHA-256 over the bytes of every file read, base folder first, tables in schema order."""
        return self.digest


def read_tables(
    extra_folders: Sequence[Path | str] = (), base_folder: Path | str = DATA_FOLDER
) -> Tables:
    """Read and validate all tables of `base_folder`, then of each extra folder in turn.

    An extra folder may hold any of the tables; a row with a known key replaces the row read before.
    Raises TableError, one sentence, for the first fault met.
    """
    base, *extras = folders = [Path(base_folder), *map(Path, extra_folders)]
    for folder in folders:
        if not folder.is_dir():
            raise TableError(f"{folder}: there is no such folder of tables; give an existing one.")
    for folder in extras:
        _refuse_strange_files(folder)
    digest = hashlib.sha256()
    rows = {
        name: _read_table(schema, base, extras, digest.update) for name, schema in SCHEMAS.items()
    }
    for check in _CHECKS:
        check(rows)
    frames = {name: _frame(schema, rows[name]) for name, schema in SCHEMAS.items()}
    return Tables(**frames, digest=digest.hexdigest())


def revised(tables: Tables, origin: str, **frames: pd.DataFrame) -> Tables:
    """Tables with some frames replaced, under the same checks as when they are read.

    `origin` says in a fault where the new rows come from. Raises TableError.
    """
    new = {
        name: _rows_of(frame, f"{SCHEMAS[name].file_name} {origin}")
        for name, frame in frames.items()
    }
    for check in _CHECKS:
        check(tables._rows | new)
    return replace(tables, **frames)


# --- Reading one file -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    file: str
    line: int
    cells: dict[str, Cell]

    def fault(self, what: str, cure: str) -> TableError:
        return TableError(f"{self.file}, row {self.line}: {what}; {cure}.")

    def __getitem__(self, column: str) -> str:
        return str(self.cells[column])

    def number(self, column: str) -> float:
        value = float(self.cells[column])
        return 0.0 if math.isnan(value) else value


def _rows_of(frame: pd.DataFrame, file: str) -> list[_Row]:
    names = list(frame.columns)
    cells = zip(*(frame[name].tolist() for name in names), strict=True)
    return [
        _Row(file, line, dict(zip(names, row, strict=True))) for line, row in enumerate(cells, 2)
    ]


_Rows = Mapping[str, Sequence[_Row]]


def _suggest(value: str, known: Iterable[str], table: str = "") -> str:
    known = list(known)
    near = get_close_matches(value, known, 1, 0.6) or get_close_matches(value.upper(), known, 1)
    if near:
        return f"perhaps {near[0]!r} is meant"
    return f"use one that {table} lists" if table else f"use one of {', '.join(known)}"


def _refuse_strange_files(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.csv"))
    known = [schema.file_name for schema in SCHEMAS.values()]
    for name in names:
        if name not in known:
            raise TableError(f"{folder / name}: no table has this name; {_suggest(name, known)}.")
    if not names:
        raise TableError(
            f"{folder}: the folder holds no table; put a CSV file such as output.csv in it."
        )


def _read_table(
    schema: Schema, base: Path, extras: Sequence[Path], digest: Callable[[bytes], object]
) -> list[_Row]:
    merged: dict[tuple[str, ...], _Row] = {}
    for folder in [base, *extras]:
        path = folder / schema.file_name
        if (folder is not base or schema.optional) and not path.exists():
            continue
        content = _file_bytes(path)
        digest(f"{schema.file_name}:{len(content)}\n".encode() + content)
        merged.update(_keyed_rows(schema, _parse_file(schema, path, content)))
    return list(merged.values())


def read_table(schema: Schema, path: Path) -> pd.DataFrame:
    """A table that stands by itself, with its columns and keys checked.

    Raises
    ------
    TableError
        With the file, the row, the value and the cure, in one sentence.
    """
    rows = _keyed_rows(schema, _parse_file(schema, path, _file_bytes(path)))
    return _frame(schema, list(rows.values()))


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TableError(
            f"{path}: the file is missing; restore it or give a folder that holds it."
        ) from None
    except OSError as error:
        raise TableError(
            f"{path}: the file cannot be read ({error.strerror}); make it a readable file."
        ) from None


def _keyed_rows(schema: Schema, rows: Iterable[_Row]) -> dict[tuple[str, ...], _Row]:
    keyed: dict[tuple[str, ...], _Row] = {}
    for row in rows:
        key = schema.key_of(row.cells)
        if key in keyed:
            raise row.fault(
                f"duplicate of row {keyed[key].line}: {_named(schema.key, row)} is given twice",
                "remove or merge one of them",
            )
        keyed[key] = row
    return keyed


def _named(columns: Iterable[str], row: _Row) -> str:
    return ", ".join(f"{column} {row[column]!r}" for column in columns)


def _parse_file(schema: Schema, path: Path, content: bytes) -> list[_Row]:
    records = _records(path, content)
    if not records:
        names = ",".join(column.name for column in schema.columns)
        raise TableError(f"{path}, row 1: the file is empty; start it with the header {names}.")
    (_, header), *body = records
    _check_header(schema, path, header)
    return [_parse_row(schema, str(path), line, header, fields) for line, fields in body]


def _records(path: Path, content: bytes) -> list[tuple[int, list[str]]]:
    """Fields of every non-empty record with the line it starts on."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TableError(
            f"{path}, row {line}: byte 0x{content[error.start]:02x} is not UTF-8 text; "
            "save the file as UTF-8."
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise TableError(f"{path}, row {line}: the file holds a zero byte; save it as plain text.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records, line = [], 1
    try:
        for fields in reader:
            if fields:
                records.append((line, [field.strip() for field in fields]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableError(
            f"{path}, row {line}: the row is not valid CSV ({error}); close its quotation marks."
        ) from None
    return records


def _check_header(schema: Schema, path: Path, header: Sequence[str]) -> None:
    expected = [column.name for column in schema.columns]
    for name in header:
        if name not in expected:
            raise TableError(f"{path}, row 1: unknown column {name!r}; {_suggest(name, expected)}.")
        if header.count(name) > 1:
            raise TableError(f"{path}, row 1: column {name!r} appears twice; remove one.")
    for name in expected:
        if name not in header:
            raise TableError(f"{path}, row 1: column {name!r} is missing; add it to the header.")


def _parse_row(
    schema: Schema, file: str, line: int, header: Sequence[str], fields: Sequence[str]
) -> _Row:
    row = _Row(file, line, {})
    if len(fields) != len(header):
        raise row.fault(
            f"the row has {len(fields)} fields where the header has {len(header)}",
            "add the missing fields, or quote a text that holds a comma",
        )
    given = dict(zip(header, fields, strict=True))
    for column in schema.columns:
        row.cells[column.name] = _parse_cell(column, row, given[column.name])
    return row


def _parse_cell(column: Column, row: _Row, cell: str) -> Cell:
    if not cell:
        return _blank(column, row)
    if column.kind == "text":
        return _parse_text(column, row, cell)
    return _parse_number(column, row, cell)


def _blank(column: Column, row: _Row) -> Cell:
    if not column.required:
        return "" if column.kind == "text" else math.nan
    if column.name == "source":
        raise row.fault("the source is missing, found ''", "name where the figure comes from")
    raise row.fault(f"{column.name} is blank, found ''", "fill it in")


def _parse_text(column: Column, row: _Row, cell: str) -> str:
    if column.wildcard and cell == "*":
        return cell
    if column.words and cell not in column.words:
        raise row.fault(f"unknown {column.name} {cell!r}", _suggest(cell, column.words))
    if column.pattern and not re.fullmatch(column.pattern, cell):
        raise row.fault(f"{column.name} is {cell!r}", f"correct it, {column.meaning}")
    return cell


def _parse_number(column: Column, row: _Row, cell: str) -> float | int:
    try:
        value = float(cell) if "_" not in cell else math.inf
    except ValueError:
        value = None
    if value is None or "_" in cell:
        raise row.fault(f"{column.name} is not a number, found {cell!r}", "write a plain number")
    if not math.isfinite(value):
        raise row.fault(f"{column.name} is not finite, found {cell!r}", "write a finite number")
    if not column.least <= value <= column.most:
        raise row.fault(f"{column.name} is {cell}", f"correct it, {column.meaning}")
    if column.kind == "integer" and value != int(value):
        raise row.fault(f"{column.name} is {cell}", "write a whole number")
    return int(value) if column.kind == "integer" else value


def _frame(schema: Schema, rows: Sequence[_Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            column.name: pd.Series(
                [row.cells[column.name] for row in rows], dtype=_frame_type(column)
            )
            for column in schema.columns
        }
    )


def _frame_type(column: Column) -> type:
    if column.kind == "text":
        return str
    return int if column.kind == "integer" and column.required else float


# --- Checks across rows and tables ----------------------------------------------------------------


def _check_references(rows: _Rows) -> None:
    known = {
        "countries": [row["code"] for row in rows["countries"]],
        "minerals": [row["mineral"] for row in rows["minerals"]],
    }
    for name, schema in SCHEMAS.items():
        for column in schema.columns:
            if column.refers_to and name != column.refers_to:
                _check_column_refers(column, rows[name], known[column.refers_to])


def _check_column_refers(column: Column, rows: Sequence[_Row], known: Sequence[str]) -> None:
    kind = {"countries": "country", "minerals": "mineral"}[column.refers_to]
    allowed = {*known, *(["*"] if column.wildcard else []), *([] if column.required else [""])}
    for row in rows:
        if row[column.name] not in allowed:
            table = f"{column.refers_to}.csv"
            raise row.fault(
                f"unknown {kind} {row[column.name]!r} in column {column.name}",
                f"{_suggest(row[column.name], known, table)}, or add it to {table}",
            )


def _check_markets(rows: _Rows) -> None:
    """A row about a stage that its mineral does not have would never be used."""
    stages = {row["mineral"]: row["stages"].split("+") for row in rows["minerals"]}
    for name, schema in SCHEMAS.items():
        if not {"mineral", "stage"} <= {column.name for column in schema.columns}:
            continue
        for row in rows[name]:
            stage = "refined" if row["stage"] == "recycled" else row["stage"]
            if "*" not in (row["mineral"], stage) and stage not in stages[row["mineral"]]:
                raise row.fault(
                    f"{row['mineral']} has no {stage!r} stage",
                    "remove the row or change stages in minerals.csv",
                )


def _check_ranges(rows: _Rows) -> None:
    for name, *columns in _RANGES:
        for row in rows[name]:
            for lower, upper in pairwise(columns):
                if row.number(lower) > row.number(upper):
                    raise row.fault(
                        f"{lower} {row[lower]} is above {upper} {row[upper]}",
                        f"lower {lower} or raise {upper}",
                    )


def _check_parameter_values(rows: _Rows) -> None:
    for row in rows["parameters"]:
        rule = PARAMETERS[row["parameter"]]
        for column in ("value", "low", "high"):
            if not rule.least <= row.number(column) <= rule.most:
                raise row.fault(
                    f"{column} of {row['parameter']} is {row[column]}",
                    f"give {rule.least:g} to {rule.most:g} ({rule.meaning})",
                )


def _grouped(rows: Iterable[_Row], columns: Sequence[str]) -> dict[tuple[str, ...], list[_Row]]:
    groups: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups


def _check_wholes(rows: _Rows) -> None:
    for name, columns in _WHOLES:
        for group, members in _grouped(rows[name], columns).items():
            total = math.fsum(row.number("share") for row in members)
            if abs(total - 1.0) > SHARE_SUM_TOLERANCE:
                raise members[-1].fault(
                    f"the {len(members)} shares of {' '.join(group)} that end here add up to "
                    f"{total:.8g}, not 1",
                    "correct or rescale them",
                )


def _check_import_shares(rows: _Rows) -> None:
    abroad = [row for row in rows["import_shares"] if row["importer"] != row["partner"]]
    groups = _grouped(abroad, ("mineral", "stage", "importer"))
    for (mineral, stage, importer), members in groups.items():
        total = math.fsum(row.number("share") for row in members)
        if total > IMPORT_SHARE_LIMIT:
            raise members[-1].fault(
                f"the {len(members)} import shares of {importer} for {mineral} {stage} that end "
                f"here add up to {total:.8g}, above 1",
                "correct or rescale them",
            )


def _parameter_keys(mineral: str, stage: str, name: str) -> list[tuple[str, str, str]]:
    return [(mineral, stage, name), (mineral, "*", name), ("*", stage, name), ("*", "*", name)]


def _missing_parameter(mineral: str, stage: str, name: str) -> str:
    return (
        f"parameters.csv: there is no row for parameter {name!r} of {mineral} {stage}; "
        f"add one for {mineral} or for '*'."
    )


def _check_parameters_complete(rows: _Rows) -> None:
    given = {(row["mineral"], row["stage"], row["parameter"]) for row in rows["parameters"]}
    for mineral in rows["minerals"]:
        for stage in mineral["stages"].split("+"):
            for name, rule in PARAMETERS.items():
                keys = _parameter_keys(mineral["mineral"], stage, name)
                if stage in rule.stages and not given.intersection(keys):
                    raise mineral.fault(
                        f"mineral {mineral['mineral']!r} has no {name} at stage {stage!r}",
                        f"add a row to parameters.csv for it or for '*' ({rule.meaning})",
                    )


def _check_choke_above_backstop(rows: _Rows) -> None:
    given = {(row["mineral"], row["stage"], row["parameter"]): row for row in rows["parameters"]}
    for mineral in rows["minerals"]:
        for stage in mineral["stages"].split("+"):
            choke, backstop = (
                next(given[key] for key in keys if key in given)
                for keys in (
                    _parameter_keys(mineral["mineral"], stage, f"{name}_price_multiple")
                    for name in ("choke", "backstop")
                )
            )
            if choke.number("value") <= backstop.number("value"):
                raise choke.fault(
                    f"choke_price_multiple {choke['value']} of {mineral['mineral']} {stage} is not "
                    f"above its backstop_price_multiple {backstop['value']}",
                    "raise it, demand ends only after the substitute has taken over",
                )


def _check_minerals_complete(rows: _Rows) -> None:
    for mineral in rows["minerals"]:
        for stage in mineral["stages"].split("+"):
            _check_market_complete(rows, mineral, stage)
        if not any(row["mineral"] == mineral["mineral"] for row in rows["sectors"]):
            raise mineral.fault(
                f"mineral {mineral['mineral']!r} has no sector", "add its rows to sectors.csv"
            )


def _check_market_complete(rows: _Rows, mineral: _Row, stage: str) -> None:
    name = mineral["mineral"]
    market = (name, stage)

    def of_market(table: str) -> list[_Row]:
        return [row for row in rows[table] if (row["mineral"], row["stage"]) == market]

    if not sum(row.number("quantity_t") for row in of_market("output")) > 0:
        raise mineral.fault(
            f"mineral {name!r} has no {stage} output", "add a row above 0 t to output.csv"
        )
    if not any(row["market"] == "world" for row in of_market("prices")):
        raise mineral.fault(
            f"mineral {name!r} has no world price at stage {stage!r}", "add a row to prices.csv"
        )
    used_directly = any(
        row["mineral"] == name and row.number("share") > 0 for row in rows["direct_use"]
    )
    if (stage == "refined" or used_directly) and not of_market("demand"):
        raise mineral.fault(
            f"mineral {name!r} has no demand at stage {stage!r}", "add its rows to demand.csv"
        )


def _check_direct_use(rows: _Rows) -> None:
    stages = {row["mineral"]: row["stages"] for row in rows["minerals"]}
    for row in rows["direct_use"]:
        share = row.number("share")
        if share > 0 and stages[row["mineral"]] == "refined":
            raise row.fault(
                f"{row['mineral']} has no mined stage but direct use {share:g}", "set it to 0"
            )
        if share >= 1:
            raise row.fault(f"direct use is {share:g}", "leave some for the refiners, below 1")


def _check_prices(rows: _Rows) -> None:
    for row in rows["prices"]:
        if row["market"] == "world" and row["exporter"]:
            raise row.fault(
                f"a world price names exporter {row['exporter']!r}", "leave exporter blank"
            )
        if row["market"] == "home" and not row["exporter"]:
            raise row.fault("a home price has no exporter, found ''", "name the country")


def _check_recycling(rows: _Rows) -> None:
    refined = {
        (row["mineral"], row["country"]): row.number("quantity_t")
        for row in rows["output"]
        if row["stage"] == "refined"
    }
    for row in rows["recycling"]:
        limit = refined.get((row["mineral"], row["country"]), 0.0)
        if row.number("quantity_t") > limit * (1 + OUTPUT_TOLERANCE):
            raise row.fault(
                f"recycled {row['mineral']} of {row['country']} is {row['quantity_t']} t, above "
                f"its refined output of {limit:g} t",
                "count it in output.csv or lower it",
            )


def _check_primary_refining(rows: _Rows) -> None:
    """Mined output needs a country to refine it: not all refined output can come from scrap."""
    recycled: dict[str, float] = defaultdict(float)
    refined: dict[str, float] = defaultdict(float)
    for row in rows["recycling"]:
        recycled[row["mineral"]] += row.number("quantity_t")
    for row in rows["output"]:
        if row["stage"] == "refined":
            refined[row["mineral"]] += row.number("quantity_t")
    for mineral in rows["minerals"]:
        name = mineral["mineral"]
        if "mined" in mineral["stages"] and recycled[name] >= refined[name]:
            raise mineral.fault(
                f"all {refined[name]:g} t of refined {name!r} come from scrap",
                "lower recycling.csv or raise output.csv",
            )


def _check_firms(rows: _Rows) -> None:
    national = {
        (row["mineral"], row["stage"], row["country"]): row.number("quantity_t")
        for row in rows["output"]
    }
    sums: dict[tuple[str, str, str], float] = defaultdict(float)
    for row in rows["firms"]:
        output = row.number("output_t")
        if output > 0 and row["state"] != "operating":
            raise row.fault(
                f"{row['firm']!r} is {row['state']} but has output {output:g} t",
                "set output_t to 0 or state to operating",
            )
        stage = "refined" if row["stage"] == "recycled" else row["stage"]
        market = (row["mineral"], stage, row["country"])
        sums[market] += output
        limit = national.get(market, 0.0)
        if sums[market] > limit * (1 + OUTPUT_TOLERANCE):
            raise row.fault(
                f"with {row['firm']!r} the firms of {row['country']} make {sums[market]:g} t of "
                f"{stage} {row['mineral']}, above the national {limit:g} t",
                "scale their output_t or raise output.csv",
            )


def _check_distances(rows: _Rows) -> None:
    pairs = set()
    for row in rows["distances"]:
        if row["origin"] == row["destination"]:
            raise row.fault(
                f"{row['origin']!r} is both origin and destination", "list only pairs of two"
            )
        pairs.add(frozenset((row["origin"], row["destination"])))
    countries = rows["countries"]
    for place, first in enumerate(countries):
        for second in countries[place + 1 :]:
            if frozenset((first["code"], second["code"])) not in pairs:
                raise second.fault(
                    f"there is no distance between {first['code']!r} and {second['code']!r}",
                    "add the pair to distances.csv",
                )


_CHECKS: tuple[Callable[[_Rows], None], ...] = (
    _check_references,
    _check_markets,
    _check_ranges,
    _check_parameter_values,
    _check_wholes,
    _check_import_shares,
    _check_direct_use,
    _check_prices,
    _check_parameters_complete,
    _check_choke_above_backstop,
    _check_minerals_complete,
    _check_recycling,
    _check_primary_refining,
    _check_firms,
    _check_distances,
)
