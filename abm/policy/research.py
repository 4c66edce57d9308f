"""Joint research: members pay for thrift, substitutes and collection; knowledge leaks to others."""

from __future__ import annotations

import numpy as np

from abm.config import Research
from abm.world import MONTHS


def research_budget(part: np.ndarray, industry: np.ndarray, settings: Research) -> np.ndarray:
    """[country] what each pays for research on one mineral, thousand USD a month.

    Parameters
    ----------
    part
        [country] how far each takes part.
    industry
        [country] manufacturing value added, billion USD a year: the key of the contributions.
    """
    # Million USD per thousand billion is thousand USD per billion.
    return part * industry * settings.spending / MONTHS


def grown_knowledge(knowledge: np.ndarray, spent: np.ndarray, settings: Research) -> np.ndarray:
    """[mineral] next month's stock of knowledge, million USD, by the perpetual inventory method.

    Knowledge goes stale at a steady rate and grows by what is spent (Griliches 1979).

    Parameters
    ----------
    spent
        [mineral] thousand USD this month.
    """
    return knowledge * (1.0 - settings.obsolescence / MONTHS) + spent / 1000.0


def progress(knowledge: np.ndarray, part: np.ndarray, settings: Research) -> np.ndarray:
    """[mineral, country] share of the greatest effect of research that is reached, 0 to 1.

    Returns diminish: half is reached at `half_effect`. Those outside share in a part of it.
    """
    reached = knowledge / (knowledge + settings.half_effect)
    shared = settings.spillover + (1.0 - settings.spillover) * part
    return reached[:, None] * shared[None, :]
