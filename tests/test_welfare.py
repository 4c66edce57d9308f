"""Surplus: exact areas, and that they account for every dollar a market is worth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import export_ban, model_of, quiet_config, run
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import market, with_limits
from scipy.integrate import quad, simpson

from abm.agents.buyer import LEAST_PRICE_RATIO, BuyerTraits, use_scale
from abm.config import Instability, Instrument, Rights, Shipping
from abm.ledger import Account
from abm.market import Clearing, Problem, clear
from abm.model import MineralModel
from abm.passes.accounts import cost_by_place, demand_surplus
from abm.recorder import Record, account_table, sector_table
from abm.welfare import PARTIES, sales_cost
from abm.world import World
from experiments.measures.effects import Window
from experiments.measures.welfare import industry_table, welfare_table


def traits_of(problem: Problem) -> BuyerTraits:
    """The demand terms of a problem as buyer groups."""
    places = problem.need.shape[:2]
    return BuyerTraits(
        need=problem.need,
        reference_price=problem.reference_price[:, :, 0],
        elasticity=problem.elasticity,
        cover=np.zeros(problem.need.shape),
        transit=np.zeros(places),
    )


def consumer_surplus(
    need: np.ndarray,
    price: np.ndarray,
    traits: BuyerTraits,
    backstop: np.ndarray,
    choke: np.ndarray,
) -> np.ndarray:
    """[market, country, group] the area under demand above the price."""
    reference, elasticity = traits.reference_price, traits.elasticity
    return demand_surplus(need, price, reference, elasticity, backstop, choke, LEAST_PRICE_RATIO)


def cost_of_sales(
    sold: np.ndarray, offered: np.ndarray, low: np.ndarray, high: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """[firm] the area under a firm's asks, each firm in a place of its own."""
    nothing, place = np.zeros(sold.size), np.arange(sold.size)
    offset = np.arange(sold.size + 1, dtype=np.uint64)
    return cost_by_place(offset, sold, offered, low, high, least, nothing, nothing, place, nothing)


def small_market(seed: int) -> Problem:
    """A random market whose demand terms of a country share reference, backstop and choke price."""
    problem = market(np.random.default_rng(seed))
    shared = {
        name: np.repeat(getattr(problem, name)[:, :, :1], 2, axis=2)
        for name in ("reference_price", "backstop_price", "choke_price")
    }
    specific = np.ones(problem.price_factor.shape)
    return replace(problem, price_factor=specific, **shared)


def surpluses(problem: Problem, clearing: Clearing) -> dict[str, float]:
    """Thousand USD: consumers, producers, and the rents of the limits."""
    sold, quantity = clearing.sales, problem.capacity
    firms = np.diff(problem.firm_offset[0])
    received = np.repeat(np.nan_to_num(clearing.origin_price[0]), firms) * sold
    asked = cost_of_sales(
        sold, quantity, problem.low_ask, problem.high_ask, np.zeros(quantity.size)
    )
    buyers = consumer_surplus(
        problem.need,
        clearing.landed_price,
        traits_of(problem),
        problem.backstop_price[:, :, 0],
        problem.choke_price[:, :, 0],
    )
    arcs = (problem.limit_market, problem.limit_origin, problem.limit_destination)
    used = np.bincount(problem.limit_group, clearing.flow[arcs], problem.limit.size)
    return {
        "consumers": float(buyers.sum()),
        "producers": float((received - asked).sum()),
        "rents": float((clearing.rent * used).sum()),
    }


@pytest.mark.parametrize("elasticity", [0.0, 0.1, 1.0, 2.5])
@pytest.mark.parametrize("price", [0.001, 3.0, 29.0, 45.0, 60.0])
def test_consumer_surplus_is_the_area_under_demand(elasticity: float, price: float) -> None:
    """Against quadrature of the rule that final users follow, up to the choke price of 60."""
    shape = (1, 1, 1)
    need, reference = np.full(shape, 7.0), np.full((1, 1), 10.0)
    steep = np.full(shape, elasticity)
    traits = BuyerTraits(need, reference, steep, np.zeros(shape), np.zeros((1, 1)))
    backstop, choke = np.full((1, 1), 30.0), np.full((1, 1), 60.0)

    def demand(p: float) -> float:
        return 7.0 * float(use_scale(need, np.full((1, 1), p), traits, backstop, choke)[0, 0, 0])

    found = consumer_surplus(need, np.full((1, 1), price), traits, backstop, choke)[0, 0, 0]
    area = sum(
        quad(demand, max(a, price), max(b, price), epsabs=1e-10)[0]
        for a, b in ((0.0, 0.1), (0.1, 1.0), (1.0, 30.0), (30.0, 60.0))
    )
    assert found == pytest.approx(area, rel=1e-7, abs=1e-9)


