"""The market files, their command line, and the tutorial: every block and command of it runs."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.market import clear
from abm.market.__main__ import main
from abm.market.files import clearing_document, json_text, problem_of, read_problem
from tests.reference import Reference

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples" / "market").glob("*.json"))
TUTORIAL = (ROOT / "docs" / "clearing.md").read_text(encoding="utf-8")

Document = dict[str, Any]


def example(name: str) -> Document:
    return json.loads((ROOT / "examples" / "market" / f"{name}.json").read_text(encoding="utf-8"))


# --- The tutorial ---------------------------------------------------------------------------------


def blocks() -> list[tuple[str, str]]:
    """(language, content) of the tutorial's blocks of code, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TUTORIAL, flags=re.MULTILINE | re.DOTALL)
    return [(language, content) for language, content in found if language]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples, where a reader would run the commands."""
    shutil.copytree(ROOT / "examples" / "market", tmp_path / "examples" / "market")
    wrong = example("free_trade")
    wrong["markets"][0]["firms"][0]["capacity"] = -100
    (tmp_path / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_commands(lines: str) -> str:
    """What the commands of a block print, on either stream."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for line in lines.splitlines():
            words = shlex.split(line)
            assert words[:3] == ["python", "-m", "abm.market"], line
            main(words[3:])
    return said.getvalue()


def run_python(code: str, names: dict[str, Any]) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "docs/clearing.md", "exec"), names)
    return said.getvalue()


def without_certificates(document: Document) -> Document:
    for market in document["markets"]:
        certificate = market.pop("certificate")
        assert certificate.keys() == {"residual", "newton_steps", "fell_back"}
        assert certificate["residual"] <= 1e-9
    return document


def test_every_block_of_the_tutorial_does_what_the_page_says(project: Path) -> None:
    names: dict[str, Any] = {}
    said = ""
    count = 0
    for language, content in blocks():
        if language == "python":
            said = run_python(content, names)
        elif language == "sh":
            said = run_commands(content)
        elif language == "text":
            assert said == content
            count += 1
    assert count >= 8


def test_files_shown_in_the_tutorial_are_those_of_the_examples(project: Path) -> None:
    shown = [json.loads(content) for language, content in blocks() if language == "json"]
    problem, clearing, limits = shown
    assert problem == example("free_trade")
    assert limits["limits"] == example("quota")["limits"]
    run_commands("python -m abm.market examples/market/free_trade.json -o clearing.json")
    written = json.loads((project / "clearing.json").read_text(encoding="utf-8"))
    assert without_certificates(written) == without_certificates(clearing)
    assert '"price_factor": 1.24' in TUTORIAL
    assert example("tariff")["markets"][0]["arcs"][0]["price_factor"] == 1.24


# --- Files in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_cleared_as_the_slow_reference_does(path: Path) -> None:
    problem = read_problem(path).problem
    found = clear(problem)
    assert (found.residual <= 1e-9).all()
    if problem.shape[0] > 1 or (problem.low_ask == problem.high_ask).any():
        return
    reference = Reference(problem)
    flow, _ = reference.flow(*reference.clear())
    np.testing.assert_allclose(found.flow[0], flow, atol=1e-7 * flow.sum())


def test_entries_come_to_the_rows_of_their_names() -> None:
    document = example("embargo")
    firms = document["markets"][0]["firms"]
    firms.reverse()
    document["markets"].append({**document["markets"][0], "name": "gallium raw"})
    document["markets"][1]["arcs"] = [{"from": "West", "to": "East", "floor_price": 3}]
    for arc in (arc for limit in document["limits"] for arc in limit["arcs"]):
        arc["market"] = "gallium refined"
    named = problem_of(document)
    problem = named.problem
    order = ("North private smelter", "North state smelter", "South recycler")
    assert named.firm_names == order * 2
    np.testing.assert_array_equal(problem.firm_offset, [[0, 2, 3, 3, 3], [3, 5, 6, 6, 6]])
    np.testing.assert_array_equal(problem.capacity[:3], [20, 60, 10])
    north, south, east, west = range(4)
    np.testing.assert_array_equal(problem.need[0, :, 0], [30, 0, 20, 20])
    assert problem.price_factor[0, south, west] == 1.05
    assert problem.price_addition[0, north, east] == 0.5
    assert problem.log_weight[0, south, east] == -1.5
    assert problem.log_weight[0, east, north] == -np.inf
    assert problem.floor_price[1, west, east] == 3.0
    assert named.limit_names == ("ban on West", "licence for East")
    np.testing.assert_array_equal(problem.limit, [0.0, 15.0])
    np.testing.assert_array_equal(problem.limit_destination, [west, east])
    problem.check()


