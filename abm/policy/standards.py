"""Environmental and social standards among members, and material that can be traced.

Whoever sells to a member pays for the audit and for what its country lacks against the standard.
Origins below the least score cannot be certified: their goods pay a levy or are kept out. Certified
sellers earn a premium from members' buyers, who hold certified goods worth it and so do not turn
away from them. Tracing shows members part of what was re-routed around an export control.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from abm.config import Standards, Treatment
from abm.world import KG, World


@dataclass(frozen=True)
class StandardTerms:
    """What standards do at the border; the same until a member's part in them changes.

    Arrays are [market, origin, destination] unless the comment says otherwise.
    """

    strength: np.ndarray  # [destination] part taken in the standards, times the phase-in
    compliance: np.ndarray  # USD/kg of audits, upgrades and tracing, paid to services
    premium: np.ndarray  # fraction of the seller's price, paid to the seller
    levy: np.ndarray  # fraction of the border price, paid to the treasury of the importer
    appeal: np.ndarray  # log of the factor on the sourcing weight
    traced: np.ndarray  # [destination] share of re-routed goods that is seen and refused
    certified: np.ndarray  # [origin, destination] share of the goods that meets the standard

    @cached_property
    def asked(self) -> bool:
        """Whether any country asks sellers to meet the standard."""
        return bool(self.strength.any())


def phase_in(settings: Standards, begins: int, month: int) -> float:
    """How far the standards are in force, 0 to 1: they begin in a month and rise evenly."""
    return min(max((month - begins + 1) / max(settings.phase_in_months, 1), 0.0), 1.0)


def standard_terms(
    world: World, settings: Standards, strength: np.ndarray, before: StandardTerms | None
) -> StandardTerms:
    """Costs, premia, levies and tracing for members of such strength [destination]."""
    if before and np.array_equal(before.strength, strength):
        return before
    score = world.standard_score
    eligible = score >= min(settings.least_score, settings.standard)
    abroad = ~np.eye(score.size, dtype=bool)
    force = abroad * strength
    short = np.maximum(settings.standard - score, 0.0)
    upgrade = np.where(eligible, settings.compliance_cost * short + settings.audit_cost, 0.0)
    per_kg = upgrade[:, None] * world.world_price[:, None, None]
    tracing = settings.tracing_cost / KG
    premium = settings.premium * eligible[:, None] * force
    unfit = ~eligible[:, None] * force
    excluded = settings.treatment is Treatment.exclusion
    with np.errstate(divide="ignore"):
        open_part = np.log(1.0 - unfit * excluded)
    worth = premium * world.origin_price[:, :, None] / world.dispersion[:, None, None]
    meets = np.where(score >= settings.standard, 1.0, eligible * 1.0)[:, None] * strength
    return StandardTerms(
        strength=strength,
        compliance=(per_kg + tracing) * force,
        premium=np.broadcast_to(premium, world.flow.shape).copy(),
        levy=np.broadcast_to(settings.levy * unfit * (not excluded), world.flow.shape),
        appeal=worth + open_part,
        traced=settings.traced_share * strength,
        certified=np.maximum(meets, (score >= settings.standard)[:, None]),
    )


def premium_earned(
    premium: np.ndarray, origin_price: np.ndarray, flow: np.ndarray, sold: np.ndarray
) -> np.ndarray:
    """[market, country] USD/kg that premia add to what the sellers of a country get on average.

    Parameters
    ----------
    premium
        [market, origin, destination] fraction of the seller's price.
    origin_price
        [market, country] USD/kg; NaN where nothing is offered.
    flow, sold
        [market, origin, destination] t and its sum over destinations.
    """
    extra = np.einsum("mij,mij->mi", premium, flow) * np.nan_to_num(origin_price)
    return np.divide(extra, sold, out=np.zeros(sold.shape), where=sold > 0)
