"""Firms' planning: term contracts, idling, depletion, entry in cohorts, host metals."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, purchases, quiet_config
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from abm.agents import plant
from abm.agents.buyer import use_scale
from abm.agents.contracts import TermContracts, firm_orders
from abm.agents.firm import firm_traits
from abm.agents.table import Table
from abm.config import Config, ConfigError, Contracts, Entry, Idling, check
from abm.ledger import Account
from abm.model import MineralModel
from abm.passes.planning import stop_and_restart
from abm.recorder import Record
from abm.world import MONTHS, World

USA, CHN, AUS, ROW = range(4)
BALANCE = 1e-9  # MODEL §8
SWITCHES = ("contracts", "idling", "depletion", "entry", "host_metals")
PRICE = "landed_price_usd_per_kg"


def config_with(*names: str, years: int = 4) -> Config:
    config = quiet_config(years=years)
    for name in names:
        getattr(config.planning, name).active = True
    return config


def with_demand(config: Config, world: World, factor: Callable[[int], float]) -> MineralModel:
    """A model in which all final need is scaled by a factor of the month."""
    model = model_of(config, world)
    path = np.array([factor(month) for month in range(model.months)])
    model.events = replace(model.events, demand=model.events.demand * path[:, None, None])
    return model


def slump(month: int) -> float:
    """A quarter of all need is gone for two years from the second."""
    return 0.75 if 12 <= month < 36 else 1.0


def world_price(record: Record, world: World, market: int) -> np.ndarray:
    """[month] mean landed price at opening purchases, over the opening one."""
    weight = world.flow[market].sum(axis=0)
    paid = (record.measures[PRICE][:, market] * weight).sum(axis=1)
    return paid / (world.landed_price[market] * weight).sum()


def output(record: Record, market: int, country: int) -> np.ndarray:
    return record.measures["output_t"][:, market, country]


# Off, and switched on at nothing ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["contracts", "idling", "depletion", "host_metals"])
def test_a_mechanism_without_strength_changes_nothing(tiny_world: World, name: str) -> None:
    config = config_with(name)
    planning = config.planning
    planning.contracts.scale = 0.0
    planning.idling.cost_share, planning.idling.cost_spread = 0.05, 0.0
    planning.depletion.replacement = 1.0
    planning.host_metals.scale = 10.0
    config.shock = export_ban()
    plain = quiet_config(years=4)
    plain.shock = config.shock
    changed = model_of(config, tiny_world, shocked=True).run()
    unchanged = model_of(plain, tiny_world, shocked=True).run()
    changed.measures["reserves_t"] = unchanged.measures["reserves_t"]
    assert_same_history(changed, unchanged)


def test_the_opening_month_is_the_observed_one_whatever_firms_plan(tiny_world: World) -> None:
    model = model_of(config_with(*SWITCHES), tiny_world)
    model.step()
    np.testing.assert_allclose(model.last_flow, tiny_world.flow, rtol=1e-6, atol=1e-9)
    shown = model.record.measures
    np.testing.assert_allclose(shown["paid_price_usd_per_kg"][0], shown[PRICE][0], rtol=1e-9)


# Term contracts ---------------------------------------------------------------------------------


def contracts_of(world: World, **settings: int) -> TermContracts:
    return TermContracts.opening(world, Contracts(active=True, **settings))


def test_the_index_catches_up_with_a_lasting_price_after_its_months(tiny_world: World) -> None:
    contracts = contracts_of(tiny_world, index_months=6)
    doubled = 2.0 * tiny_world.origin_price
    seen = []
    for _ in range(7):
        seen.append(contracts.index / tiny_world.origin_price)
        contracts.remember(tiny_world.flow, doubled)
    expected = 1.0 + np.arange(7) / 6.0
    np.testing.assert_allclose(seen, expected[:, None, None] * np.ones_like(doubled))


def test_the_index_stands_still_where_nothing_is_sold(tiny_world: World) -> None:
    contracts = contracts_of(tiny_world)
    contracts.remember(tiny_world.flow, np.full_like(tiny_world.origin_price, np.nan))
    np.testing.assert_allclose(contracts.index, tiny_world.origin_price)


def test_settlement_is_the_gap_between_index_and_price_of_contracted_tonnes(
    tiny_world: World,
) -> None:
    """Contracted is the share of usual trade at most, of what flows, and nothing under a ban."""
    contracts = contracts_of(tiny_world)
    rng = np.random.default_rng(1)
    flow = tiny_world.flow * rng.uniform(0.2, 3.0, tiny_world.flow.shape)
    price = tiny_world.origin_price * rng.uniform(0.5, 2.0, tiny_world.origin_price.shape)
    price[:, ROW] = np.nan
    banned = np.zeros(flow.shape, dtype=bool)
    banned[:, CHN, USA] = True
    share = tiny_world.parameters["contract_share"][:, None, None]
    tonnes = np.where(banned, 0.0, share * np.minimum(flow, tiny_world.flow))
    gap = np.nan_to_num(price - tiny_world.origin_price)[:, :, None]
    saved = tonnes * (1.0 + tiny_world.export_markup) * gap
    by_buyer, by_seller = contracts.settlement(flow, price, tiny_world.export_markup, banned)
    np.testing.assert_allclose(by_buyer[0], np.maximum(saved, 0.0).sum(axis=1))
    np.testing.assert_allclose(by_buyer[1], np.maximum(-saved, 0.0).sum(axis=1))
    np.testing.assert_allclose(by_seller[0], np.maximum(saved, 0.0).sum(axis=2))
    np.testing.assert_allclose(by_seller[1], np.maximum(-saved, 0.0).sum(axis=2))


def test_a_ban_frees_buyers_of_what_they_had_agreed(tiny_world: World) -> None:
    contracts = contracts_of(tiny_world)
    banned = np.zeros(tiny_world.flow.shape, dtype=bool)
    banned[:, CHN, USA] = True
    free, bound = contracts.committed(banned), contracts.committed(np.zeros_like(banned))
    lost = 0.8 * tiny_world.parameters["contract_share"] * tiny_world.flow[:, CHN, USA]
    np.testing.assert_allclose(bound[:, USA] - free[:, USA], lost)
    np.testing.assert_array_equal(bound[:, AUS:], free[:, AUS:])


def test_the_price_paid_moves_less_at_once_and_catches_up(tiny_world: World) -> None:
    """Contracts settle at once what the month's price has left behind; then both meet again."""
    config = config_with("contracts", years=5)
    config.planning.contracts.firmness = 0.0
    model = with_demand(config, tiny_world, lambda month: 1.3 if month >= 12 else 1.0)
    record = model.run()
    market = tiny_world.market("gallium", "refined")
    spot = record.measures[PRICE][:, market, USA]
    paid = record.measures["paid_price_usd_per_kg"][:, market, USA]
    before = spot[11]
    assert spot[12] > 1.05 * before
    assert before < paid[12] < spot[12]
    share = tiny_world.parameters["contract_share"][market]
    assert paid[12] - before > 0.9 * (1.0 - share) * (spot[12] - before)
    turn = int(spot.argmax())
    assert (paid[turn + 1 : turn + 4] > spot[turn + 1 : turn + 4]).any(), "the index looks back"
    np.testing.assert_allclose(paid[-1], spot[-1], rtol=0.02)


