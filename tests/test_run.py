"""The command line: what a wrong input is told, and what a run leaves behind.

Runs are of two minerals over two years, and as many as can be start in this process. One whole
command is shared by the tests.
"""

import dataclasses
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from composing import composed
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from abm.books import BooksDoNotBalance
from abm.config import Config, ConfigError, WorldConfig
from abm.market import MarketNotCleared
from abm.opening import Opening
from abm.scenario import scenarios
from abm.tables import TableError, Tables
from abm.world import World, build_world
from experiments import ensemble, outcome, run
from experiments.collect import jobs_below
from experiments.engine import batch
from experiments.engine.parts import PARTS, Plan, claimed
from experiments.engine.store import COLUMNS, ResultsFolderError, read_by_seed
from experiments.engine.workers import Workers
from experiments.figures import membership
from experiments.measures.brief import BRIEF, MONTHLY
from experiments.measures.effects import common_of, opening_of
from experiments.measures.panel import Panel
from experiments.measures.replications import MEASURED, measured_months
from experiments.measures.welfare import (
    industry_changes,
    sector_years,
    surplus_years,
    welfare_changes,
)

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "world.minerals=[gallium,antimony]",
    "horizon.years=2",
    "seeds=2",
    "workers=2",
    "membership=washington",
    "shock.minerals=[gallium]",
    "shock.announced=2025-06",
    "shock.start=2025-06",
    "shock.end=",
]
SHORT = [*SMALL, "horizon.years=1", "seeds=1", "workers=1", "membership=none"]
TABLES = [
    *("monthly", "flows", "accounts", "surplus", "sectors", "runs"),
    *("effects", "welfare", "industry", "opening_concentration"),
    *(f"{name}_by_seed" for name in MEASURED),
]
PATIENCE = 400  # seconds, should the market core have to be compiled first


def configuration(*words: str) -> Config:
    return composed(words)


