"""Export licences: applications wait, approvals are used up, and buyers bridge the wait.

A buyer who needs a licence applies in time for what it will need when the decision comes, and at
the start also for the months it is made to wait. So nothing is approved before `processing_months`
have passed; then the trade of those months is approved at once with that of the month. Approvals
that are not used stay valid for a while. A regime that refuses nothing delays trade but does not
reduce it: buyers who know of it beforehand bring purchases forward.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from abm.config import Instrument
from abm.scenario import DatedControl

UNREFUSED = 10.0  # times normal trade, more than any month asks for: nothing is refused


def approvals(control: DatedControl, month: int, growth: np.ndarray) -> np.ndarray:
    """[group] tonnes approved this month, by the weight the control counts.

    Parameters
    ----------
    growth
        [market] trade of the month over opening trade on the undisturbed trend.
    """
    waited, wait = month - control.start, control.terms.processing_months
    months = 0.0 if waited < wait else 1.0 + wait * (waited == wait)
    normal = control.licensed_exports * growth[control.markets]
    share = control.terms.approval_share if control.terms.approval_share < 1.0 else UNREFUSED
    return np.array([share * months * control.weighed(normal, rows) for rows in control.groups])


def unused_approvals(
    controls: tuple[DatedControl, ...],
    month: int,
    growth: np.ndarray,
    before: Mapping[DatedControl, np.ndarray],
    flow: np.ndarray,
) -> dict[DatedControl, np.ndarray]:
    """[group] tonnes of approvals that every licence in force leaves for next month.

    Part of them expires: an approval is valid for `licence_validity` months on average.

    Parameters
    ----------
    before
        What the month before left.
    flow
        [market, origin, destination] t of the month; approvals are used before detours.
    """
    left = {}
    for control in controls:
        if control.instrument is Instrument.licence:
            shipped = flow[control.markets, control.exporter][:, control.destinations].sum(axis=1)
            used = np.array([control.weighed(shipped, rows) for rows in control.groups])
            allowed = approvals(control, month, growth) + before.get(control, 0.0)
            kept = 1.0 - 1.0 / control.terms.licence_validity
            left[control] = kept * np.maximum(allowed - used, 0.0)
    return left
