"""Surplus: what users gain above what they pay, and what firms earn above what they ask.

Areas under the curves of the model itself, so that the two of them, the rents and the treasuries
account for every dollar a market is worth (Samuelson 1952). Prices are USD/kg and quantities
t/month, so all money is in thousand USD a month.
"""

from __future__ import annotations

import numpy as np

from abm.agents.buyer import LEAST_PRICE_RATIO, BuyerTraits
from abm.passes import demand_surplus


def consumer_surplus(
    need: np.ndarray,
    price: np.ndarray,
    traits: BuyerTraits,
    backstop: np.ndarray,
    choke: np.ndarray,
) -> np.ndarray:
    """[market, country, group] thousand USD a month: the area under demand above the price.

    With a logit over origins the price index P is the unit cost of the composite good, and the
    area under D(P) is the exact measure of surplus (Small and Rosen 1981). It ends at the choke
    price, so it is finite also where demand is inelastic.

    Parameters
    ----------
    need
        [market, country, group] t/month wanted at the reference price.
    price, backstop, choke
        [market, country] USD/kg.
    """
    return demand_surplus(
        need,
        price,
        traits.reference_price,
        traits.elasticity,
        backstop,
        choke,
        LEAST_PRICE_RATIO,
    )


def cost_of_sales(
    sold: np.ndarray, offered: np.ndarray, low: np.ndarray, high: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """[firm] thousand USD a month: the area under a firm's asks up to what it sold.

    Asks rise along the ramp from `low` to `high`, but nothing is sold below `least`.

    Parameters
    ----------
    sold, offered
        [firm] t/month.
    low, high, least
        [firm] USD/kg.
    """
    width = high - low
    flat = offered * np.minimum(np.maximum((least - low) / width, 0.0), 1.0)
    at_least = np.minimum(sold, flat)
    slope = np.divide(width, offered, out=np.zeros_like(width), where=offered > 0)
    rising = np.maximum(sold - flat, 0.0)
    return least * at_least + rising * (low + slope * (flat + 0.5 * rising))
