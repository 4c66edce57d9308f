"""The model: the phases of a month, in order. What each does stands in the module it calls."""

from __future__ import annotations

from dataclasses import replace

import mesa
import numpy as np

from abm.accession import candidates, review_membership
from abm.agents import firm, plant
from abm.agents.contracts import TermContracts
from abm.agents.country import Country, aim_as_in_calm, alarmed
from abm.agents.firm import Firm
from abm.agents.producer import NonAlliedProducer
from abm.agents.project import Project, project_table, project_traits
from abm.books import Books
from abm.config import Config, Planning, month_name
from abm.exchange import trade
from abm.facts import imposed_facts
from abm.final_use import dearness, opening_final_use
from abm.intentions import (
    border_in_force,
    month_need,
    place_month_orders,
    releases,
    standards_in_force,
    trade_terms,
)
from abm.investment import (
    build_projects,
    growth_room,
    no_plans,
    plan_projects,
    put_in_place,
)
from abm.learning import (
    update_approvals,
    update_firms,
    update_habits,
    update_premium,
    update_prices,
)
from abm.market import Clearing
from abm.measures import exports_held_back, mean_counter_tariff, measure_month
from abm.planning import (
    commit_orders,
    mine_reserves,
    pay_for_construction,
    settle_contracts,
    update_plans,
)
from abm.policy.controls import (
    ExportMeasures,
    alarm,
    along_chain,
    arc_measures,
    controls_in_the_news,
    measures_in_force,
    opening_duties_apart,
    rumour,
)
from abm.policy.floor import guaranteed_price, hold_floor, pay_support, strike_support
from abm.policy.fund import empty_fund
from abm.policy.standards import standard_terms
from abm.recorder import Record, empty_record
from abm.recycling import adapt_recycling, recycle, scrap_account
from abm.review import adopt_policies, opening_review, weigh_policies
from abm.scenario import DatedControl, Participation, Scenario
from abm.shipping import sailing
from abm.shocks import OutsideEvents
from abm.standoff import answer_tariffs, retaliate, update_commitment, update_tension
from abm.state import (
    buyer_traits,
    country_table,
    firm_table,
    opening_size,
    opening_state,
    producer_table,
)
from abm.stockholding import settle_stockpiles
from abm.substitution import adapt_intensity, fund_research, opening_technology
from abm.tension import opening_stand
from abm.trade import LimitedTrade, stages_in_order
from abm.trend import undisturbed_trend
from abm.welfare import month_surplus, users_gain
from abm.world import KG, MONTHS, World


