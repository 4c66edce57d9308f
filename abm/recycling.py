"""Products in use, the scrap they leave, and the recyclers that live on it.

What final users use is in products for years. Retired products are old scrap, what falls off in
making products is new scrap; a part of both is collected and goes to recyclers, whose output counts
as produced, as ever. Here is the account that says how much there is, so that no more is recycled
than was put into use. Axes: age (stage of life), mineral, country, sector.

Lifetimes are gamma distributed: a product passes through STAGES of equal mean length, the chain
that makes an Erlang distribution of ordinary flows (MacDonald 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from abm.agents.firm import FirmTraits
from abm.books import RECYCLED
from abm.config import Lifetimes, Recycling
from abm.final_use import FinalUse
from abm.passes.accounts import age_products, collect_scrap, follow_scrap
from abm.trend import Trend
from abm.world import MONTHS, World

if TYPE_CHECKING:
    from abm.model import MineralModel

STAGES = 4  # a standard deviation of half the mean life; 0.3 to 0.5 is usual for products
MOST_COLLECTED = 0.95  # share of what could be collected; assumed
DRAIN_MONTHS = 24.0  # in which recyclers plan to work off scrap beyond their usual stock; assumed


@dataclass(frozen=True)
class ScrapTraits:
    """What does not change during a run. Tonnes a month where nothing else is said."""

    ageing: np.ndarray  # [sector] share of a stage of life that moves on in a month
    collectable: np.ndarray  # [mineral] part of retired products that could be refined again
    opening_rate: np.ndarray  # [mineral] part of that collected at the opening
    new_scrap: np.ndarray  # [mineral] part of use that returns as new scrap
    route: np.ndarray  # [mineral, from, to] where collected scrap goes
    placed: np.ndarray  # [country] where products of the world's trade come into use
    opening_output: np.ndarray  # [mineral, country] recycled at the opening
    plan: np.ndarray  # [month, mineral, country] planned capacity of recyclers over the opening
    firms: np.ndarray  # [recycler] row of the firms
    firm_place: np.ndarray  # [recycler] cell of [mineral, country] tables, counted row by row


@dataclass
class Scrap:
    """The state of the account, and the flows of the last month. Tonnes."""

    in_use: np.ndarray  # [age, mineral, country, sector] in products
    stock: np.ndarray  # [mineral, country] at recyclers; infinite where nothing limits them
    rate: np.ndarray  # [mineral, country] part of collectable retired products that is collected
    support: np.ndarray  # [mineral, country] the same, by public support on top
    plant: np.ndarray  # [mineral, country] capacity of recyclers over its plan
    entered: np.ndarray  # [mineral, country, sector] t/month into use, less new scrap
    retired: np.ndarray  # [mineral, country, sector] t/month
    collected: np.ndarray  # [mineral, country] t/month old and new, by country of collection
    inflow: np.ndarray  # [mineral, country] t/month that reach recyclers


def lifetimes(settings: Lifetimes, sectors: tuple[str, ...]) -> np.ndarray:
    """[sector] mean life of products, years."""
    return np.array([getattr(settings, name) for name in sectors])


def scrap_account(
    world: World, use: FinalUse, settings: Recycling, firms: FirmTraits, trend: Trend
) -> tuple[ScrapTraits, Scrap]:
    """The account at the opening, when scrap collected equals what is recycled, country by country.

    Products in use are those that steady growth of use at the rate of each sector has left; so
    retired products grow at the same rate. Of recycled output, the share of old scrap is a
    parameter; where the old scrap of the world does not suffice for it, the rest is new scrap.
    """
    ageing = np.minimum(STAGES / (MONTHS * lifetimes(settings.lifetimes, world.sectors)), 1.0)
    growth = np.maximum((1.0 + world.growth) ** (1.0 / MONTHS) - 1.0, -0.5 * ageing[None])
    used = use.tonnes
    recycled = world.opening.recycled[world.refined_rows]
    # In steady growth a stage holds inflow / (ageing + growth) and hands on `ageing` of it.
    kept = ageing / (ageing + growth)  # [mineral, sector]
    part = kept**STAGES
    placed = world.industry / world.industry.sum()
    into_use = in_place(used, placed, settings.traded_products)
    returns = np.einsum("kcs,ks->k", into_use, part) * world.collectable_share
    rate, new = _opening_rates(recycled.sum(axis=1), used.sum(axis=(1, 2)), returns, world)
    entered = into_use * (1.0 - new)[:, None, None]
    stage = np.arange(1, STAGES + 1)[:, None, None]
    in_use = entered * (kept**stage / ageing)[:, :, None, :]
    retired = entered * part[:, None, :]
    old = (rate * world.collectable_share)[:, None] * retired.sum(axis=2)
    collected = old + new[:, None] * used.sum(axis=2)
    rows = np.flatnonzero(firms.recycles)
    traits = ScrapTraits(
        ageing=ageing,
        collectable=world.collectable_share,
        opening_rate=rate,
        new_scrap=new,
        route=scrap_routes(collected, recycled),
        placed=placed,
        opening_output=recycled,
        plan=_recycler_plan(world, firms, trend),
        firms=rows,
        firm_place=firms.mineral[rows] * len(world.countries) + firms.country[rows],
    )
    stock = (
        settings.scrap_months * recycled if settings.active else np.full_like(used[..., 0], np.inf)
    )
    return traits, Scrap(
        in_use=in_use,
        stock=stock,
        rate=np.repeat(rate[:, None], len(world.countries), axis=1),
        support=np.zeros(recycled.shape),
        plant=np.ones(recycled.shape),
        entered=entered,
        retired=retired,
        collected=collected,
        inflow=recycled.copy(),
    )


def _opening_rates(
    recycled: np.ndarray, used: np.ndarray, returns: np.ndarray, world: World
) -> tuple[np.ndarray, np.ndarray]:
    """[mineral] part of collectable old scrap collected, and part of use that is new scrap.

    Parameters
    ----------
    recycled, used
        [mineral] t/month of the world.
    returns
        [mineral] t/month of collectable old scrap, had all use gone into products.
    """
    whole = np.maximum(used, 1e-300)
    usual = (1.0 - world.old_scrap_share) * recycled / whole
    # More new scrap where even the most of old scrap would not do.
    forced = (recycled - MOST_COLLECTED * returns) / np.maximum(
        used - MOST_COLLECTED * returns, 1e-300
    )
    new = np.maximum(usual, forced)
    left = (1.0 - new) * returns
    old = np.maximum(recycled - new * used, 0.0)
    return np.divide(old, left, out=np.zeros_like(old), where=left > 0), new


def in_place(made: np.ndarray, placed: np.ndarray, traded: float) -> np.ndarray:
    """[mineral, country, sector] where products come into use: a part of all is traded world-wide.

    Parameters
    ----------
    made
        [mineral, country, sector] t/month that industry puts into products.
    placed
        [country] share of the traded products that each country takes.
    """
    world_wide = made.sum(axis=1, keepdims=True) * placed[None, :, None]
    return (1.0 - traded) * made + traded * world_wide


def scrap_routes(collected: np.ndarray, recycled: np.ndarray) -> np.ndarray:
    """[mineral, from, to] share of a country's scrap that goes to recyclers of each country.

    Scrap stays at home as far as recyclers there use it; the rest is shared by those who recycle
    more than is collected at home. At the opening every recycler thus receives what it makes.
    """
    kept = np.minimum(collected, recycled)
    lacking = recycled - kept
    total = lacking.sum(axis=1, keepdims=True)
    towards = np.divide(lacking, total, out=np.zeros_like(lacking), where=total > 0)
    sent = (collected - kept)[:, :, None] * towards[:, None, :]
    country = np.arange(collected.shape[1])
    sent[:, country, country] += kept
    leaving = sent.sum(axis=2, keepdims=True)
    shares = np.divide(sent, leaving, out=np.zeros_like(sent), where=leaving > 0)
    shares[:, country, country] += np.where(leaving[:, :, 0] > 0, 0.0, 1.0)
    return shares


def _recycler_plan(world: World, firms: FirmTraits, trend: Trend) -> np.ndarray:
    """[month, mineral, country] capacity planned for recyclers over that of the opening."""
    rows = np.flatnonzero(firms.recycles)
    kinds, places = len(world.minerals), len(world.countries)
    place = firms.mineral[rows] * places + firms.country[rows]
    opening = np.bincount(place, firms.capacity[rows], kinds * places)
    later = np.stack([np.bincount(place, each, kinds * places) for each in trend.capacity[:, rows]])
    ratio = np.divide(later, opening, out=np.ones(later.shape), where=opening > 0)
    return np.maximum(ratio, 1e-9).reshape(-1, kinds, places)


def retire(scrap: Scrap, traits: ScrapTraits, made: np.ndarray, traded: float) -> None:
    """Products age by a month; new ones come into use.

    Parameters
    ----------
    made
        [mineral, country, sector] t that industry used this month.
    """
    scrap.entered, scrap.retired = age_products(
        scrap.in_use, traits.ageing, made, traits.new_scrap, traits.placed, traded
    )


def collect(scrap: Scrap, traits: ScrapTraits, made: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Old and new scrap is collected and reaches recyclers; returns t collected with support.

    What support collects goes to recyclers of the countries that give it, by their opening output:
    they pay in order to have the metal. Where they have none, nothing is supported.

    Parameters
    ----------
    part
        [country] how far each takes part in joint support.
    """
    supported, scrap.collected, scrap.inflow = collect_scrap(
        scrap.retired,
        made,
        traits.collectable,
        traits.new_scrap,
        scrap.rate,
        scrap.support,
        traits.opening_output,
        part,
        traits.route,
    )
    return supported


