"""Strategic stocks: how much is released, and how a pool is shared."""

from __future__ import annotations

import numpy as np


def national_release(stock: np.ndarray, short: np.ndarray, release_months: float) -> np.ndarray:
    """[mineral, country] t/month a country releases for itself while it is short of supply.

    Parameters
    ----------
    stock
        [mineral, country] tonnes on hand.
    short
        [mineral, country] whether the emergency trigger is met.
    release_months
        Months in which a stock would run down at its opening pace.
    """
    return np.where(short, stock / release_months, 0.0)


def pooled_release(
    stock: np.ndarray,
    short: np.ndarray,
    need: np.ndarray,
    part: np.ndarray,
    release_months: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Joint emergency response: every member gives, those who run short receive.

    Parameters
    ----------
    stock
        [mineral, country] tonnes on hand.
    short
        [mineral, country] whether the emergency trigger is met.
    need
        [mineral, country] t/month of normal use: the key by which the pool is shared among those
        who call, and the most that is handed out.
    part
        [country] how far each country takes part, 0 to 1: the part of its release that it shares.

    Returns
    -------
    given, received
        [mineral, country] t/month; both sum to the same total for every mineral.
    """
    calls = short & (part > 0)
    alarmed = calls.any(axis=1, keepdims=True)
    offer = np.where(alarmed, part * stock / release_months, 0.0)
    key = np.where(calls, need, 0.0)
    wanted = key.sum(axis=1, keepdims=True)
    total = np.minimum(offer.sum(axis=1, keepdims=True), wanted)
    offered = offer.sum(axis=1, keepdims=True)
    given = offer * np.divide(total, offered, out=np.zeros_like(total), where=offered > 0)
    received = total * np.divide(key, wanted, out=np.zeros_like(key), where=wanted > 0)
    return given, received
