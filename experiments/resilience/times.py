"""Time to survive, time to recover and what is lost between: pure functions of paths over time.

After Simchi-Levi et al. (2015): the time to survive is how long a system keeps up what it does
after a supplier fails; the time to recover is how long until it is back. Who survives for a shorter
time than recovery takes goes without in between. Paths start in the first month of the cut, and the
first axis is the month; times are in months, infinite where the event does not come.
"""

from __future__ import annotations

import numpy as np

NEVER = np.inf


def time_to_survive(available: np.ndarray, least: float) -> np.ndarray:
    """[...] whole months before what is available first falls below `least`.

    Parameters
    ----------
    available
        [month, ...] share of undisturbed supply, over the months of the cut.
    """
    short = available < least
    return np.where(short.any(axis=0), short.argmax(axis=0), NEVER)


def time_to_recover(
    available: np.ndarray, price: np.ndarray, band: float, settled: int
) -> np.ndarray:
    """[...] months after which supply and price are back for good; zero if they never left.

    Parameters
    ----------
    available, price
        [month, ...] over the undisturbed run, to the end of the run.
    band
        What may be missing, and what the price may be above the undisturbed one, as a share of it.
        More supply or a lower price is no harm.
    settled
        Months that must be left when all is back; with fewer it has not recovered.
    """
    away = (available < 1.0 - band) | (price > 1.0 + band)
    months = len(away)
    back = np.where(away.any(axis=0), months - away[::-1].argmax(axis=0), 0)
    return np.where(back > max(months - settled, 0), NEVER, back)


def supply_lost(available: np.ndarray) -> np.ndarray:
    """[...] months of undisturbed supply that were not there, summed over the shortfalls."""
    return np.maximum(1.0 - available, 0.0).sum(axis=0)
