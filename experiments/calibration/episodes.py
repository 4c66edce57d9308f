"""The hindcasts that behaviour is calibrated on, as the command line would set them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from abm.config import Config, ConfigError, check
from abm.world import build_world
from experiments.calibration.candidates import Episode
from experiments.calibration.priors import PRIORS, read_priors
from experiments.calibration.results import Problem
from experiments.ensemble import PROJECT, config_opening, read_config_tables
from experiments.hindcast import HINDCASTS, observed_figures, observed_path, simulate
from experiments.run import SETTINGS

FITTED = ("rare_earths_2010", "gallium_germanium_2023", "lithium_2021", "quiet_2016")
# What runs depend on: the model, its tables, and how figures are read off. The posterior is not
# part of it, nor are the priors, which decide where runs are made and not what they give.
CODE = ("abm/**/*.py", "abm/data/**/*.csv", "conf/**/*.yaml")
READERS = ("hindcast", "scores", "ensemble", "study")
APART = ("posterior.csv", PRIORS.name)


def hindcast_config(name: str) -> Config:
    """The settings of a hindcast of conf/experiment/hindcast.

    Raises
    ------
    ConfigError
        If there is no such hindcast, or its settings contradict each other.
    """
    if not (HINDCASTS / f"{name}.yaml").is_file():
        known = sorted(path.stem for path in HINDCASTS.glob("*.yaml"))
        raise ConfigError(f"There is no hindcast {name}; choose from {', '.join(known)}")
    with initialize_config_dir(version_base="1.3", config_dir=str(SETTINGS)):
        settings = compose("config", overrides=[f"experiment=hindcast/{name}"])
    config = OmegaConf.to_object(settings)
    assert isinstance(config, Config)
    check(config)
    return config


def hindcast_episode(name: str) -> Episode:
    """A hindcast with its observed figures: name, scale, value, low, high, used_for, source."""
    config = hindcast_config(name)
    world = build_world(read_config_tables(config), config.world, opening=config_opening(config))
    figures = observed_figures(config, world)
    rows = [vars(figure) | {"scale": figure.scale.name} for figure in figures]
    return Episode(name, config, pd.DataFrame(rows))


def hindcast_problem(names: Sequence[str] | None = None) -> Problem:
    """Common behaviour, to be estimated on hindcasts.

    Raises
    ------
    ConfigError
        If a hindcast cannot be used, or has no figure for calibration.
    """
    episodes = {name: hindcast_episode(name) for name in names or FITTED}
    for name, episode in episodes.items():
        if not (episode.observed["used_for"] == "calibration").any():
            raise ConfigError(
                f"The hindcast {name} has no figure with used_for=calibration; name another one"
            )
    tables = [observed_path(episode.config) for episode in episodes.values()]
    return Problem(simulate, episodes, read_priors(), runs_hash(tables))


def runs_hash(tables: Sequence[Path]) -> str:
    """SHA-256 over names and bytes of the code and data that runs depend on."""
    files = {path for pattern in CODE for path in PROJECT.glob(pattern)} | set(tables)
    files |= {PROJECT / "experiments" / f"{name}.py" for name in READERS}
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.name not in APART:
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