def test_tonnes_clear_as_without_contracts_where_nobody_must_take(tiny_world: World) -> None:
    config = config_with("contracts")
    config.planning.contracts.firmness = 0.0
    config.shock = export_ban()
    plain = quiet_config(years=4)
    plain.shock = config.shock
    with_contracts = model_of(config, tiny_world, shocked=True).run()
    without = model_of(plain, tiny_world, shocked=True).run()
    for name in ("purchases_t", "output_t", PRICE, "outlay_usd"):
        np.testing.assert_array_equal(with_contracts.measures[name], without.measures[name])


def test_contracted_orders_stand_in_the_floor(tiny_world: World) -> None:
    """The same at the expected price; more than before above it, less just below it."""
    model = model_of(quiet_config(), tiny_world)
    model.step()
    orders, firm, expected = model.orders, deepcopy(model.orders), model.state.expected_price
    committed = 0.5 * tiny_world.flow.sum(axis=1)
    firm_orders(firm, committed, model.need, model.expected_use, expected)

    def bought(sent: object, factor: float) -> np.ndarray:
        price = factor * expected
        scale = use_scale(model.need, price, model.buyers, model.backstop, model.choke)
        return purchases(sent, scale, price).sum(axis=2)  # type: ignore[arg-type]

    np.testing.assert_allclose(bought(firm, 1.0), bought(orders, 1.0), rtol=1e-9)
    buys = committed > 0
    assert (bought(firm, 1.5)[buys] > bought(orders, 1.5)[buys]).all()
    assert (bought(firm, 0.97)[buys] < bought(orders, 0.97)[buys]).all()
    assert (firm.floor <= np.maximum(model.need, orders.floor) * (1 + 1e-9)).all()


