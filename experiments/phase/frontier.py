"""Where a gain changes its sign as a control grows more severe, and how sure that is.

Everything here is pure: arrays in, arrays and tables out. Gains are known on a grid of severities;
at severity zero there is no control and the gain is zero, so the origin is no crossing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

RESAMPLES = 2000
BAND = (0.1, 0.9)  # of resampled seeds: 80 %
PAYS, LOSES = "pays at every severity", "pays at none"
UP_TO, FROM, MIXED = "pays up to the frontier", "pays from there on", "pays in between"


def falls(severity: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """[...] severity at which the gain first falls through zero, by linear interpolation.

    Infinite where it never falls and is positive at the most severe control (the frontier lies
    beyond the grid), zero where it is nowhere positive (it lies before the grid).

    Parameters
    ----------
    severity
        [severity] rising, above zero.
    gain
        [..., severity] of the control over no control.
    """
    down = (gain[..., :-1] > 0.0) & (gain[..., 1:] <= 0.0)
    outside = np.where((gain > 0.0).any(axis=-1), np.inf, 0.0)
    return np.where(down.any(axis=-1), _first(severity, gain, down), outside)


def rises(severity: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """[...] severity from which the gain is positive, where milder controls do not pay.

    Zero where the mildest control of the grid pays, infinite where none does.
    """
    up = (gain[..., :-1] <= 0.0) & (gain[..., 1:] > 0.0)
    found = np.where(up.any(axis=-1), _first(severity, gain, up), np.inf)
    return np.where(gain[..., 0] > 0.0, 0.0, found)


def _first(severity: np.ndarray, gain: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Where the line between the first two neighbours that differ crosses zero."""
    if severity.size < 2:
        return np.full(gain.shape[:-1], np.nan)
    at = change.argmax(axis=-1)
    before = np.take_along_axis(gain, at[..., None], axis=-1)[..., 0]
    after = np.take_along_axis(gain, at[..., None] + 1, axis=-1)[..., 0]
    step = np.where(before != after, before - after, 1.0)
    return severity[at] + (severity[at + 1] - severity[at]) * before / step


def kind(gain: np.ndarray) -> str:
    """Whether a control pays by how severe it is, in words, from mean gains [severity]."""
    pays = gain > 0.0
    if pays.all() or not pays.any():
        return PAYS if pays.all() else LOSES
    changes = int((pays[1:] != pays[:-1]).sum())
    if changes == 1:
        return UP_TO if pays[0] else FROM
    return MIXED


def resampled(gain: np.ndarray, seed: int = 0) -> np.ndarray:
    """[resample, ...] means of gains over resampled seeds, [seed, ...]; whole seeds are drawn.

    All cells of a seed are drawn together, as they met the same luck.
    """
    count = len(gain)
    draws = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    weight = np.stack([np.bincount(row, minlength=count) for row in draws]) / count
    return np.tensordot(weight, gain, axes=1)


def frontier(severity: np.ndarray, gain: np.ndarray) -> pd.DataFrame:
    """The contour of zero gain, with its 80 % band over resampled seeds.

    Parameters
    ----------
    severity
        [severity] rising, above zero.
    gain
        [seed, coverage, severity] of the control over no control.

    Returns
    -------
    pd.DataFrame
        One row a coverage, in order: kind; for each of `up_to` (where the gain falls through zero)
        and `from` (where it rises through zero) the severity, NaN without a crossing on the grid,
        and the ends of its band, 0 and 1 where that leaves the grid; and crossing_share, the share
        of resamples with a crossing of either kind.
    """
    mean, drawn = gain.mean(axis=0), resampled(gain)
    table = pd.DataFrame({"kind": [kind(row) for row in mean]})
    crossed = np.zeros(drawn.shape[:-1], dtype=bool)
    for name, crossing in (("up_to", falls), ("from", rises)):
        at = crossing(severity, mean)
        ends = np.quantile(crossing(severity, drawn), BAND, axis=0, method="inverted_cdf")
        crossed |= on_grid(crossing(severity, drawn))
        table[name] = np.where(on_grid(at), at, np.nan)
        table[f"{name}_low"], table[f"{name}_high"] = np.minimum(ends, 1.0)
    table["crossing_share"] = crossed.mean(axis=0)
    return table


def on_grid(crossing: np.ndarray) -> np.ndarray:
    """Whether a crossing was found between two severities of the grid."""
    return np.isfinite(crossing) & (crossing > 0.0)
