"""Plants over their life: idled and restarted, mined out, expanded, and bound to a host metal.

Firms are rows; every rule moves all of them at once. All arrays are [firm] unless the comment says
otherwise. The rules decide how much of the planned capacity exists and runs; what it offers and at
which price stands in `abm.agents.firm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.agents.firm import MOST_CAPACITY, PRICE_RATIOS, FirmTraits
from abm.agents.table import Table
from abm.config import Depletion, Entry, HostMetals, Idling, Planning
from abm.passes.planning import build_and_wear, foreseen_fall, stop_and_restart
from abm.world import MONTHS, World

DEAREST_PLANT = 0.95  # of the opening price: who ran at the opening covered its cost; assumed


@dataclass(frozen=True)
class PlantLives:
    """What is known of the plants at the opening and does not change."""

    variable_cost: np.ndarray  # USD/kg; minus infinity: nobody ever idles
    patience: np.ndarray  # months of loss before a plant stops
    decline_years: np.ndarray  # of output left, from which a mine declines
    host_ceiling: np.ndarray  # t/month at the opening; infinite: no host
    capital_cost: np.ndarray  # thousand USD for a t/month
    flexibility: np.ndarray  # [market] elasticity of demand and supply together


def plant_lives(world: World, traits: FirmTraits, planning: Planning) -> PlantLives:
    """The plants under the switches of a run; what is off is no limit."""
    nobody = np.full(traits.capacity.size, np.inf)
    idling, hosts = planning.idling, planning.host_metals
    left = years_left(opening_reserves(world, traits, planning.depletion), traits.capacity, traits)
    cost = variable_costs(world, traits, idling)
    return PlantLives(
        variable_cost=cost if idling.active else -nobody,
        patience=patience(cost, traits, idling),
        decline_years=np.minimum(left, planning.depletion.decline_years),
        host_ceiling=host_ceiling(world, traits, hosts) if hosts.active else nobody,
        capital_cost=capital_cost(traits, planning.entry),
        flexibility=world.parameters["demand_elasticity"] + world.parameters["supply_elasticity"],
    )


# Idling and restart ----------------------------------------------------------------------------


def variable_costs(world: World, traits: FirmTraits, settings: Idling) -> np.ndarray:
    """USD/kg a firm saves by not producing, at the opening.

    The reported cash cost where there is one. Elsewhere the firms of a market form a straight cost
    curve from `cost_share - cost_spread` to `cost_share + cost_spread` of the opening price, along
    their cumulative capacity from the largest to the smallest: scale is cheap.
    """
    along = along_market(-traits.capacity, traits)
    share = settings.cost_share + settings.cost_spread * (2.0 * along - 1.0)
    reported = world.firms.cash_cost
    cost = np.where(np.isnan(reported), share * traits.price, reported)
    return np.minimum(cost, DEAREST_PLANT * traits.price)


def along_market(key: np.ndarray, traits: FirmTraits) -> np.ndarray:
    """Place of a firm in its market ordered by `key`: share of the capacity up to its middle."""
    order = np.lexsort((key, traits.market))
    capacity, market = traits.capacity[order], traits.market[order]
    total = np.bincount(traits.market, traits.capacity)
    before = np.concatenate([[0.0], np.cumsum(total)])[market]
    along = np.empty(capacity.size)
    along[order] = np.cumsum(capacity) - capacity / 2.0 - before
    return along / np.maximum(total, 1e-300)[traits.market]


def patience(cost: np.ndarray, traits: FirmTraits, settings: Idling) -> np.ndarray:
    """Months of loss that a plant bears: `loss_months` the dearest, a multiple the cheapest.

    Without the difference a whole market would stop in the same month.
    """
    along = along_market(cost / traits.price, traits)
    return settings.loss_months * (1.0 + (settings.deep_pockets - 1.0) * (1.0 - along))


def run_plants(
    firms: Table,
    price: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    rise: np.ndarray,
    traits: FirmTraits,
    lives: PlantLives,
    settings: Idling,
) -> None:
    """Count months of loss and of restart prices, and move the share of capacity that works.

    A firm whose patience is over runs down step by step, and one that restarts runs up so. Between
    the variable cost and the restart price nothing changes: plants that work go on, those that
    stand idle wait (the hysteresis of entry and exit, Dixit 1989).

    Parameters
    ----------
    firms
        Columns `months_below` and `months_above` are the months in a row with a price below the
        variable cost, and at or above the restart price; who has no capacity loses nothing.
    price
        [market, country] USD/kg earned this month.
    support, premium
        USD/kg that support and certified goods bring.
    rise
        [market, country] USD/kg by which feed has become dearer, per kg of product.
    """
    stop_and_restart(
        price.ravel(),
        support,
        premium,
        lives.variable_cost,
        rise.ravel(),
        traits.feeds,
        traits.place,
        firms.capacity,
        lives.patience,
        settings.restart_margin,
        float(settings.restart_months),
        settings.pace,
        firms.months_below,
        firms.months_above,
        firms.working,
    )


# Depletion -------------------------------------------------------------------------------------
#
# Output falls in proportion to what is left once that is worth fewer than `decline_years` of
# output, so that the ground is never empty (the exponential decline of a field, Arps 1945).


def opening_reserves(world: World, traits: FirmTraits, settings: Depletion) -> np.ndarray:
    """t in the ground: a country's reserves shared over its mines by capacity.

    Infinite for refineries, recyclers and mines of countries without listed reserves.
    """
    mines = ~world.is_refined[traits.market] & settings.active
    national = traits.by_place(traits.capacity * mines, world.landed_price.shape)
    reserves = world.reserves[traits.mineral, traits.country]
    known = mines & (reserves > 0.0) & (traits.capacity > 0.0)
    share = np.divide(traits.capacity, traits.here(national), out=np.zeros(known.size), where=known)
    return np.where(known, share * np.where(known, reserves, 0.0), np.inf)


def years_left(reserves: np.ndarray, planned: np.ndarray, traits: FirmTraits) -> np.ndarray:
    """Reserves over a year of normal output of the planned capacity; infinite without plan."""
    yearly = MONTHS * planned * traits.normal_use
    return np.divide(reserves, yearly, out=np.full(yearly.size, np.inf), where=yearly > 0)


# Host metals -----------------------------------------------------------------------------------


def host_ceiling(world: World, traits: FirmTraits, settings: HostMetals) -> np.ndarray:
    """t/month that the host metal allows a by-product plant at the opening; infinite for others."""
    bound = world.by_product[traits.mineral] & ~world.firms.recycler.astype(bool)
    most = world.parameters["byproduct_ceiling"][traits.market] * settings.scale
    return np.where(bound, traits.capacity * np.maximum(most, 1.0), np.inf)


# Entry -----------------------------------------------------------------------------------------


def annuity(rate: float, years: float) -> float:
    """Present value of one dollar a year for so many years."""
    return years if rate == 0.0 else (1.0 - (1.0 + rate) ** -years) / rate


def break_even(settings: Entry) -> float:
    """Price over the opening one at which new capacity just pays at today's cost of capital.

    New capacity costs what the opening margin repays over its life at the opening cost of capital,
    so net present value is zero at opening prices; running costs stay, the margin scales.
    """
    before = annuity(settings.opening_cost_of_capital, settings.life_years)
    now = annuity(settings.cost_of_capital, settings.life_years)
    return settings.running_share + (1.0 - settings.running_share) * before / now


def capital_cost(traits: FirmTraits, settings: Entry) -> np.ndarray:
    """Thousand USD for a t/month of new capacity."""
    margin = (1.0 - settings.running_share) * traits.price
    return MONTHS * margin * annuity(settings.opening_cost_of_capital, settings.life_years)


@dataclass
class Pipeline:
    """Capacity under construction, as shares of the planned capacity; one cohort a month.

    Months of completion are counted round and round.
    """

    coming: np.ndarray  # [firm, month of completion]
    lead: np.ndarray  # [firm] whole months from decision to output
    building: np.ndarray  # [firm] sum of all cohorts
    soon: np.ndarray  # [firm] whole months to output where a running site is expanded
    brownfield: float  # share of new capacity that expands running sites

    @classmethod
    def empty(cls, traits: FirmTraits, settings: Entry) -> Pipeline:
        """Nothing under construction; no room either where nothing will ever be."""
        lead = np.maximum(np.rint(traits.lead_months), 1.0).astype(np.int64)
        soon = np.maximum(np.rint(settings.brownfield_time * lead), 1.0).astype(np.int64)
        rows = int(lead.max(initial=1)) if settings.active else 0
        nothing = np.zeros(lead.size)
        return cls(np.zeros((lead.size, rows)), lead, nothing, soon, settings.brownfield_share)


def move_pipeline(
    pipeline: Pipeline,
    month: int,
    firms: Table,
    price: np.ndarray,
    support: np.ndarray,
    premium: np.ndarray,
    planned: np.ndarray,
    grown: float,
    traits: FirmTraits,
    lives: PlantLives,
    settings: Entry,
    attrition_months: float,
) -> None:
    """A month of entry: capacity is decided on, given up, completed, and wears out.

    - Firms reckon with a share, the foresight, of the fall of the price once what the whole market
      is building has come: capacity that grows by a hundredth lowers the price by a hundredth over
      the elasticities of demand and supply together.
    - Part of what lacks of the capacity wanted at that price is begun, within the room there is:
      host metals leave by-products no more than their growth, and nobody expands a mine that runs
      out. It produces after the lead time, at running sites sooner.
    - A share of the cohorts that are worth less than what is still to be spent is given up.
      Spending is even over construction and sunk once made, so what is nearly built is finished at
      prices at which nothing is begun. Worth is the present value of the dearest project begun
      over its cost: capacity is worth having from the price at which the long-run supply curve
      wants it, and at that price the dearest project just pays.
    - What is more than the price of today wants wears out.

    Parameters
    ----------
    firms
        Columns `expansion`, capacity over its plan, which moves, and `reserves`.
    price
        [market, country] USD/kg that firms have come to expect.
    support, premium
        USD/kg that support and certified goods bring.
    planned
        t/month.
    grown
        Host metals over those of the opening.
    """
    fall = foreseen_fall(
        planned,
        firms.expansion,
        pipeline.building,
        traits.market,
        -settings.foresight / lives.flexibility,
    )
    build_and_wear(
        month,
        price.ravel(),
        support,
        premium,
        traits.place,
        fall,
        traits.market,
        traits.price,
        break_even(settings),
        traits.expansion,
        PRICE_RATIOS,
        MOST_CAPACITY,
        planned,
        firms.reserves,
        traits.normal_use,
        lives.decline_years,
        lives.host_ceiling,
        grown,
        float(MONTHS),
        settings.decision_months,
        settings.running_share,
        settings.cancel_trigger,
        settings.cancel_share,
        attrition_months,
        pipeline.brownfield,
        pipeline.lead,
        pipeline.soon,
        pipeline.coming,
        pipeline.building,
        firms.expansion,
    )