@pytest.mark.parametrize("seed", range(3))
def test_who_must_take_does_not_give_way_in_a_shortage(tiny_world: World, seed: int) -> None:
    """The same outage needs a higher price where contracts are firm."""
    market = tiny_world.market("gallium", "refined")
    prices = []
    for firmness in (0.0, 1.0):
        config = config_with("contracts", years=2)
        config.planning.contracts.firmness = firmness
        config.randomness.active = True
        model = model_of(config, tiny_world, seed=seed)
        availability = model.events.availability.copy()
        availability[12:, model.firm_traits.country == CHN] *= 0.6
        model.events = replace(model.events, availability=availability)
        prices.append(world_price(model.run(), tiny_world, market)[12])
    assert prices[1] > 1.01 * prices[0]


# Idling -----------------------------------------------------------------------------------------


def test_costs_form_a_curve_that_is_cheap_for_the_large(tiny_world: World) -> None:
    traits = firm_traits(tiny_world, quiet_config().behaviour)
    settings = Idling(active=True)
    cost = plant.variable_costs(tiny_world, traits, settings) / traits.price
    for market in range(len(tiny_world.markets)):
        rows = np.flatnonzero((traits.market == market) & (traits.capacity > 0))
        order = rows[np.argsort(-traits.capacity[rows], kind="stable")]
        assert (np.diff(cost[order]) >= 0).all()
        mean = (cost[rows] * traits.capacity[rows]).sum() / traits.capacity[rows].sum()
        np.testing.assert_allclose(mean, settings.cost_share, rtol=1e-9)
        assert cost[rows].min() >= settings.cost_share - settings.cost_spread
        assert cost[rows].max() <= settings.cost_share + settings.cost_spread


def test_a_reported_cost_counts_and_everybody_covered_it_at_the_opening(real_world: World) -> None:
    traits = firm_traits(real_world, quiet_config().behaviour)
    cost = plant.variable_costs(real_world, traits, Idling(active=True))
    reported = real_world.firms.cash_cost
    known = ~np.isnan(reported)
    assert known.sum() > 10
    cheap = known & (reported < 0.9 * traits.price)
    np.testing.assert_allclose(cost[cheap], reported[cheap])
    assert (cost < traits.price).all()


