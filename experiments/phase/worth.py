"""What a control was worth to its producer: the objective of its review, from two finished runs.

The review weighs options by clearing a calm month under each. Here the same sum is taken of what
happened: earnings, rents and users' surplus over the window, and the capacity that rivals had built
or begun by the end.
"""

from __future__ import annotations

import numpy as np

from abm.config import Config
from abm.model import MineralModel
from abm.review import fixed_tension
from abm.welfare import PARTIES
from abm.world import MONTHS, World
from experiments.studies.paired import Pair

PARTS = ("sellers", "levies", "home_users", "leverage", "future_share")


def worth(pair: Pair, exporter: int, months: slice) -> dict[str, np.ndarray]:
    """[market] USD a year of every part of the objective, over no control.

    Parameters
    ----------
    months
        The window over which earnings count; whole years are taken.

    Notes
    -----
    As in the review: `sellers` and `levies` are the producer's own, `home_users` and `leverage` are
    weighted as in the settings, with the tension that the producer felt without the control; a
    change of policy costs nothing here. `future_share` is negative where rivals have grown.
    """
    config, world = pair.struck.config, pair.struck.world
    settings = config.producers
    years = slice(months.start // MONTHS, -(-months.stop // MONTHS))
    calm, struck = (dict(zip(PARTIES, yearly(m, years), strict=True)) for m in pair)
    gained = {party: struck[party] - calm[party] for party in PARTIES}
    feels = felt_tension(pair, world, config, exporter, months)
    levies = gained["rents"] + gained["treasury"]
    return {
        "sellers": gained["producers"][:, exporter],
        "levies": levies[:, exporter],
        "home_users": settings.home_users * gained["consumers"][:, exporter],
        "leverage": -settings.leverage * gained["consumers"] @ feels,
        "future_share": -settings.future_share * lost_to_rivals(pair, exporter, years),
    }


def yearly(model: MineralModel, years: slice) -> np.ndarray:
    """[party, market, country] mean surplus of some years, USD a year."""
    return model.record.surplus[years].mean(axis=0)


def felt_tension(
    pair: Pair, world: World, config: Config, exporter: int, months: slice
) -> np.ndarray:
    """[country] mean tension of the exporter towards each, without the control, 0 to 1."""
    moving = pair.calm.record.tension[months, exporter].mean(axis=0)
    return np.maximum(moving, fixed_tension(world, config)[exporter])


def lost_to_rivals(pair: Pair, exporter: int, years: slice) -> np.ndarray:
    """[market] USD a year of earnings abroad that rivals' new capacity takes, discounted.

    What rivals added by the last month, under construction or at work, displaces the exporter's
    exports one for one, from the lead time on for ever. Of its earnings abroad with and without
    the control the larger is at stake.
    """
    config, world = pair.struck.config, pair.struck.world
    added = rivals_capacity(pair.struck, exporter) - rivals_capacity(pair.calm, exporter)
    exports, earned = zip(*(exported(model, exporter, years) for model in pair), strict=True)
    before = exports[0] / MONTHS
    share = np.divide(added, before, out=np.zeros(added.size), where=before > 0.0)
    lead_years = world.parameters["lead_time_years"]
    discount = (1.0 + config.producers.discount_rate) ** -lead_years
    return discount * np.minimum(share, 1.0) * np.maximum(np.maximum(*earned), 0.0)


def rivals_capacity(model: MineralModel, exporter: int) -> np.ndarray:
    """[market] t/month that all others could make at the end, with what they are building."""
    firms, traits = model.firms, model.firm_traits
    shape = model.world.flow.shape[:2]
    building = model.record.measures["building_capacity_t"][-1]
    capacity = traits.by_place(firms.capacity, shape) + building
    return np.delete(capacity, exporter, axis=1).sum(axis=1)


def exported(model: MineralModel, exporter: int, years: slice) -> tuple[np.ndarray, np.ndarray]:
    """[market] t a year shipped abroad, and USD a year earned on it with the levies."""
    sold = model.record.flow[years, :, exporter].mean(axis=0)
    total = sold.sum(axis=1)
    abroad = total - sold[:, exporter]
    share = np.divide(abroad, total, out=np.zeros(total.size), where=total > 0.0)
    money = dict(zip(PARTIES, yearly(model, years)[:, :, exporter], strict=True))
    return abroad, share * money["producers"] + money["rents"] + money["treasury"]
