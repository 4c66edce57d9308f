"""What a calibration found, as tidy tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from abm.posterior import about_setting
from experiments.calibrate import BAND, Calibration, Fit
from experiments.calibration.inference import equal_draws
from experiments.calibration.misfit import Figures
from experiments.scores import TOLERANCE, Scale

OVERSHOOT = 1000  # equally weighted rows that stand in for a weighted sample


def setting_table(found: Calibration) -> pd.DataFrame:
    """Settings before and after.

    Table: setting, unit, low, high (of the prior), default, p10, median, p90 (of the posterior),
    narrowed: share of the prior's standard deviation, in scores, that is gone.
    """
    priors = found.problem.priors
    quantiles = np.quantile(found.draws, BAND, axis=0)
    spread = _weighted(found.fit, found.seed).std(axis=0)
    rows = [
        {
            "setting": name,
            "unit": about_setting(name).unit,
            "low": priors.low[place],
            "high": priors.high[place],
            "default": float(about_setting(name).default),
            "p10": quantiles[0, place],
            "median": quantiles[1, place],
            "p90": quantiles[2, place],
            "narrowed": 1.0 - spread[place],
        }
        for place, name in enumerate(priors.settings)
    ]
    return pd.DataFrame(rows)


def _weighted(fit: Fit, seed: int) -> np.ndarray:
    """[row, setting] scores, each as often as its weight asks."""
    return fit.sample.scores[equal_draws(fit.sample, OVERSHOOT, seed)]


def correlation_table(found: Calibration) -> pd.DataFrame:
    """Correlation of settings in the posterior, in scores. Table: setting, other, correlation."""
    names = found.problem.priors.settings
    scores = _weighted(found.fit, found.seed)
    moving = scores.std(axis=0) > 0.0
    matrix = np.eye(len(names))
    matrix[np.ix_(moving, moving)] = np.corrcoef(scores[:, moving], rowvar=False)
    rows = [
        {"setting": one, "other": other, "correlation": matrix[i, j]}
        for i, one in enumerate(names)
        for j, other in enumerate(names)
    ]
    return pd.DataFrame(rows)


def predictive_table(found: Calibration) -> pd.DataFrame:
    """Every figure as the prior, the defaults and the posterior have it.

    Table: episode, figure, used_for, scale, observed, low, high; p10, median, p90 under each of
    prior, default, posterior; error: of the posterior median, in standard deviations of all that
    is uncertain; inside: whether the posterior's 80 % band meets the observed range.
    """
    whole = found.figures
    rows = equal_draws(found.fit.sample, OVERSHOOT, found.seed)
    runs = {
        "prior": found.wave.simulated,
        "default": found.central,
        "posterior": found.fit.sample.simulated[rows],
    }
    bands = {name: _band(simulated) for name, simulated in runs.items()}
    error = whole.errors(bands["posterior"][1])
    ends = {"low": -1.0, "high": 1.0}
    shown = {name: whole.shown(whole.observed + side * _half(whole)) for name, side in ends.items()}
    table = pd.DataFrame(
        {
            "episode": whole.episode,
            "figure": whole.name,
            "used_for": np.where(whole.fitted, "calibration", "check"),
            "scale": whole.scale,
            "observed": whole.shown(whole.observed),
            **shown,
        }
    )
    for name, band in bands.items():
        for quantile, values in zip(("p10", "median", "p90"), band, strict=True):
            table[f"{name}_{quantile}"] = values
    table["error"] = error
    low, high = bands["posterior"][0], bands["posterior"][2]
    table["inside"] = (low <= table["high"]) & (high >= table["low"])
    return table


def _half(figures: Figures) -> np.ndarray:
    """[figure] half of the observed range, on the scale of the comparison."""
    return 1.645 * figures.spread


def _band(simulated: np.ndarray) -> np.ndarray:
    """[quantile, figure] of the runs that have the figure."""
    known = np.isfinite(simulated).any(axis=0)
    band = np.full((len(BAND), simulated.shape[1]), np.nan)
    band[:, known] = np.nanquantile(simulated[:, known], BAND, axis=0)
    return band


def left_out_table(found: Calibration) -> pd.DataFrame:
    """How well an episode is forecast that was not fitted on.

    Table: episode; misfit (median distance of its figures for calibration, mean capped square of
    the error in standard deviations) under prior, default, without (fitted on the others) and all;
    close_...: share of its figures whose median is within the tolerance.
    """
    rows = []
    for held in found.held_out:
        own = found.figures.of([held.name])
        columns = found.figures.episode == held.name
        runs = {
            "prior": found.wave.simulated[:, columns],
            "default": found.central[:, columns],
            "without": held.simulated,
            "all": _weighted_runs(found)[:, columns],
        }
        row: dict[str, object] = {"episode": held.name}
        for name, simulated in runs.items():
            row[name] = float(np.median(own.distance(simulated)))
            row[f"close_{name}"] = _close(own, simulated)
        rows.append(row)
    return pd.DataFrame(rows)


def _weighted_runs(found: Calibration) -> np.ndarray:
    return found.fit.sample.simulated[equal_draws(found.fit.sample, OVERSHOOT, found.seed)]


def _close(figures: Figures, simulated: np.ndarray) -> float:
    """Share of figures for calibration whose median is within the tolerance."""
    middle = _band(simulated)[1]
    off = np.abs(figures.compared(middle) - figures.observed)
    tolerance = np.array([TOLERANCE[Scale[name]] for name in figures.scale])
    return float(np.mean((off <= tolerance)[figures.fitted]))


def shift_table(found: Calibration) -> pd.DataFrame:
    """What each episode teaches: where settings go when it is left out.

    Table: setting, left_out (an episode, or nothing), median and spread in scores of the prior.
    """
    names = found.problem.priors.settings
    fits = {"": found.fit} | {held.name: held.fit for held in found.held_out}
    rows = []
    for name, fit in fits.items():
        scores = _weighted(fit, found.seed)
        for place, setting in enumerate(names):
            rows.append(
                {
                    "setting": setting,
                    "left_out": name,
                    "median": float(np.median(scores[:, place])),
                    "spread": float(scores[:, place].std()),
                }
            )
    return pd.DataFrame(rows)


def generation_table(found: Calibration) -> pd.DataFrame:
    """How the search went. Table: fitted_on, generation, threshold, tried, accepted."""
    fits = {"all episodes": found.fit}
    fits |= {f"without {held.name}": held.fit for held in found.held_out}
    rows = [
        {
            "fitted_on": name,
            "generation": generation,
            "threshold": threshold,
            "tried": fit.sample.tried[generation],
            "accepted": fit.sample.accepted[generation],
        }
        for name, fit in fits.items()
        for generation, threshold in enumerate(fit.sample.thresholds)
    ]
    return pd.DataFrame(rows)
