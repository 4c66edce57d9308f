"""Term contracts: part of trade is agreed long before, at a price that follows the market later.

Tonnes clear as without contracts, at the price of the month: that is what one more tonne costs or
brings, whatever was agreed for the others. Contracts change two things. Money: contracted tonnes
are paid at the mean of past prices, and buyers and sellers settle the difference. Orders: what is
contracted is taken whatever the price, neither put off when it is dear nor brought forward when it
is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from abm.agents.buyer import Orders
from abm.config import Contracts
from abm.passes.ordering import firm_up, remember_trade, settle_terms, usual_purchases
from abm.world import MONTHS, World


@dataclass
class TermContracts:
    """What was agreed, and what it refers to. Arrays are the contracts' own, written in place."""

    share: np.ndarray  # [market] of usual trade; zero where nothing is under contract
    firmness: float  # share of contracted tonnes taken whatever the price
    usual_flow: np.ndarray  # [market, origin, destination] t/month, mean of about the last year
    past_price: np.ndarray  # [month of the index, market, origin] USD/kg, in turn
    index: np.ndarray  # [market, origin] USD/kg that contracts pay: the mean of the past prices
    oldest: int = 0  # row of the past prices that the next month takes

    @cached_property
    def active(self) -> bool:
        """Whether anything is under contract in some market."""
        return bool(self.share.any())

    @classmethod
    def opening(cls, world: World, settings: Contracts) -> TermContracts:
        """Contracts of a market that has traded its opening flows at opening prices for ever."""
        share = world.parameters["contract_share"] * settings.scale * settings.active
        past = np.repeat(world.origin_price[None], settings.index_months, axis=0)
        return cls(share, settings.firmness, world.flow.copy(), past, past.mean(axis=0))

    def settlement(
        self, flow: np.ndarray, price: np.ndarray, markup: np.ndarray, banned: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the tonnes under contract cost less, and what they cost more, than on the spot.

        Under contract is no more than the share of what the two partners used to trade, so that
        new partners deal on the spot, and nothing where a ban excuses the seller. Duties, taxes,
        freight and rents stay those of the month.

        Parameters
        ----------
        flow, markup, banned
            [market, origin, destination] t this month, mark-up on the home price, arcs under a ban.
        price
            [market, origin] USD/kg asked at home this month; NaN where nothing is sold.

        Returns
        -------
        by_buyer, by_seller
            [2, market, country] thousand USD: first what sellers hand back to buyers, then what
            buyers pay on top.
        """
        return settle_terms(self.share, flow, self.usual_flow, banned, markup, price, self.index)

    def remember(self, flow: np.ndarray, price: np.ndarray) -> None:
        """A month has passed; where nothing was sold the index stays as it was."""
        self.past_price[self.oldest] = price
        remember_trade(
            flow, float(MONTHS), self.oldest, self.usual_flow, self.past_price, self.index
        )
        self.oldest = (self.oldest + 1) % len(self.past_price)

    def committed(self, banned: np.ndarray) -> np.ndarray:
        """[market, country] t/month that buyers must take under their contracts."""
        return self.firmness * self.share[:, None] * usual_purchases(self.usual_flow, banned)


def firm_orders(
    orders: Orders,
    committed: np.ndarray,
    need: np.ndarray,
    expected_use: np.ndarray,
    expected_price: np.ndarray,
) -> None:
    """Let contracted tonnes of the orders stand in their floor, which only use itself erodes.

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
    firm_up(
        orders.floor,
        orders.bid_quantity,
        orders.bid_low,
        orders.bid_high,
        committed,
        need,
        expected_use,
        expected_price,
    )