def recycle(model: MineralModel) -> None:
    """Recyclers use up scrap, products retire, and scrap is collected for the month to come."""
    settings, scrap, traits = model.config.recycling, model.scrap, model.scrap_traits
    if not settings.active:
        return
    eaten = model.books.output[RECYCLED, model.world.refined_rows]
    made = model.books.final_use
    retire(scrap, traits, made, settings.traded_products)
    supported = collect(scrap, traits, made, model.part("research"))
    scrap.stock = np.maximum(scrap.stock - eaten, 0.0) + scrap.inflow
    pay_for_collection(model, supported)


def pay_for_collection(model: MineralModel, supported: np.ndarray) -> None:
    """Treasuries pay collectors for what support brings in."""
    cost = model.case.instruments.research.collection_cost
    amount = np.zeros(model.books.price.shape)
    refined = model.world.refined_rows
    amount[refined] = supported * cost * model.world.world_price[refined, None]
    model.books.ledger.post("recycling_support", amount)


def adapt_recycling(model: MineralModel, dear: np.ndarray) -> None:
    """Collection follows the price, support its target, and recyclers' plants the scrap.

    What is worth collecting grows with the price by the elasticity, up to a ceiling. Members lift
    collection towards a target over some years, as far as the price does not bring it in. Plants
    follow the scrap that arrives, and what lies there beyond the usual stock: up over the time it
    takes to build, down at the pace at which plant wears out.

    Parameters
    ----------
    dear
        [mineral, country] price of what final users buy over that of the opening.
    """
    settings, scrap, traits = model.config.recycling, model.scrap, model.scrap_traits
    if not settings.active:
        return
    research, month = model.case.instruments.research, min(model.month + 1, model.months - 1)
    follow_scrap(
        scrap.rate,
        scrap.support,
        scrap.plant,
        dear,
        traits.opening_rate,
        settings.collection_elasticity,
        MOST_COLLECTED,
        settings.collection_months,
        model.part("research"),
        research.collection_target,
        research.collection_years * MONTHS,
        scrap.inflow,
        (scrap.stock - settings.scrap_months * scrap.inflow) / DRAIN_MONTHS,
        traits.opening_output,
        traits.plan[month],
        settings.plant_months,
        model.behaviour.attrition_years * MONTHS,
    )
    model.firms.expansion[traits.firms] = scrap.plant.ravel()[traits.firm_place]


def scrap_limit(model: MineralModel) -> np.ndarray:
    """[market, country] t/month that the scrap at hand allows recyclers to make, refined rows."""
    limit, refined = np.empty(model.state.risk.shape), model.world.refined_rows
    limit[: refined.start], limit[refined] = np.inf, model.scrap.stock
    return limit
