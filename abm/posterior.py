"""The posterior of behaviour: values of settings that history has left standing.

Each row of the table is one draw, all of them equally likely: a value for every calibrated setting,
named as on the command line. A setting of controls, such as `controls.enforcement`, holds for the
shock and for every extra control. `experiments.calibrate` writes the table and its provenance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from abm.config import Config, ConfigError, Control, named_controls
from abm.streams import stream
from abm.world import UNCERTAIN

POSTERIOR = Path(__file__).parent / "data" / "posterior.csv"
CONTROLS = "controls"  # settings of every dated control
POSITIONS = "world.positions"  # quantiles of the stated ranges of parameters by mineral


@dataclass(frozen=True)
class Posterior:
    """Equally likely draws of settings.

    Attributes
    ----------
    settings
        Their dotted names.
    draws
        ``[draw, setting]`` values, in the units of the settings.
    """

    settings: tuple[str, ...]
    draws: np.ndarray

    def draw(self, seed: int) -> dict[str, float]:
        """The draw of a replication, from the named stream "posterior"."""
        row = stream(seed, "posterior").integers(len(self.draws))
        return dict(zip(self.settings, self.draws[row].tolist(), strict=True))


@dataclass(frozen=True)
class About:
    """What the schema says of a setting: its default, unit and valid range."""

    default: Any
    unit: str
    low: float
    high: float


@cache
def about_setting(name: str) -> About:
    """What the schema says of a setting with a unit, named as on the command line.

    Raises
    ------
    ConfigError
        If there is no such setting, or it is no number with a range.
    """
    *path, last = name.split(".")
    if ".".join(path) == POSITIONS and last in UNCERTAIN:
        return About(0.5, "quantile of its stated range", 0.0, 1.0)
    node: Any = Config()
    for part in path:
        node = Control() if node and part == CONTROLS else getattr(node, part, None)
    known = dataclasses.fields(node) if dataclasses.is_dataclass(node) else ()
    for item in known:
        if item.name == last and "unit" in item.metadata:
            limits = item.metadata
            return About(getattr(node, last), limits["unit"], limits["low"], limits["high"])
    raise ConfigError(f"{name} is no setting with a range; see all settings with --help")


def drawn_config(config: Config, seed: int) -> Config:
    """The settings of a replication: behaviour drawn where that is switched on, else as they are.

    Paired worlds of a seed get the same draw.

    Raises
    ------
    ConfigError
        For a table that cannot be used.
    """
    uncertainty = config.uncertainty
    if not uncertainty.active:
        return config
    posterior = read_posterior(Path(uncertainty.table or POSTERIOR))
    for name in uncertainty.keep:
        if name not in posterior.settings:
            raise ConfigError(
                f"uncertainty.keep contains {name}, which is not drawn; "
                f"choose from {', '.join(posterior.settings)}"
            )
    draw = posterior.draw(seed)
    return with_draw(config, {k: v for k, v in draw.items() if k not in uncertainty.keep})


def with_draw(config: Config, draw: Mapping[str, float]) -> Config:
    """A copy of the settings with the drawn values in place of defaults.

    A setting that was given another value than its default is a choice, and stays.
    """
    changed = deepcopy(config)
    for name, value in draw.items():
        about = about_setting(name)
        if name.startswith(POSITIONS):
            changed.world.positions.setdefault(name.rpartition(".")[2], float(value))
            continue
        fitting = round(value) if isinstance(about.default, int) else float(value)
        *path, last = name.split(".")
        for node in _nodes(changed, path):
            if getattr(node, last) == about.default:
                setattr(node, last, fitting)
    return changed


def _nodes(config: Config, path: Sequence[str]) -> list[Any]:
    if list(path) == [CONTROLS]:
        return [control for _, control in named_controls(config)]
    node: Any = config
    for part in path:
        node = getattr(node, part)
    return [node]


@lru_cache(maxsize=4)
def read_posterior(path: Path) -> Posterior:
    """Read and check a table of draws.

    Raises
    ------
    ConfigError
        One sentence: the file, the column, the value, the cure.
    """
    cure = "make one with python -m experiments.calibrate"
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such table of draws; {cure}")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read as a table of draws; {cure}") from None
    if table.empty:
        raise ConfigError(f"{path} holds no draw; {cure}")
    for name in table.columns:
        _check_draws(path, name, table[name])
    return Posterior(tuple(table.columns), table.to_numpy(float))


def _check_draws(path: Path, name: str, values: pd.Series) -> None:
    try:
        about = about_setting(name)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = ~numbers.between(about.low, about.high)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ConfigError(
            f"{path}, row {row + 2}: {name} is {values.iloc[row]} ({about.unit}); "
            f"give a value from {about.low:.10g} to {about.high:.10g}"
        )
