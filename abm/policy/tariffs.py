"""Preferential tariffs: duties between members fall."""

from __future__ import annotations

import numpy as np

from abm.config import PreferentialTariffs


def applied_tariff(
    tariff: np.ndarray, members: np.ndarray, settings: PreferentialTariffs
) -> np.ndarray:
    """[market, origin, destination] ad-valorem tariff after the preference.

    Parameters
    ----------
    tariff
        Most-favoured-nation and special duties, fractions.
    members
        [country] who is a member this month.
    """
    if not settings.active or not members.any():
        return tariff
    inside = members[:, None] & members[None, :]
    return tariff * (1.0 - settings.cut * inside)
