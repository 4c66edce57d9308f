"""The firms' monthly rules twice: as ordinary Mesa agents, and as the arrays the model uses.

Both meet the same prices, outages and feed, and must end with the same firms. What the market does
with their offers is left out: every firm sells what its ramp offers at a given price.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from time import process_time

import mesa
import numpy as np

from abm.agents import firm
from abm.agents.firm import FirmTraits, Supply
from abm.agents.table import Table
from abm.config import Behaviour
from abm.intentions import supply_of
from abm.state import firm_table
from abm.world import MONTHS, World

STATE = ("markup", "inventory", "expansion", "output", "sales")


@dataclass(frozen=True)
class Conditions:
    """What a population of firms meets, month by month."""

    world: World
    traits: FirmTraits
    behaviour: Behaviour
    price: np.ndarray  # [month, market, country] USD/kg
    feed: np.ndarray  # [month, market, country] t/month of output the feed on hand allows
    feed_cost: np.ndarray  # [month, market, country] rise of its cost, USD/kg
    availability: np.ndarray  # [month, firm]
    scrap: np.ndarray  # [market, country] infinite: recyclers find all they want
    uncounted: np.ndarray  # [market, country] NaN: no market says what a place has sold

    @property
    def months(self) -> int:
        """Length of the trial."""
        return self.price.shape[0]


def conditions(world: World, behaviour: Behaviour, months: int, seed: int) -> Conditions:
    """Prices from half to three times the opening ones, outages, and feed that can run short."""
    draw = np.random.default_rng(seed)
    traits = firm.firm_traits(world, behaviour)
    shape = (months, *world.origin_price.shape)
    able = traits.by_place(traits.capacity * traits.feeds, world.origin_price.shape)
    return Conditions(
        world=world,
        traits=traits,
        behaviour=behaviour,
        price=world.origin_price * draw.uniform(0.5, 3.0, shape),
        feed=np.where(able > 0, able * draw.uniform(0.7, 1.3, shape), np.inf),
        feed_cost=world.origin_price * draw.uniform(-0.1, 0.2, shape),
        availability=1.0 - 0.5 * (draw.random((months, traits.capacity.size)) < 0.02),
        scrap=np.full(shape[1:], np.inf),
        uncounted=np.full(shape[1:], np.nan),
    )


# As arrays ------------------------------------------------------------------------------------


class FirmArrays:
    """All firms as columns, moved by the functions that the model calls."""

    def __init__(self, given: Conditions) -> None:
        self.given = given
        self.firms = firm_table(given.world, given.traits, np.full(given.traits.place.size, np.inf))
        self.supply = supply_of(self.firms, slice(None))
        self.nothing = np.zeros(len(self.firms))

    def run(self) -> float:
        """Go through all months; seconds of processor time a month."""
        start = process_time()
        for month in range(self.given.months):
            array_month(self.given, self.firms, self.supply, self.nothing, month)
        return (process_time() - start) / self.given.months


def array_month(
    given: Conditions, firms: Table, supply: Supply, nothing: np.ndarray, month: int
) -> None:
    """One month of the whole population."""
    traits, behaviour, price = given.traits, given.behaviour, given.price[month]
    np.multiply(traits.capacity, firms.expansion, out=firms.capacity)
    firm.bring_supply(
        supply,
        firms.capacity,
        given.availability[month],
        firms.inventory,
        firms.markup,
        nothing,
        nothing,
        firm.Inputs(given.feed[month], given.feed_cost[month], given.scrap),
        given.world.world_price,
        traits,
        behaviour,
    )
    firm.sell(firms.sales, price, given.uncounted, supply, traits)
    firm.produce(
        firms.output,
        firms.inventory,
        firms.sales,
        firms.running,
        firms.capacity,
        traits,
        behaviour.adjustment_months,
        len(given.world.minerals),
    )
    firm.drift_markup(
        firms.markup,
        firms.sales,
        firms.offered,
        firms.inventory,
        firms.capacity,
        firms.working,
        traits,
        behaviour,
    )
    attrition = behaviour.attrition_years * MONTHS
    firm.invest(firms.expansion, price, nothing, nothing, traits, attrition)


# As Mesa agents -------------------------------------------------------------------------------


class FirmAgent(mesa.Agent):
    """One firm with its own attributes and its own step, as Mesa's tutorials write agents."""

    def __init__(self, model: FirmModel, row: int) -> None:
        super().__init__(model)
        traits = model.given.traits
        for name in (
            "capacity", "width", "low_ask", "least_price", "stock_months", "utilisation", "power",
            "price", "lead_months",
        ):  # fmt: skip
            setattr(self, name, float(getattr(traits, name)[row]))
        self.row = row
        self.growth = float(traits.expansion[row])
        self.feeds = bool(traits.feeds[row])
        self.place = (int(traits.market[row]), int(traits.country[row]))
        self.world_price = float(model.given.world.world_price[self.place[0]])
        self.inventory = float(traits.cover[row] * model.given.world.firms.output[row])
        self.markup, self.expansion = 0.0, 1.0
        self.able = self.output = self.sales = 0.0

    def plan(self) -> None:
        """What could run, before feed is shared out."""
        self.full = self.capacity * self.expansion
        self.able = self.full * float(self.model.availability[self.row])
        if self.feeds:
            self.model.demand[self.place] += self.able

    def trade(self) -> None:
        """Offer, sell at the market's price, produce, and adapt."""
        model, behaviour = self.model, self.model.given.behaviour
        running, cost = self.able, 0.0
        if self.feeds:
            demand = model.demand[self.place]
            running *= min(model.feed[self.place] / demand, 1.0) if demand > 0 else 1.0
            cost = model.feed_cost[self.place]
        low = self.low_ask + self.markup * self.world_price + cost
        high = low + self.width
        offered = running + behaviour.inventory_offer * self.inventory
        price = model.price[self.place]
        part = min(max((price - low) / (high - low), 0.0), 1.0)
        self.sales = offered * part if price >= self.least_price else 0.0
        target = self.stock_months * self.full
        wanted = self.sales + (target - self.inventory) / behaviour.adjustment_months
        self.output = min(max(wanted, 0.0), running)
        self.inventory = max(self.inventory + self.output - self.sales, 0.0)
        tight = self.sales / max(offered, 1e-300) - self.utilisation
        short = 1.0 - min(self.inventory / max(target, 1e-300), 2.0)
        pull = tight + 0.2 * short - self.markup
        drifted = self.markup + behaviour.markup_speed * pull
        self.markup = min(max(drifted, -self.power), self.power) if self.full > 0.0 else 0.0
        goal = min(max(price / self.price, 0.3), 10.0) ** self.growth
        goal = min(max(goal, 0.3), 4.0)
        rising = goal > self.expansion
        months = self.lead_months if rising else behaviour.attrition_years * MONTHS
        self.expansion += (goal - self.expansion) / months


