"""Sensitivity indices: elementary effects of Morris, variance shares of Sobol, by SALib.

Designs are positions of the factors in their ranges, 0 to 1. Both samplers go in blocks (a
trajectory; a base point with all its exchanges), and a block in which a value is missing is left
out whole. Sources: Morris (1991, Technometrics 33) and Campolongo, Cariboni and Saltelli (2007) for
the screening; Saltelli et al. (2010, Computer Physics Communications 181) for the variance shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEVELS = 4  # of the grid on which trajectories move; the usual number
RESAMPLES = 1000
STREAM = 20_070  # seed of designs and of resampling: part of the method, not of the world


def trajectories(count: int, number: int) -> Array:
    """[sample, factor] one-at-a-time walks: `number` walks of `count` + 1 samples.

    Parameters
    ----------
    count
        Number of factors.
    number
        Number of walks.
    """
    from SALib.sample import morris  # loaded when asked for: it loads Matplotlib

    return np.asarray(morris.sample(_problem(count), number, num_levels=LEVELS, seed=STREAM))


def exchanges(count: int, number: int) -> Array:
    """[sample, factor] base points and their exchanges: `number` blocks of `count` + 2 samples."""
    from SALib.sample import sobol

    design = sobol.sample(_problem(count), number, calc_second_order=False, seed=STREAM)
    return np.asarray(design)


def elementary_effects(design: Array, values: Array) -> pd.DataFrame:
    """How far every factor moves a result over its range, by itself and with others.

    Parameters
    ----------
    design
        [sample, factor] from `trajectories`.
    values
        [sample] the result; NaN where a world could not be run.

    Returns
    -------
    pd.DataFrame
        A row a factor, in the order of the design: mean effect `mu`, mean size `mu_star` with its
        95 % interval `low`, `high` from resampled trajectories, and standard deviation `sigma`
        (interactions and curvature), all in the unit of the result over the whole range.
    """
    from SALib.analyze import morris

    count = design.shape[1]
    kept = _whole_blocks(values, count + 1)
    found = morris.analyze(
        _problem(count),
        design[kept],
        values[kept],
        num_resamples=RESAMPLES,
        num_levels=LEVELS,
        seed=STREAM,
    )
    size = np.asarray(found["mu_star"], dtype=float)
    half = np.asarray(found["mu_star_conf"], dtype=float)
    return pd.DataFrame(
        {
            "mu": np.asarray(found["mu"], dtype=float),
            "mu_star": size,
            "low": np.maximum(size - half, 0.0),
            "high": size + half,
            "sigma": np.asarray(found["sigma"], dtype=float),
        }
    )


def variance_shares(count: int, values: Array) -> pd.DataFrame:
    """Shares of a result's variance that go back to each factor.

    Parameters
    ----------
    count
        Number of factors.
    values
        [sample] the result on the design of `exchanges`; NaN where a world could not be run.

    Returns
    -------
    pd.DataFrame
        A row a factor: `first` (by itself) and `total` (with all its interactions), each with the
        ends of its 95 % interval from resampled base points. Zeros for a result that never moves.
    """
    from SALib.analyze import sobol

    kept = values[_whole_blocks(values, count + 2)]
    columns = ["first", "first_low", "first_high", "total", "total_low", "total_high"]
    if np.ptp(kept) <= 1e-12 * max(1.0, float(np.abs(kept).max())):
        return pd.DataFrame(0.0, index=range(count), columns=columns)
    found = sobol.analyze(
        _problem(count),
        kept,
        calc_second_order=False,
        num_resamples=RESAMPLES,
        seed=STREAM,
    )
    table: dict[str, Array] = {}
    for name, order in (("first", "S1"), ("total", "ST")):
        share = np.asarray(found[order], dtype=float)
        half = np.asarray(found[f"{order}_conf"], dtype=float)
        table |= {name: share, f"{name}_low": share - half, f"{name}_high": share + half}
    return pd.DataFrame(table)[columns]


def missing_blocks(values: Array, size: int) -> int:
    """Blocks that are left out because a value is missing."""
    return int(len(values) // size - _whole_blocks(values, size).sum() // size)


def _whole_blocks(values: Array, size: int) -> NDArray[np.bool_]:
    """[sample] whether every value of the sample's block is known.

    Raises
    ------
    ValueError
        If fewer than two blocks are whole.
    """
    whole = np.isfinite(values).reshape(-1, size).all(axis=1)
    if whole.sum() < 2:
        raise ValueError(
            f"Only {int(whole.sum())} of {len(whole)} blocks of the design were run in full; "
            "narrow the ranges with sensitivity.spread"
        )
    return np.repeat(whole, size)


def _problem(count: int) -> dict[str, Any]:
    return {
        "num_vars": count,
        "names": [f"factor {number}" for number in range(count)],
        "bounds": [[0.0, 1.0]] * count,
    }
