"""Strategic stocks: how much is released, and how a pool is shared."""

from __future__ import annotations

import numpy as np

from abm.config import EmergencyRelease, Pace, Sharing

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
        The key by which those who call share what there is.

    Returns
    -------
    given, received
        [mineral, country] t/month; both sum to the same total for every mineral.
    """
    calls = short & (part > 0)
    alarmed = calls.any(axis=1, keepdims=True)
    offer = np.where(alarmed, part * pace, 0.0)
    most = np.where(calls, need, 0.0)
    key = {
        Sharing.need: need,
        Sharing.contribution: offer,
        Sharing.equal: np.ones(need.shape),
    }[sharing]
    offered = offer.sum(axis=1, keepdims=True)
    total = np.minimum(offered, most.sum(axis=1, keepdims=True))
    received = shared_out(total, np.where(calls, key, 0.0), most)
    given = offer * np.divide(total, offered, out=np.zeros_like(total), where=offered > 0)
    return given, received


def shared_out(total: np.ndarray, key: np.ndarray, most: np.ndarray) -> np.ndarray:
    """[mineral, country] parts of a total [mineral, 1] in proportion to a key, none above `most`.

    The total is at most the sum of `most`. What exceeds the most of some goes to the others by the
    same key, and then to those without a key by what they still lack.
    """
    shares = total * _parts(key)
    for _ in range(key.shape[1]):
        if (shares <= most * (1.0 + ROUNDING)).all():
            break
        kept = np.minimum(shares, most)
        left = total - kept.sum(axis=1, keepdims=True)
        shares = kept + left * _parts(np.where(shares < most, key, 0.0))
    left = total - shares.sum(axis=1, keepdims=True)
    return shares + np.where(left > ROUNDING * total, left, 0.0) * _parts(most - shares)


def _parts(key: np.ndarray) -> np.ndarray:
    whole = key.sum(axis=1, keepdims=True)
    return np.divide(key, whole, out=np.zeros_like(key), where=whole > 0)