def files_below(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content and every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@dataclasses.dataclass
class Answer:
    code: int
    said: str
    complained: str

    def sentence(self) -> str:
        """The one sentence on the error stream of a refused command."""
        assert self.code == 2, self.complained or self.said
        lines = self.complained.splitlines()
        assert len(lines) == 1, self.complained
        assert lines[0].endswith(".")
        assert not lines[0].endswith("..")
        assert not re.search(r"Traceback|HYDRA_FULL_ERROR|Error executing|[.?!] [A-Z]", lines[0])
        return lines[0]


worlds: dict[tuple[object, ...], World] = {}


def build_once(
    tables: Tables,
    config: WorldConfig,
    seed: int | None = None,
    opening: Opening | None = None,
    with_projects: bool = False,
) -> World:
    """Building worlds takes most of these small runs, so those of this process are shared."""
    key = (tables.data_hash(), repr(config), seed, with_projects)
    if key not in worlds:
        worlds[key] = build_world(tables, config, seed, opening, with_projects)
    return worlds[key]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """The command, started in this process."""

    def start(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["run", *words])
        capsys.readouterr()
        try:
            code = run.main()
        finally:
            GlobalHydra.instance().clear()
        return Answer(code, *capsys.readouterr())

    for module in (run, ensemble):
        monkeypatch.setattr(module, "build_world", build_once)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # set by main, so put back at the end
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield start
    root.level, root.handlers[:] = before


def start_process(*words: str, folder: Path = ROOT) -> Answer:
    """The command, started as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments.run", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A finished run and what it said."""
    folder = tmp_path_factory.mktemp("finished") / "results"
    answer = start_process(*SMALL, f"hydra.run.dir={folder}")
    assert answer.code == 0, answer.complained
    return folder, answer


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder of results with an earlier run in it."""
    run_before = tmp_path / "results" / "membership" / "earlier"
    run_before.mkdir(parents=True)
    (run_before / "manifest.json").write_text("{}\n")
    (run_before / "monthly.parquet").write_bytes(b"PAR1")
    return tmp_path / "results"


# ---------------------------------------------------------------- wrong inputs

# What is typed, and what the sentence must hold: where, the value and the cure. What `check` and
# `scenarios` refuse is tested with them; one of each stands here.
WRONG = {
    "misspelt": (["seedz=3"], ["seedz", "seeds", "--help"]),
    "misspelt within": (["shock.mineralz=[gallium]"], ["shock.mineralz", "shock.minerals"]),
    "misspelt and added": (["+seedz=3"], ["seedz", "seeds"]),
    "misspelt in a control": (["controls=[{nam:x}]"], ["controls.nam"]),
    "misspelt as a flag": (["--seeds=3"], ["--seeds=3", "name=value"]),
    "no value": (["seeds"], ["seeds", "name=value"]),
    "no name": (["=3"], ["'=3'", "name=value"]),
    "no word": ([""], ["''", "name=value"]),
    "no folder": (["hydra.run.dir="], ["hydra.run.dir= names no folder", "leave it out"]),
    "no list in a circle": (
        ["membership=forge", "membership.circles.forge.add=ZAF"],
        ["membership.circles.forge.add=ZAF", "give a list [a,b]"],
    ),
    "empty group": (
        ["membership.circles={}"],
        ["membership.circles={} would change nothing", "~membership.circles.NAME"],
    ),
    "unknown option": (["shock=bann"], ["shock=bann", "export_ban", "none"]),
    "unknown option in a list": (["shocks=[licence,licens]"], ["shocks=licens is not", "licence"]),
    "unknown option of a group in a group": (
        ["instruments/stockpiles=sixty"],
        ["instruments/stockpiles=sixty is not", "sixty_days"],
    ),
    "unknown group": (["shok=export_ban"], ["shok", "shock"]),
    "circle not run": (["membership.circles.quad.add=[AUS]"], ["quad", "membership=quad"]),
    "unknown mineral": (["world.minerals=[galium]"], ["world.minerals", "galium", "gallium"]),
    "no whole number": (["seeds=many"], ["seeds=many", "whole number from 1"]),
    "no number": (["shock.rate=high"], ["shock.rate=high", "a number from 0 to 5"]),
    "no switch": (["instruments.stockpiles.active=perhaps"], ["active=perhaps", "true or false"]),
    "no list": (["shock.minerals=gallium"], ["shock.minerals=gallium", "list"]),
    "no instrument": (["shock.instrument=embargo"], ["embargo", "quota", "ban"]),
    "no stage": (["shock.stages=[smelted]"], ["smelted", "mined, refined"]),
    "several values": (["seeds=1,2"], ["seeds=1,2", "-m"]),
    "horizon of zero": (["horizon.years=0"], ["horizon.years is 0", "1 to 100"]),
    "unknown target": (["shock.targets=[XYZ]"], ["shock.targets", "XYZ", "JPN", "washington"]),
    "broken list": (["shock.minerals=[gallium"], ["shock.minerals=[gallium", "[a,b]"]),
    "name of calm": (["shock.name=none"], ["shock.name", "none", "another name"]),
}


@pytest.mark.parametrize(("words", "expected"), WRONG.values(), ids=list(WRONG))
def test_wrong_setting_is_one_sentence(
    words: list[str], expected: list[str], earlier: Path, command: Callable[..., Answer]
) -> None:
    before = files_below(earlier)
    names = {word.partition("=")[0] for word in words}
    others = [word for word in SHORT if word.partition("=")[0] not in names]
    sentence = command(*others, f"results={earlier}", *words).sentence()
    assert [part for part in expected if part not in sentence] == [], sentence
    assert files_below(earlier) == before


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "stockpiles.csv",
            b"mineral,country,cover_months,source,status\ngallium,USA,-3,assumed,estimated\n",
            ["stockpiles.csv", "row 2", "cover_months", "-3"],
        ),
        (
            "output.csv",
            b'mineral,stage,country,year,quantity_t,source,status\ngallium,refined,"USA,2024\n',
            ["output.csv", "row 2", "CSV"],
        ),
        (None, b"", ["no such folder", "give"]),
    ],
    ids=["negative stock", "corrupt", "missing"],
)
def test_wrong_table_is_one_sentence(
    name: str | None,
    content: bytes,
    expected: list[str],
    earlier: Path,
    tmp_path: Path,
    command: Callable[..., Answer],
) -> None:
    tables = tmp_path / "tables"
    if name is not None:
        tables.mkdir()
        (tables / name).write_bytes(content)
    before = files_below(earlier)
    answer = command(*SHORT, f"world.tables=[{tables}]", f"results={earlier}")
    sentence = answer.sentence()
    assert [part for part in [str(tables), *expected] if part not in sentence] == [], sentence
    assert files_below(earlier) == before


def test_results_path_that_is_a_file(tmp_path: Path, command: Callable[..., Answer]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    sentence = command(*SHORT, f"results={taken}/below").sentence()
    assert str(taken) in sentence
    assert "results=FOLDER" in sentence
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("kept", ["manifest.json", "monthly.part.parquet"])
def test_earlier_results_are_never_written_over(
    kept: str, tmp_path: Path, command: Callable[..., Answer]
) -> None:
    (tmp_path / kept).write_text("{}\n")
    before = files_below(tmp_path)
    sentence = command(*SHORT, f"hydra.run.dir={tmp_path}").sentence()
    assert str(tmp_path) in sentence
    assert "another folder" in sentence
    assert files_below(tmp_path) == before


def test_a_folder_has_room_for_one_run(tmp_path: Path, command: Callable[..., Answer]) -> None:
    """A second run finds the first at work; afterwards the folder is free if nothing was kept."""
    plan = Plan("settings", "code", "data")
    with claimed(tmp_path, plan):
        before = files_below(tmp_path)
        sentence = command(*SHORT, f"hydra.run.dir={tmp_path}").sentence()
        assert str(tmp_path) in sentence
        assert "another folder" in sentence
        assert files_below(tmp_path) == before
    assert files_below(tmp_path) == {}
    with claimed(tmp_path, plan):
        (tmp_path / "manifest.json").write_text("{}\n")
    other = dataclasses.replace(plan, code="other code")
    with pytest.raises(ResultsFolderError, match="other code"), claimed(tmp_path, other):
        pass
    with claimed(tmp_path, plan):
        pass
    assert set(files_below(tmp_path)) == {"manifest.json", "plan.json"}


def test_runs_of_the_same_second_have_folders_of_their_own() -> None:
    folders = set()
    for _ in range(2):
        with initialize_config_dir(str(run.SETTINGS), version_base="1.3"):
            folders.add(compose("config", return_hydra_config=True).hydra.run.dir)
    assert len(folders) == 2


def test_tables_of_the_project_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of that name where the command is called goes before the project's."""
    config = configuration("world=with_tin")
    monkeypatch.chdir(tmp_path)
    assert "tin" in set(ensemble.read_config_tables(config).minerals["mineral"])
    (tmp_path / "examples" / "tin").mkdir(parents=True)
    with pytest.raises(TableError, match="examples/tin"):  # nothing in it to lay over
        ensemble.read_config_tables(config)


def test_refusal_reaches_the_shell(earlier: Path) -> None:
    """The same in a process of its own, where nothing of this one can help."""
    before = files_below(earlier)
    sentence = start_process(*SHORT, "horizon.years=0", f"results={earlier}").sentence()
    assert "horizon.years is 0" in sentence
    assert files_below(earlier) == before


# ---------------------------------------------------------------- a finished run


def test_command_prints_the_report_and_no_bar(finished: tuple[Path, Answer]) -> None:
    folder, answer = finished
    assert answer.complained == "", "a progress bar or a warning where no terminal is"
    assert answer.said.splitlines()[-1] == f"Report: {folder / 'report.html'}"
    assert "INFO" not in answer.said


def test_results_folder_holds_what_is_promised(finished: tuple[Path, Answer]) -> None:
    folder, _ = finished
    names = {path.name for path in folder.iterdir()}
    tables = {f"{table}.parquet" for table in TABLES}
    assert names == tables | {"manifest.json", "plan.json", "report.html", "figures"}
    drawn = sorted((folder / "figures").iterdir())
    stems = {path.stem for path in drawn}
    assert stems >= {"price_paths", "dependence_heatmap", "membership_effect"}
    assert {path.name for path in drawn} == {
        f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "csv")
    }
    marks = {".png": b"\x89PNG", ".pdf": b"%PDF"}
    for path in drawn:
        assert path.read_bytes().startswith(marks.get(path.suffix, b"")), path
        assert path.stat().st_size > 100, path


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_documented(table: str, finished: tuple[Path, Answer]) -> None:
    schema = pq.read_schema(finished[0] / f"{table}.parquet")
    described = {item.name: (item.metadata or {}).get(b"description") for item in schema}
    assert described == {name: COLUMNS[name].encode() for name in schema.names}
    assert b"chokepoint_schema" in schema.metadata


