"""Non-allied producers: they set export mark-ups from market power, and choose export policies."""

from __future__ import annotations

import numpy as np

from abm.agents.table import Column, Row
from abm.passes.planning import lerner, raise_markups


class NonAlliedProducer(Row):
    """A dominant producer outside the alliance."""

    country = Column()
    markup = Column()  # [market, destination] intention: fraction over the home price
    opening_markup = Column()
    opening_power = Column()
    purchase_share = Column()  # [market, destination] of last month's purchases that came from it
    objective = (
        Column()
    )  # [mineral, option] thousand USD a month over doing nothing; NaN: no review
    policy = Column()  # [mineral] intention: option of the menu

    def decide(self) -> None:
        """Set mark-ups, and choose export policies where they are under review."""
        self.set_markups()
        if self.model.review.due(self.model.month):
            self.choose_policies()

    def choose_policies(self) -> None:
        """Take the best option of every mineral under review; of equals, the first."""
        reviewed = ~np.isnan(self.objective[:, 0])
        best = np.argmax(np.where(reviewed[:, None], self.objective, 0.0), axis=1)
        self.policy = np.where(reviewed, best, self.policy)

    def set_markups(self) -> None:
        """Charge each destination what its dependence allows, less its joint bargaining power.

        The larger the part of a producer's exports that those who buy jointly take, the less of
        the mark-up each of them pays, by the part it takes.
        """
        model = self.model
        self.markup = raise_markups(
            self.opening_markup,
            dominance(self.purchase_share, model.world.parameters),
            self.opening_power,
            model.behaviour.market_power,
            model.last_flow,
            model.part("joint_procurement"),
            model.case.instruments.joint_procurement.countervailing_power,
            self.country,
        )


def dominance(share: np.ndarray, parameters: dict[str, np.ndarray]) -> np.ndarray:
    """[market, destination] mark-up of a dominant seller with a competitive fringe.

    The Lerner index of a seller with share s of a destination is s / (e + (1 - s) n), e the
    elasticity of demand and n that of rivals' supply; capped at 3 where a monopolist faces
    inelastic demand and the formula has no finite answer.
    """
    return lerner(
        share,
        parameters["demand_elasticity"],
        parameters["supply_elasticity"],
        3.0,
    )


def shares_from(origins: np.ndarray, flow: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """[origin, market, destination] share of some origins in what each country buys.

    Parameters
    ----------
    flow
        [market, origin, destination] t.
    bought
        [market, destination] its sum over origins; the share is zero where nothing is bought.
    """
    return np.moveaxis(flow[:, origins, :], 1, 0) / np.where(bought > 0, bought, 1.0)