def test_plants_stop_after_so_many_months_and_restart_after_so_many(tiny_world: World) -> None:
    """The months in a row count, and between the two prices nothing changes."""
    settings = Idling(active=True, restart_months=2, pace=1.0)
    one, working, below, above = np.ones(1), np.ones(1), np.zeros(1), np.zeros(1)
    nothing, at_home = np.zeros(1), np.zeros(1, int)
    seen = []
    for price in (0.9, 0.9, 1.2, 0.9, 0.9, 0.9, 1.2, 1.6, 1.2, 1.6, 1.6, 1.2):
        stop_and_restart(
            np.array([price]), nothing, nothing, one, nothing, one > 1.0, at_home, one, 3.0 * one,
            1.5, float(settings.restart_months), settings.pace, below, above, working,
        )  # fmt: skip
        seen.append(int(working[0]))
    assert seen == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_idling_holds_up_the_price_of_a_slump(tiny_world: World, seed: int) -> None:
    """Gallium has no mined stage, whose own price would fall while refineries stand idle."""
    prices = []
    for names in ((), ("idling",)):
        config = config_with(*names)
        config.randomness.active = True
        model = model_of(config, tiny_world, seed=seed)
        path = np.array([slump(month) for month in range(model.months)])
        model.events = replace(model.events, demand=model.events.demand * path[:, None, None])
        record = model.run()
        prices.append(world_price(record, tiny_world, tiny_world.market("gallium", "refined")))
    idle = record.measures["idle_capacity_t"].sum(axis=(1, 2))
    first = int(np.flatnonzero(idle)[0])
    assert 12 + 5 <= first < 36
    np.testing.assert_array_equal(prices[0][:first], prices[1][:first])
    assert prices[1][first:36].mean() > prices[0][first:36].mean()


def test_a_long_restart_delays_the_recovery(tiny_world: World) -> None:
    made, prices = [], []
    for months in (1, 18):
        config = config_with("idling", years=5)
        config.planning.idling.restart_months = months
        record = with_demand(config, tiny_world, slump).run()
        idle = record.measures["idle_capacity_t"].sum(axis=2)
        market = int(idle[35].argmax())
        assert idle[35, market] > 0
        made.append(record.measures["output_t"][36:48, market].sum())
        prices.append(world_price(record, tiny_world, market)[36:48].mean())
    assert made[1] < made[0]
    assert prices[1] > prices[0]


def test_a_market_that_stops_altogether_still_balances(tiny_world: World) -> None:
    """All plants of gallium stop at once, the price goes beyond what any use is worth."""
    config = config_with("idling", years=4)
    config.planning.idling.pace, config.planning.idling.deep_pockets = 1.0, 1.0
    record = with_demand(config, tiny_world, lambda m: 0.5 if 12 <= m < 36 else 1.0).run()
    market = tiny_world.market("gallium", "refined")
    made, used = (record.measures[name][:, market].sum(axis=1) for name in ("output_t", "use_t"))
    assert ((made == 0.0) & (used == 0.0)).any()
    assert record.tonnes_gap.max() <= BALANCE


# Depletion --------------------------------------------------------------------------------------


def test_mines_run_down_what_is_left_and_never_more(tiny_world: World) -> None:
    """China's graphite has eight years of output; what leaves the ground is what was made."""
    mined = tiny_world.market("graphite", "mined")
    config = config_with("depletion", years=12)
    config.planning.depletion.replacement = 0.25
    plain = model_of(quiet_config(years=12), tiny_world).run()
    record = model_of(config, tiny_world).run()
    left = record.measures["reserves_t"][:, mined]
    assert np.isnan(left[:, AUS]).all(), "no reserves are listed"
    gone = 0.75 * np.cumsum(output(record, mined, CHN))
    np.testing.assert_allclose(left[:, CHN], 80_000.0 - gone, rtol=1e-9)
    assert (left[:, CHN] > 0).all()
    late, early = slice(-12, None), slice(0, 24)
    assert output(record, mined, CHN)[late].sum() < 0.8 * output(plain, mined, CHN)[late].sum()
    np.testing.assert_array_equal(
        output(record, mined, CHN)[early], output(plain, mined, CHN)[early]
    )
    late_price = world_price(record, tiny_world, mined)[late].mean()
    assert late_price > world_price(plain, tiny_world, mined)[late].mean()