def test_the_cost_of_sales_is_the_area_under_the_asks() -> None:
    rng = np.random.default_rng(1)
    offered, low = rng.uniform(1, 9, 50), rng.uniform(-5, 8, 50)
    high, least = low + rng.uniform(1, 9, 50), rng.uniform(0, 6, 50)
    sold = offered * rng.uniform(0, 1, 50)

    def asked(firm: int, tonnes: float) -> float:
        ramp = low[firm] + (high[firm] - low[firm]) * tonnes / offered[firm]
        return float(max(ramp, least[firm]))

    found = cost_of_sales(sold, offered, low, high, least)
    for firm in range(50):
        kink = offered[firm] * (least[firm] - low[firm]) / (high[firm] - low[firm])
        area = quad(lambda x, f=firm: asked(f, x), 0, sold[firm], points=[kink])[0]
        assert found[firm] == pytest.approx(area, rel=1e-9)
    nobody = np.zeros(50)
    assert (cost_of_sales(nobody, nobody, low, high, least) == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_tariff_costs_the_world_what_trade_it_kills(seed: int) -> None:
    """Surplus + revenue fall by the area between the flow with and without (Harberger 1964).

    The right side is integrated over forty clearings and uses flows alone.
    """
    problem = small_market(seed)
    most, steps = 3.0, 41
    duty = np.linspace(0.0, most, steps)
    taxed = np.zeros(problem.price_addition.shape)
    taxed[0, 1, 0] = 1.0

    def at(rate: float) -> tuple[dict[str, float], float]:
        here = replace(problem, price_addition=problem.price_addition + rate * taxed)
        clearing = clear(here, tolerance=1e-12)
        return surpluses(here, clearing), float(clearing.flow[0, 1, 0])

    found = [at(rate) for rate in duty]
    flow = np.array([tonnes for _, tonnes in found])
    worth = [sum(parts.values()) for parts, _ in found]
    revenue = most * flow[-1]
    lost = simpson(flow, x=duty) - revenue
    assert lost > 0
    assert worth[-1] + revenue - worth[0] == pytest.approx(-lost, rel=2e-3, abs=1e-6)
    # Behind the tariff consumers lose; the taxed origin's producers never gain.
    assert found[-1][0]["consumers"] < found[0][0]["consumers"]


def test_with_one_seller_and_one_buyer_the_loss_is_the_triangle_between_the_curves() -> None:
    shape = (1, 1, 1)
    problem = Problem(
        capacity=np.array([10.0]),
        low_ask=np.array([2.0]),
        high_ask=np.array([12.0]),
        firm_offset=np.array([[0, 1]]),
        need=np.full(shape, 8.0),
        reference_price=np.full(shape, 8.0),
        elasticity=np.full(shape, 0.5),
        backstop_price=np.full(shape, 30.0),
        choke_price=np.full(shape, 60.0),
        log_weight=np.zeros(shape),
        dispersion=np.array([2.0]),
        price_factor=np.ones(shape),
        price_addition=np.zeros(shape),
        floor_price=np.zeros(shape),
        bid_quantity=np.empty((1, 1, 0)),
        bid_low=np.empty((1, 1, 0)),
        bid_high=np.empty((1, 1, 0)),
    )
    free = clear(problem, tolerance=1e-12)
    taxed = replace(problem, price_factor=np.full(shape, 1.4))
    closed = clear(taxed, tolerance=1e-12)
    before, after = sum(surpluses(problem, free).values()), sum(surpluses(taxed, closed).values())
    most, least = float(free.flow[0, 0, 0]), float(closed.flow[0, 0, 0])
    duty = 0.4 * float(closed.origin_price[0, 0]) * least

    def gap(tonnes: float) -> float:
        worth = 8.0 * (tonnes / 8.0) ** (-1.0 / 0.5)
        return worth - (2.0 + tonnes)

    assert after + duty - before == pytest.approx(-quad(gap, least, most)[0], rel=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_a_quota_and_the_tariff_of_the_same_flow_cost_the_world_the_same(seed: int) -> None:
    """Equivalence of tariff and quota (Bhagwati 1965): the rent takes the place of the revenue."""
    problem = small_market(seed)
    taxed = np.zeros(problem.price_addition.shape)
    taxed[0, 1, 0] = 2.0
    tariff = replace(problem, price_addition=problem.price_addition + taxed)
    with_tariff = clear(tariff, tolerance=1e-12)
    flow = float(with_tariff.flow[0, 1, 0])
    quota = with_limits(problem, (flow, [(1, 0)]))
    with_quota = clear(quota, tolerance=1e-12)
    one, other = surpluses(tariff, with_tariff), surpluses(quota, with_quota)
    assert other["rents"] == pytest.approx(2.0 * flow, rel=1e-6)
    assert other["consumers"] == pytest.approx(one["consumers"], rel=1e-6)
    assert other["producers"] == pytest.approx(one["producers"], rel=1e-6)


# In the model ---------------------------------------------------------------------------------

USA, CHN, AUS, ROW = range(4)  # of the tiny world
CONSUMERS, PRODUCERS, RENTS, TREASURY = range(len(PARTIES))


def real_worth(model: MineralModel) -> float:
    """Thousand USD the month was worth to the world, from goods alone.

    What goods are worth to users, less what firms ask, less services, plus stocks at opening
    prices. Feed counts when it is used up, at its book value.
    """
    books, reference = model.books, model.buyers.reference_price
    with np.errstate(invalid="ignore", divide="ignore"):
        paid = np.nan_to_num(books.spent / books.bought)
    bought = books.bought > 0
    paid = np.where(bought, paid, np.minimum(books.price, model.choke))
    used = books.use.sum(axis=2)
    received, given = np.zeros((2, *used.shape))
    received[:] = model.released.sum(axis=2)
    given[model.world.refined_rows] = model.given
    stored = reference * (books.bought + received - given - used - books.feed_used)
    services = books.ledger.balance(Account.services).sum()
    feed = model.state.feed_price * books.feed_used
    cost = sales_cost(model)
    return float((model.users_gain + paid * used + stored + feed - cost).sum() - services)


class Audited(MineralModel):
    """A model that checks every month before it moves on."""

    def adapt(self) -> None:
        spent = self.books.spent.sum()
        assert self.surplus.sum() == pytest.approx(real_worth(self), abs=1e-9 * spent)
        super().adapt()


@settings(max_examples=6)
@given(
    seed=st.integers(0, 99),
    ban=st.booleans(),
    seas=st.booleans(),
    shaken=st.booleans(),
    rights=st.sampled_from(Rights),
)
def test_money_between_parties_cancels_and_only_goods_are_left(
    tiny_world: World, seed: int, ban: bool, seas: bool, shaken: bool, rights: Rights
) -> None:
    """Whatever is switched on: what all parties gain together is the worth of goods."""
    config = quiet_config(2)
    config.shipping = Shipping(active=seas, closure_rate=2.0)
    config.instability = Instability(active=shaken, rate=2.0)
    config.randomness.active = shaken
    kind = Instrument.ban if ban else Instrument.quota
    dates = {"start": "2025-06", "announced": "2025-06", "end": ""}
    config.shock = export_ban(["all"], rights=rights, targets=["USA"], **dates)
    config.shock.instrument = kind
    model = model_of(config, tiny_world, "washington", True, seed)
    model.__class__ = Audited
    model.run()


def test_accounts_cancel_every_year_and_stand_in_the_table(tiny_world: World) -> None:
    config = quiet_config(2)
    config.shock = export_ban(["all"], start="2025-06", announced="2025-06", targets=["USA"])
    model = model_of(config, tiny_world, "washington", True)
    record = model.run()
    table = account_table(tiny_world, record, "2025-01")
    assert set(table["entry"]) >= {"goods", "duty", "carriage", "rents_of_traders"}
    balance = table.groupby(["year", "entry"], observed=True)["amount_usd"]
    assert (balance.sum().abs() < 1e-5 * balance.agg(lambda x: x.abs().sum())).all()
    with_the_state = table["entry"].isin(["stockpile_purchases", "stockpile_sales"])
    trade = (table["account"] == "buyers") & ~with_the_state
    paid = -table.loc[trade, "amount_usd"].sum()
    assert paid == pytest.approx(record.measures["outlay_usd"].sum(), rel=1e-5)
    treasury = table.loc[table["account"] == "treasury", "amount_usd"].sum()
    assert treasury == pytest.approx(record.measures["treasury_usd"].sum(), rel=1e-5)


@pytest.fixture(scope="module")
def ban_and_calm(tiny_world: World) -> tuple[Record, Record]:
    """Two years with and without a ban of China on the USA, from the sixth month."""
    config = quiet_config(2)
    config.shock = export_ban(["all"], start="2025-06", announced="2025-06", targets=["USA"])
    return run(config, tiny_world, "none", shocked=True), run(config, tiny_world)


def test_a_ban_hurts_the_users_it_targets_and_pays_those_who_evade_it(
    ban_and_calm: tuple[Record, Record],
) -> None:
    banned, calm = (record.surplus.sum(axis=(0, 2)) for record in ban_and_calm)
    change = banned - calm
    assert change[CONSUMERS, USA] < 0
    assert change[PRODUCERS, CHN] < 0
    assert change[RENTS].sum() > 0
    assert (calm[RENTS] == 0).all()
    assert change.sum() < 0


def test_sectors_share_need_use_and_outlay(
    tiny_world: World, ban_and_calm: tuple[Record, Record]
) -> None:
    banned, calm = (sector_table(tiny_world, record, "2025-01") for record in ban_and_calm)
    gallium = calm[(calm["mineral"] == "gallium") & (calm["country"] == "USA")]
    by_sector = gallium.groupby("sector", observed=True)["need_t"].sum()
    np.testing.assert_allclose(by_sector / by_sector.sum(), [0.2, 0.6, 0.1, 0.1], rtol=1e-6)
    assert (calm["use_t"] <= calm["need_t"] * 1.05).all()
    here = [table[table["country"] == "USA"] for table in (banned, calm)]
    hurt, well = (table["use_t"].sum() / table["need_t"].sum() for table in here)
    assert hurt < well
    # Two months of need in store leave a third of the next three uncovered.
    first = calm[calm["year"] == 2025]
    share = first["uncovered_t"].sum() / first["need_t"].sum()
    assert share == pytest.approx(1 / 3, abs=0.05)


def test_a_tariff_moves_money_from_users_to_the_treasury_and_wastes_some(
    tiny_world: World,
) -> None:
    """A lasting duty on gallium: the treasury gains less than everybody else loses."""
    gallium = tiny_world.market("gallium", "refined")
    dear = tiny_world.tariff.copy()
    dear[gallium, CHN, USA] += 0.5
    taxed, free = (
        run(quiet_config(4), replace(tiny_world, tariff=tariff)).surplus[-1, :, gallium]
        for tariff in (dear, tiny_world.tariff)
    )
    change = taxed - free
    assert change[TREASURY, USA] > 0
    assert change[CONSUMERS, USA] < 0
    assert change[PRODUCERS, CHN] < 0
    assert change[PRODUCERS, USA] > 0
    assert -0.5 * change[TREASURY, USA] < change.sum() < 0


def test_welfare_effects_are_paired_differences() -> None:
    """By hand: two seeds, one country, membership worth 3 and 5 million a year to users."""
    rows = [
        {
            "membership": membership, "shock": "none", "seed": seed, "year": year,
            "country": "USA", "consumers_usd": 1e6 * (10 + gain * (membership != "none")),
            "producers_usd": 2e6, "rents_usd": 0.0, "treasury_usd": 0.0,
        }
        for seed, gain in ((0, 3.0), (1, 5.0))
        for membership in ("none", "six")
        for year in (2025, 2026)
    ]  # fmt: skip
    table = welfare_table(pd.DataFrame(rows), [Window("calm", "none", "2025-01", "2026-12")])
    found = table.set_index("party")
    assert found.loc["consumers", "mean"] == pytest.approx(4.0)
    assert found.loc["total", "median"] == pytest.approx(4.0)
    assert found.loc["producers", "mean"] == 0.0
    assert set(table["membership"]) == {"six"}
    assert found.loc["total", "low"] < 4.0 < found.loc["total", "high"]


def test_industry_passes_on_its_share_of_the_cost() -> None:
    """By hand: 200 million more outlay on an industry of 10 billion, 70 % passed on: 1.4 %."""
    rows = [
        {
            "membership": "none", "shock": shock, "seed": seed, "year": 2027, "country": "USA",
            "sector": "digital", "need_t": 100.0, "use_t": use, "uncovered_t": 25.0,
            "outlay_usd": outlay,
        }
        for seed in (0, 1)
        for shock, use, outlay in (("none", 100.0, 5e8), ("ban", 90.0, 7e8))
    ]  # fmt: skip
    window = Window("crisis", "ban", "2027-01", "2027-12")
    table = industry_table(pd.DataFrame(rows), [window], {"USA": 10.0}, 0.7).set_index("measure")
    assert table.loc["cost_passed_on", "mean"] == pytest.approx(1.4)
    assert table.loc["availability", "mean"] == pytest.approx(-10.0)
    assert table.loc["uncovered", "mean"] == pytest.approx(0.0)
    assert set(table["compared"]) == {"shock"}
