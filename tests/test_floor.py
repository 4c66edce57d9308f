"""Price floors: what a border floor and contracts for difference do, and when they do nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import (
    assert_same_history,
    export_ban,
    model_of,
    quiet_config,
    run,
    without_instruments,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.agents.project import longrun_cost
from abm.config import Config, ConfigError, FloorBasis, FloorVariant, Projects, Stage, check
from abm.ledger import Account
from abm.model import MineralModel
from abm.policy.floor import assured_price, border_floor, contract_gap, guaranteed_price
from abm.world import World

YEARS, SINCE = 4, 13
LATE = slice(36, 48)


def with_floor(years: int = YEARS, **terms: Any) -> Config:
    """Membership with a price floor and nothing else; the terms change its settings."""
    config = without_instruments(quiet_config(years=years))
    config.instruments.price_floor.active = bool(terms)
    for name, value in terms.items():
        setattr(config.instruments.price_floor, name, value)
    return config


BORDER: dict[str, Any] = {"variant": FloorVariant.border, "level": 1.4}
CONTRACTS: dict[str, Any] = {"variant": FloorVariant.contracts, "level": 1.4}


def members_of(world: World) -> np.ndarray:
    return np.isin(world.countries, ["USA", "AUS"])


def late_price(record: Any, world: World, name: str, countries: np.ndarray) -> np.ndarray:
    """[market, country] mean of a measure over the last year."""
    return record.measures[name][LATE][:, :, countries].mean(axis=0)


@pytest.fixture(scope="module")
def plain(tiny_world: World) -> Any:
    return run(with_floor(), tiny_world, "washington")


@pytest.fixture(scope="module")
def bordered(tiny_world: World) -> Any:
    return run(with_floor(**BORDER), tiny_world, "washington")


@pytest.fixture(scope="module")
def contracted(tiny_world: World) -> Any:
    return run(with_floor(**CONTRACTS), tiny_world, "washington")


def test_a_border_floor_lifts_what_members_pay_and_what_their_producers_get(
    tiny_world: World, plain: Any, bordered: Any
) -> None:
    inside = members_of(tiny_world)
    buys = plain.measures["purchases_t"][LATE].min(axis=0)[:, inside] > 0
    for name, where in (
        ("landed_price_usd_per_kg", buys),
        ("origin_price_usd_per_kg", plain.measures["output_t"][LATE].min(axis=0)[:, inside] > 0),
    ):
        before = late_price(plain, tiny_world, name, inside)[where]
        after = late_price(bordered, tiny_world, name, inside)[where]
        assert (after > before).all()


def test_outsiders_do_not_gain_from_the_floor(tiny_world: World, plain: Any, bordered: Any) -> None:
    china = np.array(tiny_world.countries) == "CHN"
    name = "origin_price_usd_per_kg"
    before = late_price(plain, tiny_world, name, china)
    assert (late_price(bordered, tiny_world, name, china) <= before * (1 + 1e-9)).all()


def test_no_import_from_outside_lands_below_the_floor(tiny_world: World) -> None:
    model = model_of(with_floor(**BORDER), tiny_world, "washington")
    inside = members_of(tiny_world)
    for _ in range(20):
        model.step()
    assert model.floor_price[:, ~inside][:, :, inside].min() > 0
    for stage in model.stages:
        clearing = model.last_clearing[stage.refined]
        lands = clearing.flow > 0
        lifted = lands & (~inside)[None, :, None] & inside[None, None, :]
        floor = np.broadcast_to(
            1.4 * tiny_world.world_price[stage.markets, None, None], lands.shape
        )
        assert lifted.any()
        assert (clearing.delivered_price[lifted] >= floor[lifted] * (1 - 1e-9)).all()
        # The levy is what is missing to the floor, computed from what sellers ask.
        asked = clearing.origin_price[:, :, None] * model.terms.factor[stage.markets]
        asked = asked + model.border.addition[stage.markets]
        missing = np.where(lifted, np.maximum(floor - asked, 0.0) * clearing.flow, 0.0)
        levy = model.books.ledger.entries["floor_levy"].received[stage.markets]
        np.testing.assert_allclose(levy, missing.sum(axis=1), rtol=1e-9, atol=1e-9)
        assert levy[:, inside].sum() > 0
        assert not levy[:, ~inside].any()


def test_the_levy_starts_with_membership_and_goes_to_the_treasury(
    plain: Any, bordered: Any
) -> None:
    gained = bordered.measures["treasury_usd"] - plain.measures["treasury_usd"]
    assert not gained[:SINCE].any()
    assert gained[LATE].sum() > 0


@pytest.mark.parametrize("variant", FloorVariant)
def test_a_floor_below_the_market_price_does_nothing(
    tiny_world: World, plain: Any, variant: FloorVariant
) -> None:
    low = run(with_floor(variant=variant, level=0.2, payback=0.0), tiny_world, "washington")
    for name in ("landed_price_usd_per_kg", "output_t", "treasury_usd", "purchases_t"):
        np.testing.assert_allclose(
            low.measures[name], plain.measures[name], rtol=1e-7, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("terms", [BORDER, CONTRACTS])
def test_a_floor_that_is_off_leaves_every_figure(
    tiny_world: World, plain: Any, terms: dict[str, Any]
) -> None:
    config = with_floor(**terms)
    config.instruments.price_floor.active = False
    assert_same_history(run(config, tiny_world, "washington"), plain)
    config.instruments.price_floor.active = True
    assert_same_history(run(config, tiny_world, "none"), run(with_floor(), tiny_world, "none"))


def test_contracts_raise_members_output_and_nobodys_price(
    tiny_world: World, plain: Any, contracted: Any
) -> None:
    inside = members_of(tiny_world)
    made = plain.measures["output_t"][LATE][:, :, inside].sum(axis=(0, 2))
    more = contracted.measures["output_t"][LATE][:, :, inside].sum(axis=(0, 2))
    makes = made > 0
    assert makes.any()
    assert (more[makes] > made[makes]).all()
    everywhere = np.ones(len(tiny_world.countries), dtype=bool)
    name = "landed_price_usd_per_kg"
    before = late_price(plain, tiny_world, name, everywhere)
    assert (late_price(contracted, tiny_world, name, everywhere) <= before * (1 + 1e-6)).all()


def test_a_contract_costs_the_gap_times_the_sales_it_covers(tiny_world: World) -> None:
    model = model_of(with_floor(**CONTRACTS), tiny_world, "washington")
    for _ in range(24):
        model.step()
    price = model.state.market_price.copy()
    sold_before = model.firms.sales.copy()
    model.step()
    firms, traits = model.world.firms, model.firm_traits
    paid = np.zeros(price.shape)
    for row in range(firms.market.size):
        market, country = firms.market[row], firms.country[row]
        if model.world.countries[country] in ("USA", "AUS"):
            gap = 1.4 * model.world.world_price[market] - price[market, country]
            normal = traits.normal_use[row] * model.trend.capacity[24, row]
            covered = min(1.0, normal / sold_before[row]) if sold_before[row] > 0 else 1.0
            assert gap > 0
            paid[market, country] += gap * covered * model.books.sales[row]
    entry = model.books.ledger.entries["strike_payments"]
    assert entry.payer is Account.treasury
    assert paid.sum() > 0
    np.testing.assert_allclose(entry.paid, paid, rtol=1e-9)
    np.testing.assert_array_equal(entry.paid, entry.received)
    assert not model.books.ledger.entries["strike_payback"].paid.any()


def test_producers_pay_back_above_the_strike(tiny_world: World, plain: Any) -> None:
    inside = members_of(tiny_world)
    config = with_floor(variant=FloorVariant.contracts, level=0.5, payback=1.0)
    both_ways = run(config, tiny_world, "washington")
    gained = both_ways.measures["treasury_usd"] - plain.measures["treasury_usd"]
    assert gained[LATE][:, :, inside].sum() > 0
    made, usual = (r.measures["output_t"][LATE][:, :, inside].sum() for r in (both_ways, plain))
    assert made < usual


def test_contract_payments_by_hand() -> None:
    strike, price = np.array([10.0, 10.0, 0.0]), np.array([7.0, 14.0, 5.0])
    np.testing.assert_allclose(contract_gap(strike, price, 0.25), [3.0, -1.0, 0.0])
    config = with_floor(**CONTRACTS).instruments.price_floor
    config.payback, config.output_share = 0.25, 0.5
    part = np.array([1.0, 0.5, 1.0])
    np.testing.assert_allclose(assured_price(price, strike, part, config), [8.5, 13.75, 5.0])
    config.variant = FloorVariant.border
    np.testing.assert_allclose(assured_price(price, strike, part, config), [10.0, 14.0, 5.0])


def test_a_floor_holds_for_outsiders_selling_to_members_only() -> None:
    floor = border_floor(np.array([2.0, 0.0]), np.array([1.0, 0.5, 0.0]))
    expected = np.zeros((2, 3, 3))
    expected[0] = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 1.0, 0.0]]
    np.testing.assert_allclose(floor, expected)


def test_levels_follow_minerals_stages_and_basis(tiny_world: World) -> None:
    config = with_floor(level=1.5, minerals=["graphite"], stages=[Stage.refined])
    row = tiny_world.market("graphite", "refined")
    expected = np.zeros(len(tiny_world.markets))
    expected[row] = 1.5 * tiny_world.world_price[row]
    np.testing.assert_allclose(guaranteed_price(tiny_world, config), expected)
    config.instruments.price_floor.basis = FloorBasis.cost
    # By hand: feed, operating cost, and 20 equal payments on 2 M USD for 600 t a year.
    price, feed = 6.0, 1.2 / 0.8
    annuity = sum(1.12**-year for year in range(1, 21))
    capital = 2e6 / 600e3 / (0.8 * annuity)
    cost = feed + 0.65 * (price - feed) + capital
    np.testing.assert_allclose(longrun_cost(tiny_world, Projects())[row], cost, rtol=1e-9)
    np.testing.assert_allclose(guaranteed_price(tiny_world, config)[row], 1.5 * cost, rtol=1e-9)


def test_an_unknown_mineral_is_refused(tiny_world: World) -> None:
    with pytest.raises(ConfigError, match=r"price_floor.minerals contains 'tin'.*choose from"):
        model_of(with_floor(level=1.0, minerals=["tin"]), tiny_world)
    with pytest.raises(ConfigError, match=r"price_floor.level is -1"):
        check(with_floor(level=-1.0))


def assert_every_dollar_has_two_sides(model: MineralModel) -> None:
    """What a month's accounts receive less what they pay adds up to nothing."""
    ledger = model.books.ledger
    total = sum(float(ledger.balance(account).sum()) for account in Account)
    assert abs(total) <= 1e-9 * model.books.spent.sum()


@settings(max_examples=4)
@given(
    variant=st.sampled_from(FloorVariant),
    basis=st.sampled_from(FloorBasis),
    level=st.floats(0.5, 3.0),
    payback=st.floats(0.0, 1.0),
    ban=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_books_close_with_a_floor(
    tiny_world: World,
    variant: FloorVariant,
    basis: FloorBasis,
    level: float,
    payback: float,
    ban: bool,
    seed: int,
) -> None:
    config = with_floor(2, variant=variant, basis=basis, level=level, payback=payback)
    config.randomness.active = True
    config.instruments.stockpiles.active = True
    if ban:
        config.shock = export_ban(start="2026-04", announced="2026-04", end="")
    model = model_of(config, tiny_world, "washington", shocked=ban, seed=seed)
    for _ in range(24):
        model.step()
        assert_every_dollar_has_two_sides(model)
    assert max(model.record.tonnes_gap.max(), model.record.money_gap.max()) <= 1e-9