class FirmModel(mesa.Model):
    """A population of such agents, activated one by one."""

    def __init__(self, given: Conditions) -> None:
        super().__init__(rng=0)
        self.given = given
        self.month = 0
        for row in range(given.traits.capacity.size):
            FirmAgent(self, row)

    def step(self) -> None:
        """One month."""
        places = np.ndindex(self.given.price.shape[1:])
        at = {place: place for place in places}
        self.price, self.feed, self.feed_cost = (
            {place: float(values[self.month][place]) for place in at}
            for values in (self.given.price, self.given.feed, self.given.feed_cost)
        )
        self.availability = self.given.availability[self.month]
        self.demand: dict[tuple[int, int], float] = defaultdict(float)
        self.agents.do("plan")
        self.agents.do("trade")
        self.month += 1


@dataclass(frozen=True)
class Race:
    """Processor seconds a month of both, side by side, and how far any firm's state differs."""

    firms: int
    agents: np.ndarray  # [month]
    arrays: np.ndarray  # [month] measured just after; each the mean month of a whole run
    gap: float  # the largest, relative

    @property
    def ratio(self) -> np.ndarray:
        """[month] how many times as long the agents take."""
        return self.agents / self.arrays


def race(world: World, behaviour: Behaviour, months: int, seed: int) -> Race:
    """Run both on the same conditions in turns, so that both meet the machine in the same mood.

    Every month of the agents is followed by a whole run of the arrays; setting up is not timed.
    """
    given = conditions(world, behaviour, months, seed)
    FirmArrays(given).run()  # compiles
    model, slow, quick = FirmModel(given), np.zeros(months), np.zeros(months)
    for month in range(months):
        start = process_time()
        model.step()
        slow[month] = process_time() - start
        arrays = FirmArrays(given)
        quick[month] = arrays.run()
    agents, gap = list(model.agents), 0.0
    for name in STATE:
        mine, other = getattr(arrays.firms, name), np.array([getattr(a, name) for a in agents])
        scale = np.maximum(np.abs(mine), 1e-9 * np.abs(mine).max() + 1e-300)
        gap = max(gap, float((np.abs(mine - other) / scale).max()))
    return Race(len(agents), slow, quick, gap)
