"""The state of a run: everything that carries over from one month to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from abm.agents.buyer import BuyerTraits
from abm.agents.firm import FirmTraits
from abm.agents.producer import dominance, shares_from
from abm.agents.table import Table
from abm.passes.accounts import add_up_held
from abm.scenario import DatedControl
from abm.world import LONGEST_VOYAGE, World

FEED = 0  # the buyer group of refiners
STATE = -1  # the buyer group of strategic stockpiles


@dataclass
class State:
    """Arrays that decisions read and never write. Tonnes, USD/kg."""

    stock: np.ndarray  # [market, country, group] on hand
    at_sea: np.ndarray  # [market, country, group, months to arrival]
    expected_price: np.ndarray  # [market, country] what buyers expect to pay
    price_growth: np.ndarray  # [market, country] monthly growth factor in the expected price
    customary_price: np.ndarray  # [market, country] what they have been used to pay
    risk: np.ndarray  # [market, country] perceived supply risk, 0 to 1
    familiarity: np.ndarray  # [market, origin, destination] habit, factor on sourcing weights
    known_size: np.ndarray  # [market, origin] capacity over its trend that buyers are used to
    feed_price: np.ndarray  # [market, country] mean price of the feed on hand
    planned_output: np.ndarray  # [market, country] output refiners buy feed for, t/month
    producer_price: np.ndarray  # [market, country] what firms have come to expect
    market_price: np.ndarray  # [market, country] what producers get, or would if they sold
    entry_price: np.ndarray  # [market, country] what newcomers have come to expect
    price_gap: np.ndarray  # [market, origin] price over cost of goods under a binding limit
    called_stock: np.ndarray  # [mineral, country] t in strategic stock when an emergency was called
    # Licence in force: [group] t of approvals not used yet, by the weight it counts.
    unused_approvals: dict[DatedControl, np.ndarray] = field(default_factory=dict)

    @property
    def position(self) -> np.ndarray:
        """[market, country, group] t on hand and at sea."""
        return add_up_held(self.stock, self.at_sea)


def buyer_traits(world: World) -> BuyerTraits:
    """Needs, elasticities and stocks of the buyer groups at the opening."""
    opening = world.opening
    shape = (len(world.markets), len(world.countries), len(world.sectors) + 2)
    need, elasticity, cover = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    need[:, :, FEED] = opening.feed_use
    need[:, :, 1:STATE] = opening.final_use
    elasticity[:] = world.parameters["demand_elasticity"][:, None, None]
    cover[:, :, :STATE] = world.parameters["buyer_cover_months"][:, None, None]
    bought = world.flow.sum(axis=1)
    months = (world.flow * world.voyage[None]).sum(axis=1)
    # Who bought nothing yet will buy as gravity says.
    transit = (world.share * world.voyage[None]).sum(axis=1)
    np.divide(months, bought, out=transit, where=bought > 0)
    return BuyerTraits(need, world.landed_price, elasticity, cover, transit)


def opening_state(world: World, traits: BuyerTraits, longest_voyage: int = LONGEST_VOYAGE) -> State:
    """The state that the 2024 average leaves: stocks at target, lanes full, prices as expected.

    No voyage of the run may take more months than `longest_voyage`.
    """
    at_sea = _opening_lanes(world, traits, longest_voyage)
    stock = traits.cover * traits.need
    refined = world.refined_market
    use = world.opening.final_use[refined].sum(axis=2)
    stock[refined, :, STATE] = world.stockpile_months * use
    primary = world.opening.supply - world.opening.recycled
    return State(
        stock=stock,
        at_sea=at_sea,
        expected_price=world.landed_price.copy(),
        price_growth=np.ones(world.landed_price.shape),
        customary_price=world.landed_price.copy(),
        risk=np.zeros(world.landed_price.shape),
        familiarity=np.ones(world.flow.shape),
        known_size=(world.opening.supply > 0).astype(float),
        feed_price=world.landed_price.copy(),
        planned_output=np.where(world.is_refined[:, None], primary, 0.0),
        producer_price=world.origin_price.copy(),
        market_price=world.origin_price.copy(),
        entry_price=world.origin_price.copy(),
        price_gap=np.ones(world.origin_price.shape),
        called_stock=np.zeros((len(world.minerals), len(world.countries))),
    )


def firm_table(world: World, traits: FirmTraits, reserves: np.ndarray) -> Table:
    """Rows of the firms: what a firm is, and the columns that change."""
    firms = world.firms
    return Table(
        name=firms.name,
        operator=firms.operator,
        parent=firms.parent,
        market=firms.market,
        country=firms.country,
        capacity=traits.capacity.copy(),
        running=np.zeros(traits.capacity.size),
        able=np.zeros(traits.capacity.size),
        offered=np.zeros(traits.capacity.size),
        low_ask=np.zeros(traits.capacity.size),
        high_ask=np.zeros(traits.capacity.size),
        expansion=np.ones(traits.capacity.size),
        working=np.ones(traits.capacity.size),
        months_below=np.zeros(traits.capacity.size),
        months_above=np.zeros(traits.capacity.size),
        reserves=reserves,
        inventory=traits.cover * firms.output,
        markup=np.zeros(traits.capacity.size),
        sales=firms.output.copy(),
        output=firms.output.copy(),
    )


def country_table(world: World, state: State) -> Table:
    """Rows of the countries. Columns of the second axis are minerals."""
    count, kinds = len(world.countries), len(world.minerals)
    refined = world.refined_market
    return Table(
        code=np.array(world.countries),
        stocking=np.zeros(count),
        stockpile=state.stock[refined, :, STATE].T.copy(),
        opening_cover=world.stockpile_months.T.copy(),
        trend_use=world.opening.final_use[refined].sum(axis=2).T.copy(),
        price_ratio=np.ones((count, kinds)),
        dearest=np.ones(count),
        short=np.zeros((count, kinds), dtype=bool),
        purchase_target=np.zeros((count, kinds)),
        candidate=np.zeros(count, dtype=bool),
        member=np.zeros(count, dtype=bool),
        commitment=np.ones(count),
        net_benefit=np.zeros(count),
        doubts=np.zeros(count, dtype=np.int64),
        wants_in=np.zeros(count, dtype=bool),
    )


def producer_table(world: World, options: int) -> Table:
    """Rows of the non-allied producers, who choose among so many options of export policy.

    The second axis is the market and the third the destination; of `policy` and `objective`, it is
    the mineral and the option.
    """
    rows = np.flatnonzero(world.non_allied)
    opening_markup = np.moveaxis(world.export_markup[:, rows, :], 1, 0)
    share = np.ascontiguousarray(shares_from(rows, world.flow, world.flow.sum(axis=1)))
    return Table(
        country=rows,
        markup=opening_markup.copy(),
        opening_markup=opening_markup.copy(),
        opening_power=np.stack([dominance(own, world.parameters) for own in share]),
        purchase_share=share,
        objective=np.full((rows.size, len(world.minerals), options), np.nan),
        policy=np.zeros((rows.size, len(world.minerals)), dtype=np.int64),
    )


def _opening_lanes(world: World, traits: BuyerTraits, longest_voyage: int) -> np.ndarray:
    """Goods at sea when every lane has carried its opening flow for ever."""
    bought = world.flow.sum(axis=1)
    group = np.divide(
        traits.need,
        bought[:, :, None],
        out=np.zeros_like(traits.need),
        where=bought[:, :, None] > 0,
    )
    lanes = np.zeros((*traits.need.shape, longest_voyage))
    for month in range(longest_voyage):
        afloat = (world.flow * (world.voyage > month)[None]).sum(axis=1)
        lanes[..., month] = afloat[:, :, None] * group
    return lanes


def opening_size(world: World) -> np.ndarray:
    """[market, origin] capacity that runs at the opening, t/month."""
    size = np.zeros((len(world.markets), len(world.countries)))
    np.add.at(size, (world.firms.market, world.firms.country), operating_capacity(world))
    return size


def operating_capacity(world: World) -> np.ndarray:
    """[firm] capacity of the firms that run at the opening, t/month."""
    return np.where(world.firms.output > 0, world.firms.capacity, 0.0)