def test_several_demands_and_bids_of_one_country_add_up() -> None:
    document = example("free_trade")
    bid = document["markets"][0]["bids"][0]
    document["markets"][0]["bids"] = [{**bid, "quantity": 70}, {**bid, "quantity": 30}]
    found = clear(problem_of(document).problem)
    assert found.flow.sum() == pytest.approx(60.0)
    assert found.origin_price[0, 0] == pytest.approx(14.0)


# --- Files out ------------------------------------------------------------------------------------


def run_module(
    path: str, stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "abm.market", path],
        cwd=ROOT, env=os.environ | variables, stdout=stdout, stderr=subprocess.PIPE, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def test_the_document_repeats_the_clearing_with_names() -> None:
    named = read_problem(ROOT / "examples" / "market" / "embargo.json")
    found = clear(named.problem)
    document = clearing_document(named, found)
    market = document["markets"][0]
    flows = {(arc["from"], arc["to"]): arc["quantity"] for arc in market["flows"]}
    assert ("North", "West") not in flows
    assert flows["South", "West"] == pytest.approx(found.flow[0, 1, 3], rel=1e-9)
    sold = {firm["name"]: firm["sold"] for firm in market["firms"]}
    assert sold["South recycler"] == pytest.approx(10.0)
    ban, licence = document["limits"]
    assert (ban["rent"], ban["used"]) == (None, 0.0)
    assert licence["used"] == pytest.approx(15.0)
    assert licence["rent_income"] == pytest.approx(15_000 * licence["rent"], rel=1e-8)
    for place in market["destinations"]:
        missing = 0.0 if place["country"] == "North" else 20.0 - place["bought"]
        assert place["unmet_need"] == pytest.approx(missing, abs=1e-8)


def test_a_destination_that_nobody_may_supply_has_no_price_and_all_its_need_unmet() -> None:
    document = example("embargo")
    arcs = document["markets"][0]["arcs"]
    document["markets"][0]["arcs"] = [arc for arc in arcs if arc["to"] != "West"]
    del document["limits"][0]
    named = problem_of(document)
    places = clearing_document(named, clear(named.problem))["markets"][0]["destinations"]
    west = next(place for place in places if place["country"] == "West")
    assert (west["landed_price"], west["average_price"]) == (None, None)
    assert (west["bought"], west["unmet_need"]) == (0.0, 20.0)


def test_sellers_and_buyers_without_trade_are_listed() -> None:
    document = example("free_trade")
    document["markets"][0]["firms"][0]["capacity"] = 0
    named = problem_of(document)
    market = clearing_document(named, clear(named.problem))["markets"][0]
    assert market["origins"] == [{"country": "North", "price": None, "sold": 0.0}]
    place = {"landed_price": None, "average_price": None, "bought": 0.0, "unmet_need": 0.0}
    assert market["destinations"] == [{"country": "South", **place}]


def test_text_is_json_with_a_line_for_each_innermost_entry() -> None:
    document = {"a": [{"ü": 1.5, "x": None}, {}], "b": [], "c": {"d": [[True], 'q"\n']}}
    text = json_text(document)
    assert json.loads(text) == document
    assert '    {"ü": 1.5, "x": null},\n    {}\n' in text


