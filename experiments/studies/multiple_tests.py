"""Which of many effects are called clear, so that luck among many is not taken for a finding.

Of twenty effects that are nothing, one lies clear of zero by its own 95 % interval. Holm (1979,
Scandinavian Journal of Statistics 6) asks more of each the more are tested: the chance that even
one of those called clear is nothing stays at 5 %, however they hang together, and so holds for
any that are named.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

LEVEL = 0.05
HOLM = (
    "Clear: by paired t-tests of all {count} effects together with Holm’s correction, so that the "
    "chance is at most 5 % that even one of those called clear is luck; intervals are those of "
    "each effect by itself."
)


def p_values(table: pd.DataFrame) -> NDArray[np.float64]:
    """[effect] p-values of two-sided paired t-tests, from the means and their 95 % t-intervals.

    Parameters
    ----------
    table
        Columns mean, low, high and n (seeds), a row an effect; 1 where there is no interval.
    """
    freedom = np.maximum(table["n"].to_numpy() - 1, 1)
    error = (table["high"] - table["low"]).to_numpy() / (2.0 * stdtrit(freedom, 0.975))
    mean = table["mean"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0: no effect under any seed
        found = 2.0 * stdtr(freedom, -np.abs(mean / error))
    return np.where(np.isfinite(found), found, 1.0)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """[test] p-values adjusted for their number: clear together where below the level."""
    order = np.argsort(p, kind="stable")
    found = np.empty_like(p)
    found[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return found


def clear_together(table: pd.DataFrame) -> pd.Series:
    """Whether each effect of a table, tested with all others in it, is clear of zero."""
    return pd.Series(holm(p_values(table)) < LEVEL, index=table.index)
