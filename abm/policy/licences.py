"""Export licences: applications wait, approvals are used up, and buyers bridge the wait.

A buyer who needs a licence applies in time for what it will need when the decision comes, and at
the start also for the months it is made to wait. So nothing is approved before `processing_months`
have passed. A new regime is slow to learn its trade: over `ramp_months` the share of a month's
applications that is decided rises evenly to all of them, and what was not decided lapses. Without a
ramp the trade of the wait is approved at once with that of the month. Approvals that are not used
stay valid for a while. A regime that refuses nothing delays trade; buyers who know of it beforehand
bring purchases forward.
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
    decided = decided_months(control, month)
    normal = control.licensed_exports * growth[control.markets]
    terms = control.terms
    share = UNREFUSED if terms.approval_share >= 1.0 <= decided else min(terms.approval_share, 1.0)
    return share * decided * np.array(control.weighed(normal))


def decided_months(control: DatedControl, month: int) -> float:
    """Months of applications that are decided in a month: none in the wait, one in the long run."""
    wait, ramp = control.terms.processing_months, control.terms.ramp_months
    served = month - control.start - wait + 1
    if served < 1:
        return 0.0
    if ramp:
        return min(1.0, served / (ramp + 1))
    return 1.0 + wait * (served == 1)


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
            used = np.array(control.weighed(shipped))
            allowed = approvals(control, month, growth) + before.get(control, 0.0)
            kept = 1.0 - 1.0 / control.terms.licence_validity
            left[control] = kept * np.maximum(allowed - used, 0.0)
    return left
