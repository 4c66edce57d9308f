"""The joint investment fund: what members promise, and which projects it finances.

Members promise a share of their manufacturing value added every month. The promises add up to what
the fund can commit; they are called in when a project spends. The fund ranks projects by the
dependence on the non-allied that a dollar relieves, and saves for the best rather than take the
next one that it could afford.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.config import InvestmentFund
from abm.world import MONTHS, World


@dataclass
class Fund:
    """What carries over from month to month; thousand USD."""

    promised: np.ndarray  # [country] so far: the key by which capital is called and returned
    uncommitted: float  # promised, and not yet given to a project

    @property
    def key(self) -> np.ndarray:
        """[country] shares of the members in what the fund pays and receives."""
        return self.promised / max(float(self.promised.sum()), 1e-300)


def empty_fund(world: World) -> Fund:
    """The fund before anybody has promised anything."""
    return Fund(np.zeros(len(world.countries)), 0.0)


def promises(industry: np.ndarray, part: np.ndarray, settings: InvestmentFund) -> np.ndarray:
    """[country] thousand USD that each member promises in a month.

    Parameters
    ----------
    industry
        [country] manufacturing value added, billion USD a year.
    part
        [country] how far each country takes part, 0 to 1.
    """
    # A billion is a million thousands, and the rate is per thousand.
    return part * industry * 1000.0 * settings.contribution / MONTHS


def value_of_relief(
    output: np.ndarray, dependence: np.ndarray, price: np.ndarray, risk: np.ndarray
) -> np.ndarray:
    """[project] thousand USD a year of supply at risk that a project makes safe.

    What it can replace, at what members pay, times the chance that it is cut off:
    min(output, dependence) * price * risk.

    Parameters
    ----------
    output
        [project] t/month.
    dependence
        [project] t/month that members buy from the non-allied in its market and that no earlier
        project replaces.
    price, risk
        [project] USD/kg that members pay, and the chance a year that supply is cut off.
    """
    return MONTHS * np.minimum(output, np.maximum(dependence, 0.0)) * price * risk


def chosen_projects(
    eligible: np.ndarray,
    cost: np.ndarray,
    output: np.ndarray,
    market: np.ndarray,
    dependence: np.ndarray,
    price: np.ndarray,
    risk: np.ndarray,
    budget: float,
) -> np.ndarray:
    """[project] bool: those the fund takes in a round, best value per dollar first.

    Each choice lowers the dependence that is left for others of its market. The round ends with the
    first project the budget does not cover: a larger budget takes the same projects and more.

    Parameters
    ----------
    eligible, cost, output, market
        [project] whether it can be financed, thousand USD from the fund, t/month, market.
    dependence, price, risk
        [market] as in `value_of_relief`.
    budget
        Thousand USD.
    """
    chosen, left = np.zeros(eligible.size, dtype=bool), dependence.copy()
    open_, per_dollar = eligible.copy(), 1.0 / np.maximum(cost, 1e-300)
    while open_.any():
        value = value_of_relief(output, left[market], price[market], risk[market]) * per_dollar
        best = int(np.argmax(np.where(open_, value, -1.0)))
        if value[best] <= 0.0 or cost[best] > budget:
            break
        chosen[best], open_[best] = True, False
        budget -= cost[best]
        left[market[best]] -= output[best]
    return chosen


def instalment(lent: np.ndarray, settings: InvestmentFund) -> np.ndarray:
    """[project] thousand USD a month that repays a loan over its tenor."""
    monthly = (1.0 + settings.interest) ** (1.0 / MONTHS) - 1.0
    months = settings.tenor_years * MONTHS
    share = monthly / -np.expm1(-months * np.log1p(monthly)) if monthly > 0 else 1.0 / months
    return lent * share
