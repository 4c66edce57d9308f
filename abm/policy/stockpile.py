"""Strategic stocks: how much is released, and how a pool is shared."""

from __future__ import annotations

import numpy as np

from abm.config import EmergencyRelease, Pace, Sharing
from abm.passes.ordering import pool_stocks

ROUNDING = 1e-12


def called_stock(
    before: np.ndarray, stock: np.ndarray, short: np.ndarray, part: np.ndarray
) -> np.ndarray:
    """[mineral, country] tonnes that were on hand when the emergency was called; 0 without one.

    A call of one who takes part is a call of all who do.

    Parameters
    ----------
    before
        The same last month.
    stock, short, part
        As in `pooled_release`.
    """
    joint = (short & (part > 0)).any(axis=1, keepdims=True) & (part > 0)
    return np.where(short | joint, np.where(before > 0, before, stock), 0.0)


def release_pace(stock: np.ndarray, called: np.ndarray, settings: EmergencyRelease) -> np.ndarray:
    """[mineral, country] t/month that an owner can release: ever less, or as much until it is dry.

    Parameters
    ----------
    stock
        Tonnes on hand.
    called
        Tonnes that were on hand when the emergency was called.
    """
    base = called if settings.pace is Pace.steady else stock
    return np.minimum(base / settings.release_months, stock)


def national_release(pace: np.ndarray, short: np.ndarray) -> np.ndarray:
    """[mineral, country] t/month a country releases for itself while it is short of supply.

    Parameters
    ----------
    pace
        [mineral, country] t/month it can release.
    short
        [mineral, country] whether the emergency trigger is met.
    """
    return np.where(short, pace, 0.0)


def pooled_release(
    pace: np.ndarray, short: np.ndarray, need: np.ndarray, part: np.ndarray, sharing: Sharing
) -> tuple[np.ndarray, np.ndarray]:
    """Joint emergency response: every member gives, those who run short receive.

    Parameters
    ----------
    pace
        [mineral, country] t/month each owner can release.
    short
        [mineral, country] whether the emergency trigger is met.
    need
        [mineral, country] t/month of normal use: the most that is handed out to each.
    part
        [country] how far each country takes part, 0 to 1: the part of its release that it shares.
    sharing
        The key by which those who call share what there is. What exceeds the need of some goes to
        the others by the same key, and then to those without a key by what they still lack.

    Returns
    -------
    given, received
        [mineral, country] t/month; both sum to the same total for every mineral.
    """
    by_offer, equal = sharing is Sharing.contribution, sharing is Sharing.equal
    return pool_stocks(pace, short, need, part, by_offer, equal, ROUNDING)
