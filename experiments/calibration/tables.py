"""What a calibration found, as tidy tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from abm.posterior import about_setting
from experiments.calibration.misfit import Figures
from experiments.calibration.results import BAND, Calibration
from experiments.scores import TOLERANCE, Scale


def setting_table(found: Calibration) -> pd.DataFrame:
    """Settings before and after.

    Table: setting, unit, low, high (of the prior), default, p10, median, p90 (of the posterior),
    narrowed: share of the prior's standard deviation, in scores, that is gone.
    """
    priors = found.problem.priors
    quantiles = np.quantile(found.draws, BAND, axis=0)
    spread = found.fit.sample.scores.std(axis=0)
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


def correlation_table(found: Calibration) -> pd.DataFrame:
    """Correlation of settings in the posterior, in scores. Table: setting, other, correlation."""
    names = found.problem.priors.settings
    scores = found.fit.sample.scores
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
    runs = {
        "prior": found.prior,
        "default": found.central,
        "posterior": found.fit.sample.simulated,
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

    Table: episode; misfit (median distance of its figures for calibration, mean capped error in
    standard deviations) under prior, default, without (fitted on the others) and all;
    close_...: share of its figures whose median is within the tolerance.
    """
    rows = []
    for held in found.held_out:
        own = found.figures.of([held.name])
        columns = found.figures.episode == held.name
        runs = {
            "prior": found.prior[:, columns],
            "default": found.central[:, columns],
            "without": held.simulated,
            "all": found.fit.sample.simulated[:, columns],
        }
        row: dict[str, object] = {"episode": held.name}
        for name, simulated in runs.items():
            row[name] = float(np.median(own.distance(simulated)))
            row[f"close_{name}"] = _close(own, simulated)
        rows.append(row)
    return pd.DataFrame(rows)


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
        scores = fit.sample.scores
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


def search_table(found: Calibration) -> pd.DataFrame:
    """How the search went.

    Table: step, runs; median and best distance of them; left: share of the prior that history
    matching had left for them.
    """
    region = found.fit.region
    before = [1.0, *np.cumprod(region.shares)]
    rows = [
        _step(f"wave {number + 1}", found.figures, wave.simulated, before[number])
        for number, wave in enumerate(found.waves)
    ]
    fits = {"kept of the search": found.fit}
    fits |= {f"kept of the search without {held.name}": held.fit for held in found.held_out}
    rows += [
        _step(name, fit.figures, fit.sample.simulated, fit.region.left)
        for name, fit in fits.items()
    ]
    return pd.DataFrame(rows)


def _step(name: str, figures: Figures, simulated: np.ndarray, left: float) -> dict[str, object]:
    distance = figures.distance(simulated)
    return {
        "step": name,
        "runs": len(simulated),
        "median": float(np.median(distance)),
        "best": float(distance.min()),
        "left": left,
    }
