"""Projects: mines and plants that may be built. One row each, moved as arrays.

A project is a candidate until its owner, or the fund, decides to start it. It then passes five
milestones: financing, permit, construction, commissioning and ramp-up. Each phase can take longer
than planned, and the first four can end in failure; both are drawn before the run. Owners who are
under way stop when going on is worth less than nothing. Capacity is a firm of the firm table that
stands idle until the project is commissioned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from abm.agents.table import Column, Row, Table
from abm.config import Projects
from abm.shocks import MILESTONES, ProjectLuck
from abm.trend import START_UP_MONTHS
from abm.world import MONTHS, World

FINANCING, PERMIT, CONSTRUCTION, COMMISSIONING, RAMP_UP = range(len(MILESTONES))

# Besides the milestone it works towards, a project can be:
CANDIDATE, COMPLETE, FAILED, CANCELLED = -1, 5, 6, 7
STATUS = {
    CANDIDATE: "candidate",
    **{phase: f"before {name}" for phase, name in enumerate(MILESTONES)},
    COMPLETE: "complete",
    FAILED: "failed",
    CANCELLED: "cancelled",
}

NEVER_REACHED = -1
# Share of a new plant's construction time that is left, by the state of a project at the opening.
LEFT_TO_BUILD = {"planned": 1.0, "construction": 0.5, "idle": 0.3}  # assumed


class Project(Row):
    """One mine or plant that may be built."""

    phase = Column()
    months_left = Column()
    loan = Column()
    grant = Column()
    spent = Column()


@dataclass(frozen=True)
class ProjectTraits:
    """What does not change during a run. All [project] unless the comment says otherwise."""

    market: np.ndarray
    country: np.ndarray
    firm: np.ndarray  # row of the firm table
    home_market: np.ndarray  # refined market of the mineral: where its money is booked
    capacity: np.ndarray  # t/month nameplate
    output: np.ndarray  # t/month at normal use
    capital: np.ndarray  # thousand USD left to spend at the opening
    phase_months: np.ndarray  # [project, milestone] as planned, outside the alliance
    slip: np.ndarray  # [project, milestone] extra share of the months
    fails: np.ndarray  # [project, milestone] bool: the phase ends in failure
    operating_cost: np.ndarray  # USD/kg of product, feed not counted
    feed_market: np.ndarray  # market of the feed; -1: none is bought
    feed_per_product: np.ndarray  # t/t; 0: none is bought
    rate: np.ndarray  # cost of capital without the fund, a year
    development_share: float  # of the capital, spent before construction
    life: float  # years

    @property
    def count(self) -> int:
        """How many projects there are."""
        return self.market.size


def project_traits(world: World, luck: ProjectLuck, settings: Projects) -> ProjectTraits:
    """Costs, durations and luck of the candidates of a world."""
    listed = world.projects
    market, country = listed.market, listed.country
    lead = MONTHS * world.parameters["lead_time_years"][market]
    mined = world.mined_market[world.mineral_of_market[market]]
    feeds = world.is_refined[market] & (mined >= 0) & ~listed.recycler
    per_product = np.where(feeds, 1.0 / world.refining_yield[world.mineral_of_market[market]], 0.0)
    feed_market = np.where(feeds, mined, -1)
    margin = world.origin_price[market, country] - per_product * np.where(
        feeds, world.landed_price[feed_market, country], 0.0
    )
    idle = listed.state == "idle"
    cost_share = np.where(idle, settings.idle_cost_share, settings.operating_cost_share)
    spread = settings.cost_spread * luck.cost
    unlucky = 1.0 - (1.0 - settings.failure) ** (1.0 / RAMP_UP)
    fails = np.zeros(luck.slip.shape, dtype=bool)
    fails[:, :RAMP_UP] = luck.failure[:, :RAMP_UP] < unlucky
    months = phase_months(lead, listed.state, settings)
    return ProjectTraits(
        market=market,
        country=country,
        firm=listed.firm,
        home_market=world.refined_market[world.mineral_of_market[market]],
        capacity=listed.capacity,
        output=listed.capacity * world.parameters["utilisation"][market],
        capital=listed.capital,
        phase_months=months,
        slip=settings.slip * luck.slip,
        fails=fails,
        operating_cost=cost_share * np.maximum(margin, 0.0) * np.exp(spread),
        feed_market=feed_market,
        feed_per_product=per_product,
        rate=settings.cost_of_capital
        + settings.country_premium * np.maximum(-world.political_stability[country], 0.0),
        development_share=settings.development_share,
        life=settings.life_years,
    )


def phase_months(lead: np.ndarray, state: np.ndarray, settings: Projects) -> np.ndarray:
    """[project, milestone] months planned for every phase.

    Parameters
    ----------
    lead
        [project] months from decision to first output of a new plant.
    state
        [project] planned, construction or idle at the opening: only a planned one needs a permit.
    """
    left = np.array([LEFT_TO_BUILD[str(name)] for name in state])
    building = 1.0 - settings.financing_share - settings.permitting_share
    building = building - settings.commissioning_share
    return np.stack(
        [
            settings.financing_share * lead,
            np.where(state == "planned", settings.permitting_share * lead, 0.0),
            building * left * lead,
            settings.commissioning_share * lead,
            np.full(lead.size, float(START_UP_MONTHS)),
        ],
        axis=1,
    )


def project_table(traits: ProjectTraits) -> Table:
    """Rows of the projects as they stand at the opening: nothing is decided."""
    count, milestones = traits.count, len(MILESTONES)
    return Table(
        phase=np.full(count, CANDIDATE),
        months_left=np.zeros(count),
        months=np.ones(count),
        loan=np.zeros(count),  # share of the capital that is not given
        grant=np.zeros(count),  # share of the capital
        spent=np.zeros(count),
        fund_spent=np.zeros(count),
        started=np.full(count, NEVER_REACHED),
        ended=np.full(count, NEVER_REACHED),
        planned=np.full((count, milestones), NEVER_REACHED),
        actual=np.full((count, milestones), NEVER_REACHED),
    )


def annuity_factor(rate: np.ndarray | float, years: float) -> np.ndarray:
    """Present value of one a year over some years."""
    safe = np.maximum(rate, 1e-12)
    return -np.expm1(-years * np.log1p(safe)) / safe


def longrun_cost(world: World, settings: Projects) -> np.ndarray:
    """[market] USD/kg at which a new project of average cost just pays, at opening feed prices.

    Feed, operating cost and the annuity of capital at the cost of capital; the opening world price
    where the table lists no planned project.
    """
    price, mined = world.world_price, world.mined_market[world.mineral_of_market]
    feeds = world.is_refined & (mined >= 0)
    share = world.refining_yield[world.mineral_of_market]
    feed = np.where(feeds, price[mined] / share, 0.0)
    yearly = world.parameters["utilisation"] * annuity_factor(
        settings.cost_of_capital, settings.life_years
    )
    cost = feed + settings.operating_cost_share * np.maximum(price - feed, 0.0)
    return np.where(np.isnan(world.capital_cost), price, cost + world.capital_cost / yearly)


def present_values(
    margin: np.ndarray,
    capital: np.ndarray,
    wait_months: np.ndarray,
    rate: np.ndarray,
    life: float,
) -> tuple[np.ndarray, np.ndarray]:
    """[project] value today of what is still to earn, and of what is still to spend, thousand USD.

    Income starts after the wait and half the ramp-up; capital is spent half-way through the wait.
    The net present value is the first less the second.

    Parameters
    ----------
    margin
        [project] thousand USD a year at normal output.
    capital
        [project] thousand USD not yet spent.
    wait_months
        [project] months to first output.
    rate
        [project] cost of capital, a year.
    life
        Years of production.
    """
    years = wait_months / MONTHS
    late = years + START_UP_MONTHS / (2.0 * MONTHS)
    growth = 1.0 + rate
    income = margin * annuity_factor(rate, life) / growth**late
    return income, capital / growth ** (years / 2.0)


def yearly_margin(price: np.ndarray, feed_price: np.ndarray, traits: ProjectTraits) -> np.ndarray:
    """[project] thousand USD a year at normal output.

    Parameters
    ----------
    price
        [project] USD/kg the owner expects for the product, support included.
    feed_price
        [project] USD/kg expected for the feed.
    """
    unit = price - traits.feed_per_product * feed_price - traits.operating_cost
    return MONTHS * traits.output * unit


def months_to_output(table: Table, months: np.ndarray) -> np.ndarray:
    """[project] months to first output if nothing slips any more; zero once commissioned.

    Parameters
    ----------
    months
        [project, milestone] planned for every phase.
    """
    phase = table.phase
    after = np.zeros((phase.size, CANCELLED + 2))
    # after[:, k + 1]: months of the phases after k; a candidate has all of them before it.
    after[:, :RAMP_UP] = np.cumsum(months[:, RAMP_UP - 1 :: -1], axis=1)[:, ::-1]
    wait = after[np.arange(phase.size), phase + 1]
    return wait + np.where((phase >= 0) & (phase < RAMP_UP), table.months_left, 0.0)


def fund_share(loan: np.ndarray, grant: np.ndarray) -> np.ndarray:
    """Share of the capital that comes from the fund."""
    return grant + loan * (1.0 - grant)


def under_way(phase: np.ndarray) -> np.ndarray:
    """[project] started, and not yet producing."""
    return (phase > CANDIDATE) & (phase < RAMP_UP)


def begin(
    table: Table,
    traits: ProjectTraits,
    chosen: np.ndarray,
    loan: np.ndarray,
    grant: np.ndarray,
    months: np.ndarray,
    month: int,
) -> None:
    """Start projects: they seek finance from this month on.

    Parameters
    ----------
    chosen
        [project] bool.
    loan, grant
        [project] what the fund lends, as share of the capital not given, and what it gives.
    months
        [project, milestone] planned for every phase.
    """
    table.started[chosen] = month
    table.loan[chosen], table.grant[chosen] = loan[chosen], grant[chosen]
    table.phase[chosen] = FINANCING
    planned = month + np.ceil(np.cumsum(months, axis=1) - 1e-9).astype(np.int64)
    table.planned[chosen] = planned[chosen]
    enter_phase(table, np.flatnonzero(chosen), months, traits)


def enter_phase(table: Table, rows: np.ndarray, months: np.ndarray, traits: ProjectTraits) -> None:
    """Set the months that the phase just entered will take, slips included."""
    phase = table.phase[rows]
    taken = np.ceil(months[rows, phase] * (1.0 + traits.slip[rows, phase]) - 1e-9)
    table.months[rows] = np.maximum(taken, 1e-300)
    table.months_left[rows] = taken


def advance(table: Table, traits: ProjectTraits, months: np.ndarray, month: int) -> None:
    """A month passes: phases end, in success or failure, and the next ones begin."""
    table.months_left[(table.phase >= 0) & (table.phase < COMPLETE)] -= 1.0
    while True:
        ends = (table.phase >= 0) & (table.phase < COMPLETE) & (table.months_left <= 0.0)
        rows = np.flatnonzero(ends)
        if rows.size == 0:
            return
        phase = table.phase[rows]
        failed = traits.fails[rows, phase]
        table.actual[rows[~failed], phase[~failed]] = month
        table.phase[rows] = np.where(failed, FAILED, phase + 1)
        entered = rows[table.phase[rows] < COMPLETE]
        enter_phase(table, entered, months, traits)


def capital_due(table: Table, traits: ProjectTraits) -> np.ndarray:
    """[project] thousand USD to spend this month.

    Studies, land and permits are spent evenly over the planned months before construction, as far
    as there are any, and the rest over construction. A slip stretches the building; it does not
    change the sum.
    """
    early = np.maximum(traits.phase_months[:, : PERMIT + 1].sum(axis=1), 1.0)
    before = traits.development_share * traits.capital
    studies = np.minimum(before / early, np.maximum(before - table.spent, 0.0))
    building = (traits.capital - table.spent) / np.maximum(table.months_left, 1.0)
    due = np.where(under_way(table.phase) & (table.phase <= PERMIT), studies, 0.0)
    # A plant is paid when it is built, also where no month is left to build in.
    return np.where(table.phase == CONSTRUCTION, building, due)


def running_share(table: Table) -> np.ndarray:
    """[project] share of nameplate that can run: it rises evenly over the ramp-up."""
    done = 1.0 - table.months_left / table.months
    return np.where(table.phase == COMPLETE, 1.0, np.where(table.phase == RAMP_UP, done, 0.0))
