"""What is thought of the settings of behaviour before history is looked at.

Every calibrated setting has a wide range in the table priors, flat in the value or in its log.
Search goes on in standard normal scores, where nothing has an edge: the score of a setting is the
normal quantile of its rank in the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from abm.config import ConfigError
from abm.posterior import about_setting

PRIORS = Path(__file__).parents[2] / "abm" / "data" / "priors.csv"
COLUMNS = ("setting", "low", "high", "scale", "source", "status")
SCALES = ("linear", "log")
DIGITS = 6  # of a drawn value, so that a table of draws holds exactly what was run


@dataclass(frozen=True)
class Priors:
    """Independent flat priors, one a setting.

    Attributes
    ----------
    settings
        Dotted names.
    low, high
        ``[setting]`` range, in the unit of the setting.
    log
        ``[setting]`` whether the prior is flat in the log.
    """

    settings: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    log: np.ndarray

    def values(self, scores: np.ndarray) -> np.ndarray:
        """``[..., setting]`` values of standard normal scores, of at most six digits."""
        low, high = self._level(self.low), self._level(self.high)
        level = low + ndtr(scores) * (high - low)
        inside = np.clip(np.where(self.log, np.exp(level), level), self.low, self.high)
        return np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])(inside)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """``[..., setting]`` standard normal scores of values inside the ranges."""
        low, high, level = map(self._level, (self.low, self.high, values))
        rank = np.clip((level - low) / (high - low), 1e-6, 1.0 - 1e-6)
        return ndtri(rank)

    def _level(self, values: np.ndarray) -> np.ndarray:
        """Logs where the prior is flat in the log."""
        return np.where(self.log, np.log(np.where(self.log, values, 1.0)), values)

    def draw(self, scores: np.ndarray) -> dict[str, float]:
        """The settings at one point."""
        return dict(zip(self.settings, self.values(scores).tolist(), strict=True))


def read_priors(path: Path = PRIORS, settings: Sequence[str] = ()) -> Priors:
    """Read and check the table of priors; only the settings named, where some are.

    Raises
    ------
    ConfigError
        One sentence: the file, the setting, the value, the cure.
    """
    table = pd.read_csv(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ConfigError(f"{path} has no column {missing[0]}; add it")
    for line in table.itertuples():
        _check_prior(path, line)
    for name in settings:
        if name not in set(table["setting"]):
            raise ConfigError(f"{path} has no prior of {name}; add a row")
    if settings:
        table = table.set_index("setting").loc[list(settings)].reset_index()
    return Priors(
        tuple(table["setting"]),
        table["low"].to_numpy(float),
        table["high"].to_numpy(float),
        (table["scale"] == "log").to_numpy(),
    )


def _check_prior(path: Path, line: object) -> None:
    name, low, high, scale = (getattr(line, key) for key in ("setting", "low", "high", "scale"))
    about = about_setting(name)
    where = f"{path}: {name}"
    if scale not in SCALES:
        raise ConfigError(f"{where} has the scale {scale!r}; choose from {', '.join(SCALES)}")
    if not about.low <= low < high <= about.high:
        raise ConfigError(
            f"{where} ranges from {low:g} to {high:g} ({about.unit}); give a range inside "
            f"{about.low:g} to {about.high:g}"
        )
    if scale == "log" and low <= 0.0:
        raise ConfigError(f"{where} starts at {low:g}, which has no log; use the scale linear")
