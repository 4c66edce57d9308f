"""The books of a month: what was made, sold, shipped, used and paid, and that it all adds up."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from abm.agents.firm import FirmTraits
from abm.agents.table import Table
from abm.market import Clearing
from abm.policy.controls import Limit
from abm.state import FEED, STATE, State
from abm.trade import Offers, Payments, StageRows
from abm.world import World

BALANCE_TOLERANCE = 1e-9  # of the month's volume


class BooksDoNotBalance(RuntimeError):
    """Tonnes or dollars went missing: a defect of the model, never of the input."""


def ship(
    state: State, voyage: np.ndarray, rows: np.ndarray, flow: np.ndarray, bought: np.ndarray
) -> None:
    """Receive what arrives this month and send off what was bought.

    Parameters
    ----------
    voyage
        [origin, destination] months at sea; goods with none arrive at once.
    rows
        Markets of the arrays that follow.
    flow
        [row, origin, destination] t.
    bought
        [row, country, group] t; each group owns its part of every shipment.
    """
    total = flow.sum(axis=1)
    part = np.divide(
        bought, total[:, :, None], out=np.zeros_like(bought), where=total[:, :, None] > 0
    )
    afloat = state.at_sea[rows]
    landed = afloat[..., 0].copy()
    afloat[..., :-1] = afloat[..., 1:]
    afloat[..., -1] = 0.0
    for months in range(afloat.shape[-1] + 1):
        sent = (flow * (voyage == months)[None]).sum(axis=1)[:, :, None] * part
        if months == 0:
            landed += sent
        else:
            afloat[..., months - 1] += sent
    state.at_sea[rows] = afloat
    state.stock[rows] += landed
    state.received[rows] = landed.sum(axis=2)


def stocks_by_mineral(world: World, state: State, firms: Table) -> np.ndarray:
    """[mineral] all tonnes in stock, at sea and with producers."""
    held = state.stock.sum(axis=(1, 2)) + state.at_sea.sum(axis=(1, 2, 3))
    held = held + np.bincount(firms.market, firms.inventory, held.size)
    return np.bincount(world.mineral_of_market, held, len(world.minerals))


@dataclass
class Books:
    """One month. Tonnes; money in thousand USD."""

    world: World
    opening_stocks: np.ndarray  # [mineral]
    flow: np.ndarray  # [market, origin, destination]
    paid: np.ndarray  # the same axes: outlay
    duty: np.ndarray
    export_tax: np.ndarray
    rent: np.ndarray
    rent_income: np.ndarray  # [market, country] of exporters and traders
    treasury: np.ndarray  # [market, country] duties, export taxes and auctioned rents
    price: np.ndarray  # [market, country] landed price index, USD/kg
    origin_price: np.ndarray  # [market, country] USD/kg
    sales: np.ndarray  # [firm]
    made: np.ndarray  # [firm]
    use: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [market, country, group]
    feed_used: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [market, country]
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [mineral]
    certificate: float = 0.0
    iterations: int = 0
    money_gap: float = 0.0
    tonnes_gap: float = 0.0

    @classmethod
    def open(cls, world: World, state: State, firms: Table) -> Books:
        """Take stock at the start of a month."""
        arcs, places = world.flow.shape, world.landed_price.shape
        return cls(
            world=world,
            opening_stocks=stocks_by_mineral(world, state, firms),
            flow=np.zeros(arcs),
            paid=np.zeros(arcs),
            duty=np.zeros(arcs),
            export_tax=np.zeros(arcs),
            rent=np.zeros(arcs),
            rent_income=np.zeros(places),
            treasury=np.zeros(places),
            price=np.zeros(places),
            origin_price=np.full(places, np.nan),
            sales=np.zeros(len(firms)),
            made=np.zeros(len(firms)),
        )

    def enter(self, stage: StageRows, clearing: Clearing, paid: Payments) -> None:
        """Book the trade of one stage."""
        rows = stage.markets
        self.flow[rows], self.paid[rows] = clearing.flow, paid.outlay
        self.duty[rows], self.rent[rows] = paid.duty, paid.rent
        self.export_tax[rows] = paid.export_tax
        self.treasury[rows] += paid.duty.sum(axis=1) + paid.export_tax.sum(axis=2)
        self.price[rows] = clearing.landed_price
        self.origin_price[rows] = clearing.origin_price
        self.sales[stage.firms] = self._exact_sales(stage, clearing)
        self.certificate = max(self.certificate, float(clearing.residual.max()))
        self.iterations += int(clearing.iterations.sum())
        outlay = np.maximum(paid.outlay.sum(axis=(1, 2)), 1e-300)
        self.money_gap = max(self.money_gap, float(np.abs(paid.gap / outlay).max()))

    def credit_rents(self, earned: list[tuple[Limit, float]], rerouted: np.ndarray) -> None:
        """Book every rent to whoever holds the right.

        Traders who re-route goods sit in the countries that still may buy from the exporter; their
        rent is shared by what those countries buy.

        Parameters
        ----------
        earned
            Limits with their rents, thousand USD.
        rerouted
            [market, origin, destination] arcs that are banned.
        """
        for limit, rent in earned:
            place = (limit.market, limit.origin)
            if limit.holder == "treasury":
                self.treasury[place] += rent
            elif limit.holder == "exporters":
                self.rent_income[place] += rent
            else:
                bought = np.where(rerouted[place], 0.0, self.flow[place])
                bought[limit.origin] = 0.0
                share = bought / bought.sum() if bought.sum() > 0 else np.eye(bought.size)[place[1]]
                self.rent_income[limit.market] += rent * share

    def _exact_sales(self, stage: StageRows, clearing: Clearing) -> np.ndarray:
        """Sales that add up to the flows to the last bit the solver left open."""
        market = self.world.firms.market[stage.firms]
        country = self.world.firms.country[stage.firms]
        sold = np.zeros(self.price.shape)
        sales = Offers.by_firm(clearing.sales)
        np.add.at(sold, (market, country), sales)
        shipped = self.flow.sum(axis=2)
        factor = np.divide(shipped, sold, out=np.ones_like(sold), where=sold > 0)
        return sales * factor[market, country]

    def produce(self, made: np.ndarray, firms: Table) -> None:
        """Add output to inventories and take sales out."""
        self.made = made
        firms.inventory[:] = np.maximum(firms.inventory + made - self.sales, 0.0)
        firms.output[:], firms.sales[:] = made, self.sales

    def consume_feed(self, state: State, traits: FirmTraits) -> None:
        """Refiners turn feed into product; what the yield leaves is lost."""
        world = self.world
        mineral = world.mineral_of_market[traits.market]
        feeds = traits.feeds
        eaten = np.where(feeds, self.made / world.refining_yield[mineral], 0.0)
        self.feed_used = np.zeros(self.price.shape)
        mined = world.mined_market[mineral]
        np.add.at(self.feed_used, (mined[feeds], traits.country[feeds]), eaten[feeds])
        state.stock[:, :, FEED] -= self.feed_used
        lost = np.where(feeds, eaten - self.made, 0.0)
        self.losses = np.bincount(mineral, lost, len(world.minerals))

    def release(self, state: State, given: np.ndarray, goods: np.ndarray) -> None:
        """Hand strategic stocks to buyers: `given` [mineral, country], `goods` by group."""
        state.stock[self.world.refined_market, :, STATE] -= given
        state.stock += goods

    def use_goods(self, state: State, desired: np.ndarray) -> None:
        """Final users take what they want, as far as it is there."""
        self.use = np.zeros(desired.shape)
        final = slice(1, STATE)
        self.use[:, :, final] = np.minimum(desired[:, :, final], state.stock[:, :, final])
        state.stock[:, :, final] -= self.use[:, :, final]

    def close(self, state: State, firms: Table, month: str) -> None:
        """Check the identities of tonnes and money.

        Raises
        ------
        BooksDoNotBalance
            Naming mineral or side, month and size of the gap.
        """
        world = self.world
        mineral = world.mineral_of_market[firms.market]
        refined_from_feed = world.is_refined[firms.market] & ~world.firms.recycler.astype(bool)
        refined_from_feed &= world.mined_market[mineral] >= 0
        from_nature = np.where(refined_from_feed, 0.0, self.made)
        produced = np.bincount(mineral, from_nature, len(world.minerals))
        rents = self.rent.sum(axis=(1, 2))
        credited = self.rent_income.sum(axis=1) + self.treasury.sum(axis=1)
        credited = credited - self.duty.sum(axis=(1, 2)) - self.export_tax.sum(axis=(1, 2))
        outlay = np.maximum(self.paid.sum(axis=(1, 2)), 1e-300)
        self.money_gap = max(self.money_gap, float((np.abs(rents - credited) / outlay).max()))
        used = np.bincount(world.mineral_of_market, self.use.sum(axis=(1, 2)), len(world.minerals))
        change = stocks_by_mineral(world, state, firms) - self.opening_stocks
        volume = np.maximum(produced + used, 1e-12 * np.maximum(self.opening_stocks, 1e-300))
        gap = np.abs(change - (produced - used - self.losses)) / volume
        self.tonnes_gap = float(gap.max())
        if not self.tonnes_gap <= BALANCE_TOLERANCE:
            worst = world.minerals[int(np.nanargmax(gap))]
            raise BooksDoNotBalance(
                f"{worst} in {month}: tonnes do not balance, gap {self.tonnes_gap:.3g} of volume"
            )
        if not self.money_gap <= BALANCE_TOLERANCE:
            raise BooksDoNotBalance(
                f"{month}: payments do not balance, gap {self.money_gap:.3g} of the outlay"
            )
