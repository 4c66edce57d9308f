"""Joint procurement: members share suppliers and face mark-ups with one voice."""

from __future__ import annotations

import numpy as np

from abm.config import JointProcurement


def pooled_share(flow: np.ndarray, members: np.ndarray) -> np.ndarray:
    """[market, origin] share of each origin in the opening purchases of all members together."""
    bought = flow[:, :, members].sum(axis=2)
    total = bought.sum(axis=1, keepdims=True)
    return np.divide(bought, total, out=np.zeros_like(bought), where=total > 0)


def pooled_part(
    pool: np.ndarray,
    joined: np.ndarray,
    month: int,
    ramp: float,
    settings: JointProcurement,
) -> np.ndarray:
    """[market, destination] part of its purchases that a buyer makes from the pool's suppliers.

    A member's own habits are blended with those of the pool, more so the longer it has been a
    member, up to `shared_relationships` after the `ramp` months it takes to qualify a supplier.

    Parameters
    ----------
    pool
        [market, origin] from `pooled_share`.
    joined
        [country] month of joining.
    """
    members = joined <= month
    if not settings.active or members.sum() < 2:
        return np.zeros((pool.shape[0], joined.size))
    progress = np.minimum((month - joined) / ramp, 1.0)
    blend = np.where(members, settings.shared_relationships * progress, 0.0)
    # A market that the pool does not buy in leaves its members with their own habits.
    return blend[None, :] * (pool.sum(axis=1) > 0)[:, None]


def countervailing(
    bought: np.ndarray, members: np.ndarray, settings: JointProcurement
) -> np.ndarray:
    """[destination] factor on the mark-up a seller can charge each buyer.

    Parameters
    ----------
    bought
        [market, destination] tonnes each country buys abroad from the seller. The larger the part
        of the seller's exports that the bloc takes, the less of the mark-up it pays.
    """
    factor = np.ones(bought.shape)
    if not settings.active or members.sum() < 2:
        return factor
    exports = bought.sum(axis=1)
    power = (bought @ members) / np.where(exports > 0, exports, 1.0)
    factor[:, members] = 1.0 - settings.countervailing_power * power[:, None]
    return factor
