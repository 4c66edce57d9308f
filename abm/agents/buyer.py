"""Buyers: a population of industries, refiners and state stockpiles, as arrays.

Axes of every array: market, country, group. Groups are the refiners that feed on a mined product,
the sectors that use a product, and the state that stores it.

Use and purchase are different things. Use follows need and price. A purchase also closes the gap
between the stock a buyer holds (on hand and at sea) and the one it wants, over some months, and a
buyer lives off its stock while the price is above what it expects: down to a minimum cover at
moderately high prices, below it only in distress. So the order is a floor that only price itself
erodes, a ramp around the expected price, and a second ramp above it for the minimum cover.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from abm.config import Behaviour

LEAST_ORDER = 0.02  # share of need always ordered, so that trade never dies out; assumed


@dataclass(frozen=True)
class BuyerTraits:
    """What does not change during a run."""

    need: np.ndarray  # [market, country, group] t/month at the opening
    reference_price: np.ndarray  # [market, country] USD/kg landed at the opening
    elasticity: np.ndarray  # [market, country, group] own-price elasticity of use, positive
    cover: np.ndarray  # [market, country, group] months of need held in calm
    transit: np.ndarray  # [market, country] mean months at sea of the opening purchases


@dataclass(frozen=True)
class Orders:
    """What buyers send to the market: a price-elastic floor and two ramps each."""

    floor: np.ndarray  # [market, country, group] t/month at the reference price
    quantity: np.ndarray  # [market, country, group] t/month on the ramp
    low: np.ndarray  # USD/kg: the ramp is bought in full below
    high: np.ndarray  # USD/kg: nothing of the ramp is bought above
    distress_quantity: np.ndarray  # t/month that keep the minimum cover
    distress_high: np.ndarray  # USD/kg where they are given up; the ramp starts at `high`

    def rows(self, markets: np.ndarray) -> Orders:
        """The orders of some markets."""
        return Orders(*(getattr(self, item.name)[markets] for item in fields(self)))

    @property
    def bids(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Quantity, low and high price of all ramps, [market, country, 2 x group]."""
        return (
            np.concatenate([self.quantity, self.distress_quantity], axis=2),
            np.concatenate([self.low, self.high], axis=2),
            np.concatenate([self.high, self.distress_high], axis=2),
        )


def desired_use(
    need: np.ndarray,
    price: np.ndarray,
    traits: BuyerTraits,
    backstop: np.ndarray,
    choke: np.ndarray,
) -> np.ndarray:
    """[market, country, group] use at a price, before asking whether the goods are there.

    Isoelastic up to the backstop price; from there a substitute takes over and demand falls
    linearly to nothing at the choke price. Shares its form with the demand of the clearing core.
    """
    capped = np.minimum(price, backstop)
    # The clearing core bends the curve only far below any price met; the same guard here.
    ratio = np.maximum(capped / traits.reference_price, 1e-2)[:, :, None]
    fading = np.clip((choke - price) / (choke - backstop), 0.0, 1.0)[:, :, None]
    return need * ratio ** (-traits.elasticity) * fading


def place_orders(
    need: np.ndarray,
    trend_need: np.ndarray,
    growth: np.ndarray,
    position: np.ndarray,
    released: np.ndarray,
    expected_use: np.ndarray,
    expected_price: np.ndarray,
    risk: np.ndarray,
    traits: BuyerTraits,
    behaviour: Behaviour,
) -> Orders:
    """Orders of the private buyers for one month.

    Parameters
    ----------
    need
        [market, country, group] t/month wanted at the reference price this month.
    trend_need
        The same without this month's noise: stocks aim at the trend.
    growth
        [market] growth of normal trade over the coming month, fraction.
    position
        Stock on hand and at sea, t.
    released
        t received from strategic stocks this month; it replaces purchases one for one.
    expected_use
        Use at the expected price, t/month.
    expected_price
        [market, country] USD/kg.
    risk
        [market, country] perceived supply risk, 0 to 1.
    """
    cover = traits.cover * (1.0 + behaviour.hoarding * risk[:, :, None])
    transit = traits.transit[:, :, None]
    gap = (cover + transit) * trend_need - position
    held = np.maximum(position - transit * trend_need, 0.0)
    spare = np.maximum(held - behaviour.minimum_cover * traits.cover * trend_need, 0.0)
    moderate = np.maximum(need - spare / behaviour.drawdown_months - released, LEAST_ORDER * need)
    floor = np.maximum(need - held / behaviour.drawdown_months - released, LEAST_ORDER * need)
    scale = np.divide(expected_use, need, out=np.zeros_like(need), where=need > 0)
    closing = gap / behaviour.adjustment_months + growth[:, None, None] * (
        (traits.cover + transit) * trend_need
    )
    least = moderate * scale
    wanted = np.maximum(expected_use + closing - released, least)
    quantity = expected_use - least + np.maximum(closing, 0.0) + behaviour.speculation * trend_need
    middle = np.minimum(wanted - least, quantity)
    part = np.divide(middle, quantity, out=np.zeros_like(middle), where=quantity > 0)
    price = expected_price[:, :, None]
    width = behaviour.order_width * price
    high = price + width * part
    return Orders(
        floor=floor,
        quantity=quantity,
        low=high - width,
        high=high,
        distress_quantity=(moderate - floor) * scale,
        distress_high=np.maximum(behaviour.distress * price, high + 0.1 * price),
    )


def purchases(orders: Orders, use_scale: np.ndarray, price: np.ndarray) -> np.ndarray:
    """[market, country, group] t/month bought by each group at the market price.

    Parameters
    ----------
    use_scale
        [market, country, group] use at this price over need: the erosion of the floor.
    price
        [market, country] landed price index, USD/kg.
    """
    level = price[:, :, None]
    return (
        orders.floor * use_scale
        + orders.quantity * _filled(orders.low, orders.high, level)
        + orders.distress_quantity * _filled(orders.high, orders.distress_high, level)
    )


def _filled(low: np.ndarray, high: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Share of a ramp that is bought at a price."""
    return np.clip((high - price) / (high - low), 0.0, 1.0)
