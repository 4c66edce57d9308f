"""A quick guess of what a run would give, so that hopeless settings are not run at all.

For every figure a ridge regression on squares and, where there are runs enough, products of the
scores. What a run left out misses by is known without fitting again (the PRESS residuals of a
linear smoother; Allen 1974), and stands in for the emulator's own uncertainty and for chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGES = 10.0 ** np.arange(-2.0, 4.0)
RUNS_A_TERM = 2.0  # runs that a term of the regression should rest on
BOUND = 6.0  # errors of figures are cut here: beyond, no more is learnt


@dataclass(frozen=True)
class Emulator:
    """Guesses of the errors of figures, in standard deviations.

    Attributes
    ----------
    coefficients
        ``[term, figure]``.
    deviation
        ``[figure]`` root mean square of what it misses by, left-out runs.
    products
        Whether products of different scores are terms.
    """

    coefficients: np.ndarray
    deviation: np.ndarray
    products: bool

    def errors(self, scores: np.ndarray) -> np.ndarray:
        """``[point, figure]`` guesses at ``[point, setting]`` scores."""
        return terms(scores, self.products) @ self.coefficients

    def implausibility(self, scores: np.ndarray) -> np.ndarray:
        """``[point]`` second largest guess in size, in deviations of all that is uncertain."""
        sizes = np.abs(self.errors(scores)) / np.sqrt(1.0 + self.deviation**2)
        return np.sort(sizes, axis=-1)[:, -min(2, sizes.shape[-1])]


def terms(scores: np.ndarray, products: bool) -> np.ndarray:
    """``[point, term]`` constant, scores, squares and products of the scores."""
    points, settings = scores.shape
    one, other = np.triu_indices(settings, 1)
    parts = [np.ones((points, 1)), scores, scores**2 - 1.0]
    if products:
        parts.append(scores[:, one] * scores[:, other])
    return np.concatenate(parts, axis=1)


def fit_emulator(scores: np.ndarray, errors: np.ndarray) -> Emulator:
    """Fit ``[run, figure]`` errors on ``[run, setting]`` scores.

    A figure that a run does not have is taken as far off.
    """
    runs, settings = scores.shape
    products = runs >= RUNS_A_TERM * (1 + 2 * settings + settings * (settings - 1) / 2)
    design = terms(scores, products)
    targets = np.clip(np.nan_to_num(errors, nan=BOUND), -BOUND, BOUND)
    fits = [_ridge(design, targets, ridge) for ridge in RIDGES]
    missed = np.array([missing for _, missing in fits])  # [ridge, figure]
    best = missed.argmin(axis=0)
    figures = np.arange(targets.shape[1])
    coefficients = np.stack([found for found, _ in fits])[best, :, figures].T
    return Emulator(coefficients, missed[best, figures], products)


def _ridge(design: np.ndarray, targets: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients, and what left-out runs are missed by; the constant is not shrunk."""
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-9
    solved = np.linalg.solve(design.T @ design + np.diag(penalty), design.T)
    found = solved @ targets
    own = np.einsum("rt,tr->r", design, solved)
    missing = (targets - design @ found) / np.maximum(1.0 - own, 1e-3)[:, None]
    return found, np.sqrt((missing**2).mean(axis=0))
