"""Reading the tables: faults are one sentence with file, row, value and cure; folders add rows."""

import csv
import hashlib
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_world import tin_rows, tiny_rows, write_table, write_tin_tables, write_tiny_tables

from abm.tables import DATA_FOLDER, PARAMETERS, SCHEMAS, TableError, Tables, read_tables

needs_data = pytest.mark.skipif(
    not all((DATA_FOLDER / schema.file_name).exists() for schema in SCHEMAS.values()),
    reason="the data tables are not complete",
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_tiny_tables(tmp_path / "base")


def rewrite(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    """Change the records (header first) of a CSV file in place."""
    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.reader(file))
    change(records)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(records)


def put(table: str, line: int, column: str, value: str) -> Callable[[Path], None]:
    """A corruption: one cell, by its line in the file and its column, gets another value."""

    def corrupt(base: Path) -> None:
        def change(records: list[list[str]]) -> None:
            records[line - 1][records[0].index(column)] = value

        rewrite(base / f"{table}.csv", change)

    return corrupt


def drop(table: str, *lines: int) -> Callable[[Path], None]:
    """A corruption: whole lines of a file are removed."""

    def corrupt(base: Path) -> None:
        def change(records: list[list[str]]) -> None:
            records[:] = [row for n, row in enumerate(records, 1) if n not in lines]

        rewrite(base / f"{table}.csv", change)

    return corrupt


def twice(table: str, line: int) -> Callable[[Path], None]:
    """A corruption: a line is repeated at the end of the file."""
    return lambda base: rewrite(base / f"{table}.csv", lambda rows: rows.append(rows[line - 1]))


def swap_bytes(table: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """A corruption of the bytes of a file at the first place where `old` stands."""

    def corrupt(base: Path) -> None:
        path = base / f"{table}.csv"
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return corrupt


def fault_of(base: Path, extra: tuple[Path, ...] = ()) -> str:
    with pytest.raises(TableError) as caught:
        read_tables(extra, base_folder=base)
    return str(caught.value)


def assert_one_sentence(message: str) -> None:
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message
    assert ";" in message or "perhaps" in message  # the cure follows the fault


# Lines of the tiny tables: output 2-4 mined graphite, 5-7 refined graphite, 8-10 gallium.
CORRUPTIONS = {
    "not a number": (put("output", 3, "quantity_t", "many"), "output", 3, "'many'"),
    "thousands comma": (put("output", 3, "quantity_t", "1,200"), "output", 3, "'1,200'"),
    "underscore": (put("output", 3, "quantity_t", "1_200"), "output", 3, "'1_200'"),
    "nan": (put("output", 2, "quantity_t", "nan"), "output", 2, "'nan'"),
    "infinite": (put("reserves", 2, "reserves_t", "inf"), "reserves", 2, "'inf'"),
    "negative tonnes": (put("output", 6, "quantity_t", "-5"), "output", 6, "-5"),
    "negative stock": (put("stockpiles", 2, "cover_months", "-1"), "stockpiles", 2, "-1"),
    "share above 1": (put("published_shares", 2, "share", "98"), "published_shares", 2, "98"),
    "share below 0": (put("demand", 2, "share", "-0.1"), "demand", 2, "-0.1"),
    "year with fraction": (put("output", 2, "year", "2024.5"), "output", 2, "2024.5"),
    "demand sum": (put("demand", 6, "share", "0.3"), "demand", 9, "1.05"),
    "sector sum": (put("sectors", 3, "share", "0.1"), "sectors", 6, "1.1"),
    "import share sum": (put("import_shares", 2, "share", "0.5"), "import_shares", 4, "1.1"),
    "unknown country": (put("output", 2, "country", "CHM"), "output", 2, "'CHM'"),
    "unknown origin": (put("distances", 4, "origin", "XXX"), "distances", 4, "'XXX'"),
    "unknown mineral": (put("output", 9, "mineral", "galium"), "output", 9, "'galium'"),
    "unknown stage": (put("output", 5, "stage", "refinde"), "output", 5, "'refinde'"),
    "unknown status": (put("output", 5, "status", "guess"), "output", 5, "'guess'"),
    "unknown role": (put("countries", 3, "role", "rival"), "countries", 3, "'rival'"),
    "unknown sector": (put("sectors", 2, "sector", "toys"), "sectors", 2, "'toys'"),
    "unknown parameter": (put("parameters", 2, "parameter", "yeild"), "parameters", 2, "'yeild'"),
    "mined gallium": (put("firms", 6, "stage", "mined"), "firms", 6, "'mined'"),
    "missing source": (put("output", 8, "source", ""), "output", 8, "source"),
    "blank source": (put("countries", 2, "source", "  "), "countries", 2, "source"),
    "blank quantity": (put("output", 8, "quantity_t", ""), "output", 8, "quantity_t"),
    "duplicate": (twice("output", 4), "output", 11, "'ROW'"),
    "low above value": (put("parameters", 3, "low", "0.4"), "parameters", 3, "0.4"),
    "value above high": (put("direct_use", 2, "high", "0.24"), "direct_use", 2, "0.24"),
    "growth out of order": (put("sectors", 4, "growth_low", "0.04"), "sectors", 4, "0.04"),
    "choke below backstop": (
        lambda base: [put("parameters", 7, c, "20")(base) for c in ("value", "high")],
        "parameters",
        8,
        "20",
    ),
    "yield above 1": (put("parameters", 6, "high", "1.2"), "parameters", 6, "1.2"),
    "direct use of all": (
        lambda base: [put("direct_use", 2, c, "1")(base) for c in ("share", "high")],
        "direct_use",
        2,
        "1",
    ),
    "direct use unmined": (put("direct_use", 2, "mineral", "gallium"), "direct_use", 2, "0.25"),
    "world price of exporter": (put("prices", 2, "exporter", "CHN"), "prices", 2, "'CHN'"),
    "home price of nobody": (put("prices", 3, "exporter", ""), "prices", 3, "''"),
    "price of zero": (put("prices", 3, "price_usd_per_kg", "0"), "prices", 3, "0"),
    "home price of nothing": (drop("prices", 2), "minerals", 2, "'graphite'"),
    "lacking a parameter": (drop("parameters", 10), "minerals", 2, "'graphite'"),
    "lacking output": (drop("output", 8, 9, 10), "minerals", 3, "'gallium'"),
    "lacking mined output": (drop("output", 2, 3, 4), "minerals", 2, "mined"),
    "lacking demand": (drop("demand", 10, 11, 12, 13), "minerals", 3, "'gallium'"),
    "lacking mined demand": (drop("demand", 2, 3, 4, 5), "minerals", 2, "'mined'"),
    "lacking sectors": (drop("sectors", *range(7, 12)), "minerals", 3, "'gallium'"),
    "scrap above output": (put("recycling", 2, "quantity_t", "13"), "recycling", 2, "13"),
    "firms above output": (put("firms", 2, "output_t", "9700"), "firms", 2, "9700"),
    "recyclers above output": (put("firms", 5, "output_t", "13"), "firms", 5, "13"),
    "planned yet producing": (put("firms", 6, "output_t", "1"), "firms", 6, "1"),
    "domestic distance": (put("distances", 2, "destination", "USA"), "distances", 2, "'USA'"),
    "missing distance": (drop("distances", 7), "countries", 5, "'ROW'"),
    "reversed distance": (
        lambda base: [
            put("distances", 7, c, v)(base) for c, v in (("origin", "CHN"), ("destination", "USA"))
        ],
        "distances",
        7,
        "row 2",
    ),
    "date": (put("memberships", 2, "date", "2026-13"), "memberships", 2, "'2026-13'"),
    "circle in capitals": (put("memberships", 3, "circle", "G7"), "memberships", 3, "'G7'"),
    "code of no country": (put("country_codes", 2, "code", "PRI"), "country_codes", 2, "'PRI'"),
    "unknown column": (swap_bytes("output", b"quantity_t", b"quantity"), "output", 1, "'quantity'"),
    "missing column": (swap_bytes("output", b"year,", b""), "output", 1, "'year'"),
    "repeated column": (swap_bytes("output", b"year,", b"stage,"), "output", 1, "'stage'"),
    "too many fields": (swap_bytes("output", b"AUS,", b"AUS,,"), "output", 3, "8 fields"),
    "too few fields": (swap_bytes("output", b"AUS,2024,", b"AUS,"), "output", 3, "6 fields"),
    "open quotation": (swap_bytes("output", b"AUS", b'"AUS'), "output", 3, "quotation"),
    "not utf-8": (swap_bytes("output", b"AUS", b"A\xffS"), "output", 3, "0xff"),
    "zero byte": (swap_bytes("output", b"AUS", b"A\0S"), "output", 3, "zero byte"),
    "empty file": (lambda base: (base / "output.csv").write_bytes(b""), "output", 1, "empty"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_fault_is_one_sentence_with_file_row_and_value(base: Path, name: str) -> None:
    corrupt, table, line, value = CORRUPTIONS[name]
    corrupt(base)
    message = fault_of(base)
    assert_one_sentence(message)
    assert message.startswith(f"{base / table}.csv, row {line}: ")
    assert value in message


@pytest.mark.parametrize("table", [name for name, schema in SCHEMAS.items() if not schema.optional])
def test_missing_file_is_named(base: Path, table: str) -> None:
    (base / f"{table}.csv").unlink()
    message = fault_of(base)
    assert_one_sentence(message)
    assert f"{table}.csv: the file is missing" in message


def test_missing_folder_is_named(base: Path, tmp_path: Path) -> None:
    message = fault_of(base, (tmp_path / "nowhere",))
    assert_one_sentence(message)
    assert str(tmp_path / "nowhere") in message


def test_fault_of_an_extra_folder_names_its_file(base: Path, tmp_path: Path) -> None:
    extra = write_tin_tables(tmp_path / "tin")
    put("output", 3, "quantity_t", "-1")(extra)
    assert fault_of(base, (extra,)).startswith(f"{extra / 'output.csv'}, row 3: ")


def test_misspelt_file_in_an_extra_folder_is_refused(base: Path, tmp_path: Path) -> None:
    extra = write_tin_tables(tmp_path / "tin")
    (extra / "output.csv").rename(extra / "outputs.csv")
    message = fault_of(base, (extra,))
    assert_one_sentence(message)
    assert "'output.csv'" in message


def test_extra_folder_without_tables_is_refused(base: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_sentence(fault_of(base, (tmp_path / "empty",)))


def test_a_row_spread_over_lines_does_not_shift_the_row_numbers(base: Path) -> None:
    put("output", 2, "source", "two\nlines")(base)
    put("output", 3, "quantity_t", "x")(base)
    assert "output.csv, row 4: " in fault_of(base)  # the record after a two-line record


def test_spreadsheet_signature_and_blank_lines_are_accepted(base: Path) -> None:
    plain = read_tables(base_folder=base).output
    path = base / "output.csv"
    text = path.read_text(encoding="utf-8").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    assert read_tables(base_folder=base).output.equals(plain)


def test_frames_hold_what_the_files_hold(base: Path) -> None:
    tables = read_tables(base_folder=base)
    written = tiny_rows()
    for name, rows in written.items():
        frame = getattr(tables, name)
        assert list(frame.columns) == [column.name for column in SCHEMAS[name].columns]
        assert len(frame) == len(rows)
    assert tables.output["quantity_t"].tolist() == [r["quantity_t"] for r in written["output"]]
    assert math.isnan(tables.firms["output_t"].iloc[4])
    assert tables.prices["exporter"].iloc[0] == ""


def test_extra_folder_adds_a_mineral(base: Path, tmp_path: Path) -> None:
    tables = read_tables([write_tin_tables(tmp_path / "tin")], base_folder=base)
    assert tables.minerals["mineral"].tolist() == ["graphite", "gallium", "tin"]
    assert tables.stages_of("tin") == ("mined", "refined")
    assert tables.parameter("tin", "refined", "refining_yield")[0] == 0.8


@pytest.mark.parametrize("table", [name for name in tin_rows() if name != "minerals"])
def test_half_a_mineral_is_refused(base: Path, tmp_path: Path, table: str) -> None:
    extra = write_tin_tables(tmp_path / "tin")
    (extra / f"{table}.csv").unlink()
    message = fault_of(base, (extra,))
    assert_one_sentence(message)
    assert message.startswith(f"{extra / 'minerals.csv'}, row 2: ")
    assert f"{table}.csv" in message


def test_same_key_in_an_extra_folder_replaces_the_row_in_place(base: Path, tmp_path: Path) -> None:
    row = {**tiny_rows()["output"][1], "quantity_t": 1300.0}
    write_table(tmp_path, "output", [row])
    before = read_tables(base_folder=base).output
    after = read_tables([tmp_path], base_folder=base).output
    assert after["quantity_t"].iloc[1] == 1300.0
    assert after.drop(index=1).equals(before.drop(index=1))


def test_reversed_distance_in_an_extra_folder_replaces_the_pair(base: Path, tmp_path: Path) -> None:
    row = {"origin": "CHN", "destination": "USA", "sea_km": 9999.0, "days": 15.0}
    write_table(tmp_path, "distances", [row])
    distances = read_tables([tmp_path], base_folder=base).distances
    assert len(distances) == 6
    assert distances["sea_km"].iloc[0] == 9999.0


def with_parameters(base: Path, *keys: tuple[str, str]) -> Tables:
    rows = [
        {
            "mineral": mineral,
            "stage": stage,
            "parameter": "utilisation",
            "value": 0.1 * place,
            "low": 0.1 * place,
            "high": 0.1 * place,
            "unit": "1",
        }
        for place, (mineral, stage) in enumerate(keys, 1)
    ]
    general = [row for row in tiny_rows()["parameters"] if row["parameter"] != "utilisation"]
    write_table(base, "parameters", general + rows)
    return read_tables(base_folder=base)


def test_most_specific_parameter_row_wins(base: Path) -> None:
    keys = [("*", "*"), ("*", "mined"), ("graphite", "*"), ("graphite", "refined")]
    tables = with_parameters(base, *keys)
    found = {
        market: round(tables.parameter(*market, "utilisation")[0], 6)
        for market in [("graphite", "mined"), ("graphite", "refined"), ("gallium", "refined")]
    }
    assert found == {
        ("graphite", "mined"): 0.3,  # this mineral at any stage beats any mineral at this stage
        ("graphite", "refined"): 0.4,
        ("gallium", "refined"): 0.1,
    }


def test_unknown_parameter_is_one_sentence(base: Path) -> None:
    with pytest.raises(TableError, match="'colour'") as caught:
        read_tables(base_folder=base).parameter("gallium", "refined", "colour")
    assert_one_sentence(str(caught.value))


def test_every_parameter_is_required(base: Path) -> None:
    rows = tiny_rows()["parameters"]
    for name in PARAMETERS:
        write_table(base, "parameters", [row for row in rows if row["parameter"] != name])
        assert name in fault_of(base)


def test_codes_map_to_countries_of_the_model(base: Path) -> None:
    tables = read_tables(base_folder=base)
    assert [tables.country_of(code) for code in ("PRI", "CHN", "FRA")] == ["USA", "CHN", "ROW"]


def test_data_hash_follows_the_bytes(base: Path, tmp_path: Path) -> None:
    first = read_tables(base_folder=base).data_hash()
    assert first == read_tables(base_folder=base).data_hash()
    assert len(first) == len(hashlib.sha256().hexdigest())
    with_tin = read_tables([write_tin_tables(tmp_path / "tin")], base_folder=base).data_hash()
    put("output", 2, "source", "another source")(base)
    assert len({first, with_tin, read_tables(base_folder=base).data_hash()}) == 3


@needs_data
def test_own_tables_are_valid() -> None:
    tables = read_tables()
    assert len(tables.countries) == 36
    assert len(tables.minerals) == 10
    assert sum(len(tables.stages_of(str(name))) for name in tables.minerals["mineral"]) == 18


@needs_data
def test_no_own_table_names_a_machine_or_a_registry() -> None:
    for path in DATA_FOLDER.glob("*.csv"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?m)(?:^|[\s,;\"])/\w+/", text), path.name
        assert "shared/" not in text, path.name
