"""Run an experiment from the command line: `python -m experiments.run`.

Everything that Hydra knows about this project stands here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import logging
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from enum import Enum
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from abm.books import BooksDoNotBalance
from abm.config import Config, ConfigError, Instrument, check
from abm.market import MarketNotCleared
from abm.scenario import Scenario, scenarios
from abm.tables import TableError, Tables
from abm.world import World, build_world
from experiments.effects import Window, calm_window, crisis_window, effects_table
from experiments.ensemble import read_config_tables, run_all
from experiments.figures import Scene, membership_figures, save
from experiments.finding import headline
from experiments.panel import Panel
from experiments.report import finding, write_report
from experiments.store import ResultTables, provenance, write_described, write_manifest

ConfigStore.instance().store(name="schema", node=Config)
SETTINGS = Path(__file__).resolve().parent.parent / "conf"
# Hydra would write its own files into a folder before we can refuse it; the manifest has them all.
QUIET = ["hydra.output_subdir=null", "hydra/job_logging=none"]
MISUSE = 2  # exit code of a wrong input


class ResultsFolderError(OSError):
    """The results folder cannot take a run."""


# What a user or a machine can cause: answered with one sentence. Anything else is a defect.
REFUSED = (
    ConfigError,
    TableError,
    MarketNotCleared,
    BooksDoNotBalance,
    BrokenProcessPool,
    HydraException,
    OmegaConfBaseException,
    OSError,
    KeyboardInterrupt,
)


@hydra.main(version_base="1.3", config_path=str(SETTINGS), config_name="config")
def command(settings: DictConfig) -> None:
    """One job of the command line.

    A refusal ends the command here, and a sweep with it: Hydra would add lines of its own.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        config = OmegaConf.to_object(settings)
        assert isinstance(config, Config)
        for name in stray_settings(config):
            raise ConfigError(_unknown(name))
        print(f"Report: {run_experiment(config, folder)}")
    except REFUSED as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra made it; only an empty one goes
        raise SystemExit(refuse(error)) from None