class MineralModel(mesa.Model):
    """Ten minerals, two stages, month by month.

    Parameters
    ----------
    world
        The opening world; shared by paired runs and never written to.
    case
        Membership, instruments and controls of this run.
    events
        Outages and demand swings of the whole run, drawn beforehand.
    config
        Horizon and behaviour.
    """

    def __init__(self, world: World, case: Scenario, events: OutsideEvents, config: Config) -> None:
        super().__init__(rng=0)  # Mesa's generator is not used: all draws are in `events`
        world = opening_duties_apart(world, case.controls)
        self.world, self.case, self.events = world, case, events
        self.opening_case = case  # as `case` was before countries chose to join or leave
        self.config = config
        self.behaviour, self.horizon = config.behaviour, config.horizon
        self.months = config.horizon.years * MONTHS
        self.month = 0
        self.buyers = buyer_traits(world)
        self.firm_traits = firm.firm_traits(world, self.behaviour)
        self.facts = imposed_facts(config, world)
        self.trend = undisturbed_trend(
            world,
            self.firm_traits,
            self._stock_months(),
            config.horizon.start,
            self.months,
            config.demand,
            self.facts.departure,
        )
        self.sailing = sailing(world, config.shipping, events.closed, config.horizon.start)
        self.state = opening_state(world, self.buyers, self.sailing.longest)
        self.final_use = opening_final_use(world)
        self.scrap_traits, self.scrap = scrap_account(
            world, self.final_use, config.recycling, self.firm_traits, self.trend
        )
        self.technology = opening_technology(world, self.final_use, config.substitution)
        self._lay_out_plans(config.planning)
        self.countries = country_table(world, self.state)
        self.last_flow = world.flow.copy()
        self.review = opening_review(world, case, config)
        self.producers = producer_table(world, len(self.review.menu))
        self.opening_size = opening_size(world)
        self.stickiness = 1.0 - 1.0 / world.parameters["longrun_sourcing_factor"]
        self.stages = stages_in_order(world, self.firm_traits, self.buyers)
        self.measures = ExportMeasures(arc_measures(world, ()), ())
        self._lay_neutral_ground()
        self.guaranteed_price = guaranteed_price(world, config)
        self.project_traits = project_traits(world, events.projects, config.projects)
        self.projects = project_table(self.project_traits)
        self.fund = empty_fund(world)
        self.plans = no_plans(self.project_traits)
        self.room = growth_room(world, self.firm_traits, self.trend)
        self.border = border_in_force(self, None)
        self.last_clearing: dict[bool, Clearing] = {}
        self.last_rent: dict[bool, dict[LimitedTrade, float]] = {}
        self.desired = np.zeros(self.buyers.need.shape)
        self.record = empty_record(world, self.months)
        self._create_agents()

    def step(self) -> None:
        """One month."""
        self.strike_shocks()
        self.perceive()
        self.decide()
        self.order()
        for stage in self.stages:
            trade(self, stage)
        self.settle()
        self.adapt()
        self.copy_record()
        self.month += 1

    def run(self) -> Record:
        """All months of the horizon."""
        for _ in range(self.months):
            self.step()
        return self.record

    @property
    def members(self) -> np.ndarray:
        """[country] who is in the alliance this month."""
        return self.case.members(self.month)

    @property
    def controls(self) -> tuple[DatedControl, ...]:
        """Every export control known: of the scenario, and adopted during the run."""
        return self.case.controls + self.adopted

    def part(self, instrument: str) -> np.ndarray:
        """[country] how far each country takes part in an instrument this month, 0 to 1."""
        return self._parts.of(self.case, self.month, self.commitment, instrument)

    def anyone(self, instrument: str) -> bool:
        """Whether some country takes part in an instrument this month."""
        return self._parts.anyone(self.case, self.month, self.commitment, instrument)

    def together(self, instrument: str) -> np.ndarray:
        """[country, country] how far two countries take part in it in one circle, 0 to 1."""
        return self._parts.pairs(self.case, self.month, self.commitment, instrument)

    def firm_agent(self, row: int) -> Firm:
        """One firm as an agent, made when it is asked for: a population may have a million."""
        return Firm(self, self.firms, row)

    def project_agent(self, row: int) -> Project:
        """One project as an agent, made when it is asked for."""
        return Project(self, self.projects, row)

    @property
    def month_label(self) -> str:
        """The month as 'YYYY-MM'."""
        return month_name(self.horizon.start, self.month)

    @property
    def label(self) -> str:
        """How the run is called in messages."""
        return f"membership {self.case.membership}, shock {self.case.shock}"

    # The phases ----------------------------------------------------------------------------

    def strike_shocks(self) -> None:
        """Outages, demand swings, closed seas and controls of the month come into force."""
        seas = self.sailing.in_month(self.month)
        if self.buyers.transit is not seas.transit:
            self.lanes, self.buyers = seas.lanes, replace(self.buyers, transit=seas.transit)
        self.growth = self.trend.total[self.month]
        self.standards = standards_in_force(self)
        self.compliance = self.standards.compliance
        before = self.measures.arcs
        self.measures = measures_in_force(
            self.world,
            self.controls,
            self.month,
            self.growth,
            self.state.price_gap,
            before,
            self.standards.traced,
            self.state.unused_approvals,
        )
        if self.measures.arcs is not before:
            self.held_back = exports_held_back(self)
        hold_floor(self)
        levied = self.border.terms.counter_tariff
        self.border = border_in_force(self, self.border)
        if self.border.terms.counter_tariff is not levied:
            self.mean_levied = mean_counter_tariff(self)
        put_in_place(self)
        self.trend_need, self.need = month_need(self)
        self.books = Books.open(self.world, self.state, self.firms, self.firm_traits)

    def perceive(self) -> None:
        """News of controls raises perceived risk; time lets it fade."""
        self.state.risk = self.state.risk * (1.0 - self.behaviour.risk_decay)
        in_the_news = controls_in_the_news(self.controls, self.month)
        if in_the_news or self.month in self.facts.news:
            news = alarm(self.world, in_the_news)
            hearsay = self.behaviour.contagion * rumour(self.world, in_the_news)
            news = np.maximum(np.maximum(news, self.facts.alarm(self.month)), hearsay)
            self.state.risk = np.maximum(self.state.risk, along_chain(self.world, news))

    def decide(self) -> None:
        """Countries, then non-allied producers, write their intentions one by one."""
        table, instruments = self.countries, self.case.instruments
        table.stocking[:] = self.part("stockpiles")
        target_months = instruments.stockpiles.target_months
        aim_as_in_calm(table, self.state, self.trend_need, target_months)
        for row in alarmed(table, instruments.emergency_release.trigger):
            self.country_agents[row].decide()
        weigh_policies(self)
        if len(self.producers):
            self.agents_by_type[NonAlliedProducer].do("decide")
        adopt_policies(self)
        retaliate(self)
        answer_tariffs(self)
        review_membership(self)
        self.support = strike_support(self)
        self.plans = plan_projects(self)

    def order(self) -> None:
        """Buyers, stockpiles and trade terms for the month, from last month's state."""
        self.given, self.received = releases(self)
        self.orders = place_month_orders(self)
        commit_orders(self, self.orders)
        self.terms = trade_terms(self)

    def settle(self) -> None:
        """Production, use and stocks are settled, and the identities checked."""
        books, state = self.books, self.state
        books.post_trade(self.choke)
        books.produce(self.firms, self.firm_traits, self.behaviour.adjustment_months)
        mine_reserves(self)
        books.use_goods(state, self.given, self.released, self.desired)
        settle_contracts(self)
        pay_support(self)
        build_projects(self)
        pay_for_construction(self)
        recycle(self)
        fund_research(self)
        settle_stockpiles(self)
        state.called_stock = self.called
        books.ledger.close()
        self.users_gain = users_gain(self, self.record.sectors[self.month // MONTHS])
        self.surplus = month_surplus(self)
        books.close(state, self.firms, self.firm_traits, self.month_label)

    def adapt(self) -> None:
        """Expectations, habits, mark-ups and capacity move towards what was seen."""
        update_prices(self)
        update_approvals(self)
        update_premium(self)
        update_habits(self)
        update_firms(self)
        update_plans(self)
        update_tension(self)
        update_commitment(self)
        if self.config.recycling.active or self.config.substitution.active:
            expected, opening = self.state.expected_price, self.buyers.reference_price
            dear = dearness(self.world, self.final_use, expected, opening)
            adapt_recycling(self, dear)
            adapt_intensity(self, dear)

    def copy_record(self) -> None:
        """Copy the month into the record."""
        record, books, month = self.record, self.books, self.month
        year = month // MONTHS
        measure_month(self, record.figures[month], record.flow[year], record.value[year])
        record.member[month] = self.members
        record.keep_accounts(year, books.ledger)
        record.surplus[year] += KG * self.surplus
        record.tension[month] = self.tension.level
        record.commitment[month] = self.commitment
        record.restricted[month] = self.held_back
        record.counter_tariff[month] = self.mean_levied
        record.certificate[month] = books.certificate
        record.iterations[month] = books.iterations
        record.tonnes_gap[month] = books.tonnes_gap
        record.money_gap[month] = books.money_gap

    # Setting up ---------------------------------------------------------------------------

    def _lay_neutral_ground(self) -> None:
        """What mechanisms change during a run, at values that change nothing."""
        world = self.world
        self.adopted: tuple[DatedControl, ...] = ()
        self.commitment = np.ones(len(world.countries))
        self._parts = Participation()
        self.held_back = np.zeros(len(world.countries))
        self.lanes = self.sailing.in_month(0).lanes
        self.tension = opening_stand(world, self.config.tension)
        self.countries.candidate[:] = candidates(world, self.config.accession.candidates)
        self.retaliated = np.zeros(len(world.countries), dtype=bool)
        self.counter_tariff = np.zeros(world.flow.shape)
        self.mean_levied = np.zeros(len(world.countries))
        self.floor_price = np.zeros(world.flow.shape)
        nobody = np.zeros(len(world.countries))
        self.unpooled = np.zeros(world.landed_price.shape)
        self.standards = standard_terms(world, self.case.instruments.standards, nobody, before=None)
        self.standard_part, self.standard_phase = nobody, 0.0
        self.compliance = self.standards.compliance
        self.no_aid = np.zeros(len(self.firms))
        self.no_progress = np.zeros((len(world.minerals), len(world.countries)))
        self.premium = self.support = self.no_aid
        self.availability = np.ones(len(self.firms))
        self.behind_floor = np.zeros(len(world.countries))
        self.intensity = np.ones((len(world.minerals), len(world.countries), len(world.sectors)))

    def _lay_out_plans(self, planning: Planning) -> None:
        """The firms with their plants, what they build, and what they have agreed with buyers."""
        reserves = plant.opening_reserves(self.world, self.firm_traits, planning.depletion)
        self.firms = firm_table(self.world, self.firm_traits, reserves)
        self.plant_lives = plant.plant_lives(self.world, self.firm_traits, planning)
        self.pipeline = plant.Pipeline.empty(self.firm_traits, planning.entry)
        self.contracts = TermContracts.opening(self.world, planning.contracts)

    def _create_agents(self) -> None:
        rows = range(len(self.countries))
        self.country_agents = [Country(self, self.countries, row) for row in rows]
        for row in range(len(self.producers)):
            NonAlliedProducer(self, self.producers, row)

    def _stock_months(self) -> np.ndarray:
        """[market] months of use held along the chain from this market to its final users."""
        need = self.buyers.need.sum(axis=2)
        held = (self.buyers.cover + self.buyers.transit[:, :, None]) * self.buyers.need
        held = held.sum(axis=(1, 2)) / np.maximum(need.sum(axis=1), 1e-300)
        held = held + self.world.parameters["producer_stock_months"]
        mined = self.world.mined_market
        downstream = np.zeros(held.size)
        downstream[mined[mined >= 0]] = held[self.world.refined_market[mined >= 0]]
        return held + downstream
