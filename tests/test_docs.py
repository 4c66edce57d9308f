"""The documents: tables that are current, links that resolve, commands that the program knows."""

import dataclasses
import functools
import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from composing import composed
from hydra.core.override_parser.overrides_parser import OverridesParser

from abm.config import Circle, Config, Control, check
from abm.opening import Opening, opening_balance
from abm.tables import PARAMETERS, SCHEMAS, Tables
from experiments import shares
from experiments.settings_file import expanded

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
HELP = ROOT / "conf" / "config.yaml"
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

COMMAND = re.compile(r"(?:python -m (?:experiments|abm|benchmarks)[\w.]*|\bmake [a-z]+\b)[^`\n]*")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OUTSIDE = re.compile(
    r"(?:^|[\s`'\"(=])(?:/(?:home|work|tmp|root|mnt|usr|var|opt|Users)/|~/|[A-Z]:\\|file://)"
)


def shown_files() -> dict[str, str]:
    """Files that a page asks the reader to write: a path in code style above a block of YAML."""
    block = re.compile(r"^`(conf/[\w/]+\.yaml)`\n\n```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    pages = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    return dict(pair for page in pages for pair in block.findall(page))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- Tables ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opening(real_tables: Tables) -> Opening:
    return opening_balance(real_tables, tuple(real_tables.minerals["mineral"]))


@pytest.fixture(autouse=True)
def data_are_read_once(
    monkeypatch: pytest.MonkeyPatch, real_tables: Tables, opening: Opening
) -> None:
    monkeypatch.setattr(shares, "read_tables", lambda: real_tables)
    monkeypatch.setattr(shares, "opening_balance", lambda *_: opening)


def test_documents_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    code = shares.main(["--check"])
    assert code == 0, capsys.readouterr().err


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the documents that may be spoilt."""
    (tmp_path / "docs").mkdir()
    for name in ("docs/data.md", "docs/model.md"):
        (tmp_path / name).write_text(text_of(name), encoding="utf-8")
    return tmp_path


def test_stale_document_is_named_in_one_sentence_and_repaired(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = checkout / "docs" / "model.md"
    current = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"\| 1 to 100 \|", "| 1 to 99 |", current), encoding="utf-8")
    assert page.read_text(encoding="utf-8") != current

    assert shares.main(["--check"], checkout) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "docs/model.md" in said
    assert "docs/data.md" not in said
    assert "python -m experiments.shares" in said
    assert page.read_text(encoding="utf-8") != current, "a check writes nothing"

    assert shares.main([], checkout) == 0
    assert page.read_text(encoding="utf-8") == current


def test_lost_marker_is_one_sentence(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = checkout / "docs" / "data.md"
    page.write_text(page.read_text(encoding="utf-8").replace("<!-- end shares table -->", ""))
    assert shares.main([], checkout) == 1
    said = capsys.readouterr().err
    assert said.startswith("docs/data.md must hold the lines <!-- shares table -->")
    assert said.count("\n") == 1


def described_settings(schema: type) -> Iterator[tuple[str, dict[str, object]]]:
    """Every field with a unit, at any depth, found without the code under test."""
    for item in dataclasses.fields(schema):
        inner = item.default_factory
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            yield from described_settings(inner)
        elif "unit" in item.metadata:
            yield item.name, dict(item.metadata)


@pytest.mark.parametrize("schema", [Config, Control, Circle])
def test_every_described_setting_stands_in_the_table(schema: type) -> None:
    rows = [line for line in text_of("docs/model.md").splitlines() if line.startswith("| `")]
    for name, about in described_settings(schema):
        mine = [row for row in rows if re.match(rf"\| `(?:[\w.]+\.)?{name}` \|", row)]
        assert any(f"| {about['unit']} |" in row and str(about["source"]) in row for row in mine), (
            name
        )


def test_every_parameter_by_mineral_stands_in_the_table() -> None:
    page = text_of("docs/model.md")
    assert [name for name in PARAMETERS if f"| `{name}` |" not in page] == []


def test_numbers_of_rows_in_the_tables_are_those_of_the_files() -> None:
    page = text_of("docs/data.md")
    for name in SCHEMAS:
        table = pd.read_csv(ROOT / "abm" / "data" / f"{name}.csv")
        counts = [len(table), *((table["status"] == s).sum() for s in ("observed", "estimated"))]
        start = re.escape(f"| `{name}.csv` |")
        row = re.search(rf"^{start}.*\| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
        assert row is not None, f"{name}.csv is not described"
        assert [int(number) for number in row.groups()] == counts, name


# --- Links and paths ------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    titles = re.findall(r"^#+ +(.+?) *$", page, flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("name", NAMES)
def test_internal_links_resolve(name: str) -> None:
    for target in LINK.findall(text_of(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), f"{name} points to {target}"
        assert page.resolve().is_relative_to(ROOT), f"{name} leaves the project: {target}"
        if anchor:
            assert anchor in anchors(page.read_text(encoding="utf-8")), f"{name}: {target}"


@pytest.mark.parametrize("name", NAMES)
def test_no_absolute_path(name: str) -> None:
    found = [line for line in text_of(name).splitlines() if OUTSIDE.search(line)]
    assert found == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/")])
def test_files_named_in_code_style_exist(name: str) -> None:
    """`abm/model.py` and its like, or a file that the page shows in full."""
    named = re.findall(r"`((?:abm|experiments|conf|tests|docs)/[\w./-]*)`", text_of(name))
    missing = {path for path in named if not (ROOT / path).exists()}
    assert missing - set(shown_files()) == set()


# --- Commands -------------------------------------------------------------------------------------


def code_of(path: Path) -> Iterator[str]:
    """Lines of code blocks and spans in code style; of the help file, the lines with a command."""
    page = path.read_text(encoding="utf-8").replace("\\\n", " ")
    if path == HELP:
        yield from (line for line in page.splitlines() if line.strip().startswith("python -m"))
        return
    for position, part in enumerate(re.split(r"^```.*$", page, flags=re.MULTILINE)):
        yield from part.splitlines() if position % 2 else re.findall(r"`([^`]+)`", part)


def commands() -> list[tuple[str, str]]:
    """(document, command) of every command shown, the help of the command line included."""
    return sorted(
        {
            (str(path.relative_to(ROOT)), match[0].strip())
            for path in [*DOCUMENTS, HELP]
            for code in code_of(path)
            for match in COMMAND.finditer(re.sub(r"(?:^|\s)#.*", "", code))
        }
    )


def overrides_of(words: list[str]) -> list[str]:
    return [word for word in words if "=" in word and not word.startswith("--")]


def single_runs(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides of one job each: a sweep is tried value by value."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    fixed = [item.input_line for item in parsed if not item.is_sweep_override()]
    swept = [item for item in parsed if item.is_sweep_override()]
    if not swept:
        yield fixed
    for item in swept:
        for value in item.sweep_string_iterator():
            yield [*fixed, f"{item.get_key_element()}={value}"]


@pytest.fixture(scope="module")
def settings_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder conf/ with the files that the documents tell the reader to add."""
    folder = tmp_path_factory.mktemp("checkout") / "conf"
    shutil.copytree(ROOT / "conf", folder)
    for name, content in shown_files().items():
        (folder.parent / name).write_text(content, encoding="utf-8")
    return folder


@functools.cache
def compose_run(overrides: tuple[str, ...], folder: Path) -> None:
    """Refuses what Hydra or the model refuses; a command shown on several pages is tried once."""
    check(composed(expanded(overrides), folder))


def check_module(words: list[str], folder: Path) -> None:
    """`python -m package.module ...`: the module exists, and its overrides are settings."""
    module, rest = words[2].rstrip(".,;:"), words[3:]
    assert importlib.util.find_spec(module) is not None, f"there is no module {module}"
    if module == "experiments.run":
        for run in single_runs(without_launchers(overrides_of(rest))):
            compose_run(tuple(run), folder)


def without_launchers(overrides: list[str]) -> list[str]:
    """Launchers belong to a sweep, and come with extras that need not be installed."""
    return [word for word in overrides if not word.startswith(("hydra/launcher", "hydra.launcher"))]


def check_make(words: list[str], folder: Path) -> None:
    """`make target NAME=value ...`: target and variables stand in the Makefile."""
    makefile = text_of("Makefile")
    target = words[1]
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"no target {target}"
    for word in overrides_of(words[2:]):
        variable, _, value = word.partition("=")
        assert re.search(rf"^{variable} \?=", makefile, flags=re.MULTILINE), variable
        if variable == "ARGS" and target == "run":
            for run in single_runs(overrides_of(shlex.split(value))):
                compose_run(tuple(run), folder)


def test_commands_are_found() -> None:
    assert ("docs/model.md", "python -m experiments.run instruments=none") in commands()
    assert any(name == "conf/config.yaml" for name, _ in commands())


@pytest.mark.parametrize(("name", "command"), commands())
def test_command_can_be_given(name: str, command: str, settings_folder: Path) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        check_make(words, settings_folder)
    else:
        check_module(words, settings_folder)


def test_unknown_setting_in_a_command_would_be_found(settings_folder: Path) -> None:
    with pytest.raises(Exception, match="enforcment"):
        check_module(shlex.split("python -m experiments.run shock.enforcment=0.5"), settings_folder)
    with pytest.raises(AssertionError, match="no target"):
        check_make(["make", "everything"], settings_folder)