def run_experiment(config: Config, folder: Path) -> Path:
    """Run, write the tables, draw the figures and state the finding.

    Returns
    -------
    Path
        The HTML report.

    Raises
    ------
    ConfigError, TableError, ResultsFolderError
        Before anything is computed.
    """
    check(config)
    refuse_used(folder)
    tables = read_config_tables(config)
    world = build_world(tables, config.world)
    cases = scenarios(config, world)
    refuse_same_names(cases)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(case.membership for case in cases))
    shocks = list(dict.fromkeys(case.shock for case in cases))
    with ResultTables(folder, names, shocks) as results:
        for result in run_all(config):
            results.add(result)
    return describe(config, folder, world, tables, cases)


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds the results of an earlier run, finished or not."""
    if (folder / "manifest.json").exists() or any(folder.glob("*.parquet")):
        raise ResultsFolderError(
            f"{folder} holds the results of an earlier run; "
            "give another folder with hydra.run.dir=FOLDER"
        )


def refuse_same_names(cases: list[Scenario]) -> None:
    """Refuse two scenarios that the tables could not tell apart."""
    labels = [(case.membership, case.shock) for case in cases]
    if len(set(labels)) < len(labels):
        raise ConfigError(
            f"shock.name is {cases[0].shock!r}, which is kept for the world without a shock; "
            "give another name, or shock=none"
        )


def describe(
    config: Config, folder: Path, world: World, tables: Tables, cases: list[Scenario]
) -> Path:
    """From the tables of a finished ensemble to figures, manifest and report."""
    scene = scene_of(config, world, cases)
    monthly = pd.read_parquet(folder / "monthly.parquet")
    panel = Panel.of(monthly)
    windows, baskets = comparison_windows(config, panel, scene)
    effects = effects_table(panel, windows, scene.roles, minerals=baskets)
    write_described(effects, folder / "effects.parquet")
    found = headline(
        panel,
        scene.shock_start,
        scene.shock_minerals,
        scene.exporter,
        shock=scene.shock,
        roles=scene.roles,
    )
    figures = membership_figures(panel, effects, scene)
    for drawn in figures:
        save(drawn.figure, folder / "figures", drawn.name, drawn.table)
    runs = pd.read_parquet(folder / "runs.parquet")
    manifest: dict[str, Any] = {
        "finding": " ".join(finding(found, scene)),
        "seeds": f"{config.first_seed} to {config.first_seed + config.seeds - 1}",
        "largest_residual_of_a_market": f"{runs['certificate_max'].max():.2g}",
        "largest_imbalance_of_tonnes": f"{runs['tonnes_gap_max'].max():.2g}",
        "largest_imbalance_of_payments": f"{runs['money_gap_max'].max():.2g}",
        "data_hash": tables.data_hash(),
        **provenance(),
        "config": plain(dataclasses.asdict(config)),
        "scene": scene.to_dict(),
    }
    write_manifest(folder, manifest)
    report = write_report(
        folder,
        found,
        figures,
        manifest,
        {"effects": effects, "assumptions": assumptions(tables)},
        scene,
    )
    print(manifest["finding"])
    return report


def scene_of(config: Config, world: World, cases: list[Scenario]) -> Scene:
    """What figures and report must know of the run."""
    shock = config.shock
    shocked = shock.instrument is not Instrument.none
    control = next((c for case in cases for c in case.controls if case.shock != "none"), None)
    minerals = world.minerals
    if shocked and shock.minerals != ["all"]:
        minerals = tuple(m for m in world.minerals if m in shock.minerals)
    events = {}
    if shocked:
        if shock.announced and shock.announced != shock.start:
            events["announced"] = shock.announced
        events[f"{shock.instrument.value} starts"] = shock.start
        if shock.end:
            events["lifted"] = shock.end
    return Scene(
        exporter=shock.by if shocked else "CHN",
        shock=shock.name if shocked and control is not None else None,
        shock_start=shock.start,
        shock_minerals=minerals,
        roles=dict(zip(world.countries, world.roles, strict=True)),
        events=events,
        names=dict(zip(world.countries, world.country_names, strict=True)),
    )


def comparison_windows(
    config: Config, panel: Panel, scene: Scene
) -> tuple[list[Window], dict[str, tuple[str, ...]]]:
    """The periods over which memberships are compared, and the minerals of each."""
    windows = [calm_window(panel)]
    baskets: dict[str, tuple[str, ...]] = {}
    if scene.shock is not None and scene.shock_start <= panel.months[-1]:
        crisis = crisis_window(scene.shock, scene.shock_start)
        windows.append(crisis)
        baskets[crisis.name] = scene.shock_minerals
    return windows, baskets


def assumptions(tables: Tables) -> pd.DataFrame:
    """The parameters that rest on an estimate, with their ranges."""
    table = tables.parameters
    columns = ["mineral", "stage", "parameter", "value", "low", "high", "unit", "source"]
    return table.loc[table["status"] == "estimated", columns]


def plain(value: Any) -> Any:
    """Nested settings as words and numbers."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return getattr(value, "value", value)


# ------------------------------------------------------------------- what a wrong input is told


