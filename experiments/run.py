"""Run an experiment from the command line: `python -m experiments.run`.

Everything that Hydra knows about this project stands here.
"""

from __future__ import annotations

import sys

from experiments.engine.workers import start_loading, start_workers

if __name__ == "__main__" and not {"workers=1", "-h", "--help"} & set(sys.argv):
    start_loading()  # while this process loads the same

import contextlib
import dataclasses
import difflib
import gc
import io
import logging
import os
import re
import textwrap
import typing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from abm.books import BooksDoNotBalance
from abm.config import Config, ConfigError, Question, check
from abm.market import MarketNotCleared
from abm.scenario import Scenario, scenarios
from abm.tables import TableError
from abm.world import build_world
from experiments.command import MISUSE
from experiments.engine.batch import ensemble_jobs, measure_jobs, take_in, take_in_measures
from experiments.engine.parts import (
    ANOTHER_FOLDER,
    PARTS,
    claimed,
    completed,
    disk_errors,
    finished,
    finished_report,
    forget_parts,
    note_failure,
    plan_of,
)
from experiments.engine.store import ResultTables
from experiments.ensemble import (
    config_opening,
    prepare,
    read_config_tables,
    ready,
    worker_count,
)
from experiments.settings_file import expanded

STORE = ConfigStore.instance()
STORE.store(name="schema", node=Config)
# Hydra copies the store, of which there is one, for each group it looks into: seconds for its help.
STORE.__deepcopy__ = lambda memo: STORE  # type: ignore[attr-defined]
SETTINGS = Path(__file__).resolve().parent.parent / "conf"
# Hydra would write its own files into a folder before we can refuse it; the manifest has them all.
QUIET = ["hydra.output_subdir=null", "hydra/job_logging=none"]
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")  # where an empty name is the folder one is in
PAGE_WIDTH = 110  # signs in a line of the help


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

    A refusal ends the command here, as Hydra would add lines of its own; in a sweep it ends its job
    alone, and is noted in the folder of that job.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    overrides = list(HydraConfig.get().overrides.task)
    try:
        config = OmegaConf.to_object(settings)
        assert isinstance(config, Config)
        for name in stray_settings(config):
            raise ConfigError(_unknown(name))
        print(f"Report: {run_experiment(config, folder, overrides)}")
    except REFUSED as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra made it; only an empty one goes
        # Where another folder is needed, what this one holds is of no use to the command.
        taken = ANOTHER_FOLDER in str(error)
        more = "" if taken else kept(folder)
        alone = HydraConfig.get().mode is RunMode.RUN
        if alone or taken or isinstance(error, KeyboardInterrupt):
            raise SystemExit(refuse(error, more)) from None
        refuse(error, f"{more}; job {HydraConfig.get().job.num} of the sweep ends, others go on")
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
        note_failure(folder, sentence(error), overrides)


def kept(folder: Path) -> str:
    """What to do with what a run has finished before it failed."""
    if not any((folder / PARTS).glob("[!.]*")):
        return ""
    sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    cure = f"hydra.sweep.dir={folder.parent}" if sweep else f"hydra.run.dir={folder}"
    return f"; what was finished is kept, and the same command with {cure} completes it"


def run_experiment(config: Config, folder: Path, overrides: Sequence[str] = ()) -> Path:
    """Run, write the tables, draw the figures and state the finding.

    In a folder that holds a part of the same run only what is missing is computed, and nothing
    where all of it is there. `overrides` are kept to tell runs of a sweep apart.

    Returns
    -------
    Path
        The HTML report.

    Raises
    ------
    ConfigError, TableError, ResultsFolderError
        Before anything is computed.
    """
    if config.question is not Question.membership:
        # Loaded when asked for: what draws takes long to load.
        from experiments.studies.registry import STUDIES
        from experiments.study import run_study

        return run_study(config, folder, STUDIES[config.question], overrides)
    check(config)
    tables = read_config_tables(config)
    world = build_world(tables, config.world, opening=config_opening(config))
    cases = scenarios(config, world)
    refuse_same_names(cases)
    count = worker_count(config, config.seeds * len(cases))
    with claimed(folder, plan_of(config, tables, overrides)), start_workers(count) as workers:
        if finished(folder):
            return finished_report(folder)
        prepared = prepare(config, workers)
        jobs = ensemble_jobs(config, cases)
        coming = completed(workers, jobs, folder, lambda: ready(prepared))
        with disk_errors(folder), ResultTables(folder) as results:
            begun = chain([next(coming)], coming)
            # Loaded while the workers work; above, every worker would load what draws for nothing.
            from experiments.outcome import asked_of, describe, outline_of, scene_of

            parts, common = take_in(begun, results)
            outline = outline_of(config, world, cases, common)
            scene = scene_of(config, world, cases)
            asked = asked_of(config, tables, scene, outline)
            runs = [job.runs for job in jobs]
            todo = measure_jobs(parts, runs, len(cases), common, asked)
            measures = completed(workers, todo, folder, lambda: None, "measured_", "Measuring")
            take_in_measures(measures, results)
        report = describe(config, folder, world, tables, outline, scene, asked, workers)
        forget_parts(folder)
        return report


