"""A quick guess of how far off a run would be, so that hopeless settings are not run at all.

A Gaussian process (Rasmussen and Williams 2006) on the log of the distance of runs that are done,
over the ranks of the settings in their priors, with a length for every setting: one that does
nothing gets a long one. Noise stands for chance. Fitted with scikit-learn.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from threadpoolctl import ThreadpoolController

from abm.streams import stream

LENGTHS = (0.1, 30.0)  # in ranks, which go from 0 to 1: nothing is left of a setting's effect at 30
FIT = 500  # runs on which the lengths are found, which takes time with the cube of their number
LEAST = 1e-3  # distance that counts as none
BLOCK = 2048  # points guessed at once


@functools.cache
def threads() -> ThreadpoolController:
    """The threads of linear algebra; found once, as that takes longer than a guess."""
    return ThreadpoolController()


@dataclass(frozen=True)
class Emulator:
    """Guesses of the log of the distance."""

    process: GaussianProcessRegressor

    def guess(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``[point]`` mean and standard deviation, chance left out, at ``[point, setting]``."""
        chance = self.process.kernel_.k2.noise_level * self.process._y_train_std**2
        with threads().limit(limits=1):
            blocks = [
                self.process.predict(ndtr(block), return_std=True)
                for block in np.array_split(scores, -(-len(scores) // BLOCK))
            ]
        mean, deviation = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return mean, np.sqrt(np.maximum(deviation**2 - chance, 0.0))

    def at_best(self, scores: np.ndarray) -> np.ndarray:
        """``[point]`` log of a distance that the run may well fall below: the mean less one
        standard deviation, so that what is not known yet is not ruled out."""
        mean, deviation = self.guess(scores)
        return mean - deviation


def fit_emulator(scores: np.ndarray, distances: np.ndarray, seed: int) -> Emulator:
    """Fit ``[run]`` distances at ``[run, setting]`` scores.

    Lengths are found on a part of the runs, and kept for all of them.
    """
    ranks, levels = ndtr(scores), np.log(np.maximum(distances, LEAST))
    part = stream(seed, "emulator").permutation(len(ranks))[:FIT]
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * RBF(np.full(ranks.shape[1], 2.0), LENGTHS)
    start = kernel + WhiteKernel(0.3, (1e-4, 10.0))
    with threads().limit(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound does nothing
        found = GaussianProcessRegressor(start, normalize_y=True).fit(ranks[part], levels[part])
        process = GaussianProcessRegressor(found.kernel_, optimizer=None, normalize_y=True)
        return Emulator(process.fit(ranks, levels))