def test_more_exploration_leaves_more(tiny_world: World) -> None:
    left = []
    for replacement in (0.0, 0.5, 1.0):
        config = config_with("depletion", years=3)
        config.planning.depletion.replacement = replacement
        record = model_of(config, tiny_world).run()
        left.append(np.nansum(record.measures["reserves_t"][-1]))
    assert left[0] < left[1] < left[2]
    np.testing.assert_allclose(left[2], 80_000.0)


# Entry ------------------------------------------------------------------------------------------


def net_present_value(price: float, cost: float, opex: float, rate: float, years: int) -> float:
    """Year by year, as one would in a spreadsheet."""
    flows = [(price - opex) / (1.0 + rate) ** (year + 1) for year in range(years)]
    return sum(flows) - cost


@pytest.mark.parametrize("rate", [0.04, 0.10, 0.16])
def test_the_break_even_price_has_no_net_present_value(tiny_world: World, rate: float) -> None:
    traits = firm_traits(tiny_world, quiet_config().behaviour)
    settings = Entry(active=True, cost_of_capital=rate)
    price = plant.break_even(settings) * traits.price[0]
    yearly_cost = plant.capital_cost(traits, settings)[0] / MONTHS
    opex = settings.running_share * traits.price[0]
    value = net_present_value(price, yearly_cost, opex, rate, int(settings.life_years))
    assert abs(value) < 1e-9 * yearly_cost
    opening = net_present_value(traits.price[0], yearly_cost, opex, 0.10, int(settings.life_years))
    assert abs(opening) < 1e-9 * yearly_cost


@dataclass
class Site:
    """The firms of a world that build with an elasticity of 0.6, and all they have under way."""

    world: World
    settings: Entry

    def __post_init__(self) -> None:
        self.traits = firm_traits(self.world, quiet_config().behaviour)
        self.pipeline = plant.Pipeline.empty(self.traits, self.settings)
        self.lives = replace(
            plant.plant_lives(self.world, self.traits, quiet_config().planning),
            flexibility=np.full(len(self.world.markets), 0.6),
        )
        count = self.traits.capacity.size
        self.firms = Table(expansion=np.ones(count), reserves=np.full(count, np.inf))

    def month(self, number: int, ratio: float) -> None:
        """A month in which producers expect a price over the opening one; nothing wears out."""
        nothing = np.zeros(self.traits.capacity.size)
        plant.move_pipeline(
            self.pipeline, number, self.firms, ratio * self.world.origin_price, nothing, nothing,
            self.traits.capacity, 1.0, self.traits, self.lives, self.settings, np.inf,
        )  # fmt: skip


def grown(world: World, ratio: float, months: int, settings: Entry) -> np.ndarray:
    """[month, firm] capacity over plan while producers expect one price all the time."""
    site, path = Site(world, settings), []
    for month in range(months):
        path.append(site.firms.expansion.copy())
        site.month(month, ratio)
    return np.array(path)


def test_entry_comes_a_lead_time_after_the_price_and_not_before(tiny_world: World) -> None:
    traits = firm_traits(tiny_world, quiet_config().behaviour)
    lead = int(traits.lead_months[0])
    path = grown(tiny_world, 1.3, lead + 3, Entry(active=True))
    free = traits.expansion > 0
    assert (path[:lead] == 1.0).all()
    assert (path[lead][free] > 1.0).all()
    assert (path[:, ~free] == 1.0).all(), "scrap limits recyclers"


def test_in_the_long_run_capacity_answers_with_the_long_run_elasticity(tiny_world: World) -> None:
    """With and without foresight: once all is built, no more is under way to be foreseen."""
    traits = firm_traits(tiny_world, quiet_config().behaviour)
    for foresight in (0.0, 1.0):
        path = grown(tiny_world, 1.3, 900, Entry(active=True, foresight=foresight))
        np.testing.assert_allclose(path[-1], 1.3**traits.expansion, rtol=0.02)


def test_foresight_builds_more_slowly(tiny_world: World) -> None:
    blind = grown(tiny_world, 1.5, 100, Entry(active=True, foresight=0.0))
    sighted = grown(tiny_world, 1.5, 100, Entry(active=True, foresight=1.0))
    assert blind[-1].sum() > sighted[-1].sum() > len(blind[0])


