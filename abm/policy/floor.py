"""Price floors: a levy at the members' border, or contracts for difference with their producers.

A floor at the border lifts what members pay to outsiders, and the levy goes to their treasuries. A
contract pays producers what the market price falls short of the strike, and takes back part of
what it exceeds it by: buyers pay no more, treasuries pay the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.agents.project import longrun_cost
from abm.config import Config, FloorBasis, FloorVariant, PriceFloor
from abm.scenario import named_markets
from abm.world import World

if TYPE_CHECKING:
    from abm.model import MineralModel


def guaranteed_price(world: World, config: Config) -> np.ndarray:
    """[market] USD/kg of the floor or strike; zero where there is none.

    Raises
    ------
    ConfigError
        For a mineral that is not in this world.
    """
    settings = config.instruments.price_floor
    path = "instruments.price_floor"
    rows = named_markets(path, settings.minerals, settings.stages, world)
    basis = world.world_price
    if settings.basis is FloorBasis.cost:
        basis = longrun_cost(world, config.projects)
    price = np.zeros(len(world.markets))
    price[rows] = settings.level * basis[rows]
    return price


def border_floor(price: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[market, origin, destination] USD/kg below which imports from outside may not land.

    Parameters
    ----------
    price
        [market] USD/kg.
    part
        [country] how far each country takes part, 0 to 1: a half member holds half the floor, and
        is half exempt from it.
    """
    arcs = (1.0 - part)[:, None] * part[None, :]
    np.fill_diagonal(arcs, 0.0)
    return price[:, None, None] * arcs


def hold_floor(model: MineralModel) -> None:
    """Put the border floor of the month in force; the array stays while nobody's part changes."""
    part = model.part("price_floor")
    if (
        part is model.behind_floor
        or model.case.instruments.price_floor.variant is not FloorVariant.border
    ):
        return
    if not np.array_equal(part, model.behind_floor):
        model.floor_price = border_floor(model.guaranteed_price, part)
    model.behind_floor = part


def contract_gap(strike: np.ndarray, price: np.ndarray, payback: float) -> np.ndarray:
    """USD/kg that a contract pays at a market price; negative where the producer pays back.

    Parameters
    ----------
    strike
        USD/kg; zero where there is no contract.
    price
        USD/kg on the market.
    payback
        Share of the price above the strike that is paid back.
    """
    gap = strike - price
    paid = np.maximum(gap, 0.0) + payback * np.minimum(gap, 0.0)
    return np.where(strike > 0, paid, 0.0)


def strike_support(model: MineralModel) -> np.ndarray:
    """[firm] USD/kg that contracts add to what firms of members earn on their sales.

    A contract covers a volume: a share of what the plant makes in normal times, without the
    capacity that support itself has called forth. What is sold beyond it thins the support out. The
    price that settles a contract is that of the month before: an index settles nothing before it
    is published.
    """
    settings, traits, firms = (
        model.case.instruments.price_floor,
        model.firm_traits,
        model.firms,
    )
    covered = model.part("price_floor")
    if settings.variant is not FloorVariant.contracts or not covered.any():
        return model.no_aid
    strike = model.guaranteed_price[:, None]
    gap = covered * contract_gap(strike, model.state.market_price, settings.payback)
    volume = settings.output_share * traits.normal_use * firms.capacity / firms.expansion
    share = np.minimum(volume / np.maximum(firms.sales, 1e-300), settings.output_share)
    return traits.here(gap) * share


def pay_support(model: MineralModel) -> None:
    """Treasuries pay the producers, or producers the treasuries, on what was sold."""
    if model.support is model.no_aid:
        return
    books, traits = model.books, model.firm_traits
    due = traits.by_place(model.support * books.sales, books.price.shape)
    if due.any():
        paid, back = np.maximum(due, 0.0), np.maximum(-due, 0.0)
        books.ledger.post("strike_payments", paid)
        books.ledger.post("strike_payback", back)


def assured_price(
    price: np.ndarray, floor: np.ndarray, part: np.ndarray, settings: PriceFloor
) -> np.ndarray:
    """USD/kg that an owner counts on: an expected market price, and what the instrument adds.

    Behind a border floor a member's own producers are not undersold, so they count on no less than
    the floor; under a contract they count on its payments.

    Parameters
    ----------
    price
        USD/kg expected on the market.
    floor
        USD/kg of the floor or strike; zero where there is none.
    part
        How far the country takes part, 0 to 1.
    """
    if settings.variant is FloorVariant.contracts:
        return price + part * settings.output_share * contract_gap(floor, price, settings.payback)
    return price + part * np.maximum(floor - price, 0.0)