def test_the_module_runs_and_prints_json() -> None:
    done = run_module("examples/market/quota.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["limits"][0]["rent"] == pytest.approx(8.0)


def test_a_screen_without_the_letters_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "letters.json"
    path.write_text(json.dumps(example("quota")).replace("South", "Süd"), encoding="utf-8")
    done = run_module(str(path), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "the screen cannot show all names; write to a file with -o.\n"


def test_a_reader_that_stops_early_causes_no_complaint() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_module("examples/market/quota.json", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


# --- Wrong input ----------------------------------------------------------------------------------


def at(*path: str | int, to: Any = None) -> Callable[[Document], None]:
    """An edit that sets what is at `path`, or takes it out."""

    def edit(document: Document) -> None:
        *inner, last = path
        place: Any = document
        for step in inner:
            place = place[step]
        if to is None:
            del place[last]
        else:
            place[last] = to

    return edit


def add(*path: str | int, entry: Any) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        place: Any = document
        for step in path:
            place = place[step]
        place.append(entry)

    return edit


FIRM = ("markets", 0, "firms", 0)
DEMAND = ("markets", 0, "demand", 1)
ARC = ("markets", 0, "arcs", 1)
EAST = {"from": "North", "to": "East"}
WRONG: list[tuple[Callable[[Document], None], str]] = [
    (at("countries"), "countries is missing; add it"),
    (at("countries", to=[]), "countries and markets must not be empty"),
    (at("countries", to="North"), r'countries is "North"; it must be a list in \[ \]'),
    (at("countries", 1, to=7), r"countries\[1\] is 7; it must be a name in quotation marks"),
    (at("countries", 1, to="North"), r"countries\[1\] repeats the name of countries\[0\]"),
    (at("markets", 0, to=3), r"markets\[0\] is 3; it must be an object in braces"),
    (at("markets", 0, "name", to=" "), r'markets\[0\]\.name is " "; it must be a name'),
    (at("markets", 0, "dispersion", to=0), r"markets\[0\]\.dispersion is 0; it must be above zero"),
    (at("market", to=[]), 'the file has the key "market", which is not known; it may have title'),
    (at("mar\nket", to=[]), r'the file has the key "mar\\nket", which is not known'),
    (at("countries", to=[str(n) for n in range(5000)]), "makes 25,000,000 pairs of countries"),
    (
        at(*FIRM, "capcity", to=1),
        r'firms\[0\] has the key "capcity", which is not known; it may have name, country, cap',
    ),
    (at(*FIRM, "capacity"), r"markets\[0\]\.firms\[0\]\.capacity is missing; add it"),
    (at(*FIRM, "capacity", to="60"), r'capacity is "60"; it must be a number'),
    (at(*FIRM, "capacity", to=True), r"capacity is true; it must be a number"),
    (at(*FIRM, "capacity", to=-1), r"capacity is -1; it must be zero or more"),
    (
        at(*FIRM, "capacity", to=10**400),
        r"capacity is 10{10,}\.\.\.; it must lie between -1e\+12 and",
    ),
    (at(*FIRM, "low_ask", to=99), r"high_ask is 5; it must not be below low_ask, 99"),
    (at(*FIRM, "country", to="Nort"), r'country is "Nort", which is not a country; known: North'),
    (at(*FIRM, "name", to="South recycler"), r"firms\[2\]\.name repeats the name of .*firms\[0\]"),
    (at(*DEMAND, "reference_price", to=0), r"demand\[1\]\.reference_price is 0; .*above zero"),
    (at(*DEMAND, "elasticity", to=-0.3), r"elasticity is -0.3; it must be zero or more"),
    (at(*DEMAND, "choke_price"), r"demand\[1\] has one of backstop_price and choke_price; give"),
    (
        at(*DEMAND, "choke_price", to=9),
        r"choke_price is 9; it must not be below backstop_price, 24",
    ),
    (at(*ARC, "price_factor", to=-1), r"arcs\[1\]\.price_factor is -1; it must be above zero"),
    (add(*ARC[:-1], entry=EAST), r"arcs\[5\] repeats the countries of markets\[0\]\.arcs\[1\]"),
    (at("limits", 1, "quantity", to=-5), r"limits\[1\]\.quantity is -5; it must be zero or more"),
    (at("limits", 1, "arcs", to=[]), r"limits\[1\]\.arcs is empty; list the arcs"),
    (at("limits", 1, "name", to="ban on West"), r"limits\[1\]\.name repeats the name"),
    (
        add("limits", 1, "arcs", entry=EAST),
        r"limits\[1\]\.arcs\[1\] repeats the arc of limits\[1\]",
    ),
    (
        add("limits", 1, "arcs", entry={"from": "East", "to": "West"}),
        r"arcs\[1\] is East to West, which is not among the arcs of gallium refined; list it",
    ),
    (at("limits", 0, "arcs", 0, "market", to="tin"), r'market is "tin", which is not a market'),
]


def refused(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says to a wrong file: one line, exit code 2."""
    assert main([str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize(("edit", "message"), WRONG)
def test_a_wrong_entry_is_one_sentence(
    edit: Callable[[Document], None],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = example("embargo")
    edit(document)
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    said = refused(path, capsys)
    assert said.startswith(f"{path}: ")
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1 is not JSON"),
        ('{"countries": ["A",]}', "line 1, column 19 is not JSON.*missing comma"),
        ("[1, 2]", r"the file is \[1, 2\]; it must be an object in braces"),
        ('{"countries": NaN}', "NaN is not a number in JSON"),
        ('{"title": "a", "title": "b"}', 'the key "title" stands twice'),
        ('{"title": ' + "9" * 5000 + "}", "a number is too long or the brackets"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_not_json_is_one_sentence(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    assert re.search(message, refused(path, capsys))


def test_files_that_cannot_be_read_or_written_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cannot be read" in refused(tmp_path / "absent.json", capsys)
    assert "cannot be read" in refused(tmp_path, capsys)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "is not a text file in UTF-8" in refused(binary, capsys)
    given = str(ROOT / "examples" / "market" / "tariff.json")
    assert main([given, "-o", str(tmp_path / "absent" / "out.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main([given, "-o", given]) == 2
    assert "is the problem itself" in capsys.readouterr().err


def test_a_market_without_clearing_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = example("embargo")
    for demand in document["markets"][0]["demand"]:
        del demand["backstop_price"], demand["choke_price"]
    document["markets"][0]["arcs"] = document["markets"][0]["arcs"][:2]
    del document["limits"][0]
    path = tmp_path / "hopeless.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert main([str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: gallium refined has no equilibrium")
    assert "no origin with capacity may supply West" in said