def test_cheaper_capital_brings_more_entry(tiny_world: World) -> None:
    ends = [
        grown(tiny_world, 1.2, 120, Entry(active=True, cost_of_capital=rate))[-1].sum()
        for rate in (0.14, 0.10, 0.06)
    ]
    assert ends[0] < ends[1] < ends[2]


def test_projects_are_given_up_when_prices_collapse_but_finished_when_nearly_built(
    tiny_world: World,
) -> None:
    """Two cohorts of the firms with a plan; there is no room to begin a third."""
    site = Site(tiny_world, Entry(active=True, foresight=0.0, cancel_share=1.0, cancel_trigger=1.0))
    pipeline, lead = site.pipeline, int(site.traits.lead_months[0])
    free = (site.traits.expansion > 0) & (site.traits.capacity > 0) & (pipeline.lead == lead)
    for month in (0, lead - 12):
        pipeline.coming[free, (month + lead) % pipeline.coming.shape[1]] = 0.1
        pipeline.building[free] += 0.1
    site.lives = replace(site.lives, host_ceiling=site.traits.capacity)
    site.month(lead - 11, 2.0)
    np.testing.assert_array_equal(pipeline.building[free], 0.2)
    site.month(lead - 2, 0.85)
    np.testing.assert_allclose(pipeline.building[free], 0.1)
    site.month(lead - 1, 0.85)
    assert not pipeline.building[free].any()
    np.testing.assert_allclose(site.firms.expansion[free], 1.1)


def test_running_sites_grow_sooner_than_new_ones_are_built(tiny_world: World) -> None:
    settings = Entry(
        active=True, foresight=0.0, brownfield_share=0.4, brownfield_time=0.25, cancel_share=0.0
    )
    site = Site(tiny_world, settings)
    pipeline = site.pipeline
    site.month(0, 1.3)
    begun, lead, soon = pipeline.building.copy(), pipeline.lead[0], pipeline.soon[0]
    assert begun.any()
    assert soon == np.rint(0.25 * lead)
    here = (pipeline.lead == lead) & (begun > 0)
    grew = {}
    for month in range(1, lead):
        before = site.firms.expansion.copy()
        site.month(month, 0.5)
        grew[month + 1] = (site.firms.expansion - before)[here]
    np.testing.assert_allclose(grew[soon], 0.4 * begun[here])
    np.testing.assert_allclose(grew[lead], 0.6 * begun[here])
    np.testing.assert_allclose(sum(grew.values()), begun[here])


def test_a_boom_ends_a_lead_time_later_in_a_run(tiny_world: World) -> None:
    """Nothing is added before; smooth adjustment would have begun at once."""
    world = replace(
        tiny_world,
        parameters={**tiny_world.parameters, "lead_time_years": np.full(3, 2.0)},
    )
    model = with_demand(config_with("entry"), world, lambda m: 1.3 if m >= 6 else 1.0)
    expansion = []
    for _ in range(model.months):
        model.step()
        expansion.append(model.firms.expansion.copy())
    grew = np.array(expansion).max(axis=1) > 1.0 + 1e-3
    assert int(np.flatnonzero(grew)[0]) == 6 + 24 - 1, "month of decision plus lead, less one"
    building = model.record.measures["building_capacity_t"].sum(axis=(1, 2))
    assert building[6] > 100 * building[:6].max()
    spent = model.books.ledger.entries["construction"].paid
    assert spent.sum() > 0


# Host metals ------------------------------------------------------------------------------------


