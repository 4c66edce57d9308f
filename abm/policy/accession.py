"""What a country weighs when it asks whether to belong: prices, stocks and what it may be made pay.

All terms are thousand USD a month, at last month's trade and prices, for every country as if it
were a member among the present ones. They are judged as a share of its trade in minerals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.world import MONTHS


@dataclass(frozen=True)
class Pool:
    """What a country weighs of the common stocks. Arrays are [mineral, country]."""

    stock: np.ndarray  # t in strategic stocks
    required: np.ndarray  # t that a member is to hold
    customary_stock: np.ndarray  # t that it holds in any case
    need: np.ndarray  # t/month
    price: np.ndarray  # USD/kg that buyers are used to pay
    risk: np.ndarray  # chance of a month of shortage
    trigger: float  # multiple of the price at which stocks are released
    release_months: float


def tariff_benefit(
    value: np.ndarray, tariff: np.ndarray, part: np.ndarray, cut: float
) -> np.ndarray:
    """[country] duties that its buyers and, on its goods, those of other members are spared.

    Parameters
    ----------
    value
        [market, origin, destination] thousand USD a month at the border.
    tariff
        [market, origin, destination] before preferences.
    part
        [country] how far each present member grants preferences.
    """
    duty = cut * np.einsum("mij,mij->ij", value, tariff)
    return part @ duty + duty @ part


def bargaining_benefit(
    paid: np.ndarray, bought: np.ndarray, part: np.ndarray, power: float
) -> np.ndarray:
    """[country] mark-ups of one producer that joint procurement spares a member.

    Parameters
    ----------
    paid
        [market, destination] mark-up paid to the producer, thousand USD a month.
    bought
        [market, destination] t that it sells abroad.
    part
        [country] how far each present member pools its demand.
    power
        Share of the mark-up removed when the bloc takes all exports.
    """
    exports = bought.sum(axis=1, keepdims=True)
    others = (bought * part).sum(axis=1, keepdims=True) - bought * part
    weight = np.divide(others + bought, exports, out=np.zeros_like(bought), where=exports > 0)
    now = np.divide(others + bought * part, exports, out=np.zeros_like(bought), where=exports > 0)
    full = paid / np.maximum(1.0 - power * part * now, 1e-9)
    return (power * weight * full).sum(axis=0)


def pool_benefit(pool: Pool, part: np.ndarray) -> np.ndarray:
    """[country] what stocks bring a member in a shortage less what it would give to others.

    In a shortage a member draws on all stocks, up to its need. Goods of others are worth the price
    at which stocks are released; those of its own stock the premium over the customary price,
    since it has to buy them again. So it has to after giving, which it does in proportion to its
    stock when others call while it is not short itself.
    """
    own = np.maximum(pool.stock, pool.required) / pool.release_months
    anyway = np.minimum(pool.need, pool.customary_stock / pool.release_months)
    offered = part * pool.stock / pool.release_months
    others = offered.sum(axis=1, keepdims=True) - offered
    covered = np.minimum(pool.need, own)
    drawn = np.minimum(pool.need, others + own) - covered
    saved = pool.trigger * drawn + (pool.trigger - 1.0) * np.maximum(covered - anyway, 0.0)
    given = own * (1.0 - pool.risk) * _asked(pool, part, others + own)
    return (pool.price * (pool.risk * saved - given)).sum(axis=0)


def _asked(pool: Pool, part: np.ndarray, offers: np.ndarray) -> np.ndarray:
    """[mineral, country] share of its offer that others are expected to call, at most all of it.

    Parameters
    ----------
    offers
        [mineral, country] t/month that all offer together once the country is in.
    """
    calls = part * pool.risk
    called = np.minimum(pool.need[:, :, None] / np.maximum(offers, 1e-300)[:, None, :], 1.0)
    diagonal = np.arange(part.size)
    called[:, diagonal, diagonal] = 0.0
    return np.minimum(np.einsum("ki,kic->kc", calls, called), 1.0)


def stock_cost(pool: Pool, carrying_cost: float) -> np.ndarray:
    """[country] cost of holding what membership asks for beyond what a country holds anyway."""
    extra = np.maximum(pool.required - pool.customary_stock, 0.0)
    return carrying_cost / MONTHS * (pool.price * extra).sum(axis=0)


def retaliation_cost(
    trade: np.ndarray,
    level: np.ndarray,
    part: np.ndarray,
    non_allied: np.ndarray,
    feared_loss: float,
) -> np.ndarray:
    """[country] what the non-allied could make a member pay: dependence times their tension.

    A new member must expect the tension that the present ones meet, weighed by their parts.

    Parameters
    ----------
    trade
        [origin, destination] thousand USD a month.
    level
        [country, country] tension from the first towards the second.
    feared_loss
        Share of the trade that full tension is feared to cost.
    """
    inside = part.sum()
    shared = level[non_allied] @ part / inside if inside > 0 else np.zeros(non_allied.sum())
    expected = np.maximum(level[non_allied], shared[:, None])
    dependence = trade[non_allied] + trade[:, non_allied].T
    return feared_loss * (dependence * expected).sum(axis=0)
