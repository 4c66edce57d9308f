"""Buyers: a population of industries, refiners and state stockpiles, as arrays.

Axes of every array: market, country, group. Groups are the refiners that feed on a mined product,
the sectors that use a product, and the state that stores it.

Use and purchase are different things. Use follows need and price. A purchase also closes the gap
between the stock a buyer holds (on hand and at sea) and the one it wants, over some months, and a
buyer lives off its stock while the price is above what it expects: down to a minimum cover at
moderately high prices, below it only in distress. Fear raises both the cover a buyer wants and the
minimum it keeps. Below the price it expects, it buys all it needs, even where it expects a price at
which it would use little. So the order is a floor that only price itself erodes, a ramp around the
expected price, and a second ramp above it for the minimum cover.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from abm.config import Behaviour
from abm.passes.ordering import draw_orders
from abm.passes.trading import scale_use

LEAST_ORDER = 0.02  # share of need always ordered, so that trade never dies out; assumed
# The clearing core bends the demand curve only far below any price met; the same guard here.
LEAST_PRICE_RATIO = 1e-2


@dataclass(frozen=True)
class BuyerTraits:
    """What does not change during a run."""

    need: np.ndarray  # [market, country, group] t/month at the opening
    reference_price: np.ndarray  # [market, country] USD/kg landed at the opening
    elasticity: np.ndarray  # [market, country, group] own-price elasticity of use, positive
    cover: np.ndarray  # [market, country, group] months of need held in calm
    transit: np.ndarray  # [market, country] mean months at sea of the opening purchases

    @cached_property
    def all_need(self) -> np.ndarray:
        """[market, country] t/month of all groups at the opening."""
        return self.need.sum(axis=2)

    @cached_property
    def least_price(self) -> np.ndarray:
        """[market, country] USD/kg below which no price is believed."""
        return LEAST_PRICE_RATIO * self.reference_price

    def rows(self, markets: slice) -> BuyerTraits:
        """The buyers of some markets."""
        return BuyerTraits(*(getattr(self, item.name)[markets] for item in fields(self)))


@dataclass(frozen=True)
class Orders:
    """What buyers send to the market: a price-elastic floor and two ramps each.

    The last axis of the ramps holds the first ramp of every group, around the expected price, then
    the second of every group, which keeps the minimum cover and starts where the first ends.
    """

    floor: np.ndarray  # [market, country, group] t/month at the reference price
    bid_quantity: np.ndarray  # [market, country, 2 x group] t/month on the ramp
    bid_low: np.ndarray  # USD/kg: the ramp is bought in full below
    bid_high: np.ndarray  # USD/kg: nothing of the ramp is bought above

    def rows(self, markets: slice) -> Orders:
        """The orders of some markets."""
        return Orders(*(getattr(self, item.name)[markets] for item in fields(self)))

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return self.floor.shape[2]

    @property
    def quantity(self) -> np.ndarray:
        """[market, country, group] t/month on the first ramp."""
        return self.bid_quantity[:, :, : self.groups]

    @property
    def low(self) -> np.ndarray:
        """[market, country, group] USD/kg from which the first ramp falls."""
        return self.bid_low[:, :, : self.groups]

    @property
    def high(self) -> np.ndarray:
        """[market, country, group] USD/kg where the first ramp ends."""
        return self.bid_high[:, :, : self.groups]

    @property
    def distress_quantity(self) -> np.ndarray:
        """[market, country, group] t/month that keep the minimum cover, on the second ramp."""
        return self.bid_quantity[:, :, self.groups :]

    @property
    def distress_low(self) -> np.ndarray:
        """[market, country, group] USD/kg where the second ramp starts to fall."""
        return self.bid_low[:, :, self.groups :]

    @property
    def distress_high(self) -> np.ndarray:
        """[market, country, group] USD/kg where the minimum cover is given up."""
        return self.bid_high[:, :, self.groups :]


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
    return need * use_scale(need, price, traits, backstop, choke)


def use_scale(
    need: np.ndarray,
    price: np.ndarray,
    traits: BuyerTraits,
    backstop: np.ndarray,
    choke: np.ndarray,
) -> np.ndarray:
    """[market, country, group] use at a price over need; zero where nothing is needed."""
    return scale_use(
        need,
        price,
        traits.reference_price,
        traits.elasticity,
        backstop,
        choke,
        LEAST_PRICE_RATIO,
    )


@dataclass(frozen=True)
class Bridge:
    """Stock wanted by a date, to live off while nothing comes; [market, country]."""

    cover: np.ndarray  # share of the calm target
    months: np.ndarray  # months in which it is bought, at least 1


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
    bridge: Bridge | None = None,
    anticipated: np.ndarray | None = None,
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
    bridge
        Cover wanted to bridge a delay that is known beforehand, and when.
    anticipated
        [market, country] cover wanted for an expected rise of the price, share of the calm target.
    """
    bridge = bridge or Bridge(np.zeros(risk.shape), np.ones(risk.shape))
    return Orders(
        *draw_orders(
            need,
            trend_need,
            expected_use,
            position,
            released,
            traits.cover,
            risk,
            np.zeros(risk.shape) if anticipated is None else anticipated,
            bridge.cover,
            bridge.months,
            traits.transit,
            growth,
            expected_price,
            LEAST_ORDER,
            behaviour.hoarding,
            behaviour.minimum_cover,
            behaviour.drawdown_months,
            behaviour.adjustment_months,
            behaviour.speculation,
            behaviour.order_width,
            behaviour.distress,
        )
    )