def test_tables_cover_the_experiment(finished: tuple[Path, Answer]) -> None:
    folder, _ = finished
    runs = pd.read_parquet(folder / "runs.parquet")
    cells = [
        (circle, shock, seed)
        for seed in (0, 1)
        for circle in ("none", "washington")
        for shock in ("none", "export_ban")
    ]
    columns = ["membership", "shock", "seed"]
    assert list(runs[columns].itertuples(index=False, name=None)) == cells
    monthly = pd.read_parquet(folder / "monthly.parquet")
    months = monthly.groupby(columns, observed=True)["month"].unique()
    expected = [f"{year}-{month:02d}" for year in (2025, 2026) for month in range(1, 13)]
    assert {tuple(found) for found in months} == {tuple(expected)}
    assert set(months.index) == set(cells)
    assert set(monthly["mineral"]) == {"gallium", "antimony"}
    key = [*columns, "month", "mineral", "stage", "country"]
    assert not monthly.duplicated(key).any()


def test_seeds_are_measured_as_their_whole_tables_would_be(finished: tuple[Path, Answer]) -> None:
    """A run leaves no more than a brief of itself for its seed to be measured by."""
    folder, _ = finished
    monthly, surplus, sectors = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("monthly", "surplus", "sectors")
    )
    config = composed(SMALL)
    tables = ensemble.read_config_tables(config)
    world = build_world(tables, config.world)
    cases = scenarios(config, world)
    scene = outcome.scene_of(config, world, cases)
    panel = Panel(monthly[monthly["stage"] == "refined"])
    outline = outcome.outline_of(config, world, cases, common_of([opening_of(panel)]))
    asked = outcome.asked_of(config, tables, scene, outline)
    expected = {
        **dict(measured_months(panel, asked)),
        "welfare": welfare_changes(surplus_years(surplus), asked.windows),
        "industry": industry_changes(
            sector_years(sectors), asked.windows, asked.industry_bn_usd, asked.pass_through
        ),
    }
    assert set(expected) == set(MEASURED)
    for name, table in expected.items():
        found = read_by_seed(folder, name)[list(table)]
        keys = [column for column in table if not pd.api.types.is_float_dtype(table[column])]
        one, other = (
            each.astype(dict.fromkeys(keys, str)).sort_values(keys).reset_index(drop=True)
            for each in (found, table)
        )
        # Surplus of thousands of millions is written in single precision.
        atol = 1e-3 if name == "welfare" else 1e-5
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-5, atol=atol, obj=name)


