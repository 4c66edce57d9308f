"""The clearing core: prices, flows and rents of a batch of markets with limits on flows."""

from abm.market.clearing import Clearing, MarketNotCleared, clear
from abm.market.problem import Problem, no_bids, no_limits

__all__ = ["Clearing", "MarketNotCleared", "Problem", "clear", "no_bids", "no_limits"]
