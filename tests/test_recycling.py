"""Scrap returns after the life of products, and recyclers have no more than was put into use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config, run
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.config import Config, DemandPath, DemandScenario, Recycling
from abm.intentions import firm_offers
from abm.ledger import Account
from abm.model import MineralModel
from abm.passes.accounts import follow_scrap
from abm.recycling import (
    MOST_COLLECTED,
    STAGES,
    Scrap,
    ScrapTraits,
    lifetimes,
    retire,
    scrap_account,
)
from abm.world import World


def returning(years: int = 10, **terms: float) -> Config:
    config = quiet_config(years=years)
    config.recycling = Recycling(active=True, **terms)  # type: ignore[arg-type]
    return config


def account(world: World, config: Config | None = None) -> tuple[ScrapTraits, Scrap]:
    model = model_of(config or returning(1), world)
    return model.scrap_traits, model.scrap


# The account of products in use -----------------------------------------------------------------


def test_scrap_of_the_opening_is_what_each_country_recycles(real_world: World) -> None:
    traits, scrap = account(real_world)
    recycled = real_world.opening.recycled[real_world.refined_rows]
    arriving = np.einsum("kc,kcd->kd", scrap.collected, traits.route)
    np.testing.assert_allclose(arriving, recycled, atol=1e-9 * recycled.max())
    assert (traits.opening_rate <= MOST_COLLECTED).all()
    assert (traits.new_scrap < 0.3).all()


def test_old_scrap_has_the_share_of_the_table(real_world: World) -> None:
    traits, scrap = account(real_world)
    retired = scrap.retired.sum(axis=(1, 2)) * traits.collectable
    old = traits.opening_rate * retired
    recycled = real_world.opening.recycled[real_world.refined_rows].sum(axis=1)
    some = recycled > 0
    np.testing.assert_allclose(old[some] / recycled[some], real_world.old_scrap_share[some])


def pulse(years: float) -> np.ndarray:
    """[month] t retired of one tonne that came into use in month 0."""
    one = np.ones((1, 1, 1))
    traits = ScrapTraits(
        ageing=np.array([STAGES / (12.0 * years)]),
        collectable=np.ones(1),
        opening_rate=np.ones(1),
        new_scrap=np.zeros(1),
        route=np.ones((1, 1, 1)),
        placed=np.ones(1),
        opening_output=np.ones((1, 1)),
        plan=np.ones((1, 1, 1)),
        firms=np.zeros(0, dtype=np.int64),
        firm_place=np.zeros(0, dtype=np.int64),
    )
    flat = np.zeros((1, 1))
    empty = np.zeros((STAGES, 1, 1, 1))
    scrap = Scrap(empty, flat, flat, flat, flat, 0 * one, 0 * one, flat, flat)
    retired = []
    for month in range(int(12 * 12 * years)):
        retire(scrap, traits, one * (month == 0), 0.5)
        retired.append(float(scrap.retired.sum()))
    np.testing.assert_allclose(sum(retired) + scrap.in_use.sum(), 1.0, rtol=1e-12)
    return np.array(retired)


@pytest.mark.parametrize("years", [2.0, 5.0, 14.0])
def test_products_retire_after_their_mean_life_with_a_gamma_spread(years: float) -> None:
    out = pulse(years)
    month = np.arange(out.size)
    mean = (month * out).sum()
    spread = np.sqrt((month**2 * out).sum() - mean**2)
    np.testing.assert_allclose(mean, 12 * years, rtol=0.01)
    np.testing.assert_allclose(spread / mean, STAGES**-0.5, rtol=0.1)


def test_short_lives_return_sooner() -> None:
    phones, turbines = np.cumsum(pulse(5.0)), np.cumsum(pulse(14.0))
    assert phones[35] > 5 * turbines[35]
    assert (phones >= turbines[: phones.size]).all()


def test_steady_growth_of_use_gives_the_same_growth_of_what_retires(tiny_world: World) -> None:
    traits, scrap = account(tiny_world)
    used = tiny_world.opening.final_use[tiny_world.refined_rows].copy()
    used[0] += tiny_world.opening.final_use[tiny_world.market("graphite", "mined")]
    first = scrap.retired.copy()
    growth = (1.0 + tiny_world.growth[:, None, :]) ** (1 / 12)
    for _ in range(24):
        retire(scrap, traits, used, 0.5)
        used = used * growth
    np.testing.assert_allclose(scrap.retired, first * growth**23, rtol=1e-10)


def test_lives_are_read_by_sector(tiny_world: World) -> None:
    years = lifetimes(Recycling().lifetimes, tiny_world.sectors)
    assert years[tiny_world.sectors.index("digital")] == Recycling().lifetimes.digital
    assert years[tiny_world.sectors.index("defence")] > years[tiny_world.sectors.index("digital")]


def test_when_old_scrap_does_not_suffice_the_rest_is_new(tiny_world: World) -> None:
    poor = replace(
        tiny_world,
        old_scrap_share=np.ones_like(tiny_world.old_scrap_share),
        collectable_share=np.full_like(tiny_world.collectable_share, 0.005),
    )
    traits, scrap = account(poor)
    gallium = poor.minerals.index("gallium")
    np.testing.assert_allclose(traits.opening_rate[gallium], MOST_COLLECTED)
    assert traits.new_scrap[gallium] > 0
    np.testing.assert_allclose(scrap.collected[gallium].sum(), 1.0)  # 12 t a year


# Recyclers --------------------------------------------------------------------------------------


def test_recyclers_cannot_make_more_than_the_scrap_at_hand(tiny_world: World) -> None:
    model = model_of(returning(1), tiny_world)
    model.step()
    traits, rows = model.firm_traits, model.firm_traits.recycles
    (stage,) = (stage for stage in model.stages if stage.refined)
    for at_hand in (np.inf, 0.25):
        model.scrap.stock = np.full(model.scrap.stock.shape, at_hand)
        firm_offers(model, stage)
        running, full = model.firms.running, model.firms.capacity * model.availability
        scarce = np.minimum(at_hand, traits.by_place(full * rows, model.state.risk.shape))
        np.testing.assert_allclose(traits.by_place(running * rows, scarce.shape), scarce)
        alone = ~rows & ~traits.feeds
        np.testing.assert_array_equal(running[alone], full[alone])


def test_the_opening_month_is_the_same_with_and_without(tiny_world: World) -> None:
    assert_same_history(
        run(returning(1), tiny_world), run(quiet_config(1), tiny_world), months=slice(0, 1)
    )


def test_a_calm_world_stays_calm(tiny_world: World) -> None:
    with_scrap = run(returning(6), tiny_world).measures["landed_price_usd_per_kg"]
    without = run(quiet_config(6), tiny_world).measures["landed_price_usd_per_kg"]
    np.testing.assert_allclose(with_scrap[-12:], without[-12:], rtol=0.02)


def test_collection_follows_the_price_support_its_target_and_plants_the_scrap() -> None:
    rng = np.random.default_rng(2)
    dear, inflow = rng.uniform(0.5, 2.0, (2, 2, 3))
    dear[0, 0] = 1e6
    beyond, output = rng.uniform(-1.0, 1.0, (2, 3)), np.array([[1.0, 2.0, 0.0], [0.5, 1.0, 0.0]])
    opening, part, plan = np.array([0.1, 0.3]), np.array([0.0, 0.5, 1.0]), np.full((2, 3), 1.5)
    rate, support, plant = rng.uniform(0.1, 0.5, (3, 2, 3))
    now = [values.copy() for values in (rate, support, plant)]
    terms = (opening, 0.4, MOST_COLLECTED, 36.0, part, 0.6, 24.0)
    follow_scrap(rate, support, plant, dear, *terms, inflow, beyond, output, plan, 30.0, 240.0)
    worth = np.minimum(opening[:, None] * dear**0.4, MOST_COLLECTED)
    np.testing.assert_allclose(rate, now[0] + (worth - now[0]) / 36.0)
    assert worth[0, 0] == MOST_COLLECTED
    lacking = part * np.maximum(0.6 - rate, 0.0)
    np.testing.assert_allclose(support, now[1] + (lacking - now[1]) / 24.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(output > 0, np.maximum(inflow + beyond, 0.0) / output / plan, 1.0)
    months = np.where(wanted > now[2], 30.0, 240.0)
    np.testing.assert_allclose(plant, now[2] + (wanted - now[2]) / months)


def banned(config: Config) -> Config:
    config.shock = export_ban(targets=["USA", "AUS"], start="2026-01", announced="2026-01")
    return config


def usa(model: MineralModel, name: str) -> np.ndarray:
    row = model.world.market("gallium", "refined")
    return model.record.measures[name][:, row, model.world.country("USA")]


def test_after_a_ban_recyclers_grow_and_less_must_be_mined(tiny_world: World) -> None:
    runs = {}
    for elasticity in (0.0, 0.8):
        config = banned(returning(4, collection_elasticity=elasticity))
        runs[elasticity] = model_of(config, tiny_world, shocked=True)
        runs[elasticity].run()
    crisis = slice(24, 48)
    still, lively = runs[0.0], runs[0.8]
    assert usa(lively, "recycled_t")[crisis].sum() > 1.2 * usa(still, "recycled_t")[crisis].sum()
    row = tiny_world.market("gallium", "refined")

    def primary(model: MineralModel) -> float:
        made = model.record.measures["output_t"] - model.record.measures["recycled_t"]
        return float(made[crisis, row].sum())

    assert primary(lively) < primary(still)
    assert usa(lively, "landed_price_usd_per_kg")[crisis].mean() < (
        usa(still, "landed_price_usd_per_kg")[crisis].mean()
    )


# Public support -----------------------------------------------------------------------------------


def supported(target: float, years: int = 5) -> Config:
    config = returning(years)
    config.instruments.research.active = True
    config.instruments.research.spending = 0.0
    config.instruments.research.collection_target = target
    config.instruments.research.collection_years = 2.0
    return config


def test_support_brings_in_scrap_for_recyclers_of_those_who_pay(tiny_world: World) -> None:
    models = {}
    for target in (0.0, 0.6):
        models[target] = model_of(supported(target), tiny_world, "washington")
        models[target].run()
    last = slice(-12, None)
    more, less = (usa(models[target], "recycled_t")[last].sum() for target in (0.6, 0.0))
    assert more > 1.5 * less
    outside = model_of(supported(0.6, 2), tiny_world)
    outside.run()
    np.testing.assert_array_equal(outside.scrap.support, 0.0)


def test_treasuries_pay_collectors_for_what_they_bring(tiny_world: World) -> None:
    model = model_of(supported(0.6, 3), tiny_world, "washington")
    model.run()
    entry = model.books.ledger.entries["recycling_support"]
    assert (entry.payer, entry.payee) == (Account.treasury, Account.services)
    scrap, traits = model.scrap, model.scrap_traits
    row, gallium = tiny_world.market("gallium", "refined"), tiny_world.minerals.index("gallium")
    members = [tiny_world.country(code) for code in ("USA", "AUS")]
    assert entry.paid[row, members].min() > 0
    assert entry.paid[row].sum() == pytest.approx(entry.paid[row, members].sum())
    # What arrives beyond price-driven scrap: tonnes times cost times price.
    usual = np.einsum("kc,kcd->kd", scrap.collected, traits.route)
    assert scrap.inflow.sum() == pytest.approx(usual.sum())
    cost = model.case.instruments.research.collection_cost * tiny_world.world_price[row]
    tonnes = entry.paid[row].sum() / cost
    assert 0 < tonnes < (traits.collectable * scrap.retired.sum(axis=(1, 2)))[gallium]
    assert entry.paid[tiny_world.market("graphite", "refined")].sum() == 0  # nobody recycles it


# Identities -------------------------------------------------------------------------------------


def close_account(model: MineralModel) -> None:
    """Run to the end, and check each month that scrap never exceeds what was put into use."""
    scrap, traits = model.scrap, model.scrap_traits
    recyclers = model.firm_traits.recycles
    kinds = len(model.world.minerals)

    def by_mineral(made: np.ndarray) -> np.ndarray:
        return np.bincount(model.firm_traits.mineral[recyclers], made[recyclers], kinds)

    for _ in range(model.months):
        products, at_hand = scrap.in_use.sum(axis=(0, 2, 3)), scrap.stock.sum(axis=1)
        aged = scrap.in_use.sum(axis=0)
        model.step()
        entered, retired = scrap.entered.sum(axis=(1, 2)), scrap.retired.sum(axis=(1, 2))
        used = np.zeros(kinds)
        np.add.at(used, model.world.mineral_of_market, model.books.use[:, :, 1:-1].sum(axis=(1, 2)))
        np.testing.assert_allclose(entered, used * (1.0 - traits.new_scrap), rtol=1e-9)
        np.testing.assert_allclose(
            scrap.in_use.sum(axis=(0, 2, 3)), products + entered - retired, rtol=1e-9
        )
        assert (scrap.retired <= aged + 1e-12).all()
        most = MOST_COLLECTED * traits.collectable * retired + traits.new_scrap * used
        assert (scrap.collected.sum(axis=1) <= most * (1 + 1e-9)).all()
        np.testing.assert_allclose(scrap.inflow.sum(axis=1), scrap.collected.sum(axis=1), atol=1e-9)
        made = by_mineral(model.books.made)
        assert (made <= at_hand * (1 + 1e-9)).all()
        np.testing.assert_allclose(
            scrap.stock.sum(axis=1), at_hand - made + scrap.inflow.sum(axis=1), rtol=1e-9
        )
    assert model.record.tonnes_gap.max() <= 1e-9
    assert model.record.money_gap.max() <= 1e-9


@settings(max_examples=5)
@given(
    research=st.booleans(),
    substitution=st.booleans(),
    planning=st.booleans(),
    shocked=st.booleans(),
    elasticity=st.floats(0.0, 2.0),
    traded=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
def test_scrap_never_exceeds_what_was_put_into_use(
    tiny_world: World,
    research: bool,
    substitution: bool,
    planning: bool,
    shocked: bool,
    elasticity: float,
    traded: float,
    seed: int,
) -> None:
    config = banned(returning(2, collection_elasticity=elasticity, traded_products=traded))
    config.randomness.active = True
    config.instruments.research.active = research
    config.substitution.active = substitution
    for part in (config.planning.entry, config.planning.idling, config.planning.contracts):
        part.active = planning
    config.demand = DemandPath(active=True, scenario=DemandScenario.nze, digital=0.1)
    close_account(model_of(config, tiny_world, "washington", shocked, seed))


def test_the_account_closes_for_every_mineral(real_world: World) -> None:
    config = returning(1)
    config.instruments.research.active = True
    close_account(model_of(config, real_world, "washington"))


def test_without_recycling_nothing_limits_recyclers(tiny_world: World) -> None:
    model = model_of(quiet_config(1), tiny_world)
    _, scrap = scrap_account(
        tiny_world, model.final_use, Recycling(), model.firm_traits, model.trend
    )
    assert np.isinf(scrap.stock).all()
    model.run()
    np.testing.assert_array_equal(model.firms.expansion[model.firm_traits.recycles], 1.0)
