"""Final use of minerals, whatever the stage at which they are bought, and how dear it became."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.passes.accounts import compare_prices
from abm.world import World


@dataclass(frozen=True)
class FinalUse:
    """Use at the opening, which weighs prices of the two stages and of the countries."""

    tonnes: np.ndarray  # [mineral, country, sector] t/month
    stage_share: np.ndarray  # [market, country] of a country's use of the mineral
    world_share: np.ndarray  # [mineral, country] of the world's use


def opening_final_use(world: World) -> FinalUse:
    """Final use at the opening."""
    by_stage = world.opening.final_use.sum(axis=2)
    tonnes = by_mineral(world, world.opening.final_use)
    used = tonnes.sum(axis=2)
    here = used[world.mineral_of_market]
    return FinalUse(
        tonnes=tonnes,
        stage_share=np.divide(by_stage, here, out=np.zeros_like(here), where=here > 0),
        world_share=used / used.sum(axis=1, keepdims=True),
    )


def by_mineral(world: World, values: np.ndarray) -> np.ndarray:
    """[mineral, …] of [market, …]: both stages together."""
    total = values[world.refined_rows].copy()
    chain = world.chain
    total[world.mineral_of_market[chain.mined]] += values[chain.mined]
    return total


def dearness(world: World, use: FinalUse, price: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """[mineral, country] price of what final users buy, as a multiple of the opening.

    Countries that use nothing have no price of their own; they see the world's mean.

    Parameters
    ----------
    price, reference
        [market, country] USD/kg, now and at the opening.
    """
    return compare_prices(
        price, reference, use.stage_share, use.world_share, world.mineral_of_market
    )
