"""Preferential tariffs: duties between members fall."""

from __future__ import annotations

import numpy as np


def applied_tariff(tariff: np.ndarray, part: np.ndarray, cut: float) -> np.ndarray:
    """[market, origin, destination] ad-valorem tariff after the preference.

    Parameters
    ----------
    tariff
        Most-favoured-nation and special duties, fractions.
    part
        [country] how far each country takes part, 0 to 1; a preference needs both sides.
    cut
        Share of the tariff that full members remove for each other.
    """
    return tariff * (1.0 - cut * (part[:, None] * part[None, :]))