def test_by_products_stay_under_the_ceiling_of_their_host(tiny_world: World) -> None:
    config = config_with("host_metals", years=8)
    config.planning.host_metals.scale = 0.1  # no more than the host brings now
    config.planning.host_metals.growth = 0.01
    plain = model_of(quiet_config(years=8), tiny_world)
    bound = model_of(config, tiny_world)
    plain.run(), bound.run()
    opening = tiny_world.firms.capacity
    gallium = bound.firm_traits.market == tiny_world.market("gallium", "refined")
    primary = gallium & ~tiny_world.firms.recycler.astype(bool)
    limit = opening * 1.01 ** (95 / 12)
    assert (bound.firms.capacity[primary] <= limit[primary] * (1 + 1e-12)).all()
    assert (plain.firms.capacity[primary] > limit[primary])[opening[primary] > 0].all()
    np.testing.assert_array_equal(bound.firms.capacity[~gallium], plain.firms.capacity[~gallium])
    market = tiny_world.market("gallium", "refined")
    after, before = (world_price(m.record, tiny_world, market)[-1] for m in (bound, plain))
    assert after > before


# What price chokes off --------------------------------------------------------------------------


def test_priced_out_is_the_need_that_the_price_has_taken(tiny_world: World) -> None:
    config = quiet_config(years=4)
    config.shock = export_ban()
    record = model_of(config, tiny_world, shocked=True).run()
    market = tiny_world.market("gallium", "refined")
    month = 30
    model = model_of(config, tiny_world, shocked=True)
    for _ in range(month + 1):
        model.step()
    price = model.books.price[market, USA]
    reference = tiny_world.landed_price[market, USA]
    assert price > 1.2 * reference
    kept = (price / reference) ** -tiny_world.parameters["demand_elasticity"][market]
    need = model.need[market, USA, 1:-1].sum()
    gone = record.measures["priced_out_t"][month, market, USA]
    np.testing.assert_allclose(gone, need * (1.0 - kept), rtol=1e-9)
    assert (record.measures["priced_out_t"] >= 0).all()


# Identities -------------------------------------------------------------------------------------


@hypothesis_settings(max_examples=8)
@given(
    on=st.sets(st.sampled_from(SWITCHES)),
    firmness=st.floats(0.0, 1.0),
    replacement=st.floats(0.0, 1.0),
    loss_months=st.integers(1, 6),
    trigger=st.floats(0.0, 1.0),
    membership=st.sampled_from(["none", "washington"]),
    low=st.floats(0.4, 1.0),
    high=st.floats(1.0, 1.6),
    seed=st.integers(0, 5),
)
def test_identities_hold_whatever_firms_plan(
    tiny_world: World,
    on: set[str],
    firmness: float,
    replacement: float,
    loss_months: int,
    trigger: float,
    membership: str,
    low: float,
    high: float,
    seed: int,
) -> None:
    config = config_with(*on, years=3)
    config.randomness.active = True
    planning = config.planning
    planning.contracts.firmness, planning.contracts.index_months = firmness, 1 + seed
    planning.depletion.replacement, planning.idling.loss_months = replacement, loss_months
    planning.entry.cancel_trigger = trigger
    config.shock = export_ban(("gallium", "graphite"), start="2025-09", announced="2025-09")
    model = model_of(config, tiny_world, membership, shocked=True, seed=seed)
    path = np.where(np.arange(model.months) < 18, high, low)
    model.events = replace(model.events, demand=model.events.demand * path[:, None, None])
    for _ in range(model.months):
        model.step()
        ledger = model.books.ledger
        balance = sum(ledger.balance(account).sum() for account in Account)
        assert abs(balance) <= BALANCE * model.books.spent.sum()
        producers = ledger.balance(Account.producers)
        assert np.isfinite(producers).all()
    record = model.record
    assert record.tonnes_gap.max() <= BALANCE
    assert record.money_gap.max() <= BALANCE
    assert record.certificate.max() <= BALANCE
    idle = record.measures["idle_capacity_t"]
    assert (idle >= 0).all()


# Bad input --------------------------------------------------------------------------------------


def test_a_value_out_of_range_is_refused_with_the_cure() -> None:
    config = Config()
    config.planning.entry.running_share = 1.5
    with pytest.raises(ConfigError, match=r"planning.entry.running_share is 1.5 .* from 0 to 0.95"):
        check(config)