def main(run: Callable[[], None] = command) -> int:
    """Run the command; a wrong input is answered with one sentence and exit code 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed with a trace
    for name in ("MESA", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        sys.argv[1:] = [*arranged(sys.argv[1:]), *QUIET]
        run()
    except REFUSED as error:
        return refuse(error)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def arranged(words: list[str]) -> list[str]:
    """The words of the command line, -m first: Hydra takes it in no other place.

    Raises
    ------
    ConfigError
        For an option that Hydra does not know; it would print a page about all others.
    """
    words = sorted(words, key=lambda word: word not in ("-m", "--multirun"))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            get_args_parser().parse_args(words)
    except SystemExit as stop:
        if stop.code:
            reason = said.getvalue().rpartition("error: ")[2].strip()
            raise ConfigError(f"{reason}; write settings as name=value, see --help") from None
    return words


def refuse(error: BaseException) -> int:
    """Print one plain sentence to the error stream."""
    print(" ".join(sentence(error).split()).rstrip(".") + ".", file=sys.stderr)
    return MISUSE


def sentence(error: BaseException) -> str:
    """What went wrong and what to do about it."""
    if isinstance(error, KeyboardInterrupt):
        return "Stopped by the user; finished runs stay in the *.part.parquet files"
    if isinstance(error, BrokenProcessPool):
        return "A worker process was ended from outside, as when memory runs out; try workers=1"
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return setting_sentence(error)
    if isinstance(error, OSError):
        return file_sentence(error)
    return str(error)


def file_sentence(error: OSError) -> str:
    """A sentence for a file or folder that cannot be used."""
    if error.strerror is None:
        return str(error)
    return (
        f"Cannot use {error.filename or 'the results folder'}: {error.strerror.lower()}; "
        "choose a folder you can write to with results=FOLDER"
    )


def setting_sentence(error: Exception) -> str:
    """A sentence for a setting that the command line does not know or cannot take."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(error)
    key = str(getattr(cause, "full_key", None) or "")
    reason = str(cause).splitlines()[0]
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read; write name=value, a list as [a,b], "
            "and quotes around a value with special signs"
        )
    if match := re.search(r"Ambiguous value for argument '(.+)'", text):
        return (
            f"{match[1]} gives several values; put -m first to run each in turn, "
            "or write a list as [a,b]"
        )
    if match := re.search(r"Could not find '([^']+?)/([^'/]+)'", text):
        return _unknown_option(match[1], match[2])
    circle = re.fullmatch(r"membership\.circles\.([\w-]+)", key)
    if circle or "not a subclass of Circle" in reason:
        name = circle[1] if circle else key
        return (
            f"The run has no circle {name} whose settings could be changed; choose it with "
            f"membership={name}, or describe it in a file of conf/membership"
        )
    if match := re.search(r"Could not override '([^']+)'", text):
        inside = "" if match[1].startswith(key) else f".{key}"
        return _unknown(match[1] + inside)
    if match := re.search(r"Error merging override (.+)", text):
        whole = match[1].lstrip("+").startswith(re.sub(r"\[\d+\]", "", key))
        cure = _cure(key) if whole else f"{key}: {reason}"
        return f"{match[1]} cannot be used; {cure}"
    return f"{key}: {reason}; see --help" if key else f"{reason}; see --help"


def stray_settings(node: Any, path: str = "") -> Iterator[str]:
    """Settings that +name=value has put where the schema has none."""
    known = {item.name for item in dataclasses.fields(node)}
    for name, value in vars(node).items():
        if name not in known:
            yield f"{path}{name}"
        elif dataclasses.is_dataclass(value):
            yield from stray_settings(value, f"{path}{name}.")


def _cure(key: str) -> str:
    """What a setting takes."""
    kind: Any = Config
    about: Any = {}
    for name in re.sub(r"\[\d+\]", "", key).split("."):
        if not dataclasses.is_dataclass(kind) or name not in typing.get_type_hints(kind):
            return "see --help"
        about = next(item.metadata for item in dataclasses.fields(kind) if item.name == name)
        kind = typing.get_type_hints(kind)[name]
    if typing.get_origin(kind) is list:
        kind = typing.get_args(kind)[0] if key.endswith("]") else list
    if dataclasses.is_dataclass(kind):
        return f"set its parts, such as {key}.{dataclasses.fields(kind)[0].name}=VALUE"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"give one of {', '.join(kind.__members__)}"
    words = {int: "a whole number", float: "a number", bool: "true or false", list: "a list [a,b]"}
    limits = f" from {about['low']:.10g} to {about['high']:.10g}" if "low" in about else ""
    return f"give {words.get(kind, 'a word')}{limits}"


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key, _setting_names(Config, ""), n=1, cutoff=0.5)
    guess = f", perhaps {close[0]} is meant" if close else ""
    return f"There is no setting {key}{guess}; see all settings with --help"


def _unknown_option(group: str, option: str) -> str:
    options = sorted(path.stem for path in (SETTINGS / group).glob("*.yaml"))
    choose = f"choose from {', '.join(options)}" if options else "see --help"
    return f"{group}={option} is not an option; {choose}"


def _setting_names(schema: Any, prefix: str) -> list[str]:
    names = []
    for item in dataclasses.fields(schema):
        name = f"{prefix}{item.name}"
        names.append(name)
        default = item.default_factory() if callable(item.default_factory) else item.default
        if dataclasses.is_dataclass(default):
            names += _setting_names(type(default), f"{name}.")
    return names


if __name__ == "__main__":
    raise SystemExit(main())
