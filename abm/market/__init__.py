"""The clearing core: prices, flows and rents of a batch of markets with limits on flows."""

from abm.market.calibration import Fit, fit, log_weights
from abm.market.clearing import Clearing, MarketNotCleared, clear
from abm.market.problem import Problem, no_bids, no_limits
from abm.market.sensitivity import Sensitivity

__all__ = [
    "Clearing",
    "Fit",
    "MarketNotCleared",
    "Problem",
    "Sensitivity",
    "clear",
    "fit",
    "log_weights",
    "no_bids",
    "no_limits",
]
