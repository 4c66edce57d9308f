"""Term contracts: part of trade is agreed long before, at a price that follows the market later.

Tonnes clear as without contracts, at the price of the month: that is what one more tonne costs or
brings, whatever was agreed for the others. Contracts change two things. Money: contracted tonnes
are paid at the mean of past prices, and buyers and sellers settle the difference. Orders: what is
contracted is taken whatever the price, neither put off when it is dear nor brought forward when it
is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from abm.agents.buyer import Orders
from abm.config import Contracts
from abm.world import MONTHS, World


@dataclass
class TermContracts:
    """What was agreed, and what it refers to. Arrays are replaced, never written."""

    share: np.ndarray  # [market] of usual trade
    usual_flow: np.ndarray  # [market, origin, destination] t/month, mean of about the last year
    past_price: np.ndarray  # [month of the index, market, origin] USD/kg

    @classmethod
    def opening(cls, world: World, settings: Contracts) -> TermContracts:
        """Contracts of a market that has traded its opening flows at opening prices for ever."""
        share = world.parameters["contract_share"] * settings.scale * settings.active
        past = np.repeat(world.origin_price[None], settings.index_months, axis=0)
        return cls(share, world.flow, past)

    @property
    def index(self) -> np.ndarray:
        """[market, origin] USD/kg that contracts pay: the mean price of the past months."""
        return self.past_price.mean(axis=0)

    def tonnes(self, flow: np.ndarray, banned: np.ndarray) -> np.ndarray:
        """[market, origin, destination] t of this month's trade under contract.

        No more than the share of what the two partners used to trade, so that new partners deal on
        the spot, and nothing where a ban excuses the seller.
        """
        agreed = self.share[:, None, None] * np.minimum(flow, self.usual_flow)
        return np.where(banned, 0.0, agreed)

    def remember(self, flow: np.ndarray, price: np.ndarray) -> None:
        """A month has passed; where nothing was sold the index stays as it was."""
        self.usual_flow = self.usual_flow + (flow - self.usual_flow) / MONTHS
        seen = np.where(np.isnan(price), self.index, price)
        self.past_price = np.concatenate([self.past_price[1:], seen[None]])


def settlement(
    tonnes: np.ndarray, index: np.ndarray, price: np.ndarray, markup: np.ndarray
) -> np.ndarray:
    """[market, origin, destination] thousand USD that sellers hand back to their buyers.

    Negative where the index stands above the month's price and buyers pay more. Duties, taxes,
    freight and rents stay those of the month.

    Parameters
    ----------
    tonnes
        [market, origin, destination] t under contract.
    index, price
        [market, origin] USD/kg that contracts pay and that the month asks at home.
    markup
        [market, origin, destination] fraction charged on top of the home price.
    """
    gap = np.where(np.isnan(price), 0.0, price - index)
    return tonnes * (1.0 + markup) * gap[:, :, None]


def committed_purchases(
    contracts: TermContracts, banned: np.ndarray, firmness: float
) -> np.ndarray:
    """[market, country] t/month that buyers must take under their contracts."""
    usual = np.where(banned, 0.0, contracts.usual_flow).sum(axis=1)
    return firmness * contracts.share[:, None] * usual


def firm_orders(
    orders: Orders,
    committed: np.ndarray,
    need: np.ndarray,
    expected_use: np.ndarray,
    expected_price: np.ndarray,
) -> Orders:
    """Orders in which contracted tonnes stand in the floor, which only use itself erodes.

    At the expected price every buyer orders what it did. What moves from the ramps to the floor no
    longer gives way to a higher price until use does: in a shortage it is served first.

    Parameters
    ----------
    committed
        [market, country] t/month to be taken under contract.
    need, expected_use
        [market, country, group] t/month at the reference and at the expected price.
    expected_price
        [market, country] USD/kg.
    """
    scale = np.divide(expected_use, need, out=np.zeros(need.shape), where=need > 0)
    width = orders.high - orders.low
    filled = np.clip((orders.high - expected_price[:, :, None]) / width, 0.0, 1.0)
    flexible = np.where(need > 0, orders.quantity * filled + orders.distress_quantity, 0.0)
    firm = orders.floor * scale
    wanting = np.maximum(committed - firm.sum(axis=2), 0.0)
    total = flexible.sum(axis=2)
    part = np.divide(wanting, total, out=np.zeros(total.shape), where=total > 0)
    room = np.maximum(need - orders.floor, 0.0) * scale
    most = np.divide(room, flexible, out=np.zeros(need.shape), where=flexible > 0)
    part = np.minimum(np.minimum(part, 1.0)[:, :, None], most)
    added = np.divide(part * flexible, scale, out=np.zeros(need.shape), where=scale > 0)
    loose = np.concatenate([1.0 - part, 1.0 - part], axis=2)
    return replace(orders, floor=orders.floor + added, bid_quantity=orders.bid_quantity * loose)