def refuse_same_names(cases: list[Scenario]) -> None:
    """Refuse two scenarios that the tables could not tell apart."""
    labels = [(case.membership, case.shock) for case in cases]
    if len(set(labels)) < len(labels):
        raise ConfigError(
            f"shock.name is {cases[0].shock!r}, which is kept for the world without a shock; "
            "give another name, or shock=none"
        )


# ------------------------------------------------------------------- what a wrong input is told


def main(run: Callable[[], None] = command) -> int:
    """Run the command; a wrong input is answered with one sentence and exit code 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed with a trace
    for name in ("MESA", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        sys.argv[1:] = quietly(arranged(sys.argv[1:]))
        if {"-h", "--help"} & set(sys.argv):
            print_wrapped(run)
        else:
            run()
    except REFUSED as error:
        return refuse(error)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def print_wrapped(run: Callable[[], None]) -> None:
    """Print what a command prints; a long line, as of a group with many options, goes on below."""
    said = io.StringIO()
    fold = textwrap.TextWrapper(
        PAGE_WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )
    try:
        with contextlib.redirect_stdout(said):
            run()
    finally:  # Hydra ends the process after its page
        page = [
            line if len(line) <= PAGE_WIDTH else fold.fill(line)
            for line in said.getvalue().splitlines()
        ]
        sys.stdout.write("".join(f"{line}\n" for line in page))


def arranged(words: list[str]) -> list[str]:
    """The words of the command line, -m first: Hydra takes it in no other place.

    Raises
    ------
    ConfigError
        For an option that Hydra does not know, as it would print a page about all others; for a
        word without a name or without effect; and for a file of settings that cannot be read.
    """
    for word in words:
        _refuse_idle(word)
    words = sorted(expanded(words), key=lambda word: word not in ("-m", "--multirun"))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            get_args_parser().parse_args(words)
    except SystemExit as stop:
        if stop.code:
            reason = said.getvalue().rpartition("error: ")[2].strip()
            raise ConfigError(f"{reason}; write settings as name=value, see --help") from None
    return words


def _refuse_idle(word: str) -> None:
    """Refuse a word that Hydra fails on, or takes and then does nothing with."""
    name, _, value = word.partition("=")
    if not name.strip("+~- "):
        raise ConfigError(f"{word!r} names no setting; write name=value, see --help")
    if name in FOLDERS and not value.strip("'\""):
        raise ConfigError(f"{word} names no folder; give one, or leave it out for one of its own")
    if "".join(value.split()) == "{}" and not name.startswith(("+", "~")):
        raise ConfigError(
            f"{word} would change nothing, as entries are added to those that are there; take one "
            f"out with ~{name}.NAME"
        )


def quietly(words: list[str]) -> list[str]:
    """The words with Hydra's own files switched off; all settings must stand together."""
    settings = (i for i, word in enumerate(words) if word[0] == "~" or "=" in word.lstrip("-"))
    first = next((i for i in settings if not words[i].startswith("-")), len(words))
    return [*words[:first], *QUIET, *words[first:]]


def composed(words: Sequence[str]) -> Config:
    """The settings that words of the command line give.

    Raises
    ------
    ConfigError, HydraException, OmegaConfBaseException
        For a word that cannot be used.
    """
    with initialize_config_dir(str(SETTINGS), version_base="1.3"):
        config = OmegaConf.to_object(compose("config", expanded(words)))
    assert isinstance(config, Config)
    for name in stray_settings(config):
        raise ConfigError(_unknown(name))
    return config


def refuse(error: BaseException, more: str = "") -> int:
    """Print one plain sentence to the error stream."""
    said = " ".join(sentence(error).split()).rstrip(".") + more
    print(f"{said}.", file=sys.stderr)
    return MISUSE


def sentence(error: BaseException) -> str:
    """What went wrong and what to do about it."""
    if isinstance(error, KeyboardInterrupt):
        return "Stopped by the user"
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
    if match := re.search(r"Could not (?:find|load) '(experiment|[^']+)/([^']+)'", text):
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
        if typing.get_origin(kind) is dict:  # its entries have names of their own
            kind = typing.get_args(kind)[1]
            continue
        if not dataclasses.is_dataclass(kind) or name not in typing.get_type_hints(kind):
            return "see --help"
        about = next(item.metadata for item in dataclasses.fields(kind) if item.name == name)
        kind = typing.get_type_hints(kind)[name]
    if typing.get_origin(kind) is list:
        kind = typing.get_args(kind)[0] if key.endswith("]") else list
    if typing.get_origin(kind) is dict:
        return f"set its entries, as {key}.NAME=VALUE"
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
    folder, pattern = SETTINGS / group, "**/*.yaml" if group == "experiment" else "*.yaml"
    # Launchers come with Hydra and its plugins: those of a folder of ours are not all there are.
    found = [] if group.startswith("hydra/") else folder.glob(pattern)
    options = sorted(str(path.relative_to(folder).with_suffix("")) for path in found)
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
    answer = main()
    gc.freeze()  # Python looks through all that is loaded before it ends
    raise SystemExit(answer)
