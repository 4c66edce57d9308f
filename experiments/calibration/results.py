"""What a calibration is asked and what it finds, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.calibration.candidates import Episode, Simulate
from experiments.calibration.misfit import Figures
from experiments.calibration.priors import Priors

if TYPE_CHECKING:  # worker processes load this module, and need not load what draws and guesses
    from experiments.calibration.emulator import Emulator
    from experiments.calibration.inference import Sample

COMMAND = "python -m experiments.calibrate"
BAND = (0.1, 0.5, 0.9)  # quantiles of the 80 % band and the median


@dataclass(frozen=True)
class Problem:
    """What is calibrated on what.

    Attributes
    ----------
    simulate
        A function of a module: from an episode's settings, a draw and a seed to a table with one
        row a figure and its value in the column `simulated`.
    version
        Hash of the code and data that runs depend on.
    """

    simulate: Simulate
    episodes: Mapping[str, Episode]
    priors: Priors
    version: str


@dataclass(frozen=True)
class Plan:
    """How a budget of candidates is shared out."""

    chance: int  # seeds at the defaults: how much of a figure is chance
    waves: tuple[int, ...]  # of history matching
    search: int  # with all episodes
    fold: int  # with one episode left out
    held_out: int  # draws of it that are run on the episode left out

    def total(self, episodes: int) -> int:
        """Candidates of all that is planned for this many episodes."""
        folds = episodes * (self.fold + self.held_out)
        return self.chance + sum(self.waves) + self.search + folds


@dataclass(frozen=True)
class Wave:
    """Points of history matching, and their runs."""

    scores: np.ndarray  # [run, setting]
    simulated: np.ndarray  # [run, figure]


@dataclass(frozen=True)
class Region:
    """Where runs may still come close: below a cut of each emulator, one after the other."""

    emulators: tuple[Emulator, ...] = ()
    cuts: tuple[float, ...] = ()  # of `Emulator.at_best`
    shares: tuple[float, ...] = ()  # that each leaves of what those before left

    @property
    def left(self) -> float:
        """Share of the prior."""
        return float(np.prod(self.shares))

    def inside(self, scores: np.ndarray) -> np.ndarray:
        """``[point]`` bool of ``[point, setting]`` scores."""
        kept = np.ones(len(scores), bool)
        for emulator, cut in zip(self.emulators, self.cuts, strict=True):
            rows = np.flatnonzero(kept)
            if rows.size:
                kept[rows] = emulator.at_best(scores[rows]) <= cut
        return kept

    def below(self, emulator: Emulator, cut: float, share: float) -> Region:
        """What is left of it below one more cut."""
        return Region((*self.emulators, emulator), (*self.cuts, cut), (*self.shares, share))


@dataclass(frozen=True)
class Fit:
    """What was found on some episodes.

    Attributes
    ----------
    names
        The episodes it was fitted on.
    region
        What history matching left.
    figures
        Their figures.
    """

    names: tuple[str, ...]
    figures: Figures
    region: Region
    sample: Sample


@dataclass(frozen=True)
class HeldOut:
    """How the draws fitted without an episode do on it."""

    name: str
    fit: Fit
    simulated: np.ndarray  # [draw, figure] of the episode left out


@dataclass(frozen=True)
class Calibration:
    """All that was found.

    Attributes
    ----------
    central
        ``[seed, figure]`` runs at the defaults.
    waves
        The first fills the priors, the later ones what those before left.
    draws
        ``[draw, setting]`` equally likely values.
    """

    problem: Problem
    plan: Plan
    seed: int
    budget: int
    figures: Figures
    central: np.ndarray
    waves: Sequence[Wave]
    fit: Fit
    draws: np.ndarray
    held_out: tuple[HeldOut, ...]
    core_hours: float
    runs: int
    failed: int

    @property
    def prior(self) -> np.ndarray:
        """``[run, figure]`` of points spread over the priors."""
        return self.waves[0].simulated
