"""Preferential tariffs: duties between members fall."""

from __future__ import annotations

import numpy as np


def applied_tariff(tariff: np.ndarray, preference: np.ndarray, cut: float) -> np.ndarray:
    """[market, origin, destination] ad-valorem tariff after the preference.

    Parameters
    ----------
    tariff
        Most-favoured-nation and special duties, fractions.
    preference
        [country, country] how far two countries take part together, 0 to 1.
    cut
        Share of the tariff that full members remove for each other.
    """
    return tariff * (1.0 - cut * preference)
