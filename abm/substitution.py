"""Intensity of use: how much of a mineral a product takes, which dear years lower for good.

While the price is well above what users have been used to over many years, they redesign products:
they thrift, coat, recycle in-house, change the alloy. The knowledge stays when the price returns,
so intensity falls over years and comes back, if at all, over decades (a ratchet). This is the
long-run answer of demand, on top of the immediate and reversible one of the clearing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from abm.config import Substitution
from abm.final_use import FinalUse
from abm.passes.accounts import redesign
from abm.policy.research import grown_knowledge, progress, research_budget
from abm.world import MONTHS, World

if TYPE_CHECKING:
    from abm.model import MineralModel


@dataclass
class Technology:
    """What users have learnt."""

    norm: np.ndarray  # [mineral, country] long-run price over that of the opening
    knowledge: np.ndarray  # [mineral] million USD of research that is not yet stale
    weight: np.ndarray  # [mineral, country, sector] share of the world's use at the opening
    pace: np.ndarray  # [sector] share of the way that a redesign goes in a month, without research


def opening_technology(world: World, use: FinalUse, settings: Substitution) -> Technology:
    """Opening prices are the norm, and no joint research has been done."""
    used = use.tonnes
    years = np.full(len(world.sectors), settings.redesign_years)
    years[world.sectors.index("defence")] = settings.defence_years
    total, places = used.sum(axis=1, keepdims=True), used.shape[1]
    return Technology(
        norm=np.ones(used.shape[:2]),
        knowledge=np.zeros(len(world.minerals)),
        weight=np.divide(used, total, out=np.full_like(used, 1.0 / places), where=total > 0),
        pace=1.0 / (years * MONTHS),
    )


def adapt_intensity(model: MineralModel, dear: np.ndarray) -> None:
    """Users redesign products, faster with research; the long memory of prices moves on.

    Parameters
    ----------
    dear
        [mineral, country] price of what final users buy over that of the opening.
    """
    settings, technology = model.config.substitution, model.technology
    if not settings.active:
        return
    model.intensity = next_intensity(
        model.intensity,
        dear / technology.norm,
        technology.weight,
        technology.pace,
        1.0 + model.case.instruments.research.speed * research_progress(model),
        settings,
    )
    technology.norm = technology.norm + settings.norm_memory * (dear - technology.norm)


def next_intensity(
    intensity: np.ndarray,
    ratio: np.ndarray,
    weight: np.ndarray,
    pace: np.ndarray,
    faster: np.ndarray,
    settings: Substitution,
) -> np.ndarray:
    """[mineral, country, sector] next month's intensity.

    Users aim at an intensity of constant elasticity in the price beyond a threshold, below which a
    redesign does not pay.

    Parameters
    ----------
    ratio
        [mineral, country] price over the long-run norm.
    weight
        [mineral, country, sector] shares of the world's use, for the savings that spread.
    pace, faster
        [sector] share of the way down in a month, and [mineral, country] by how much research
        multiplies it, at most to all of the way.
    """
    return redesign(
        intensity,
        ratio,
        weight,
        pace,
        faster,
        settings.threshold,
        settings.elasticity,
        settings.floor,
        settings.spillover,
        1.0 / (settings.return_years * MONTHS),
    )


def research_progress(model: MineralModel) -> np.ndarray:
    """[mineral, country] share of the greatest effect of research that is reached."""
    return progress(
        model.technology.knowledge, model.part("research"), model.case.instruments.research
    )


def fund_research(model: MineralModel) -> None:
    """Members pay for the month's research, and knowledge grows by it."""
    technology = model.technology
    if not model.anyone("research") and not technology.knowledge.any():
        return
    settings, part = model.case.instruments.research, model.part("research")
    budget = research_budget(part, model.world.industry, settings)
    if budget.any():
        amount = np.zeros(model.books.price.shape)
        amount[model.world.refined_rows] = budget
        model.books.ledger.post("research", amount)
    spent = np.full(technology.knowledge.size, budget.sum())
    technology.knowledge = grown_knowledge(technology.knowledge, spent, settings)
