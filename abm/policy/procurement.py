"""Joint procurement: members share suppliers and face mark-ups with one voice."""

from __future__ import annotations

import numpy as np

from abm.config import JointProcurement


def pooled_share(flow: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[market, origin] share of each origin in the opening purchases of all members together.

    Parameters
    ----------
    flow
        [market, origin, destination] t/month at the opening.
    part
        [country] how far each country takes part, 0 to 1.
    """
    bought = flow @ part
    total = bought.sum(axis=1, keepdims=True)
    return np.divide(bought, total, out=np.zeros_like(bought), where=total > 0)


def pooled_part(
    pool: np.ndarray, part: np.ndarray, months: np.ndarray, ramp: float, settings: JointProcurement
) -> np.ndarray:
    """[market, destination] part of its purchases that a buyer makes from the pool's suppliers.

    A member's own habits are blended with those of the pool, more so the longer it has been a
    member, up to `shared_relationships` after the `ramp` months it takes to qualify a supplier.

    Parameters
    ----------
    pool
        [market, origin] from `pooled_share`.
    part
        [country] how far each country takes part, 0 to 1; one alone has nobody to pool with.
    months
        [country] months since joining.
    """
    if np.count_nonzero(part) < 2:
        return np.zeros((pool.shape[0], part.size))
    progress = np.minimum(np.maximum(months / ramp, 0.0), 1.0)
    blend = settings.shared_relationships * progress * part
    # A market that the pool does not buy in leaves its members with their own habits.
    return blend * pool.any(axis=1)[:, None]