def test_manifest_repeats_the_run(finished: tuple[Path, Answer]) -> None:
    """The configuration in it is the whole one, and composes to the same run again."""
    manifest = json.loads((finished[0] / "manifest.json").read_text())
    assert manifest["seeds"] == "0 to 1"
    again = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), manifest["config"]))
    assert again == configuration(*SMALL)
    assert {"python", "numpy", "numba", "mesa", "chokepoint"} <= manifest["versions"].keys()
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["data_hash"])
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?|unknown", manifest["commit"])
    assert manifest["schema_version"] >= 1


def test_report_stands_alone_and_states_the_finding(finished: tuple[Path, Answer]) -> None:
    folder, answer = finished
    page = (folder / "report.html").read_text(encoding="utf-8")
    finding = json.loads((folder / "manifest.json").read_text())["finding"]
    assert re.search(r"Washington six .* \d", finding), "no circle and no number in the finding"
    assert finding in answer.said
    for sentence in finding.split(". "):
        assert sentence in page
    outside = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:|#)([^\"')>\s]+)", page)
    assert outside == [], "the page leans on other files"
    assert page.count("data:image/png;base64,") == len(list((folder / "figures").glob("*.png")))


def test_same_bytes_with_one_worker_or_two(
    finished: tuple[Path, Answer],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first run had two workers, this one is a second run with one.

    Figures are drawn, so that their tables can be compared, but not printed to files.
    """
    folder, _ = finished
    monkeypatch.setattr(Figure, "savefig", lambda *arguments, **options: None)
    monkeypatch.setattr(outcome, "write_report", lambda folder, *arguments: folder)
    run.run_experiment(configuration(*SMALL, "workers=1"), tmp_path / "again")
    assert capsys.readouterr().err == "", "a progress bar where no terminal is"
    compared = sorted(folder.glob("*.parquet")) + sorted(folder.glob("figures/*.csv"))
    assert len(compared) > len(TABLES)
    for path in compared:
        again = tmp_path / "again" / path.relative_to(folder)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_memberships_differ_only_once_somebody_joined(finished: tuple[Path, Answer]) -> None:
    monthly = pd.read_parquet(finished[0] / "monthly.parquet").astype({"month": "str"})
    label = ["shock", "seed", "month", "mineral", "stage", "country"]
    plain = {
        circle: rows.drop(columns="membership").sort_values(label).reset_index(drop=True)
        for circle, rows in monthly.groupby("membership", observed=True)
    }
    without, within = plain["none"], plain["washington"]
    early = without["month"] < "2026-02"
    assert early.sum() > 1000
    pd.testing.assert_frame_equal(without[early], within[early], check_exact=True)
    assert not without["member"].any()
    assert within[~early].groupby("month")["member"].any().all()
    prices = without[~early]["landed_price_usd_per_kg"], within[~early]["landed_price_usd_per_kg"]
    assert not prices[0].equals(prices[1])
    seeds = plain["none"].groupby("seed")["landed_price_usd_per_kg"].sum()
    assert seeds.nunique() == 2, "replications meet different events"


# ---------------------------------------------------------------- workers


def test_getting_ready_sends_nothing_back() -> None:
    """A world is large, and every process keeps its own."""
    config = configuration(*SHORT)
    assert [job.result() for job in ensemble.prepare(config, Workers(3))] == [None, None, None]
    kept = ensemble.replication(config, config.first_seed)
    assert ensemble.replication(config, config.first_seed) is kept
    other = ensemble.replication(config, config.first_seed + 1)
    assert other.world.opening is kept.world.opening
    assert (other.events.availability != kept.events.availability).any()


@pytest.mark.parametrize("change", ["randomness.outage_rate=0.5", "world.draw_parameters=false"])
def test_what_is_kept_belongs_to_its_settings(change: str) -> None:
    kept = ensemble.replication(configuration(*SHORT), 0)
    changed = ensemble.replication(configuration(*SHORT, change), 0)
    same_events = (changed.events.availability == kept.events.availability).all()
    assert same_events == change.startswith("world")
    same_world = all(
        (changed.world.parameters[name] == values).all()
        for name, values in kept.world.parameters.items()
    )
    assert same_world == change.startswith("randomness")


def test_the_user_is_told_only_of_a_slow_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = threading.Event()

    def compiling(*arguments: object, **options: object) -> None:
        assert said.wait(PATIENCE)

    monkeypatch.setattr(ensemble, "COMPILING", "Compiling.")
    monkeypatch.setattr(ensemble, "one_run", lambda *arguments, **options: None)
    ensemble.first_month(configuration(*SHORT))
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(ensemble, "PATIENCE", 0.0)
    monkeypatch.setattr(ensemble, "one_run", compiling)
    monkeypatch.setattr(
        "builtins.print", lambda text, **options: (sys.stdout.write(text), said.set())
    )
    ensemble.first_month(configuration(*SHORT))
    assert capsys.readouterr().out == "Compiling."


# ---------------------------------------------------------------- sweeps and failures


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of a small run, and are tested above."""
    monkeypatch.setattr(membership, "membership_figures", lambda *arguments: [])


@pytest.mark.usefixtures("without_figures")
def test_sweep_writes_one_folder_per_job(tmp_path: Path, command: Callable[..., Answer]) -> None:
    answer = command(*SHORT, "-m", "shock.enforcement=0.5,1.0", f"hydra.sweep.dir={tmp_path}")
    assert (answer.code, answer.complained) == (0, "")
    found = {}
    for job in ("0", "1"):
        folder = tmp_path / job
        assert f"Report: {folder / 'report.html'}" in answer.said
        manifest = json.loads((folder / "manifest.json").read_text())
        found[job] = manifest["config"]["shock"]["enforcement"]
    assert found == {"0": 0.5, "1": 1.0}
    first, second = (pd.read_parquet(tmp_path / job / "monthly.parquet") for job in found)
    calm = first["shock"] == "none"
    pd.testing.assert_frame_equal(first[calm], second[calm], check_exact=True)
    assert first["rerouted_t"].sum() > second["rerouted_t"].sum()


@pytest.mark.usefixtures("without_figures")
def test_a_wrong_job_of_a_sweep_ends_alone(tmp_path: Path, command: Callable[..., Answer]) -> None:
    years = [word for word in SHORT if not word.startswith("horizon.years")]
    answer = command("-m", *years, "horizon.years=0,1", f"hydra.sweep.dir={tmp_path}")
    assert "horizon.years is 0" in answer.sentence()
    assert "job 0 of the sweep ends, others go on" in answer.sentence()
    assert f"Report: {tmp_path / '1' / 'report.html'}" in answer.said
    assert len(pd.read_parquet(tmp_path / "1" / "monthly.parquet")) > 0
    (failed, finished) = jobs_below(tmp_path)
    assert (failed.state, finished.state) == ("failed", "finished")
    assert failed.overrides["horizon.years"] == "0"
    assert "horizon.years is 0" in failed.error


@pytest.mark.parametrize("words", [["seedz=1,2"], ["shock=bann,none"]], ids=lambda w: w[0])
def test_wrong_sweep_is_one_sentence(
    words: list[str], tmp_path: Path, command: Callable[..., Answer]
) -> None:
    sentence = command("-m", *SHORT, *words, f"hydra.sweep.dir={tmp_path}").sentence()
    assert words[0].partition("=")[0] in sentence
    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == []


@pytest.mark.parametrize(
    "failure",
    [
        MarketNotCleared("month 2025-04: gallium was not cleared; report it", [3]),
        BooksDoNotBalance("month 2025-04: 3 t of gallium are missing; report it"),
        KeyboardInterrupt(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_finished_runs_outlive_a_failure(
    failure: BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., Answer],
) -> None:
    """The second run fails: that of the first stays readable, and is completed by the next."""
    whole = ensemble.one_run
    done = []

    def failing(config: Config, seed: int, case: int, months: int | None = None):  # type: ignore[no-untyped-def]
        if months is None and case == 1 and not done.count(1):
            raise failure
        done.extend([case] if months is None else [])
        return whole(config, seed, case, months)

    monkeypatch.setattr(batch, "one_run", failing)
    folder = tmp_path / "results"
    sentence = command(*SHORT, f"hydra.run.dir={folder}").sentence()
    assert sentence.startswith(str(failure) or "Stopped by the user")
    assert f"hydra.run.dir={folder} completes it" in sentence
    left = {path.name for path in folder.iterdir()}
    assert left - {"failed.json"} == {"parts", "plan.json"}
    assert ("failed.json" in left) == isinstance(failure, Exception)
    (part,) = (folder / PARTS).iterdir()
    labelled = {*ensemble.TABLES, *BRIEF, "runs"} - {"decisions", "projects"}
    assert {path.stem for path in part.iterdir()} == {MONTHLY, *labelled}
    for path in part.iterdir():
        table = pd.read_parquet(path)
        assert len(table) > 0
        assert path.stem == MONTHLY or set(table["shock"]) == {"none"}

    sentence = command(*SHORT, "seeds=2", f"hydra.run.dir={folder}").sentence()
    assert "other settings" in sentence
    assert "completes it" not in sentence
    done.append(1)
    monkeypatch.setattr(membership, "membership_figures", lambda *arguments: [])
    answer = command(*SHORT, f"hydra.run.dir={folder}")
    assert answer.code == 0, answer.complained
    assert done.count(0) == 1, "what was finished is not done again"
    assert {path.name for path in folder.iterdir()}.isdisjoint({"parts", "failed.json", "running"})
    assert len(pd.read_parquet(folder / "runs.parquet")) == 2
    done.clear()
    again = command(*SHORT, f"hydra.run.dir={folder}")
    assert again.said == answer.said
    assert done == []


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("seeds is 0"),
        TableError("output.csv, row 2"),
        BooksDoNotBalance("3 t are missing"),
        MarketNotCleared("month 2025-04: gallium was not cleared", [3]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_between_processes(error: Exception) -> None:
    """One that cannot be unpickled would break the pool of workers instead."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


# ---------------------------------------------------------------- help


def test_help_is_understandable(command: Callable[..., Answer]) -> None:
    answer = command("--help")
    assert (answer.code, answer.complained) == (0, "")
    groups = {path.name for path in run.SETTINGS.iterdir() if path.is_dir()} - {"hydra"}
    mechanisms = {"producers", "tension", "accession", "instability", "demand"}
    mechanisms |= {"shipping", "recycling", "substitution", "planning", "projects", "uncertainty"}
    chosen = {"world", "membership", "instruments", "shock", "shocks", "experiment"}
    assert groups == mechanisms | chosen
    said = " ".join(answer.said.split())  # long lists are folded
    for group in groups:
        options = [path.stem for path in sorted((run.SETTINGS / group).glob("*.yaml"))]
        assert f"{group}: {', '.join(options)}" in said
    for item in dataclasses.fields(Config):
        assert re.search(rf"^{item.name}:", answer.said, re.MULTILINE), item.name
    for words in ("python -m experiments.run", "HTML report", "setting=value", "--cfg job", " -m "):
        assert words in answer.said
    assert max(map(len, answer.said.splitlines())) <= 120
    assert "hydra-help" not in answer.said, "Hydra's own words are not for a stranger"


@pytest.mark.parametrize(
    "words",
    [
        [*SMALL, "experiment=accession", "+joining.players.anzac=[AUS,NZL]"],
        ["membership=g7", "shock=none", "+membership.circles.g7.joins.JPN=2028-01", "seeds=5"],
        ["instruments/price_floor=border", "instruments.price_floor.active=false"],
    ],
    ids=lambda words: words[0],
)
def test_settings_put_together_for_tests_are_those_of_hydra(words: list[str]) -> None:
    with initialize_config_dir(str(run.SETTINGS), version_base="1.3"):
        expected = OmegaConf.to_object(compose("config", words))
    assert configuration(*words) == expected
    assert configuration(*words) is not configuration(*words)


def test_cfg_job_shows_the_settings_without_running(
    tmp_path: Path, command: Callable[..., Answer]
) -> None:
    answer = command("--cfg", "job", *SMALL, f"results={tmp_path / 'none'}")
    assert (answer.code, answer.complained) == (0, "")
    shown = OmegaConf.create(answer.said)
    again = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), shown))
    assert again == configuration(*SMALL, f"results={tmp_path / 'none'}")
    assert list(tmp_path.iterdir()) == []
