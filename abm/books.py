"""The books of a month: what was made, sold, shipped, used and paid, and that it all adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from abm.agents import firm
from abm.agents.firm import FirmTraits, Supply
from abm.agents.table import Table
from abm.ledger import Ledger
from abm.market import Clearing
from abm.passes.accounts import add_up_stocks, mean_price, use_up
from abm.passes.trading import book_flows, credit_rents, send_off
from abm.policy.controls import Limit
from abm.state import State
from abm.trade import BUYERS_SIDE, SELLERS_SIDE, StageRows, TradeTerms
from abm.world import World

BALANCE_TOLERANCE = 1e-9  # of the month's volume
HOLDERS = ("exporters", "treasury", "traders")  # of the right to export; traders are the last
OF_FEED, RECYCLED = range(2)  # what firms made, but for what they mined


class BooksDoNotBalance(RuntimeError):
    """Tonnes or dollars went missing: a defect of the model, never of the input."""


def ship(
    state: State, voyage: np.ndarray, rows: slice, flow: np.ndarray, bought: np.ndarray
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
    send_off(flow, voyage, bought, state.stock[rows], state.at_sea[rows])


def stocks_by_mineral(world: World, state: State, firms: Table, traits: FirmTraits) -> np.ndarray:
    """[mineral] all tonnes in stock, at sea and with producers."""
    return add_up_stocks(
        state.stock,
        state.at_sea,
        traits.offset,
        firms.inventory,
        world.mineral_of_market,
        len(world.minerals),
    )


@dataclass
class Books:
    """One month. Tonnes; money in thousand USD."""

    world: World
    opening_stocks: np.ndarray  # [mineral]
    flow: np.ndarray  # [market, origin, destination]
    paid: np.ndarray  # the same axes: outlay
    by_buyer: np.ndarray  # [BUYERS_SIDE, market, country] t and money of the buyers
    by_seller: np.ndarray  # [SELLERS_SIDE, market, country] t and money of the sellers
    ledger: Ledger  # who paid whom
    price: np.ndarray  # [market, country] landed price index, USD/kg
    origin_price: np.ndarray  # [market, country] USD/kg
    by_holder: np.ndarray  # [given or taken, HOLDERS, market, country] rents
    sales: np.ndarray  # [firm] the column of the firms
    made: np.ndarray  # [firm] the same
    taken: np.ndarray  # [market, country, group] t bought by each group
    rebate: np.ndarray  # [market, country] what contracts make cheaper
    average_price: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [market, country]
    output: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [kind, market, country]
    fresh: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [mineral] not made of feed
    use: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [market, country, group]
    final_use: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [mineral, country, sector]
    feed_used: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [market, country]
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [mineral]
    # What buyers pay in rents and who gets them, by holder, if any: [market, country] each.
    rents: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    certificate: float = 0.0
    iterations: int = 0
    money_gap: float = 0.0
    tonnes_gap: float = 0.0

    def __post_init__(self) -> None:
        self.bought, self.spent, self.duty, self.rent = self.by_buyer[:4]
        self.carriage, self.compliance, self.levy, self.taxed, self.goods = self.by_buyer[4:]
        self.sold, self.export_tax, self.origin_rent = self.by_seller[:3]
        self.limited_outlay, self.receipts = self.by_seller[3:]

    @classmethod
    def open(cls, world: World, state: State, firms: Table, traits: FirmTraits) -> Books:
        """Take stock at the start of a month."""
        arcs, places = world.flow.shape, world.landed_price.shape
        return cls(
            world=world,
            opening_stocks=stocks_by_mineral(world, state, firms, traits),
            flow=np.zeros(arcs),
            paid=np.zeros(arcs),
            by_buyer=np.zeros((len(BUYERS_SIDE), *places)),
            by_seller=np.zeros((len(SELLERS_SIDE), *places)),
            ledger=Ledger(places),
            price=np.zeros(places),
            origin_price=np.full(places, np.nan),
            by_holder=np.zeros((2, len(HOLDERS), *places)),
            sales=firms.sales,
            made=firms.output,
            taken=np.zeros(state.stock.shape),
            rebate=np.zeros(places),
        )

    def enter(self, stage: StageRows, clearing: Clearing, terms: TradeTerms) -> None:
        """Book the trade of one stage, and split every dollar that its buyers pay.

        The outlay is what the market says buyers pay; its parts are computed without that price,
        from what sellers ask, so that their sum is a check.
        """
        rows, border = stage.markets, terms.border
        limits = border.limits[stage.refined]
        over = book_flows(
            rows.start,
            clearing.flow,
            clearing.delivered_price,
            clearing.origin_price,
            clearing.rent,
            limits.limit,
            limits.market,
            limits.origin,
            limits.destination,
            border.terms.controls.unit,
            terms.markup,
            border.terms.controls.tax,
            border.tariff,
            border.terms.lanes.freight,
            border.terms.controls.detour,
            border.terms.compliance,
            border.terms.floor,
            self.flow,
            self.paid,
            self.by_buyer,
            self.by_seller,
        )
        self.money_gap = float(np.maximum(self.money_gap, over))  # NaN stays
        self.price[rows] = clearing.landed_price
        self.origin_price[rows] = clearing.origin_price
        self.certificate = max(self.certificate, float(clearing.residual.max()))
        self.iterations += int(clearing.iterations.sum())

    def post_trade(self, choke: np.ndarray) -> None:
        """Enter what the buyers of all stages have paid, and note the mean price of each country.

        Where nothing was bought, that is the price index buyers faced, at most the choke price
        [market, country].
        """
        self.average_price = mean_price(self.spent, self.bought, self.price, choke)
        post = self.ledger.post
        post("goods", self.goods, self.receipts)
        post("export_tax", self.taxed, self.export_tax)
        post("duty", self.duty)
        post("floor_levy", self.levy)
        post("carriage", self.carriage)
        post("compliance", self.compliance)
        for holder, (given, taken) in self.rents.items():
            post(f"rents_of_{holder}", given, taken)

    def credit_rents(
        self, stage: StageRows, clearing: Clearing, terms: TradeTerms, limits: Sequence[Limit]
    ) -> None:
        """Book every rent to whoever holds the right.

        Traders who re-route goods sit in the countries that still may buy from the exporter; their
        rent is shared by what those countries buy. Smugglers past a quota sit in the exporter's.

        Parameters
        ----------
        limits
            Those in force in the stage, in the order of its limited arcs.
        """
        arcs, controls = terms.border.limits[stage.refined], terms.border.terms.controls
        shares = [limit.holders for limit in limits]
        given, taken = self.by_holder
        credit_rents(
            stage.markets.start,
            clearing.rent,
            arcs.limit,
            arcs.market,
            arcs.origin,
            arcs.destination,
            controls.unit,
            np.array([[share.get(holder, 0.0) for holder in HOLDERS] for share in shares]),
            self.flow,
            controls.rerouted,
            given,
            taken,
        )
        for row, holder in enumerate(HOLDERS):
            if given[row].any():
                self.rents[holder] = given[row], taken[row]

    def rents_received(self, holder: str) -> np.ndarray:
        """[market, country] rents of one kind of holder, thousand USD."""
        return self.ledger.received(f"rents_of_{holder}")

    def sell(self, stage: StageRows, supply: Supply) -> None:
        """Note what the firms of a stage sold: what their asks say, matched to the flows."""
        sales = self.sales[stage.firms]
        firm.sell(sales, self.origin_price, self.sold, supply, stage.firm_traits)

    def produce(self, firms: Table, traits: FirmTraits, adjustment_months: float) -> None:
        """Firms make what they sold and part of what their inventories lack."""
        output, self.fresh = firm.produce(
            self.made,
            firms.inventory,
            self.sales,
            firms.running,
            firms.capacity,
            traits,
            adjustment_months,
            len(self.world.minerals),
        )
        self.output = output.reshape(-1, *self.price.shape)

    def use_goods(
        self, state: State, given: np.ndarray, goods: np.ndarray, desired: np.ndarray
    ) -> None:
        """Refiners turn feed into product, states hand over stock, and users take what they want.

        What the yield leaves of feed is lost; users get what they want as far as it is there.

        Parameters
        ----------
        given
            [mineral, country] t that states release.
        goods, desired
            [market, country, group] t of it that buyers receive, and what they want to use.
        """
        world = self.world
        self.use, self.final_use, self.feed_used, self.losses = use_up(
            state.stock,
            desired,
            goods,
            given,
            self.output[OF_FEED],
            world.mined_market,
            world.refining_yield,
            world.mineral_of_market,
        )

    def close(self, state: State, firms: Table, traits: FirmTraits, month: str) -> None:
        """Check the identities of tonnes and money.

        Raises
        ------
        BooksDoNotBalance
            Naming mineral or side, month and size of the gap.
        """
        world = self.world
        lost_rent = self.rent.sum(axis=1)
        for _, received in self.rents.values():
            lost_rent -= received.sum(axis=1)
        self._note_money_gap(lost_rent, self.spent.sum(axis=1))
        used = self.final_use.sum(axis=(1, 2))
        change = stocks_by_mineral(world, state, firms, traits) - self.opening_stocks
        # Where all plants stand idle and no need is left, rounding of the stocks is all there is.
        volume = np.maximum(self.fresh + used, 1e-5 * np.maximum(self.opening_stocks, 1e-300))
        gap = np.abs(change - (self.fresh - used - self.losses)) / volume
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

    def _note_money_gap(self, gap: np.ndarray, outlay: np.ndarray) -> None:
        """Keep the largest gap of a market, as a share of its outlay; NaN counts as the largest."""
        share = np.abs(gap) / np.maximum(outlay, 1e-300)
        self.money_gap = float(np.maximum(self.money_gap, share.max()))
