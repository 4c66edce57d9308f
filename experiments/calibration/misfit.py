"""How far simulated figures lie from observed ones.

A figure's error is measured in standard deviations of everything that may part model and world:
the observation, the simplifications of the model, and chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from experiments.calibration.candidates import Episode
from experiments.scores import TOLERANCE, USUAL_ERROR, Scale

RANGE = 3.29  # an observed range is read as the 90 % interval of a normal: this many deviations
CAP = 10.0  # greatest error of a figure that counts: seven times the accuracy that is asked, or so
RIGHT = np.sqrt(2.0 / np.pi)  # mean absolute error that a right model has, of a standard normal
SHARE_OF_TOLERANCE = 0.5  # of the model's own error: two deviations are the accuracy we ask for
SMALLEST = 1e-3  # multiples below it count as this, so that a closed arc has a log


@dataclass(frozen=True)
class Figures:
    """The observed figures of some episodes, as they are compared; one entry a figure.

    Attributes
    ----------
    episode, name, scale
        Where it belongs; the name of its scale: ratios are compared in logs.
    observed, spread
        On that scale: the figure, and the standard deviation of its observation.
    chance
        Standard deviation over seeds, on that scale.
    fitted
        Whether it is for calibration; the others are only shown.
    """

    episode: np.ndarray
    name: np.ndarray
    scale: np.ndarray
    observed: np.ndarray
    spread: np.ndarray
    chance: np.ndarray
    fitted: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """[figure] standard deviation of observation, model and chance together."""
        model = SHARE_OF_TOLERANCE * np.array([TOLERANCE[Scale[name]] for name in self.scale])
        return np.sqrt(self.spread**2 + model**2 + self.chance**2)

    def of(self, names: Sequence[str]) -> Figures:
        """The figures of some episodes, in the order of the names."""
        rows = np.concatenate([np.flatnonzero(self.episode == name) for name in names])
        return Figures(**{key: getattr(self, key)[rows] for key in self.__dataclass_fields__})

    def with_chance(self, runs: np.ndarray) -> Figures:
        """The same with chance measured on ``[seed, figure]`` runs at one point."""
        levels = self.compared(runs)
        count = np.isfinite(levels).sum(axis=0)
        mean = np.nansum(levels, axis=0) / np.maximum(count, 1)
        square = np.nansum((levels - mean) ** 2, axis=0) / np.maximum(count - 1, 1)
        return replace(self, chance=np.sqrt(np.where(count > 1, square, 0.0)))

    def compared(self, simulated: np.ndarray) -> np.ndarray:
        """``[..., figure]`` simulated values on the scale of the comparison."""
        with np.errstate(invalid="ignore"):
            logs = np.log(np.maximum(simulated, SMALLEST))
        return np.where(self.scale == Scale.ratio.name, logs, simulated)

    def shown(self, levels: np.ndarray) -> np.ndarray:
        """``[..., figure]`` back from the scale of the comparison."""
        is_log = self.scale == Scale.ratio.name
        return np.where(is_log, np.exp(np.where(is_log, levels, 0.0)), levels)

    def errors(self, simulated: np.ndarray) -> np.ndarray:
        """``[..., figure]`` errors in standard deviations; NaN where a run has no such figure."""
        return (self.compared(simulated) - self.observed) / self.deviation

    def distance(self, simulated: np.ndarray) -> np.ndarray:
        """``[...]`` mean over episodes of the mean absolute error of their figures, capped.

        In standard deviations of all that is uncertain. Absolute, so that a figure that is far
        off still tells which way is better and does not outweigh all others. A figure that a run
        does not have counts as far off. Only figures for calibration count.
        """
        sizes = np.minimum(np.nan_to_num(np.abs(self.errors(simulated)), nan=CAP), CAP)
        counted = [
            sizes[..., (self.episode == name) & self.fitted].mean(axis=-1)
            for name in dict.fromkeys(self.episode[self.fitted])
        ]
        return np.mean(counted, axis=0)


def observed_figures(episodes: Mapping[str, Episode]) -> Figures:
    """The observed figures of all episodes, before chance has been measured."""
    rows = pd.concat(
        [episode.observed.assign(episode=name) for name, episode in episodes.items()],
        ignore_index=True,
    )
    scale = rows["scale"].to_numpy(str)
    is_log = scale == Scale.ratio.name
    value, low, high = (rows[key].to_numpy(float) for key in ("value", "low", "high"))
    value, low, high = (
        np.where(is_log, np.log(np.where(is_log, number, 1.0)), number)
        for number in (value, low, high)
    )
    least = np.array([USUAL_ERROR[Scale[name]] for name in scale])
    width = np.maximum(np.nan_to_num(high - low), least)
    return Figures(
        episode=rows["episode"].to_numpy(str),
        name=rows["name"].to_numpy(str),
        scale=scale,
        observed=value,
        spread=width / RANGE,
        chance=np.zeros(len(rows)),
        fitted=(rows["used_for"] == "calibration").to_numpy(),
    )
