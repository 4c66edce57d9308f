"""Coordinated retaliation: members answer export controls together, and their buyers bear a part.

The pressure to act against a producer is the strongest complaint of any member: controls on one
are answered by all. Counter-tariffs spare the goods that a member cannot buy elsewhere.
"""

from __future__ import annotations

import numpy as np

from abm.config import Retaliation


def pressure(level: np.ndarray, grievance: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[country] the strongest complaint of a member about each country, 0 to 1.

    Parameters
    ----------
    level
        [country, country] tension from the first towards the second.
    grievance
        [country, country] what the first resents in the export controls of the second now.
    part
        [country] how far each takes part; nobody complains about a country that does.
    """
    complaint = (part[:, None] * np.maximum(level, grievance)).max(axis=0, initial=0.0)
    return np.where(part > 0, 0.0, complaint)


def under_retaliation(before: np.ndarray, pressed: np.ndarray, settings: Retaliation) -> np.ndarray:
    """[country] against whom the members act: from the trigger on, until a share of it."""
    bound = settings.trigger * np.where(before, settings.release, 1.0)
    return settings.active & (pressed > bound)


def counter_tariff(
    targets: np.ndarray, part: np.ndarray, supply: np.ndarray, settings: Retaliation
) -> np.ndarray:
    """[market, origin, destination] tariff that members add on the minerals of the targets.

    Parameters
    ----------
    targets
        [country] against whom the members act.
    part
        [country] how far each takes part.
    supply
        [market, origin, destination] share of each origin in opening purchases: above
        `spare_dependence` a member leaves the market alone.
    """
    rate = np.zeros(supply.shape)
    if targets.any():
        spared = supply[:, targets] > settings.spare_dependence
        rate[:, targets] = np.where(spared, 0.0, settings.tariff * part)
        rate[:, part > 0, :] = 0.0
    return rate


def burden(
    spent: np.ndarray, counter_duty: np.ndarray, bought: np.ndarray, customary: np.ndarray
) -> np.ndarray:
    """[country] what own buyers suffer, as a share of what they pay for minerals, 0 to 1.

    Counter-duties, and what they pay without them beyond customary prices.

    Parameters
    ----------
    spent, counter_duty
        [market, country] thousand USD.
    bought, customary
        [market, country] t, and USD/kg that buyers have been used to pay.
    """
    dearer = np.maximum(spent - counter_duty - customary * bought, 0.0)
    outlay = spent.sum(axis=0)
    suffered = (counter_duty + dearer).sum(axis=0)
    return np.divide(suffered, outlay, out=np.zeros_like(outlay), where=outlay > 0)


def next_commitment(
    commitment: np.ndarray, suffered: np.ndarray, inside: np.ndarray, settings: Retaliation
) -> np.ndarray:
    """[country] commitment after a month: burdens wear it down, time restores it.

    A standing burden b leads to v / (v + w b), v the recovery and w the backlash.

    Parameters
    ----------
    suffered
        [country] from `burden`.
    inside
        [country] how far each takes part in retaliation by membership; others bear no blame.
    """
    worn = settings.backlash * suffered * inside * commitment
    restored = settings.recovery * (1.0 - commitment)
    return np.clip(commitment - worn + restored, 0.0, 1.0)
